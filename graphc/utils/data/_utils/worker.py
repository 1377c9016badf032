"""What a worker does: it fetches batches, one task after another.

In: a `Job`, and tasks from the loader. Out: for each task one reply, a `Batch`, the end of a stream, or an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphc.eager.random_state import RandomState
from graphc.runtime.threads import set_num_threads
from graphc.utils.data._utils import random_state
from graphc.utils.data._utils.failure import ExceptionWrapper
from graphc.utils.data._utils.fetch import MapFetcher, Source, StatefulState, StreamFetcher
from graphc.utils.data._utils.seed import seed_worker
from graphc.utils.data._utils.worker_info import WorkerInfo, WorkerRandom, set_worker_info


@dataclass(slots=True)
class Position:
    """How far a worker is in an epoch, and what it needs to get there again."""

    yielded: int = 0
    """Batches of this worker that the loader has given out."""
    start: RandomState | None = None
    """Its random numbers before the epoch; None: as they were seeded."""
    random: RandomState | None = None
    """Its random numbers after the last batch; None: as at the start."""
    dataset: StatefulState | None = None
    """What the dataset has told after the last batch."""
    has_ended: bool = False
    """Whether the last batch was the last of its stream."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is for."""

    source: Source
    initialize: Callable[[int], object] | None
    worker: int
    num_workers: int
    base_seed: int
    is_thread: bool
    position: Position | None
    """Where to go on; None: at the start of an epoch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A reply: data, and what fetching it has changed."""

    data: Any
    random: RandomState | None
    """That of the worker's generators, if they were used."""
    dataset: StatefulState | None
    has_ended: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A reply: the worker's stream is at its end."""


@dataclass(frozen=True, slots=True)
class NextEpoch:
    """A task: begin the next epoch."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A reply: the epoch begins with these random numbers."""

    start: RandomState


class Worker:
    """Answers tasks, in the thread that has made it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._own = WorkerRandom.seeded(job.base_seed, job.worker) if job.is_thread else None
        self._failure: ExceptionWrapper | None = None
        self._known: RandomState | None = None
        if not job.is_thread:
            set_num_threads(1)
            seed_worker(job.base_seed, job.worker)
        set_worker_info(
            WorkerInfo(
                job.worker,
                job.num_workers,
                job.base_seed + job.worker,
                job.source.dataset,
                self._own,
                "thread" if job.is_thread else "multiprocessing",
            )
        )
        try:
            self._fetcher = self._prepare()
            self._known = random_state.take(self._own)
        except Exception as error:
            self._failure = self._wrap(error)

    def reply(self, task: Any) -> Batch | Ended | Begun | ExceptionWrapper:
        """What comes of a task: `NextEpoch`, or what a sampler gives for a batch."""
        if self._failure is not None:
            return self._failure
        try:
            if isinstance(task, NextEpoch):
                start = random_state.take(self._own)
                self._fetcher = self._job.source.open()
                self._known = random_state.take(self._own)
                return Begun(start)
            data = self._fetcher.fetch(task)
            now = random_state.take(self._own)
            changed = now if now != self._known else None
            self._known = now
            return Batch(data, changed, self._fetcher.state(), self._fetcher.has_ended)
        except StopIteration as error:
            return Ended() if self._job.source.is_stream else self._wrap(error)
        except Exception as error:
            return self._wrap(error)

    def _prepare(self) -> MapFetcher | StreamFetcher:
        job, position = self._job, self._job.position
        if job.initialize is not None:
            job.initialize(job.worker)
        if position is None:
            return job.source.open()
        if position.start is not None:
            random_state.put(position.start, self._own)
        fetcher = job.source.resume(position.yielded, position.dataset, position.has_ended)
        if position.random is not None:
            random_state.put(position.random, self._own)
        return fetcher

    def _wrap(self, error: BaseException) -> ExceptionWrapper:
        kind = "thread" if self._job.is_thread else "process"
        return ExceptionWrapper(error, f"in DataLoader worker {kind} {self._job.worker}")
