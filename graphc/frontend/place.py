"""Where code runs: what the `target` of a compilation says.

In: "cpu", "cuda", "cuda:1", "cuda:sm_90". Out: None for the CPU, or a `Place`: the GPU that code is generated for, and
the device that it runs on, where there is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from graphc.ir.errors import ArgumentError, DeviceUnavailable, describe
from graphc.ir.precision import tf32_is_asked_for
from graphc.ir.settings import settings

if TYPE_CHECKING:
    from graphc.kernel.gpu import GpuTarget


@dataclass(frozen=True, slots=True)
class Place:
    """A GPU to compile for, and a device of that kind; None: code can be looked at, but not run."""

    target: GpuTarget
    device: int | None
    waits: bool = False
    """Whether a run ends when the device is done, where that may find something wrong."""
    driver: str = field(default_factory=lambda: settings().cuda_driver)
    """The setting that the device's driver comes from: code that is loaded is one driver's."""


def find_place(target: object) -> Place | None:
    """What a compilation's `target` stands for; None: the CPU. Its runs end when the device is done.

    Raises ArgumentError for what is no target, and DeviceUnavailable for a device that there is not.
    """
    if isinstance(target, Place):
        return target
    if not isinstance(target, str):
        raise ArgumentError(f"compile: target is {describe(target)}", hint=_TARGETS)
    if target == "cpu":
        return None
    if re.fullmatch(r"(cuda:)?sm_\w+", target):
        # Late: importing graphc must be quick, and most programs are for the CPU.
        from graphc.kernel.gpu import parse_target

        wanted = parse_target(target)
        device = _device_for(wanted)
        return Place(_with_settings(_for_device(wanted, device)), device, waits=True)
    match = re.fullmatch(r"cuda(?::(\d+))?", target)
    if match is None:
        raise ArgumentError(f"compile: there is no target {target!r}", hint=_TARGETS)
    from graphc.runtime.cuda.device import current_device  # late, as above

    return replace(place_of(current_device() if match[1] is None else int(match[1])), waits=True)


def place_of(device: int) -> Place:
    """The place that a device is; raises DeviceUnavailable where there is none of this number."""
    from graphc.runtime.cuda.select import driver  # late, as in find_place

    count = driver().device_count()
    if device >= count:
        are = "there is 1" if count == 1 else f"there are {count}"
        raise DeviceUnavailable(f"there is no device cuda:{device}", hint=are)
    return Place(_with_settings(_target_of(device)), device)


_TARGETS = 'the targets are "cpu", "cuda", "cuda:N" for device N, and "cuda:sm_80" and the like'


def _with_settings(target: GpuTarget) -> GpuTarget:
    """The target, with what programs have set about precision."""
    return replace(target, allow_tf32=tf32_is_asked_for("cuda.matmul"))


def _target_of(device: int) -> GpuTarget:
    """What code for a device is made for: the GPU that it is, or the older one that the setting names.

    Raises ArgumentError for a setting that is no GPU, or a later one.
    """
    from graphc.kernel.gpu import parse_target  # late, as in find_place
    from graphc.runtime.cuda.select import driver

    target, name = driver().target(device), settings().gpu
    if name == "native":
        return target
    wanted = parse_target(name)
    if wanted.capability > target.capability:
        raise ArgumentError(
            f"GRAPHC_GPU={name}: cuda:{device} is an sm_{target.capability}, which runs no code for later GPUs"
        )
    return _for_device(wanted, device)


def _for_device(target: GpuTarget, device: int | None) -> GpuTarget:
    """The target without what its own generation alone can do, if a device of a later one is to run the code."""
    from graphc.runtime.cuda.select import driver  # late, as in find_place

    if device is None:
        return target
    own = driver().target(device)
    return replace(target, allow_warpgroups=own.allow_warpgroups and own.capability == target.capability)


def _device_for(target: GpuTarget) -> int | None:
    """The current device, if it runs code for the target."""
    from graphc.runtime.cuda.device import current_device  # late, as in find_place
    from graphc.runtime.cuda.select import driver

    try:
        device = current_device()
        return device if driver().target(device).capability >= target.capability else None
    except DeviceUnavailable:
        return None
