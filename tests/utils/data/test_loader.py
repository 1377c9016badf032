"""The loader in one process: batches, lengths, what it refuses and what it warns of."""

import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import graphc
from graphc.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler, TensorDataset

PAIRS = TensorDataset(graphc.arange(10.0).reshape(5, 2), graphc.arange(5))


class Stream(IterableDataset[int]):
    """Says that it has `claimed` samples."""

    def __init__(self, size: int, claimed: int | None = None) -> None:
        self.size = size
        self.claimed = claimed

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.size))

    def __len__(self) -> int:
        if self.claimed is None:
            raise TypeError("nobody knows")
        return self.claimed

    def __repr__(self) -> str:
        return "Stream()"


def numbers(loader: Any) -> list[Any]:
    return [batch[1].tolist() if isinstance(batch, list | tuple) else batch for batch in loader]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[0], [1], [2], [3], [4]]),
        ({"batch_size": 2}, [[0, 1], [2, 3], [4]]),
        ({"batch_size": 2, "drop_last": True}, [[0, 1], [2, 3]]),
        ({"batch_size": None}, [0, 1, 2, 3, 4]),
        ({"sampler": [3, 1, 2], "batch_size": 2}, [[3, 1], [2]]),
        ({"batch_sampler": [[0, 4], [2]]}, [[0, 4], [2]]),
        ({"batch_sampler": BatchSampler(SequentialSampler(range(3)), 2, False)}, [[0, 1], [2]]),
        ({"batch_size": None, "sampler": [[3, 1], [0]]}, [[3, 1], [0]]),
    ],
)
def test_batches_of_numbered_samples(options: dict[str, Any], expected: list[Any]) -> None:
    loader = DataLoader(PAIRS, **options)
    assert numbers(loader) == expected
    assert numbers(loader) == expected
    assert len(loader) == len(expected)


def test_batches_have_the_structure_of_samples() -> None:
    (batch,) = DataLoader(PAIRS, batch_size=5)
    assert type(batch) is list
    assert [(part.dtype, tuple(part.shape)) for part in batch] == [(graphc.float32, (5, 2)), (graphc.int64, (5,))]
    sample = next(iter(DataLoader([{"a": 1, "b": ("x", 2.0)}], batch_size=None)))
    assert sample == {"a": 1, "b": ["x", 2.0]}


def test_collating_by_a_function() -> None:
    loader = DataLoader(range(5), 2, collate_fn=lambda samples: tuple(samples))
    assert list(loader) == [(0, 1), (2, 3), (4,)]
    assert list(DataLoader(range(2), None, collate_fn=str)) == ["0", "1"]


def test_many_samples_at_once_where_the_dataset_can() -> None:
    class Many:
        def __len__(self) -> int:
            return 4

        def __getitems__(self, indices: list[int]) -> list[str]:
            return [f"{index} of {len(indices)}" for index in indices]

    assert list(DataLoader(Many(), 3)) == [["0 of 3", "1 of 3", "2 of 3"], ["3 of 1"]]


def test_shuffling_follows_the_seed() -> None:
    loader = DataLoader(range(30), 30, shuffle=True)
    graphc.manual_seed(1)
    first, second = (batch.tolist() for _ in range(2) for batch in loader)
    graphc.manual_seed(1)
    assert next(iter(loader)).tolist() == first != second
    assert sorted(first) == sorted(second) == list(range(30))
    own = graphc.Generator().manual_seed(5)
    orders = []
    for _ in range(2):
        own.manual_seed(5)
        orders.append([batch.tolist() for batch in DataLoader(range(30), 30, shuffle=True, generator=own)])
    assert orders[0] == orders[1] != [first]


@pytest.mark.parametrize(
    ("size", "batch_size", "drop_last", "expected"),
    [
        (5, 2, False, [[0, 1], [2, 3], [4]]),
        (5, 2, True, [[0, 1], [2, 3]]),
        (4, 2, False, [[0, 1], [2, 3]]),
        (0, 2, False, []),
        (3, None, False, [0, 1, 2]),
    ],
)
def test_batches_of_a_stream(size: int, batch_size: int | None, drop_last: bool, expected: list[Any]) -> None:
    loader = DataLoader(Stream(size, size), batch_size, drop_last=drop_last)
    assert len(loader) == len(expected)
    assert [batch.tolist() if batch_size else batch for batch in loader] == expected


def test_two_passes_at_once() -> None:
    loader = DataLoader(range(3), None)
    assert list(zip(loader, loader)) == [(0, 0), (1, 1), (2, 2)]


