"""Gradients of one's own: `custom_vjp` gives a function another gradient, `checkpoint` one that keeps less memory.

In: functions of tensors. Out: tensors whose nodes hold, as a graph, how their gradient is computed; what they are
computed from is in the graph around them as usual, so fusion sees no border.

    @graphc.custom_vjp
    def clip_gradient(x):
        return x

    clip_gradient.defvjp(lambda x: (x, None), lambda residuals, ct: (ct.clamp(-1, 1),))
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

import numpy as np

from graphc.frontend.arguments import Sizes
from graphc.frontend.compile import CompiledFunction
from graphc.frontend.scope import Scope, current_scope
from graphc.frontend.signature import Call, Signature
from graphc.frontend.size import SymbolicSize
from graphc.frontend.tensor import SymbolicTensor, to_node
from graphc.frontend.trace import outputs_of, run
from graphc.frontend.tree import Structure, flatten
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.errors import ArgumentError, ShapeError, describe
from graphc.ir.graph import INPUT, Node, make_input, topological_order
from graphc.ir.replace import replace_nodes
from graphc.ops import build, control


class CustomFunction:
    """A function with a gradient of its own; what `custom_vjp` returns."""

    def __init__(self, function: Callable[..., object], nondiff_argnums: Sequence[int] = ()) -> None:
        if not callable(function):
            raise ArgumentError(
                f"custom_vjp: {describe(function)} is no function", hint="use it as a decorator of a function"
            )
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self._signature = Signature(function)
        self._fixed = tuple(nondiff_argnums)
        self._forward: Callable[..., object] | None = None
        self._backward: Callable[..., object] | None = None
        self._compiled = CompiledFunction(self, Sizes(None), records=False)
        self._own = threading.local()
        """Whether this thread is in the forward rule, whose calls of the function are plain ones."""

    @hide_internal_frames
    def defvjp(self, fwd: Callable[..., object], bwd: Callable[..., object]) -> None:
        """Say how the gradient is computed.

        `fwd` takes the function's arguments and gives (its value, residuals): anything made of tensors that `bwd` is to
        know. `bwd(residuals, cotangent)` gives a tuple with a cotangent for each argument, None where there is none;
        arguments numbered in `nondiff_argnums` are passed to it in front, and have no cotangents.
        """
        self._forward, self._backward = fwd, bwd

    @hide_internal_frames
    def __call__(self, /, *args: object, **kwargs: object) -> object:
        """The function's value; raises ArgumentError where `defvjp` hasn't been called, or its rules don't fit."""
        call = self._signature.bind(args, kwargs)
        leaves, structure = flatten(call.values)
        if current_scope() is None and not any(isinstance(leaf, SymbolicTensor) for leaf in leaves):
            return self._compiled(*args, **kwargs)
        if getattr(self._own, "is_running", False):
            return run(self.function, self._signature, call, structure, leaves)
        if self._forward is None or self._backward is None:
            raise ArgumentError(
                f"No VJP defined for custom_vjp function {self._signature.name} using defvjp.",
                hint=f"call {self._signature.name}.defvjp(forward, backward) first",
            )
        return _Differentiated(self._signature, self._fixed, call, leaves, structure).build(
            self.function, self._protected(self._forward), self._backward
        )

    def __repr__(self) -> str:
        return f"<custom_vjp {self._signature.name}>"

    def _protected(self, forward: Callable[..., object]) -> Callable[..., object]:
        def protected(*args: object, **kwargs: object) -> object:
            self._own.is_running = True
            try:
                return forward(*args, **kwargs)
            finally:
                self._own.is_running = False

        return protected


