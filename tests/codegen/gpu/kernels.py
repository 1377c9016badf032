"""Kernels for a GPU that between them have every statement and loop, as schedules write them.

Each comes with the sizes to run it for.
"""

from __future__ import annotations

from tests.codegen.corpus import Example

_GRID = "block b < ((n + 1023) // 1024) { thread t < 128 {"

ELEMENTWISE = Example(
    "elementwise",
    """
  size n in 1..100000
  read x: f32[n]
  read y: f32[n]
  write z: f32[n]
  block b < 3 {
    thread t < 128 {
      serial s < ((n + 1535) // 1536) {
        vector v < min(4, max(0, n - 1536*s - 512*b - 4*t)) {
          %x: f32 = load x[1536*s + 512*b + 4*t + v]
          %y: f32 = load y[1536*s + 512*b + 4*t + v]
          %p: f32 = mul %x, %y
          %q: f32 = add %p, %x
          %r: f32 = fma %x, %y, %q
          store z[1536*s + 512*b + 4*t + v] = %r
        }
      }
    }
  }
""",
    ({"n": 1}, {"n": 1536}, {"n": 4003}),
)

HALVES = Example(
    "halves",
    f"""
  size n in 1..100000
  read x: bf16[n]
  read y: f64[n]
  read c: bool[n]
  write z: f16[n]
  {_GRID}
    vector v < min(8, max(0, n - 1024*b - 8*t)) {{
      %x: bf16 = load x[1024*b + 8*t + v]
      %y: f64 = load y[1024*b + 8*t + v]
      %c: bool = load c[1024*b + 8*t + v]
      %w: f64 = cast %x
      %p: f64 = mul %w, %y
      %h: f16 = cast %p
      %n: f16 = cast %x
      %r: f16 = select %c, %h, %n
      store z[1024*b + 8*t + v] = %r
    }}
  }} }}
""",
    ({"n": 2048}, {"n": 1029}),
)

GATHER = Example(
    "gather",
    """
  size n in 1..1000
  read x: f32[3*n]
  read at: i32[256]
  write y: f32[256]
  write z: i64[256]
  block b < 1 {
    thread t < 64 {
      %half: i64 = position t
      %low: bool = lt %half, 40:i64
      vector v < 4 {
        %at: i32 = load at[4*t + v]
        %fits: bool = lt %at, 5:i32
        bind j < n = %at
        %a: f32 = load x[3*j + 1] where %fits
        %b: f32 = load x[((4*t + v) % n)] where %low
        %c: f32 = load x[2*n]
        %s: f32 = add %a, %b
        %r: f32 = add %s, %c
        store y[255 - 4*t - v] = %r
        %p: i64 = position 4*t + 10*v - 7
        check %fits else 7
        if %fits {
          store z[4*t + v] = %p where %low
        }
      }
    }
  }
""",
    ({"n": 11}, {"n": 1}),
)

PARTS = Example(
    "parts",
    """
  size n in 1..1000
  read x: f32[400*n]
  read u: u8[2048]
  read h: f16[2048]
  write y: f32[640]
  write z: f16[2048]
  write w: u8[2048]
  write q: f16[2560]
  block b < 2 {
    thread t < 32 {
      vector v < 6 {
        %x: f32 = load x[n + 192*b + 6*t + v]
        store y[192*b + 6*t + v] = %x
      }
      vector o < 4 {
        %o: f32 = load x[n*b + 4*t + o]
        %e: f32 = load x[2*n*b + 4*t + o]
        %a: f32 = add %o, %e
        store y[384 + 128*b + 4*t + o] = %a
      }
      vector c < 16 {
        %u: u8 = load u[1024*b + 16*t + c]
        %h: f16 = load h[1024*b + 16*t + c]
        %s: u8 = add %u, %u
        store w[1024*b + 16*t + c] = %s
        store z[1024*b + 16*t + c] = %h
      }
      vector many < 40 {
        %m: u8 = load u[40*t + many]
        %k: f16 = cast %m
        store q[1280*b + 40*t + many] = %k
      }
    }
  }
""",
    ({"n": 1}, {"n": 7}),
)

