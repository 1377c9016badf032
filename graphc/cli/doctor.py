"""`graphc doctor`: what graphc finds on this machine and what it needs, one line each, and whether programs run.

The status is 0 where programs run on the CPU, which is all that graphc needs; 1 where they don't.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from graphc.frontend.compile import compile
from graphc.ir.errors import DeviceUnavailable, GraphcError
from graphc.ir.settings import settings, table
from graphc.runtime.cache import CacheWarning, cache_dir
from graphc.runtime.cpu import cgroup_quota
from graphc.runtime.cuda.driver import CudaError
from graphc.runtime.cuda.select import OLDEST, driver
from graphc.runtime.llvm import llvm
from graphc.runtime.pool_code import is_supported
from graphc.runtime.target import Target, host_target, native_target
from graphc.runtime.threads import get_num_threads
from graphc.version import graphc as VERSION

PYTHON: Final = (3, 10)
NEEDED: Final = {"numpy": "2.0", "llvmlite": "0.50", "networkx": "3.2", "ml_dtypes": "0.5"}
"""Packages without which graphc does not work, and their oldest versions."""
OPTIONAL: Final = {
    "cuda-bindings": ("12", "NVIDIA's own bindings to its driver; without them graphc calls the driver itself"),
    "tensorboardX": ("2.6.2", "event files for TensorBoard"),
    "pillow": ("10", "images in event files"),
    "scikit-learn": ("1.3", "data of the examples"),
    "matplotlib": ("3.8", "figures of the examples"),
    "rich": ("13", "progress in the examples"),
}
"""Packages that some things need, and for what."""
_FEATURES: Final = (
    ("AVX-512", "has_avx512"),
    ("AVX2", "has_avx2"),
    ("FMA", "has_fma"),
    ("F16C", "has_f16c"),
    ("bfloat16 products", "has_bf16_dot"),
)
"""What generated code uses of a CPU, and the question to a Target."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked for, whether all is well with it, and in words what was found and is needed."""

    name: str
    state: str
    """"ok", "missing" (what is optional) or "wrong" (what programs on the CPU need)."""
    text: str
    details: dict[str, Any] = field(default_factory=dict)
    """The same as values, for other programs to read."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Enter `doctor` among the commands."""
    parser = commands.add_parser("doctor", help="say what is found here and what is needed", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(function=doctor)


def doctor(options: argparse.Namespace) -> int:
    """Print all findings; the status is 1 where programs don't run on the CPU."""
    found: list[Finding] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)  # the line about the cache says it
        for look in (_packages, _settings, _cpu, _threads, _cache, _run_on_cpu, _optional, _gpus):
            found.extend(_safely(look))
    works = any(each.name == _ON_CPU and each.state == "ok" for each in found)
    if options.json:
        print(json.dumps({"works": works, "findings": [asdict(each) for each in found]}, indent=1))
    else:
        width = max(len(each.name) for each in found)
        for each in found:
            print(f"{each.state:7}  {each.name:{width}}  {each.text}")
    return 0 if works else 1


