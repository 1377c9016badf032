"""Text of one LLVM module: registers, blocks, loops, and where in them a computation belongs.

Level: below everything that turns kernels into LLVM IR. In: instructions as text. Out: the module's text.

Code is written in nested scopes (the function, a loop's body, a branch). A computation that needs nothing of the inner
scopes is emitted in the outermost one where its operands are known, and remembered there. Nobody else hoists: the
pipelines of LLVM that would are not run.

    e = Emitter(Module(target), "task", "ptr %arguments, i64 %thread, i64 %threads")
    with e.loop("0", n) as i:
        pointer = e.emit(f"getelementptr float, ptr %x, i64 {i}")
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

from graphc.codegen.target import Target
from graphc.ir.dim import Symbol
from graphc.ir.dtype import DType, Kind, bf16, bool_, f16, f32, f64
from graphc.kernel.ir import Buffer, Literal, Operand, Value


@cache
def vector_type(scalar: str, lanes: int) -> str:
    """The LLVM type of `lanes` elements; one lane is the scalar itself."""
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


@cache
def type_suffix(scalar: str, lanes: int) -> str:
    """How an intrinsic's name spells the type."""
    short = {"float": "f32", "double": "f64", "half": "f16", "ptr": "p0"}.get(scalar, scalar)
    return short if lanes == 1 else f"v{lanes}{short}"


@cache
def register_type(dtype: DType) -> str:
    """The LLVM type of a value in a register: bools are i1; half-width floats are computed as float."""
    if dtype is bool_:
        return "i1"
    if dtype.kind is Kind.INT:
        return f"i{dtype.bits}"
    if dtype in (f32, f16, bf16):
        return "float"
    assert dtype is f64, f"{dtype} has no register type: complex numbers are pairs at the kernel level"
    return "double"


@cache
def memory_type(dtype: DType) -> str:
    """The LLVM type of an element in memory: bools are bytes, half-width floats their bits."""
    if dtype is bool_:
        return "i8"
    return "i16" if dtype in (f16, bf16) else register_type(dtype)


def float_constant(value: float, scalar: str) -> str:
    """A float's exact text: for LLVM, the bits of the double of that value (remember none by value: 0.0 == -0.0)."""
    if scalar == "float" and value == value and abs(value) != float("inf"):
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    if value != value:
        return "0x7FF8000000000000"
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def constant(value: float, scalar: str, lanes: int = 1) -> str:
    """A number as an operand of that type, the same in every lane."""
    if scalar in ("float", "double"):
        text = float_constant(float(value), scalar)
    elif scalar == "i1":
        text = "true" if value else "false"
    else:
        bits = int(scalar[1:])
        number = int(value) & ((1 << bits) - 1)
        text = str(number - (1 << bits) if number >> (bits - 1) else number)
    return text if lanes == 1 else f"splat ({scalar} {text})"


class Module:
    """The parts of a module: what is declared, global data, functions."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._declarations: dict[str, None] = {}
        self._globals: dict[str, None] = {}
        self._functions: list[str] = []
        self._names: set[str] = set()

    def declare(self, line: str) -> None:
        """Declare a function, once."""
        self._declarations[f"declare {line}"] = None

    def define_global(self, line: str) -> None:
        """Define global data, once."""
        self._globals[line] = None

    def add_function(self, text: str, name: str = "") -> None:
        """Add a function's text; the name is for `has_function`."""
        self._functions.append(text)
        self._names.add(name)

    def has_function(self, name: str) -> bool:
        """Whether a function was added under that name."""
        return name in self._names

    @property
    def text(self) -> str:
        """The module."""
        return "\n".join((*self._globals, *self._declarations, *self._functions)) + "\n"


class Block:
    """A basic block; its terminator is kept apart, so that hoisted code can still be put in front of it."""

    __slots__ = ("label", "lines", "phis", "terminator")

    def __init__(self, label: str) -> None:
        self.label = label
        self.phis: list[str] = []
        self.lines: list[str] = []
        self.terminator = "unreachable"


