"""What subscripts of x of [2,3] and s of [] choose and replace, as PyTorch does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc.frontend.tensor import call
from graphc.ops.function import functions

Build = Callable[[Any, Any, Any], Any]


def z(*sizes: int) -> Any:
    """1, 2, 3 ... in this shape."""
    return tt(np.arange(1, 1 + np.prod(sizes, dtype=int)).reshape(sizes).astype(np.float32))


def tt(values: Any, dtype: Any = None) -> Any:
    """A tensor of these numbers; floats are float32."""
    array = np.asarray(values, np.int64 if isinstance(values, list) and not values else None)
    array = array.astype(np.float32) if array.dtype == np.float64 else array
    return g.reshape(array if dtype is None else array.astype(dtype.numpy), array.shape)


def put(x: Any, index: Any, value: Any) -> Any:
    """x with a value in place of x[index]."""
    return call(functions()["_with_item"], (x, index, value), {})


CASES: tuple[tuple[Any, ...], ...] = (
    (lambda x, y, s: x[Ellipsis, Ellipsis], [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: x[True], [[[1, 2, 3], [4, 5, 6]]]),
    (lambda x, y, s: x[True, False], np.zeros((0, 2, 3))),
    (lambda x, y, s: x[False], np.zeros((0, 2, 3))),
    (lambda x, y, s: x[tt(True)], [[[1, 2, 3], [4, 5, 6]]]),
    (lambda x, y, s: x[tt([True, False])], [[1, 2, 3]]),
    (lambda x, y, s: x[tt([0, 1])], [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: x[[0, 1]], [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: x[[[0, 1], [1, 0]]], [2, 4]),
    (lambda x, y, s: x[0, [0, 1]], [1, 2]),
    (lambda x, y, s: x[[0, 1],], [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: x[[]], np.zeros((0, 3))),
    (lambda x, y, s: x[tt(1)], [4, 5, 6]),
    (lambda x, y, s: x[tt(1), tt(2)], 6),
    (lambda x, y, s: x[[True, False]], [[1, 2, 3]]),
    (lambda x, y, s: x[None], [[[1, 2, 3], [4, 5, 6]]]),
    (lambda x, y, s: x[None, 0], [[1, 2, 3]]),
    (lambda x, y, s: x[[0.5]], [[1, 2, 3]]),
    (lambda x, y, s: x[[slice(0, 1)]], [[1, 2, 3]]),
    (lambda x, y, s: x[[None]], [[[1, 2, 3], [4, 5, 6]]]),
    (lambda x, y, s: x[tt([0, 1], dtype=g.int32)], [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: x[0, None, 0], [1]),
    (lambda x, y, s: x[tt([[True, False, True], [True, True, False]])], [1, 3, 4, 5]),
    (lambda x, y, s: x[0, True], [[1, 2, 3]]),
    (lambda x, y, s: x[True, 0], [[1, 2, 3]]),
    (lambda x, y, s: x[tt([0]), True], [[1, 2, 3]]),
    (lambda x, y, s: x[slice(1, None), tt(True)], [[[4, 5, 6]]]),
    (lambda x, y, s: x[[[0, 1], 1]], [2, 5]),
    (lambda x, y, s: x[Ellipsis, 0], [1, 4]),
    (lambda x, y, s: x[slice(5, 9)], np.zeros((0, 3))),
    (lambda x, y, s: x[slice(2, 1)], np.zeros((0, 3))),
    (lambda x, y, s: x[slice(-9, 9)], [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: x[range(2)], [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: x[(0, 1), (1, 0)], [2, 4]),
    (lambda x, y, s: x[tt([], dtype=g.int64)], np.zeros((0, 3))),
    (lambda x, y, s: x[[tt(0), tt(1)]], 2),
    (
        lambda x, y, s: z(2, 3, 4, 5)[0, tt([0, 1])],
        [
            [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15], [16, 17, 18, 19, 20]],
            [[21, 22, 23, 24, 25], [26, 27, 28, 29, 30], [31, 32, 33, 34, 35], [36, 37, 38, 39, 40]],
        ],
    ),
    (
        lambda x, y, s: z(2, 3, 4, 5)[slice(None), 0, tt([0, 1])],
        [[[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]], [[61, 62, 63, 64, 65], [66, 67, 68, 69, 70]]],
    ),
    (
        lambda x, y, s: z(2, 3, 4, 5)[tt([0, 1]), slice(None), tt([0, 1])],
        [
            [[1, 2, 3, 4, 5], [21, 22, 23, 24, 25], [41, 42, 43, 44, 45]],
            [[66, 67, 68, 69, 70], [86, 87, 88, 89, 90], [106, 107, 108, 109, 110]],
        ],
    ),
    (
        lambda x, y, s: z(2, 3, 4, 5)[tt([0, 1]), 0],
        [
            [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15], [16, 17, 18, 19, 20]],
            [[61, 62, 63, 64, 65], [66, 67, 68, 69, 70], [71, 72, 73, 74, 75], [76, 77, 78, 79, 80]],
        ],
    ),
    (lambda x, y, s: z(2, 3, 4, 5)[slice(None), tt([0, 1]), 0, tt([0, 1])], [[1, 22], [61, 82]]),
    (
        lambda x, y, s: z(2, 3, 4, 5)[slice(None), tt([0, 1]), None, tt([0, 1])],
        [[[[1, 2, 3, 4, 5]], [[61, 62, 63, 64, 65]]], [[[26, 27, 28, 29, 30]], [[86, 87, 88, 89, 90]]]],
    ),
    (
        lambda x, y, s: z(2, 3, 4, 5)[tt(0), slice(None), tt([1])],
        [[[6, 7, 8, 9, 10]], [[26, 27, 28, 29, 30]], [[46, 47, 48, 49, 50]]],
    ),
    (
        lambda x, y, s: z(2, 3, 4, 5)[0, slice(None), tt([1, 2])],
        [
            [[6, 7, 8, 9, 10], [11, 12, 13, 14, 15]],
            [[26, 27, 28, 29, 30], [31, 32, 33, 34, 35]],
            [[46, 47, 48, 49, 50], [51, 52, 53, 54, 55]],
        ],
    ),
    (
        lambda x, y, s: z(2, 3, 4, 5)[tt([[0], [1]]), tt([0, 1]), Ellipsis],
        [
            [
                [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15], [16, 17, 18, 19, 20]],
                [[21, 22, 23, 24, 25], [26, 27, 28, 29, 30], [31, 32, 33, 34, 35], [36, 37, 38, 39, 40]],
            ],
            [
                [[61, 62, 63, 64, 65], [66, 67, 68, 69, 70], [71, 72, 73, 74, 75], [76, 77, 78, 79, 80]],
                [[81, 82, 83, 84, 85], [86, 87, 88, 89, 90], [91, 92, 93, 94, 95], [96, 97, 98, 99, 100]],
            ],
        ],
    ),
    (lambda x, y, s: z(2, 3, 4, 5)[Ellipsis, tt([0]), tt([1])], [[[2], [22], [42]], [[62], [82], [102]]]),
    (
        lambda x, y, s: z(2, 3, 4, 5)[True, tt([0])],
        [
            [
                [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15], [16, 17, 18, 19, 20]],
                [[21, 22, 23, 24, 25], [26, 27, 28, 29, 30], [31, 32, 33, 34, 35], [36, 37, 38, 39, 40]],
                [[41, 42, 43, 44, 45], [46, 47, 48, 49, 50], [51, 52, 53, 54, 55], [56, 57, 58, 59, 60]],
            ]
        ],
    ),
    (
        lambda x, y, s: z(2, 3, 4, 5)[None, tt([0, 1]), None, slice(None), tt(0)],
        [
            [
                [[[1, 2, 3, 4, 5], [21, 22, 23, 24, 25], [41, 42, 43, 44, 45]]],
                [[[61, 62, 63, 64, 65], [81, 82, 83, 84, 85], [101, 102, 103, 104, 105]]],
            ]
        ],
    ),
    (lambda x, y, s: z(2, 3, 4, 5)[tt([True, False]), 0, tt([1])], [[6, 7, 8, 9, 10]]),
    (
        lambda x, y, s: z(2, 3, 4, 5)[slice(None), True, tt([0, 1])],
        [
            [
                [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15], [16, 17, 18, 19, 20]],
                [[21, 22, 23, 24, 25], [26, 27, 28, 29, 30], [31, 32, 33, 34, 35], [36, 37, 38, 39, 40]],
            ],
            [
                [[61, 62, 63, 64, 65], [66, 67, 68, 69, 70], [71, 72, 73, 74, 75], [76, 77, 78, 79, 80]],
                [[81, 82, 83, 84, 85], [86, 87, 88, 89, 90], [91, 92, 93, 94, 95], [96, 97, 98, 99, 100]],
            ],
        ],
    ),
    (
        lambda x, y, s: z(2, 3, 4, 5)[tt([0, 1]), True, slice(None), tt([0, 1])],
        [
            [[1, 2, 3, 4, 5], [21, 22, 23, 24, 25], [41, 42, 43, 44, 45]],
            [[66, 67, 68, 69, 70], [86, 87, 88, 89, 90], [106, 107, 108, 109, 110]],
        ],
    ),
    (
        lambda x, y, s: z(2, 3, 4, 5)[True, slice(None), True],
        [
            [
                [
                    [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15], [16, 17, 18, 19, 20]],
                    [[21, 22, 23, 24, 25], [26, 27, 28, 29, 30], [31, 32, 33, 34, 35], [36, 37, 38, 39, 40]],
                    [[41, 42, 43, 44, 45], [46, 47, 48, 49, 50], [51, 52, 53, 54, 55], [56, 57, 58, 59, 60]],
                ],
                [
                    [[61, 62, 63, 64, 65], [66, 67, 68, 69, 70], [71, 72, 73, 74, 75], [76, 77, 78, 79, 80]],
                    [[81, 82, 83, 84, 85], [86, 87, 88, 89, 90], [91, 92, 93, 94, 95], [96, 97, 98, 99, 100]],
                    [
                        [101, 102, 103, 104, 105],
                        [106, 107, 108, 109, 110],
                        [111, 112, 113, 114, 115],
                        [116, 117, 118, 119, 120],
                    ],
                ],
            ]
        ],
    ),
    (lambda x, y, s: z(2, 3, 4, 5)[slice(None), slice(None), True, False], np.zeros((2, 3, 0, 4, 5))),
    (
        lambda x, y, s: z(2, 3, 4, 5)[0, slice(None), [0, 1], slice(1, 3), None],
        [[[[2], [3]], [[7], [8]]], [[[22], [23]], [[27], [28]]], [[[42], [43]], [[47], [48]]]],
    ),
    (lambda x, y, s: s[Ellipsis], 1),
    (lambda x, y, s: s[None], [1]),
    (lambda x, y, s: s[()], 1),
    (lambda x, y, s: s[True], [1]),
    (lambda x, y, s: s[tt(True)], [1]),
    (lambda x, y, s: s[None, None], [[1]]),
    (lambda x, y, s: put(x, 0, z(1, 3)), [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: put(x, (0, 0), z(1)), [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: put(x, tt([0, 1]), z(3)), [[1, 2, 3], [1, 2, 3]]),
    (lambda x, y, s: put(x, tt([[True, False, True], [True, True, False]]), z(4)), [[1, 2, 2], [3, 4, 6]]),
    (lambda x, y, s: put(x, slice(None), tt(1)), [[1, 1, 1], [1, 1, 1]]),
    (lambda x, y, s: put(x, Ellipsis, 1), [[1, 1, 1], [1, 1, 1]]),
    (lambda x, y, s: put(x, None, 1), [[1, 1, 1], [1, 1, 1]]),
    (lambda x, y, s: put(x, tt([0]), z(1, 1, 3)), [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: put(x, slice(0, 1), z(3).double()), [[1, 2, 3], [4, 5, 6]]),
    (lambda x, y, s: put(x, True, 1), [[1, 1, 1], [1, 1, 1]]),
    (lambda x, y, s: put(x, False, 1), [[1, 2, 3], [4, 5, 6]]),
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