def test_a_finished_loader_keeps_what_others_follow_from() -> None:
    loader = DataLoader(PAIRS)
    for name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"):
        with pytest.raises(ValueError, match=f"{name} attribute should not be set after DataLoader is initialized"):
            setattr(loader, name, None)
    loader.collate_fn = len
    assert list(loader) == [1] * 5


START = "DataLoader with IterableDataset: expected unspecified"
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"num_workers": -1}, ValueError, "num_workers option should be non-negative; use num_workers=0 to disable multip"),
    ({"timeout": -1}, ValueError, "timeout option should be non-negative"),
    ({"prefetch_factor": 2}, ValueError, "prefetch_factor option could only be specified in multiprocessing.let num_w"),
    ({"prefetch_factor": -1, "num_workers": 1}, ValueError, "prefetch_factor option should be non-negative"),
    ({"persistent_workers": True}, ValueError, "persistent_workers option needs num_workers > 0"),
    ({"batch_size": 0}, ValueError, "batch_size should be a positive integer value, but got batch_size=0"),
    ({"batch_size": 2.5}, ValueError, "batch_size should be a positive integer value, but got batch_size=2.5"),
    ({"drop_last": 1}, ValueError, "drop_last should be a boolean value, but got drop_last=1"),
    (
        {"batch_size": None, "drop_last": True},
        ValueError,
        "batch_size=None option disables auto-batching and is mutually exclusive with drop_last",
    ),
    ({"sampler": [1], "shuffle": True}, ValueError, "sampler option is mutually exclusive with shuffle"),
    (
        {"batch_sampler": [[1]], "shuffle": True},
        ValueError,
        "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last",
    ),
    ({"batch_sampler": [[1]], "batch_size": 2}, ValueError, "batch_sampler option is mutually exclusive with batch_s"),
    ({"multiprocessing_context": "x", "num_workers": 1}, ValueError, "should specify a valid start method in ["),
    ({"multiprocessing_context": 5, "num_workers": 1}, TypeError, "should be a valid context object or a string"),
    ({"multiprocessing_context": "spawn"}, ValueError, "can only be used with multi-process loading (num_workers > 0)"),
    ({"workers": "fibre"}, ValueError, "workers option should be 'process' or 'thread', but got workers='fibre'"),
    ({"dataset": Stream(1), "shuffle": True}, ValueError, f"{START} shuffle option, but got shuffle=True"),
    ({"dataset": Stream(1), "sampler": [1]}, ValueError, f"{START} sampler option, but got sampler=[1]"),
    (
        {"dataset": Stream(1), "batch_sampler": []},
        ValueError,
        f"{START} batch_sampler option, but got batch_sampler=[]",
    ),
    ({"dataset": [], "shuffle": True}, ValueError, "num_samples should be a positive integer value, but got num_sampl"),
]


@pytest.mark.parametrize(("options", "kind", "text"), WRONG)
def test_options_that_do_not_go_together(options: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        DataLoader(**{"dataset": PAIRS, **options})
    assert text in str(caught.value)


LATER: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: iter(DataLoader(PAIRS, timeout=1)), AssertionError, "requires timeout == 0"),
    (lambda: len(DataLoader(Stream(1))), TypeError, "nobody knows"),
    (lambda: pickle.dumps(iter(DataLoader(PAIRS))), NotImplementedError, "cannot be pickled"),
]


@pytest.mark.parametrize(("call", "kind", "text"), LATER)
def test_what_is_found_when_it_is_used(call: Callable[[], object], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


def caught_warnings(call: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(each.filename == __file__ for each in caught)
    return [str(each.message) for each in caught]


def test_warnings() -> None:
    pinned = DataLoader(PAIRS, 5, pin_memory=True)
    assert caught_warnings(lambda: list(pinned)) == [
        "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used."
    ]
    stream = DataLoader(Stream(3, claimed=2))
    assert len(stream) == 2
    assert caught_warnings(lambda: list(stream)) == [
        "Length of IterableDataset Stream() was reported to be 2(when accessing len(dataloader)), but 3 samples have "
        "been fetched. "
    ]
    (text,) = caught_warnings(lambda: DataLoader(PAIRS, num_workers=10_000))
    assert text.startswith("This DataLoader will create 10000 worker processes in total. Our suggested max number of w")
    assert caught_warnings(lambda: DataLoader(PAIRS, num_workers=10_000, workers="thread")) == []