class Scope:
    """A body: the block that its code is appended to, and what has been computed at its level."""

    __slots__ = ("block", "depth", "memo", "symbols")

    def __init__(self, depth: int, block: Block) -> None:
        self.depth = depth
        self.block = block
        self.memo: dict[object, str] = {}
        self.symbols: list[tuple[str, SymbolBinding | None]] = []


@dataclass(frozen=True, slots=True)
class Register:
    """A value in the function: its name (or constant text), LLVM scalar type, lanes, and the scope that knows it."""

    name: str
    scalar: str
    lanes: int
    depth: int

    @property
    def type(self) -> str:
        """The LLVM type."""
        return vector_type(self.scalar, self.lanes)


@dataclass(frozen=True, slots=True)
class SymbolBinding:
    """A symbol of index expressions: an i64 register; for one that differs by lane also, or only, a vector of i64."""

    scalar: str | None
    depth: int
    varying: bool = False
    vector: str | None = None


@dataclass(frozen=True, slots=True)
class VectorContext:
    """Code for `lanes` consecutive values of `symbol` at once, those where `mask` holds (None: all)."""

    symbol: Symbol
    lanes: int
    mask: str | None = None


@dataclass(slots=True)
class Carried:
    """A value that a loop carries: its type and first value; in the body `current`, at the body's end `next`."""

    type: str
    first: str
    current: str = ""
    next: str = ""
    result: str = ""


