"""Arrays of devices: numpy does the arithmetic of shapes, strides and views; the elements are out of its reach.

In: shapes and dtypes, or arrays of the host. Out: `DeviceArray`, a numpy array whose data address is the device's. All
that only renames elements works as for any array, and gives a DeviceArray over the same memory. What would read or
write elements is done on the device, or raises: the host must not touch them. (No class can refuse `numpy.array(x)`,
here `to_host(x)`, nor `numpy.asarray(x)`, which forgets where the elements are.)

    x = from_host(np.ones((2, 3), np.float32), device=0)
    copy(x[:, 1:], other[:, :2])
    to_host(x.T)
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NoReturn, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.errors import ArgumentError, MemoryExceeded, ShapeError
from graphc.runtime import buffer as host_buffer
from graphc.runtime.cuda import checks
from graphc.runtime.cuda.capture import UNDER_WAY, capture_of
from graphc.runtime.cuda.event import Event
from graphc.runtime.cuda.memory import allocate
from graphc.runtime.cuda.pinned import keep_until_done
from graphc.runtime.cuda.select import driver
from graphc.runtime.cuda.stream import current_stream
from graphc.runtime.cuda.waits import tell_wait

AnyArray: TypeAlias = npt.NDArray[Any]


class Memory(Protocol):
    """What an array of a device lies in."""

    @property
    def buffer(self) -> memoryview:
        """The bytes, from `start` on, for numpy to make arrays over."""

    @property
    def start(self) -> int:
        """Address of the first byte."""


class Borrowed:
    """Memory of an owner, or one that somebody else keeps."""

    __slots__ = ("buffer", "owner", "start")

    def __init__(self, address: int, nbytes: int, owner: object = None) -> None:
        self.start = address
        self.owner = owner
        self.buffer = memoryview((ctypes.c_char * nbytes).from_address(address))


class DeviceArray(np.ndarray[Any, np.dtype[Any]]):
    """An array whose elements are in a device's memory."""

    device: int = -1  # type: ignore[assignment]  # numpy's own arrays say "cpu"
    """The device's number; views have it too."""
    memory: Memory | None = None
    """What the elements lie in, which lives as long as the array; None where there are no elements."""

    def __array_finalize__(self, source: object) -> None:
        if isinstance(source, DeviceArray):
            self.device = source.device
            self.memory = source.memory

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> NoReturn:
        _refuse(f"numpy.{ufunc.__name__}")

    def __array_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Iterable[Any], kwargs: Any
    ) -> Any:
        if func not in _RENAMING:
            _refuse(f"numpy.{func.__name__}")
        if func is np.broadcast_to or func is np.broadcast_arrays:
            kwargs = {**kwargs, "subok": True}  # an array of numpy's own class would let the host touch the elements
        return super().__array_function__(func, tuple(types), tuple(args), kwargs)

    def __getitem__(self, index: Any) -> Any:
        """A view; a single element is an array without dimensions."""
        parts = index if isinstance(index, tuple) else (index,)
        if not _is_basic(parts):
            _refuse("an index that gathers elements")
        return super().__getitem__(parts if Ellipsis in parts else (*parts, Ellipsis))

    def __setitem__(self, index: Any, value: Any) -> None:
        target = self[index]
        if isinstance(value, np.ndarray):
            copy(target, np.broadcast_to(value, target.shape, subok=True))
        else:
            fill(target, value)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    @property
    def real(self) -> Any:
        """The real parts: a view."""
        return np.ndarray.real.__get__(self)

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> Any:
        """The imaginary parts: a view, or zeros of their own where the numbers are real."""
        if self.dtype.kind == "c":
            return np.ndarray.imag.__get__(self)
        zeros = empty(self.shape, self.dtype, self.device)
        fill(zeros, 0)
        return zeros

    @imag.setter
    def imag(self, value: Any) -> None:
        self.imag[...] = value

    @property
    def flat(self) -> Any:
        """Raises ArgumentError: numpy would read the elements one by one."""
        _refuse("flat")

    def reshape(self, *shape: Any, order: Any = "C", copy: bool | None = None) -> Any:
        """A view, or a copy on the device where no strides give the shape."""
        if order != "C":
            _refuse(f"an order {order!r}")
        sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        wanted = _with_inferred(tuple(sizes), self.size)
        source = self
        if self.size and not self.flags.c_contiguous:
            strides = _strides_of(self, wanted)
            if strides is not None and not copy:
                return strided(self, wanted, strides)
            if copy is False:
                raise ValueError("Unable to avoid creating a copy while reshaping.")
            source = contiguous(self, copy=True)
        elif copy:
            source = self.copy()
        return super(DeviceArray, source).reshape(wanted)

    def ravel(self, order: Any = "C") -> Any:
        """One dimension: a view where the elements lie in order."""
        return self.reshape(-1, order=order)

    def flatten(self, order: Any = "C") -> Any:
        """One dimension, as a copy on the device."""
        return self.reshape(-1, order=order, copy=True)

    def copy(self, order: Any = "C") -> Any:
        """A contiguous copy on the device."""
        return contiguous(self, copy=True)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: object) -> Any:
        return self.copy()

    def astype(self, dtype: Any, *arguments: Any, **options: Any) -> Any:
        """A copy on the device; raises ArgumentError for another dtype."""
        if np.dtype(dtype) != self.dtype:
            _refuse("astype with another dtype")
        return self.copy()

    def fill(self, value: Any) -> None:
        """Write a number to every element."""
        fill(self, value)

    def item(self, *index: Any) -> Any:
        """An element as a Python number; waits for the device."""
        return to_host(self).item(*index)

    def tolist(self) -> Any:
        """The elements as Python numbers; waits for the device."""
        return to_host(self).tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        """The elements' bytes; waits for the device."""
        return to_host(self).tobytes(order)

    def __bool__(self) -> bool:
        return bool(to_host(self))

    def __int__(self) -> int:
        return int(to_host(self))

    def __float__(self) -> float:
        return float(to_host(self))

    def __complex__(self) -> complex:
        return complex(to_host(self))

    def __index__(self) -> int:
        return int(to_host(self).__index__())

    def __contains__(self, value: object) -> bool:
        return value in to_host(self)

    def __reduce__(self) -> Any:
        return from_host, (to_host(self), self.device)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype}, device={self.device})"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, text: str) -> str:
        return format(repr(self), text)


