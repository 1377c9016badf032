"""Kernels that between them have every kind of statement, as code generation meets them: scheduled, with ops expanded.

Each comes with the sizes to run it for; sizes that are named in the text are known to the code, others when it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from graphc.ir.dim import evaluate
from graphc.ir.dtype import DType, bool_
from graphc.kernel.ir import Kernel
from graphc.kernel.parse import parse_kernel
from tests.codegen.native import Array

EDGES = (0, 1, 15, 16, 17, 63, 64, 65, 1000)
"""Around the numbers of lanes and accumulators."""


@dataclass(frozen=True)
class Example:
    """A kernel's text and the sizes to run it with."""

    name: str
    text: str
    sizes: tuple[Mapping[str, int], ...] = ({},)

    @property
    def kernel(self) -> Kernel:
        """The kernel."""
        return parse_kernel(f"kernel {self.name} {{{self.text}}}\n")


def buffers(kernel: Kernel, sizes: Mapping[str, int], seed: int = 0) -> dict[str, Array]:
    """Random contents for every buffer."""
    random = np.random.default_rng(seed)
    return {b.name: random_array(b.dtype, evaluate(b.size, sizes), random) for b in kernel.buffers}


def random_array(dtype: DType, size: int, random: np.random.Generator) -> Array:
    """Numbers of moderate size with some ties, zeros of both signs, and now and then a nan."""
    if dtype is bool_:
        return random.random(size) < 0.7
    if dtype.is_integer:
        low = -20 if dtype.signed else 0
        return random.integers(low, 60, size).astype(dtype.numpy)
    values = np.round(random.normal(size=size) * 4, 1)
    values[random.random(size) < 0.002] = np.nan
    return values.astype(dtype.numpy)


def _each(name: str, values: tuple[int, ...], **others: int) -> tuple[Mapping[str, int], ...]:
    return tuple({name: value, **others} for value in values)


def _elementwise(extent: str, dtype: str, formula: str) -> str:
    return f"""
  {"" if extent.isdecimal() else f"size {extent}"}
  read x: {dtype}[{extent}]
  write y: {dtype}[{extent}]
  vector i < {extent} {{
    %x: {dtype} = load x[i]
{formula}
    store y[i] = %y
  }}
"""


def _rows(combiner: str, extent: str, dtype: str, out: str) -> str:
    return f"""
  {"" if extent.isdecimal() else f"size {extent}"}
  read x: {dtype}[5*{extent}]
  write y: {out}[5]
  parallel i < 5 {{
    %y: {out} = reduce {combiner} k < {extent} {{
      %x: {dtype} = load x[{extent}*i + k]
      yield %x
    }}
    store y[i] = %y
  }}
"""


def _columns(combiner: str, extent: str, dtype: str, out: str, columns: str = "37") -> str:
    sizes = "".join(f"size {size}\n  " for size in (extent, columns) if not size.isdecimal())
    return f"""
  {sizes}read x: {dtype}[{columns}*{extent}]
  write y: {out}[{columns}]
  vector i < {columns} {{
    %y: {out} = reduce {combiner} k < {extent} {{
      %x: {dtype} = load x[{columns}*k + i]
      yield %x
    }}
    store y[i] = %y
  }}
"""


_COMBINERS = ("sum", "prod", "max", "min", "argmax", "argmin")

