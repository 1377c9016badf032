"""Kernels as code on a device: made into PTX, compiled by the driver, kept in memory and on disk.

In: a kernel that is scheduled for a GPU, and a device. Out: `Loaded`, which launches it. PTX and the driver's machine
code are entries of `graphc.runtime.cache`'s folder, under keys of all that they depend on. Code stays on a device as
long as somebody has its `Loaded`, and for a while after.

    code = loaded(kernel, device=0)
    code.launch([x.address, y.address], [1024], status=0, stream=0)
"""

from __future__ import annotations

import os
import re
import sys
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Sequence
from functools import partial
from typing import Final

from graphc.ir.errors import MissingFeature
from graphc.kernel.gpu import STATIC_SHARED_BYTES, GpuTarget, grid_of
from graphc.kernel.index import index_function
from graphc.kernel.ir import Kernel
from graphc.kernel.text import print_kernel
from graphc.runtime.cache import codegen_version, digest_of, disk_store
from graphc.runtime.cuda.capture import UNDER_WAY
from graphc.runtime.cuda.driver import CudaError, Driver, Image, KernelUsage
from graphc.runtime.cuda.select import driver
from graphc.runtime.cuda.timing import TIMING
from graphc.runtime.llvm import versions

MOST_BLOCKS: Final = 2**31 - 1
"""Of a grid."""
MOST_RECENT: Final = 1024
"""Kernels that stay loaded, whether or not somebody has them."""
_PTX_FORMAT: Final = "graphc PTX 1"
_CUBIN_FORMAT: Final = "graphc cubin 1"


class Loaded:
    """A kernel on a device. It is unloaded when nobody has this object any more."""

    __slots__ = (
        "__weakref__", "_blocks", "_driver", "_dynamic_bytes", "_function", "_last", "_names", "_threads",
        "device", "kernel", "module",
    )  # fmt: skip

    def __init__(self, found: Driver, device: int, kernel: Kernel, image: Image) -> None:
        grid = grid_of(kernel)
        assert grid is not None, f"{kernel.name} is not scheduled for a GPU"
        self.kernel = kernel
        self.device = device
        self._driver = found
        self._names = tuple(symbol.name for symbol in kernel.sizes)
        self._blocks = index_function(grid.blocks)
        # As code generation has it: a block that needs more than it may have without asking has it all by the launch.
        self._dynamic_bytes = grid.shared_bytes if grid.shared_bytes > STATIC_SHARED_BYTES else 0
        self._threads = grid.threads
        self._last: tuple[Sequence[int] | None, int] = (None, 0)
        """The sizes of the last launch, and its blocks: most are launched again for the same."""
        self.module = found.load(image)
        self._function = found.function(self.module, image.name)
        if self._dynamic_bytes:
            found.allow_shared(self._function, self._dynamic_bytes)

    def blocks(self, sizes: Sequence[int]) -> int:
        """Blocks of the grid for these sizes, in the kernel's order; where there are none nothing is to be launched."""
        return int(self._blocks(dict(zip(self._names, sizes))))

    def launch(self, addresses: Sequence[int], sizes: Sequence[int], status: int, stream: int) -> None:
        """Run the kernel in a stream of its device, whose context is the calling thread's.

        `addresses` are those of its buffers, multiples of 16; `status` that of the word for the code of a failed check.
        Raises CudaError with the kernel's name.
        """
        last = self._last
        if last[0] is sizes:
            blocks = last[1]
        else:
            blocks = self.blocks(sizes)
            if blocks > MOST_BLOCKS:
                raise MissingFeature(
                    f"kernel {self.kernel.name} would run in {blocks} blocks, and a GPU has at most {MOST_BLOCKS}",
                    hint="compute it in parts, over fewer elements at a time",
                )
            if isinstance(sizes, tuple):  # which stays what it is
                self._last = (sizes, blocks)
        if blocks == 0:
            return
        start = self._driver.launch if not TIMING else partial(TIMING[-1].launch, self.kernel.name, self.device)
        start(self._function, blocks, self._threads, self._dynamic_bytes, stream, (*addresses, *sizes, status))
        if IS_BLOCKING and not UNDER_WAY:
            try:
                self._driver.synchronize_stream(stream)
            except CudaError as error:
                raise CudaError(f"{error.message}: kernel {self.kernel.name} failed", hint=error.hint) from None

    def usage(self) -> KernelUsage | None:
        """What the kernel takes of a multiprocessor; None where the driver has none."""
        self._driver.activate(self.device)
        return self._driver.usage(self._function, self._threads, self._dynamic_bytes)

    def __del__(self) -> None:
        # Wherever this happens the stream may be capturing, or another device's context be current: later.
        if hasattr(self, "module") and not sys.is_finalizing():
            _dead.append((self._driver, self.device, self.module))


