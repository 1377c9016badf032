"""Long scalar code in front of loops: one thread of a GPU does it, and all others read what it gives."""

from __future__ import annotations

import pytest

import graphc as g
from tests.passes.gpu.reductions import Function, check, kernels_of

PROGRAMS: dict[str, tuple[Function, tuple[str, ...], list[str]]] = {
    # what, the function, its arguments, the names of its kernels
    "powers in float64": (
        lambda x, b, t: x / (1 - b**t).to(g.float32),
        ("f32[1000]", "f64[]", "f64[]"),
        ["pow_div_scalars", "pow_div"],
    ),
    "scalars of two dtypes": (
        lambda x, b, t: x * (b**t).to(g.float32) + g.lgamma(t).to(g.float32) + g.lgamma(b.to(g.float32)),
        ("f32[n]", "f64[]", "f64[]"),
        ["pow_lgamma_add_scalars", "pow_lgamma_add"],
    ),
    "a group of its own already": (
        lambda x, t: (x * g.lgamma(t).to(g.float32)).softmax(1),
        ("f32[20,100]", "f64[]"),
        ["lgamma", "max_exp_sum_div"],
    ),
    "used by a product": (
        lambda x, y, t: (x @ y) * g.lgamma(t).to(g.float32),
        ("f32[20,30]", "f32[30,40]", "f64[]"),
        ["dot_lgamma_mul_scalars", "dot_lgamma_mul"],
    ),
    "used by a long reduction": (
        lambda x, t: (x * g.lgamma(t).to(g.float32)).sum(),
        ("f32[40000]", "f64[]"),
        ["lgamma_sum_scalars", "lgamma_sum", "lgamma_sum"],
    ),
    "nothing but scalars": (lambda b, t: 1 - b**t, ("f64[]", "f64[]"), ["pow_sub"]),
    "short code": (lambda x, t: x * (1 / t) + t, ("f32[1000]", "f32[]"), ["add"]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_scalars_are_computed_once_and_every_bit_stays(name: str) -> None:
    function, specs, names = PROGRAMS[name]
    assert [kernel.name for kernel in kernels_of(function, *specs)] == names
    check(function, *specs, n=700)