EXAMPLES: tuple[Example, ...] = (
    *(
        Example(f"double_{dtype}", _elementwise("n", dtype, f"    %y: {dtype} = {op} %x, %x"), _each("n", EDGES))
        for dtype, op in (
            *((dtype, "add") for dtype in ("f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")),
            *((dtype, "maximum") for dtype in ("f16", "bf16", "bool")),
        )
    ),
    *(
        Example(f"known_{n}", _elementwise(str(n), "f32", "    %y: f32 = mul %x, 0.5:f32"))
        for n in (1, 2, 3, 5, 8, 10, 16, 17, 31, 33, 48, 63, 100, 160)
    ),
    *(
        Example(f"rows_{c}_{d}", _rows(c, "n", d, "i64" if c.startswith("arg") else d), _each("n", EDGES))
        for c in _COMBINERS
        for d in ("f32", "f64", "i32", "u8")
        if c in ("sum", "argmax") or d in ("f32", "i32")
    ),
    *(
        Example(f"rows_{c}_{n}", _rows(c, str(n), "f32", "i64" if c.startswith("arg") else "f32"))
        for c in ("sum", "argmin", "max")
        for n in (1, 2, 7, 10, 16, 20, 63, 64, 65, 128, 200)
    ),
    *(Example(f"rows_{c}_bool", _rows(c, "n", "bool", "bool"), _each("n", EDGES)) for c in ("any", "all")),
    *(
        Example(
            f"columns_{c}_{d}",
            _columns(c, "n", d, "i64" if c.startswith("arg") else d, "m"),
            tuple({"n": n, "m": m} for n, m in ((0, 5), (1, 16), (3, 40), (64, 17), (65, 1), (200, 33))),
        )
        for c in _COMBINERS
        for d in ("f32", "f64", "i32")
        if c in ("sum", "argmax") or d == "f32"
    ),
    *(
        Example(f"columns_{c}_{n}", _columns(c, str(n), "f32", "i64" if c.startswith("arg") else "f32"))
        for c in ("sum", "argmax")
        for n in (1, 2, 3, 9, 41, 48, 63, 64, 65, 100)
    ),
    *(Example(f"wide_columns_{n}", _columns("sum", str(n), "f32", "f32", "400")) for n in (50, 64, 70)),
    Example("wide_columns", _columns("max", "n", "f32", "f32", "m"), _each("n", (1, 60, 130), m=300)),
    *(Example(f"columns_{c}_bool", _columns(c, "n", "bool", "bool"), _each("n", (0, 1, 70))) for c in ("any", "all")),
    Example(
        "large_body_rows",
        """
  size n
  read x: f32[3*n]
  write y: f32[3]
  parallel i < 3 {
    %y: f32 = reduce sum k < n {
      %x: f32 = load x[n*i + k]
"""
        + "".join(f"      %a{j}: f32 = add %{'x' if j == 0 else f'a{j - 1}'}, {j}.5:f32\n" for j in range(60))
        + """
      yield %a59
    }
    store y[i] = %y
  }
""",
        _each("n", EDGES),
    ),
    *(
        Example(
            f"large_body_{n}",
            _elementwise(
                str(n),
                "f32",
                "    %a0: f32 = mul %x, 0.5:f32\n"
                + "".join(f"    %a{j}: f32 = add %a{j - 1}, {j}.0:f32\n" for j in range(1, 70))
                + "    %y: f32 = add %a69, %x",
            ),
        )
        for n in (3, 16, 47, 95, 135)
    ),
    Example(
        "softmax",
        """
  size rows
  size n
  read x: f32[n*rows]
  write y: f32[n*rows]
  parallel i < rows {
    %top: f32 = reduce max k < n {
      %a: f32 = load x[n*i + k]
      yield %a
    }
    %sum: f32 = reduce sum l < n {
      %b: f32 = load x[n*i + l]
      %c: f32 = sub %b, %top
      %d: f32 = exp %c
      yield %d
    }
    vector j < n {
      %e: f32 = load x[n*i + j]
      %f: f32 = sub %e, %top
      %g: f32 = exp %f
      %h: f32 = div %g, %sum
      store y[n*i + j] = %h
    }
  }
""",
        tuple({"rows": r, "n": n} for r, n in ((0, 3), (1, 1), (3, 10), (7, 64), (5, 130))),
    ),
    Example(
        "blocks",
        """
  size n
  read x: f32[n]
  write y: f32[1]
  %y: f32 = reduce sum j < (n + 99) // 100 {
    %s: f32 = reduce sum k < min(100, n - 100*j) {
      %x: f32 = load x[100*j + k]
      yield %x
    }
    yield %s
  }
  store y[0] = %y
""",
        _each("n", (0, 1, 99, 100, 101, 1234)),
    ),
    Example(
        "columns_of_blocks",
        """
  size n
  read x: f32[21*n]
  write y: f32[21]
  vector i < 21 {
    %y: f32 = reduce sum j < (n + 9) // 10 {
      %s: f32 = reduce max k < min(10, n - 10*j) {
        %x: f32 = load x[210*j + 21*k + i]
        yield %x
      }
      yield %s
    }
    store y[i] = %y
  }
""",
        _each("n", (1, 9, 10, 57, 700)),
    ),
    Example(
        "same_in_all_lanes",
        """
  read x: f32[90]
  read y: f32[40]
  write z: f32[40]
  vector i < 40 {
    %s: f32 = reduce sum k < 90 {
      %x: f32 = load x[k]
      yield %x
    }
    %t: f32 = reduce max l < 90 {
      %a: f32 = load x[l]
      yield %a
    }
    %y: f32 = load y[i]
    %b: f32 = mul %y, %s
    %c: f32 = sub %b, %t
    store z[i] = %c
  }
""",
    ),
    Example(
        "gather_and_scatter",
        """
  size n
  read x: f32[3*n + 1]
  read at: i64[n]
  write y: f32[2*n]
  write z: f32[n]
  vector i < n {
    %a: i64 = load at[i]
    bind p < 3*n + 1 = %a
    %b: f32 = load x[p]
    %c: f32 = load x[3*i + 1]
    %d: f32 = load x[n - i]
    %e: f32 = add %b, %c
    store y[2*i] = %e
    store y[2*i + 1] = %d
    %f: f32 = load x[(p + i) // 2]
    store z[n - 1 - i] = %f
  }
""",
        _each("n", (0, 1, 5, 16, 40, 100)),
    ),
    Example(
        "bind_narrow",
        """
  read x: f32[50]
  read at: u8[70]
  read signed: i32[70]
  write y: f32[70]
  vector i < 70 {
    %a: u8 = load at[i]
    bind p < 30 = %a
    %s: i32 = load signed[i]
    bind q < 20 = %s
    %b: f32 = load x[p + q]
    store y[i] = %b
  }
""",
    ),
    Example(
        "predicates",
        """
  size n
  read x: f32[n]
  read wanted: bool[n]
  write y: f32[n]
  write z: f32[n]
  %first: bool = load wanted[0]
  vector i < n {
    %w: bool = load wanted[i]
    %a: f32 = load x[i] where %w
    %b: f32 = load x[n - 1 - i] where %w
    %c: f32 = load x[0] where %w
    %d: f32 = load x[i] where %first
    %e: f32 = add %a, %b
    %f: f32 = add %c, %d
    %g: f32 = add %e, %f
    store y[i] = %g
    store z[i] = %a where %w
  }
  serial j < n {
    %v: bool = load wanted[j]
    %h: f32 = load x[j] where %v
    store z[j] = %h where %v
  }
""",
        _each("n", (1, 15, 33, 64, 100)),
    ),
    Example(
        "pad",
        """
  size n
  read x: f32[n]
  write y: f32[n + 6]
  vector i < n + 6 {
    %p: i64 = position i
    %low: bool = ge %p, 2:i64
    %q: i64 = position i - n
    %high: bool = lt %q, 2:i64
    %in: bool = bitwise_and %low, %high
    %x: f32 = load x[i - 2] where %in
    %y: f32 = select %in, %x, 7.0:f32
    store y[i] = %y
  }
""",
        _each("n", (0, 1, 14, 30, 64, 200)),
    ),
    Example(
        "branches",
        """
  size n
  read x: f32[n]
  read flag: bool[1]
  write y: f32[n]
  write z: f32[n]
  %on: bool = load flag[0]
  if %on {
    vector i < n {
      %a: f32 = load x[i]
      %neg: bool = lt %a, 0.0:f32
      if %neg {
        %b: f32 = load x[n - 1 - i]
        store y[i] = %b
        serial j < 3 {
          %c: f32 = load z[i]
          %d: f32 = add %c, %b
          store z[i] = %d
        }
      }
    }
  }
""",
        _each("n", (0, 1, 15, 16, 40, 100)),
    ),
    Example(
        "positions",
        """
  size n
  write a: f32[12*n]
  write b: i32[12*n]
  write c: i64[12*n]
  write d: f64[12*n]
  write e: bool[12*n]
  parallel i < 4*n {
    vector j < 3 {
      %p: i64 = position (3*i + j) // 5 - n
      %q: i64 = position (3*i + j - 7) % 4
      %r: i64 = position min(3*i + j, 10) + max(i, j)
      %s: i64 = add %p, %q
      %t: i64 = add %s, %r
      %u: i32 = cast %t
      %v: f64 = cast %t
      %w: f32 = cast %p
      %x: bool = cast %q
      store a[3*i + j] = %w
      store b[3*i + j] = %u
      store c[3*i + j] = %t
      store d[3*i + j] = %v
      store e[3*i + j] = %x
    }
  }
""",
        _each("n", (1, 2, 9)),
    ),
    Example(
        "positions_along",
        """
  size n in 0..1000
  size m
  write y: i64[n]
  write z: i64[m]
  vector i < n {
    %p: i64 = position (i - 5) // 7 + i % 3 + min(i, 6)*i
    store y[i] = %p
  }
  vector j < m {
    %q: i64 = position (j - 5) // 7 + j % 3 + max(j, 9)*m
    store z[j] = %q
  }
""",
        tuple({"n": n, "m": n} for n in (0, 1, 20, 133)),
    ),
    Example(
        "scratch",
        """
  size n
  read x: f32[24*n]
  write y: f32[24*n]
  parallel i < n {
    allocate line: f32[24] local
    allocate part: bf16[min(i + 1, 8)] local
    vector j < 24 {
      %x: f32 = load x[24*i + j]
      %a: f32 = mul %x, 2.0:f32
      store line[j] = %a
    }
    serial k < min(i + 1, 8) {
      %l: f32 = load line[k]
      %h: bf16 = cast %l
      store part[k] = %h
    }
    vector l < 24 {
      %b: f32 = load line[23 - l]
      %c: bf16 = load part[0]
      %d: f32 = cast %c
      %e: f32 = add %b, %d
      store y[24*i + l] = %e
    }
  }
""",
        _each("n", (0, 1, 7, 20)),
    ),
    Example(
        "window",
        """
  size n
  read x: f32[4*n*n]
  write y: f32[n*n]
  parallel i < n {
    vector j < n {
      %y: f32 = reduce max a < 2 {
        %r: f32 = reduce max b < 2 {
          %x: f32 = load x[2*n*(2*i + a) + 2*j + b]
          yield %x
        }
        yield %r
      }
      store y[n*i + j] = %y
    }
  }
""",
        _each("n", (1, 5, 16, 21)),
    ),
    Example(
        "running_total",
        """
  size n
  read x: f64[n]
  write y: f64[n]
  allocate total: f64[1] local
  store total[0] = 0.0:f64
  serial i < n {
    %t: f64 = load total[0]
    %x: f64 = load x[i]
    %s: f64 = add %t, %x
    store total[0] = %s
    store y[i] = %s
  }
""",
        _each("n", (0, 1, 50)),
    ),
    Example(
        "mixed_widths",
        """
  size n
  read a: u8[n]
  read b: f32[n]
  read c: f64[n]
  read h: f16[n]
  write y: f64[n]
  write z: u8[n]
  write g: bf16[n]
  vector i < n {
    %a: u8 = load a[i]
    %b: f32 = load b[i]
    %c: f64 = load c[i]
    %h: f16 = load h[i]
    %d: f64 = cast %a
    %e: f64 = cast %b
    %f: f64 = cast %h
    %p: f64 = add %d, %e
    %q: f64 = mul %p, %c
    %r: f64 = sub %q, %f
    %s: u8 = cast %r
    %t: bf16 = cast %r
    store y[i] = %r
    store z[i] = %s
    store g[i] = %t
  }
""",
        _each("n", EDGES),
    ),
    Example(
        "half_sum",
        """
  size n
  read x: f16[3*n]
  write y: f16[3]
  parallel i < 3 {
    %s: f32 = reduce sum k < n {
      %x: f16 = load x[n*i + k]
      %a: f32 = cast %x
      yield %a
    }
    %m: f16 = reduce max l < n {
      %b: f16 = load x[n*i + l]
      yield %b
    }
    %h: f16 = cast %s
    %y: f16 = add %h, %m
    store y[i] = %y
  }
""",
        _each("n", (1, 16, 40, 129)),
    ),
    Example(
        "shared_lines",
        """
  size n
  read x: f32[2*n]
  write y: f32[2*n]
  parallel i < 2 {
    vector j < n {
      %re: f32 = load x[2*j]
      %im: f32 = load x[2*j + 1]
      %s: f32 = add %re, %im
      store y[n*i + j] = %s
    }
  }
""",
        _each("n", EDGES),
    ),
    Example(
        "vector_loop_of_other_lengths",
        """
  size n
  read x: f32[n*n]
  write y: f32[n]
  vector i < n {
    %s: f32 = reduce sum k < i + 1 {
      %x: f32 = load x[n*i + k]
      yield %x
    }
    store y[i] = %s
  }
""",
        _each("n", (1, 20, 70)),
    ),
    Example(
        "product",
        """
  size m
  size n
  size k
  read a: f32[k*m]
  read b: f32[k*n]
  read bias: f32[n]
  write y: f32[m*n]
  %acc: f32 = contract i < m, j < n, l < k parallel {
    left {
      %a: f32 = load a[k*i + l]
      yield %a
    }
    right {
      %b: f32 = load b[n*l + j]
      yield %b
    }
    epilogue {
      %c: f32 = load bias[j]
      %d: f32 = add %acc, %c
      %e: f32 = maximum %d, 0.0:f32
      store y[n*i + j] = %e
    }
  }
""",
        tuple({"m": m, "n": n, "k": k} for m, n, k in ((1, 1, 1), (7, 20, 9), (40, 33, 70))),
    ),
)

CHECKED = Example(
    "checked",
    """
  size n
  read at: i64[n]
  read x: f32[10]
  write y: f32[n]
  vector i < n {
    %a: i64 = load at[i]
    %low: bool = ge %a, 0:i64
    %high: bool = lt %a, 10:i64
    %in: bool = bitwise_and %low, %high
    check %in else 7
    bind p < 10 = %a
    %x: f32 = load x[p]
    store y[i] = %x
  }
""",
    _each("n", (1, 16, 50)),
)
