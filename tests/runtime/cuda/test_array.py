"""Arrays of devices: views, copies with any strides, and what the host must not do with them."""

from __future__ import annotations

import copy as copies
import itertools
import pickle
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphc.ir.errors import ArgumentError, MemoryExceeded, ShapeError
from graphc.kernel.gpu import parse_target
from graphc.runtime.cuda import array as device_array
from graphc.runtime.cuda import memory
from graphc.runtime.cuda import strided as strided_copies
from graphc.runtime.cuda.array import DeviceArray, copy, empty, from_host, strided, to_host
from graphc.runtime.cuda.emulator import Emulator
from graphc.runtime.cuda.pinned import _in_flight, keep_until_done
from graphc.runtime.cuda.stream import Stream
from graphc.runtime.cuda.strided import Axis, Form, copy_kernel, plan
from tests.codegen.gpu.assembler import compiled
from tests.runtime.conftest import RunChild

AnyArray = np.ndarray[Any, np.dtype[Any]]


def numbers(*shape: int, dtype: Any = np.float32) -> AnyArray:
    return np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)


VIEWS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda x: x,
    "row": lambda x: x[1],
    "slices": lambda x: x[1:, ::2, 1:3],
    "backwards": lambda x: x[:, ::-1, ::-2],
    "transposed": lambda x: x.T,
    "swapped": lambda x: x.swapaxes(0, 1),
    "moved": lambda x: np.moveaxis(x, 0, 2),
    "broadcast": lambda x: np.broadcast_to(x[0, 0], (2, 3, x.shape[2])),
    "new axis": lambda x: x[:, None, ..., 2],
    "reshaped": lambda x: x.transpose(1, 0, 2).reshape(3, -1),
    "flattened": lambda x: x.T.ravel(),
    "element": lambda x: x[1, 2, 3],
    "nothing": lambda x: x[:0],
    "diagonal": lambda x: np.diagonal(x, axis1=0, axis2=1),
    "split": lambda x: np.split(x, 2, axis=2)[1],
}


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_numpys(emulator: Emulator, view: str) -> None:
    x = numbers(2, 3, 4)
    given = VIEWS[view](from_host(x, 1))
    assert isinstance(given, DeviceArray)
    assert given.device == 1
    np.testing.assert_array_equal(to_host(given), VIEWS[view](x), strict=True)


@pytest.mark.parametrize("target", ["slices", "backwards", "transposed", "swapped", "row"])
@pytest.mark.parametrize("dtype", ["i1", "f2", "f4", "c8", "c16", ml_dtypes.bfloat16], ids=str)
def test_copies_between_any_strides(emulator: Emulator, target: str, dtype: Any) -> None:
    x = numbers(2, 3, 4, dtype=dtype)
    on_device = from_host(x, 0)
    part = VIEWS[target](x)
    values = numbers(*part.shape[::-1], dtype=dtype)[::-1].T[..., ::-1]
    copy(VIEWS[target](on_device), from_host(values, 0))
    part[...] = values
    np.testing.assert_array_equal(to_host(on_device), x, strict=True)
    copy(VIEWS[target](on_device), from_host(values[..., ::-1].copy().T, 0).T[..., ::-1])
    np.testing.assert_array_equal(to_host(on_device), x, strict=True)


def test_one_kernel_serves_all_sizes(emulator: Emulator) -> None:
    for rows, columns in ((5, 7), (33, 4), (2, 300)):
        x = numbers(rows, columns)
        np.testing.assert_array_equal(to_host(from_host(x, 0).T), x.T)
        known = len(strided_copies._entries)
        np.testing.assert_array_equal(to_host(from_host(x.repeat(2, 0), 0).T), x.repeat(2, 0).T)
        assert len(strided_copies._entries) == known


def test_unaligned_elements(emulator: Emulator) -> None:
    x = np.arange(64, dtype=np.uint8)
    on_device = from_host(x, 0)
    for start, step in ((1, 3), (2, 6), (3, 4), (4, 8)):
        given = strided(on_device[start : start + 4].view(np.int32), (5,), (step,))
        wanted = np.ndarray((5,), np.int32, x.data, start, (step,))
        np.testing.assert_array_equal(to_host(given), wanted)


def test_overlapping_copies(emulator: Emulator) -> None:
    x = numbers(6, 4)
    on_device = from_host(x, 0)
    on_device[1:] = on_device[:-1]
    x[1:] = x[:-1].copy()
    np.testing.assert_array_equal(to_host(on_device), x)
    on_device[:, ::-1] = on_device
    x[:, ::-1] = x.copy()
    np.testing.assert_array_equal(to_host(on_device), x)
    launches = emulator.launches
    on_device[...] = on_device
    assert emulator.launches == launches, "an array is not copied onto itself"


