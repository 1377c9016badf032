"""Random numbers of distributions: functions of tensors of parameters, and methods that fill a tensor.

In: parameters, a generator. Out: tensors, by formulas on the uniform and normal numbers of the table's samplers. No
gradient flows through a sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from graphc.eager.arguments import (
    check_place,
    created,
    deliver,
    dtype_with_out,
    invalid_combination,
    sequence_of,
    type_name,
)
from graphc.eager.data import cast
from graphc.eager.filling import BITS, numbers
from graphc.eager.inplace import _copy_plan as copy_plan
from graphc.eager.inplace import _filled as filled
from graphc.eager.inplace import check_writable, type_of
from graphc.eager.mode import MODE
from graphc.eager.placement import common_gpu, gpu_of, refuse_mixed
from graphc.eager.question import holds, is_none_negative
from graphc.eager.random import MANTISSA, bounds_of, check_range
from graphc.eager.record import record
from graphc.eager.sampling import call, integers, key_of, normal, refuse, uniform
from graphc.eager.tensor import AnyArray, Tensor
from graphc.ir.dtype import DType, Kind, bool_, f64, get_default_dtype
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, SignatureError
from graphc.ir.graph import Node
from graphc.ops import build, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import broadcast_shape, c_name

_NO_PROBABILITY = (
    "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be improved?  If so, please "
    "report an enhancement request to PyTorch.)"
)


# Functions


def normal_(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: object = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    key: object = None,
) -> Tensor:
    """Normal numbers of these means and standard deviations: tensors, or numbers and a size."""
    if size is not None:
        shape = sequence_of("normal", size, "size", 3)
        target = dtype_with_out("normal", dtype, get_default_dtype(), out)
        place = check_place("normal", layout, device, pin_memory, None if out is None else out._array)
        _check_std(std)
        values = normal(shape, target, key_of("normal", generator, key, place))
        return deliver(_scaled(values, mean, std)._array, out, requires_grad, pin_memory=pin_memory)
    parts = [each for each in (mean, std) if isinstance(each, Tensor)]
    if not parts:
        raise invalid_combination("normal", (mean, std), {}, _NORMAL_FORMS)
    if isinstance(std, Tensor):
        if std.dtype.is_complex:
            raise ArgumentError("normal expects standard deviation to be non-complex")
        if not holds(is_none_negative, std):
            raise ArgumentError("normal expects all elements of std >= 0.0")
    else:
        _check_std(std)
    refuse_mixed("normal", parts)
    gpu = common_gpu(each._array for each in parts)
    shapes = [each._array.shape for each in parts]
    broadcast_shape("normal", *shapes)  # says in PyTorch's words where they don't fit
    shape = np.broadcast_shapes(*shapes)
    values = normal(shape, parts[0].dtype, key_of("normal", generator, key, gpu))
    result = deliver(cast(_scaled(values, mean, std)._array, parts[0].dtype), out, pin_memory=pin_memory)
    name = f"NormalBackward{3 if len(parts) == 2 else 1 if parts[0] is mean else 2}"
    return result if out is not None else _without_influence(result, parts[0], name)


_NORMAL_FORMS = (
    "(Tensor mean, Tensor std, *, torch.Generator generator = None, Tensor out = None)",
    "(Tensor mean, float std = 1, *, torch.Generator generator = None, Tensor out = None)",
    "(float mean, Tensor std, *, torch.Generator generator = None, Tensor out = None)",
    "(float mean, float std, tuple of ints size, *, torch.Generator generator = None, Tensor out = None, "
    "torch.dtype dtype = None, torch.layout layout = None, torch.device device = None, bool pin_memory = False, "
    "bool requires_grad = False)",
)


def _check_std(std: Any) -> None:
    if not std >= 0:
        raise ArgumentError(f"normal expects std >= 0.0, but found std {std:g}", hint="deviations are at least 0")


def _scaled(values: Tensor, mean: Any, std: Any) -> Tensor:
    if not isinstance(std, Tensor) and not isinstance(mean, Tensor) and std == 1 and mean == 0:
        return values
    return call("add", call("mul", values, std), mean)


def bernoulli(
    input: Tensor, p: Any = None, *, generator: object = None, out: Tensor | None = None, key: object = None
) -> Tensor:
    """1 with the probability that each element gives, or with probability p, else 0; in the input's dtype."""
    if not isinstance(input, Tensor):
        raise SignatureError(f"bernoulli(): argument 'input' (position 1) must be Tensor, not {type_name(input)}")
    dtype, shape = input.dtype, input._array.shape
    drawn = key_of("bernoulli", generator, key, gpu_of(input._array))
    if p is not None:
        return deliver(_coins(shape, p, drawn, dtype), out)
    if not dtype.is_floating_point:
        kernel = "bernoulli_tensor_cpu_self_" if dtype.is_complex else "bernoulli_tensor_cpu_p_"
        refuse(kernel, dtype)
    result = deliver(_coins(shape, input, drawn, dtype), out)
    return result if out is not None else _without_influence(result, input, "BernoulliBackward0")


