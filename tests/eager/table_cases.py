"""Calls of the table's functions with plain arguments: those of the compiler's own cases, and some of their own.

In: the cases of tests/composite and tests/linalg, which are functions of arrays. Out: what they call with which
arguments, seen by a subclass of `Tensor`, so that the same calls can be made eagerly, compiled, as methods, in place.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

import graphc
import graphc.nn.functional
from graphc import Tensor
from graphc.ops.function import functions
from tests.composite.case import Values
from tests.composite.cases import CASES
from tests.linalg.linalg_cases import CASES as LINALG_CASES


@dataclass(frozen=True)
class Call:
    """A call of an entry; arrays stand for tensors."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def arrays(self) -> tuple[Values, ...]:
        """The arrays among the arguments, in order."""
        found: list[Values] = []
        self.replace(lambda array: found.append(array))
        return tuple(found)

    def replace(self, change: Callable[[Values], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with something else in place of each array."""
        return _walk(self.args, np.ndarray, change), _walk(self.kwargs, np.ndarray, change)

    def converted(self, change: Callable[[Values], Values]) -> Call:
        """The call on other arrays."""
        return Call(self.name, *self.replace(change))

    def run(self, *values: Any) -> Any:
        """The call on these tensors, symbolic or eager."""
        rest = iter(values)
        args, kwargs = self.replace(lambda array: next(rest))
        return function_of(self.name)(*args, **kwargs)

    def eagerly(self, requires_grad: bool = False) -> Any:
        """The result on eager tensors with copies of the arrays."""
        return self.run(*(tensor_of(array, requires_grad) for array in self.arrays()))


def tensor_of(array: Values, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of the array; it requires a gradient if its numbers can have one."""
    made = graphc.from_numpy(np.array(array))
    return made.requires_grad_(requires_grad and made.dtype.is_differentiable)


def _walk(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, dict):
        return {name: _walk(each, kind, change) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_walk(each, kind, change) for each in value)
    if isinstance(value, slice):
        return slice(*(_walk(each, kind, change) for each in (value.start, value.stop, value.step)))
    return value


def leaves(result: Any) -> list[Any]:
    """What a result consists of, containers opened."""
    if isinstance(result, list | tuple):
        return [leaf for each in result for leaf in leaves(each)]
    return [result]


@functools.cache
def free_function_of(name: str) -> Callable[..., Any] | None:
    """`graphc.name`, if there is one."""
    if not functions()[name].is_function:
        return None
    namespace, _, short = name.rpartition(".")
    where: Any = graphc
    for part in namespace.split(".") if namespace else ():
        where = getattr(where, part)
    found = getattr(where, short)
    assert callable(found), name
    return found


def method_of(name: str) -> Callable[..., Any] | None:
    """`Tensor.name` as a function of the tensor and the rest, if there is one."""
    if not functions()[name].is_method:
        return None

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = getattr(self, name)
        return found if isinstance(vars(Tensor).get(name), property) else found(*args, **kwargs)

    return method


def function_of(name: str) -> Callable[..., Any]:
    """The entry as a function of all its arguments, whichever form it has."""
    found = free_function_of(name) or method_of(name)
    assert found is not None, name
    return found


class _Watched(Tensor):
    """A tensor that notes what is called on it."""

    seen: ClassVar[list[tuple[Any, tuple[Any, ...], dict[str, Any]]]] = []

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        plain = [_walk(each, Tensor, lambda tensor: np.array(tensor._array)) for each in (args, kwargs or {})]
        result = super().__torch_function__(function, types, args, kwargs)
        cls.seen.append((function, *plain))  # a call that raises is none
        return result


def _entries() -> dict[int, str]:
    """The names of entries by the functions and methods that are called."""
    found: dict[int, str] = {}
    for name in functions():
        method = vars(Tensor).get(name) if functions()[name].is_method else None
        for form in (free_function_of(name), method.fget if isinstance(method, property) else method):
            if form is not None:
                found[id(form)] = name
    return found


def _seen() -> Iterator[Call]:
    names = _entries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in (*CASES, *LINALG_CASES):
            _Watched.seen.clear()
            tensors = [graphc.from_numpy(np.array(each)).as_subclass(_Watched) for each in case.narrowed()]
            with contextlib.suppress(RuntimeError, TypeError):  # what only compiled code takes, as a dtype's name
                case.build(*tensors)
            yield from (Call(names[id(function)], *rest) for function, *rest in _Watched.seen if id(function) in names)


MOST_CALLS = 2
"""Different calls of one entry that are tried."""


@functools.cache
def calls() -> dict[str, tuple[Call, ...]]:
    """The calls of every entry; other names of a function that has calls get the first of them."""
    found: dict[str, dict[str, Call]] = {}
    for call in (*own_calls(), *_seen()):
        # Calls differ by what they are given besides numbers in tensors.
        args, kwargs = call.replace(lambda array: (array.shape, array.dtype))
        known = found.setdefault(call.name, {})
        if len(known) < MOST_CALLS:
            known.setdefault(repr((args, kwargs)), call)
    first = {functions()[name].build: next(iter(known.values())) for name, known in found.items()}
    for name, entry in functions().items():
        if name not in found and entry.build in first:
            other = first[entry.build]
            found[name] = {"": Call(name, other.args, other.kwargs)}
    return {name: tuple(known.values()) for name, known in found.items()}


# Calls of functions that other cases don't make with plain arguments

_RANDOM = np.random.default_rng(20261122)


def f32(*shape: int, low: float = -2.0, high: float = 2.0) -> Values:
    """Random float32 numbers."""
    return _RANDOM.uniform(low, high, shape).astype(np.float32)


def ints(*shape: int, low: int = 0, high: int = 9) -> Values:
    """Random int64 numbers."""
    return _RANDOM.integers(low, high, shape)


def mixed(*shape: int) -> Values:
    """Random complex64 numbers."""
    return f32(*shape) + np.complex64(1j) * f32(*shape)


def own_calls() -> Iterator[Call]:
    """Calls beside those of the compiler's cases."""
    yield from _arithmetic_calls()
    yield from _shape_calls()
    yield from _special_calls()
    yield from _linalg_calls()
    yield from _transform_calls()
    yield from _network_calls()
    yield from _recurrent_calls()
    yield from _made_calls()
    yield from _random_calls()


def call(name: str, *args: Any, **kwargs: Any) -> Call:
    """A call in fewer words."""
    return Call(name, args, kwargs)


def _arithmetic_calls() -> Iterator[Call]:
    for name in ("atan2", "div", "mul", "pow", "sub", "arctan2", "divide", "multiply", "subtract", "true_divide"):
        yield call(name, f32(2, 3, low=0.5), f32(3, low=0.5))
    yield call("addmm", f32(2, 4), f32(2, 3), f32(3, 4), beta=0.5, alpha=2.0)
    yield call("baddbmm", f32(2, 2, 4), f32(2, 2, 3), f32(2, 3, 4))


def _shape_calls() -> Iterator[Call]:
    x, cube = f32(3, 4), f32(2, 3, 4)
    yield call("view", x, 2, -1)
    yield call("view", x, graphc.int32)
    yield call("mH", x)
    yield call("mH", mixed(2, 3))
    yield call("adjoint", mixed(2, 3))
    yield call("pixel_shuffle", f32(1, 4, 2, 3), 2)
    yield call("pixel_unshuffle", f32(1, 1, 4, 6), 2)
    yield call("channel_shuffle", f32(1, 6, 2, 2), 3)
    yield call("native_channel_shuffle", f32(1, 6, 2, 2), 2)
    yield call("is_same_size", x, f32(3, 4))
    yield call("size", x)
    yield call("size", x, 1)
    yield call("numel", x)
    yield call("dim", x)
    yield call("diagflat", f32(2, 2), 1)
    yield call("repeat_interleave", x, 2, dim=1)
    yield call("rot90", x, 1, [0, 1])
    yield call("constant_pad_nd", x, [1, 2], 0.5)
    yield call("split_with_sizes", x, [1, 3], 1)
    yield call("unsafe_split_with_sizes", x, [1, 3], 1)
    yield call("tensor_split", x, 3, dim=1)
    yield call("tensor_split", x, (1, 2), 1)
    yield call("hsplit", x, 2)
    yield call("vsplit", x, [1, 2])
    yield call("dsplit", cube, 2)
    yield call("select_scatter", x, f32(4), 0, 1)
    yield call("as_strided_scatter", x, f32(2, 2), (2, 2), (4, 1), 1)
    yield call("linalg.diagonal", cube, offset=1)
    yield call("linalg.diagonal", cube, dim1=0, dim2=1)
    yield call("nn.functional.unfold", f32(1, 2, 4, 5), (2, 3), padding=1, stride=2)
    yield call("index_put", x, (ints(2, high=3), ints(2, high=4)), f32(2))
    yield call("to", x, graphc.float64)
    yield call("argsort", x, 1, True)


def _special_calls() -> Iterator[Call]:
    positive, inside, x = f32(5, low=0.3, high=3.0), f32(5, low=0.1, high=0.9), f32(5)
    for name in ("erfinv", "special.ndtri"):
        yield call(name, inside)
    names = "ndtr log_ndtr erfcx i0 i0e i1 i1e airy_ai modified_bessel_i0 modified_bessel_i1 expit".split()
    for name in (*names, "bessel_j0", "bessel_j1", "spherical_bessel_j0"):
        yield call(f"special.{name}", x)
    names = "entr gammaln digamma bessel_y0 bessel_y1 modified_bessel_k0 modified_bessel_k1".split()
    for name in (*names, "scaled_modified_bessel_k0", "scaled_modified_bessel_k1"):
        yield call(f"special.{name}", positive)
    for name in "igamma igammac".split():
        yield call(name, positive, f32(5, low=0.2, high=4.0))
    yield call("special.xlog1py", x, positive)
    yield call("special.zeta", positive + 1, positive)
    yield call("polygamma", 1, positive)
    yield call("special.polygamma", 2, positive)
    yield call("mvlgamma", positive + 2, 2)
    for kind in "tuvw":
        yield call(f"special.chebyshev_polynomial_{kind}", x, 3)
        yield call(f"special.shifted_chebyshev_polynomial_{kind}", inside, 3)
    for name in ("hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p"):
        yield call(f"special.{name}", x, ints(5, high=6))
    yield call("heaviside", np.array([-1, 0, 2], np.float32), f32(3))
    yield call("nextafter", x, f32(5))
    yield call("frexp", x)
    yield call("ldexp", x, ints(5, low=-3, high=4))
    yield call("gcd", ints(5), ints(5))
    yield call("lcm", ints(5), ints(5))


def _linalg_calls() -> Iterator[Call]:
    square = f32(3, 3) + 4 * np.eye(3, dtype=np.float32)
    definite = square @ square.T
    yield call("triangular_solve", f32(3, 2), square)
    yield call("linalg.cholesky_ex", definite)
    yield call("cholesky", definite, upper=True)
    yield call("linalg.lu_factor_ex", square)
    yield call("lu", square)
    pivots = np.array([2, 2, 3], np.int32)
    yield call("lu_unpack", square, pivots)
    yield call("linalg.ldl_factor", square)
    yield call("linalg.ldl_factor_ex", square)
    yield call("linalg.ldl_solve", square, np.array([1, 2, 3], np.int32), f32(3, 2))
    yield call("linalg.lu_solve", square, pivots, f32(3, 2))
    yield call("lu_solve", f32(3, 2), square, pivots)
    yield call("qr", square)
    yield call("linalg.householder_product", f32(4, 3), f32(3))
    yield call("orgqr", f32(4, 3), f32(3))
    yield call("ormqr", f32(4, 3), f32(3), f32(4, 2))
    yield call("linalg.solve_ex", square, f32(3, 2))
    yield call("linalg.inv_ex", square)
    yield call("slogdet", square)
    yield call("svd", square)
    yield call("pinverse", square)


def _transform_calls() -> Iterator[Call]:
    for name in "fft ifft fftn ifftn fft2 ifft2 hfft hfftn hfft2 irfft irfftn irfft2".split():
        yield call(f"fft.{name}", mixed(3, 4))
    for name in "fft fftn rfft ihfft rfftn ihfftn rfft2 ihfft2".split():
        yield call(f"fft.{name}", f32(3, 5), norm="ortho")
    yield call("fft.fftshift", f32(3, 4))
    yield call("fft.ifftshift", f32(3, 4), dim=1)
    yield call("fft.fftfreq", 5, d=0.5)
    yield call("fft.rfftfreq", 6)
    for name in ("hann", "hamming", "blackman", "bartlett", "kaiser"):
        yield call(f"{name}_window", 7)


def _network_calls() -> Iterator[Call]:
    x, y, table = f32(3, 4), f32(3, 4), f32(6, 2)
    signs, shares = np.array([1, -1, 1]), f32(3, 4, low=0.1, high=0.9)

    def network(name: str, *args: Any, **kwargs: Any) -> Call:
        return call(f"nn.functional.{name}", *args, **kwargs)

    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"):
        yield network(name, x, shares)
    yield network("binary_cross_entropy", shares, f32(3, 4, low=0.1, high=0.9))
    yield network("kl_div", x, shares, reduction="sum")
    yield network("poisson_nll_loss", x, 3 * shares)
    yield network("cross_entropy", x, ints(3, high=4))
    yield network("linear_cross_entropy", x, f32(5, 4), ints(3, high=5))
    yield network("nll_loss", x, ints(3, high=4))
    yield network("soft_margin_loss", x, np.sign(y))
    yield network("hinge_embedding_loss", f32(3), signs)
    yield network("margin_ranking_loss", f32(3), f32(3), signs)
    yield network("cosine_embedding_loss", x, y, signs)
    yield network("triplet_margin_loss", x, y, f32(3, 4))
    for name in ("softmax", "log_softmax", "softmin"):
        yield network(name, x, 1)
    yield network("glu", x)
    yield network("gumbel_softmax", x, 0.5, key=7)
    yield network("embedding", ints(2, 3, high=6), table)
    yield network("embedding_bag", ints(2, 3, high=6), table)
    yield network("scaled_dot_product_attention", f32(2, 3, 4), f32(2, 5, 4), f32(2, 5, 2))
    yield call("ctc_loss", np.log(shares).reshape(3, 1, 4), np.array([[1]]), [3], [1])
    yield call("stft", f32(20), 8, return_complex=True)
    yield call("istft", mixed(5, 4), 8)


def _recurrent_calls() -> Iterator[Call]:
    x, h, c = f32(2, 3), f32(2, 4), f32(2, 4)
    for name, parts in (("rnn_tanh", 1), ("rnn_relu", 1), ("gru", 3), ("lstm", 4)):
        weights = f32(4 * parts, 3), f32(4 * parts, 4), f32(4 * parts), f32(4 * parts)
        yield call(f"{name}_cell", x, (h, c) if name == "lstm" else h, *weights)
        if name == "lstm":
            mask = np.array([[True, True], [True, False], [False, False]])
            yield call("_recurrent_layer", name, f32(3, 2, 3), (h, c), *weights, None, mask, True, True)
            projected = f32(2, 2), c
            weights = weights[0], f32(16, 2), *weights[2:]
            yield call("_recurrent_layer", name, f32(3, 2, 3), projected, *weights, f32(2, 4), None, False, False)


def _made_calls() -> Iterator[Call]:
    yield call("scalar_tensor", 2.5)
    yield call("zeros", 2, 3)
    yield call("ones", (2, 3), dtype=graphc.int16)
    yield call("empty", 0, 3)
    yield call("full", (2, 2), 7)
    yield call("arange", 1, 8, 3)
    yield call("arange", 5, dtype=graphc.float64)
    yield call("range", 1, 3, 0.5)
    yield call("linspace", 0, 1, 7)
    yield call("logspace", 0, 2, 5)
    yield call("eye", 3, 4)
    yield call("tril_indices", 3, 4, 1)
    yield call("triu_indices", 3, 4)


def _random_calls() -> Iterator[Call]:
    x, shares = f32(3, 4), f32(3, 4, low=0.1, high=0.9)
    for name in ("rand", "randn"):
        yield call(name, 3, 4, key=7)
        yield call(f"{name}_like", x, key=7)
    yield call("randint", -2, 5, (3, 4), key=7)
    yield call("randperm", 9, key=7)
    yield call("normal", x, 2.0, key=7)
    yield call("bernoulli", shares, key=7)
    yield call("multinomial", shares, 2, key=7)
    yield call("poisson", 4 * shares, key=7)
    yield call("binomial", np.full((3, 4), 9, np.float32), shares, key=7)
    yield call("_standard_gamma", shares, key=7)
    yield call("_sample_dirichlet", shares, key=7)
    for name in ("dropout", "alpha_dropout", "rrelu"):
        yield call(name, x, training=True, key=7)
    for name in ("feature_dropout", "feature_alpha_dropout"):
        yield call(name, f32(2, 3, 4), training=True, key=7)
    for name in ("uniform", "exponential", "cauchy", "log_normal"):
        yield call(name, x, key=7)
    yield call("geometric", x, 0.3, key=7)
