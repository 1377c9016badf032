"""How rules run: how often native code is called and made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend.executable import Executable
from graphc.ir.errors import CodeMemoryFull
from graphc.optim import rule as rules


class Counts:
    """Calls of rules, and graphs that were compiled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = self.compiled = 0
        run, build = rules.RulePlan.run_into, Executable.build.__func__  # type: ignore[attr-defined]  # a class method

        def count_run(plan: Any, arrays: Any) -> Any:
            self.calls += 1
            return run(plan, arrays)

        def count_build(cls: Any, graph: Any, **options: Any) -> Any:
            self.compiled += 1
            return build(cls, graph, **options)

        monkeypatch.setattr(rules.RulePlan, "run_into", count_run)
        monkeypatch.setattr(Executable, "build", classmethod(count_build))


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    return Counts(monkeypatch)


def params(*shapes: tuple[int, ...]) -> list[Any]:
    found = []
    for shape in shapes:
        found.append(graphc.ones(shape, requires_grad=True))
        found[-1].grad = graphc.full(shape, 0.5)
    return found


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adamax", "Adadelta", "Rprop", "ASGD"])
def test_one_program_serves_parameters_of_all_sizes_by_one_call_each(counts: Counts, name: str) -> None:
    optimizer = getattr(graphc.optim, name)(params((3, 5), (7,), (2, 3, 4), (11, 1), (1,)), lr=0.1)
    optimizer._rule.plans.clear()
    optimizer._rule.shared.clear()
    optimizer.step()
    assert counts.compiled == 1
    assert counts.calls == 5
    optimizer.step()
    assert (counts.compiled, counts.calls) == (1, 10)


def test_changing_numbers_compile_nothing(counts: Counts) -> None:
    optimizer = graphc.optim.Adam(params((3, 2)), weight_decay=0.1)
    optimizer.step()
    before = counts.compiled
    scheduler = graphc.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    optimizer.param_groups[0].update(betas=(0.5, 0.75), eps=1e-3, weight_decay=0.2)
    optimizer.step()
    assert counts.compiled == before


def test_matrices_of_new_shapes_share_a_program_from_the_third_on(counts: Counts) -> None:
    for made in (graphc.optim.Adafactor, graphc.optim.Muon):
        counts.calls = counts.compiled = 0
        made(params(*[(4 + k, 9 + 2 * k) for k in range(6)])).step()
        assert counts.calls == 6
        assert counts.compiled <= 3


def test_a_rule_is_a_graph_that_can_be_read() -> None:
    optimizer = graphc.optim.SGD(params((3,)), lr=0.1)
    optimizer._rule.plans.clear()
    optimizer.step()
    (plan,) = optimizer._rule.plans.values()
    assert [str(node.attribute("name")) for node in plan.graph.inputs] == [
        "param",
        "grad",
        "lr",
        "momentum",
        "dampening",
        "weight_decay",
    ]
    assert [node.op.name for node in plan.graph.nodes if not node.inputs] == ["input"] * 6
    assert plan.graph.outputs[0].type == plan.graph.inputs[0].type


def test_every_write_is_seen_by_autograd() -> None:
    (x,) = params((3, 2))
    loss = (x * x).sum()
    optimizer = graphc.optim.Adam([x])
    optimizer.step()
    assert x._version == 1
    assert optimizer.state[x]["exp_avg"]._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_tensor_that_gets_other_memory_is_followed() -> None:
    (x,) = params((2,))
    optimizer = graphc.optim.SGD([x], lr=1.0, momentum=0.5)
    optimizer.step()
    x.data = graphc.tensor([4.0, 8.0])
    optimizer.state[x]["momentum_buffer"] = graphc.tensor([2.0, -2.0])
    optimizer.step()
    assert x.tolist() == [2.5, 8.5]


def test_rules_are_interpreted_where_there_is_no_room_for_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(cls: Any, graph: Any, **options: Any) -> Any:
        raise CodeMemoryFull("full")

    found = []
    for is_full in (False, True):
        if is_full:
            monkeypatch.setattr(Executable, "build", classmethod(refuse))
        (x,) = params((3, 2))
        optimizer = graphc.optim.Adam([x], betas=(0.5, 0.75))
        optimizer._rule.plans.clear()
        optimizer._rule.shared.clear()
        for _ in range(3):
            optimizer.step()
        found.append([x.tolist(), *[each.tolist() for each in optimizer.state[x].values()]])
    optimizer._rule.plans.clear()
    for fast, slow in zip(*found, strict=True):
        assert np.asarray(fast) == pytest.approx(np.asarray(slow), rel=1e-6)
