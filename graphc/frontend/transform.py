"""Gradients as functions of functions: `grad` and `value_and_grad`.

In: a Python function. Out: one that computes derivatives. It may be called on arrays (then it is compiled) or inside
another traced function, and transformed again, to any order.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Sequence

from graphc.frontend.arguments import Sizes
from graphc.frontend.compile import CompiledFunction
from graphc.frontend.scope import Scope
from graphc.frontend.signature import Call, Signature
from graphc.frontend.tensor import SymbolicTensor, to_node
from graphc.frontend.trace import outputs_of, run
from graphc.frontend.tree import OPEN, Structure, flatten, sequence
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.dtype import DType
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, describe
from graphc.ir.graph import Node, make_input
from graphc.ir.replace import replace_nodes
from graphc.ops import build


@hide_internal_frames
def grad(function: Callable[..., object], argnums: int | tuple[int, ...] = 0) -> CompiledFunction:
    """The function that gives the gradient of a scalar function by the positional arguments numbered in `argnums`.

    The gradient has the containers of the argument; for a tuple of numbers, a tuple of gradients. Where the function
    gives a tuple, its first entry is differentiated (see `value_and_grad` for the rest). Raises ShapeError if that is
    no scalar, DTypeError for arguments of integers.

    >>> import numpy as np, graphc
    >>> graphc.grad(lambda x: (x ** 3).sum())(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    _check("grad", function, argnums)
    signature = Signature(function)

    def gradient(*args: object, **kwargs: object) -> object:
        return _value_and_grad(function, signature, argnums, args, kwargs)[1]

    return _lift(gradient, "grad", function)


@hide_internal_frames
def value_and_grad(function: Callable[..., object], argnums: int | tuple[int, ...] = 0) -> CompiledFunction:
    """The function that gives (value, gradient) of a scalar function; see `grad`.

    The value is all that the function returns: with `(loss, extras)` the gradient is that of `loss`.

    >>> import numpy as np, graphc
    >>> graphc.value_and_grad(lambda x: (x * x).sum())(np.array([3.0]))
    (array(9.), array([6.]))
    """
    _check("value_and_grad", function, argnums)
    signature = Signature(function)

    def both(*args: object, **kwargs: object) -> object:
        return _value_and_grad(function, signature, argnums, args, kwargs)

    return _lift(both, "value_and_grad", function)


def _value_and_grad(
    function: Callable[..., object],
    signature: Signature,
    argnums: int | tuple[int, ...],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> tuple[object, object]:
    """The value and the gradient of a function of symbolic tensors."""
    # Late: importing graphc must be quick, and it needs no gradients.
    from graphc.passes.autodiff import vjp

    numbers = _numbers(signature, argnums, len(args))
    call = Call((*args, *kwargs.values()), tuple(kwargs))
    with Scope(signature.name):
        fresh = FreshArguments(signature, call, numbers)
        returned = run(function, signature, call, fresh.structure, fresh.leaves)
        outputs, results = outputs_of(returned, signature)
        loss = _loss(signature, outputs, results)
        gradients = vjp((loss,), fresh.inputs, (build.ones_like(loss),))
        filled = [build.zeros_like(x) if g is None else g for x, g in zip(fresh.inputs, gradients, strict=True)]
        nodes = replace_nodes((*outputs, *filled), fresh.replaced)
    tensors = [SymbolicTensor(node) for node in nodes]
    found = fresh.fill(tensors[len(outputs) :])
    result = found[numbers[0]] if isinstance(argnums, int) else tuple(found[number] for number in numbers)
    return results.fill(tensors[: len(outputs)]), result


class FreshArguments:
    """Arguments with new inputs in place of those to differentiate by, so that nothing else depends on them."""

    def __init__(self, signature: Signature, call: Call, numbers: Sequence[int]) -> None:
        flat = [flatten(value) for value in call.values]
        self.structure = sequence(structure for _, structure in flat)
        self.leaves: list[object] = []
        """Of all arguments."""
        self.inputs: list[Node] = []
        """The new inputs in order."""
        self.replaced: dict[Node, Node] = {}
        """What each new input stands for."""
        self._structures: dict[int, Structure] = {}
        names = iter(signature.leaf_names(call, self.structure))
        for number, (leaves, structure) in enumerate(flat):
            fixed: list[object] = []
            for leaf in leaves:
                name = next(names)
                if number in numbers and leaf is not None:
                    self.leaves.append(SymbolicTensor(self._fresh(leaf, name)))
                    fixed.append(OPEN)
                else:
                    self.leaves.append(leaf)
                    fixed.append(leaf)
            if number in numbers:
                self._structures[number] = structure.fixed(fixed)

    def fill(self, tensors: Sequence[object]) -> dict[int, object]:
        """One tensor for each new input, in the containers of the arguments, by the argument's number."""
        found: dict[int, object] = {}
        position = 0
        for number, structure in self._structures.items():
            found[number] = structure.fill(tensors[position : position + structure.count])
            position += structure.count
        return found

    def _fresh(self, leaf: object, name: str) -> Node:
        if isinstance(leaf, bool | int | str):
            raise not_differentiable(name, leaf)
        node = to_node(leaf)
        if not node.tensor.dtype.is_differentiable:
            raise not_differentiable(name, node.tensor.dtype)
        new = make_input(name, node.tensor)
        self.inputs.append(new)
        self.replaced[new] = node
        return new


def not_differentiable(name: str, what: object) -> DTypeError:
    """The error for an argument without gradient, of this dtype or with this value."""
    if isinstance(what, DType):
        text, hint = f"has dtype {what.name}", f"convert this one, e.g. {name}.astype('float32')"
    else:
        text, hint = f"is {what!r}", f"pass {what}.0" if type(what) is int else "pass an array or a float"
    return DTypeError(
        f"the argument {name!r} {text}, and a gradient needs floats",
        hint=f"{hint}; or differentiate by other arguments: grad by argnums, vjp by a function that takes only those",
    )


def _lift(symbolic: Callable[..., object], prefix: str, function: Callable[..., object]) -> CompiledFunction:
    """A function of symbolic tensors as one of arrays too, with the signature of the function that it came from."""
    functools.update_wrapper(symbolic, function, updated=())
    symbolic.__name__ = symbolic.__qualname__ = f"{prefix}_{Signature(function).name}"
    with contextlib.suppress(TypeError, ValueError):  # what has no signature gets its arguments by number
        symbolic.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # read by inspect
    return CompiledFunction(symbolic, Sizes(None), records=False)


def _check(what: str, function: object, argnums: object) -> None:
    if not callable(function):
        raise ArgumentError(
            f"{what}: {describe(function)} is no function",
            hint="pass a function that returns a scalar; for symbolic tensors there is graphc.gradients",
        )
    numbers = argnums if isinstance(argnums, tuple | list) else (argnums,)
    if not numbers or not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise ArgumentError(
            f"{what}: argnums={argnums!r}", hint="give the number of an argument, or a tuple of numbers"
        )


def _numbers(signature: Signature, argnums: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    for number in numbers:
        if not -count <= number < count:
            raise ArgumentError(
                f"grad: argnums {number} names no argument of {signature.name}, which got {count} by position",
                hint=f"argnums count from 0 to {count - 1}" if count else "pass the arguments by position",
            )
    return tuple(number % count for number in numbers)


def _loss(signature: Signature, outputs: Sequence[Node], results: Structure) -> Node:
    """What a function that returned this is differentiated by."""
    first = results.entries[0] if results.kind is tuple or hasattr(results.kind, "_fields") else results
    if first.kind is not None:
        raise ArgumentError(
            f"grad: {signature.name} gives {first.describe()}, and a gradient starts from one number",
            location=signature.location,
            hint="return the loss, or a tuple with the loss in front",
        )
    node = outputs[0]
    if node.shape != () or not node.tensor.dtype.is_floating_point:
        raise ShapeError(
            f"grad: {signature.name} gives a {node.type}, and a gradient starts from a real number without dimensions",
            location=node.location,
            hint="reduce the result, e.g. with .sum() or .mean(); vjp takes a cotangent of any shape",
        )
    return node
