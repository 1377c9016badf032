"""The regions of `autocast` of this thread, and what they do to the operands of a call.

Level: between the table and the tensors that compute by it, eager or symbolic. In: a call of an entry inside a region.
Out: the call with its operands converted as PyTorch's lists say, and the dtype that its results become, if any.

    set_enabled("cpu", True)                     # what graphc.autocast("cpu") does when it is entered
    converted(entry, args, kwargs, by)           # a matmul's operands become bfloat16
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphc.frontend.autocast_rules import REFUSAL, Rule, rule_of
from graphc.ir.dtype import DType, bf16, f16, f32, f64
from graphc.ir.errors import ArgumentError
from graphc.ops.function import Function

_DEFAULTS: Mapping[str, DType] = {"cpu": bf16, "hpu": bf16, "xla": bf16, "maia": bf16}
"""What regions compute in unless told: float16 on other devices."""
TYPES = ("cpu", "cuda", "ipu", "xpu", "maia", "xla", "mps", "hpu", "mtia", "privateuseone")
"""Types of devices that have such regions, in PyTorch at least."""


class _State(threading.local):
    """What a thread has set."""

    def __init__(self) -> None:
        self.enabled: tuple[str, ...] = ()
        """The types of devices whose regions are in force, the one entered last at the end."""
        self.dtypes: dict[str, DType] = {}
        self.is_cached = True
        self.nesting = 0
        self.key: Hashable = ()
        self.marker = object()


STATE = _State()
CASTING: list[object] = []
"""Has an item for each thread with a region in force, or with other dtypes for regions than the usual ones. Where it is
empty, which costs least to see, nobody casts, and no program depends on regions."""


def dtype_for(device: str) -> DType:
    """The dtype that regions of this type of device compute in."""
    return STATE.dtypes.get(device) or _DEFAULTS.get(device, f16)


def set_dtype(device: str, dtype: DType) -> None:
    """Set it, in this thread."""
    if dtype is _DEFAULTS.get(device, f16):
        STATE.dtypes.pop(device, None)
    else:
        STATE.dtypes[device] = dtype
    _changed()


def is_enabled(device: str) -> bool:
    """Whether a region of this type of device is in force in this thread."""
    return device in STATE.enabled


def set_enabled(device: str, enabled: bool) -> None:
    """Put a region in force in this thread, or none."""
    others = tuple([each for each in STATE.enabled if each != device])
    STATE.enabled = (*others, device) if enabled else others
    _changed()


def _changed() -> None:
    state = STATE
    dtypes = tuple(sorted((device, dtype.name) for device, dtype in state.dtypes.items()))
    state.key = (state.enabled, dtypes) if state.enabled or dtypes else ()
    if state.key and state.marker not in CASTING:
        CASTING.append(state.marker)
    elif not state.key and state.marker in CASTING:
        CASTING.remove(state.marker)


def autocast_key() -> Hashable:
    """What programs depend on besides their arguments: which regions are in force, and their dtypes."""
    return STATE.key


class Regions(NamedTuple):
    """The regions of a thread at some moment."""

    enabled: tuple[str, ...]
    dtypes: dict[str, DType]
    is_cached: bool


def current_regions() -> Regions:
    """Those in force now."""
    return Regions(STATE.enabled, dict(STATE.dtypes), STATE.is_cached)


def put_in_force(regions: Regions) -> None:
    """Let these be the regions in force in this thread."""
    STATE.enabled, STATE.is_cached = regions.enabled, regions.is_cached
    STATE.dtypes = dict(regions.dtypes)
    _changed()


def describe() -> str:
    """The regions in force, for messages."""
    return ", ".join(f"{device} in {dtype_for(device).name}" for device in STATE.enabled) or "off"


@dataclass(frozen=True, slots=True)
class Caster:
    """How tensors of a kind, eager or symbolic, are told apart and converted."""

    kind: type
    dtype: Callable[[Any], DType | None]
    """None for what is no tensor of numbers."""
    device: Callable[[Any], str | None]
    """The type of the device that a tensor is on; None where it may be anywhere."""
    cast: Callable[[Any, DType], Any]


class Cast(NamedTuple):
    """A call with converted operands."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: DType | None
    """What the results are rounded to."""


