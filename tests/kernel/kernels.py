"""Kernels that tests of the kernel level share: some written out, and random ones."""

from __future__ import annotations

import math
import random

from graphc.ir.dim import Size, Symbol, minimum, quotient, remainder
from graphc.ir.dtype import DType, bool_, f16, f32, f64, i32, i64, u8
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Bind,
    Buffer,
    Check,
    Contract,
    If,
    Kernel,
    Literal,
    Load,
    Loop,
    LoopKind,
    Operand,
    Panel,
    Position,
    Reduce,
    Space,
    Statement,
    Store,
    Value,
)

SOFTMAX = """\
kernel softmax {
  size n in 1..64
  read x: f32[10*n]
  write y: f32[10*n]
  parallel i < n {
    %top: f32 = reduce max k < 10 {
      %0: f32 = load x[10*i + k]
      yield %0
    }
    allocate e: f32[10] local
    vector j < 10 {
      %1: f32 = load x[10*i + j]
      %2: f32 = sub %1, %top
      %3: f32 = exp %2
      store e[j] = %3
    }
    %total: f32 = reduce sum r < 10 {
      %4: f32 = load e[r]
      yield %4
    }
    vector j < 10 {
      %5: f32 = load e[j]
      %6: f32 = div %5, %total
      store y[10*i + j] = %6
    }
  }
}
"""

GATHER = """\
kernel "gather rows" {
  size n
  size m in 1..8
  read x: f32[m*n]
  read index: i64[5]
  write y: f32[5*m]
  parallel i < 5 {
    %0: i64 = load index[i]
    %1: i64 = position n
    %2: bool = lt %0, %1
    %3: bool = ge %0, 0:i64
    %4: bool = bitwise_and %2, %3
    check %4 else 7
    bind row < n in 0..max(0, n - 1) = %0
    vector j < m {
      %5: f32 = load x[j + m*row] where %4
      store y[i*m + j] = %5
    }
  }
}
"""

MATMUL = """\
kernel matmul {
  size m in 1..100
  read a: f32[300*m]
  read b: f32[2100]
  read bias: f32[7]
  write c: f32[7*m]
  %acc: f32 = contract i < m, j < 7, k < 300 parallel {
    left {
      %0: f32 = load a[300*i + k]
      yield %0
    }
    right {
      %1: f32 = load b[j + 7*k]
      yield %1
    }
    epilogue {
      %2: f32 = load bias[j]
      %3: f32 = add %acc, %2
      store c[7*i + j] = %3
    }
  }
}
"""

SCATTER = """\
kernel scatter {
  read index: i32[20]
  read updates: f64[20]
  write y: f64[10]
  serial k < 20 {
    %0: i32 = load index[k]
    bind at < 10 = %0
    %1: f64 = load y[at]
    %2: f64 = load updates[k]
    %3: f64 = add %1, %2
    store y[at] = %3
  }
}
"""

PAD = """\
kernel pad {
  read x: i32[6]
  write y: i32[12]
  vector i < 12 {
    %0: i64 = position i
    %1: bool = ge %0, 3:i64
    %2: bool = lt %0, 9:i64
    %3: bool = bitwise_and %1, %2
    %4: i32 = load x[i - 3] where %3
    %5: i32 = select %3, %4, -5:i32
    store y[i] = %5
    if %3 {
      %6: i32 = add %5, 1:i32
      store y[i] = %6
    }
  }
}
"""

LITERALS = """\
kernel literals {
  write y: f64[9]
  write b: bool[2]
  write u: u64[1]
  store y[0] = inf:f64
  store y[1] = -inf:f64
  store y[2] = nan:f64
  store y[3] = -nan:f64
  store y[4] = nan("7ff8000000000123"):f64
  store y[5] = -0.0:f64
  store y[6] = 5e-324:f64
  store y[7] = 0.1:f64
  store y[8] = 1.7976931348623157e+308:f64
  store b[0] = true:bool
  store b[1] = false:bool
  store u[0] = 18446744073709551615:u64
}
"""

TILED = """\
kernel tiled {
  size n
  read x: f16[n]
  write y: f16[n]
  parallel io < ((n + 15) // 16) {
    vector ii < min(-16*io + n, 16) {
      %0: f16 = load x[ii + 16*io]
      %1: f16 = neg %0
      store y[ii + 16*io] = %1
    }
  }
}
"""

