"""`target=` of compilations: GPUs by number and by kind, with and without one."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest

import graphc
from graphc.frontend.place import find_place
from graphc.ir.errors import ArgumentError, DeviceUnavailable
from graphc.ir.settings import override


@pytest.fixture
def emulated() -> Iterator[None]:
    """Two GPUs of kind sm_80, which are not there."""
    with override(cuda_driver="emulator:2:sm_80"):
        yield


@pytest.fixture
def no_gpu() -> Iterator[None]:
    """No driver at all."""
    with override(cuda_driver="none"):
        yield


def double(x: graphc.Tensor) -> graphc.Tensor:
    """What is compiled here."""
    return x + x


X = np.arange(5, dtype=np.float32)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda:sm_90", "sm_90"])
def test_code_for_a_gpu_needs_none(name: str) -> None:
    executable = graphc.symbolic_trace(double, "f32[n]").compile(target=name)
    assert ".target sm_90" in executable.ptx
    assert executable.ptx.count(".entry") == len(executable.kernels) == 1
    with pytest.raises(DeviceUnavailable, match=r"double was compiled for cuda:sm_90, and there is no such device"):
        executable(X)


@pytest.mark.usefixtures("no_gpu")
def test_a_device_that_is_not_there_says_what_is_missing() -> None:
    with pytest.raises(DeviceUnavailable) as caught:
        graphc.compile(double, target="cuda")
    assert "GRAPHC_CUDA_DRIVER=none" in str(caught.value)
    assert "graphc doctor" in str(caught.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("gpu", "there is no target 'gpu'"),
        ("cuda:x", "there is no target 'cuda:x'"),
        (90, "target is an int"),
        ("sm_70", "'sm_70' names no GPU that graphc compiles for"),
        ("cuda:sm_12", "'cuda:sm_12' names no GPU"),
    ],
)
def test_what_is_no_target(target: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        find_place(target)


@pytest.mark.usefixtures("emulated")
def test_devices_by_number() -> None:
    with pytest.raises(DeviceUnavailable, match="there is no device cuda:2") as caught:
        graphc.compile(double, target="cuda:2")
    assert "there are 2" in str(caught.value)
    np.testing.assert_array_equal(graphc.compile(double, target="cuda:1")(X), X + X)


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize(("name", "runs"), [("sm_75", True), ("sm_80", True), ("sm_90", False)])
def test_code_for_an_older_gpu_runs_and_for_a_newer_one_does_not(name: str, runs: bool) -> None:
    executable = graphc.symbolic_trace(double, "f32[5]").compile(target=name)
    if runs:
        np.testing.assert_array_equal(executable(X), X + X)
    else:
        with pytest.raises(DeviceUnavailable, match="sm_90"):
            executable(X)


@pytest.mark.parametrize(
    ("device", "name", "has_own"),
    [
        ("sm_90", "cuda", True),
        ("sm_90", "cuda:sm_90", True),
        ("sm_90", "cuda:sm_80", False),
        ("sm_100", "cuda:sm_90", False),
        ("sm_120", "cuda", False),
    ],
)
def test_what_one_generation_alone_has_is_used_where_that_runs_the_code(device: str, name: str, has_own: bool) -> None:
    generator = np.random.default_rng(0)
    a, b = (generator.integers(-3, 4, shape).astype(ml_dtypes.bfloat16) for shape in ((140, 64, 16), (140, 16, 64)))
    with override(cuda_driver=f"emulator:1:{device}"):
        executable = graphc.symbolic_trace(lambda x, y: x @ y, "bf16[140,64,16]", "bf16[140,16,64]").compile(
            target=name
        )
        assert ("wgmma" in executable.ptx) is has_own
        assert (".target sm_90a" in executable.ptx) is has_own
        np.testing.assert_array_equal(executable(a, b), np.matmul(a.astype(np.float32), b.astype(np.float32)))


def test_a_setting_names_an_older_gpu() -> None:
    x = [graphc.ones(140, 64, 64, dtype=graphc.bfloat16) for _ in range(2)]
    with override(cuda_driver="emulator:1:sm_90"):
        found = {}
        for name in ("native", "sm_80", "sm_90"):
            with override(gpu=name):
                executable = graphc.symbolic_trace(lambda x, y: x @ y, *["bf16[140,64,64]"] * 2).compile(target="cuda")
                found[name] = "wgmma" in executable.ptx
                on_gpu = [each.to("cuda") for each in x]
                assert graphc.compile(lambda x, y: x @ y)(*on_gpu).float().sum().item() == 140 * 64**3
        assert found == {"native": True, "sm_80": False, "sm_90": True}
        for name, message in (("sm_100", "GRAPHC_GPU=sm_100: cuda:0 is an sm_90"), ("volta", "'volta' names no GPU")):
            with override(gpu=name), pytest.raises(ArgumentError, match=message):
                graphc.compile(double, target="cuda")


def test_a_program_of_the_cpu_has_no_ptx() -> None:
    with pytest.raises(ArgumentError, match="is compiled for the CPU"):
        _ = graphc.symbolic_trace(double, "f32[5]").compile().ptx


@pytest.mark.usefixtures("emulated")
def test_a_compiled_function_keeps_its_target() -> None:
    compiled = graphc.compile(np_double, target="cuda", dynamic=True)
    for size in (3, 4, 5):
        np.testing.assert_array_equal(compiled(X[:size]), 2 * X[:size])
    assert len(compiled.compilations) == 1
    again = pickle.loads(pickle.dumps(graphc.compile(np_double, target="cuda")))
    np.testing.assert_array_equal(again(X), 2 * X)
    assert again.compilations[0].executable.place.device == 0


def np_double(x: graphc.Tensor) -> graphc.Tensor:
    """As `double`, found by name."""
    return x * 2
