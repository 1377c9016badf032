"""Integer expressions: sizes that may be symbolic, and the indices of kernels.

In: ints and named symbols with bounds. Out: expressions in one normal form, so that two sizes are equal exactly when
they compare equal. The normal form is a polynomial (sum of coefficient times product of atoms); an atom is a symbol, a
floor quotient, a remainder, a least or a greatest. An expression without symbols is a plain `int`.

>>> n = symbol("n", 1, 64)
>>> (n * 10 + 4) // 2, (n * 8 + 3) % 8
(5*n + 2, 3)
>>> bounds(n * 2 + 1)
(3, 129)
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import TypeAlias

MAX_SIZE = 2**48 - 1
"""The bound of a size of which nothing is known: no machine addresses more."""

Size: TypeAlias = "int | Dim"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A named integer between two inclusive bounds; the upper one may be an expression (a loop's extent less one)."""

    name: str
    lower: int = 0
    upper: Size = MAX_SIZE

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Quotient:
    """Floor quotient of two expressions; the divisor is positive."""

    dividend: Dim
    divisor: Size

    def __str__(self) -> str:
        return f"({self.dividend} // {_factor(self.divisor)})"


@dataclass(frozen=True, slots=True)
class Remainder:
    """What the floor quotient leaves; at least 0 and less than the divisor, which is positive."""

    dividend: Dim
    divisor: Size

    def __str__(self) -> str:
        return f"({self.dividend} % {_factor(self.divisor)})"


@dataclass(frozen=True, slots=True)
class Least:
    """The least of two or more expressions."""

    operands: tuple[Size, ...]

    def __str__(self) -> str:
        return f"min({', '.join(map(str, self.operands))})"


@dataclass(frozen=True, slots=True)
class Greatest:
    """The greatest of two or more expressions."""

    operands: tuple[Size, ...]

    def __str__(self) -> str:
        return f"max({', '.join(map(str, self.operands))})"


Atom: TypeAlias = "Symbol | Quotient | Remainder | Least | Greatest"
Monomial: TypeAlias = "tuple[Atom, ...]"


def _factor(size: Size) -> str:
    text = str(size)
    simple = isinstance(size, int) or text.isidentifier() or (len(size.terms) == 1 and text.endswith(")"))
    return text if simple else f"({text})"


