"""One pass over a dataset: what all kinds of it share, and the one that fetches in this process.

In: a loader. Out: batches, by `next`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from graphc.eager import pinning
from graphc.utils.data._utils.fetch import Source
from graphc.utils.data._utils.pin_memory import pin_memory
from graphc.utils.data._utils.progress import Checkpoint, Progress
from graphc.utils.data._utils.seed import draw_seed
from graphc.utils.data._utils.worker import Batch

if TYPE_CHECKING:
    from graphc.utils.data.dataloader import DataLoader


class LoaderIterator:
    """A pass over the dataset of a loader, from its start or from a checkpoint."""

    def __init__(self, loader: DataLoader[Any], checkpoint: Checkpoint | None) -> None:
        self._pins = loader.pin_memory and pinning.is_available()
        if loader.pin_memory and not self._pins:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be "
                "used.",
                stacklevel=5,
            )
        self._num_workers = loader.num_workers
        self._source = Source(
            loader.dataset,
            loader._is_stream,
            loader._auto_collation,
            loader.collate_fn,
            loader.drop_last,
            loader.batch_size,
        )
        self._begin(loader, checkpoint)

    def _begin(self, loader: DataLoader[Any], checkpoint: Checkpoint | None) -> None:
        """Begin an epoch, or get where it was: all random numbers but the shared ones are there then."""
        if checkpoint is not None and checkpoint.progress is not None and not checkpoint.progress.is_finished:
            self._progress = checkpoint.progress
            self._progress.start.restore(loader)
        else:
            if checkpoint is not None:
                checkpoint.now.restore(loader)
            self._progress = Progress.begin(loader)
        loader._progress = self._progress
        self._index_sampler = loader._index_sampler
        self._sampler_iter = iter(self._index_sampler)
        self._drawn_seed = draw_seed(loader.generator)
        self._reported_length = loader._reported_length
        self._num_yielded = self._progress.yielded + len(self._progress.ahead)
        if self._source.is_stream:
            return
        for number in range(self._progress.yielded):
            try:
                next(self._sampler_iter)
            except StopIteration:
                raise RuntimeError(
                    f"the state of the DataLoader is after batch {self._progress.yielded}, but its sampler ends after "
                    f"{number}; was it taken with another dataset?"
                ) from None

    def _next_data(self) -> Any:
        raise NotImplementedError

    def __iter__(self) -> LoaderIterator:
        return self

    def __next__(self) -> Any:
        try:
            data = self._next_data()
        except StopIteration:
            self._progress.is_finished = True
            raise
        self._num_yielded += 1
        if self._reported_length is not None and self._num_yielded > self._reported_length:
            self._warn_of_length(self._reported_length)
        return pin_memory(data) if self._pins else data

    def _warn_of_length(self, reported: int) -> None:
        text = (
            f"Length of IterableDataset {self._source.dataset} was reported to be {reported}"
            f"(when accessing len(dataloader)), but {self._num_yielded} samples have been fetched. "
        )
        if self._num_workers > 0:
            text += (
                "For multiprocessing data-loading, this could be caused by not properly configuring the "
                "IterableDataset replica at each worker. Please see "
                "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for examples."
            )
        warnings.warn(text, stacklevel=3)

    def __len__(self) -> int:
        return len(self._index_sampler)

    def __getstate__(self) -> Any:
        raise NotImplementedError("{} cannot be pickled", type(self).__name__)


class SingleProcessIterator(LoaderIterator):
    """Fetches a batch when it is asked for."""

    def __init__(self, loader: DataLoader[Any], checkpoint: Checkpoint | None) -> None:
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        super().__init__(loader, checkpoint)
        progress = self._progress
        progress.base_seed = self._drawn_seed
        if checkpoint is None or checkpoint.progress is not progress:
            self._fetcher = self._source.open()
            return
        position = progress.positions[0]
        self._fetcher = self._source.resume(progress.yielded, position.dataset, position.has_ended)
        checkpoint.now.restore_random(loader)

    def _next_data(self) -> Any:
        index = next(self._sampler_iter)
        progress = self._progress
        if not self._source.is_stream:
            progress.count(progress.yielded)
        data = self._fetcher.fetch(index)
        if self._source.is_stream:
            progress.count(progress.yielded)
        progress.move(0, Batch(None, None, self._fetcher.state(), self._fetcher.has_ended))
        return data
