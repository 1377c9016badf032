"""Checkpoints of a training: everything that it needs to go on as if it had never stopped.

In: a file, and the objects that have a state: models, optimizers, schedulers, loaders. Out: a file that is there whole
or not at all; or the objects and the random numbers as they were, bit for bit.

    save_checkpoint("run.pt", model=model, optimizer=optimizer, loader=loader, epoch=epoch)
    epoch = load_checkpoint("run.pt", model=model, optimizer=optimizer, loader=loader)["epoch"]
"""

from __future__ import annotations

from typing import Any, Final

from graphc.eager import random_state
from graphc.eager.generator import Generator, generator_of, generators_of_gpus
from graphc.eager.guard import guarded
from graphc.eager.tensor import Tensor
from graphc.eager.transfer import transfer
from graphc.ir.errors import GraphcError, describe
from graphc.runtime.cuda.device import device_count
from graphc.serialization.entry import load, save
from graphc.serialization.errors import CheckpointError
from graphc.serialization.file import FileLike
from graphc.serialization.location import MapLocation

_VERSION: Final = "graphc.checkpoint"
_RANDOM: Final = "random numbers"
_RANDOM_OF_GPUS: Final = "random numbers of GPUs"
_PARTS: Final = "parts"


@guarded
def save_checkpoint(f: FileLike, /, *, rng: bool = True, **parts: Any) -> None:
    """Save the parts of a training, each under the name it is given by.

    A part is an object with `state_dict()` (a model, an optimizer, a scheduler, a loader), a list, tuple or dict of
    such objects, or plain data, such as the number of the epoch. With `rng` the states of graphc's default generators,
    and of Python's and numpy's global ones, are saved too. Raises CheckpointError for a part that is neither.
    """
    content: dict[str, Any] = {_VERSION: 1, _PARTS: {name: _state(part) for name, part in parts.items()}}
    if rng:
        content[_RANDOM] = random_state.to_plain(random_state.take())
        content[_RANDOM_OF_GPUS] = {number: each.get_state() for number, each in generators_of_gpus().items()}
    save(content, f, format="safetensors")


@guarded
def load_checkpoint(
    f: FileLike, /, *, rng: bool = True, map_location: MapLocation = None, **parts: Any
) -> dict[str, Any]:
    """Bring the parts, given by the names they were saved under, to the state they were saved in.

    Returns what the file has beside: plain data by name, and the states of parts that are not given. With `rng` random
    numbers go on where they stood. The file is read and checked before anything is changed. Raises CheckpointError for
    another kind of file, and for a part that it lacks.
    """
    content = load(f, map_location)
    version = content.get(_VERSION) if isinstance(content, dict) else None
    if type(version) is not int or version != 1 or type(content.get(_PARTS)) is not dict:
        raise CheckpointError(
            "the file holds no checkpoint", hint="graphc.load reads it; save_checkpoint writes what is read here"
        )
    found: dict[str, Any] = content[_PARTS]
    try:
        numbers = random_state.from_plain(content.get(_RANDOM)) if rng else None
        of_gpus = _of_gpus(content.get(_RANDOM_OF_GPUS)) if rng else {}
    except (GraphcError, ValueError) as error:
        raise CheckpointError(str(error)) from None
    for name, part in parts.items():
        if name not in found:
            have = ", ".join(map(repr, found)) or "nothing"
            raise CheckpointError(f"the checkpoint has no part {name!r}", hint=f"it has {have}")
        _check(name, part, found[name])
    for name, part in parts.items():
        _restore(part, found[name])
    if numbers is not None:
        random_state.put(numbers)
    for number, state in of_gpus.items():
        generator_of(number).set_state(state)
    return {name: state for name, state in found.items() if name not in parts}


def _of_gpus(states: Any) -> dict[int, Tensor]:
    """The states for the generators of the GPUs that there are; raises an error for what is no state."""
    found: dict[int, Tensor] = {}
    for number, state in states.items() if type(states) is dict else ():
        if type(number) is int and 0 <= number < device_count():
            found[number] = transfer(state, None) if isinstance(state, Tensor) else state
            Generator().set_state(found[number])
    return found


def _state(part: Any) -> Any:
    """What is saved of a part."""
    if hasattr(part, "state_dict"):
        return part.state_dict()
    if type(part) in (list, tuple):
        return type(part)(_state(each) for each in part)
    if type(part) is dict:
        return {name: _state(each) for name, each in part.items()}
    return part


def _check(name: str, part: Any, state: Any) -> None:
    """Refuse a part that can't take a state."""
    if hasattr(part, "load_state_dict"):
        return
    if type(part) in (list, tuple) and isinstance(state, list | tuple):
        if len(part) != len(state):
            raise CheckpointError(f"{name} has {len(part)} parts, and the checkpoint {len(state)}")
        for index, (each, its_state) in enumerate(zip(part, state)):
            _check(f"{name}[{index}]", each, its_state)
    elif type(part) is dict and isinstance(state, dict):
        if part.keys() != state.keys():
            raise CheckpointError(f"{name} has the parts {[*part]}, and the checkpoint {[*state]}")
        for key, each in part.items():
            _check(f"{name}[{key!r}]", each, state[key])
    else:
        raise CheckpointError(
            f"{name} is {describe(part)}, which has no load_state_dict()",
            hint="plain data is returned: leave it out of the arguments",
        )


def _restore(part: Any, state: Any) -> None:
    if hasattr(part, "load_state_dict"):
        part.load_state_dict(state)
    elif isinstance(part, dict):
        for key, each in part.items():
            _restore(each, state[key])
    else:
        for each, its_state in zip(part, state):
            _restore(each, its_state)
