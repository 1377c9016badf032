"""The threads of this process that run kernels: one pool, started at the first parallel region.

Compiled code calls `graphc_pool_run(ptr function, ptr argument)` or `graphc_pool_run_n(..., i64 most)`; the pool calls
`function(argument, i64 thread, i64 threads)` for every thread below `threads` and returns when all have. `threads` is
chosen by the pool and may be 1; no task may wait for another. On Linux the pool is machine code (`pool_code`);
elsewhere Python threads stand in for it, which serve large work only.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING, Protocol

from graphc.runtime import cache, engine
from graphc.runtime.cpu import available_cpus
from graphc.runtime.lock import LOCK
from graphc.runtime.pool_code import SPIN, is_supported, pool_text
from graphc.runtime.target import native_target
from graphc.runtime.threads import MAX_THREADS, follow_threads

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor


class Pool(Protocol):
    """What runs parallel regions; `run` and `run_n` are addresses of C functions."""

    run: int
    run_n: int

    def set_threads(self, count: int) -> None: ...

    def reset_after_fork(self) -> None: ...


_pool: Pool | None = None


def start() -> Pool:
    """The pool of this process, which loaded code finds as `graphc_pool_run` and `graphc_pool_run_n`.

    No thread starts here: the first region with work for several does that.
    """
    global _pool
    with LOCK:
        if _pool is None:
            pool: Pool = NativePool() if is_supported(native_target()) else PythonPool()
            follow_threads(pool.set_threads)
            engine.import_symbol("graphc_pool_run", pool.run)
            engine.import_symbol("graphc_pool_run_n", pool.run_n)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=pool.reset_after_fork)
            _pool = pool
        return _pool


class NativePool:
    """The pool in machine code."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        for name in _C_FUNCTIONS:
            address = ctypes.cast(getattr(libc, name), ctypes.c_void_p).value
            assert address is not None
            engine.import_symbol(name, address)
        target = native_target()
        text = pool_text(target)
        symbols = ("pool_run", "pool_run_n", "pool_reset", "pool_threads", "pool_started", "pool_spin")
        addresses = cache.compiled(text, lambda: text, symbols, target, clean=True)
        engine.keep(addresses)
        self.run = addresses["pool_run"]
        self.run_n = addresses["pool_run_n"]
        self._reset = ctypes.CFUNCTYPE(None)(addresses["pool_reset"])
        self._threads = ctypes.c_int64.from_address(addresses["pool_threads"])
        self._started = ctypes.c_int64.from_address(addresses["pool_started"])
        self._spin = ctypes.c_int32.from_address(addresses["pool_spin"])
        self._patience = SPIN[target.arch]

    def set_threads(self, count: int) -> None:
        # With more threads than CPUs, one that spins takes the CPU from one that works.
        self._spin.value = self._patience if count <= available_cpus() else 0
        self._threads.value = count

    @property
    def started(self) -> int:
        """Threads that exist, the caller among them."""
        return self._started.value

    def reset_after_fork(self) -> None:
        self._reset()


_C_FUNCTIONS = (
    "syscall",
    "pthread_create",
    "pthread_attr_init",
    "pthread_attr_setdetachstate",
    "pthread_attr_setstacksize",
    "pthread_attr_destroy",
    "pthread_sigmask",
    "sigfillset",
    "sigdelset",
)

_TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class PythonPool:
    """Python threads that call the task, outside the interpreter's lock; a region costs some 20 us."""

    def __init__(self) -> None:
        self._threads = 1
        self._busy = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._callbacks = (
            ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(lambda f, a: self._run(f, a, MAX_THREADS)),
            ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(self._run),
        )
        self.run, self.run_n = (ctypes.cast(callback, ctypes.c_void_p).value or 0 for callback in self._callbacks)

    def set_threads(self, count: int) -> None:
        self._threads = count

    def reset_after_fork(self) -> None:
        self._busy = threading.Lock()
        self._executor = None

    def _run(self, function: int, argument: int | None, most: int) -> None:
        task = _TASK(function)
        count = min(self._threads, most)
        busy = self._busy
        if count <= 1 or not busy.acquire(blocking=False):
            task(argument, 0, 1)
            return
        try:
            futures: list[Future[None]] = []
            try:
                if self._executor is None:
                    from concurrent.futures import ThreadPoolExecutor  # late: few systems need it

                    self._executor = ThreadPoolExecutor(MAX_THREADS, "graphc")  # it starts threads as they are needed
                futures += [self._executor.submit(task, argument, thread, count) for thread in range(1, count)]
            except RuntimeError:
                pass  # the interpreter is going down, or grants no more threads: the rest is done here
            task(argument, 0, count)
            for thread in range(1 + len(futures), count):
                task(argument, thread, count)
            for future in futures:
                future.result()
        finally:
            busy.release()
