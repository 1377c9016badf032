"""Less memory for more time: parts of a network whose inner values are computed again in the backward pass.

>>> import graphc
>>> x = graphc.tensor([1.0, 2.0], requires_grad=True)
>>> checkpoint(lambda x: (x * x).exp(), x, use_reentrant=False).sum().backward()
>>> x.grad
tensor([  5.4366, 218.3926])
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from graphc.eager.backward import backward
from graphc.eager.function import Function
from graphc.eager.generator import get_rng_state, set_rng_state
from graphc.eager.history import get_grad
from graphc.eager.mode import enable_grad, saved_hooks
from graphc.eager.node import AutogradError
from graphc.eager.tensor import Tensor

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    context_fn: Callable[[], tuple[Any, Any]] = lambda: (nullcontext(), nullcontext()),
    determinism_check: str = "default",
    debug: bool = False,
    **kwargs: Any,
) -> Any:
    """function(*args), of which only the arguments are kept; the backward pass computes the rest again.

    The random numbers are the same both times, unless `preserve_rng_state` is False.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. use_reentrant=False is "
            "recommended.",
            stacklevel=2,
        )
        use_reentrant = True
    if use_reentrant:
        if kwargs:
            raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
        return _Reentrant.apply(function, preserve_rng_state, *args)
    forward_context, again_context = context_fn()
    again = _Again(function, args, kwargs, preserve_rng_state, again_context)
    with forward_context, saved_hooks(again.pack, again.unpack):
        result = function(*args, **kwargs)
    again.count = again.packed
    return result


class _Again:
    """What a call has saved, as numbers; asking for the first of them computes the call again, for all of them."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        keeps_random: bool,
        context: Any,
    ) -> None:
        self._call = function, args, kwargs
        self._state = get_rng_state() if keeps_random else None
        self._context = context
        self._found: dict[int, Tensor] = {}
        self.packed = 0
        self.count = -1

    def pack(self, tensor: Tensor) -> int:
        self.packed += 1
        return self.packed - 1

    def unpack(self, number: int) -> Tensor:
        if number not in self._found:
            self._run()
        if number not in self._found:
            raise AutogradError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {self.count}\nNumber of tensors saved during "
                f"recomputation: {len(self._found)}"
            )
        return self._found.pop(number)

    def _run(self) -> None:
        function, args, kwargs = self._call
        found: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> int:
            found[len(found)] = tensor.detach()  # type: ignore[attr-defined]  # installed on it
            return len(found) - 1

        with _random(self._state), enable_grad(), self._context, saved_hooks(keep, found.__getitem__):
            function(*args, **kwargs)
        self._found = found


@contextmanager
def _random(state: Tensor | None) -> Iterator[None]:
    """Inside, random numbers follow from this state."""
    if state is None:
        yield
        return
    before = get_rng_state()
    set_rng_state(state)
    try:
        yield
    finally:
        set_rng_state(before)


class _Reentrant(Function):
    """A call whose gradient computes it again, recorded, and goes back through that."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], keeps_random: bool, *args: Any) -> Any:
        ctx.function = function
        ctx.state = get_rng_state() if keeps_random else None
        ctx.places = [i for i, each in enumerate(args) if isinstance(each, Tensor)]
        ctx.args = [None if isinstance(each, Tensor) else each for each in args]
        ctx.save_for_backward(*(each for each in args if isinstance(each, Tensor)))
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        args = list(ctx.args)
        for place, tensor in zip(ctx.places, ctx.saved_tensors):
            args[place] = tensor.detach().requires_grad_(tensor.requires_grad)
        with _random(ctx.state), enable_grad():
            outputs = ctx.function(*args)
        listed = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (output, gradient)
            for output, gradient in zip(listed, gradients)
            if isinstance(output, Tensor) and output.requires_grad
        ]
        if not pairs:
            raise AutogradError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([output for output, _ in pairs], [gradient for _, gradient in pairs])
        return (None, None, *(get_grad(each) if isinstance(each, Tensor) else None for each in args))


def checkpoint_sequential(
    functions: Sequence[Callable[[Any], Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Functions one after another, in this many checkpointed segments; the last one is run as it is."""
    steps = list(functions)
    size = len(steps) // segments

    def run(start: int, end: int) -> Callable[[Any], Any]:
        def segment(value: Any) -> Any:
            for step in steps[start:end]:
                value = step(value)
            return value

        return segment

    start = 0
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(run(start, start + size), input, use_reentrant=use_reentrant, **kwargs)
    return run(size * (segments - 1), len(steps))(input)
