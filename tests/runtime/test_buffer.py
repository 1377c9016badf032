"""The store of blocks: alignment, reuse, limits, and what happens when there is no memory."""

from __future__ import annotations

import gc
import threading

import ml_dtypes
import numpy as np
import pytest

from graphc.ir.errors import GraphcError, MemoryExceeded
from graphc.runtime import buffer
from graphc.runtime.buffer import BufferStore, empty


@pytest.mark.parametrize(
    "nbytes", [0, 1, 63, 64, 65, 1000, 4096, 100_000, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 33 << 20]
)
def test_blocks_are_aligned_and_large_enough(nbytes: int) -> None:
    block = BufferStore().allocate(nbytes)
    assert block.address % 64 == 0
    assert (
        nbytes <= block.capacity <= max(64, nbytes + nbytes // 8 + 64, nbytes + (2 << 20) if nbytes >= 4 << 20 else 0)
    )
    assert block.address % (2 << 20) == 0 or nbytes < 4 << 20
    array = np.asarray(block)
    array[:] = 7
    assert array.nbytes == nbytes


@pytest.mark.parametrize("nbytes", [100, 5 << 20])
def test_memory_is_used_again(nbytes: int) -> None:
    store = BufferStore()
    first = store.allocate(nbytes)
    address = first.address
    second = store.allocate(nbytes)
    assert second.address != address
    del first
    third = store.allocate(nbytes - 10)  # nearly the same size shares blocks
    assert third.address == address
    assert (store.stats().fresh, store.stats().reused) == (2, 1)


def test_views_keep_the_block() -> None:
    array = empty((1024, 1024), np.dtype(np.float32))
    array[:] = 1
    view = array[1:3, ::2].T
    address = array.ctypes.data
    del array
    gc.collect()
    other = empty((1024, 1024), np.dtype(np.float32))
    assert other.ctypes.data != address
    other[:] = 2
    assert view.min() == view.max() == 1


def test_what_is_held_back_is_bounded() -> None:
    store = BufferStore(limit=10_000)
    blocks = [store.allocate(1024 * (1 + i % 3)) for i in range(30)]
    in_use = store.stats().in_use
    assert store.stats().peak == in_use
    del blocks
    stats = store.stats()
    assert stats.in_use == 0
    assert 0 < stats.kept <= 10_000
    store.release()
    assert store.stats().kept == 0


def test_the_sizes_used_longest_ago_are_freed_first() -> None:
    store = BufferStore(limit=5000)
    for nbytes in (1024, 2048, 1024, 2048, 4096):
        del_me = store.allocate(nbytes)
        del del_me
    assert store.stats().kept <= 5000
    assert store.allocate(4096).capacity == 4096
    assert store.stats().reused == 3


@pytest.mark.parametrize("nbytes", [1 << 50, 1 << 62, 1 << 63, 1 << 64, 1 << 200])
def test_too_many_bytes_are_the_users_error(nbytes: int) -> None:
    store = BufferStore()
    with pytest.raises(MemoryExceeded, match=f"no memory for {nbytes} bytes") as caught:
        store.allocate(nbytes)
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, GraphcError)
    assert store.allocate(100).capacity >= 100


@pytest.mark.parametrize("shape", [(1 << 40, 1 << 40), (1 << 62, 8), (1 << 50,), (0, 1 << 62, 1 << 62)])
def test_shapes_that_overflow_are_the_users_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(MemoryExceeded):
        empty(shape, np.dtype(np.float32))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (1024, 1025), (1 << 20,)])
@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.complex128, ml_dtypes.bfloat16, np.bool_])
def test_arrays_are_like_numpys(shape: tuple[int, ...], dtype: type) -> None:
    array = empty(shape, np.dtype(dtype))
    assert array.shape == shape
    assert array.dtype == np.dtype(dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.flags.aligned
    array[...] = 1
    assert np.all(array == np.ones((), dtype))


def test_memory_that_is_held_back_gives_way_to_a_request(run_child) -> None:
    output = run_child("""
        import pathlib, resource
        from graphc.ir.errors import MemoryExceeded
        from graphc.runtime.buffer import BufferStore
        store = BufferStore()
        blocks = [store.allocate(60 << 20) for _ in range(4)]
        del blocks
        used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20), resource.RLIM_INFINITY))
        block = store.allocate(150 << 20)  # fits only into what was held back
        assert store.stats().kept == 0
        try:
            store.allocate(1 << 30)
        except MemoryExceeded as error:
            print(error.message)
    """)
    assert output == f"there is no memory for {1 << 30} bytes (1.0 GiB)\n"


def test_threads_share_the_store() -> None:
    store = BufferStore()
    errors: list[str] = []

    def work(number: int) -> None:
        for i in range(300):
            block = store.allocate(64 * (1 + i % 5))
            array = np.asarray(block)
            array[:] = number
            if not np.all(array == number):
                errors.append(f"{number} {i}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.stats().in_use == 0


def test_a_block_that_comes_back_while_the_store_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector may free a block at any line of `allocate`, in the same thread."""
    store = BufferStore()
    doomed = [store.allocate(640)]
    original = buffer._system_memory

    def collect_meanwhile(capacity: int) -> tuple[object, int]:
        doomed.clear()
        return original(capacity)

    monkeypatch.setattr(buffer, "_system_memory", collect_meanwhile)
    block = store.allocate(6400)
    assert store.stats().in_use == block.capacity
    assert store.stats().kept == 640


def test_a_forked_child_can_allocate(run_child) -> None:
    output = run_child("""
        import os, threading, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of a fork with threads
        from graphc.runtime.buffer import allocate
        stop = False
        def work():
            while not stop:
                allocate(100)
        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                allocate(100)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop = True
        thread.join()
        print("done")
    """)
    assert output == "done\n"
