"""Division of integer expressions, and least and greatest: where atoms come from.

Beside `graphc.ir.polynomial`, below `graphc.ir.dim`, which is what other modules use. In: two expressions. Out: an
expression with as much divided as the terms and the bounds of symbols allow, which is what makes index maps simple:

>>> from graphc.ir.polynomial import Symbol
>>> n, i = Symbol("n", 1).size, Symbol("i").size
>>> j = Symbol("j", 0, n - 1).size
>>> quotient(i * n + j, n), remainder(i * n + j, n)
(i, j)
>>> 8 * quotient(i, 8) + remainder(i, 8)
i
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import gcd
from typing import NoReturn

from graphc.ir.polynomial import (
    Atom,
    Dim,
    Greatest,
    Least,
    Monomial,
    Quotient,
    Remainder,
    Size,
    bounds,
    from_atom,
    from_terms,
    is_at_least,
    is_at_most,
    polynomial,
    terms_of,
)


def minimum(*sizes: Size) -> Size:
    """The least of the sizes, decided where the bounds decide it."""
    return _extreme(Least, sizes)


def maximum(*sizes: Size) -> Size:
    """The greatest of the sizes, decided where the bounds decide it."""
    return _extreme(Greatest, sizes)


def quotient(dividend: Size, divisor: Size) -> Size:
    """Floor quotient; `divisor` is taken to be positive where it is symbolic."""
    if isinstance(divisor, int):
        if isinstance(dividend, int):
            return dividend // divisor
        if divisor == 1:
            return dividend
        if divisor < 1:
            return quotient(-dividend, -divisor) if divisor else _refuse_zero(dividend)
    whole, rest = _divide(dividend, divisor)
    if _is_below(rest, divisor):
        return whole
    steps = _steps_by_bounds(rest, divisor)
    if steps is not None:
        return whole + steps
    if isinstance(rest, Dim):
        if isinstance(divisor, int) and _constant(rest) // divisor:
            steps = _constant(rest) // divisor
            return whole + steps + quotient(rest - steps * divisor, divisor)
        nested = _nested_quotient(rest, divisor)
        if nested is not None:
            return whole + nested
        common = _common_factor(rest, divisor)
        if common is not None:  # (g*high + low) // (g*d) = high // d, as 0 <= low < g
            high, _, reduced, _ = common
            return whole + quotient(high, reduced)
    return whole + from_atom(Quotient(rest, divisor))


def remainder(dividend: Size, divisor: Size) -> Size:
    """Remainder of the floor quotient; `divisor` is taken to be positive where it is symbolic."""
    if isinstance(divisor, int):
        if isinstance(dividend, int):
            return dividend % divisor
        if divisor == 1:
            return 0
        if divisor < 1:
            return -remainder(-dividend, -divisor) if divisor else _refuse_zero(dividend)
    _, rest = _divide(dividend, divisor)
    if _is_below(rest, divisor):
        return rest
    steps = _steps_by_bounds(rest, divisor)
    if steps is not None:
        return rest - steps * divisor
    if isinstance(rest, Dim):
        if isinstance(divisor, int) and _constant(rest) // divisor:
            return remainder(rest - _constant(rest) // divisor * divisor, divisor)
        inner = _single(rest)
        if isinstance(inner, Remainder) and _exact(inner.divisor, divisor) is not None:
            return remainder(inner.dividend, divisor)  # (x % (a*b)) % b = x % b
        common = _common_factor(rest, divisor)
        if common is not None:  # (g*high + low) % (g*d) = g*(high % d) + low, as 0 <= low < g
            high, low, reduced, factor = common
            return factor * remainder(high, reduced) + low
    return from_atom(Remainder(rest, divisor))


# Division


def _refuse_zero(dividend: Size) -> NoReturn:
    raise ZeroDivisionError(f"{dividend} divided by zero")


def _is_below(rest: Size, divisor: Size) -> bool:
    """Whether 0 <= rest < divisor is known, for a divisor above 0."""
    if isinstance(rest, int):
        return rest == 0 or (rest > 0 and bounds(divisor)[0] > rest)
    return is_at_least(rest, 0) and is_at_least(divisor - rest, 1)


def _steps_by_bounds(rest: Size, divisor: Size) -> int | None:
    """The quotient, where it is the same for all values within the bounds."""
    (low, high), (least, greatest) = bounds(rest), bounds(divisor)
    if least < 1:
        return None
    steps = low // least
    return steps if steps == high // least == low // greatest == high // greatest else None


def _constant(size: Size) -> int:
    """The term without symbols."""
    if isinstance(size, int):
        return size
    monomial, constant = size.terms[-1]
    return 0 if monomial else constant


def _divide(dividend: Size, divisor: Size) -> tuple[Size, Size]:
    """(whole, rest) with `dividend == whole * divisor + rest`, as much in `whole` as its terms allow."""
    factor = terms_of(divisor)
    if len(factor) > 1:
        assert isinstance(divisor, Dim)
        return _divide_by_sum(dividend, divisor)
    factors, scale = factor[0]
    whole: list[tuple[Monomial, int]] = []
    rest: list[tuple[Monomial, int]] = []
    for monomial, coefficient in terms_of(dividend):
        reduced = _without(monomial, factors) if coefficient % scale == 0 else None
        if reduced is not None:
            whole.append((reduced, coefficient // scale))
        else:
            rest.append((monomial, coefficient))
    return (polynomial(whole), polynomial(rest)) if whole else (0, dividend)


def _divide_by_sum(dividend: Size, divisor: Dim) -> tuple[Size, Size]:
    """Polynomial division by the term of highest degree; takes nothing out unless what is left is below `divisor`."""
    factors, scale = max(divisor.terms, key=lambda term: len(term[0]))
    whole: Size = 0
    rest = dividend
    for _ in range(2 * len(terms_of(dividend))):
        step = next((s for s in (_reduced(t, factors, scale) for t in terms_of(rest)) if s is not None), None)
        if step is None:
            break
        whole, rest = whole + step, rest - step * divisor
    return (whole, rest) if whole != 0 and _is_below(rest, divisor) else (0, dividend)


def _reduced(term: tuple[Monomial, int], factors: Monomial, scale: int) -> Size | None:
    """The term divided by `scale * factors`, if that goes."""
    monomial = _without(term[0], factors) if term[1] % scale == 0 else None
    return None if monomial is None else from_terms(((monomial, term[1] // scale),))


def _without(monomial: Monomial, factors: Monomial) -> Monomial | None:
    if not factors:
        return monomial
    left = list(monomial)
    for atom in factors:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def _exact(dividend: Size, divisor: Size) -> Size | None:
    """The quotient, where the division leaves nothing."""
    whole, rest = _divide(dividend, divisor)
    return whole if rest == 0 and whole != 0 else None


def _nested_quotient(rest: Dim, divisor: Size) -> Size | None:
    """(x // a + c) // b = (x + c*a) // (a*b), and (x % (a*b)) // b = (x // b) % a."""
    monomial, constant = rest.terms[-1]
    inner = _single(rest if monomial else rest - constant)
    if isinstance(inner, Quotient):
        shift = 0 if monomial else constant
        return quotient(inner.dividend + shift * inner.divisor, inner.divisor * divisor)
    if isinstance(inner, Remainder) and monomial:
        outer = _exact(inner.divisor, divisor)
        if outer is not None:
            return remainder(quotient(inner.dividend, divisor), outer)
    return None


def _common_factor(rest: Dim, divisor: Size) -> tuple[Size, Size, Size, Size] | None:
    """(high, low, d, g) with `rest == g*high + low`, `divisor == g*d` and 0 <= low < g; None if there is no such g."""
    if len(terms_of(divisor)) != 1:
        return None
    ((factors, scale),) = terms_of(divisor)
    candidates: dict[tuple[int, Monomial], None] = {}
    for monomial, coefficient in rest.terms:
        shared = _shared(monomial, factors)
        if monomial and (shared or gcd(coefficient, scale) > 1):
            candidates[(gcd(coefficient, scale), shared)] = None
    for number, shared in sorted(candidates, key=lambda c: (-len(c[1]), -c[0])):
        factor = from_terms(((shared, number),))
        high, low = _divide(rest, factor)
        if isinstance(factor, int):
            steps = _constant(low) // factor
            high, low = high + steps, low - steps * factor
        if high != 0 and _is_below(low, factor):
            reduced = _exact(divisor, factor)
            assert reduced is not None, "a common factor divides the divisor"
            return high, low, reduced, factor
    return None


def _shared(a: Monomial, b: Monomial) -> Monomial:
    left = list(b)
    both = []
    for atom in a:
        if atom in left:
            left.remove(atom)
            both.append(atom)
    return tuple(both)


# Quotient and remainder of one dividend, put together again


def recombined(size: Dim) -> Size:
    """b*(x // b) + x % b = x, x - b*(x // b) = x % b, and b*((x // b) % a) + x % b = x % (a*b), wherever they occur."""
    for monomial, coefficient in size.terms:
        for position, atom in enumerate(monomial):
            if isinstance(atom, Remainder):
                found = _join_remainder(size, atom, monomial[:position] + monomial[position + 1 :], coefficient)
            elif isinstance(atom, Quotient):
                found = _join_quotient(size, atom, monomial[:position] + monomial[position + 1 :], coefficient)
            else:
                continue
            if found is not None:
                return found
    return size


def _join_remainder(size: Dim, atom: Remainder, others: Monomial, coefficient: int) -> Size | None:
    scale = from_terms(((others, coefficient),))
    whole = _whole(atom.dividend, atom.divisor)
    part = scale * atom.divisor * whole
    if _covers(size, part):
        return size - part - scale * from_atom(atom) + scale * atom.dividend
    for monomial, _ in size.terms:
        for other in monomial:
            if isinstance(other, Remainder) and other.dividend == whole:
                part = scale * atom.divisor * from_atom(other)
                if _covers(size, part):
                    joined = remainder(atom.dividend, atom.divisor * other.divisor)
                    return size - part - scale * from_atom(atom) + scale * joined
    return None


def _join_quotient(size: Dim, atom: Quotient, others: Monomial, coefficient: int) -> Size | None:
    if not isinstance(atom.divisor, int) or coefficient % atom.divisor:
        return None
    scale = from_terms(((others, -(coefficient // atom.divisor)),))
    part = scale * atom.dividend
    if not _covers(size, part):
        return None
    return size - part + scale * atom.divisor * from_atom(atom) + scale * remainder(atom.dividend, atom.divisor)


@lru_cache(maxsize=4096)
def _whole(dividend: Size, divisor: Size) -> Size:
    return quotient(dividend, divisor)


def _covers(size: Dim, part: Size) -> bool:
    """Whether each term of `part` is a term of `size`.

    A share of a larger term is not enough: what is left of it would be split off the joined expression again.
    """
    have = dict(size.terms)
    return part != 0 and all(have.get(monomial) == coefficient for monomial, coefficient in terms_of(part))


def _extreme(kind: type[Least] | type[Greatest], sizes: Iterable[Size]) -> Size:
    flat: list[Size] = []
    for size in sizes:
        inner = _single(size)
        flat += inner.operands if isinstance(inner, kind) else (size,)
    kept: list[Size] = []
    for size in flat:
        if not any(_wins(kind, k, size) for k in kept):
            kept = [k for k in kept if not _wins(kind, size, k)] + [size]
    if len(kept) == 1:
        return kept[0]
    return from_atom(kind(tuple(sorted(kept, key=str))))


def _wins(kind: type[Least] | type[Greatest], a: Size, b: Size) -> bool:
    return is_at_most(a, b) if kind is Least else is_at_most(b, a)


def _single(size: Size) -> Atom | None:
    """The atom that the expression is, if it is one."""
    if isinstance(size, Dim) and len(size.terms) == 1:
        monomial, coefficient = size.terms[0]
        if coefficient == 1 and len(monomial) == 1:
            return monomial[0]
    return None
