"""What becomes of each argument of a compiled function: an input of the graph, or a part of the program.

In: the leaves of a call. Out: the kind of each: a `TensorType` where it becomes an input, else a key of its value.
Arrays and numpy's scalars become inputs by dtype and shape, Python's floats and complex numbers inputs without
dimensions, of the width of the widest array. Ints, bools, strings, None and other hashable values are static: they are
part of the program. `Sizes` says which sizes of inputs are symbols.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import Size, symbol
from graphc.ir.dtype import DType, c64, c128, f32, f64, get_default_dtype
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, describe
from graphc.ir.scan import is_symbol_name
from graphc.ir.type import TensorType

Axes: TypeAlias = "int | str | tuple[int, ...] | Mapping[int, str]"
Dynamic: TypeAlias = "bool | Mapping[str, Axes] | None"
AnyArray: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Static:
    """The kind of a leaf that is part of the program. A type belongs to it, since 1 == True == 1.0."""

    type: type
    value: Hashable

    def __str__(self) -> str:
        return repr(self.value)


Kind: TypeAlias = "TensorType | Static"


def key_of(leaf: object) -> Hashable:
    """What decides which program serves this leaf; None if it must be looked at by `as_argument` first."""
    kind = type(leaf)
    if kind is np.ndarray:
        return leaf.dtype, leaf.shape  # type: ignore[attr-defined]  # it is an array
    if kind is float or kind is complex:
        return kind
    if kind is int or kind is bool or kind is str or leaf is None:
        return kind, leaf
    if isinstance(leaf, np.generic):
        return leaf.dtype, ()
    if _is_static(leaf):
        return kind, leaf
    return None


def as_argument(leaf: object, name: str) -> object:
    """An array-like object as an array, a number as Python's own; raises for what no program can take."""
    if isinstance(leaf, np.ndarray) and hasattr(leaf, "filled"):
        raise ArgumentError(
            f"the argument {name!r} is a masked array, whose mask would be lost",
            hint=f"pass {name}.filled(...), or the data and the mask as two arrays",
        )
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf if isinstance(leaf.device, int) else np.asarray(leaf)  # an array of a GPU is no array of numpy's
    if isinstance(leaf, float):
        return float(leaf)
    if isinstance(leaf, complex):
        return complex(leaf)
    if _is_static(leaf):
        return leaf
    if hasattr(leaf, "__array__") or hasattr(leaf, "__array_interface__"):
        return np.asarray(leaf)
    raise ArgumentError(
        f"the argument {name!r} is {describe(leaf)}: no array, no number, and no constant of the program",
        hint=_advice(leaf, name),
    )


def kinds_of(leaves: Sequence[object], names: Sequence[str], sizes: Sizes, is_wide: bool = False) -> tuple[Kind, ...]:
    """The kind of each leaf. `is_wide` says that 64-bit floats are among the arguments beside these."""
    dtypes = [
        _dtype_of(leaf, name) if isinstance(leaf, np.ndarray | np.generic) else None
        for leaf, name in zip(leaves, names, strict=True)
    ]
    is_wide = is_wide or f64 in dtypes or c128 in dtypes or get_default_dtype() is f64
    marks = sizes.of_call()
    kinds: list[Kind] = []
    for leaf, name, dtype in zip(leaves, names, dtypes, strict=True):
        if dtype is not None:
            assert isinstance(leaf, np.ndarray | np.generic)
            kinds.append(TensorType(marks.shape(name, leaf.shape), dtype))
        elif isinstance(leaf, float):
            kinds.append(TensorType((), f64 if is_wide else f32))
        elif isinstance(leaf, complex):
            kinds.append(TensorType((), c128 if is_wide else c64))
        else:
            kinds.append(Static(type(leaf), leaf))
    return tuple(kinds)


def as_array(leaf: object, kind: TensorType) -> AnyArray:
    """A leaf as an array of its kind's dtype, for the program."""
    if isinstance(leaf, np.ndarray):
        return leaf
    if isinstance(leaf, float) and -3e38 < leaf < 3e38:  # rounds without a warning, and needs no context manager
        return np.array(leaf, kind.dtype.numpy)
    with np.errstate(over="ignore"):
        return np.array(leaf, kind.dtype.numpy)


def _is_static(leaf: object) -> bool:
    """Whether a value can be part of a program: it can be hashed, and doesn't look like an array or an iterator."""
    if isinstance(leaf, np.ndarray | np.generic | float | complex):
        return False
    if isinstance(leaf, type):
        return True  # numpy's scalar types have the attributes of their instances
    if any(hasattr(leaf, name) for name in ("__array__", "__array_interface__", "__next__")):
        return False
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return False
    try:
        hash(leaf)
    except Exception:  # a class may refuse in its own way
        return False
    return True


def _advice(leaf: object, name: str) -> str:
    if hasattr(leaf, "toarray"):
        return f"pass a dense array: {name}.toarray()"
    if hasattr(leaf, "__next__"):
        return f"pass list({name}): an iterator is used up by the first call"
    return "pass numpy arrays, numbers, or lists, tuples and dicts of them"


