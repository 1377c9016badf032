"""Memory of the host that GPUs read and write by themselves, beside what else goes on.

In: arrays. Out: copies in pinned memory, which returns to the driver when the last array over it goes.
"""

from __future__ import annotations

import sys
from bisect import bisect_right, insort
from contextlib import suppress

import numpy as np

from graphc.eager.tensor import AnyArray

_stretches: list[tuple[int, int]] = []
"""Addresses of pinned memory, start and end, in order."""


def is_available() -> bool:
    """Whether there is a GPU to pin memory for."""
    # Late: importing graphc must be quick, and most programs have no GPU.
    from graphc.runtime.cuda.select import what_is_missing

    return what_is_missing() is None


class _Pinned:
    """Bytes of pinned memory, as numpy asks for them."""

    def __init__(self, nbytes: int) -> None:
        from graphc.runtime.cuda.device import activate, current_device  # late, as in is_available
        from graphc.runtime.cuda.select import driver

        self.driver, self.device = driver(), current_device()
        activate(self.device)
        self.stretch = (0, 0)
        start = self.driver.allocate_pinned(nbytes)
        self.stretch = (start, start + nbytes)
        insort(_stretches, self.stretch)
        self.__array_interface__ = {"shape": (nbytes,), "typestr": "|u1", "data": (start, False), "version": 3}

    def __del__(self) -> None:
        if not self.stretch[0] or self.stretch not in _stretches or sys.is_finalizing():
            return
        from graphc.runtime.cuda.device import activated  # late, as in is_available
        from graphc.runtime.cuda.driver import CudaError
        from graphc.runtime.cuda.select import is_lost

        _stretches.remove(self.stretch)
        if is_lost(self.driver):
            return
        # This may be any thread, one that has no context, too; and after a kernel's fault no call succeeds.
        with suppress(CudaError), activated(self.driver, self.device):
            self.driver.free_pinned(self.stretch[0])


def pinned(array: AnyArray) -> AnyArray:
    """A copy in pinned memory, with the strides of the array."""
    result: AnyArray
    if not array.nbytes:
        result = array.copy()
        return result
    extent = array.itemsize + sum((size - 1) * step for size, step in zip(array.shape, array.strides))
    memory: AnyArray = np.asarray(_Pinned(extent))
    result = np.ndarray(array.shape, array.dtype, memory, 0, array.strides)
    np.copyto(result, array)
    return result


def is_pinned(array: AnyArray) -> bool:
    """Whether the elements are in pinned memory."""
    if not _stretches or type(array) is not np.ndarray:
        return False
    address: int = array.__array_interface__["data"][0]
    place = bisect_right(_stretches, (address, 1 << 63)) - 1
    return place >= 0 and address < _stretches[place][1]
