"""Fetching: from what a sampler gives to a batch.

In: a number, or the list of a batch. Out: what the collating function makes of the samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class MapFetcher:
    """Fetches samples by number."""

    dataset: Any
    is_batched: bool
    collate: Callable[[Any], Any]

    def fetch(self, index: Any) -> Any:
        """The batch of a list of numbers, or one sample."""
        if not self.is_batched:
            return self.collate(self.dataset[index])
        if many := getattr(self.dataset, "__getitems__", None):
            return self.collate(many(index))
        return self.collate([self.dataset[number] for number in index])


@dataclass(slots=True)
class StreamFetcher:
    """Fetches the next samples of a stream; of what a sampler gives only the count matters."""

    dataset: Any
    is_batched: bool
    collate: Callable[[Any], Any]
    drop_last: bool
    samples: Iterator[Any] = field(init=False)
    has_ended: bool = False

    def __post_init__(self) -> None:
        self.samples = iter(self.dataset)

    def fetch(self, index: Any) -> Any:
        """The next batch or sample. Raises StopIteration at the end."""
        if self.has_ended:
            raise StopIteration
        if not self.is_batched:
            return self.collate(next(self.samples))
        batch = list(itertools.islice(self.samples, len(index)))
        self.has_ended = len(batch) < len(index)
        if not batch or (self.has_ended and self.drop_last):
            raise StopIteration
        return self.collate(batch)
