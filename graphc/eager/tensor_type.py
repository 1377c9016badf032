"""Names of tensor types: "torch.FloatTensor" for float32 on the CPU.

In: a dtype and a device. Out: the name that `Tensor.type()` gives, and back.

>>> from graphc.ir.dtype import i64
>>> type_name(i64), dtype_of_type("torch.HalfTensor")
('torch.LongTensor', torch.float16)
"""

from __future__ import annotations

from typing import Final

from graphc.eager.device import device, require_usable, set_default_device
from graphc.eager.guard import guarded
from graphc.ir.dtype import DTYPES, STORAGE_DTYPES, DType, get_default_dtype, set_default_dtype
from graphc.ir.errors import ArgumentError, SignatureError

_BY_NAME: Final = {f"{d.scalar}Tensor": d for d in (*DTYPES, *STORAGE_DTYPES)}
_PLACES: Final = ("", "cuda", "sparse")


def type_name(dtype: DType, place: str = "cpu") -> str:
    """The name of the type of tensors of this dtype on a device of this type."""
    where = "" if place == "cpu" else f"{place}."
    return f"torch.{where}{dtype.scalar}Tensor"


def dtype_of_type(name: str) -> DType:
    """The dtype that a type's name says; "torch.Tensor" has the default dtype.

    Raises ArgumentError (a ValueError) for a name of no type, DeviceUnavailable for a type of another device.
    """
    where, _, short = name.removeprefix("torch.").rpartition(".")
    if name == "torch.Tensor":
        return get_default_dtype()
    if name == "torch.cuda.Tensor":
        short = f"{get_default_dtype().scalar}Tensor"
    found = _BY_NAME.get(short)
    if found is not None and name.startswith("torch."):
        if where in ("cuda", "xpu"):
            require_usable(device(where))
        if where in _PLACES:
            return found
    raise ArgumentError(f"invalid type: {name!r}", hint='such as "torch.FloatTensor", or a dtype')


def place_of_type(name: str) -> str:
    """The type of device that a type's name says."""
    return "cuda" if name.startswith("torch.cuda.") else "cpu"


@guarded
def set_default_tensor_type(t: object, /) -> None:
    """Set the default dtype, and the device of new tensors, by a tensor type: its name, or its class.

    Raises SignatureError (a TypeError) for a type of no floats.
    """
    found = dtype_of_type(t) if isinstance(t, str) else getattr(t, "dtype", None)
    if not isinstance(found, DType):
        raise SignatureError(
            "invalid type object: only floating-point types are supported as the default type",
            hint='such as "torch.FloatTensor"',
        )
    set_default_dtype(found)
    set_default_device(place_of_type(t) if isinstance(t, str) else getattr(t, "place", "cpu"))
