"""Index expressions as code.

In: a `Size` over symbols that the emitter knows. Out: an i64 register or constant; or, where the expression differs by
lane, a vector of them. Terms are added up from the outermost scope inwards: each loop adds only what it changes.
"""

from __future__ import annotations

from functools import lru_cache

from graphc.codegen.emitter import Emitter, VectorContext, vector_type
from graphc.ir.dim import (
    Atom,
    Dim,
    Greatest,
    Least,
    Monomial,
    Quotient,
    Remainder,
    Size,
    Symbol,
    bounds,
    is_at_least,
    linear,
    symbols,
)

_INT32 = 2**31 - 1


def index(e: Emitter, size: Size) -> str:
    """The expression as an i64; for one that differs by lane and is affine in the vector symbol, that of lane 0."""
    if isinstance(size, int):
        return str(size)
    for scope in reversed(e.scopes):
        known = scope.memo.get(size)
        if known is not None:
            return known
    depth = depth_of(e, size)
    name = _sum(e, size, 64)
    e.scopes[depth].memo[size] = name
    return name


def index_in_32_bits(e: Emitter, size: Size) -> str:
    """The expression as an i32, where it `fits_int32`."""
    if isinstance(size, int):
        return str(size)
    key = (size, 32)
    for scope in reversed(e.scopes):
        known = scope.memo.get(key)
        if known is not None:
            return known
    depth = depth_of(e, size)
    name = _sum(e, size, 32)
    e.scopes[depth].memo[key] = name
    return name


def depth_of(e: Emitter, size: Size) -> int:
    """The outermost scope in which all symbols of the expression are known."""
    return max((e.symbols[s.name].depth for s in symbols_of(size)), default=0)


@lru_cache(maxsize=4096)
def symbols_of(size: Size) -> tuple[Symbol, ...]:
    """`symbols`, remembered."""
    return symbols(size)


def varies(e: Emitter, size: Size) -> bool:
    """Whether the expression differs by lane in the current vector context."""
    if isinstance(size, int) or e.context is None:
        return False
    return any(e.symbols[s.name].varying for s in symbols_of(size))


def lane_stride(e: Emitter, size: Size) -> Size | None:
    """By how much the expression grows from lane to lane; None where that is not the same for all lanes."""
    if isinstance(size, int) or e.context is None:
        return 0
    name = e.context.symbol.name
    for s in symbols_of(size):
        if s.name != name and e.symbols[s.name].varying:
            return None
    parts = _linear(size, name)
    return None if parts is None else parts[1]


@lru_cache(maxsize=4096)
def _linear(size: Size, name: str) -> tuple[Size, Size] | None:
    return linear(size, name)


def _sum(e: Emitter, size: Dim, bits: int) -> str:
    """Add the terms, those known further out first."""
    terms = [(_monomial_depth(e, monomial), monomial, coefficient) for monomial, coefficient in size.terms]
    terms.sort(key=lambda term: term[0])
    total, total_depth = "", 0
    constant = 0
    for depth, monomial, coefficient in terms:
        if not monomial:
            constant = coefficient
            continue
        value = _monomial(e, depth, monomial, abs(coefficient), bits)
        if not total:
            total = value if coefficient > 0 else e.computed(depth, f"sub i{bits} 0, {value}")
        else:
            total = e.computed(depth, f"{'add' if coefficient > 0 else 'sub'} i{bits} {total}, {value}")
        total_depth = depth
    return e.computed(total_depth, f"add i{bits} {total}, {constant}") if constant else total


def _index(e: Emitter, size: Size, bits: int) -> str:
    return index(e, size) if bits == 64 else index_in_32_bits(e, size)


def _monomial_depth(e: Emitter, monomial: Monomial) -> int:
    return max((_atom_depth(e, atom) for atom in monomial), default=0)


def _atom_depth(e: Emitter, atom: Atom) -> int:
    return e.symbols[atom.name].depth if isinstance(atom, Symbol) else depth_of(e, Dim((((atom,), 1),)))


def _monomial(e: Emitter, depth: int, monomial: Monomial, coefficient: int, bits: int) -> str:
    atoms = sorted(
        ((_atom_depth(e, atom), position, atom) for position, atom in enumerate(monomial)), key=lambda a: a[:2]
    )
    total = "" if coefficient == 1 else str(coefficient)
    for atom_depth, _, atom in atoms:
        value = _atom_value(e, atom_depth, atom, bits)
        total = value if not total else e.computed(atom_depth, f"mul i{bits} {value}, {total}")
    return total


