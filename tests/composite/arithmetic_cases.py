"""Cases of functions of single elements."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.special

import graphc as g
from tests.composite.case import Case, bits, draw, whole

_UNARY: dict[str, tuple[Any, float, float]] = {
    "neg": (np.negative, -2, 2),
    "abs": (np.abs, 0.1, 2),
    "sqrt": (np.sqrt, 0.1, 4),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 0.1, 4),
    "reciprocal": (lambda x: 1 / x, 0.5, 4),
    "square": (np.square, -2, 2),
    "exp": (np.exp, -2, 2),
    "exp2": (np.exp2, -2, 2),
    "expm1": (np.expm1, -2, 2),
    "log": (np.log, 0.1, 4),
    "log2": (np.log2, 0.1, 4),
    "log10": (np.log10, 0.1, 4),
    "log1p": (np.log1p, -0.5, 4),
    "sin": (np.sin, -4, 4),
    "cos": (np.cos, -4, 4),
    "tan": (np.tan, -1, 1),
    "asin": (np.arcsin, -0.9, 0.9),
    "acos": (np.arccos, -0.9, 0.9),
    "atan": (np.arctan, -2, 2),
    "sinh": (np.sinh, -2, 2),
    "cosh": (np.cosh, -2, 2),
    "tanh": (np.tanh, -2, 2),
    "asinh": (np.arcsinh, -2, 2),
    "acosh": (np.arccosh, 1.1, 4),
    "atanh": (np.arctanh, -0.9, 0.9),
    "erf": (scipy.special.erf, -2, 2),
    "erfc": (scipy.special.erfc, -2, 2),
    "sigmoid": (scipy.special.expit, -4, 4),
    "sinc": (np.sinc, -2, 2),
    "deg2rad": (np.deg2rad, -90, 90),
    "rad2deg": (np.rad2deg, -4, 4),
    "logit": (scipy.special.logit, 0.1, 0.9),
}
_STEPS: dict[str, Any] = {
    "sign": lambda x: np.sign(np.nan_to_num(x, nan=0.0)),
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "frac": lambda x: x - np.trunc(x),
    "signbit": np.signbit,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "isposinf": np.isposinf,
    "isneginf": np.isneginf,
    "logical_not": np.logical_not,
    "angle": lambda x: np.angle(x + 0.0),
}
_BINARY: dict[str, tuple[Any, float, float]] = {
    "add": (np.add, -2, 2),
    "sub": (np.subtract, -2, 2),
    "mul": (np.multiply, -2, 2),
    "div": (np.divide, 0.5, 2),
    "pow": (np.power, 0.5, 2),
    "float_power": (np.float_power, 0.5, 2),
    "atan2": (np.arctan2, 0.5, 2),
    "maximum": (np.maximum, -2, 2),
    "minimum": (np.minimum, -2, 2),
    "hypot": (np.hypot, -2, 2),
    "logaddexp": (np.logaddexp, -2, 2),
    "logaddexp2": (np.logaddexp2, -2, 2),
    "xlogy": (scipy.special.xlogy, 0.1, 2),
    "rsub": (lambda x, y: y - x, -2, 2),
}
_SPECIAL = np.array([0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan, 0.5])


def cases() -> Iterator[Case]:
    """All of them."""
    for name, (reference, low, high) in _UNARY.items():
        yield Case(name, getattr(g, name), reference, (draw(3, 5, low=low, high=high),), gradient=True)
    for name, reference in _STEPS.items():
        yield Case(name, getattr(g, name), reference, (_SPECIAL,))
    for name, (reference, low, high) in _BINARY.items():
        operands = draw(3, 1, low=low, high=high), draw(2, 1, 4, low=low, high=high)
        yield Case(name, getattr(g, name), reference, operands, gradient=True)
    yield Case("sinc", g.sinc, np.sinc, (np.array([0.0, 1.0, 0.5]),))
    for name in ("hypot", "logaddexp", "logaddexp2"):
        pairs = np.repeat(_SPECIAL, len(_SPECIAL)), np.tile(_SPECIAL, len(_SPECIAL))
        yield Case(name, getattr(g, name), getattr(np, name), pairs)
    yield Case("xlogy", g.xlogy, scipy.special.xlogy, (np.array([0.0, 0.0, 2.0]), np.array([0.0, np.nan, 3.0])))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        reference = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal}
        reference |= {"gt": np.greater, "ge": np.greater_equal}
        yield Case(name, getattr(g, name), reference[name], (whole(3, 4, low=0, high=3), whole(4, low=0, high=3)))
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift"):
        yield Case(name, getattr(g, name), getattr(np, name), (whole(3, 4), whole(4, low=0, high=5)))
    yield Case("bitwise_not", g.bitwise_not, np.bitwise_not, (whole(3, 4),))
    for name in ("logical_and", "logical_or", "logical_xor"):
        yield Case(name, getattr(g, name), getattr(np, name), (whole(3, 4, low=0, high=2), bits(4)))
    signs = np.array([-7, -7, 7, 7]), np.array([2, -2, 2, -2])
    for pair in (signs, tuple(x.astype(np.float64) for x in signs)):
        yield Case("floor_divide", g.floor_divide, np.floor_divide, pair)
        yield Case("remainder", g.remainder, np.remainder, pair)
        yield Case("fmod", g.fmod, np.fmod, pair)
        yield Case("div", partial(g.div, rounding_mode="floor"), np.floor_divide, pair)
        yield Case("div", partial(g.div, rounding_mode="trunc"), _truncated, pair)
    yield Case("copysign", g.copysign, np.copysign, (_SPECIAL[:6], draw(6)))
    yield Case("round", g.round, np.round, (np.array([0.5, 1.5, 2.5, -0.5, 3.49]),))
    yield Case("round", lambda x: g.round(x, decimals=2), lambda x: np.round(x, 2), (draw(6),))
    yield Case("round", lambda x: g.round(x, decimals=-1), lambda x: np.round(x, -1), (draw(6, high=90),))
    yield Case("add", lambda x, y: g.add(x, y, alpha=3), lambda x, y: x + 3 * y, (draw(3), draw(3)), gradient=True)
    yield Case("sub", lambda x, y: x.sub(y, alpha=3), lambda x, y: x - 3 * y, (draw(3), draw(3)), gradient=True)
    yield Case("add", g.add, np.logical_or, (bits(5), bits(5)))
    yield Case("mul", g.mul, np.logical_and, (bits(5), bits(5)))
    for exponent in (-1, 0.5, 1, 2, 3, 2.5):
        yield Case("pow", lambda x, p=exponent: x**p, lambda x, p=exponent: x**p, (draw(4, low=0.5),), gradient=True)
    yield Case("pow", lambda x: 2**x, lambda x: 2.0**x, (draw(4),), gradient=True)
    yield Case(
        "clamp", lambda x: x.clamp(-1, 1), lambda x: np.clip(x, -1, 1), (draw(9, low=-3, high=3),), gradient=True
    )
    yield Case("clamp", lambda x: x.clamp(max=0), lambda x: np.minimum(x, 0), (_SPECIAL,))
    bounds = draw(9, low=-3, high=3), draw(9, low=-2, high=-1), draw(9, low=1, high=2)
    yield Case("clamp", g.clamp, np.clip, bounds, gradient=True)
    yield Case("where", g.where, np.where, (bits(3, 1), draw(4), draw(3, 4)), gradient=True)
    yield Case("where", lambda c: g.where(c, 1.5, 0.5), lambda c: np.where(c, 1.5, 0.5), (bits(5),))
    yield Case("lerp", g.lerp, lambda x, y, w: x + w * (y - x), (draw(4), draw(4), draw(4)), gradient=True)
    three = draw(2, 3), draw(3), draw(2, 1, low=0.5)
    yield Case("addcmul", partial(g.addcmul, value=0.5), lambda a, b, c: a + 0.5 * b * c, three, gradient=True)
    yield Case("addcdiv", partial(g.addcdiv, value=0.5), lambda a, b, c: a + 0.5 * b / c, three, gradient=True)
    yield Case("addcmul", g.addcmul, lambda a, b, c: a + b * c, three, gradient=True)
    yield Case("addcdiv", g.addcdiv, lambda a, b, c: a + b / c, three, gradient=True)
    yield Case(
        "nan_to_num", lambda x: g.nan_to_num(x, 1.0, 2.0, 3.0), lambda x: np.nan_to_num(x, True, 1, 2, 3), (_SPECIAL,)
    )
    yield Case("nan_to_num", g.nan_to_num, lambda x: np.nan_to_num(x, nan=0.0), (_SPECIAL[[0, 2, 6]],))
    yield Case(
        "logit",
        lambda x: g.logit(x, 0.1),
        lambda x: scipy.special.logit(np.clip(x, 0.1, 0.9)),
        (draw(5, low=0, high=1),),
    )
    close = np.array([1.0, 1.0, np.inf, np.nan, 0.0]), np.array([1.0 + 1e-7, 1.1, np.inf, np.nan, 1e-9])
    yield Case("isclose", g.isclose, np.isclose, close)
    yield Case("isclose", partial(g.isclose, equal_nan=True), partial(np.isclose, equal_nan=True), close)
    yield Case("allclose", g.allclose, lambda x, y: np.all(np.isclose(x, y)), close)
    yield Case("allclose", g.allclose, lambda x, y: True, tuple(x[:1] for x in close))
    yield Case("isclose", g.isclose, np.isclose, (np.array([1, 100000]), np.array([1, 100001])))
    yield Case("equal", g.equal, np.array_equal, (np.array([1, 2]), np.array([1, 2])))
    yield Case("equal", g.equal, np.array_equal, (np.array([1, 2]), np.array([1, 3])))
    yield Case("equal", g.equal, np.array_equal, (np.array([1, 2]), np.array([1])))
    z = draw(4) + 1j * draw(4)
    for name in ("real", "imag"):
        yield Case(name, lambda x, n=name: getattr(x, n) + 0, lambda x, n=name: getattr(x, n), (z,))
    yield Case("conj", g.conj, np.conj, (z,))
    yield Case("angle", g.angle, np.angle, (z,))
    yield Case("complex", g.complex, lambda x, y: x + 1j * y, (draw(3), draw(3)))
    yield Case("polar", g.polar, lambda r, a: r * np.exp(1j * a), (draw(3, low=0), draw(3)))
    yield Case("view_as_real", g.view_as_real, lambda x: np.stack([x.real, x.imag], -1), (z,))
    yield Case("view_as_complex", g.view_as_complex, lambda x: x[..., 0] + 1j * x[..., 1], (draw(3, 2),))
    yield from _operators()


def _truncated(x: Any, y: Any) -> Any:
    return np.trunc(x / y).astype(x.dtype)


def _operators() -> Iterator[Case]:
    """Each operator with a tensor and a number on either side."""
    x, y, n, m = draw(3, low=1), draw(3, low=1), whole(3, low=1), whole(3, low=1, high=5)
    table: dict[str, Any] = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "truediv": lambda a, b: a / b,
        "floordiv": lambda a, b: a // b,
        "mod": lambda a, b: a % b,
        "pow": lambda a, b: a**b,
    }
    for name, apply in table.items():
        yield Case(f"__{name}__", apply, apply, (x, y))
        yield Case(f"__{name}__", lambda a, f=apply: f(a, 2), lambda a, f=apply: f(a, 2), (x,))
        yield Case(f"__r{name}__", lambda a, f=apply: f(2, a), lambda a, f=apply: f(2, a), (x,))
        yield Case(f"__r{name}__", lambda a, f=apply: f(y[:3], a), lambda a, f=apply: f(y[:3], a), (x,))
    integers: dict[str, Any] = {
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
        "lshift": lambda a, b: a << b,
        "rshift": lambda a, b: a >> b,
    }
    for name, apply in integers.items():
        yield Case(f"__{name}__", apply, apply, (n, m))
        yield Case(f"__r{name}__", lambda a, f=apply: f(5, a), lambda a, f=apply: f(5, a), (m,))
    compare: dict[str, Any] = {
        "eq": lambda a, b: a == b,
        "ne": lambda a, b: a != b,
        "lt": lambda a, b: a < b,
        "le": lambda a, b: a <= b,
        "gt": lambda a, b: a > b,
        "ge": lambda a, b: a >= b,
    }
    for name, apply in compare.items():
        yield Case(f"__{name}__", apply, apply, (n, m))
        yield Case(f"__{name}__", lambda a, f=apply: f(3, a), lambda a, f=apply: f(3, a), (m,))
    yield Case("__neg__", lambda a: -a, lambda a: -a, (x,))
    yield Case("__pos__", lambda a: +a, lambda a: a, (x,))
    yield Case("__abs__", abs, np.abs, (n,))
    yield Case("__invert__", lambda a: ~a, lambda a: ~a, (n,))
