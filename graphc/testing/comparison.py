"""Assertions that tensors, numbers and containers of them are close.

In: what was computed, and what it should be. Out: nothing, or an AssertionError that counts the elements that differ
and shows the greatest differences. Two elements are close where |actual - expected| <= atol + rtol * |expected|.
"""

from __future__ import annotations

import cmath
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from graphc.eager.interop import as_tensor
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.type_info import promote_types
from graphc.ir.dtype import DType, bf16, c64, c128, f16, f32, f64

_TOLERANCES: Final[dict[DType, tuple[float, float]]] = {
    f16: (1e-3, 1e-5),
    bf16: (1.6e-2, 1e-5),
    f32: (1.3e-6, 1e-5),
    f64: (1e-7, 1e-7),
    c64: (1.3e-6, 1e-5),
    c128: (1e-7, 1e-7),
}
"""Relative and absolute tolerance by dtype, those of PyTorch's; for others the values must be equal."""


class _Rules(NamedTuple):
    """What two values must agree in."""

    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool


class _Difference(Exception):
    """Two values that aren't close: what to say of them."""


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise AssertionError unless the values are close: tensors, numbers, arrays, sequences and mappings of them.

    Tolerances follow from the dtypes where none are given. `msg` replaces the text, or makes one from it.
    Raises TypeError for what can't be compared, ValueError where only one tolerance is given.
    """
    __tracebackhide__ = True
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
    rules = _Rules(rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride)
    try:
        for left, right, path in _pairs(actual, expected, ()):
            try:
                _compare(left, right, rules, allow_subclasses)
            except _Difference as difference:
                raise _Difference(f"{difference}{_place(path)}") from None
    except _Difference as difference:
        text = str(difference)
        raise AssertionError(msg(text) if callable(msg) else msg or text) from None


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """The older form of `assert_close`: dtypes may differ, and NaN is close to NaN."""
    warnings.warn(
        "`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. Please "
        "use `torch.testing.assert_close()` instead. You can find detailed upgrade instructions in "
        "https://github.com/pytorch/pytorch/issues/61844.",
        FutureWarning,
        stacklevel=2,
    )
    actual = actual if isinstance(actual, Tensor) else _tensor(actual)
    expected = expected if isinstance(expected, Tensor) else _tensor(expected, actual.dtype)
    if rtol is None and atol is None:
        pairs = [_OLD_TOLERANCES.get(each.dtype, (0.0, 0.0)) for each in (actual, expected)]
        rtol, atol = max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    assert_close(
        actual,
        expected,
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        check_dtype=False,
        check_stride=False,
        msg=msg or None,
    )


_OLD_TOLERANCES: Final[dict[DType, tuple[float, float]]] = {f16: (1e-3, 1e-3), f32: (1e-4, 1e-5), f64: (1e-5, 1e-8)}


def _place(path: tuple[object, ...]) -> str:
    return f"\n\nThe failure occurred for item {''.join(f'[{key!r}]' for key in path)}" if path else ""


def _pairs(actual: Any, expected: Any, path: tuple[object, ...]) -> Iterator[tuple[Any, Any, tuple[object, ...]]]:
    """The leaves of equal containers, in order; raises _Difference where the containers aren't."""
    if _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            raise _Difference(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}{_place(path)}")
        for index, (left, right) in enumerate(zip(actual, expected)):
            yield from _pairs(left, right, (*path, index))
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if {*actual} != {*expected}:
            missing, extra = sorted({*expected} - {*actual}, key=str), sorted({*actual} - {*expected}, key=str)
            raise _Difference(
                f"The keys of the mappings do not match:\nMissing keys in the actual mapping: {missing}\n"
                f"Additional keys in the actual mapping: {extra}{_place(path)}"
            )
        for key in sorted(actual, key=lambda key: [*expected].index(key)):
            yield from _pairs(actual[key], expected[key], (*path, key))
    else:
        yield actual, expected, path


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | complex) and not isinstance(value, bool)


def _compare(actual: Any, expected: Any, rules: _Rules, allow_subclasses: bool) -> None:
    if actual is None or expected is None:
        if actual is not expected:
            raise _Difference(f"None mismatch: {actual} is not {expected}")
    elif isinstance(actual, bool | np.bool_) and isinstance(expected, bool | np.bool_):
        if bool(actual) != bool(expected):
            raise _Difference(f"Booleans mismatch: {actual} is not {expected}")
    elif _is_number(actual) and _is_number(expected):
        _compare_numbers(actual, expected, rules)
    elif _comparable(actual, expected, allow_subclasses):
        _compare_tensors(_tensor(actual), _tensor(expected), rules)
    else:
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")


def _comparable(actual: object, expected: object, allow_subclasses: bool) -> bool:
    kinds = (Tensor, np.ndarray, np.generic)
    if not isinstance(actual, kinds) or not isinstance(expected, kinds):
        return False
    if not allow_subclasses and type(actual) is not type(expected):
        return False
    return isinstance(actual, type(expected)) or isinstance(expected, type(actual))


