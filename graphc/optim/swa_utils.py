"""Averages of models along the training: stochastic weight averaging, and exponential moving averages.

P. Izmailov et al.: Averaging Weights Leads to Wider Optima and Better Generalization (2018).

In: a model in training. Out: a model of the averages, the schedule that goes with it, and statistics for its batch
norms.

    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    ...
    averaged.update_parameters(model)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any, Literal

from graphc.eager.mode import no_grad
from graphc.eager.tensor import Tensor
from graphc.eager.watch import watcher
from graphc.ir.dtype import i64
from graphc.nn.module import Module
from graphc.nn.modules.batchnorm import _BatchNorm
from graphc.nn.modules.utils import zeros
from graphc.optim.lr_scheduler.base import LRScheduler, Rate, for_each_group
from graphc.optim.optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Any, Any, Any], Any]
"""The new average, of the old one, a parameter, and how many were averaged."""
MultiAverage = Callable[[Sequence[Any], Sequence[Any], Any], None]
"""The same for many, written to the averages."""


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """Exponential moving averages of many tensors, in place. Raises ValueError for a decay outside 0 to 1."""
    _check_decay(decay)

    def ema_update(ema_param_list: Sequence[Any], current_param_list: Sequence[Any], _: object) -> None:
        with no_grad():
            for average, current in zip(ema_param_list, current_param_list, strict=True):
                if average.dtype.is_differentiable:
                    average.lerp_(current, 1 - decay)
                else:
                    average.copy_(average * decay + current * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> MultiAverage:
    """Plain averages of many tensors, in place."""

    def swa_update(
        averaged_param_list: Sequence[Any], current_param_list: Sequence[Any], num_averaged: Tensor | int
    ) -> None:
        with no_grad():
            for average, current in zip(averaged_param_list, current_param_list, strict=True):
                if average.dtype.is_differentiable:
                    weight: Any = 1 / (num_averaged + 1)  # type: ignore[operator]  # tensors add
                    is_tensor = isinstance(weight, Tensor)
                    average.lerp_(current, weight.to(average.dtype) if is_tensor else weight)
                else:
                    average.copy_(average + (current - average) / (num_averaged + 1))  # type: ignore[operator]  # as above

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """An exponential moving average. Raises ValueError for a decay outside 0 to 1."""
    _check_decay(decay)

    def ema_update(ema_param: Any, current_param: Any, num_averaged: object) -> Any:
        with no_grad():
            return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Average:
    """A plain average."""

    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        with no_grad():
            return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's at each `update_parameters`.

    The average is plain unless `avg_fn`, which gives one, or `multi_avg_fn`, which writes many, says otherwise. With
    `use_buffers` buffers are averaged too; else they are those of the model.
    """

    n_averaged: Any

    def __init__(
        self,
        model: Module,
        device: object = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", zeros((), dtype=i64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model computes."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's parameters into the averages; the first time they are the averages."""
        if self.use_buffers:
            averages: Iterable[Any] = itertools.chain(self.module.parameters(), self.module.buffers())
            values: Iterable[Any] = itertools.chain(model.parameters(), model.buffers())
        else:
            averages, values = self.parameters(), model.parameters()
        pairs = [(average.detach(), value.detach()) for average, value in zip(averages, values)]
        is_first = self.n_averaged == 0
        if watcher() is not None:  # a recorded step is run again for other counts: it computes both
            self._average(pairs)
            for average, value in pairs:
                average.copy_(value.where(is_first, average))
        elif is_first:
            for average, value in pairs:
                average.copy_(value)
        else:
            self._average(pairs)
        if not self.use_buffers:
            for its, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
                its.detach().copy_(buffer.detach())  # type: ignore[attr-defined]  # installed later
        self.n_averaged += 1

    def _average(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Write the new average of each pair to its first tensor, which is the old one."""
        if self.multi_avg_fn is not None:
            for dtype in dict.fromkeys(average.dtype for average, _ in pairs):
                of_dtype = [pair for pair in pairs if pair[0].dtype is dtype]
                self.multi_avg_fn([each for each, _ in of_dtype], [each for _, each in of_dtype], self.n_averaged)
            return
        average_of = self.avg_fn or get_swa_avg_fn()
        for average, value in pairs:
            average.copy_(average_of(average, value, self.n_averaged))


def update_bn(loader: Iterable[Any], model: Module, device: object = None) -> None:
    """Compute the running statistics of the model's batch norms anew, over all batches of a loader.

    A batch is an input, or a list or tuple that starts with it.
    """
    norms: dict[Any, float | None] = {
        module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)
    }
    if not norms:
        return
    was_training = model.training
    model.train()
    with no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # all batches count alike
        for batch in loader:
            given = batch[0] if isinstance(batch, list | tuple) else batch
            model(given if device is None else given.to(device))
    for norm, momentum in norms.items():
        norm.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the rates that the groups have to `swa_lr` within `anneal_epochs`, and constant then.

    Raises ValueError for an unknown strategy and a negative number of epochs.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        for rate, group in zip(for_each_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of the way is behind at a step."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[Rate]:
        """The rates for the next step."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates: list[Rate] = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            start = target if before == 1 else (group["lr"] - before * target) / (1 - before)
            rates.append(target * now + start * (1 - now))
        return rates
