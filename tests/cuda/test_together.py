"""Steps of optimizers and clipped gradients on a GPU: one program for many tensors, few launches, the CPU's bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import graphc
from graphc import nn
from graphc.eager import together
from graphc.ir.errors import ShapeError
from graphc.runtime.cuda.select import driver

SHAPES = ((3, 4), (4,), (2, 16), (16,), (7,), (5, 3), ())


@contextmanager
def launches(most: int) -> Iterator[None]:
    """No more kernels than that are launched, and none is replayed."""
    found: Any = driver()
    graphc.cuda.synchronize()  # what was launched before may be counted late
    before = found.launches
    yield
    graphc.cuda.synchronize()
    assert found.launches - before <= most, found.launches - before


def parameters(place: str, dtype: Any = graphc.float32) -> list[Any]:
    graphc.manual_seed(0)
    return [nn.Parameter(graphc.randn(shape).to(device=place, dtype=dtype)) for shape in SHAPES]


def set_gradients(given: list[Any], step: int) -> None:
    for number, each in enumerate(given):
        each.grad = each.detach() * (0.5 + step) + number


OPTIMIZERS: dict[str, tuple[Callable[[Any], Any], int]] = {
    # how it is made, launches of a step: what has no dimensions takes some of its own
    "SGD": (lambda p: graphc.optim.SGD(p, lr=0.1), 2),
    "momentum": (lambda p: graphc.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01), 3),
    "Adam": (lambda p: graphc.optim.Adam(p, lr=0.1, amsgrad=True), 4),
    "AdamW": (lambda p: graphc.optim.AdamW(p, lr=0.1, fused=True), 3),
    "RMSprop": (lambda p: graphc.optim.RMSprop(p, centered=True, momentum=0.5), 4),
    "Adagrad": (graphc.optim.Adagrad, 3),
    "Adadelta": (graphc.optim.Adadelta, 5),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_few_launches_and_gives_the_bits_of_the_cpu(name: str) -> None:
    make, most = OPTIMIZERS[name]
    found: list[list[bytes]] = []
    for place in ("cpu", "cuda"):
        given = parameters(place)
        optimizer = make(given)
        for step in range(3):
            set_gradients(given, step)
            versions = [each._version for each in given]
            if place == "cuda" and step:
                with launches(most):
                    optimizer.step()
            else:
                optimizer.step()
            assert all(each._version > before for each, before in zip(given, versions))
            optimizer.zero_grad(set_to_none=step == 0)
        found.append([each.detach().cpu().numpy().tobytes() for each in given])
    assert found[0] == found[1]


def test_a_new_learning_rate_compiles_nothing() -> None:
    given = parameters("cuda")
    rate = graphc.tensor(0.1, device="cuda")
    optimizer: Any = graphc.optim.Adam(given, lr=rate, capturable=True)
    others: Any = graphc.optim.SGD(given, lr=0.1)
    for each in (optimizer, others):
        set_gradients(given, 0)
        each.step()
    count = len(together._programs)
    rate.fill_(0.0)
    others.param_groups[0]["lr"] = 0.0
    before = [each.detach().clone() for each in given]
    for each in (optimizer, others):
        each.step()
    assert len(together._programs) == count
    assert all(graphc.equal(a, b) for a, b in zip(before, given))


def test_parameters_that_share_memory_or_have_none_to_share_step_one_by_one() -> None:
    found: list[list[Any]] = []
    for place in ("cpu", "cuda"):
        whole: Any = graphc.arange(12.0).to(place)
        given = [nn.Parameter(each) for each in (whole[:8], whole[4:], graphc.ones(2, 3).to(place).t())]
        optimizer: Any = graphc.optim.SGD(given, lr=0.5)
        set_gradients(given, 0)
        optimizer.step()
        found.append([each.detach().cpu().tolist() for each in given])
    assert found[0] == found[1]


def test_half_precision_complex_and_parameters_on_two_gpus() -> None:
    found: list[list[Any]] = []
    for places in (("cpu", "cpu"), ("cuda:0", "cuda:1")):
        graphc.manual_seed(0)
        given = [
            nn.Parameter(graphc.randn(5).to(device=place, dtype=dtype))
            for place in places
            for dtype in (graphc.bfloat16, graphc.float16, graphc.complex64, graphc.float64)
        ]
        optimizer: Any = graphc.optim.Adam(given, lr=0.1)
        for step in range(2):
            set_gradients(given, step)
            optimizer.step()
        found.append([each.detach().cpu().tolist() for each in given])
    assert found[0] == found[1]


def test_a_state_of_another_shape_is_refused_as_alone() -> None:
    given = parameters("cuda")[:2]
    optimizer: Any = graphc.optim.SGD(given, lr=0.1, momentum=0.9)
    set_gradients(given, 0)
    optimizer.step()
    optimizer.state[given[0]]["momentum_buffer"] = graphc.zeros(4, 4, device="cuda")
    with pytest.raises(ShapeError, match=r"The size of tensor a \(4\) must match the size of tensor b \(3\)"):
        optimizer.step()


CLIPS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "norm": (lambda p: nn.utils.clip_grad_norm_(p, 0.5), 4),
    "norm that is large enough": (lambda p: nn.utils.clip_grad_norm_(p, 1e4, norm_type=1), 4),
    "largest element": (lambda p: nn.utils.clip_grad_norm_(p, 0.5, norm_type=float("inf")), 4),
    "norm that must be finite": (lambda p: nn.utils.clip_grad_norm_(p, 0.5, error_if_nonfinite=True), 6),
    "total norm": (lambda p: nn.utils.get_total_norm([each.grad for each in p]), 3),
    "value": (lambda p: nn.utils.clip_grad_value_(p, 0.5), 1),
}


@pytest.mark.parametrize("name", CLIPS)
def test_gradients_are_clipped_in_few_launches_to_the_bits_of_the_cpu(name: str) -> None:
    clip, most = CLIPS[name]
    found: list[Any] = []
    for place in ("cpu", "cuda"):
        given = parameters(place)[:-1]
        for _ in range(2):
            set_gradients(given, 1)
            if place == "cuda":
                with launches(most):
                    norm = clip(given)
            else:
                norm = clip(given)
        total = None if norm is None else norm.item()
        found.append([total, *(each.grad.cpu().numpy().tobytes() for each in given)])
    assert found[0] == found[1]


def test_scaled_gradients_are_divided_and_judged_in_few_launches() -> None:
    for bad in (False, True):
        given = parameters("cuda")[:-1]
        optimizer: Any = graphc.optim.SGD(given, lr=0.5)
        scaler: Any = graphc.amp.GradScaler("cuda", init_scale=4.0)
        scaler.scale(graphc.ones((), device="cuda"))
        before = [each.detach().clone() for each in given]
        set_gradients(given, 0)
        expected = [each.grad / 4 for each in given]
        if bad:
            given[2].grad[0] = float("inf")
        with launches(6):
            scaler.unscale_(optimizer)
        if not bad:
            assert all(graphc.equal(each.grad, one) for each, one in zip(given, expected))
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == (2.0 if bad else 4.0)
        assert all(graphc.equal(a, b) == bad for a, b in zip(before, given))


def test_numbers_are_copied_anew_for_another_stream() -> None:
    given = parameters("cuda")[:-1]
    optimizer: Any = graphc.optim.SGD(given, lr=0.5)
    numbers = optimizer._numbers()[0]
    set_gradients(given, 0)
    optimizer.step()
    first = numbers.on_gpu(0)
    assert all(a is b for a, b in zip(first, numbers.on_gpu(0)))
    with graphc.cuda.stream(graphc.cuda.Stream()):
        assert all(a is not b for a, b in zip(first, numbers.on_gpu(0)))


def test_gradients_are_filled_with_zeros_in_one_launch() -> None:
    given = parameters("cuda")[:-1]
    optimizer: Any = graphc.optim.SGD(given, lr=0.5)
    for step in range(2):
        set_gradients(given, step)
        kept = [(each.grad, each.grad._version) for each in given]
        with launches(1 if step else 3):
            optimizer.zero_grad(set_to_none=False)
        for each, (grad, version) in zip(given, kept):
            assert each.grad is grad
            assert grad._version > version
            assert not grad.any()
