"""Gradients of functions as functions: `grad`, `vjp`, `jacrev` and what is made of them.

In: a Python function of tensors, or of tuples, lists and dictionaries of them. Out: a function of the same arguments
that gives derivatives, and may be differentiated again. What does not depend on anything that requires gradients
outside requires none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from graphc.eager.backward import grad as gradients_of
from graphc.eager.methods import of_table
from graphc.eager.mode import enable_grad, is_grad_enabled
from graphc.eager.node import AccumulateGrad
from graphc.eager.tensor import Tensor

__all__ = ["grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "vjp"]

_stack, _zeros_like, _zeros = (of_table(name) for name in ("stack", "zeros_like", "zeros"))

Argnums = int | tuple[int, ...]

_CALLED = "grad_and_value(f)(*args): "


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a function that gives a number, in one argument or, as a tuple, in several.

    With `has_aux` the function gives (number, more), and the result is (gradient, more).
    """

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        gradient, value = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return call


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """(gradient, value) of a function that gives a number; with `has_aux` (gradient, (value, more))."""

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        is_outer_recorded = is_grad_enabled()
        with enable_grad():
            points, given = _points(args, argnums)
            value, aux = _split(func(*given, **kwargs), has_aux, "grad_and_value")
            if not isinstance(value, Tensor):
                raise RuntimeError(f"{_CALLED}Expected f(*args) to return a Tensor, got {type(value)}")
            if value.dim() != 0:
                raise RuntimeError(
                    f"{_CALLED}Expected f(*args) to return a scalar Tensor, got tensor with {value.dim()} dims. Maybe "
                    "you wanted to use the vjp or jacrev APIs instead?"
                )
            leaves = [leaf for point in points for leaf in flatten(point)[0]]
            found = _gradients([value], leaves, None, is_outer_recorded)
            gradient = _like_points(found, points, argnums)
        keeps = is_outer_recorded and _depends_on_others(flatten([gradient, value, aux])[0], leaves)
        gradient, value, aux = _left([gradient, value, aux], keeps)
        return gradient, ((value, aux) if has_aux else value)

    return call


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """What the function gives, and a function from its cotangents to those of the arguments, a tuple."""
    is_outer_recorded = is_grad_enabled()
    with enable_grad():
        points, given = _points(primals, tuple(range(len(primals))))
        output, aux = _split(func(*given), has_aux, "vjp")
        outputs, _ = flatten(output)
        leaves = [leaf for point in points for leaf in flatten(point)[0]]
        keeps = is_outer_recorded and _depends_on_others(outputs, leaves)

    def pull_back(*cotangents: Any) -> Any:
        vectors, _ = flatten(list(cotangents) if len(cotangents) != 1 else cotangents[0])
        if len(vectors) != len(outputs):
            raise RuntimeError(
                f"Expected as many cotangents as the function gives tensors, got {len(vectors)} for {len(outputs)}"
            )
        with enable_grad():
            found = _gradients(outputs, leaves, vectors, is_outer_recorded)
        needs = keeps or (is_outer_recorded and any(each.requires_grad for each in vectors))
        result: tuple[Any, ...] = tuple(_left(_like_points(found, points, tuple(range(len(points)))), needs))
        return result

    shown, aux = _left([output, aux], keeps)
    return (shown, pull_back, aux) if has_aux else (shown, pull_back)


