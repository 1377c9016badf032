"""Code for all sizes, which takes over when an operation comes with a third one, gives the bits of code for one size.

Each function runs at several sizes with programs of its own for each, and again with one program whose sizes are
symbols: results and gradients must agree in every bit, since what a value is can't depend on what ran before.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from graphc.eager import dispatch, plan, program
from graphc.frontend.executable import Executable
from graphc.ir.sizes import bind_sizes, fix_sizes
from tests.composite.case import Values
from tests.eager.table_cases import leaves, tensor_of

Function = Callable[..., Any]
Shapes = tuple[tuple[int, ...], ...]

ROWS = ((5, 700), (3, 65))
COLUMNS = ((700, 5), (65, 3))
IMAGES = ((7, 4, 9, 8), (10, 4, 13, 12))
BATCHES = ((7, 4, 9, 8), (10, 4, 9, 8))
SIGNALS = ((7, 4, 17), (10, 4, 23))
CHAINS = (((9, 4), (4, 7), (7, 3)), ((3, 7), (7, 4), (4, 9)), ((2, 70), (70, 8), (8, 30)))
"""Matrices that are best multiplied from the left, from the right, and from the left again."""


def alone(inputs: Shapes) -> tuple[Shapes, ...]:
    """Sizes of calls with one tensor."""
    return tuple((shape,) for shape in inputs)


def with_weight(inputs: Shapes, weight: tuple[int, ...]) -> tuple[Shapes, ...]:
    """Sizes of calls with an input and a weight that stays the same."""
    return tuple((shape, weight) for shape in inputs)


CASES: dict[str, tuple[Function, tuple[Shapes, ...]]] = {
    "conv_transpose1d": (F.conv_transpose1d, with_weight(SIGNALS, (4, 3, 3))),
    "conv_transpose1d-phases": (lambda x, w: F.conv_transpose1d(x, w, stride=2), with_weight(SIGNALS, (4, 3, 5))),
    "conv_transpose1d-apart": (lambda x, w: F.conv_transpose1d(x, w, stride=4), with_weight(SIGNALS, (4, 6, 3))),
    "conv_transpose1d-any-phases": (lambda x, w: F.conv_transpose1d(x, w, stride=3), with_weight(SIGNALS, (4, 6, 8))),
    "conv_transpose2d": (
        lambda x, w: F.conv_transpose2d(x, w, stride=(2, 1), padding=1, dilation=(1, 2)),
        with_weight(IMAGES, (4, 5, 3, 2)),
    ),
    "conv_transpose2d-groups": (
        lambda x, w: F.conv_transpose2d(x, w, groups=2, stride=2),
        with_weight(IMAGES, (4, 3, 2, 2)),
    ),
    "conv_transpose2d-filters": (F.conv_transpose2d, (((2, 4, 6, 6), (4, 3, 2, 3)), ((2, 4, 7, 5), (4, 3, 5, 4)))),
    "conv_transpose3d": (
        F.conv_transpose3d,
        with_weight(((5, 2, 7, 6, 8), (6, 2, 8, 7, 9)), (2, 3, 3, 2, 3)),
    ),
    "conv2d": (lambda x, w: F.conv2d(x, w, stride=3, padding=1), with_weight(IMAGES, (5, 4, 4, 4))),
    "conv2d-groups": (lambda x, w: F.conv2d(x, w, groups=2, dilation=2), with_weight(IMAGES, (6, 2, 2, 2))),
    "matmul": (graphc.matmul, (((70, 300), (300, 33)), ((5, 513), (513, 130)))),
    "matmul-batches": (graphc.matmul, (((3, 20, 70), (3, 70, 9)), ((2, 33, 260), (2, 260, 5)))),
    "matmul-vector": (graphc.matmul, (((70, 300), (300,)), ((5, 1000), (1000,)))),
    "multi_dot": (lambda *x: graphc.linalg.multi_dot(x), CHAINS),
    "chain_matmul": (graphc.chain_matmul, CHAINS),
    "einsum": (lambda *x: graphc.einsum("bi,ij,jk->bk", *x), CHAINS),
    "bilinear": (F.bilinear, tuple(((n, 6), (n, 7), (5, 6, 7)) for n in (3, 20))),
    "cdist": (graphc.cdist, (((9, 40), (30, 40)), ((40, 40), (12, 40)))),
    "attention": (
        F.scaled_dot_product_attention,
        tuple(((2, n, 7), (2, m, 7), (2, m, 7)) for n, m in ((9, 80), (40, 12))),
    ),
    "sum": (lambda x: x.sum(1), alone(ROWS)),
    "sum-columns": (lambda x: x.sum(0), alone(COLUMNS)),
    "sum-all": (lambda x: x.sum(), alone(((5, 700), (70, 103)))),
    "mean": (lambda x: x.mean((0, 2)), alone(((5, 70, 9), (3, 65, 40)))),
    "var": (lambda x: x.var(1), alone(ROWS)),
    "norm": (lambda x: graphc.linalg.vector_norm(x, 3, 1), alone(ROWS)),
    "prod": (lambda x: (x * 0.1 + 1).prod(1), alone(((5, 7), (3, 65)))),
    "logsumexp": (lambda x: x.logsumexp(1), alone(ROWS)),
    "cumsum": (lambda x: x.cumsum(1), alone(ROWS)),
    "cumprod": (lambda x: (x * 0.1 + 1).cumprod(0), alone(((70, 5), (65, 3)))),
    "logcumsumexp": (lambda x: x.logcumsumexp(1), alone(ROWS)),
    "softmax": (lambda x: x.softmax(1), alone(ROWS)),
    "softmax-columns": (lambda x: x.softmax(0), alone(COLUMNS)),
    "layer_norm": (lambda x: F.layer_norm(x, x.shape[1:]), alone(BATCHES)),
    "group_norm": (lambda x: F.group_norm(x, 2), alone(IMAGES)),
    "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), alone(IMAGES)),
    "cross_entropy": (lambda x: F.cross_entropy(x, graphc.arange(len(x)) % 5), alone(ROWS)),
    "mse_loss": (F.mse_loss, tuple((x, x) for x in ROWS)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1), alone(IMAGES)),
    "lp_pool1d": (lambda x: F.lp_pool1d(x, 2.0, 3, 2), alone(SIGNALS)),
    "max_pool1d": (lambda x: F.max_pool1d(x, 3, 2, 1), alone(SIGNALS)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 1), alone(IMAGES)),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"), alone(BATCHES)),
    "grid_sample": (
        lambda x, y: F.grid_sample(x, y, align_corners=False),
        tuple(((2, 3, n, m), (2, m, n, 2)) for n, m in ((5, 9), (7, 4))),
    ),
    "unfold": (lambda x: F.unfold(x, 3, stride=2), alone(BATCHES)),
    "fold": (lambda x: F.fold(x, (8, 8), 3), alone(((2, 36, 36), (3, 36, 36)))),
    "embedding": (
        lambda x: F.embedding(graphc.arange(40) % len(x), x, scale_grad_by_freq=True),
        alone(((9, 5), (20, 3))),
    ),
    "histogram": (lambda x, edges: graphc.histogram(x, edges.sort()[0])[0], (((70,), (5,)), ((33,), (8,)))),
    "index_add": (
        lambda x: graphc.zeros(4, x.shape[1]).index_add(0, graphc.arange(len(x)) % 4, x),
        alone(((9, 5), (200, 3))),
    ),
    "fft": (lambda x: graphc.fft.fft(x).real, alone(ROWS)),
    "rfft": (lambda x: graphc.fft.rfft(x).abs(), alone(((5, 60), (7, 51)))),
    "stft": (
        lambda x: graphc.stft(x, 16, 4, window=graphc.ones(16), return_complex=True).abs(),
        alone(((100,), (333,))),
    ),
}


KNOWN_SIZES = frozenset(("avg_pool2d", "stft"))
"""Functions whose gradients have to know what they fold."""
ADDING = frozenset(("dot", "sum", "prod", "cumsum", "cumprod", "fold"))
"""Operations whose results depend on an order."""


class Programs:
    """Whether operations get code for one size or for all, and what they have got."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.made: list[Executable] = []
        make = program.executable_for

        def note(*args: Any) -> Executable:
            made = make(*args)
            self.made.append(made)
            return made

        monkeypatch.setattr(plan, "executable_for", note)

    @property
    def general(self) -> list[Executable]:
        """Those with sizes that are symbols."""
        return [each for each in self.made if each.graph.sizes]

    def forget(self, own: int) -> None:
        """From now on an operation has programs of its own for so many sizes, and then one for all."""
        self.made.clear()
        self._patch.setattr(program, "OWN_PROGRAMS", own)
        self._patch.setattr(program, "_patterns", {})
        self._patch.setattr(program, "_own", {})
        dispatch._forget_all()


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    yield Programs(monkeypatch)
    dispatch._forget_all()


