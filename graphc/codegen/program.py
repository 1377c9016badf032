"""A program as one native function.

In: a `Program`. Out: the text of a module with `i32 graphc_entry(ptr block)`, which computes what depends on sizes, and
then goes through a table of launches: it puts each one's argument block together and calls the kernel, by the thread
pool if there is work for several threads. It returns the code of a failed check, or 0. The code is the same for five
launches and for five hundred; only the table grows. Kernels are reached by their addresses, so that each is compiled
and cached alone.

The block is an array of 8-byte slots:

    the address of each input, each output, each constant, in the program's order;
    the address of an array with the address of each of `Program.kernels`;
    the number of threads for which the arena has workspace;
    the value of each size, in the program's order;
    the address of the arena, aligned to 64 bytes: `arena_size` bytes (may be 0 where those are none).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from graphc.codegen.contract_plan import workspace_bytes
from graphc.codegen.emitter import Emitter, Module
from graphc.codegen.index import index
from graphc.codegen.target import Target
from graphc.codegen.work import most_threads
from graphc.ir.dim import Size, quotient, substitute
from graphc.kernel.ir import Kernel
from graphc.kernel.program import ConstantData, Input, Launch, Memory, Output, Program, Temporary

ENTRY = "graphc_entry"
"""The function's symbol."""
KERNEL = "graphc_kernel"
"""The symbol under which each kernel is compiled (`graphc.codegen.cpu.emit_kernel`), in an object of its own."""
POOL = "graphc_pool_run_n"
"""What the runtime must provide: `void (ptr kernel, ptr block, i64 most_threads)`."""

_OFFSET_BITS = 48
_COMPUTED = 1 << 63
_STATUS, _WORKSPACE, _ZERO = range(3)
"""Computed values that every program has."""


def block_slots(program: Program) -> int:
    """How many slots the entry's block has."""
    return _kernels_slot(program) + 2 + len(program.sizes) + 1


def arena_size(program: Program, target: Target, threads: int) -> Size:
    """Bytes of the arena of a run: temporaries, then the kernels' workspace for that many threads."""
    return _workspace_offset(program) + _workspace(program, target) * threads


def emit_program(program: Program, target: Target) -> str:
    """The text of the module that defines the entry."""
    module = Module(target)
    table = _Table(program, module)
    for launch in program.launches:
        table.add(launch)
    table.finish(_workspace_offset(program) if _workspace(program, target) else None)
    return module.text


def _kernels_slot(program: Program) -> int:
    return len(program.inputs) + len(program.outputs) + len(program.constants)


def _workspace(program: Program, target: Target) -> int:
    return max((workspace_bytes(kernel, target) for kernel in program.kernels), default=0)


def _workspace_offset(program: Program) -> Size:
    return quotient(program.arena_bytes + 63, 64) * 64