IS_BLOCKING: Final = os.environ.get("CUDA_LAUNCH_BLOCKING", "0") not in ("", "0")
"""The variable that every CUDA program heeds: wait for each kernel, so that an error names the one that failed."""
_lock = threading.RLock()
_dead: deque[tuple[Driver, int, int]] = deque()
"""Modules that nobody has any more; they are unloaded when a kernel is loaded next."""
_known: weakref.WeakValueDictionary[tuple[Driver, int, str], Loaded] = weakref.WeakValueDictionary()
_recent: OrderedDict[tuple[Driver, int, str], Loaded] = OrderedDict()


def loaded(kernel: Kernel, device: int) -> Loaded:
    """The kernel on the device: from memory, else from disk, else compiled.

    Raises a GraphcError for what the device cannot do.
    """
    found = driver()
    text = print_kernel(kernel)
    key = (found, device, text)
    with _lock:
        known = _known.get(key)
        if known is None:
            _unload()  # of any device
            found.activate(device)
            known = Loaded(found, device, kernel, _image(found, device, kernel, text))
            _known[key] = known
        _recent[key] = known
        _recent.move_to_end(key)
        while len(_recent) > MOST_RECENT:
            _recent.popitem(last=False)
        return known


def kept() -> tuple[Loaded, ...]:
    """The kernels that are on devices, on behalf of somebody or for a while yet; none from before `forget`."""
    with _lock:
        return tuple(_known.values())


def ptx_key(text: str, target: GpuTarget) -> str:
    """The name of a PTX entry: a digest of all that it depends on. Each part is listed here and only here."""
    return digest_of((_PTX_FORMAT, codegen_version(), *versions(), str(target), text))


def cubin_key(ptx: str, found: Driver, device: int) -> str:
    """The name of an entry of machine code, likewise."""
    capability = found.properties(device).capability
    return digest_of((_CUBIN_FORMAT, found.name, str(found.version()), str(capability), ptx))


def forget() -> None:
    """Drop the table in memory, as a new process would find it; code that somebody has stays."""
    with _lock:
        _known.clear()
        _recent.clear()


def _image(found: Driver, device: int, kernel: Kernel, text: str) -> Image:
    """The kernel's code, from disk where it is there."""
    name = entry_name(kernel.name)
    if not found.needs_code:
        return Image(name, "", text)
    store = disk_store()
    target = found.target(device)
    key = ptx_key(text, target)
    kept = store.read(key) if store is not None else None
    if kept is not None:
        ptx = kept.decode()
    else:
        # Late: code generation asks the runtime for LLVM, and a program that loads no kernel for a GPU does without.
        from graphc.codegen.gpu.ptx import emit_ptx

        ptx = emit_ptx({name: kernel}, target)
        if store is not None:
            store.write(key, ptx.encode())
    key = cubin_key(ptx, found, device)
    cubin = store.read(key) if store is not None else None
    if cubin is None:
        cubin = found.compile(Image(name, ptx, text))
        if store is not None:
            store.write(key, cubin)
    return Image(name, ptx, text, cubin)


def entry_name(name: str) -> str:
    """A kernel's name as PTX takes it."""
    return re.sub(r"\W", "_", f"k_{name}", flags=re.ASCII)


def _unload() -> None:
    while _dead and not UNDER_WAY:  # there is no waiting while a stream is capturing
        found, device, module = _dead.popleft()
        if not sys.is_finalizing():
            found.activate(device)
            found.synchronize()  # its kernels may still run
            found.unload(module)


def _reset_after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
