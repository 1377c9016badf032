"""Groups of tasks in processes of their own: a fault, a crash or a kernel that never ends costs one task, not the run.

In: a group's name. Out: what its tasks find, in order of their names' lines; tasks that were not reached.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO

from tests.benchmarks.gpu_task import ERROR, Figures
from tests.benchmarks.gpu_tree import ROOT
from tests.benchmarks.gpu_worker import FAULT, GROUPS, work

SILENT_SECONDS = 240.0
"""Without a line a process is ended: something in it does not end by itself."""
MOST_RESTARTS = 25
"""Of one share of a group."""


@dataclass(slots=True)
class Findings:
    """What the tasks of a group have found."""

    results: list[tuple[str, Figures]] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)

    def take(self, fields: Figures) -> None:
        """A line of a worker's."""
        if "figures" in fields:
            self.results.append((fields["name"], fields["figures"]))
        self.unreached += fields.get("unreached", [])


def run_group(name: str, is_quick: bool, seconds: float, jobs: int) -> Findings:
    """Run a group for so many seconds at most, by so many processes; 0 stands for this one."""
    if jobs == 0:
        found = Findings()
        work(list(GROUPS[name].tasks(is_quick)), seconds, lambda **fields: found.take(fields))
        return found
    shares = jobs if GROUPS[name].is_divisible else 1
    with ThreadPoolExecutor(shares) as pool:
        parts = list(pool.map(lambda share: _run_share(name, is_quick, seconds, f"{share}/{shares}"), range(shares)))
    return Findings([each for part in parts for each in part.results], [n for part in parts for n in part.unreached])


def _run_share(name: str, is_quick: bool, seconds: float, share: str) -> Findings:
    found = Findings()
    end = time.monotonic() + seconds
    shares = int(share.partition("/")[2])
    # Processes that share the CPUs are given some threads each.
    variables = {} if shares == 1 else {"GRAPHC_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // shares))}
    for _ in range(MOST_RESTARTS):
        arguments = [name, "--share", share, "--after", str(len(found.results)), *(["--quick"] if is_quick else [])]
        if seconds != float("inf"):
            arguments += ["--seconds", f"{max(0.0, end - time.monotonic()):.0f}"]
        with tempfile.TemporaryFile() as said:
            command = [sys.executable, "-m", "tests.benchmarks.gpu_worker", *arguments]
            begun, status = _watch(command, variables, found, said)
            if status == 0:
                return found
            said.seek(0)
            words = said.read().decode(errors="replace").strip().splitlines()
        ending = f"the process ends with status {status}" if status >= 0 else f"the process ends by signal {-status}"
        if begun is not None:
            found.results.append((begun, {"state": ERROR, "error": ending, "where": words[-6:]}))
        elif status != FAULT:
            break
    found.results.append((f"share {share}", {"state": ERROR, "error": f"{ending}: no more tasks", "where": words[-6:]}))
    return found


def _watch(command: list[str], variables: dict[str, str], found: Findings, said: IO[bytes]) -> tuple[str | None, int]:
    """The task that the process ended in, if it did, and its status."""
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=said, text=True,
        encoding="utf-8",
    )  # fmt: skip
    begun: str | None = None
    assert process.stdout is not None
    timer = threading.Timer(SILENT_SECONDS, process.kill)
    timer.start()
    for line in process.stdout:
        timer.cancel()
        timer = threading.Timer(SILENT_SECONDS, process.kill)
        timer.start()
        fields = json.loads(line)
        begun = fields.get("begin")
        found.take(fields)
    process.stdout.close()
    status = process.wait()
    timer.cancel()
    return begun, status