# numpy's own methods that read or write elements and are reached by no protocol.
_TOUCHING: Final = (
    "__dlpack__ all any argmax argmin argpartition argsort byteswap choose clip compress conj conjugate cumprod "
    "cumsum dot dump dumps getfield max mean min nonzero partition prod put repeat resize round searchsorted setfield "
    "sort std sum take tofile trace var"
).split()


def _refusing(name: str) -> Callable[..., NoReturn]:
    def method(self: DeviceArray, *arguments: object, **options: object) -> NoReturn:
        _refuse(name)

    method.__name__ = name
    return method


for _name in _TOUCHING:
    setattr(DeviceArray, _name, _refusing(_name))

_RENAMING: Final = frozenset(
    {
        np.atleast_1d, np.atleast_2d, np.atleast_3d, np.array_split, np.broadcast_arrays, np.broadcast_to, np.diagonal,
        np.dsplit, np.expand_dims, np.flip, np.fliplr, np.flipud, np.hsplit, np.iscomplexobj, np.isrealobj,
        np.may_share_memory, np.moveaxis, np.ndim, np.ravel, np.reshape, np.rollaxis, np.rot90, np.shape,
        np.shares_memory, np.size, np.split, np.squeeze, np.swapaxes, np.transpose, np.vsplit,
    }
)  # fmt: skip
"""numpy's functions that look at shapes and addresses alone."""


def _refuse(what: str) -> NoReturn:
    raise ArgumentError(
        f"{what} needs the elements of an array that is on a GPU",
        hint="copy it to the host first (tensor.cpu()), or compute with tensors",
    )


def _is_basic(parts: tuple[object, ...]) -> bool:
    return all(
        part is None or part is Ellipsis or (isinstance(part, slice | int | np.integer) and not isinstance(part, bool))
        for part in parts
    )