@dataclass(slots=True)
class Emitter:
    """Writes one function."""

    module: Module
    name: str
    parameters: str
    result: str = "void"
    linkage: str = ""
    handlers: dict[type, Callable[..., None]] = field(default_factory=dict)
    """What emits a statement of each kind (see `graphc.codegen.body.emit_body`)."""
    rules: dict[str, Callable[..., str]] = field(default_factory=dict)
    """What emits scalar ops that this target asks to be written otherwise (see `graphc.codegen.scalar.RULES`)."""
    attributes: str = ""
    """LLVM attributes of the function beside those of the target."""
    context: VectorContext | None = None
    """The vector loop that the current code is in."""
    values: dict[Value, Register] = field(default_factory=dict)
    buffers: dict[Buffer, Register] = field(default_factory=dict)
    """Base pointers."""
    symbols: dict[str, SymbolBinding] = field(default_factory=dict)
    status: str = ""
    """Pointer to the status word."""
    workspace: str = ""
    """Pointer to the thread's scratch memory for contractions, aligned to 64."""
    thread: str = "0"
    threads: str = "1"
    blocks: list[Block] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    _counter: int = 0
    _scratch: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        entry, start = Block("entry"), Block("start")
        entry.terminator = "br label %start"
        self.blocks += (entry, start)
        self.scopes.append(Scope(0, start))

    @property
    def target(self) -> Target:
        """What the code is for."""
        return self.module.target

    @property
    def depth(self) -> int:
        """How many scopes are around the current one."""
        return len(self.scopes) - 1

    # Instructions

    def fresh(self) -> str:
        """A register that is not used yet."""
        self._counter += 1
        return f"%r{self._counter}"

    def emit(self, instruction: str) -> str:
        """Append an instruction that has a result, and give its register."""
        self._counter += 1
        name = f"%r{self._counter}"
        self.scopes[-1].block.lines.append(f"{name} = {instruction}")
        return name

    def emit_at(self, depth: int, instruction: str) -> str:
        """The same in an outer scope: at the end of the block that leads to the code being written."""
        self._counter += 1
        name = f"%r{self._counter}"
        self.scopes[depth].block.lines.append(f"{name} = {instruction}")
        return name

    def line(self, instruction: str) -> None:
        """Append an instruction without a result."""
        self.scopes[-1].block.lines.append(instruction)

    def computed(self, depth: int, instruction: str) -> str:
        """The register of a pure instruction whose operands are known at `depth`; emitted there unless it was.

        One that only an inner scope has does not count: what is remembered of the result may outlive that scope.
        """
        for scope in self.scopes[depth::-1]:
            known = scope.memo.get(instruction)
            if known is not None:
                return known
        name = self.scopes[depth].memo[instruction] = self.emit_at(depth, instruction)
        return name

    def intrinsic(self, name: str, result: str, *operands: tuple[str, str], overload: str | None = None) -> str:
        """Call `llvm.NAME` on (type, value) pairs; its suffix is that of the result unless `overload` gives it."""
        suffix = _suffix(result) if overload is None else overload
        full = f"llvm.{name}.{suffix}" if suffix else f"llvm.{name}"
        self.module.declare(f"{result} @{full}({', '.join([t for t, _ in operands])})")
        arguments = ", ".join([f"{t} {v}" for t, v in operands])
        if result == "void":
            self.line(f"call void @{full}({arguments})")
            return ""
        return self.emit(f"call {result} @{full}({arguments})")

    def allocate_stack(self, type_: str, count: str = "1", align: int = 64) -> str:
        """A pointer to stack memory that lives as long as the function; `count` is known outside of its loops."""
        name = self.fresh()
        # In the entry block, a constant number is part of the frame and costs no instruction.
        block = self.blocks[0] if count[0] != "%" else self.scopes[0].block
        block.lines.append(f"{name} = alloca {type_}, i64 {count}, align {align}")
        return name

    def acquire_scratch(self, type_: str) -> str:
        """Stack memory that is given back by `release_scratch`, so that what does not run at once shares it."""
        free = self._scratch.setdefault(type_, [])
        return free.pop() if free else self.allocate_stack(type_)

    def release_scratch(self, type_: str, pointer: str) -> None:
        """Give back what `acquire_scratch` gave."""
        self._scratch[type_].append(pointer)

    # Operands

    def set_value(self, value: Value, name: str, lanes: int = 1, depth: int | None = None) -> None:
        """Say which register (or constant text) holds a value of the kernel."""
        depth = len(self.scopes) - 1 if depth is None else depth
        self.values[value] = Register(name, register_type(value.dtype), lanes, depth)

    def operand(self, operand: Operand) -> Register:
        """The register of an operand, with as many lanes as it varies in."""
        if isinstance(operand, Literal):
            scalar = register_type(operand.dtype)
            return Register(constant(operand.value, scalar), scalar, 1, 0)
        return self.values[operand]

    def spread(self, register: Register, lanes: int) -> str:
        """The register in `lanes` lanes: a scalar is copied to all, where it was defined."""
        if register.lanes == lanes:
            return register.name
        assert register.lanes == 1, f"{register} does not have {lanes} lanes"
        if register.name[0] != "%":
            return register.name if lanes == 1 else f"splat ({register.scalar} {register.name})"
        type_ = vector_type(register.scalar, lanes)
        one = self.computed(register.depth, f"insertelement {type_} poison, {register.scalar} {register.name}, i64 0")
        return self.computed(
            register.depth, f"shufflevector {type_} {one}, {type_} poison, <{lanes} x i32> zeroinitializer"
        )

    def vector_operand(self, operand: Operand, lanes: int) -> str:
        """The name of an operand in `lanes` lanes."""
        if isinstance(operand, Literal):
            return constant(operand.value, register_type(operand.dtype), lanes)
        return self.spread(self.values[operand], lanes)

    # Blocks and scopes

    def new_block(self, hint: str) -> Block:
        """A block with a label of its own, placed after those that exist."""
        self._counter += 1
        block = Block(f"{hint}{self._counter}")
        self.blocks.append(block)
        return block

    @property
    def block(self) -> Block:
        """The block being written."""
        return self.scopes[-1].block

    def branch_to(self, block: Block) -> None:
        """End the current block by a jump, and continue in `block`."""
        self.scopes[-1].block.terminator = f"br label %{block.label}"
        self.scopes[-1].block = block

    @contextmanager
    def scope(self) -> Iterator[Scope]:
        """A scope that begins in the current block: what it computes and binds ends with it."""
        scope = Scope(len(self.scopes), self.scopes[-1].block)
        self.scopes.append(scope)
        yield scope
        self._leave(scope.block)

    def _leave(self, continuation: Block) -> None:
        scope = self.scopes.pop()
        for name, before in reversed(scope.symbols):
            if before is None:
                del self.symbols[name]
            else:
                self.symbols[name] = before
        self.scopes[-1].block = continuation

    def bind(self, symbol: Symbol, scalar: str | None, vector: str | None = None, varying: bool = False) -> None:
        """Say which register holds a symbol, until the current scope ends."""
        self.scopes[-1].symbols.append((symbol.name, self.symbols.get(symbol.name)))
        self.symbols[symbol.name] = SymbolBinding(scalar, len(self.scopes) - 1, varying or vector is not None, vector)

    @contextmanager
    def vectorized(self, context: VectorContext | None) -> Iterator[None]:
        """Write code in (or, for None, outside of) a vector context."""
        before, self.context = self.context, context
        yield
        self.context = before

    @contextmanager
    def branch(self, condition: str) -> Iterator[None]:
        """Code that runs where the i1 `condition` holds."""
        before = self.block
        body = self.new_block("then")
        self.scopes.append(Scope(len(self.scopes), body))
        yield
        last = self.block
        join = self.new_block("join")
        before.terminator = f"br i1 {condition}, label %{body.label}, label %{join.label}"
        last.terminator = f"br label %{join.label}"
        self._leave(join)

    @contextmanager
    def loop(
        self,
        start: str,
        stop: str,
        step: int = 1,
        carried: Sequence[Carried] = (),
        known_nonempty: bool = False,
        type_: str = "i64",
    ) -> Iterator[str]:
        """Code for i = start, start + step, ... below stop (registers or constants of the type); gives i's register.

        Each of `carried` has its `current` set inside, must be given a `next` by the body, and has a `result` after.
        """
        before = self.block
        body = self.new_block("loop")
        scope = Scope(len(self.scopes), body)
        self.scopes.append(scope)
        index = self.fresh()
        for value in carried:
            value.current = value.next = self.fresh()
        yield index
        last = self.block
        following = self.emit(f"add nuw nsw {type_} {index}, {step}")
        more = self.emit(f"icmp slt {type_} {following}, {stop}")
        after = self.new_block("done")
        last.terminator = f"br i1 {more}, label %{body.label}, label %{after.label}"
        body.phis.append(f"{index} = phi {type_} [ {start}, %{before.label} ], [ {following}, %{last.label} ]")
        for value in carried:
            body.phis.append(
                f"{value.current} = phi {value.type} [ {value.first}, %{before.label} ], "
                f"[ {value.next}, %{last.label} ]"
            )
        self._leave(after)
        if known_nonempty:
            before.terminator = f"br label %{body.label}"
        else:
            # The guard is part of the block in front, whose scope is current again; its own end is not moved.
            name = self.fresh()
            before.lines.append(f"{name} = icmp slt {type_} {start}, {stop}")
            before.terminator = f"br i1 {name}, label %{body.label}, label %{after.label}"
        for value in carried:
            value.result = self.fresh()
            entry = "" if known_nonempty else f"[ {value.first}, %{before.label} ], "
            after.phis.append(f"{value.result} = phi {value.type} {entry}[ {value.next}, %{last.label} ]")

    # The whole

    def finish(self, terminator: str = "ret void") -> None:
        """End the function and add it to its module."""
        assert len(self.scopes) == 1, "a scope is still open"
        self.block.terminator = terminator
        lines = [
            f"define {self.linkage}{self.result} @{self.name}({self.parameters}) "
            f"{self.target.function_attributes}{self.attributes} {{"
        ]
        for block in self.blocks:
            lines.append(f"{block.label}:")
            lines += block.phis
            lines += block.lines
            lines.append(block.terminator)
        lines.append("}")
        self.module.add_function("\n".join(lines))


@cache
def _suffix(type_: str) -> str:
    if type_ == "void":
        return ""
    if type_[0] != "<":
        return type_suffix(type_, 1)
    lanes, _, scalar = type_[1:-1].partition(" x ")
    return type_suffix(scalar, int(lanes))
