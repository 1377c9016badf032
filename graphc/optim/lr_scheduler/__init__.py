"""Schedulers of learning rates.

Level: over optimizers. In: an optimizer. Out: an object whose `step`, called after those of the optimizer, sets the
rates of its groups.

    scheduler = graphc.optim.lr_scheduler.StepLR(optimizer, step_size=30)
    for epoch in range(90):
        train(...)
        scheduler.step()
"""

from graphc.optim.lr_scheduler.base import EPOCH_DEPRECATION_WARNING, LRScheduler, _LRScheduler
from graphc.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from graphc.optim.lr_scheduler.cyclic import CyclicLR, OneCycleLR
from graphc.optim.lr_scheduler.plateau import ReduceLROnPlateau
from graphc.optim.lr_scheduler.simple import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

__all__ = [
    "EPOCH_DEPRECATION_WARNING",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "_LRScheduler",
]
