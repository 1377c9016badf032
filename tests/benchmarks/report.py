"""Measure graphc and, beside it, numpy, torch and jax; write all figures to one file, and tables to standard output.

    python -m tests.benchmarks.report --json tests/benchmarks/results/NAME.json

Each library runs in a process of its own, per number of threads, and they take turns, a short sample each, so that all
see the same machine. Figures of a first call or of an import come from fresh processes. A library that cannot be
imported is left out. The figure to compare is the least time; the median is beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.benchmarks.case import CASES, ROOT, STEP, TINY_STEP
from tests.benchmarks.library import LIBRARIES, MODULES
from tests.benchmarks.table import tables
from tests.benchmarks.training import TRAININGS

Figures = dict[str, Any]


def environment(threads: int, cache: Path) -> dict[str, str]:
    """What a child runs with: its threads, and a cache of compiled code of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRAPHC_")}
    count = str(threads)
    return {
        **kept,
        "GRAPHC_NUM_THREADS": count,
        "GRAPHC_CACHE_DIR": str(cache / "graphc"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "JAX_PLATFORMS": "cpu",
    }


def child(arguments: list[str], variables: dict[str, str]) -> str:
    """What a fresh process of this interpreter prints."""
    done = subprocess.run(
        [sys.executable, *arguments], env=variables, cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


class Worker:
    """A library in a process of its own."""

    def __init__(self, name: str, variables: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", name, variables["OMP_NUM_THREADS"]],
            env=variables,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **request: object) -> Figures:
        """The answer to a request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        found: Figures = json.loads(line) if line else {"error": f"ended with status {self._process.wait()}"}
        return found

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@contextmanager
def worker(name: str, variables: dict[str, str]) -> Iterator[Worker]:
    """A worker that is closed at the end."""
    made = Worker(name, variables)
    try:
        yield made
    finally:
        made.close()


def summary(samples: list[float]) -> Figures:
    """Least and median seconds."""
    return {"min": min(samples), "median": statistics.median(samples), "samples": len(samples)}


def collect(found: dict[str, Figures], key: str, answer: Figures) -> None:
    """Add an answer's samples to those there, or its error."""
    if "error" in answer:
        found[key] = answer
    elif "samples" in answer and "error" not in found.get(key, {}):
        found.setdefault(key, {"samples": []})["samples"] += answer["samples"]


def summaries(found: dict[str, Figures]) -> dict[str, Figures]:
    """Least and median in place of samples."""
    return {key: each if "error" in each else summary(each["samples"]) for key, each in found.items()}


def measure_calls(libraries: list[str], threads: list[int], rounds: int, seconds: float, quick: bool) -> Figures:
    """Seconds per call of every case, by library and threads."""
    found: dict[str, dict[str, Figures]] = {name: {} for name in (*CASES, STEP, TINY_STEP, *TRAININGS)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = {
            f"{name}, {count} thread{'s' * (count > 1)}": stack.enter_context(
                worker(name, environment(count, Path(folder)))
            )
            for count in threads
            for name in libraries
        }
        for case, results in found.items():
            for _ in range(rounds):
                for key, each in workers.items():
                    if "error" not in results.get(key, {}):
                        collect(results, key, each.ask(time=case, seconds=seconds, quick=quick))
    return {case: summaries(results) for case, results in found.items()}


def measure_import(libraries: list[str], threads: int, rounds: int) -> Figures:
    """Seconds that `import` takes in a fresh process, the import of numpy included."""
    found: dict[str, Figures] = {}
    code = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for module in dict.fromkeys(MODULES[name] for name in libraries):
                printed = child(["-c", code.format(module)], environment(threads, Path(folder)))
                collect(found, module, {"samples": [float(printed)]})
    return summaries(found)


def measure_first_step(libraries: list[str], threads: int, rounds: int) -> Figures:
    """Seconds of the first digits step in a fresh process, with an empty cache and with the one that it left."""
    found: dict[str, Figures] = {}
    for _ in range(rounds):
        for name in libraries:
            with tempfile.TemporaryDirectory() as folder:
                for state in ("empty cache", "filled cache") if LIBRARIES[name].cached else ("no cache",):
                    with worker(name, environment(threads, Path(folder))) as fresh:
                        collect(found, f"{name}, {state}", fresh.ask(first=True))
    return summaries(found)


def measure_compilation(sizes: list[int], threads: int, rounds: int) -> Figures:
    """Seconds by stage for graphs of so many nodes, with an empty cache; the least of all rounds is taken by total."""
    found: dict[str, dict[str, Figures]] = {"elementwise": {}, "layers": {}}
    for kind, results in found.items():
        for nodes in sizes:
            runs = []
            for _ in range(rounds):
                with tempfile.TemporaryDirectory() as folder:
                    arguments = ["-m", "tests.benchmarks.compilation", "nodes", kind, str(nodes)]
                    runs.append(json.loads(child(arguments, environment(threads, Path(folder)))))
            best: Figures = min(runs, key=lambda run: run["total"])
            results[str(nodes)] = {
                **best,
                "median": statistics.median(run["total"] for run in runs),
                "samples": len(runs),
                "per_node": best["total"] / best["nodes"],
                "passes_per_node": best["passes"] / best["nodes"],
            }
    return found


def facts(threads: int) -> Figures:
    """Kernels after fusion, and peak bytes."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-m", "tests.benchmarks.compilation", "facts"]
        found: Figures = json.loads(child(arguments, environment(threads, Path(folder))))
    return found


def lines_of_code() -> dict[str, Figures]:
    """Files and lines of Python by folder; code is what is neither empty nor a comment of its own line."""
    folders: dict[str, Figures] = {}
    for top in ("graphc", "passes", "runtime", "examples", "tests"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).parent.parts[:2]
            count = folders.setdefault("/".join(parts), {"files": 0, "lines": 0, "code": 0})
            lines = path.read_text(encoding="utf-8").splitlines()
            count["files"] += 1
            count["lines"] += len(lines)
            count["code"] += sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return folders


def machine() -> Figures:
    """Where the figures come from."""
    distributions = {"graphc", "numpy", "llvmlite", "torch", "jax"}
    versions = {each.name: each.version for each in metadata.distributions() if each.name in distributions}
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": dict(sorted(versions.items())),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain") else ""),
        "load": os.getloadavg()[0],
    }


def _git(*arguments: str) -> str:
    """What git says of the tree; nothing where there is no git, or the tree is a copy without its history."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where all figures go")
    parser.add_argument("--libraries", default=",".join(LIBRARIES), metavar="NAMES", help="default: %(default)s")
    parser.add_argument("--threads", default=f"1,{os.cpu_count()}", metavar="NUMBERS", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="turns that each library gets (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one short round: to see that it all runs")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.libraries.split(",") if name not in LIBRARIES]
    if unknown:
        parser.error(f"there is no library {unknown[0]!r}; there are {', '.join(LIBRARIES)}")
    present = [name for name in options.libraries.split(",") if importlib.util.find_spec(MODULES[name])]
    threads = sorted({int(count) for count in options.threads.split(",")})
    most = threads[-1]
    rounds, seconds = (1, 0.0) if options.quick else (options.rounds, 0.3)
    sizes = [20, 100] if options.quick else [100, 1000, 10_000]
    figures = {
        "quick": options.quick,
        "machine": machine(),
        "calls": measure_calls(present, threads, rounds, seconds, options.quick),
        "import_seconds": measure_import(present, most, rounds),
        "first_step_seconds": measure_first_step(present, most, rounds),
        "compile_seconds": measure_compilation(sizes, most, min(rounds, 3)),
        **facts(most),
        "lines": lines_of_code(),
        "load_at_end": os.getloadavg()[0],
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(tables(figures))


if __name__ == "__main__":
    main()
