"""Kernels from the text that `graphc.kernel.text` prints.

In: text. Out: a kernel that prints the same; ParseError with line, column and what was expected on anything else. Names
are resolved and dtypes are read, no more: `graphc.kernel.verify` has the rules.

>>> from graphc.kernel.text import print_kernel
>>> print(print_kernel(parse_kernel("kernel k { write y: f32[4]  vector i < 4 { store y[i] = 1.0:f32 } }")), end="")
kernel k {
  write y: f32[4]
  vector i < 4 {
    store y[i] = 1.0:f32
  }
}
"""

from __future__ import annotations

import math
import re
import struct
from typing import Final

from graphc.ir.dim import MAX_SIZE, Size, Symbol
from graphc.ir.dtype import Kind
from graphc.ir.scan import Scanner, Token
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
    LoopKind,
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

MAX_DEPTH: Final = 100
"""How deep loops and other bodies may nest in a text."""

_KINDS: Final = {kind.value: kind for kind in LoopKind}
_SPACES: Final = {space.value: space for space in Space}
_HEX: Final = re.compile("[0-9a-f]{1,16}")


def parse_kernel(text: str) -> Kernel:
    """Parse the text of a kernel; raises ParseError on anything else."""
    return _Parser(text).kernel()


class _Parser:
    """Reads a kernel. `scan.symbols` holds the symbols in scope; a value or buffer out of scope is None."""

    def __init__(self, text: str) -> None:
        self.scan = Scanner(text)
        self.values: dict[str, Value | None] = {}
        self.buffers: dict[str, Buffer | None] = {}
        self.scoped: list[tuple[dict[str, Value | None] | dict[str, Buffer | None] | dict[str, Size], str]] = []
        """What was defined, in order: what a body defines goes out of scope with it."""

    def kernel(self) -> Kernel:
        """`kernel NAME {`, sizes, buffers, statements, `}`"""
        scan = self.scan
        scan.expect("kernel")
        name = scan.name("the kernel's name")
        scan.expect("{")
        sizes: list[Symbol] = []
        while scan.accept("size"):
            token = self.symbol_name()
            sizes.append(self.symbol(token, MAX_SIZE))
        buffers: list[Buffer] = []
        writes: list[Buffer] = []
        while scan.at("read", "write"):
            is_written = scan.take().text == "write"
            buffers.append(self.buffer(Space.GLOBAL))
            if is_written:
                writes.append(buffers[-1])
        body = self.body(1)
        if scan.token.kind != "end":
            raise scan.unexpected("the end of the text")
        return Kernel(name, tuple(buffers), tuple(sizes), body, frozenset(writes))

    def body(self, depth: int) -> tuple[Statement, ...]:
        """Statements and `}`."""
        mark = len(self.scoped)
        statements = self.statements(depth, "}")
        self.leave(mark)
        self.scan.expect("}")
        return statements

    def yielding_body(self, depth: int) -> tuple[tuple[Statement, ...], Operand]:
        """Statements, `yield OPERAND` and `}`."""
        mark = len(self.scoped)
        statements = self.statements(depth, "yield")
        self.scan.expect("yield")
        element = self.operand()
        self.leave(mark)
        self.scan.expect("}")
        return statements, element

    def statements(self, depth: int, end: str) -> tuple[Statement, ...]:
        """Statements up to `end`, which stays ahead."""
        if depth > MAX_DEPTH:
            raise self.scan.error(f"bodies nest deeper than {MAX_DEPTH}")
        statements: list[Statement] = []
        while not self.scan.at(end):
            statements.append(self.statement(depth, end))
        return tuple(statements)

    def leave(self, mark: int) -> None:
        """End the scope of what was defined since; names of values and buffers stay taken."""
        while len(self.scoped) > mark:
            table, name = self.scoped.pop()
            if table is self.values:
                self.values[name] = None
            elif table is self.buffers:
                self.buffers[name] = None
            else:
                del self.scan.symbols[name]

    def statement(self, depth: int, end: str) -> Statement:
        """One statement with its bodies."""
        scan = self.scan
        if scan.token.kind == "value":
            return self.definition(depth)
        word = scan.token.text if scan.token.kind == "name" else ""
        if word in _KINDS:
            scan.take()
            mark = len(self.scoped)
            symbol, extent = self.iteration()
            scan.expect("{")
            body = self.body(depth + 1)
            self.leave(mark)
            return Loop(symbol, extent, _KINDS[word], body)
        if scan.accept("store"):
            buffer, index = self.element()
            scan.expect("=")
            operand = self.operand()
            return Store(buffer, index, operand, self.predicate())
        if scan.accept("if"):
            predicate = self.operand()
            scan.expect("{")
            return If(predicate, self.body(depth + 1))
        if scan.accept("choose"):
            return self.choose(depth)
        if scan.accept("bind"):
            symbol, extent = self.iteration()
            scan.expect("=")
            return Bind(symbol, extent, self.operand())
        if scan.accept("check"):
            predicate = self.operand()
            scan.expect("else")
            return Check(predicate, scan.integer())
        if scan.accept("allocate"):
            return Allocate(self.buffer(None))
        if scan.accept("host"):
            return self.host_call()
        if scan.accept("barrier"):
            return Barrier()
        if scan.accept("copy_async"):
            return self.copy_async()
        if scan.accept("commit_copies"):
            return CommitCopies()
        if scan.accept("wait_copies"):
            return WaitCopies(scan.integer())
        if scan.accept("multiply_shared"):
            return self.multiply_shared()
        if scan.accept("wait_products"):
            sums = self.known_buffer()
            scan.expect(",")
            return WaitProducts(sums, scan.integer())
        if scan.accept("fence_shared"):
            return FenceShared()
        if scan.at("("):
            return self.matrices()
        raise scan.unexpected(f"a statement or '{end}'")

    def choose(self, depth: int) -> Choose:
        """`OPERAND (BUFFER: DTYPE[SIZE], ...) of (BUFFER, ...), ... {`, statements and `}`."""
        scan = self.scan
        operand = self.operand()
        mark = len(self.scoped)
        scan.expect("(")
        buffers = [self.buffer(Space.GLOBAL)]
        while scan.accept(","):
            buffers.append(self.buffer(Space.GLOBAL))
        scan.expect(")")
        scan.expect("of")
        rows = [self.buffer_row()]
        while scan.accept(","):
            rows.append(self.buffer_row())
        scan.expect("{")
        body = self.body(depth + 1)
        self.leave(mark)
        return Choose(operand, tuple(buffers), tuple(rows), body)

    def buffer_row(self) -> tuple[Buffer, ...]:
        """`(BUFFER, ...)`"""
        self.scan.expect("(")
        row = [self.known_buffer()]
        while self.scan.accept(","):
            row.append(self.known_buffer())
        self.scan.expect(")")
        return tuple(row)

    def host_call(self) -> HostCall:
        """`"FUNCTION" "PARAMETERS" (BUFFER: TYPE, ...) to (BUFFER: TYPE, ...) else CODE`"""
        scan = self.scan
        function, parameters = scan.string(), scan.string()
        operands = self.host_arrays()
        scan.expect("to")
        results = self.host_arrays()
        scan.expect("else")
        return HostCall(function, parameters, operands, results, scan.integer())

    def host_arrays(self) -> tuple[HostArray, ...]:
        """`(BUFFER: TYPE, ...)`"""
        scan = self.scan
        scan.expect("(")
        arrays: list[HostArray] = []
        while not scan.accept(")"):
            if arrays:
                scan.expect(",")
            buffer = self.known_buffer()
            scan.expect(":")
            arrays.append(HostArray(buffer, scan.tensor_type()))
        return tuple(arrays)

    def copy_async(self) -> CopyAsync:
        """`BUFFER[INDEX] = BUFFER[INDEX] * COUNT`, and maybe a predicate."""
        scan = self.scan
        destination, index = self.element()
        scan.expect("=")
        source, source_index = self.element()
        scan.expect("*")
        return CopyAsync(destination, index, source, source_index, scan.integer(), self.predicate())

    def matrices(self) -> LoadMatrix | MultiplyMatrices:
        """`(%NAME: DTYPE, ...) = `, and `load_matrix BUFFER[INDEX]` or `multiply_matrices DTYPE` and three lists."""
        scan = self.scan
        scan.expect("(")
        outs = [self.defined()]
        while scan.accept(","):
            outs.append(self.defined())
        scan.expect(")")
        scan.expect("=")
        statement: LoadMatrix | MultiplyMatrices
        if scan.accept("load_matrix"):
            buffer, index = self.element()
            statement = LoadMatrix(tuple(outs), buffer, index, scan.accept("transposed"))
        elif scan.accept("multiply_matrices"):
            dtype = scan.name("the dtype of the factors: bf16, f16 or tf32")
            left = self.operand_list()
            scan.expect(",")
            right = self.operand_list()
            scan.expect(",")
            statement = MultiplyMatrices(tuple(outs), left, right, self.operand_list(), dtype)
        else:
            raise scan.unexpected("load_matrix or multiply_matrices")
        for out in outs:
            self.define(out)
        return statement

    def multiply_shared(self) -> MultiplyShared:
        """`DTYPE depth DEPTH BUFFER = FACTOR, FACTOR`"""
        scan = self.scan
        dtype = scan.name("the dtype of the factors: bf16 or f16")
        scan.expect("depth")
        depth = scan.integer()
        sums = self.known_buffer()
        scan.expect("=")
        left = self.shared_factor()
        scan.expect(",")
        return MultiplyShared(sums, left, self.shared_factor(), depth, dtype)

    def shared_factor(self) -> SharedFactor:
        """`BUFFER[INDEX] (ALONG_DEPTH, ACROSS)`, and maybe `transposed`"""
        scan = self.scan
        buffer, index = self.element()
        scan.expect("(")
        along_depth = scan.integer()
        scan.expect(",")
        across = scan.integer()
        scan.expect(")")
        return SharedFactor(buffer, index, along_depth, across, scan.accept("transposed"))

    def operand_list(self) -> tuple[Operand, ...]:
        """`(OPERAND, ...)`"""
        self.scan.expect("(")
        operands = self.operands()
        self.scan.expect(")")
        return operands

    def defined(self) -> Value:
        """`%NAME: DTYPE`; the value comes into scope with its statement's end."""
        scan = self.scan
        if scan.token.kind != "value":
            raise scan.unexpected("the name of a value")
        token = scan.take()
        name = self.value_name(token)
        if name in self.values:
            raise scan.error(f"{token.text} is defined twice", token)
        self.values[name] = None
        scan.expect(":")
        return Value(name, scan.dtype())

    def definition(self, depth: int) -> Statement:
        """`%NAME: DTYPE = ...`"""
        scan = self.scan
        out = self.defined()
        scan.expect("=")
        if scan.token.kind != "name":
            raise scan.unexpected("an operation such as load, position, reduce or add")
        word = scan.take().text
        statement: Statement
        if word == "load":
            buffer, index = self.element()
            statement = Load(out, buffer, index, self.predicate())
        elif word == "position":
            statement = Position(out, scan.size())
        elif word == "reduce":
            combiner = scan.name("a combiner such as sum")
            mark = len(self.scoped)
            symbol, extent = self.iteration()
            scan.expect("{")
            body, element = self.yielding_body(depth + 1)
            self.leave(mark)
            statement = Reduce(out, combiner, symbol, extent, body, element)
        elif word == "shuffle":
            mode = scan.name("a mode: xor, up, down or index")
            operand = self.operand()
            scan.expect(",")
            statement = Shuffle(out, operand, mode, self.operand())
        elif word == "contract":
            return self.contract(out, depth)
        else:
            statement = Apply(out, word, self.operands())
        self.define(out)
        return statement

    def define(self, value: Value) -> None:
        """Bring a value into scope."""
        self.values[value.name] = value
        self.scoped.append((self.values, value.name))

    def contract(self, out: Value, depth: int) -> Contract:
        """`m < ROWS, n < COLUMNS, k < DEPTH {`, `left {`, `right {` and `epilogue {` with their bodies, `}`"""
        scan = self.scan
        mark = len(self.scoped)
        m, rows = self.iteration()
        scan.expect(",")
        n, columns = self.iteration()
        scan.expect(",")
        k, extent = self.iteration()
        is_parallel = scan.accept("parallel")
        scan.expect("{")
        left = self.panel("left", n, depth + 2)
        right = self.panel("right", m, depth + 2)
        scan.expect("epilogue")
        scan.expect("{")
        size = scan.symbols.pop(k.name)
        self.define(out)
        epilogue = self.body(depth + 2)
        scan.symbols[k.name] = size
        self.leave(mark)
        scan.expect("}")
        return Contract(m, n, k, rows, columns, extent, left, right, out, epilogue, is_parallel)

    def panel(self, side: str, hidden: Symbol, depth: int) -> Panel:
        """One side of a contraction, which sees all but one of its symbols."""
        scan = self.scan
        scan.expect(side)
        scan.expect("{")
        size = scan.symbols.pop(hidden.name)
        body, element = self.yielding_body(depth)
        scan.symbols[hidden.name] = size
        return Panel(body, element)

    def iteration(self) -> tuple[Symbol, Size]:
        """`SYMBOL < EXTENT`, with ` in LOWER..UPPER` where the bounds are others than 0 and EXTENT - 1."""
        token = self.symbol_name()
        self.scan.expect("<")
        extent = self.scan.size()
        return self.symbol(token, extent - 1), extent

    def symbol_name(self) -> Token:
        """The name of a symbol, which none in scope may have."""
        scan = self.scan
        if scan.token.kind != "name":
            raise scan.unexpected("the name of a symbol")
        token = scan.take()
        if token.text in scan.symbols:
            raise scan.error(f"the symbol {token.text!r} is in use here", token)
        return token

    def symbol(self, token: Token, upper: Size) -> Symbol:
        """The symbol of this name, from here on in scope; its bounds are 0 and `upper` unless others follow."""
        scan = self.scan
        lower = 0
        if scan.accept("in"):
            sign = -1 if scan.accept("-") else 1
            lower = sign * scan.integer()
            scan.expect("..")
            upper = scan.size()
        symbol = Symbol(token.text, lower, upper)
        scan.symbols[token.text] = symbol.size
        self.scoped.append((scan.symbols, token.text))
        return symbol

    def buffer(self, default: Space | None) -> Buffer:
        """`NAME: DTYPE[SIZE] SPACE`; the space may be left out where there is a default."""
        scan = self.scan
        token = scan.token
        name = scan.name("the buffer's name")
        if name in self.buffers:
            raise scan.error(f"a buffer {name!r} exists already", token)
        scan.expect(":")
        dtype = scan.dtype()
        scan.expect("[")
        size = scan.size()
        scan.expect("]")
        space = default
        if scan.at(*_SPACES):
            space = _SPACES[scan.take().text]
        if space is None:
            raise scan.unexpected(f"a space: {', '.join(_SPACES)}")
        buffer = Buffer(name, dtype, size, space)
        self.buffers[name] = buffer
        self.scoped.append((self.buffers, name))
        return buffer

    def element(self) -> tuple[Buffer, Size]:
        """`BUFFER[INDEX]`"""
        scan = self.scan
        buffer = self.known_buffer()
        scan.expect("[")
        index = scan.size()
        scan.expect("]")
        return buffer, index

    def known_buffer(self) -> Buffer:
        """The buffer in scope that a name stands for."""
        scan = self.scan
        token = scan.token
        name = scan.name("the name of a buffer")
        buffer = self.buffers.get(name)
        if buffer is None:
            hint = scan.suggest(name, self.buffers)
            raise scan.error(f"no buffer {name!r} is known here", token, hint)
        return buffer

    def predicate(self) -> Operand | None:
        """`where OPERAND`, or nothing."""
        return self.operand() if self.scan.accept("where") else None

    def operands(self) -> tuple[Operand, ...]:
        """One or more operands."""
        operands = [self.operand()]
        while self.scan.accept(","):
            operands.append(self.operand())
        return tuple(operands)

    def operand(self) -> Operand:
        """A value in scope, or a number with its dtype."""
        scan = self.scan
        token = scan.token
        if token.kind == "value":
            name = self.value_name(scan.take())
            value = self.values.get(name)
            if value is None:
                raise scan.error(f"no value {token.text} is known here", token)
            return value
        number = self.number()
        scan.expect(":")
        at = scan.token
        dtype = scan.dtype()
        kind = {bool: Kind.BOOL, int: Kind.INT, float: Kind.FLOAT}[type(number)]
        if dtype.kind is Kind.FLOAT and kind is Kind.INT:
            return Literal(float(number), dtype)
        if dtype.kind is not kind:
            raise scan.error(f"{number!r} is no {dtype.name}", at)
        return Literal(number, dtype)

    def number(self) -> bool | int | float:
        """`true`, `-3`, `0.5`, `-inf`, `nan`; `nan("...")` gives a nan's bits."""
        scan = self.scan
        if scan.at("true", "false"):
            return scan.take().text == "true"
        is_negative = scan.accept("-")
        token = scan.token
        if scan.accept("inf"):
            return -math.inf if is_negative else math.inf
        if scan.accept("nan"):
            return self.nan(is_negative)
        if token.kind == "int":
            integer = scan.integer()
            return -integer if is_negative else integer
        if token.kind != "float":
            raise scan.unexpected("a value or a number")
        number = float(scan.take().text)
        if math.isinf(number):
            raise scan.error("the number is beyond float64", token)
        return -number if is_negative else number

    def nan(self, is_negative: bool) -> float:
        """A nan, of the bits that may follow."""
        scan = self.scan
        if not scan.accept("("):
            return math.copysign(math.nan, -1.0 if is_negative else 1.0)
        token = scan.token
        text = scan.string()
        bits = int(text, 16) if _HEX.fullmatch(text) else 0
        number = float(struct.unpack("<d", struct.pack("<Q", bits | (is_negative << 63)))[0])
        if not math.isnan(number):
            raise scan.error("these are not the bits of a nan without its sign, in hexadecimal", token)
        scan.expect(")")
        return number

    def value_name(self, token: Token) -> str:
        """The name in a token `%name` or `%"name"`."""
        is_quoted = token.text[1] == '"'
        if not token.text.endswith('"') if is_quoted else "@" in token.text:
            raise self.scan.error("'@' has no meaning in a kernel", token)
        return self.scan.unquote(token, 1) if is_quoted else token.text[1:]