EMPTY = """\
kernel empty {
}
"""

TEXTS = {
    "softmax": SOFTMAX,
    "gather": GATHER,
    "matmul": MATMUL,
    "scatter": SCATTER,
    "pad": PAD,
    "literals": LITERALS,
    "tiled": TILED,
    "empty": EMPTY,
}

_NUMBERS: dict[DType, tuple[int | float | bool, ...]] = {
    f32: (0.0, -0.0, 1.0, -2.5, math.inf, math.nan, 2.0**-149, 0.10000000149011612),
    f64: (0.0, 1.5, -3e300, 5e-324),
    f16: (0.0, 0.5, 65504.0),
    i32: (0, 1, -7, 2**31 - 1),
    i64: (0, 3, -(2**63)),
    u8: (0, 200),
    bool_: (True, False),
}
_BINARY = ("add", "mul", "maximum", "minimum")


class RandomKernel:
    """A valid kernel without races, made from a seed: nests, views, reductions, scratch, predicates, literals."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0
        self.n, self.m = Symbol("n", 0, 70), Symbol("m", 1, 70)
        self.kernel = self._kernel()

    def _kernel(self) -> Kernel:
        n, m = self.n.size, self.m.size
        self.inputs = [Buffer(f"x{i}", self._dtype(), n * m) for i in range(self.random.randint(1, 3))]
        outputs: list[Buffer] = []
        body: list[Statement] = []
        for number in range(self.random.randint(1, 2)):
            outputs.append(Buffer(f"y{number}", self._dtype(), n * m))
            body.append(self._nest(outputs[-1], number == 0))
        return Kernel("random", (*self.inputs, *outputs), (self.n, self.m), tuple(body), frozenset(outputs))

    def _nest(self, output: Buffer, is_first: bool) -> Statement:
        """A nest that writes each element of a buffer once."""
        n, m = self.n.size, self.m.size
        kinds = [LoopKind.SERIAL, LoopKind.PARALLEL, LoopKind.VECTOR]
        shape = self.random.randrange(4)
        outer_kind, inner_kind = self.random.choice(kinds), self.random.choice(kinds)
        if shape == 0:  # one flat loop
            i = self._symbol("i", n * m)
            return Loop(i, n * m, outer_kind, self._element(output, i.size, [i.size]))
        if shape == 1:  # rows and columns
            i, j = self._symbol("i", n), self._symbol("j", m)
            inner = Loop(j, m, inner_kind, self._element(output, i.size * m + j.size, [i.size * m + j.size, j.size]))
            return Loop(i, n, outer_kind, (inner,))
        if shape == 2:  # split, with a shorter last part
            i = self._symbol("i", quotient(n * m + 3, 4))
            extent = minimum(4, n * m - 4 * i.size)
            j = self._symbol("j", extent)
            index = 4 * i.size + j.size
            return Loop(
                i,
                quotient(n * m + 3, 4),
                outer_kind,
                (Loop(j, extent, inner_kind, self._element(output, index, [index])),),
            )
        return self._contraction(output, is_first)

    def _contraction(self, output: Buffer, is_first: bool) -> Statement:
        n, m = self.n.size, self.m.size
        rows, columns, depth = self._symbol("r", n), self._symbol("c", m), self._symbol("k", m)
        left, a = self._panel(rows.size * m + depth.size)
        right, b = self._panel(remainder(depth.size * m + columns.size, n * m))
        accumulator = self._value(f32)
        operand, tail = self._converted(accumulator, output.dtype)
        index = rows.size * m + columns.size
        return Contract(
            rows, columns, depth, n, m, m, Panel(left, a), Panel(right, b), accumulator,
            (*tail, Store(output, index, operand)), parallel=is_first and self.random.random() < 0.5,
        )  # fmt: skip

    def _panel(self, index: Size) -> tuple[tuple[Statement, ...], Operand]:
        loaded, load = self._load(index)
        operand, convert = self._converted(loaded, f32)
        return (load, *convert), operand

    def _element(self, output: Buffer, index: Size, indices: list[Size]) -> tuple[Statement, ...]:
        """The body that writes one element."""
        body: list[Statement] = []
        known: list[Operand] = []
        for _ in range(self.random.randint(1, 4)):
            out, statements = self._step(known, indices)
            body += statements
            known.append(out)
        operand, convert = self._converted(known[-1], output.dtype)
        body += convert
        if self.random.random() < 0.2:
            predicate, compare = self._predicate(known)
            body += compare
            if self.random.random() < 0.5:
                return (*body, If(predicate, (Store(output, index, operand),)))
            return (*body, Store(output, index, operand, predicate))
        return (*body, Store(output, index, operand))

    def _step(self, known: list[Operand], indices: list[Size]) -> tuple[Operand, list[Statement]]:
        choice = self.random.randrange(7)
        if choice <= 1 or not known:
            if self.random.random() < 0.3 and known:
                predicate, compare = self._predicate(known)
                out, load = self._load(self.random.choice(indices), predicate)
                return out, [*compare, load]
            out, load = self._load(self.random.choice(indices))
            return out, [load]
        if choice == 2:
            out = self._value(i64)
            return out, [Position(out, self.random.choice(indices))]
        if choice == 3:
            return self._reduction(self.random.choice(known))
        if choice == 4:
            scratch = Buffer(f"s{self._number()}", known[-1].dtype, self.m.size, Space.LOCAL)
            again = self._value(scratch.dtype)
            return again, [
                Allocate(scratch),
                Store(scratch, self.m.size - 1, known[-1]),
                Load(again, scratch, self.m.size - 1),
            ]
        if choice == 5:
            number, to_index = self._converted(self.random.choice(known), i64)
            at = self._symbol("g", self.m.size)
            predicate, compare = self._predicate(known)
            out, load = self._load(at.size)
            return out, [
                *to_index,
                Bind(at, self.m.size, number),
                load,
                *compare,
                Check(predicate, self.random.randrange(5)),
            ]
        a = self.random.choice(known)
        b: Operand = self._literal(a.dtype) if self.random.random() < 0.5 else a
        out = self._value(a.dtype)
        return out, [Apply(out, self.random.choice(_BINARY), (a, b))]

    def _reduction(self, operand: Operand) -> tuple[Operand, list[Statement]]:
        k = self._symbol("k", self.m.size)
        loaded, load = self._load(k.size)
        body: list[Statement] = [load]
        element: Operand = loaded
        if loaded.dtype is operand.dtype:
            element = self._value(loaded.dtype)
            body.append(Apply(element, "maximum", (loaded, operand)))
        if element.dtype is bool_:
            combiners = ("any", "all", "argmax")
        else:
            combiners = ("sum", "prod", "max", "min", "argmax", "argmin")
        combiner = self.random.choice(combiners)
        out = self._value(i64 if combiner.startswith("arg") else element.dtype)
        return out, [Reduce(out, combiner, k, self.m.size, tuple(body), element)]

    def _predicate(self, known: list[Operand]) -> tuple[Operand, list[Statement]]:
        a = self.random.choice(known)
        out = self._value(bool_)
        return out, [Apply(out, self.random.choice(("lt", "ge", "ne")), (a, self._literal(a.dtype)))]

    def _converted(self, operand: Operand, dtype: DType) -> tuple[Operand, list[Statement]]:
        if operand.dtype is dtype:
            return operand, []
        out = self._value(dtype)
        return out, [Apply(out, "cast", (operand,))]

    def _load(self, index: Size, predicate: Operand | None = None) -> tuple[Value, Load]:
        buffer = self.random.choice(self.inputs)
        out = self._value(buffer.dtype)
        return out, Load(out, buffer, index, predicate)

    def _literal(self, dtype: DType) -> Literal:
        return Literal(self.random.choice(_NUMBERS[dtype]), dtype)

    def _dtype(self) -> DType:
        return self.random.choice((f32, f32, f32, f64, f16, i32, i64, u8, bool_))

    def _value(self, dtype: DType) -> Value:
        return Value(self.random.choice(("", "v", f"t{self._number()}")), dtype)

    def _symbol(self, prefix: str, extent: Size) -> Symbol:
        return Symbol(f"{prefix}{self._number()}", 0, extent - 1)

    def _number(self) -> int:
        self.count += 1
        return self.count
