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


def fma(e: Emitter, scalar: str, lanes: int, a: str, b: str, c: str) -> str:
    """a * b + c rounded once, on every machine ("float" or "double")."""
    type_ = vector_type(scalar, lanes)
    if e.target.has_fma:
        return e.intrinsic("fma", type_, (type_, a), (type_, b), (type_, c))
    return _fma_by_double(e, lanes, a, b, c) if scalar == "float" else _fma_double(e, lanes, a, b, c)


def _fma_by_double(e: Emitter, lanes: int, a: str, b: str, c: str) -> str:
    """float32: the product is exact in float64; the sum is rounded to odd, so that rounding it again is exact."""
    number, double = vector_type("float", lanes), vector_type("double", lanes)
    x, y, z = (e.emit(f"fpext {number} {value} to {double}") for value in (a, b, c))
    total = _add_to_odd(e, lanes, e.emit(f"fmul {double} {x}, {y}"), z)
    return e.emit(f"fptrunc {double} {total} to {number}")


def _two_sum(e: Emitter, lanes: int, a: str, b: str) -> tuple[str, str]:
    """Sum and its rounding error (Knuth)."""
    double = vector_type("double", lanes)
    total = e.emit(f"fadd {double} {a}, {b}")
    b_part = e.emit(f"fsub {double} {total}, {a}")
    a_part = e.emit(f"fsub {double} {total}, {b_part}")
    a_error, b_error = e.emit(f"fsub {double} {a}, {a_part}"), e.emit(f"fsub {double} {b}, {b_part}")
    return total, e.emit(f"fadd {double} {a_error}, {b_error}")


def _add_to_odd(e: Emitter, lanes: int, a: str, b: str) -> str:
    """a + b in float64, rounded to odd: where inexact, of the two neighbours the one with an odd fraction."""
    double, word = vector_type("double", lanes), vector_type("i64", lanes)
    total, error = _two_sum(e, lanes, a, b)
    zero, one = constant(0.0, "double", lanes), constant(1, "i64", lanes)
    inexact = e.emit(f"fcmp one {double} {error}, {zero}")
    bits = e.emit(f"bitcast {double} {total} to {word}")
    is_even = e.emit(f"icmp eq {word} {e.emit(f'and {word} {bits}, {one}')}, {constant(0, 'i64', lanes)}")
    adjust = e.emit(f"and {_i1(lanes)} {inexact}, {is_even}")
    # Away from zero where the error has the sum's sign, else towards it.
    differs = e.emit(f"xor {word} {bits}, {e.emit(f'bitcast {double} {error} to {word}')}")
    sign = e.emit(f"ashr {word} {differs}, {constant(63, 'i64', lanes)}")
    moved = e.emit(f"add {word} {bits}, {e.emit(f'or {word} {sign}, {one}')}")
    chosen = e.emit(f"select {_i1(lanes)} {adjust}, {word} {moved}, {word} {bits}")
    return e.emit(f"bitcast {word} {chosen} to {double}")


def _fma_double(e: Emitter, lanes: int, a: str, b: str, c: str) -> str:
    """float64, by Boldo and Melquiond's sum of three terms; subnormal results may be rounded twice."""
    double, condition = vector_type("double", lanes), _i1(lanes)

    def number(value: float) -> str:
        return constant(value, "double", lanes)

    def absolute(x: str) -> str:
        return e.intrinsic("fabs", double, (double, x))

    product = e.emit(f"fmul {double} {a}, {b}")
    simple = e.emit(f"fadd {double} {product}, {c}")
    # A tiny product would lose its rounding error to underflow: scaled up, beside a c that is not far above it.
    tiny_product = e.emit(f"fcmp olt {double} {absolute(product)}, {number(2.0**-900)}")
    small_c = e.emit(f"fcmp olt {double} {absolute(c)}, {number(1.0)}")
    is_tiny = e.emit(f"and {condition} {tiny_product}, {small_c}")
    up = e.emit(f"select {condition} {is_tiny}, {double} {number(2.0**300)}, {double} {number(1.0)}")
    down = e.emit(f"select {condition} {is_tiny}, {double} {number(2.0**-300)}, {double} {number(1.0)}")
    a_smaller = e.emit(f"fcmp olt {double} {absolute(a)}, {absolute(b)}")
    smaller = e.emit(f"select {condition} {a_smaller}, {double} {a}, {double} {b}")
    larger = e.emit(f"select {condition} {a_smaller}, {double} {b}, {double} {a}")
    smaller, c = e.emit(f"fmul {double} {smaller}, {up}"), e.emit(f"fmul {double} {c}, {up}")
    high, low = _two_product(e, lanes, smaller, larger)
    sum_high, sum_low = _two_sum(e, lanes, c, low)
    total_high, total_low = _two_sum(e, lanes, high, sum_high)
    rest = _add_to_odd(e, lanes, sum_low, total_low)
    exact = e.emit(f"fmul {double} {e.emit(f'fadd {double} {total_high}, {rest}')}, {down}")
    is_finite = e.emit(f"fcmp olt {double} {absolute(simple)}, {number(float('inf'))}")
    is_sound = e.emit(f"fcmp ord {double} {exact}, {exact}")  # a factor next to infinity cannot be split
    use = e.emit(f"and {condition} {is_finite}, {is_sound}")
    return e.emit(f"select {condition} {use}, {double} {exact}, {double} {simple}")


def _two_product(e: Emitter, lanes: int, a: str, b: str) -> tuple[str, str]:
    """Product and its rounding error (Dekker), the factors split by their bits, which cannot overflow."""
    double = vector_type("double", lanes)
    (a_high, a_low), (b_high, b_low) = _split(e, lanes, a), _split(e, lanes, b)
    product = e.emit(f"fmul {double} {a}, {b}")
    error = e.emit(f"fsub {double} {e.emit(f'fmul {double} {a_high}, {b_high}')}, {product}")
    error = e.emit(f"fadd {double} {error}, {e.emit(f'fmul {double} {a_high}, {b_low}')}")
    error = e.emit(f"fadd {double} {error}, {e.emit(f'fmul {double} {a_low}, {b_high}')}")
    return product, e.emit(f"fadd {double} {error}, {e.emit(f'fmul {double} {a_low}, {b_low}')}")


def _split(e: Emitter, lanes: int, x: str) -> tuple[str, str]:
    """A float64 as a sum of two with fractions of 26 bits, the upper one rounded (the lower one has a sign)."""
    double, word = vector_type("double", lanes), vector_type("i64", lanes)
    bits = e.emit(f"bitcast {double} {x} to {word}")
    rounded = e.emit(f"add {word} {bits}, {constant(0x4000000, 'i64', lanes)}")
    cut = e.emit(f"and {word} {rounded}, {constant(~0x7FFFFFF, 'i64', lanes)}")
    high = e.emit(f"bitcast {word} {cut} to {double}")
    return high, e.emit(f"fsub {double} {x}, {high}")


def _i32(value: int, lanes: int) -> str:
    return constant(value, "i32", lanes)


def _f32(value: float, lanes: int) -> str:
    return constant(value, "float", lanes)


def _i1(lanes: int) -> str:
    return vector_type("i1", lanes)
