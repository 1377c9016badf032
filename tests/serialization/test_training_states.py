"""States of optimizers and schedulers in files: a training goes on with the same bits, and PyTorch can read them."""

import io
import pickletools
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc import nn
from graphc.optim import Optimizer, lr_scheduler, swa_utils

PLAIN = {
    "collections Counter",
    "collections OrderedDict",
    "torch FloatStorage",
    "torch LongStorage",
    "torch._utils _rebuild_tensor_v2",
}
"""Names that PyTorch reads with `weights_only=True`."""
NAMES = "SGD Adam AdamW Adamax NAdam RAdam Adagrad Adadelta RMSprop Rprop ASGD LBFGS Adafactor Muon".split()
OPTIONS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9},
    "Adam": {"amsgrad": True},
    "RMSprop": {"momentum": 0.9, "centered": True},
}
SCHEDULERS: dict[str, Callable[[Optimizer], Any]] = {
    "step": lambda optimizer: lr_scheduler.StepLR(optimizer, 2),
    "milestones": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 2, 4]),
    "constant": lr_scheduler.ConstantLR,
    "linear": lr_scheduler.LinearLR,
    "exponential": lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.9),
    "polynomial": lr_scheduler.PolynomialLR,
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 5),
    "restarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3),
    "cyclic": lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, 2),
    "one cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, 20),
    "lambda": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch),
    "factor": lambda optimizer: lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.9),
    "plateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, patience=0),
    "averaged": lambda optimizer: swa_utils.SWALR(optimizer, 0.05),
    "chained": lambda optimizer: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    ),
    "sequence": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.ConstantLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)], [2]
    ),
}  # fmt: skip


def through_a_file(state: Any, format: Any) -> Any:
    file = io.BytesIO()
    graphc.save(state, file, format=format)
    if format == "torch":
        assert globals_of(file) <= PLAIN
    file.seek(0)
    return graphc.load(file)


def globals_of(file: io.BytesIO) -> set[str]:
    """The names in the file's pickle."""
    content = zipfile.ZipFile(file).read("archive/data.pkl")
    operations = [(code.name, argument) for code, argument, _ in pickletools.genops(content)]
    assert not {name for name, _ in operations} & {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "FRAME"}
    return {str(argument) for name, argument in operations if name == "GLOBAL"}


def training(name: str) -> tuple[nn.Module, Any]:
    graphc.manual_seed(0)
    model = nn.Linear(3, 2, bias=name != "Muon")
    return model, getattr(graphc.optim, name)(model.parameters(), lr=0.1, **OPTIONS.get(name, {}))


def train(model: nn.Module, optimizer: Any, scheduler: Any = None, steps: int = 3) -> list[float]:
    x = graphc.arange(12.0).reshape(4, 3) / 10

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (model(x) - 1).pow(2).mean()
        loss.backward()
        return loss

    found = []
    for _ in range(steps):
        found.append(optimizer.step(closure).item())
        if scheduler is not None:
            scheduler.step(*[1.0] * isinstance(scheduler, lr_scheduler.ReduceLROnPlateau))
            found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("format", ["safetensors", "torch"])
@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_goes_on(name: str, format: str) -> None:
    model, optimizer = training(name)
    train(model, optimizer)
    states = through_a_file({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, format)
    expected = train(model, optimizer)
    other_model, other = training(name)
    other_model.load_state_dict(states["model"])
    other.load_state_dict(states["optimizer"])
    assert train(other_model, other) == expected


@pytest.mark.parametrize("format", ["safetensors", "torch"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_goes_on(name: str, format: str) -> None:
    model, optimizer = training("SGD")
    scheduler = SCHEDULERS[name](optimizer)
    train(model, optimizer, scheduler)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    states = through_a_file({key: part.state_dict() for key, part in parts.items()}, format)
    expected = train(model, optimizer, scheduler)
    model, optimizer = training("SGD")
    scheduler = SCHEDULERS[name](optimizer)
    for key, part in {"model": model, "optimizer": optimizer, "scheduler": scheduler}.items():
        part.load_state_dict(states[key])
    assert train(model, optimizer, scheduler) == expected


@pytest.mark.parametrize("format", ["safetensors", "torch"])
def test_compiled_modules_and_steps_go_on(format: str) -> None:
    def start() -> tuple[Any, Any, Any]:
        graphc.manual_seed(0)
        model = graphc.compile(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)))
        optimizer = graphc.optim.Adam(model.parameters(), lr=0.1)

        @graphc.compile
        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            loss.backward()
            optimizer.step()
            return loss

        return model, optimizer, step

    x = graphc.arange(12.0).reshape(4, 3) / 10
    model, optimizer, step = start()
    for _ in range(3):
        step(x)
    states = through_a_file({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, format)
    expected = [step(x).item() for _ in range(3)]
    model, optimizer, step = start()
    step(x)  # it is compiled before it gets its state
    model.load_state_dict(states["model"])
    optimizer.load_state_dict(states["optimizer"])
    assert [step(x).item() for _ in range(3)] == expected
