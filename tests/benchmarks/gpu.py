"""Whether a GPU computes what the CPU computes, and how fast: all figures to one file, tables to standard output.

    python -m tests.benchmarks.gpu --json tests/benchmarks/results/DATE-DEVICE.json [--quick] [--only NAMES]

It needs a GPU and graphc's own dependencies, and installs nothing; a checkout that is not installed will do. torch
is measured beside graphc where it is there with CUDA. Groups of tasks run in processes of their own, first those that
compare (`--only correctness`), then those that measure (`--only speed`), most important first. The file is written
after each group. Status 1: something differs that should not, or fails; 2: there is no GPU.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import tests.benchmarks.gpu_tree  # noqa: F401  # graphc need not be installed

# isort: split
from graphc.runtime.cuda.select import driver, what_is_missing
from tests.benchmarks.gpu_children import Findings, run_group
from tests.benchmarks.gpu_table import tables
from tests.benchmarks.gpu_task import CLOSE, ERROR, LEFT_OUT, STATES, WRONG, Figures
from tests.benchmarks.gpu_worker import GROUPS
from tests.benchmarks.report import machine

PARTS = ("correctness", "speed")
FEW = 150
"""Tasks of a group up to which the file has the figures of each."""
MOST_JOBS = 8


def chosen(names: str) -> list[str]:
    """The groups that a list of names stands for; raises ValueError for a name that is none."""
    wanted: set[str] = set()
    for name in names.split(","):
        if name in PARTS:
            wanted |= {each for each, group in GROUPS.items() if group.is_speed == (name == "speed")}
        elif name in GROUPS:
            wanted.add(name)
        else:
            raise ValueError(f"there is no group {name!r}; there are {', '.join((*PARTS, *GROUPS))}")
    return [name for name in GROUPS if name in wanted]


def where() -> Figures:
    """The device, its driver, and the machine."""
    found = driver()
    properties = found.properties(0)
    version = found.version()
    kernel_module = Path("/proc/driver/nvidia/version")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "device": {
            "name": properties.name,
            "capability": list(properties.capability),
            "total_memory_bytes": properties.total_memory,
            "multiprocessors": properties.multiprocessors,
            "l2_bytes": properties.l2_bytes,
            "clock_khz": properties.clock_khz,
            "memory_clock_khz": properties.memory_clock_khz,
            "memory_bus_bits": properties.memory_bus_bits,
            "target": str(found.target(0)),
        },
        "driver": {
            "cuda": f"{version // 1000}.{version % 1000 // 10}",
            "reached_by": found.name,
            "kernel_module": kernel_module.read_text().splitlines()[0] if kernel_module.exists() else None,
        },
        "machine": machine(),
    }


def compared(found: Findings, seconds: float) -> Figures:
    """What a group that compares has found: how many of each state, and all that is wrong."""
    counts = Counter(figures["state"] for _, figures in found.results)
    close: dict[str, Figures] = {}
    left_out: Counter[str] = Counter()
    for _, figures in found.results:
        if figures["state"] == CLOSE:
            entry = close.setdefault(figures["reason"], {"cases": 0, "largest relative difference": 0.0})
            entry["cases"] += 1
            entry["largest relative difference"] = max(entry["largest relative difference"], figures["relative"])
        elif figures["state"] == LEFT_OUT:
            left_out[figures["why"]] += 1
    summary: Figures = {
        "counts": {state: counts[state] for state in STATES},
        "seconds": seconds,
        "wrong": [{"name": name, **figures} for name, figures in found.results if figures["state"] in WRONG],
        "close": close,
        "left out": dict(left_out),
    }
    if len(found.results) <= FEW:
        summary["tasks"] = dict(found.results)
    return summary


def write(file: Path, figures: Figures) -> None:
    """All that is known so far."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def is_wrong(figures: Figures) -> bool:
    """Whether something differs that should not, or fails."""
    results = [each for group in figures["speed"].values() for each in group.values()]
    failed = any(each.get("state") == ERROR or "error" in each.get("graphc", {}) for each in results)
    return failed or any(group["wrong"] for group in figures["correctness"].values())


def main(arguments: list[str] | None = None) -> int:
    """Compare and measure what the command line asks for; the status to end with."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where all figures go")
    parser.add_argument("--quick", action="store_true", help="few cases of each group that compares, tiny sizes")
    parser.add_argument("--only", default=",".join(PARTS), metavar="NAMES", help=f"of {', '.join((*PARTS, *GROUPS))}")
    parser.add_argument("--seconds", type=float, default=480, help="for all that is measured (default: %(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=max(1, min(MOST_JOBS, os.cpu_count() or 1)), metavar="NUMBER",
        help="processes that compare at once (default: %(default)s); 0: everything in this one",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        groups = chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    missing = what_is_missing()
    if missing is not None:
        print(f"nothing is measured, there is no GPU: {missing}", file=sys.stderr)
        return 2
    if driver().name == "emulator":
        groups = [name for name in groups if not GROUPS[name].is_speed]
        print("nothing is timed: the figures would be those of the emulator, not of a GPU", file=sys.stderr)
        if not groups:
            return 2
    figures: Figures = {**where(), "quick": options.quick, "correctness": {}, "speed": {}, "unreached": []}
    left = options.seconds
    for name in groups:
        start = time.monotonic()
        is_speed = GROUPS[name].is_speed
        found = run_group(name, options.quick, left if is_speed else float("inf"), options.jobs)
        seconds = time.monotonic() - start
        if is_speed:
            left = max(0.0, left - seconds)
            figures["speed"][name] = dict(found.results)
            figures["unreached"] += [f"{name}: {each}" for each in found.unreached]
        else:
            figures["correctness"][name] = compared(found, seconds)
        write(options.json, figures)
        print(f"{name}: {len(found.results)} in {seconds:.0f} s", file=sys.stderr, flush=True)
    print(tables(figures))
    return 1 if is_wrong(figures) else 0


if __name__ == "__main__":
    sys.exit(main())
