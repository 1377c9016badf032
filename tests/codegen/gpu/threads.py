"""Runs the LLVM IR of GPU kernels on this machine's CPU: what code generation wrote, but for LLVM's own back end.

In: a scheduled kernel and arrays. Out: the arrays as the blocks left them. Each thread of a block is a thread of Python
that calls the entry point; intrinsics of NVPTX are calls back into Python, where threads wait for each other. Threads
of kernels that never wait run one after another.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from graphc.codegen.gpu.kernel import emit_module
from graphc.ir.dim import evaluate
from graphc.kernel.gpu import STATIC_SHARED_BYTES, WARP, WARPGROUP, GpuTarget, grid_of
from graphc.kernel.ir import Kernel
from graphc.runtime.engine import compile_object, load
from graphc.runtime.target import native_target
from tests.codegen.native import Array

SLOT = 8
"""Bytes that each operand of an intrinsic is passed in; the result is written over them."""
_DECLARED = re.compile(r"declare (?P<result>.+) @llvm\.nvvm\.(?P<name>[\w.]+)\((?P<operands>.*)\)")
_TO_BF16 = """
define internal i16 @cpu.bf16(float %x) {
%bits = bitcast float %x to i32
%high = lshr i32 %bits, 16
%odd = and i32 %high, 1
%more = add i32 %bits, 32767
%sum = add i32 %more, %odd
%quiet = or i32 %bits, 4194304
%nan = fcmp uno float %x, %x
%chosen = select i1 %nan, i32 %quiet, i32 %sum
%moved = lshr i32 %chosen, 16
%result = trunc i32 %moved to i16
ret i16 %result
}
"""
"""A GPU's rounding to bfloat16: CPUs have none, or one that takes subnormal numbers for zero."""
_TOGETHER = ("barrier", "shfl", "ldmatrix", "mma", "wgmma")
_ASSEMBLER = re.compile(
    r"(?P<before>.*)call (?P<result>void|\{[^}]*\}) asm sideeffect "
    r'"(?P<text>[^"]*)", "[^"]*"\((?P<operands>.*)\)[a-z ]*'
)
_PRODUCT = re.compile(r"m64n(\d+)k16\.f32\.(\w+)\.\w+ \{.*?\}, \$(\d+), \$(\d+), 1, 1, 1, ([01]), ([01]);")
_SHARED = re.compile(r"(@\w+) = internal addrspace\(3\) global \[(\d+) x i(\d+)\]")