class _Differentiated:
    """One call of a function with a gradient of its own."""

    def __init__(
        self, signature: Signature, fixed: tuple[int, ...], call: Call, leaves: Sequence[object], structure: Structure
    ) -> None:
        self._signature = signature
        self._call = call
        self._leaves = leaves
        self._structure = structure
        self._nodes = [to_node(leaf) if _is_tensor(leaf) else None for leaf in leaves]
        count = len(call.values)
        self._fixed = {number % count for number in fixed} if count else set()

    def build(
        self,
        function: Callable[..., object],
        forward: Callable[..., object],
        backward: Callable[..., object],
    ) -> object:
        name = self._signature.name
        returned = run(function, self._signature, self._call, self._structure, self._leaves)
        outputs, results = outputs_of(returned, self._signature)
        pair = run(forward, self._signature, self._call, self._structure, self._leaves)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ArgumentError(
                f"{name}: the forward rule gives {describe(pair)}",
                hint="return a pair: the value of the function, and what the backward rule needs",
            )
        same, structure = outputs_of(pair[0], self._signature)
        if structure != results or [node.type for node in same] != [node.type for node in outputs]:
            raise ArgumentError(
                f"{name}: the forward rule gives a value of type {_types(same)}, the function one of {_types(outputs)}",
                hint="the first entry of what the forward rule returns is the function's value",
            )
        kept, residuals = flatten(pair[1])
        saved = [to_node(leaf) if _is_tensor(leaf) else None for leaf in kept]
        operands = tuple(dict.fromkeys(node for node in (*self._nodes, *saved) if node is not None))
        place = {node: i for i, node in reversed([*enumerate(same)])}

        def rule(cts: tuple[Node, ...], values: tuple[Node, ...], inner: tuple[Node, ...]) -> list[Node | None]:
            given = dict(zip(operands, inner, strict=True))
            # A residual that is the value is the node that has this gradient: so has its own gradient then.
            stands_for = {node: values[place[node]] if node in place else given[node] for node in operands}
            read = [leaf if node is None else SymbolicTensor(stands_for[node]) for leaf, node in zip(kept, saved)]
            remaining = iter(cts)
            arrived = [
                SymbolicTensor(next(remaining)) if node.tensor.dtype.is_differentiable else None for node in outputs
            ]
            fixed = [value for i, value in enumerate(self._call.values) if i in self._fixed]
            gradients = self._gradients(backward(*fixed, residuals.fill(read), results.fill(arrived)))
            total: dict[Node, Node] = {}
            for node, gradient in zip(self._nodes, gradients, strict=True):
                if node is not None and gradient is not None and node.tensor.dtype.is_differentiable:
                    total[node] = _added(total.get(node), gradient)
            return [total.get(node) for node in operands]

        values = control.with_gradient(outputs, operands, rule)
        return results.fill([SymbolicTensor(node) for node in values])

    def _gradients(self, returned: object) -> list[Node | None]:
        """A gradient for each leaf of the arguments, from what the backward rule returned."""
        name = self._signature.name
        wanted = len(self._call.values) - len(self._fixed)
        if not isinstance(returned, tuple) or len(returned) != wanted:
            raise ArgumentError(
                f"{name}: the backward rule gives {describe(returned)}"
                + (f" of {len(returned)}" if isinstance(returned, tuple) else ""),
                hint=f"return a tuple with a cotangent, or None, for each of the {wanted} arguments",
            )
        entries = iter(returned)
        found: list[Node | None] = []
        for number, structure in enumerate(self._structure.entries):
            entry = None if number in self._fixed else next(entries)
            leaves: list[object] = []
            if entry is None:
                leaves = [None] * structure.count
            elif not structure.take(entry, leaves):
                raise ArgumentError(
                    f"{name}: a cotangent has other containers than the argument: {structure.problem(entry, 'it')}",
                    hint="give a cotangent for each tensor of the argument, in the same containers",
                )
            for leaf in leaves:
                found.append(self._gradient(leaf, self._nodes[len(found)]))
        return found

    def _gradient(self, leaf: object, node: Node | None) -> Node | None:
        if leaf is None or node is None or not node.tensor.dtype.is_differentiable:
            return None
        gradient = to_node(leaf)
        if gradient.shape != node.shape:
            raise ShapeError(
                f"{self._signature.name}: the backward rule gives a cotangent of type {gradient.type} for an argument "
                f"of type {node.type}",
                hint="a cotangent has the shape of the argument",
            )
        return build.cast_to(gradient, node.tensor.dtype)


