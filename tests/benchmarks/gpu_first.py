"""The first calls of a compiled training step in this process, as JSON: `python -m tests.benchmarks.gpu_first STEP`.

Seconds of making the network, and of the first calls (eager and recorded, compiled, replayed); among
them those that LLVM takes for PTX and the driver's compiler for machine code, and for how many kernels.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import tests.benchmarks.gpu_tree  # noqa: F401  # graphc need not be installed

# isort: split
import graphc
from graphc.codegen.gpu import ptx
from graphc.runtime.cuda.select import driver
from tests.benchmarks.gpu_training import STEPS

CALLS = 4


class Counted:
    """A function whose calls are counted and timed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.seconds = 0.0
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        start = time.perf_counter()
        try:
            return self.function(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - start
            self.calls += 1


def main(name: str) -> None:
    """Print the seconds."""
    found: dict[str, Any] = {}
    emit, assemble = Counted(ptx.emit_ptx), Counted(driver().compile)
    ptx.emit_ptx = emit
    driver().compile = assemble  # type: ignore[method-assign,unused-ignore]
    start = time.perf_counter()
    step = graphc.compile(STEPS[name](graphc, "cuda").step())
    found["network"] = time.perf_counter() - start
    for number in range(CALLS):
        start = time.perf_counter()
        step()
        graphc.cuda.synchronize()
        found[f"call {number + 1}"] = time.perf_counter() - start
    found |= {"ptx": emit.seconds, "kernels of ptx": emit.calls}
    found |= {"machine code": assemble.seconds, "kernels of machine code": assemble.calls}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
