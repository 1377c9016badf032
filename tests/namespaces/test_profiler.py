"""Regions that programs name, and `utils._pytree`."""

import json
import time
from pathlib import Path

import pytest

import graphc
from graphc import profiler
from graphc.autograd.profiler import record_function
from graphc.profiler import ProfilerActivity, profile, schedule
from graphc.utils import _pytree


def test_regions_are_timed_with_and_without_those_inside() -> None:
    @record_function("inner")
    def inner() -> None:
        time.sleep(0.002)

    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found, record_function("outer"):
        inner()
        inner()
    inner()  # nobody listens
    events = {event.key: event for event in found.key_averages()}
    assert {key: event.count for key, event in events.items()} == {"inner": 2, "outer": 1}
    outer, nested = events["outer"], events["inner"]
    assert outer.cpu_time_total >= nested.cpu_time_total >= 4000
    assert outer.self_cpu_time_total == pytest.approx(outer.cpu_time_total - nested.cpu_time_total)
    table = found.key_averages().table(sort_by="cpu_time_total", row_limit=10).splitlines()
    assert table[1].split()[0] == "Name"
    assert [line.split()[0] for line in table[3:5]] == ["outer", "inner"]
    assert profiler.record_function is record_function
    assert graphc.autograd.profiler.profile is profile


def test_a_schedule_says_which_steps_count(tmp_path: Path) -> None:
    seen = []
    plan = schedule(wait=1, warmup=1, active=2, repeat=1)
    with profile(schedule=plan, on_trace_ready=lambda p: seen.append([e.count for e in p.key_averages()])) as found:
        for _ in range(6):
            with record_function("step"):
                pass
            found.step()
    assert seen == [[2]]
    with profile(on_trace_ready=profiler.tensorboard_trace_handler(str(tmp_path))), record_function("x"):
        pass
    (trace,) = tmp_path.glob("*.pt.trace.json")
    assert json.loads(trace.read_text())["traceEvents"][0]["name"] == "x"


def test_trees() -> None:
    leaves, spec = _pytree.tree_flatten({"a": 1, "b": (2, [3])})
    assert leaves == [1, 2, 3]
    with pytest.raises(ValueError, match="`leaves` has length 2 but the spec refers to a pytree that holds 3 items"):
        _pytree.tree_unflatten([1, 2], spec)
    assert _pytree.tree_map(lambda a, b: a + b, [1, (2,)], [10, (20,)]) == [11, (22,)]
    assert _pytree.tree_map_only(int, str, [1, 2.0]) == ["1", 2.0]
