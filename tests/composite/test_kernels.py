"""How many kernels functions become, and what they don't keep in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc as g
from graphc.frontend.executable import Executable


def compiled(build: Callable[..., Any], *specs: str) -> Executable:
    return g.symbolic_trace(build, *specs).compile()


def _loss(build: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *x: build(*x).square().sum()


ONE: tuple[tuple[str, Callable[..., Any], tuple[str, ...]], ...] = (
    ("softmax", lambda x: x.softmax(1), ("f32[64,1000]",)),
    ("softmax of any number of rows", lambda x: x.softmax(1), ("f32[n,1000]",)),
    ("layer_norm", lambda x, w, b: g.layer_norm(x, 1000, w, b), ("f32[64,1000]", "f32[1000]", "f32[1000]")),
    ("rms_norm", lambda x, w: g.rms_norm(x, 1000, w), ("f32[64,1000]", "f32[1000]")),
    ("gelu", g.gelu, ("f32[64,1000]",)),
    ("gradient of gelu", g.grad(lambda x: g.gelu(x).sum()), ("f32[64,1000]",)),
    ("linear and relu", lambda x, w, b: g.linear(x, w, b).relu(), ("f32[64,100]", "f32[30,100]", "f32[30]")),
    ("batched matmul with a shared matrix", g.matmul, ("f32[8,16,32]", "f32[32,24]")),
    ("matmul with broadcast batches", lambda x, y: x @ y, ("f32[8,1,16,32]", "f32[8,4,32,24]")),
    ("einsum of attention", lambda q, k: g.einsum("bihd,bjhd->bhij", q, k), ("f32[2,8,4,16]", "f32[2,9,4,16]")),
    (
        "conv2d, bias and relu",
        lambda x, w, b: g.conv2d(x, w, b, padding=1).relu(),
        ("f32[8,16,32,32]", "f32[32,16,3,3]", "f32[32]"),
    ),
    ("strided conv1d", lambda x, w: g.conv1d(x, w, stride=2), ("f32[8,16,100]", "f32[32,16,3]")),
    ("depthwise conv2d", lambda x, w: g.conv2d(x, w, groups=16), ("f32[8,16,32,32]", "f32[16,1,3,3]")),
    ("max_pool2d", lambda x: g.max_pool2d(x, 2), ("f32[8,16,32,32]",)),
    ("avg_pool2d", lambda x: g.avg_pool2d(x, 3, 2, 1), ("f32[8,16,32,32]",)),
    ("mse_loss", g.mse_loss, ("f32[50,20]", "f32[50,20]")),
    ("dropout", lambda x: g.dropout(x, key=1), ("f32[64,1000]",)),
    ("embedding", g.embedding, ("f32[100,32]", "i64[8,16]")),
    ("index by two tensors", lambda x, i, j: x[i, j], ("f32[10,20,30]", "i64[5]", "i64[5]")),
    ("var", lambda x: x.var(1), ("f32[64,1000]",)),
)


@pytest.mark.parametrize(("name", "build", "specs"), ONE, ids=[each[0] for each in ONE])
def test_one_kernel(name: str, build: Callable[..., Any], specs: tuple[str, ...]) -> None:
    assert len(compiled(build, *specs).program.launches) == 1


def test_gradient_of_softmax_is_one_kernel() -> None:
    assert len(compiled(g.grad(_loss(lambda x: x.softmax(1))), "f32[64,1000]").program.launches) == 1


def test_cross_entropy_is_two_kernels_and_has_no_scatter() -> None:
    specs = "f32[64,100]", "i64[64]"
    assert len(compiled(g.cross_entropy, *specs).program.launches) == 2
    both = compiled(g.value_and_grad(g.cross_entropy), *specs)
    assert not any("scatter" in kernel.name for kernel in both.kernels)


def test_a_convolution_stores_no_windows() -> None:
    result_bytes = 8 * 32 * 32 * 32 * 4
    executable = compiled(lambda x, w: g.conv2d(x, w, padding=1), "f32[8,16,32,32]", "f32[32,16,3,3]")
    assert executable.program.peak_bytes == result_bytes
