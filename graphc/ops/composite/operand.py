"""Operands as users give them: nodes and numbers, of any dtypes and shapes that broadcast.

In: what a function of the table was called with. Out: nodes of one dtype and one shape, ready for a primitive. The
dtype is PyTorch's: tensors without dimensions and numbers count only where their kind is above the others'.

A number may be a weak node too: an argument of the graph that stands for a Python number which changes from call to
call. It has float64, int64 or complex128, so that it holds any such number, and counts as the number that it is.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import ml_dtypes

from graphc.ir.dim import Size, bounds
from graphc.ir.dtype import (
    DType,
    Kind,
    bf16,
    bool_,
    c64,
    c128,
    default_complex,
    default_float,
    f16,
    f32,
    f64,
    get_default_dtype,
    i8,
    i16,
    i32,
    i64,
    promote_categories,
    real_of,
    u8,
    u16,
    u32,
    u64,
)
from graphc.ir.errors import (
    ArgumentError,
    DimensionError,
    IntegerOverflow,
    ShapeError,
    SignatureError,
    UnsupportedDType,
    describe,
)
from graphc.ir.graph import INPUT, Node
from graphc.ir.type import Shape
from graphc.ops import build, requirement
from graphc.ops import elementwise as ew
from graphc.ops.check import FLOAT, can_be_equal, shape_text, takes

_OF_WEAK: Final = {f64: 0.0, c128: 0j, i64: 0}
"""A number of the kind that a weak node stands for, by the node's dtype."""

_PYTHON_NAMES = {f64: "float", c128: "complex", i64: "int"}

Number: TypeAlias = "bool | int | float | complex"
Operand: TypeAlias = "Node | bool | int | float | complex"


def result_dtype(*operands: Operand) -> DType:
    """The dtype in which the operands combine."""
    nodes = [x for x in operands if isinstance(x, Node) and not is_weak(x)]
    return promote_categories(
        tuple(x.tensor.dtype for x in nodes if x.shape),
        tuple(x.tensor.dtype for x in nodes if not x.shape),
        tuple(number_dtype(x) for x in operands if is_number(x)),
    )


def is_weak(node: Node) -> bool:
    """Whether a node stands for a Python number: an input with the attribute "weak"."""
    return node.op is INPUT and ("weak", True) in node.attributes


def is_number(x: Operand) -> bool:
    """Whether an operand is a Python number, known or not."""
    return not isinstance(x, Node) or is_weak(x)


def number_dtype(x: object) -> DType:
    """The dtype of a Python number by itself."""
    match x:
        case Node() if is_weak(x):
            return number_dtype(_OF_WEAK[x.tensor.dtype])
        case bool():
            return bool_
        case int():
            return i64
        case float():
            return get_default_dtype()
        case complex():
            return default_complex()
        case _:
            raise ArgumentError(
                f"{describe(x)} is no tensor or number", hint="pass tensors, numpy arrays or Python numbers"
            )


def combined(name: str, *operands: Operand, to_float: bool = False) -> tuple[Node, ...]:
    """The operands in their common dtype (with `to_float` a float one) and broadcast to their common shape."""
    common = result_dtype(*operands)
    if to_float:
        common = default_float(common)
    return broadcast(name, *(in_dtype(name, x, common) for x in operands))


def in_dtype(name: str, x: Operand, dtype: DType) -> Node:
    """The operand in this dtype; a number becomes a constant without dimensions. Integers wrap."""
    if isinstance(x, Node):
        return build.cast_to(x, dtype)
    if isinstance(x, int) and not -(1 << 63) <= x < 1 << 64:
        text = "int too big to convert" if x > 0 else "can't convert negative int to unsigned"
        raise IntegerOverflow(text, hint=f"{name}: no integer dtype holds {x}; make a float of it")
    if isinstance(x, int) and dtype.is_integer:
        x &= (1 << dtype.bits) - 1
        x -= (x >> (dtype.bits - 1)) << dtype.bits if dtype.signed else 0
    return build.constant(x, dtype)


