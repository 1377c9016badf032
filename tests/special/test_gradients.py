"""Gradients of special functions: against differences, at corners as in PyTorch, and where there are none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import special
from graphc.ir.errors import MissingGradient, UnsupportedDType
from tests.composite.test_gradients import check_slope, weighted

BETWEEN = np.array([0.15, 0.4, 0.8])
POSITIVE = np.array([0.3, 1.2, 2.7, 9.5])

SMOOTH: tuple[tuple[str, Callable[..., Any], tuple[np.ndarray[Any, Any], ...], tuple[int, ...]], ...] = (
    ("lgamma", graphc.lgamma, (np.array([0.3, 1.2, -1.4]),), (0,)),
    ("digamma", graphc.digamma, (POSITIVE,), (0,)),
    ("polygamma 2", lambda x: special.polygamma(2, x), (np.array([0.8, 2.7, 9.5]),), (0,)),
    ("mvlgamma", lambda x: graphc.mvlgamma(x, 3), (POSITIVE + 2,), (0,)),
    ("erfinv", graphc.erfinv, (BETWEEN,), (0,)),
    ("ndtri", special.ndtri, (BETWEEN,), (0,)),
    ("ndtr", special.ndtr, (POSITIVE - 1,), (0,)),
    ("log_ndtr", special.log_ndtr, (POSITIVE - 3,), (0,)),
    ("erfcx", special.erfcx, (POSITIVE - 1,), (0,)),
    ("entr", special.entr, (POSITIVE,), (0,)),
    ("i0", special.i0, (POSITIVE[:3] - 1,), (0,)),
    ("i1", special.i1, (POSITIVE[:3] - 1,), (0,)),
    ("i0e", special.i0e, (POSITIVE,), (0,)),
    ("i1e", special.i1e, (POSITIVE,), (0,)),
    ("gammainc", special.gammainc, (POSITIVE, np.array([0.2, 1.5, 2.0, 11.0])), (1,)),
    ("gammaincc", special.gammaincc, (POSITIVE, np.array([0.2, 1.5, 2.0, 11.0])), (1,)),
    ("zeta", special.zeta, (POSITIVE + 1.5, np.array([0.7, 1.5, 2.0, 11.0])), (1,)),
    ("xlogy", special.xlogy, (POSITIVE, POSITIVE + 1), (0, 1)),
    ("xlog1py", special.xlog1py, (POSITIVE, POSITIVE - 0.5), (0, 1)),
    ("logit", lambda x: special.logit(x, 0.1), (BETWEEN,), (0,)),
    ("sinc", special.sinc, (POSITIVE,), (0,)),
    ("hypot", graphc.hypot, (POSITIVE, POSITIVE - 2), (0, 1)),
    ("logaddexp", graphc.logaddexp, (POSITIVE, POSITIVE[::-1].copy()), (0, 1)),
    ("logaddexp2", graphc.logaddexp2, (POSITIVE, POSITIVE[::-1].copy()), (0, 1)),
    ("ldexp", graphc.ldexp, (POSITIVE, POSITIVE - 2), (0, 1)),
)


@pytest.mark.parametrize(("build", "arrays", "wrt"), [case[1:] for case in SMOOTH], ids=[case[0] for case in SMOOTH])
def test_slopes_of_two_orders_are_those_of_differences(
    build: Callable[..., Any], arrays: tuple[Any, ...], wrt: tuple[int, ...]
) -> None:
    gradient = check_slope(weighted(build, arrays), arrays, wrt)
    if build in (special.gammainc, special.gammaincc, special.zeta):
        return  # a second order needs the derivative by the first operand, which is an error
    check_slope(weighted(gradient, arrays), arrays, wrt)


def gradient_at(build: Callable[..., Any], *values: list[float]) -> list[list[float]]:
    """By eager tensors."""
    tensors = [graphc.tensor(each, dtype=graphc.float64, requires_grad=True) for each in values]
    return [each.tolist() for each in graphc.autograd.grad(build(*tensors).sum(), tensors)]


INF, NAN = math.inf, math.nan
AT_CORNERS: tuple[tuple[str, Callable[..., Any], tuple[list[float], ...], tuple[list[float], ...]], ...] = (
    ("entr", special.entr, ([0.0, 1.0, -1.0],), ([INF, -1.0, NAN],)),
    ("i1", special.i1, ([0.0],), ([0.5],)),
    ("i1e", special.i1e, ([0.0],), ([0.5],)),
    ("logit", special.logit, ([-1.0, 0.0, 0.5, 2.0],), ([NAN, INF, 4.0, NAN],)),
    ("logit of a range", lambda x: special.logit(x, 0.1), ([-1.0, 0.05, 0.5],), ([0.0, 0.0, 4.0],)),
    ("xlogy", special.xlogy, ([0.0, 0.0, 1.0], [0.0, 3.0, 0.0]), ([0.0, math.log(3), -INF], [NAN, 0.0, INF])),
    ("sinc", special.sinc, ([0.0],), ([0.0],)),
    ("hypot", graphc.hypot, ([0.0, 3.0], [0.0, 4.0]), ([NAN, 0.6], [NAN, 0.8])),
    ("logaddexp", graphc.logaddexp, ([-INF, INF], [-INF, 2.0]), ([NAN, 1.0], [NAN, 0.0])),
    ("nextafter", graphc.nextafter, ([1.0, 1.0], [2.0, 1.0]), ([1.0, 0.0], [0.0, 0.0])),
    ("frexp", lambda x: graphc.frexp(x).mantissa, ([0.0, 3.0],), ([1.0, 0.25],)),
)


@pytest.mark.parametrize(("build", "at", "expected"), [c[1:] for c in AT_CORNERS], ids=[c[0] for c in AT_CORNERS])
def test_gradients_at_corners(build: Callable[..., Any], at: Any, expected: Any) -> None:
    np.testing.assert_allclose(gradient_at(build, *at), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (special.gammainc, "the derivative for 'igamma: input' is not implemented."),
        (special.gammaincc, "the derivative for 'igammac: input' is not implemented."),
        (special.zeta, "the derivative for 'zeta' is not implemented."),
    ],
)
def test_the_derivative_by_the_first_operand_is_an_error(build: Callable[..., Any], message: str) -> None:
    a, x = graphc.tensor([1.5], requires_grad=True), graphc.tensor([2.5])
    with pytest.raises(NotImplementedError) as caught:
        build(a, x).backward()
    assert isinstance(caught.value, MissingGradient)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["bessel_j0", "bessel_y1", "modified_bessel_i0", "airy_ai", "spherical_bessel_j0"])
def test_results_without_gradient_require_none(name: str) -> None:
    x = graphc.tensor([0.5], requires_grad=True)
    assert not getattr(special, name)(x).requires_grad
    assert not special.legendre_polynomial_p(x, 2).requires_grad


@pytest.mark.parametrize(
    ("build", "x", "message"),
    [
        (special.airy_ai, graphc.tensor([1.0], dtype=graphc.float16), "\"airy_ai_cpu\" not implemented for 'Half'"),
        (special.i0, graphc.tensor([1j]), "\"i0_vml_cpu\" not implemented for 'ComplexFloat'"),
        (special.ndtri, graphc.tensor([0.5], dtype=graphc.bfloat16), "\"ndtri_cpu\" not implemented for 'BFloat16'"),
        (lambda x: x.polygamma(2), graphc.tensor([1j]), "\"polygamma\" not implemented for 'ComplexFloat'"),
        (lambda x: special.gammainc(x, x), graphc.tensor([1]), "\"igamma_cpu\" not implemented for 'Long'"),
        (lambda x: graphc.gcd(x, x), graphc.tensor([1.0]), "\"gcd_cpu\" not implemented for 'Float'"),
    ],
)
def test_dtypes_that_pytorch_does_not_take_are_refused_in_its_words(
    build: Callable[..., Any], x: Any, message: str
) -> None:
    with pytest.raises(UnsupportedDType) as caught:
        build(x)
    assert str(caught.value) == message


def test_arguments_outside_the_domain_of_a_function_are_refused() -> None:
    x = graphc.tensor([1.0])
    with pytest.raises(RuntimeError, match=r"polygamma\(n, x\) does not support negative n."):
        special.polygamma(-1, x)
    with pytest.raises(RuntimeError, match="p has to be greater than or equal to 1"):
        graphc.mvlgamma(x, 0)
    with pytest.raises(TypeError, match="argument 'n' must be int, not float"):
        special.polygamma(1.5, x)
    with pytest.raises(RuntimeError, match="heaviside is not yet implemented for tensors with different dtypes"):
        graphc.heaviside(x, graphc.tensor([1]))


def test_integers_become_floats() -> None:
    for name in ("digamma", "erfcx", "bessel_j0", "ndtri", "i1e"):
        assert getattr(special, name)(graphc.tensor([1])).dtype is graphc.float32
    assert special.zeta(graphc.tensor([2]), 3).dtype is graphc.float32


def test_polygamma_takes_its_order_first_and_as_a_method_second() -> None:
    x = graphc.tensor([0.5], dtype=graphc.float64)
    want = -14 * 1.2020569031595942  # -14 zeta(3)
    for got in (graphc.polygamma(2, x), special.polygamma(2, x), x.polygamma(2), graphc.polygamma(input=x, n=2)):
        assert got.item() == pytest.approx(want, rel=1e-14)
