"""Arithmetic, element by element, with broadcasting and PyTorch's result dtypes and errors."""

from __future__ import annotations

from collections.abc import Callable

from graphc.ir.dtype import Kind, bf16, bool_, c128, f16, f32, f64, u8
from graphc.ir.errors import ArgumentError, DTypeError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import build, requirement
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import (
    Operand,
    as_tensor,
    broadcast,
    c_name,
    combined,
    in_dtype,
    in_dtype_exactly,
    is_number,
    refuse_kinds,
    result_dtype,
    tensors_only,
    widened,
)
from graphc.ops.function import function


def _rounded_once(name: str, op: Op, x: Operand, y: Operand) -> Node:
    """The op in the common dtype. Beside a 16-bit float a number keeps its precision: only the result is rounded."""
    common = result_dtype(x, y)
    if common in (f16, bf16) and any(is_number(each) or not as_tensor(each).shape for each in (x, y)):
        wide = broadcast(name, *(in_dtype(name, each, f32) for each in (x, y)))
        return build.cast_to(op(*wide), common)
    return op(*combined(name, x, y))


def is_one(x: Operand) -> bool:
    """Whether a factor is known to be 1, so that nothing is multiplied by it."""
    return not isinstance(x, Node) and x == 1


def check_factor(name: str, factor: Operand, *operands: Operand) -> None:
    """Raise DTypeError where a factor such as `alpha` is of a kind above that of what it multiplies."""
    common = result_dtype(*operands)
    kind = as_tensor(factor).tensor.dtype.kind
    if kind is Kind.BOOL and common is not bool_:
        raise DTypeError("Boolean alpha only supported for Boolean results.", hint=f"{name}: give alpha as a number")
    if kind is Kind.FLOAT and common.kind < Kind.FLOAT:
        raise DTypeError(
            "For integral input tensors, argument alpha must not be a floating point number.",
            hint=f"{name}: convert the tensors first, e.g. x.to('float32')",
        )
    if kind is Kind.COMPLEX and not common.is_complex:
        raise DTypeError(
            "For non-complex input tensors, argument alpha must not be a complex number.",
            hint=f"{name}: convert the tensors first, e.g. x.to('complex64')",
        )


def _plus(name: str, op: Op, x: Operand, y: Operand, alpha: Operand) -> Node:
    """x plus or minus alpha * y."""
    check_factor(name, alpha, x, y)
    if is_one(alpha):
        return _rounded_once(name, op, x, y)
    common = result_dtype(x, y)
    wide = f32 if common in (f16, bf16) else common
    first, second, factor = broadcast(name, *(in_dtype(name, each, wide) for each in (x, y, alpha)))
    return build.cast_to(op(first, ew.mul(second, factor)), common)


@function(method=True)
def add(input: Operand, other: Operand, *, alpha: Operand = 1) -> Node:
    """input + alpha * other. Of bools: or."""
    if result_dtype(input, other) is bool_:
        check_factor("add", alpha, input, other)
        x, y = combined("add", input, other)
        return ew.bitwise_or(x, y if is_one(alpha) else ew.bitwise_and(y, build.broadcast_to(truth(alpha), y.shape)))
    return _plus("add", ew.add, input, other, alpha)


@function(method=True, names=("subtract",))
def sub(input: Operand, other: Operand, *, alpha: Operand = 1) -> Node:
    """input - alpha * other."""
    _refuse_bools(input, other)
    return _plus("sub", ew.sub, input, other, alpha)


@function(method=True)
def rsub(input: Operand, other: Operand, *, alpha: Operand = 1) -> Node:
    """other - alpha * input."""
    return sub(other, input, alpha=alpha)


def _refuse_bools(*operands: Operand) -> None:
    is_bool = [as_tensor(x).tensor.dtype is bool_ for x in operands]
    if all(is_bool):
        raise DTypeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
            "operator instead.",
            hint="or convert one of them, e.g. x.to('int64')",
        )
    if any(is_bool):
        raise DTypeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
            "use the `~` or `logical_not()` operator instead.",
            hint="or convert it, e.g. x.to('int64')",
        )


@function(method=True, names=("multiply",))
def mul(input: Operand, other: Operand) -> Node:
    """input * other. Of bools: and."""
    if result_dtype(input, other) is bool_:
        return ew.bitwise_and(*combined("mul", input, other))
    return _rounded_once("mul", ew.mul, input, other)