def converted(entry: Function, args: tuple[Any, ...], kwargs: dict[str, Any], by: Caster) -> Cast:
    """The call as the regions in force want it; raises ArgumentError where they refuse it."""
    tensors = list(_tensors((args, kwargs), by))
    device = _device(tensors, by)
    rule = None if device is None else rule_of(entry, device, args, kwargs)
    if device is None or rule is None:
        return Cast(args, kwargs, None)
    low = dtype_for(device)
    if rule is Rule.REFUSED:
        raise ArgumentError(REFUSAL, hint='or compute it in float32 inside graphc.autocast("cuda", enabled=False)')
    if entry.name == "_recurrent_layer":
        rule = Rule.STATE if device == "cpu" and args[0] == "gru" else Rule.LOWER
    if rule is Rule.LOWER:
        target = low
    elif rule is Rule.WIDEST:
        target = _widest(tensors, device, low, by)
    elif rule is Rule.STATE:
        place = 2 if entry.name == "_recurrent_layer" else 1
        states = _tensors(args[place] if place < len(args) else kwargs["hx"], by)
        target = low if all(by.dtype(each) is low for each in states) else f32
    else:
        target = f32

    def cast(value: Any) -> Any:
        if isinstance(value, by.kind):
            return by.cast(value, target) if _is_eligible(value, device, by, target) else value
        if type(value) in (list, tuple):
            return type(value)([cast(each) for each in value])
        return value

    return Cast(
        tuple([cast(each) for each in args]),
        {name: cast(each) for name, each in kwargs.items()},
        low if rule is Rule.ROUNDED else None,
    )


def rounded(results: Any, dtype: DType, by: Caster) -> Any:
    """Results in another dtype, but for those of float64 and of no floating dtype."""
    if isinstance(results, by.kind):
        found = by.dtype(results)
        is_cast = found is not None and found.is_floating_point and found is not f64 and found is not dtype
        return by.cast(results, dtype) if is_cast else results
    if type(results) in (list, tuple):
        return type(results)([rounded(each, dtype, by) for each in results])
    return results


def _tensors(value: Any, by: Caster) -> Iterable[Any]:
    """The tensors among arguments."""
    if isinstance(value, by.kind):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each, by)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each, by)


def _device(tensors: list[Any], by: Caster) -> str | None:
    """The type of device whose region takes the call; for tensors that may be anywhere the one entered last."""
    found = {by.device(each) for each in tensors}
    if None in found and STATE.enabled:
        return STATE.enabled[-1]
    return next((device for device in ("cuda", "cpu") if device in found and device in STATE.enabled), None)


def _is_eligible(tensor: Any, device: str, by: Caster, target: DType | None = None) -> bool:
    dtype = by.dtype(tensor)
    return (
        dtype is not None
        and dtype.is_floating_point
        and dtype is not f64
        and dtype is not target
        and by.device(tensor) in (device, None)
    )


def _widest(tensors: list[Any], device: str, low: DType, by: Caster) -> DType:
    dtypes = [by.dtype(each) for each in tensors if _is_eligible(each, device, by)]
    if all(each is low for each in dtypes):
        return low
    if not all(each is low or each is f32 for each in dtypes):
        # PyTorch refuses the other half dtype as soon as it meets it, unless it has met a float32 before.
        first = next(each for each in dtypes if each is not low)
        if first is not f32:
            raise ArgumentError(
                "Unexpected floating ScalarType in at::autocast::prioritize",
                hint=f"inside autocast of {low.name} an operand may be {low.name} or float32: convert it with to()",
            )
    return f32
