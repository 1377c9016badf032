"""Long reductions of few results on a GPU: the bits of the CPU, in kernels that each have enough to share."""

from __future__ import annotations

import pytest

import graphc as g
from graphc.ir.dim import evaluate
from graphc.kernel.gpu import grid_of
from tests.passes.gpu.reductions import Function, check, kernels_of

PROGRAMS: dict[str, tuple[Function, tuple[str, ...], int]] = {
    # what, the function, its arguments, how many kernels it takes
    "place of a row's maximum": (lambda x: x.argmax(1), ("f32[3,33000]",), 2),
    "place of a maximum, any length": (lambda x: x.argmax(1), ("f32[3,n]",), 2),
    "variance of all": (lambda x: x.var(), ("f32[300,200]",), 4),
    "variance of any size": (lambda x: x.var(), ("f32[n,20]",), 4),
    "logsumexp": (lambda x: x.logsumexp(0), ("f32[n]",), 4),
    "standardized": (lambda x: (x - x.mean()) / x.std(), ("f32[n]",), 5),
    "softmax of two rows": (lambda x: x.softmax(1), ("f32[2,33000]",), 6),
    "layer norm of two rows": (lambda x: g.layer_norm(x, 40000), ("f32[2,40000]",), 6),
    "columns": (lambda x: x.sum(0), ("f32[33000,10]",), 2),
    "variance of columns": (lambda x: x.var(0), ("f32[40000,10]",), 4),
    "places of columns' minima": (lambda x: x.argmin(0), ("bf16[40000,10]",), 2),
    "batch norm": (lambda x: g.batch_norm(x, None, None, training=True), ("f32[16,3,50,40]",), 6),
    "batch norm of large planes": (lambda x: g.batch_norm(x, None, None, training=True), ("f32[2,3,150,120]",), 4),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_stages_keep_every_bit(name: str) -> None:
    function, specs, count = PROGRAMS[name]
    assert len(kernels_of(function, *specs)) == count
    for n in (1, 2500, 17000) if "n" in specs[0] else (1,):
        check(function, *specs, n=n)


def test_each_block_of_a_long_row_is_a_block_of_the_grid() -> None:
    blocks = [grid.blocks for kernel in kernels_of(lambda x: x.var(), "f32[n]") if (grid := grid_of(kernel))]
    assert [evaluate(each, {"n": 1 << 20}) for each in blocks] == [64, 1, 64, 1]


def test_what_is_short_stays_in_one_kernel() -> None:
    assert len(kernels_of(lambda x: x.var(), "f32[100,100]")) == 1
    assert len(kernels_of(lambda x: g.batch_norm(x, None, None, training=True), "f32[16,3,8,8]")) == 1
    assert len(kernels_of(lambda x: x.argmax(1), "f32[1000,33000]")) == 1
