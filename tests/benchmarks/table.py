"""The figures of report.py as tables in Markdown.

In: what report.py writes as JSON. Out: text.  `python -m tests.benchmarks.table FILE.json` prints it again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.case import CASES

Figures = dict[str, Any]


def tables(figures: Figures) -> str:
    """All tables, with the machine before them."""
    return "\n".join(_lines(figures))


def _lines(figures: Figures) -> Iterator[str]:
    where = figures["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    yield f"{where['cpu']}, {where['cpus']} CPUs; Python {where['python']}; {versions}; commit {where['commit']};"
    yield f"load {where['load']:.1f} before, {figures['load_at_end']:.1f} after."
    if figures["quick"]:
        yield "Quick run on tiny sizes: these figures mean nothing."
    yield ""
    yield from _calls(figures["calls"], figures["quick"])
    titles = {"import_seconds": "import", "first_step_seconds": "first digits step in a fresh process"}
    for key, title in titles.items():
        rows = ([name, *_times(each)] for name, each in figures[key].items())
        yield from _table([title, "least", "median"], rows)
    rows = (
        [kind, nodes, each["kernels"], *(_time(each[stage]) for stage in stages), _time(each["per_node"])]
        for stages in [("total", "trace", "passes", "program", "code")]
        for kind, sizes in figures["compile_seconds"].items()
        for nodes, each in sizes.items()
    )
    heads = ["compile a graph of", "nodes", "distinct kernels", "all", "trace", "passes", "program", "code", "a node"]
    yield from _table(heads, rows)
    yield from _ratios(figures["compile_seconds"])
    rows = ([name, count, f"{figures['peak_bytes'][name]:,}"] for name, count in figures["kernels"].items())
    yield from _table(["program", "kernels", "peak bytes"], rows)
    lines = figures["lines"]
    rows = ([folder, each["files"], each["lines"], each["code"]] for folder, each in lines.items())
    package = [each for folder, each in lines.items() if folder.split("/")[0] in ("graphc", "passes", "runtime")]
    total = ["the package", *(sum(each[key] for each in package) for key in ("files", "lines", "code"))]
    yield from _table(["folder", "files", "lines", "of code"], [*rows, total])


def _calls(calls: Figures, is_quick: bool) -> Iterator[str]:
    rows = []
    for case, results in calls.items():
        flops = CASES[case].flops(is_quick) if case in CASES else 0
        for name, each in results.items():
            threads = name.partition(", ")[2]
            floor = results.get(f"numpy, {threads}", {}).get("min")
            best = each.get("min")
            ratio = f"{floor / best:.2f}" if floor and best else ""
            rate = f"{flops / best / 1e9:.0f} GF/s" if flops and best else ""
            rows.append([case, name, *_times(each), ratio, rate])
    yield from _table(["call", "library", "least", "median", "numpy's time / this", "rate"], rows)


def _ratios(seconds: Figures) -> Iterator[str]:
    """Time per node at each size as a multiple of that at the size before."""
    for kind, sizes in seconds.items():
        for small, large in zip(sizes, list(sizes)[1:]):
            whole, passes = (sizes[large][key] / sizes[small][key] for key in ("per_node", "passes_per_node"))
            yield f"{kind}: a node at {large} takes {whole:.2f} times that at {small}; passes {passes:.2f}."
    yield ""


def _times(each: Figures) -> list[str]:
    return [each["error"], ""] if "error" in each else [_time(each["min"]), _time(each["median"])]


def _time(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _table(heads: list[str], rows: Iterable[list[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