def in_dtype_exactly(name: str, x: Operand, dtype: DType) -> Node:
    """`in_dtype` of what neither wraps nor overflows; fractions are dropped. Raises ArgumentError for other numbers.

    Weak ones are checked when they come, but only of dtypes that many numbers exceed.
    """
    message = f"value cannot be converted to type {_C_NAMES.get(dtype, dtype.name)} without overflow"
    if isinstance(x, Node):
        is_narrow = (dtype.kind is not Kind.BOOL and dtype.bits < 32) or dtype is i32
        return _fitting(x, dtype, message) if is_narrow and is_weak(x) else in_dtype(name, x, dtype)
    if not _fits(x, dtype):
        raise ArgumentError(message, hint=f"{name}: {x} is no {dtype}")
    return in_dtype(name, int(x) if dtype.is_integer and isinstance(x, float) else x, dtype)


def _fitting(x: Node, dtype: DType, message: str) -> Node:
    """A weak node in this dtype; a run in which its number doesn't fit ends in an error."""
    part = ew.real(x) if x.tensor.dtype.is_complex else x
    greatest = largest(dtype) if dtype.is_floating_point else (1 << (dtype.bits - dtype.signed)) - 1
    if part.tensor.dtype.is_integer and greatest >= 1 << 63:
        return build.cast_to(x, dtype)  # bfloat16 holds every integer, roughly
    least = -greatest - (dtype.is_integer and dtype.signed)
    inside = ew.bitwise_and(ew.le(part, build.full_like(part, greatest)), ew.ge(part, build.full_like(part, least)))
    if dtype.is_floating_point and part.tensor.dtype.is_floating_point:
        inside = ew.bitwise_or(inside, ew.logical_not(ew.is_finite(part)))
    return build.cast_to(requirement.require(part, inside, message=message), dtype)


def largest(dtype: DType) -> float:
    """The greatest finite number of a dtype with fractions, or of its parts."""
    return float(ml_dtypes.finfo(real_of(dtype).numpy).max)  # type: ignore[no-untyped-call]  # it has no annotations


def _fits(x: Number, dtype: DType) -> bool:
    if isinstance(x, complex):
        return dtype.is_complex or (x.imag == 0 and _fits(x.real, dtype))
    if dtype.kind is Kind.BOOL:
        return True
    if dtype.is_integer:
        # Where PyTorch wants an unsigned number, a negative one may stand for what wraps to it.
        greatest = (1 << (dtype.bits - dtype.signed)) - 1
        return math.isfinite(x) and (-greatest - dtype.signed <= int(x) <= greatest)
    return not math.isfinite(x) or abs(x) <= largest(dtype)


_C_NAMES = {
    bool_: "bool",
    u8: "uint8_t",
    i8: "int8_t",
    i16: "int16_t",
    i32: "int",
    i64: "int64_t",
    u16: "uint16_t",
    u32: "uint32_t",
    u64: "uint64_t",
    f16: "c10::Half",
    bf16: "c10::BFloat16",
    f32: "float",
    f64: "double",
    c64: "c10::complex<float>",
    c128: "c10::complex<double>",
}
_LOWER_NAMES = {i16: "short int", i32: "int", i64: "long int", u8: "unsigned char", i8: "signed char"}
_LOWER_NAMES |= {f16: "c10::Half", bf16: "c10::BFloat16", c64: "c10::complex<float>", c128: "c10::complex<double>"}


def c_name(dtype: DType) -> str:
    """What other errors of PyTorch call it, such as "long int"."""
    return _LOWER_NAMES.get(dtype, dtype.scalar.lower())


def type_text(dtype: DType) -> str:
    """What the errors of expand call tensors of a dtype, such as "torch.FloatTensor"."""
    return f"torch.{dtype.scalar}Tensor" if dtype in _WITH_OLD_CLASSES else f"CPU{dtype.scalar}Type"


_WITH_OLD_CLASSES = (f16, f32, f64, u8, i8, i16, i32, i64)


def refuse_kinds(kernel: str, x: Node, *kinds: Kind) -> None:
    """Raise UnsupportedDType, in PyTorch's words, if x is of one of the kinds; `kernel` is PyTorch's name for it."""
    if x.tensor.dtype.kind in kinds:
        raise UnsupportedDType(
            f"\"{kernel}\" not implemented for '{x.tensor.dtype.scalar}'",
            hint="convert the tensor first, e.g. x.to('float32')",
        )


def tensors_only(name: str, **operands: Operand) -> tuple[Node, ...]:
    """The operands, by their names in order, none of which may be a number; raises SignatureError."""
    for position, (parameter, x) in enumerate(operands.items(), start=1):
        if is_number(x):
            kind = _PYTHON_NAMES[x.tensor.dtype] if isinstance(x, Node) else type(x).__name__
            raise SignatureError(
                f"{name}(): argument '{parameter}' (position {position}) must be Tensor, not {kind}",
                hint="make a tensor of it first",
            )
    return tuple(x for x in operands.values() if isinstance(x, Node))


