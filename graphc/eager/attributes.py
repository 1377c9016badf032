"""What tensors are: attributes and questions that mostly have one answer here, as all tensors are dense and on the CPU.

In: a tensor, or any object. Out: bools, names, PyTorch's errors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from graphc.eager import pinning
from graphc.eager.arguments import created, type_name
from graphc.eager.gpu_interface import cuda_array_interface
from graphc.eager.inplace import copy_
from graphc.eager.layout import memory_order
from graphc.eager.memory import UntypedStorage
from graphc.eager.memory_format import layout, memory_format, strided
from graphc.eager.placement import gpu_of, place_of
from graphc.eager.tensor import Tensor
from graphc.eager.view import imag, real, view_function
from graphc.eager.watch import WATCHING, copied
from graphc.ir.errors import ArgumentError, SignatureError

_NEVER = (
    "is_hpu is_ipu is_maia is_meta is_mkldnn is_mps is_mtia is_nested is_quantized is_sparse is_sparse_csr "
    "is_vulkan is_xla is_xpu"
).split()


def _no(self: Tensor) -> bool:
    """Whether it is of a kind that isn't there."""
    return False


def is_cpu(self: Tensor) -> bool:
    """Whether the memory is the CPU's."""
    return gpu_of(self._array) is None


def is_cuda(self: Tensor) -> bool:
    """Whether the memory is a GPU's."""
    return gpu_of(self._array) is not None


def layout_of(self: Tensor) -> layout:
    """How elements are addressed: by strides."""
    return strided


def name(self: Tensor) -> None:
    """Tensors have no name."""


def output_nr(self: Tensor) -> int:
    """Which result of its node the tensor is."""
    return 0 if self._meta is None else self._meta.index


def volatile(self: Tensor) -> bool:
    """What was `no_grad` once."""
    warnings.warn("volatile was removed (Variable.volatile is always False)", stacklevel=3)
    return False


def transposed(self: Tensor) -> Tensor:
    """The dimensions in the opposite order."""
    rank = self._array.ndim
    if rank == 0:
        warnings.warn(
            "Tensor.T is deprecated on 0-D tensors. This function is the identity in these cases.", stacklevel=3
        )
    elif rank != 2:
        warnings.warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will "
            "throw an error in a future release. Consider `x.mT` to transpose batches of matrices or "
            "`x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.",
            stacklevel=3,
        )
    found = view_function("T")(self)
    assert isinstance(found, Tensor)
    return found


def set_real(self: Tensor, value: Any) -> None:
    """Write the real parts."""
    _write(real(self), value)


def set_imag(self: Tensor, value: Any) -> None:
    """Write the imaginary parts."""
    _write(imag(self), value)


def _write(part: Tensor, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise SignatureError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type_name(value)}")
    copy_(part, value)


# Methods


def get_device(self: Tensor) -> int:
    """The number of the GPU; -1 on the CPU."""
    gpu = gpu_of(self._array)
    return -1 if gpu is None else gpu


def dim_order(self: Tensor, *, ambiguity_check: bool | list[memory_format] = False) -> tuple[int, ...]:
    """The dimensions from the slowest to the fastest in memory.

    With a check it raises where several orders are right, as with dimensions of size 1 or of equal strides, unless
    exactly one of the memory formats listed is the tensor's.
    """
    if not isinstance(ambiguity_check, bool) and not (
        isinstance(ambiguity_check, list) and all(isinstance(each, memory_format) for each in ambiguity_check)
    ):
        raise SignatureError("The ambiguity_check argument must be a bool or a list of memory formats.")
    array = self._array
    if ambiguity_check is not False and (1 in array.shape or any(a == b for a, b in pairwise(array.strides))):
        formats = ambiguity_check if isinstance(ambiguity_check, list) else []
        if sum(self.is_contiguous(memory_format=each) for each in formats) != 1:
            raise ArgumentError(
                "The tensor does not have unique dim order, or cannot map to exact one of the given memory formats."
            )
    return tuple(range(array.ndim)) if array.flags.c_contiguous else memory_order([array], array.shape)


def dense_dim(self: Tensor) -> int:
    """All dimensions."""
    return self._array.ndim


def sparse_dim(self: Tensor) -> int:
    """None of the dimensions."""
    return 0


def is_coalesced(self: Tensor) -> bool:
    """Refused: a question about sparse tensors."""
    raise ArgumentError("is_coalesced expected sparse coordinate tensor layout but got Strided")