# Making arrays


def empty(shape: Sequence[int], dtype: npt.DTypeLike, device: int, *, stream: int | None = None) -> DeviceArray:
    """A contiguous array on the device, whatever it contains; raises MemoryExceeded where there is no room."""
    kind = np.dtype(dtype)
    nbytes = math.prod(shape) * kind.itemsize
    made: DeviceArray
    if nbytes == 0:
        made = _check_sizes(shape, kind)
    else:
        block = allocate(nbytes, device, stream)
        made = np.ndarray.__new__(DeviceArray, shape, kind, block.buffer, block.address - block.start)
        made.memory = block
    made.device = device
    return made


def _check_sizes(shape: Sequence[int], kind: np.dtype[Any]) -> DeviceArray:
    try:
        made: DeviceArray = np.ndarray.__new__(DeviceArray, shape, kind)
        return made
    except ValueError:  # numpy multiplies the sizes that are not zero
        raise MemoryExceeded(f"there is no array of sizes {tuple(shape)}: their product overflows") from None


def at(address: int, shape: Sequence[int], dtype: npt.DTypeLike, device: int, owner: object = None) -> DeviceArray:
    """A contiguous array over memory of the device: that of an owner, or one that somebody else keeps."""
    kind = np.dtype(dtype)
    nbytes = math.prod(shape) * kind.itemsize
    made: DeviceArray
    if nbytes == 0:
        made = np.ndarray.__new__(DeviceArray, shape, kind)
    else:
        memory = Borrowed(address, nbytes, owner)
        made = np.ndarray.__new__(DeviceArray, shape, kind, memory.buffer)
        made.memory = memory
    made.device = device
    return made