@dataclass(slots=True)
class _Table:
    """Collects the words of the table: per launch kernel and number of arguments, threads, and the arguments.

    A word is an offset in its lower 48 bits, added to a value: a slot of the block, or, where the top bit is set, one
    that the entry computes. The value's number is in the bits between.
    """

    program: Program
    module: Module
    words: list[int] = field(default_factory=list)
    computed: dict[tuple[str, Size], int] = field(default_factory=dict)
    kernels: dict[Kernel, int] = field(default_factory=dict)
    threads: dict[Kernel, Size] = field(default_factory=dict)
    slots: dict[Memory, int] = field(default_factory=dict)
    size_slots: dict[str, int] = field(default_factory=dict)
    longest: int = 0

    def __post_init__(self) -> None:
        program = self.program
        memories: tuple[Memory, ...] = (*program.inputs, *program.outputs, *program.constants)
        self.slots = {memory: slot for slot, memory in enumerate(memories)}
        self.size_slots = {size.name: slot for slot, size in enumerate(program.sizes, len(memories) + 2)}
        self.kernels = {kernel: place for place, kernel in enumerate(program.kernels)}

    @property
    def arena_slot(self) -> int:
        """The block's slot with the address of the arena."""
        return block_slots(self.program) - 1

    def add(self, launch: Launch) -> None:
        """The words of one launch."""
        kernel = launch.kernel
        arguments = [self._memory(memory) for memory in launch.memories]
        arguments += [self._size(size) for size in launch.sizes]
        arguments += [_word(_STATUS, 0, True), _word(_WORKSPACE, 0, True)]
        self.longest = max(self.longest, len(arguments))
        sizes = {symbol.name: size for symbol, size in zip(kernel.sizes, launch.sizes)}
        if kernel not in self.threads:
            self.threads[kernel] = most_threads(kernel)
        threads = substitute(self.threads[kernel], sizes)
        self.words += [self.kernels[kernel] | len(arguments) << 32, self._size(threads), *arguments]

    def _memory(self, memory: Memory) -> int:
        match memory:
            case Input() | Output() | ConstantData():
                return _word(self.slots[memory], 0)
            case Temporary(offset=offset):
                if isinstance(offset, int):
                    return _word(self.arena_slot, offset)
                return self._compute("address", offset)

    def _size(self, size: Size) -> int:
        if isinstance(size, int):
            return _word(_ZERO, size, True)
        name = str(size)
        return _word(self.size_slots[name], 0) if name in self.size_slots else self._compute("number", size)

    def _compute(self, kind: str, size: Size) -> int:
        place = self.computed.setdefault((kind, size), 3 + len(self.computed))
        return _word(place, 0, True)

    def finish(self, workspace_offset: Size | None) -> None:
        """The entry's code."""
        e = Emitter(self.module, ENTRY, "ptr %block", "i32")
        status = e.allocate_stack("i32")
        e.line(f"store i32 0, ptr {status}, align 4")
        arena = self._slot(e, self.arena_slot, "i64")
        for size in self.program.sizes:
            e.bind(size, self._slot(e, self.size_slots[size.name], "i64"))
        values = e.allocate_stack(f"[{3 + len(self.computed)} x i64]")
        self._keep(e, values, _STATUS, e.emit(f"ptrtoint ptr {status} to i64"))
        workspace = "0" if workspace_offset is None else e.emit(f"add i64 {arena}, {index(e, workspace_offset)}")
        self._keep(e, values, _WORKSPACE, workspace)
        self._keep(e, values, _ZERO, "0")
        for (kind, wanted), place in self.computed.items():
            value = index(e, wanted)
            self._keep(e, values, place, e.emit(f"add i64 {arena}, {value}") if kind == "address" else value)
        if self.words:
            self._emit_launches(e, status, values)
        result = e.emit(f"load i32, ptr {status}, align 4")
        e.finish(f"ret i32 {result}")

    def _slot(self, e: Emitter, slot: int, type_: str) -> str:
        return e.emit(f"load {type_}, ptr {e.emit(f'getelementptr i64, ptr %block, i64 {slot}')}, align 8")

    def _keep(self, e: Emitter, values: str, place: int, value: str) -> None:
        e.line(f"store i64 {value}, ptr {e.emit(f'getelementptr i64, ptr {values}, i64 {place}')}, align 8")

    def _emit_launches(self, e: Emitter, status: str, values: str) -> None:
        count = len(self.words)
        text = ", ".join([f"i64 {word - (1 << 64) if word >= _COMPUTED else word}" for word in self.words])
        e.module.define_global(f"@launches = private constant [{count} x i64] [{text}], align 8")
        e.module.declare(f"void @{POOL}(ptr, ptr, i64)")
        kernels_slot = _kernels_slot(self.program)
        kernels, limit = self._slot(e, kernels_slot, "ptr"), self._slot(e, kernels_slot + 1, "i64")
        arguments = e.allocate_stack(f"[{self.longest} x i64]")
        before, head, ran = e.block, e.new_block("launch"), e.new_block("ran")
        end = e.new_block("end")
        e.branch_to(head)
        at, following = e.fresh(), e.fresh()
        head.phis.append(f"{at} = phi i64 [ 0, %{before.label} ], [ {following}, %{ran.label} ]")
        first = self._word_at(e, at)
        number, length = e.emit(f"and i64 {first}, {(1 << 32) - 1}"), e.emit(f"lshr i64 {first}, 32")
        kernel = e.emit(f"load ptr, ptr {e.emit(f'getelementptr ptr, ptr {kernels}, i64 {number}')}, align 8")
        wanted = self._value(e, values, self._word_at(e, e.emit(f"add i64 {at}, 1")))
        threads = e.intrinsic("smin", "i64", ("i64", wanted), ("i64", limit))
        start = e.emit(f"add i64 {at}, 2")
        with e.loop("0", length, known_nonempty=True) as i:
            value = self._value(e, values, self._word_at(e, e.emit(f"add i64 {start}, {i}")))
            e.line(f"store i64 {value}, ptr {e.emit(f'getelementptr i64, ptr {arguments}, i64 {i}')}, align 8")
        several, single = e.new_block("several"), e.new_block("single")
        e.block.terminator = (
            f"br i1 {e.emit(f'icmp sgt i64 {threads}, 1')}, label %{several.label}, label %{single.label}"
        )
        several.lines.append(f"call void @{POOL}(ptr {kernel}, ptr {arguments}, i64 {threads})")
        single.lines.append(f"call void {kernel}(ptr {arguments}, i64 0, i64 1)")
        several.terminator = single.terminator = f"br label %{ran.label}"
        e.scopes[-1].block = ran
        e.line(f"{following} = add i64 {start}, {length}")
        failed = e.emit(f"icmp ne i32 {e.emit(f'load i32, ptr {status}, align 4')}, 0")
        done = e.emit(f"or i1 {failed}, {e.emit(f'icmp eq i64 {following}, {count}')}")
        ran.terminator = f"br i1 {done}, label %{end.label}, label %{head.label}"
        e.scopes[-1].block = end

    def _word_at(self, e: Emitter, place: str) -> str:
        return e.emit(f"load i64, ptr {e.emit(f'getelementptr i64, ptr @launches, i64 {place}')}, align 8")

    def _value(self, e: Emitter, values: str, word: str) -> str:
        """What a word of the table stands for."""
        is_computed = e.emit(f"icmp slt i64 {word}, 0")
        array = e.emit(f"select i1 {is_computed}, ptr {values}, ptr %block")
        number = e.emit(f"and i64 {e.emit(f'lshr i64 {word}, {_OFFSET_BITS}')}, {(1 << (63 - _OFFSET_BITS)) - 1}")
        value = e.emit(f"load i64, ptr {e.emit(f'getelementptr i64, ptr {array}, i64 {number}')}, align 8")
        return e.emit(f"add i64 {value}, {e.emit(f'and i64 {word}, {(1 << _OFFSET_BITS) - 1}')}")


def _word(number: int, offset: int, is_computed: bool = False) -> int:
    assert 0 <= number < 1 << (63 - _OFFSET_BITS), "more buffers and sizes than a program's table can name"
    assert 0 <= offset < 1 << _OFFSET_BITS, f"{offset} is no offset in memory"
    return number << _OFFSET_BITS | offset | (_COMPUTED if is_computed else 0)
