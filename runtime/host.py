"""Native code calls Python: one C function through which every call of the host goes.

In: the description of a call and the words behind it (`graphc.kernel.host`). Out: results, written where native code
wants them. The thread takes the interpreter's lock for the call, whether or not the run has released it. No exception
passes through native code: it is kept for the thread, the run ends with the status of the call, and who reads that
status takes the exception with `take_error` and raises it.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dtype import DType
from graphc.ir.host import write_host
from graphc.kernel.host import CALL, Description, read_description
from graphc.runtime import engine
from graphc.runtime.lock import LOCK

AnyArray: TypeAlias = npt.NDArray[Any]


class _State(threading.local):
    error: BaseException | None = None


_state = _State()
_descriptions: dict[bytes, Description] = {}
"""By their text."""


def start() -> None:
    """Let code that is loaded from now on call the host."""
    with LOCK:
        address = ctypes.cast(_entry, ctypes.c_void_p).value
        assert address is not None
        engine.import_symbol(CALL, address)


def take_error() -> BaseException:
    """The exception for which the last run of this thread ended; it is forgotten here."""
    error = _state.error
    _state.error = None
    # A signal's handler may raise before the call is under way: then nothing was kept, and Python has reported it.
    return error if error is not None else KeyboardInterrupt()


def _call(description: int, words: int) -> int:
    try:
        text = ctypes.string_at(description)
        known = _descriptions.get(text)
        if known is None:
            known = _descriptions[text] = read_description(text.decode())
        arrays = (*known.operands, *known.results)
        addresses = (ctypes.c_int64 * len(arrays)).from_address(words)
        sizes = (ctypes.c_int64 * sum(rank for _, rank in arrays)).from_address(words + 8 * len(arrays))
        views, at = [], 0
        for address, (dtype, rank) in zip(addresses, arrays):
            views.append(_view(address, dtype, sizes[at : at + rank]))
            at += rank
        count = len(known.operands)
        operands, targets = views[:count], views[count:]
        for operand in operands:
            operand.flags.writeable = False
        write_host(known.function, known.parameters, targets, operands)
        return 1
    except BaseException as error:  # whatever it is, it goes on in the code that called the program
        _state.error = error
        return 0


# The callback lives as long as the process: loaded code holds its address.
_entry = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(_call)


def _view(address: int, dtype: DType, shape: Sequence[int]) -> AnyArray:
    """The memory at an address as an array."""
    sizes = tuple(shape)
    nbytes = dtype.itemsize
    for size in sizes:
        nbytes *= size
    if not nbytes:
        return np.empty(sizes, dtype.numpy)
    memory = memoryview((ctypes.c_char * nbytes).from_address(address))
    view: AnyArray = np.ndarray(sizes, dtype.numpy, memory)
    return view
