"""Where tensors are: devices by name, and the device that new tensors get.

In: "cpu", "cuda:1", a `device`. Out: `device` objects, compared by type and index. Any of PyTorch's devices can be
named; memory there is on the CPU and on NVIDIA's GPUs, and "meta" has none at all.

>>> device("cuda", 1), str(device("cuda:1")), device("cpu") == device("cpu:0")
(device(type='cuda', index=1), 'cuda:1', False)
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Final, NoReturn

from graphc.eager.guard import guarded
from graphc.ir.errors import ArgumentError, DeviceUnavailable, SignatureError, UnknownAttribute

TYPES: Final = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy",
    "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip
USABLE: Final = ("cpu", "meta")
_ADVICE: Final = 'tensors live on "cpu"'
_TEXT: Final = re.compile(r"([a-zA-Z_]+)(?::(0|[1-9][0-9]*))?", re.ASCII)


class device:
    """A device: its type, such as "cpu", and its index, or None where any of the type is meant.

    As a context (`with device("meta"):`) it is the device of the tensors that are created inside, in this thread.
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    @guarded
    def __new__(cls, *args: object, **kwargs: object) -> device:
        """`device("cuda:1")`, `device("cuda", 1)` or `device(another)`.

        Raises SignatureError (a TypeError) for other arguments, ArgumentError (a RuntimeError) for a name of no device.
        """
        names = (*("type", "index")[: len(args)], *kwargs)
        given = dict(zip(names, (*args, *kwargs.values()), strict=False))
        if len(given) != len(args) + len(kwargs) or not (set(given) <= {"type", "index"} or set(given) == {"device"}):
            _refuse([*args, *kwargs.values()])
        if len(given) == 1 and (args or "device" in kwargs):
            return _of_one(next(iter(given.values())))
        if "type" not in given:
            _refuse([*args, *kwargs.values()])
        return _of_two(given["type"], given.get("index"))

    def __setattr__(self, name: str, value: object) -> None:
        if name not in device.__slots__:
            raise UnknownAttribute(f"'torch.device' object has no attribute {name!r}", hint="it has type and index")
        raise UnknownAttribute(f"attribute {name!r} of 'torch.device' objects is not writable", hint="make another")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, device):
            return NotImplemented
        return self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __repr__(self) -> str:
        return (
            f"device(type={self.type!r})" if self.index is None else f"device(type={self.type!r}, index={self.index})"
        )

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple[Callable[..., device], tuple[object, ...]]:
        return device, (self.type,) if self.index is None else (self.type, self.index)

    def __enter__(self) -> device:
        _thread.stack.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _thread.stack.pop()


def _make(kind: str, index: int | None) -> device:
    made = object.__new__(device)
    object.__setattr__(made, "type", kind)
    object.__setattr__(made, "index", index)
    return made


def _of_one(value: object) -> device:
    """What a device, a name or a number stands for by itself."""
    match value:
        case device():
            return value
        case str():
            return _make(*_parse(value))
        case int() if not isinstance(value, bool):
            if value < 0:
                raise ArgumentError("Device index must not be negative", hint=_ADVICE)
            if not _has_gpu():
                raise ArgumentError("Cannot access accelerator device when none is available.", hint=_ADVICE)
            return _make("cuda", value)
        case _:
            _refuse([value])


def _of_two(name: object, index: object) -> device:
    """A type and an index, where None stands for no index."""
    if not isinstance(name, str):
        raise SignatureError(
            f"device(): argument 'type' (position 1) must be str, not {_type_name(name)}",
            hint='such as device("cpu", 0)',
        )
    if index is not None and (not isinstance(index, int) or isinstance(index, bool)):
        raise SignatureError(
            f"device(): argument 'index' (position 2) must be int, not {_type_name(index)}",
            hint='as in device("cpu", 0)',
        )
    kind, own_index = _parse(name)
    if own_index is not None:
        raise ArgumentError(
            f"type (string) must not include an index because index was passed explicitly: {name}",
            hint="give the index once",
        )
    if index is not None and index < 0:
        raise ArgumentError("Device index must not be negative", hint="count devices from 0")
    return _make(kind, index)


