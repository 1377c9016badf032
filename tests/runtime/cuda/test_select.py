"""Which CUDA driver is chosen, and what is said to be missing where there is none."""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType, SimpleNamespace

import pytest

from graphc.ir.errors import ArgumentError, DeviceUnavailable
from graphc.ir.settings import override
from graphc.runtime.cuda import library, select
from graphc.runtime.cuda.emulator import parse_options
from tests.runtime.conftest import RunChild
from tests.runtime.cuda.fake_driver import FakeDriver


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found before is forgotten, and found again afterwards."""
    monkeypatch.setattr(select, "_drivers", {})
    monkeypatch.setattr(select, "_missing", {})
    monkeypatch.setattr(select, "_lost", {})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """A driver's library that the loader finds."""
    made = FakeDriver()
    loader = "WinDLL" if sys.platform == "win32" else "CDLL"
    monkeypatch.setattr(library.ctypes, loader, lambda name: made.library())
    return made


def hint(choice: str) -> str:
    with override(cuda_driver=choice), pytest.raises(DeviceUnavailable, match="Torch not compiled with CUDA") as caught:
        select.driver()
    assert caught.value.hint is not None
    with override(cuda_driver=choice):
        assert select.what_is_missing() == caught.value.hint
        assert not select.is_started()
    return caught.value.hint


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "NAMES", ("libnone.so.1",))
    for choice in ("auto", "ctypes"):
        assert hint(choice).startswith("the NVIDIA driver's library is not found (")
        assert hint(choice).endswith("; `graphc doctor` shows what was found")


def test_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    assert "pip install graphc[cuda]" in hint("bindings")


def test_a_package_with_a_default_stream_for_each_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_PYTHON_CUDA_PER_THREAD_DEFAULT_STREAM", "1")
    monkeypatch.setattr(select.importlib, "import_module", lambda name: FakeDriver().bindings())
    assert "unset CUDA_PYTHON_CUDA_PER_THREAD_DEFAULT_STREAM" in hint("bindings")


def test_a_package_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    module = FakeDriver().bindings()

    def fail() -> None:
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    module.cuDriverGetVersion = fail
    monkeypatch.setattr(select.importlib, "import_module", lambda name: module)
    assert "cuda-bindings does not find the NVIDIA driver (Failed to dlopen libcuda.so.1)" in hint("bindings")


def test_no_device(fake: FakeDriver) -> None:
    fake.statuses = {"cuInit": 100}
    assert "finds no GPU (CUDA_VISIBLE_DEVICES may hide it)" in hint("ctypes")


def test_a_driver_that_does_not_start(fake: FakeDriver) -> None:
    fake.statuses = {"cuInit": 700}
    assert "does not start: CUDA error: illegal access (CUDA_ERROR_ILLEGAL_ADDRESS in cuInit)" in hint("ctypes")


def test_the_library_that_programs_are_linked_with_is_no_driver(fake: FakeDriver) -> None:
    fake.statuses = {"cuDriverGetVersion": 34, "cuInit": 34}
    assert "the library is the stub that programs are linked with" in hint("ctypes")


