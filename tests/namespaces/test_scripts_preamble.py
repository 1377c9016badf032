"""Names beside tensors that scripts use at their beginning: versions, jit, compiler, settings, processes."""

import warnings

import pytest

import graphc
from graphc import compiler, distributed, hub, jit, overrides
from graphc import multiprocessing as mp
from graphc.torch_version import TorchVersion


def test_versions_compare_as_versions() -> None:
    version = graphc.__version__
    assert isinstance(version, str)
    assert version >= (1, 8)
    assert version >= "1.10"
    assert version < "10.0"
    assert [int(part) for part in version.split(".")[:2]] >= [2, 0]
    assert TorchVersion("2.9.1") < TorchVersion("2.13.0") <= "2.13"
    assert TorchVersion("2.0.0rc1") < "2.0.0" < TorchVersion("2.0.0.post1")
    assert TorchVersion("2.13.0+cpu") == "2.13.0"
    assert TorchVersion("2.13.0") == (2, 13)
    assert TorchVersion("parrot") == "parrot"
    assert hash(TorchVersion("2.1")) == hash("2.1")
    assert graphc.version.graphc in version
    assert "numpy" in graphc.__config__.show()


def test_scripted_code_runs_eagerly_and_says_so_once() -> None:
    jit._say_once.cache_clear()

    def double(x):
        return 2 * x

    with pytest.warns(UserWarning, match=r"graphc has no TorchScript.*graphc\.compile") as caught:
        assert jit.script(double) is double
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert jit.trace(double, (graphc.ones(2),)) is double
    for refused in (lambda: jit.save(double, "x.pt"), lambda: jit.load("x.pt")):
        with pytest.raises(NotImplementedError, match="graphc has no TorchScript"):
            refused()


def test_modules_written_as_scripted_ones_are_modules() -> None:
    class Scaled(jit.ScriptModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = graphc.nn.Parameter(graphc.tensor([3.0]))

        @jit.script_method
        def forward(self, x):
            return self.weight * x

    module = Scaled()
    with jit.optimized_execution(False):
        assert module(graphc.ones(2)).tolist() == [3.0, 3.0]
    assert list(module.state_dict()) == ["weight"]


def test_marks_of_scripted_code_change_nothing() -> None:
    def f(x):
        return x

    assert all(mark(f) is f for mark in (jit.export, jit.unused, jit.ignore, jit.ignore(drop=True), compiler.disable))
    assert compiler.disable(recursive=False)(f) is f
    assert not jit.is_scripting()
    assert not compiler.is_compiling()
    assert jit.annotate(list[int], []) == []
    assert jit.isinstance([1, 2], list[int])
    assert not jit.isinstance([1, "2"], list[int])
    assert jit.isinstance({"a": (1, "b")}, dict[str, tuple[int, str]])
    assert jit.isinstance(None, int | None)
    assert jit.wait(jit.fork(f, 3)) == 3


def test_groups_and_the_net_are_not_there() -> None:
    assert not distributed.is_available()
    assert not distributed.is_initialized()
    with pytest.raises(NotImplementedError, match=r"graphc fetches no code from the net: torch\.hub\.load"):
        hub.load("pytorch/vision", "resnet18")


def test_settings_of_the_process() -> None:
    assert graphc.get_num_interop_threads() >= 1
    with pytest.raises(RuntimeError, match="expects a positive integer"):
        graphc.set_num_interop_threads(0)
    assert graphc.set_flush_denormal(True) is False
    assert (graphc.pi, graphc.inf, graphc.newaxis) == (3.141592653589793, float("inf"), None)
    with pytest.raises(graphc.OutOfMemoryError):
        graphc.empty(1 << 60)


def test_overrides() -> None:
    class Mine(graphc.Tensor):
        pass

    class Other:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return "other", func.__name__, len(types)

    mine = graphc.ones(2).as_subclass(Mine)
    assert overrides.has_torch_function((graphc.ones(2), mine))
    assert not overrides.has_torch_function((graphc.ones(2), 3))
    assert overrides.is_tensor_like(Other())
    assert not overrides.is_tensor_like(3)
    assert overrides.handle_torch_function(graphc.add, (Other(), graphc.ones(2)), 1) == ("other", "add", 1)


def _square(index: int, queue: object) -> None:
    if index == 2:
        raise ValueError("no such square")
    queue.put((index, graphc.tensor([float(index)]) ** 2))


def test_processes_exchange_tensors_and_report_errors() -> None:
    queue = mp.get_context("spawn").SimpleQueue()
    mp.spawn(_square, args=(queue,), nprocs=2)
    assert sorted((i, x.tolist()) for i, x in (queue.get(), queue.get())) == [(0, [0.0]), (1, [1.0])]
    with pytest.raises(mp.ProcessRaisedException) as caught:
        mp.start_processes(_square, (queue,), nprocs=3, start_method="fork")
    assert "-- Process 2 terminated with the following error:\nTraceback" in str(caught.value)
    assert "ValueError: no such square" in str(caught.value)
    assert caught.value.error_index == 2
