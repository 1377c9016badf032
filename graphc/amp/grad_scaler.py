"""Losses scaled up so that small gradients don't vanish in float16, and the scale found as training goes.

In: a loss, an optimizer. Out: the scaled loss; a step with unscaled gradients, or none where some were inf or nan. The
scale grows by `growth_factor` after `growth_interval` steps without such a gradient, and shrinks by `backoff_factor` at
one (Micikevicius et al., "Mixed precision training", ICLR 2018).
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

from graphc.eager.creation import full
from graphc.eager.methods import of_table
from graphc.eager.mode import no_grad
from graphc.eager.placement import on
from graphc.eager.tensor import Tensor
from graphc.eager.together import can_run_together, change_together
from graphc.eager.watch import WATCHING, depends, pass_over, watcher
from graphc.ir.dtype import f16, f32, i32

__all__ = ["GradScaler", "OptState"]

where, stack = of_table("where"), of_table("stack")


def _has_no_gpu() -> bool:
    from graphc.runtime.cuda.select import what_is_missing  # late: most programs ask for no GPU

    return what_is_missing() is not None


class OptState(Enum):
    """What was done with an optimizer since the last `update`."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _no_states() -> dict[int, dict[str, Any]]:
    return defaultdict(lambda: {"stage": OptState.READY, "found_inf_per_device": {}})


