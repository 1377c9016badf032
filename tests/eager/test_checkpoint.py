"""Computing again instead of keeping: what is kept, how often a function runs, and what it must not do."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import graphc as torch
from graphc.autograd.graph import saved_tensors_hooks
from graphc.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential, set_checkpoint_early_stop

Step = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture
def x() -> torch.Tensor:
    return torch.tensor([1.0, 2.0], requires_grad=True)


def cubed(x: torch.Tensor) -> torch.Tensor:
    return (x * x).sin() * x


def gradient(step: Step) -> list[float]:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    step(x).sum().backward()
    assert x.grad is not None
    return x.grad.tolist()


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradients_are_the_same_and_the_function_runs_twice(reentrant: bool, x: torch.Tensor) -> None:
    calls = []

    def counted(x: torch.Tensor) -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        return cubed(x)

    y = checkpoint(counted, x, use_reentrant=reentrant)
    assert len(calls) == 1
    y.sum().backward()
    assert x.grad.tolist() == gradient(cubed)
    assert calls == [not reentrant, True]


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True")
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_inside_checkpoints(reentrant: bool) -> None:
    def inner(x: torch.Tensor) -> torch.Tensor:
        return checkpoint(cubed, x * 2, use_reentrant=reentrant).cos()

    found = gradient(lambda x: checkpoint(inner, x, use_reentrant=reentrant) * 3)
    assert found == pytest.approx(gradient(lambda x: cubed(x * 2).cos() * 3), rel=1e-5)


def alive() -> int:
    """Bytes of all arrays that tensors or saved values hold."""
    gc.collect()
    arrays = {id(each): each for each in gc.get_objects() if isinstance(each, torch.Tensor)}
    return sum(each._array.nbytes for each in arrays.values())


@pytest.mark.parametrize("reentrant", [True, False])
def test_inner_values_are_not_kept(reentrant: bool) -> None:
    """Counted by what a gradient saves around the checkpointed call: its argument, and nothing inside."""
    saved: list[int] = []

    def deep(x: torch.Tensor) -> torch.Tensor:
        for _ in range(10):
            x = x.tanh()
        return x

    x = torch.from_numpy(np.ones(1000, np.float32)).requires_grad_()
    with saved_tensors_hooks(lambda tensor: saved.append(tensor.numel()) or tensor, lambda kept: kept):
        deep(x)
        assert len(saved) == 10
        saved.clear()
        checkpoint(deep, x, use_reentrant=reentrant)
    assert saved == [1000]


def test_arrays_inside_are_freed() -> None:
    before = alive()
    x = torch.from_numpy(np.ones(100_000, np.float32)).requires_grad_()

    def deep(x: torch.Tensor) -> torch.Tensor:
        for _ in range(10):
            x = checkpoint(lambda x: x.tanh().exp(), x, use_reentrant=False)
        return x.sum()

    loss = checkpoint(deep, x, use_reentrant=False)
    assert alive() - before < 3 * 400_000
    loss.backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_random_numbers_come_again(x: torch.Tensor) -> None:
    for reentrant in (True, False):
        drawn: list[list[float]] = []

        def noisy(x: torch.Tensor) -> torch.Tensor:
            noise = torch.rand(2)
            drawn.append(noise.tolist())  # noqa: B023  # it runs in this round
            return (x * noise).exp()

        torch.manual_seed(3)
        y = checkpoint(noisy, x, use_reentrant=reentrant)
        state = torch.get_rng_state()
        y.sum().backward()
        assert drawn[0] == drawn[1]
        assert torch.equal(state, torch.get_rng_state())
        drawn.clear()
        checkpoint(noisy, x, use_reentrant=reentrant, preserve_rng_state=False).sum().backward()
        assert drawn[0] != drawn[1]


def test_other_arguments_and_results(x: torch.Tensor) -> None:
    def mixed(x: torch.Tensor, options: dict[str, float], *, shift: float = 0.0) -> Any:
        return x * options["factor"] + shift, "name"

    y, name = checkpoint(mixed, x, {"factor": 3.0}, shift=1.0, use_reentrant=False)
    assert (y.tolist(), name) == ([4.0, 7.0], "name")
    weight = torch.tensor([3.0], requires_grad=True)
    checkpoint(lambda x: x * weight * weight, torch.tensor([1.0, 2.0]), use_reentrant=False).sum().backward()
    assert weight.grad.tolist() == [18.0]


def test_graphs_that_are_kept_and_differentiated_again(x: torch.Tensor) -> None:
    y = checkpoint(cubed, x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == pytest.approx([2 * each for each in gradient(cubed)])
    with pytest.raises(RuntimeError, match=r"^Trying to backward through the graph a second time"):
        y.backward()
    (first,) = torch.autograd.grad(checkpoint(lambda x: x**3, x, use_reentrant=False).sum(), x, create_graph=True)
    assert torch.autograd.grad(first.sum(), x)[0].tolist() == [6.0, 12.0]


def test_it_stops_when_it_has_all_values(x: torch.Tensor) -> None:
    log: list[str] = []

    def told(x: torch.Tensor) -> torch.Tensor:
        y = x.exp()
        log.append("end")
        return y

    checkpoint(told, x, use_reentrant=False).sum().backward()
    assert log == ["end"]
    with set_checkpoint_early_stop(False):
        checkpoint(told, x, use_reentrant=False).sum().backward()
    assert log == ["end"] * 3


def test_contexts_for_both_runs(x: torch.Tensor) -> None:
    log: list[str] = []

    @contextmanager
    def named(name: str) -> Iterator[None]:
        log.append(name)
        yield

    contexts = lambda: (named("first"), named("second"))  # noqa: E731  # as users write it
    checkpoint(cubed, x, use_reentrant=False, context_fn=contexts).sum().backward()
    assert log == ["first", "second"]
    with pytest.raises(
        ValueError, match=r"^Passing `context_fn` or `debug` is only supported when use_reentrant=False.$"
    ):
        checkpoint(cubed, x, use_reentrant=True, context_fn=contexts)


def test_a_second_run_that_is_another_one(x: torch.Tensor) -> None:
    first = [True]
    y = checkpoint(lambda x: x.exp() * x if first[0] else x.exp(), x, use_reentrant=False)
    first[0] = False
    with pytest.raises(
        CheckpointError, match=r"^torch.utils.checkpoint: A different number of tensors was saved during"
    ):
        y.sum().backward()
    size = [2]
    y = checkpoint(lambda x: (x * torch.ones(size[0], 1)).exp(), x, use_reentrant=False)
    size[0] = 3
    with pytest.raises(CheckpointError, match="have different metadata than during the forward pass") as caught:
        y.sum().backward()
    assert "saved metadata: {'shape': torch.Size([2, 2]), 'dtype': torch.float32" in str(caught.value)


def test_misuse_is_told(x: torch.Tensor) -> None:
    with pytest.warns(UserWarning, match="the use_reentrant parameter should be passed explicitly"):
        checkpoint(cubed, x)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True. Gradients will be None"):
        assert not checkpoint(cubed, torch.tensor([1.0]), use_reentrant=True).requires_grad
    with pytest.raises(ValueError, match=r"^Unexpected keyword arguments: k$"):
        checkpoint(cubed, x, use_reentrant=True, k=2)
    with pytest.raises(ValueError, match=r"^determinism_check should be one of"):
        checkpoint(cubed, x, use_reentrant=False, determinism_check="some")
    with pytest.raises(
        RuntimeError, match=r"^When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad"
    ):
        torch.autograd.grad(checkpoint(cubed, x, use_reentrant=True).sum(), x)
    with pytest.raises(RuntimeError, match=r"^none of output has requires_grad=True, this checkpoint"):
        checkpoint(lambda x: x.detach() * 2, x, use_reentrant=True).sum().backward()


def test_an_argument_that_was_overwritten(x: torch.Tensor) -> None:
    y = x * 1
    z = checkpoint(cubed, y, use_reentrant=False)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


@pytest.mark.parametrize("reentrant", [True, False])
def test_segments(reentrant: bool) -> None:
    steps: list[Step] = [lambda x: x * 2, torch.exp, lambda x: x + 1, torch.log, torch.sin]

    def plain(x: torch.Tensor) -> torch.Tensor:
        for step in steps:
            x = step(x)
        return x

    for segments in (1, 2, 5):
        found = gradient(lambda x, n=segments: checkpoint_sequential(steps, n, x, use_reentrant=reentrant))
        assert found == gradient(plain)
    with pytest.raises(ValueError, match=r"^Unexpected keyword arguments: depth$"):
        checkpoint_sequential(steps, 1, torch.ones(2), use_reentrant=False, depth=3)