def strided(array: DeviceArray, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> DeviceArray:
    """The array's memory from `offset` bytes behind its first element on, with this shape and these strides in bytes.

    Raises ValueError beyond the memory that the array lies in.
    """
    memory = array.memory
    made: DeviceArray
    if memory is None or 0 in shape:
        made = np.ndarray.__new__(DeviceArray, shape, array.dtype)
    else:
        start = address_of(array) - memory.start + offset
        made = np.ndarray.__new__(DeviceArray, shape, array.dtype, memory.buffer, start, strides)
    made.device, made.memory = array.device, memory
    return made


def from_host(array: npt.ArrayLike, device: int, *, non_blocking: bool = False) -> DeviceArray:
    """A contiguous copy on the device. `non_blocking`: as for `copy`."""
    source = np.asarray(array)
    target = empty(source.shape, source.dtype, device)
    copy(target, source, non_blocking=non_blocking)
    return target


def to_host(array: DeviceArray) -> AnyArray:
    """A contiguous copy in the host's memory; waits for the device, and raises what failed there."""
    target = host_buffer.empty(array.shape, array.dtype)
    copy(target, array)
    return target


def contiguous(array: DeviceArray, *, copy: bool = False) -> DeviceArray:
    """The elements in order: the array itself if they lie so, unless a `copy` is wanted."""
    if array.flags.c_contiguous and not copy:
        return array
    target = empty(array.shape, array.dtype, array.device)
    _copy_on_device(target, array)
    return target


# Copying

IN_THE_CALL: Final = 8
"""Bytes up to which it is quicker to let the driver write them as numbers than to wait until it has read them."""


def copy(target: AnyArray, source: AnyArray, *, non_blocking: bool = False) -> None:
    """Write the source's elements into the target: between host and devices, any strides, of one shape and dtype.

    Work of the device is done in the order of its current stream. What comes to the host is there at return, and what
    comes from it may be changed, unless that is pinned memory and the copy is `non_blocking`: then the host has to wait
    for the stream before it touches it.
    """
    if target.shape != source.shape:
        raise ShapeError(f"an array of shape {source.shape} is copied into one of shape {target.shape}")
    if target.dtype != source.dtype:
        raise ArgumentError(f"an array of {source.dtype} is copied into one of {target.dtype}", hint="convert it first")
    if not target.size:
        return
    if isinstance(target, DeviceArray):
        if isinstance(source, DeviceArray):
            _copy_on_device(target, source)
        else:
            _copy_to_device(target, source, non_blocking)
    elif isinstance(source, DeviceArray):
        _copy_to_host(target, source, non_blocking)
    else:
        np.copyto(target, source)


def _copy_to_device(target: DeviceArray, source: AnyArray, non_blocking: bool) -> None:
    if not _lie_alike(target, source):
        source = np.ascontiguousarray(source)
        if not target.flags.c_contiguous:
            staged = empty(target.shape, target.dtype, target.device)
            _copy_to_device(staged, source.reshape(target.shape), non_blocking)
            _copy_on_device(target, staged)
            return
    stream = current_stream(target.device)
    found = driver()
    found.activate(target.device)
    if source.nbytes <= IN_THE_CALL:
        _write_few(first_byte(target), source.tobytes("K"), stream.handle)
        return
    start = first_byte(source)
    capture = capture_of(stream.handle) if UNDER_WAY else None
    is_pinned = (non_blocking or capture is not None) and found.is_pinned(start)
    if capture is not None and not is_pinned:
        raise _not_in_a_graph()
    if capture is None and not is_pinned:
        tell_wait()
    found.copy_to_device(first_byte(target), start, source.nbytes, stream.handle)
    if capture is not None:
        capture.keep(source)
    elif is_pinned:
        keep_until_done(source, stream)
    else:  # how long the driver reads other memory is its own business, which differs between systems
        found.synchronize_stream(stream.handle)


def _write_few(address: int, content: bytes, stream: int) -> None:
    """Write a few bytes that go along with the call itself, so that nobody waits: numbers that programs are given."""
    found = driver()
    # The driver takes no address but a multiple of the width, and small elements may lie anywhere.
    width = next(width for width in (4, 2, 1) if (address | len(content)) % width == 0)
    for start in range(0, len(content), width):
        found.fill(address + start, int.from_bytes(content[start : start + width], "little"), width, 1, stream)


def _copy_to_host(target: AnyArray, source: DeviceArray, non_blocking: bool) -> None:
    staged = target
    if not _lie_alike(target, source):
        source = contiguous(source)
        if not target.flags.c_contiguous:
            staged = host_buffer.empty(target.shape, target.dtype)
    stream = current_stream(source.device)
    found = driver()
    found.activate(source.device)
    start = first_byte(staged)
    capture = capture_of(stream.handle) if UNDER_WAY else None
    is_pinned = (non_blocking or capture is not None) and staged is target and found.is_pinned(start)
    if capture is not None and not is_pinned and source.size > 1:  # a single number is read, and the driver says no
        raise _not_in_a_graph()
    if capture is None and not is_pinned:
        tell_wait()
    found.copy_to_host(start, first_byte(source), source.nbytes, stream.handle)
    if is_pinned and capture is not None:
        capture.keep((target, source))
        return
    if is_pinned:
        keep_until_done((target, source), stream)
        return
    found.synchronize_stream(stream.handle)
    checks.raise_failed(source.device, (stream.handle,))
    if staged is not target:
        np.copyto(target, staged)


def _not_in_a_graph() -> ArgumentError:
    return ArgumentError(
        "Cannot copy between CPU and CUDA tensors during CUDA graph capture unless the CPU tensor is pinned. Please "
        "use tensor.pin_memory() or allocate the tensor with pin_memory=True.",
        hint="or copy before the capture, into a tensor that stays where it is",
    )


def _copy_on_device(target: DeviceArray, source: DeviceArray) -> None:
    if not target.size:
        return
    if target.device != source.device:
        _copy_across(target, source)
        return
    stream = current_stream(target.device).handle
    if _overlap(target, source):
        if _lie_alike(target, source) and first_byte(target) == first_byte(source):
            return
        source = contiguous(source, copy=True)
    if _lie_alike(target, source):
        found = driver()
        found.activate(target.device)
        found.copy_on_device(first_byte(target), first_byte(source), target.nbytes, stream)
        return
    # Late: most processes copy no strided arrays of devices, and scheduling is much code.
    from graphc.runtime.cuda.strided import copy_strided

    copy_strided(target, source, target.device, stream)


def _copy_across(target: DeviceArray, source: DeviceArray) -> None:
    """Copy between devices: the streams of both wait for each other."""
    if not (target.flags.c_contiguous and source.flags.c_contiguous):
        staged = empty(target.shape, target.dtype, target.device)
        _copy_across(staged, contiguous(source))
        copy(target, staged)
        return
    streams = current_stream(source.device), current_stream(target.device)
    before, after = Event(), Event()
    before.record(streams[0])
    before.wait(streams[1])
    found = driver()
    found.activate(target.device)
    found.copy_on_device(first_byte(target), first_byte(source), target.nbytes, streams[1].handle)
    after.record(streams[1])
    after.wait(streams[0])


def fill(array: DeviceArray, value: complex | bool) -> None:
    """Write a number to every element, as numpy would convert it."""
    if not array.size:
        return
    single = np.empty((), array.dtype)
    single[()] = value
    bits = single.tobytes()
    width = next(width for width in (1, 2, 4, len(bits)) if bits == bits[:width] * (len(bits) // width))
    if _is_dense(array) and width <= 4:
        found = driver()
        found.activate(array.device)
        pattern = int.from_bytes(bits[:width], "little")
        stream = current_stream(array.device).handle
        found.fill(first_byte(array), pattern, width, array.nbytes // width, stream)
    else:
        _copy_on_device(array, strided(from_host(single, array.device), array.shape, (0,) * array.ndim))


# Geometry


def address_of(array: AnyArray) -> int:
    """Where the first element is."""
    address: int = array.__array_interface__["data"][0]
    return address


def byte_range(array: AnyArray) -> tuple[int, int]:
    """Addresses of the lowest byte of the elements, and behind the highest."""
    low = high = address_of(array)
    for size, step in zip(array.shape, array.strides):
        if step < 0:
            low += (size - 1) * step
        else:
            high += (size - 1) * step
    return low, high + array.itemsize


def first_byte(array: AnyArray) -> int:
    """Address of the lowest byte of the elements."""
    return byte_range(array)[0]


def _lie_alike(a: AnyArray, b: AnyArray) -> bool:
    """Whether the elements of both fill a stretch of memory, in the same order."""
    if a.flags.c_contiguous and b.flags.c_contiguous:
        return True
    steps = [[step for step, size in zip(each.strides, each.shape) if size != 1] for each in (a, b)]
    return steps[0] == steps[1] and _is_dense(a)


def _is_dense(array: AnyArray) -> bool:
    """Whether the elements fill a stretch of memory, each place once."""
    expected = array.itemsize
    for step, size in sorted((abs(step), size) for step, size in zip(array.strides, array.shape) if size != 1):
        if step != expected:
            return False
        expected *= size
    return True


def _overlap(a: AnyArray, b: AnyArray) -> bool:
    """Whether the stretches of memory from the lowest to the highest elements overlap."""
    (low, high), (other_low, other_high) = byte_range(a), byte_range(b)
    return low < other_high and other_low < high


def _with_inferred(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """The shape with a -1 replaced; raises ShapeError where it doesn't hold as many elements."""
    sizes = tuple(int(n) for n in shape)
    if sizes.count(-1) == 1:
        known = -math.prod(sizes)
        if known and size % known == 0:
            return tuple(size // known if n == -1 else n for n in sizes)
    elif math.prod(sizes) == size and all(n >= 0 for n in sizes):
        return sizes
    raise ShapeError(f"an array of {size} elements has no shape {shape}")


def _strides_of(array: AnyArray, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides with which the elements of the array have another shape; None where there are none."""
    old = [(size, step) for size, step in zip(array.shape, array.strides) if size != 1]
    strides: list[int] = []
    # From the last dimension on: stretches of old dimensions whose elements follow each other are cut anew.
    left, step = 1, array.itemsize
    for size in reversed(shape):
        if size != 1 and left == 1 and old:
            left, step = old.pop()
            while old and old[-1][1] == step * left:
                left *= old.pop()[0]
        if left % size:
            return None
        strides.append(step)
        step *= size
        left //= size
    return tuple(reversed(strides))
