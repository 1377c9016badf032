"""Helpers of the contraction tests: kernels, their native run thread by thread, and the rule of the bits in numpy."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.codegen.abi import argument_block
from graphc.codegen.contract_plan import workspace_bytes
from graphc.codegen.cpu import emit_kernel
from graphc.ir.dim import Dim, Size, Symbol, symbol, symbols
from graphc.ir.dtype import DType, f32, i64
from graphc.kernel.exact import fused_multiply_add
from graphc.kernel.ir import (
    CONTRACT_BLOCK,
    Apply,
    Buffer,
    Contract,
    Kernel,
    Load,
    Operand,
    Panel,
    Position,
    Statement,
    Store,
    Value,
)
from graphc.runtime.engine import compile_object
from graphc.runtime.target import Target, native_target
from tests.codegen.native import load_for_good

Array = npt.NDArray[Any]

M, N, K = (symbol(name, 0, 1 << 20) for name in "MNK")
"""Sizes that are known only when the kernel runs."""


@dataclass
class Writer:
    """The statements of a panel or an epilogue as they are asked for."""

    statements: list[Statement] = field(default_factory=list)

    def add(self, make: Callable[[Value], Statement], dtype: DType) -> Value:
        """A value and the statement that defines it."""
        value = Value(f"v{len(self.statements)}", dtype)
        self.statements.append(make(value))
        return value

    def load(self, buffer: Buffer, index: Size, predicate: Operand | None = None) -> Value:
        """An element."""
        return self.add(lambda out: Load(out, buffer, index, predicate), buffer.dtype)

    def apply(self, op: str, dtype: DType, *operands: Operand) -> Value:
        """A scalar op's result."""
        return self.add(lambda out: Apply(out, op, operands), dtype)

    def position(self, index: Size) -> Value:
        """An index as a number."""
        return self.add(lambda out: Position(out, index), i64)


Element = Callable[[Writer, Size, Size], Operand]
Epilogue = Callable[[Writer, Size, Size, Value], None]


def contraction(
    rows: Size,
    columns: Size,
    depth: Size,
    left: Element,
    right: Element,
    epilogue: Epilogue,
    accumulator: DType = f32,
    parallel: bool = True,
) -> Contract:
    """The statement; (writer, m, k) and (writer, k, n) give the panels, (writer, m, n, acc) the epilogue."""
    at = [Symbol(name, 0, size - 1) for name, size in (("m", rows), ("n", columns), ("k", depth))]
    m, n, k = (Dim((((s,), 1),)) for s in at)

    def panel(write: Element, a: Size, b: Size) -> Panel:
        writer = Writer()
        element = write(writer, a, b)
        return Panel(tuple(writer.statements), element)

    acc, tail = Value("acc", accumulator), Writer()
    epilogue(tail, m, n, acc)
    return Contract(
        at[0],
        at[1],
        at[2],
        rows,
        columns,
        depth,
        panel(left, m, k),
        panel(right, k, n),
        acc,
        tuple(tail.statements),
        parallel,
    )


def matmul(
    rows: Size,
    columns: Size,
    depth: Size,
    element: DType = f32,
    accumulator: DType | None = None,
    left_transposed: bool = False,
    right_transposed: bool = False,
) -> Kernel:
    """Memory times memory, stored in rows."""
    accumulator = accumulator or element
    a, b = Buffer("a", element, rows * depth), Buffer("b", element, depth * columns)
    c = Buffer("c", accumulator, rows * columns)
    statement = contraction(
        rows,
        columns,
        depth,
        lambda w, m, k: w.load(a, k * rows + m if left_transposed else m * depth + k),
        lambda w, k, n: w.load(b, n * depth + k if right_transposed else k * columns + n),
        lambda w, m, n, acc: w.statements.append(Store(c, m * columns + n, acc)),
        accumulator,
    )
    return kernel_of((statement,), (a, b, c), writes=(c,))