def jacrev(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The Jacobian in one argument or several: for each result `[result sizes..., argument sizes...]`.

    One backward pass for each element of the results.
    """

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        is_outer_recorded = is_grad_enabled()
        with enable_grad():
            points, given = _points(args, argnums)
            output, aux = _split(func(*given, **kwargs), has_aux, "jacrev")
            outputs, rebuild = flatten(output)
            leaves = [leaf for point in points for leaf in flatten(point)[0]]
            blocks = []
            for each in outputs:
                rows = [_gradients([element], leaves, None, is_outer_recorded) for element in each.reshape(-1).unbind()]
                stacked = [
                    _stack([row[index] for row in rows]).reshape(*each.shape, *leaf.shape)
                    if rows
                    else _zeros(*each.shape, *leaf.shape)
                    for index, leaf in enumerate(leaves)
                ]
                blocks.append(_like_points(stacked, points, argnums))
            jacobian = rebuild(blocks)
        keeps = is_outer_recorded and _depends_on_others(flatten([jacobian, output, aux])[0], leaves)
        jacobian, aux = _left([jacobian, aux], keeps)
        return (jacobian, aux) if has_aux else jacobian

    return call


def jacfwd(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The same as `jacrev`: all derivatives are found by backward passes."""
    return jacrev(func, argnums, has_aux)


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The Jacobian of the Jacobian."""
    return jacrev(jacrev(func, argnums), argnums)


def flatten(value: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The tensors in tuples, lists and dictionaries, in order, and what puts others in their places."""
    if isinstance(value, Tensor):
        return [value], lambda new: new[0]
    if isinstance(value, dict):
        inner, names = [flatten(each) for each in value.values()], list(value)
    elif isinstance(value, list | tuple):
        inner, names = [flatten(each) for each in value], []
    else:
        return [], lambda new: value
    counts = [len(leaves) for leaves, _ in inner]

    def rebuild(new: Sequence[Any]) -> Any:
        start, made = 0, []
        for count, (_, build) in zip(counts, inner):
            made.append(build(new[start : start + count]))
            start += count
        if isinstance(value, dict):
            return type(value)(zip(names, made))
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)

    return [leaf for leaves, _ in inner for leaf in leaves], rebuild


def _points(args: tuple[Any, ...], argnums: Argnums) -> tuple[list[Any], list[Any]]:
    """The arguments to differentiate in, as tensors of which gradients can be asked for, and all arguments."""
    wanted = (argnums,) if isinstance(argnums, int) else argnums
    given, points = list(args), []
    for index in wanted:
        if not -len(args) <= index < len(args):
            raise RuntimeError(f"Got argnum={index}, but only {len(args)} positional inputs")
        leaves, rebuild = flatten(args[index])
        # One that requires gradients outside stays connected; for another a leaf stands in.
        made = [leaf.view_as(leaf) if leaf.requires_grad else leaf.detach().requires_grad_() for leaf in leaves]
        given[index] = rebuild(made)
        points.append(given[index])
    return points, given


def _split(result: Any, has_aux: bool, name: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(
            f"{name}(f)(*args): output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return result


def _gradients(outputs: Sequence[Any], leaves: Sequence[Any], vectors: Any, create_graph: bool) -> list[Any]:
    """The gradients of the leaves; zeros for those without influence."""
    recorded = [index for index, each in enumerate(outputs) if each.requires_grad]
    if not recorded:
        return [_zeros_like(leaf) for leaf in leaves]
    found = gradients_of(
        [outputs[index] for index in recorded],
        leaves,
        None if vectors is None else [vectors[index] for index in recorded],
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
    )
    return [_zeros_like(leaf) if each is None else each for leaf, each in zip(leaves, found)]


def _like_points(found: Sequence[Any], points: Sequence[Any], argnums: Argnums) -> Any:
    start, made = 0, []
    for point in points:
        leaves, rebuild = flatten(point)
        made.append(rebuild(found[start : start + len(leaves)]))
        start += len(leaves)
    return made[0] if isinstance(argnums, int) else tuple(made)


def _depends_on_others(tensors: Sequence[Any], leaves: Sequence[Any]) -> bool:
    """Whether gradients of the tensors would reach a leaf that is none of these."""
    own = {id(leaf) for leaf in leaves}
    pending = [each.grad_fn for each in tensors if each.grad_fn is not None]
    if any(each.grad_fn is None and each.requires_grad and id(each) not in own for each in tensors):
        return True
    seen = set(pending)
    while pending:
        node = pending.pop()
        if isinstance(node, AccumulateGrad) and id(node.variable) not in own:
            return True
        for below, _ in node.next_functions:
            if below is not None and below not in seen:
                seen.add(below)
                pending.append(below)
    return False


def _left(value: Any, keeps: bool) -> Any:
    """The value, with its history or without."""
    leaves, rebuild = flatten(value)
    return value if keeps else rebuild([leaf.detach() for leaf in leaves])