def is_inference(self: Tensor) -> bool:
    """Whether it was made inside `inference_mode`."""
    return self._storage.version < 0


def itself(self: Tensor, *args: object, **kwargs: object) -> Tensor:
    """The tensor: it is dense, and holds what it shows."""
    return self


def pin_memory(self: Tensor, device: object = None) -> Tensor:
    """The tensor in memory of the host that a GPU reads and writes by itself; itself if it is there."""
    if is_cuda(self):
        raise ArgumentError(f"cannot pin '{self.type()}' only dense CPU tensors can be pinned")  # type: ignore[attr-defined]
    if not pinning.is_available():
        raise ArgumentError("Cannot access accelerator device when none is available.")
    return self if is_pinned(self) else _pinned(self)


def _pinned(self: Tensor) -> Tensor:
    result = created(pinning.pinned(self._array))
    if WATCHING:
        copied(result._array, self._array)
    return result


def record_stream(self: Tensor, s: Any) -> None:
    """Say that a stream uses the memory: it is not given out again before that stream has come to its end."""
    memory = getattr(self._array, "memory", None)
    if gpu_of(self._array) is None:
        raise ArgumentError("record_stream is for tensors of a GPU", hint=f"this one is on {place_of(self._array)}")
    if s.device_index != gpu_of(self._array):
        return  # another GPU gets at the memory by copies alone, and these wait by themselves
    if memory is not None and hasattr(memory, "record_stream"):
        memory.record_stream(s.cuda_stream)


def is_pinned(self: Tensor, device: object = None) -> bool:
    """Whether the memory is pinned."""
    return pinning.is_pinned(self._array)


def listed(self: Tensor) -> list[str]:
    """The names of what tensors have."""
    return sorted({*dir(type(self)), *self.__dict__} - {"volatile", "__cuda_array_interface__"})


# Functions


def is_tensor(obj: object) -> bool:
    """Whether it is a tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj: object) -> bool:
    """Whether it is the memory of a tensor."""
    return isinstance(obj, UntypedStorage)


def _question(name: str) -> Callable[[Any], object]:
    def ask(input: Any) -> object:
        if not isinstance(input, Tensor):
            raise SignatureError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type_name(input)}")
        return getattr(input, name)()

    ask.__name__ = ask.__qualname__ = name
    ask.__doc__ = f"`input.{name}()`."
    return ask


def typename(obj: Any, /) -> str:
    """The name of a tensor's type ("torch.FloatTensor"), or of an object's class."""
    if isinstance(obj, Tensor):
        return str(obj.type())  # type: ignore[attr-defined]  # a method of conversion
    module = getattr(obj, "__module__", None)
    prefix = "" if module in ("builtins", "__builtin__", None) else f"{module}."
    for each in ("__qualname__", "__name__"):
        if hasattr(obj, each):
            return prefix + str(getattr(obj, each))
    return prefix + type(obj).__name__


FUNCTIONS: dict[str, Callable[..., object]] = {
    "get_device": _question("get_device"),
    "is_complex": _question("is_complex"),
    "is_conj": _question("is_conj"),
    "is_floating_point": _question("is_floating_point"),
    "is_inference": _question("is_inference"),
    "is_neg": _question("is_neg"),
    "is_signed": _question("is_signed"),
    "is_storage": is_storage,
    "is_tensor": is_tensor,
    "numel": _question("numel"),
    "typename": typename,
}
METHODS: dict[str, Callable[..., object]] = {
    "__dir__": listed,
    "dense_dim": dense_dim,
    "dim_order": dim_order,
    "get_device": get_device,
    "is_coalesced": is_coalesced,
    "is_conj": _no,
    "is_distributed": _no,
    "is_inference": is_inference,
    "is_neg": _no,
    "is_pinned": is_pinned,
    "pin_memory": pin_memory,
    "record_stream": record_stream,
    "resolve_neg": itself,
    "sparse_dim": sparse_dim,
    "to_dense": itself,
}
ATTRIBUTES: dict[str, tuple[Callable[..., object] | None, ...]] = {
    **dict.fromkeys(_NEVER, (_no, None, None)),
    "T": (transposed, None, None),
    "__cuda_array_interface__": (cuda_array_interface, None, None),
    "imag": (imag, set_imag, None),
    "is_cpu": (is_cpu, None, None),
    "is_cuda": (is_cuda, None, None),
    "layout": (layout_of, None, None),
    "name": (name, None, None),
    "output_nr": (output_nr, None, None),
    "real": (real, set_real, None),
    "volatile": (volatile, None, None),
}
