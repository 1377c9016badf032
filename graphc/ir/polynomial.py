"""The normal form of integer expressions: polynomials over atoms, their arithmetic, bounds, and what bounds prove.

Below `graphc.ir.dim`, which is what other modules use. In: atoms (symbols, quotients, remainders, extremes) and
coefficients. Out: a `Dim` whose terms stand in one order, or a plain `int` where no symbol is left.

>>> n = Symbol("n", 1, 64).size
>>> n * 2 + n - 1, bounds(n * 2 + 1), is_at_least(n - 1, 0)
(3*n - 1, (3, 129), True)

Hashes, texts and bounds are kept once computed: the compiler compares and adds sizes in its inner loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

MAX_SIZE = 2**48 - 1
"""The bound of a size of which nothing is known: no machine addresses more."""

Size: TypeAlias = "int | Dim"


class _Structural:
    """Equality by parts; hash and text are computed once."""

    __slots__ = ("_hash", "_text")
    _hash: int
    _text: str

    def _parts(self) -> tuple[object, ...]:
        raise NotImplementedError

    def _render(self) -> str:
        raise NotImplementedError

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((type(self), self._parts())))
        object.__setattr__(self, "_text", self._render())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, _Structural)
            and self._hash == other._hash
            and type(self) is type(other)
            and self._parts() == other._parts()
        )

    def __str__(self) -> str:
        return self._text


@dataclass(frozen=True, slots=True, eq=False)
class Symbol(_Structural):
    """A named integer between two inclusive bounds; the upper one may be an expression (a loop's extent less one)."""

    name: str
    lower: int = 0
    upper: Size = MAX_SIZE

    @property
    def size(self) -> Dim:
        """The symbol as an expression, also where its bounds leave one value."""
        return from_atom(self)

    def _parts(self) -> tuple[object, ...]:
        return self.name, self.lower, self.upper

    def _render(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Quotient(_Structural):
    """Floor quotient of two expressions; the divisor is positive."""

    dividend: Size
    divisor: Size

    def _parts(self) -> tuple[object, ...]:
        return self.dividend, self.divisor

    def _render(self) -> str:
        return f"({operand_text(self.dividend, str(self.dividend))} // {operand_text(self.divisor, str(self.divisor))})"


@dataclass(frozen=True, slots=True, eq=False)
class Remainder(_Structural):
    """What the floor quotient leaves; at least 0 and less than the divisor, which is positive."""

    dividend: Size
    divisor: Size

    def _parts(self) -> tuple[object, ...]:
        return self.dividend, self.divisor

    def _render(self) -> str:
        return f"({operand_text(self.dividend, str(self.dividend))} % {operand_text(self.divisor, str(self.divisor))})"


@dataclass(frozen=True, slots=True, eq=False)
class Least(_Structural):
    """The least of two or more expressions."""

    operands: tuple[Size, ...]

    def _parts(self) -> tuple[object, ...]:
        return self.operands

    def _render(self) -> str:
        return f"min({', '.join(map(str, self.operands))})"


@dataclass(frozen=True, slots=True, eq=False)
class Greatest(_Structural):
    """The greatest of two or more expressions."""

    operands: tuple[Size, ...]

    def _parts(self) -> tuple[object, ...]:
        return self.operands

    def _render(self) -> str:
        return f"max({', '.join(map(str, self.operands))})"


Atom: TypeAlias = "Symbol | Quotient | Remainder | Least | Greatest"
Monomial: TypeAlias = "tuple[Atom, ...]"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dim:
    """A polynomial over atoms that is no plain integer. Build it with operators, `symbol`, `minimum` and `maximum`."""

    terms: tuple[tuple[Monomial, int], ...]
    """By the texts of their atoms, the constant last."""
    _hash: int = field(init=False)
    # Set when first asked for.
    _text: str = field(init=False)
    _bounds: tuple[int, int] = field(init=False)
    _symbols: tuple[Symbol, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(self.terms))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Dim) and self._hash == other._hash and self.terms == other.terms

    def __bool__(self) -> bool:
        raise TypeError(f"the truth of the symbolic size {self} is not known while building a graph")

    def __add__(self, other: Size) -> Size:
        if isinstance(other, int):
            return _plus(self, other)
        if isinstance(other, Dim):
            return polynomial((*self.terms, *other.terms))
        return NotImplemented

    __radd__ = __add__

    def __neg__(self) -> Size:
        return Dim(tuple([(monomial, -coefficient) for monomial, coefficient in self.terms]))

    def __sub__(self, other: Size) -> Size:
        if isinstance(other, int):
            return _plus(self, -other)
        if isinstance(other, Dim):
            return polynomial((*self.terms, *[(monomial, -coefficient) for monomial, coefficient in other.terms]))
        return NotImplemented

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        if isinstance(other, int):
            if other == 0 or other == 1:
                return self if other else 0
            return Dim(tuple([(monomial, coefficient * other) for monomial, coefficient in self.terms]))
        if isinstance(other, Dim):
            return polynomial([(_times(a, b), x * y) for a, x in self.terms for b, y in other.terms])
        return NotImplemented

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return _quotient(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return _quotient(other, self)

    def __mod__(self, other: Size) -> Size:
        return _remainder(self, other)

    def __rmod__(self, other: Size) -> Size:
        return _remainder(other, self)

    def __str__(self) -> str:
        try:
            return self._text
        except AttributeError:
            text = join_terms((coefficient, [atom._text for atom in monomial]) for monomial, coefficient in self.terms)
            object.__setattr__(self, "_text", text)
            return text

    __repr__ = __str__


def operand_text(size: Size, text: str) -> str:
    """The text of an operand of a division, in parentheses where it needs them."""
    simple = isinstance(size, int) or (len(size.terms) == 1 and size.terms[0][1] == 1 and len(size.terms[0][0]) == 1)
    return text if simple else f"({text})"


def join_terms(terms: Iterable[tuple[int, list[str]]]) -> str:
    """The text of a sum of coefficients times factors."""
    parts: list[str] = []
    for coefficient, factors in terms:
        size = abs(coefficient)
        text = "*".join(factors if size == 1 and factors else [str(size), *factors])
        if not parts:
            parts.append(text if coefficient > 0 else f"-{text}")
        else:
            parts.append(f" + {text}" if coefficient > 0 else f" - {text}")
    return "".join(parts)


def bounds(size: Size) -> tuple[int, int]:
    """Inclusive numeric bounds that the expression can't leave (not always the tightest)."""
    if isinstance(size, int):
        return size, size
    try:
        return size._bounds
    except AttributeError:
        result = _dim_bounds(size)
        object.__setattr__(size, "_bounds", result)
        return result


def is_at_least(size: Size, least: int) -> bool:
    """Whether the bounds prove `size >= least`; False also means "not known"."""
    if isinstance(size, int):
        return size >= least
    return bounds(size)[0] >= least or _is_proved(size, least, 8)


def is_at_most(a: Size, b: Size) -> bool:
    """Whether the bounds prove `a <= b`; False also means "not known"."""
    return is_at_least(b - a, 0)


def symbols(size: Size) -> tuple[Symbol, ...]:
    """The symbols of an expression in order of first appearance, those of bounds not counted."""
    if isinstance(size, int):
        return ()
    try:
        return size._symbols
    except AttributeError:
        result = tuple(dict.fromkeys(atom for atom in _walk(size) if isinstance(atom, Symbol)))
        object.__setattr__(size, "_symbols", result)
        return result


def linear(size: Size, name: str) -> tuple[Size, Size] | None:
    """(rest, coefficient) with `size == rest + coefficient * name` and neither using `name`; None if there are none."""
    if isinstance(size, int) or all(s.name != name for s in symbols(size)):
        return size, 0
    rest: list[tuple[Monomial, int]] = []
    slope: list[tuple[Monomial, int]] = []
    for monomial, coefficient in size.terms:
        uses = [a for a in monomial if any(s.name == name for s in symbols(from_atom(a)))]
        if not uses:
            rest.append((monomial, coefficient))
        elif len(uses) == 1 and isinstance(uses[0], Symbol):
            slope.append((tuple(a for a in monomial if a is not uses[0]), coefficient))
        else:
            return None
    return polynomial(rest), polynomial(slope)


# Arithmetic on terms


def terms_of(size: Size) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(size, Dim):
        return size.terms
    return (((), int(size)),) if size else ()


def _atom_text(atom: Atom) -> str:
    return atom._text


def _times(a: Monomial, b: Monomial) -> Monomial:
    return tuple(sorted((*a, *b), key=_atom_text)) if a and b else a or b


def _term_order(term: tuple[Monomial, int]) -> tuple[bool, list[str]]:
    # Names in order, the constant last: the order is part of the normal form.
    return not term[0], [atom._text for atom in term[0]]


def _plus(size: Dim, constant: int) -> Size:
    """The sum with a plain integer: only the last term changes."""
    if constant == 0:
        return size
    terms = size.terms
    monomial, last = terms[-1]
    if monomial:
        return Dim((*terms, ((), int(constant))))
    return Dim((*terms[:-1], ((), last + constant))) if last + constant else from_terms(terms[:-1])


def from_terms(terms: tuple[tuple[Monomial, int], ...]) -> Size:
    if not terms:
        return 0
    return terms[0][1] if len(terms) == 1 and not terms[0][0] else Dim(terms)


def polynomial(terms: Iterable[tuple[Monomial, int]]) -> Size:
    sums: dict[Monomial, int] = {}
    has_division = False
    for monomial, coefficient in terms:
        sums[monomial] = sums.get(monomial, 0) + coefficient
        for atom in monomial:
            if type(atom) is Quotient or type(atom) is Remainder:
                has_division = True
    kept = [(m, c) for m, c in sums.items() if c]
    if len(kept) > 1:
        kept.sort(key=_term_order)
    result = from_terms(tuple(kept))
    if has_division and len(kept) > 1 and isinstance(result, Dim):
        return _recombined(result)
    return result


def from_atom(atom: Atom) -> Dim:
    return Dim((((atom,), 1),))


# Bounds


def _dim_bounds(size: Dim) -> tuple[int, int]:
    low = high = 0
    for monomial, coefficient in size.terms:
        least = greatest = coefficient
        for atom in monomial:
            first, last = _atom_bounds(atom)
            if first >= 0:  # the usual case: sizes and indices
                least, greatest = least * (first if least >= 0 else last), greatest * (last if greatest >= 0 else first)
            else:
                corners = (least * first, least * last, greatest * first, greatest * last)
                least, greatest = min(corners), max(corners)
        low, high = low + least, high + greatest
    return low, high


def _atom_bounds(atom: Atom) -> tuple[int, int]:
    match atom:
        case Symbol(lower=lower, upper=upper):
            return lower, max(lower, bounds(upper)[1])
        case Quotient(dividend=dividend, divisor=divisor):
            (low, high), (least, greatest) = bounds(dividend), bounds(divisor)
            least, greatest = max(1, least), max(1, greatest)
            return min(low // least, low // greatest), max(high // least, high // greatest)
        case Remainder(dividend=dividend, divisor=divisor):
            (low, high), last = bounds(dividend), max(0, bounds(divisor)[1] - 1)
            return 0, min(high, last) if low >= 0 else last
        case Least(operands=operands):
            each = [bounds(o) for o in operands]
            return min(b[0] for b in each), min(b[1] for b in each)
        case Greatest(operands=operands):
            each = [bounds(o) for o in operands]
            return max(b[0] for b in each), max(b[1] for b in each)


@lru_cache(maxsize=8192)
def _is_proved(size: Dim, least: int, steps: int) -> bool:
    """Whether `size >= least` follows once atoms of symbolic range are put at the end of it that makes `size` least.

    Bounds may name symbols with symbolic bounds in turn: loops nest a few deep, hence a few steps.
    """
    if steps == 0:
        return False
    for atom in dict.fromkeys(atom for monomial, _ in size.terms for atom in monomial):
        first, last = _symbolic_ends(atom)
        if not first and not last:
            continue
        parts = _linear_in(size, atom)
        if parts is None:
            continue
        rest, slope = parts
        low, high = bounds(slope)
        if isinstance(atom, Least | Greatest) and all(
            _holds(rest + slope * operand, least, steps - 1) for operand in atom.operands
        ):
            return True  # the atom is one of its operands, whichever
        ends = first if low >= 0 else last if high <= 0 else ()
        for end in ends:
            if _holds(rest + slope * end, least, steps - 1):
                return True
        if ends and isinstance(atom, Symbol):
            return False  # its end says all there is to know; another order leads to the same
    return False


def _holds(size: Size, least: int, steps: int) -> bool:
    return bounds(size)[0] >= least or (isinstance(size, Dim) and _is_proved(size, least, steps))


def _symbolic_ends(atom: Atom) -> tuple[tuple[Size, ...], tuple[Size, ...]]:
    """Expressions that the atom is at least, and at most; none where plain numbers say it all."""
    match atom:
        case Symbol(lower=lower, upper=Dim() as upper):
            return (lower,), (upper,)
        case Remainder(divisor=Dim() as divisor):
            return (0,), (divisor - 1,)
        case Least(operands=operands):
            return (), operands
        case Greatest(operands=operands):
            return operands, ()
        case _:
            return (), ()


def _linear_in(size: Dim, atom: Atom) -> tuple[Size, Size] | None:
    """(rest, slope) with `size == rest + slope * atom`; both may still hold the atom inside other atoms."""
    rest: list[tuple[Monomial, int]] = []
    slope: list[tuple[Monomial, int]] = []
    for monomial, coefficient in size.terms:
        count = monomial.count(atom)
        if count > 1:
            return None
        if count:
            slope.append((tuple(a for a in monomial if a != atom), coefficient))
        else:
            rest.append((monomial, coefficient))
    return polynomial(rest), polynomial(slope)


def _walk(size: Size) -> Iterator[Atom]:
    """Every atom of the expression, in the order of the text."""
    pending: list[Size | Atom] = [size]
    while pending:
        match pending.pop():
            case Dim(terms=terms):
                pending += [atom for monomial, _ in reversed(terms) for atom in reversed(monomial)]
            case Symbol() as atom:
                yield atom
            case (Quotient(dividend=a, divisor=b) | Remainder(dividend=a, divisor=b)) as atom:
                yield atom
                pending += (b, a)
            case (Least(operands=operands) | Greatest(operands=operands)) as atom:
                yield atom
                pending += operands[::-1]
            case _:
                pass  # a number


# Division is built over this module, so these three import it when called.


def _quotient(dividend: Size, divisor: Size) -> Size:
    from graphc.ir.division import quotient

    return quotient(dividend, divisor)


def _remainder(dividend: Size, divisor: Size) -> Size:
    from graphc.ir.division import remainder

    return remainder(dividend, divisor)


def _recombined(size: Dim) -> Size:
    from graphc.ir.division import recombined

    return recombined(size)
