"""What code is generated for: a machine's triple, CPU and features, and LLVM's view of it.

Level: codegen asks a `Target` about vector width and instructions; the engine asks for its TargetMachine.
In: a name, or this machine. Out: an immutable `Target`, part of the cache key as it stands.

>>> named_target("x86-64-v3").vector_bits
256
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

from graphc.ir.errors import ArgumentError
from graphc.ir.settings import settings
from graphc.runtime.llvm import llvm
from graphc.runtime.lock import LOCK


@dataclass(frozen=True)
class Target:
    """A machine to generate code for; `features` lists what it has in LLVM's form, `+avx2,-avx512f`."""

    triple: str
    cpu: str
    features: str
    opt_level: Literal[1, 2, 3] = 2  # level 0 crashes LLVM's FastISel on explicit vectors

    @property
    def arch(self) -> str:
        """The triple's first part, with the two spellings of each machine made one."""
        first = self.triple.split("-", 1)[0]
        return {"amd64": "x86_64", "arm64": "aarch64"}.get(first, first)

    @cached_property
    def enabled(self) -> frozenset[str]:
        """The names of the features that are on."""
        return frozenset(part[1:] for part in self.features.split(",") if part.startswith("+"))

    def has(self, feature: str) -> bool:
        """Whether the machine has `feature`, by LLVM's name for it."""
        return feature in self.enabled

    @property
    def has_avx512(self) -> bool:
        """The AVX-512 of every server since Skylake: F with BW, DQ and VL."""
        return {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= self.enabled

    @property
    def has_avx2(self) -> bool:
        return self.has("avx2")

    @property
    def has_fma(self) -> bool:
        """Whether `llvm.fma` is an instruction; without it, it is a call of libm's function."""
        return self.arch == "aarch64" or self.has("fma")

    @property
    def has_f16c(self) -> bool:
        """Whether float16 converts to and from float32 by an instruction."""
        return self.arch == "aarch64" or self.has("f16c") or self.has_avx512

    @property
    def has_bf16_conversion(self) -> bool:
        """No CPU converts all numbers: the instruction of x86 takes subnormal ones for zero."""
        return False

    @property
    def has_bf16_dot(self) -> bool:
        return self.has("avx512bf16") or self.has("bf16")

    @property
    def vector_bits(self) -> int:
        """The width of the widest vector register worth using."""
        if self.has_avx512:
            return 512
        return 256 if self.has("avx") else 128

    @property
    def vector_registers(self) -> int:
        return 32 if self.has_avx512 or self.arch == "aarch64" else 16

    @property
    def function_attributes(self) -> str:
        """LLVM attributes that each emitted function should carry.

        Several AVX-512 CPUs are tuned by LLVM for 256 bits; without the width, 512-bit vectors would be split.
        """
        return f'nounwind "prefer-vector-width"="{self.vector_bits}"'

    @property
    def runs_here(self) -> bool:
        """Whether this process can run the code: same machine and system, and every feature present."""
        host = native_target()
        return (
            self.arch == host.arch
            and self.triple.split("-")[1:] == host.triple.split("-")[1:]
            and self.enabled <= host.enabled
        )


_SSE2 = "+cx8,+fxsr,+mmx,+sse,+sse2"
_V2 = _SSE2 + ",+cx16,+popcnt,+sahf,+sse3,+sse4.1,+sse4.2,+ssse3"
_V3 = _V2 + ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
_V4 = _V3 + ",+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vl"

# The machines that the tests emit code for, whatever they run on. Feature lists repeat what the CPU's name
# implies, so that a question to the Target needs no table of LLVM's.
TARGETS: dict[str, Target] = {
    "x86-64": Target("x86_64-unknown-linux-gnu", "x86-64", _SSE2),
    "x86-64-v3": Target("x86_64-unknown-linux-gnu", "x86-64-v3", _V3),
    "x86-64-v4": Target("x86_64-unknown-linux-gnu", "x86-64-v4", _V4),
    "aarch64": Target("aarch64-unknown-linux-gnu", "generic", "+fp-armv8,+neon"),
    "cortex-a72": Target("aarch64-unknown-linux-gnu", "cortex-a72", "+crc,+fp-armv8,+neon"),
}


def named_target(name: str) -> Target:
    """The target called `name`: `native`, or a key of `TARGETS`."""
    if name == "native":
        return native_target()
    if name not in TARGETS:
        raise ArgumentError(f"no target is called {name!r}", hint=f"there are native, {', '.join(TARGETS)}")
    return TARGETS[name]


@lru_cache(maxsize=1)
def native_target() -> Target:
    """This machine, with all that it can do."""
    with LOCK:
        features = llvm.get_host_cpu_features().flatten()
        return Target(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)


@lru_cache(maxsize=1)
def host_target() -> Target:
    """The target that this process compiles for: this machine, or what GRAPHC_CPU narrows it to."""
    name = settings().cpu
    target = named_target(name)
    if target is not native_target():
        target = replace(target, triple=native_target().triple) if target.arch == native_target().arch else target
        if not target.runs_here:
            raise ArgumentError(f"GRAPHC_CPU is {name!r}, whose code this machine cannot run", hint="leave it unset")
    return target


_machines = threading.local()


def target_machine(target: Target) -> llvm.TargetMachine:
    """LLVM's machine for `target`, one for each thread: an engine or a second thread must not share it."""
    cache: dict[Target, llvm.TargetMachine] = _machines.__dict__.setdefault("cache", {})
    if target not in cache:
        cache[target] = new_target_machine(target)
    return cache[target]


def new_target_machine(target: Target) -> llvm.TargetMachine:
    """A fresh machine, for an owner that keeps it, such as the engine."""
    with LOCK:
        _initialize(target.arch == native_target().arch)
        # Position-independent and small, as in a shared library: calls and constants are reached directly.
        return llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu, features=target.features, opt=target.opt_level, reloc="pic", codemodel="small"
        )


@lru_cache(maxsize=2)
def _initialize(native: bool) -> None:
    """Register LLVM's back ends: this machine's alone where that will do, since all of them take longer."""
    if native:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
