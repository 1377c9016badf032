"""Samplers: which samples, in which order, in which batches."""

from collections import Counter
from collections.abc import Callable

import pytest

import graphc
from graphc.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


def seeded(seed: int) -> graphc.Generator:
    return graphc.Generator().manual_seed(seed)


def test_sequence() -> None:
    sampler = SequentialSampler("abc")
    assert (list(sampler), len(sampler)) == ([0, 1, 2], 3)


def test_random_order_has_every_sample_once_a_round() -> None:
    sampler = RandomSampler(range(10), num_samples=25)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 25
    assert sorted(drawn[:10]) == sorted(drawn[10:20]) == list(range(10))
    assert len(set(drawn[20:])) == 5
    assert drawn[:10] != drawn[10:20]


def test_random_order_is_uniform() -> None:
    sampler = RandomSampler(range(3), generator=seeded(0))
    orders = Counter(tuple(sampler) for _ in range(600))
    # Each of the six has 100 expected, with a standard deviation of 9.
    assert len(orders) == 6
    assert all(55 < count < 145 for count in orders.values())


def test_drawing_with_replacement_is_uniform() -> None:
    drawn = list(RandomSampler(range(4), replacement=True, num_samples=1000, generator=seeded(0)))
    counts = Counter(drawn)
    assert len(drawn) == 1000
    assert all(180 < counts[value] < 320 for value in range(4))  # 250 expected, standard deviation 14


def test_weights_are_frequencies() -> None:
    sampler = WeightedRandomSampler([1.0, 0.0, 3.0], 2000, generator=seeded(0))
    counts = Counter(sampler)
    assert sum(counts.values()) == len(sampler) == 2000
    assert counts[1] == 0
    assert 400 < counts[0] < 600  # 500 expected, standard deviation 19
    assert sorted(WeightedRandomSampler([1.0, 2.0, 3.0], 3, replacement=False)) == [0, 1, 2]


def test_subset_in_random_order() -> None:
    sampler = SubsetRandomSampler([5, 7, 9], generator=seeded(0))
    assert len(sampler) == 3
    assert {tuple(sampler) for _ in range(100)} == {
        (5, 7, 9), (5, 9, 7), (7, 5, 9), (7, 9, 5), (9, 5, 7), (9, 7, 5),
    }  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [
        lambda generator: RandomSampler(range(50), generator=generator),
        lambda generator: RandomSampler(range(50), True, generator=generator),
        lambda generator: SubsetRandomSampler(range(50), generator=generator),
        lambda generator: WeightedRandomSampler([1.0] * 50, 50, generator=generator),
    ],
)
def test_the_seed_decides_the_order(make: Callable[[graphc.Generator | None], Sampler[int]]) -> None:
    assert list(make(seeded(1))) == list(make(seeded(1))) != list(make(seeded(2)))
    graphc.manual_seed(3)
    first, second = list(make(None)), list(make(None))
    graphc.manual_seed(3)
    assert first == list(make(None)) != second


@pytest.mark.parametrize(
    ("size", "drop_last", "expected"),
    [
        (7, False, [[0, 1, 2], [3, 4, 5], [6]]),
        (7, True, [[0, 1, 2], [3, 4, 5]]),
        (6, False, [[0, 1, 2], [3, 4, 5]]),
        (6, True, [[0, 1, 2], [3, 4, 5]]),
        (2, True, []),
        (0, False, []),
    ],
)
def test_batches(size: int, drop_last: bool, expected: list[list[int]]) -> None:
    sampler = BatchSampler(SequentialSampler(range(size)), 3, drop_last)
    assert list(sampler) == expected
    assert len(sampler) == len(expected)
    assert list(BatchSampler(iter(range(size)), 3, drop_last)) == expected


def test_processes_share_out_one_order() -> None:
    assert [list(DistributedSampler(range(5), 3, rank, shuffle=False)) for rank in range(3)] == [[0, 3], [1, 4], [2, 0]]
    dropped = [DistributedSampler(range(5), 3, rank, shuffle=False, drop_last=True) for rank in range(3)]
    assert [list(sampler) for sampler in dropped] == [[0], [1], [2]]
    assert [len(sampler) for sampler in dropped] == [1, 1, 1]
    assert [list(DistributedSampler(range(1), 3, rank, shuffle=False)) for rank in range(3)] == [[0], [0], [0]]
    shuffled = [list(DistributedSampler(range(10), 2, rank, seed=4)) for rank in range(2)]
    assert sorted(shuffled[0] + shuffled[1]) == list(range(10))


def test_an_epoch_has_its_own_order() -> None:
    sampler = DistributedSampler(range(20), 1, 0)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first


WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: iter(Sampler()), NotImplementedError, ""),
    (lambda: RandomSampler([]), ValueError, "num_samples should be a positive integer value, but got num_samples=0"),
    (lambda: RandomSampler([1], num_samples=-1), ValueError, "but got num_samples=-1"),
    (lambda: RandomSampler([1], 1), TypeError, "replacement should be a boolean value, but got replacement=1"),
    (lambda: WeightedRandomSampler([1.0], 0), ValueError, "but got num_samples=0"),
    (lambda: WeightedRandomSampler([1.0], True), ValueError, "but got num_samples=True"),
    (
        lambda: WeightedRandomSampler([1.0], 1, 0),
        ValueError,
        "replacement should be a boolean value, but got replaceme",
    ),
    (lambda: WeightedRandomSampler([[1.0]], 1), ValueError, "1d sequence but given weights have shape (1, 1)"),
    (
        lambda: BatchSampler([1], 0, False),
        ValueError,
        "batch_size should be a positive integer value, but got batch_si",
    ),
    (lambda: BatchSampler([1], True, False), ValueError, "but got batch_size=True"),
    (lambda: BatchSampler([1], 1, 0), ValueError, "drop_last should be a boolean value, but got drop_last=0"),
    (lambda: len(BatchSampler(iter([1]), 1, False)), TypeError, "has no len()"),
    (lambda: DistributedSampler([1]), ValueError, "Default process group has not been initialized, please make sure"),
    (lambda: DistributedSampler([1], 2, 2), ValueError, "Invalid rank 2, rank should be in the interval [0, 1]"),
]


@pytest.mark.parametrize(("call", "kind", "text"), WRONG)
def test_what_does_not_fit_is_refused(call: Callable[[], object], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
