"""Losses scaled up so that small gradients don't vanish in float16, and the scale found as training goes.

In: a loss, an optimizer. Out: the scaled loss; a step with unscaled gradients, or none where some were inf or nan. The
scale grows by `growth_factor` after `growth_interval` steps without such a gradient, and shrinks by `backoff_factor` at
one (Micikevicius et al., "Mixed precision training", ICLR 2018).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from enum import Enum
from typing import Any

from graphc.eager.creation import full
from graphc.eager.mode import no_grad
from graphc.eager.tensor import Tensor
from graphc.ir.dtype import f16, f32, i32

__all__ = ["GradScaler", "OptState"]


def _has_no_gpu() -> bool:
    from graphc.runtime.cuda.select import what_is_missing  # late: most programs ask for no GPU

    return what_is_missing() is not None


class OptState(Enum):
    """What was done with an optimizer since the last `update`."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class _PerOptimizer:
    """An optimizer's stage, and whether its gradients held an inf or nan (a float32 tensor), once that is known."""

    __slots__ = ("found_inf", "stage")

    def __init__(self) -> None:
        self.stage = OptState.READY
        self.found_inf: Any = None


class GradScaler:
    """Scales losses, unscales gradients, and leaves out steps whose gradients overflowed.

    Not `enabled`, or for a GPU where there is none, it passes everything through.
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
        self._states: dict[int, _PerOptimizer] = {}

    def _state_of(self, optimizer: object) -> _PerOptimizer:
        return self._states.setdefault(id(optimizer), _PerOptimizer())

    def _made(self) -> tuple[Any, Any]:
        """The scale and the tracker of growth, made when the first loss is scaled."""
        if self._scale is None or self._growth_tracker is None:
            self._scale = full((), self._init_scale, dtype=f32)
            self._growth_tracker = full((), self._init_growth_tracker, dtype=i32)
        return self._scale, self._growth_tracker

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
            return outputs * self._made()[0]
        if isinstance(outputs, Iterable):
            scaled = [self.scale(each) for each in outputs]
            return type(outputs)(scaled) if isinstance(outputs, list | tuple) else iter(scaled)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, before they are clipped, say."""
        if not self._enabled:
            return
        scale, _ = self._known("unscale_")
        state = self._state_of(optimizer)
        if state.stage is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state.stage is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        with no_grad():
            state.found_inf = self._unscale(optimizer, scale, allow_fp16=False)
        state.stage = OptState.UNSCALED

    def _unscale(self, optimizer: Any, scale: Any, allow_fp16: bool) -> Any:
        inverse = scale.double().reciprocal().float()
        found: Any = None
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                if gradient.dtype is f16 and not allow_fp16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                bad = gradient.isfinite().all().logical_not().float()
                found = bad if found is None else found.maximum(bad)
                gradient.mul_(inverse.to(gradient.dtype))
        return found

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step()` on unscaled gradients; nothing where one of them is inf or nan."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._known("step")
        state = self._state_of(optimizer)
        if state.stage is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state.stage is OptState.READY:
            self.unscale_(optimizer)
        if state.found_inf is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None if state.found_inf.item() else optimizer.step(*args, **kwargs)
        state.stage = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Find the next scale from what the steps since the last update met, or set it."""
        if not self._enabled:
            return
        scale, tracker = self._known("update")
        found = [state.found_inf for state in self._states.values() if state.found_inf is not None]
        if not found and new_scale is None:
            raise AssertionError("No inf checks were recorded prior to update.")
        with no_grad():
            if isinstance(new_scale, Tensor):
                scale.copy_(new_scale)
            elif new_scale is not None:
                scale.fill_(new_scale)
            else:
                self._adjust(scale, tracker, any(each.item() for each in found))
        self._states = {}

    def _adjust(self, scale: Any, tracker: Any, has_overflowed: bool) -> None:
        if has_overflowed:
            scale.mul_(self._backoff_factor)
            tracker.zero_()
            return
        tracker.add_(1)
        if tracker.item() == self._growth_interval:
            grown = scale * self._growth_factor
            if grown.isfinite().item():
                scale.copy_(grown)
            tracker.zero_()

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