def as_tensor(x: Operand) -> Node:
    """A node as it is; a number as a node of its own dtype."""
    if isinstance(x, Node):
        return build.cast_to(x, number_dtype(x)) if is_weak(x) else x
    return build.constant(x, number_dtype(x))


def floating(x: Operand) -> Node:
    """The operand in a dtype with fractions: integers and bools become the default float."""
    node = as_tensor(x)
    return build.cast_to(node, default_float(node.tensor.dtype))


def broadcast(name: str, *nodes: Node) -> tuple[Node, ...]:
    """The nodes, each repeated to their common shape."""
    shape = broadcast_shape(name, *(x.shape for x in nodes))
    return tuple(build.broadcast_to(x, shape) for x in nodes)


def broadcast_shape(name: str, *shapes: Shape) -> Shape:
    """The shape to which all of these repeat, dimensions counted from the last; raises ShapeError."""
    result: Shape = shapes[0]
    for shape in shapes[1:]:
        rank = max(len(result), len(shape))
        sizes: list[Size] = []
        for axis in range(-1, -rank - 1, -1):
            pair = [each[axis] for each in (result, shape) if len(each) >= -axis]
            wide = [size for size in dict.fromkeys(pair) if size != 1]
            if len(wide) > 1:
                _refuse(name, (result, shape), rank + axis, *wide)
            sizes.append(wide[0] if wide else 1)
        result = tuple(reversed(sizes))
    return result


def _refuse(name: str, shapes: tuple[Shape, ...], axis: int, a: Size, b: Size) -> None:
    texts = " and ".join(shape_text(shape) for shape in shapes)
    if can_be_equal(a, b) or bounds(a)[0] <= 1 <= bounds(a)[1] or bounds(b)[0] <= 1 <= bounds(b)[1]:
        raise ShapeError(
            f"{name}: the shapes {texts} are not known to broadcast: {a} and {b} in dimension {axis}",
            hint="give both sizes the same name where the shapes are declared",
        )
    raise ShapeError(
        f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {axis}",
        hint=f"{name}: the shapes {texts} don't broadcast; reshape, unsqueeze or transpose one of them",
    )


def normal_dim(name: str, dim: object, rank: int) -> int:
    """A dimension counted from the front; negative ones count from the end. Of a 0-d tensor, 0 and -1 are allowed."""
    if not isinstance(dim, int) or isinstance(dim, bool):
        raise ArgumentError(
            f"{name}: dim must be an int, not {describe(dim)}",
            hint="dimensions are ints, counted from 0, or from -1 backwards",
        )
    reach = max(rank, 1)
    if not -reach <= dim < reach:
        raise DimensionError(
            f"Dimension out of range (expected to be in range of [{-reach}, {reach - 1}], but got {dim})",
            hint=f"{name} takes a tensor of {rank} dimensions here",
        )
    return dim % reach


def normal_dims(name: str, dim: int | tuple[int, ...] | list[int] | None, rank: int) -> tuple[int, ...]:
    """Sorted dimensions counted from the front; None stands for all. Raises ArgumentError where one appears twice."""
    if dim is None:
        return tuple(range(rank))
    dims = [normal_dim(name, d, rank) for d in (dim if isinstance(dim, tuple | list) else (dim,))]
    if len(set(dims)) != len(dims):
        twice = next(d for i, d in enumerate(dims) if d in dims[:i])
        raise ArgumentError(
            f"dim {twice} appears multiple times in the list of dims", hint=f"{name}: name each dimension once"
        )
    return tuple(sorted(dims)) if rank else ()


def only_floats(name: str, x: Operand) -> Node:
    """The operand, which must be of real floats; raises DTypeError."""
    node = as_tensor(x)
    takes(name, node.tensor, FLOAT)
    return node


def widened(x: Node) -> Node:
    """A 16-bit float as float32, in which formulas of several steps are computed; anything else as it is."""
    return build.cast_to(x, f32) if x.tensor.dtype in (f16, bf16) else x


def detached(x: Node) -> Node:
    """x, which a gradient takes for a constant."""
    return ew.detach(x)