def _refuse(given: list[object]) -> NoReturn:
    kinds = ", ".join(_type_name(each) for each in given)
    mismatch = ""
    if len(given) == 1:
        shown = f"list of {given[0]}" if isinstance(given[0], list) and not given[0] else kinds
        mismatch = f"      didn't match because some of the arguments have invalid types: (!{shown}!)\n"
    raise SignatureError(
        f"device() received an invalid combination of arguments - got ({kinds}), but expected one of:\n"
        f" * (torch.device device)\n{mismatch} * (str type, int index = -1)\n",
        hint='such as device("cpu")',
    )


def _type_name(value: object) -> str:
    return "torch.device" if isinstance(value, device) else type(value).__name__


def _parse(text: str) -> tuple[str, int | None]:
    """The type and index that a name such as "cuda:1" says."""
    if not text:
        raise ArgumentError("Device string must not be empty", hint=_ADVICE)
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ArgumentError(f"Invalid device string: {text!r}", hint='such as "cpu" or "cuda:1"')
    if match[1] not in TYPES:
        raise ArgumentError(
            f"Expected one of {', '.join(TYPES)} device type at start of device string: {match[1]}", hint=_ADVICE
        )
    return match[1], None if match[2] is None else int(match[2])


class _Thread(threading.local):
    """The devices that contexts of this thread have put in force, the innermost last."""

    def __init__(self) -> None:
        self.stack: list[device] = []


CPU: Final = device("cpu")
_thread = _Thread()
_default = CPU


def get_default_device() -> device:
    """The device that tensors are created on where none is given."""
    return _thread.stack[-1] if _thread.stack else _default


def default_in_force() -> device | None:
    """The device that the user has chosen for new tensors; None where nothing was said."""
    return _thread.stack[-1] if _thread.stack else None if _default is CPU else _default


def set_default_device(place: device | str | int | None, /) -> None:
    """Set the device of new tensors in the whole process; None stands for the CPU."""
    global _default
    _default = CPU if place is None else device(place)


def device_for(place: object, function: str = "tensor") -> device:
    """The device on which `function` creates a tensor: the one given, or the default where that is None.

    An index of the CPU is dropped, as all of it is one, and a GPU without one is the current one. Raises
    DeviceUnavailable for a device that has no memory here, SignatureError for what is no device.
    """
    if place is None:
        found = get_default_device()
    elif isinstance(place, device | str) or (isinstance(place, int) and not isinstance(place, bool)):
        found = device(place)
    else:
        raise SignatureError(
            f"{function}(): argument 'device' must be torch.device, not {type(place).__name__}", hint=_ADVICE
        )
    require_usable(found)
    if found.type == "cuda" and found.index is None:
        return gpu_device(_current_gpu())
    return CPU if found.type == "cpu" else found


def require_usable(place: device) -> None:
    """Raise DeviceUnavailable where this build of graphc can keep no tensor."""
    if place.type in USABLE:
        return
    if place.type == "cuda":
        # Late: importing graphc must be quick, and most programs have no GPU.
        from graphc.runtime.cuda.select import driver

        count = driver().device_count()  # raises where there is none at all
        if place.index is not None and place.index >= count:
            raise DeviceUnavailable(
                "CUDA error: invalid device ordinal", hint=f"there {'is 1 GPU' if count == 1 else f'are {count} GPUs'}"
            )
        return
    if place.type in ("xpu", "mtia"):
        raise DeviceUnavailable(f"Torch not compiled with {place.type.upper()} enabled", hint=_ADVICE)
    raise DeviceUnavailable(f"PyTorch is not linked with support for {place.type} devices", hint=_ADVICE)


_gpus: dict[int, device] = {}


def gpu_device(index: int) -> device:
    """The GPU of this number."""
    found = _gpus.get(index)
    if found is None:
        found = _gpus[index] = _make("cuda", index)
    return found


def gpu_index(place: device) -> int | None:
    """The number of a GPU; None for the CPU."""
    if place.type != "cuda":
        return None
    return _current_gpu() if place.index is None else place.index


def _current_gpu() -> int:
    from graphc.runtime.cuda.device import current_device  # late, as in require_usable

    return current_device()


def _has_gpu() -> bool:
    from graphc.runtime.cuda.select import what_is_missing  # late, as in require_usable

    return what_is_missing() is None