class GradScaler:
    """Scales losses, unscales gradients, and leaves out steps whose gradients overflowed.

    The scale is a float32 tensor where the first loss is. Not `enabled`, or for a GPU where there is none, the scaler
    passes everything through. In a function that `graphc.compile` records, `step` and `update` choose by values that
    the program computes, so the whole step is one program.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = device
        if enabled and device == "cuda" and _has_no_gpu():
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            enabled = False
        self._enabled = enabled
        if not enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._scale: Any = None
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._init_growth_tracker = 0
        self._growth_tracker: Any = None
        self._per_optimizer_states = _no_states()
        """By the identity of an optimizer what was done with it since the last `update`, and for each device whether
        its gradients held an inf or nan there (1 or 0 in float32)."""

    def _scale_on(self, device: Any) -> Any:
        """The scale on a device; made there when the first loss is scaled."""
        if self._scale is None:
            self._scale = full((), self._init_scale, dtype=f32, device=device)
            self._growth_tracker = full((), self._init_growth_tracker, dtype=i32, device=device)
        return self._scale.to(device)

    def _known(self, function: str) -> tuple[Any, Any]:
        if self._scale is None or self._growth_tracker is None:
            missing = "_scale" if self._scale is None else "_growth_tracker"
            raise AssertionError(
                f"Attempted {function} but {missing} is None.  This may indicate your script did not use "
                "scaler.scale(loss or outputs) earlier in the iteration."
            )
        return self._scale, self._growth_tracker

    def scale(self, outputs: Any) -> Any:
        """A tensor, or an iterable of them, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            output: Any = outputs
            return output * self._scale_on(output.device)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, list | tuple) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, before they are clipped, say."""
        if not self._enabled:
            return
        scale, _ = self._known("unscale_")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        with no_grad():
            # In float64, so that the product with it is as exact as a quotient.
            state["found_inf_per_device"] = self._unscale(optimizer, scale.double().reciprocal().float())
        state["stage"] = OptState.UNSCALED

    def _unscale(self, optimizer: Any, inverse: Any) -> dict[Any, Any]:
        """Multiply the gradients; for each device whether one there is inf or nan. Without a factor they stay."""
        gradients = [parameter.grad for parameter in _parameters(optimizer)]
        if inverse is not None and any(gradient.dtype is f16 for gradient in gradients):
            raise ValueError("Attempting to unscale FP16 gradients.")
        if len(gradients) > 1 and not WATCHING:
            factor = [] if inverse is None else [inverse.to(gradients[0].device)]
            if can_run_together(gradients, factor):
                changed, read = ([], gradients) if inverse is None else (gradients, factor)
                (found,) = change_together("unscale", _unscaled, changed, read)
                return {gradients[0].device: found}
        finite: dict[Any, Any] = {}
        for gradient in gradients:
            device, good = gradient.device, gradient.isfinite().all()
            finite[device] = good if device not in finite else finite[device] & good
            if inverse is not None:
                gradient.mul_(inverse.to(device=device, dtype=gradient.dtype))
        return {device: good.logical_not().float() for device, good in finite.items()}

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step()` on unscaled gradients; nothing where one of them is inf or nan.

        An optimizer whose `_step_supports_amp_scaling` is true gets them as they are, and the scale and what was found
        as its attributes `grad_scale` and `found_inf` for the time of its step.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        scale, _ = self._known("step")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            result = self._step_by_itself(optimizer, scale, state, args, kwargs)
        else:
            if state["stage"] is OptState.READY:
                self.unscale_(optimizer)
            if not state["found_inf_per_device"]:
                raise AssertionError("No inf checks were recorded for this optimizer.")
            found = _sum(state["found_inf_per_device"].values(), scale.device)
            if watcher() is not None:
                result = _step_recorded(optimizer, found, args, kwargs)
            else:
                result = None if found.item() else optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    def _step_by_itself(
        self, optimizer: Any, scale: Any, state: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The step of an optimizer that looks after scaled gradients."""
        is_unscaled = state["stage"] is OptState.UNSCALED
        with no_grad():
            if not is_unscaled:
                state["found_inf_per_device"] = self._unscale(optimizer, None)
            own = getattr(optimizer, "grad_scale", None)
            optimizer.grad_scale = own if is_unscaled else scale if own is None else scale * own
            optimizer.found_inf = _sum(state["found_inf_per_device"].values(), scale.device)
        try:
            return optimizer.step(*args, **kwargs)
        finally:
            del optimizer.grad_scale, optimizer.found_inf

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Find the next scale from what the steps since the last update met, or set it.

        A tensor must have one element, be on the scaler's device and require no gradient.
        """
        if not self._enabled:
            return
        scale, tracker = self._known("update")
        found = [
            each for state in self._per_optimizer_states.values() for each in state["found_inf_per_device"].values()
        ]
        if not found and new_scale is None:
            raise AssertionError("No inf checks were recorded prior to update.")
        with no_grad():
            if isinstance(new_scale, Tensor):
                given: Any = new_scale
                if given.device.type != self._device or given.numel() != 1 or given.requires_grad:
                    raise AssertionError(
                        "new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with "
                        "requires_grad=False."
                    )
                scale.copy_(given.reshape(()))
            elif new_scale is not None:
                scale.fill_(new_scale)
            else:
                self._adjust(scale, tracker, _sum(found, scale.device) > 0)
        self._per_optimizer_states = _no_states()

    def _adjust(self, scale: Any, tracker: Any, has_overflowed: Any) -> None:
        """The next scale and count of good steps; nobody has to wait for the values."""
        depends(lambda: (self._growth_factor, self._backoff_factor, self._growth_interval))
        count = tracker + 1
        is_due = count == self._growth_interval
        grown = scale * self._growth_factor
        kept = where(is_due & grown.isfinite(), grown, scale)
        scale.copy_(where(has_overflowed, scale * self._backoff_factor, kept))
        tracker.copy_(where(has_overflowed | is_due, 0, count))

    def get_scale(self) -> float:
        """The scale as a number; 1 where the scaler passes everything through."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def get_growth_factor(self) -> float:
        """What the scale grows by."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale grows by."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale shrinks by."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale shrinks by."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many good steps the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many good steps the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker.item())

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors and tracker; empty where the scaler passes everything through."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` gave."""
        if not self._enabled:
            return
        if len(state_dict) == 0:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                    "scaler.update()."
                )
            state["_init_scale"] = self.get_scale()
            state["_init_growth_tracker"] = self._get_growth_tracker()
            state["_scale"] = state["_growth_tracker"] = None
            del state["_per_optimizer_states"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._enabled:
            self._per_optimizer_states = _no_states()


def _parameters(optimizer: Any) -> Iterator[Any]:
    """The optimizer's parameters that have a gradient."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield parameter


def _unscaled(changed: list[Any], read: list[Any]) -> list[Any]:
    """The gradients `changed` times what is read; 1 where one of them, or of those that are read, is inf or nan."""
    good = stack([each.isfinite().all() for each in changed or read]).all()
    return [*(each * read[0].to(each.dtype) for each in changed), good.logical_not().float()]


def _sum(found: Iterable[Any], device: Any) -> Any:
    """How many of these tensors are 1, on the device."""
    total: Any = None
    for each in found:
        here = each.to(device)
        total = here if total is None else total + here
    return total


def _step_recorded(optimizer: Any, found: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A step as a part of a program: all that it writes to keeps its old values where a gradient has overflowed."""
    state = getattr(optimizer, "state", {})
    parameters = list(_parameters(optimizer))
    if any(not state.get(each) for each in parameters) and bool(on(found._array, None)):
        # There may be states that the first good step makes: this call is not what the next ones do.
        pass_over()
        return None
    tensors = [*parameters]
    for each in parameters:
        tensors += [value for value in state.get(each, {}).values() if isinstance(value, Tensor)]
    with no_grad():
        before = [each.detach().clone() for each in tensors]
    result = optimizer.step(*args, **kwargs)
    with no_grad():
        for tensor, old in zip(tensors, before):
            tensor.copy_(where(found.to(tensor.device) > 0, old, tensor))
    return result
