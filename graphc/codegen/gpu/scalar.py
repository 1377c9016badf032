"""Scalar ops that NVPTX has to have written in another way than the CPUs.

In: an application of an op, as `graphc.codegen.scalar` has it. Out: the register of the result.
"""

from __future__ import annotations

from functools import partial

from graphc.codegen.gpu.emitter import GpuEmitter, fits_narrow
from graphc.codegen.gpu.target import NvptxTarget
from graphc.codegen.scalar import RULES as PLAIN
from graphc.codegen.scalar import Operation, Rule
from graphc.ir.dtype import f64, i64


def _extreme(name: str, o: Operation) -> str:
    """The greater or lesser; of floats nan where one is, and -0 < 0.

    There is an instruction for float32 on newer machines.
    """
    machine = o.e.target
    assert isinstance(machine, NvptxTarget)
    if not o.dtype.is_floating_point or (o.dtype is not f64 and machine.has_nan_extremes):
        return PLAIN[name](o)
    e, type_ = o.e, o.type
    a, b = o.names
    word = "i64" if o.dtype is f64 else "i32"
    # Equal numbers have the same bits, but for zeros, of which one sign bit decides.
    bits = [e.emit(f"bitcast {type_} {x} to {word}") for x in (a, b)]
    both = e.emit(f"{'and' if name == 'maximum' else 'or'} {word} {bits[0]}, {bits[1]}")
    wins = e.emit(f"fcmp {'ogt' if name == 'maximum' else 'olt'} {type_} {a}, {b}")
    chosen = o.select(wins, a, b)
    chosen = o.select(e.emit(f"fcmp oeq {type_} {a}, {b}"), e.emit(f"bitcast {word} {both} to {type_}"), chosen)
    return o.select(e.emit(f"fcmp uno {type_} {a}, {a}"), a, chosen)


def _compare(name: str, o: Operation) -> str:
    """A comparison; of two i64 that are 32-bit numbers, of these."""
    e = o.e
    assert isinstance(e, GpuEmitter)
    if o.dtype is i64:
        a, b = (fits_narrow(e, x) for x in o.names)
        if a is not None and b is not None:
            return e.emit(f"icmp {_PREDICATES[name]} i32 {a}, {b}")
    return PLAIN[name](o)


_PREDICATES = {"eq": "eq", "ne": "ne", "lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge"}

RULES: dict[str, Rule] = {
    "maximum": partial(_extreme, "maximum"),
    "minimum": partial(_extreme, "minimum"),
    **{name: partial(_compare, name) for name in _PREDICATES},
}
