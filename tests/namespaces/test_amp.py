"""Mixed precision as far as a CPU has it: regions that are off, and scaled gradients."""

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
