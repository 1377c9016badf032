"""Datasets by number and as streams, and how they are put together and split."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import graphc
from graphc.utils.data import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)


class Range(IterableDataset[int]):
    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.size))

    def __len__(self) -> int:
        return self.size


class Counting(Dataset[int]):
    """Counts how its samples are asked for."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def __getitem__(self, index: Any) -> int:
        self.calls.append(index)
        return index * 10

    def __getitems__(self, indices: list[int]) -> list[int]:
        self.calls.append(list(indices))
        return [index * 10 for index in indices]

    def __len__(self) -> int:
        return 5


def test_tensor_dataset_indexes_every_tensor() -> None:
    data = TensorDataset(graphc.arange(6).reshape(3, 2), graphc.arange(3))
    assert len(data) == 3
    assert [part.tolist() for part in data[1]] == [[2, 3], 1]
    assert [part.tolist() for part in data[-1]] == [[4, 5], 2]
    assert [part.tolist() for part in data[1:]] == [[[2, 3], [4, 5]], [1, 2]]
    assert [part.tolist() for part in data[[0, 2]]] == [[[0, 1], [4, 5]], [0, 2]]


def test_stacked_datasets_give_tuples_or_dicts() -> None:
    assert StackDataset([1, 2], [3, 4])[1] == (2, 4)
    named = StackDataset(a=[1, 2], b=[3, 4])
    assert named[1] == {"a": 2, "b": 4}
    assert named.__getitems__([1, 0]) == [{"a": 2, "b": 4}, {"a": 1, "b": 3}]
    counting = Counting()
    stacked = StackDataset(counting, range(5))
    assert stacked.__getitems__([2, 4]) == [(20, 2), (40, 4)]
    assert len(stacked) == 5
    assert counting.calls == [[2, 4]]

    class Forgetting(Counting):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return super().__getitems__(indices)[1:]

    with pytest.raises(ValueError, match=r"Nested dataset's output size mismatch\. Expected 2, got 1"):
        StackDataset(Forgetting(), range(5)).__getitems__([2, 4])


def test_concatenation_finds_the_dataset() -> None:
    joined = ConcatDataset([[1, 2], [], [3]])
    assert [joined[place] for place in (0, 1, 2, -1, -3)] == [1, 2, 3, 3, 1]
    assert len(joined) == 3
    assert joined.cumulative_sizes == [2, 2, 3]
    with pytest.raises(IndexError):
        joined[3]
    added = Counting() + Counting()
    assert isinstance(added, ConcatDataset)
    assert [added[4], added[5]] == [40, 0]
    with pytest.warns(FutureWarning, match="is renamed to `cumulative_sizes`"):
        assert joined.cummulative_sizes == [2, 2, 3]


def test_streams_are_chained() -> None:
    chained = Range(2) + Range(3)
    assert isinstance(chained, ChainDataset)
    assert list(chained) == [0, 1, 0, 1, 2]
    assert len(chained) == 5


def test_subset_asks_for_many_at_once_where_it_can() -> None:
    counting = Counting()
    subset = Subset(counting, [3, 1, 4])
    assert (subset[0], len(subset)) == (30, 3)
    assert subset.__getitems__([2, 0]) == [40, 30]
    assert counting.calls == [3, [4, 3]]
    assert Subset("abc", [2, 0]).__getitems__([1, 0]) == ["a", "c"]
    assert [part.tolist() for part in Subset(TensorDataset(graphc.arange(4)), [3, 1])[[1, 0]]] == [[1, 3]]


LENGTHS: list[tuple[int, list[float], list[int]]] = [
    (10, [3, 7], [3, 7]),
    (10, [0, 10], [0, 10]),
    (10, [0.5, 0.5], [5, 5]),
    (10, [0.33, 0.33, 0.34], [4, 3, 3]),
    (7, [0.5, 0.25, 0.25], [4, 2, 1]),
]


@pytest.mark.parametrize(("size", "lengths", "expected"), LENGTHS)
def test_split_has_the_lengths_and_loses_nothing(size: int, lengths: list[float], expected: list[int]) -> None:
    parts = random_split(range(size), lengths)
    assert [len(part) for part in parts] == expected
    assert sorted(sample for part in parts for sample in part) == list(range(size))


def test_split_follows_the_generator() -> None:
    first, again, other = (
        [list(part) for part in random_split(range(50), [20, 30], graphc.Generator().manual_seed(seed))]
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert [*first[0], *first[1]] != list(range(50))


def test_split_warns_of_an_empty_part() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parts = random_split(range(3), [0.1, 0.1, 0.8])
    assert [len(part) for part in parts] == [1, 0, 2]
    assert [str(each.message) for each in caught] == [
        "Length of split at index 1 is 0. This might result in an empty dataset."
    ]
    assert caught[0].filename == __file__


class _OneByOne(Subset[Any]):
    def __getitem__(self, idx: Any) -> Any:
        return idx


WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: Dataset()[0], NotImplementedError, "Subclasses of Dataset should implement __getitem__."),
    (lambda: TensorDataset(graphc.ones(2), graphc.ones(3)), AssertionError, "Size mismatch between tensors"),
    (lambda: StackDataset(), ValueError, "At least one dataset should be passed"),
    (lambda: StackDataset([1], a=[1]), ValueError, "but both types are given."),
    (lambda: StackDataset([1], [1, 2]), ValueError, "Size mismatch between datasets"),
    (lambda: ConcatDataset([]), AssertionError, "datasets should not be an empty iterable"),
    (lambda: ConcatDataset([Range(1)]), AssertionError, "ConcatDataset does not support IterableDataset"),
    (lambda: ConcatDataset([[1]])[-2], ValueError, "absolute value of index should not exceed dataset length"),
    (lambda: list(ChainDataset([[1]])), AssertionError, "ChainDataset only supports IterableDataset"),
    (lambda: len(ChainDataset([[1]])), AssertionError, "ChainDataset only supports IterableDataset"),
    (lambda: _OneByOne([1], [0]), NotImplementedError, "_OneByOne overrides __getitem__ but not __getitems__."),
    (lambda: random_split([1, 2], [3]), ValueError, "Sum of input lengths does not equal the length of the input"),
    (lambda: random_split([1, 2], [1.5, -0.5]), ValueError, "Fraction at index 0 is not between 0 and 1"),
    (lambda: random_split([1, 2], [1.0, 1.0]), TypeError, "randperm()"),
]


@pytest.mark.parametrize(("call", "kind", "text"), WRONG)
def test_what_does_not_fit_is_refused(call: Callable[[], object], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