@function(method=True, names=("divide", "true_divide"))
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Node:
    """input / other, integers as floats; `rounding_mode` "floor" or "trunc" rounds the quotient and keeps integers."""
    match rounding_mode:
        case None:
            if result_dtype(input, other).kind < Kind.FLOAT:
                return ew.div(*combined("div", input, other, to_float=True))
            return _rounded_once("div", ew.div, input, other)
        case "floor":
            return _floor_divide(input, other)
        case "trunc":
            x, y = _dividend_and_divisor("div", "div_trunc_cpu", input, other)
            if x.tensor.dtype.is_floating_point:
                return ew.trunc(ew.div(x, y))
            return ew.floor_divide(ew.sub(x, ew.fmod(x, y)), y)
        case _:
            raise ArgumentError(
                f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}",
                hint='use None, "floor" or "trunc"',
            )


def _dividend_and_divisor(name: str, kernel: str, input: Operand, other: Operand) -> tuple[Node, Node]:
    """Both in their common dtype and shape. A divisor of integers that is 0 is an error, here or when it runs."""
    common = result_dtype(input, other)
    x, y = (in_dtype(name, each, common) for each in (input, other))
    refuse_kinds(kernel, x, Kind.BOOL, Kind.COMPLEX)
    if common.is_integer:
        if not isinstance(other, Node):
            if other == 0:
                raise ArgumentError("ZeroDivisionError", hint="an integer has no quotient by 0; divide floats")
        else:
            y = requirement.require(y, ew.ne(y, build.zeros_like(y)), message="ZeroDivisionError")
    pair = broadcast(name, x, y)
    return pair[0], pair[1]


@function(method=True)
def floor_divide(input: Operand, other: Operand) -> Node:
    """The quotient rounded down; a divisor of integers must not be 0."""
    return _floor_divide(input, other)


def _floor_divide(input: Operand, other: Operand) -> Node:
    return ew.floor_divide(*_dividend_and_divisor("floor_divide", "div_floor_cpu", input, other))


@function(method=True)
def remainder(input: Operand, other: Operand) -> Node:
    """input - other * floor(input / other): the sign of the divisor, as Python's %."""
    x, y = _dividend_and_divisor("remainder", "remainder_cpu", input, other)
    if x.tensor.dtype.is_integer:
        return ew.remainder(x, y)
    # As PyTorch computes it: a result of 0 has the sign of the dividend, and an infinite divisor is added like any.
    left, right = widened(x), widened(y)
    rest, zero = ew.fmod(left, right), build.zeros_like(left)
    is_other_sign = ew.ne(ew.lt(right, zero), ew.lt(rest, zero))
    moved = ew.bitwise_and(is_other_sign, ew.ne(rest, zero))
    return build.cast_to(ew.select(moved, ew.add(rest, right), rest), x.tensor.dtype)


@function(method=True)
def fmod(input: Node, other: Operand) -> Node:
    """input - other * trunc(input / other): the sign of the dividend."""
    return ew.fmod(*_dividend_and_divisor("fmod", "fmod_cpu", input, other))


_NEGATIVE_POWER = "Integers to negative integer powers are not allowed."


@function(method=True)
def pow(input: Operand, exponent: Operand) -> Node:
    """input to the power of exponent. Small whole exponents are multiplications, 0.5 and -0.5 square roots."""
    if isinstance(input, Node) and not isinstance(exponent, Node):
        x = in_dtype("pow", input, result_dtype(input, exponent))
        if x.tensor.dtype is bool_:
            return x if exponent else build.ones_like(x)
        if x.tensor.dtype.is_integer and isinstance(exponent, int) and exponent < 0:
            raise ArgumentError(_NEGATIVE_POWER, hint="convert the base first, e.g. x.to('float32')")
        short = _short_power(x, exponent)
        if short is not None:
            return short
    common = result_dtype(input, exponent)
    x, y = (in_dtype("pow", each, common) for each in (input, exponent))
    refuse_kinds("pow", x, Kind.BOOL)
    if common.is_integer and isinstance(exponent, Node) and is_number(exponent):
        y = requirement.require(y, ew.ge(y, build.zeros_like(y)), message=_NEGATIVE_POWER)
    return ew.pow_(*broadcast("pow", x, y))


def _short_power(x: Node, exponent: int | float | complex) -> Node | None:
    if exponent == 0:
        return build.ones_like(x) if not x.tensor.dtype.is_differentiable else None
    if exponent in (1, 2, 3):
        wide, power = widened(x), widened(x)
        for _ in range(int(exponent.real) - 1):
            power = ew.mul(power, wide)
        return build.cast_to(power, x.tensor.dtype)
    if x.tensor.dtype.kind < Kind.FLOAT:
        return None
    if exponent == 0.5:
        return ew.sqrt(x)
    if exponent == -0.5:
        return ew.rsqrt(x)
    if exponent == -1:
        return ew.reciprocal(x)
    return None


