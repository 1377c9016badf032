"""Scalar code that is the same for all threads and long: done once, by one thread, rather than by each.

In: the call of a kernel that has such code in front of its loops: powers in float64 that say how far Adam's averages
are to be corrected, say. Out: the call of a kernel that computes these scalars into memory, and one of the kernel that
reads them there. On a CPU a few threads do such code once each; on a GPU a thread has some ten elements, and of those
GPUs that are not made for data centers float64 takes 64 times as long as float32.

    p = pow(b, t);  y[i] = x[i] / (1 - p)      1. scalars[0] = 1 - pow(b, t)      2. y[i] = x[i] / scalars[0]
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from graphc.ir.dtype import DType
from graphc.kernel.ir import Apply, Bind, Buffer, Check, Kernel, Load, Position, Statement, Store, Value
from graphc.passes.gpu.build import finish, is_uniform
from graphc.passes.gpu.elementwise import count_instructions
from graphc.passes.gpu.slice import needed_by, uses_of
from graphc.passes.lower import KernelCall, Scratch

LONG: Final = 100
"""Instructions from which on a value is computed by itself: about as many as a thread has for its elements."""


def split_uniform(call: KernelCall) -> tuple[KernelCall, KernelCall] | None:
    """The call that computes long scalar code, and the one that does the rest; None where there is none."""
    scalar = _scalar_code(call.kernel)
    known = {id(s) for s in scalar}
    rest = [s for s in call.kernel.body if id(s) not in known or isinstance(s, Check)]
    if all(isinstance(s, Check | Store) for s in rest):
        return None
    wanted, _ = uses_of((*rest, *(s for s in scalar if isinstance(s, Bind))))
    long = [s.out for s in scalar if isinstance(s, Apply) and s.out in wanted and _cost(s, scalar) >= LONG]
    if not long:
        return None
    buffers: dict[DType, Buffer] = {}
    for dtype in dict.fromkeys(value.dtype for value in long):
        count = sum(value.dtype is dtype for value in long)
        buffers[dtype] = Buffer(f"scalars_{dtype.name}", dtype, count)
    scratch = {buffer: Scratch(buffer.size, dtype) for dtype, buffer in buffers.items()}
    places = {v: (buffers[v.dtype], [x for x in long if x.dtype is v.dtype].index(v)) for v in long}

    stores = [Store(buffer, index, value) for value, (buffer, index) in places.items()]
    first = finish(call, (*needed_by(stores, scalar), *stores), scratch)
    loads = {value: Load(value, buffer, index) for value, (buffer, index) in places.items()}
    remaining = [loads.get(s.out, s) if isinstance(s, Apply) else s for s in scalar]
    body = (*needed_by(rest, [s for s in remaining if not isinstance(s, Check)]), *rest)
    second = finish(call, body, scratch)
    return replace(first, kernel=replace(first.kernel, name=f"{call.kernel.name}_scalars")), second


def _scalar_code(kernel: Kernel) -> list[Statement]:
    """What the kernel does outside of loops that needs nothing of them."""
    found: list[Statement] = []
    values: set[Value] = set()
    names = {size.name for size in kernel.sizes}
    for statement in kernel.body:
        if not is_uniform(statement, kernel):
            continue
        operands, symbols = uses_of((statement,))
        if operands <= values and symbols <= names:
            found.append(statement)
            match statement:
                case Apply(out=out) | Position(out=out) | Load(out=out):
                    values.add(out)
                case Bind(symbol=symbol):
                    names.add(symbol.name)
    return found


def _cost(statement: Apply, before: list[Statement]) -> int:
    """Instructions that the value takes, with all that it is computed from."""
    return sum(count_instructions(s) for s in (*needed_by((statement,), before), statement) if isinstance(s, Apply))
