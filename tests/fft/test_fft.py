"""Functions of `graphc.fft` against numpy's, and their gradients against differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc import fft
from graphc.ir.dtype import dtype
from tests.composite.case import Values, assert_close, interpret, native
from tests.composite.test_gradients import check_slope, weighted

_RANDOM = np.random.default_rng(20261121)


def real(*shape: int) -> Values:
    return _RANDOM.uniform(-1, 1, shape)


def mixed(*shape: int) -> Values:
    return real(*shape) + 1j * real(*shape)


def _one(name: str, x: Values) -> Iterator[tuple[str, Values, dict[str, Any]]]:
    for arguments in (
        {},
        {"n": 4},
        {"n": 7, "dim": 0},
        {"norm": "ortho", "dim": -2},
        {"norm": "forward", "n": 6},
        {"n": 1},
    ):
        yield name, x, arguments


def _several(name: str, x: Values) -> Iterator[tuple[str, Values, dict[str, Any]]]:
    for arguments in (
        {},
        {"s": (4, 3)},
        {"s": (2, -1), "dim": (1, 0)},
        {"norm": "ortho"},
        {"dim": (0,), "norm": "forward"},
    ):
        yield name, x, arguments


CALLS: tuple[tuple[str, Values, dict[str, Any]], ...] = (
    *_one("fft", mixed(3, 5)),
    *_one("fft", real(3, 5)),
    *_one("ifft", mixed(3, 5)),
    *_one("rfft", real(3, 5)),
    *_one("irfft", mixed(3, 5)),
    *_one("hfft", mixed(3, 5)),
    *_one("ihfft", real(3, 5)),
    *_several("fftn", mixed(3, 4)),
    *_several("ifftn", mixed(3, 4)),
    *_several("rfftn", real(3, 4)),
    *_several("irfftn", mixed(3, 4)),
    *_several("fft2", mixed(2, 3, 4)),
    *_several("ifft2", real(2, 3, 4)),
    *_several("rfft2", real(2, 3, 4)),
    *_several("irfft2", mixed(2, 3, 4)),
)
_IDS = [f"{name}-{dtype(x.dtype).short}-{arguments}" for name, x, arguments in CALLS]


def by_numpy(name: str, x: Values, arguments: dict[str, Any]) -> Values:
    """The same of numpy, which calls dim axis, takes no -1 for a size, and has one dimension at least."""
    known = dict(arguments)
    dim = known.pop("dim", None)
    if name.endswith(("n", "2")):
        size = known.pop("s", None)
        axes = (
            tuple(dim)
            if dim is not None
            else (-2, -1)
            if name.endswith("2")
            else tuple(range(-len(size or x.shape), 0))
        )
        sizes = None if size is None else tuple(x.shape[a] if s == -1 else s for s, a in zip(size, axes))
        if name.startswith("ir") and size is not None and size[-1] == -1:
            sizes = (*sizes[:-1], 2 * (x.shape[axes[-1]] - 1))  # type: ignore[index]  # it is there
        return np.asarray(getattr(np.fft, name)(x, s=sizes, axes=axes, **known))
    return np.asarray(getattr(np.fft, name)(x, axis=-1 if dim is None else dim, **known))


@pytest.mark.parametrize(("name", "x", "arguments"), CALLS, ids=_IDS)
def test_values_are_numpys(name: str, x: Values, arguments: dict[str, Any]) -> None:
    expected = by_numpy(name, x, arguments)
    build = lambda x: getattr(fft, name)(x, **arguments)  # noqa: E731
    assert_close(interpret(build, x), (expected,), exact=False, limit=1e-12)
    assert_close(native(build, x), (expected,), exact=False, limit=1e-12)


@pytest.mark.parametrize("name", ["hfftn", "ihfftn", "hfft2", "ihfft2"])
def test_hermitian_transforms_of_several_dimensions(name: str) -> None:
    x = real(3, 4) if name.startswith("i") else mixed(3, 4)
    (found,) = interpret(getattr(fft, name), x)
    if name.startswith("i"):
        expected = np.fft.ifft(np.fft.ihfft(x, axis=-1), axis=0)
    else:
        expected = np.fft.hfft(np.fft.fft(x, axis=0), axis=-1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def in_parts(name: str, arguments: dict[str, Any], is_complex: bool) -> Callable[..., Any]:
    """The transform as a function of real numbers with real results."""

    def parts(*given: Any) -> Any:
        found = getattr(fft, name)(g.complex(*given) if is_complex else given[0], **arguments)
        if ("hfft" in name and not name.startswith("i")) or name.startswith("ir"):
            return found
        return g.real(found), g.imag(found)

    return parts


@pytest.mark.parametrize(("name", "x", "arguments"), CALLS, ids=_IDS)
def test_slopes_of_two_orders_are_those_of_differences(name: str, x: Values, arguments: dict[str, Any]) -> None:
    is_complex = np.iscomplexobj(x)
    arrays = (x.real.copy(), x.imag.copy()) if is_complex else (x,)
    linear = in_parts(name, arguments, is_complex)

    def curved(*given: Any) -> Any:
        found = linear(*(each * each for each in given))
        return found

    gradient = check_slope(weighted(curved, arrays), arrays, tuple(range(len(arrays))))
    check_slope(weighted(gradient, arrays), arrays, tuple(range(len(arrays))))


@pytest.mark.parametrize(
    ("given", "spectrum"),
    [
        ("float32", "complex64"),
        ("float64", "complex128"),
        ("complex64", "complex64"),
        ("int64", "complex64"),
        ("bool", "complex64"),
    ],
)
def test_dtypes(given: str, spectrum: str) -> None:
    x = g.ones(4, dtype=getattr(g, given))
    assert fft.fft(x).dtype is getattr(g, spectrum)
    assert fft.ifftn(x).dtype is getattr(g, spectrum)
    assert fft.irfft(x).dtype is {"complex64": g.float32, "complex128": g.float64}[spectrum]
    if not given.startswith("complex"):
        assert fft.rfft(x).dtype is getattr(g, spectrum)
        assert fft.ihfft(x).dtype is getattr(g, spectrum)


def test_sizes_may_be_symbols() -> None:
    def there_and_back(x: Any) -> Any:
        return fft.rfft(x), fft.irfft(fft.rfft(x), x.shape[0]), fft.fftshift(x), fft.ifftshift(x)

    executable = g.symbolic_trace(there_and_back, "f64[n] where n in 1..64").compile()
    for size in (1, 2, 5, 8):
        x = real(size)
        spectrum, again, shifted, back = executable(x)
        np.testing.assert_allclose(spectrum, np.fft.rfft(x), atol=1e-13)
        np.testing.assert_allclose(again, x, atol=1e-13)
        np.testing.assert_array_equal(shifted, np.fft.fftshift(x))
        np.testing.assert_array_equal(back, np.fft.ifftshift(x))


@pytest.mark.parametrize("n", [1, 4, 5])
def test_frequencies(n: int) -> None:
    np.testing.assert_allclose(fft.fftfreq(n, 0.5).numpy(), np.fft.fftfreq(n, 0.5), rtol=1e-6)
    np.testing.assert_allclose(fft.rfftfreq(n, d=2.0, dtype=g.float64).numpy(), np.fft.rfftfreq(n, 2.0), rtol=1e-15)
    assert fft.fftfreq(0).tolist() == []


@pytest.mark.parametrize("dim", [None, 0, (1, 2), -1])
def test_shifts(dim: Any) -> None:
    x = np.arange(24).reshape(2, 3, 4)
    for name in ("fftshift", "ifftshift"):
        (found,) = interpret(lambda x, name=name: getattr(fft, name)(x, dim), x)
        np.testing.assert_array_equal(found, getattr(np.fft, name)(x, dim))


REFUSED: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = (
    (lambda: fft.fft(g.ones(4), n=0), RuntimeError, "Invalid number of data points (0) specified"),
    (lambda: fft.irfft(g.ones(1)), RuntimeError, "Invalid number of data points (0) specified"),
    (lambda: fft.fft(g.ones(4), norm="x"), RuntimeError, 'Invalid normalization mode: "x"'),
    (
        lambda: fft.fft(g.ones(4), dim=2),
        IndexError,
        "Dimension out of range (expected to be in range of [-1, 0], but got 2)",
    ),
    (lambda: fft.fft(g.tensor(1.0)), IndexError, "Dimension specified as -1 but tensor has no dimensions"),
    (lambda: fft.fft(g.ones(4, dtype=g.float16)), RuntimeError, "Unsupported dtype Half"),
    (
        lambda: fft.rfft(g.ones(4, dtype=g.complex64)),
        RuntimeError,
        "rfft expects a real input tensor, but got ComplexFloat",
    ),
    (
        lambda: fft.rfft2(g.ones(4, 4, dtype=g.complex64)),
        RuntimeError,
        "rfftn expects a real-valued input tensor, but got ComplexFloat",
    ),
    (lambda: fft.rfftn(g.ones(2, 2), dim=()), RuntimeError, "rfftn must transform at least one axis"),
    (lambda: fft.fftn(g.ones(2, 2), dim=(0, 0)), RuntimeError, "FFT dims must be unique"),
    (
        lambda: fft.fftn(g.ones(2, 2), s=(2, 2), dim=(0,)),
        RuntimeError,
        "When given, dim and shape arguments must have the same length",
    ),
    (
        lambda: fft.fftn(g.ones(2, 2), s=(2, 2, 2)),
        RuntimeError,
        "Got shape with 3 values but input tensor only has 2 dimensions.",
    ),
    (lambda: fft.fftfreq(4, dtype=g.int64), RuntimeError, "fftfreq requires a floating point or complex dtype"),
)


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=range(len(REFUSED)))
def test_arguments_that_do_not_fit(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).splitlines()[0] == message
