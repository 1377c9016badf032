"""Half-width floats in float registers, and fused multiply-add and rounding where the machine has none.

A float16 or bfloat16 value is kept as the float32 of the same value; `round_to` follows every operation that may leave
the narrow type. What the machine lacks is written out in integer and float64 arithmetic with the same bits: no library
function is ever called.
"""

from __future__ import annotations

from graphc.codegen.emitter import Emitter, constant, vector_type
from graphc.ir.dtype import DType, bf16, f16


def round_to(e: Emitter, dtype: DType, lanes: int, x: str) -> str:
    """A float rounded to float16 or bfloat16, ties to even; other dtypes as they are."""
    if dtype is bf16:
        return _round_to_bf16(e, lanes, x)
    if dtype is not f16:
        return x
    if e.target.has_f16c:
        half = e.emit(f"fptrunc {vector_type('float', lanes)} {x} to {vector_type('half', lanes)}")
        return e.emit(f"fpext {vector_type('half', lanes)} {half} to {vector_type('float', lanes)}")
    return _round_to_f16(e, lanes, x)


def from_memory(e: Emitter, dtype: DType, lanes: int, bits: str) -> str:
    """The float that 16 loaded bits stand for."""
    word, number = vector_type("i32", lanes), vector_type("float", lanes)
    if dtype is f16 and e.target.has_f16c:
        half = e.emit(f"bitcast {vector_type('i16', lanes)} {bits} to {vector_type('half', lanes)}")
        return e.emit(f"fpext {vector_type('half', lanes)} {half} to {number}")
    wide = e.emit(f"zext {vector_type('i16', lanes)} {bits} to {word}")
    if dtype is bf16:
        return e.emit(f"bitcast {word} {e.emit(f'shl {word} {wide}, {_i32(16, lanes)}')} to {number}")
    # Exponent and fraction moved into place and scaled by 2**112: exact, for subnormals, too.
    magnitude = e.emit(f"and {word} {wide}, {_i32(0x7FFF, lanes)}")
    moved = e.emit(f"shl {word} {magnitude}, {_i32(13, lanes)}")
    scaled = e.emit(f"fmul {number} {e.emit(f'bitcast {word} {moved} to {number}')}, {_f32(2.0**112, lanes)}")
    special = e.emit(f"icmp uge {word} {magnitude}, {_i32(0x7C00, lanes)}")
    scaled_bits = e.emit(f"bitcast {number} {scaled} to {word}")
    with_special = e.emit(f"or {word} {scaled_bits}, {_i32(0x7F800000, lanes)}")
    chosen = e.emit(f"select {_i1(lanes)} {special}, {word} {with_special}, {word} {scaled_bits}")
    sign = e.emit(f"shl {word} {e.emit(f'and {word} {wide}, {_i32(0x8000, lanes)}')}, {_i32(16, lanes)}")
    return e.emit(f"bitcast {word} {e.emit(f'or {word} {chosen}, {sign}')} to {number}")


def to_memory(e: Emitter, dtype: DType, lanes: int, x: str) -> str:
    """The 16 bits of a float that has a float16's or bfloat16's value."""
    word, number, short = vector_type("i32", lanes), vector_type("float", lanes), vector_type("i16", lanes)
    if dtype is f16 and e.target.has_f16c:
        half = e.emit(f"fptrunc {number} {x} to {vector_type('half', lanes)}")
        return e.emit(f"bitcast {vector_type('half', lanes)} {half} to {short}")
    bits = e.emit(f"bitcast {number} {x} to {word}")
    high = e.emit(f"lshr {word} {bits}, {_i32(16, lanes)}")
    if dtype is bf16:
        return e.emit(f"trunc {word} {high} to {short}")
    magnitude = e.emit(f"and {word} {bits}, {_i32(0x7FFFFFFF, lanes)}")
    # Scaled by 2**-112 the exponent is float16's. The product is exact: a subnormal float32 has room for the fraction.
    scaled = e.emit(f"fmul {number} {e.emit(f'bitcast {word} {magnitude} to {number}')}, {_f32(2.0**-112, lanes)}")
    moved = e.emit(f"lshr {word} {e.emit(f'bitcast {number} {scaled} to {word}')}, {_i32(13, lanes)}")
    is_nan = e.emit(f"icmp ugt {word} {magnitude}, {_i32(0x7F800000, lanes)}")
    is_inf = e.emit(f"icmp eq {word} {magnitude}, {_i32(0x7F800000, lanes)}")
    chosen = e.emit(f"select {_i1(lanes)} {is_inf}, {word} {_i32(0x7C00, lanes)}, {word} {moved}")
    chosen = e.emit(f"select {_i1(lanes)} {is_nan}, {word} {_i32(0x7E00, lanes)}, {word} {chosen}")
    sign = e.emit(f"and {word} {high}, {_i32(0x8000, lanes)}")
    return e.emit(f"trunc {word} {e.emit(f'or {word} {chosen}, {sign}')} to {short}")


