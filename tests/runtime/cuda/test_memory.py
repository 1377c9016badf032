"""Memory of devices: what is used again, by whom, what it says of itself, and what happens where there is no more."""

from __future__ import annotations

import gc
import itertools
import random
import threading

import pytest

from graphc.ir.errors import ArgumentError, MemoryExceeded
from graphc.runtime.cuda import memory
from graphc.runtime.cuda.emulator import Emulator
from graphc.runtime.cuda.memory import Block, allocate, pool, size_text
from graphc.runtime.cuda.stream import new_stream, using_stream

MIB = 1 << 20


def test_freed_memory_is_used_again_at_once_on_its_stream(emulator: Emulator) -> None:
    stream = new_stream(0).handle
    first = allocate(1000, 0)
    address = first.address
    assert address % 512 == 0
    assert first.capacity == 1024
    del first
    assert allocate(1000, 0, stream).address != address, "another stream may come before the work of the first"
    assert allocate(1000, 0).address == address


def test_the_current_stream_is_meant(emulator: Emulator) -> None:
    stream = new_stream(0)
    with using_stream(stream):
        address = allocate(4096, 0).address
    assert allocate(4096, 0).address != address
    assert allocate(4096, 0, stream.handle).address == address


def test_memory_waits_for_streams_that_were_recorded(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    done = False
    events = set(emulator._events)
    monkeypatch.setattr(emulator, "is_event_done", lambda event: done)
    stream = new_stream(0).handle
    block = allocate(2048, 0)
    address = block.address
    block.record_stream(stream)
    block.record_stream(stream)
    del block
    assert allocate(2048, 0).address != address
    tallies = pool(0).tallies["all"]
    pool(0).settle()
    assert (tallies.active.count, tallies.allocated.count) == (1, 0)
    done = True
    pool(0).settle()
    assert tallies.active.count == 0
    assert set(emulator._events) == events, "its events are destroyed"


def test_pieces_are_cut_and_joined(emulator: Emulator) -> None:
    blocks = [allocate(256 << 10, 0) for _ in range(8)]  # 2 MiB in all: one piece
    assert pool(0).tallies["all"].reserved.count == 1
    del blocks[2:4]
    pool(0).settle()
    assert pool(0).tallies["all"].inactive_split.nbytes == 512 << 10
    assert allocate(512 << 10, 0).address == blocks[1].address + (256 << 10)
    blocks.clear()
    ((piece, chunks),) = pool(0).pieces()
    assert [chunk.nbytes for chunk in chunks] == [piece.nbytes] == [2 * MIB]


@pytest.mark.parametrize("nbytes, piece", [(MIB, 2 * MIB), (MIB + 1, 20 * MIB), (10 * MIB + 1, 12 * MIB)])
def test_sizes_of_pieces(emulator: Emulator, nbytes: int, piece: int) -> None:
    block = allocate(nbytes, 0)
    assert pool(0).tallies["all"].reserved.nbytes == piece
    assert block.capacity >= nbytes


def test_no_two_blocks_overlap(emulator: Emulator) -> None:
    choose = random.Random(5)
    blocks: list[Block] = []
    for _ in range(600):
        if blocks and choose.random() < 0.5:
            blocks.pop(choose.randrange(len(blocks)))
        else:
            blocks.append(allocate(choose.choice([1, 600, 70_000, MIB, 3 * MIB]), 0, choose.choice([0, 1])))
        if sum(block.capacity for block in blocks) > 16 * MIB:
            del blocks[::2]
        places = sorted((block.address, block.address + block.capacity) for block in blocks)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(places))
    held = sum(block.capacity for block in blocks)
    blocks.clear()
    tallies = pool(0).tallies
    pool(0).settle()
    assert tallies["all"].allocated.nbytes == tallies["all"].active.nbytes == 0
    assert tallies["all"].allocated.most_bytes >= held
    memory.empty_cache()
    for each in tallies.values():
        assert each.reserved.count == each.inactive_split.count == each.inactive_split.nbytes == 0
    assert emulator._memories[0].used == 0


