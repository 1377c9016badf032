"""Index expressions over many iterations at once.

In: a `Size`. Out: a function of the symbols' values, which are plain integers or int64 arrays that broadcast.

>>> from graphc.ir.dim import Symbol
>>> index_function(Symbol("i").size * 10 + 3)({"i": np.arange(3)})
array([ 3, 13, 23])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import Atom, Greatest, Least, Quotient, Remainder, Size, Symbol

Integers: TypeAlias = npt.NDArray[np.int64]
Index: TypeAlias = "int | Integers"


@lru_cache(maxsize=8192)
def index_function(size: Size) -> Callable[[Mapping[str, Index]], Index]:
    """The expression as a function of its symbols by name."""
    scope = {"least": _least, "greatest": _greatest, "positive": _positive}
    # The text is ours: integers, operators, and names of symbols in quotes.
    return cast("Callable[[Mapping[str, Index]], Index]", eval(f"lambda s: {_code(size)}", scope))


def _code(size: Size) -> str:
    if isinstance(size, int):
        return repr(size)
    terms = ["*".join([repr(coefficient), *map(_atom_code, monomial)]) for monomial, coefficient in size.terms]
    return " + ".join(terms)


def _atom_code(atom: Atom) -> str:
    match atom:
        case Symbol(name=name):
            return f"s[{name!r}]"
        case Quotient(dividend=a, divisor=b):
            return f"(({_code(a)}) // {_divisor_code(b)})"
        case Remainder(dividend=a, divisor=b):
            return f"(({_code(a)}) % {_divisor_code(b)})"
        case Least(operands=operands):
            return f"least({', '.join(map(_code, operands))})"
        case Greatest(operands=operands):
            return f"greatest({', '.join(map(_code, operands))})"


def _divisor_code(divisor: Size) -> str:
    return repr(divisor) if isinstance(divisor, int) else f"positive({_code(divisor)})"


def _least(*values: Index) -> Index:
    return reduce(lambda a, b: min(a, b) if isinstance(a, int) and isinstance(b, int) else np.minimum(a, b), values)


def _greatest(*values: Index) -> Index:
    return reduce(lambda a, b: max(a, b) if isinstance(a, int) and isinstance(b, int) else np.maximum(a, b), values)


def _positive(divisor: Index) -> Index:
    """A divisor of 0 stands in front of loops that don't run then; it counts as 1, as in generated code."""
    return _greatest(divisor, 1)
