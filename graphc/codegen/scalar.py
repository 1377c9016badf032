"""Scalar ops as LLVM instructions: one rule for an op, the same for one lane and for many.

In: a base op of `graphc.kernel.scalar`, its operands' registers and dtypes. Out: the register of the result. What LLVM
leaves undefined is made defined: division by zero, shifts by too much, numbers out of a cast's range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from graphc.codegen.emitter import Emitter, constant, register_type, vector_type
from graphc.codegen.floating import from_memory, round_to, round_whole, to_memory
from graphc.codegen.fused import fma
from graphc.ir.dtype import DType, bf16, bool_, f16, f64
from graphc.kernel.expand import record
from graphc.kernel.ir import Apply, Literal, Value


@dataclass(frozen=True, slots=True)
class Operation:
    """One application of an op: operands' dtype (a select's condition aside), the result's, lanes, operands' names."""

    e: Emitter
    dtype: DType
    out: DType
    lanes: int
    names: tuple[str, ...]
    last: DType | None = None
    """Dtype of a shift's amount."""

    @property
    def type(self) -> str:
        """LLVM type of the operands."""
        return vector_type(register_type(self.dtype), self.lanes)

    @property
    def condition(self) -> str:
        """LLVM type of a comparison's result."""
        return vector_type("i1", self.lanes)

    def constant(self, value: float) -> str:
        """A number of the operands' type."""
        return constant(value, register_type(self.dtype), self.lanes)

    def select(self, condition: str, a: str, b: str) -> str:
        """`a` where the condition holds, else `b`, of the operands' type."""
        return self.e.emit(f"select {self.condition} {condition}, {self.type} {a}, {self.type} {b}")


Rule: TypeAlias = Callable[[Operation], str]


def emit_apply(e: Emitter, statement: Apply) -> None:
    """Emit the statement; the result has lanes where an operand has."""
    operands = statement.operands
    context = e.context
    lanes = 1
    if context is not None:
        for operand in operands:
            if isinstance(operand, Value) and e.values[operand].lanes > 1:
                lanes = e.values[operand].lanes
                break
    names = tuple([e.vector_operand(operand, lanes) for operand in operands])
    dtypes = tuple([operand.dtype for operand in operands])
    e.set_value(statement.out, emit_op(e, statement.op, dtypes, statement.out.dtype, lanes, names), lanes)


def emit_op(e: Emitter, op: str, dtypes: tuple[DType, ...], out: DType, lanes: int, names: tuple[str, ...]) -> str:
    """The register of `op` on operands of `dtypes` in registers of `lanes` lanes."""
    rule = e.rules.get(op) or RULES.get(op)
    assert rule is not None, f"{op} has no instruction: it must be expanded before"
    dtype = dtypes[1] if op == "select" else dtypes[0]
    result = rule(Operation(e, dtype, out, lanes, names, dtypes[-1]))
    return round_to(e, out, lanes, result) if out in (f16, bf16) and op in _ROUNDED else result


def _by_kind(float_: str, integer: str, boolean: str, o: Operation) -> str:
    """An instruction with two operands, by the kind of dtype."""
    instruction = float_ if o.dtype.is_floating_point else boolean if o.dtype is bool_ else integer
    return o.e.emit(f"{instruction} {o.type} {o.names[0]}, {o.names[1]}")


def _intrinsic(name: str, o: Operation) -> str:
    return o.e.intrinsic(name, o.type, *((o.type, x) for x in o.names))


def _neg(o: Operation) -> str:
    (x,) = o.names
    return o.e.emit(f"fneg {o.type} {x}" if o.dtype.is_floating_point else f"sub {o.type} {o.constant(0)}, {x}")


def _abs(o: Operation) -> str:
    (x,) = o.names
    if o.dtype.is_floating_point:
        return o.e.intrinsic("fabs", o.type, (o.type, x))
    return o.e.intrinsic("abs", o.type, (o.type, x), ("i1", "false")) if o.dtype.signed else x


def _rounding(mode: str, o: Operation) -> str:
    return round_whole(o.e, mode, register_type(o.dtype), o.lanes, o.names[0])


def _sqrt(o: Operation) -> str:
    return _intrinsic("sqrt", o)


def _div(o: Operation) -> str:
    return o.e.emit(f"fdiv {o.type} {o.names[0]}, {o.names[1]}")


def _fma(o: Operation) -> str:
    a, b, c = o.names
    return fma(o.e, register_type(o.dtype), o.lanes, a, b, c)


def _divide_truncated(o: Operation) -> str:
    by_zero, by_minus_one, quotient, _ = _truncating(o)
    if by_minus_one:
        negated = o.e.emit(f"sub {o.type} {o.constant(0)}, {o.names[0]}")
        quotient = o.select(by_minus_one, negated, quotient)
    return o.select(by_zero, o.constant(0), quotient)


