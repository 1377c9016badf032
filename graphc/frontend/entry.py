"""An entry of the table as its callers see it: parameters, their names and types, and what a call got wrong.

In: a `Function` of `graphc/ops/function.py` and the arguments of a call. Out: a signature in the user's words, keywords
under PyTorch's names, and an ArgumentError for a call that no builder could serve.

>>> from graphc.ops.function import functions
>>> signature_of(functions()["softmax"])
<Signature (input: Tensor, dim: int, dtype: DType | str | None = None) -> Tensor>
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping

from graphc.frontend.signature import short_text
from graphc.ir.dim import Dim
from graphc.ir.errors import ArgumentError, GraphcError, SignatureError, describe, nearest
from graphc.ir.graph import Node
from graphc.ops.function import Function

ALIASES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"} | {
    "split_size": "split_size_or_sections"  # what Tensor.split calls that of torch.split
}
"""numpy's names of parameters, which PyTorch takes too, and one that has two names there."""

_WORDS = {
    "Node": "Tensor",
    "Nodes": "tuple[Tensor, ...]",
    "Operand": "Tensor | Number",
    "Key": "Tensor | int",
    "Dims": "int | Sequence[int] | None",
    "Ints": "int | Sequence[int]",
    "Sizes": "int | Sequence[int]",
    "Size": "int",
}
"""Our names of types, and what users read for them."""
_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b")


class _Text(str):
    """An annotation that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def signature_of(entry: Function) -> inspect.Signature:
    """The entry's signature as its callers read it."""
    return _signature(entry.build)


@functools.cache
def _signature(build: Callable[..., object]) -> inspect.Signature:
    plain = inspect.signature(build)
    parameters = [
        each if (shown := _shown(each.annotation)) is each.annotation else each.replace(annotation=shown)
        for each in plain.parameters.values()
    ]
    return plain.replace(parameters=parameters, return_annotation=_shown(plain.return_annotation))


class _Shown:
    """What a function that calls an entry wraps, as `inspect` sees it: it makes the signature when that is asked for.

    There are hundreds of entries, and signatures take long to make.
    """

    __slots__ = ("__wrapped__",)

    def __init__(self, build: Callable[..., object]) -> None:
        self.__wrapped__ = build

    @property
    def __signature__(self) -> inspect.Signature:
        return _signature(self.__wrapped__)


def show_as(function: Callable[..., object], entry: Function) -> None:
    """Let `help`, editors and `inspect` show a function that calls an entry with the entry's text and parameters."""
    function.__doc__ = entry.build.__doc__
    function.__wrapped__ = _Shown(entry.build)  # type: ignore[attr-defined]  # inspect.signature looks there
    function.__annotations__ = _annotations(entry.build)


@functools.cache
def _annotations(build: Callable[..., object]) -> dict[str, object]:
    if hasattr(build, "__signature__"):  # it tells of more parameters than the function it wraps
        own = inspect.signature(build)
        found = {name: each.annotation for name, each in own.parameters.items()} | {"return": own.return_annotation}
    else:
        found = build.__annotations__
    return {name: _shown(annotation) for name, annotation in found.items()}


@functools.cache
def _shown(annotation: object) -> object:
    return _Text(_WORD.sub(lambda match: _WORDS[match[0]], annotation)) if isinstance(annotation, str) else annotation


def renamed(entry: Function, kwargs: Mapping[str, object]) -> dict[str, object]:
    """The keywords with PyTorch's names where numpy's are given; raises ArgumentError where both are."""
    parameters = inspect.signature(entry.build).parameters
    result: dict[str, object] = {}
    for name, value in kwargs.items():
        known = ALIASES.get(name, name)
        if name in parameters or known not in parameters:
            known = name
        elif known in kwargs:
            raise ArgumentError(
                f"{entry.name}: {known!r} and {name!r} are both given, and mean the same", hint=f"give {known!r} alone"
            )
        result[known] = value
    return result


def explain(
    entry: Function, error: Exception, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> ArgumentError | None:
    """Why the entry's builder failed, if that is a mistake of its caller that the error doesn't name.

    The arguments are those that the builder got.
    """
    signature = inspect.signature(entry.build)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as misfit:
        return ArgumentError(f"{entry.name}: {misfit}", hint=_way_to_call(signature, kwargs))
    if entry.name.startswith("__"):
        return None  # an operator, whose operands have no names
    if isinstance(error, SignatureError) or (
        isinstance(error, GraphcError) and error.message.startswith(f"{entry.name}:")
    ):
        return None  # the builder has looked at the arguments itself
    # Another error of ours is about values; then a number, which some builders take for a tensor, is not to blame.
    may_be_number = isinstance(error, GraphcError)
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        takes = _Takes(str(parameter.annotation), may_be_number)
        is_many = parameter.kind is parameter.VAR_POSITIONAL
        labels = [f"{name}[{i}]" for i in range(len(value))] if is_many else [takes.label(name)]
        for label, each in zip(labels, value if is_many else (value,), strict=True):
            found = takes.problem(label, each)
            if found is not None:
                return ArgumentError(f"{entry.name}: {found[0]}", hint=found[1])
    return None


class _Takes:
    """What an annotation allows an argument to be, as far as tensors are concerned."""

    def __init__(self, annotation: str, may_be_number: bool) -> None:
        words = annotation.replace("Sequence[Node]", "Nodes").split(" | ")
        self._one = "Node" in words or "Operand" in words
        self._many = "Nodes" in words
        self._none = "None" in words
        self._number = may_be_number or not {"Operand", "Number", "int", "float"}.isdisjoint(words)
        self._numbers = "Sequence[int]" in words

    def label(self, name: str) -> str:
        """How to speak of the argument."""
        return f"the argument {name!r}" if self._many else f"the {name}"

    def problem(self, label: str, value: object) -> tuple[str, str] | None:
        """What is wrong with the value, and the way out."""
        if not (self._one or self._many) or (value is None and self._none) or (self._one and self._is_tensor(value)):
            return None
        if self._numbers and isinstance(value, list | tuple) and all(isinstance(each, int | Dim) for each in value):
            return None
        if not self._many:
            return f"{label} is {_kind(value)}, no tensor", _way_to_tensor(value)
        if not isinstance(value, list | tuple):
            return f"{label} is {_kind(value)}, no list of tensors", "pass a list or tuple of tensors"
        wrong = next(((i, each) for i, each in enumerate(value) if not self._is_tensor(each)), None)
        if wrong is None:
            return None
        return f"entry {wrong[0]} of {label} is {_kind(wrong[1])}, no tensor", _way_to_tensor(wrong[1])

    def _is_tensor(self, value: object) -> bool:
        return isinstance(value, Node) or (self._number and isinstance(value, int | float | complex | Dim))


def _kind(value: object) -> str:
    return "a tensor" if isinstance(value, Node) else "a size" if isinstance(value, Dim) else describe(value)


def _way_to_tensor(value: object) -> str:
    if isinstance(value, list | tuple) and any(isinstance(each, Node) for each in value):
        return "graphc.stack makes one tensor of a list of tensors"
    if isinstance(value, list | tuple | int | float | complex):
        return "pass a tensor, or make an array of it with numpy.asarray"
    return "pass a tensor or a numpy array"


def _way_to_call(signature: inspect.Signature, kwargs: Mapping[str, object]) -> str:
    takes = f"its parameters are {short_text(signature)}"
    unknown = next((name for name in kwargs if name not in signature.parameters), None)
    close = None if unknown is None else nearest(unknown, signature.parameters)
    return takes if close is None else f"did you mean {close!r}? {takes}"