@function(method=True)
def square(input: Node) -> Node:
    """input * input; of bools an int64."""
    return pow(input, 2)


@function(method=True)
def float_power(input: Operand, exponent: Operand) -> Node:
    """The power computed in float64, or in complex128."""
    wide = c128 if result_dtype(input, exponent).is_complex else f64
    x, y = broadcast("float_power", in_dtype("float_power", input, wide), in_dtype("float_power", exponent, wide))
    return ew.pow_(x, y)


@function(method=True, names=("arctan2",))
def atan2(input: Node, other: Node) -> Node:
    """The angle of the point (other, input), from -pi to pi."""
    x, y = combined("atan2", *tensors_only("atan2", input=input, other=other), to_float=True)
    refuse_kinds("atan2_cpu", x, Kind.COMPLEX)
    return ew.atan2(x, y)


@function(method=True)
def copysign(input: Node, other: Operand) -> Node:
    """The size of `input` with the sign of `other`."""
    x, y = combined("copysign", input, other, to_float=True)
    refuse_kinds("copysign_cpu", x, Kind.COMPLEX)
    return ew.copysign(x, y)


# Products added


@function(method=True)
def addcmul(input: Node, tensor1: Node, tensor2: Node, *, value: Operand = 1) -> Node:
    """input + value * tensor1 * tensor2."""
    x, a, b = combined("addcmul", input, tensor1, tensor2)
    refuse_kinds("addcmul_cpu_out", x, Kind.BOOL)
    return _product_added(x, ew.mul(widened(a), widened(b)), value)


@function(method=True)
def addcdiv(input: Node, tensor1: Node, tensor2: Node, *, value: Operand = 1) -> Node:
    """input + value * tensor1 / tensor2."""
    if tensor1.tensor.dtype.kind < Kind.FLOAT and tensor2.tensor.dtype.kind < Kind.FLOAT:
        raise DTypeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a "
            "true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + value "
            "* torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / "
            "tensor2) for float inputs. The future addcdiv behavior is just the latter implementation: (input + value "
            "* tensor1 / tensor2), for all dtypes.",
            hint="convert one of them first, e.g. x.to('float32')",
        )
    x, a, b = combined("addcdiv", input, tensor1, tensor2)
    return _product_added(x, ew.div(widened(a), widened(b)), value)


def _product_added(x: Node, product: Node, value: Operand) -> Node:
    if not is_one(value):
        factor = in_dtype_exactly("value", value, product.tensor.dtype)
        product = ew.mul(product, build.broadcast_to(factor, product.shape))
    return build.cast_to(ew.add(widened(x), product), x.tensor.dtype)


@function(method=True)
def lerp(input: Node, end: Node, weight: Operand) -> Node:
    """input + weight * (end - input), counted from the end where the weight is 0.5 or more, so that 1 gives the end."""
    dtype = input.tensor.dtype
    by_tensor = isinstance(weight, Node) and not is_number(weight)
    for what, each in (("end", end), ("weight", weight)):
        is_other = isinstance(each, Node) and not is_number(each) and each.tensor.dtype is not dtype
        # A weight without dimensions is taken for a number.
        if is_other and isinstance(each, Node) and (what == "end" or each.shape):
            raise DTypeError(
                f"expected dtype {c_name(dtype)} for `{what}` but got dtype {c_name(each.tensor.dtype)}",
                hint="convert it first",
            )
    refuse_kinds("lerp_kernel_tensor" if by_tensor else "lerp_kernel_scalar", input, Kind.BOOL, Kind.INT)
    wide = widened(input).tensor.dtype
    start, stop, w = broadcast("lerp", *(in_dtype("lerp", each, wide) for each in (input, end, weight)))
    span = ew.sub(stop, start)
    size = ew.abs_(w)
    is_near = ew.lt(size, build.full_like(size, 0.5))
    back = ew.sub(stop, ew.mul(span, ew.sub(build.ones_like(w), w)))
    return build.cast_to(ew.select(is_near, ew.add(start, ew.mul(w, span)), back), dtype)


# Greater and less


