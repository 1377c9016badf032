"""What the CPU can do.

>>> get_cpu_capability() in ("DEFAULT", "AVX2", "AVX512")
True
"""

from graphc.runtime.target import native_target


def get_cpu_capability() -> str:
    """The widest vectors that code is made for: "AVX512", "AVX2", or "DEFAULT" for others."""
    target = native_target()
    return "AVX512" if target.has_avx512 else "AVX2" if target.has("avx2") else "DEFAULT"