@pytest.mark.parametrize("value", [0.0, 7.0, float("nan")])
def test_fill(emulator: Emulator, value: float) -> None:
    on_device = empty((3, 5), np.float32, 0)
    before = emulator.launches
    on_device.fill(value)
    assert emulator.launches == before, "the driver fills what lies in one stretch"
    np.testing.assert_array_equal(to_host(on_device), np.full((3, 5), value, np.float32))
    on_device[:, 1::2] = 2
    wanted = np.full((3, 5), value, np.float32)
    wanted[:, 1::2] = 2
    np.testing.assert_array_equal(to_host(on_device), wanted)


def test_fill_with_eight_bytes(emulator: Emulator) -> None:
    on_device = empty((4, 3), np.int64, 0)
    on_device[...] = 1 << 40
    assert to_host(on_device).tolist() == [[1 << 40] * 3] * 4


def test_between_devices(emulator: Emulator) -> None:
    x = numbers(3, 4)
    target = empty((4, 3), np.float32, 1)
    copy(target.T, from_host(x, 0))
    np.testing.assert_array_equal(to_host(target), x.T)
    copy(target, from_host(x.T.copy(), 0))
    np.testing.assert_array_equal(to_host(target), x.T)


def test_to_and_from_strided_arrays_of_the_host(emulator: Emulator) -> None:
    x = numbers(4, 6)
    on_device = from_host(x[::2, ::-1], 0)
    np.testing.assert_array_equal(to_host(on_device), x[::2, ::-1])
    target = np.zeros((6, 4), np.float32)
    copy(target.T[1:3], on_device[:, ::-1])
    np.testing.assert_array_equal(target.T[1:3], x[::2])
    copy(on_device[:, 1:3], x[:2, 4:])
    np.testing.assert_array_equal(to_host(on_device)[:, 1:3], x[:2, 4:])


def pinned(emulator: Emulator, values: AnyArray) -> AnyArray:
    emulator.activate(0)
    place = emulator._pinned[emulator.allocate_pinned(values.nbytes)].view(values.dtype).reshape(values.shape)
    place[...] = values
    return place


