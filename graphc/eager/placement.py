"""Where arrays lie, and moving them: the host's memory, or that of a GPU.

Level: below tensors. An array of a GPU is a numpy array of another class (`graphc.runtime.cuda.array.DeviceArray`)
over the GPU's addresses: numpy knows its shape, strides and views, and leaves its elements alone. In: arrays. Out: the
number of their GPU, or None for the host; the same elements elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from graphc.eager.device import CPU, device, gpu_device
from graphc.eager.tensor import AnyArray
from graphc.ir.errors import DeviceMismatch


def gpu_of(array: AnyArray) -> int | None:
    """The number of the GPU that has the array; None: the host."""
    if type(array) is np.ndarray:
        return None
    found: object = array.device  # numpy's own arrays say "cpu"
    return found if isinstance(found, int) else None


def place_of(array: AnyArray) -> device:
    """The device that has the array."""
    gpu = gpu_of(array)
    return CPU if gpu is None else gpu_device(gpu)


def common_gpu(arrays: Iterable[AnyArray]) -> int | None:
    """The GPU that has those of the arrays that are not the host's; None: they all are.

    Raises DeviceMismatch where two GPUs have some.
    """
    found: int | None = None
    for array in arrays:
        if type(array) is not np.ndarray:
            gpu = gpu_of(array)
            if gpu is not None and gpu != found:
                if found is not None:
                    raise mismatch(f"cuda:{found}", f"cuda:{gpu}")
                found = gpu
    return found


def mismatch(first: str, second: str) -> DeviceMismatch:
    """The error that one call has tensors on two devices."""
    return DeviceMismatch(
        f"Expected all tensors to be on the same device, but found at least two devices, {first} and {second}!",
        hint="move them with .to(device) first",
    )


def refuse_mixed(function: str, sources: Sequence[object]) -> None:
    """Raise DeviceMismatch where tensors among the operands are on several devices.

    One without dimensions may be the CPU's: it is a number. Those of some functions may be, since they say where.
    """
    if function in _TAKE_INDICES:
        first, *sources = [each for each in sources if isinstance(getattr(each, "_array", None), np.ndarray)]
        for each in sources:
            refuse_index(each._array, first._array)  # type: ignore[attr-defined]  # it has one
        return
    everything = sources
    if function == "ctc_loss":
        sources = sources[:2]  # lengths may be anywhere
    gpu: int | None = None
    on_host = False
    for each in sources:
        array = getattr(each, "_array", None)
        if array is None:
            continue
        here = gpu_of(array)
        if here is None:
            on_host = on_host or array.ndim > 0
        elif gpu is not None and here != gpu:
            raise _mixed(function, everything, f"cuda:{gpu}", f"cuda:{here}")
        else:
            gpu = here
    if on_host and gpu is not None:
        raise _mixed(function, everything, f"cuda:{gpu}", "cpu")


def _mixed(function: str, sources: Sequence[object], first: str, second: str) -> DeviceMismatch:
    # Late: few programs make this mistake.
    from graphc.eager.mixed_devices import mixed_text

    text = mixed_text(function, [each._array for each in sources if hasattr(each, "_array")])
    return mismatch(first, second) if text is None else DeviceMismatch(text, hint="move them with .to(device) first")


_TAKE_INDICES = frozenset(("__getitem__", "_with_item"))


def refuse_index(index: AnyArray, indexed: AnyArray) -> None:
    """Raise DeviceMismatch for an index array that is neither the host's nor where the elements are."""
    if type(index) is not np.ndarray and index.ndim and gpu_of(index) not in (None, gpu_of(indexed)):
        raise DeviceMismatch(
            f"indices should be either on cpu or on the same device as the indexed tensor ({place_of(indexed)})",
            hint="move the indices with .to(device) first",
        )


def on(array: AnyArray, gpu: int | None, non_blocking: bool = False) -> AnyArray:
    """The elements on that GPU, or for None on the host: the array itself if it is there.

    `non_blocking`: don't wait until a GPU has read pinned memory; what comes to the host is always there at return.
    """
    here = gpu_of(array)
    if here == gpu:
        return array
    # Late: importing graphc must be quick, and most programs have no GPU.
    from graphc.runtime.cuda import array as device_array

    if gpu is None:
        return device_array.to_host(array)  # type: ignore[arg-type]  # it is a GPU's
    if here is not None:
        moved = device_array.empty(array.shape, array.dtype, gpu)
        device_array.copy(moved, array)
        return moved
    return device_array.from_host(array, gpu, non_blocking=non_blocking)


def empty(shape: Sequence[int], dtype: np.dtype[Any], gpu: int | None) -> AnyArray:
    """Uninitialised memory there, in row-major order."""
    if gpu is None:
        return np.empty(tuple(shape), dtype)
    from graphc.runtime.cuda import array as device_array  # late, as in `on`

    return device_array.empty(tuple(shape), dtype, gpu)


def copy_of(array: AnyArray) -> AnyArray:
    """A copy in row-major order, in the same place."""
    return np.array(array, order="C") if type(array) is np.ndarray else array.copy(order="C")


def contiguous(array: AnyArray) -> AnyArray:
    """The elements in row-major order, in the same place: the array itself if they lie so."""
    if type(array) is np.ndarray:
        return array if array.flags.c_contiguous else np.array(array, order="C")
    from graphc.runtime.cuda import array as device_array  # late, as in `on`

    return device_array.contiguous(array)  # type: ignore[arg-type]  # it is a GPU's


def copy_into(target: AnyArray, values: AnyArray, non_blocking: bool = False) -> None:
    """Write the values, repeated as needed, to the target's elements; between devices too. Dtypes are the same.

    `non_blocking`: as for `on`.
    """
    if (type(target) is not type(values)) and values.shape == target.shape:
        from graphc.runtime.cuda import array as device_array  # late, as in `on`

        device_array.copy(target, values, non_blocking=non_blocking and type(values) is np.ndarray)
    elif type(target) is np.ndarray:
        np.copyto(target, values if type(values) is np.ndarray else on(values, None))
    else:
        target[...] = on(values, gpu_of(target))


def full_like(array: AnyArray, value: int) -> AnyArray:
    """A number everywhere, in an array of that shape and dtype in the same place, in row-major order."""
    result = empty(array.shape, array.dtype, gpu_of(array))
    result.fill(value)
    return result
