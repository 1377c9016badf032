"""From Python into a program on a GPU.

In: a program of kernels for a GPU, and a device. Out: a `CudaLauncher`, with the two ways in of
`graphc.runtime.launch.Launcher`: `fast`, which takes arrays of the device that are exactly right, and `run`.

The host does not wait for what it launches. A program that is run on the same memory again is replayed as a CUDA
graph: one call of the driver, whatever the number of kernels. A check that fails in a kernel writes its code to a word
of the host's memory; it becomes an error where the host next waits for the device (`graphc.runtime.cuda.checks`), or at
once if the launcher is made to wait.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import evaluate
from graphc.ir.errors import DeviceUnavailable, GraphcError
from graphc.ir.host import parse_parameters, run_host
from graphc.ir.location import Location
from graphc.ir.type import TensorType
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import HostArray, HostCall, Kernel
from graphc.kernel.program import Launch, Memory, Program, Temporary
from graphc.runtime.cuda import array as device_array
from graphc.runtime.cuda import checks
from graphc.runtime.cuda.array import DeviceArray
from graphc.runtime.cuda.capture import UNDER_WAY, Capture, capture_of
from graphc.runtime.cuda.code import IS_BLOCKING, Loaded, loaded
from graphc.runtime.cuda.driver import CudaError, Driver
from graphc.runtime.cuda.memory import Block, allocate
from graphc.runtime.cuda.select import driver
from graphc.runtime.cuda.stream import current_stream
from graphc.runtime.cuda.timing import TIMING
from graphc.runtime.cuda.waits import tell_wait, untold

AnyArray: TypeAlias = npt.NDArray[Any]
Result: TypeAlias = "tuple[AnyArray, ...] | int"

ALIGNMENT = 16
"""Bytes: kernels read and write so many at once."""
MOST_GRAPHS = 8
"""Sets of addresses for which a program keeps a CUDA graph."""
WORTH_A_GRAPH = 2
"""Launches from which on a replay is quicker than launching."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One kernel launch of a program, with sizes and places in numbers."""

    loaded: Loaded
    memories: tuple[int, ...]
    """Numbers of the program's addresses; of temporaries those behind all others."""
    sizes: tuple[int, ...]
    has_checks: bool
    location: Location | None


