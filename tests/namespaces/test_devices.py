"""What scripts ask about devices and libraries: graphc answers as a PyTorch for the CPU alone."""

from collections.abc import Iterator

import pytest

import graphc
from graphc import accelerator, backends, cpu, cuda, mps, xpu
from graphc.ir.errors import DeviceUnavailable
from graphc.ir.settings import override


@pytest.fixture(autouse=True)
def no_gpu() -> Iterator[None]:
    """The answers are those of a machine without a GPU, wherever the tests run."""
    with override(cuda_driver="none"):
        yield


def test_there_is_no_device_beside_the_cpu() -> None:
    assert not any(m.is_available() for m in (cuda, mps, xpu, accelerator, backends.cudnn, backends.mps, backends.mkl))
    assert [m.device_count() for m in (cuda, mps, xpu, accelerator, cpu)] == [0, 0, 0, 0, 1]
    assert accelerator.current_accelerator() is None
    device = "cuda" if cuda.is_available() else "mps" if backends.mps.is_available() else "cpu"
    assert graphc.ones(2, device=device).device == graphc.device("cpu")
    assert graphc.version.cuda is None


def test_seeding_and_emptying_caches_is_harmless() -> None:
    for call in (cuda.manual_seed, cuda.manual_seed_all, xpu.manual_seed_all, mps.manual_seed):
        assert call(3) is None
    assert cuda.empty_cache() is None
    assert cuda.max_memory_allocated() == cuda.memory_reserved() == 0
    assert cuda.get_rng_state_all() == []
    cuda.set_rng_state_all([])
    with cuda.device(-1), cuda.device_of(graphc.ones(2)), cuda.stream(None):
        pass


@pytest.mark.parametrize(
    "call, text",
    [
        (cuda.current_device, "Torch not compiled with CUDA enabled"),
        (cuda.synchronize, "Torch not compiled with CUDA enabled"),
        (cuda.get_device_name, "Torch not compiled with CUDA enabled"),
        (cuda.mem_get_info, "Torch not compiled with CUDA enabled"),
        (lambda: cuda.device(0).__enter__(), "Torch not compiled with CUDA enabled"),
        (cuda.Stream, "torch.cuda.Stream requires CUDA support"),
        (xpu.current_device, "Torch not compiled with XPU enabled"),
        (mps.empty_cache, "Cannot execute emptyCache() without MPS backend."),
        (accelerator.synchronize, "Cannot access accelerator device when none is available."),
    ],
)
def test_what_needs_a_device_says_so(call, text: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        call()
    assert str(caught.value) == text


def test_what_is_missing_is_said() -> None:
    with pytest.raises(DeviceUnavailable) as caught:
        cuda.init()
    assert caught.value.hint == (
        "the setting GRAPHC_CUDA_DRIVER=none turns GPUs off; `graphc doctor` shows what was found"
    )
    assert cuda.memory_stats() == {}
    assert cuda.get_arch_list() == []
    assert cuda.default_generators == ()
    assert not cuda.is_initialized()


def test_switches_keep_what_they_are_set_to() -> None:
    cudnn = backends.cudnn
    try:
        cudnn.benchmark = True
        with cudnn.flags(enabled=False, deterministic=True):
            assert (cudnn.enabled, cudnn.deterministic, cudnn.benchmark) == (False, True, False)
        assert (cudnn.enabled, cudnn.deterministic, cudnn.benchmark) == (True, False, True)
        with backends.mkldnn.flags(enabled=False):
            assert not backends.mkldnn.enabled
        assert backends.mkldnn.enabled
    finally:
        cudnn.benchmark = False


def test_the_namespace_of_a_device() -> None:
    assert graphc.get_device_module() is cpu
    assert graphc.get_device_module("cuda") is cuda
    assert graphc.get_device_module(graphc.device("mps")) is mps
    with pytest.raises(RuntimeError, match="Expected one of cpu, cuda"):
        graphc.get_device_module("gpu")
