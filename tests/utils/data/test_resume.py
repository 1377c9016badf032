"""A loader's state, taken in the middle of an epoch: another loader gives the rest, with the same random choices."""

import copy
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    Sampler,
    WeightedRandomSampler,
    get_worker_info,
)

EPOCHS = 3
PLAIN: dict[str, Any] = {}
PROCESSES: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork"}
THREADS: dict[str, Any] = {"num_workers": 2, "workers": "thread"}


class Noisy:
    """Samples with noise of every kind."""

    def __len__(self) -> int:
        return 23

    def __getitem__(self, index: int) -> tuple[float, ...]:
        info = get_worker_info()
        if info is not None and info.rng is not None:
            own = info.rng
            noise = graphc.rand((), generator=own.torch_generator)
            return index, own.random_generator.random(), float(noise), own.numpy_generator.random()
        return index, random.random(), float(graphc.rand(())), np.random.rand()  # noqa: NPY002  # what users call


def share() -> range:
    info = get_worker_info()
    return range(31) if info is None else range(info.id, 31, info.num_workers)


class Forgetful(IterableDataset[Any]):
    """A stream that is shuffled in a buffer and tells no state."""

    def __iter__(self) -> Iterator[Any]:
        buffer = []
        for number in share():
            buffer.append(number)
            if len(buffer) == 4:
                yield buffer.pop(random.randrange(4)), random.random()
        yield from [(number, 0.0) for number in buffer]


class Stateful(IterableDataset[Any]):
    """A stream that tells its place, and can't be read twice."""

    def __init__(self) -> None:
        self.place = 0

    def __iter__(self) -> Iterator[Any]:
        numbers = share()
        while self.place < len(numbers):
            self.place += 1
            yield numbers[self.place - 1], random.random()
        self.place = 0

    def state_dict(self) -> dict[str, int]:
        return {"place": self.place}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.place = state["place"]


class StatefulIterator:
    def __init__(self) -> None:
        self.place = 0

    def __next__(self) -> Any:
        if self.place == 19:
            raise StopIteration
        self.place += 1
        return self.place, float(graphc.rand(()))

    state_dict, load_state_dict = Stateful.state_dict, Stateful.load_state_dict