def test_the_driver_gets_memory_back_when_its_work_is_done(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    real = emulator.free
    monkeypatch.setattr(emulator, "synchronize", lambda: done.append("wait"))
    monkeypatch.setattr(emulator, "free", lambda address: (done.append("free"), real(address)))
    memory.empty_cache()
    assert done == [], "nothing is free"
    del done[:]
    blocks = [allocate(MIB, 0), allocate(12 * MIB, 0)]
    blocks.clear()
    memory.empty_cache()
    assert done == ["wait", "free", "free"]


def test_threads_share_the_pool(emulator: Emulator) -> None:
    def work() -> None:
        for number in range(100):
            kept = [allocate(512 * (number % 7 + 1), 1, 0) for _ in range(3)]
            kept.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool(1).settle()
    assert pool(1).tallies["all"].allocated.count == 0
    assert pool(1).tallies["all"].allocated.come == 900


def test_out_of_memory_says_who_holds_what(emulator: Emulator) -> None:
    held = [allocate(12 * MIB, 1) for _ in range(3)]
    other = allocate(8 * MIB, 1)
    with pytest.raises(MemoryExceeded) as caught:
        allocate(20 * MIB, 1)
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 1 has a total capacity of 64.00 MiB of which 8.00 MiB is "
        "free. 44.00 MiB is allocated by tensors, and 12.00 MiB is reserved but unallocated."
    )
    assert lines[1] == "  what is held, the most first:"
    assert lines[2].startswith(f"    36.00 MiB in 3 blocks from {__file__}:")
    assert lines[2].endswith("held = [allocate(12 * MIB, 1) for _ in range(3)]")
    assert lines[3].startswith(f"    8.00 MiB in 1 block from {__file__}:")
    assert (pool(1).retries, pool(1).failures) == (1, 1)
    del held, other
    assert allocate(60 * MIB, 1).nbytes == 60 * MIB, "what is free goes back to the driver where that helps"


def test_arrays_in_cycles_give_way(emulator: Emulator) -> None:
    gc.collect()
    ring: list[object] = [allocate(40 * MIB, 0)]
    ring.append(ring)
    del ring
    assert allocate(40 * MIB, 0).nbytes == 40 * MIB


def test_what_goes_to_make_room_may_ask_for_memory_itself(emulator: Emulator) -> None:
    class Ring:
        def __init__(self) -> None:
            self.block = allocate(40 * MIB, 0)
            self.own = self

        def __del__(self) -> None:
            last.append(allocate(1, 0))

    last: list[Block] = []
    gc.collect()
    Ring()
    thread = threading.Thread(target=lambda: last.append(allocate(40 * MIB, 0)), daemon=True)
    thread.start()
    thread.join(10)
    assert [block.nbytes for block in last] == [1, 40 * MIB]
    last.clear()
    gc.collect()


def test_a_limit(emulator: Emulator) -> None:
    pool(0).limit = 4 * MIB
    with pytest.raises(MemoryExceeded, match=r"of which 64\.00 MiB is free\. 4\.00 MiB allowed;"):
        allocate(5 * MIB, 0)
    assert allocate(MIB, 0).nbytes == MIB


def test_a_limit_is_told_in_a_thread_that_has_used_no_device(emulator: Emulator) -> None:
    pool(0).limit = 4 * MIB
    told: list[str] = []

    def ask() -> None:
        with pytest.raises(MemoryExceeded) as caught:
            allocate(5 * MIB, 0)
        told.append(str(caught.value))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert "of which 64.00 MiB is free. 4.00 MiB allowed;" in told[0]


def test_a_negative_size(emulator: Emulator) -> None:
    with pytest.raises(ArgumentError, match="memory of -1 bytes is asked for"):
        allocate(-1, 0)


def test_sizes_in_words() -> None:
    assert [size_text(n) for n in (12, 2048, 20 << 20, 3 << 29)] == ["12 bytes", "2.00 KiB", "20.00 MiB", "1.50 GiB"]
