"""Gradients as functions of functions: `grad`, `value_and_grad`, `vjp`.

In: a Python function. Out: one that computes derivatives. It may be called on arrays (then it is compiled) or inside
another traced function, and transformed again, to any order.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TypeVar

from graphc.frontend.compile import compile
from graphc.frontend.tensor import SymbolicTensor, has_symbolic, to_node
from graphc.frontend.trace import argument_names
from graphc.frontend.tree import Structure, flatten
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node, make_input
from graphc.ir.location import current_location
from graphc.ops import build
from graphc.passes.autodiff import vjp as node_vjp
from graphc.passes.rewrite import replace_nodes

Result = TypeVar("Result")


def grad(function: Callable[..., object], argnums: int | tuple[int, ...] = 0) -> Callable[..., object]:
    """The function that gives the gradient of a scalar function by the arguments numbered in `argnums`.

    The gradient has the containers of the argument; for a tuple of numbers, a tuple of gradients. Where the function
    gives a tuple, the first entry is differentiated (see `value_and_grad` for the rest). Raises ShapeError if the
    result is no scalar, DTypeError for arguments of integers.

    >>> import numpy as np, graphc
    >>> graphc.grad(lambda x: (x ** 3).sum())(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    both = value_and_grad(function, argnums)

    def gradient(*args: object) -> object:
        return both.__wrapped__(*args)[1]  # type: ignore[attr-defined]  # set by functools.wraps in _lift

    return _lift(gradient, f"grad_{_name(function)}", function)


def value_and_grad(function: Callable[..., object], argnums: int | tuple[int, ...] = 0) -> Callable[..., object]:
    """The function that gives (value, gradient) of a scalar function; see `grad`.

    The value is all that the function returns: with `(loss, extras)` the gradient is that of `loss`.
    """

    def both(*args: object) -> tuple[object, object]:
        numbers = _numbers(function, argnums, len(args))
        inside, fresh = _fresh_arguments(function, args, numbers)
        value = function(*inside)
        scalar = value[0] if isinstance(value, tuple) and value else value
        loss = _scalar(function, scalar)
        seed = build.ones_like(loss)
        leaves = [leaf for leaf, _ in fresh]
        gradients = node_vjp((loss,), leaves, (seed,))
        filled = [build.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients, strict=True)]
        value_leaves, structure = flatten(value)
        nodes = replace_nodes([*map(to_node, value_leaves), *filled], dict(fresh))
        count = len(value_leaves)
        result = structure.fill([SymbolicTensor(node) for node in nodes[:count]])
        return result, _gradients(args, argnums, numbers, nodes[count:])

    return _lift(both, f"value_and_grad_{_name(function)}", function)


def vjp(function: Callable[..., object], *primals: object) -> tuple[object, Callable[..., object]]:
    """(value, pullback): the function's value at `primals`, and what carries a cotangent of it back to them.

    `pullback(cotangent)` takes what has the containers, shapes and dtypes of the value, and gives a tuple of
    cotangents, one per argument. Inside a traced function both are symbolic; on arrays the pullback is compiled.

    >>> import numpy as np, graphc
    >>> value, pullback = graphc.vjp(lambda x: x * x, np.array([3.0]))
    >>> pullback(np.array([1.0]))
    (array([6.]),)
    """
    if not has_symbolic(*primals):
        evaluate = compile(function)

        def joint(cotangent: object, *args: object) -> object:
            _, back = vjp(function, *args)
            return back(cotangent)

        compiled = compile(joint)
        return evaluate(*primals), lambda cotangent: compiled(cotangent, *primals)
    inside, fresh = _fresh_arguments(function, primals, tuple(range(len(primals))))
    value = function(*inside)
    leaves, structure = flatten(value)
    outputs = [to_node(leaf) for leaf in leaves]

    @hide_internal_frames
    def pullback(cotangent: object) -> object:
        given, shape = flatten(cotangent)
        if shape != structure:
            raise ArgumentError("vjp: the cotangent has other containers than the value", location=current_location())
        cotangents = [_cotangent(output, to_node(each)) for output, each in zip(outputs, given, strict=True)]
        gradients = node_vjp(outputs, [leaf for leaf, _ in fresh], cotangents)
        filled = [build.zeros_like(x) if g is None else g for (x, _), g in zip(fresh, gradients, strict=True)]
        nodes = replace_nodes(filled, dict(fresh))
        return _gradients(primals, tuple(range(len(primals))), tuple(range(len(primals))), nodes)

    values = replace_nodes(outputs, dict(fresh))
    return structure.fill([SymbolicTensor(node) for node in values]), pullback


