"""Python functions inside compiled code.

Level: tensor graph. In: a function of numpy arrays, and the types of what it gives. Out: nodes of these types; the
function runs when the program gets there, on the values it has then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from graphc.ir.attribute import Attribute
from graphc.ir.dim import Size, symbols
from graphc.ir.errors import ArgumentError, SignatureError, describe
from graphc.ir.graph import Node
from graphc.ir.spec import parse_specs
from graphc.ir.type import TensorType
from graphc.ops.composite.operand import Operand, as_tensor
from graphc.ops.function import function
from graphc.ops.host import call, register_callback

ResultTypes: TypeAlias = "str | Node | TensorType | Sequence[ResultTypes]"
"""The type of a result as a spec, as a tensor of this type, or as it is; or a tuple or list of such."""


@function()
def pure_callback(callback: Callable[..., object], result_types: ResultTypes, *args: Operand) -> object:
    """What a Python function gives for the values of `args`, which it gets as numpy arrays of its own.

    `result_types` describes the results: a spec such as "f32[3,n]" (n a size of the arguments), a tensor of the wanted
    shape and dtype, or a tuple or list of these, which is what the call gives too. The function returns arrays of just
    these types, or plain numbers, in the same containers. It must give the same for the same values and change nothing
    else, for it may run any number of times, or not at all. What it raises is raised by the run. It has no gradient:
    detach what goes in, or give the call a gradient of its own with `custom_vjp`.

    >>> import numpy as np, graphc
    >>> double = graphc.compile(lambda x: graphc.pure_callback(lambda a: a * 2, x, x) + 1)
    >>> double(np.array([1.0, 2.0]))
    array([3., 5.])
    """
    if not callable(callback):
        raise SignatureError(
            f"pure_callback: {describe(callback)} is no function",
            hint="pass the function, the types of its results, and its arguments",
        )
    operands = [as_tensor(each) for each in args]
    known: dict[str, Size] = {s.name: s.size for node in operands for size in node.shape for s in symbols(size)}
    types: list[TensorType] = []
    structure = _read(result_types, known, types)
    if not types:
        raise ArgumentError("pure_callback: the function gives nothing", hint="name the type of a result at least")
    name = register_callback(callback)
    return _filled(result_types, iter(call(name, operands, types, structure=structure)))


def _read(described: ResultTypes, known: dict[str, Size], types: list[TensorType]) -> Attribute:
    """Add the types in order; the containers as nested tuples, with None for a leaf."""
    match described:
        case Node():
            types.append(described.tensor)
        case TensorType():
            types.append(described)
        case str():
            types += parse_specs((described,), known)
            unknown = [s.name for size in types[-1].shape for s in symbols(size) if s.name not in known]
            if unknown:
                raise ArgumentError(
                    f"pure_callback: the size {unknown[0]} in {described!r} is none of the arguments' sizes",
                    hint="give a number, or a tensor of the wanted shape and dtype",
                )
        case tuple() | list():
            return tuple(_read(each, known, types) for each in described)
        case _:
            raise SignatureError(
                f"pure_callback: {describe(described)} is no type of a result",
                hint='give a spec such as "f32[3,4]", a tensor of the same shape and dtype, or a tuple of these',
            )
    return None


def _filled(described: ResultTypes, results: Iterator[Node]) -> object:
    if isinstance(described, tuple):
        return tuple(_filled(each, results) for each in described)
    if isinstance(described, list):
        return [_filled(each, results) for each in described]
    return next(results)
