"""What files written by PyTorch may name, and what stands for it here.

In: names such as "torch._utils._rebuild_tensor_v2", with the arguments that a file gives. Out: tensors, types of
storages, dtypes and containers. Every function here expects arguments from anybody: it checks them, and calls nothing
that they name.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np

from graphc.eager.device import device
from graphc.eager.history import set_requires_grad
from graphc.eager.memory import TypedStorage
from graphc.eager.size import Size
from graphc.eager.tensor import AnyArray, Tensor, wrap, wrap_shared
from graphc.ir.dtype import DTYPES, STORAGE_DTYPES, DType, u8
from graphc.ir.errors import GraphcError
from graphc.nn.parameter import Buffer, Parameter
from graphc.serialization.decode import numpy_dtype
from graphc.serialization.errors import CheckpointError
from graphc.serialization.hashing import check_key
from graphc.serialization.memory import content_of, sizes_of, tensor_at
from graphc.serialization.structure import NAMED


@dataclass(frozen=True, slots=True)
class StorageType:
    """What a file calls the memory of tensors of one dtype."""

    dtype: DType


@dataclass(frozen=True, slots=True)
class StorageRequest:
    """What a file says of a storage where it refers to it: what PyTorch calls a persistent id."""

    dtype: DType
    key: str
    location: str
    count: int
    """Elements of the dtype."""
    rest: tuple[object, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.count * self.dtype.itemsize

    @staticmethod
    def read(told: object) -> StorageRequest:
        """The same of a tuple that may be anybody's; raises CheckpointError."""
        if not isinstance(told, tuple) or len(told) < 5 or not isinstance(told[1], StorageType):
            raise CheckpointError("a storage in the file has no type that graphc knows")
        _, kind, key, location, count, *rest = told
        if isinstance(location, bytes):
            location = location.decode("latin1")
        if type(key) is not str or type(location) is not str or type(count) is not int or count < 0:
            raise CheckpointError("a storage in the file has no name, location or size")
        return StorageRequest(kind.dtype, key, location, count, tuple(rest))


StorageOf: TypeAlias = Callable[[StorageRequest], TypedStorage]
"""What gives the memory."""


# Tensors


def rebuild_tensor(storage: object, storage_offset: Any, size: Any, stride: Any) -> Tensor:
    """A tensor at a place in a storage."""
    return tensor_at(_storage(storage), storage_offset, size, stride)


def rebuild_tensor_v2(
    storage: object,
    storage_offset: Any,
    size: Any,
    stride: Any,
    requires_grad: object,
    backward_hooks: object,
    metadata: object = None,
) -> Tensor:
    """The same, with what autograd knows of it."""
    made = tensor_at(_storage(storage), storage_offset, size, stride)
    return _finished(made, requires_grad, metadata)


def rebuild_tensor_v3(
    storage: object,
    storage_offset: Any,
    size: Any,
    stride: Any,
    requires_grad: object,
    backward_hooks: object,
    dtype: object,
    metadata: object = None,
) -> Tensor:
    """The same where the storage doesn't tell the dtype."""
    if not isinstance(dtype, DType):
        raise CheckpointError("a tensor in the file has no dtype that graphc knows")
    return _finished(tensor_at(_storage(storage), storage_offset, size, stride, dtype), requires_grad, metadata)


def rebuild_parameter(data: object, requires_grad: object, backward_hooks: object) -> Parameter:
    """A parameter over the memory of a tensor."""
    made = Parameter(_tensor(data), _flag(requires_grad))
    assert isinstance(made, Parameter)
    return made


def rebuild_parameter_with_state(
    data: object, requires_grad: object, backward_hooks: object, state: object
) -> Parameter:
    """The same with attributes."""
    made = rebuild_parameter(data, requires_grad, backward_hooks)
    _set_state(made, state)
    return made


def rebuild_from_type(function: object, kind: object, args: object, state: object) -> Tensor:
    """A tensor with attributes, or a parameter that was made in another way."""
    build: Any = next((each for each in REBUILD_FUNCTIONS if each is function), None)
    if build is None or not isinstance(args, tuple) or not isinstance(kind, type) or not issubclass(kind, Tensor):
        raise CheckpointError("the file holds a tensor of a class that graphc doesn't know")
    made: Any = build(*args)
    if kind is Parameter and not isinstance(made, Parameter):
        made = rebuild_parameter(wrap_shared(made._array, made._storage), made.requires_grad, None)
    elif kind is Buffer:
        made = Buffer(made)
    elif kind not in (Tensor, Parameter):
        made = made.as_subclass(kind)
    _set_state(made, state)
    assert isinstance(made, Tensor)
    return made


REBUILD_FUNCTIONS: Final[list[Any]] = [
    rebuild_tensor,
    rebuild_tensor_v2,
    rebuild_tensor_v3,
    rebuild_parameter,
    rebuild_parameter_with_state,
]


