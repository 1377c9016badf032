"""Fetching: from what a sampler gives to a batch, and going on in the middle of an epoch.

In: a number, or the list of a batch. Out: what the collating function makes of the samples.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

StatefulState: TypeAlias = tuple[bool, Any]
"""What `state_dict` gave: whether that of the dataset's iterator, else that of the dataset; and the state."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where batches come from."""

    dataset: Any
    is_stream: bool
    is_batched: bool
    collate: Callable[[Any], Any]
    drop_last: bool
    batch_size: int | None

    def open(self) -> MapFetcher | StreamFetcher:
        """What fetches the batches of an epoch."""
        return StreamFetcher(self) if self.is_stream else MapFetcher(self)

    def resume(self, yielded: int, state: StatefulState | None, has_ended: bool) -> MapFetcher | StreamFetcher:
        """What fetches those from the `yielded`-th on.

        A dataset or iterator that has told its state goes on from there; another stream is read again up to there.
        """
        if state is not None and not state[0]:
            self.dataset.load_state_dict(state[1])
        fetcher = self.open()
        if not isinstance(fetcher, StreamFetcher):
            return fetcher
        if state is None:
            index = None if self.batch_size is None else [None] * self.batch_size
            for _ in range(yielded):
                fetcher.fetch(index)
        elif state[0]:
            fetcher.samples.load_state_dict(state[1])  # type: ignore[attr-defined]  # it told its state
        fetcher.has_ended = has_ended
        return fetcher


@dataclass(slots=True)
class MapFetcher:
    """Fetches samples by number."""

    source: Source
    has_ended: bool = False

    def fetch(self, index: Any) -> Any:
        """The batch of a list of numbers, or one sample."""
        source = self.source
        dataset = source.dataset
        if not source.is_batched:
            return source.collate(dataset[index])
        if many := getattr(dataset, "__getitems__", None):
            return source.collate(many(index))
        return source.collate([dataset[number] for number in index])

    def state(self) -> StatefulState | None:
        """What the dataset tells, if it is one that does."""
        dataset = self.source.dataset
        return (False, copy.deepcopy(dataset.state_dict())) if is_stateful(dataset) else None


@dataclass(slots=True)
class StreamFetcher:
    """Fetches the next samples of a stream; of what a sampler gives only the count matters."""

    source: Source
    samples: Iterator[Any] = field(init=False)
    has_ended: bool = False

    def __post_init__(self) -> None:
        self.samples = iter(self.source.dataset)

    def fetch(self, index: Any) -> Any:
        """The next batch or sample. Raises StopIteration at the end."""
        source = self.source
        if self.has_ended:
            raise StopIteration
        if not source.is_batched:
            return source.collate(next(self.samples))
        batch = []
        for _ in index:
            try:
                batch.append(next(self.samples))
            except StopIteration:
                self.has_ended = True
                break
        if not batch or (self.has_ended and source.drop_last):
            raise StopIteration
        return source.collate(batch)

    def state(self) -> StatefulState | None:
        """What the iterator, or else the dataset, tells, if it is one that does."""
        samples: Any = self.samples
        if is_stateful(samples):
            return True, copy.deepcopy(samples.state_dict())
        dataset = self.source.dataset
        return (False, copy.deepcopy(dataset.state_dict())) if is_stateful(dataset) else None


def is_stateful(holder: Any) -> bool:
    """Whether something tells its state and takes it back."""
    return callable(getattr(holder, "state_dict", None)) and callable(getattr(holder, "load_state_dict", None))