def test_an_old_driver(fake: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.runtime.cuda import fake_driver

    monkeypatch.setitem(fake_driver.ANSWERS, "cuDriverGetVersion", (11080,))
    assert "has CUDA 11.8, and graphc needs 12.0 or newer" in hint("ctypes")


def test_none() -> None:
    assert hint("none").startswith("the setting GRAPHC_CUDA_DRIVER=none turns GPUs off")


def test_the_library_is_taken(fake: FakeDriver) -> None:
    with override(cuda_driver="ctypes"):
        found = select.driver()
        assert (found.name, found.device_count()) == ("ctypes", 2)
        assert select.driver() is found
        assert select.is_started()


def test_the_package_goes_first_where_it_is_installed(fake: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("cuda")
    package.__spec__ = SimpleNamespace()  # type: ignore[assignment]  # find_spec only looks whether there is one
    monkeypatch.setitem(sys.modules, "cuda", package)
    real = select.importlib.import_module
    bound = fake.bindings()
    monkeypatch.setattr(
        select.importlib, "import_module", lambda name: bound if name == "cuda.bindings.driver" else real(name)
    )
    with override(cuda_driver="auto"):
        assert select.driver().name == "cuda-bindings"


@pytest.mark.parametrize(
    "choice, text",
    [
        ("opencl", "there is no CUDA driver 'opencl'"),
        ("ctypes:2", "there is no CUDA driver 'ctypes:2'"),
        ("emulator:x", "the CUDA emulator has no option 'x'"),
        ("emulator:sm_10", "'sm_10' names no GPU that graphc compiles for"),
    ],
)
def test_a_setting_that_names_no_driver(choice: str, text: str) -> None:
    with override(cuda_driver=choice), pytest.raises(ArgumentError, match=text):
        select.driver()


def test_options_of_the_emulator() -> None:
    found = parse_options("3:sm_90:16MiB")
    assert (found.devices, found.target.capability, found.memory_bytes) == (3, 90, 16 << 20)
    assert (found.is_late, parse_options("late").is_late) == (False, True)


@pytest.mark.skipif(not hasattr(ctypes.pythonapi, "PyOS_AfterFork_Child"), reason="a system without fork")
def test_a_forked_process_is_told_to_spawn(run_child: RunChild) -> None:
    source = """
    import os
    from graphc.ir.errors import DeviceUnavailable
    from graphc.runtime.cuda import select

    class Started:
        name = "ctypes"

    select._drivers["ctypes"] = Started()
    assert select.driver().name == "ctypes"
    child = os.fork()
    if child == 0:
        try:
            select.driver()
        except DeviceUnavailable as error:
            os._exit(0 if "Cannot re-initialize CUDA in forked subprocess" in str(error) else 2)
        os._exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run_child(source, GRAPHC_CUDA_DRIVER="ctypes") == "0\n"


@pytest.mark.skipif(not hasattr(ctypes.pythonapi, "PyOS_AfterFork_Child"), reason="a system without fork")
def test_a_forked_process_may_be_the_first_to_start_the_driver(run_child: RunChild) -> None:
    source = """
    import ctypes, os
    from graphc.runtime.cuda import library, select
    from tests.runtime.cuda.fake_driver import FakeDriver

    library.ctypes.CDLL = lambda name: FakeDriver().library()
    child = os.fork()
    if child == 0:
        found = [select.driver() for _ in range(2)]
        os._exit(0 if found[0] is found[1] and select.is_started() and not select.is_lost(found[0]) else 2)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), select.is_started())
    """
    assert run_child(source, GRAPHC_CUDA_DRIVER="ctypes") == "0 False\n"


@pytest.mark.skipif(not hasattr(ctypes.pythonapi, "PyOS_AfterFork_Child"), reason="a system without fork")
def test_a_forked_process_gives_nothing_back_that_its_parent_has(run_child: RunChild) -> None:
    source = """
    import os, sys
    from graphc.eager.pinning import pinned
    from graphc.runtime.cuda import library, select
    from graphc.runtime.cuda.event import Event
    from graphc.runtime.cuda.stream import Stream
    from tests.runtime.cuda import fake_driver
    import ctypes, numpy as np

    fake, host = fake_driver.FakeDriver(), ctypes.create_string_buffer(64)
    fake_driver.ANSWERS["cuMemHostAlloc"] = (ctypes.addressof(host),)
    library.ctypes.CDLL = lambda name: fake.library()
    event = Event()
    event.record(Stream(0))
    array = pinned(np.zeros(4))
    del fake.calls[:]
    sys.unraisablehook = lambda error: os._exit(3)
    child = os.fork()
    if child == 0:
        del event, array
        os._exit(len(fake.calls))
    del event, array
    done = [call[0] for call in fake.calls if not call[0].startswith("cuCtx")]
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), done)
    """
    assert run_child(source, GRAPHC_CUDA_DRIVER="ctypes") == "0 ['cuEventDestroy', 'cuMemFreeHost']\n"
