"""Integer expressions: sizes that may be symbolic, and the indices of kernels.

In: ints and named symbols with bounds. Out: expressions in one normal form, a polynomial (sum of coefficient times
product of atoms); an atom is a symbol, a floor quotient, a remainder, a least or a greatest. Sizes that compare equal
are equal, and equal polynomials compare equal. An expression without symbols is a plain `int`.

>>> n = symbol("n", 1, 64)
>>> (n * 10 + 4) // 2, (n * 8 + 3) % 8
(5*n + 2, 3)
>>> bounds(n * 2 + 1)
(3, 129)
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from functools import reduce

from graphc.ir.division import maximum, minimum, quotient, remainder
from graphc.ir.polynomial import (
    MAX_SIZE,
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
    from_atom,
    is_at_least,
    is_at_most,
    join_terms,
    linear,
    operand_text,
    symbols,
    terms_of,
)

__all__ = [
    "MAX_SIZE",
    "Atom",
    "Dim",
    "Greatest",
    "Least",
    "Monomial",
    "Quotient",
    "Remainder",
    "Size",
    "SizeSyntaxError",
    "Symbol",
    "bounds",
    "evaluate",
    "is_at_least",
    "is_at_most",
    "linear",
    "maximum",
    "minimum",
    "parse_size",
    "product",
    "quotient",
    "read_size",
    "remainder",
    "render",
    "substitute",
    "symbol",
    "symbols",
]


def symbol(name: str, lower: int = 0, upper: Size = MAX_SIZE) -> Size:
    """A named integer with inclusive bounds; a plain int where the bounds leave one value."""
    if isinstance(upper, int) and upper == lower:
        return lower
    return from_atom(Symbol(name, lower, upper))


def product(sizes: Iterable[Size]) -> Size:
    """Product of the sizes; 1 where there are none."""
    return reduce(operator.mul, sizes, 1)


def substitute(size: Size, values: Mapping[str, Size]) -> Size:
    """The expression with symbols replaced by name."""
    if isinstance(size, int) or not any(s.name in values for s in symbols(size)):
        return size
    total: Size = 0
    for monomial, coefficient in size.terms:
        term: Size = coefficient
        for atom in monomial:
            term = term * _substitute_atom(atom, values)
        total = total + term
    return total


def evaluate(size: Size, values: Mapping[str, int]) -> int:
    """The expression's value; KeyError names a symbol without one."""
    if isinstance(size, int):
        return size
    total = 0
    for monomial, coefficient in size.terms:
        for atom in monomial:
            coefficient *= _evaluate_atom(atom, values)
        total += coefficient
    return total


def _substitute_atom(atom: Atom, values: Mapping[str, Size]) -> Size:
    match atom:
        case Symbol(name=name):
            return values[name] if name in values else from_atom(atom)
        case Quotient(dividend=a, divisor=b):
            return quotient(substitute(a, values), substitute(b, values))
        case Remainder(dividend=a, divisor=b):
            return remainder(substitute(a, values), substitute(b, values))
        case Least(operands=operands):
            return minimum(*(substitute(o, values) for o in operands))
        case Greatest(operands=operands):
            return maximum(*(substitute(o, values) for o in operands))


def _evaluate_atom(atom: Atom, values: Mapping[str, int]) -> int:
    match atom:
        case Symbol(name=name):
            return values[name]
        case Quotient(dividend=a, divisor=b):
            return evaluate(a, values) // evaluate(b, values)
        case Remainder(dividend=a, divisor=b):
            return evaluate(a, values) % evaluate(b, values)
        case Least(operands=operands):
            return min(evaluate(o, values) for o in operands)
        case Greatest(operands=operands):
            return max(evaluate(o, values) for o in operands)


# Text


def render(size: Size, names: Mapping[str, str]) -> str:
    """The text with symbols under other names; its order depends on those names alone, not on the symbols' own."""
    if isinstance(size, int):
        return str(size)
    terms = [
        (not monomial, sorted(_render_atom(atom, names) for atom in monomial), coefficient)
        for monomial, coefficient in size.terms
    ]
    terms.sort()
    return join_terms((coefficient, factors) for _, factors, coefficient in terms)


