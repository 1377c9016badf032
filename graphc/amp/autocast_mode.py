"""Regions in which some operations compute in fewer bits.

In: a device type, a dtype, whether the region is in force. Out: a context or decorator. Inside, functions on PyTorch's
lists convert their operands: products of matrices to the region's dtype, what loses too much there to float32. The
conversions are recorded, so parameters stay float32 and so do their gradients.

>>> import graphc
>>> x = graphc.ones(2, 2)
>>> with graphc.autocast("cpu"):
...     print((x @ x).dtype, (x + x).dtype)
torch.bfloat16 torch.float32
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import numpy as np

from graphc.eager.autocast import clear_cache
from graphc.eager.device import TYPES
from graphc.eager.device import device as Device
from graphc.eager.guard import guarded
from graphc.eager.tensor import Tensor
from graphc.eager.watch import refuse
from graphc.frontend import autocast as regions
from graphc.ir.dtype import DType, bf16, f16, f64
from graphc.ir.errors import ArgumentError, SignatureError

F = TypeVar("F", bound=Callable[..., Any])

_SUPPORTED: Final = (bf16, f16)


class autocast:
    """A context or decorator; `enabled=False` computes in the tensors' own dtypes, as outside.

    `dtype` is bfloat16 or float16; None stands for what `get_autocast_dtype` gives. Parameters that are converted are
    kept until the outermost region ends, unless `cache_enabled` is False. Raises ArgumentError (a RuntimeError) for a
    device type without such regions.
    """

    @guarded
    def __init__(
        self, device_type: str, dtype: DType | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = Device(device_type).type
        if self.device not in regions.TYPES:
            raise ArgumentError(
                f"User specified an unsupported autocast device_type '{self.device}'", hint='give "cpu" or "cuda"'
            )
        self.fast_dtype = regions.dtype_for(self.device) if dtype is None else dtype
        self._cache_enabled = regions.STATE.is_cached if cache_enabled is None else cache_enabled
        self._enabled = enabled and self._is_possible()
        self._before: list[tuple[bool, DType, bool]] = []

    def _is_possible(self) -> bool:
        """Whether the region can be in force here; says so if not."""
        if self.device == "cuda":
            from graphc.runtime.cuda.select import what_is_missing  # late: most programs ask for no GPU

            if what_is_missing() is not None:
                warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=4)
                return False
        elif self.fast_dtype not in _SUPPORTED:
            name = self.device.upper()
            warnings.warn(
                f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"{name} Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                stacklevel=4,
            )
            return False
        return True

    def __enter__(self) -> autocast:
        state = regions.STATE
        self._before.append((regions.is_enabled(self.device), regions.dtype_for(self.device), state.is_cached))
        regions.set_enabled(self.device, self._enabled)
        regions.set_dtype(self.device, self.fast_dtype)
        state.nesting += 1
        state.is_cached = self._cache_enabled
        return self

    def __exit__(self, *error: object) -> None:
        state = regions.STATE
        was_enabled, dtype, state.is_cached = self._before.pop()
        state.nesting -= 1
        if state.nesting == 0:
            clear_cache()
        regions.set_enabled(self.device, was_enabled)
        regions.set_dtype(self.device, dtype)

    def __call__(self, function: F) -> F:
        """Decorate a function: each call of it is a region."""
        if not callable(function):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(function).__name__}. Did you mean to use "
                "autocast as a context manager? For example:\n    with torch.autocast(device_type=...):\n"
                "        output = model(input)"
            )

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return call  # type: ignore[return-value]  # it takes what the function takes


@guarded
def is_autocast_available(device_type: str) -> bool:
    """Whether there are regions of the device type."""
    _check("is_autocast_available", device_type)
    return device_type in regions.TYPES


@guarded
def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether a region of the device type is in force."""
    return regions.is_enabled(_regional("is_autocast_enabled", device_type))


@guarded
def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Put a region of the device type in force in this thread, or none; with one argument, of "cuda"."""
    if enabled is None and isinstance(device_type, bool):
        enabled, device_type = device_type, "cuda"
    if not isinstance(enabled, bool):
        raise SignatureError(
            f"set_autocast_enabled(): argument 'enabled' (position 2) must be bool, not {type(enabled).__name__}"
        )
    device = _regional("set_autocast_enabled", device_type)
    _refuse_recording("set_autocast_enabled")
    regions.set_enabled(device, enabled)


@guarded
def get_autocast_dtype(device_type: str) -> DType:
    """The dtype that regions of the device type compute in unless they say one."""
    return regions.dtype_for(_typed("get_autocast_dtype", device_type))


@guarded
def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Set that dtype, in this thread."""
    device = _typed("set_autocast_dtype", device_type)
    if not isinstance(dtype, DType):
        raise SignatureError(
            f"set_autocast_dtype(): argument 'dtype' (position 2) must be torch.dtype, not {type(dtype).__name__}"
        )
    _refuse_recording("set_autocast_dtype")
    regions.set_dtype(device, dtype)