def _coins(shape: tuple[int, ...], p: Any, key: Tensor, dtype: DType) -> AnyArray:
    """1 with probability p, else 0, where the key is."""
    if isinstance(p, Tensor):
        if not p.dtype.is_floating_point:
            refuse("bernoulli_tensor_cpu_p_", p.dtype)
        if not holds(_are_probabilities, p):
            raise ArgumentError(_NO_PROBABILITY, hint="probabilities are from 0 to 1")
        return cast(call("bernoulli", call("broadcast_to", p, shape), key=key)._array, dtype)
    _check_chance(p)
    return cast(call("lt", uniform(shape, f64, key), float(p))._array, dtype)


def _are_probabilities(p: Node) -> Node:
    return ew.bitwise_and(ew.ge(p, build.zeros_like(p)), ew.le(p, build.ones_like(p)))


def _check_chance(p: Any) -> None:
    if not 0 <= p <= 1:
        raise ArgumentError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")


def _without_influence(result: Tensor, source: Tensor, name: str) -> Tensor:
    """Enter into the tape that the result came from the source, with a gradient of zeros."""
    if MODE.grad and source.requires_grad and source._array.shape == result._array.shape:
        values = result._array
        record(copy_plan(type_of(source._array), type_of(values)), [source, values], [result], name=name)
    return result


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: object = None,
    out: Tensor | None = None,
    key: object = None,
) -> Tensor:
    """Indices drawn with the weights that each row gives: [samples] or [rows, samples], int64."""
    weights = input._array
    if weights.ndim not in (1, 2):
        raise ShapeError("prob_dist must be 1 or 2 dim", hint=f"it has {weights.ndim}")
    if not input.dtype.is_floating_point:
        raise DTypeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype.scalar}")
    if num_samples <= 0:
        raise ArgumentError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise ArgumentError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if not holds(_are_weights, input):
        raise ArgumentError("probability tensor contains either `inf`, `nan` or element < 0")
    if not holds(_are_sums_positive, input):
        raise ArgumentError("invalid multinomial distribution (sum of probabilities <= 0)")
    seed = key_of("multinomial", generator, key, gpu_of(weights))
    return deliver(call("multinomial", input, int(num_samples), bool(replacement), key=seed)._array, out)


def _are_weights(x: Node) -> Node:
    return ew.bitwise_and(ew.is_finite(x), ew.ge(x, build.zeros_like(x)))


def _are_sums_positive(x: Node) -> Node:
    sums = reduction.sum_(build.cast_to(x, f64), axes=(len(x.shape) - 1,))
    return ew.ne(sums, build.zeros_like(sums))


def poisson(input: Tensor, generator: object = None, *, key: object = None) -> Tensor:
    """Counts of rare events, whose mean each element gives; in the input's dtype."""
    if not input.dtype.is_floating_point:
        refuse("poisson_cpu", input.dtype)
    if not holds(is_none_negative, input):
        raise ArgumentError("invalid Poisson rate, expected rate to be non-negative")
    result = created(call("poisson", input, key=key_of("poisson", generator, key, gpu_of(input._array)))._array)
    return _without_influence(result, input, "PoissonBackward0")


