"""The op that calls a function of the host, and callbacks into Python made of it.

Level: tensor graph. In: the name of a function (`graphc.ir.host`), its parameters, operands. Out: one node, or one for
each result. The call is opaque to passes: it stands alone between kernels, nothing repeats it, and what takes part in a
gradient has the rule of its function.

    q, r = call("linalg.qr", (x,), (q_type, r_type), mode="reduced")
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeAlias, cast

import numpy as np

from graphc.ir.attribute import Attribute
from graphc.ir.dtype import DType
from graphc.ir.errors import ArgumentError, MissingGradient, describe
from graphc.ir.graph import GET, Node
from graphc.ir.host import AnyArray, HostFunction, Parameters, find_host, register_host, run_host
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import Shape, TensorType, TupleType, Type
from graphc.ops import check

Results: TypeAlias = "tuple[tuple[Shape, DType], ...]"
"""Shape and dtype of each result."""


def _call_type(*operands: Type, function: str, parameters: Parameters, results: Results) -> Type:
    types = tuple(
        TensorType(check.sizes_at_least_zero(f"the call of {function}", shape), dtype) for shape, dtype in results
    )
    assert types, "a call has a result"
    return types[0] if len(types) == 1 else TupleType(types)


def _call_reference(
    out: Type, *arrays: AnyArray, function: str, parameters: Parameters, results: Results
) -> AnyArray | tuple[AnyArray, ...]:
    types = out.elements if isinstance(out, TupleType) else (out,)
    found = run_host(function, parameters, types, arrays)
    return found if isinstance(out, TupleType) else found[0]


def _call_vjp(
    ct: Node | tuple[Node | None, ...],
    out: Node | tuple[Node, ...],
    *operands: Node,
    function: str,
    parameters: Parameters,
    results: Results,
) -> tuple[Node | None, ...]:
    rule = find_host(function).vjp
    if rule is None:
        name = function.partition("#")[0]
        return refused_gradients(f"the derivative for '{name}' is not implemented.", operands)
    cotangents = ct if isinstance(ct, tuple) else (ct,)
    outputs = out if isinstance(out, tuple) else (out,)
    return rule(cotangents, outputs, *operands, **dict(parameters))


host_call: Op = register(
    Op(
        "host_call",
        "a function of the host, called by name",
        type_rule=_call_type,
        reference=_call_reference,
        vjp=_call_vjp,
        flags=Flags.OPAQUE | Flags.HOST,
        defaults=(("parameters", ()),),
    )
)


def results_of(node: Node) -> tuple[Node, ...]:
    """The results of a call, each as a node."""
    if isinstance(node.type, TensorType):
        return (node,)
    return tuple(GET(node, index=index) for index in range(len(node.type.elements)))


def call(
    function: str, operands: Sequence[Node], results: Sequence[TensorType], **parameters: Attribute
) -> tuple[Node, ...]:
    """Call a function of the host: a node for each of its results."""
    described = tuple((type.shape, type.dtype) for type in results)
    node = host_call(*operands, function=function, parameters=tuple(sorted(parameters.items())), results=described)
    return results_of(node)


def refused_gradients(message: str, operands: Sequence[Node]) -> tuple[Node | None, ...]:
    """Gradients that raise MissingGradient when a run gets to them: who needs none may go on without."""
    return tuple(
        call("refused_gradient", (), (x.tensor,), message=message)[0] if x.tensor.dtype.is_differentiable else None
        for x in operands
    )


def _refuse(results: tuple[TensorType, ...], *, message: str) -> AnyArray:
    raise MissingGradient(message, hint="detach what goes in or comes out, or take another way to the result")


register_host(HostFunction("refused_gradient", _refuse))

# Callbacks

Containers: TypeAlias = "tuple[Containers, ...] | None"
"""Nested tuples for tuples and lists, and None where a result stands."""

_names: dict[object, str] = {}
_lock = threading.Lock()


def register_callback(function: Callable[..., object]) -> str:
    """The name under which a graph calls a Python function; the same one each time.

    The table holds the function for the life of the process, as compiled code may call it at any time.
    """
    key: object = function if isinstance(function, Hashable) else id(function)
    with _lock:
        if key not in _names:
            name = f"pure_callback#{len(_names) + 1}"
            register_host(HostFunction(name, _callback(function)))
            _names[key] = name
        return _names[key]


def _callback(function: Callable[..., object]) -> Callable[..., object]:
    def run(results: tuple[TensorType, ...], *arrays: AnyArray, structure: Containers) -> object:
        # Copies: the function may keep what it gets, and the memory of a run is used again.
        given = function(*(np.array(array) for array in arrays))
        return tuple(_leaves(given, structure))

    return run


def _leaves(value: object, structure: Containers) -> Iterator[object]:
    """The results out of the containers that the function was to give."""
    if structure is None:
        yield _plain(value)
        return
    if not isinstance(value, tuple | list) or len(value) != len(structure):
        count = f"{len(value)} results" if isinstance(value, tuple | list) else describe(value)
        raise ArgumentError(
            f"pure_callback: the function gave {count}, not {len(structure)} results",
            hint="return a tuple as result_types says",
        )
    for each, inner in zip(value, structure):
        yield from _leaves(each, inner)


def _plain(value: object) -> object:
    """A number as it is; an array, or what numpy can make one from, as an array."""
    if isinstance(value, bool | int | float | complex) and not isinstance(value, np.generic):
        return value
    return np.asarray(cast("AnyArray", value))
