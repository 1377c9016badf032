"""A pass over a dataset with workers, who fetch ahead.

In: a loader. Out: batches, by `next`. Each worker has a few tasks; when a batch of its is given out, it gets the next
task, so that tasks go around among the workers and batches come in the order of the sampler.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from graphc.utils.data._utils.crew import Crew, ProcessCrew, ThreadCrew
from graphc.utils.data._utils.failure import ExceptionWrapper
from graphc.utils.data._utils.iterator import LoaderIterator
from graphc.utils.data._utils.progress import Checkpoint
from graphc.utils.data._utils.worker import Batch, Begun, Ended, Job, NextEpoch, Position

if TYPE_CHECKING:
    from graphc.utils.data.dataloader import DataLoader


class ParallelIterator(LoaderIterator):
    """Gives out what workers have fetched."""

    def __init__(self, loader: DataLoader[Any], checkpoint: Checkpoint | None) -> None:
        super().__init__(loader, checkpoint)
        progress = self._progress
        is_resumed = checkpoint is not None and checkpoint.progress is progress
        has_worked = is_resumed
        """Whether the workers are to go on where others were."""
        if not is_resumed:
            progress.base_seed = self._drawn_seed
            if checkpoint is not None and checkpoint.progress is not None and loader.persistent_workers:
                last = checkpoint.progress
                progress.base_seed = last.base_seed
                progress.positions = [Position(start=position.random or position.start) for position in last.positions]
                has_worked = True
        self._timeout = loader.timeout or None
        self._in_order = loader.in_order
        self._is_persistent = loader.persistent_workers
        self._each = max(loader.prefetch_factor or 0, 1)
        jobs = [
            Job(
                self._source,
                loader.worker_init_fn,
                worker,
                loader.num_workers,
                progress.base_seed,
                loader.workers == "thread",
                position if has_worked else None,
            )
            for worker, position in enumerate(progress.positions)
        ]
        if loader.workers == "thread":
            self._crew: Crew = ThreadCrew(jobs)
        else:
            self._crew = ProcessCrew(jobs, loader.multiprocessing_context, self._each)
        self._stop = weakref.finalize(self, self._crew.stop)
        self._fill()
        if is_resumed and checkpoint is not None:
            checkpoint.now.restore_random(loader)

    def _fill(self) -> None:
        """Give all workers their first tasks of an epoch."""
        self._tasks: deque[tuple[int, int]] = deque()
        """Worker and number of the batch, of each task without a reply yet."""
        self._number = 0 if self._source.is_stream else self._progress.yielded
        first = self._progress.next_worker
        for _ in range(self._each):
            for step in range(self._num_workers):
                self._dispatch((first + step) % self._num_workers)

    def _dispatch(self, worker: int) -> None:
        """Give a worker the next task, if there is one."""
        for index in self._sampler_iter:
            number = self._number
            self._number += 1
            if number not in self._progress.ahead:
                self._crew.send(worker, index)
                self._tasks.append((worker, number))
                return

    @property
    def is_stopped(self) -> bool:
        """Whether there are no workers any more."""
        return self._crew.is_stopped

    def _reset(self, loader: DataLoader[Any]) -> None:
        """Begin the next epoch with the same workers."""
        for worker, _ in self._tasks:
            self._receive([worker])
        base_seed = self._progress.base_seed
        self._begin(loader, None)
        self._progress.base_seed = base_seed
        for worker in range(self._num_workers):
            self._crew.send(worker, NextEpoch())
        for worker in range(self._num_workers):
            reply = self._crew.decode(self._receive([worker])[1])
            if isinstance(reply, ExceptionWrapper):
                reply.reraise()
            assert isinstance(reply, Begun), "workers answer in order"
            self._progress.positions[worker].start = reply.start
        self._fill()

    def _receive(self, workers: list[int]) -> tuple[int, Any]:
        found = self._crew.receive(workers, self._timeout)
        if found is None:
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        return found

    def _next_data(self) -> Any:
        while self._tasks:
            workers = [self._tasks[0][0]] if self._in_order else list(dict.fromkeys(each for each, _ in self._tasks))
            worker, encoded = self._receive(workers)
            place = next(place for place, task in enumerate(self._tasks) if task[0] == worker)
            number = self._tasks[place][1]
            del self._tasks[place]
            reply = self._crew.decode(encoded)
            if isinstance(reply, Ended):
                continue
            self._dispatch(worker)
            if not self._source.is_stream:
                self._progress.count(number)
            if isinstance(reply, ExceptionWrapper):
                reply.reraise()
            assert isinstance(reply, Batch), "workers answer in order"
            if self._source.is_stream:
                self._progress.count(self._progress.yielded)
            self._progress.move(worker, reply)
            return reply.data
        if not self._is_persistent:
            self._stop()
        raise StopIteration
