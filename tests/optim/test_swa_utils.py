"""Averaged models, and the statistics of their batch norms."""

from __future__ import annotations

from typing import Any

import pytest

import graphc
from graphc.optim import swa_utils


def updated(averaged: Any, model: Any, values: list[float]) -> list[float]:
    """The average after each of the values was that of the model."""
    found = []
    for value in values:
        with graphc.no_grad():
            model.weight.fill_(value)
        averaged.update_parameters(model)
        found.append(averaged.module.weight.item())
    return found


VALUES = [1.0, 3.0, 8.0]
WAYS: list[tuple[dict[str, Any], list[float]]] = [
    ({}, [1.0, 2.0, 4.0]),
    ({"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}, [1.0, 2.0, 4.0]),
    ({"avg_fn": swa_utils.get_swa_avg_fn()}, [1.0, 2.0, 4.0]),
    ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.75)}, [1.0, 1.5, 3.125]),
    ({"avg_fn": swa_utils.get_ema_avg_fn(0.75)}, [1.0, 1.5, 3.125]),
    ({"avg_fn": lambda average, value, count: average + value * count}, [1.0, 4.0, 20.0]),
]


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_parameters_are_averaged_as_asked(way: int) -> None:
    options, expected = WAYS[way]
    model = graphc.nn.Linear(1, 1, bias=False)
    averaged = swa_utils.AveragedModel(model, **options)
    assert updated(averaged, model, VALUES) == pytest.approx(expected)
    assert averaged.n_averaged.item() == 3
    assert averaged(graphc.ones(1, 1)).item() == pytest.approx(expected[-1])
    assert list(averaged.state_dict()) == ["n_averaged", "module.weight"]


@pytest.mark.parametrize("use_buffers", [False, True])
def test_buffers_are_those_of_the_model_or_averaged_too(use_buffers: bool) -> None:
    model = graphc.nn.BatchNorm1d(1)
    averaged = swa_utils.AveragedModel(model, use_buffers=use_buffers)
    for value in (2.0, 6.0):
        model.running_mean.fill_(value)
        averaged.update_parameters(model)
    assert averaged.module.running_mean.item() == (4.0 if use_buffers else 6.0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"avg_fn": swa_utils.get_ema_avg_fn(0.9)},
        {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9), "use_buffers": True},
    ],
    ids=["mean", "ema", "ema of many"],
)
def test_a_compiled_step_averages_with_the_bits_of_an_eager_one(options: dict[str, Any]) -> None:
    def train(is_compiled: bool) -> dict[str, Any]:
        graphc.manual_seed(0)
        model = graphc.nn.Sequential(graphc.nn.Linear(3, 2), graphc.nn.BatchNorm1d(2))
        averaged = swa_utils.AveragedModel(model, **options)
        optimizer = graphc.optim.SGD(model.parameters(), lr=0.1)

        def step(x: Any) -> None:
            optimizer.zero_grad()
            (model(x) - 1).pow(4).sum().backward()
            optimizer.step()
            averaged.update_parameters(model)

        call = graphc.compile(step) if is_compiled else step
        for _ in range(3):
            call(graphc.randn(4, 3))
        return {name: value.tolist() for name, value in averaged.state_dict().items()}

    expected = train(False)
    assert expected["n_averaged"] == 3
    assert train(True) == expected


def test_statistics_are_computed_anew_over_all_batches() -> None:
    model = graphc.nn.Sequential(graphc.nn.BatchNorm1d(2, momentum=0.3)).eval()
    model[0].running_mean.fill_(100.0)
    batches = [(graphc.full((4, 2), value), "target") for value in (1.0, 2.0, 6.0)]
    swa_utils.update_bn(batches, model)
    assert model[0].running_mean.tolist() == [3.0, 3.0]
    assert model[0].running_var.tolist() == [0.0, 0.0]
    assert model[0].momentum == 0.3
    assert not model.training


def test_arguments_out_of_range_are_refused() -> None:
    for make in (swa_utils.get_ema_avg_fn, swa_utils.get_ema_multi_avg_fn):
        with pytest.raises(ValueError, match=r"Invalid decay value 1.5 provided. Please provide a value in \[0,1\]"):
            make(1.5)
    model = graphc.nn.Linear(1, 1)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn should be provided"):
        swa_utils.AveragedModel(model, avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn())
    optimizer = graphc.optim.SGD(model.parameters())
    with pytest.raises(ValueError, match="anneal_strategy must be one of 'cos' or 'linear', instead got x"):
        swa_utils.SWALR(optimizer, 0.1, anneal_strategy="x")  # type: ignore[arg-type]  # refused
    with pytest.raises(ValueError, match="anneal_epochs must be equal or greater than 0, got -1"):
        swa_utils.SWALR(optimizer, 0.1, anneal_epochs=-1)
