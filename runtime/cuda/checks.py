"""Checks that fail on a device, and how the host learns of them.

A kernel whose check fails writes the check's code to a word of the host's memory, and goes on. The host looks at the
words of programs that were launched where it waits for the device anyway. In: words that programs expect to stay 0.
Out: the error of the first that does not.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Collection, Sequence

from graphc.ir.errors import GraphcError, IndexOutOfRange
from graphc.kernel.program import CheckSite
from graphc.runtime.cuda.select import driver

WORDS = 1024
"""Words of one piece of pinned memory."""

_lock = threading.Lock()
_free: list[int] = []
_pending: dict[int, dict[Status, None]] = {}
"""By device: the words that launched work may still write. Streams are done one by one, each with its own work."""


class Status:
    """A word that kernels write the code of a failed check to."""

    def __init__(self, device: int) -> None:
        self.device = device
        with _lock:
            if not _free:
                driver().activate(device)
                start = driver().allocate_pinned(4 * WORDS)
                ctypes.memset(start, 0, 4 * WORDS)
                _free.extend(range(start, start + 4 * WORDS, 4))
            self.address = _free.pop()
        self._describe: Callable[[int], GraphcError] | None = None
        self._streams: set[int] = set()
        """With work that may still write the word."""

    def expect(self, describe: Callable[[int], GraphcError], stream: int) -> None:
        """Work that may write the word is launched in a stream; `describe` gives the error for a code."""
        self._describe = describe
        self._streams.add(stream)
        _pending.setdefault(self.device, {})[self] = None

    def take(self, streams: Collection[int] | None = None) -> int:
        """The code, which is forgotten here; 0 where no check has failed. These streams are done; None: all are."""
        self._streams.difference_update(self._streams if streams is None else streams)
        pending = _pending.get(self.device)
        if pending is not None and not self._streams:
            pending.pop(self, None)
        word = ctypes.c_int32.from_address(self.address)
        code = word.value
        if code:  # else the device may be writing it
            word.value = 0
        return code

    def error(self, code: int) -> GraphcError:
        """What the code stands for."""
        assert self._describe is not None, "a program that has checks says what they mean"
        return self._describe(code)

    def __del__(self) -> None:
        if hasattr(self, "address"):  # words that launched work may still write are pending, and so are not lost
            _free.append(self.address)


def raise_failed(device: int, streams: Collection[int] | None = None) -> None:
    """Raise the error of a check that has failed on the device. These streams are done; None: all are."""
    pending = _pending.get(device)
    if not pending:
        return
    failed: GraphcError | None = None
    for status in list(pending):
        code = status.take(streams)
        if code and failed is None:
            failed = status.error(code)
    if failed is not None:
        raise failed


def failure(sites: Sequence[CheckSite], code: int) -> GraphcError:
    """The error of a check that was found to have failed some time after the call that it was in."""
    site = next(each for each in sites if each.code == code)
    return IndexOutOfRange(
        site.message,
        location=site.location,
        hint="the device found this after the call had returned; with CUDA_LAUNCH_BLOCKING=1 in the environment the "
        "call itself raises it, and names the value",
    )
