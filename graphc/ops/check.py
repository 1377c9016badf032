"""What type rules ask of operands, and the errors they raise, in the user's terms.

Level: the tensor graph's types. In: the name of an op and the types of its operands. Out: a shape or dtype on which
they agree, or a ShapeError, DTypeError or ArgumentError that names the values and the way out.

>>> from graphc.ir.dtype import f32
>>> equal_shapes("add", TensorType((2, 3), f32), TensorType((2, 4), f32))
Traceback (most recent call last):
    ...
graphc.ir.errors.ShapeError: add: the shapes [2,3] and [2,4] differ in axis 1, 3 and 4
  broadcast or reshape one of them first
"""

from __future__ import annotations

from graphc.ir.dim import Size, bounds, is_at_least, is_at_most
from graphc.ir.dtype import DType, Kind
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.type import Shape, TensorType

ANY = (Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.COMPLEX)
NUMBER = (Kind.INT, Kind.FLOAT, Kind.COMPLEX)
REAL = (Kind.INT, Kind.FLOAT)
ORDERED = (Kind.BOOL, Kind.INT, Kind.FLOAT)
FLOATING = (Kind.FLOAT, Kind.COMPLEX)
FLOAT = (Kind.FLOAT,)
COMPLEX = (Kind.COMPLEX,)
INTEGER = (Kind.INT,)
BITS = (Kind.BOOL, Kind.INT)
BOOL = (Kind.BOOL,)

_NAMES = {Kind.BOOL: "bools", Kind.INT: "integers", Kind.FLOAT: "floats", Kind.COMPLEX: "complex numbers"}
_EXAMPLES = {Kind.BOOL: "bool", Kind.INT: "int64", Kind.FLOAT: "float32", Kind.COMPLEX: "complex64"}


def shape_text(shape: Shape) -> str:
    """A shape as errors print it."""
    return f"[{','.join(map(str, shape))}]"


def takes(op: str, x: TensorType, kinds: tuple[Kind, ...], what: str = "") -> DType:
    """The operand's dtype, which must be of one of the kinds; `what` says which operand is meant."""
    if x.dtype.kind not in kinds:
        of = f" as {what}" if what else ""
        raise DTypeError(
            f"{op}: takes {_kinds(kinds)}{of}, not {x.dtype.name}",
            hint=f"convert it first, e.g. x.to({_EXAMPLES[kinds[-1] if Kind.FLOAT not in kinds else Kind.FLOAT]!r})",
        )
    return x.dtype


def equal_dtypes(op: str, *operands: TensorType) -> DType:
    """The one dtype of all operands."""
    first = operands[0].dtype
    for other in operands[1:]:
        if other.dtype is not first:
            raise DTypeError(
                f"{op}: the dtypes {first.name} and {other.dtype.name} differ",
                hint=f"convert one of them first, e.g. x.to({other.dtype.name!r})",
            )
    return first


def equal_shapes(op: str, *operands: TensorType) -> Shape:
    """The one shape of all operands."""
    first = operands[0].shape
    for other in operands[1:]:
        if other.shape == first:
            continue
        pair = f"{op}: the shapes {shape_text(first)} and {shape_text(other.shape)}"
        if len(first) != len(other.shape):
            raise ShapeError(f"{pair} differ in rank", hint="broadcast or reshape one of them first")
        axis, a, b = next((k, a, b) for k, (a, b) in enumerate(zip(first, other.shape)) if a != b)
        if can_be_equal(a, b):
            raise ShapeError(
                f"{pair} may differ: the sizes {a} and {b} of axis {axis} are not known to be equal",
                hint="give both sizes the same name where the shapes are declared",
            )
        raise ShapeError(f"{pair} differ in axis {axis}, {a} and {b}", hint="broadcast or reshape one of them first")
    return first


def equal_sizes(op: str, what: str, a: Size, b: Size) -> Size:
    """The one size; `what` names the two in the plural, e.g. "the contracted sizes"."""
    if a == b:
        return a
    if can_be_equal(a, b):
        raise ShapeError(
            f"{op}: {what} {a} and {b} are not known to be equal",
            hint="give both sizes the same name where the shapes are declared",
        )
    raise ShapeError(f"{op}: {what} differ, {a} and {b}", hint="check the shapes of the operands")


def can_be_equal(a: Size, b: Size) -> bool:
    """Whether the bounds leave room for two sizes that differ as expressions to be the same number."""
    low, high = bounds(a - b)
    return low <= 0 <= high and not (isinstance(a, int) and isinstance(b, int) and a != b)


def at_least(op: str, what: str, size: Size, least: int, hint: str) -> Size:
    """The size, which must be known to reach `least`."""
    if is_at_least(size, least):
        return size
    if bounds(size)[1] >= least:
        raise ShapeError(
            f"{op}: {what} is {size}, which is not known to be at least {least}",
            hint="give the named sizes bounds that decide it where the shapes are declared",
        )
    raise ShapeError(f"{op}: {what} is {size}, less than {least}", hint=hint)


def at_most(op: str, what: str, size: Size, limit: Size, hint: str) -> Size:
    """The size, which must be known not to exceed `limit`."""
    if is_at_most(size, limit):
        return size
    if bounds(limit - size)[1] >= 0:
        raise ShapeError(
            f"{op}: {what} is {size}, which is not known to be at most {limit}",
            hint="give the named sizes bounds that decide it where the shapes are declared",
        )
    raise ShapeError(f"{op}: {what} is {size}, more than {limit}", hint=hint)


def axis_in_range(op: str, x: TensorType, axis: int) -> int:
    """An axis of the operand, counted from 0."""
    if not isinstance(axis, int) or isinstance(axis, bool) or not 0 <= axis < x.rank:
        raise ArgumentError(f"{op}: {axis!r} is no axis of the shape {shape_text(x.shape)}", hint=_axes_hint(x.rank))
    return axis


def distinct_axes(op: str, x: TensorType, axes: tuple[int, ...], *, is_sorted: bool = False) -> tuple[int, ...]:
    """Axes of the operand, counted from 0, none twice; in rising order if `is_sorted`."""
    for axis in axes:
        axis_in_range(op, x, axis)
    if len(set(axes)) != len(axes):
        raise ArgumentError(f"{op}: an axis is named twice in {axes}", hint="name each axis once")
    if is_sorted and tuple(sorted(axes)) != axes:
        raise ArgumentError(f"{op}: the axes {axes} are not in rising order", hint="sort them")
    return axes


def one_per_axis(op: str, what: str, rank: int, *groups: tuple[Size, ...]) -> None:
    """Attributes that must have an entry for every axis."""
    for group in groups:
        if len(group) != rank:
            raise ArgumentError(
                f"{op}: {what} has {len(group)} entries for {rank} axes", hint="give one entry for every axis"
            )


def scalar_operand(op: str, what: str, x: TensorType) -> TensorType:
    """An operand without axes."""
    if x.shape:
        raise ShapeError(f"{op}: {what} has the shape {shape_text(x.shape)}, and must have no axes", hint="index it")
    return x


def sizes_at_least_zero(op: str, shape: Shape) -> Shape:
    """A shape given as an attribute; no size may be negative."""
    for axis, size in enumerate(shape):
        at_least(op, f"the size of axis {axis}", size, 0, "sizes count elements: give 0 or more")
    return shape


def _kinds(kinds: tuple[Kind, ...]) -> str:
    names = [_NAMES[kind] for kind in kinds]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _axes_hint(rank: int) -> str:
    return f"its axes are 0 to {rank - 1}" if rank else "it has no axes"