def _storage(value: object) -> TypedStorage:
    if not isinstance(value, TypedStorage):
        raise CheckpointError("a tensor in the file has no storage")
    return value


def _tensor(value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise CheckpointError("a parameter in the file has no tensor")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise CheckpointError("a tensor in the file has a requires_grad that is no bool")
    return value


def _finished(made: Tensor, requires_grad: object, metadata: object) -> Tensor:
    if metadata:
        if not isinstance(metadata, dict) or not set(metadata) <= {"conj", "neg"}:
            raise CheckpointError("a tensor in the file has metadata that graphc doesn't know")
        array: AnyArray = made._array
        if array.nbytes > content_of(made).size:
            raise CheckpointError("a tensor in the file is expanded, and to be conjugated or negated")
        if metadata.get("conj"):
            array = np.conj(array)
        if metadata.get("neg"):
            array = -array
        made = wrap(array)
    if _flag(requires_grad):
        set_requires_grad(made, True)
    return made


def _set_state(made: Tensor, state: object) -> None:
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
        if slots:
            raise CheckpointError("the file holds a tensor of a class with slots")
    if not state:
        return
    if not isinstance(state, dict):
        raise CheckpointError("attributes of a tensor in the file are no dict")
    for name, value in state.items():
        if not isinstance(name, str) or hasattr(type(made), name):
            raise CheckpointError(f"the file sets {str(name)[:40]!r} of a tensor")
        made.__dict__[name] = value


def _refusing(what: str) -> Callable[..., NoReturn]:
    def refuse(*args: object) -> NoReturn:
        raise CheckpointError(f"the file holds {what}, which graphc has not")

    return refuse


# Containers and numbers


def ordered_dict(*args: object) -> OrderedDict[Any, Any]:
    """`OrderedDict()`, or of pairs, as old pickles have it."""
    found: OrderedDict[Any, Any] = OrderedDict()
    for pair in _items(args):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise CheckpointError("a dict in the file is made of other things than pairs")
        check_key(pair[0])
        found[pair[0]] = pair[1]
    return found


def counter(*args: object) -> Counter[Any]:
    """`Counter()`, or of counts by key."""
    found: Counter[Any] = Counter()
    if args:
        if len(args) != 1 or type(args[0]) is not dict:
            raise CheckpointError("a Counter in the file is made of other things than a dict")
        dict.update(found, args[0])
    return found


def new_set(*args: object) -> set[Any]:
    """A set of the items of a list."""
    items = _items(args)
    for each in items:
        check_key(each)
    return set(items)


def new_frozenset(*args: object) -> frozenset[Any]:
    """A frozenset of the items of a list."""
    return frozenset(new_set(*args))


def _items(args: tuple[object, ...]) -> list[Any] | tuple[Any, ...]:
    if not args:
        return []
    if len(args) == 1 and type(args[0]) in (list, tuple):
        items: list[Any] = args[0]  # type: ignore[assignment]  # the type was looked at
        return items
    raise CheckpointError("a container in the file is made of other things than a list")


def new_size(*args: object) -> Size:
    """A shape."""
    items = _items(args)
    if not all(type(each) is int for each in items):
        raise CheckpointError("a size in the file is made of other things than ints")
    return Size(items)


def new_device(*args: object) -> device:
    """A device by its name and index."""
    if len(args) not in (1, 2) or not isinstance(args[0], str) or not all(type(each) is int for each in args[1:]):
        raise CheckpointError("a device in the file has no name")
    return device(*args)


def new_complex(*args: object) -> complex:
    """A complex number of its parts."""
    if len(args) != 2 or not all(type(each) is float for each in args):
        raise CheckpointError("a complex number in the file has other parts than floats")
    real, imaginary = args
    assert isinstance(real, float)
    assert isinstance(imaginary, float)
    return complex(real, imaginary)


def new_bytearray(*args: object) -> bytearray:
    """Bytes that can be written to."""
    if args and type(args[0]) is str and args[1:] == ("latin-1",):
        return bytearray(args[0], "latin-1")
    if len(args) > 1 or not all(type(each) is bytes for each in args):
        raise CheckpointError("a bytearray in the file is made of other things than bytes")
    return bytearray(*[each for each in args if isinstance(each, bytes)])


def no_bytes(*args: object) -> bytes:
    """Empty bytes: all that pickles make by calling the class."""
    if args:
        raise CheckpointError("bytes in the file are made of something")
    return b""


def encoded(*args: object) -> bytes:
    """Bytes that a pickle of Python 2 keeps as a text."""
    if len(args) != 2 or type(args[0]) is not str or args[1] != "latin1":
        raise CheckpointError("bytes in the file are no text in latin1")
    return args[0].encode("latin1")


def layout_of(*args: object) -> object:
    """A layout by its name."""
    name = args[0] if len(args) == 1 else None
    if not isinstance(name, str) or name.removeprefix("torch.") not in NAMED:
        raise CheckpointError("a layout in the file has no name that graphc knows")
    return NAMED[name.removeprefix("torch.")]


# numpy


def new_numpy_dtype(*args: object) -> np.dtype[Any]:
    """A dtype of numpy."""
    if not args or not isinstance(args[0], str) or args[0][:1] not in "biufcSU":
        raise CheckpointError("the file names a dtype of numpy that graphc doesn't know")
    return numpy_dtype(f"<{args[0]}")


def check_numpy_dtype_state(state: object) -> None:
    """Refuse what would make another dtype of one that is known: fields, say."""
    if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", "|", "=") or any(state[2:5]):
        raise CheckpointError("the file has arrays of numpy with elements that graphc doesn't know")


def numpy_scalar(*args: object) -> Any:
    """A number of numpy's."""
    if len(args) != 2 or not isinstance(args[0], np.dtype) or not isinstance(args[1], bytes):
        raise CheckpointError("a number of numpy in the file has no dtype or no bytes")
    if len(args[1]) != args[0].itemsize:
        raise CheckpointError("a number of numpy in the file has too few or too many bytes")
    return np.frombuffer(args[1], args[0], 1)[0]


def empty_array(*args: object) -> AnyArray:
    """An array of numpy whose elements follow."""
    if not args or args[0] is not np.ndarray:
        raise CheckpointError("the file holds an array of a class that graphc doesn't know")
    return np.empty(0, np.int8)


def fill_array(array: AnyArray, state: object) -> None:
    """Give it shape, dtype and elements."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise CheckpointError("an array of numpy in the file has no elements")
    _, shape, kind, is_fortran, content = state
    shape = sizes_of(shape, "sizes")
    if not isinstance(kind, np.dtype) or kind.hasobject or not isinstance(content, bytes):
        raise CheckpointError("an array of numpy in the file has elements that are no numbers")
    if math.prod(shape) * kind.itemsize != len(content):
        raise CheckpointError("an array of numpy in the file has too few or too many bytes")
    fill: Any = array.__setstate__
    fill((1, shape, kind, bool(is_fortran), content))


CALLABLE: Final[dict[str, Callable[..., Any]]] = {
    "_codecs.encode": encoded,
    "builtins.bytearray": new_bytearray,
    "builtins.bytes": no_bytes,
    "builtins.complex": new_complex,
    "builtins.frozenset": new_frozenset,
    "builtins.set": new_set,
    "collections.Counter": counter,
    "collections.OrderedDict": ordered_dict,
    "numpy._core.multiarray._reconstruct": empty_array,
    "numpy._core.multiarray.scalar": numpy_scalar,
    "numpy.core.multiarray._reconstruct": empty_array,
    "numpy.core.multiarray.scalar": numpy_scalar,
    "numpy.dtype": new_numpy_dtype,
    "torch.Size": new_size,
    "torch._tensor._rebuild_from_type_v2": rebuild_from_type,
    "torch._utils._rebuild_meta_tensor_no_storage": _refusing("tensors without memory"),
    "torch._utils._rebuild_nested_tensor": _refusing("nested tensors"),
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": rebuild_parameter_with_state,
    "torch._utils._rebuild_qtensor": _refusing("quantized tensors"),
    "torch._utils._rebuild_sparse_tensor": _refusing("sparse tensors"),
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": rebuild_tensor_v3,
    "torch.device": new_device,
    "torch.serialization._get_layout": layout_of,
}
"""What a file may call."""

VALUES: Final[dict[str, object]] = {
    "numpy.ndarray": np.ndarray,
    "torch.Tensor": Tensor,
    "torch.nn.parameter.Buffer": Buffer,
    "torch.nn.parameter.Parameter": Parameter,
    "torch.storage.UntypedStorage": StorageType(u8),
    **{f"torch.{d.name}": d for d in (*DTYPES, *STORAGE_DTYPES)},
    **{f"torch.{name}": value for name, value in NAMED.items()},
    **{f"{module}.{d.scalar}Storage": StorageType(d) for module in ("torch", "torch.cuda") for d in DTYPES},
}
"""What a file may name, but not call."""

CLASSES: Final[dict[Callable[..., Any], object]] = {
    no_bytes: bytes,
    new_bytearray: bytearray,
    new_complex: complex,
    new_frozenset: frozenset,
    new_set: set,
    counter: Counter,
    ordered_dict: OrderedDict,
    new_numpy_dtype: np.dtype,
    new_size: Size,
    new_device: device,
}
"""What some of them are where they are not called but kept."""


def checked(build: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What the function makes of a file's arguments; CheckpointError where it can't."""
    try:
        return build(*args)
    except CheckpointError:
        raise
    except (GraphcError, RuntimeError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"the file holds what can't be: {error}") from None