def _atom_value(e: Emitter, depth: int, atom: Atom, bits: int) -> str:
    match atom:
        case Symbol(name=name):
            scalar = e.symbols[name].scalar
            assert scalar is not None, f"{name} differs by lane and has no scalar value"
            if bits == 64 or scalar[0] != "%":
                return scalar
            return e.computed(depth, f"trunc i64 {scalar} to i{bits}")
        case Quotient(dividend=dividend, divisor=divisor):
            return _divide(e, depth, dividend, divisor, bits, True)
        case Remainder(dividend=dividend, divisor=divisor):
            return _divide(e, depth, dividend, divisor, bits, False)
        case Least(operands=operands) | Greatest(operands=operands):
            name = "smin" if isinstance(atom, Least) else "smax"
            type_ = f"i{bits}"
            e.module.declare(f"{type_} @llvm.{name}.{type_}({type_}, {type_})")
            values = [_index(e, operand, bits) for operand in operands]
            total = values[0]
            for value in values[1:]:
                total = e.computed(depth, f"call {type_} @llvm.{name}.{type_}({type_} {total}, {type_} {value})")
            return total


def _divide(e: Emitter, depth: int, dividend: Size, divisor: Size, bits: int, wants_quotient: bool) -> str:
    """Floor quotient, or its remainder."""
    a, b = _index(e, dividend, bits), _index(e, divisor, bits)
    type_ = f"i{bits}"
    if not is_at_least(divisor, 1):  # hoisted out of the loops that do not run when it is 0: it must not trap
        e.module.declare(f"{type_} @llvm.smax.{type_}({type_}, {type_})")
        b = e.computed(depth, f"call {type_} @llvm.smax.{type_}({type_} {b}, {type_} 1)")
    return _floor(e, depth, type_, str(bits - 1), a, b, not is_at_least(dividend, 0), wants_quotient)


def _floor(
    e: Emitter, depth: int, type_: str, sign_bit: str, a: str, b: str, may_be_negative: bool, wants_quotient: bool
) -> str:
    """Floor quotient or remainder of registers; `b` is positive."""
    truncated = e.computed(depth, f"{'sdiv' if may_be_negative else 'udiv'} {type_} {a}, {b}")
    if wants_quotient and not may_be_negative:
        return truncated
    rest = e.computed(depth, f"sub {type_} {a}, {e.computed(depth, f'mul {type_} {truncated}, {b}')}")
    if not may_be_negative:
        return rest
    # Floor: where the truncated remainder is negative, one less.
    sign = e.computed(depth, f"ashr {type_} {rest}, {sign_bit}")
    if wants_quotient:
        return e.computed(depth, f"add {type_} {truncated}, {sign}")
    return e.computed(depth, f"add {type_} {rest}, {e.computed(depth, f'and {type_} {sign}, {b}')}")


# Expressions that differ by lane


def index_lanes(e: Emitter, size: Size) -> tuple[str, int]:
    """The expression in each lane of the context, and the bits of its elements: 32 where its bounds allow, else 64."""
    context = e.context
    assert context is not None
    bits = 32 if fits_int32(size) else 64
    return _lanes(e, context, size, bits), bits


@lru_cache(maxsize=4096)
def fits_int32(size: Size) -> bool:
    """Whether the expression and all parts of it that are divided or compared stay within 32 bits."""
    if isinstance(size, int):
        return -_INT32 <= size <= _INT32
    low, high = bounds(size)
    if low < -_INT32 or high > _INT32:
        return False
    for monomial, _ in size.terms:
        for atom in monomial:
            match atom:
                case Quotient(dividend=a, divisor=b) | Remainder(dividend=a, divisor=b):
                    if not (fits_int32(a) and fits_int32(b)):
                        return False
                case Least(operands=operands) | Greatest(operands=operands):
                    if not all(fits_int32(operand) for operand in operands):
                        return False
                case Symbol():
                    pass
    return True


