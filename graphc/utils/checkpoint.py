"""Less memory for more time: parts of a network whose inner values are computed again in the backward pass.

In: a function and its arguments. Out: its results, recorded so that of what their gradients read only the arguments
are kept. There are two ways. With `use_reentrant=False` saved values are packed as numbers, and asking for the first of
them runs the function again. With `use_reentrant=True` the call is one node, which runs a pass inside the other.

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

from graphc.eager.autocast import again_in
from graphc.eager.backward import backward
from graphc.eager.function import Function
from graphc.eager.function_node import SavedTensor
from graphc.eager.generator import all_states, put_all_states
from graphc.eager.history import detach, get_grad, requires_grad_
from graphc.eager.mode import MODE, enable_grad, saved_hooks
from graphc.eager.node import AutogradError, GradNode, edge_of
from graphc.eager.tensor import Tensor
from graphc.frontend.autocast import current_regions

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "checkpoint",
    "checkpoint_sequential",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]

_stops_early = True


class CheckpointError(AutogradError):
    """What was computed again is not what was computed first."""


class _Enough(Exception):
    """All values that the backward pass asks for have been computed again."""


def _no_contexts() -> tuple[Any, Any]:
    return nullcontext(), nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = _no_contexts,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args), of which only the arguments are kept; the backward pass computes the rest again.

    The random numbers and regions of `autocast` are the same both times; `preserve_rng_state=False` leaves the numbers
    to chance. `context_fn` gives two contexts: for the first time, and for the second. With `determinism_check="none"`
    nobody checks that shapes and dtypes are the same both times. With `early_stop` the second run ends where it has
    given all that is asked for.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9, "
            "calling checkpoint without use_reentrant will raise an exception. use_reentrant=False is recommended, but "
            "if you need to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for "
            "more details on the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    keeps_random = bool(kwargs.pop("preserve_rng_state", True))
    if use_reentrant:
        if kwargs:
            raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
        if context_fn is not _no_contexts or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, keeps_random, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    first, second = context_fn()
    if not MODE.grad:
        return function(*args, **kwargs)
    again = _Again(function, args, kwargs, keeps_random, second)
    again.is_checked = determinism_check == "default"
    again.stops_early = early_stop and _stops_early
    with saved_hooks(again.pack, again.unpack), first:
        result = function(*args, **kwargs)
    again.is_packed = True
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
        self._function, self._kwargs = function, kwargs
        # Inside another checkpointed call its hooks pack the arguments too: they are computed again then.
        self._args = [SavedTensor(each, edge_of(each)) if isinstance(each, Tensor) else each for each in args]
        self._node = GradNode((), 0)
        self._state = all_states() if keeps_random else None
        self._regions = current_regions()
        self._context = context
        self._found: dict[int, Tensor] = {}
        self._pass = -1
        self._kinds: list[tuple[Any, Any]] = []
        """Shape and dtype of each value that was saved."""
        self.is_checked = True
        self.stops_early = True
        self.is_packed = False

    def pack(self, tensor: Tensor) -> int:
        """Remember what the value is like, instead of the value."""
        self._kinds.append((tensor.shape, tensor.dtype))
        return len(self._kinds) - 1

    def unpack(self, number: int) -> Tensor:
        """The value, computed again; each pass computes all values anew."""
        if not self.is_packed:
            raise CheckpointError(
                "torch.utils.checkpoint: Unpacking a tensor inside a checkpointed region that hasn't finished"
            )
        if self._pass != MODE.pass_number or number not in self._found:
            self._found = self._run()
            self._pass = MODE.pass_number
        return self._found.pop(number)

    def _run(self) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        args = [each.get(self._node) if isinstance(each, SavedTensor) else each for each in self._args]

        def keep(tensor: Tensor) -> int:
            found[len(found)] = detach(tensor)
            if self.stops_early and len(found) == len(self._kinds):
                raise _Enough
            return len(found) - 1

        with _random(self._state), again_in(self._regions), enable_grad():
            try:
                with self._context, saved_hooks(keep, lambda number: found[number]):
                    self._function(*args, **self._kwargs)
            except _Enough:
                pass
        self._check(found)
        return found

    def _check(self, found: dict[int, Tensor]) -> None:
        if len(found) < len(self._kinds) or (self.is_checked and len(found) > len(self._kinds)):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {len(self._kinds)}\nNumber of tensors saved "
                f"during recomputation: {len(found)}."
            )
        texts = [
            f"tensor at position {number}:\nsaved metadata: {_kind(*kind)}\nrecomputed metadata: "
            f"{_kind(found[number].shape, found[number].dtype)}\n"
            for number, kind in enumerate(self._kinds)
            if kind != (found[number].shape, found[number].dtype)
        ]
        if texts and self.is_checked:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than "
                f"during the forward pass.\n{''.join(texts)}."
            )


def _kind(shape: object, dtype: object) -> str:
    return f"{{'shape': {shape}, 'dtype': {dtype}, 'device': device(type='cpu')}}"


@contextmanager
def _random(state: dict[int | None, Tensor] | None) -> Iterator[None]:
    """Inside, random numbers follow from this state."""
    if state is None:
        yield
        return
    before = all_states()
    put_all_states(state)
    try:
        yield
    finally:
        put_all_states(before)


class CheckpointFunction(Function):
    """A call whose gradient computes it again, recorded, and goes back through that."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], keeps_random: bool, *args: Any) -> Any:
        tensors = [each for each in args if isinstance(each, Tensor)]
        if not any(each.requires_grad for each in tensors):
            warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=5)
        ctx.function = function
        ctx.state = all_states() if keeps_random else None
        ctx.regions = current_regions()
        ctx.args = [None if isinstance(each, Tensor) else each for each in args]
        ctx.places = [i for i, each in enumerate(args) if isinstance(each, Tensor)]
        ctx.save_for_backward(*tensors)
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        if MODE.pass_has_inputs:
            raise AutogradError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
                ".backward() without passing the `inputs` argument."
            )
        args = list(ctx.args)
        for place, tensor in zip(ctx.places, ctx.saved_tensors):
            args[place] = requires_grad_(detach(tensor), tensor.requires_grad)
        with _random(ctx.state), again_in(ctx.regions), enable_grad():
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
    functions: Any,
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Functions one after another, in this many checkpointed segments; the last one is run as it is."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. In "
            "version 2.9 we will raise an exception if use_reentrant is not passed. use_reentrant=False is "
            "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True. "
            "Refer to docs for more details on the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    keeps_random = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(steps) // segments
    last = size * (segments - 1)
    for start in range(0, last, size):
        segment = _chained(steps[start : start + size])
        input = checkpoint(segment, input, use_reentrant=use_reentrant, preserve_rng_state=keeps_random)
    return _chained(steps[last:])(input)


def _chained(steps: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def run(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return run


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Inside, checkpointed calls run to their end the second time, or stop when nothing more is asked for."""
    global _stops_early
    before, _stops_early = _stops_early, enable
    try:
        yield
    finally:
        _stops_early = before


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Accepted for programs that ask for PyTorch's lists of the operations of both runs."""
    yield
