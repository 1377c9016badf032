"""A graph as native code that can be called.

In: a graph. Out: an `Executable`, which keeps what each stage gave (graph after the passes, kernels, program), so that
the command line and people can look at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.frontend.native import load_program
from graphc.frontend.trace import structures
from graphc.frontend.tree import flatten
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.dim import evaluate
from graphc.ir.dtype import dtype
from graphc.ir.errors import ArgumentError, IndexOutOfRange
from graphc.ir.graph import Graph, set_compiler
from graphc.ir.location import current_location
from graphc.ir.sizes import bind_sizes, check_arguments
from graphc.kernel.ir import Kernel
from graphc.kernel.program import Program
from graphc.passes.default import default_pipeline, with_fusion
from graphc.passes.instrument import instruments_from_settings
from graphc.passes.lower import lower
from graphc.passes.memory import plan_memory
from graphc.passes.pipeline import Instrument, Pipeline, parse_pipeline
from graphc.passes.schedule import schedule
from graphc.runtime.launch import Launcher

AnyArray: TypeAlias = npt.NDArray[Any]


def optimize(
    graph: Graph,
    *,
    numerics: Literal["strict", "fast"] = "strict",
    passes: str | None = None,
    instruments: Sequence[Instrument] = (),
) -> Graph:
    """The graph after its passes: those of `passes`, or the default ones; `fuse` comes last in any case."""
    return pipeline_of(numerics, passes).run(graph, instruments=(*instruments_from_settings(), *instruments))


def pipeline_of(numerics: Literal["strict", "fast"] = "strict", passes: str | None = None) -> Pipeline:
    """The passes that a graph goes through; raises ParseError for a text that is no pipeline."""
    return with_fusion(default_pipeline(numerics) if passes is None else parse_pipeline(passes))


def make_program(fused: Graph) -> Program:
    """The program of a fused graph: kernels lowered, scheduled, and given their memory."""
    lowered = lower(fused)
    scheduled: dict[Kernel, Kernel] = {call.kernel: schedule(call.kernel) for call in lowered.calls}
    calls = tuple(replace(call, kernel=scheduled[call.kernel]) for call in lowered.calls)
    return plan_memory(replace(lowered, calls=calls))


class Executable:
    """Native code for one graph. Call it with numpy arrays in the containers that the graph's function takes.

    Arrays may have any strides and be read-only: C-contiguous, aligned ones are read where they are, others are copied.
    The results are new arrays.
    """

    def __init__(self, graph: Graph, fused: Graph, program: Program) -> None:
        self.graph = graph
        self.fused = fused
        self.program = program
        self._arguments, self._results = structures(graph)
        self._is_flat = all(entry.kind is None for entry in self._arguments.entries)
        native = load_program(program)
        self._launcher = Launcher(
            native.entry,
            tuple(each.type for each in program.inputs),
            tuple(each.type for each in program.outputs),
            constants=(*(each.value.value for each in program.constants), native.kernels),
            words=(native.threads,),
            sizes=program.sizes,
            arena_bytes=native.arena_bytes,
        )
        self._fast = self._launcher.fast
        self._is_single = self._results.kind is None

    @classmethod
    def build(
        cls,
        graph: Graph,
        *,
        numerics: Literal["strict", "fast"] = "strict",
        passes: str | None = None,
        instruments: Sequence[Instrument] = (),
    ) -> Executable:
        """Run the passes, generate code and load it."""
        fused = optimize(graph, numerics=numerics, passes=passes, instruments=instruments)
        return cls(graph, fused, make_program(fused))

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The distinct kernels, in order of their first launch."""
        return tuple(dict.fromkeys(launch.kernel for launch in self.program.launches))

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return tuple(str(node.attribute("name")) for node in self.graph.inputs)

    def peak_bytes(self, *arrays: AnyArray) -> int:
        """Bytes that a run on arrays of these shapes takes beyond its arguments; known before the run."""
        sizes = bind_sizes(self.graph, [np.shape(array) for array in arrays]) if self.program.sizes else {}
        return evaluate(self.program.peak_bytes, sizes)

    def __call__(self, *args: object) -> object:
        """Run on the arguments."""
        if self._is_flat:
            result = self._fast(*args)
            if type(result) is tuple:
                return result[0] if self._is_single else self._results.fill(result)
        return self._call(args)

    @hide_internal_frames
    def _call(self, args: tuple[object, ...]) -> object:
        leaves, structure = flatten(args)
        if structure != self._arguments and not self._is_flat:
            raise ArgumentError(
                f"{self.graph.name} is called with other containers than it was made for",
                location=current_location(),
                hint=f"its arguments are {', '.join(self._arguments.paths('args'))}",
            )
        if len(leaves) == len(self._arguments.paths("")) != len(self.graph.inputs):
            kept = [i for i, leaf in enumerate(leaves) if hasattr(leaf, "dtype")]
            leaves = tuple(leaves[i] for i in kept)
        return self.call_flat(leaves)

    def call_flat(self, leaves: tuple[object, ...]) -> object:
        """Run on the tensor arguments in order, out of their containers."""
        result = self._fast(*leaves)
        if result is None:
            result = self._run_slowly(leaves)
        if isinstance(result, int):
            self._raise(result)
        return result[0] if self._is_single else self._results.fill(result)

    @hide_internal_frames
    def _run_slowly(self, leaves: tuple[object, ...]) -> tuple[AnyArray, ...] | int:
        """Check everything, copy what isn't laid out as kernels read it, and run."""
        arrays = [_as_array(leaf, name) for leaf, name in zip(leaves, self.input_names)]
        arrays = [
            array.astype(node.tensor.dtype.numpy) if not isinstance(leaf, np.ndarray | np.generic) else array
            for array, leaf, node in zip(arrays, leaves, self.graph.inputs)
        ]
        if len(leaves) != len(arrays):
            arrays += [np.empty(0)] * (len(leaves) - len(arrays))
        sizes = check_arguments(self.graph, arrays)
        ready = [
            np.require(array, dtype=node.tensor.dtype.numpy, requirements=("C", "A"))
            for array, node in zip(arrays, self.graph.inputs, strict=True)
        ]
        return self._launcher.run([np.ascontiguousarray(a).reshape(a.shape) for a in ready], sizes)

    @hide_internal_frames
    def _raise(self, code: int) -> NoReturn:
        """Turn the code of a failed check into its error."""
        for site in self.program.checks:
            if site.code == code:
                raise IndexOutOfRange(
                    site.message, location=site.location, hint="an index counts from 0, or from -1 backwards"
                )
        raise AssertionError(f"the program ended with the unknown code {code}")


def _as_array(leaf: object, name: str) -> AnyArray:
    if isinstance(leaf, np.ndarray):
        return leaf
    if isinstance(leaf, np.generic | bool | int | float | complex) or hasattr(leaf, "__array__"):
        array: AnyArray = np.asarray(leaf)
        dtype(array.dtype)
        return array
    raise ArgumentError(
        f"the argument {name!r} is a {type(leaf).__name__}, and a compiled graph computes with arrays",
        location=current_location(),
        hint="pass numpy arrays or numbers",
    )


@hide_internal_frames
def compile_graph(
    graph: Graph,
    target: str = "cpu",
    *,
    numerics: Literal["strict", "fast"] = "strict",
    passes: str | None = None,
    instruments: Sequence[Instrument] = (),
) -> Executable:
    """What `Graph.compile` does."""
    if target != "cpu":
        raise ArgumentError(
            f"compile: there is no target {target!r}", location=current_location(), hint='the targets are "cpu"'
        )
    return Executable.build(graph, numerics=numerics, passes=passes, instruments=instruments)


set_compiler(compile_graph)