REDUCE = Example(
    "reduce",
    """
  size n in 0..100000
  read x: f32[64*n]
  read u: u8[64*n]
  read k: f64[6400]
  write s: f32[64]
  write p: i64[64]
  write d: f64[64]
  write g: bool[64]
  write f: f32[64]
  block b < 2 {
    thread t < 32 {
      %s: f32 = reduce sum i < n {
        %x: f32 = load x[n*t + 32*n*b + i]
        yield %x
      }
      store s[32*b + t] = %s
      %p: i64 = reduce argmax i2 < n {
        %u: u8 = load u[32*b + t + 64*i2]
        yield %u
      }
      store p[32*b + t] = %p
      %d: f64 = reduce max i3 < 100 {
        %k: f64 = load k[32*b + t + 64*i3]
        yield %k
      }
      store d[32*b + t] = %d
      %g: bool = reduce all i4 < 7 {
        %m: f64 = load k[32*b + t + 64*i4]
        %c: bool = lt %m, 4.0:f64
        yield %c
      }
      store g[32*b + t] = %g
      %f: f32 = reduce sum i5 < 70 {
        %h: f32 = reduce sum i6 < min(i5, n) {
          %w: f32 = load x[i6 + t]
          yield %w
        }
        yield %h
      }
      store f[32*b + t] = %f
    }
  }
""",
    ({"n": 1}, {"n": 63}, {"n": 200}),
)

WARPS = Example(
    "warps",
    """
  size n in 1..1000
  read x: f32[64*n]
  write y: f32[n]
  write z: f64[128*n]
  block b < n {
    allocate part: f32[4] shared
    thread t < 128 {
      %x: f32 = load x[64*b + (t % 64)]
      %16: f32 = shuffle xor %x, 16:i32
      %a: f32 = add %x, %16
      %8: f32 = shuffle down %a, 8:i32
      %c: f32 = add %a, %8
      %4: f32 = shuffle up %c, 1:i32
      %e: f32 = add %c, %4
      %o: i64 = position (t % 32)
      %one: bool = eq %o, 5:i64
      store part[(t // 32)] = %e where %one
      barrier
      %f: f32 = load part[3 - (t // 32)]
      %w: f64 = cast %f
      %l: i64 = position (t % 32)
      %v: i32 = position ((5*t) % 32)
      %m: i64 = shuffle index %l, %v
      %q: bool = lt %m, 9:i64
      %r: bool = shuffle xor %q, 1:i32
      %u: f64 = cast %m
      %i: f64 = shuffle xor %w, 3:i32
      %j: f64 = add %i, %u
      %k: f64 = select %r, %j, %w
      store z[128*b + t] = %k
      %place: i64 = position t
      %first: bool = eq %place, 77:i64
      if %first {
        store y[b] = %f
      }
    }
  }
""",
    ({"n": 2},),
)

TRANSPOSE = Example(
    "transpose",
    """
  size m in 1..10000
  size n in 1..10000
  read x: u8[m*n]
  write y: u8[m*n]
  block b < ((m + 31) // 32)*((n + 31) // 32) {
    allocate tile: u8[1056] shared
    thread t < 128 {
      unrolled i < 8 {
        %r: i64 = position 32*(b // ((n + 31) // 32)) + 4*i + (t // 32)
        %c: i64 = position 32*(b % ((n + 31) // 32)) + (t % 32)
        %rows: i64 = position m
        %columns: i64 = position n
        %in: bool = lt %r, %rows
        %on: bool = lt %c, %columns
        %there: bool = bitwise_and %in, %on
        bind row < m = %r
        bind column < n = %c
        %x: u8 = load x[n*row + column] where %there
        store tile[132*i + 33*(t // 32) + (t % 32)] = %x
      }
      barrier
      unrolled j < 8 {
        %r2: i64 = position 32*(b // ((n + 31) // 32)) + (t % 32)
        %c2: i64 = position 32*(b % ((n + 31) // 32)) + 4*j + (t // 32)
        %rows2: i64 = position m
        %columns2: i64 = position n
        %in2: bool = lt %r2, %rows2
        %on2: bool = lt %c2, %columns2
        %there2: bool = bitwise_and %in2, %on2
        bind row2 < m = %r2
        bind column2 < n = %c2
        %y: u8 = load tile[33*(t % 32) + 4*j + (t // 32)]
        store y[m*column2 + row2] = %y where %there2
      }
    }
  }
""",
    ({"m": 33, "n": 70},),
)