def _remainder_truncated(o: Operation) -> str:
    return _truncating(o)[3]


def _truncating(o: Operation) -> tuple[str, str, str, str]:
    """Whether the divisor is 0, and -1, then quotient and remainder where it is neither (by 0 and -1 it is 1).

    The remainder is right for those two as well.
    """
    e, type_ = o.e, o.type
    a, b = o.names
    by_zero, by_minus_one = e.emit(f"icmp eq {type_} {b}, {o.constant(0)}"), ""
    unsafe = by_zero
    if o.dtype.signed:  # the least number by -1 would trap
        by_minus_one = e.emit(f"icmp eq {type_} {b}, {o.constant(-1)}")
        unsafe = e.emit(f"or {o.condition} {by_zero}, {by_minus_one}")
    safe = o.select(unsafe, o.constant(1), b)
    quotient = e.emit(f"{'sdiv' if o.dtype.signed else 'udiv'} {type_} {a}, {safe}")
    rest = e.emit(f"sub {type_} {a}, {e.emit(f'mul {type_} {quotient}, {safe}')}")
    return by_zero, by_minus_one, quotient, rest


def _extreme(float_: str, signed: str, unsigned: str, o: Operation) -> str:
    if o.dtype is bool_:
        return o.e.emit(f"{'or' if unsigned == 'umax' else 'and'} {o.type} {o.names[0]}, {o.names[1]}")
    return _intrinsic(float_ if o.dtype.is_floating_point else signed if o.dtype.signed else unsigned, o)


def _compare(float_: str, signed: str, unsigned: str, o: Operation) -> str:
    a, b = o.names
    if o.dtype.is_floating_point:
        return o.e.emit(f"fcmp {float_} {o.type} {a}, {b}")
    return o.e.emit(f"icmp {signed if o.dtype.signed else unsigned} {o.type} {a}, {b}")


def _bitwise(instruction: str, o: Operation) -> str:
    return o.e.emit(f"{instruction} {o.type} {o.names[0]}, {o.names[1]}")


def _not(o: Operation) -> str:
    return o.e.emit(f"xor {o.type} {o.names[0]}, {o.constant(-1)}")


def _shift_left(o: Operation) -> str:
    fits, amount = _amount(o)
    return o.select(fits, o.e.emit(f"shl {o.type} {o.names[0]}, {amount}"), o.constant(0))


def _shift_right(o: Operation) -> str:
    fits, amount = _amount(o)
    if o.dtype.signed:
        limited = o.select(fits, amount, o.constant(o.dtype.bits - 1))
        return o.e.emit(f"ashr {o.type} {o.names[0]}, {limited}")
    return o.select(fits, o.e.emit(f"lshr {o.type} {o.names[0]}, {amount}"), o.constant(0))


def _amount(o: Operation) -> tuple[str, str]:
    """Whether a shift's amount is within the width, and the amount as the shifted dtype."""
    assert o.last is not None
    e, amount, from_bits, bits = o.e, o.names[1], o.last.bits, o.dtype.bits
    type_ = vector_type(register_type(o.last), o.lanes)
    fits = e.emit(f"icmp ult {type_} {amount}, {constant(bits, f'i{from_bits}', o.lanes)}")
    if from_bits != bits:
        amount = e.emit(f"{'trunc' if from_bits > bits else 'zext'} {type_} {amount} to {o.type}")
    return fits, amount


def _select(o: Operation) -> str:
    return o.select(*o.names)


def _cast(o: Operation) -> str:
    """PyTorch's conversions, saturating where a float has no integer (nan gives 0)."""
    e, source, out, lanes = o.e, o.dtype, o.out, o.lanes
    (x,) = o.names
    from_, to = o.type, vector_type(register_type(out), lanes)
    if source is out:
        return x
    if out is bool_:
        return e.emit(f"{'fcmp une' if source.is_floating_point else 'icmp ne'} {from_} {x}, {o.constant(0)}")
    if source.is_floating_point and out.is_floating_point:
        if source is f64 or out is f64:
            x = e.emit(f"{'fptrunc' if source is f64 else 'fpext'} {from_} {x} to {to}")
            if source is f64:  # a copysign of the float16 would else take its sign from a conversion no machine has
                x = e.intrinsic("arithmetic.fence", to, (to, x))
        return round_to(e, out, lanes, x)
    if source.is_floating_point:
        name = "fptosi.sat" if out.signed else "fptoui.sat"
        suffix = f"{_short(to)}.{_short(from_)}"
        return e.intrinsic(name, to, (from_, x), overload=suffix)
    if out.is_floating_point:
        return round_to(e, out, lanes, e.emit(f"{'sitofp' if source.signed else 'uitofp'} {from_} {x} to {to}"))
    if source is bool_ or source.bits < out.bits:
        return e.emit(f"{'sext' if source.signed else 'zext'} {from_} {x} to {to}")
    return x if source.bits == out.bits else e.emit(f"trunc {from_} {x} to {to}")