def _safely(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a look; what goes wrong in it is one too."""
    try:
        yield from look()
    except Exception as error:  # whatever is broken here is what the user wants to read
        name = look.__name__.strip("_").replace("_", " ")
        yield Finding(name, "missing" if look in (_optional, _gpus) else "wrong", _one_line(error))


def _one_line(error: Exception) -> str:
    if isinstance(error, GraphcError):
        return "; ".join(part.replace("\n", " ") for part in (error.message, error.hint) if part is not None)
    return f"{type(error).__name__}: {error}".replace("\n", " ")


# Versions


def _packages() -> Iterator[Finding]:
    yield Finding("graphc", "ok", f"{VERSION} in {Path(__file__).parent.parent}", {"version": VERSION})
    version, needed = platform.python_version(), ".".join(map(str, PYTHON))
    state = "ok" if sys.version_info >= PYTHON else "wrong"
    text = f"{version} ({platform.python_implementation()}) on {platform.platform()}; needed: {needed} or newer"
    yield Finding("python", state, text, {"version": version, "needed": needed})
    for name, oldest in NEEDED.items():
        yield _package(name, oldest, "wrong")
    llvm_version = ".".join(map(str, llvm.llvm_version_info))
    yield Finding("LLVM", "ok", f"{llvm_version}, in llvmlite", {"version": llvm_version})


def _optional() -> Iterator[Finding]:
    for name, (oldest, purpose) in OPTIONAL.items():
        yield _package(name, oldest, "missing", purpose)


def _package(name: str, oldest: str, bad: str, purpose: str = "") -> Finding:
    """What there is of a package; `bad` is the state of one that is absent or too old."""
    version: str | None = None
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version(name)
    state = "ok" if version is not None and _numbers(version) >= _numbers(oldest) else bad
    text = f"{version or 'not installed'}; {'needed' if bad == 'wrong' else 'optional'}: {oldest} or newer"
    details = {"version": version, "needed": oldest}
    return Finding(name, state, f"{text}, for {purpose}" if purpose else text, details)


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version, for comparison."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


# This machine


def _settings() -> Iterator[Finding]:
    values = settings()
    changed = {
        row.variable: value
        for row in table()
        if (value := getattr(values, row.variable.split("_", 1)[1].lower())) != row.default
    }
    text = ", ".join(f"{name}={value}" for name, value in changed.items()) or "all as they are by default"
    yield Finding("settings", "ok", text, changed)


def _cpu() -> Iterator[Finding]:
    target = host_target()
    used = [name for name, question in _FEATURES if getattr(target, question)]
    details = {
        "name": _cpu_name(),
        "target": target.cpu,
        "triple": target.triple,
        "vector_bits": target.vector_bits,
        "used": used,
        "features": sorted(target.enabled),
    }
    text = (
        f"{details['name']}; code for {target.cpu}, vectors of {target.vector_bits} bits, {', '.join(used) or 'SSE2'}"
    )
    yield Finding("cpu", "ok", text + _narrowed(target), details)


def _narrowed(target: Target) -> str:
    return "" if target == native_target() else f" (by GRAPHC_CPU; it is a {native_target().cpu})"


def _cpu_name() -> str:
    """The model's name in its maker's words."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _threads() -> Iterator[Finding]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota, threads, is_native = cgroup_quota(), get_num_threads(), is_supported(native_target())
    allowed = "no quota of a cgroup" if quota is None else f"a quota of {quota:g} by the cgroup"
    text = f"{threads}; the machine has {os.cpu_count()} CPUs, this process may use {usable}, {allowed}; "
    details = {"threads": threads, "cpus": os.cpu_count(), "usable": usable, "quota": quota, "native_pool": is_native}
    yield Finding("threads", "ok", text + ("a pool in machine code" if is_native else "Python's threads"), details)


def _cache() -> Iterator[Finding]:
    limit = settings().cache_bytes
    if limit == 0:
        yield Finding("cache", "missing", "GRAPHC_CACHE_BYTES is 0: each process compiles anew", {"limit": 0})
        return
    folder = cache_dir()
    sizes: list[int] = []
    for path in folder.glob("??/*"):
        with suppress(OSError):  # another process was quicker
            sizes.append(path.stat().st_size)
    is_writable = _is_writable(folder)
    text = f"{folder}: {len(sizes)} entries, {_size(sum(sizes))} of at most {_size(limit)}"
    if not is_writable:
        text += "; it can't be written, so each process compiles anew: set GRAPHC_CACHE_DIR to another folder"
    details = {
        "folder": str(folder),
        "entries": len(sizes),
        "bytes": sum(sizes),
        "limit": limit,
        "writable": is_writable,
    }
    yield Finding("cache", "ok" if is_writable else "missing", text, details)


def _is_writable(folder: Path) -> bool:
    """Whether entries can be put there, or it can be made; nothing is left behind by asking."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


# Whether programs run


_ON_CPU: Final = "program on the CPU"


def _run_on_cpu() -> Iterator[Finding]:
    yield _run(_ON_CPU, "cpu", "wrong")


def _run(name: str, target: str, bad: str) -> Finding:
    """Whether a small program compiles for a target, and gives there what numpy gives."""
    x = np.linspace(-1, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    try:
        start = time.perf_counter()
        program = compile(_example, target=target)
        result = program(x)
        first = time.perf_counter() - start
        start = time.perf_counter()
        program(x)
        again = time.perf_counter() - start
    except Exception as error:  # as in `_safely`: it is what the user wants to read
        return Finding(name, bad, f"does not run: {_one_line(error)}", {"runs": False})
    times = f"compiled and run in {first * 1e3:.0f} ms, again in {again * 1e6:.0f} us"
    details: dict[str, Any] = {"runs": True, "first_seconds": first, "again_seconds": again}
    if not np.allclose(result, np.tanh(x @ x).sum(axis=1), rtol=1e-4, atol=1e-4):
        return Finding(name, bad, f"gives wrong numbers; {times}", details | {"runs": False})
    return Finding(name, "ok", times, details)


def _example(x: Any) -> Any:
    return (x @ x).tanh().sum(dim=1)


# GPUs


def _gpus() -> Iterator[Finding]:
    needed = f"optional: an NVIDIA driver with CUDA {_cuda_version(OLDEST)} or newer"
    try:
        found = driver()
    except DeviceUnavailable as error:
        reason = re.sub(r"; `graphc doctor`.*", "", error.hint or error.message)
        yield Finding("CUDA driver", "missing", f"{reason}; {needed}", {"reason": reason})
        yield Finding("GPU", "missing", "none; optional: one of NVIDIA's of compute capability 7.5 or newer")
        return
    version = found.version()
    text = f"CUDA {_cuda_version(version)} by {found.name}; {needed}"
    yield Finding("CUDA driver", "ok", text, {"version": version, "by": found.name})
    for index in range(found.device_count()):
        name = f"GPU {index}"
        try:
            its, target = found.properties(index), found.target(index)
        except CudaError as error:  # it is too old, say
            yield Finding(name, "missing", _one_line(error))
            continue
        text = f"{its.name}, compute capability {its.capability[0]}.{its.capability[1]}, {_size(its.total_memory)}"
        details = {**asdict(its), "target": str(target)}
        yield Finding(name, "ok", f"{text}; code for {target.processor}; needed: 7.5 or newer", details)
        yield _run(f"program on GPU {index}", f"cuda:{index}", "missing")


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
