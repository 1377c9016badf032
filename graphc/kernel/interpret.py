"""The judge of the kernel level: runs kernels and programs in numpy, exactly as their text says.

In: a kernel or program and arrays. Out: changed arrays or results, and the codes of checks that failed. What a valid
kernel never does is a `KernelFault` that names the statement: an index out of bounds, a read of an element that nothing
has written, a race between iterations that are promised not to depend on each other, also where buffers overlap; and
of a GPU a race between threads that no barrier parts, a barrier that some threads don't reach, a copy not waited for.

>>> from graphc.kernel.parse import parse_kernel
>>> x, y = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
>>> kernel = parse_kernel("kernel twice { read x: f32[4] write y: f32[4] "
...     "vector i < 4 { %0: f32 = load x[i]  %1: f32 = add %0, %0  store y[i] = %1 } }")
>>> run_kernel(kernel, [x, y], {}), y
([], array([0., 2., 4., 6.], dtype=float32))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import Size, Symbol, evaluate, linear, symbols
from graphc.ir.dtype import DType
from graphc.ir.errors import ArgumentError, DTypeError, IndexOutOfRange, ShapeError
from graphc.ir.type import TensorType
from graphc.kernel.fault import (
    AlignmentFault,
    CopyFault,
    DivergenceFault,
    KernelFault,
    OutOfBounds,
    ProductFault,
    RaceFault,
    UnwrittenRead,
)
from graphc.kernel.ir import Buffer, Kernel
from graphc.kernel.machine import Machine
from graphc.kernel.program import ConstantData, Launch, Memory, Program, Temporary
from graphc.kernel.track import Flags, View
from graphc.kernel.track import Memory as Cells
from graphc.kernel.verify import verify_kernel

__all__ = [
    "AlignmentFault",
    "CopyFault",
    "DivergenceFault",
    "KernelFault",
    "OutOfBounds",
    "ProductFault",
    "RaceFault",
    "UnwrittenRead",
    "run_kernel",
    "run_program",
]

Array: TypeAlias = npt.NDArray[Any]


def run_kernel(
    kernel: Kernel, buffers: Mapping[str, Array] | Sequence[Array], sizes: Mapping[str, int] | None = None
) -> list[int]:
    """Run a kernel on arrays, by name or in order; the codes of the checks that failed, each once.

    An array is the memory of a buffer: contiguous, of its dtype (or the complex one of which it holds the parts), of
    any shape. Arrays may overlap.
    """
    verify_kernel(kernel)
    values = _sizes_of(kernel, sizes or {})
    if isinstance(buffers, Mapping):
        missing = [b.name for b in kernel.buffers if b.name not in buffers]
        if missing:
            raise ArgumentError(f"kernel {kernel.name} has no array for {', '.join(missing)}")
        buffers = [buffers[b.name] for b in kernel.buffers]
    if len(buffers) != len(kernel.buffers):
        raise ArgumentError(f"kernel {kernel.name} takes {len(kernel.buffers)} arrays, {len(buffers)} given")
    pieces = [_piece(kernel, buffer, array, values) for buffer, array in zip(kernel.buffers, buffers)]
    return Machine(kernel, _views(kernel, pieces, values), values).run()


def run_program(
    program: Program, arguments: Sequence[Array], sizes: Mapping[str, int] | None = None
) -> tuple[Array, ...]:
    """Run a program's launches in order and return its results.

    Sizes that the arguments' shapes don't give may be given. A check that fails raises IndexOutOfRange as a run of the
    compiled program does. Reading a piece of the arena, or a result, before anything is written there is a fault.
    """
    values = {**_sizes_from(program, arguments), **(sizes or {})}
    places: dict[Memory, _Piece] = {}
    for argument, array in zip(program.inputs, arguments):
        places[argument] = _Piece(_bytes_of(array.copy(order="C")), None)
    for constant in program.constants:
        places[constant] = _Piece(_bytes_of(constant.value.value.copy(order="C")), None)
    results = [_unwritten(evaluate(result.type.nbytes, values)) for result in program.outputs]
    places.update(zip(program.outputs, results))
    arena = _unwritten(evaluate(program.arena_bytes, values))
    for launch in program.launches:
        verify_kernel(launch.kernel)
        kernel_values = {s.name: evaluate(size, values) for s, size in zip(launch.kernel.sizes, launch.sizes)}
        pieces = [
            _bound(launch, buffer, memory, places, arena, values, kernel_values)
            for buffer, memory in zip(launch.kernel.buffers, launch.memories)
        ]
        failed = Machine(launch.kernel, _views(launch.kernel, pieces, kernel_values), kernel_values).run()
        for site in program.checks:
            if site.code in failed:
                raise IndexOutOfRange(site.message, location=site.location)
        if failed:
            raise KernelFault(f"kernel {launch.kernel.name} reports the code {failed[0]}, which stands for nothing")
    return tuple(_result(program.outputs[i].type, piece, values) for i, piece in enumerate(results))


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Memory of a buffer: its bytes, and which of them hold a value (None: all)."""

    bytes: npt.NDArray[np.uint8]
    written: Flags | None

    @property
    def address(self) -> int:
        """Where the bytes are."""
        return int(self.bytes.__array_interface__["data"][0])

    def part(self, start: int, end: int) -> _Piece:
        """Some of the bytes."""
        return _Piece(self.bytes[start:end], None if self.written is None else self.written[start:end])