def _spread_index(e: Emitter, depth: int, value: str, lanes: int, bits: int) -> str:
    """An i64 in every lane."""
    if value[0] != "%":
        return f"splat (i{bits} {value})"
    if bits == 32:
        value = e.computed(depth, f"trunc i64 {value} to i32")
    type_ = vector_type(f"i{bits}", lanes)
    one = e.computed(depth, f"insertelement {type_} poison, i{bits} {value}, i64 0")
    return e.computed(depth, f"shufflevector {type_} {one}, {type_} poison, <{lanes} x i32> zeroinitializer")


def _lanes(e: Emitter, context: VectorContext, size: Size, bits: int) -> str:
    lanes = context.lanes
    if isinstance(size, int):
        return f"splat (i{bits} {size})"
    key = (size, bits, lanes)
    for scope in reversed(e.scopes):
        known = scope.memo.get(key)
        if known is not None:
            return known
    type_ = vector_type(f"i{bits}", lanes)
    uniform: list[tuple[Monomial, int]] = []
    rest: list[tuple[Monomial, int]] = []
    for monomial, coefficient in size.terms:
        (rest if any(varies(e, Dim((((a,), 1),))) for a in monomial) else uniform).append((monomial, coefficient))
    total = ""
    depth = depth_of(e, size)
    if uniform:
        base: Size = uniform[0][1] if len(uniform) == 1 and not uniform[0][0] else Dim(tuple(uniform))
        total = _spread_index(e, depth_of(e, base), index(e, base), lanes, bits)
    for monomial, coefficient in rest:
        value = ""
        for atom in monomial:
            factor = _atom_lanes(e, context, atom, bits)
            value = factor if not value else e.computed(depth, f"mul {type_} {value}, {factor}")
        if coefficient != 1:
            value = e.computed(depth, f"mul {type_} {value}, splat (i{bits} {coefficient})")
        total = value if not total else e.computed(depth, f"add {type_} {total}, {value}")
    e.scopes[depth].memo[key] = total
    return total


def _atom_lanes(e: Emitter, context: VectorContext, atom: Atom, bits: int) -> str:
    lanes = context.lanes
    type_ = vector_type(f"i{bits}", lanes)
    as_size = Dim((((atom,), 1),))
    depth = depth_of(e, as_size)
    if not varies(e, as_size):
        return _spread_index(e, depth, index(e, as_size), lanes, bits)
    match atom:
        case Symbol(name=name):
            binding = e.symbols[name]
            if binding.vector is not None:
                if bits == 64:
                    return binding.vector
                return e.computed(binding.depth, f"trunc <{lanes} x i64> {binding.vector} to {type_}")
            assert binding.scalar is not None
            steps = f"<{', '.join(f'i{bits} {lane}' for lane in range(lanes))}>"
            first = _spread_index(e, binding.depth, binding.scalar, lanes, bits)
            return e.computed(binding.depth, f"add {type_} {first}, {steps}")
        case Quotient(dividend=dividend, divisor=divisor) | Remainder(dividend=dividend, divisor=divisor):
            return _divide_lanes(e, context, depth, dividend, divisor, bits, isinstance(atom, Quotient))
        case Least(operands=operands) | Greatest(operands=operands):
            name = "smin" if isinstance(atom, Least) else "smax"
            e.module.declare(f"{type_} @llvm.{name}.v{lanes}i{bits}({type_}, {type_})")
            values = [_lanes(e, context, operand, bits) for operand in operands]
            total = values[0]
            for value in values[1:]:
                total = e.computed(
                    depth, f"call {type_} @llvm.{name}.v{lanes}i{bits}({type_} {total}, {type_} {value})"
                )
            return total


def _divide_lanes(
    e: Emitter, context: VectorContext, depth: int, dividend: Size, divisor: Size, bits: int, wants_quotient: bool
) -> str:
    type_ = vector_type(f"i{bits}", context.lanes)
    a, b = _lanes(e, context, dividend, bits), _lanes(e, context, divisor, bits)
    if not is_at_least(divisor, 1):
        suffix = f"v{context.lanes}i{bits}"
        e.module.declare(f"{type_} @llvm.smax.{suffix}({type_}, {type_})")
        b = e.computed(depth, f"call {type_} @llvm.smax.{suffix}({type_} {b}, {type_} splat (i{bits} 1))")
    sign_bit = f"splat (i{bits} {bits - 1})"
    return _floor(e, depth, type_, sign_bit, a, b, not is_at_least(dividend, 0), wants_quotient)
