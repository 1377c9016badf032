"""How far an epoch is: what a loader's `state_dict` holds, and what it takes to go on from there.

In: a loader at the start of an epoch, then what its iterator gives out. Out: plain values and tensors. The order of an
epoch is not stored: it is drawn again from the random numbers with which the epoch began.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphc.eager import random_state
from graphc.eager.generator import Generator, default_generator
from graphc.eager.random_state import RandomState
from graphc.utils.data._utils.fetch import is_stateful
from graphc.utils.data._utils.worker import Batch, Position

if TYPE_CHECKING:
    from graphc.utils.data.dataloader import DataLoader

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Moment:
    """Where all random numbers and samplers stand that a loader has to do with."""

    shared: RandomState
    """The random numbers of the process."""
    own: tuple[bytes, ...]
    """Those of the generators that the loader and its samplers were given."""
    samplers: list[Any]
    """What the samplers tell, those that do."""

    @staticmethod
    def now(loader: DataLoader[Any]) -> Moment:
        """This moment."""
        own = tuple(random_state.state_of(generator) for generator in _generators(loader))
        samplers = [copy.deepcopy(sampler.state_dict()) for sampler in _stateful_samplers(loader)]
        return Moment(random_state.take(), own, samplers)

    def restore(self, loader: DataLoader[Any]) -> None:
        """Let it be this moment again, before an epoch."""
        for sampler, state in zip(_stateful_samplers(loader), self.samplers):
            sampler.load_state_dict(copy.deepcopy(state))
        self.restore_random(loader)

    def restore_random(self, loader: DataLoader[Any]) -> None:
        """Let random numbers stand where they did; samplers are under way."""
        random_state.put(self.shared)
        for generator, state in zip(_generators(loader), self.own):
            random_state.set_state(generator, state)

    def to_plain(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "random": random_state.to_plain(self.shared),
            "generators": [random_state.tensor_of(state) for state in self.own],
            "samplers": copy.deepcopy(self.samplers),
        }

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> Moment:
        """The moment that a checkpoint holds."""
        shared = random_state.from_plain(plain["random"])
        if shared is None:
            raise ValueError("there are no random numbers")
        own = tuple(random_state.bytes_of(state) for state in plain["generators"])
        return Moment(shared, own, copy.deepcopy(list(plain["samplers"])))


def _generators(loader: DataLoader[Any]) -> list[Generator]:
    holders = (loader, loader.batch_sampler, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    found = {id(each): each for each in (getattr(holder, "generator", None) for holder in holders)}
    return [each for each in found.values() if isinstance(each, Generator) and each is not default_generator]


def _stateful_samplers(loader: DataLoader[Any]) -> list[Any]:
    samplers = (loader.batch_sampler, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    return list({id(each): each for each in samplers if is_stateful(each)}.values())


@dataclass(slots=True)
class Progress:
    """An epoch that has begun."""

    start: Moment
    positions: list[Position]
    """Of each worker; of the one that this process is, where there are none."""
    base_seed: int = 0
    yielded: int = 0
    """So many batches were given out, and all before them."""
    ahead: set[int] = field(default_factory=set)
    """Numbers of batches after these that were given out too, where order doesn't matter."""
    next_worker: int = 0
    is_finished: bool = False

    @staticmethod
    def begin(loader: DataLoader[Any]) -> Progress:
        """An epoch that begins now."""
        return Progress(Moment.now(loader), [Position() for _ in range(max(loader.num_workers, 1))])

    def count(self, number: int) -> None:
        """A batch of a dataset with numbers was given out."""
        self.ahead.add(number)
        while self.yielded in self.ahead:
            self.ahead.remove(self.yielded)
            self.yielded += 1

    def move(self, worker: int, batch: Batch) -> None:
        """A batch of a worker was given out."""
        position = self.positions[worker]
        position.yielded += 1
        position.random = batch.random or position.random
        position.dataset = batch.dataset
        position.has_ended = batch.has_ended
        self.next_worker = (worker + 1) % len(self.positions)

    def to_plain(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "start": self.start.to_plain(),
            "positions": [_position_to_plain(position) for position in self.positions],
            "base_seed": self.base_seed,
            "yielded": self.yielded,
            "ahead": sorted(self.ahead),
            "next_worker": self.next_worker,
            "is_finished": self.is_finished,
        }

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> Progress:
        """The progress that a checkpoint holds."""
        return Progress(
            Moment.from_plain(plain["start"]),
            [_position_from_plain(position) for position in plain["positions"]],
            operator.index(plain["base_seed"]),
            operator.index(plain["yielded"]),
            set(map(operator.index, plain["ahead"])),
            operator.index(plain["next_worker"]),
            bool(plain["is_finished"]),
        )


def _position_to_plain(position: Position) -> dict[str, Any]:
    return {
        "yielded": position.yielded,
        "start": random_state.to_plain(position.start),
        "random": random_state.to_plain(position.random),
        "dataset": None if position.dataset is None else copy.deepcopy(list(position.dataset)),
        "has_ended": position.has_ended,
    }


def _position_from_plain(plain: Mapping[str, Any]) -> Position:
    dataset = plain["dataset"]
    return Position(
        operator.index(plain["yielded"]),
        random_state.from_plain(plain["start"]),
        random_state.from_plain(plain["random"]),
        None if dataset is None else (bool(dataset[0]), copy.deepcopy(dataset[1])),
        bool(plain["has_ended"]),
    )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What `state_dict` tells."""

    now: Moment
    progress: Progress | None
    """Of the epoch that was under way, or the last one; None before the first."""

    def to_plain(self, loader: DataLoader[Any]) -> dict[str, Any]:
        """What a file holds."""
        return {
            "version": _VERSION,
            "num_workers": loader.num_workers,
            "workers": loader.workers,
            "now": self.now.to_plain(),
            "epoch": None if self.progress is None else self.progress.to_plain(),
        }

    @staticmethod
    def from_plain(plain: Mapping[str, Any], loader: DataLoader[Any]) -> Checkpoint:
        """The same again. Raises ValueError for a state that is none, or of a loader with other workers."""
        if not isinstance(plain, Mapping) or plain.get("version") != _VERSION:
            raise ValueError("this is no state of a DataLoader: take one from its state_dict()")
        for name in ("num_workers", "workers"):
            mine, its = getattr(loader, name), plain[name]
            if mine != its and (name == "num_workers" or (mine and loader.num_workers)):
                raise ValueError(
                    f"the state is of a DataLoader with {name}={its!r}, this one has {name}={mine!r}; each worker has "
                    "random numbers and a place in the data of its own, which no other number of them can go on from"
                )
        try:
            epoch = plain["epoch"]
            found = Checkpoint(Moment.from_plain(plain["now"]), None if epoch is None else Progress.from_plain(epoch))
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(f"the state of the DataLoader is damaged: {error}") from None
        if found.progress is not None and len(found.progress.positions) != max(loader.num_workers, 1):
            raise ValueError("the state of the DataLoader is damaged: it lacks workers")
        return found
