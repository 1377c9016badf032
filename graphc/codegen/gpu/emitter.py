"""The emitter of a thread's code, and index expressions in it.

In: what `graphc.codegen.emitter` takes. Out: the same, with symbols that stand for numbers: those of loops that are
written out. Index expressions are folded with them, so that what they address may become a register; and computed in 32
bits where their bounds allow, since a GPU has no 64-bit integer arithmetic but made of that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd

from graphc.codegen.emitter import Emitter
from graphc.codegen.gpu.target import NvptxTarget
from graphc.codegen.index import fits_int32, index, index_in_32_bits, symbols_of
from graphc.ir.dim import Size, Symbol, is_at_least, substitute
from graphc.kernel.ir import Buffer


@dataclass(slots=True)
class GpuEmitter(Emitter):
    """Writes one kernel."""

    machine: NvptxTarget = field(kw_only=True)
    replaced: dict[str, Size] = field(default_factory=dict)
    """What symbols stand for where the code is written, by name: a number, or another symbol."""
    constant_buffers: frozenset[Buffer] = frozenset()
    """Buffers whose elements nobody writes while the kernel runs."""
    words: dict[Buffer, int] = field(default_factory=dict)
    """Which word of the parameters has the address of a buffer that is chosen by number."""
    narrow: dict[str, str] = field(default_factory=dict)
    """Of i64 registers made from an i32: that one."""

    def widen(self, name: str, is_negative: bool = False) -> str:
        """An i32 register, which may be negative or not, as an i64."""
        wide = self.emit(f"{'sext' if is_negative else 'zext nneg'} i32 {name} to i64")
        self.narrow[wide] = name
        return wide

    def bind_narrow(self, symbol: Symbol, name: str) -> None:
        """Let an i32 register, which is not negative, hold a symbol until the current scope ends."""
        wide = self.widen(name)
        self.scopes[-1].memo[f"trunc i64 {wide} to i32"] = name
        self.bind(symbol, wide)


def folded(e: GpuEmitter, size: Size) -> Size:
    """The expression with what its symbols stand for."""
    if isinstance(size, int) or not e.replaced:
        return size
    known = tuple([(s.name, e.replaced[s.name]) for s in symbols_of(size) if s.name in e.replaced])
    return _substituted(size, known) if known else size


@lru_cache(maxsize=8192)
def _substituted(size: Size, values: tuple[tuple[str, Size], ...]) -> Size:
    return substitute(size, dict(values))


def narrow_index(e: GpuEmitter, size: Size) -> tuple[str, int]:
    """A folded expression as a register (or constant), and its bits: 32 where its bounds allow, else 64."""
    if fits_int32(size):
        return index_in_32_bits(e, size), 32
    return index(e, size), 64


def wide_index(e: GpuEmitter, size: Size) -> str:
    """A folded expression as an i64."""
    name, bits = narrow_index(e, size)
    if bits == 64 or name[0] != "%":
        return name
    depth = max((e.symbols[s.name].depth for s in symbols_of(size)), default=0)
    wide = e.computed(depth, f"{'zext nneg' if is_at_least(size, 0) else 'sext'} i32 {name} to i64")
    e.narrow[wide] = name
    return wide


def fits_narrow(e: GpuEmitter, name: str) -> str | None:
    """The i32 register or constant that an i64 stands for, if there is one."""
    if name[0] == "%":
        return e.narrow.get(name)
    return name if -(2**31) <= int(name) < 2**31 else None


@lru_cache(maxsize=8192)
def split_constant(size: Size) -> tuple[Size, int]:
    """The expression without its constant term, and that term."""
    if isinstance(size, int):
        return 0, size
    constant = sum(coefficient for monomial, coefficient in size.terms if not monomial)
    return size - constant, constant


@lru_cache(maxsize=8192)
def known_factor(size: Size) -> int:
    """A number that divides the expression whatever its symbols are; 0 where it is 0.

    >>> from graphc.ir.dim import symbol
    >>> known_factor(symbol("i") * 12 + symbol("j") * 8 + 4)
    4
    """
    if isinstance(size, int):
        return abs(size)
    return gcd(*(coefficient for _, coefficient in size.terms))
