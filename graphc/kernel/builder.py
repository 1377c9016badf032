"""Builds kernels: the `Builder` of lowering rules, with loops and stores for the passes that write whole kernels.

In: requests for scalar code, in any order. Out: statements, each in the outermost open body where its operands are
known, and there once. So a row's maximum, asked for inside the loop over its columns, is computed before that loop.

    b = KernelBuilder()
    with b.loop(64, LoopKind.PARALLEL) as i:
        b.store(y, i, b.apply("exp", b.load(x, i)))
    kernel = b.finish("exp")
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from graphc.ir.dim import Size, Symbol, is_at_least, is_at_most, maximum, minimum, quotient, symbol, symbols
from graphc.ir.dtype import DType, bf16, bool_, complex_of, f16, f32, i64, real_of
from graphc.ir.lowering import Scalar, Step
from graphc.kernel.formula.complex import complex_apply
from graphc.kernel.ir import (
    BLOCK,
    Allocate,
    Apply,
    Bind,
    Buffer,
    Check,
    Contract,
    Kernel,
    Literal,
    Load,
    Loop,
    LoopKind,
    Operand,
    Panel,
    Position,
    Reduce,
    Space,
    Statement,
    Store,
    Value,
)
from graphc.kernel.scalar import result_dtype


@dataclass(frozen=True, slots=True)
class Pair:
    """A complex scalar: two real ones."""

    real: Operand
    imaginary: Operand

    @property
    def dtype(self) -> DType:
        """The complex dtype of its parts."""
        return complex_of(self.real.dtype)


AnyScalar: TypeAlias = "Value | Literal | Pair"

ITERATIONS = 1 << 31
"""More than any loop of `iterate` runs."""


@dataclass(slots=True, eq=False)
class _Body:
    """An open body: its statements so far, and how deep in the nest it and what it uses are."""

    depth: int
    statements: list[Statement] = field(default_factory=list)
    known: dict[Hashable, Operand] = field(default_factory=dict)
    uses: set[int] = field(default_factory=set)
    is_open: bool = True
    may_be_empty: bool = False
    """Whether it is the body of a loop that may run no iteration."""


class KernelBuilder:
    """Implements `graphc.ir.lowering.Builder` over kernel statements."""

    def __init__(self, taken: Collection[str] = ()) -> None:
        """`taken` are the names of sizes, which no loop may have."""
        self._taken = frozenset(taken)
        self._bodies = [_Body(0)]
        self._home: dict[Value, _Body] = {}
        self._symbol_home: dict[str, _Body] = {}
        self._predicates: list[Operand] = []
        self._buffers: dict[Buffer, None] = {}
        self._writes: set[Buffer] = set()
        self._scratch_home: dict[Buffer, _Body] = {}
        self._sizes: dict[Symbol, None] = {}
        self._count = 0
        self.check_code: Callable[[], int] = lambda: 0
        """Gives the code for the checks of the node that is being lowered."""

    # ---- what lowering rules use

    def constant(self, value: complex, dtype: DType) -> AnyScalar:
        """A literal, rounded to the dtype."""
        if dtype.is_complex:
            part = real_of(dtype)
            return Pair(literal(value.real, part), literal(value.imag, part))
        return literal(value.real, dtype)

    def apply(self, op: str, *operands: Scalar, dtype: DType | None = None) -> AnyScalar:
        """A scalar op; complex operands are computed by parts."""
        if any(isinstance(x, Pair) for x in operands) or op in ("complex", "real", "imag", "conj"):
            return self._apply_complex(op, operands)
        reals = tuple(_real(x) for x in operands)
        out_dtype = dtype or result_dtype(op, tuple(x.dtype for x in reals))
        return self._define(("apply", op, out_dtype, reals), out_dtype, reals, lambda out: Apply(out, op, reals))

    def cast(self, x: Scalar, dtype: DType) -> AnyScalar:
        """The value converted; real to complex gets a zero part, complex to real loses one, as in PyTorch."""
        if x.dtype is dtype:
            return _scalar(x)
        if dtype.is_complex:
            part = real_of(dtype)
            if isinstance(x, Pair):
                return Pair(_real(self.cast(x.real, part)), _real(self.cast(x.imaginary, part)))
            return Pair(_real(self.cast(x, part)), literal(0.0, part))
        if isinstance(x, Pair):
            if dtype is bool_:
                zero = literal(0.0, x.real.dtype)
                return self.apply("bitwise_or", self.apply("ne", x.real, zero), self.apply("ne", x.imaginary, zero))
            return self.cast(x.real, dtype)
        return self.apply("cast", x, dtype=dtype)

    def select(self, condition: Scalar, a: Scalar, b: Scalar) -> AnyScalar:
        """`a` where the condition holds, else `b`."""
        if isinstance(condition, Literal):
            return _scalar(a if condition.value else b)
        if isinstance(a, Pair) and isinstance(b, Pair):
            return Pair(
                _real(self.select(condition, a.real, b.real)), _real(self.select(condition, a.imaginary, b.imaginary))
            )
        return self.apply("select", condition, a, b)

    def index(self, size: Size, dtype: DType) -> AnyScalar:
        """An index expression as a number."""
        if isinstance(size, int):
            return self.constant(size, dtype)
        position = self._define(("index", size), i64, (), lambda out: Position(out, size), (size,))
        return self.cast(position, dtype)

    def position(self, x: Scalar, extent: Size) -> Size:
        """An integer value as an index below `extent`, clamped into range."""
        operand = _real(self.cast(x, i64))
        body = self._place((operand,), (extent,))
        name = self._fresh_name("g")
        upper = maximum(extent - 1, 0)
        result = symbol(name, 0, upper)
        if isinstance(result, int):
            return result
        known = ("position", operand, extent)
        if known in body.known:
            return _as_size(body.known[known])
        (bound,) = symbols(result)
        body.statements.append(Bind(bound, extent, operand))
        self._symbol_home[name] = body
        body.known[known] = _IndexHolder(result)  # type: ignore[assignment]  # only read back by _as_size
        return result

    def guard(self, condition: Scalar, value: Callable[[], Scalar], otherwise: Scalar) -> AnyScalar:
        """`value()` where the condition holds, else `otherwise`; loads and checks inside are predicated."""
        predicate = _real(condition)
        if isinstance(predicate, Literal):
            return _scalar(value() if predicate.value else otherwise)
        if self._predicates:
            predicate = _real(self.apply("bitwise_and", self._predicates[-1], predicate))
        self._predicates.append(predicate)
        try:
            inside = value()
        finally:
            self._predicates.pop()
        return self.select(condition, inside, otherwise)

    @property
    def predicate(self) -> Operand | None:
        """The condition under which the code being built reads."""
        return self._predicates[-1] if self._predicates else None

    def reduce(self, combiner: str, extent: Size, element: Callable[[Size], Scalar]) -> AnyScalar:
        """`element(k)` for k in 0..extent combined by the fixed tree; long extents in blocks of `BLOCK`.

        float16 and bfloat16 are summed and multiplied in float32 and rounded once.
        """
        if is_at_most(extent, BLOCK):
            return self._reduce_wide(combiner, extent, element)
        blocks = quotient(extent + (BLOCK - 1), BLOCK)

        def block(index: Size) -> tuple[Size, Callable[[Size], Scalar]]:
            return minimum(BLOCK, extent - index * BLOCK), lambda k: element(index * BLOCK + k)

        if combiner in ("argmax", "argmin"):
            best = self._reduce(combiner, blocks, lambda j: self._reduce(combiner[3:], *block(j)))
            chosen = self.position(best, blocks)
            inner = self._reduce(combiner, *block(chosen))
            return self.apply("add", self.index(chosen * BLOCK, i64), inner)
        return self._reduce_wide(combiner, blocks, lambda j: self._reduce_wide(combiner, *block(j), narrow=False))

    def _reduce_wide(
        self, combiner: str, extent: Size, element: Callable[[Size], Scalar], narrow: bool = True
    ) -> AnyScalar:
        given: list[DType] = []

        def widened(k: Size) -> Scalar:
            x = element(k)
            given.append(x.dtype)
            return self.cast(x, f32) if combiner in ("sum", "prod") and x.dtype in (f16, bf16) else x

        total = self._reduce(combiner, extent, widened)
        is_widened = combiner in ("sum", "prod") and given[0] in (f16, bf16)
        return self.cast(total, given[0]) if narrow and is_widened else total

    def _reduce(self, combiner: str, extent: Size, element: Callable[[Size], Scalar]) -> AnyScalar:
        first = self._reduce_part(combiner, extent, element, lambda x: x.real if isinstance(x, Pair) else x)
        if not isinstance(first[1], Pair):
            return first[0]
        assert combiner == "sum", f"complex {combiner} is decomposed before it comes here"
        second = self._reduce_part(combiner, extent, element, lambda x: x.imaginary if isinstance(x, Pair) else x)
        return Pair(first[0], second[0])

    def _reduce_part(
        self, combiner: str, extent: Size, element: Callable[[Size], Scalar], part: Callable[[Scalar], Scalar]
    ) -> tuple[Value, Scalar]:
        index, body = self._open(extent, "r")
        whole = element(index.size)
        operand = _real(part(whole))
        self._use(body, operand)
        self._close(body)
        out = self._value(i64 if combiner in ("argmax", "argmin") else operand.dtype)
        home = self._home_of_closed(body, (extent,))
        home.statements.append(Reduce(out, combiner, index, extent, tuple(body.statements), operand))
        self._home[out] = home
        return out, whole

    def iterate(self, count: Scalar, start: tuple[Scalar, ...], step: Step) -> tuple[AnyScalar, ...]:
        """The state after `count` steps, kept in scratch: a serial loop here, in the innermost body."""
        extent = self.position(count, ITERATIONS)
        buffers = [self.allocate(x.dtype, 1) for x in start]
        for buffer, x in zip(buffers, start):
            self.store(buffer, 0, x)
        with self.loop(extent, LoopKind.SERIAL) as k:
            state = tuple([self.load_again(buffer, 0) for buffer in buffers])
            for buffer, x in zip(buffers, step(self.index(k, i64), state), strict=True):
                self.store(buffer, 0, x)
        return tuple([self.load_again(buffer, 0) for buffer in buffers])

    def check(self, condition: Scalar, code: int) -> None:
        """Report from the run if the condition fails where the current guard holds; `code` 0 means this node's."""
        predicate = _real(condition)
        if self._predicates:
            outside = self.apply("bitwise_not", self._predicates[-1])
            predicate = _real(self.apply("bitwise_or", predicate, outside))
        number = code or self.check_code()
        body = self._place((predicate,), ())
        # Unlike other code, a check has an effect: it stays within the loops that may not run at all.
        needed = max((each.depth for each in self._bodies if each.may_be_empty), default=0)
        if body.depth < needed:
            self._bodies[needed].uses.add(body.depth)
            body = self._bodies[needed]
        elif body.depth > needed:
            body.uses.add(needed)
        key = ("check", predicate, number)
        if key not in body.known:
            body.known[key] = predicate
            body.statements.append(Check(predicate, number))

    # ---- what passes use beside that

    def load(self, buffer: Buffer, index: Size, dtype: DType | None = None) -> AnyScalar:
        """An element; of a complex `dtype`, the pair of elements at 2 * index."""
        if dtype is not None and dtype.is_complex:
            return Pair(_real(self.load(buffer, 2 * index)), _real(self.load(buffer, 2 * index + 1)))
        self._register(buffer)
        if buffer.size == 0:  # code that reads it never runs, but would be placed in front of the loop that doesn't
            return literal(0, buffer.dtype)
        predicate = self.predicate
        operands = () if predicate is None else (predicate,)
        key = ("load", buffer, index, predicate)
        return self._define(key, buffer.dtype, operands, lambda out: Load(out, buffer, index, predicate), (index,))

    def load_again(self, buffer: Buffer, index: Size, predicate: Operand | None = None) -> Value:
        """An element of a buffer that this kernel also writes: read here and now, in the innermost body."""
        self._register(buffer)
        body = self._bodies[-1]
        out = self._value(buffer.dtype)
        self._use_scratch(body, buffer)
        self._use(body, *(() if predicate is None else (predicate,)), sizes=(index,))
        body.statements.append(Load(out, buffer, index, predicate))
        self._home[out] = body
        return out

    def store(self, buffer: Buffer, index: Size, x: Scalar, predicate: Operand | None = None) -> None:
        """Write an element here, in the innermost body."""
        if isinstance(x, Pair):
            self.store(buffer, 2 * index, x.real, predicate)
            self.store(buffer, 2 * index + 1, x.imaginary, predicate)
            return
        operand = _real(x)
        assert operand.dtype is buffer.dtype, f"a {operand.dtype} stored into a buffer of {buffer.dtype}"
        self._register(buffer)
        if buffer.space is Space.GLOBAL:
            self._writes.add(buffer)
        body = self._bodies[-1]
        self._use_scratch(body, buffer)
        self._use(body, operand, *(() if predicate is None else (predicate,)), sizes=(index,))
        body.statements.append(Store(buffer, index, operand, predicate))

    def allocate(self, dtype: DType, size: Size, space: Space = Space.LOCAL) -> Buffer:
        """Scratch that lives as long as the innermost body."""
        self._count += 1
        buffer = Buffer(f"s{self._count}", dtype, size, space)
        self._use(self._bodies[-1], sizes=(size,))
        self._bodies[-1].statements.append(Allocate(buffer))
        self._scratch_home[buffer] = self._bodies[-1]
        return buffer

    @property
    def depth(self) -> int:
        """How deep the innermost body is nested."""
        return len(self._bodies) - 1

    @contextmanager
    def outside(self, depth: int) -> Iterator[None]:
        """Write into an outer body, in front of what is being built inside it."""
        bodies = self._bodies
        self._bodies = bodies[: depth + 1]
        try:
            yield
        finally:
            self._bodies = bodies

    @contextmanager
    def loop(self, extent: Size, kind: LoopKind = LoopKind.PARALLEL) -> Iterator[Size]:
        """A loop here, in the innermost body; none where the extent is 1, but for those of a GPU's grid."""
        if extent == 1 and kind not in (LoopKind.BLOCK, LoopKind.THREAD):
            yield 0
            return
        index, body = self._open(extent, "i")
        yield index.size
        self._close(body)
        parent = self._bodies[-1]
        self._use(parent, sizes=(extent,))
        parent.uses |= {depth for depth in body.uses if depth < parent.depth}
        parent.statements.append(Loop(index, extent, kind, tuple(body.statements)))

    def contract(
        self,
        rows: Size,
        columns: Size,
        depth: Size,
        left: Callable[[Size, Size], Scalar],
        right: Callable[[Size, Size], Scalar],
        epilogue: Callable[[Size, Size, Value], None],
        acc_dtype: DType,
        parallel: bool,
    ) -> None:
        """A contraction here: `left(m, k)` times `right(k, n)` summed over k, then `epilogue(m, n, acc)`."""
        m, n, k = (self._fresh_symbol(name, extent) for name, extent in (("m", rows), ("n", columns), ("k", depth)))
        left_panel, _ = self._section((m, k), lambda: _real(left(m.size, k.size)))
        right_panel, _ = self._section((k, n), lambda: _real(right(k.size, n.size)))
        acc = self._value(acc_dtype)

        def write() -> Operand:
            self._home[acc] = self._bodies[-1]
            epilogue(m.size, n.size, acc)
            return acc

        tail, _ = self._section((m, n), write)
        parent = self._bodies[-1]
        self._use(parent, sizes=(rows, columns, depth))
        parent.statements.append(
            Contract(m, n, k, rows, columns, depth, left_panel, right_panel, acc, tail.body, parallel)
        )

    def here(
        self,
        make: Callable[..., Statement],
        made: tuple[DType, ...] = (),
        *,
        operands: tuple[Operand, ...] = (),
        sizes: tuple[Size, ...] = (),
        buffers: tuple[Buffer, ...] = (),
    ) -> tuple[Value, ...]:
        """Any statement here, in the innermost body: `make` gets the values that it defines, one for each dtype."""
        body = self._bodies[-1]
        self._use(body, *operands, sizes=sizes)
        for buffer in buffers:
            self._register(buffer)
            self._use_scratch(body, buffer)
        outs = tuple([self._value(dtype) for dtype in made])
        body.statements.append(make(*outs))
        self._home.update(dict.fromkeys(outs, body))
        return outs

    def finish(self, name: str) -> Kernel:
        """The kernel."""
        assert len(self._bodies) == 1, "a body is still open"
        return Kernel(
            name, tuple(self._buffers), tuple(self._sizes), tuple(self._bodies[0].statements), frozenset(self._writes)
        )

    def is_available(self, x: Scalar) -> bool:
        """Whether a value made earlier can still be used: the body that holds it is open."""
        parts = (x.real, x.imaginary) if isinstance(x, Pair) else (x,)
        return all(isinstance(p, Literal) or (isinstance(p, Value) and self._home[p].is_open) for p in parts)

    # ---- placement

    def _apply_complex(self, op: str, operands: tuple[Scalar, ...]) -> AnyScalar:
        if op == "complex":
            return Pair(_real(operands[0]), _real(operands[1]))
        pairs = tuple(self._pair(x) for x in operands)
        match op:
            case "real":
                return pairs[0].real
            case "imag":
                return pairs[0].imaginary
            case "conj":
                return Pair(pairs[0].real, _real(self.apply("neg", pairs[0].imaginary)))
            case _:
                result = complex_apply(self, op, *((p.real, p.imaginary) for p in pairs))
                if isinstance(result, tuple):
                    return Pair(_real(result[0]), _real(result[1]))
                return _scalar(result)

    def _pair(self, x: Scalar) -> Pair:
        return x if isinstance(x, Pair) else Pair(_real(x), literal(0.0, x.dtype))

    def _define(
        self,
        key: Hashable,
        dtype: DType,
        operands: tuple[Operand, ...],
        statement: Callable[[Value], Statement],
        sizes: tuple[Size, ...] = (),
    ) -> Value | Literal:
        body = self._place(operands, sizes)
        found = body.known.get(key)
        if found is not None:
            return found
        out = self._value(dtype)
        body.statements.append(statement(out))
        body.known[key] = out
        self._home[out] = body
        return out

    def _place(self, operands: Iterable[Operand], sizes: Iterable[Size]) -> _Body:
        """The outermost open body where all of these are known; marks them as used by it."""
        homes = [self._home[x] for x in operands if isinstance(x, Value)]
        for size in sizes:
            homes.extend(self._homes_of_size(size))
        body = max(homes, key=lambda h: h.depth, default=self._bodies[0])
        assert all(h.is_open for h in homes), "a value is used outside the body that defines it"
        body.uses.update(h.depth for h in homes if h.depth < body.depth)
        return body

    def _use(self, body: _Body, *operands: Operand, sizes: tuple[Size, ...] = ()) -> None:
        for operand in operands:
            if isinstance(operand, Value) and self._home[operand].depth < body.depth:
                body.uses.add(self._home[operand].depth)
        for size in sizes:
            body.uses.update(h.depth for h in self._homes_of_size(size) if h.depth < body.depth)

    def _use_scratch(self, body: _Body, buffer: Buffer) -> None:
        """What reads or writes scratch stays in the body that holds it."""
        home = self._scratch_home.get(buffer)
        if home is not None and home.depth < body.depth:
            body.uses.add(home.depth)

    def _homes_of_size(self, size: Size) -> list[_Body]:
        if isinstance(size, int):
            return []
        homes = []
        for each in symbols(size):
            home = self._symbol_home.get(each.name)
            if home is None:
                self._sizes[each] = None
            else:
                homes.append(home)
        return homes

    def _fresh_symbol(self, prefix: str, extent: Size) -> Symbol:
        return Symbol(self._fresh_name(prefix), 0, extent - 1)

    def _fresh_name(self, prefix: str) -> str:
        self._count += 1
        while f"{prefix}{self._count}" in self._taken:
            self._count += 1
        return f"{prefix}{self._count}"

    def _open(self, extent: Size, prefix: str) -> tuple[Symbol, _Body]:
        index = self._fresh_symbol(prefix, extent)
        body = _Body(len(self._bodies), may_be_empty=not is_at_least(extent, 1))
        self._bodies.append(body)
        self._symbol_home[index.name] = body
        return index, body

    def _close(self, body: _Body) -> None:
        assert self._bodies[-1] is body, "bodies close in the order in which they nest"
        self._bodies.pop()
        body.is_open = False

    def _home_of_closed(self, body: _Body, sizes: tuple[Size, ...]) -> _Body:
        """Where the statement of a closed body goes: as far out as what it uses allows."""
        depths = set(body.uses)
        for size in sizes:
            depths.update(h.depth for h in self._homes_of_size(size))
        home = self._bodies[max(depths, default=0)]
        home.uses |= {depth for depth in depths if depth < home.depth}
        return home

    def _section(self, indices: tuple[Symbol, ...], build: Callable[[], Operand]) -> tuple[Panel, _Body]:
        body = _Body(len(self._bodies), may_be_empty=any(not is_at_least(index.upper, 0) for index in indices))
        self._bodies.append(body)
        for index in indices:
            self._symbol_home[index.name] = body
        operand = build()
        self._use(body, operand)
        self._close(body)
        parent = self._bodies[-1]
        parent.uses |= {depth for depth in body.uses if depth < parent.depth}
        return Panel(tuple(body.statements), operand), body

    def _register(self, buffer: Buffer) -> None:
        if buffer.space is Space.GLOBAL and buffer not in self._buffers:
            self._buffers[buffer] = None
            for each in symbols(buffer.size):
                self._sizes[each] = None

    def _value(self, dtype: DType) -> Value:
        self._count += 1
        return Value(f"v{self._count}", dtype)


@dataclass(frozen=True, slots=True)
class _IndexHolder:
    size: Size


def literal(value: int | float | bool, dtype: DType) -> Literal:
    """A number of this dtype, rounded to it."""
    if dtype is bool_:
        return Literal(bool(value), dtype)
    if dtype.is_integer:
        return Literal(int(np.array(int(value)).astype(dtype.numpy)), dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        return Literal(float(np.float64(value).astype(dtype.numpy)), dtype)


def _as_size(held: object) -> Size:
    assert isinstance(held, _IndexHolder)
    return held.size


def _real(x: Scalar) -> Operand:
    assert isinstance(x, Value | Literal), f"{x!r} is no real scalar"
    return x


def _scalar(x: Scalar) -> AnyScalar:
    assert isinstance(x, Value | Literal | Pair), f"{x!r} is no scalar of this builder"
    return x
