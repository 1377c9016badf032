"""Kernels for a GPU that tests of the kernel level share; each is right, and needs every barrier and wait in it."""

from __future__ import annotations

import re

BLOCK_SUM = """\
kernel block_sum {
  size n in 1..2000
  read x: f32[n]
  write y: f32[((n + 127) // 128)]
  %n: i64 = position n
  block b < ((n + 127) // 128) {
    allocate s: f32[128] shared
    thread t < 128 {
      %at: i64 = position 128*b + t
      %in: bool = lt %at, %n
      %0: f32 = load x[128*b + t] where %in
      store s[t] = %0
      %t: i64 = position t
      barrier
      serial step < 7 {
        %amount: i64 = position step
        %width: i64 = shift_right 64:i64, %amount
        %takes: bool = lt %t, %width
        bind w < 65 = %width
        if %takes {
          %a: f32 = load s[t]
          %b: f32 = load s[min(127, t + w)]
          %c: f32 = add %a, %b
          store s[t] = %c
        }
        barrier
      }
      %first: bool = eq %t, 0:i64
      if %first {
        %r: f32 = load s[0]
        store y[b] = %r
      }
    }
  }
}
"""
"""y[b] = the sum of 128 elements of x by a tree in shared memory."""

WARP_TREE = """\
kernel warp_tree {
  size n in 1..100000
  read x: f32[4*n]
  write y: f32[4]
  %n: i64 = position n
  block b < 1 {
    thread t < 128 {
      allocate acc: f32[2] local
      unrolled u < 2 {
        store acc[u] = 0.0:f32
      }
      serial k < ((n + 63) // 64) {
        unrolled h < 2 {
          %at: i64 = position 64*k + 32*h + (t % 32)
          %in: bool = lt %at, %n
          %0: f32 = load x[n*(t // 32) + 64*k + 32*h + (t % 32)] where %in
          %1: f32 = load acc[h]
          %2: f32 = add %1, %0
          %3: f32 = select %in, %2, %1
          store acc[h] = %3
        }
      }
      %4: f32 = load acc[0]
      %5: f32 = load acc[1]
      %6: f32 = add %4, %5
      %7: f32 = shuffle down %6, 16:i32
      %8: f32 = add %6, %7
      %9: f32 = shuffle xor %8, 8:i32
      %10: f32 = add %8, %9
      %11: f32 = shuffle xor %10, 4:i32
      %12: f32 = add %10, %11
      %13: f32 = shuffle xor %12, 2:i32
      %14: f32 = add %12, %13
      %15: f32 = shuffle down %14, 1:i32
      %16: f32 = add %14, %15
      %lane: i64 = position (t % 32)
      %first: bool = eq %lane, 0:i64
      store y[(t // 32)] = %16 where %first
    }
  }
}
"""
"""y[r] = the sum of a row of n elements, a warp each, by the tree of `Reduce`."""

ROW_SUM = """\
kernel row_sum {
  size n in 1..100000
  read x: f32[4*n]
  write y: f32[4]
  parallel r < 4 {
    %0: f32 = reduce sum k < n {
      %1: f32 = load x[n*r + k]
      yield %1
    }
    store y[r] = %0
  }
}
"""
"""The same for a CPU."""

TRANSPOSE = """\
kernel transpose {
  size m in 1..100
  size n in 1..100
  read x: f32[m*n]
  write y: f32[m*n]
  %m: i64 = position m
  %n: i64 = position n
  block b < ((m + 31) // 32)*((n + 31) // 32) {
    allocate tile: f32[1056] shared
    thread t < 256 {
      unrolled u < 4 {
        %row: i64 = position 32*(b // ((n + 31) // 32)) + 8*u + (t // 32)
        %column: i64 = position 32*(b % ((n + 31) // 32)) + (t % 32)
        %0: bool = lt %row, %m
        %1: bool = lt %column, %n
        %2: bool = bitwise_and %0, %1
        bind i < m = %row
        bind j < n = %column
        %3: f32 = load x[i*n + j] where %2
        store tile[33*(8*u + (t // 32)) + (t % 32)] = %3
      }
      barrier
      unrolled v < 4 {
        %4: i64 = position 32*(b // ((n + 31) // 32)) + (t % 32)
        %5: i64 = position 32*(b % ((n + 31) // 32)) + 8*v + (t // 32)
        %6: bool = lt %4, %m
        %7: bool = lt %5, %n
        %8: bool = bitwise_and %6, %7
        bind p < m = %4
        bind q < n = %5
        %9: f32 = load tile[33*(t % 32) + 8*v + (t // 32)]
        store y[m*q + p] = %9 where %8
      }
    }
  }
}
"""
"""y[n, m] = x[m, n], in tiles through shared memory."""

PIPELINE = """\
kernel pipeline {
  size n in 1..20
  read x: f32[128*n]
  write y: f32[128]
  %n: i64 = position n
  block b < 1 {
    allocate s: f32[256] shared
    thread t < 32 {
      allocate acc: f32[4] local
      unrolled u < 4 {
        store acc[u] = 0.0:f32
      }
      copy_async s[4*t] = x[4*t] * 4
      commit_copies
      serial k < n {
        %next: i64 = position k + 1
        %more: bool = lt %next, %n
        copy_async s[4*t + 128*((k + 1) % 2)] = x[128*k + 4*t + 128] * 4 where %more
        commit_copies
        wait_copies 1
        barrier
        unrolled v < 4 {
          %0: f32 = load s[128*(k % 2) - 4*t - v + 127]
          %1: f32 = load acc[v]
          %2: f32 = add %1, %0
          store acc[v] = %2
        }
        barrier
      }
      unrolled w < 4 {
        %3: f32 = load acc[w]
        store y[4*t + w] = %3
      }
    }
  }
}
"""
"""y[j] = the sum of x[k, 127 - j] over k in order, each row copied while the one before is summed."""

GPU_TEXTS = {
    "block_sum": BLOCK_SUM,
    "warp_tree": WARP_TREE,
    "transpose": TRANSPOSE,
    "pipeline": PIPELINE,
}


def in_threads(body: str, threads: int = 32, blocks: str = "1", shared: str = "") -> str:
    """A kernel whose threads run a body; its parameters are what tests need."""
    body = re.sub(r" (%\w+:)", r"\n\1", body)  # behind a size, `%` on the same line would be a remainder
    return (
        "kernel k { size n in 1..64 read x: f32[256] read h: f16[256] read g: i32[256] read p: bool[256] "
        "write y: f32[256] write z: u32[256] "
        f"block b < {blocks} {{ {shared} thread t < {threads} {{ {body} }} }} }}"
    )
