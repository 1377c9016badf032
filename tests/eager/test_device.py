"""Devices, layouts and memory formats: names that print, compare and refuse as PyTorch's."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from graphc.eager import memory_format as formats
from graphc.eager.device import device, device_for, get_default_device, require_usable, set_default_device
from graphc.ir.errors import DeviceUnavailable, GraphcError

MADE: tuple[tuple[Callable[[], device], str, str], ...] = (
    (lambda: device("cpu"), "device(type='cpu')", "cpu"),
    (lambda: device("cpu:0"), "device(type='cpu', index=0)", "cpu:0"),
    (lambda: device("cuda", 1), "device(type='cuda', index=1)", "cuda:1"),
    (lambda: device("cuda", None), "device(type='cuda')", "cuda"),
    (lambda: device(type="cuda", index=2), "device(type='cuda', index=2)", "cuda:2"),
    (lambda: device(type="mps"), "device(type='mps')", "mps"),
    (lambda: device("xpu", index=0), "device(type='xpu', index=0)", "xpu:0"),
    (lambda: device(device("meta")), "device(type='meta')", "meta"),
    (lambda: device(device="cpu"), "device(type='cpu')", "cpu"),
)


@pytest.mark.parametrize(("make", "shown", "text"), MADE, ids=[shown for _, shown, _ in MADE])
def test_a_device_shows_type_and_index(make: Callable[[], device], shown: str, text: str) -> None:
    found = make()
    assert (repr(found), str(found), f"{found}") == (shown, text, text)
    assert device(text) == found
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found


def test_devices_are_equal_by_type_and_index() -> None:
    assert device("cuda:1") == device("cuda", 1)
    assert len({device("cpu"), device("cpu"), device("cpu:0")}) == 2
    assert device("cpu") != "cpu"
    assert (device("cuda:1").type, device("cuda:1").index, device("cuda").index) == ("cuda", 1, None)


FORMS = "device() received an invalid combination of arguments - got ({}), but expected one of:\n"
WRONG: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: device("bogus"), RuntimeError,
     "Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, mps, "
     "meta, hpu, mtia, privateuseone device type at start of device string: bogus"),
    (lambda: device(""), RuntimeError, "Device string must not be empty"),
    (lambda: device("cpu:x"), RuntimeError, "Invalid device string: 'cpu:x'"),
    (lambda: device("cuda:01"), RuntimeError, "Invalid device string: 'cuda:01'"),
    (lambda: device("cuda "), RuntimeError, "Invalid device string: 'cuda '"),
    (lambda: device("cpu", -1), RuntimeError, "Device index must not be negative"),
    (lambda: device(-1), RuntimeError, "Device index must not be negative"),
    (lambda: device(0), RuntimeError, "Cannot access accelerator device when none is available."),
    (lambda: device("cuda:1", 1), RuntimeError,
     "type (string) must not include an index because index was passed explicitly: cuda:1"),
    (lambda: device("cpu", "0"), TypeError, "device(): argument 'index' (position 2) must be int, not str"),
    (lambda: device(device("cpu"), 0), TypeError,
     "device(): argument 'type' (position 1) must be str, not torch.device"),
    (lambda: device(), TypeError, FORMS.format("") + " * (torch.device device)\n * (str type, int index = -1)\n"),
    (lambda: device(1.5), TypeError,
     FORMS.format("float") + " * (torch.device device)\n      didn't match because some of the arguments have invalid "
     "types: (!float!)\n * (str type, int index = -1)\n"),
    (lambda: device("cpu", 0, 0), TypeError,
     FORMS.format("str, int, int") + " * (torch.device device)\n * (str type, int index = -1)\n"),
    (lambda: setattr(device("cpu"), "index", 1), AttributeError,
     "attribute 'index' of 'torch.device' objects is not writable"),
    (lambda: device_for("cuda"), AssertionError, "Torch not compiled with CUDA enabled"),
    (lambda: device_for("mps"), RuntimeError, "PyTorch is not linked with support for mps devices"),
    (lambda: device_for(1.5, "zeros"), TypeError, "zeros(): argument 'device' must be torch.device, not float"),
    (lambda: formats.layout(), TypeError, "cannot create 'torch.layout' instances"),
    (lambda: formats.memory_format(), TypeError, "cannot create 'torch.memory_format' instances"),
)  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG, ids=[message[:50] for _, _, message in WRONG])
def test_mistakes_have_pytorchs_words(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert isinstance(caught.value, GraphcError)
    assert caught.value.message == message
    assert caught.value.hint


def test_only_the_cpu_has_memory() -> None:
    require_usable(device("cpu"))
    require_usable(device("meta"))
    with pytest.raises(DeviceUnavailable):
        require_usable(device("cuda"))
    assert str(device_for("cpu:0")) == "cpu"


def test_the_innermost_context_decides_where_tensors_are_created() -> None:
    seen: list[device] = []
    assert get_default_device() == device("cpu")
    with device("meta"):
        assert device_for(None) == device("meta")
        with device("cpu"):
            assert device_for(None) == device("cpu")
        thread = threading.Thread(target=lambda: seen.append(get_default_device()))
        thread.start()
        thread.join()
        assert device_for("cpu") == device("cpu")
    assert seen == [device("cpu")]
    try:
        set_default_device("meta")
        assert get_default_device() == device("meta")
    finally:
        set_default_device(None)
    assert get_default_device() == device("cpu")


CONSTANTS = (
    "strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged", "contiguous_format",
    "preserve_format", "channels_last", "channels_last_3d",
)  # fmt: skip


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_one_object_each(name: str) -> None:
    constant: Any = getattr(formats, name)
    assert repr(constant) == str(constant) == f"torch.{name}"
    assert pickle.loads(pickle.dumps(constant)) is copy.deepcopy(constant) is copy.copy(constant) is constant
    assert isinstance(constant, formats.memory_format) is (name.startswith("channels") or name.endswith("format"))