def canonical(array: Values) -> bytes:
    """The bits, with one form of nan."""
    found = np.array(array, order="C")
    if found.dtype.kind in "fc":
        found[np.isnan(found)] = np.nan
    return found.tobytes()


def bits(run: Function, arrays: tuple[Values, ...]) -> list[bytes]:
    """Results and gradients."""
    graphc.manual_seed(7)
    tensors = [tensor_of(array, requires_grad=True) for array in arrays]
    results = [each for each in leaves(run(*tensors)) if isinstance(each, graphc.Tensor)]
    roots = [each for each in results if each.requires_grad]
    if roots:
        wanted = [each for each in tensors if each.requires_grad]
        seeds = [tensor_of(np.sin(np.arange(each.numel()) + 1.0).reshape(each.shape)).to(each.dtype) for each in roots]
        results += [each for each in graphc.autograd.grad(roots, wanted, seeds, allow_unused=True) if each is not None]
    return [canonical(each.detach()._array) for each in results]


def adding_operations(programs: list[Executable]) -> set[str]:
    return {node.op.name for each in programs for node in each.graph.nodes} & ADDING


def values(shape: tuple[int, ...]) -> Values:
    return np.random.default_rng(shape).uniform(-2, 2, shape).astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_code_for_all_sizes_gives_the_bits_of_code_for_one(name: str, programs: Programs) -> None:
    function, sizes = CASES[name]
    inputs = [tuple(map(values, shapes)) for shapes in sizes]
    programs.forget(own=len(sizes))
    expected = [bits(function, arrays) for arrays in inputs]
    assert not programs.general
    adding = adding_operations(programs.made)
    programs.forget(own=0)
    assert [bits(function, arrays) for arrays in inputs] == expected
    left = adding - adding_operations(programs.general)
    assert left == ({"fold"} if name in KNOWN_SIZES else set())


@pytest.mark.parametrize("name", ["conv_transpose1d", "conv_transpose1d-phases", "conv_transpose2d"])
def test_code_for_all_sizes_has_the_kernels_of_code_for_one(name: str, programs: Programs) -> None:
    function, sizes = CASES[name]
    programs.forget(own=0)
    function(*(graphc.from_numpy(values(shape)) for shape in sizes[0]))
    (general,) = programs.general
    own = Executable.build(fix_sizes(general.graph, bind_sizes(general.graph, sizes[0])))
    assert len(general.program.launches) == len(own.program.launches)
