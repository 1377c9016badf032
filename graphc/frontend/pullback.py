"""`vjp`: a function's value, and the pullback that carries a cotangent of it back to the arguments.

In: a function and arguments. Out: value and pullback. On arrays the function is traced, differentiated and cut in two:
the forward program runs at once and keeps what the backward program, which the pullback runs, would otherwise have to
compute again. Inside a traced function both are parts of the graph.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from graphc.frontend.arguments import AnyArray, Sizes, as_argument
from graphc.frontend.executable import Executable
from graphc.frontend.scope import Scope, current_scope
from graphc.frontend.signature import Call, Signature
from graphc.frontend.specialize import Specializer
from graphc.frontend.tensor import SymbolicTensor, to_node
from graphc.frontend.trace import TracedGraph, outputs_of, run
from graphc.frontend.transform import FreshArguments, not_differentiable
from graphc.frontend.tree import Structure, flatten
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.dtype import Kind
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, describe
from graphc.ir.graph import Node
from graphc.ir.replace import replace_nodes
from graphc.ir.type import TensorType
from graphc.ops import build

if TYPE_CHECKING:
    from graphc.passes.partition import Saved


@hide_internal_frames
def vjp(function: Callable[..., object], *primals: object) -> tuple[object, Callable[[object], tuple[object, ...]]]:
    """(value, pullback): the function's value at `primals`, and what carries a cotangent of it back to them.

    `pullback(cotangent)` takes what has the containers, shapes and dtypes of the value (for results of integers
    anything), and gives a tuple of cotangents, one per argument. All arguments must be floats. Inside a traced function
    both are symbolic; on arrays both are compiled, once for each function and kind of arguments.

    >>> import numpy as np, graphc
    >>> value, pullback = graphc.vjp(lambda x: x * x, np.array([3.0]))
    >>> pullback(np.array([1.0]))
    (array([6.]),)
    """
    if not callable(function):
        raise ArgumentError(
            f"vjp: {describe(function)} is no function",
            hint="pass the function, then its arguments: vjp(f, x, y)",
        )
    leaves, structure = flatten(primals)
    call = Call(primals)
    if current_scope() is not None or any(isinstance(leaf, SymbolicTensor) for leaf in leaves):
        return _symbolic(function, call)
    specializer = _specializer(function)
    names = specializer.signature.leaf_names(call, structure)
    for leaf, name in zip(leaves, names):
        if isinstance(leaf, bool | int | str) and not isinstance(leaf, np.generic):
            raise not_differentiable(name, leaf)
    found, arrays, _ = specializer.find(call, leaves, structure)
    return found.made.run(arrays)


def _symbolic(function: Callable[..., object], call: Call) -> tuple[object, Callable[[object], tuple[object, ...]]]:
    # Late: importing graphc must be quick, and it needs no gradients.
    from graphc.passes.autodiff import vjp

    signature = Signature(function)
    with Scope(signature.name):
        fresh = FreshArguments(signature, call, range(len(call.values)))
        returned = run(function, signature, call, fresh.structure, fresh.leaves)
        outputs, results = outputs_of(returned, signature)

    @hide_internal_frames
    def pullback(cotangent: object) -> tuple[object, ...]:
        given = _take(results, cotangent)
        cotangents = [
            _cotangent(each, output) if output.tensor.dtype.is_differentiable else None
            for each, output in zip(given, outputs, strict=True)
        ]
        gradients = vjp(outputs, fresh.inputs, cotangents)
        filled = [build.zeros_like(x) if g is None else g for x, g in zip(fresh.inputs, gradients, strict=True)]
        tensors = [SymbolicTensor(node) for node in replace_nodes(filled, fresh.replaced)]
        return tuple(fresh.fill(tensors).values())

    values = [SymbolicTensor(node) for node in replace_nodes(outputs, fresh.replaced)]
    return results.fill(values), pullback


class _Pair:
    """The forward and the backward program of one graph."""

    def __init__(self, graph: TracedGraph) -> None:
        # Late: importing graphc must be quick, and it needs no gradients.
        from graphc.passes.autodiff import differentiate
        from graphc.passes.partition import partition

        assert graph.arguments is not None
        assert graph.results is not None
        for node in graph.inputs:
            if not node.tensor.dtype.is_differentiable:
                raise not_differentiable(str(node.attribute("name")), node.tensor.dtype)
        self._outputs = graph.outputs
        self._arguments = graph.arguments
        self._results = graph.results
        if not any(node.tensor.dtype.is_differentiable for node in graph.outputs):
            raise DTypeError(
                f"vjp: {graph.name} gives no floats, so there is nothing to differentiate",
                location=graph.inputs[0].location if graph.inputs else None,
                hint="return a float tensor",
            )
        self.parts = partition(differentiate(graph), len(graph.inputs), len(graph.outputs))
        self._forward = Executable.build(self.parts.forward)
        self._backward: Executable | None = None
        self._lock = threading.Lock()

    def run(self, arrays: list[AnyArray]) -> tuple[object, Callable[[object], tuple[object, ...]]]:
        """The value, and the pullback."""
        outputs = self._forward.call_flat(arrays)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        count = len(self._outputs)
        saved = [self._keep(each, arrays, outputs) for each in self.parts.saved]

        @hide_internal_frames
        def pullback(cotangent: object) -> tuple[object, ...]:
            given = _take(self._results, cotangent)
            cotangents = [
                _cotangent_array(each, output)
                for each, output in zip(given, self._outputs, strict=True)
                if output.tensor.dtype.is_differentiable
            ]
            gradients = self._executable().call_flat((*saved, *cotangents))
            leaves = gradients if isinstance(gradients, tuple) else (gradients,)
            result = self._arguments.fill(leaves)
            assert isinstance(result, tuple), "arguments are a tuple"
            return result

        return self._results.fill(outputs[:count]), pullback

    def _keep(self, saved: Saved, arrays: Sequence[AnyArray], outputs: Sequence[AnyArray]) -> AnyArray:
        """A saved value; what the caller can write to is copied, since the pullback belongs to the values of now."""
        value = (arrays if saved.source == "argument" else outputs)[saved.index]
        is_callers = saved.source == "argument" or saved.index < len(self._outputs)
        return np.copy(value) if is_callers else value

    def _executable(self) -> Executable:
        with self._lock:
            if self._backward is None:
                self._backward = Executable.build(self.parts.backward)
            return self._backward


def _take(results: Structure, cotangent: object) -> list[object]:
    """The leaves of a cotangent, which must have the containers of the value."""
    leaves: list[object] = []
    if not results.take(cotangent, leaves):
        raise ArgumentError(
            f"vjp: the cotangent has other containers than the value: {results.problem(cotangent, 'it')}",
            hint="give one cotangent for each result, in the same containers",
        )
    return leaves


def _check(given: TensorType, output: Node) -> None:
    if given.shape != output.shape:
        raise ShapeError(
            f"vjp: a cotangent of type {given} for a value of type {output.type}",
            hint="a cotangent has the shape of the value",
        )
    if given.dtype is not output.tensor.dtype:
        raise DTypeError(
            f"vjp: a cotangent of type {given} for a value of type {output.type}",
            hint=f"convert it to {output.tensor.dtype.name}",
        )


def _is_number(value: object, output: Node) -> bool:
    """Whether a Python number may stand for the cotangent."""
    is_plain = isinstance(value, int | float | complex) and not isinstance(value, np.generic)
    return (
        is_plain and output.shape == () and not (isinstance(value, complex) and output.tensor.dtype.kind < Kind.COMPLEX)
    )


def _cotangent(value: object, output: Node) -> Node:
    if _is_number(value, output):
        assert isinstance(value, int | float | complex)
        return build.constant(value, output.tensor.dtype)
    node = to_node(value)
    _check(node.tensor, output)
    return node


def _cotangent_array(value: object, output: Node) -> object:
    if isinstance(value, SymbolicTensor):
        _check(value.type, output)
        return value
    if _is_number(value, output):
        return np.asarray(value, output.tensor.dtype.numpy)
    array = as_argument(value, "cotangent")
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"vjp: a cotangent is {describe(value)}", hint=f"pass an array {output.type}")
    _check(TensorType(array.shape, to_dtype(array.dtype)), output)
    return array


# A function's programs go with it: the value must not hold its key.
_specializers: weakref.WeakKeyDictionary[Callable[..., object], Specializer[_Pair]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _specializer(function: Callable[..., object]) -> Specializer[_Pair]:
    try:
        with _lock:
            found = _specializers.get(function)
            if found is None:
                weak = _weakly(function)
                found = _specializers[function] = Specializer(weak, Signature(function), Sizes(None), _Pair)
            return found
    except TypeError:  # neither hashed nor weakly referred to: nothing is remembered
        return Specializer(function, Signature(function), Sizes(None), _Pair)


def _weakly(function: Callable[..., object]) -> Callable[..., object]:
    reference = weakref.ref(function)

    def call(*args: object, **kwargs: object) -> object:
        alive = reference()
        assert alive is not None, "who calls holds the function"
        return alive(*args, **kwargs)

    return call