def _round_to_bf16(e: Emitter, lanes: int, x: str) -> str:
    if e.target.has_bf16_conversion:
        short = vector_type("i16", lanes)
        brain = e.emit(f"fptrunc {vector_type('float', lanes)} {x} to {vector_type('bfloat', lanes)}")
        return from_memory(e, bf16, lanes, e.emit(f"bitcast {vector_type('bfloat', lanes)} {brain} to {short}"))
    word, number = vector_type("i32", lanes), vector_type("float", lanes)
    bits = e.emit(f"bitcast {number} {x} to {word}")
    is_odd = e.emit(f"and {word} {e.emit(f'lshr {word} {bits}, {_i32(16, lanes)}')}, {_i32(1, lanes)}")
    sum_ = e.emit(f"add {word} {e.emit(f'add {word} {bits}, {_i32(0x7FFF, lanes)}')}, {is_odd}")
    is_nan = e.emit(f"fcmp uno {number} {x}, {x}")
    quiet = e.emit(f"or {word} {bits}, {_i32(0x400000, lanes)}")
    chosen = e.emit(f"select {_i1(lanes)} {is_nan}, {word} {quiet}, {word} {sum_}")
    cut = e.emit(f"and {word} {chosen}, {_i32(0xFFFF0000, lanes)}")
    return e.emit(f"bitcast {word} {cut} to {number}")


def _round_to_f16(e: Emitter, lanes: int, x: str) -> str:
    word, number = vector_type("i32", lanes), vector_type("float", lanes)
    bits = e.emit(f"bitcast {number} {x} to {word}")
    magnitude = e.emit(f"and {word} {bits}, {_i32(0x7FFFFFFF, lanes)}")
    sign = e.emit(f"and {word} {bits}, {_i32(-0x80000000, lanes)}")
    is_odd = e.emit(f"and {word} {e.emit(f'lshr {word} {magnitude}, {_i32(13, lanes)}')}, {_i32(1, lanes)}")
    sum_ = e.emit(f"add {word} {e.emit(f'add {word} {magnitude}, {_i32(0xFFF, lanes)}')}, {is_odd}")
    normal = e.emit(f"and {word} {sum_}, {_i32(~0x1FFF, lanes)}")
    # 65520 and more round to infinity; nan stays.
    too_large = e.emit(f"icmp uge {word} {magnitude}, {_i32(0x477FF000, lanes)}")
    normal = e.emit(f"select {_i1(lanes)} {too_large}, {word} {_i32(0x7F800000, lanes)}, {word} {normal}")
    is_nan = e.emit(f"icmp ugt {word} {magnitude}, {_i32(0x7F800000, lanes)}")
    quiet = e.emit(f"or {word} {magnitude}, {_i32(0x400000, lanes)}")
    normal = e.emit(f"select {_i1(lanes)} {is_nan}, {word} {quiet}, {word} {normal}")
    # Below 2**-14 the step is 2**-24, that of float32 in [0.5, 1).
    absolute = e.emit(f"bitcast {word} {magnitude} to {number}")
    shifted = e.emit(f"fadd {number} {absolute}, {_f32(0.5, lanes)}")
    small = e.emit(f"bitcast {number} {e.emit(f'fsub {number} {shifted}, {_f32(0.5, lanes)}')} to {word}")
    is_small = e.emit(f"icmp ult {word} {magnitude}, {_i32(0x38800000, lanes)}")
    chosen = e.emit(f"select {_i1(lanes)} {is_small}, {word} {small}, {word} {normal}")
    return e.emit(f"bitcast {word} {e.emit(f'or {word} {chosen}, {sign}')} to {number}")


def round_whole(e: Emitter, mode: str, scalar: str, lanes: int, x: str) -> str:
    """The float as a whole number, by `floor`, `ceil`, `trunc` or `roundeven`; signed zero, inf and nan stay."""
    type_ = vector_type(scalar, lanes)
    if e.target.arch != "x86_64" or e.target.has("sse4.1"):
        return e.intrinsic(mode, type_, (type_, x))
    # Beside 2**(fraction bits) an addition rounds to a whole number, ties to even; beyond it there are only those.
    limit = constant(2.0**23 if scalar == "float" else 2.0**52, scalar, lanes)
    absolute = e.intrinsic("fabs", type_, (type_, x))
    nearest = e.emit(f"fsub {type_} {e.emit(f'fadd {type_} {absolute}, {limit}')}, {limit}")
    if mode == "trunc":
        nearest = _less_one(e, scalar, lanes, nearest, e.emit(f"fcmp ogt {type_} {nearest}, {absolute}"))
    signed = e.intrinsic("copysign", type_, (type_, nearest), (type_, x))
    if mode == "floor":
        signed = _less_one(e, scalar, lanes, signed, e.emit(f"fcmp ogt {type_} {signed}, {x}"))
    elif mode == "ceil":
        signed = _less_one(e, scalar, lanes, signed, e.emit(f"fcmp olt {type_} {signed}, {x}"), -1.0)
        signed = e.intrinsic("copysign", type_, (type_, signed), (type_, x))
    is_small = e.emit(f"fcmp olt {type_} {absolute}, {limit}")
    return e.emit(f"select {_i1(lanes)} {is_small}, {type_} {signed}, {type_} {x}")


def _less_one(e: Emitter, scalar: str, lanes: int, x: str, condition: str, one: float = 1.0) -> str:
    type_ = vector_type(scalar, lanes)
    less = e.emit(f"fsub {type_} {x}, {constant(one, scalar, lanes)}")
    return e.emit(f"select {_i1(lanes)} {condition}, {type_} {less}, {type_} {x}")


def _i32(value: int, lanes: int) -> str:
    return constant(value, "i32", lanes)


def _f32(value: float, lanes: int) -> str:
    return constant(value, "float", lanes)


def _i1(lanes: int) -> str:
    return vector_type("i1", lanes)