TILES = Example(
    "tiles",
    """
  read a: f32[8192]
  read w: f32[8192]
  write c: f32[16384]
  block b < 4 {
    allocate left: f32[1024] shared
    allocate right: f32[1024] shared
    thread t < 64 {
      allocate sum: f32[64] local
      unrolled z < 64 { store sum[z] = 0.0:f32 }
      serial k < 4 {
        barrier
        unrolled r < 4 {
          vector v < 4 {
            %a: f32 = load a[4096*(b // 2) + 64*(t // 4) + 1024*r + 16*k + 4*(t % 4) + v]
            store left[256*(t % 4) + 64*v + (t // 4) + 16*r] = %a
          }
          vector v2 < 4 {
            %w: f32 = load w[2048*k + 512*r + 128*(t // 16) + 64*(b % 2) + 4*(t % 16) + v2]
            store right[256*r + 64*(t // 16) + 4*(t % 16) + v2] = %w
          }
        }
        barrier
        serial kk < 16 {
          allocate x: f32[8] local
          allocate y: f32[8] local
          unrolled h < 2 {
            vector v3 < 4 {
              %x: f32 = load left[64*kk + 32*h + 4*(t // 8) + v3]
              store x[4*h + v3] = %x
              %y: f32 = load right[64*kk + 32*h + 4*(t % 8) + v3]
              store y[4*h + v3] = %y
            }
          }
          unrolled i < 8 {
            unrolled j < 8 {
              %p: f32 = load x[i]
              %q: f32 = load y[j]
              %s: f32 = load sum[8*i + j]
              %n: f32 = fma %p, %q, %s
              store sum[8*i + j] = %n
            }
          }
        }
      }
      unrolled i2 < 8 {
        unrolled j2 < 2 {
          vector v4 < 4 {
            %o: f32 = load sum[8*i2 + 4*j2 + v4]
            store c[8192*(b // 2) + 64*(b % 2) + 512*(t // 8) + 3584*(i2 // 4) + 128*i2 + 32*j2 + 4*(t % 8) + v4] = %o
          }
        }
      }
    }
  }
""",
)


def tensor_cores(dtype: str) -> Example:
    """[16, 16 n] times [16 n, 16] by one warp, the tiles for the next step copied behind its back."""
    copies = """copy_async left[256*({s} % 2) + 8*t] = a[16*n*(t // 2) + 16*({s}) + 8*(t % 2)] * 8{where}
        copy_async right[256*({s} % 2) + 8*t] = w[256*({s}) + 8*t] * 8{where}
        commit_copies"""
    return Example(
        f"tensor_cores_{dtype}",
        f"""
  size n in 1..100
  read a: {dtype}[256*n]
  read w: {dtype}[256*n]
  write c: f32[256]
  block b < 1 {{
    allocate left: {dtype}[512] shared
    allocate right: {dtype}[512] shared
    thread t < 32 {{
      allocate sum: f32[8] local
      unrolled z < 8 {{ store sum[z] = 0.0:f32 }}
      {copies.format(s="0", where="")}
      %n: i64 = position n
      serial k < n {{
        %next: i64 = position k + 1
        %more: bool = lt %next, %n
        {copies.format(s="(k + 1)", where=" where %more")}
        wait_copies 1
        barrier
        (%a0: u32, %a1: u32, %a2: u32, %a3: u32) = load_matrix left[256*(k % 2) + 16*(t % 16) + 8*(t // 16)]
        (%b0: u32, %b1: u32) = load_matrix right[256*(k % 2) + 16*(t % 16)] transposed
        (%b2: u32) = load_matrix right[256*(k % 2) + 16*(t % 8) + 8] transposed
        (%b3: u32) = load_matrix right[256*(k % 2) + 16*(t % 8) + 136] transposed
        unrolled h < 2 {{
          %h: i64 = position h
          %is: bool = eq %h, 0:i64
          %l: u32 = select %is, %b0, %b2
          %r: u32 = select %is, %b1, %b3
          %s0: f32 = load sum[4*h]
          %s1: f32 = load sum[4*h + 1]
          %s2: f32 = load sum[4*h + 2]
          %s3: f32 = load sum[4*h + 3]
          (%t0: f32, %t1: f32, %t2: f32, %t3: f32) = multiply_matrices {dtype} (%a0, %a1, %a2, %a3), (%l, %r), \
(%s0, %s1, %s2, %s3)
          store sum[4*h] = %t0
          store sum[4*h + 1] = %t1
          store sum[4*h + 2] = %t2
          store sum[4*h + 3] = %t3
        }}
        barrier
      }}
      unrolled h2 < 2 {{
        unrolled e < 2 {{
          vector v < 2 {{
            %o: f32 = load sum[4*h2 + 2*e + v]
            store c[16*(t // 4) + 2*(t % 4) + 128*e + 8*h2 + v] = %o
          }}
        }}
      }}
    }}
  }}
""",
        ({"n": 1}, {"n": 3}),
    )