def _sizes_of(kernel: Kernel, sizes: Mapping[str, int]) -> dict[str, int]:
    """The value of every size, within its bounds."""
    values: dict[str, int] = {}
    for symbol in kernel.sizes:
        if symbol.name not in sizes:
            raise ArgumentError(f"kernel {kernel.name} needs the size {symbol.name}")
        value = int(sizes[symbol.name])
        if not symbol.lower <= value <= evaluate(symbol.upper, values):
            raise ArgumentError(f"the size {symbol.name} is {value}, outside {symbol.lower}..{symbol.upper}")
        values[symbol.name] = value
    return values


def _piece(kernel: Kernel, buffer: Buffer, array: Array, values: Mapping[str, int]) -> _Piece:
    """The memory of a buffer of `run_kernel`."""
    if not array.flags.c_contiguous:
        raise ArgumentError(
            f"the array for {buffer.name} is not contiguous", hint="numpy.ascontiguousarray makes it so"
        )
    parts = {np.dtype(np.complex64): np.dtype(np.float32), np.dtype(np.complex128): np.dtype(np.float64)}
    if parts.get(array.dtype, array.dtype) != buffer.dtype.numpy:
        raise DTypeError(f"the array for {buffer.name} has dtype {array.dtype}, expected {buffer.dtype.name}")
    if buffer in kernel.writes and not array.flags.writeable:
        raise ArgumentError(f"the array for {buffer.name} is read-only, and the kernel writes to it")
    size = evaluate(buffer.size, values)
    if array.nbytes != size * buffer.dtype.itemsize:
        given = array.nbytes // buffer.dtype.itemsize
        raise ShapeError(f"the array for {buffer.name} has {given} elements, expected {buffer.size} = {size}")
    return _Piece(_bytes_of(array), None)


def _views(kernel: Kernel, pieces: Sequence[_Piece], values: Mapping[str, int]) -> dict[Buffer, View]:
    """The buffers over their memories; pieces that overlap share one, cut into cells that fit all of them."""
    views: dict[Buffer, View] = {}
    filled = [(piece.address, piece, buffer) for piece, buffer in zip(pieces, kernel.buffers)]
    filled.sort(key=lambda entry: entry[0])
    group: list[tuple[int, _Piece, Buffer]] = []
    end = 0
    for entry in filled:
        if group and entry[0] >= end:
            views.update(_group_views(kernel, group, end, values))
            group = []
        group.append(entry)
        end = max(end, entry[0] + len(entry[1].bytes))
    if group:
        views.update(_group_views(kernel, group, end, values))
    return views


