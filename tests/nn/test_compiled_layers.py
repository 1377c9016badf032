"""Compiled layers give the bits of eager ones, and change the same statistics, call after call."""

import copy
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import nn

LAYERS: list[Any] = [
    nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    nn.ConvTranspose2d(4, 4, 3, 2),
    nn.BatchNorm2d(4),
    nn.BatchNorm2d(4, momentum=None),
    nn.InstanceNorm2d(4, track_running_stats=True),
    nn.GroupNorm(2, 4),
    nn.MaxPool2d(2),
    nn.AdaptiveAvgPool2d(3),
    nn.FractionalMaxPool2d(2, 3),
    nn.Dropout2d(),
    nn.RReLU(),
    nn.Hardtanh(inplace=True),
    nn.GLU(1),
    nn.Upsample(scale_factor=2, mode="bilinear"),
    nn.Linear(8, 3),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_images(layer: Any) -> None:
    compare(layer, graphc.randn(2, 4, 8, 8))  # type: ignore[attr-defined]  # a function of the table


def test_rows_of_tables_that_are_scaled_down() -> None:
    compare(nn.Embedding(10, 4, max_norm=1.0), graphc.tensor([[1, 2], [2, 7]]))  # type: ignore[attr-defined]  # from the table


def test_losses_of_classes() -> None:
    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rare = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10])
            self.all = nn.CrossEntropyLoss(label_smoothing=0.1)

        def forward(self, x: Any) -> Any:
            classes = graphc.tensor([1, 5, 15])  # type: ignore[attr-defined]  # from the table
            return self.rare(x, classes).loss + self.all(x, classes)

    compare(Loss(), graphc.randn(3, 16))  # type: ignore[attr-defined]  # from the table


def compare(layer: Any, x: Any) -> None:
    eager, other = copy.deepcopy(layer), copy.deepcopy(layer)
    compiled: Any = graphc.compile(other)
    for seed in range(3):
        found = []
        for call in (eager, compiled):
            graphc.manual_seed(seed)
            found.append(call(x.clone()).detach().numpy())
        np.testing.assert_array_equal(*found)
        for (name, own), (_, changed) in zip(eager.state_dict().items(), other.state_dict().items()):
            np.testing.assert_array_equal(own.numpy(), changed.numpy(), err_msg=name)
