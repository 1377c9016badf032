"""Schedules against closed forms and literal sequences."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc.optim import lr_scheduler as schedulers

BASE = 0.1


def make_optimizer(kind: str = "SGD", **options: Any) -> Any:
    groups = [{"params": [graphc.zeros(2, requires_grad=True)]}, {"params": [graphc.zeros(2, requires_grad=True)]}]
    return getattr(graphc.optim, kind)(groups, lr=options.pop("lr", BASE), **options)


def rates(scheduler: Any, optimizer: Any, steps: int) -> list[float]:
    found = [float(scheduler.get_last_lr()[0])]
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        assert [group["lr"] for group in optimizer.param_groups] == scheduler.get_last_lr()
        found.append(float(scheduler.get_last_lr()[0]))
    return found


def cosine(share: float, high: float, low: float) -> float:
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2


def triangle(t: int, up: int, down: int) -> float:
    t %= up + down
    return t / up if t <= up else 1 - (t - up) / down


Make = Callable[[Any], Any]
CLOSED: dict[str, tuple[Make, Callable[[int], float]]] = {
    "LambdaLR": (lambda o: schedulers.LambdaLR(o, lambda t: 1 / (1 + t)), lambda t: BASE / (1 + t)),
    "MultiplicativeLR": (lambda o: schedulers.MultiplicativeLR(o, lambda t: 0.5), lambda t: BASE * 0.5**t),
    "StepLR": (lambda o: schedulers.StepLR(o, 3, gamma=0.5), lambda t: BASE * 0.5 ** (t // 3)),
    "MultiStepLR": (
        lambda o: schedulers.MultiStepLR(o, [2, 5, 5], gamma=0.5),
        lambda t: BASE * 0.5 ** sum(t >= m for m in (2, 5, 5)),
    ),
    "ConstantLR": (lambda o: schedulers.ConstantLR(o, 0.25, 4), lambda t: BASE * (0.25 if t < 4 else 1)),
    "LinearLR": (
        lambda o: schedulers.LinearLR(o, 0.2, 0.9, 7),
        lambda t: BASE * (0.2 + 0.7 * min(t, 7) / 7),
    ),
    "ExponentialLR": (lambda o: schedulers.ExponentialLR(o, 0.9), lambda t: BASE * 0.9**t),
    "PolynomialLR": (lambda o: schedulers.PolynomialLR(o, 6, 2.0), lambda t: BASE * (1 - min(t, 6) / 6) ** 2),
    "CosineAnnealingLR": (lambda o: schedulers.CosineAnnealingLR(o, 5, 0.01), lambda t: cosine(t / 5, BASE, 0.01)),
    "CosineAnnealingWarmRestarts": (
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, 4, eta_min=0.01),
        lambda t: cosine(t % 4 / 4, BASE, 0.01),
    ),
    "CyclicLR": (
        lambda o: schedulers.CyclicLR(o, 0.01, 0.2, 3, 5),
        lambda t: 0.01 + 0.19 * triangle(t, 3, 5),
    ),
    "CyclicLR triangular2": (
        lambda o: schedulers.CyclicLR(o, 0.01, 0.2, 3, mode="triangular2"),
        lambda t: 0.01 + 0.19 * triangle(t, 3, 3) / 2 ** (t // 6),
    ),
    "CyclicLR exp_range": (
        lambda o: schedulers.CyclicLR(o, 0.01, 0.2, 3, mode="exp_range", gamma=0.9),
        lambda t: 0.01 + 0.19 * triangle(t, 3, 3) * 0.9**t,
    ),
    "OneCycleLR": (
        lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=21, pct_start=0.3, div_factor=10, final_div_factor=100),
        lambda t: cosine(t / 5.3, 0.05, 0.5) if t <= 5.3 else cosine((t - 5.3) / 14.7, 0.5, 0.0005),
    ),
    "OneCycleLR three_phase": (
        lambda o: schedulers.OneCycleLR(
            o,
            0.5,
            epochs=4,
            steps_per_epoch=5,
            pct_start=0.25,
            three_phase=True,
            anneal_strategy="linear",
            div_factor=5,
        ),
        lambda t: 0.1 + 0.1 * t if t <= 4 else 0.5 - 0.1 * (t - 4) if t <= 8 else 0.1 + (1e-5 - 0.1) * (t - 8) / 11,
    ),
    "SWALR": (
        lambda o: graphc.optim.swa_utils.SWALR(o, 0.02, anneal_epochs=4),
        lambda t: cosine(min(t, 4) / 4, BASE, 0.02),
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_the_rates_are_those_of_the_closed_form(name: str) -> None:
    make, form = CLOSED[name]
    optimizer = make_optimizer(momentum=0.5)
    assert rates(make(optimizer), optimizer, 18) == pytest.approx([form(t) for t in range(19)], rel=1e-9, abs=1e-15)


CHAINABLE = ["LambdaLR", "StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR"]


@pytest.mark.parametrize("name", [*CHAINABLE, "CosineAnnealingLR"])
def test_a_step_to_an_epoch_uses_the_closed_form(name: str) -> None:
    make, form = CLOSED[name]
    optimizer = make_optimizer()
    scheduler = make(optimizer)
    optimizer.step()
    with pytest.warns(UserWarning, match="The epoch parameter in `scheduler.step\\(\\)` was not necessary"):
        scheduler.step(5)
    assert scheduler.last_epoch == 5
    assert scheduler.get_last_lr() == pytest.approx([form(5)] * 2)


@pytest.mark.parametrize("name", CLOSED)
def test_a_schedule_that_was_saved_goes_on_where_it_was(name: str) -> None:
    make, _ = CLOSED[name]
    optimizer = make_optimizer(momentum=0.5)
    scheduler = make(optimizer)
    rates(scheduler, optimizer, 7)
    other = make_optimizer(momentum=0.5)
    resumed = make(other)
    resumed.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert rates(resumed, other, 8) == rates(scheduler, optimizer, 8)
    assert "optimizer" not in scheduler.state_dict()


@pytest.mark.parametrize("name", CLOSED)
def test_a_rate_that_is_a_tensor_is_changed_in_place(name: str) -> None:
    make, form = CLOSED[name]
    rate = graphc.tensor(BASE, dtype=graphc.float64)
    optimizer = make_optimizer("Adam", lr=rate)
    scheduler = make(optimizer)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(form(5))


def test_each_group_has_a_schedule_of_its_own_rate() -> None:
    x, y = graphc.zeros(1, requires_grad=True), graphc.zeros(1, requires_grad=True)
    optimizer = graphc.optim.SGD([{"params": [x], "lr": 1.0}, {"params": [y], "lr": 8.0}])
    scheduler = schedulers.LambdaLR(optimizer, [lambda t: 0.5**t, lambda t: 0.25**t])
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5, 2.0]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [1.0, 8.0]


def test_schedules_follow_each_other() -> None:
    optimizer = make_optimizer(lr=1.0)
    warm, cold = schedulers.ConstantLR(optimizer, 0.5, 2), schedulers.ExponentialLR(optimizer, 0.5)
    scheduler = schedulers.SequentialLR(optimizer, [warm, cold], [3])
    assert rates(scheduler, optimizer, 6) == [0.5, 0.5, 1.0, 1.0, 0.5, 0.25, 0.125]
    state = scheduler.state_dict()
    assert [each["last_epoch"] for each in state["_schedulers"]] == [2, 3]
    scheduler.load_state_dict(state)
    assert "_schedulers" in state


def test_schedules_work_together() -> None:
    optimizer = make_optimizer(lr=1.0)
    both = [schedulers.ConstantLR(optimizer, 0.5, 2), schedulers.ExponentialLR(optimizer, 0.5)]
    scheduler = schedulers.ChainedScheduler(both)
    assert rates(scheduler, optimizer, 3) == [0.5, 0.25, 0.25, 0.125]
    assert len(scheduler.state_dict()["_schedulers"]) == 2


def test_the_momentum_goes_against_the_rate() -> None:
    optimizer = make_optimizer(momentum=0.5)
    scheduler = schedulers.CyclicLR(optimizer, 0.1, 0.2, 2, base_momentum=0.8, max_momentum=0.9)
    found = []
    for _ in range(5):
        found.append(optimizer.param_groups[1]["momentum"])
        optimizer.step()
        scheduler.step()
    assert found == pytest.approx([0.9, 0.85, 0.8, 0.85, 0.9])
    adam = make_optimizer("Adam")
    schedulers.OneCycleLR(adam, 0.1, total_steps=10)
    assert adam.param_groups[0]["betas"] == (0.95, 0.999)


def test_the_rate_falls_when_the_measure_stays() -> None:
    optimizer = make_optimizer(lr=1.0)
    scheduler = schedulers.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=2, min_lr=0.2)
    found = []
    for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0):
        scheduler.step(graphc.tensor(loss))
        found.append(scheduler.get_last_lr()[0])
    assert found == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2]
    assert (scheduler.best, scheduler.last_epoch) == (1.0, 15)


@pytest.mark.parametrize(
    ("mode", "threshold_mode", "measures", "bad"),
    [
        ("min", "rel", (1.0, 0.95, 0.85), 0),
        ("min", "rel", (1.0, 0.95), 1),
        ("min", "abs", (10.0, 9.95), 1),
        ("max", "rel", (1.0, 1.05), 1),
        ("max", "abs", (1.0, 1.2), 0),
    ],
)
def test_better_means_by_the_threshold(mode: Any, threshold_mode: Any, measures: tuple[float, ...], bad: int) -> None:
    scheduler = schedulers.ReduceLROnPlateau(
        make_optimizer(), mode, threshold=0.1, threshold_mode=threshold_mode, patience=5
    )
    for each in measures:
        scheduler.step(each)
    assert scheduler.num_bad_epochs == bad


def test_restarts_come_later_and_later() -> None:
    optimizer = make_optimizer(lr=1.0)
    scheduler = schedulers.CosineAnnealingWarmRestarts(optimizer, 2, 2)
    shares = [0, 1 / 2, 0, 1 / 4, 2 / 4, 3 / 4, 0, 1 / 8]
    assert rates(scheduler, optimizer, 7) == pytest.approx([cosine(share, 1.0, 0.0) for share in shares])
    scheduler.step(4.5)
    assert scheduler.get_last_lr()[0] == pytest.approx(cosine(2.5 / 4, 1.0, 0.0))


def test_the_wrong_order_of_steps_is_warned_of_once() -> None:
    optimizer = make_optimizer()
    scheduler = schedulers.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    scheduler.step()
    optimizer = make_optimizer()
    scheduler = schedulers.StepLR(optimizer, 1)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match=r"Seems like `optimizer.step\(\)` has been overridden"):
        scheduler.step()
    with pytest.warns(UserWarning, match=r"To get the last learning rate computed by the scheduler"):
        scheduler.get_lr()


def test_an_optimizer_with_a_schedule_can_be_copied_and_goes_away() -> None:
    optimizer = make_optimizer()
    schedulers.StepLR(optimizer, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy.deepcopy(optimizer).step()
    assert optimizer.step.__name__ == "step"


ERRORS: list[tuple[Callable[[Any], object], type[Exception], str]] = [
    (lambda o: schedulers.StepLR(3, 1), TypeError, "int is not an Optimizer"),  # type: ignore[arg-type]  # refused
    (lambda o: schedulers.LambdaLR(o, [len]), ValueError, "Expected 2 lr_lambdas, but got 1"),  # type: ignore[list-item]  # refused
    (
        lambda o: schedulers.MultiplicativeLR(o, [3, 4]),  # type: ignore[list-item]  # refused
        TypeError,
        "lr_lambda should be a function, but got int",
    ),
    (
        lambda o: schedulers.ConstantLR(o, 2.0),
        ValueError,
        "Constant multiplicative factor expected to be between 0 and 1.",
    ),
    (
        lambda o: schedulers.LinearLR(o, 0.0),
        ValueError,
        "Starting multiplicative factor expected to be greater than 0 and less or equal to 1.",
    ),
    (
        lambda o: schedulers.SequentialLR(o, [], []),
        ValueError,
        "SequentialLR expects at least one scheduler, but got no scheduler.",
    ),
    (
        lambda o: schedulers.SequentialLR(o, [schedulers.StepLR(o, 1)], [3]),
        ValueError,
        "Sequential Schedulers expects number of schedulers provided to be one more than the number of milestone "
        "points, but got number of schedulers 1 and the number of milestones to be equal to 1",
    ),
    (
        lambda o: schedulers.ChainedScheduler([schedulers.ReduceLROnPlateau(o)]),
        ValueError,
        "ChainedScheduler does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs to be "
        "specified when calling `step`, but got one at index 0 in the given schedulers sequence.",
    ),
    (lambda o: schedulers.ReduceLROnPlateau(o, factor=1.0), ValueError, "Factor should be < 1.0."),
    (lambda o: schedulers.ReduceLROnPlateau(o, "x"), ValueError, "mode x is unknown!"),  # type: ignore[arg-type]  # refused
    (
        lambda o: schedulers.CyclicLR(o, 0.1, [0.1]),
        ValueError,
        "max_lr must have the same length as optimizer.param_groups. max_lr has 1 values, param_groups has 2.",
    ),
    (
        lambda o: schedulers.CyclicLR(make_optimizer("Adagrad"), 0.1, 0.1),
        ValueError,
        "optimizer must support momentum or beta1 with `cycle_momentum` option enabled",
    ),
    (
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, 0),
        ValueError,
        "Expected positive integer T_0, but got 0",
    ),
    (
        lambda o: schedulers.OneCycleLR(o, 0.1),
        ValueError,
        "You must define either total_steps OR (epochs AND steps_per_epoch)",
    ),
    (
        lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=10, pct_start=1),
        ValueError,
        "Expected float between 0 and 1 pct_start, but got 1",
    ),
    (
        lambda o: rates(schedulers.OneCycleLR(o, 0.1, total_steps=4), o, 5),
        ValueError,
        "Tried to step 5 times. The specified number of total steps is 4",
    ),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors_have_the_words_of_pytorch(case: int) -> None:
    call, kind, text = ERRORS[case]
    with pytest.raises(kind) as caught:
        call(make_optimizer())
    assert str(caught.value) == text


def test_going_on_needs_the_rates_to_go_on_from() -> None:
    with pytest.raises(KeyError, match="param 'initial_lr' is not specified in param_groups\\[0\\] when resuming"):
        schedulers.StepLR(make_optimizer(), 1, last_epoch=3)
