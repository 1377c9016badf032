"""Kernels as text, one statement a line; `graphc.kernel.parse` reads it back.

In: a kernel. Out: text that holds all of it, the same on every run. Names are the kernel's own, made unique by a number
where two values or two buffers share one.

    kernel scale {
      size n in 1..64
      read x: f32[10*n]
      write y: f32[10*n]
      parallel i < n {
        %top: f32 = reduce max k < 10 {
          %0: f32 = load x[10*i + k]
          yield %0
        }
        vector j < 10 {
          %1: f32 = load x[10*i + j]
          %2: f32 = div %1, %top
          store y[10*i + j] = %2
        }
      }
    }

A loop's symbol runs from 0 to its extent less one; other bounds that it may carry follow as `in 0..99`. What kernels
for a GPU have besides:

    block b < n {
      allocate s: f16[512] shared
      thread t < 32 {
        copy_async s[8*t] = x[256*b + 8*t] * 8 where %p
        commit_copies
        wait_copies 0
        barrier
        (%0: u32, %1: u32) = load_matrix s[8*t] transposed
        (%2: f32, %3: f32, ...) = multiply_matrices f16 (%0, %1, ...), (%4, %5), (0.0:f32, ...)
        %6: f32 = shuffle xor %2, 16:i32
        fence_shared
        multiply_shared f16 depth 32 own = s[0] (512, 64), s[2048] (512, 64) transposed
        wait_products own, 0
        choose %7 (x: f32[n], y: f32[n]) of (x0, y0), (x1, y1) {
          ...
        }
      }
    }
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Mapping
from typing import Final

from graphc.ir.attribute import Array
from graphc.ir.dense import READABLE, array_text
from graphc.ir.dim import MAX_SIZE, Size, Symbol, render, symbols
from graphc.ir.dtype import dtype
from graphc.ir.scan import declare, quote, word
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Barrier,
    Bind,
    Buffer,
    Check,
    Choose,
    CommitCopies,
    Contract,
    CopyAsync,
    FenceShared,
    HostArray,
    HostCall,
    If,
    Kernel,
    Literal,
    Load,
    LoadMatrix,
    Loop,
    MultiplyMatrices,
    MultiplyShared,
    Operand,
    Panel,
    Position,
    Reduce,
    SharedFactor,
    Shuffle,
    Space,
    Statement,
    Store,
    Value,
    WaitCopies,
    WaitProducts,
)
from graphc.kernel.program import Launch, Memory, Program, Temporary

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.]+", re.ASCII)
_NAN_BITS: Final = struct.unpack("<Q", struct.pack("<d", math.nan))[0]
_SIGN_BIT: Final = 1 << 63


def print_kernel(kernel: Kernel) -> str:
    """The text of a kernel, with a line's end after each line."""
    return _Printer(kernel, has_own_names=True).text(f"kernel {word(kernel.name)}")


def kernel_key(kernel: Kernel) -> str:
    """The text of a kernel without its name and with names of values, buffers and symbols replaced by numbers.

    It holds all that code generation depends on, and is the same for kernels that differ in names alone.
    """
    return _Printer(kernel, has_own_names=False).text("kernel")


def statement_text(kernel: Kernel, statement: Statement) -> str:
    """The line of a statement of this kernel, without its bodies: for messages."""
    printer = _Printer(kernel, has_own_names=True)
    printer.text("")
    return printer.heads.get(id(statement), "a statement that the kernel does not hold")


