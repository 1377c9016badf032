"""Training on a GPU: the CPU's numbers to the last bit, eager and compiled, one program for all steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc import Tensor, nn
from graphc.nn.functional import cross_entropy

STEPS = 3


class LastOutput(nn.Module):
    """An LSTM, and a linear layer on its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent: Any = nn.LSTM(4, 6, batch_first=True)
        self.scores: Any = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.scores(self.recurrent(x)[0][:, -1])


def perceptron() -> Any:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Dropout(0.3), nn.Linear(8, 3))


def convolutional() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)
    )


def transformer() -> Any:
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Embedding(5, 4), layer, nn.Flatten(), nn.Linear(12, 3))


NETWORKS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "perceptron": (perceptron, lambda: graphc.randn(3, 4)),
    "convolutional": (convolutional, lambda: graphc.randn(3, 1, 4, 4)),
    "transformer": (transformer, lambda: graphc.randint(0, 5, (3, 3))),
    "recurrent": (LastOutput, lambda: graphc.randn(3, 2, 4)),
}


def trained(network: str, place: str, is_compiled: bool) -> tuple[list[float], list[bytes]]:
    """The losses, and the bits of the parameters afterwards."""
    make, data = NETWORKS[network]
    graphc.manual_seed(0)
    model = make()
    x, y = data().to(place), graphc.tensor([0, 2, 1]).to(place)
    model.to(place)
    optimizer: Any = graphc.optim.AdamW(model.parameters(), lr=0.01)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss

    run: Any = graphc.compile(step) if is_compiled else step
    graphc.manual_seed(1)
    losses = [run(x, y).item() for _ in range(STEPS)]
    if is_compiled:
        assert len(run.compilations) <= 2  # that of the first step makes the states
    for each in (*model.parameters(), *model.buffers(), *optimizer.state[next(model.parameters())].values()):
        assert each.device.type == place
    return losses, [each.detach().cpu().numpy().tobytes() for each in (*model.parameters(), *model.buffers())]


@pytest.mark.parametrize(
    ("network", "is_compiled"),
    [(name, True) for name in NETWORKS] + [("perceptron", False), ("convolutional", False)],
)
def test_training_gives_the_bits_of_the_cpu(network: str, is_compiled: bool) -> None:
    assert trained(network, "cuda", is_compiled) == trained(network, "cpu", is_compiled)


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: graphc.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, foreach=True),
    "Adam": lambda p: graphc.optim.Adam(p, lr=0.1, amsgrad=True, capturable=True),
    "AdamW": lambda p: graphc.optim.AdamW(p, lr=0.1, fused=True),
    "RMSprop": lambda p: graphc.optim.RMSprop(p, centered=True, momentum=0.5),
    "Adagrad": graphc.optim.Adagrad,
    "Adadelta": graphc.optim.Adadelta,
    "Adamax": graphc.optim.Adamax,
    "NAdam": graphc.optim.NAdam,
    "RAdam": graphc.optim.RAdam,
    "ASGD": graphc.optim.ASGD,
    "Rprop": graphc.optim.Rprop,
    "Adafactor": graphc.optim.Adafactor,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_step_and_continue_from_a_saved_state(name: str) -> None:
    weights: dict[str, Any] = {}
    for place in ("cpu", "cuda"):
        weight: Any = nn.Parameter(graphc.arange(6.0).reshape(2, 3).to(place))
        optimizer = OPTIMIZERS[name]([weight])
        for step in range(3):
            if step == 2:  # as a file from another machine would have it: everything on the CPU
                state = optimizer.state_dict()
                state["state"] = {
                    number: {key: each.cpu() if isinstance(each, Tensor) else each for key, each in found.items()}
                    for number, found in state["state"].items()
                }
                optimizer = OPTIMIZERS[name]([weight])
                optimizer.load_state_dict(state)
            weight.grad = weight.detach() * 0.5 + 1
            optimizer.step()
        assert all(each.device.type == place for each in optimizer.state[weight].values() if isinstance(each, Tensor))
        weights[place] = weight.detach().cpu()
    assert graphc.equal(weights["cpu"], weights["cuda"])


def test_schedulers_and_averaged_weights() -> None:
    found: dict[str, Any] = {}
    for place in ("cpu", "cuda"):
        graphc.manual_seed(0)
        model: Any = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).to(place)
        averaged: Any = graphc.optim.swa_utils.AveragedModel(model)
        optimizer: Any = graphc.optim.SGD(model.parameters(), lr=0.5)
        scheduler: Any = graphc.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
        x: Any = graphc.tensor([[1.0, 2.0], [3.0, 5.0]], device=place)
        for _ in range(2):
            optimizer.zero_grad()
            (model(x) ** 3).sum().backward()
            optimizer.step()
            scheduler.step()
            averaged.update_parameters(model)
        graphc.optim.swa_utils.update_bn([x], averaged)
        assert {each.device.type for each in averaged.module.state_dict().values()} == {place}
        found[place] = [each.cpu().tolist() for each in averaged.state_dict().values()]
    assert found["cpu"] == found["cuda"]


def test_mixed_precision_scales_the_loss_and_skips_a_step_that_overflows() -> None:
    graphc.manual_seed(0)
    model: Any = nn.Linear(4, 3).cuda()
    optimizer: Any = graphc.optim.SGD(model.parameters(), lr=0.1)
    scaler: Any = graphc.amp.GradScaler("cuda", init_scale=8.0)
    y = graphc.tensor([0, 2], device="cuda")
    for x in (graphc.ones(2, 4, device="cuda"), graphc.full((2, 4), float("inf"), device="cuda")):
        before = model.weight.detach().clone()
        optimizer.zero_grad()
        with graphc.autocast("cuda", dtype=graphc.float16):
            scores = model(x)
            loss = cross_entropy(scores, y)
        assert scores.dtype is graphc.float16
        assert loss.dtype is graphc.float32
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        is_finite = bool(x.isfinite().all())
        assert graphc.equal(before, model.weight.detach()) != is_finite
    assert scaler.get_scale() == 4.0


def test_checkpointed_layers_drop_the_same_elements_again() -> None:
    graphc.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1)).cuda()
    x: Any = graphc.ones(2, 3, device="cuda", requires_grad=True)
    gradients = []
    for run in (model, lambda x: graphc.utils.checkpoint.checkpoint(model, x, use_reentrant=False)):
        graphc.manual_seed(1)
        (gradient,) = graphc.autograd.grad(run(x).sum(), [x])
        gradients.append(gradient.cpu())
    assert graphc.equal(*gradients)
