"""Symbolic tensors: what a traced function computes with.

A symbolic tensor stands for a node of the graph being built. Its methods and the functions of `graphc` come from the
one table in `graphc/ops/function.py`. It has a shape and a dtype but no values: Python code that asks for a value gets
an error that names the line and what to use instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from graphc.frontend.autocast import CASTING, Caster, converted, rounded
from graphc.frontend.concrete import constant_array, has_tensors
from graphc.frontend.entry import explain, renamed, show_as
from graphc.frontend.scope import Scope, current_scope
from graphc.frontend.size import SymbolicSize, of_user
from graphc.ir.attribute import Array
from graphc.ir.boundary import hide_frames, hide_internal_frames
from graphc.ir.dim import Dim
from graphc.ir.dtype import DType, default_complex, dtype, get_default_dtype, i64
from graphc.ir.errors import ArgumentError, DTypeError, MemoryExceeded, TraceError, UnknownAttribute, describe, nearest
from graphc.ir.graph import Node
from graphc.ir.type import TensorType
from graphc.ops import build, creation
from graphc.ops.function import Function, functions


class SymbolicTensor:
    """A tensor of a graph under construction: shape and dtype, no values."""

    __slots__ = ("__weakref__", "node", "scope")

    node: Node
    scope: Scope | None
    """The run of a traced function that it belongs to; placeholders belong to none."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.scope = current_scope()

    @property
    def shape(self) -> tuple[int | SymbolicSize, ...]:
        """Sizes of the dimensions: ints, or expressions of named sizes."""
        return tuple(map(of_user, self.node.shape))

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

    def __format__(self, specification: str) -> str:
        return repr(self)  # so that a print with a format for numbers works while a function is traced

    @hide_internal_frames
    def __len__(self) -> int:
        if not self.shape:
            self._refuse("len() of a tensor without dimensions", "it holds one value: use it as it is")
        size = self.shape[0]
        if not isinstance(size, int):
            self._refuse(
                f"len() asks for the number behind the symbolic size {size}", "use x.shape[0], a size expression"
            )
        return size

    @hide_internal_frames
    def __iter__(self) -> Iterator[SymbolicTensor]:
        if not self.shape:
            self._refuse("a tensor without dimensions can't be iterated over", "it holds one value: use it as it is")
        if not isinstance(self.shape[0], int):
            self._refuse(
                f"a loop over a tensor needs to know its first size, which is the symbol {self.shape[0]}",
                "compute with all of it at once, or give that dimension a number",
            )
        return iter([self[i] for i in range(self.shape[0])])  # type: ignore[index]  # __getitem__ is of the table

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):  # numpy and others ask whether there is such a method
            raise AttributeError(f"a symbolic tensor has no {name}")
        self._refuse_attribute(name)

    __hash__ = object.__hash__

    def __copy__(self) -> SymbolicTensor:
        return self

    def __deepcopy__(self, memo: object) -> SymbolicTensor:
        return self  # a copied node would be another value

    @hide_internal_frames
    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self._refuse(
            f"a {self.node.type} can't be pickled, since a traced tensor has no values",
            "return it from the compiled function and pickle the result; str(graph) keeps a graph",
        )

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

    @hide_internal_frames
    def __array__(self, *_: object, **__: object) -> NoReturn:
        self._refuse(
            f"numpy is asked to read a {self.node.type}, but a traced tensor has no values yet",
            "use the functions of graphc instead of numpy's inside a traced function",
        )

    @hide_internal_frames
    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **options: object) -> object:
        """What numpy calls for `array + x` and for `numpy.add(array, x)`, which it doesn't tell apart."""
        operator = _REFLECTED.get(ufunc.__name__)
        if operator is not None and method == "__call__" and inputs[1] is self and not options:
            return getattr(self, operator)(inputs[0])
        self._refuse_numpy(ufunc.__name__)

    @hide_internal_frames
    def __array_function__(
        self, function: Callable[..., object], types: object, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> NoReturn:
        self._refuse_numpy(function.__name__)

    @hide_internal_frames
    def _refuse_attribute(self, name: str) -> NoReturn:
        close = nearest(name, [entry.name for entry in functions().values() if entry.is_method])
        hint = _NUMPY_METHODS.get(name) or (None if close is None else f"did you mean {close}?")
        raise UnknownAttribute(f"a symbolic tensor has no {name!r}", hint=hint)

    def _refuse_numpy(self, name: str) -> NoReturn:
        ours = _NUMPY_NAMES.get(name, name)
        entry = functions().get(ours)
        instead = f"use graphc.{ours}" if entry is not None and entry.is_function else "use the functions of graphc"
        self._refuse(
            f"numpy.{name} can't compute with a {self.node.type}: a traced tensor has no values yet",
            f"{instead} inside a traced function",
        )

    def _refuse_number(self, what: str) -> NoReturn:
        self._refuse(
            f"{what} asks for the value of a {self.node.type}, but a traced tensor has no value yet",
            "keep it a tensor, or return it from the compiled function and read it outside",
        )

    def _refuse(self, message: str, hint: str) -> NoReturn:
        raise TraceError(message, hint=hint)


_REFLECTED = {
    "add": "__radd__",
    "subtract": "__rsub__",
    "multiply": "__rmul__",
    "divide": "__rtruediv__",
    "floor_divide": "__rfloordiv__",
    "remainder": "__rmod__",
    "power": "__rpow__",
    "matmul": "__rmatmul__",
    "bitwise_and": "__rand__",
    "bitwise_or": "__ror__",
    "bitwise_xor": "__rxor__",
    "left_shift": "__rlshift__",
    "right_shift": "__rrshift__",
    "less": "__gt__",
    "less_equal": "__ge__",
    "greater": "__lt__",
    "greater_equal": "__le__",
    "equal": "__eq__",
    "not_equal": "__ne__",
}
"""numpy's functions behind its operators, and the method of ours that does the same from the right."""

_OPERATORS = {*_REFLECTED.values(), *(name.replace("__r", "__", 1) for name in _REFLECTED.values()), "__truediv__"}

_NUMPY_METHODS = {
    "astype": "convert with x.to('float32')",
    "copy": "a traced tensor never changes: use it as it is",
    "backward": "use graphc.grad of the function, or graphc.gradients of the tensor",
}
"""What to use for a method that is not here."""

_NUMPY_NAMES = {
    "absolute": "abs",
    "concatenate": "cat",
    "expand_dims": "unsqueeze",
    "negative": "neg",
    "power": "pow",
    "transpose": "permute",
}
"""Functions that have another name here."""


def node_of(tensor: SymbolicTensor) -> Node:
    """The tensor's node; raises TraceError if the run of the function that it belongs to is over."""
    scope = tensor.scope
    if scope is not None and not scope.is_open:
        node = tensor.node
        made = "" if node.location is None else f", by {node.location.describe()}"
        raise TraceError(
            f"a {node.type} is used after the call of {scope.name} in which it was made{made}",
            hint="a traced tensor has no value of its own: return it from the function instead of keeping it",
        )
    return tensor.node


def to_node(value: object) -> Node:
    """The node of a symbolic tensor, or a constant node of an array, number or size."""
    if isinstance(value, SymbolicTensor):
        return node_of(value)
    if isinstance(value, Node):
        return value
    if isinstance(value, SymbolicSize):
        return build.size_of(value.dim, i64)
    if isinstance(value, np.ndarray | np.generic | int | float | complex | bool):
        return constant(value)
    if has_tensors((value,)):
        return constant(constant_array(value))
    raise ArgumentError(
        f"{describe(value)} can't be part of a graph",
        hint="use symbolic tensors, numpy arrays or numbers",
    )


def constant(value: object, wanted: DType | None = None) -> Node:
    """An array or number as a constant; Python's floats and complex numbers are rounded to the default dtype."""
    array = np.asarray(value)
    if wanted is None and not isinstance(value, np.ndarray | np.generic):
        _check_number(value)
        defaults = {complex: default_complex(), float: get_default_dtype()}
        wanted = next((each for kind, each in defaults.items() if isinstance(value, kind)), None)
    wanted = wanted or dtype(array.dtype)
    try:
        with np.errstate(over="ignore"):
            return creation.constant(value=Array(array.astype(wanted.numpy)))
    except MemoryError:
        raise MemoryExceeded(
            f"an array of shape {array.shape} becomes a constant, and there is no memory for its "
            f"{array.size * wanted.numpy.itemsize} bytes",
            hint="use a smaller one and expand it in the function, or pass it as an argument",
        ) from None


def _check_number(value: object) -> None:
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise DTypeError(
            f"the number {value} doesn't fit into int64",
            hint="write it as a float, or compute with smaller numbers",
        )


def wrap(result: object) -> object:
    """Nodes as symbolic tensors and sizes as the user sees them, also inside tuples, named tuples and lists."""
    if isinstance(result, Node):
        return SymbolicTensor(result)
    if isinstance(result, Dim):
        return SymbolicSize(result)
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        make: Callable[..., object] = type(result)
        return make(*map(wrap, result))
    if isinstance(result, tuple | list):
        return tuple(map(wrap, result)) if isinstance(result, tuple) else [*map(wrap, result)]
    return result


def unwrap(argument: object) -> object:
    """Symbolic tensors and arrays as nodes, also inside tuples, lists and slices."""
    if isinstance(argument, SymbolicTensor):
        return node_of(argument)
    if isinstance(argument, SymbolicSize):
        return argument.dim
    if isinstance(argument, np.ndarray):
        return to_node(argument)
    if isinstance(argument, np.generic):
        return argument.item()
    if has_tensors((argument,)):
        return to_node(argument)
    if isinstance(argument, tuple | list) and not hasattr(argument, "_fields"):
        return tuple(map(unwrap, argument)) if isinstance(argument, tuple) else [*map(unwrap, argument)]
    if isinstance(argument, slice):
        return slice(unwrap(argument.start), unwrap(argument.stop), unwrap(argument.step))
    return argument


def call(entry: Function, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    """Build what a table entry stands for."""
    if entry.name in _OPERATORS:  # where a size is an operand like any number
        args = tuple(SymbolicTensor(to_node(each)) if isinstance(each, SymbolicSize) else each for each in args)
    if "axis" in kwargs or "keepdims" in kwargs:
        kwargs = renamed(entry, kwargs)
    nodes: tuple[Any, ...] = tuple([unwrap(each) for each in args])
    named: dict[str, Any] = {name: unwrap(value) for name, value in kwargs.items()}
    final: DType | None = None
    if CASTING:
        nodes, named, final = converted(entry, nodes, named, _NODES)
    try:
        result = entry.build(*nodes, **named)
    except Exception as error:
        cause = explain(entry, error, nodes, named)
        if cause is None:
            raise
        raise cause from None
    return wrap(result if final is None else rounded(result, final, _NODES))


_NODES = Caster(
    Node,
    lambda node: node.tensor.dtype if isinstance(node.type, TensorType) else None,
    lambda node: None,
    build.cast_to,
)
"""How `autocast` converts what symbolic tensors stand for, which may run anywhere."""


def _method(entry: Function) -> Callable[..., object]:
    def method(self: SymbolicTensor, *args: object, **kwargs: object) -> object:
        try:
            return call(entry, (self, *args), kwargs)
        except Exception as error:
            hide_frames(error)
            raise

    method.__name__ = entry.name
    method.__qualname__ = f"SymbolicTensor.{entry.name}"
    show_as(method, entry)
    return method


PROPERTIES = ("T", "mT", "H", "mH", "real", "imag")
"""Methods of the table that are written without parentheses."""


def _install() -> None:
    for entry in functions().values():
        if entry.is_method:
            method = _method(entry)
            setattr(SymbolicTensor, entry.name, property(method) if entry.name in PROPERTIES else method)


_install()
