"""Programs with a fault planted: what the interpreter has to find if it finds anything.

for program in without_each_barrier(gpu_program(graph)): ...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from graphc.kernel.parse import parse_kernel
from graphc.kernel.program import Program
from graphc.kernel.text import print_kernel

_BARRIER = re.compile(r"\n *barrier(?=\n)")


def without_each_barrier(program: Program) -> Iterator[Program]:
    """The program without one of its barriers, for each of them."""
    for place, launch in enumerate(program.launches):
        text = print_kernel(launch.kernel)
        for found in _BARRIER.finditer(text):
            kernel = parse_kernel(text[: found.start()] + text[found.end() :])
            launches = list(program.launches)
            launches[place] = replace(launch, kernel=kernel)
            yield replace(program, launches=tuple(launches))
