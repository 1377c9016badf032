"""Packing: strips of one side of a contraction, computed from its panel and laid side by side for the micro-kernel.

In: a `Panel`, the symbol that runs across the strip (`m` or `n`) and the one along it (`k`). Out: code that fills

    strip[k - first][c] = element(c, k)       c = 0 .. width - 1

with zeros, or repeated elements, for c beyond the contraction's end. A panel whose only statement loads with strides
can be read in place instead (`strided_access`).

Vectors run in the direction in which the panel's loads are runs of memory: across the strip, where a vector is stored
as it comes, or along it, where a square of vectors is transposed on its way.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.codegen.arithmetic import address, compare, divide, is_known, least, minus, plus, times
from graphc.codegen.body import emit_body
from graphc.codegen.emitter import Emitter, Module, VectorContext, memory_type, register_type, vector_type
from graphc.codegen.microkernel import SCALAR_BYTES
from graphc.ir.dim import Size, Symbol, linear, symbols
from graphc.ir.dtype import DType
from graphc.kernel.ir import Buffer, Load, Panel, Statement, nested_bodies


@dataclass(frozen=True, slots=True)
class StridedAccess:
    """Elements at `start + c * across + k * along` of a buffer."""

    buffer: Buffer
    start: Size
    across: Size
    along: Size


def strided_access(panel: Panel, across: Symbol, along: Symbol, dtype: DType) -> StridedAccess | None:
    """Where the panel's elements lie, if it does no more than load them in the dtype that is summed."""
    if len(panel.body) != 1:
        return None
    (load,) = panel.body
    if not isinstance(load, Load) or load.predicate is not None or load.out is not panel.element:
        return None
    if load.buffer.dtype is not dtype or memory_type(dtype) != register_type(dtype):
        return None
    parts = linear(load.index, across.name)
    rest = None if parts is None else linear(parts[0], along.name)
    if parts is None or rest is None or _uses(parts[1], along):
        return None
    return StridedAccess(load.buffer, rest[0], parts[1], rest[1])


def _uses(size: Size, symbol: Symbol) -> bool:
    return any(s.name == symbol.name for s in symbols(size))


def runs_along(panel: Panel, across: Symbol, along: Symbol) -> bool:
    """Whether the panel's loads are runs of memory along the strip rather than across it."""
    votes = 0
    for load in _loads(panel.body):
        in_across, in_along = linear(load.index, across.name), linear(load.index, along.name)
        votes += in_along is not None and in_along[1] == 1 and _uses(load.index, across)
        votes -= in_across is not None and in_across[1] == 1
    return votes > 0


def _loads(body: tuple[Statement, ...]) -> list[Load]:
    found: list[Load] = []
    pending = list(body)
    while pending:
        statement = pending.pop()
        if isinstance(statement, Load):
            found.append(statement)
        for nested in nested_bodies(statement):
            pending += nested
    return found


@dataclass(frozen=True, slots=True)
class Strip:
    """What to pack: elements [first, first + valid) across, of which a strip holds `width`, and [start, stop) along."""

    panel: Panel
    across: Symbol
    along: Symbol
    scalar: str
    first: str
    valid: str
    """Elements that exist; at least `width` where the strip is full."""
    width: int
    start: str
    stop: str
    target: str
    """Pointer to the strip."""

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return SCALAR_BYTES[self.scalar]

    @property
    def is_full(self) -> bool:
        """Whether all elements across are known to exist."""
        return is_known(self.valid) and int(self.valid) >= self.width


