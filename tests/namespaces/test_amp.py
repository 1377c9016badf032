"""Mixed precision as far as a CPU has it: regions that are off, and scaled gradients."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc.amp import GradScaler, autocast


class Descent:
    """An optimizer: `p -= grad`."""

    def __init__(self, *parameters: graphc.Tensor) -> None:
        self.param_groups = [{"params": list(parameters)}]

    def step(self) -> str:
        with graphc.no_grad():
            for each in self.param_groups[0]["params"]:
                each -= each.grad
        return "stepped"


def test_regions_that_are_off_change_nothing() -> None:
    x = graphc.ones(2, 2)
    with autocast("cuda", enabled=False), autocast("cpu", dtype=graphc.bfloat16, enabled=False):
        assert (x @ x).dtype is graphc.float32
        assert not graphc.is_autocast_enabled("cpu")
    assert autocast("cpu", enabled=False)(lambda x: x + 1)(1) == 2
    with pytest.warns(UserWarning, match="CUDA is not available or torch_xla is imported. Disabling autocast."):
        autocast("cuda")
    with pytest.warns(UserWarning, match="target dtype is not supported. Disabling autocast"):
        autocast("cpu", dtype=graphc.float32)
    with pytest.warns(FutureWarning, match=r"torch\.cuda\.amp\.autocast"), pytest.warns(UserWarning, match="CUDA"):
        graphc.cuda.amp.autocast()


def test_without_a_gpu_its_scaler_passes_everything_through() -> None:
    with pytest.warns(UserWarning, match="GradScaler is enabled, but CUDA is not available.  Disabling."):
        scaler = GradScaler()
    x = graphc.ones(2, requires_grad=True)
    loss = x.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    assert scaler.step(Descent(x)) == "stepped"
    scaler.update()
    assert (scaler.is_enabled(), scaler.get_scale(), scaler.state_dict()) == (False, 1.0, {})


def test_the_scale_grows_and_shrinks() -> None:
    x = graphc.ones(2, requires_grad=True)
    optimizer, scaler = Descent(x), GradScaler("cpu", init_scale=8.0, growth_interval=2)
    for expected in (8.0, 16.0):
        x.grad = None
        scaler.scale((x * 0.25).sum()).backward()
        assert scaler.step(optimizer) == "stepped"
        scaler.update()
        assert scaler.get_scale() == expected
    assert x.tolist() == [0.5, 0.5]
    x.grad = graphc.tensor([1.0, float("inf")])
    assert scaler.step(optimizer) is None
    scaler.update()
    assert (scaler.get_scale(), x.tolist()) == (8.0, [0.5, 0.5])


def test_unscaled_gradients_and_misuse() -> None:
    x = graphc.ones(2, requires_grad=True)
    optimizer, scaler = Descent(x), GradScaler("cpu", init_scale=4.0)
    with pytest.raises(AssertionError, match="Attempted step but _scale is None"):
        scaler.step(optimizer)
    scaler.scale([x.sum()])[0].backward()
    scaler.unscale_(optimizer)
    assert x.grad.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called on this optimizer"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called since the last update\(\)\."):
        scaler.step(optimizer)
    with pytest.raises(AssertionError, match=r"The growth factor must be > 1\.0\."):
        GradScaler("cpu", growth_factor=1.0)


def test_the_state_of_a_scaler_goes_on() -> None:
    x = graphc.ones(2, requires_grad=True)
    optimizer, scaler = Descent(x), GradScaler("cpu", init_scale=4.0, growth_interval=3)
    scaler.scale(x.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    state = scaler.state_dict()
    assert state == {
        "scale": 4.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 3,
        "_growth_tracker": 1,
    }
    other = GradScaler("cpu")
    other.load_state_dict(state)
    assert other.state_dict() == state


def overflowing(optimizer_of: Callable[[Any], Any], compiled: bool) -> tuple[list[float], list[Any], int]:
    """Scales after each of some steps, a few of which overflow in float16; parameters at the end; recordings."""
    graphc.manual_seed(3)
    model = graphc.nn.Linear(4, 2)
    optimizer = optimizer_of(model.parameters())
    scaler = GradScaler("cpu", init_scale=2.0**18, growth_interval=4)

    def train(x: graphc.Tensor) -> graphc.Tensor:
        optimizer.zero_grad()
        with graphc.autocast("cpu", graphc.float16):
            loss = model(x).square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    run = graphc.compile(train) if compiled else train
    scales = []
    for number in range(14):
        x = graphc.arange(12.0).reshape(3, 4) / 10 + 0.01 * number
        run(x * (1000 if number == 8 else 1))
        scales.append(scaler.get_scale())
    states = [each.tolist() for state in optimizer.state.values() for each in state.values() if each is not None]
    count = len(run.compilations) if compiled else 0
    return scales, [*(each.tolist() for each in model.parameters()), states], count


@pytest.mark.parametrize(
    "optimizer_of",
    [
        lambda parameters: graphc.optim.Adam(parameters, lr=0.01),
        lambda parameters: graphc.optim.SGD(parameters, lr=0.01, momentum=0.9, dampening=0.1),
        lambda parameters: graphc.optim.SGD(parameters, lr=0.01),
    ],
    ids=["adam", "momentum", "sgd"],
)
def test_a_step_with_a_scaler_is_one_program(optimizer_of: Callable[[Any], Any]) -> None:
    scales, values, _ = overflowing(optimizer_of, False)
    assert scales[0] < 2.0**18
    assert len(set(scales)) > 3
    assert scales[8] == scales[7] / 2
    again, same, count = overflowing(optimizer_of, True)
    assert (again, same) == (scales, values)
    assert count <= 2  # without states the first call, which finds no gradients, is a program of its own


def test_a_changed_factor_is_noticed_by_a_program() -> None:
    x = graphc.ones(2, requires_grad=True)
    optimizer, scaler = graphc.optim.SGD([x], lr=0.1), GradScaler("cpu", init_scale=4.0, growth_interval=1)

    @graphc.compile
    def train() -> None:
        optimizer.zero_grad()
        scaler.scale(x.sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    for expected, factor in ((8.0, 2.0), (16.0, 2.0), (32.0, 2.0), (128.0, 4.0), (512.0, 4.0)):
        scaler.set_growth_factor(factor)
        train()
        assert scaler.get_scale() == expected
    assert len(train.compilations) == 2


def test_an_optimizer_may_look_after_scaled_gradients() -> None:
    seen: list[Any] = []

    class Own(Descent):
        _step_supports_amp_scaling = True
        grad_scale: Any
        found_inf: Any

        def step(self) -> str:
            seen.append((self.grad_scale.item(), self.found_inf.item()))
            return "by itself"

    x = graphc.ones(2, dtype=graphc.float16, requires_grad=True)
    optimizer, scaler = Own(x), GradScaler("cpu", init_scale=4.0)
    for value in (1.0, float("inf")):
        scaler.scale(x.float().sum())
        x.grad = graphc.tensor([1.0, value], dtype=graphc.float16)
        assert scaler.step(optimizer) == "by itself"
        assert x.grad.tolist() == [1.0, value]
        scaler.update()
    assert seen == [(4.0, 0.0), (4.0, 1.0)]
    assert scaler.get_scale() == 2.0
    assert not hasattr(optimizer, "grad_scale")


def test_what_a_scaler_refuses() -> None:
    x = graphc.ones(2, requires_grad=True)
    optimizer, scaler = Descent(x), GradScaler("cpu", init_scale=4.0)
    scaler.scale(x.sum()).backward()
    with pytest.raises(RuntimeError, match="Closure use is not currently supported if GradScaler is enabled"):
        scaler.step(optimizer, closure=lambda: None)
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()
    with pytest.raises(AssertionError, match="No inf checks were recorded for this optimizer"):
        scaler.step(Descent())
    with pytest.raises(ValueError, match="outputs must be a Tensor or an iterable of Tensors"):
        scaler.scale(3)
    for wrong in (graphc.ones(2), graphc.ones(1, requires_grad=True)):
        with pytest.raises(AssertionError, match="new_scale should be a float or a 1-element"):
            scaler.update(wrong)
    scaler.update(graphc.tensor([16.0]))
    assert scaler.get_scale() == 16.0
    scaler.update(3.0)
    assert scaler.get_scale() == 3.0
    with pytest.raises(RuntimeError, match="The source state dict is empty"):
        scaler.load_state_dict({})
    x.grad = None
    y = graphc.ones(2, dtype=graphc.float16, requires_grad=True)
    y.grad = graphc.ones(2, dtype=graphc.float16)
    with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
        scaler.unscale_(Descent(y))


def test_a_scaler_is_pickled_between_steps() -> None:
    x = graphc.ones(2, requires_grad=True)
    optimizer, scaler = Descent(x), GradScaler("cpu", init_scale=4.0, growth_interval=3)
    scaler.scale(x.sum()).backward()
    scaler.step(optimizer)
    with pytest.raises(AssertionError, match="may only be pickled at the beginning of an iteration"):
        pickle.dumps(scaler)
    scaler.update()
    other = pickle.loads(pickle.dumps(scaler))
    assert other.state_dict() == scaler.state_dict()
    assert other.scale(graphc.ones(1)).item() == 4.0


def test_the_largest_scale_stays() -> None:
    x = graphc.ones(1, requires_grad=True)
    optimizer, scaler = Descent(x), GradScaler("cpu", init_scale=2.0**127, growth_interval=1)
    x.grad = graphc.ones(1)
    scaler.scale([x.sum(), (x.sum(),)])
    scaler.step(optimizer)
    scaler.update()
    assert scaler.state_dict()["scale"] == 2.0**127
    assert scaler.state_dict()["_growth_tracker"] == 0
