"""The eager tensor: an array in memory that may be shared, and what autograd knows of it.

Level: what users hold. A `Tensor` is a strided numpy array (its view of the memory), the `Storage` behind it, which all
views share and which counts writes, and, where gradients or views are concerned, an `AutogradMeta`. Operations are
installed by `graphc/eager/dispatch.py` from the one table of functions.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.eager.mode import MODE, SPECIAL
from graphc.eager.size import Size
from graphc.eager.watch import WATCHING, constant, watcher
from graphc.ir.dtype import DType, Kind
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DimensionError, SignatureError

if TYPE_CHECKING:
    from graphc.eager.node import AccumulateGrad, GradNode

AnyArray: TypeAlias = npt.NDArray[Any]
Hooks: TypeAlias = "OrderedDict[int, Callable[..., object]]"


INFERENCE = -(1 << 62)
"""The first version of memory made in inference mode."""


class Storage:
    """Memory that one tensor or several views use. Its version grows with each write in place.

    A version below 0 is that of memory made in inference mode, which autograd keeps nothing of.
    """

    __slots__ = ("owner", "version", "writer")

    owner: AnyArray | None
    """The array that has all of the memory; None stands for that of the one tensor there is."""
    version: int
    writer: type[GradNode]
    """What has written last, where that was recorded; else not set."""

    def __init__(self, owner: AnyArray | None = None) -> None:
        self.owner = owner
        self.version = INFERENCE if SPECIAL and MODE.inference else 0


class ViewInfo:
    """What a view is a view of."""

    __slots__ = ("base", "origin", "source", "version")

    def __init__(self, base: Tensor, version: int, origin: str = "", source: tuple[str, int] = ("", 0)) -> None:
        self.base = base
        self.version = version
        """That of the storage when the view's `grad_fn` was last right."""
        self.origin = origin
        """Why a recorded write to its memory is refused: it was made in "no_grad" or "inference" mode, or is one of
        "multiple" views that one call gave; else empty."""
        self.source = source
        """The call that gave several views, and which of them it is."""


class AutogradMeta:
    """What autograd knows of a tensor."""

    __slots__ = (
        "accumulator",
        "grad",
        "hooks",
        "index",
        "node",
        "post_hooks",
        "requires_grad",
        "retains_grad",
        "view",
    )

    def __init__(self, requires_grad: bool = False, node: GradNode | None = None, index: int = 0) -> None:
        self.requires_grad = requires_grad
        self.node = node
        """What computed the tensor; None for a leaf."""
        self.index = index
        """Which of the node's results it is."""
        self.grad: Tensor | None = None
        self.view: ViewInfo | None = None
        self.hooks: Hooks | None = None
        """Of a leaf; those of other tensors are their node's."""
        self.post_hooks: Hooks | None = None
        self.retains_grad = False
        self.accumulator: weakref.ref[AccumulateGrad] | None = None