@dataclass(frozen=True, eq=False)
class Dim:
    """A polynomial over atoms that is no plain integer. Build it with operators, `symbol`, `minimum` and `maximum`."""

    terms: tuple[tuple[Monomial, int], ...]
    _hash: int = field(init=False, repr=False)

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
        return _polynomial([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __neg__(self) -> Size:
        return _polynomial((monomial, -coefficient) for monomial, coefficient in self.terms)

    def __sub__(self, other: Size) -> Size:
        return self + -other

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        return _polynomial((_times(a, b), x * y) for a, x in self.terms for b, y in _terms(other))

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return quotient(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return quotient(other, self)

    def __mod__(self, other: Size) -> Size:
        return remainder(self, other)

    def __rmod__(self, other: Size) -> Size:
        return remainder(other, self)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        parts: list[str] = []
        for monomial, coefficient in self.terms:
            factors = "*".join(map(str, monomial))
            size = abs(coefficient)
            text = factors if factors and size == 1 else f"{size}*{factors}" if factors else str(size)
            if not parts:
                parts.append(text if coefficient > 0 else f"-{text}")
            else:
                parts.append(f" + {text}" if coefficient > 0 else f" - {text}")
        return "".join(parts)

    @cached_property
    def _bounds(self) -> tuple[int, int]:
        low = high = 0
        for monomial, coefficient in self.terms:
            least, greatest = coefficient, coefficient
            for atom in monomial:
                corners = [x * y for x in (least, greatest) for y in _atom_bounds(atom)]
                least, greatest = min(corners), max(corners)
            low, high = low + least, high + greatest
        return low, high


def symbol(name: str, lower: int = 0, upper: Size = MAX_SIZE) -> Size:
    """A named integer with inclusive bounds; a plain int where the bounds leave one value."""
    if isinstance(upper, int) and upper == lower:
        return lower
    return Dim((((Symbol(name, lower, upper),), 1),))


def minimum(*sizes: Size) -> Size:
    """The least of the sizes, decided where the bounds decide it."""
    return _extreme(Least, sizes, lambda a, b: is_at_most(a, b))


def maximum(*sizes: Size) -> Size:
    """The greatest of the sizes, decided where the bounds decide it."""
    return _extreme(Greatest, sizes, lambda a, b: is_at_most(b, a))


def quotient(dividend: Size, divisor: Size) -> Size:
    """Floor quotient; `divisor` is taken to be positive where it is symbolic."""
    if isinstance(dividend, int) and isinstance(divisor, int):
        return dividend // divisor
    if divisor == 1:
        return dividend
    whole, rest = _divide(dividend, divisor)
    if is_at_least(rest, 0) and is_at_least(divisor - rest, 1):
        return whole
    if isinstance(rest, int) and isinstance(divisor, int):
        return whole + rest // divisor
    if isinstance(rest, Dim) and isinstance(divisor, int):
        inner = _single_quotient(rest)
        if inner is not None and isinstance(inner.divisor, int):  # (x // a) // b = x // (a * b)
            return whole + quotient(inner.dividend, inner.divisor * divisor)
        shift = rest.terms[-1][1] // divisor * divisor if not rest.terms[-1][0] else 0
        if shift:  # (x + c) // d with c beyond d: take the whole part of c out
            return whole + shift // divisor + quotient(rest - shift, divisor)
    return whole + _atom(Quotient(_as_dim(rest), divisor))


def remainder(dividend: Size, divisor: Size) -> Size:
    """Remainder of the floor quotient; `divisor` is taken to be positive where it is symbolic."""
    if isinstance(dividend, int) and isinstance(divisor, int):
        return dividend % divisor
    if divisor == 1:
        return 0
    _, rest = _divide(dividend, divisor)
    if is_at_least(rest, 0) and is_at_least(divisor - rest, 1):
        return rest
    if isinstance(rest, int) and isinstance(divisor, int):
        return rest % divisor
    if isinstance(rest, Dim) and isinstance(divisor, int) and not rest.terms[-1][0]:
        shift = rest.terms[-1][1] // divisor * divisor
        if shift:
            return remainder(rest - shift, divisor)
    return _atom(Remainder(_as_dim(rest), divisor))


def product(sizes: Iterable[Size]) -> Size:
    """Product of the sizes; 1 where there are none."""
    return reduce(operator.mul, sizes, 1)


def bounds(size: Size) -> tuple[int, int]:
    """Inclusive numeric bounds that the expression can't leave (not always the tightest)."""
    return (size, size) if isinstance(size, int) else size._bounds


def is_at_least(size: Size, least: int) -> bool:
    """Whether the bounds prove `size >= least`; False also means "not known"."""
    if isinstance(size, int):
        return size >= least
    if size._bounds[0] >= least:
        return True
    lowest = _at_extreme(size)
    return lowest is not None and bounds(lowest)[0] >= least


def is_at_most(a: Size, b: Size) -> bool:
    """Whether the bounds prove `a <= b`; False also means "not known"."""
    return is_at_least(b - a, 0)


def symbols(size: Size) -> tuple[Symbol, ...]:
    """The symbols of an expression in order of first appearance, those of bounds not counted."""
    found: dict[Symbol, None] = {}
    for atom in _walk(size):
        if isinstance(atom, Symbol):
            found[atom] = None
    return tuple(found)


def substitute(size: Size, values: Mapping[str, Size]) -> Size:
    """The expression with symbols replaced by name."""
    if isinstance(size, int) or not any(s.name in values for s in symbols(size)):
        return size
    return _rebuild(size, lambda s: values[s.name] if s.name in values else _atom(s))


def evaluate(size: Size, values: Mapping[str, int]) -> int:
    """The expression's value; KeyError names a symbol without one."""
    result = size if isinstance(size, int) else _rebuild(size, lambda s: values[s.name])
    assert isinstance(result, int)
    return result


def linear(size: Size, name: str) -> tuple[Size, Size] | None:
    """(rest, coefficient) with `size == rest + coefficient * name` and neither using `name`; None if there are none."""
    if isinstance(size, int):
        return size, 0
    rest: list[tuple[Monomial, int]] = []
    slope: list[tuple[Monomial, int]] = []
    for monomial, coefficient in size.terms:
        uses = [a for a in monomial if any(isinstance(x, Symbol) and x.name == name for x in _walk(_atom(a)))]
        if not uses:
            rest.append((monomial, coefficient))
        elif len(uses) == 1 and isinstance(uses[0], Symbol):
            slope.append((tuple(a for a in monomial if a is not uses[0]), coefficient))
        else:
            return None
    return _polynomial(rest), _polynomial(slope)


def parse_size(text: str, known: Mapping[str, Size]) -> Size:
    """Parse the printed form of an expression; `known` gives the symbols. Raises ValueError on anything else."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is not a size") from error
    return _from_syntax(tree, text, known)


_OPERATORS: dict[type[ast.operator], Callable[[Size, Size], Size]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: quotient,
    ast.Mod: remainder,
}


def _from_syntax(tree: ast.expr, text: str, known: Mapping[str, Size]) -> Size:
    match tree:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_from_syntax(operand, text, known)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            a, b = _from_syntax(left, text, known), _from_syntax(right, text, known)
            if b == 0 and isinstance(op, ast.FloorDiv | ast.Mod):
                raise ValueError(f"{text!r} divides by zero")
            return _OPERATORS[type(op)](a, b)
        case ast.Call(func=ast.Name(id="min"), args=args, keywords=[]) if args:
            return minimum(*(_from_syntax(a, text, known) for a in args))
        case ast.Call(func=ast.Name(id="max"), args=args, keywords=[]) if args:
            return maximum(*(_from_syntax(a, text, known) for a in args))
        case ast.Name(id=name):
            raise ValueError(f"{text!r} names an unknown size {name!r}")
        case _:
            raise ValueError(f"{text!r} is not a size")


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(size, Dim):
        return size.terms
    return (((), int(size)),) if size else ()


def _times(a: Monomial, b: Monomial) -> Monomial:
    return tuple(sorted((*a, *b), key=str)) if a and b else a or b


def _polynomial(terms: Iterable[tuple[Monomial, int]]) -> Size:
    sums: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        sums[monomial] = sums.get(monomial, 0) + coefficient
    kept = [(m, c) for m, c in sums.items() if c]
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    # Names in order, the constant last: the order is part of the normal form.
    return Dim(tuple(sorted(kept, key=lambda t: (not t[0], [str(a) for a in t[0]]))))


def _atom(atom: Atom) -> Dim:
    return Dim((((atom,), 1),))


def _as_dim(size: Size) -> Dim:
    return size if isinstance(size, Dim) else Dim((((), size),))


def _atom_bounds(atom: Atom) -> tuple[int, int]:
    match atom:
        case Symbol(lower=lower, upper=upper):
            return lower, max(lower, bounds(upper)[1])
        case Quotient(dividend=dividend, divisor=divisor):
            (low, high), (least, greatest) = bounds(dividend), bounds(divisor)
            least, greatest = max(1, least), max(1, greatest)
            return min(low // least, low // greatest), max(high // least, high // greatest)
        case Remainder(divisor=divisor):
            return 0, max(0, bounds(divisor)[1] - 1)
        case Least(operands=operands):
            each = [bounds(o) for o in operands]
            return min(b[0] for b in each), min(b[1] for b in each)
        case Greatest(operands=operands):
            each = [bounds(o) for o in operands]
            return max(b[0] for b in each), max(b[1] for b in each)


def _at_extreme(size: Dim) -> Size | None:
    """A lower bound of `size` with every symbol of symbolic range put at the end that makes it least, if that helps."""
    current: Size = size
    for _ in range(8):  # bounds may name symbols with symbolic bounds in turn: loops nest a few deep
        if isinstance(current, int):
            return current
        loop = next((s for s in symbols(current) if isinstance(s.upper, Dim)), None)
        if loop is None:
            return current
        parts = linear(current, loop.name)
        if parts is None:
            return None
        rest, slope = parts
        if bounds(slope)[0] >= 0:
            current = rest + slope * loop.lower
        elif bounds(slope)[1] <= 0:
            current = rest + slope * loop.upper
        else:
            return None
    return None


def _divide(dividend: Size, divisor: Size) -> tuple[Size, Size]:
    """(whole, rest) with `dividend == whole * divisor + rest`, as much in `whole` as its terms allow."""
    whole: list[tuple[Monomial, int]] = []
    rest: list[tuple[Monomial, int]] = []
    factor = _terms(divisor)
    for monomial, coefficient in _terms(dividend):
        reduced = _without(monomial, factor[0][0]) if len(factor) == 1 else None
        if reduced is not None and coefficient % factor[0][1] == 0:
            whole.append((reduced, coefficient // factor[0][1]))
        else:
            rest.append((monomial, coefficient))
    return _polynomial(whole), _polynomial(rest)


def _without(monomial: Monomial, factors: Monomial) -> Monomial | None:
    left = list(monomial)
    for atom in factors:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def _single_quotient(size: Dim) -> Quotient | None:
    if len(size.terms) == 1:
        monomial, coefficient = size.terms[0]
        if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], Quotient):
            return monomial[0]
    return None


def _extreme(kind: type[Least] | type[Greatest], sizes: tuple[Size, ...], wins: Callable[[Size, Size], bool]) -> Size:
    kept: list[Size] = []
    for size in sizes:
        if not any(wins(k, size) for k in kept):
            kept = [k for k in kept if not wins(size, k)] + [size]
    if len(kept) == 1:
        return kept[0]
    return _atom(kind(tuple(sorted(kept, key=str))))


def _walk(size: Size) -> Iterator[Atom]:
    pending: list[Size] = [size]
    while pending:
        current = pending.pop()
        if isinstance(current, int):
            continue
        for monomial, _ in current.terms:
            for atom in monomial:
                yield atom
                match atom:
                    case Quotient(dividend=a, divisor=b) | Remainder(dividend=a, divisor=b):
                        pending += (b, a)
                    case Least(operands=operands) | Greatest(operands=operands):
                        pending += operands[::-1]
                    case Symbol():
                        pass


def _rebuild(size: Size, leaf: Callable[[Symbol], Size]) -> Size:
    if isinstance(size, int):
        return size
    total: Size = 0
    for monomial, coefficient in size.terms:
        term: Size = coefficient
        for atom in monomial:
            match atom:
                case Symbol():
                    value = leaf(atom)
                case Quotient(dividend=a, divisor=b):
                    value = quotient(_rebuild(a, leaf), _rebuild(b, leaf))
                case Remainder(dividend=a, divisor=b):
                    value = remainder(_rebuild(a, leaf), _rebuild(b, leaf))
                case Least(operands=operands):
                    value = minimum(*(_rebuild(o, leaf) for o in operands))
                case Greatest(operands=operands):
                    value = maximum(*(_rebuild(o, leaf) for o in operands))
            term = term * value
        total = total + term
    return total
