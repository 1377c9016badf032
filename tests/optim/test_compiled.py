"""Steps of optimizers as parts of compiled programs: the bits of eager steps, and nothing compiled for a new rate."""

from __future__ import annotations

from typing import Any

import pytest

import graphc
from graphc.frontend.executable import Executable

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 1e-3}),
    ("SGD", {"lr": 1e-3, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {"betas": (0.9, 0.6)}),  # with its first steps unscaled and later ones scaled
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Rprop", {}),
    ("ASGD", {"t0": 2}),
    ("Adafactor", {}),
    ("Muon", {}),
]


def train(name: str, options: dict[str, Any], is_compiled: bool, steps: int = 7) -> tuple[list[Any], Any]:
    graphc.manual_seed(1)
    # That a step has several parameters is the same for all optimizers: one of them has two.
    x, y = graphc.randn(4, 3, requires_grad=True), graphc.randn(3, 5, requires_grad=name == "SGD")
    optimizer = getattr(graphc.optim, name)([each for each in (x, y) if each.requires_grad], **options)
    scheduler = graphc.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    def step(scale: Any) -> Any:
        optimizer.zero_grad()
        loss = ((x @ y - 1) * scale).pow(2).sum()
        loss.backward()
        optimizer.step()
        return loss

    call = graphc.compile(step) if is_compiled else step
    found = []
    for number in range(steps):
        found.append(call(graphc.full((4, 5), 1.0 + number)).item())
        scheduler.step()
    return [*found, x.tolist(), y.tolist()], optimizer


@pytest.mark.parametrize("case", range(len(CASES)), ids=[name for name, _ in CASES])
def test_compiled_steps_have_the_bits_of_eager_ones(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    name, options = CASES[case]
    expected, eager = train(name, options, False)
    built: list[str] = []
    build = Executable.build.__func__  # type: ignore[attr-defined]  # a class method

    def note(cls: Any, graph: Any, **given: Any) -> Any:
        built.append(graph.name)
        return build(cls, graph, **given)

    monkeypatch.setattr(Executable, "build", classmethod(note))
    found, compiled = train(name, options, True)
    assert found == expected
    # The first call makes the states, the second finds them there: a program for each at most.
    assert 1 <= built.count("step") <= 2
    for a, b in zip(eager.state.values(), compiled.state.values(), strict=True):
        assert {key: value.tolist() for key, value in a.items()} == {key: value.tolist() for key, value in b.items()}
