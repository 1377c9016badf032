"""Loading by workers: the same batches as without, whatever the workers are up to.

Nothing here is timed: where one worker must be behind another it waits for an event of the other.
"""

import faulthandler
import gc
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.utils.data import DataLoader, IterableDataset, TensorDataset, get_worker_info
from graphc.utils.data._utils import crew, wire

PROCESSES: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork"}
THREADS: dict[str, Any] = {"num_workers": 2, "workers": "thread"}
both = pytest.mark.parametrize("kind", [PROCESSES, THREADS], ids=["processes", "threads"])
MANY_SECONDS = 30
"""What is never waited for unless something is broken."""


class Computed:
    """Twelve samples that a function gives."""

    def __init__(self, function: Callable[[int], Any], size: int = 12) -> None:
        self.function = function
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        return self.function(index)


class Shared(IterableDataset[int]):
    """The numbers below 11, of which each worker gives its share."""

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        assert info is not None
        return iter(range(info.id, 11, info.num_workers))


@pytest.fixture(autouse=True)
def _nothing_stays_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(crew, "GRACE_SECONDS", 0.2)
    yield
    if multiprocessing.active_children() or _threads():
        gc.collect()  # errors keep the frames that they passed, and with them iterators
    assert multiprocessing.active_children() == []
    for thread in _threads():
        thread.join(MANY_SECONDS)
        assert not thread.is_alive()


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("DataLoader")]


def square(index: int) -> Any:
    return graphc.tensor([index, index * index]), {"name": str(index), "half": index / 2}


def as_text(batches: Any) -> str:
    return "\n".join(map(str, batches))


@both
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 5, "drop_last": True},
        {"batch_size": None},
        {"num_workers": 3, "prefetch_factor": 1},
        {"prefetch_factor": 10},
        {"persistent_workers": True},
        {"sampler": [3, 1, 3]},
    ],
)
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_batches_are_those_of_one_process(kind: dict[str, Any], options: dict[str, Any]) -> None:
    plain = {"batch_size": 2, **options}
    loader = DataLoader(Computed(square), **{**kind, **plain})
    for name in ("num_workers", "prefetch_factor", "persistent_workers"):
        plain.pop(name, None)
    expected = as_text(DataLoader(Computed(square), **plain))
    assert as_text(loader) == expected
    assert as_text(loader) == expected
    assert len(loader) == len(DataLoader(Computed(square), **plain))


@both
def test_no_samples(kind: dict[str, Any]) -> None:
    assert list(DataLoader([], **kind)) == []


@both
@pytest.mark.parametrize("is_persistent", [False, True])
def test_a_stream_is_shared_out(kind: dict[str, Any], is_persistent: bool) -> None:
    loader = DataLoader(Shared(), 2, persistent_workers=is_persistent, **kind)
    for _ in range(2):
        assert [batch.tolist() for batch in loader] == [[0, 2], [1, 3], [4, 6], [5, 7], [8, 10], [9]]


@pytest.mark.parametrize("method", [None, "spawn", "forkserver"])
def test_ways_to_start_a_process(method: str | None) -> None:
    data = TensorDataset(graphc.arange(6.0).reshape(3, 2), graphc.arange(3))
    loader = DataLoader(data, 2, num_workers=1, multiprocessing_context=method)
    assert as_text(loader) == as_text(DataLoader(data, 2))


def test_arrays_of_growing_size_arrive_whole() -> None:
    sizes = [1, 0, 100_000, 3, 1_000_000, 2, 7, 300_000]
    data = Computed(lambda index: graphc.full((sizes[index],), index, dtype=graphc.int16), len(sizes))
    for index, found in enumerate(DataLoader(data, None, prefetch_factor=1, **PROCESSES)):
        assert found.shape == (sizes[index],)
        assert bool((found == index).all())


def test_batches_have_memory_of_their_own() -> None:
    batches = list(DataLoader(Computed(lambda index: graphc.tensor(float(index))), 2, **PROCESSES))
    for batch in batches:
        batch += 100.0
    assert [batch.tolist() for batch in batches] == [[100.0 + i, 101.0 + i] for i in range(0, 12, 2)]