def pack_across(e: Emitter, strip: Strip, lanes: int) -> None:
    """Fill a strip with vectors of so many lanes that run across it; with one lane, by scalar code.

    A strip narrower than a vector is written with whole ones: the next k replaces what is too much, and after the last
    there must be room for it.
    """
    vector, size = vector_type(strip.scalar, lanes), strip.size
    assert strip.width % lanes == 0 or strip.width < lanes
    context = None
    with e.loop("0", str(-(-strip.width // lanes)), known_nonempty=True) as v:
        offset = times(e, v, lanes)
        position = offset
        if lanes > 1:
            is_full = strip.is_full and strip.width >= lanes
            mask = None if is_full else first_lanes(e, minus(e, least(e, strip.valid, strip.width), offset), lanes)
            context = VectorContext(strip.across, lanes, mask)
        elif not strip.is_full:
            position = least(e, offset, minus(e, strip.valid, 1))
        e.bind(strip.across, plus(e, strip.first, position), varying=lanes > 1)
        target = address(e, strip.target, times(e, offset, size))
        with e.loop(strip.start, strip.stop) as k:
            e.bind(strip.along, k)
            with e.vectorized(context):
                value = _element(e, strip, lanes)
            at = address(e, target, times(e, minus(e, k, strip.start), strip.width * size))
            e.line(f"store {vector} {value}, ptr {at}, align {size}")


def pack_along(e: Emitter, strip: Strip, lanes: int, square: str) -> None:
    """Fill a strip with vectors that run along it: `lanes` of them at a time go through `square`, scratch for so many.

    The strip must have room for a number of k that is a multiple of `lanes`.
    """
    length = minus(e, strip.stop, strip.start)
    main = plus(e, strip.start, times(e, divide(e, length, lanes), lanes))
    if main != strip.start:
        with e.loop(strip.start, main, lanes) as k:
            _pack_squares(e, strip, lanes, square, k, None)
    if main != strip.stop:
        with e.branch(compare(e, "slt", main, strip.stop)):
            _pack_squares(e, strip, lanes, square, main, first_lanes(e, minus(e, strip.stop, main), lanes))


def _pack_squares(e: Emitter, strip: Strip, lanes: int, square: str, k: str, mask: str | None) -> None:
    """The elements at k .. k + lanes - 1 of the whole strip."""
    height = min(lanes, strip.width)
    e.bind(strip.along, k, varying=True)
    with e.loop("0", str(strip.width // height), known_nonempty=True) as v:
        _pack_square(e, strip, lanes, square, k, mask, times(e, v, height), height)
    rest = strip.width % height
    if rest:
        _pack_square(e, strip, lanes, square, k, mask, str(strip.width - rest), rest)


def _pack_square(
    e: Emitter, strip: Strip, lanes: int, square: str, k: str, mask: str | None, offset: str, height: int
) -> None:
    vector, size = vector_type(strip.scalar, lanes), strip.size
    last = minus(e, strip.valid, 1)
    with e.loop("0", str(height), known_nonempty=True) as row:
        # Rows past the end repeat the last one: what they hold is never used.
        position = plus(e, offset, row)
        e.bind(strip.across, plus(e, strip.first, position if strip.is_full else least(e, position, last)))
        with e.vectorized(VectorContext(strip.along, lanes, mask)):
            value = _element(e, strip, lanes)
        at = address(e, square, times(e, row, lanes * size))
        e.line(f"store {vector} {value}, ptr {at}, align {lanes * size}")
    to = _square_target(e, strip, k, offset)
    function = define_transpose(e.module, strip.scalar, height, lanes)
    e.line(f"call void @{function}(ptr {square}, i64 {lanes * size}, ptr {to}, i64 {strip.width * size})")


def _square_target(e: Emitter, strip: Strip, k: str, offset: str) -> str:
    position = plus(e, times(e, minus(e, k, strip.start), strip.width), offset)
    return address(e, strip.target, times(e, position, strip.size))


def transpose_runs(e: Emitter, source: str, step: str, strip: Strip, lanes: int) -> str:
    """Fill a full strip from memory that holds runs along it, `step` bytes apart; as far as whole vectors go.

    Gives where it ended.
    """
    length = minus(e, strip.stop, strip.start)
    main = plus(e, strip.start, times(e, divide(e, length, lanes), lanes))
    function = define_transpose(e.module, strip.scalar, lanes, lanes)
    with e.loop(strip.start, main, lanes) as k, e.loop("0", str(strip.width // lanes), known_nonempty=True) as v:
        offset = times(e, v, lanes)
        along = times(e, minus(e, k, strip.start), strip.size)
        row = address(e, address(e, source, times(e, offset, step)), along)
        to = _square_target(e, strip, k, offset)
        e.line(f"call void @{function}(ptr {row}, i64 {step}, ptr {to}, i64 {strip.width * strip.size})")
    return main


def _element(e: Emitter, strip: Strip, lanes: int) -> str:
    emit_body(e, strip.panel.body)
    return e.vector_operand(strip.panel.element, lanes)


def first_lanes(e: Emitter, count: str, lanes: int) -> str:
    """The first `count` lanes; all if it is more, none if it is negative."""
    bits = f"i{32 if lanes <= 16 else 16}"
    type_ = vector_type(bits, lanes)
    limit = least(e, count, lanes)
    if not is_known(limit):
        limit = e.emit(f"trunc i64 {limit} to {bits}")
        one = e.emit(f"insertelement {type_} poison, {bits} {limit}, i64 0")
        limit = e.emit(f"shufflevector {type_} {one}, {type_} poison, <{lanes} x i32> zeroinitializer")
    else:
        limit = f"splat ({bits} {limit})"
    steps = f"<{', '.join(f'{bits} {lane}' for lane in range(lanes))}>"
    return e.emit(f"icmp slt {type_} {steps}, {limit}")


def copy_runs(e: Emitter, source: str, step: str, strip: Strip, lanes: int) -> None:
    """Fill a full strip from rows of memory that lie `step` bytes apart."""
    vector, size = vector_type(strip.scalar, lanes), strip.size
    with e.loop("0", minus(e, strip.stop, strip.start)) as k:
        row = address(e, source, times(e, k, step))
        target = address(e, strip.target, times(e, k, strip.width * size))
        for v in range(strip.width // lanes):
            value = e.emit(f"load {vector}, ptr {address(e, row, v * lanes * size)}, align {size}")
            e.line(f"store {vector} {value}, ptr {address(e, target, v * lanes * size)}, align {size}")


def define_transpose(module: Module, scalar: str, rows: int, lanes: int) -> str:
    """The name of a function (ptr source, i64 source_step, ptr target, i64 target_step) that reads `rows` vectors of
    `lanes` elements and writes `lanes` rows of `rows` elements; steps are in bytes. Added to the module once."""
    name = f"transpose_{scalar}_{rows}x{lanes}"
    if not module.has_function(name):
        module.add_function(_transpose_text(module, name, scalar, rows, lanes), name)
    return name


def _transpose_text(module: Module, name: str, scalar: str, rows: int, lanes: int) -> str:
    size = SCALAR_BYTES[scalar]
    vector = vector_type(scalar, lanes)
    lines = [
        f"define internal void @{name}(ptr noalias readonly %source, i64 %source_step, ptr noalias %target, "
        f"i64 %target_step) noinline {module.target.function_attributes} {{"
    ]
    for row in range(rows):
        lines += [
            f"%so{row} = mul nsw i64 %source_step, {row}",
            f"%sp{row} = getelementptr i8, ptr %source, i64 %so{row}",
            f"%x{row} = load {vector}, ptr %sp{row}, align {size}",
        ]
    # Pairs of rows exchange halves, quarters, and so on: after all stages row i holds what was column i.
    current = [f"%x{row}" if row < rows else "poison" for row in range(lanes)]
    stage = lanes // 2
    while stage:
        following = list(current)
        low = [lane if not lane & stage else lanes + lane - stage for lane in range(lanes)]
        high = [lane + stage if not lane & stage else lanes + lane for lane in range(lanes)]
        for row in range(lanes):
            if row & stage:
                continue
            a, b = current[row], current[row + stage]
            for to, choice in ((row, low), (row + stage, high)):
                if a == b == "poison":
                    continue
                result = f"%y{stage}_{to}"
                order = ", ".join(f"i32 {c}" for c in choice)
                lines.append(f"{result} = shufflevector {vector} {a}, {vector} {b}, <{lanes} x i32> <{order}>")
                following[to] = result
        current = following
        stage //= 2
        # A block of its own: LLVM's search for shuffles to combine, which finds none here, takes long across stages.
        lines += [f"br label %stage{stage}", f"stage{stage}:"]
    narrow = f"<{rows} x {scalar}>"
    for lane in range(lanes):
        value = current[lane]
        if rows < lanes:
            order = ", ".join(f"i32 {c}" for c in range(rows))
            lines.append(f"%z{lane} = shufflevector {vector} {value}, {vector} poison, <{rows} x i32> <{order}>")
            value = f"%z{lane}"
        lines += [
            f"%to{lane} = mul nsw i64 %target_step, {lane}",
            f"%tp{lane} = getelementptr i8, ptr %target, i64 %to{lane}",
            f"store {narrow} {value}, ptr %tp{lane}, align {size}",
        ]
    return "\n".join((*lines, "ret void", "}"))