def _extreme(op: Op, of_bools: Op, summary: str) -> Callable[[Node, Node], Node]:
    def build_node(input: Node, other: Node) -> Node:
        x, y = combined(op.name, *tensors_only(op.name, input=input, other=other))
        if x.tensor.dtype.is_complex:
            raise DTypeError(f"{op.name} not implemented for complex tensors.", hint="complex numbers have no order")
        return of_bools(x, y) if x.tensor.dtype is bool_ else op(x, y)

    build_node.__name__ = build_node.__qualname__ = op.name
    build_node.__doc__ = summary
    return function(method=True)(build_node)


maximum = _extreme(ew.maximum, ew.bitwise_or, "The larger of each pair; nan where one is nan.")
minimum = _extreme(ew.minimum, ew.bitwise_and, "The smaller of each pair; nan where one is nan.")


def _of_numbers(
    name: str, loses: Op, extreme: Callable[[Node, Node], Node], summary: str
) -> Callable[[Node, Node], Node]:
    def build_node(input: Node, other: Node) -> Node:
        x, y = combined(name, *tensors_only(name, input=input, other=other))
        if x.tensor.dtype.is_complex:
            raise DTypeError(f"{name} not implemented for complex tensors.", hint="complex numbers have no order")
        if not x.tensor.dtype.is_floating_point:
            return extreme(x, y)
        # Of equal ones it is the first, which gets the whole gradient, as in PyTorch.
        is_second = ew.bitwise_or(loses(x, y), ew.is_nan(x))
        is_second = ew.bitwise_and(is_second, ew.logical_not(ew.is_nan(y)))
        return ew.select(is_second, y, x)

    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = summary
    return function(method=True)(build_node)


fmax = _of_numbers("fmax", ew.lt, maximum, "The larger of each pair; the other one where one is nan.")
fmin = _of_numbers("fmin", ew.gt, minimum, "The smaller of each pair; the other one where one is nan.")


# Bounds and choice


@function(method=True, names=("clip",))
def clamp(input: Node, min: Operand | None = None, max: Operand | None = None) -> Node:
    """The elements moved between `min` and `max`; nan stays, and a bound of nan wins."""
    bounds = [each for each in (min, max) if each is not None]
    if not bounds:
        raise ArgumentError(
            "torch.clamp: At least one of 'min' or 'max' must not be None", hint="give at least one of them"
        )
    common = result_dtype(input, *bounds)
    result = in_dtype("clamp", input, common)
    refuse_complex("clamp", result)
    for bound, is_beyond in ((min, ew.lt), (max, ew.gt)):
        if bound is not None:
            result = _bounded(result, in_dtype_exactly("clamp", bound, common), is_beyond)
    return result


def _bounded(x: Node, bound: Node, is_beyond: Op) -> Node:
    """x, or the bound where x is beyond it; the gradient at the bound is that of x."""
    x, limit = broadcast("clamp", x, bound)
    if x.tensor.dtype is bool_:
        return (ew.bitwise_or if is_beyond is ew.lt else ew.bitwise_and)(x, limit)
    chosen = is_beyond(x, limit)
    if limit.tensor.dtype.is_floating_point:
        chosen = ew.bitwise_or(chosen, ew.bitwise_and(ew.is_nan(limit), ew.logical_not(ew.is_nan(x))))
    return ew.select(chosen, limit, x)


def refuse_complex(name: str, x: Node) -> None:
    """Raise UnsupportedDType, in PyTorch's words, for a complex tensor."""
    if x.tensor.dtype.is_complex:
        kind = "types" if name == "clamp" else "inputs"
        raise UnsupportedDType(f"{name} is not supported for complex {kind}", hint="take the real part, or the modulus")


@function(method=True)
def clamp_min(input: Node, min: Operand) -> Node:
    """The elements, or `min` where they are below it."""
    return clamp(input, min=min)


@function(method=True)
def clamp_max(input: Node, max: Operand) -> Node:
    """The elements, or `max` where they are above it."""
    return clamp(input, max=max)


@function(method=False)
def where(condition: Operand, input: Operand, other: Operand) -> Node:
    """`input` where the condition, of bools, holds, else `other`."""
    kind = as_tensor(condition).tensor.dtype
    if kind not in (bool_, u8):
        raise DTypeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {kind.scalar}",
            hint="compare it, as in x != 0",
        )
    common = result_dtype(input, other)
    x, y = (in_dtype_exactly("where", each, common) for each in (input, other))
    return ew.select(*broadcast("where", truth(condition), x, y))


def truth(x: Operand) -> Node:
    """Whether each element is not 0."""
    return build.cast_to(as_tensor(x), bool_)
