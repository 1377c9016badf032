"""graphc.multiprocessing: Python's multiprocessing, whose processes exchange tensors as copies; and `spawn`.

>>> import multiprocessing as python
>>> Queue is not None and get_start_method() == python.get_start_method()
True
"""

from __future__ import annotations

import multiprocessing as _multiprocessing
import pickle
import signal
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing import *  # noqa: F403  # the same names, which Python's module lists
from multiprocessing import connection as _connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

_STRATEGY = "file_descriptor"


class ProcessException(Exception):
    """A process failed: which one, and its number in the system."""

    def __init__(self, msg: str, error_index: int, pid: int | None) -> None:
        super().__init__(msg)
        self.msg = msg
        self.error_index = error_index
        self.pid = pid

    def __reduce__(self) -> tuple[type[ProcessException], tuple[Any, ...]]:
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """A process's function raised."""


class ProcessExitedException(ProcessException):
    """A process ended with another status than 0, or by a signal."""

    def __init__(
        self, msg: str, error_index: int, error_pid: int | None, exit_code: int, signal_name: str | None = None
    ) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code
        self.signal_name = signal_name

    def __reduce__(self) -> tuple[type[ProcessException], tuple[Any, ...]]:
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code, self.signal_name)


def _run(function: Callable[..., object], index: int, args: tuple[object, ...], error_file: str) -> None:
    """What a process does: call the function, and leave what it raised in the file."""
    try:
        function(index, *args)
    except KeyboardInterrupt:
        pass
    except Exception:
        Path(error_file).write_bytes(pickle.dumps(traceback.format_exc()))
        raise SystemExit(1) from None


class ProcessContext:
    """The processes that `start_processes` started."""

    def __init__(self, processes: list[BaseProcess], error_files: list[str]) -> None:
        self.processes = processes
        self.error_files = error_files
        self.sentinels = {process.sentinel: index for index, process in enumerate(processes)}

    def pids(self) -> list[int | None]:
        """Their numbers in the system."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait for one or more to end, and say whether all have.

        Where one failed the others are ended, and ProcessRaisedException or ProcessExitedException is raised.
        """
        if not self.sentinels:
            return True
        ready = _connection.wait([*self.sentinels], timeout=timeout)
        failed = None
        for sentinel in ready:
            assert isinstance(sentinel, int)
            index = self.sentinels.pop(sentinel)
            process = self.processes[index]
            process.join()
            if process.exitcode != 0:
                failed = index
                break
        if failed is None:
            return not self.sentinels
        for process in self.processes:
            if process.is_alive():
                process.terminate()
            process.join()
        self._raise(failed)

    def _raise(self, index: int) -> NoReturn:
        process = self.processes[index]
        code = process.exitcode
        assert code is not None, "the process has ended"
        file = Path(self.error_files[index])
        if file.stat().st_size:
            text = pickle.loads(file.read_bytes())  # our own process wrote it, to a file of ours
            raise ProcessRaisedException(
                f"\n\n-- Process {index} terminated with the following error:\n{text}", index, process.pid
            )
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"<Unknown signal {-code}>"
            raise ProcessExitedException(
                f"process {index} terminated with signal {name}", index, process.pid, code, name
            )
        raise ProcessExitedException(f"process {index} terminated with exit code {code}", index, process.pid, code)


SpawnContext = ProcessContext


def start_processes(
    fn: Callable[..., object],
    args: tuple[object, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Start `nprocs` processes of `fn(index, *args)`, and wait for them unless `join` is False."""
    context: Any = _multiprocessing.get_context(start_method)
    processes: list[BaseProcess] = []
    files: list[str] = []
    for index in range(nprocs):
        with tempfile.NamedTemporaryFile(prefix="graphc-errors-", suffix=".pickle", delete=False) as file:
            files.append(file.name)
        process = context.Process(target=_run, args=(fn, index, args, files[-1]), daemon=daemon)
        process.start()
        processes.append(process)
    started = ProcessContext(processes, files)
    if not join:
        return started
    try:
        while not started.join():
            pass
    finally:
        for name in files:
            Path(name).unlink(missing_ok=True)
    return None


def spawn(
    fn: Callable[..., object],
    args: tuple[object, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """`start_processes`, each a fresh interpreter."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)


def get_all_sharing_strategies() -> set[str]:
    """The ways in which memory can be shared that may be chosen."""
    return {"file_descriptor", "file_system"}


def get_sharing_strategy() -> str:
    """The way that was chosen; tensors are copied to other processes in any case."""
    return _STRATEGY


def set_sharing_strategy(new_strategy: str) -> None:
    """Choose a way; tensors are copied to other processes in any case."""
    global _STRATEGY
    if new_strategy not in get_all_sharing_strategies():
        raise AssertionError(f"invalid sharing strategy {new_strategy}")
    _STRATEGY = new_strategy


__all__ = [
    *_multiprocessing.__all__,
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "SpawnContext",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]