def _tensor(value: Any, dtype: DType | None = None) -> Tensor:
    return value if isinstance(value, Tensor) else as_tensor(value, dtype)


def _tolerances(rules: _Rules, *dtypes: DType) -> tuple[float, float]:
    if rules.rtol is not None and rules.atol is not None:
        return rules.rtol, rules.atol
    found = [_TOLERANCES.get(dtype, (0.0, 0.0)) for dtype in dtypes]
    return max(pair[0] for pair in found), max(pair[1] for pair in found)


def _compare_numbers(actual: Any, expected: Any, rules: _Rules) -> None:
    kinds = {int: None, float: f64, complex: c128}
    if rules.check_dtype and type(actual) is not type(expected):
        raise _Difference(f"The (d)types do not match: {type(actual)} != {type(expected)}.")
    dtypes = [kinds.get(type(each)) for each in (actual, expected)]
    rtol, atol = (
        _tolerances(rules, *(dtype for dtype in dtypes if dtype is not None))
        if any(dtypes)
        else ((0.0, 0.0) if rules.rtol is None or rules.atol is None else (rules.rtol, rules.atol))
    )
    if actual == expected or (rules.equal_nan and cmath.isnan(actual) and cmath.isnan(expected)):
        return
    difference = abs(actual - expected)
    if cmath.isfinite(difference) and difference <= atol + rtol * abs(expected):
        return
    relative = float("inf") if expected == 0 else difference / abs(expected)
    raise _Difference(_scalar_text(actual, expected, difference, relative, rtol, atol))


def _scalar_text(actual: Any, expected: Any, absolute: Any, relative: Any, rtol: float, atol: float) -> str:
    equality = rtol == 0 and atol == 0
    shown = ["", ""] if equality else [f" (up to {atol} allowed)", f" (up to {rtol} allowed)"]
    return (
        f"Scalars are not {'equal' if equality else 'close'}!\n\nExpected {expected} but got {actual}.\n"
        f"Absolute difference: {absolute}{shown[0]}\nRelative difference: {relative}{shown[1]}"
    )


def _compare_tensors(actual: Tensor, expected: Tensor, rules: _Rules) -> None:
    left: Any = actual
    right: Any = expected
    for name, is_checked in (
        ("shape", True),
        ("layout", rules.check_layout),
        ("device", rules.check_device),
        ("dtype", rules.check_dtype),
        ("stride()", rules.check_stride),
    ):
        mine, theirs = (x.stride() if name == "stride()" else getattr(x, name) for x in (left, right))
        if is_checked and mine != theirs:
            raise _Difference(f"The values for attribute '{name}' do not match: {mine} != {theirs}.")
    rtol, atol = _tolerances(rules, left.dtype, right.dtype)
    common = promote_types(left.dtype, right.dtype)
    one, other = (x.detach().cpu().to(common if common is not bf16 else f32).numpy() for x in (left, right))
    if common is f16:
        one, other = one.astype(np.float32), other.astype(np.float32)
    with np.errstate(all="ignore"):
        close = _close(one, other, rtol, atol, rules.equal_nan)
        if not close.all():
            raise _Difference(_text(one, other, close, rtol, atol))


def _close(actual: AnyArray, expected: AnyArray, rtol: float, atol: float, equal_nan: bool) -> AnyArray:
    close = actual == expected
    if rtol or atol:
        difference = np.abs(actual - expected)
        close |= np.isfinite(difference) & (difference <= atol + rtol * np.abs(expected))
    if equal_nan and actual.dtype.kind in "fc":
        close |= np.isnan(actual) & np.isnan(expected)
    return np.asarray(close)


def _text(actual: AnyArray, expected: AnyArray, close: AnyArray, rtol: float, atol: float) -> str:
    if actual.dtype.kind in "bui":  # differences that int64 holds
        actual, expected = actual.astype(np.int64), expected.astype(np.int64)
        ratio: Any = np.float32
    else:
        ratio = None
    difference = np.abs(actual - expected)
    magnitude = np.abs(expected)
    relative = difference / magnitude if ratio is None else difference.astype(ratio) / magnitude.astype(ratio)
    if actual.ndim == 0:
        return _scalar_text(actual.item(), expected.item(), difference.item(), relative.item(), rtol, atol)
    equality = rtol == 0 and atol == 0
    count = close.size - int(close.sum())
    lines = [
        f"Tensor-likes are not {'equal' if equality else 'close'}!\n",
        f"Mismatched elements: {count} / {close.size} ({count / close.size:.1%})",
    ]
    for name, values, tolerance in (("absolute", difference, atol), ("relative", relative, rtol)):
        # elements that are close don't count
        shown = np.where(close, np.zeros((), values.dtype), values)
        index = int(
            np.argmax(np.where(np.isnan(shown), np.inf, shown)) if shown.dtype.kind == "f" else np.argmax(shown)
        )
        where = tuple(int(i) for i in np.unravel_index(index, close.shape))
        allowed = "" if equality else f" (up to {tolerance} allowed)"
        lines.append(f"Greatest {name} difference: {shown[where].item()} at index {where}{allowed}")
    return "\n".join(lines)