def _short(type_: str) -> str:
    """How an intrinsic's name spells a type."""
    if type_[0] == "<":
        lanes, _, scalar = type_[1:-1].partition(" x ")
        return f"v{lanes}{_short(scalar)}"
    return {"float": "f32", "double": "f64"}.get(type_, type_)


def _bitcast(o: Operation) -> str:
    """The same bits as another dtype of that width; half-width floats pass through their form in memory."""
    e, source, out, lanes = o.e, o.dtype, o.out, o.lanes
    (x,) = o.names
    if source is out:
        return x
    if source is bool_:
        x = e.emit(f"zext {o.type} {x} to {vector_type('i8', lanes)}")
        source_type = "i8"
    elif source in (f16, bf16):
        x, source_type = to_memory(e, source, lanes, x), "i16"
    else:
        source_type = register_type(source)
    if out is bool_:
        return e.emit(f"icmp ne {vector_type(source_type, lanes)} {x}, {constant(0, source_type, lanes)}")
    if out in (f16, bf16):
        return from_memory(e, out, lanes, x)
    out_type = register_type(out)
    if out_type == source_type:
        return x
    return e.emit(f"bitcast {vector_type(source_type, lanes)} {x} to {vector_type(out_type, lanes)}")


def _ldexp(o: Operation) -> str:
    """x * 2^n: one instruction on 512-bit vectors, with the bits of the formula; elsewhere the formula's steps."""
    e, lanes = o.e, o.lanes
    if e.target.has_avx512 and lanes * o.dtype.bits == 512:
        name = f"llvm.x86.avx512.mask.scalef.{'pd' if o.dtype is f64 else 'ps'}.512"
        e.module.declare(f"{o.type} @{name}({o.type}, {o.type}, {o.type}, i{lanes}, i32)")
        return e.emit(
            f"call {o.type} @{name}({o.type} {o.names[0]}, {o.type} {o.names[1]}, "
            f"{o.type} zeroinitializer, i{lanes} -1, i32 4)"
        )
    values = [(name, o.dtype) for name in o.names]
    for step in record("ldexp", (o.dtype, o.dtype), o.dtype).steps:
        operands = [
            (constant(x.value, register_type(x.dtype), lanes), x.dtype) if isinstance(x, Literal) else values[x]
            for x in step.operands
        ]
        names, dtypes = zip(*operands)
        values.append((emit_op(e, step.op, dtypes, step.dtype, lanes, names), step.dtype))
    return values[-1][0]


def _copysign(o: Operation) -> str:
    return _intrinsic("copysign", o)


RULES: dict[str, Rule] = {
    "neg": _neg,
    "abs": _abs,
    "floor": partial(_rounding, "floor"),
    "ceil": partial(_rounding, "ceil"),
    "round": partial(_rounding, "roundeven"),
    "trunc": partial(_rounding, "trunc"),
    "sqrt": _sqrt,
    "add": partial(_by_kind, "fadd", "add", "or"),
    "sub": partial(_by_kind, "fsub", "sub", "xor"),
    "mul": partial(_by_kind, "fmul", "mul", "and"),
    "div": _div,
    "divide_truncated": _divide_truncated,
    "remainder_truncated": _remainder_truncated,
    "fma": _fma,
    "maximum": partial(_extreme, "maximum", "smax", "umax"),
    "minimum": partial(_extreme, "minimum", "smin", "umin"),
    "copysign": _copysign,
    "eq": partial(_compare, "oeq", "eq", "eq"),
    "ne": partial(_compare, "une", "ne", "ne"),
    "lt": partial(_compare, "olt", "slt", "ult"),
    "le": partial(_compare, "ole", "sle", "ule"),
    "gt": partial(_compare, "ogt", "sgt", "ugt"),
    "ge": partial(_compare, "oge", "sge", "uge"),
    "bitwise_and": partial(_bitwise, "and"),
    "bitwise_or": partial(_bitwise, "or"),
    "bitwise_xor": partial(_bitwise, "xor"),
    "bitwise_not": _not,
    "shift_left": _shift_left,
    "shift_right": _shift_right,
    "select": _select,
    "cast": _cast,
    "bitcast": _bitcast,
    "ldexp": _ldexp,
}

BEYOND_BASE = frozenset({"ldexp"})
"""Ops with a formula that are emitted as they are, since some machines have an instruction for them."""

_ROUNDED = frozenset({"add", "sub", "mul", "div", "fma", "sqrt"})
"""Ops on float16 and bfloat16 whose float32 result may lie between two values of the dtype."""
