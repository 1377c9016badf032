"""Graphs that the tests of GPU kernels go through: the table of ops, that of functions, and what the examples compile.

Of cases that come to kernels that are much the same, one stands for all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from graphc.ir.dtype import dtype
from graphc.ir.graph import Graph
from graphc.ir.parse import parse_graph
from tests.composite.case import Case as FunctionCase
from tests.composite.cases import CASES as FUNCTION_CASES
from tests.ops.cases import CASES, Case

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

OPS = tuple(dict.fromkeys(case.op.name for case in CASES))

FUNCTIONS: tuple[FunctionCase, ...] = tuple({case.name: case for case in reversed(FUNCTION_CASES)}.values())
"""The first case of each function."""


def op_cases(op: str, *, by_width: bool) -> list[Case]:
    """Cases of an op with different attributes, ranks, kinds of dtypes, and, if asked for, widths of elements."""
    found: dict[object, Case] = {}
    for case in CASES:
        if case.op.name == op and case.label != "refused":
            kinds = tuple((dtype(a.dtype).kind, a.itemsize if by_width else 0, a.ndim) for a in case.arrays)
            is_empty = any(a.size == 0 for a in case.arrays)
            found.setdefault((str(sorted(map(str, case.attributes.items()))), kinds, is_empty), case)
    return list(found.values())


CAPTURE = """
import importlib, json, os, sys, threading
sys.path.insert(0, sys.argv[1])
from graphc.frontend import stages
from graphc.ir.text import print_graph

class Enough(BaseException):
    pass

graphs = {}
build = stages.build

def recorded(graph, **options):
    graphs.setdefault(print_graph(graph), name)
    if len(graph.nodes) >= most and threading.current_thread() is threading.main_thread():
        raise Enough
    return build(graph, **options)

stages.build = recorded
sys.stdout, out = open(os.devnull, "w"), sys.stdout
for name, most, *arguments in json.loads(sys.argv[2]):
    try:
        importlib.import_module(name).main(*arguments)
    except Enough:
        pass
    most = 1 << 60
json.dump(graphs, out)
"""

NEVER = 1 << 60
RUNS = (
    # the example, the nodes of the graph (a step) with which it has shown what it compiles, arguments of its `main`
    ("symbolic", NEVER),
    ("custom_pass", NEVER),
    ("linear_regression", 31, ["--epochs", "1"]),
    ("digits", 100, ["--epochs", "1"]),
    ("mnist_style_cnn", 400, ["--epochs", "1", "--batch-size", "2"]),
    ("char_lm", 1000, ["--steps", "4", "--letters", "1", "--batch-size", "2"]),
    ("checkpoint_resume", 100, ["--steps", "3", "--stop-at", "2", "--every", "1"]),
)


@cache
def example_graphs() -> tuple[tuple[str, Graph], ...]:
    """The graphs that each of the examples compiles up to its training step, with the example's name."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", CAPTURE, str(EXAMPLES), json.dumps(RUNS)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=folder,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "agg"},
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return tuple((name, parse_graph(text)) for text, name in json.loads(done.stdout).items())
