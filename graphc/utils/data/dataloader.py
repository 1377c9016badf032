"""The loader: an iterable of batches over a dataset, made in this process or by workers.

In: a dataset, and how to sample, batch and collate it. Out: batches; `state_dict()` tells in the middle of an epoch
what `load_state_dict()` needs to give the rest of it.

>>> import graphc
>>> from graphc.utils.data import TensorDataset
>>> loader = DataLoader(TensorDataset(graphc.arange(5)), batch_size=2)
>>> [batch for batch, in loader]
[tensor([0, 1]), tensor([2, 3]), tensor([4])]
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from graphc.eager.generator import Generator
from graphc.runtime.cpu import available_cpus
from graphc.utils.data._utils.collate import default_collate, default_convert
from graphc.utils.data._utils.iterator import LoaderIterator, SingleProcessIterator
from graphc.utils.data._utils.parallel import ParallelIterator
from graphc.utils.data._utils.progress import Checkpoint, Moment, Progress
from graphc.utils.data._utils.worker_info import get_worker_info
from graphc.utils.data.dataset import IterableDataset
from graphc.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

T_co = TypeVar("T_co", covariant=True)

_FIXED = frozenset(("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"))
"""Attributes that nobody may set on a finished loader, since others follow from them."""


class _InfiniteConstantSampler(Sampler[None]):
    """What counts samples of a stream, which has no numbers."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


class DataLoader(Generic[T_co]):
    """Batches of a dataset.

    `sampler` gives the numbers of samples, or `batch_sampler` lists of them; without them the dataset is taken in
    order, or with `shuffle` in a random order of the `generator`. `batch_size=None` gives samples instead of batches.

    With `num_workers`, so many workers make batches ahead, `prefetch_factor` each: processes, or with
    `workers="thread"` threads, which share the dataset and suit work outside the interpreter's lock. An error in one is
    raised here with its traceback; a batch that takes more than `timeout` seconds is a RuntimeError. A worker's seed is
    that of the epoch, drawn from `generator`, plus its number; `worker_init_fn(number)` runs after seeding.
    `in_order=False` gives batches as they get ready. `persistent_workers` keeps workers for the next epoch.
    With `pin_memory`, batches come in memory that a GPU reads by itself; without a GPU that has no effect.

    Arguments that don't go together raise ValueError or TypeError.
    """

    _is_complete = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[Any] | Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], object] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        workers: str = "process",
    ) -> None:
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing."
                "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
            )
        if num_workers > 0 and prefetch_factor is None:
            prefetch_factor = 2
        elif prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if workers not in ("process", "thread"):
            raise ValueError(f"workers option should be 'process' or 'thread', but got workers={workers!r}")

        self.dataset = dataset
        self.num_workers = num_workers
        self.workers = workers
        self.prefetch_factor = prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self._is_stream = isinstance(dataset, IterableDataset)
        if self._is_stream:
            _refuse_for_stream(shuffle, sampler, batch_sampler)
        shuffle = bool(shuffle)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")

        if sampler is None:
            if self._is_stream:
                sampler = _InfiniteConstantSampler()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self.persistent_workers = persistent_workers
        self._reported_length: int | None = None
        self._progress: Progress | None = None
        self._checkpoint: Checkpoint | None = None
        self._iterator: LoaderIterator | None = None
        self._is_complete = True
        self.check_worker_number_rationality()

    @property
    def multiprocessing_context(self) -> BaseContext | None:
        """How worker processes are started; None is Python's default way."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: str | BaseContext | None) -> None:
        if context is not None:
            if self.num_workers == 0:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
                    f"num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                methods = multiprocessing.get_all_start_methods()
                if context not in methods:
                    raise ValueError(
                        f"multiprocessing_context option should specify a valid start method in {methods!r}, but got "
                        f"multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            if not isinstance(context, BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string specifying the start "
                    f"method, but got multiprocessing_context={context}"
                )
        self._context = context

    def __setattr__(self, name: str, value: object) -> None:
        if self._is_complete and name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        """What gives one fetch's worth of numbers at a time."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _get_iterator(self) -> LoaderIterator:
        checkpoint, self._checkpoint = self._checkpoint, None
        if self.num_workers == 0:
            return SingleProcessIterator(self, checkpoint)
        self.check_worker_number_rationality()
        return ParallelIterator(self, checkpoint)

    def __iter__(self) -> LoaderIterator:
        if not self.persistent_workers:
            return self._get_iterator()
        if isinstance(self._iterator, ParallelIterator) and not self._iterator.is_stopped:
            self._iterator._reset(self)
        else:
            self._iterator = self._get_iterator()
        return self._iterator

    def state_dict(self) -> dict[str, Any]:
        """Where the last iterator stands: after the batch that it gave last, whatever workers have fetched since.

        Holds plain values and tensors: the random numbers of now and of the epoch's start, how many batches there were,
        and what workers need. Datasets, samplers and iterators of datasets that have a `state_dict` and a
        `load_state_dict` are asked for theirs.
        """
        checkpoint = self._checkpoint or Checkpoint(Moment.now(self), self._progress)
        return checkpoint.to_plain(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Let the next iterator give the rest of the epoch that `state_dict` was taken in, or the epoch after it.

        It gives the batches that would have come, with the same random choices: random numbers of the process are put
        back as it is made. A stream that doesn't tell its state is read again from its start.
        Raises ValueError where the state is of a loader with other workers.
        """
        self._checkpoint = Checkpoint.from_plain(state_dict, self)
        self._iterator = None

    def __len__(self) -> int:
        if not self._is_stream:
            return len(self._index_sampler)
        # A stream may well have another length than it says: the iterator warns if it gives more.
        count = self._reported_length = len(self.dataset)
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def check_worker_number_rationality(self) -> None:
        """Warn if there are more worker processes than CPUs."""
        available = available_cpus()
        if self.num_workers > available and self.workers == "process":
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our suggested max number "
                f"of worker in current system is {available}, which is smaller than what this DataLoader is going to "
                "create. Please be aware that excessive worker creation might get DataLoader running slow or even "
                "freeze, lower the worker number to avoid potential slowness/freeze if necessary.",
                stacklevel=3,
            )


def _refuse_for_stream(shuffle: object, sampler: object, batch_sampler: object) -> None:
    start = "DataLoader with IterableDataset: expected unspecified"
    if shuffle not in (False, None):
        raise ValueError(f"{start} shuffle option, but got shuffle={shuffle}")
    if sampler is not None:
        raise ValueError(f"{start} sampler option, but got sampler={sampler}")
    if batch_sampler is not None:
        raise ValueError(f"{start} batch_sampler option, but got batch_sampler={batch_sampler}")


__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]