@hide_internal_frames
def custom_vjp(function: Callable[..., object], nondiff_argnums: Sequence[int] = ()) -> CustomFunction:
    """The function with a gradient of its own, which its method `defvjp` tells; a decorator, as in JAX.

    The function itself computes the value, and is not differentiated. Tensors that it finds elsewhere than in its
    arguments are constants to the gradient. Raises ArgumentError when called before `defvjp`.

    >>> import numpy as np, graphc
    >>> @graphc.custom_vjp
    ... def exp(x):
    ...     return graphc.exp(x)
    >>> exp.defvjp(lambda x: (y := graphc.exp(x), y), lambda y, ct: (2 * ct * y,))
    >>> graphc.grad(lambda x: exp(x).sum())(np.array([0.0]))
    array([2.])
    """
    return CustomFunction(function, nondiff_argnums)


@hide_internal_frames
def checkpoint(function: Callable[..., object], *args: object, **kwargs: object) -> object:
    """`function(*args, **kwargs)`, whose gradient computes it again instead of keeping what is between.

    Also tensors that the function finds elsewhere than in its arguments get gradients.

    >>> import numpy as np, graphc
    >>> graphc.grad(lambda x: graphc.checkpoint(lambda x: x.exp().sin(), x).sum())(np.array([0.0])).round(6)
    array([0.540302])
    """
    signature = Signature(function)
    call = signature.bind(args, kwargs)
    leaves, structure = flatten(call.values)
    if current_scope() is None and not any(isinstance(leaf, SymbolicTensor) for leaf in leaves):
        return function(*args, **kwargs)
    # Late: importing graphc must be quick, and it needs no gradients.
    from graphc.passes.autodiff import vjp

    names = signature.leaf_names(call, structure)
    outer = [to_node(leaf) if _is_tensor(leaf) else None for leaf in leaves]
    inner = [None if node is None else make_input(name, node.tensor) for node, name in zip(outer, names, strict=True)]
    with Scope(signature.name):
        given = [leaf if node is None else SymbolicTensor(node) for leaf, node in zip(leaves, inner, strict=True)]
        outputs, results = outputs_of(run(function, signature, call, structure, given), signature)
    replaced = {new: old for new, old in zip(inner, outer, strict=True) if new is not None and old is not None}
    found = _found_elsewhere(outputs, replaced)
    operands = (*replaced.values(), *found)

    def rule(cts: tuple[Node, ...], values: tuple[Node, ...], taken: tuple[Node, ...]) -> tuple[Node | None, ...]:
        # Behind barriers nothing is merged with the forward part, and nothing starts before the backward part does.
        again = tuple(control.barrier(node, *cts) for node in taken)
        outputs_again = replace_nodes(outputs, dict(zip((*replaced, *found), again, strict=True)))
        remaining = iter(cts)
        cotangents = [next(remaining) if node.tensor.dtype.is_differentiable else None for node in outputs_again]
        return vjp(outputs_again, again, cotangents)

    values = control.with_gradient(replace_nodes(outputs, replaced), operands, rule)
    return results.fill([SymbolicTensor(node) for node in values])


def _found_elsewhere(outputs: Sequence[Node], inputs: dict[Node, Node]) -> tuple[Node, ...]:
    """The nodes that a function has read and not made of its arguments; what no argument at all leads to is its own."""
    is_inside: set[Node] = set(inputs)
    has_input: set[Node] = set()
    order = topological_order(outputs)
    for node in order:
        if node.op is INPUT or any(operand in has_input for operand in node.inputs):
            has_input.add(node)
        if any(operand in is_inside for operand in node.inputs):
            is_inside.add(node)
    read = [operand for node in order if node in is_inside for operand in node.inputs]
    return tuple(dict.fromkeys(node for node in (*read, *outputs) if node in has_input and node not in is_inside))


def _added(total: Node | None, more: Node) -> Node:
    """The two added; what is passed as two arguments gets a cotangent for each."""
    # Late: none of this is needed before a gradient is.
    from graphc.passes.accumulate import accumulate

    return more if total is None else accumulate((total, more))


def _is_tensor(leaf: object) -> bool:
    return isinstance(leaf, SymbolicTensor | np.ndarray | np.generic) and not isinstance(leaf, SymbolicSize)


def _types(nodes: Sequence[Node]) -> str:
    return ", ".join(str(node.type) for node in nodes)