def _lift(symbolic: Callable[..., Result], name: str, function: Callable[..., object]) -> Callable[..., Result]:
    """A function on arrays as well as on symbolic tensors: compiled for the former."""
    symbolic.__name__ = symbolic.__qualname__ = name
    with contextlib.suppress(TypeError, ValueError):  # what has no signature gets its arguments by number
        symbolic.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # read by inspect
    compiled = compile(symbolic)

    @hide_internal_frames
    def either(*args: object) -> Result:
        return symbolic(*args) if has_symbolic(*args) else compiled(*args)  # type: ignore[return-value]  # arrays for tensors

    functools.update_wrapper(either, function)
    either.__name__ = either.__qualname__ = name
    either.__wrapped__ = symbolic  # type: ignore[attr-defined]  # functools' own name for it
    return either


def _name(function: Callable[..., object]) -> str:
    name = str(getattr(function, "__name__", "function"))
    return name if name.isidentifier() else "function"


def _numbers(function: Callable[..., object], argnums: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    for number in numbers:
        if not -count <= number < count:
            raise ArgumentError(
                f"grad: argnums {number} names no argument of {_name(function)}, which got {count}",
                location=current_location(),
                hint=f"argnums count from 0 to {count - 1}" if count else "pass the arguments by position",
            )
    return tuple(number % count for number in numbers)


def _fresh_arguments(
    function: Callable[..., object], args: Sequence[object], numbers: tuple[int, ...]
) -> tuple[tuple[object, ...], list[tuple[Node, Node]]]:
    """The arguments with new inputs in place of those to differentiate by, so that nothing else depends on them."""
    inside: list[object] = []
    fresh: list[tuple[Node, Node]] = []
    structures = [flatten(arg) for arg in args]
    whole = Structure(
        tuple, tuple(range(len(args))), tuple(s for _, s in structures), sum(s.count for _, s in structures)
    )
    names = iter(argument_names(function, whole))
    for number, (leaves, structure) in enumerate(structures):
        replaced: list[object] = []
        for leaf in leaves:
            name = next(names)
            if number not in numbers:
                replaced.append(leaf)
                continue
            node = to_node(leaf)
            dtype = node.tensor.dtype
            if not dtype.is_differentiable:
                raise DTypeError(
                    f"grad: the argument {name!r} has dtype {dtype.name}, and a gradient needs floats",
                    location=current_location(),
                    hint="differentiate by another argument (argnums=...), or convert this one, e.g. x.to('float32')",
                )
            new = make_input(name, node.tensor)
            fresh.append((new, node))
            replaced.append(SymbolicTensor(new))
        inside.append(structure.fill(replaced))
    return tuple(inside), fresh


def _scalar(function: Callable[..., object], value: object) -> Node:
    node = to_node(value)
    if node.shape != () or not node.tensor.dtype.is_floating_point:
        raise ShapeError(
            f"grad: {_name(function)} gives a {node.type}, and a gradient starts from a real number",
            location=node.location,
            hint="reduce the result, e.g. with .sum() or .mean(); vjp takes a cotangent of any shape",
        )
    return node


def _cotangent(output: Node, given: Node) -> Node:
    if given.shape != output.shape:
        raise ShapeError(
            f"vjp: a cotangent of type {given.type} for a value of type {output.type}", location=current_location()
        )
    return build.cast_to(given, output.tensor.dtype)


def _gradients(
    args: Sequence[object], argnums: int | tuple[int, ...], numbers: tuple[int, ...], nodes: Sequence[Node]
) -> object:
    position = 0
    found: dict[int, object] = {}
    for number in sorted(set(numbers)):
        leaves, structure = flatten(args[number])
        found[number] = structure.fill([SymbolicTensor(node) for node in nodes[position : position + len(leaves)]])
        position += len(leaves)
    return found[numbers[0]] if isinstance(argnums, int) else tuple(found[number] for number in numbers)
