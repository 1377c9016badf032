"""Copies between arrays of one device with any strides, by kernels of graphc's own.

In: two arrays of one shape. Out: a launch, in the device's current stream. A kernel serves all sizes and strides: it is
made for a number of dimensions, a width of elements, and the dimensions along which elements lie side by side. Dtypes
don't matter, bits are copied.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy.typing as npt

from graphc.ir.dim import Size, symbol
from graphc.ir.dtype import DType, i8, i16, i32, i64
from graphc.kernel.builder import KernelBuilder
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Buffer, LoopKind
from graphc.passes.gpu.schedule import schedule_gpu
from graphc.passes.lower import KernelCall, Scratch
from graphc.runtime.cuda.code import Loaded, loaded
from graphc.runtime.cuda.driver import Driver
from graphc.runtime.cuda.select import driver

AnyArray: TypeAlias = npt.NDArray[Any]

ALIGNMENT: Final = 16
"""Of the addresses that kernels take: an array that starts elsewhere is given by what lies in front of it."""
_WIDTHS: Final[dict[int, DType]] = {8: i64, 4: i32, 2: i16, 1: i8}


@dataclass(frozen=True, slots=True)
class Axis:
    """A dimension of a copy: how many elements, and how far apart they are, in elements."""

    size: int
    target: int
    source: int


@dataclass(frozen=True, slots=True)
class Form:
    """What a kernel is made for. `target` and `source` are the dimensions with a step of 1; -1 where there is none."""

    rank: int
    width: int
    target: int
    source: int
    reversed: tuple[bool, ...]
    """The dimensions along which the source goes backwards."""


@dataclass(frozen=True, slots=True)
class _Entry:
    code: Loaded
    is_target: tuple[bool, ...]
    """Of each buffer, whether it is the target."""
    sizes: tuple[str, ...]


_entries: dict[tuple[Driver, int, Form], _Entry] = {}
_lock = threading.Lock()


def copy_strided(target: AnyArray, source: AnyArray, device: int, stream: int) -> None:
    """Write the source's elements into the target; their memory may overlap where no element of both does."""
    width, axes, first_target, first_source = plan(target, source)
    if any(axis.size == 0 for axis in axes):
        return
    form = Form(len(axes), width, _unit(axes, "target"), _unit(axes, "source"), tuple(axis.source < 0 for axis in axes))
    entry = _entry(form, device)
    values: dict[str, int] = {}
    last_target, last_source = first_target, first_source
    lowest_source = first_source
    for number, axis in enumerate(axes):
        values[f"n{number}"] = axis.size
        values[f"t{number}"], values[f"s{number}"] = axis.target, abs(axis.source)
        last_target += (axis.size - 1) * axis.target * width
        if axis.source < 0:
            lowest_source += (axis.size - 1) * axis.source * width
        else:
            last_source += (axis.size - 1) * axis.source * width
    bases = first_target // ALIGNMENT * ALIGNMENT, lowest_source // ALIGNMENT * ALIGNMENT
    values["first_t"], values["first_s"] = (first_target - bases[0]) // width, (lowest_source - bases[1]) // width
    values["all_t"], values["all_s"] = (last_target - bases[0]) // width + 1, (last_source - bases[1]) // width + 1
    addresses = [bases[0] if is_target else bases[1] for is_target in entry.is_target]
    driver().activate(device)
    entry.code.launch(addresses, [values[name] for name in entry.sizes], 0, stream)


def plan(target: AnyArray, source: AnyArray) -> tuple[int, tuple[Axis, ...], int, int]:
    """Bytes of what is copied at a time, the dimensions in the target's order with neighbours joined, first addresses.

    The target's steps are positive: dimensions along which it goes backwards are walked the other way.
    """
    addresses = [each.__array_interface__["data"][0] for each in (target, source)]
    axes: list[tuple[int, int, int]] = []
    for size, to, start in zip(target.shape, target.strides, source.strides):
        if size == 1:
            continue
        if to < 0:
            addresses[0] += (size - 1) * to
            addresses[1] += (size - 1) * start
            to, start = -to, -start
        axes.append((size, to, start))
    axes.sort(key=lambda axis: -axis[1])
    joined: list[Axis] = []
    for axis in (*axes, (target.itemsize, 1, 1)):
        size, to, start = axis
        if joined and joined[-1].target == size * to and joined[-1].source == size * start:
            joined[-1] = Axis(joined[-1].size * size, to, start)
        else:
            joined.append(Axis(*axis))
    run = joined.pop().size  # bytes side by side on both sides
    steps = [step for axis in joined for step in (axis.target, axis.source)]
    width = next(each for each in _WIDTHS if all(number % each == 0 for number in (run, *addresses, *steps)))
    joined = [Axis(axis.size, axis.target // width, axis.source // width) for axis in joined]
    if run != width:
        joined.append(Axis(run // width, 1, 1))
    return width, tuple(joined), addresses[0], addresses[1]


def _unit(axes: Sequence[Axis], side: str) -> int:
    """The last dimension along which elements lie side by side."""
    return max((number for number, axis in enumerate(axes) if getattr(axis, side) == 1), default=-1)


def _entry(form: Form, device: int) -> _Entry:
    found = driver()
    key = (found, device, form)
    entry = _entries.get(key)
    if entry is None:
        with _lock:
            entry = _entries.get(key)
            if entry is None:
                call, target = copy_kernel(form, found.target(device))
                code = loaded(call.kernel, device)
                is_target = tuple(source is target for source in call.sources)
                names = tuple(size.name for size in call.kernel.sizes)
                entry = _entries[key] = _Entry(code, is_target, names)
    return entry


def copy_kernel(form: Form, target: GpuTarget) -> tuple[KernelCall, Scratch]:
    """The kernel for a form, scheduled, and which of its sources is the target."""
    dtype = _WIDTHS[form.width]
    buffers = [Buffer(name, dtype, symbol(f"all_{name[0]}", 1)) for name in ("target", "source")]
    marks = [Scratch(buffer.size, dtype) for buffer in buffers]
    builder = KernelBuilder()

    def write(number: int, to: Size, start: Size) -> None:
        if number == form.rank:
            builder.store(buffers[0], to, builder.load_again(buffers[1], start))
            return
        size = symbol(f"n{number}", 1)
        step_to = 1 if number == form.target else symbol(f"t{number}")
        step_from = 1 if number == form.source and not form.reversed[number] else symbol(f"s{number}")
        with builder.loop(size, LoopKind.PARALLEL) as i:
            place = size - 1 - i if form.reversed[number] else i
            write(number + 1, to + i * step_to, start + place * step_from)

    write(0, symbol("first_t"), symbol("first_s"))
    kernel = builder.finish(f"copy_{form.rank}d_{8 * form.width}_bits")
    by_name = {buffer.name: mark for buffer, mark in zip(buffers, marks)}
    call = KernelCall(kernel, tuple(by_name[buffer.name] for buffer in kernel.buffers), None)
    (scheduled,) = schedule_gpu(call, target)
    return scheduled, marks[0]