def is_autocast_cache_enabled() -> bool:
    """Whether regions keep the converted parameters."""
    return regions.STATE.is_cached


@guarded
def set_autocast_cache_enabled(enabled: bool) -> None:
    """Say whether regions keep the converted parameters, in this thread."""
    if not isinstance(enabled, bool):
        raise SignatureError(f"enabled must be a bool (got {type(enabled).__name__})")
    regions.STATE.is_cached = enabled


def clear_autocast_cache() -> None:
    """Forget the parameters that this thread has converted."""
    clear_cache()


def autocast_increment_nesting() -> int:
    """Count one more region around the code of this thread, and return how many there are now."""
    regions.STATE.nesting += 1
    return regions.STATE.nesting


def autocast_decrement_nesting() -> int:
    """Count one region less, and return how many there are now."""
    regions.STATE.nesting -= 1
    return regions.STATE.nesting


# Older names of the above


def _deprecate(old: str, new: str) -> None:
    warnings.warn(f"torch.{old} is deprecated. Please use torch.{new} instead.", DeprecationWarning, stacklevel=3)


def is_autocast_cpu_enabled() -> bool:
    """As `is_autocast_enabled("cpu")`."""
    _deprecate("is_autocast_cpu_enabled()", "is_autocast_enabled('cpu')")
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """As `set_autocast_enabled("cpu", enabled)`."""
    _deprecate("set_autocast_cpu_enabled(enabled)", "set_autocast_enabled('cpu', enabled)")
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> DType:
    """As `get_autocast_dtype("cpu")`."""
    _deprecate("get_autocast_cpu_dtype()", "get_autocast_dtype('cpu')")
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: DType) -> None:
    """As `set_autocast_dtype("cpu", dtype)`."""
    _deprecate("set_autocast_cpu_dtype(dtype)", "set_autocast_dtype('cpu', dtype)")
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> DType:
    """As `get_autocast_dtype("cuda")`."""
    _deprecate("get_autocast_gpu_dtype()", "get_autocast_dtype('cuda')")
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: DType) -> None:
    """As `set_autocast_dtype("cuda", dtype)`."""
    _deprecate("set_autocast_gpu_dtype(dtype)", "set_autocast_dtype('cuda', dtype)")
    set_autocast_dtype("cuda", dtype)


def _check(function: str, device_type: object) -> None:
    if not isinstance(device_type, str):
        raise SignatureError(
            f"{function}(): argument 'device_type' (position 1) must be str, not {type(device_type).__name__}"
        )
    if device_type not in TYPES:
        raise ArgumentError(
            f"Expected one of {', '.join(TYPES)} device type at start of device string: {device_type}",
            hint='such as "cpu"',
        )


def _regional(function: str, device_type: Any) -> str:
    _check(function, device_type)
    if device_type not in regions.TYPES:
        raise ArgumentError(
            "unknown device type for autocast in get_autocast_dispatch_key_from_device_type",
            hint=f"there are regions of {', '.join(regions.TYPES)}",
        )
    found: str = device_type
    return found


def _typed(function: str, device_type: Any) -> str:
    _check(function, device_type)
    if device_type not in regions.TYPES:
        raise ArgumentError("unsupported scalarType", hint=f"there are regions of {', '.join(regions.TYPES)}")
    found: str = device_type
    return found


def _refuse_recording(function: str) -> None:
    refuse(f"calls {function}()", "enter graphc.autocast() in the compiled function instead")


# Gradients written in Python


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: DType | None = None
) -> Callable[..., Any]:
    """Decorate the forward of an autograd.Function: its backward then runs in a region as this one does.

    With `cast_inputs`, tensors of floating dtypes (but float64) on the device become that dtype, and the forward runs
    with the region switched off.
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def call(*args: Any, **kwargs: Any) -> Any:
        context = args[0]
        context._dtype = get_autocast_dtype(device_type)
        is_enabled = is_autocast_enabled(device_type)
        context._fwd_used_autocast = is_enabled and cast_inputs is None
        if cast_inputs is None or not is_enabled:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(*_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))

    return call


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Callable[..., Any]:
    """Decorate the backward of an autograd.Function: it runs in the region that the forward ran in."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def call(*args: Any, **kwargs: Any) -> Any:
        context = args[0]
        with autocast(device_type, dtype=context._dtype, enabled=context._fwd_used_autocast):
            return bwd(*args, **kwargs)

    return call


def _cast(value: Any, device_type: str, dtype: DType) -> Any:
    """Tensors in another dtype, also inside containers."""
    if isinstance(value, Tensor):
        tensor: Any = value
        kind = tensor.dtype
        is_cast = kind.is_floating_point and kind is not f64 and tensor.device.type == device_type
        return tensor.to(dtype) if is_cast else tensor
    match value:
        case str() | np.ndarray():
            return value
        case Mapping():
            return {_cast(key, device_type, dtype): _cast(each, device_type, dtype) for key, each in value.items()}
        case Iterable():
            found = [_cast(each, device_type, dtype) for each in value]
            return type(value)(found) if isinstance(value, list | tuple) else found
        case _:
            return value