# Order


def _events(kind: dict[str, Any]) -> Any:
    return threading.Event() if kind is THREADS else multiprocessing.get_context("fork").Event()


@both
def test_a_slow_worker_does_not_change_the_order(kind: dict[str, Any]) -> None:
    others_are_done = _events(kind)

    def sample(index: int) -> int:
        if index == 3:
            others_are_done.set()
        if index == 0:
            assert others_are_done.wait(MANY_SECONDS)
        return index

    assert [int(batch) for batch in DataLoader(Computed(sample), **kind)] == list(range(12))


@both
def test_without_order_the_first_ready_comes_first(kind: dict[str, Any]) -> None:
    others_are_out = _events(kind)

    def sample(index: int) -> int:
        if index == 0:
            assert others_are_out.wait(MANY_SECONDS)
        return index

    found = []
    for batch in DataLoader(Computed(sample), in_order=False, **kind):
        found.append(int(batch))
        if len(found) == 5:
            others_are_out.set()
    assert found.index(0) >= 5
    assert sorted(found) == list(range(12))


# Random numbers and identity


def _draws(index: int) -> Any:
    return random.random(), graphc.rand(()), np.random.rand(), get_worker_info().seed  # noqa: NPY002  # what users call


def test_worker_processes_are_seeded_by_the_epoch() -> None:
    def epoch(seed: int) -> list[list[Any]]:
        generator = graphc.Generator().manual_seed(seed)
        loader = DataLoader(Computed(_draws, 4), None, generator=generator, **PROCESSES)
        return [[float(each) for each in sample] for sample in loader]

    first = epoch(1)
    assert first == epoch(1)
    assert first[1][3] == first[0][3] + 1
    assert first[0][3] == first[2][3]
    numbers = [value for sample in [*first, *epoch(2)] for value in sample[:3]]
    assert len(set(numbers)) == len(numbers)


def test_worker_threads_have_generators_of_their_own() -> None:
    def draw(index: int) -> tuple[float, ...]:
        own = get_worker_info().rng
        return (
            own.random_generator.random(),
            float(graphc.rand((), generator=own.torch_generator)),
            own.numpy_generator.random(),
        )

    def epoch(seed: int) -> list[Any]:
        return list(DataLoader(Computed(draw), None, generator=graphc.Generator().manual_seed(seed), **THREADS))

    assert epoch(1) == epoch(1)
    numbers = [value for sample in [*epoch(1), *epoch(2)] for value in sample]
    assert len(set(numbers)) == len(numbers)


@both
def test_a_worker_knows_who_it_is(kind: dict[str, Any]) -> None:
    def who(index: int) -> tuple[Any, ...]:
        info = get_worker_info()
        return info.id, info.num_workers, info.dataset.size, info.worker_method, prepared[0]

    prepared: list[int] = []

    def prepare(worker: int) -> None:
        assert get_worker_info().id == worker
        prepared.append(5)

    method = "thread" if kind is THREADS else "multiprocessing"
    found = list(DataLoader(Computed(who, 4), None, collate_fn=tuple, worker_init_fn=prepare, **kind))
    assert found == [(worker, 2, 4, method, 5) for worker in (0, 1, 0, 1)]
    assert get_worker_info() is None


def test_worker_processes_compute_with_one_thread() -> None:
    assert list(DataLoader(Computed(lambda index: graphc.get_num_threads(), 2), None, **PROCESSES)) == [1, 1]


# Errors