def _render_atom(atom: Atom, names: Mapping[str, str]) -> str:
    match atom:
        case Symbol(name=name):
            return names[name]
        case Quotient(dividend=a, divisor=b):
            return f"({operand_text(a, render(a, names))} // {operand_text(b, render(b, names))})"
        case Remainder(dividend=a, divisor=b):
            return f"({operand_text(a, render(a, names))} % {operand_text(b, render(b, names))})"
        case Least(operands=operands):
            return f"min({', '.join(sorted(render(o, names) for o in operands))})"
        case Greatest(operands=operands):
            return f"max({', '.join(sorted(render(o, names) for o in operands))})"


class SizeSyntaxError(ValueError):
    """Text that is no size, and where in it."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


_TOKEN = re.compile(r"[ \t]*(?:([0-9]+)|([^\W\d][\w.]*)|(//|[-+*%(),]))")
_MAX_DIGITS = 40
_MAX_NESTING = 100
_MAX_PRODUCTS = 256


def parse_size(text: str, known: Mapping[str, Size]) -> Size:
    """Parse the printed form of an expression; `known` gives the symbols. Raises SizeSyntaxError on anything else."""
    size, end = read_size(text, 0, known)
    if text[end:].strip(" \t"):
        raise SizeSyntaxError(f"expected an operator or the end, got {text[end:].strip()[:20]!r}", end)
    return size


def read_size(text: str, start: int, known: Mapping[str, Size]) -> tuple[Size, int]:
    """The longest expression that `text` has from `start` on, and where it ends."""
    reader = _Reader(text, start, known)
    return reader.sum(0), reader.position


class _Reader:
    """Recursive descent: sums of products of numbers, symbols, calls of min and max, and parentheses."""

    def __init__(self, text: str, start: int, known: Mapping[str, Size]) -> None:
        self.text = text
        self.position = start
        self.known = known

    def sum(self, depth: int) -> Size:
        """product (("+" | "-") product)*"""
        total = self.product(depth)
        while (sign := self.take("+", "-")) is not None:
            term = self.product(depth)
            total = total + term if sign == "+" else total - term
        return total

    def product(self, depth: int) -> Size:
        """("-")* factor (("*" | "//" | "%") factor)*; the sign is that of the first factor, as in Python"""
        sign = 1
        while self.take("-") is not None:
            sign = -sign
        total = sign * self.factor(depth)
        while (mark := self.take("*", "//", "%")) is not None:
            start = self.position
            other = self.factor(depth)
            if mark == "*":
                if len(terms_of(total)) * len(terms_of(other)) > _MAX_PRODUCTS:  # such products would grow without end
                    raise SizeSyntaxError("a product of too many terms", start)
                total = total * other
            elif other == 0:
                raise SizeSyntaxError("division by zero", start)
            else:
                total = quotient(total, other) if mark == "//" else remainder(total, other)
        return total

    def factor(self, depth: int) -> Size:
        """number | symbol | ("min" | "max") "(" sum ("," sum)* ")" | "(" sum ")" """
        if depth > _MAX_NESTING:
            raise SizeSyntaxError(f"parentheses nest deeper than {_MAX_NESTING}", self.position)
        match = _TOKEN.match(self.text, self.position)
        start = self.position
        if match is None:
            raise SizeSyntaxError(f"expected a size, got {self.ahead()}", start)
        number, name, mark = match.groups()
        self.position = match.end()
        if number is not None:
            if len(number) > _MAX_DIGITS:
                raise SizeSyntaxError("a number too large for a size", match.start(1))
            return int(number)
        if name in ("min", "max") and self.take("(") is not None:
            operands = [self.sum(depth + 1)]
            while self.take(",") is not None:
                operands.append(self.sum(depth + 1))
            self.expect(")")
            return minimum(*operands) if name == "min" else maximum(*operands)
        if name is not None:
            if name not in self.known:
                raise SizeSyntaxError(f"unknown size {name!r}", match.start(2))
            return self.known[name]
        if mark == "(":
            inner = self.sum(depth + 1)
            self.expect(")")
            return inner
        raise SizeSyntaxError(f"expected a size, got {mark!r}", match.start(3))

    def take(self, *marks: str) -> str | None:
        """The next token if it is one of these marks; it is then consumed."""
        match = _TOKEN.match(self.text, self.position)
        if match is None or match.group(3) not in marks:
            return None
        self.position = match.end()
        return match.group(3)

    def expect(self, mark: str) -> None:
        """Consume this mark."""
        if self.take(mark) is None:
            raise SizeSyntaxError(f"expected {mark!r}, got {self.ahead()}", self.position)

    def ahead(self) -> str:
        """What comes next, for messages."""
        rest = self.text[self.position : self.position + 20].strip()
        return repr(rest) if rest else "the end"
