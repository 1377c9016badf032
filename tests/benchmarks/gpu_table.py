"""The figures of gpu.py as tables in Markdown, short enough to read.

In: what gpu.py writes as JSON. Out: text.  `python -m tests.benchmarks.gpu_table FILE.json` prints it again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.gpu_task import STATES, Figures

MOST_CHARACTERS = 11_500
MOST_WRONG = 12
"""Of a group; the file has all."""
PEERS = ("graphc eager", "torch", "torch.compile", "cuBLAS")


def tables(figures: Figures) -> str:
    """All tables, with the device before them."""
    text = "\n".join(_lines(figures))
    if len(text) <= MOST_CHARACTERS:
        return text
    return text[:MOST_CHARACTERS].rpartition("\n")[0] + "\nThe rest is in the file."


def _lines(figures: Figures) -> Iterator[str]:
    device, versions = figures["device"], figures["machine"]["versions"]
    yield f"{device['name']} ({device['target']}), CUDA {figures['driver']['cuda']}, {figures['date']};"
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield f"{named}; commit {figures['machine']['commit']}."
    yield ""
    if figures["quick"] and figures["speed"]:
        yield "Quick run on tiny sizes: these times mean nothing."
        yield ""
    if figures["correctness"]:
        yield from _correctness(figures["correctness"])
    for name, group in figures["speed"].items():
        yield f"| {name} | graphc | of copy or vendor | {' | '.join(PEERS)} |"
        yield f"|{'---|' * (len(PEERS) + 3)}"
        for task, each in group.items():
            yield _row(task, each)
        yield ""
    if figures["unreached"]:
        yield f"Not reached in time: {'; '.join(figures['unreached'])}."


def _correctness(groups: Figures) -> Iterator[str]:
    yield f"| compared | {' | '.join(STATES)} | seconds |"
    yield f"|{'---|' * (len(STATES) + 2)}"
    for name, group in groups.items():
        counts = " | ".join(str(group["counts"][state]) for state in STATES)
        yield f"| {name} | {counts} | {group['seconds']:.0f} |"
    yield ""
    for name, group in groups.items():
        for each in group["wrong"][:MOST_WRONG]:
            what = {key: value for key, value in each.items() if key not in ("name", "state", "hint") and value}
            yield f"- {name}, {each['name']}: {json.dumps(what)[:300]}"
        if len(group["wrong"]) > MOST_WRONG:
            yield f"- {name}: {len(group['wrong']) - MOST_WRONG} more in the file"
        for reason, each in group["close"].items():
            yield f"{name}: {each['cases']} close, {each['largest relative difference']:.1e} at most: {reason}."
    yield ""


def _row(task: str, figures: Figures) -> str:
    if "state" in figures:
        return f"| {task} | {figures['error'][:150]} |" + " |" * (len(PEERS) + 1)
    mine = figures.get("graphc", {})
    if not mine:  # first calls: by the state of the cache
        parts = [f"{name.removeprefix('graphc, ')}: " + _first(each) for name, each in figures.items()]
        return f"| {task} | {'; '.join(parts)} |" + " |" * (len(PEERS) + 1)
    fractions = [f"{value:.0%}" for key, value in mine.items() if key.startswith("of ") or key.endswith("/ this")]
    mark = " (host)" if mine.get("host_bound") else ""
    return f"| {task} | {_rate(mine)}{mark} | {', '.join(fractions[:1])} | " + " | ".join(
        _rate(figures[name]) if name in figures else "" for name in PEERS
    ) + " |"  # fmt: skip


def _rate(figures: Figures) -> str:
    """The rate, or the time where there is none."""
    if "error" in figures:
        return str(figures["error"])[:60]
    for unit in ("GB/s", "TFLOP/s"):
        if unit in figures:
            return f"{figures[unit]:.3g} {unit}" if figures[unit] < 1000 else f"{figures[unit]:.0f} {unit}"
    return f"{1e6 * figures['median']:.3g} us" if figures["median"] < 1e-3 else f"{1e3 * figures['median']:.3g} ms"


def _first(figures: Figures) -> str:
    return (
        f"{figures['call 1'] + figures['call 2']:.2f} s, PTX {figures['ptx']:.2f}, driver {figures['machine code']:.2f}"
    )


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
