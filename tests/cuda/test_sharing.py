"""Memory of GPUs shared with other libraries, by DLPack and `__cuda_array_interface__`, both ways, until let go."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc.runtime.cuda.emulator import Emulator
from graphc.runtime.cuda.select import driver
from tests.cuda.foreign import Foreign, Taken

here: Any = graphc
DTYPES = {
    "bool": (6, 8), "uint8": (1, 8), "int16": (0, 16), "int64": (0, 64), "float16": (2, 16), "bfloat16": (4, 16),
    "float32": (2, 32), "float64": (2, 64), "complex64": (5, 64), "complex128": (5, 128), "float8_e4m3fn": (10, 8),
    "float8_e5m2": (12, 8),
}  # fmt: skip


def ones(*shape: int, **options: Any) -> Any:
    return here.ones(*shape, device="cuda", **options)


def emulator() -> Emulator:
    found = driver()
    assert isinstance(found, Emulator)
    return found


@pytest.mark.parametrize("name", DTYPES)
def test_a_capsule_says_what_a_tensor_is_and_is_read_back(name: str) -> None:
    x = ones(3, 4).to(getattr(here, name))[:, 1:]
    found = Taken(x.__dlpack__(max_version=(1, 0)))
    assert found.type == (*DTYPES[name], 1)
    assert (found.address, found.device, found.shape, found.strides) == (x.data_ptr(), (2, 0), (3, 3), (4, 1))
    assert found.flags == 0
    found.release()
    again: Any = here.from_dlpack(x)
    assert (again.dtype, again.stride(), again.device, again.data_ptr()) == (x.dtype, (4, 1), x.device, x.data_ptr())
    assert again.float().tolist() == x.float().tolist() if name[0] != "c" else again.tolist() == x.tolist()


def test_memory_lives_as_long_as_the_capsule_or_its_consumer() -> None:
    before = here.cuda.memory_allocated()
    for version in (None, (1, 1)):
        capsule = ones(1000).__dlpack__(max_version=version)
        assert here.cuda.memory_allocated() == before + 4096
        del capsule
        assert here.cuda.memory_allocated() == before
    found = Taken(ones(1000).__dlpack__())
    assert here.cuda.memory_allocated() == before + 4096
    found.release()
    assert here.cuda.memory_allocated() == before


def test_foreign_memory_is_given_back_once_when_the_last_tensor_goes() -> None:
    x = here.arange(6.0, device="cuda")
    foreign = Foreign(x.data_ptr(), (3, 2), (1, 3))
    found: Any = here.from_dlpack(foreign)
    assert foreign.asked == [{"max_version": (1, 0), "stream": 1}]
    x[1] = 9
    assert found.tolist() == [[0, 3], [9, 4], [2, 5]]
    row = found[1]
    row += 1
    assert x.tolist() == [0, 10, 2, 3, 5, 5]
    del found
    gc.collect()
    assert foreign.deleted == 0
    del row
    assert foreign.deleted == 1


@pytest.mark.parametrize("version", [None, (1, 0), (1, 3)])
def test_layouts_of_foreign_memory(version: tuple[int, int] | None) -> None:
    x = here.arange(6.0, device="cuda")
    plain: Any = here.from_dlpack(Foreign(x.data_ptr(), (2, 2), offset=8, version=version, flags=1))
    plain.mul_(2)  # that it is only for reading is no matter, as in PyTorch
    assert x.tolist() == [0, 1, 4, 6, 8, 10]
    assert here.from_dlpack(Foreign(x.data_ptr(), (), (), version=version)).item() == 0
    nothing = Foreign(0, (2, 0), version=version)
    assert here.from_dlpack(nothing).shape == (2, 0)
    assert nothing.deleted == 1
    assert here.from_dlpack(Foreign(x.data_ptr(), (3,), (0,), version=version)).tolist() == [0, 0, 0]


def test_what_has_no_elements_has_no_address() -> None:
    found = Taken(ones(2, 0).__dlpack__())
    assert (found.address, found.shape, found.strides) == (None, (2, 0), (0, 1))
    assert Taken(ones(1, 3, 1).__dlpack__()).strides == (1, 1, 1)


def test_consumers_on_other_streams_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr(emulator(), "wait_for_event", lambda stream, event: waits.append(stream))
    x = ones(2)
    side = here.cuda.Stream()
    for stream in (None, 1, -1):
        x.__dlpack__(stream=stream)
    assert waits == []  # all is on the default stream
    x.__dlpack__(stream=side.cuda_stream)
    assert waits == [side.cuda_stream]
    with here.cuda.stream(side):
        x.__dlpack__(stream=side.cuda_stream)
        x.__dlpack__(stream=None)
        x.__dlpack__()
        foreign = Foreign(x.data_ptr(), (2,))
        here.from_dlpack(foreign)
        assert foreign.asked[0]["stream"] == side.cuda_stream
        assert x.__cuda_array_interface__["stream"] == side.cuda_stream
    assert waits == [side.cuda_stream, 0]
    here.as_tensor(Described(x, stream=side.cuda_stream))
    here.as_tensor(Described(x, stream=1))
    here.as_tensor(Described(x, stream=None))
    assert waits == [side.cuda_stream, 0, 0]


def test_devices_and_copies() -> None:
    x = ones(2)
    assert x.__dlpack_device__() == (here.utils.dlpack.DLDeviceType.kDLCUDA, 0)
    assert here.ones(2).pin_memory().__dlpack_device__() == (3, 0)
    assert here.from_dlpack(here.ones(2).pin_memory()).tolist() == [1, 1]
    copied = Taken(x.__dlpack__(copy=True, max_version=(1, 0)))
    assert (copied.address != x.data_ptr(), copied.flags) == (True, 2)
    on_host = Taken(x.__dlpack__(dl_device=(1, 0)))
    assert on_host.device == (1, 0)
    assert Taken(here.ones(2).__dlpack__(dl_device=(2, 1))).device == (2, 1)
    assert here.from_dlpack(x, device="cpu").device.type == "cpu"
    assert here.from_dlpack(here.ones(2), device="cuda:1").tolist() == [1, 1]
    assert here.from_dlpack(x, device="cuda:0", copy=False).data_ptr() == x.data_ptr()
    assert here.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()
    with here.cuda.device(1):
        y: Any = here.ones(3, device="cuda:1")
        assert Taken(y.__dlpack__()).device == (2, 1)
        assert here.from_dlpack(y).device == y.device


def test_options_that_a_library_does_not_know_are_left_out() -> None:
    x = ones(3)

    class Old(Foreign):
        def __dlpack__(self, stream: object = None) -> object:  # type: ignore[override]  # as older libraries have it
            self.asked.append({"stream": stream})
            return self.capsule()

    old = Old(x.data_ptr(), (3,))
    found: Any = here.from_dlpack(old, copy=True)
    assert (old.asked, old.deleted, found.data_ptr() != x.data_ptr()) == ([{"stream": 1}], 1, True)


class Described:
    """An object of another library with the attribute."""

    def __init__(self, tensor: Any, **changes: object) -> None:
        self.__cuda_array_interface__ = {**tensor.__cuda_array_interface__, **changes}


def test_the_attribute_says_where_the_memory_is() -> None:
    x = ones(2, 3)
    assert x.__cuda_array_interface__ == {
        "shape": (2, 3), "typestr": "<f4", "data": (x.data_ptr(), False), "strides": None, "stream": 1, "version": 3,
    }  # fmt: skip
    assert x.t().__cuda_array_interface__["strides"] == (4, 12)
    assert ones(0).__cuda_array_interface__["data"] == (0, False)
    assert ones(1, dtype=here.bfloat16).__cuda_array_interface__["typestr"] == "<V2"
    assert not hasattr(here.ones(1), "__cuda_array_interface__")


def test_described_memory_is_shared_or_copied() -> None:
    x = here.ones(2, 3, device="cuda:1")
    for function in (here.as_tensor, here.asarray):
        found: Any = function(Described(x.t()))
        assert (found.device, found.data_ptr(), found.stride()) == (x.device, x.data_ptr(), (1, 3))
    copied: Any = here.tensor(Described(x), dtype=here.float64, requires_grad=True)
    assert (copied.device, copied.dtype, copied.requires_grad) == (x.device, here.float64, True)
    assert here.tensor(Described(x)).data_ptr() != x.data_ptr()
    assert here.tensor(Described(x), device="cpu").tolist() == x.tolist()
    assert here.as_tensor(Described(x), dtype=here.int32, device="cuda:0").tolist() == [[1] * 3] * 2
    half: Any = here.ones(2, device="cuda", dtype=here.bfloat16)
    assert here.as_tensor(Described(half)).dtype is here.bfloat16
    assert here.as_tensor(Described(here.ones(0, device="cuda"))).shape == (0,)


REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "needs gradients": (
        lambda: ones(1).requires_grad_().__dlpack__(),
        BufferError,
        "Can't export tensors that require gradient, use tensor.detach()",
    ),
    "another GPU": (
        lambda: here.ones(1, device="cuda:1").__dlpack__(),
        BufferError,
        "Can't export tensors on a different CUDA device index. Expected: 1. Current device: 0.",
    ),
    "stream that is no number": (
        lambda: ones(1).__dlpack__(stream="0"), TypeError, "stream must be ``int`` or ``none``"
    ),
    "stream 0": (lambda: ones(1).__dlpack__(stream=0), AssertionError, "unsupported stream on CUDA: 0."),
    "stream 2": (
        lambda: ones(1).__dlpack__(stream=2), BufferError, "per-thread default stream is not supported."
    ),
    "stream of the CPU": (lambda: here.ones(1).__dlpack__(stream=1), AssertionError, "stream should be None on cpu."),
    "kind of device": (lambda: ones(1).__dlpack__(dl_device=(10, 0)), BufferError, "Unsupported device_type: 10"),
    "move without a copy": (
        lambda: ones(1).__dlpack__(dl_device=(1, 0), copy=False),
        ValueError,
        "cannot move (i.e. copy=False) tensor from cuda:0 to cpu without copying.",
    ),
    "move from another library without a copy": (
        lambda: here.from_dlpack(ones(1), device="cpu", copy=False),
        ValueError,
        "cannot move DLPack tensor from device (<DLDeviceType.kDLCUDA: 2>, 0) to (1, 0) without copying. Set copy=None "
        "or copy=True.",
    ),
    "device of a capsule": (
        lambda: here.from_dlpack(ones(1).__dlpack__(), device="cpu"),
        AssertionError,
        "device and copy kwargs not supported when ext_tensor is already a DLPack capsule.",
    ),
    "device that is a number": (
        lambda: here.from_dlpack(ones(1), device=1),
        AssertionError,
        "from_dlpack: unsupported device type: <class 'int'>",
    ),
    "no memory there": (
        lambda: here.from_dlpack(ones(1), device="meta"), BufferError, "Cannot pack tensors on meta"
    ),
    "no tensor": (
        lambda: here.utils.dlpack.to_dlpack(1),
        TypeError,
        "_to_dlpack(): argument 'data' (position 1) must be Tensor, not int",
    ),
    "float8": (
        lambda: ones(1).to(here.float8_e5m2).__cuda_array_interface__,
        TypeError,
        "__cuda_array_interface__ has no torch.float8_e5m2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_handed_over(name: str) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


CAPSULES: dict[str, tuple[dict[str, Any], type[Exception], str, int]] = {
    "elements of 8 numbers": ({"type": (2, 32, 8)}, BufferError, "ATen does not support lanes != 1 for dtype code2", 0),
    "float128": ({"type": (2, 128, 1)}, BufferError, "Unsupported kFloat bits 128", 0),
    "handles": ({"type": (3, 64, 1)}, BufferError, "Unsupported code 3", 0),
    "newer layout": (
        {"version": (2, 0)},
        RuntimeError,
        "unsupported DLPack capsule major version: 2. Maximum supported version: 1",
        0,
    ),
    "backwards": (
        {"strides": (-1,)},
        BufferError,
        "from_dlpack: tensors with negative strides are not supported, and these are (-4,) bytes",
        0,
    ),
    "other makers' GPUs": ({"device": (10, 0)}, BufferError, "Unsupported device_type: 10", 1),
    "no such GPU": ({"device": (2, 5)}, RuntimeError, "CUDA error: invalid device ordinal", 1),
}


@pytest.mark.parametrize("name", CAPSULES)
def test_capsules_that_are_refused(name: str) -> None:
    options, kind, text, deleted = CAPSULES[name]
    x = ones(2)
    foreign = Foreign(x.data_ptr(), (2,), **options)
    capsule = foreign.capsule()
    with pytest.raises(kind) as caught:
        here.from_dlpack(capsule)
    assert str(caught.value) == text
    del caught
    assert foreign.deleted == deleted  # of what was not taken the capsule is left to its owner


def test_a_capsule_is_taken_once() -> None:
    foreign = Foreign(ones(2).data_ptr(), (2,))
    capsule = foreign.capsule()
    found = here.from_dlpack(capsule)
    with pytest.raises(RuntimeError, match="from_dlpack received an invalid capsule"):
        here.from_dlpack(capsule)
    del found
    assert foreign.deleted == 1


DESCRIPTIONS: dict[str, tuple[object, type[Exception], str]] = {
    "no dict": (5, TypeError, "`__cuda_array_interface__` must be a dict"),
    "no shape": ({}, TypeError, "attribute `shape` must exist"),
    "shape": ({"shape": 2}, TypeError, "shape and strides must be sequences"),
    "no dtype": ({"shape": (1,)}, TypeError, "attribute `typestr` must exist"),
    "dtype": ({"shape": (1,), "typestr": "f5x"}, ValueError, "cannot parse `typestr`"),
    "no data": ({"shape": (1,), "typestr": "<f4"}, TypeError, "attribute `data` must exist"),
    "data": ({"shape": (1,), "typestr": "<f4", "data": 8}, TypeError, "`data` must be a 2-tuple of (int, bool)"),
}
CHANGES: dict[str, tuple[dict[str, object], type[Exception], str]] = {
    "only for reading": (
        {"data": (256, True)}, TypeError, "the read only flag is not supported, should always be False"
    ),
    "mask": ({"mask": 1}, TypeError, "the mask of a __cuda_array_interface__ is not supported"),
    "strides": ({"strides": (4, 4)}, TypeError, "strides must be a sequence of the same length as shape"),
    "uneven": (
        {"strides": (3,)},
        ValueError,
        "given array strides not a multiple of the element byte size. Make a copy of the array to reallocate the "
        "memory.",
    ),
    "memory of the host": (
        {"data": (4096, False)},
        RuntimeError,
        "The specified pointer resides on host memory and is not registered with any CUDA device.",
    ),
    "stream": ({"stream": 0}, TypeError, "the stream of a __cuda_array_interface__ is a handle, not 0"),
    "backwards": ({"strides": (-4,)}, ValueError, "At least one stride in the given numpy array is negative"),
}  # fmt: skip


@pytest.mark.parametrize("name", [*DESCRIPTIONS, *CHANGES])
def test_descriptions_that_are_refused(name: str) -> None:
    if name in CHANGES:
        changes, kind, text = CHANGES[name]
        told: Any = {**ones(1).__cuda_array_interface__, **changes}
    else:
        told, kind, text = DESCRIPTIONS[name]
    data = type("Data", (), {"__cuda_array_interface__": told})()
    with pytest.raises(kind) as caught:
        here.as_tensor(data)
    assert str(caught.value).startswith(text)


def test_pinned_copies_of_described_memory_are_refused() -> None:
    with pytest.raises(RuntimeError, match="Can't pin tensor constructed from __cuda_array_interface__"):
        here.tensor(Described(ones(1)), pin_memory=True)
