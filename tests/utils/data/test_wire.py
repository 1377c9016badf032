"""What a worker sends arrives as it was, through shared memory or a pipe."""

import multiprocessing
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.utils.data._utils import wire


@pytest.fixture(params=["slot", "pipe"])
def link(request: pytest.FixtureRequest) -> Iterator[tuple[Connection, Connection, wire.Slot | None]]:
    ours, theirs = multiprocessing.Pipe()
    slot = wire.Slot() if request.param == "slot" else None
    yield ours, theirs, slot
    ours.close()
    theirs.close()
    if slot is not None:
        slot.close()


def through(link: tuple[Connection, Connection, wire.Slot | None], value: Any) -> Any:
    ours, theirs, slot = link
    sender = threading.Thread(target=wire.send, args=(theirs, value, slot))
    sender.start()
    found = wire.decode(wire.receive(ours, slot))
    sender.join()
    return found


TABLE = graphc.arange(600.0).reshape(20, 30)
TENSORS = [
    graphc.tensor(5),
    graphc.arange(6.0),
    graphc.empty(0, 3),
    graphc.ones(2, dtype=graphc.bfloat16),
    graphc.tensor([True, False]),
    graphc.ones(2, dtype=graphc.complex64),
    graphc.arange(6).reshape(2, 3).t(),
    graphc.zeros(3).expand(2, 3),
    TABLE[3],
    TABLE[2:4],
]


@pytest.mark.parametrize("tensor", TENSORS)
def test_a_tensor_keeps_its_form(link: Any, tensor: graphc.Tensor) -> None:
    found = through(link, tensor)
    assert (found.dtype, found.shape, found.stride()) == (tensor.dtype, tensor.shape, tensor.stride())
    assert bool((found == tensor).all())


def test_structure_and_attributes_arrive(link: Any) -> None:
    parameter = graphc.nn.Parameter(graphc.ones(2))
    value = {"a": [1, "x", None], "b": (np.arange(4), np.ones((2, 3)).T), "p": parameter, "l": list(range(1000))}
    found = through(link, value)
    assert (found["a"], found["l"]) == (value["a"], value["l"])
    assert [each.tolist() for each in found["b"]] == [each.tolist() for each in value["b"]]
    assert type(found["p"]) is graphc.nn.Parameter
    assert found["p"].requires_grad


def test_tensors_share_memory_as_before(link: Any) -> None:
    base = graphc.zeros(4)
    found, view = through(link, (base, base[:3]))
    found += 1
    assert view.tolist() == [1.0, 1.0, 1.0]


def test_of_a_view_only_what_it_shows_travels() -> None:
    data = graphc.zeros(1000, 1000)
    assert sum(part.size for part in wire.encode(data[3])) < 10_000
    assert sum(part.size for part in wire.encode(data[:, 3])) < 10_000


def test_messages_follow_each_other(link: Any) -> None:
    for size in (10, 100_000, 1, 2_000_000, 5):
        assert through(link, np.full(size, size)).tolist() == [size] * size