def binomial(count: Tensor, prob: Tensor, generator: object = None, *, key: object = None) -> Tensor:
    """How many of `count` trials succeed, each with the probability `prob`."""
    for name, each in (("count", count), ("prob", prob)):
        if not each.dtype.is_floating_point:
            raise ArgumentError(f"binomial only supports floating-point dtypes for {name}, got: {each.dtype.scalar}")
    refuse_mixed("binomial", (count, prob))
    seed = key_of("binomial", generator, key, common_gpu((count._array, prob._array)))
    return created(call("binomial", count, prob, key=seed)._array)


# Methods that fill


def _fill(self: Tensor, name: str, make: Callable[[], AnyArray]) -> Tensor:
    """Write what `make` gives to the tensor's memory. Its gradient is zero from then on, by a node of this name."""
    check_writable(self, needs=self.requires_grad)
    return filled(self, cast(make(), self.dtype), name)


def _key_for(self: Tensor, method: str, generator: object) -> Tensor:
    """A number of the generator of the tensor's device; the tensor's program is given it as one of the host's."""
    return key_of(method, generator, gpu=gpu_of(self._array))


def uniform_(self: Tensor, *args: float, generator: object = None, to: float | None = None, **start: float) -> Tensor:
    """Fill with numbers from `from` (0 unless given) to before `to` (1), each equally likely."""
    low = args[0] if args else start.pop("from", 0.0)
    high = args[1] if len(args) > 1 else 1.0 if to is None else to
    if start:
        raise SignatureError(f"uniform_() got an unexpected keyword argument '{next(iter(start))}'")
    dtype = self.dtype
    if dtype.is_storage_only or not (dtype.is_floating_point or dtype.is_complex):
        refuse("check_uniform_bounds", dtype)
    if dtype.is_floating_point:
        _check_bounds(low, high, dtype)

    def make() -> AnyArray:
        if dtype.is_complex:
            key = key_of("uniform_", generator, None, gpu_of(self._array))
            return call("add", call("mul", uniform(self._array.shape, dtype, key), high - low), low)._array
        step = (high - low) * 2.0 ** -BITS[dtype]
        return numbers("uniform", self, _key_for(self, "uniform_", generator), low, high, step)

    return _fill(self, "UniformBackward0", make)


def _check_bounds(low: float, high: float, dtype: DType) -> None:
    greatest = float(ml_dtypes.finfo(dtype.numpy).max)  # type: ignore[no-untyped-call]  # it has no types
    for name, number in (("from", low), ("to", high)):
        if not -greatest <= number <= greatest:
            raise ArgumentError(f"{name} is out of bounds for {c_name(dtype)}")
    if low > high:
        raise ArgumentError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    if high - low > greatest:
        raise ArgumentError(
            f"uniform_ expects to-from <= std::numeric_limits<{dtype.scalar}>::max(), but found to={high:g} and "
            f"from={low:g} which result in to-from to exceed the limit"
        )


def fill_normal(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: object = None) -> Tensor:
    """Fill with normal numbers."""
    _check_std(std)
    dtype = self.dtype
    if dtype.is_storage_only or not (dtype.is_floating_point or dtype.is_complex):
        refuse("normal_kernel_cpu", dtype)

    def make() -> AnyArray:
        if dtype.is_complex:
            key = key_of("normal_", generator, None, gpu_of(self._array))
            return _scaled(normal(self._array.shape, dtype, key), mean, std)._array
        parameters = () if (mean, std) == (0, 1) else (mean, std)
        return numbers("normal", self, _key_for(self, "normal_", generator), *parameters)

    return _fill(self, "NormalBackward0", make)