def _dtype_of(leaf: AnyArray | np.generic, name: str) -> DType:
    try:
        found = to_dtype(leaf.dtype)
        if not found.is_storage_only:
            return found
        raise DTypeError(f"no arithmetic with {found.name}", hint="convert it")
    except DTypeError as error:
        kind = leaf.dtype.kind
        hints = {
            "O": f"an array of objects has no numbers for machine code: {name}.astype('float32') if it holds numbers",
            "U": "encode the strings as numbers first",
            "S": "encode the strings as numbers first",
            "f": f"convert it: {name}.astype('float64')",
            "c": f"convert it: {name}.astype('complex128')",
            "M": f"convert it to numbers: {name}.astype('int64')",
            "m": f"convert it to numbers: {name}.astype('int64')",
            "V": f"convert it: {name}.astype('float32')",  # the kind of 8-bit floats too
        }
        if leaf.dtype.names is not None:
            hints = {"V": "pass each field as an array"}
        elif leaf.dtype.type is np.void:
            hints = {"V": f"raw bytes have no numbers: {name}.view('float32') if they are such"}
        raise DTypeError(
            f"the argument {name!r} has dtype {leaf.dtype}, which graphc doesn't compute with",
            hint=hints.get(kind, error.hint),
        ) from None


class Sizes:
    """Which sizes of the arguments are symbols; see `graphc.compile` for what `dynamic` may be."""

    def __init__(self, dynamic: Dynamic) -> None:
        self.dynamic = dynamic
        if dynamic is not None and not isinstance(dynamic, bool):
            if not isinstance(dynamic, Mapping):
                _refuse(f"dynamic={dynamic!r}", "give True, or the dimensions by argument: dynamic={'x': 0}")
            self.marks = {name: _axes(name, axes) for name, axes in dynamic.items()}
        else:
            self.marks = {}

    @property
    def is_given(self) -> bool:
        """Whether any size may be a symbol."""
        return self.dynamic is not None and self.dynamic is not False

    def check(self, parameters: Sequence[str], names: Sequence[str]) -> None:
        """Raise ArgumentError if a name that is marked is none of the arguments."""
        known = {*parameters, *names}
        unknown = next((name for name in self.marks if name not in known), None)
        if unknown is not None:
            _refuse(
                f"dynamic names {unknown!r}, which is no argument",
                f"the arguments are {', '.join(map(repr, dict.fromkeys((*parameters, *names))))}",
            )

    def of_call(self) -> _CallSizes:
        """The symbols of one call."""
        return _CallSizes(self)


class _CallSizes:
    """The symbols of one call: by their name, or by the number where all equal sizes are one symbol."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._symbols: dict[object, Size] = {}
        self._names: set[str] = {label for axes in sizes.marks.values() for label in axes.values() if label is not None}

    def shape(self, name: str, shape: tuple[int, ...]) -> tuple[Size, ...]:
        if self._sizes.dynamic is True:
            return tuple(self._by_number(size) if size > 1 else size for size in shape)
        axes = self._sizes.marks.get(name)
        if axes is None and self._sizes.marks:  # an argument's mark goes for all that it contains
            axes = next((a for n, a in self._sizes.marks.items() if name.startswith((f"{n}[", f"{n}."))), None)
        if not axes:
            return shape
        result: list[Size] = list(shape)
        for axis, label in axes.items():
            if not -len(shape) <= axis < len(shape):
                _refuse(
                    f"dynamic names dimension {axis} of {name!r}, whose shape is {shape}",
                    f"its dimensions are 0 to {len(shape) - 1}" if shape else "it has no dimensions",
                )
            result[axis] = self._by_label(name, axis % len(shape), label)
        return tuple(result)

    def _by_number(self, size: int) -> Size:
        if size not in self._symbols:
            self._symbols[size] = symbol(f"n{len(self._symbols)}", 2)
        return self._symbols[size]

    def _by_label(self, name: str, axis: int, label: str | None) -> Size:
        key: object = label if label is not None else (name, axis)
        if key not in self._symbols:
            self._symbols[key] = symbol(label if label is not None else self._fresh(f"{name}_{axis}"))
        return self._symbols[key]

    def _fresh(self, wanted: str) -> str:
        """A symbol's name that no other size has."""
        name = "".join(c if c.isascii() and c.isalnum() else "_" for c in wanted)
        while name in self._names or not is_symbol_name(name):
            name += "_"
        self._names.add(name)
        return name


def _axes(name: str, given: object) -> dict[int, str | None]:
    """The marked dimensions of an argument, each with its symbol's name or None."""
    if not isinstance(name, str):
        _refuse(f"dynamic names {name!r}", "name arguments by strings: dynamic={'x': 0}")
    match given:
        case bool():
            pass
        case int():
            return {given: None}
        case str():
            return _checked({0: given})
        case tuple() | list() if all(isinstance(axis, int) for axis in given):
            return dict.fromkeys(given)
        case Mapping() if all(isinstance(axis, int) and isinstance(label, str) for axis, label in given.items()):
            return _checked(dict(given))
        case _:
            pass
    _refuse(f"dynamic gives {given!r} for {name!r}", "give a dimension, a tuple of dimensions, or names: {0: 'batch'}")


def _checked(axes: dict[int, str]) -> dict[int, str | None]:
    for label in axes.values():
        if not is_symbol_name(label):
            _refuse(f"dynamic: a size can't be called {label!r}", "use letters, digits and underscores")
    return dict(axes)


def _refuse(message: str, hint: str) -> NoReturn:
    raise ArgumentError(f"compile: {message}", hint=hint)