class OfIterators(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return StatefulIterator()


class Shuffled(Sampler[int]):
    """A sampler of a user's, which draws from Python's generator."""

    def __iter__(self) -> Iterator[int]:
        order = list(range(23))
        random.shuffle(order)
        return iter(order)

    def __len__(self) -> int:
        return 23


class Counted(Sampler[int]):
    """A sampler that has an order for each epoch, and tells which epoch it is in."""

    def __init__(self) -> None:
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter([(place * self.epoch) % 23 for place in range(23)])

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch = state["epoch"]


def seeded() -> graphc.Generator:
    return graphc.Generator().manual_seed(3)


def _drawing_by_and_by(**options: Any) -> DataLoader[Any]:
    generator = seeded()
    return DataLoader(Noisy(), 4, sampler=RandomSampler(Noisy(), True, 100, generator), generator=generator, **options)


LOADERS: dict[str, Callable[..., DataLoader[Any]]] = {
    "shuffled": lambda **options: DataLoader(Noisy(), 4, shuffle=True, **options),
    "of a generator": lambda **options: DataLoader(Noisy(), 4, shuffle=True, generator=seeded(), **options),
    "drawn by and by": _drawing_by_and_by,
    "weighted": lambda **options: DataLoader(Noisy(), None, sampler=WeightedRandomSampler([1.0] * 23, 9), **options),
    "own sampler": lambda **options: DataLoader(Noisy(), 4, sampler=Shuffled(), **options),
    "own sampler with state": lambda **options: DataLoader(Noisy(), 4, sampler=Counted(), **options),
    "stream": lambda **options: DataLoader(Forgetful(), 3, **options),
    "stream with state": lambda **options: DataLoader(Stateful(), 3, **options),
    "iterator with state": lambda **options: DataLoader(OfIterators(), 3, **options),
}
CASES = [
    *[(name, PLAIN) for name in LOADERS],
    *[(name, PROCESSES) for name in LOADERS],
    *[(name, PROCESSES | {"persistent_workers": True}) for name in ("drawn by and by", "stream", "stream with state")],
    *[(name, THREADS) for name in ("shuffled", "drawn by and by")],
    ("shuffled", THREADS | {"persistent_workers": True}),
]


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # as above
    graphc.manual_seed(seed)


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("stop", [1, 4, None], ids=["first", "middle", "end"])
def test_the_rest_is_what_would_have_come(name: str, options: dict[str, Any], stop: int | None) -> None:
    make = LOADERS[name]
    seed_all(1)
    loader = make(**options)
    rest: list[str] = []
    state: Any = None
    for epoch in range(EPOCHS):
        for number, batch in enumerate(loader, 1):
            if state is not None:
                rest.append(str(batch))
            graphc.rand(1)  # what training draws besides
            if epoch == 1 and number == stop:
                state = pickle.dumps(loader.state_dict())
        if epoch == 1 and stop is None:
            state = pickle.dumps(loader.state_dict())

    seed_all(2)
    resumed = make(**options)
    resumed.load_state_dict(pickle.loads(state))
    found: list[str] = []
    for _ in range(EPOCHS - (2 if stop is None else 1)):
        for batch in resumed:
            found.append(str(batch))
            graphc.rand(1)
    assert found == rest
    assert len(found) > 5


def test_a_state_holds_plain_values_and_tensors() -> None:
    loader = LOADERS["stream with state"](**PROCESSES)
    iterator = iter(loader)
    next(iterator)
    waiting: list[Any] = [loader.state_dict()]
    while waiting:
        value = waiting.pop()
        assert type(value) in (dict, list, str, int, float, bool, type(None), graphc.Tensor)
        waiting += value.values() if type(value) is dict else value if type(value) is list else []


def test_a_state_before_the_first_epoch_and_one_that_was_loaded() -> None:
    graphc.manual_seed(1)
    loader = LOADERS["shuffled"]()
    state = copy.deepcopy(loader.state_dict())
    expected = str(list(loader))
    seed_all(5)
    loader.load_state_dict(state)
    assert str(loader.state_dict()) == str(state)
    assert str(list(loader))[:30] == expected[:30]


def test_a_state_may_be_taken_again_after_resuming() -> None:
    seed_all(1)
    loader = LOADERS["shuffled"]()
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    expected = [str(batch) for batch in iterator]
    for left in (5, 4, 3):
        assert len(expected) == left
        resumed = LOADERS["shuffled"]()
        resumed.load_state_dict(state)
        rest = iter(resumed)
        assert str(next(rest)) == expected.pop(0)
        state = resumed.state_dict()


def test_batches_out_of_order_are_neither_lost_nor_repeated() -> None:
    loader = DataLoader(range(40), None, in_order=False, **PROCESSES)
    iterator = iter(loader)
    first = [next(iterator) for _ in range(15)]
    state = loader.state_dict()
    del iterator
    resumed = DataLoader(range(40), None, in_order=False, **PROCESSES)
    resumed.load_state_dict(state)
    assert sorted([*first, *resumed]) == list(range(40))


def test_a_state_of_another_loader_is_refused() -> None:
    state = DataLoader(range(4)).state_dict()
    with pytest.raises(ValueError, match="the state is of a DataLoader with num_workers=0, this one has num_workers=2"):
        DataLoader(range(4), **PROCESSES).load_state_dict(state)
    with pytest.raises(ValueError, match="workers='process', this one has workers='thread'"):
        DataLoader(range(4), **THREADS).load_state_dict(DataLoader(range(4), **PROCESSES).state_dict())
    with pytest.raises(ValueError, match="this is no state of a DataLoader"):
        DataLoader(range(4)).load_state_dict({})
    state = DataLoader(range(4)).state_dict() | {"now": None}
    with pytest.raises(ValueError, match="the state of the DataLoader is damaged: "):
        DataLoader(range(4)).load_state_dict(state)
    loader = DataLoader(range(9))
    iterator = iter(loader)
    for _ in range(7):
        next(iterator)
    state = loader.state_dict()
    for damage in ({"positions": []}, {"yielded": "1"}, {"ahead": None}, {"start": {"random": None}}):
        with pytest.raises(ValueError, match="the state of the DataLoader is damaged: "):
            loader.load_state_dict(state | {"epoch": state["epoch"] | damage})
    shorter = DataLoader(range(4))
    shorter.load_state_dict(loader.state_dict())
    with pytest.raises(RuntimeError, match="is after batch 7, but its sampler ends after 4; was it taken with another"):
        iter(shorter)