def kernel_of(
    body: tuple[Statement, ...], buffers: tuple[Buffer, ...], writes: tuple[Buffer, ...], *more: Size
) -> Kernel:
    """The kernel; its sizes are the symbols of the buffers' sizes, and of `more`."""
    sizes = {s: None for size in (*(buffer.size for buffer in buffers), *more) for s in symbols(size)}
    return Kernel("contraction", buffers, tuple(sizes), body, frozenset(writes))


class Native:
    """A kernel in machine code."""

    def __init__(self, kernel: Kernel, target: Target | None = None) -> None:
        self.kernel = kernel
        self.target = target or native_target()
        code = compile_object(emit_kernel(kernel, self.target, "kernel"), self.target)
        address = load_for_good(code, "kernel")
        self._function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)

    def __call__(self, addresses: list[int], sizes: Mapping[str, int], threads: int = 1) -> None:
        """Run the shares of all threads, last first, each in a workspace of its own that held noise."""
        kernel = self.kernel
        scratch = aligned(np.uint8, workspace_bytes(kernel, self.target) * threads)
        scratch[:] = 0xFB
        status = ctypes.c_int32(0)
        values = [sizes[s.name] for s in kernel.sizes]
        slots = argument_block(kernel, addresses, values, ctypes.addressof(status), scratch.ctypes.data)
        block = (ctypes.c_int64 * len(slots))(*slots)
        for thread in reversed(range(threads)):
            self._function(ctypes.addressof(block), thread, threads)
        assert status.value == 0


def aligned(element: npt.DTypeLike, size: int) -> Array:
    """Memory that begins at a multiple of 64."""
    nbytes = size * np.dtype(element).itemsize
    memory = np.zeros(nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + nbytes].view(element)


GUARD = 64


def guarded(array: Array) -> tuple[Array, Callable[[], None]]:
    """A copy between two runs of bytes that must not change, and the function that checks them."""
    memory = np.full(array.nbytes + 2 * GUARD, 0x5A, np.uint8)
    inner = memory[GUARD : GUARD + array.nbytes].view(array.dtype).reshape(array.shape)
    inner[...] = array

    def check() -> None:
        assert (memory[:GUARD] == 0x5A).all()
        assert (memory[memory.size - GUARD :] == 0x5A).all()

    return inner, check


def run_matmul(
    native: Native, a: Array, b: Array, sizes: Mapping[str, int], shape: tuple[int, int], threads: int = 1
) -> Array:
    """The product that a kernel of `matmul` computes, with a check of what lies around it."""
    kernel_dtype = native.kernel.buffers[2].dtype.numpy
    c, check = guarded(np.full(shape, 77, kernel_dtype))
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    native([x.ctypes.data for x in (a, b, c)], sizes, threads)
    check()
    return c.copy()


def exact_product(left: Array, right: Array, accumulator: npt.DTypeLike) -> Array:
    """left @ right by the rule: products in order of k fused into sums of blocks, these added in order."""
    element = np.dtype(accumulator)
    left, right = left.astype(element), right.astype(element)
    total = np.zeros((left.shape[0], right.shape[1]), element)
    for start in range(0, left.shape[1], CONTRACT_BLOCK):
        block = np.zeros_like(total)
        for k in range(start, min(start + CONTRACT_BLOCK, left.shape[1])):
            block = step(left[:, k, None], right[None, k, :], block)
        with np.errstate(all="ignore"):
            total = block if start == 0 else total + block
    return total


def step(a: Array, b: Array, c: Array) -> Array:
    """a * b + c as the micro-kernel computes it."""
    if c.dtype.kind == "f":
        return fused_multiply_add(a, b, c).astype(c.dtype)
    return np.asarray(a * b + c)


def random(generator: np.random.Generator, shape: tuple[int, ...], element: DType) -> Array:
    """Numbers of a dtype: normal floats, integers of the whole range."""
    if element.is_integer:
        limits = np.iinfo(element.numpy)
        return generator.integers(limits.min, limits.max, shape, element.numpy, endpoint=True)
    return generator.normal(size=shape).astype(element.numpy)