def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: object = None) -> Tensor:
    """Fill with numbers whose logarithms are normal."""
    if not std > 0:
        raise ArgumentError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    if not self.dtype.is_floating_point:
        refuse("log_normal_cpu", self.dtype)
    key = _key_for(self, "log_normal_", generator)
    return _fill(self, "LogNormalBackward0", lambda: numbers("log_normal", self, key, mean, std))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: object = None) -> Tensor:
    """Fill with waiting times of mean 1 / lambd."""
    if not self.dtype.is_floating_point:
        raise DTypeError(
            "Exponential distribution is a continuous probability distribution. dtype must be a floating point but "
            f"you specified {self.dtype.scalar}"
        )
    if not lambd > 0:
        raise ArgumentError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    key = _key_for(self, "exponential_", generator)
    return _fill(self, "ExponentialBackward0", lambda: numbers("exponential", self, key, lambd))


def geometric_(self: Tensor, p: float, *, generator: object = None) -> Tensor:
    """Fill with counts of trials up to the first success, each of probability p."""
    if not 0 < p < 1:
        raise ArgumentError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if self.dtype is bool_ or self.dtype.is_complex:
        refuse("geometric_cpu", self.dtype)
    key = _key_for(self, "geometric_", generator)
    return _fill(self, "GeometricBackward0", lambda: numbers("geometric", self, key, math.log1p(-p)))


def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: object = None) -> Tensor:
    """Fill with numbers of Cauchy's distribution."""
    if not self.dtype.is_floating_point:
        raise DTypeError(
            "Cauchy distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {c_name(self.dtype)}"
        )
    if not sigma > 0:
        raise ArgumentError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    key = _key_for(self, "cauchy_", generator)
    return _fill(self, "CauchyBackward0", lambda: numbers("cauchy", self, key, median, sigma))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: object = None) -> Tensor:
    """Fill with 1 with probability p (a number, or a tensor that broadcasts), else 0."""
    if isinstance(p, Tensor):
        refuse_mixed("bernoulli_", (self, p))
        drawn = key_of("bernoulli_", generator, None, gpu_of(self._array))
        return _fill(self, "BernoulliBackward1", lambda: _coins(self._array.shape, p, drawn, self.dtype))
    key = _key_for(self, "bernoulli_", generator)
    _check_chance(p)
    return _fill(self, "BernoulliBackward2", lambda: numbers("bernoulli", self, key, p))


def random_(self: Tensor, *args: int, generator: object = None, to: int | None = None, **start: int) -> Tensor:
    """Fill with integers: `random_()` all that the dtype holds from 0 on, `random_(to)`, `random_(from, to)`."""
    dtype = self.dtype
    given = [*args] if "from" not in start else [start["from"], *args]
    if to is not None:
        given.append(to)
    if not given:
        if dtype.is_complex:
            refuse("random_cpu", dtype)
        top = 1 if dtype is bool_ else bounds_of(dtype)[1] if dtype.kind is Kind.INT else 1 << MANTISSA[dtype]
        low, high = 0, min(top, (1 << 63) - 1) + 1
    else:
        low, high = (0, int(given[0])) if len(given) == 1 else (int(given[0]), int(given[1]))
        check_range(low, high, dtype)
    key = key_of("random_", generator, None, gpu_of(self._array))
    name = f"RandomBackward{(2, 1, 0)[len(given)]}"
    return _fill(self, name, lambda: integers(low, high, self._array.shape, key))


FUNCTIONS: dict[str, Callable[..., object]] = {
    "bernoulli": bernoulli,
    "binomial": binomial,
    "multinomial": multinomial,
    "normal": normal_,
    "poisson": poisson,
}
METHODS: dict[str, Callable[..., object]] = {
    "bernoulli": bernoulli,
    "bernoulli_": bernoulli_,
    "cauchy_": cauchy_,
    "exponential_": exponential_,
    "geometric_": geometric_,
    "log_normal_": log_normal_,
    "multinomial": multinomial,
    "normal_": fill_normal,
    "random_": random_,
    "uniform_": uniform_,
}