class Unusual(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def _local_error() -> Exception:
    class Local(Exception):
        pass

    return Local("boom")


ERRORS: list[tuple[Callable[[], Exception], type[Exception], str]] = [
    (lambda: ValueError("boom"), ValueError, "ValueError"),
    (lambda: KeyError("boom"), KeyError, "KeyError"),
    (lambda: Unusual("boom", ""), RuntimeError, "Unusual"),
    (lambda: UnicodeDecodeError("x", b"", 0, 1, "boom"), RuntimeError, "UnicodeDecodeError"),
]


@both
@pytest.mark.parametrize(("make", "kind_of_error", "name"), ERRORS)
def test_an_error_comes_with_its_traceback_and_ends_nothing(
    kind: dict[str, Any], make: Callable[[], Exception], kind_of_error: type[Exception], name: str
) -> None:
    def sample(index: int) -> int:
        if index == 3:
            raise make()
        return index

    batches = iter(DataLoader(Computed(sample), 2, **kind))
    assert next(batches).tolist() == [0, 1]
    with pytest.raises(kind_of_error) as caught:
        next(batches)
    assert type(caught.value) is kind_of_error
    what = "process" if kind is PROCESSES else "thread"
    lines = str(caught.value).splitlines()
    assert lines[0] == f"Caught {name} in DataLoader worker {what} 1."
    assert lines[1] == "Original Traceback (most recent call last):"
    assert any("raise make()" in line for line in lines)
    assert "boom" in lines[-1]
    assert next(batches).tolist() == [4, 5]
    del batches


def test_an_error_type_that_only_the_worker_has() -> None:
    def sample(index: int) -> int:
        raise _local_error()

    with pytest.raises(RuntimeError, match=r"Caught Local in DataLoader worker process 0\."):
        next(iter(DataLoader(Computed(sample), **PROCESSES)))


@both
def test_an_error_while_a_worker_gets_ready(kind: dict[str, Any]) -> None:
    def prepare(worker: int) -> None:
        raise ZeroDivisionError("not ready")

    with pytest.raises(ZeroDivisionError, match="not ready"):
        next(iter(DataLoader(Computed(square), worker_init_fn=prepare, **kind)))


def test_a_batch_that_cannot_leave_its_process() -> None:
    with pytest.raises((AttributeError, TypeError), match="in DataLoader worker process 0"):
        next(iter(DataLoader(Computed(lambda index: lambda: index), None, **PROCESSES)))
    tensor = graphc.ones(1, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"):
        next(iter(DataLoader(Computed(lambda index: tensor), None, **PROCESSES)))


def test_an_exit_in_a_thread_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="Caught SystemExit in DataLoader worker thread 0"):
        next(iter(DataLoader(Computed(lambda index: sys.exit(3)), **THREADS)))


DEATHS: list[tuple[Callable[[], object], str]] = [
    (lambda: os.kill(os.getpid(), signal.SIGKILL), "is killed by signal: Killed. "),
    (lambda: os.kill(os.getpid(), signal.SIGSEGV), "is killed by signal: Segmentation fault. "),
    (lambda: os._exit(3), "exited unexpectedly with exit code 3. "),
    (lambda: os._exit(0), "exited unexpectedly with exit code 0. "),
    (lambda: sys.exit(4), "exited unexpectedly with exit code 4. "),
]


@pytest.mark.parametrize(("die", "cause"), DEATHS)
@pytest.mark.parametrize("in_order", [True, False])
def test_a_dying_worker_is_told_of(die: Callable[[], object], cause: str, in_order: bool) -> None:
    def sample(index: int) -> int:
        if index == 5:
            faulthandler.disable()  # pytest's would write to the terminal what is wanted here
            die()
        return index

    with pytest.raises(RuntimeError, match=r"^DataLoader worker \(pid\(s\) [\d, ]+\) exited unexpectedly$") as caught:
        list(DataLoader(Computed(sample), in_order=in_order, **PROCESSES))
    assert cause in str(caught.value.__cause__)


def test_a_worker_that_dies_at_once_is_told_of() -> None:
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(DataLoader(Computed(square), worker_init_fn=lambda worker: os._exit(1), **PROCESSES))


def test_a_death_is_told_of_where_a_batch_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where a worker gets its tasks, though that may be what finds it dead."""
    start = crew.ProcessCrew._start

    def start_and_wait(self: Any, *args: Any) -> None:
        start(self, *args)
        self._processes[-1].join(MANY_SECONDS)

    monkeypatch.setattr(crew.ProcessCrew, "_start", start_and_wait)
    batches = iter(DataLoader(range(9), worker_init_fn=lambda worker: os._exit(1), **PROCESSES))
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        next(batches)


def test_a_loader_goes_on_after_a_death() -> None:
    is_deadly = multiprocessing.get_context("fork").Value("b", True)

    def sample(index: int) -> int:
        if is_deadly.value:
            os._exit(1)
        return index

    loader = DataLoader(Computed(sample, 3), None, persistent_workers=True, **PROCESSES)
    batches = iter(loader)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="exited unexpectedly"):
            next(batches)
    is_deadly.value = False
    assert list(loader) == [0, 1, 2]


@both
def test_a_batch_that_takes_too_long(kind: dict[str, Any]) -> None:
    never = _events(kind)

    def sample(index: int) -> int:
        if index == 2:
            never.wait(MANY_SECONDS)
        return index

    loader = DataLoader(Computed(sample), timeout=0.5, **kind)
    try:
        with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 0\.5 seconds$"):
            list(loader)
    finally:
        if kind is THREADS:  # which can't be ended from outside
            never.set()


def test_an_index_that_cannot_be_sent() -> None:
    indices = [0, 1, 2, 3, lambda: 4, 5]
    batches = iter(DataLoader(Computed(lambda index: index), None, sampler=indices, prefetch_factor=1, **PROCESSES))
    found: list[Any] = []
    for _ in range(5):
        try:
            found.append(next(batches))
        except (AttributeError, TypeError, pickle.PicklingError):
            found.append("an error")
    assert found == [0, 1, "an error", 3, 5]


@pytest.mark.parametrize("at", ["send", "receive"])
@pytest.mark.parametrize("is_persistent", [False, True])
def test_an_interruption_within_a_batch(monkeypatch: pytest.MonkeyPatch, at: str, is_persistent: bool) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    loader = DataLoader(range(6), None, persistent_workers=is_persistent, **PROCESSES)
    batches = iter(loader)
    assert next(batches) == 0
    holder = connection.Connection if at == "send" else wire
    with monkeypatch.context() as patch:
        patch.setattr(holder, at, interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(batches)
    with pytest.raises(RuntimeError, match="DataLoader was interrupted while it spoke with a worker: begin a new pass"):
        next(batches)
    assert list(loader) == list(range(6))


# The end


@both
@pytest.mark.parametrize("is_persistent", [False, True])
def test_a_pass_may_be_left_in_the_middle(kind: dict[str, Any], is_persistent: bool) -> None:
    loader = DataLoader(Computed(lambda index: index), persistent_workers=is_persistent, **kind)
    for _ in range(3):
        for batch in loader:
            assert int(batch) == 0
            break
    assert [int(batch) for batch in loader] == list(range(12))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="nothing tells which files are open")
def test_workers_leave_no_open_files() -> None:
    counts = []
    for _ in range(3):
        for _ in DataLoader(Computed(square), **PROCESSES):
            break
        with pytest.raises(RuntimeError, match="exited unexpectedly"):
            list(DataLoader(Computed(lambda index: os._exit(1)), **PROCESSES))
        gc.collect()
        counts.append(len(os.listdir("/proc/self/fd")))
    assert len(set(counts)) == 1


def test_persistent_workers_stay() -> None:
    loader = DataLoader(Computed(lambda index: os.getpid(), 2), None, persistent_workers=True, **PROCESSES)
    assert list(loader) == list(loader)


def run(program: str) -> str:
    """What a program writes; it is at its end when all that hold its output are."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=MANY_SECONDS, check=False
    )
    assert done.stderr == ""
    return done.stdout


HEAD = """
import os, signal
from graphc.utils.data import DataLoader
loader = DataLoader(range(100), num_workers=2, multiprocessing_context="fork", persistent_workers={persistent})
batches = iter(loader)
print(int(next(batches)), flush=True)
"""


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_end_with_the_program(persistent: bool) -> None:
    assert run(HEAD.format(persistent=persistent)) == "0\n"


def test_workers_end_when_the_program_is_killed() -> None:
    assert run(HEAD.format(persistent=False) + "os.kill(os.getpid(), signal.SIGKILL)") == "0\n"
