"""Fewer launches: small kernels that don't depend on each other run as one.

In: the calls of a graph in order, as `lower` gives them. Out: its program for a GPU. A kernel that could share a launch
waits until another one needs what it computes, or until the end; then all that are the same code, and other small ones,
run at once (`graphc.passes.gpu.joint_kernel`). So a training step changes all its parameters in a few launches, each of
which takes some 2 microseconds whatever it does.

What waits keeps its operands in memory. If a run would take more memory for it than one where nothing waits, only
smaller kernels wait, and at last none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from graphc.ir.dim import Size, Symbol, bounds, is_at_most
from graphc.kernel.gpu import GpuTarget, grid_of
from graphc.kernel.ir import Kernel, statements_in
from graphc.kernel.program import Program
from graphc.kernel.text import kernel_key
from graphc.passes.gpu.any_size import for_any_size
from graphc.passes.gpu.joint_kernel import PARAMETERS, Code, several, side_by_side
from graphc.passes.gpu.schedule import schedule_gpu, scheduled_by, stages_of
from graphc.passes.gpu.writer import COPIED
from graphc.passes.lower import KernelCall, Lowered, Source
from graphc.passes.memory import NO_DONATIONS, plan_memory

JOINED: Final = frozenset({"rows", "columns", "transpose", "elementwise", "parts", "fallback"})
"""Policies whose kernels wait for others: those of products of matrices have the GPU for themselves."""
WAITING: Final = (1 << 25, 1 << 20, 1 << 16)
"""Bytes that a kernel may touch that waits. What touches more takes longer than a launch, and finds what was just
computed in the GPU's cache."""
SMALL: Final = 1 << 20
"""Bytes that a kernel may touch that runs beside different ones."""
MOST_CODES: Final = 6
"""Different kernels in one."""
LONGEST_CODE: Final = 1500
"""Statements of different kernels in one."""
SHARED_BYTES: Final = 1 << 14
"""Shared memory of different kernels in one."""
SLACK: Final = 64
"""A part of a program's memory that may come on top of it, for what is computed some time before it is used; small
programs may take this many KiB more."""


def plan_launches(lowered: Lowered, target: GpuTarget, donated: Mapping[int, int] = NO_DONATIONS) -> Program:
    """The program of few launches whose memory is not more than what each kernel by itself would take."""
    donors = {lowered.outputs[output]: lowered.graph.inputs[place] for output, place in donated.items()}
    tasks = _after_readers(list(_tasks(lowered.calls, target)), donors)
    alone = plan_memory(replace(lowered, calls=tuple(task.call for task in tasks)), donated)
    if len(tasks) < 2:
        return alone
    for most in WAITING:
        calls = tuple(_Launches(tasks, donors, most).calls)
        if len(calls) == len(tasks):
            break
        program = plan_memory(replace(lowered, calls=calls), donated)
        if _is_as_small(program.peak_bytes, alone.peak_bytes):
            return program
    return alone