class Group:
    """4 warps: the products that they have under way, as instructions with descriptors, and the sums of all threads."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(WARPGROUP)
        self.shown: list[Any] = [None] * WARPGROUP
        self.pending: list[list[tuple[Any, ...]]] = []
        self.sums: Array = np.zeros(0, np.float32)


class Block:
    """The threads of a block: where they wait, and what they show each other."""

    def __init__(self, number: int, threads: int) -> None:
        self.number = number
        self.whole = threading.Barrier(threads)
        self.warps = [threading.Barrier(WARP) for _ in range(threads // WARP)]
        self.shown: list[list[Any]] = [[None] * WARP for _ in self.warps]
        self.groups = [Group() for _ in range(threads // WARPGROUP)]


class Machine:
    """Answers the intrinsics of one module."""

    def __init__(self) -> None:
        self.own = threading.local()
        self.kept: list[object] = []
        self.faults: list[BaseException] = []
        self.assembler: dict[str, str] = {}
        """The texts of inline assembler, by the names that stand for them."""
        self.shared: list[tuple[int, int]] = []
        """Where shared memory is, and its bytes."""

    def enter(self, block: Block, thread: int) -> None:
        """The calling thread becomes that one of the block."""
        self.own.block, self.own.thread = block, thread
        self.own.copies = [[]]  # groups, which are carried out as late as the thread's waits allow

    def gather(self, value: Any) -> list[Any]:
        """What every thread of the warp gave."""
        warp, lane = divmod(self.own.thread, WARP)
        block = self.own.block
        block.shown[warp][lane] = value
        block.warps[warp].wait()
        given = list(block.shown[warp])
        block.warps[warp].wait()
        return given

    def wrapper(self, name: str, result: str, operands: list[str]) -> str:
        """A function of the intrinsic's type that calls `answer` on a table of its operands."""

        def call(slots: int) -> None:
            try:
                self.answer(name, slots)
            except threading.BrokenBarrierError:
                pass
            except BaseException as fault:
                self.faults.append(fault)
                self.own.block.whole.abort()

        callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(call)
        self.kept.append(callback)
        address = ctypes.cast(callback, ctypes.c_void_p).value
        lines = [f"define internal {result} @cpu.{name}({', '.join(f'{t} %p{i}' for i, t in enumerate(operands))}) {{"]
        lines.append(f"%slots = alloca [{max(len(operands), 4)} x i64], align 16")
        for place, type_ in enumerate(operands):
            lines.append(f"%at{place} = getelementptr i8, ptr %slots, i64 {place * SLOT}")
            lines.append(f"store {type_} %p{place}, ptr %at{place}")
        lines.append(f"%function = inttoptr i64 {address} to ptr")
        lines.append("call void %function(ptr %slots)")
        if result == "void":
            lines.append("ret void")
        else:
            lines += [f"%result = load {result}, ptr %slots", f"ret {result} %result"]
        return "\n".join([*lines, "}"])

    def answer(self, name: str, slots: int) -> None:
        """Read the operands and write the result."""

        def words(first: int, count: int) -> list[int]:
            return [ctypes.c_uint32.from_address(slots + SLOT * i).value for i in range(first, first + count)]

        def pointer(place: int) -> int:
            return ctypes.c_uint64.from_address(slots + SLOT * place).value

        def give(values: Array) -> None:
            data = np.ascontiguousarray(values)
            ctypes.memmove(slots, data.ctypes.data, data.nbytes)

        lane = self.own.thread % WARP
        kind = name.split(".")[0]
        if kind == "read":
            give(np.uint32(self.own.block.number if "ctaid" in name else self.own.thread))
        elif kind == "barrier":
            self.own.block.whole.wait()
        elif kind == "shfl":
            mode = name.split(".")[2]
            everyone, value, step, bound = words(0, 4)
            assert everyone == 0xFFFFFFFF
            assert bound == (0 if mode == "up" else 31)
            other = {"bfly": lane ^ step, "up": lane - step, "down": lane + step, "idx": step & 31}[mode]
            give(np.uint32(self.gather(value)[other if 0 <= other < WARP else lane]))
        elif name.startswith(("cp.async.ca.", "cp.async.cg.")):
            size = int(name.removesuffix(".s").rpartition(".")[2])
            count = words(2, 1)[0] if name.endswith(".s") else size
            assert pointer(0) % size == 0
            assert count == 0 or pointer(1) % size == 0
            self.own.copies[-1].append((pointer(0), pointer(1), count, size))
        elif name == "cp.async.commit.group":
            self.own.copies.append([])
        elif name == "cp.async.wait.group":
            pending = words(0, 1)[0] + 1  # the last group is not committed yet
            while len(self.own.copies) > pending:
                for target, source, count, size in self.own.copies.pop(0):
                    ctypes.memset(target, 0, size)
                    ctypes.memmove(target, source if count else target, count)
        elif kind == "ldmatrix":
            count = int(re.search(r"\.x(\d)", name)[1])  # type: ignore[index]  # every name of this kind has it
            rows = self.gather(pointer(0))
            parts = []
            for matrix in range(count):
                assert all(row % 16 == 0 for row in rows[8 * matrix : 8 * matrix + 8])
                data = [(ctypes.c_uint16 * 8).from_address(row) for row in rows[8 * matrix : 8 * matrix + 8]]
                elements = np.array(data, np.uint16)
                elements = elements.T if ".trans" in name else elements
                parts.append(np.ascontiguousarray(elements[lane // 4, lane % 4 * 2 : lane % 4 * 2 + 2]).view(np.uint32))
            give(np.concatenate(parts))
        elif name in self.assembler:
            self._assembler(self.assembler[name], slots)
        elif kind == "mma":
            self._multiply(name, words, give, lane)
        else:
            raise AssertionError(f"{name} has no meaning here")

    def _assembler(self, text: str, slots: int) -> None:
        """Products are computed when they are waited for, and sums are nan until then: what comes too early is seen."""
        number, thread = divmod(self.own.thread, WARPGROUP)
        group = self.own.block.groups[number] if self.own.block.groups else None
        wait = re.fullmatch(r"wgmma\.wait_group\.sync\.aligned (\d+);", text)
        if text == "fence.proxy.async.shared::cta;":
            return
        assert group is not None
        products = [match.groups() for match in _PRODUCT.finditer(text)]
        count = int(products[0][0]) // 2 if products else group.sums.shape[1]
        given = np.array(
            [ctypes.c_float.from_address(slots + SLOT * place).value for place in range(count)], np.float32
        )
        started = []
        for columns, dtype, left, right, *orders in products:
            at = [ctypes.c_uint64.from_address(slots + SLOT * (int(place) - count)).value for place in (left, right)]
            started.append((int(columns), dtype, *at, *map(int, orders)))
        group.shown[thread] = (given, started)
        group.barrier.wait()
        if thread == 0:
            assert all(shown[1] == started for shown in group.shown), "threads of 4 warps name other matrices"
            if products:
                assert text.startswith("wgmma.fence.sync.aligned;")
                assert text.endswith("wgmma.commit_group.sync.aligned;")
                if not group.pending:
                    group.sums = np.array([shown[0] for shown in group.shown])
                group.pending.append(started)
            else:
                assert wait is not None, text
                while len(group.pending) > int(wait[1]):
                    for product in group.pending.pop(0):
                        group.sums += self._shared_product(*product)
        group.barrier.wait()
        result = np.full(count, np.nan, np.float32) if group.pending else group.sums[thread].copy()
        ctypes.memmove(slots, result.ctypes.data, result.nbytes)
        group.barrier.wait()

    def _shared_product(
        self, columns: int, dtype: str, left: int, right: int, is_left_transposed: int, is_right_transposed: int
    ) -> Array:
        """[thread, sum] of one instruction, from memory as the descriptors say."""
        a = self._matrix(left, 64, dtype, is_left_transposed)
        b = self._matrix(right, columns, dtype, is_right_transposed)
        product = (a @ b.T).astype(np.float32)
        thread, pair = np.arange(WARPGROUP)[:, None], np.arange(columns // 2)
        row = thread // 32 * 16 + thread % 32 // 4 + pair % 4 // 2 * 8
        return np.asarray(product[row, pair // 4 * 8 + thread % 4 * 2 + pair % 2])

    def _matrix(self, descriptor: int, extent: int, dtype: str, is_transposed: int) -> Array:
        """[extent, 16] elements of shared memory: matrices of 8 rows of 16 bytes."""
        assert descriptor >> 46 == 0, "no swizzle"
        start, leading, stride = ((descriptor >> shift & 0x3FFF) << 4 for shift in (0, 16, 32))
        type_: Any = ml_dtypes.bfloat16 if dtype == "bf16" else np.float16
        elements = np.empty((extent, 16), np.float64)
        for across in range(extent // 8):
            for along in range(2):
                low = start + across * stride + along * leading
                # The address has 18 bits, enough for the shared memory of a block.
                (address,) = [
                    base + (low - base) % (1 << 18)
                    for base, size in self.shared
                    if (low - base) % (1 << 18) + 128 <= size
                ]
                matrix = np.array((ctypes.c_uint16 * 64).from_address(address)).view(type_).reshape(8, 8)
                matrix = matrix.T if is_transposed else matrix
                elements[8 * across : 8 * across + 8, 8 * along : 8 * along + 8] = matrix
        return elements

    def _multiply(
        self, name: str, words: Callable[[int, int], list[int]], give: Callable[[Array], None], lane: int
    ) -> None:
        depth = int(re.search(r"n8k(\d+)", name)[1])  # type: ignore[index]  # every name of this kind has it
        is_single = name.endswith("tf32")
        factors = depth // 4 if not is_single else 4
        lefts, rights = factors, factors // 2
        given = np.array(self.gather(words(0, lefts + rights + 4)), np.uint32)  # [32, operands]
        type_: Any = ml_dtypes.bfloat16 if name.endswith("bf16") else np.float16
        row, column = np.arange(WARP) // 4, np.arange(WARP) % 4
        left, right = np.zeros((16, depth), np.float32), np.zeros((depth, 8), np.float32)
        total = np.zeros((16, 8), np.float32)
        for place in range(lefts):
            at, along = row + place % 2 * 8, place // 2
            if is_single:
                left[at, column + 4 * along] = given[:, place].view(np.float32)
            else:
                pairs = given[:, place : place + 1].copy().view(type_).astype(np.float32)
                left[at, 2 * column + 8 * along], left[at, 2 * column + 8 * along + 1] = pairs.T
        for place in range(rights):
            words_ = given[:, lefts + place : lefts + place + 1].copy()
            if is_single:
                right[column + 4 * place, row] = words_.view(np.float32)[:, 0]
            else:
                pairs = words_.view(type_).astype(np.float32)
                right[2 * column + 8 * place, row], right[2 * column + 8 * place + 1, row] = pairs.T
        sums = given[:, lefts + rights :].copy().view(np.float32)
        total[row, 2 * column], total[row, 2 * column + 1] = sums[:, 0], sums[:, 1]
        total[row + 8, 2 * column], total[row + 8, 2 * column + 1] = sums[:, 2], sums[:, 3]
        total += (left.astype(np.float64) @ right.astype(np.float64)).astype(np.float32)
        r, c = lane // 4, lane % 4 * 2
        give(np.array([total[r, c], total[r, c + 1], total[r + 8, c], total[r + 8, c + 1]], np.float32))


def _without_assembler(text: str, machine: Machine) -> str:
    """The module with a call of a function in place of each piece of inline assembler."""
    lines, wrappers = [], []
    for line in text.splitlines():
        match = _ASSEMBLER.fullmatch(line)
        if match is None:
            lines.append(line)
            continue
        name = f"assembler{len(machine.assembler)}"
        machine.assembler[name] = match["text"].replace("\\0A", "")
        operands = [part.split()[0] for part in match["operands"].split(", ") if part]
        wrappers.append(machine.wrapper(name, match["result"], operands))
        lines.append(f"{match['before']}call {match['result']} @cpu.{name}({match['operands']})")
    return "\n".join([*lines, *wrappers]) + "\n"


def aligned(array: Array) -> Array:
    """A copy at an address that is a multiple of 16, as the memory of a device is."""
    space = np.empty(array.nbytes + 32, np.uint8)
    start = -space.ctypes.data % 16
    copy = space[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def run_threads(
    kernel: Kernel, buffers: Mapping[str, Array], sizes: Mapping[str, int] | None = None, *, target: GpuTarget
) -> int:
    """Run the kernel's code for the target on arrays by buffers' names, in place; returns the status."""
    grid = grid_of(kernel)
    assert grid is not None
    machine = Machine()
    text = emit_module({"kernel": kernel}, target).replace("define ptx_kernel", "define")
    shared = [(match[1], int(match[2]) * int(match[3]) // 8) for match in _SHARED.finditer(text)]
    shared += [("@dynamic", grid.shared_bytes)] * ("@dynamic = " in text)
    text = _without_assembler(text, machine)
    text = text.replace("external addrspace(3) global [0 x i8]", f"internal global [{grid.shared_bytes} x i8] undef")
    text = text.replace("addrspace(3) global", "global").replace("ptr addrspace(3)", "ptr")
    text = text.replace("ptr addrspace(1)", "ptr")
    text = re.sub(r"ptr byval\(\[\d+ x i64\]\) align 8", "ptr", text)  # one parameter: an array of the words
    is_array = "ptr %words" in text
    text = re.sub(r"(%r\d+) = addrspacecast ptr (\S+( \(.*\))?) to ptr", r"\1 = getelementptr i8, ptr \2, i64 0", text)
    text = re.sub(
        r"(%r\d+) = fptrunc float (\S+) to bfloat\n(%r\d+) = bitcast bfloat \1 to i16",
        r"\3 = call i16 @cpu.bf16(float \2)",
        text + _TO_BF16,
    )
    declared = [match for match in map(_DECLARED.fullmatch, text.splitlines()) if match is not None]
    for match in declared:
        operands = [part for part in re.findall(r"<[^>]*>|[^,<>]+", match["operands"]) if part.strip()]
        text = text.replace(match[0], "")
        text = text.replace(f"@llvm.nvvm.{match['name']}(", f"@cpu.{match['name']}(")
        text += machine.wrapper(match["name"], match["result"], [part.strip() for part in operands]) + "\n"
    for number, (name, _) in enumerate(shared):
        text += f"define ptr @shared{number}() {{ ret ptr {name} }}\n"
    names = ("kernel", *(f"shared{number}" for number in range(len(shared))))
    code = load(compile_object(text, native_target()), names)
    for name, (_, size) in zip(names[1:], shared):
        machine.shared.append((ctypes.CFUNCTYPE(ctypes.c_size_t)(code[name])(), size))
    status = np.zeros(1, np.int32)
    copies = {b.name: aligned(buffers[b.name]) for b in kernel.buffers}
    values = [(sizes or {})[size.name] for size in kernel.sizes]
    arguments = [*(copies[b.name].ctypes.data for b in kernel.buffers), *values, status.ctypes.data]
    if is_array:
        words = (ctypes.c_int64 * len(arguments))(*arguments)
        arguments = [ctypes.addressof(words)]
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(arguments))(code["kernel"])
    is_together = bool(machine.assembler) or any(match["name"].startswith(_TOGETHER) for match in declared)
    assert grid.shared_bytes <= STATIC_SHARED_BYTES or "@dynamic" in text

    def run(block: Block, thread: int) -> None:
        machine.enter(block, thread)
        function(*arguments)

    for number in range(evaluate(grid.blocks, sizes or {})):
        block = Block(number, grid.threads)
        if is_together:
            threads = [threading.Thread(target=run, args=(block, thread)) for thread in range(grid.threads)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
        else:
            for thread in range(grid.threads):
                run(block, thread)
        if machine.faults:
            raise machine.faults[0]
    for buffer in kernel.buffers:
        buffers[buffer.name][...] = copies[buffer.name]
    return int(status[0])
