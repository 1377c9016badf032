"""Symbolic tensors: what a traced function computes with.

A symbolic tensor stands for a node of the graph being built. Its methods and the functions of `graphc` come from the
one table in `graphc/ops/function.py`. It has a shape and a dtype but no values: Python code that asks for a value gets
an error that names the line and what to use instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NoReturn

import numpy as np

from graphc.ir import location
from graphc.ir.attribute import Array
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.dtype import DType, dtype
from graphc.ir.errors import ArgumentError, GraphcError, TraceError
from graphc.ir.graph import Node
from graphc.ir.type import Shape, TensorType
from graphc.ops import creation
from graphc.ops.function import Function, functions


class SymbolicTensor:
    """A tensor of a graph under construction: shape and dtype, no values."""

    __slots__ = ("node",)
    __array_priority__ = 1000  # numpy's operators hand over to ours
    __array_ufunc__ = None

    node: Node

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def shape(self) -> Shape:
        """Sizes of the dimensions: ints, or expressions of named sizes."""
        return self.node.shape

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.node.tensor.dtype

    @property
    def type(self) -> TensorType:
        """Shape and dtype together."""
        return self.node.tensor

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.node.shape)

    def __repr__(self) -> str:
        return f"SymbolicTensor({self.node.type}, op={self.node.op.name})"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        size = self.shape[0]
        if not isinstance(size, int):
            self._refuse(
                f"len() asks for the number behind the symbolic size {size}", "use x.shape[0], a size expression"
            )
        return size

    def __iter__(self) -> Iterator[SymbolicTensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))  # type: ignore[index]  # __getitem__ comes from the table

    __hash__ = object.__hash__

    @hide_internal_frames
    def __bool__(self) -> bool:
        self._refuse(
            f"the truth of a {self.node.type} is asked for, but a traced tensor has no value yet",
            "use graphc.where(condition, a, b) to choose between values; "
            "branch in Python only on shapes, dtypes and plain arguments",
        )

    @hide_internal_frames
    def __int__(self) -> int:
        self._refuse_number("int()")

    @hide_internal_frames
    def __float__(self) -> float:
        self._refuse_number("float()")

    @hide_internal_frames
    def __complex__(self) -> complex:
        self._refuse_number("complex()")

    @hide_internal_frames
    def __index__(self) -> int:
        self._refuse_number("an index or range()")

    @hide_internal_frames
    def __array__(self, *_: object, **__: object) -> NoReturn:
        self._refuse(
            f"numpy is asked to read a {self.node.type}, but a traced tensor has no values yet",
            "use the functions of graphc instead of numpy's inside a traced function",
        )

    @hide_internal_frames
    def item(self) -> NoReturn:
        """Refused: a traced tensor has no value."""
        self._refuse_number("item()")

    @hide_internal_frames
    def tolist(self) -> NoReturn:
        """Refused: a traced tensor has no values."""
        self._refuse_number("tolist()")

    @hide_internal_frames
    def numpy(self) -> NoReturn:
        """Refused: a traced tensor has no values."""
        self._refuse_number("numpy()")

    def _refuse_number(self, what: str) -> NoReturn:
        self._refuse(
            f"{what} asks for the value of a {self.node.type}, but a traced tensor has no value yet",
            "keep it a tensor, or return it from the compiled function and read it outside",
        )

    def _refuse(self, message: str, hint: str) -> NoReturn:
        raise TraceError(message, location=location.current_location(), hint=hint)


def to_node(value: object) -> Node:
    """The node of a symbolic tensor, or a constant node of an array or number."""
    if isinstance(value, SymbolicTensor):
        return value.node
    if isinstance(value, Node):
        return value
    if isinstance(value, np.ndarray | np.generic | int | float | complex | bool):
        array = np.asarray(value)
        if isinstance(value, float | complex) and not isinstance(value, np.generic):
            array = array.astype(np.float32 if isinstance(value, float) else np.complex64)
        dtype(array.dtype)  # raises for what we don't compute with
        return creation.constant(value=Array(array.astype(array.dtype.newbyteorder("="))))
    raise ArgumentError(
        f"a {type(value).__name__} can't be part of a graph",
        location=location.current_location(),
        hint="use symbolic tensors, numpy arrays or numbers",
    )


def wrap(result: object) -> object:
    """Nodes as symbolic tensors, also inside tuples, named tuples and lists."""
    if isinstance(result, Node):
        return SymbolicTensor(result)
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        make: Callable[..., object] = type(result)
        return make(*map(wrap, result))
    if isinstance(result, tuple | list):
        return tuple(map(wrap, result)) if isinstance(result, tuple) else [*map(wrap, result)]
    return result


def unwrap(argument: object) -> object:
    """Symbolic tensors and arrays as nodes, also inside tuples, lists and slices."""
    if isinstance(argument, SymbolicTensor):
        return argument.node
    if isinstance(argument, np.ndarray):
        return to_node(argument)
    if isinstance(argument, np.generic):
        return argument.item()
    if isinstance(argument, tuple | list) and not hasattr(argument, "_fields"):
        return tuple(map(unwrap, argument)) if isinstance(argument, tuple) else [*map(unwrap, argument)]
    if isinstance(argument, slice):
        return slice(unwrap(argument.start), unwrap(argument.stop), unwrap(argument.step))
    return argument


def has_symbolic(*values: object) -> bool:
    """Whether a symbolic tensor is among the values or in their lists, tuples and dicts."""
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, SymbolicTensor):
            return True
        if isinstance(value, list | tuple):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
    return False


def call(entry: Function, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    """Build what a table entry stands for."""
    try:
        result = entry.build(*map(unwrap, args), **{name: unwrap(value) for name, value in kwargs.items()})
    except GraphcError as error:
        if error.location is None:
            error.location = location.current_location()
        raise
    return wrap(result)


def free_function(entry: Function) -> Callable[..., object]:
    """The function of `graphc` that a table entry gives."""

    @functools.wraps(entry.build)
    @hide_internal_frames
    def symbolic(*args: object, **kwargs: object) -> object:
        return call(entry, args, kwargs)

    symbolic.__name__ = symbolic.__qualname__ = entry.name
    symbolic.__module__ = "graphc"
    return symbolic


def _method(entry: Function) -> Callable[..., object]:
    @functools.wraps(entry.build)
    @hide_internal_frames
    def method(self: SymbolicTensor, *args: object, **kwargs: object) -> object:
        return call(entry, (self, *args), kwargs)

    method.__name__ = entry.name
    method.__qualname__ = f"SymbolicTensor.{entry.name}"
    return method


PROPERTIES = ("T", "mT", "H", "real", "imag")
"""Methods of the table that are written without parentheses."""


def _install() -> None:
    for entry in functions().values():
        if entry.is_method:
            method = _method(entry)
            setattr(SymbolicTensor, entry.name, property(method) if entry.name in PROPERTIES else method)


_install()
