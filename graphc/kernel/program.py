"""The program: launches of kernels over buffers, in order. It compiles to one native entry.

In: what `passes/memory` decides. Out: text, for people, and what codegen and the runtime need. Buffers of a program are
the arguments (inputs, constants, outputs) and temporaries, which share one arena at offsets known before the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from graphc.ir.attribute import Array
from graphc.ir.dim import Size, Symbol
from graphc.ir.dtype import DType
from graphc.ir.location import Location
from graphc.ir.type import TensorType
from graphc.kernel.ir import Kernel


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """Memory of an argument."""

    position: int
    type: TensorType


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """Memory of a result, which the caller provides."""

    position: int
    type: TensorType


@dataclass(frozen=True, slots=True, eq=False)
class ConstantData:
    """Memory of a constant, which the program holds."""

    value: Array


@dataclass(frozen=True, slots=True, eq=False)
class Temporary:
    """A piece of the arena, at `offset` bytes."""

    offset: Size
    size: Size
    dtype: DType


Memory: TypeAlias = "Input | Output | ConstantData | Temporary"


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel call: a memory for each of its buffers, an expression for each of its sizes."""

    kernel: Kernel
    memories: tuple[Memory, ...]
    sizes: tuple[Size, ...]
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class CheckSite:
    """What a check's code stands for: the message and the user's line."""

    code: int
    message: str
    location: Location | None
    is_host: bool = False
    """Whether it stands for an exception of the host's, which `graphc.runtime.host` keeps."""


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Launches in order."""

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    constants: tuple[ConstantData, ...]
    sizes: tuple[Symbol, ...]
    launches: tuple[Launch, ...]
    arena_bytes: Size
    """Bytes of the arena; with the outputs, the peak of what a run takes."""
    checks: tuple[CheckSite, ...] = ()
    in_place: tuple[tuple[int, int], ...] = ()
    """Outputs of the graph that are written to the memory of an input, and so are not among `outputs`."""

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels, each once, in the order of their first launch."""
        return tuple(dict.fromkeys(launch.kernel for launch in self.launches))

    @property
    def peak_bytes(self) -> Size:
        """Bytes that a run takes beyond its arguments: arena and results."""
        total = self.arena_bytes
        for output in self.outputs:
            total = total + output.type.nbytes
        return total