@dataclass(frozen=True, slots=True, eq=False)
class HostStep:
    """One call of the host."""

    call: HostCall
    memories: tuple[int, ...]
    sizes: Mapping[str, int]
    location: Location | None


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The program for one choice of sizes."""

    shapes: tuple[tuple[int, ...], ...]
    """Of the outputs."""
    inputs: tuple[tuple[int, ...], ...]
    arena_bytes: int
    temporaries: tuple[int, ...]
    """Offsets in the arena."""
    steps: tuple[Step | HostStep, ...]
    has_checks: bool
    is_replayable: bool


class CudaLauncher:
    """A program on a device that can be called. Threads may call it at once."""

    array_type = DeviceArray
    """What results are."""

    def __init__(self, program: Program, target: GpuTarget, device: int | None, *, waits: bool = False) -> None:
        """Without a device the program can't be run.

        `waits`: report what failed in a run when it returns, for which the host has to wait for the device.
        """
        self.program = program
        self.target = target
        self._device = device
        self._waits = waits or IS_BLOCKING
        self._lock = threading.Lock()
        self._constants: tuple[DeviceArray, ...] = ()
        self._home = 0
        """The stream that the constants' memory belongs to."""
        self._loaded: dict[Kernel, Loaded] = {}
        self._status: checks.Status | None = None
        self._driver: Driver | None = None
        """That of the device: code that is loaded is one driver's."""
        if device is not None:
            self._driver = driver()
            with untold():  # this happens once
                self._constants = tuple(device_array.from_host(each.value.value, device) for each in program.constants)
            self._home = current_stream(device).handle
            if self._constants:  # small ones may be on their way still, and runs may be in other streams
                self._driver.activate(device)
                self._driver.synchronize_stream(self._home)
            kernels = [kernel for kernel in program.kernels if not _is_host(kernel)]
            self._loaded = {kernel: loaded(kernel, device) for kernel in kernels}
            self._status = checks.Status(device) if program.checks else None
        self._schedules: dict[tuple[int, ...], Schedule] = {}
        self._expected: Schedule | None = None
        self._graphs: OrderedDict[tuple[object, ...], _Replay | None] = OrderedDict()
        self._dtypes = tuple(each.type.dtype.numpy for each in program.inputs)
        self.fast: Callable[..., Result | None] = self._fast

    @property
    def device(self) -> int:
        """What the program runs on; raises DeviceUnavailable where it was compiled for a GPU that isn't here."""
        if self._device is None:
            raise DeviceUnavailable(
                f"{self.program.name} was compiled for {self.target}, and there is no such device to run it on",
                hint="look at its code by .ptx, or compile it for the CPU; graphc doctor says what is missing here",
            )
        return self._device

    def another(self) -> CudaLauncher:
        """A launcher of the same program, whose `fast` expects sizes of its own."""
        return CudaLauncher(self.program, self.target, self._device, waits=self._waits)

    def copy_into(self, target: AnyArray, source: AnyArray) -> None:
        """Write an array's elements to another one of its dtype."""
        device_array.copy(target, source.reshape(target.shape))

    def on_host(self, array: AnyArray) -> AnyArray:
        """The array where numpy reads it."""
        return device_array.to_host(array) if isinstance(array, DeviceArray) else array

    def laid_out(self, array: AnyArray, dtype: np.dtype[Any]) -> DeviceArray:
        """The array on the device as kernels read it: contiguous, aligned; itself if it is."""
        if not isinstance(array, DeviceArray):
            ready = np.require(array, dtype=dtype, requirements=("C", "A")).reshape(array.shape)
            return device_array.from_host(ready, self.device)
        if array.flags.c_contiguous and _address(array) % ALIGNMENT == 0:
            return array
        return device_array.contiguous(array, copy=True)

    def run(self, arrays: Sequence[AnyArray], sizes: Mapping[str, int]) -> Result:
        """Run on arrays of the device, of the right dtypes and sizes, laid out as kernels read them."""
        values = {symbol.name: sizes[symbol.name] for symbol in self.program.sizes}
        key = tuple(values.values())
        found = self._schedules.get(key)
        if found is None:
            with self._lock:
                found = self._schedules.setdefault(key, self._schedule(values))
        self._expected = found
        return self._run(found, arrays)

    def _fast(self, *arrays: object) -> Result | None:
        expected = self._expected
        if expected is None or len(arrays) != len(self._dtypes) or not arrays or driver() is not self._driver:
            return None
        for array, dtype, shape in zip(arrays, self._dtypes, expected.inputs):
            if type(array) is not DeviceArray or array.dtype is not dtype or array.shape != shape:
                return None
            if array.device != self.device or not array.flags.c_contiguous or _address(array) % ALIGNMENT:
                return None
        return self._run(expected, arrays)  # type: ignore[arg-type]  # the loop has seen that all are arrays

    def _schedule(self, values: Mapping[str, int]) -> Schedule:
        program = self.program
        known: tuple[Memory, ...] = (*program.inputs, *program.outputs, *program.constants)
        numbers = {memory: number for number, memory in enumerate(known)}
        offsets: list[int] = []
        steps: list[Step | HostStep] = []
        for launch in program.launches:
            for memory in launch.memories:
                if isinstance(memory, Temporary) and memory not in numbers:
                    numbers[memory] = len(numbers)
                    offsets.append(evaluate(memory.offset, values))
            step = self._step(launch, numbers, values)
            if step is not None:
                steps.append(step)
        return Schedule(
            tuple(_shape(each.type, values) for each in program.outputs),
            tuple(_shape(each.type, values) for each in program.inputs),
            evaluate(program.arena_bytes, values),
            tuple(offsets),
            tuple(steps),
            bool(program.checks),
            len(steps) >= WORTH_A_GRAPH and all(isinstance(step, Step) for step in steps) and not IS_BLOCKING,
        )

    def _step(self, launch: Launch, numbers: Mapping[Memory, int], values: Mapping[str, int]) -> Step | HostStep | None:
        kernel = launch.kernel
        memories = tuple(numbers[memory] for memory in launch.memories)
        sizes = [evaluate(size, values) for size in launch.sizes]
        if _is_host(kernel):
            (call,) = kernel.body
            assert isinstance(call, HostCall)
            return HostStep(call, memories, dict(zip((s.name for s in kernel.sizes), sizes)), launch.location)
        found = self._loaded[kernel]
        if found.blocks(sizes) == 0:
            return None
        return Step(found, memories, tuple(sizes), bool(self.program.checks), launch.location)

    def _run(self, schedule: Schedule, arrays: Sequence[AnyArray]) -> Result:
        results = tuple(
            device_array.empty(shape, each.type.dtype.numpy, self.device)
            for shape, each in zip(schedule.shapes, self.program.outputs)
        )
        driver().activate(self.device)
        arena = allocate(schedule.arena_bytes, self.device) if schedule.arena_bytes else None
        start = 0 if arena is None else arena.address
        addresses = [_address(each) for each in (*arrays, *results, *self._constants)]
        addresses += [start + offset for offset in schedule.temporaries]
        stream = current_stream(self.device).handle
        if stream != self._home:
            for constant in self._constants:
                if isinstance(constant.memory, Block):
                    constant.memory.record_stream(stream)
        capture = capture_of(stream) if UNDER_WAY else None
        if capture is not None:
            self._note(capture, schedule, addresses)
            return results
        if self._status is not None:
            self._status.expect(partial(checks.failure, self.program.checks), stream)
        if TIMING or not (schedule.is_replayable and self._replay(schedule, addresses, stream)):
            self._launch(schedule, addresses, stream)
        if self._waits and self._status is not None:
            driver().synchronize_stream(stream)
            code = self._status.take((stream,))
            if code:
                return code
        return results

    def _note(self, capture: Capture, schedule: Schedule, addresses: Sequence[int]) -> None:
        """Run in a stream that is capturing: what runs later needs all that this has, and checks what this would."""
        capture.keep(self)
        if self._status is not None:
            capture.expect(self._status, partial(checks.failure, self.program.checks))
        self._launch(schedule, addresses, current_stream(self.device).handle)

    def _launch(self, schedule: Schedule, addresses: Sequence[int], stream: int) -> None:
        status = 0 if self._status is None else self._status.address
        for step in schedule.steps:
            if isinstance(step, HostStep):
                self._call_host(step, addresses, stream)
                continue
            try:
                step.loaded.launch([addresses[number] for number in step.memories], step.sizes, status, stream)
            except GraphcError as error:
                if error.location is None:
                    error.location = step.location
                raise

    def _replay(self, schedule: Schedule, addresses: Sequence[int], stream: int) -> bool:
        """Run as a graph if it was run on the same memory before; the second time makes the graph."""
        key = (id(schedule), *addresses)
        with self._lock:
            if key not in self._graphs:
                self._graphs[key] = None
                if len(self._graphs) > MOST_GRAPHS:
                    self._graphs.popitem(last=False)
                return False
            self._graphs.move_to_end(key)
            replay = self._graphs[key]
            if replay is None:
                # What a stream notes is not done, so any will do; that of the caller may be one that can't note.
                _destroy_dead(self.device)
                notes = driver().create_stream()
                try:
                    driver().begin_capture(notes)
                    try:
                        self._launch(schedule, addresses, notes)
                    except BaseException:
                        with suppress(CudaError):  # the stream may be as broken as what it was to note
                            driver().destroy_graph(driver().end_capture(notes))
                        raise
                    graph = driver().end_capture(notes)
                finally:
                    driver().destroy_stream(notes)
                replay = self._graphs[key] = _Replay(graph, self.device)
        driver().launch_graph(replay.graph, stream)
        return True

    def _call_host(self, step: HostStep, addresses: Sequence[int], stream: int) -> None:
        call = step.call
        tell_wait()
        driver().synchronize_stream(stream)
        checks.raise_failed(self.device, (stream,))
        memories = iter(step.memories)
        places = {array.buffer: addresses[number] for array, number in zip((*call.operands, *call.results), memories)}
        arrays = [
            device_array.to_host(device_array.at(places[each.buffer], *_array(each, step.sizes), self.device))
            for each in call.operands
        ]
        types = [each.type.with_shape(_shape(each.type, step.sizes)) for each in call.results]
        try:
            found = run_host(call.function, parse_parameters(call.parameters), types, arrays)
        except GraphcError as error:
            if error.location is None:
                error.location = step.location
            raise
        for each, value in zip(call.results, found):
            shape, dtype = _array(each, step.sizes)
            target = device_array.at(places[each.buffer], shape, dtype, self.device)
            device_array.copy(target, np.ascontiguousarray(value, dtype).reshape(shape))


class _Replay:
    """A graph of the driver's; it goes with this object."""

    __slots__ = ("_driver", "device", "graph")

    def __init__(self, graph: int, device: int) -> None:
        self._driver = driver()
        self.graph = graph
        self.device = device

    def __del__(self) -> None:
        # Wherever this happens the stream may be capturing, or another device's context be current: later.
        if not sys.is_finalizing():
            _dead.append((self._driver, self.device, self.graph))


_dead: deque[tuple[Driver, int, int]] = deque()
"""Graphs that nobody has any more; they are destroyed when another one is made."""


def _destroy_dead(device: int) -> None:
    while _dead:
        owner, its_device, graph = _dead.popleft()
        owner.activate(its_device)
        owner.destroy_graph(graph)
    driver().activate(device)


def _is_host(kernel: Kernel) -> bool:
    return len(kernel.body) == 1 and isinstance(kernel.body[0], HostCall)


def _array(array: HostArray, values: Mapping[str, int]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return _shape(array.type, values), array.type.dtype.numpy


def _shape(type: TensorType, values: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(evaluate(size, values) for size in type.shape)


def _address(array: AnyArray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
