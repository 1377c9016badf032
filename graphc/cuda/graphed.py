"""Functions and modules that run as CUDA graphs, one forward and one backward: `make_graphed_callables`.

In: functions or modules, and tensors as they will be given. Out: functions of the same arguments that copy them to
where the graphs read, and replay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.amp.autocast_mode import is_autocast_cache_enabled, is_autocast_enabled
from graphc.cuda.devices import synchronize
from graphc.cuda.graphs import CUDAGraph, PoolHandle, graph, graph_pool_handle
from graphc.cuda.streams import Stream, stream
from graphc.eager.backward import grad
from graphc.eager.dispatch import function_of
from graphc.eager.function import Function, once_differentiable
from graphc.eager.guard import guarded
from graphc.eager.tensor import Tensor
from graphc.frontend.tree import Structure, flatten
from graphc.ir.errors import ArgumentError


@dataclass(slots=True)
class _Captured:
    """A callable, the tensors that its graphs read, and what they write."""

    call: Any
    arguments: tuple[Any, ...]
    inputs: tuple[Tensor, ...]
    """The tensors among the arguments, and the parameters of a module."""
    given: int
    """How many of them are arguments."""
    forward: CUDAGraph
    backward: CUDAGraph
    outputs: tuple[Tensor, ...] = ()
    structure: Structure | None = None
    cotangents: tuple[Tensor | None, ...] = ()
    gradients: tuple[Tensor | None, ...] = ()


@guarded
def make_graphed_callables(
    callables: Any,
    sample_args: tuple[Any, ...],
    num_warmup_iters: int = 3,
    allow_unused_input: bool = False,
    pool: PoolHandle | None = None,
) -> Any:
    """Functions that replay CUDA graphs of the ones given, with gradients; modules are changed, and returned.

    One callable has a tuple of arguments as `sample_args`, several, in a tuple, have one each. All tensors keep their
    shapes; results lie where those of the call before did. The graphs share memory: calls keep the order of the
    callables, and backward passes come after all of them. Modules in another mode than now (`training`) run as before.
    """
    if is_autocast_enabled("cuda") and is_autocast_cache_enabled():
        raise ArgumentError(
            "make_graphed_callables does not support the autocast caching. Please set `cache_enabled=False`."
        )
    is_one = not isinstance(callables, tuple)
    all_calls = (callables,) if is_one else callables
    all_arguments = (sample_args,) if is_one else sample_args
    found = [_checked(call, arguments) for call, arguments in zip(all_calls, all_arguments, strict=True)]
    shared = graph_pool_handle() if pool is None else pool
    synchronize()
    with stream(Stream()):  # code is compiled, and loaded
        for each in found:
            for _ in range(num_warmup_iters):
                outputs = _leaves(each.call(*each.arguments))
                _gradients(outputs, each.inputs, [_empty_like(output) for output in outputs], allow_unused_input)
    synchronize()
    # In the order in which they run: memory that one has let go is the next one's.
    for each in found:
        with graph(each.forward, pool=shared):
            result = each.call(*each.arguments)
        each.outputs, each.structure = tuple(_leaves(result)), flatten(result)[1]
    for each in reversed(found):
        each.cotangents = tuple(_empty_like(output) if output.requires_grad else None for output in each.outputs)
        if any(output.requires_grad for output in each.outputs):
            with graph(each.backward, pool=shared):
                gradients = _gradients(each.outputs, each.inputs, each.cotangents, allow_unused_input)
            each.gradients = gradients
        else:
            each.gradients = (None,) * len(each.inputs)
    made = tuple(_replaced(each) for each in found)
    return made[0] if is_one else made


def _checked(call: Any, arguments: tuple[Any, ...]) -> _Captured:
    is_module = hasattr(call, "_forward_pre_hooks")
    if is_module:
        if call._backward_hooks or call._forward_hooks or call._forward_pre_hooks:
            raise AssertionError(
                "Modules must not have hooks registered at the time they are passed. However, registering hooks on "
                "modules after passing them through make_graphed_callables is allowed."
            )
        if any(buffer.requires_grad for buffer in call.buffers()):
            raise AssertionError(
                "In any :class:`~torch.nn.Module` passed to :func:`~make_graphed_callables`, only parameters may be "
                "trainable. All buffers must have ``requires_grad=False``."
            )
    tensors = tuple(_leaves(arguments))
    if not all(isinstance(each, Tensor) for each in tensors):
        raise AssertionError(
            "In the beta API, sample_args for each callable must contain only Tensors. Other types are not allowed."
        )
    parameters = tuple(call.parameters()) if is_module else ()
    return _Captured(call, arguments, (*tensors, *parameters), len(tensors), CUDAGraph(), CUDAGraph())


def _leaves(value: object) -> list[Any]:
    return list(flatten(value)[0])


def _empty_like(tensor: Tensor) -> Tensor:
    found = function_of("empty_like")(tensor)
    assert isinstance(found, Tensor)
    return found.detach()  # type: ignore[attr-defined, no-any-return]  # a method


def _gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor | None], allow_unused: bool
) -> tuple[Tensor | None, ...]:
    """The gradient of each input; None for those that need none."""
    wanted = [each for each in inputs if each.requires_grad]
    given = [(output, seed) for output, seed in zip(outputs, cotangents) if output.requires_grad]
    if not given or not wanted:
        return (None,) * len(inputs)
    found = iter(grad([each for each, _ in given], wanted, [seed for _, seed in given], allow_unused=allow_unused))
    return tuple(next(found) if each.requires_grad else None for each in inputs)


def _replaced(captured: _Captured) -> Any:
    """What is called instead: the module itself, with another `forward`, or a function."""
    replay = _replaying(captured)
    module = captured.call
    if not hasattr(module, "_forward_pre_hooks"):
        return replay
    mode, plain = module.training, module.forward

    def forward(*arguments: Any, **options: Any) -> Any:
        return replay(*arguments, **options) if module.training == mode else plain(*arguments, **options)

    module.forward = forward
    return module


def _replaying(captured: _Captured) -> Callable[..., Any]:
    class Graphed(Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
            for place, given in zip(captured.inputs[: captured.given], inputs):
                _put(place, given)
            captured.forward.replay()
            return tuple(output.detach() for output in captured.outputs)  # type: ignore[attr-defined]  # a method

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
            for place, given in zip(captured.cotangents, cotangents):
                if place is not None:
                    _put(place, given)
            captured.backward.replay()
            return tuple(
                None if each is None else each.detach()  # type: ignore[attr-defined]  # a method
                for each in captured.gradients
            )

    def call(*arguments: Any) -> Any:
        found = Graphed.apply(*_leaves(arguments), *captured.inputs[captured.given :])
        assert captured.structure is not None
        return captured.structure.fill(list(found))

    return call


def _put(place: Tensor, given: Tensor) -> None:
    """Write a tensor where a graph reads it, if it is not there."""
    source, target = given._array, place._array
    if source.__array_interface__["data"][0] != target.__array_interface__["data"][0]:
        place.detach().copy_(given.detach())  # type: ignore[attr-defined]  # methods
