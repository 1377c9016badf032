"""Fused multiply-add: an instruction, or where the machine has none, arithmetic that gives the same bits.

In: registers. Out: the register of a * b + c, rounded once. float32 goes through float64, where the product is exact
and the sum is rounded to odd, which makes the second rounding harmless; float64 through error-free transformations on
scaled numbers (Boldo and Melquiond: Emulation of FMA and correctly rounded sums, 2008). A call of libm's function would
not do: it is scalar code, and the only function that kernels would ask for.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.codegen.emitter import Emitter, constant, vector_type

_FAR = 300
"""Beyond this difference of exponents one addend only decides in which direction the other is rounded."""
_EXPONENT = 0x7FF << 52


def fma(e: Emitter, scalar: str, lanes: int, a: str, b: str, c: str) -> str:
    """a * b + c rounded once, on every machine; `scalar` is float or double."""
    type_ = vector_type(scalar, lanes)
    if e.target.has_fma:
        return e.intrinsic("fma", type_, (type_, a), (type_, b), (type_, c))
    return _Doubles(e, lanes).fma_of_floats(a, b, c) if scalar == "float" else _Doubles(e, lanes).fma(a, b, c)


@dataclass(frozen=True, slots=True)
class _Doubles:
    """Writes arithmetic on float64 and their bits."""

    e: Emitter
    lanes: int

    @property
    def double(self) -> str:
        return vector_type("double", self.lanes)

    @property
    def word(self) -> str:
        return vector_type("i64", self.lanes)

    @property
    def condition(self) -> str:
        return vector_type("i1", self.lanes)

    def number(self, value: float) -> str:
        return constant(value, "double", self.lanes)

    def integer(self, value: int) -> str:
        return constant(value, "i64", self.lanes)

    def real(self, op: str, a: str, b: str) -> str:
        """fadd, fsub, fmul."""
        return self.e.emit(f"{op} {self.double} {a}, {b}")

    def whole(self, op: str, a: str, b: str) -> str:
        """An instruction on i64."""
        return self.e.emit(f"{op} {self.word} {a}, {b}")

    def test(self, comparison: str, a: str, b: str) -> str:
        """A comparison of float64."""
        return self.e.emit(f"fcmp {comparison} {self.double} {a}, {b}")

    def both(self, *conditions: str) -> str:
        result = conditions[0]
        for other in conditions[1:]:
            result = self.e.emit(f"and {self.condition} {result}, {other}")
        return result

    def choose(self, condition: str, a: str, b: str) -> str:
        return self.e.emit(f"select {self.condition} {condition}, {self.double} {a}, {self.double} {b}")

    def clamp(self, value: str, low: int, high: int) -> str:
        """An i64 between two numbers."""
        value = self.e.intrinsic("smax", self.word, (self.word, value), (self.word, self.integer(low)))
        return self.e.intrinsic("smin", self.word, (self.word, value), (self.word, self.integer(high)))

    def absolute(self, x: str) -> str:
        return self.e.intrinsic("fabs", self.double, (self.double, x))

    def bits(self, x: str) -> str:
        return self.e.emit(f"bitcast {self.double} {x} to {self.word}")

    def of_bits(self, x: str) -> str:
        return self.e.emit(f"bitcast {self.word} {x} to {self.double}")

    def power(self, exponent: str) -> str:
        """2 to the exponent, an i64 that gives a normal number."""
        return self.of_bits(self.whole("shl", self.whole("add", exponent, self.integer(1023)), self.integer(52)))

    def is_finite_nonzero(self, x: str) -> str:
        absolute = self.absolute(x)
        return self.both(
            self.test("olt", absolute, self.number(float("inf"))), self.test("ogt", absolute, self.number(0))
        )

    def fma_of_floats(self, a: str, b: str, c: str) -> str:
        """float32: the product of two is exact in float64."""
        number = vector_type("float", self.lanes)
        x, y, z = (self.e.emit(f"fpext {number} {value} to {self.double}") for value in (a, b, c))
        total = self.add_to_odd(self.real("fmul", x, y), z)
        return self.e.emit(f"fptrunc {self.double} {total} to {number}")

    def fma(self, a: str, b: str, c: str) -> str:
        """float64: fractions and exponents apart."""
        # Operands that are zero, infinite or nan need plain arithmetic. Yet the product of finite ones must not become
        # infinite beside an infinite c, nor lose its sign to underflow beside a zero c.
        product = self.real("fmul", a, b)
        plain = self.real("fadd", product, c)
        hard_factors = self.both(self.is_finite_nonzero(a), self.is_finite_nonzero(b))
        infinite_c = self.test("oeq", self.absolute(c), self.number(float("inf")))
        zero_c = self.test("oeq", c, self.number(0))
        plain = self.choose(self.both(hard_factors, infinite_c), c, plain)
        plain = self.choose(self.both(hard_factors, zero_c), product, plain)
        is_hard = self.both(hard_factors, self.is_finite_nonzero(c))
        (a_part, a_power), (b_part, b_power), (c_part, c_power) = map(self.fraction, (a, b, c))
        power = self.whole("add", a_power, b_power)
        difference = self.whole("sub", c_power, power)
        c_scaled = self.real("fmul", c_part, self.power(self.clamp(difference, -_FAR, _FAR)))
        high_product, low_product = self.two_product(a_part, b_part)
        low, lowest = self.two_sum(c_scaled, low_product)
        high, middle = self.two_sum(high_product, low)
        rest = self.add_to_odd(lowest, middle)
        result = self.scale(self.real("fadd", high, rest), power)
        # A result below the normal numbers is rounded at their last place: beside a number whose last place that is.
        place = self.clamp(self.whole("sub", self.integer(-1074), power), -900, 900)
        anchor = self.real("fmul", self.power(place), self.number(1.5 * 2.0**52))
        anchored, error = self.two_sum(anchor, high)
        rounded = self.real("fsub", self.real("fadd", anchored, self.add_to_odd(error, rest)), anchor)
        is_tiny = self.both(
            self.test("olt", self.absolute(result), self.number(2.0**-1021)), self.test("une", rounded, result)
        )
        result = self.choose(is_tiny, self.scale(rounded, power), result)
        far = self.e.emit(f"icmp sgt {self.word} {difference}, {self.integer(_FAR)}")
        return self.choose(is_hard, self.choose(far, c, result), plain)

    def fraction(self, x: str) -> tuple[str, str]:
        """The number as a fraction in [0.5, 1) and a power of two; for zero, inf and nan anything."""
        is_subnormal = self.test("olt", self.absolute(x), self.number(2.0**-1022))
        scaled = self.choose(is_subnormal, self.real("fmul", x, self.number(2.0**54)), x)
        bits = self.bits(scaled)
        field = self.whole("lshr", self.whole("and", bits, self.integer(_EXPONENT)), self.integer(52))
        shift = self.e.emit(
            f"select {self.condition} {is_subnormal}, {self.word} {self.integer(1022 + 54)}, "
            f"{self.word} {self.integer(1022)}"
        )
        part = self.whole("or", self.whole("and", bits, self.integer(~_EXPONENT)), self.integer(1022 << 52))
        return self.of_bits(part), self.whole("sub", field, shift)

    def scale(self, x: str, power: str) -> str:
        """x times 2 to the power, in four steps of which only the last can round."""
        quarter = self.whole("ashr", power, self.integer(2))
        last = self.whole("sub", power, self.whole("mul", quarter, self.integer(3)))
        step = self.power(quarter)
        for _ in range(3):
            x = self.real("fmul", x, step)
        return self.real("fmul", x, self.power(last))

    def two_sum(self, a: str, b: str) -> tuple[str, str]:
        """Sum and its rounding error (Knuth)."""
        total = self.real("fadd", a, b)
        b_part = self.real("fsub", total, a)
        a_error = self.real("fsub", a, self.real("fsub", total, b_part))
        return total, self.real("fadd", a_error, self.real("fsub", b, b_part))

    def two_product(self, a: str, b: str) -> tuple[str, str]:
        """Product and its rounding error (Dekker), for numbers of moderate size."""
        (a_high, a_low), (b_high, b_low) = self.halves(a), self.halves(b)
        product = self.real("fmul", a, b)
        error = self.real("fsub", self.real("fmul", a_high, b_high), product)
        error = self.real("fadd", error, self.real("fmul", a_high, b_low))
        error = self.real("fadd", error, self.real("fmul", a_low, b_high))
        return product, self.real("fadd", error, self.real("fmul", a_low, b_low))

    def halves(self, x: str) -> tuple[str, str]:
        """A number as a sum of two with fractions of 26 bits (Veltkamp)."""
        wide = self.real("fmul", x, self.number(2.0**27 + 1))
        high = self.real("fsub", wide, self.real("fsub", wide, x))
        return high, self.real("fsub", x, high)

    def add_to_odd(self, a: str, b: str) -> str:
        """a + b; where that is inexact, of the two neighbours the one whose last bit is set."""
        total, error = self.two_sum(a, b)
        bits = self.bits(total)
        last = self.whole("and", bits, self.integer(1))
        is_even = self.e.emit(f"icmp eq {self.word} {last}, {self.integer(0)}")
        inexact = self.test("one", error, self.number(0))
        # Away from zero where the error has the sum's sign, else towards it.
        differs = self.whole("ashr", self.whole("xor", bits, self.bits(error)), self.integer(63))
        moved = self.of_bits(self.whole("add", bits, self.whole("or", differs, self.integer(1))))
        return self.choose(self.both(inexact, is_even), moved, total)
