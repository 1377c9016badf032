"""The rules of the kernel level, checked.

In: a kernel. Out: nothing, or a VerifyError that gives the rule and the statement that breaks it. The rules:

- a value is defined by one statement, before its uses, in the same or an enclosing body; so are symbols, whose names
  are used once within each other's reach, and whose bounds hold their extent;
- operands have the dtypes that the op takes, elements the dtype of their buffer, predicates are bool, literals exact;
- a buffer is a parameter or allocated in reach; only `writes` and allocated ones are stored to;
- no index is out of range for certain;
- a contraction's panels and epilogue hold what their statement says;
- a call of the host is alone in its kernel, and its arrays are whole buffers;
- a scheduled kernel has at most one parallel loop or contraction, last at the top;
- what only a kernel for a GPU has stands where `graphc.kernel.verify_grid` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import numpy as np

from graphc.ir.dim import Size, Symbol, bounds, is_at_least, is_at_most, maximum, symbols
from graphc.ir.dtype import DType, Kind, bool_, f32, i64, real_of
from graphc.ir.errors import VerifyError
from graphc.ir.host import parse_parameters
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
    Shuffle,
    Space,
    Statement,
    Store,
    Value,
    WaitCopies,
    WaitProducts,
    nested_bodies,
)
from graphc.kernel.scalar import SCALARS, result_dtype
from graphc.kernel.text import literal_text, statement_text
from graphc.kernel.verify_grid import (
    choose_fault,
    copy_fault,
    load_matrix_fault,
    multiply_matrices_fault,
    multiply_shared_fault,
    place_fault,
    shuffle_fault,
    wait_products_fault,
)

MAX_DEPTH: Final = 100
"""How deep bodies may nest."""

_SYMBOL_NAME: Final = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
_IN_PANEL: Final = (Apply, Position, Bind, Load, Check, Reduce)
_IN_EPILOGUE: Final = (Apply, Position, Bind, Load, Store, Check)

_COMBINERS: Final = {
    "sum": frozenset({Kind.INT, Kind.FLOAT}),
    "prod": frozenset({Kind.INT, Kind.FLOAT}),
    "max": frozenset({Kind.BOOL, Kind.INT, Kind.FLOAT}),
    "min": frozenset({Kind.BOOL, Kind.INT, Kind.FLOAT}),
    "any": frozenset({Kind.BOOL}),
    "all": frozenset({Kind.BOOL}),
    "argmax": frozenset({Kind.BOOL, Kind.INT, Kind.FLOAT}),
    "argmin": frozenset({Kind.BOOL, Kind.INT, Kind.FLOAT}),
}


def verify_kernel(kernel: Kernel, *, is_scheduled: bool = False) -> None:
    """Raise VerifyError if the kernel breaks a rule of its level; a scheduled one has to obey one more."""
    verifier = _Verifier(kernel)
    verifier.header()
    verifier.places(is_scheduled=is_scheduled)
    verifier.body(kernel.body, 1)
    if is_scheduled:
        verifier.parallel_at_top()


class _Verifier:
    """What is in reach at the current statement."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.current: Statement | None = None
        self.values: set[Value] = set()
        self.defined: set[Value] = set()
        self.buffers: set[Buffer] = set()
        self.allocated: set[Buffer] = set()
        """Buffers that were allocated, and names for parameters that may be written to."""
        self.symbols: dict[str, Symbol] = {}
        self.scoped: list[Value | Buffer | str] = []
        """What came into reach, in order: it goes with the body or statement that brought it."""
        self.literals: set[Literal] = set()
        self.certain: frozenset[str] | None = frozenset()
        """Symbols of the enclosing loops, if they all run at least once; None where code may not run at all."""

    def refuse(self, message: str) -> VerifyError:
        """The error, with the text of the current statement."""
        where = f", in `{statement_text(self.kernel, self.current)}`" if self.current is not None else ""
        return VerifyError(f"kernel {self.kernel.name}: {message}{where}")

    def header(self) -> None:
        """Sizes and buffers."""
        for each in self.kernel.sizes:
            self.size(each.upper)
            self.bring_symbol(each)
        for buffer in self.kernel.buffers:
            if buffer in self.buffers:
                raise self.refuse(f"buffer {buffer.name} is listed twice")
            if buffer.space is not Space.GLOBAL:
                raise self.refuse(f"buffer {buffer.name} is a parameter, yet {buffer.space.value}")
            self.bring_buffer(buffer)
        for buffer in self.kernel.writes:
            if buffer not in self.buffers:
                raise self.refuse(f"buffer {buffer.name} is written to, but is no parameter")

    def places(self, *, is_scheduled: bool) -> None:
        """Where the loops and statements of a kernel for a GPU stand."""
        found = place_fault(self.kernel, is_scheduled=is_scheduled)
        if found is not None:
            message, self.current = found
            raise self.refuse(message)

    def body(self, statements: Iterable[Statement], depth: int, element: Operand | None = None) -> None:
        """The statements of a body, and the operand that it yields."""
        if depth > MAX_DEPTH:
            raise self.refuse(f"bodies nest deeper than {MAX_DEPTH}")
        outer, mark = self.current, len(self.scoped)
        for statement in statements:
            self.current = statement
            self.statement(statement, depth)
        self.current = outer
        if element is not None:
            self.operand(element)
        self.leave(mark)

    def leave(self, mark: int) -> None:
        """Forget what came into reach since."""
        while len(self.scoped) > mark:
            gone = self.scoped.pop()
            if isinstance(gone, str):
                del self.symbols[gone]
            elif isinstance(gone, Buffer):
                self.buffers.remove(gone)
            else:
                self.values.remove(gone)

    def statement(self, statement: Statement, depth: int) -> None:
        """One statement with its bodies."""
        match statement:
            case Apply(out, op, operands):
                self.apply(out, op, operands)
                self.define(out)
            case Position(out, index):
                self.size(index)
                if out.dtype.kind not in (Kind.INT, Kind.FLOAT):
                    raise self.refuse(f"a position is a number, not {out.dtype.name}")
                self.define(out)
            case Bind(symbol, extent, operand):
                self.operand(operand)
                if not operand.dtype.is_integer:
                    raise self.refuse(f"an index is an integer, not {operand.dtype.name}")
                self.iteration(symbol, extent, maximum(extent - 1, 0))
            case Load(out, buffer, index, predicate):
                self.element(buffer, index, predicate, out.dtype)
                self.define(out)
            case Store(buffer, index, operand, predicate):
                self.element(buffer, index, predicate, operand.dtype)
                self.operand(operand)
                if buffer not in self.allocated and buffer not in self.kernel.writes:
                    raise self.refuse(f"buffer {buffer.name} is not among those written to")
            case Loop(symbol, extent, _, body):
                self.iterated(((symbol, extent),), body, depth)
            case Reduce(out, combiner, symbol, extent, body, element):
                self.iterated(((symbol, extent),), body, depth, element)
                self.combine(out, combiner, element)
                self.define(out)
            case Contract():
                self.contract(statement, depth)
            case Allocate(buffer):
                if buffer.space is Space.GLOBAL:
                    raise self.refuse(f"buffer {buffer.name} is global, and can't be allocated")
                if buffer in self.allocated or buffer in self.buffers:
                    raise self.refuse(f"buffer {buffer.name} exists already")
                self.bring_buffer(buffer)
                self.allocated.add(buffer)
            case If(predicate, body):
                self.predicate(predicate)
                certain, self.certain = self.certain, None
                self.body(body, depth + 1)
                self.certain = certain
            case Choose(operand, buffers, choices, body):
                self.operand(operand)
                self.accept(choose_fault(statement, self.kernel))
                mark = len(self.scoped)
                for buffer, column in zip(buffers, zip(*choices)):
                    if buffer in self.allocated or buffer in self.buffers:
                        raise self.refuse(f"buffer {buffer.name} exists already")
                    self.bring_buffer(buffer)
                    if all(each in self.kernel.writes for each in column):
                        self.allocated.add(buffer)
                certain, self.certain = self.certain, None
                self.body(body, depth + 1)
                self.certain = certain
                self.leave(mark)
            case Check(predicate, code):
                self.predicate(predicate)
                if code < 0:
                    raise self.refuse(f"the code {code} is negative")
            case HostCall():
                self.host_call(statement)
            case Shuffle(out, operand, _, lane):
                self.operand(operand)
                self.operand(lane)
                self.accept(shuffle_fault(statement))
                self.define(out)
            case CopyAsync(destination, index, source, source_index, count, predicate):
                self.accept(copy_fault(statement))
                for each in (index, index + count - 1):
                    self.element(destination, each, None, destination.dtype)
                for each in (source_index, source_index + count - 1):
                    self.element(source, each, predicate, source.dtype)
            case WaitCopies(pending):
                self.accept(None if pending >= 0 else f"{pending} groups can't be under way")
            case LoadMatrix(outs, buffer, index):
                self.accept(load_matrix_fault(statement))
                # Of some threads the index means nothing.
                certain, self.certain = self.certain, None
                self.element(buffer, index, None, buffer.dtype)
                self.certain = certain
                for out in outs:
                    self.define(out)
            case MultiplyMatrices(outs, left, right, addend):
                for operand in (*left, *right, *addend):
                    self.operand(operand)
                self.accept(multiply_matrices_fault(statement))
                for out in outs:
                    self.define(out)
            case MultiplyShared(sums, left, right):
                self.accept(multiply_shared_fault(statement))
                self.element(sums, 0, None, f32)
                for factor in (left, right):
                    self.element(factor.buffer, factor.index, None, factor.buffer.dtype)
            case WaitProducts(sums, pending):
                self.accept(wait_products_fault(statement))
                self.element(sums, 0, None, f32)
            case Barrier() | CommitCopies() | FenceShared():
                pass

    def accept(self, message: str | None) -> None:
        """Raise what is wrong with the current statement, if anything is."""
        if message is not None:
            raise self.refuse(message)

    def host_call(self, statement: HostCall) -> None:
        """A call of the host: alone in its kernel, over whole parameters of it, whose arrays have their elements."""
        if self.kernel.body != (statement,):
            raise self.refuse("a call of the host is alone in its kernel")
        if statement.code <= 0:
            raise self.refuse(f"the code {statement.code} is not positive")
        try:
            parse_parameters(statement.parameters)
        except ValueError as error:
            raise self.refuse(str(error)) from None
        for array in (*statement.operands, *statement.results):
            buffer, type = array.buffer, array.type
            if buffer not in self.buffers:
                raise self.refuse(f"buffer {buffer.name} is not known here")
            for size in type.shape:
                self.size(size)
            parts = 2 if type.dtype.is_complex else 1
            if real_of(type.dtype) is not buffer.dtype or type.size * parts != buffer.size:
                raise self.refuse(f"buffer {buffer.name} does not hold a {type}")
        written = [array.buffer for array in statement.results]
        if len(set(written)) != len(written) or set(written) != self.kernel.writes:
            raise self.refuse("a call of the host writes each of the written buffers once, and no other")

    def iterated(
        self,
        axes: tuple[tuple[Symbol, Size], ...],
        body: tuple[Statement, ...],
        depth: int,
        element: Operand | None = None,
    ) -> None:
        """A body that runs for all values of some symbols."""
        mark, certain = len(self.scoped), self.certain
        for symbol, extent in axes:
            self.iteration(symbol, extent, extent - 1)
            # Of a symbol that runs over plain numbers each value occurs.
            runs = isinstance(extent, int) and extent > 0 and symbol.lower == 0 and symbol.upper == extent - 1
            self.certain = self.certain | {symbol.name} if runs and self.certain is not None else None
        self.body(body, depth + 1, element)
        self.leave(mark)
        self.certain = certain

    def contract(self, statement: Contract, depth: int) -> None:
        """A contraction: its panels see two symbols each, its epilogue too."""
        m, n, k = ((statement.m, statement.rows), (statement.n, statement.columns), (statement.k, statement.depth))
        names = [axis[0].name for axis in (m, n, k)]
        if len(set(names)) < 3:
            raise self.refuse("two symbols share a name")
        accumulator = statement.acc.dtype
        for panel, axes in ((statement.left, (m, k)), (statement.right, (k, n))):
            self.only(panel.body, _IN_PANEL, "a panel")
            self.iterated(axes, panel.body, depth, panel.element)
            self.panel_dtype(panel, accumulator)
        if statement.left.element.dtype is not statement.right.element.dtype:
            raise self.refuse(
                f"the panels hold {statement.left.element.dtype.name} and {statement.right.element.dtype.name}"
            )
        self.only(statement.epilogue, _IN_EPILOGUE, "an epilogue")
        mark = len(self.scoped)
        self.define(statement.acc)
        self.iterated((m, n), statement.epilogue, depth)
        self.leave(mark)

    def panel_dtype(self, panel: Panel, accumulator: DType) -> None:
        """An accumulator holds products of the elements' dtype, or of a narrower one exactly."""
        given = panel.element.dtype
        if given.kind not in (Kind.INT, Kind.FLOAT):
            raise self.refuse(f"elements of {given.name} can't be summed")
        is_wider = given.kind is accumulator.kind and given.bits < accumulator.bits
        if given is not accumulator and not is_wider:
            raise self.refuse(f"products of {given.name} are summed in {accumulator.name}")
        if accumulator.kind is Kind.FLOAT and accumulator.bits < f32.bits:
            raise self.refuse(f"a sum in {accumulator.name} loses too much; it takes float32 or float64")

    def only(self, body: tuple[Statement, ...], kinds: tuple[type, ...], place: str) -> None:
        """Refuse statements of other kinds, in bodies within the body too."""
        pending = [body]
        while pending:
            for statement in pending.pop():
                if not isinstance(statement, kinds):
                    self.current = statement
                    allowed = ", ".join(kind.__name__ for kind in kinds)
                    raise self.refuse(f"{place} holds {allowed} alone")
                pending += nested_bodies(statement)

    def apply(self, out: Value, op: str, operands: tuple[Operand, ...]) -> None:
        """A scalar op: the table says what it takes and gives."""
        for operand in operands:
            self.operand(operand)
        if op not in SCALARS:
            raise self.refuse(f"there is no scalar op {op!r}")
        try:
            expected = result_dtype(op, tuple(x.dtype for x in operands), out.dtype)
        except AssertionError as error:
            raise self.refuse(str(error)) from None
        if out.dtype is not expected:
            raise self.refuse(f"{op} gives {expected.name} here, not {out.dtype.name}")

    def combine(self, out: Value, combiner: str, element: Operand) -> None:
        """A reduction's combiner and dtypes."""
        if combiner not in _COMBINERS:
            raise self.refuse(f"there is no combiner {combiner!r}; there are {', '.join(_COMBINERS)}")
        if element.dtype.kind not in _COMBINERS[combiner]:
            raise self.refuse(f"{combiner} does not combine {element.dtype.name}")
        expected = i64 if combiner in ("argmax", "argmin") else element.dtype
        if out.dtype is not expected:
            raise self.refuse(f"{combiner} of {element.dtype.name} gives {expected.name}, not {out.dtype.name}")

    def operand(self, operand: Operand) -> None:
        """A value in reach, or a literal that its dtype holds."""
        if isinstance(operand, Value):
            if operand not in self.values:
                state = "out of reach" if operand in self.defined else "not defined yet"
                raise self.refuse(f"value %{operand.name} is {state}")
        elif operand not in self.literals:
            if not _is_exact(operand):
                raise self.refuse(f"{literal_text(operand.value)} is no {operand.dtype.name}")
            self.literals.add(operand)

    def predicate(self, operand: Operand) -> None:
        """A bool in reach."""
        self.operand(operand)
        if operand.dtype is not bool_:
            raise self.refuse(f"a predicate is a bool, not {operand.dtype.name}")

    def define(self, value: Value) -> None:
        """Bring a value into reach; it has no other definition."""
        if value in self.defined:
            raise self.refuse(f"value %{value.name} is defined twice")
        if value.dtype.is_complex:
            raise self.refuse(
                f"value %{value.name} is {value.dtype.name}; kernels compute with parts of complex numbers"
            )
        self.defined.add(value)
        self.values.add(value)
        self.scoped.append(value)

    def bring_buffer(self, buffer: Buffer) -> None:
        """Bring a buffer into reach."""
        if buffer.dtype.is_complex:
            raise self.refuse(f"buffer {buffer.name} is {buffer.dtype.name}; kernels hold parts of complex numbers")
        self.size(buffer.size)
        if bounds(buffer.size)[1] < 0:
            raise self.refuse(f"the size {buffer.size} of buffer {buffer.name} is negative")
        self.buffers.add(buffer)
        self.scoped.append(buffer)

    def bring_symbol(self, symbol: Symbol) -> None:
        """Bring a symbol into reach."""
        if _SYMBOL_NAME.fullmatch(symbol.name) is None:
            raise self.refuse(f"a symbol can't be called {symbol.name!r}")
        if symbol.name in self.symbols:
            raise self.refuse(f"the symbol {symbol.name} is in use already")
        self.symbols[symbol.name] = symbol
        self.scoped.append(symbol.name)

    def iteration(self, symbol: Symbol, extent: Size, last: Size) -> None:
        """Bring a symbol into reach that takes the values 0 to `last`."""
        self.size(extent)
        if bounds(extent)[1] < 0:
            raise self.refuse(f"the extent {extent} is negative")
        self.size(symbol.upper)
        if symbol.lower > 0 or (symbol.upper != last and not is_at_most(last, symbol.upper)):
            raise self.refuse(f"the symbol {symbol.name} in {symbol.lower}..{symbol.upper} has to hold 0 to {last}")
        self.bring_symbol(symbol)

    def size(self, size: Size) -> None:
        """An expression over symbols in reach, each as it is defined."""
        for each in symbols(size):
            known = self.symbols.get(each.name)
            if known is None:
                raise self.refuse(f"the symbol {each.name} in {size} is not known here")
            if known is not each and known != each:
                raise self.refuse(
                    f"the symbol {each.name} in {size} is in {each.lower}..{each.upper}, "
                    f"but was defined in {known.lower}..{known.upper}"
                )

    def element(self, buffer: Buffer, index: Size, predicate: Operand | None, dtype: DType) -> None:
        """A load or store: buffer and index in reach, dtype and predicate right, and not out of range for certain."""
        if buffer not in self.buffers:
            raise self.refuse(f"buffer {buffer.name} is not known here")
        if dtype is not buffer.dtype:
            raise self.refuse(f"an element of {buffer.name} is {buffer.dtype.name}, not {dtype.name}")
        self.size(index)
        if predicate is not None:
            self.predicate(predicate)
        elif self.certain is not None:
            low, high = self.reached(index)
            is_beyond = high >= buffer.size if isinstance(buffer.size, int) else is_at_least(index - buffer.size, 0)
            if low < 0 or is_beyond:
                raise self.refuse(f"the index {index} leaves the {buffer.size} elements of {buffer.name}")

    def reached(self, index: Size) -> tuple[int, int]:
        """Two values that the index takes for certain, far out; where that is not known, values within range."""
        low, high = bounds(index)
        if isinstance(index, int):
            return low, high
        assert self.certain is not None
        # Over a box of numbers a sum of multiples of its symbols takes both its bounds.
        for monomial, _ in index.terms:
            if len(monomial) > 1 or any(not isinstance(a, Symbol) or a.name not in self.certain for a in monomial):
                return min(0, high), max(0, low)
        return low, high

    def parallel_at_top(self) -> None:
        """At most one parallel loop or contraction, with nothing behind it and nothing around it."""
        self.current = None
        pending: list[tuple[tuple[Statement, ...], bool]] = [(self.kernel.body, True)]
        while pending:
            body, is_top = pending.pop()
            for position, statement in enumerate(body):
                is_parallel = (isinstance(statement, Loop) and statement.kind is LoopKind.PARALLEL) or (
                    isinstance(statement, Contract) and statement.parallel
                )
                if is_parallel and not (is_top and position == len(body) - 1):
                    self.current = statement
                    raise self.refuse("what runs in parallel has to be the last statement at the top")
                pending += ((nested, False) for nested in nested_bodies(statement))


def _is_exact(literal: Literal) -> bool:
    """Whether the literal's dtype holds its value, and the value is of the Python type for it."""
    value, dtype = literal.value, literal.dtype
    if dtype is bool_:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if dtype.is_integer:
        lowest = -(1 << (dtype.bits - 1)) if dtype.signed else 0
        return isinstance(value, int) and lowest <= value < lowest + (1 << dtype.bits)
    if not dtype.is_floating_point or not isinstance(value, float):
        return False
    with np.errstate(all="ignore"):
        return value != value or float(np.float64(value).astype(dtype.numpy)) == value