def literal_text(value: int | float | bool) -> str:
    """A number that reads back as the same bits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        sign = "-" if bits & _SIGN_BIT else ""
        return f"{sign}nan" if bits & ~_SIGN_BIT == _NAN_BITS else f'{sign}nan("{bits & ~_SIGN_BIT:x}")'
    return repr(value)


def print_program(program: Program) -> str:
    """The text of a program: its arguments, where each launch reads and writes, and what a run takes."""
    names: dict[Memory, str] = {}
    lines = [f"program {word(program.name)} {{"]
    lines += [f"  size {declare(s.name, s.lower, s.upper)}" for s in program.sizes]
    for argument in program.inputs:
        names[argument] = f"input {argument.position}"
        lines.append(f"  {names[argument]}: {argument.type}")
    for result in program.outputs:
        names[result] = f"output {result.position}"
        lines.append(f"  {names[result]}: {result.type}")
    for number, constant in enumerate(program.constants):
        names[constant] = f"constant {number}"
        lines.append(f"  {names[constant]}: {_constant_text(constant.value)}")
    lines.append(f"  arena: {program.arena_bytes} bytes, with the results {program.peak_bytes}")
    used = dict.fromkeys(memory for launch in program.launches for memory in launch.memories)
    for number, piece in enumerate(memory for memory in used if isinstance(memory, Temporary)):
        names[piece] = f"t{number}"
        lines.append(f"  {names[piece]}: {piece.dtype.short}, {piece.size} bytes at {piece.offset}")
    for launch in program.launches:
        lines.append(f"  launch {_launch_text(launch, names)}")
    for check in program.checks:
        at = "" if check.location is None else f"  # {check.location}"
        lines.append(f"  check {check.code}: {quote(check.message)}{at}")
    lines.append("}\n")
    return "\n".join(lines)


def _constant_text(value: Array) -> str:
    if value.value.size <= READABLE:
        return array_text(value)
    shape = ",".join(map(str, value.value.shape))
    return f"{dtype(value.value.dtype).short}[{shape}] sha256 {value.digest.hex()[:16]}"


def _launch_text(launch: Launch, names: Mapping[Memory, str]) -> str:
    bindings = []
    for buffer, memory in zip(launch.kernel.buffers, launch.memories):
        where = names.get(memory, "a memory that the program does not list")
        arrow = "->" if buffer in launch.kernel.writes else "<-"
        bindings.append(f"{word(buffer.name)} {arrow} {where}")
    bindings += [f"{symbol.name} = {size}" for symbol, size in zip(launch.kernel.sizes, launch.sizes)]
    at = "" if launch.location is None else f"  # {launch.location}"
    return f"{word(launch.kernel.name)}({', '.join(bindings)}){at}"


class _Printer:
    """One walk over a kernel."""

    def __init__(self, kernel: Kernel, *, has_own_names: bool) -> None:
        self.kernel = kernel
        self.has_own_names = has_own_names
        self.lines: list[str] = []
        self.heads: dict[int, str] = {}
        """A statement's first line, by the statement's identity."""
        self.values: dict[Value, str] = {}
        self.buffers: dict[Buffer, str] = {}
        self.symbols: dict[str, str] = {}
        self.value_names: dict[str, int] = {}
        self.buffer_names: dict[str, int] = {}
        self.symbol_count = 0

    def text(self, head: str) -> str:
        """The whole text."""
        self.lines.append(f"{head} {{")
        for each in self.kernel.sizes:
            name = self.symbol(each)
            is_default = each.lower == 0 and each.upper == MAX_SIZE
            self.lines.append(f"  size {name}" + ("" if is_default else self.range(each)))
        for buffer in self.kernel.buffers:
            access = "write" if buffer in self.kernel.writes else "read"
            space = "" if buffer.space is Space.GLOBAL else f" {buffer.space.value}"
            self.lines.append(f"  {access} {self.buffer(buffer)}: {self.array(buffer)}{space}")
        self.body(self.kernel.body, "  ")
        self.lines.append("}\n")
        return "\n".join(self.lines)

    def body(self, statements: Iterable[Statement], indent: str) -> None:
        """The lines of a body."""
        inner = indent + "  "
        for statement in statements:
            head = self.head(statement)
            self.heads[id(statement)] = head
            self.lines.append(indent + head)
            match statement:
                case Loop(body=body) | If(body=body) | Choose(body=body):
                    self.body(body, inner)
                case Reduce(body=body, element=element):
                    self.body(body, inner)
                    self.lines.append(f"{inner}yield {self.operand(element)}")
                case Contract(left=left, right=right, epilogue=epilogue):
                    self.panel("left", left, inner)
                    self.panel("right", right, inner)
                    self.lines.append(f"{inner}epilogue {{")
                    self.body(epilogue, inner + "  ")
                    self.lines.append(inner + "}")
                case _:
                    continue
            self.lines.append(indent + "}")

    def panel(self, side: str, panel: Panel, indent: str) -> None:
        """The lines of one side of a contraction."""
        self.lines.append(f"{indent}{side} {{")
        self.body(panel.body, indent + "  ")
        self.lines.append(f"{indent}  yield {self.operand(panel.element)}")
        self.lines.append(indent + "}")

    def head(self, statement: Statement) -> str:
        """The first line of a statement; most have but one."""
        match statement:
            case Apply(out, op, operands):
                given = ", ".join(map(self.operand, operands))
                return f"{self.value(out)} = {op} {given}"
            case Position(out, index):
                return f"{self.value(out)} = position {self.size(index)}"
            case Load(out, buffer, index, predicate):
                element = f"{self.buffer(buffer)}[{self.size(index)}]"
                return f"{self.value(out)} = load {element}{self.where(predicate)}"
            case Store(buffer, index, operand, predicate):
                element = f"{self.buffer(buffer)}[{self.size(index)}]"
                return f"store {element} = {self.operand(operand)}{self.where(predicate)}"
            case Bind(symbol, extent, operand):
                given = self.operand(operand)
                return f"bind {self.iteration(symbol, extent)} = {given}"
            case Loop(symbol, extent, kind):
                return f"{kind.value} {self.iteration(symbol, extent)} {{"
            case Reduce(out, combiner, symbol, extent):
                return f"{self.value(out)} = reduce {combiner} {self.iteration(symbol, extent)} {{"
            case Contract(m, n, k, rows, columns, depth, acc=acc, parallel=parallel):
                axes = ", ".join(self.iteration(s, extent) for s, extent in ((m, rows), (n, columns), (k, depth)))
                return f"{self.value(acc)} = contract {axes}{' parallel' if parallel else ''} {{"
            case Allocate(buffer):
                return f"allocate {self.buffer(buffer)}: {self.array(buffer)} {buffer.space.value}"
            case If(predicate):
                return f"if {self.operand(predicate)} {{"
            case Choose(operand, buffers, choices):
                given = self.operand(operand)
                names = ", ".join(f"{self.buffer(each)}: {self.array(each)}" for each in buffers)
                lists = ", ".join(f"({', '.join(map(self.buffer, row))})" for row in choices)
                return f"choose {given} ({names}) of {lists} {{"
            case Check(predicate, code):
                return f"check {self.operand(predicate)} else {code}"
            case HostCall(function, parameters, operands, results, code):
                given, made = ", ".join(map(self.host_array, operands)), ", ".join(map(self.host_array, results))
                return f"host {quote(function)} {quote(parameters)} ({given}) to ({made}) else {code}"
            case Barrier():
                return "barrier"
            case Shuffle(out, operand, mode, lane):
                return f"{self.value(out)} = shuffle {word(mode)} {self.operand(operand)}, {self.operand(lane)}"
            case CopyAsync(destination, index, source, source_index, count, predicate):
                target = f"{self.buffer(destination)}[{self.size(index)}]"
                given = f"{self.buffer(source)}[{self.size(source_index)}]"
                return f"copy_async {target} = {given} * {count}{self.where(predicate)}"
            case CommitCopies():
                return "commit_copies"
            case WaitCopies(pending):
                return f"wait_copies {pending}"
            case LoadMatrix(outs, buffer, index, is_transposed):
                element = f"{self.buffer(buffer)}[{self.size(index)}]"
                return f"({', '.join(map(self.value, outs))}) = load_matrix {element}{' transposed' * is_transposed}"
            case MultiplyMatrices(outs, left, right, addend, dtype):
                made = ", ".join(map(self.value, outs))
                given = ", ".join(f"({', '.join(map(self.operand, part))})" for part in (left, right, addend))
                return f"({made}) = multiply_matrices {word(dtype)} {given}"
            case MultiplyShared(sums, left, right, depth, dtype):
                factors = f"{self.factor(left)}, {self.factor(right)}"
                return f"multiply_shared {word(dtype)} depth {depth} {self.buffer(sums)} = {factors}"
            case WaitProducts(sums, pending):
                return f"wait_products {self.buffer(sums)}, {pending}"
            case FenceShared():
                return "fence_shared"

    def factor(self, factor: SharedFactor) -> str:
        """A factor in shared memory: where it begins, and how far its matrices are apart."""
        element = f"{self.buffer(factor.buffer)}[{self.size(factor.index)}]"
        return f"{element} ({factor.along_depth}, {factor.across}){' transposed' * factor.is_transposed}"

    def host_array(self, array: HostArray) -> str:
        """A buffer and the type that the host sees."""
        shape = ",".join(map(self.size, array.type.shape))
        return f"{self.buffer(array.buffer)}: {array.type.dtype.short}[{shape}]"

    def iteration(self, symbol: Symbol, extent: Size) -> str:
        """A symbol and the extent below which it stays, and its bounds where they are others than these."""
        limit = self.size(extent)
        is_default = symbol.lower == 0 and symbol.upper == extent - 1
        name = self.symbol(symbol)
        return f"{name} < {limit}" + ("" if is_default else self.range(symbol))

    def range(self, symbol: Symbol) -> str:
        """A symbol's bounds."""
        return f" in {symbol.lower}..{self.size(symbol.upper)}"

    def where(self, predicate: Operand | None) -> str:
        """The predicate of a load or store, if there is one."""
        return "" if predicate is None else f" where {self.operand(predicate)}"

    def array(self, buffer: Buffer) -> str:
        """Dtype and number of elements."""
        return f"{buffer.dtype.short}[{self.size(buffer.size)}]"

    def operand(self, operand: Operand) -> str:
        """A value's name, or a number with its dtype."""
        if isinstance(operand, Literal):
            return f"{literal_text(operand.value)}:{operand.dtype.short}"
        return self.values.get(operand) or self.define(operand)

    def value(self, value: Value) -> str:
        """A value's name and dtype, where it is defined."""
        return f"{self.values.get(value) or self.define(value)}: {value.dtype.short}"

    def define(self, value: Value) -> str:
        """Give a value its name."""
        if self.has_own_names:
            plain = _unique(value.name, self.value_names)
            name = f"%{plain}" if _PLAIN.fullmatch(plain) else f"%{word(plain)}"
        else:
            name = f"%{len(self.values)}"
        self.values[value] = name
        return name

    def buffer(self, buffer: Buffer) -> str:
        """A buffer's name."""
        name = self.buffers.get(buffer)
        if name is None:
            name = word(_unique(buffer.name, self.buffer_names)) if self.has_own_names else f"b{len(self.buffers)}"
            self.buffers[buffer] = name
        return name

    def symbol(self, symbol: Symbol) -> str:
        """A symbol's name, where it is defined."""
        if self.has_own_names:
            return symbol.name
        name = f"s{self.symbol_count}"
        self.symbol_count += 1
        self.symbols[symbol.name] = name
        return name

    def size(self, size: Size) -> str:
        """An index expression."""
        if self.has_own_names or isinstance(size, int):
            return str(size)
        for each in symbols(size):
            if each.name not in self.symbols:
                self.symbol(each)
        return render(size, self.symbols)


def _unique(name: str, taken: dict[str, int]) -> str:
    """The name, with a number behind it if it is taken; the next number for a value without a name."""
    result, number = name or "0", taken.get(name, 0)
    while result in taken:
        number += 1
        result = f"{name}_{number}" if name else str(number)
    taken[name] = number
    taken.setdefault(result, 0)
    return result