class Tensor:
    """A multi-dimensional array that computes at once and can record what its gradient needs.

    Made by `graphc.tensor`, `graphc.zeros` and the other factories. `Tensor(2, 3)` gives uninitialised floats.
    """

    __slots__ = ("__dict__", "__weakref__", "_array", "_meta", "_storage")

    _array: AnyArray
    _storage: Storage
    _meta: AutogradMeta | None

    __array_priority__ = 1000  # numpy's operators leave it to ours
    __hash__ = object.__hash__  # by identity, although == compares elements

    @property
    def dtype(self) -> DType:
        """Element type."""
        return to_dtype(self._array.dtype)

    @property
    def shape(self) -> Size:
        """Sizes of the dimensions."""
        return Size(self._array.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self._array.ndim

    def dim(self) -> int:
        """Number of dimensions."""
        return self._array.ndim

    ndimension = dim

    def size(self, dim: int | None = None) -> Size | int:
        """Sizes of the dimensions, or that of one."""
        if dim is None:
            return Size(self._array.shape)
        sizes: tuple[int, ...] = self._array.shape
        return sizes[_axis(dim, len(sizes))]

    def numel(self) -> int:
        """Number of elements."""
        return self._array.size

    nelement = numel

    def stride(self, dim: int | None = None) -> tuple[int, ...] | int:
        """Distance in memory, in elements, between neighbours along each dimension, or along one."""
        array = self._array
        if dim is not None:
            return array.strides[_axis(dim, array.ndim)] // array.itemsize
        return tuple([step // array.itemsize for step in array.strides])

    def storage_offset(self) -> int:
        """Where in the storage the first element is, counted in elements."""
        owner = self._storage.owner
        return 0 if owner is None else (self.data_ptr() - _address(owner)) // self._array.itemsize

    def data_ptr(self) -> int:
        """Address of the first element."""
        return _address(self._array) if self._array.size else 0

    def is_contiguous(self, memory_format: object = None) -> bool:
        """Whether the elements lie in memory in row-major order, or in that of the format, without gaps."""
        if memory_format is not None and str(memory_format).startswith("torch.channels_last"):
            rank = 4 if str(memory_format) == "torch.channels_last" else 5
            return self._array.ndim == rank and np.moveaxis(self._array, 1, -1).flags.c_contiguous
        return self._array.flags.c_contiguous

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._array.itemsize

    itemsize = property(element_size)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._array.nbytes

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded, so that gradients reach it."""
        meta = self._meta
        return meta is not None and (meta.requires_grad or (meta.view is not None and meta.view.base.requires_grad))

    @property
    def _version(self) -> int:
        """How often the memory was written to in place."""
        version = self._storage.version
        if version < 0:
            raise ArgumentError("Inference tensors do not track version counter.")
        return version

    def is_floating_point(self) -> bool:
        """Whether the elements are real floating-point numbers."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the elements are complex numbers."""
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the elements can be negative."""
        dtype = self.dtype
        return dtype.signed and dtype.kind is not Kind.BOOL

    def item(self) -> Any:
        """The one element as a Python number."""
        if self._array.size != 1:
            raise ArgumentError(
                f"a Tensor with {self._array.size} elements cannot be converted to Scalar",
                hint="pick an element first, or use tolist()",
            )
        found = self._array.item()
        return found if isinstance(found, bool | int | float | complex) else float(found)

    def tolist(self) -> Any:
        """The elements as Python numbers in nested lists; of a 0-d tensor the number."""
        array = self._array
        return (array.astype(np.float32) if array.dtype.kind == "V" else array).tolist()

    def __len__(self) -> int:
        if not self._array.ndim:
            raise SignatureError("len() of a 0-d tensor", hint="it holds one value")
        return len(self._array)

    def __bool__(self) -> bool:
        size = self._array.size
        if size != 1:
            what = "no values" if size == 0 else "more than one value"
            raise ArgumentError(f"Boolean value of Tensor with {what} is ambiguous", hint="use .any() or .all()")
        return bool(self._array.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self._array.size != 1 or self._array.dtype.kind not in "biu":
            raise SignatureError("only integer tensors of a single element can be converted to an index")
        return int(self._array.item())


def _axis(dim: int, rank: int) -> int:
    reach = max(rank, 1)
    if not -reach <= dim < reach or not rank:
        raise DimensionError(
            f"Dimension out of range (expected to be in range of [{-reach}, {reach - 1}], but got {dim})"
            if rank
            else f"Dimension specified as {dim} but tensor has no dimensions"
        )
    return dim % reach


def _address(array: AnyArray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


# What every operation makes is made without calls of `__init__`, which cost more than the rest.
_new = object.__new__


def wrap(array: AnyArray) -> Tensor:
    """A new tensor over an array that nobody else has."""
    tensor = _new(Tensor)
    tensor._array = array
    tensor._meta = None
    storage = tensor._storage = _new(Storage)
    storage.owner = None
    storage.version = _first_version(tensor) if SPECIAL else 0
    return tensor


def _first_version(tensor: Tensor) -> int:
    found = watcher()
    if found is not None:
        found.made(tensor)
    return INFERENCE if MODE.inference else 0


def wrap_constant(array: AnyArray) -> Tensor:
    """As `wrap`, of numbers that depend on no tensor: a program that is recorded may hold them."""
    if WATCHING:
        constant(array)
    return wrap(array)


def wrap_shared(array: AnyArray, storage: Storage) -> Tensor:
    """A new tensor over memory of another one, without a history."""
    tensor = _new(Tensor)
    tensor._array = array
    tensor._storage = storage
    tensor._meta = None
    return tensor


def meta_of(tensor: Tensor) -> AutogradMeta:
    """The tensor's autograd state, made if it has none yet."""
    meta = tensor._meta
    if meta is None:
        meta = tensor._meta = AutogradMeta()
    return meta
