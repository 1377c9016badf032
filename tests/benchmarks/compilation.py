"""What a compilation costs and gives, in a fresh process: seconds by stage, kernels after fusion, peak bytes.

python -m tests.benchmarks.compilation nodes elementwise 1000      seconds for a graph of 1,000 nodes
python -m tests.benchmarks.compilation facts                       kernels and peak bytes, which no clock decides
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc
from graphc.frontend.executable import Executable, make_program, optimize
from graphc.kernel.text import print_kernel
from tests.benchmarks.case import STEP, digits, step_inputs

ROWS, COLUMNS = 4096, 1024


def elementwise(nodes: int) -> Callable[[Any, Any], Any]:
    """A chain of products, sums and tanh; every constant is another, so that no kernel is there twice."""

    def function(x: Any, w: Any) -> Any:
        steps = (lambda x, i: x * (1 + i / nodes), lambda x, i: x + w, lambda x, i: graphc.tanh(x), lambda x, i: x - w)
        for i in range(nodes):
            x = steps[i % 4](x, i)
        return x

    return function


def layers(nodes: int) -> Callable[[Any, Any], Any]:
    """Matrix products, each with the same three operations behind it: layers of a deep network."""

    def function(x: Any, w: Any) -> Any:
        steps = (lambda x: x @ w, lambda x: x * 1.5, lambda x: x + w, graphc.tanh)
        for i in range(nodes):
            x = steps[i % 4](x)
        return x

    return function


def seconds(kind: str, nodes: int) -> dict[str, float]:
    """Seconds to trace, run the passes, make the program (lower, schedule, plan memory), and make machine code."""
    build = {"elementwise": elementwise, "layers": layers}[kind]
    specs = ("f32[8,8]", "f32[8,8]")
    graphc.symbolic_trace(build(3), *specs).compile()  # loads LLVM
    times = [time.perf_counter()]
    graph = graphc.symbolic_trace(build(nodes), *specs)
    times.append(time.perf_counter())
    fused = optimize(graph)
    times.append(time.perf_counter())
    program = make_program(fused)
    times.append(time.perf_counter())
    executable = Executable(graph, fused, program)
    x = np.full((8, 8), 0.01, np.float32)
    executable(x, x)
    times.append(time.perf_counter())
    stages = {name: b - a for name, a, b in zip(("trace", "passes", "program", "code"), times, times[1:])}
    texts = {print_kernel(launch.kernel) for launch in program.launches}  # code is made for each text once
    return {"total": times[-1] - times[0], **stages, "nodes": len(graph.nodes), "kernels": len(texts)}


def facts() -> dict[str, dict[str, int]]:
    """Kernels that run, and bytes that a run takes beyond its arguments."""
    weight = f"f32[{COLUMNS}]"
    functions: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
        "softmax": (lambda x: graphc.softmax(x, dim=1), ()),
        "softmax with gradient": (lambda x: graphc.grad(lambda x: (graphc.softmax(x, dim=1) ** 2).sum())(x), ()),
        "layer norm": (lambda x, w, b: graphc.layer_norm(x, (COLUMNS,), w, b), (weight, weight)),
        "layer norm with gradient": (
            lambda x, w, b: graphc.grad(
                lambda x, w, b: (graphc.layer_norm(x, (COLUMNS,), w, b) ** 2).sum(), argnums=(0, 1, 2)
            )(x, w, b),
            (weight, weight),
        ),
    }
    programs = {
        name: graphc.symbolic_trace(function, f"f32[{ROWS},{COLUMNS}]", *specs).compile().program
        for name, (function, specs) in functions.items()
    }
    step = digits().step
    params, batch = step_inputs()
    step(params, {name: np.zeros_like(array) for name, array in params.items()}, *batch, np.float32(0.1))
    programs[STEP] = step.compilations[0].executable.program
    return {
        "kernels": {name: len(program.launches) for name, program in programs.items()},
        "peak_bytes": {name: int(program.peak_bytes) for name, program in programs.items()},
    }


def main() -> None:
    """Print what the command line asks for, as JSON."""
    match sys.argv[1:]:
        case ["facts"]:
            print(json.dumps(facts()))
        case ["nodes", kind, nodes]:
            print(json.dumps(seconds(kind, int(nodes))))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