def test_the_host_waits_for_copies_but_of_pinned_memory(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr(emulator, "synchronize_stream", waits.append)
    host = pinned(emulator, numbers(6))
    assert emulator.is_pinned(device_array.address_of(host[3:]))
    assert not emulator.is_pinned(device_array.address_of(numbers(6)))
    on_device = from_host(host, 0)
    assert len(waits) == 1
    from_host(host, 0, non_blocking=True)
    copy(host, on_device, non_blocking=True)
    assert len(waits) == 1
    from_host(numbers(6), 0, non_blocking=True)
    assert len(waits) == 2, "the driver may read other memory for longer than the array lives"
    copy(host[::2], on_device[::2], non_blocking=True)
    assert len(waits) == 3, "what is not contiguous goes by way of other memory"
    copy(host, on_device)
    copy(numbers(6), on_device, non_blocking=True)
    assert len(waits) == 5


def test_pinned_memory_is_held_while_a_copy_is_under_way(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    host = pinned(emulator, numbers(6))[1:]
    monkeypatch.setattr(emulator, "is_event_done", lambda event: False)
    before = sys.getrefcount(host)
    from_host(host, 0, non_blocking=True)
    assert sys.getrefcount(host) == before + 1
    monkeypatch.undo()
    from_host(pinned(emulator, numbers(3)), 0, non_blocking=True)
    assert sys.getrefcount(host) == before


def test_of_two_threads_neither_lets_go_what_is_under_way(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    _in_flight.clear()
    monkeypatch.setattr(emulator, "is_event_done", lambda event: False)
    for thing in ("done", "under way"):
        keep_until_done(thing, Stream(0))
    first, both = _in_flight[0][0].handle, threading.Barrier(2, timeout=0.05)

    def is_done(event: int) -> bool:
        if event == first:
            with suppress(threading.BrokenBarrierError):  # if both threads ask, both ask before either goes on
                both.wait()
        return event == first

    monkeypatch.setattr(emulator, "is_event_done", is_done)
    threads = [threading.Thread(target=keep_until_done, args=("new", Stream(0))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [thing for _, thing in _in_flight]
    _in_flight.clear()
    assert kept == ["under way", "new", "new"]


def test_memory_lives_as_long_as_a_view(emulator: Emulator) -> None:
    view = from_host(numbers(1000), 0)[10:].reshape(-1, 2)[::3]
    assert memory.pool(0).tallies["all"].allocated.nbytes == 4096
    others = [empty((1000,), np.float32, 0) for _ in range(4)]
    for each in others:
        each.fill(0)
    np.testing.assert_array_equal(to_host(view), numbers(1000)[10:].reshape(-1, 2)[::3])
    del view
    memory.pool(0).settle()
    assert memory.pool(0).tallies["all"].allocated.nbytes == 4 * 4096


def test_what_comes_to_the_host(emulator: Emulator) -> None:
    x = from_host(np.array([[1.5, 2.0]], np.float32), 0)
    assert x.tolist() == [[1.5, 2.0]]
    assert x[0, 1].item() == 2.0
    assert x.item(0, 0) == 1.5
    assert x.tobytes() == np.array([1.5, 2.0], np.float32).tobytes()
    assert (float(x[0, 0]), int(x[0, 1]), complex(x[0, 0]), bool(x[0, 0])) == (1.5, 2, 1.5 + 0j, True)
    assert 2.0 in x
    assert [each.item() for each in x[0]] == [1.5, 2.0]
    assert repr(x) == str(x) == f"{x}" == "DeviceArray(shape=(1, 2), dtype=float32, device=0)"
    assert [0, 10][from_host(np.array(1), 0)] == 10
    for again in (copies.copy(x), copies.deepcopy(x), pickle.loads(pickle.dumps(x)), x.astype("f4"), x.flatten()):
        assert isinstance(again, DeviceArray)
        assert again.device == 0
        x[0, 0] = 3
        assert again.reshape(-1)[0].item() == 1.5
        x[0, 0] = 1.5


TOUCHING: dict[str, Callable[[DeviceArray], Any]] = {
    "numpy.add": lambda x: x + 1,
    "numpy.multiply": lambda x: np.float32(2) * x,
    "numpy.equal": lambda x: x == x,
    "numpy.exp": lambda x: np.exp(x),
    "numpy.sum": lambda x: np.sum(x),
    "numpy.concatenate": lambda x: np.concatenate([x, x]),
    "numpy.where": lambda x: np.where(x, 1, 2),
    "numpy.array_equal": lambda x: np.array_equal(x, x),
    "an index that gathers elements": lambda x: x[[0, 1]],
    "sum": lambda x: x.sum(),
    "sort": lambda x: x.sort(),
    "argmax": lambda x: x.argmax(),
    "take": lambda x: x.take([0]),
    "nonzero": lambda x: x.nonzero(),
    "dumps": lambda x: x.dumps(),
    "flat": lambda x: x.flat[0],
    "__dlpack__": lambda x: x.__dlpack__(),
    "astype with another dtype": lambda x: x.astype("i4"),
    "an order 'F'": lambda x: x.reshape(2, order="F"),
}


@pytest.mark.parametrize("name", TOUCHING)
def test_the_host_does_not_touch_elements(emulator: Emulator, name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        TOUCHING[name](from_host(numbers(2), 0))
    assert caught.value.message == f"{name} needs the elements of an array that is on a GPU"


def test_copies_of_other_shapes_and_dtypes(emulator: Emulator) -> None:
    x = from_host(numbers(2, 3), 0)
    with pytest.raises(ShapeError, match=r"of shape \(3,\) is copied into one of shape \(2, 3\)"):
        copy(x, numbers(3))
    with pytest.raises(ArgumentError, match="of int64 is copied into one of float32"):
        copy(x, numbers(2, 3, dtype=np.int64))
    with pytest.raises(ShapeError, match=r"an array of 6 elements has no shape \(4, -1\)"):
        x.reshape(4, -1)
    with pytest.raises(ValueError, match="Unable to avoid creating a copy"):
        x.T.reshape(6, copy=False)
    with pytest.raises(MemoryExceeded, match="their product overflows"):
        empty((0, 1 << 62, 1 << 62), np.float64, 0)


def test_arrays_without_elements(emulator: Emulator) -> None:
    x = from_host(numbers(2, 0, 3), 0)
    assert (x.shape, x.device, to_host(x.reshape(0, 6)).shape) == ((2, 0, 3), 0, (0, 6))
    x[...] = 1
    copy(x, x)
    assert strided(x, (0,), (4,)).shape == (0,)


def test_parts_of_complex_numbers(emulator: Emulator) -> None:
    x = numbers(2, 3, dtype=np.complex64) * np.complex64(1 + 2j)
    on_device = from_host(x, 0)
    np.testing.assert_array_equal(to_host(on_device.imag.T), x.imag.T)
    on_device.real = from_host(numbers(2, 3), 0)
    on_device.imag = 4
    np.testing.assert_array_equal(to_host(on_device), numbers(2, 3) + np.complex64(4j))
    assert to_host(on_device.real.imag).tolist() == [[0.0] * 3] * 2


def test_memory_of_others(emulator: Emulator) -> None:
    x = from_host(numbers(12), 1)
    borrowed = device_array.at(device_array.address_of(x) + 16, (2, 4), np.float32, 1)
    assert borrowed.device == 1
    np.testing.assert_array_equal(to_host(borrowed.T), numbers(12)[4:].reshape(2, 4).T)


@pytest.mark.skipif(sys.platform == "win32", reason="memory that nobody may touch is of POSIX")
def test_addresses_are_out_of_the_hosts_reach(run_child: RunChild) -> None:
    source = """
    import os
    import numpy as np
    from graphc.runtime.cuda.array import from_host

    x = from_host(np.ones(3), 0)
    child = os.fork()
    if child == 0:
        os.close(2)
        np.array(x)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert int(run_child(source, GRAPHC_CUDA_DRIVER="emulator:16MiB")) in (-11, -10)


def test_copy_kernels_are_accepted_by_the_assembler() -> None:
    forms = [
        Form(rank, width, to, start, (False,) * (rank - 1) + (is_reversed,))
        for rank, width in ((1, 1), (2, 4), (3, 8), (5, 2))
        for to, start, is_reversed in ((rank - 1, -1, False), (rank - 1, 0, False), (-1, -1, True))
    ]
    target = parse_target("sm_90")
    kernels = {f"copy_{number}": copy_kernel(form, target)[0].kernel for number, form in enumerate(forms)}
    for usage in compiled(kernels, target)[1].values():
        assert usage.spilled_bytes == 0


def test_dimensions_are_joined_and_elements_copied_together() -> None:
    x = numbers(4, 5, 6)
    assert plan(np.empty_like(x), x)[:2] == (8, (Axis(60, 1, 1),))
    assert plan(np.empty((4, 5, 3), np.float32), x[:, :, ::2])[:2] == (4, (Axis(60, 1, 2),))
    assert plan(np.empty((4, 5, 4), np.float32), x[:, :, 2:])[:2] == (8, (Axis(20, 2, 3), Axis(2, 1, 1)))
    assert plan(np.empty((4, 5, 3), np.float32), x[:, :, 3:])[:2] == (4, (Axis(20, 3, 6), Axis(3, 1, 1)))
    assert plan(np.empty((5,), np.complex128), np.zeros((5, 2), np.complex128)[:, 0])[:2] == (
        8,
        (Axis(5, 2, 4), Axis(2, 1, 1)),
    )
    assert plan(np.empty((2, 3), np.int8), np.zeros((3, 2), np.int8).T)[:2] == (1, (Axis(2, 3, 1), Axis(3, 1, 2)))
    for order in itertools.permutations(range(3)):
        target = np.empty((4, 5, 6), np.float32).transpose(order)
        assert plan(target, x.transpose(order))[:2] == (8, (Axis(60, 1, 1),))


@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "float32", "int64", "float64", "complex64", "complex128"])
def test_a_number_goes_to_the_device_exactly(emulator: Emulator, dtype: str) -> None:
    number = np.asarray(-3.25 if dtype[0] in "fc" else 1).astype(dtype)
    assert to_host(from_host(number, 1)).tobytes() == number.tobytes()


def test_a_few_small_elements_go_to_any_address(emulator: Emulator) -> None:
    target = from_host(np.zeros(16, np.int8), 0)
    expected = np.zeros(16, np.int8)
    for start, count in ((1, 4), (6, 2), (9, 2), (12, 4)):
        expected[start : start + count] = np.arange(1, count + 1)
        copy(target[start : start + count], expected[start : start + count])
    np.testing.assert_array_equal(to_host(target), expected)


def test_the_host_does_not_wait_for_the_device_to_take_a_number(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    monkeypatch.setattr(emulator, "synchronize_stream", waits.append)
    from_host(np.float64(0.5), 0)
    assert waits == []
    from_host(np.zeros(100), 0)
    assert waits == [0]