SINGLES = Example(
    "singles",
    """
  read a: f32[128]
  read w: f32[64]
  write c: f32[128]
  block b < 1 {
    thread t < 32 {
      %0: f32 = load a[8*(t // 4) + (t % 4)]
      %1: f32 = load a[8*(t // 4) + (t % 4) + 64]
      %2: f32 = load a[8*(t // 4) + (t % 4) + 4]
      %3: f32 = load a[8*(t // 4) + (t % 4) + 68]
      %4: f32 = load w[8*(t % 4) + (t // 4)]
      %5: f32 = load w[8*(t % 4) + (t // 4) + 32]
      %a0: u32 = bitcast %0
      %a1: u32 = bitcast %1
      %a2: u32 = bitcast %2
      %a3: u32 = bitcast %3
      %b0: u32 = bitcast %4
      %b1: u32 = bitcast %5
      (%c0: f32, %c1: f32, %c2: f32, %c3: f32) = multiply_matrices tf32 (%a0, %a1, %a2, %a3), (%b0, %b1), \
(1.0:f32, 1.0:f32, 1.0:f32, 1.0:f32)
      store c[8*(t // 4) + 2*(t % 4)] = %c0
      store c[8*(t // 4) + 2*(t % 4) + 1] = %c1
      store c[8*(t // 4) + 2*(t % 4) + 64] = %c2
      store c[8*(t // 4) + 2*(t % 4) + 65] = %c3
    }
  }
""",
)

WARPGROUPS = tuple(
    Example(
        f"warpgroups_{dtype}",
        f"""
  read a: {dtype}[4096]
  read w: {dtype}[2048]
  write c: f32[8192]
  block b < 1 {{
    allocate left: {dtype}[4128] shared
    allocate right: {dtype}[2112] shared
    thread t < 256 {{
      allocate sums: f32[32] local
      serial i < 16 {{
        %a: {dtype} = load a[256*i + t]
        store left[1032*(t % 32 // 8) + 64*i + 8*(t // 32) + (t % 8)] = %a
      }}
      serial j < 8 {{
        %w: {dtype} = load w[256*j + t]
        store right[264*(t % 64 // 8) + 32*j + 8*(t // 64) + (t % 8)] = %w
      }}
      unrolled k < 32 {{
        store sums[k] = 1.0:f32
      }}
      fence_shared
      barrier
      multiply_shared {dtype} depth 16 sums = left[512*(t // 128)] (1032, 64), right[0] (64, 264) transposed
      multiply_shared {dtype} depth 16 sums = left[512*(t // 128) + 2064] (1032, 64), right[128] (64, 264) transposed
      wait_products sums, 1
      wait_products sums, 0
      unrolled r < 2 {{
        unrolled n < 8 {{
          vector v < 2 {{
            %c: f32 = load sums[4*n + 2*r + v]
            store c[1024*(t // 32) + 512*r + 64*(t % 32 // 4) + 8*n + 2*(t % 4) + v] = %c
          }}
        }}
      }}
    }}
  }}
""",
    )
    for dtype in ("bf16", "f16")
)
"""c = a w + 1 of [128, 32] and [32, 64]: two products, one behind the other."""

LARGE = Example(
    "large",
    """
  size n in 1..1000
  read x: f64[8000]
  write y: f64[8000]
  block b < 1 {
    allocate bytes: u8[7] shared
    allocate all: f64[8000] shared
    thread t < 32 {
      serial k < 250 {
        %x: f64 = load x[250*t + k]
        store all[250*t + k] = %x
      }
      barrier
      serial j < 250 {
        %y: f64 = load all[7999 - 32*j - t]
        store y[32*j + t] = %y
      }
    }
  }
""",
    ({"n": 1},),
)

CHOICE = Example(
    "choice",
    """
  size n in 1..64
  read x0: f32[n]
  write y0: f32[n]
  read x1: f32[4*n]
  write y1: f32[4*n]
  read x2: f32[64]
  write y2: f32[64]
  read scale: f32[1]
  block b < 3 {
    %row: i64 = position ((2*b + 1) % 3)
    %scale: f32 = load scale[0]
    allocate s: f32[64] shared
    thread t < 64 {
      %t: i64 = position t
      %n: i64 = position n
      choose %row (x: f32[4*n], y: f32[4*n]) of (x0, y0), (x1, y1), (x2, y2) {
        %in: bool = lt %t, %n
        %0: f32 = load x[t] where %in
        store s[t] = %0
        barrier
        %1: f32 = load s[63 - t]
        %2: f32 = mul %1, %scale
        store y[t] = %2 where %in
      }
    }
  }
""",
    ({"n": 16}, {"n": 40}),
)

PLAIN = (ELEMENTWISE, HALVES, GATHER, PARTS, REDUCE, WARPS, TRANSPOSE, TILES, LARGE, CHOICE)
"""For every target."""
MATRICES = (tensor_cores("f16"), tensor_cores("bf16"), SINGLES)
"""For tensor cores; the first on every target."""