def _group_views(
    kernel: Kernel, group: list[tuple[int, _Piece, Buffer]], end: int, values: Mapping[str, int]
) -> dict[Buffer, View]:
    start = group[0][0]
    unit = gcd(*(number for address, _, buffer in group for number in (address - start, buffer.dtype.itemsize)))
    is_tracked = any(buffer in kernel.writes for _, _, buffer in group)
    memory = Cells((end - start) // unit if is_tracked else 0, is_tracked)
    views = {}
    for address, piece, buffer in group:
        itemsize = buffer.dtype.itemsize
        views[buffer] = View(
            _elements(piece.bytes, buffer.dtype),
            evaluate(buffer.size, values),
            memory,
            first_cell=(address - start) // unit,
            cells_each=itemsize // unit,
            written=None if piece.written is None else piece.written.reshape(-1, itemsize),
        )
    return views


def _bound(
    launch: Launch,
    buffer: Buffer,
    memory: Memory,
    places: Mapping[Memory, _Piece],
    arena: _Piece,
    values: Mapping[str, int],
    kernel_values: Mapping[str, int],
) -> _Piece:
    """The memory of a launch's buffer."""
    if isinstance(memory, Temporary):
        start, size = evaluate(memory.offset, values), evaluate(memory.size, values)
        if start + size > len(arena.bytes):
            raise KernelFault(f"the piece of {size} bytes at {start} leaves the arena of {len(arena.bytes)} bytes")
        piece = arena.part(start, start + size)
    else:
        piece = places[memory]
        if isinstance(memory, ConstantData) and buffer in launch.kernel.writes:
            raise KernelFault(f"kernel {launch.kernel.name} writes to the constant bound to {buffer.name}")
    needed = evaluate(buffer.size, kernel_values) * buffer.dtype.itemsize
    if needed > len(piece.bytes):
        told = f"buffer {buffer.name} of kernel {launch.kernel.name} takes {needed} bytes"
        raise KernelFault(f"{told}, its memory has {len(piece.bytes)}")
    return piece.part(0, needed)


def _unwritten(count: int) -> _Piece:
    return _Piece(np.zeros(count, np.uint8), np.zeros(count, np.bool_))


def _bytes_of(array: Array) -> npt.NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _elements(bytes_: npt.NDArray[np.uint8], dtype: DType) -> Array:
    return bytes_.view(dtype.numpy)


def _result(type_: TensorType, piece: _Piece, values: Mapping[str, int]) -> Array:
    if piece.written is not None and not piece.written.all():
        missing = int(np.argmin(piece.written)) // type_.dtype.itemsize
        raise UnwrittenRead(f"element {missing} of a result {type_} is never written")
    return _elements(piece.bytes, type_.dtype).reshape([evaluate(size, values) for size in type_.shape])


def _sizes_from(program: Program, arguments: Sequence[Array]) -> dict[str, int]:
    """The sizes that the shapes of the arguments give."""
    if len(arguments) != len(program.inputs):
        raise ArgumentError(f"{program.name} takes {len(program.inputs)} arguments, {len(arguments)} given")
    values: dict[str, int] = {}
    open_axes: list[tuple[Size, int]] = []
    for argument, array in zip(program.inputs, arguments):
        if array.dtype != argument.type.dtype.numpy or array.ndim != argument.type.rank:
            raise ArgumentError(f"argument {argument.position} is {array.dtype}{array.shape}, expected {argument.type}")
        open_axes += zip(argument.type.shape, array.shape)
    while True:
        solved = [_solve(size, given, values) for size, given in open_axes]
        for found in solved:
            if found is not None:
                values.setdefault(found[0].name, found[1])
        if not any(solved):
            break
    for size, given in open_axes:
        if all(s.name in values for s in symbols(size)) and evaluate(size, values) != given:
            raise ShapeError(f"a dimension of {program.name}'s arguments is {given}, expected {size}")
    return values


def _solve(size: Size, given: int, values: Mapping[str, int]) -> tuple[Symbol, int] | None:
    """The one unknown symbol of `size == given`, if there is one and it is linear."""
    unknown = [s for s in symbols(size) if s.name not in values]
    if len(unknown) != 1:
        return None
    parts = linear(size, unknown[0].name)
    if parts is None:
        return None
    rest, slope = evaluate(parts[0], values), evaluate(parts[1], values)
    return (unknown[0], (given - rest) // slope) if slope else None