def _is_as_small(size: Size, limit: Size) -> bool:
    if isinstance(limit, int):
        return is_at_most(size, limit + max(limit // SLACK, SLACK << 10))
    return is_at_most(size, limit + (SLACK << 10))


_Kind: TypeAlias = "tuple[int, str]"


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """A call, and how it may share a launch."""

    call: KernelCall
    threads: int = 0
    """Of a block; 0 for a call that shares none."""
    code: Code | None = None
    key: str = ""
    """The same for calls of the same code."""
    traffic: int = 0
    """Bytes that it touches."""

    @property
    def kind(self) -> _Kind:
        """What tasks of one kernel have in common."""
        return self.threads, self.key


@dataclass(frozen=True, slots=True)
class _General:
    """A scheduled kernel for any size, and which buffers of the kernel that it is made from are its own."""

    kernel: Kernel
    sizes: tuple[Symbol, ...]
    places: tuple[int, ...]


def _tasks(calls: Sequence[KernelCall], target: GpuTarget) -> Iterator[_Task]:
    """The scheduled calls in order."""
    codes: dict[str, _General] = {}
    for call in calls:
        for stage in stages_of(call, target):
            for policy, each in scheduled_by(stage, target):
                task = _Task(each)
                if policy in JOINED and _can_join(each.kernel):
                    code, key = Code(each.kernel, each.sources), kernel_key(each.kernel)
                    if policy == "elementwise":
                        code, key = _code_for_any_size(stage, target, codes) or (code, key)
                    task = _Task(each, code.threads, code, key, _traffic(each))
                yield task


def _can_join(kernel: Kernel) -> bool:
    """Whether the kernel's blocks are a number, and its statements can be copied."""
    grid = grid_of(kernel)
    if grid is None or not isinstance(grid.blocks, int) or not grid.blocks:
        return False
    return all(isinstance(statement, COPIED) for statement in statements_in(kernel.body))


def _code_for_any_size(stage: KernelCall, target: GpuTarget, known: dict[str, _General]) -> tuple[Code, str] | None:
    """The call of code that is the same for tensors of all sizes, and a key for it."""
    found = for_any_size(stage)
    if found is None:
        return None
    call, sizes, values = found
    key = f"any size {kernel_key(call.kernel)}"
    general = known.get(key)
    if general is None:
        (scheduled,) = schedule_gpu(call, target)
        places = {buffer: place for place, buffer in enumerate(call.kernel.buffers)}
        general = _General(scheduled.kernel, sizes, tuple(places[buffer] for buffer in scheduled.kernel.buffers))
        known[key] = general
    sources = tuple(call.sources[place] for place in general.places)
    return Code(general.kernel, sources, general.sizes, values), key


def _traffic(call: KernelCall) -> int:
    return sum(bounds(buffer.size)[1] * buffer.dtype.itemsize for buffer in call.kernel.buffers)


def _after_readers(tasks: list[_Task], donors: Mapping[Source, Source]) -> list[_Task]:
    """Each task whose results nobody reads after all that reads the inputs whose memory they are to take."""
    last_use = {source: time for time, task in enumerate(tasks) for source in task.call.sources}

    def place(time: int) -> tuple[int, int]:
        kernel, sources = tasks[time].call.kernel, tasks[time].call.sources
        written = [source for buffer, source in zip(kernel.buffers, sources) if buffer in kernel.writes]
        if any(last_use[source] > time for source in written):
            return time, 0
        last = max((last_use.get(donors[each], time) for each in written if each in donors), default=time)
        return max(last, time), int(last > time)

    return [tasks[time] for time in sorted(range(len(tasks)), key=lambda time: (*place(time), time))]


class _Launches:
    """Calls in an order in which many share a launch."""

    def __init__(self, tasks: Sequence[_Task], donors: Mapping[Source, Source], most: int) -> None:
        """`donors`: for what is written to the memory of an input, that input."""
        self.before = _dependences(tasks, donors)
        self.waiting: dict[_Task, None] = {}
        self.calls: list[KernelCall] = []
        for task in tasks:
            if task.code is not None and task.traffic <= most:
                self.waiting[task] = None
            else:
                self.run(self.needed_by(task))
                self.calls.append(task.call)
        self.run(dict.fromkeys(self.waiting))

    def needed_by(self, task: _Task) -> dict[_Task, None]:
        """The tasks that wait and have to run before this one."""
        needed: dict[_Task, None] = {}
        pending = [task]
        while pending:
            for before in self.before[pending.pop()]:
                if before in self.waiting and before not in needed:
                    needed[before] = None
                    pending.append(before)
        return needed

    def run(self, needed: dict[_Task, None]) -> None:
        """Run these tasks, and with them others that wait and are the same code."""
        while needed:
            ready: dict[_Kind, list[_Task]] = {}
            for task in self.waiting:
                if self.waiting.keys().isdisjoint(self.before[task]):
                    ready.setdefault(task.kind, []).append(task)
            kinds = dict.fromkeys(task.kind for task in needed if task in ready.get(task.kind, ()))
            # Where more of a kind is yet to become ready, the others go first.
            late = {task.kind for task in needed if task not in ready.get(task.kind, ())}
            chosen = [kind for kind in kinds if kind not in late] or [max(kinds, key=lambda kind: len(ready[kind]))]
            tasks = [ready[kind] for kind in chosen]
            self.calls += _launches(tasks)
            for task in (task for group in tasks for task in group):
                del self.waiting[task]
                needed.pop(task, None)


def _dependences(tasks: Sequence[_Task], donors: Mapping[Source, Source]) -> dict[_Task, tuple[_Task, ...]]:
    """Of each task those that have to run before it: for what they compute, or since they read what it overwrites."""
    writers: dict[Source, list[_Task]] = {}
    readers: dict[Source, list[_Task]] = {}
    before: dict[_Task, tuple[_Task, ...]] = {}
    for task in tasks:
        found: dict[_Task, None] = {}
        kernel = task.call.kernel
        for buffer, source in zip(kernel.buffers, task.call.sources, strict=True):
            is_part = task.call.is_part and buffer in kernel.writes
            found.update(dict.fromkeys(w for w in writers.get(source, ()) if not (is_part and w.call.is_part)))
            if buffer in kernel.writes:
                found.update(dict.fromkeys(readers.get(source, ())))
                if source in donors:
                    found.update(dict.fromkeys(readers.get(donors[source], ())))
        for buffer, source in zip(kernel.buffers, task.call.sources, strict=True):
            (writers if buffer in kernel.writes else readers).setdefault(source, []).append(task)
        before[task] = tuple(found)
    return before


def _launches(groups: Sequence[Sequence[_Task]]) -> list[KernelCall]:
    """The calls of tasks that don't depend on each other, in groups of the same code."""
    calls: list[KernelCall] = []
    beside: dict[int, list[KernelCall]] = {}
    for group in groups:
        for part in _parts(group):
            codes = [task.code for task in part if task.code is not None]
            joint = part[0].call if len(part) == 1 else several(codes, part[0].call.location)
            if _traffic(joint) > SMALL:
                calls.append(joint)
            else:
                beside.setdefault(part[0].threads, []).append(joint)
    for small in beside.values():
        while small:
            count = _beside(small)
            calls.append(small[0] if count == 1 else side_by_side(small[:count]))
            del small[:count]
    return calls


def _parts(group: Sequence[_Task]) -> Iterator[list[_Task]]:
    """Tasks of the same code in as many launches as their parameters take."""
    part: list[_Task] = []
    count = 0
    for task in group:
        more = len(task.call.sources)
        if part and count + more > PARAMETERS:
            yield part
            part, count = [], 0
        part.append(task)
        count += more
    yield part


def _beside(calls: Sequence[KernelCall]) -> int:
    """How many of the first calls run side by side."""
    parameters = statements = shared = 0
    for number, call in enumerate(calls):
        grid = grid_of(call.kernel)
        assert grid is not None, f"{call.kernel.name} is not scheduled for a GPU"
        parameters += len(call.kernel.buffers) + len(call.kernel.sizes)
        statements += sum(1 for _ in statements_in(call.kernel.body))
        shared += grid.shared_bytes
        is_full = parameters > PARAMETERS or statements > LONGEST_CODE or shared > SHARED_BYTES
        if number == MOST_CODES or (number and is_full):
            return number
    return len(calls)
