"""Where the memory of a loaded tensor goes: `map_location`.

In: the location a file names for a storage ("cpu", "cuda:0"), and what the caller says: a device, a dict from location
to location, or a function of storage and location. Out: the storage, on that device; CheckpointError for a place that
has no memory here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from graphc.eager import pinning
from graphc.eager.device import device, device_for, gpu_index, require_usable
from graphc.eager.memory import UntypedStorage
from graphc.eager.placement import on
from graphc.eager.tensor import Storage
from graphc.ir.errors import ArgumentError, DeviceUnavailable, GraphcError, describe
from graphc.runtime.cuda.device import device_count
from graphc.serialization.errors import CheckpointError

MapLocation: TypeAlias = "Callable[[Any, str], Any] | device | str | bytes | dict[str, Any] | None"
Restore: TypeAlias = "Callable[[Storage, str], Storage]"


class MapLocationError(Exception):
    """Carries what the caller's function raised past those who take errors for damage in the file."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def restorer(map_location: Any) -> Restore:
    """What gives each storage its memory; raises CheckpointError at once for a place that has none."""
    if map_location is None:
        return _restore
    if isinstance(map_location, bytes):
        map_location = map_location.decode("ascii")
    if isinstance(map_location, str | device):
        place = str(map_location)
        return lambda storage, location: _restore(storage, place)
    if isinstance(map_location, dict):
        return lambda storage, location: _restore(storage, str(map_location.get(location, location)))
    if not callable(map_location):
        raise TypeError(f"'{type(map_location).__name__}' object is not callable")

    def restore(storage: Storage, location: str) -> Storage:
        try:
            found = map_location(UntypedStorage(storage), location)
        except Exception as error:
            raise MapLocationError(error) from None
        if found is None:
            return _restore(storage, location)
        if not isinstance(found, UntypedStorage):
            wrong = ArgumentError(
                f"map_location gave {describe(found)}",
                hint="it takes a storage and its location, and returns a storage, or None for the usual place",
            )
            raise MapLocationError(wrong)
        return found._storage

    return restore


def _restore(storage: Storage, location: str) -> Storage:
    kind = location.partition(":")[0]
    if kind == "cpu":
        return storage
    if kind == "cuda" and pinning.is_available():
        return _on_gpu(storage, location)
    if kind in ("cuda", "xpu", "hpu"):
        raise CheckpointError(
            f"Attempting to deserialize object on a {kind.upper()} device but torch.{kind}.is_available() is False. If "
            "you are running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to "
            "map your storages to the CPU."
        )
    try:
        require_usable(device(location))
    except GraphcError:
        raise CheckpointError(
            "don't know how to restore data location of torch.storage.UntypedStorage (tagged with " + location + ")"
        ) from None
    raise CheckpointError("tensors without memory are not there", hint='map_location="cpu" loads their values')


def _on_gpu(storage: Storage, location: str) -> Storage:
    try:
        place = device_for(location)
    except DeviceUnavailable as error:
        raise CheckpointError(
            f"Attempting to deserialize object on CUDA device {device(location).index} but torch.cuda.device_count() "
            f"is {device_count()}. Please use torch.load with map_location to map your storages to an existing device."
        ) from error
    assert storage.owner is not None, "a storage from a file has its bytes"
    return Storage(on(storage.owner, gpu_index(place)))
