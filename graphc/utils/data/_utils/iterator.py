"""One pass over a dataset: what all kinds of it share, and the one that fetches in this process.

In: a loader. Out: batches, by `next`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from graphc.utils.data._utils.fetch import MapFetcher, StreamFetcher
from graphc.utils.data._utils.seed import draw_seed

if TYPE_CHECKING:
    from graphc.utils.data.dataloader import DataLoader


class LoaderIterator:
    """A pass over the dataset of a loader."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        if loader.pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be "
                "used.",
                stacklevel=4,
            )
        self._dataset = loader.dataset
        self._is_stream = loader._is_stream
        self._num_workers = loader.num_workers
        self._start(loader)

    def _start(self, loader: DataLoader[Any]) -> None:
        self._index_sampler = loader._index_sampler
        self._sampler_iter = iter(self._index_sampler)
        self._base_seed = draw_seed(loader.generator)
        self._reported_length = loader._reported_length
        self._num_yielded = 0

    def _reset(self, loader: DataLoader[Any]) -> None:
        """Start the next pass."""
        raise NotImplementedError

    def _next_data(self) -> Any:
        raise NotImplementedError

    def __iter__(self) -> LoaderIterator:
        return self

    def __next__(self) -> Any:
        data = self._next_data()
        self._num_yielded += 1
        if self._reported_length is not None and self._num_yielded > self._reported_length:
            text = (
                f"Length of IterableDataset {self._dataset} was reported to be {self._reported_length}"
                f"(when accessing len(dataloader)), but {self._num_yielded} samples have been fetched. "
            )
            if self._num_workers > 0:
                text += (
                    "For multiprocessing data-loading, this could be caused by not properly configuring the "
                    "IterableDataset replica at each worker. Please see "
                    "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for examples."
                )
            warnings.warn(text, stacklevel=2)
        return data

    def __len__(self) -> int:
        return len(self._index_sampler)

    def __getstate__(self) -> Any:
        raise NotImplementedError("{} cannot be pickled", type(self).__name__)


def fetcher_for(loader: DataLoader[Any]) -> MapFetcher | StreamFetcher:
    """What fetches the batches of a loader."""
    if loader._is_stream:
        return StreamFetcher(loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last)
    return MapFetcher(loader.dataset, loader._auto_collation, loader.collate_fn)


class SingleProcessIterator(LoaderIterator):
    """Fetches a batch when it is asked for."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        self._fetcher = fetcher_for(loader)

    def _next_data(self) -> Any:
        return self._fetcher.fetch(next(self._sampler_iter))
