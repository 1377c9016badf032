"""Seeing the gradients that go into and out of a module in the backward pass.

In: a module's hooks, its arguments and its result. Out: the same arguments and result, each behind a node at which the
gradients are seen: the hooks get those of the module's positional tensors and of its results as tuples, with None where
something else stood.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphc.eager.function import Function
from graphc.eager.mode import MODE
from graphc.eager.tensor import Tensor

Hooks = Sequence[Callable[..., Any]]


class BackwardHookFunction(Function):
    """The same values behind a node of their own."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Give the tensors as they are."""
        ctx.mark_non_differentiable(*[each for each in tensors if not each.requires_grad])
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """Give the gradients as they are."""
        return gradients


class BackwardHook:
    """The backward hooks around one call of a module."""

    def __init__(self, module: Any, user_hooks: Hooks, user_pre_hooks: Hooks) -> None:
        self.module = module
        self.user_hooks = user_hooks
        self.user_pre_hooks = user_pre_hooks
        self.grad_outputs: tuple[Any, ...] | None = None
        """Those of the pass that runs, from when they arrive until the hooks have seen those of the inputs."""
        self.input_positions: list[int] | None = None
        """Which arguments are tensors; None where none of them needs a gradient."""
        self.input_count = -1
        self.output_positions: list[int] | None = None
        self.output_count = -1

    def setup_input_hook(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, from which the gradients of the inputs come back to the hooks."""
        found, self.input_positions = _behind_node(args, self._see_inputs)
        self.input_count = len(args)
        return found

    def setup_output_hook(self, result: Any) -> Any:
        """The result, at which the gradients of the outputs are seen."""
        is_tuple = isinstance(result, tuple)
        outputs = result if is_tuple else (result,)
        found, self.output_positions = _behind_node(outputs, self._see_outputs)
        self.output_count = len(outputs)
        return found if is_tuple else found[0]

    def _see_inputs(self, gradients: tuple[Any, ...], _: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.grad_outputs is None:
            return None  # the gradients of inputs were asked for past the outputs
        assert self.input_positions is not None
        seen = _spread(self.input_positions, gradients, self.input_count)
        for hook in self.user_hooks:
            returned = hook(self.module, seen, self.grad_outputs)
            if returned is None:
                continue
            if len(returned) != len(seen):
                raise RuntimeError(
                    f"Backward hook returned an invalid number of grad_input, got {len(returned)}, but expected "
                    f"{len(seen)}"
                )
            seen = returned
        self.grad_outputs = None
        return tuple(seen[each] for each in self.input_positions)

    def _see_outputs(self, _: tuple[Any, ...], gradients: tuple[Any, ...]) -> tuple[Any, ...] | None:
        assert self.output_positions is not None
        seen = _spread(self.output_positions, gradients, self.output_count)
        self.grad_outputs = seen
        for hook in self.user_pre_hooks:
            returned = hook(self.module, seen)
            if returned is None:
                continue
            if len(returned) != len(seen):
                raise RuntimeError(
                    f"Backward pre hook returned an invalid number of grad_output, got {len(returned)}, but expected "
                    f"{len(seen)}"
                )
            self.grad_outputs = seen = returned
        if self.input_positions is None:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs since no "
                "inputs require gradients. See "
                "https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.register_full_backward_hook "  # noqa: E501  # an address
                "for more details.",
                stacklevel=5,
            )
            nothing = (None,) * self.input_count
            for hook in self.user_hooks:
                returned = hook(self.module, nothing, seen)
                if returned is not None and not (
                    isinstance(returned, tuple) and all(each is None for each in returned)
                ):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None "
                        "for all gradients."
                    )
            self.grad_outputs = None
        return tuple(seen[each] for each in self.output_positions)


def _behind_node(values: tuple[Any, ...], hook: Callable[..., Any]) -> tuple[tuple[Any, ...], list[int] | None]:
    """The values, where the tensors come from one node that has this hook; and which of them are tensors.

    The same values and None where no gradient is recorded for any.
    """
    positions = [index for index, value in enumerate(values) if isinstance(value, Tensor)]
    tensors = [values[index] for index in positions]
    if not (MODE.grad and any(each.requires_grad for each in tensors)):
        return values, None
    made = BackwardHookFunction.apply(*tensors)
    node = next(each.grad_fn for each in made if each.grad_fn is not None)
    node.register_hook(hook)
    placed = list(values)
    for index, tensor in zip(positions, made):
        placed[index] = tensor
    if type(values) is tuple:
        return tuple(placed), positions
    return type(values)(*placed), positions  # a named tuple


def _spread(positions: Sequence[int], values: Sequence[Any], count: int) -> tuple[Any, ...]:
    """The values in their places among None."""
    placed = [None] * count
    for index, value in zip(positions, values):
        placed[index] = value
    return tuple(placed)


def hook_last_node(module: Any, inputs: tuple[Any, ...], result: Any, hooks: Hooks) -> None:
    """Let hooks of the old kind see the gradients at the node that computed the result; say what they miss."""
    found = result
    while not isinstance(found, Tensor):
        if isinstance(found, dict):
            found = next(each for each in found.values() if isinstance(each, Tensor))
        else:
            found = found[0]
    node: Any = found.grad_fn  # type: ignore[attr-defined]  # installed on tensors
    if node is None:
        return
    for hook in hooks:
        node.register_hook(lambda gradients, given, hook=hook: hook(module, gradients, given))
    _warn_of_missed(inputs, result, node)


def _warn_of_missed(inputs: tuple[Any, ...], result: Any, node: Any) -> None:
    if not _all_tensors(result):
        warnings.warn(_MISSED["return"], FutureWarning, stacklevel=5)
        return
    if not _all_tensors(inputs):
        warnings.warn(_MISSED["take"], FutureWarning, stacklevel=5)
        return
    made_by = {each.grad_fn for each in (result if isinstance(result, tuple) else (result,))} - {None}
    given_by = {each.grad_fn for each in inputs} - {None}
    if len(made_by) > 1:
        warnings.warn(_MISSED["outputs"], FutureWarning, stacklevel=5)
    elif given_by != {each for each, _ in node.next_functions}:
        warnings.warn(_MISSED["several"], FutureWarning, stacklevel=5)


def _all_tensors(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple) and all(isinstance(each, Tensor) for each in value))


_MISSED: Mapping[str, str] = {
    "return": (
        "Using non-full backward hooks on a Module that does not return a single Tensor or a tuple of Tensors is "
        "deprecated and will be removed in future versions. This hook will be missing some of the grad_output. Please "
        "use register_full_backward_hook to get the documented behavior."
    ),
    "take": (
        "Using non-full backward hooks on a Module that does not take as input a single Tensor or a tuple of Tensors "
        "is deprecated and will be removed in future versions. This hook will be missing some of the grad_input. "
        "Please use register_full_backward_hook to get the documented behavior."
    ),
    "outputs": (
        "Using a non-full backward hook when outputs are generated by different autograd Nodes is deprecated and will "
        "be removed in future versions. This hook will be missing some grad_output. Please use "
        "register_full_backward_hook to get the documented behavior."
    ),
    "several": (
        "Using a non-full backward hook when the forward contains multiple autograd Nodes is deprecated and will be "
        "removed in future versions. This hook will be missing some grad_input. Please use "
        "register_full_backward_hook to get the documented behavior."
    ),
}
