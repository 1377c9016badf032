"""Views, parts and joins: values and shapes, for x of [2,3], y of [2,3,4] and a number s, as PyTorch gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g

Build = Callable[[Any, Any, Any], Any]


def z(*sizes: int) -> Any:
    """1, 2, 3 ... in this shape."""
    return tt(np.arange(1, 1 + np.prod(sizes, dtype=int)).reshape(sizes).astype(np.float32))


def tt(values: Any, dtype: Any = None) -> Any:
    """A tensor of these numbers; floats are float32."""
    array = np.asarray(values, np.int64 if isinstance(values, list) and not values else None)
    array = array.astype(np.float32) if array.dtype == np.float64 else array
    return g.reshape(array if dtype is None else array.astype(dtype.numpy), array.shape)


CASES: tuple[tuple[Any, ...], ...] = (
    (lambda x, y, s: z(0, 3).reshape(5, -1), np.zeros((5, 0))),
    (lambda x, y, s: s.reshape(()), 1),
    (lambda x, y, s: x.view(g.int32), [[1065353216, 1073741824, 1077936128], [1082130432, 1084227584, 1086324736]]),
    (lambda x, y, s: s.flatten(), [1]),
    (lambda x, y, s: s.ravel(), [1]),
    (lambda x, y, s: s.squeeze(0), 1),
    (lambda x, y, s: z(1, 2, 1).squeeze((0, 2)), [1, 2]),
    (lambda x, y, s: z(1, 2).squeeze(()), [[1, 2]]),
    (lambda x, y, s: x.unsqueeze(-3), [[[1, 2, 3], [4, 5, 6]]]),
    (lambda x, y, s: s.transpose(0, -1), 1),
    (lambda x, y, s: s.permute(()), 1),
    (lambda x, y, s: x.permute(-1, 0), [[1, 4], [2, 5], [3, 6]]),
    (lambda x, y, s: s.t(), 1),
    (
        lambda x, y, s: y.T,
        [
            [[1, 13], [5, 17], [9, 21]],
            [[2, 14], [6, 18], [10, 22]],
            [[3, 15], [7, 19], [11, 23]],
            [[4, 16], [8, 20], [12, 24]],
        ],
    ),
    (lambda x, y, s: s.mT, 1),
    (lambda x, y, s: s.adjoint(), 1),
    (lambda x, y, s: s.H, 1),
    (
        lambda x, y, s: x.expand(5, -1, -1),
        [
            [[1, 2, 3], [4, 5, 6]],
            [[1, 2, 3], [4, 5, 6]],
            [[1, 2, 3], [4, 5, 6]],
            [[1, 2, 3], [4, 5, 6]],
            [[1, 2, 3], [4, 5, 6]],
        ],
    ),
    (lambda x, y, s: x.expand(-1, -1), [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: z(1, 3).expand(0, 3), np.zeros((0, 3))),
    (lambda x, y, s: s.expand(3), [1, 1, 1]),
    (lambda x, y, s: x.narrow(1, -1, 1), [[3], [6]]),
    (lambda x, y, s: x.narrow(1, 3, 0), np.zeros((2, 0))),
    (lambda x, y, s: x.narrow(1, tt(1), 1), [[2], [5]]),
    (lambda x, y, s: x.split(2, 1), [[[1, 2], [4, 5]], [[3], [6]]]),
    (lambda x, y, s: z(0, 2).split(2), [np.zeros((0, 2))]),
    (lambda x, y, s: z(0, 2).split(0), [np.zeros((0, 2))]),
    (lambda x, y, s: g.split_with_sizes(x, [1, 2], 1), [[[1], [4]], [[2, 3], [5, 6]]]),
    (lambda x, y, s: z(0).split([]), []),
    (lambda x, y, s: z(10).chunk(4), [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]),
    (lambda x, y, s: z(5).chunk(4), [[1, 2], [3, 4], [5]]),
    (lambda x, y, s: z(0).chunk(3), [np.zeros((0,)), np.zeros((0,)), np.zeros((0,))]),
    (lambda x, y, s: x.chunk(7, 1), [[[1], [4]], [[2], [5]], [[3], [6]]]),
    (lambda x, y, s: z(7).tensor_split(3), [[1, 2, 3], [4, 5], [6, 7]]),
    (lambda x, y, s: z(7).tensor_split((1, 6, 4)), [[1], [2, 3, 4, 5, 6], np.zeros((0,)), [5, 6, 7]]),
    (lambda x, y, s: z(7).tensor_split((-2,)), [[1, 2, 3, 4, 5], [6, 7]]),
    (lambda x, y, s: z(7).tensor_split(tt([1, 3])), [[1], [2, 3], [4, 5, 6, 7]]),
    (lambda x, y, s: z(7).tensor_split(tt(3)), [[1, 2, 3], [4, 5], [6, 7]]),
    (lambda x, y, s: z(2).tensor_split(4), [[1], [2], np.zeros((0,)), np.zeros((0,))]),
    (lambda x, y, s: z(7).tensor_split((9, 10)), [[1, 2, 3, 4, 5, 6, 7], np.zeros((0,)), np.zeros((0,))]),
    (
        lambda x, y, s: z(4, 6).hsplit(3),
        [
            [[1, 2], [7, 8], [13, 14], [19, 20]],
            [[3, 4], [9, 10], [15, 16], [21, 22]],
            [[5, 6], [11, 12], [17, 18], [23, 24]],
        ],
    ),
    (
        lambda x, y, s: z(4, 6).hsplit([1, 2]),
        [
            [[1], [7], [13], [19]],
            [[2], [8], [14], [20]],
            [[3, 4, 5, 6], [9, 10, 11, 12], [15, 16, 17, 18], [21, 22, 23, 24]],
        ],
    ),
    (lambda x, y, s: z(0, 2).unbind(), []),
    (lambda x, y, s: s.unfold(0, 1, 1), [1]),
    (lambda x, y, s: x.unfold(1, 2, 1), [[[1, 2], [2, 3]], [[4, 5], [5, 6]]]),
    (lambda x, y, s: x.unfold(1, 0, 1), np.zeros((2, 4, 0))),
    (lambda x, y, s: s.unfold(0, 0, 1), np.zeros((0,))),
    (lambda x, y, s: x.as_strided((2, 2), (1, 2)), [[1, 3], [2, 4]]),
    (lambda x, y, s: x.as_strided((2,), (2,), 1), [2, 4]),
    (lambda x, y, s: g.cat([x, z(0)]), [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: g.cat([z(0), z(0)]), np.zeros((0,))),
    (lambda x, y, s: g.cat([z(0), x], 1), [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: g.cat([z(2, 0), z(0)], 0), np.zeros((2, 0))),
    (lambda x, y, s: g.cat([z(0), z(0)], 1), np.zeros((0,))),
    (lambda x, y, s: g.stack([s, s]), [1, 1]),
    (lambda x, y, s: g.stack([x, x], -1), [[[1, 1], [2, 2], [3, 3]], [[4, 4], [5, 5], [6, 6]]]),
    (lambda x, y, s: g.hstack([s, z(2)]), [1, 1, 2]),
    (lambda x, y, s: g.vstack([s, z(1)]), [[1], [1]]),
    (lambda x, y, s: g.dstack([s, z(1)]), [[[1, 1]]]),
    (lambda x, y, s: g.dstack([z(2), z(2)]), [[[1, 1], [2, 2]]]),
    (lambda x, y, s: g.dstack([x, x]), [[[1, 1], [2, 2], [3, 3]], [[4, 4], [5, 5], [6, 6]]]),
    (lambda x, y, s: g.column_stack([z(2), x]), [[1, 1, 2, 3], [2, 4, 5, 6]]),
    (lambda x, y, s: g.column_stack([s, s]), [[1, 1]]),
    (lambda x, y, s: x.tile(2), [[1, 2, 3, 1, 2, 3], [4, 5, 6, 4, 5, 6]]),
    (lambda x, y, s: x.tile((2, 1, 1)), [[[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]]]),
    (lambda x, y, s: x.tile(()), [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: x.repeat(0, 2), np.zeros((0, 6))),
    (lambda x, y, s: s.repeat(3), [1, 1, 1]),
    (lambda x, y, s: x.repeat_interleave(2), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]),
    (lambda x, y, s: x.repeat_interleave(2, 0), [[1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6]]),
    (lambda x, y, s: x.repeat_interleave(tt([1, 2]), 0), [[1, 2, 3], [4, 5, 6], [4, 5, 6]]),
    (lambda x, y, s: x.repeat_interleave(tt([2]), 1), [[1, 1, 2, 2, 3, 3], [4, 4, 5, 5, 6, 6]]),
    (lambda x, y, s: g.repeat_interleave(tt([1, 2, 3])), [0, 1, 1, 2, 2, 2]),
    (lambda x, y, s: x.repeat_interleave(tt([1, 2]), 0, output_size=3), [[1, 2, 3], [4, 5, 6], [4, 5, 6]]),
    (lambda x, y, s: s.repeat_interleave(3), [1, 1, 1]),
    (lambda x, y, s: x.roll(1), [[6, 1, 2], [3, 4, 5]]),
    (lambda x, y, s: x.roll((1, 1), (0, 1)), [[6, 4, 5], [3, 1, 2]]),
    (lambda x, y, s: s.flip(0), 1),
    (lambda x, y, s: x.flip(()), [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: x.rot90(), [[3, 6], [2, 5], [1, 4]]),
    (lambda x, y, s: g.meshgrid(z(2), z(3)), [[[1, 1, 1], [2, 2, 2]], [[1, 2, 3], [1, 2, 3]]]),
    (lambda x, y, s: g.meshgrid(z(2), z(3), indexing="xy"), [[[1, 2], [1, 2], [1, 2]], [[1, 1], [2, 2], [3, 3]]]),
    (lambda x, y, s: g.meshgrid([z(2), z(3)]), [[[1, 1, 1], [2, 2, 2]], [[1, 2, 3], [1, 2, 3]]]),
    (lambda x, y, s: g.meshgrid(s, z(3)), [[[1, 1, 1]], [[1, 2, 3]]]),
    (
        lambda x, y, s: g.meshgrid(z(2), z(3), z(4), indexing="xy"),
        [
            [[[1, 1, 1, 1], [2, 2, 2, 2]], [[1, 1, 1, 1], [2, 2, 2, 2]], [[1, 1, 1, 1], [2, 2, 2, 2]]],
            [[[1, 1, 1, 1], [1, 1, 1, 1]], [[2, 2, 2, 2], [2, 2, 2, 2]], [[3, 3, 3, 3], [3, 3, 3, 3]]],
            [[[1, 2, 3, 4], [1, 2, 3, 4]], [[1, 2, 3, 4], [1, 2, 3, 4]], [[1, 2, 3, 4], [1, 2, 3, 4]]],
        ],
    ),
    (lambda x, y, s: x.select_scatter(z(3), 0, 0), [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: x.slice_scatter(z(2, 2), 1, 0, 2), [[1, 2, 3], [3, 4, 6]]),
    (lambda x, y, s: x.slice_scatter(z(2, 1), 1, 0, 2, 2), [[1, 2, 3], [2, 5, 6]]),
    (lambda x, y, s: x.slice_scatter(z(2, 1), 1, -1), [[1, 2, 1], [4, 5, 2]]),
    (lambda x, y, s: x.diagonal_scatter(z(2)), [[1, 2, 3], [4, 2, 6]]),
    (lambda x, y, s: x.as_strided_scatter(z(2), (2,), (2,)), [[1, 2, 2], [4, 5, 6]]),
    (lambda x, y, s: z(2).diag(1), [[0, 1, 0], [0, 0, 2], [0, 0, 0]]),
    (lambda x, y, s: x.diag(-1), [4]),
    (lambda x, y, s: x.diag(5), np.zeros((0,))),
    (lambda x, y, s: y.diagonal(1, 0, 2), [[2, 15], [6, 19], [10, 23]]),
    (lambda x, y, s: x.diagonal(5), np.zeros((0,))),
    (lambda x, y, s: x.diag_embed(), [[[1, 0, 0], [0, 2, 0], [0, 0, 3]], [[4, 0, 0], [0, 5, 0], [0, 0, 6]]]),
    (
        lambda x, y, s: x.diag_embed(1, 0, 2),
        [
            [[0, 1, 0, 0], [0, 4, 0, 0]],
            [[0, 0, 2, 0], [0, 0, 5, 0]],
            [[0, 0, 0, 3], [0, 0, 0, 6]],
            [[0, 0, 0, 0], [0, 0, 0, 0]],
        ],
    ),
    (
        lambda x, y, s: x.diagflat(),
        [
            [1, 0, 0, 0, 0, 0],
            [0, 2, 0, 0, 0, 0],
            [0, 0, 3, 0, 0, 0],
            [0, 0, 0, 4, 0, 0],
            [0, 0, 0, 0, 5, 0],
            [0, 0, 0, 0, 0, 6],
        ],
    ),
    (lambda x, y, s: s.diagflat(1), [[0, 1], [0, 0]]),
    (lambda x, y, s: g.tril_indices(2, 3), [[0, 1, 1], [0, 0, 1]]),
    (lambda x, y, s: g.triu_indices(3, 3, 1), [[0, 0, 1], [1, 2, 2]]),
    (lambda x, y, s: x.trace(), 6),
    (lambda x, y, s: g.constant_pad_nd(x, (1, 2)), [[0, 1, 2, 3, 0, 0], [0, 4, 5, 6, 0, 0]]),
    (lambda x, y, s: g.pad(x, (1, 1), mode="reflect"), [[2, 1, 2, 3, 2], [5, 4, 5, 6, 5]]),
    (lambda x, y, s: g.pad(z(1, 2, 3), (1, 1), mode="circular"), [[[3, 1, 2, 3, 1], [6, 4, 5, 6, 4]]]),
    (lambda x, y, s: g.pad(x, (1, 1), mode="constant", value=2.0), [[2, 1, 2, 3, 2], [2, 4, 5, 6, 2]]),
    (
        lambda x, y, s: g.pad(z(1, 2, 3, 4), (1, 1, 1, 1), mode="replicate"),
        [
            [
                [
                    [1, 1, 2, 3, 4, 4],
                    [1, 1, 2, 3, 4, 4],
                    [5, 5, 6, 7, 8, 8],
                    [9, 9, 10, 11, 12, 12],
                    [9, 9, 10, 11, 12, 12],
                ],
                [
                    [13, 13, 14, 15, 16, 16],
                    [13, 13, 14, 15, 16, 16],
                    [17, 17, 18, 19, 20, 20],
                    [21, 21, 22, 23, 24, 24],
                    [21, 21, 22, 23, 24, 24],
                ],
            ]
        ],
    ),
    (
        lambda x, y, s: g.pad(z(2, 3, 4), (1, 1, 1, 1), mode="replicate"),
        [
            [
                [1, 1, 2, 3, 4, 4],
                [1, 1, 2, 3, 4, 4],
                [5, 5, 6, 7, 8, 8],
                [9, 9, 10, 11, 12, 12],
                [9, 9, 10, 11, 12, 12],
            ],
            [
                [13, 13, 14, 15, 16, 16],
                [13, 13, 14, 15, 16, 16],
                [17, 17, 18, 19, 20, 20],
                [21, 21, 22, 23, 24, 24],
                [21, 21, 22, 23, 24, 24],
            ],
        ],
    ),
    (
        lambda x, y, s: g.pixel_shuffle(z(1, 8, 2, 2), 2),
        [
            [
                [[1, 5, 2, 6], [9, 13, 10, 14], [3, 7, 4, 8], [11, 15, 12, 16]],
                [[17, 21, 18, 22], [25, 29, 26, 30], [19, 23, 20, 24], [27, 31, 28, 32]],
            ]
        ],
    ),
    (
        lambda x, y, s: g.pixel_unshuffle(z(1, 4, 4), 2),
        [[[1, 3], [9, 11]], [[2, 4], [10, 12]], [[5, 7], [13, 15]], [[6, 8], [14, 16]]],
    ),
    (lambda x, y, s: g.channel_shuffle(z(1, 4, 2), 2), [[[1, 2], [5, 6], [3, 4], [7, 8]]]),
    (
        lambda x, y, s: g.block_diag(x, s, z(2)),
        [[1, 2, 3, 0, 0, 0], [4, 5, 6, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 2]],
    ),
    (lambda x, y, s: g.block_diag(), np.zeros((1, 0))),
    (lambda x, y, s: g.cartesian_prod(z(2), z(3)), [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]),
    (lambda x, y, s: g.cartesian_prod(z(2)), [1, 2]),
    (lambda x, y, s: g.combinations(z(3), 2), [[1, 2], [1, 3], [2, 3]]),
    (lambda x, y, s: g.atleast_1d(s), [1]),
    (lambda x, y, s: g.atleast_2d(z(3)), [[1, 2, 3]]),
    (lambda x, y, s: g.atleast_3d(x), [[[1], [2], [3]], [[4], [5], [6]]]),
    (lambda x, y, s: g.atleast_3d(z(3)), [[[1], [2], [3]]]),
    (lambda x, y, s: g.atleast_1d(s, x), [[1], [[1, 2, 3], [4, 5, 6]]]),
    (lambda x, y, s: g.atleast_1d([s, x]), [[1], [[1, 2, 3], [4, 5, 6]]]),
)


@pytest.mark.parametrize(("build", "expected"), [*CASES], ids=map(str, range(len(CASES))))
def test_values_are_those_of_pytorch(build: Build, expected: Any) -> None:
    graph = g.symbolic_trace(build, "f32[2,3]", "f32[2,3,4]", "f32[]")
    given = [np.arange(1, 1 + np.prod(s, dtype=int)).reshape(s).astype(np.float32) for s in ((2, 3), (2, 3, 4), ())]
    found = graph.compile()(*given)
    if isinstance(found, np.ndarray):
        found, expected = [found], [expected]
    assert isinstance(found, list | tuple)
    assert len(found) == len(expected)
    for array, numbers in zip(found, expected, strict=True):
        assert array.shape == np.shape(numbers)
        np.testing.assert_array_equal(array, np.asarray(numbers))
