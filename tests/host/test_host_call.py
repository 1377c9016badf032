"""Calls of the host: as text at every level, between kernels, in native code, in gradients."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from graphc.frontend.executable import Executable
from graphc.ir.dim import symbol
from graphc.ir.dtype import c64, f32, f64
from graphc.ir.errors import GraphcError, VerifyError
from graphc.ir.fingerprint import fingerprint
from graphc.ir.graph import FUSED, Graph, Node, make_input
from graphc.ir.host import HostFunction, find_host, parse_parameters, register_host
from graphc.ir.interpret import evaluate_graph
from graphc.ir.parse import parse_graph
from graphc.ir.type import TensorType
from graphc.ir.verify import verify
from graphc.kernel.interpret import run_program
from graphc.kernel.parse import parse_kernel
from graphc.kernel.program import Program
from graphc.kernel.text import print_kernel
from graphc.kernel.verify import verify_kernel
from graphc.ops import build, host
from graphc.ops import elementwise as ew
from graphc.passes.autodiff import differentiate
from graphc.passes.default import default_pipeline
from graphc.passes.partition import partition
from graphc.runtime.host import take_error

Values = npt.NDArray[Any]

calls: list[str] = []


def _sums(results: tuple[TensorType, ...], x: Values, *, by: float) -> tuple[Values, Values]:
    calls.append("sums")
    return x * x.dtype.type(by), x.sum(axis=-1)


def _sums_vjp(
    cotangents: tuple[Node | None, ...], outputs: tuple[Node, ...], x: Node, *, by: float
) -> tuple[Node | None, ...]:
    scaled, summed = cotangents
    total = build.zeros_like(x) if scaled is None else build.scaled(scaled, by)
    if summed is not None:
        total = ew.add(total, build.broadcast_to(build.reshape_to(summed, (*summed.shape, 1)), x.shape))
    return (total,)


def _fail(results: tuple[TensorType, ...], x: Values) -> Values:
    if x[0] < 0:
        raise KeyError(f"no {x[0]:g}")
    return x + 1


def _shift(targets: tuple[Values, ...], x: Values) -> None:
    up, down = targets
    up[:] = x + 1
    down[:] = x - 1


register_host(HostFunction("test.shift", _shift, writes=True))
register_host(HostFunction("test.sums", _sums, _sums_vjp))
register_host(HostFunction("test.fail", _fail))
register_host(HostFunction("test.interrupt", lambda results, x: (_ for _ in ()).throw(KeyboardInterrupt)))


def sums(x: Node, by: float = 2.0) -> tuple[Node, ...]:
    return host.call("test.sums", (x,), (x.tensor, TensorType(x.shape[:-1], x.tensor.dtype)), by=by)


def example(shape: tuple[Any, ...] = (2, 3), dtype: Any = f32) -> Graph:
    """Kernels before, between and after two calls; one result goes out as it is, one is read twice, one not at all."""
    x = make_input("x", TensorType(shape, dtype))
    scaled, summed = sums(ew.add(x, x))
    again, _ = sums(ew.mul(scaled, scaled), 0.5)
    return Graph("f", (x,), (summed, ew.sub(again, scaled), ew.neg(summed)))


def expected(x: Values) -> tuple[Values, Values, Values]:
    total = (x + x).sum(axis=-1)
    return total, (4 * x) ** 2 / 2 - 4 * x, -total


def test_graph_reads_back_from_its_text() -> None:
    graph = example((symbol("n"), 3))
    verify(graph)
    again = parse_graph(str(graph))
    assert str(again) == str(graph)
    assert fingerprint(again) == fingerprint(graph)


def test_function_parameters_and_results_are_part_of_the_fingerprint() -> None:
    x = make_input("x", TensorType((3,), f32))
    described = [("test.scale", 1, f32), ("test.other", 1, f32), ("test.scale", 2, f32), ("test.scale", 1, f64)]
    graphs = [
        Graph("f", (x,), host.call(function, (x,), (TensorType((3,), dtype),), factor=factor))
        for function, factor, dtype in described
    ]
    assert len({fingerprint(graph) for graph in graphs}) == len(graphs)


@pytest.mark.parametrize("dtype", [f32, c64], ids=str)
@pytest.mark.parametrize("sizes", [(2, 3), (0, 3), (1, 0)], ids=str)
def test_interpreters_and_native_code_agree(dtype: Any, sizes: tuple[int, int]) -> None:
    graph = example(sizes, dtype)
    x = np.arange(sizes[0] * sizes[1]).reshape(sizes).astype(dtype.numpy) - dtype.numpy.type(1.5)
    executable = graph.compile()
    for results in (evaluate_graph(graph, [x]), run_program(executable.program, [x]), executable(x)):
        for actual, wanted in zip(results, expected(x), strict=True):
            assert actual.dtype == dtype.numpy
            np.testing.assert_array_equal(actual, wanted)


def test_sizes_are_passed_along() -> None:
    executable = example((symbol("n"), symbol("m"))).compile()
    for shape in ((2, 3), (4, 1), (0, 5), (2, 3)):
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        for actual, wanted in zip(executable(x), expected(x), strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-6)


def test_call_stays_alone_between_kernels() -> None:
    executable = example().compile()
    ops = [node.op for node in executable.fused.nodes]
    assert ops.count(host.host_call) == 2
    assert ops.count(FUSED) == 4
    names = [launch.kernel.name for launch in executable.program.launches]
    assert names.index("test.sums") == 1


def test_kernel_reads_back_from_its_text() -> None:
    program: Program = example((symbol("n"), 3)).compile().program
    kernels = [kernel for kernel in program.kernels if kernel.name == "test.sums"]
    assert len(kernels) == 2
    for kernel in kernels:
        verify_kernel(kernel, is_scheduled=True)
        text = print_kernel(kernel)
        again = parse_kernel(text)
        verify_kernel(again)
        assert print_kernel(again) == text


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ('host "f" "()" (x: f32[4]) to (y: f32[3]) else 1', "buffer y does not hold a f32[3]"),
        ('host "f" "()" (x: f64[4]) to (y: f32[4]) else 1', "buffer x does not hold a f64[4]"),
        ('host "f" "()" (x: f32[4]) to (x: f32[4]) else 1', "writes each of the written buffers once"),
        ('host "f" "1" (x: f32[4]) to (y: f32[4]) else 1', "no tuple of names and values"),
        ('host "f" "()" (x: f32[4]) to (y: f32[4]) else 0', "the code 0 is not positive"),
        ('vector i < 4 { host "f" "()" (x: f32[4]) to (y: f32[4]) else 1 }', "is alone in its kernel"),
    ],
)
def test_verifier_refuses(statement: str, message: str) -> None:
    kernel = parse_kernel(f"kernel k {{ read x: f32[4] write y: f32[4] {statement} }}")
    with pytest.raises(VerifyError, match=message.replace("[", r"\[").replace("]", r"\]")):
        verify_kernel(kernel)


def test_passes_merge_equal_calls_and_run_none() -> None:
    x = build.constant(2.0, f32, (1, 3))
    first, second = sums(x)[0], sums(x)[0]
    other = sums(x, 3.0)[0]
    before = len(calls)
    graph = default_pipeline("fast").run(Graph("f", (), (ew.add(first, second), other)))
    assert sum(node.op is host.host_call for node in graph.nodes) == 2
    assert len(calls) == before


def test_parameters_read_back() -> None:
    parameters = (("a", None), ("b", (1, 2.5, "x")), ("c", True))
    assert parse_parameters(repr(parameters)) == parameters
    for text in ("(", "1", "(('a',),)", "((1, 2),)", "__import__('os')"):
        with pytest.raises(ValueError, match="is no"):
            parse_parameters(text)


def test_function_that_this_process_lacks() -> None:
    x = make_input("x", TensorType((3,), f32))
    graph = Graph("f", (x,), host.call("test.nowhere", (x,), (x.tensor,)))
    with pytest.raises(GraphcError, match=r"no host function 'test\.nowhere'"):
        graph.compile()(np.ones(3, np.float32))
    with pytest.raises(GraphcError, match="no host function"):
        find_host("test.nowhere")


# Gradients


def test_gradient_by_some_of_the_results() -> None:
    x = make_input("x", TensorType((2, 3), f64))
    scaled, summed = sums(x)
    for outputs, wanted in (((scaled,), 2.0), ((summed,), 1.0), ((scaled, summed), 3.0)):
        joint = differentiate(Graph("f", (x,), outputs))
        ones = [np.ones(output.shape) for output in outputs]
        *_, gradient = joint.compile()(np.ones((2, 3)), *ones)
        np.testing.assert_array_equal(gradient, np.full((2, 3), wanted))


def test_function_without_gradient() -> None:
    x = make_input("x", TensorType((3,), f64))
    joint = differentiate(Graph("f", (x,), host.call("test.fail", (x,), (x.tensor,))))
    with pytest.raises(NotImplementedError, match=r"the derivative for 'test\.fail' is not implemented"):
        joint.compile()(np.ones(3), np.ones(3))
    np.testing.assert_array_equal(Graph("f", joint.inputs, joint.outputs[:1]).compile()(np.ones(3), np.ones(3)), 2.0)


def test_backward_part_takes_results_instead_of_calling_again() -> None:
    x = make_input("x", TensorType((2, 3), f64))
    scaled, _ = sums(x)
    parts = partition(differentiate(Graph("f", (x,), (ew.exp(ew.mul(scaled, scaled)),))), 1, 1)
    assert not any(node.op is host.host_call for node in parts.backward.nodes)
    assert [each.node.op.name for each in parts.saved if each.nbytes] == ["get"]


# Failures


def failing() -> Graph:
    x = make_input("x", TensorType((symbol("n"),), f64))
    return Graph("f", (x,), tuple(ew.neg(y) for y in host.call("test.fail", (ew.add(x, x),), (x.tensor,))))


def test_exception_is_that_of_the_run_and_the_next_run_is_unharmed() -> None:
    executable = failing().compile()
    for _ in range(3):
        with pytest.raises(KeyError, match="no -2"):
            executable(np.array([-1.0, 1.0]))
        np.testing.assert_array_equal(executable(np.array([1.0, 2.0])), [-3.0, -5.0])


def test_interruption_goes_through() -> None:
    x = make_input("x", TensorType((3,), f64))
    with pytest.raises(KeyboardInterrupt):
        Graph("f", (x,), host.call("test.interrupt", (x,), (x.tensor,))).compile()(np.ones(3))
    assert isinstance(take_error(), KeyboardInterrupt)  # nothing waits any more


def test_each_thread_gets_its_own_exception() -> None:
    executable = failing().compile()
    found: dict[int, list[str]] = {}

    def run(number: int) -> None:
        texts = found[number] = []
        for step in range(50):
            try:
                value = executable(np.full(number + 1, -float(number) if step % 2 else float(number)))
                texts.append(str(float(value[0])))
            except KeyError as error:
                texts.append(str(error.args[0]))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, texts in found.items():
        assert texts == [str(-2.0 * number - 1), f"no {-2 * number}"] * 25


@pytest.mark.parametrize("native", [True, False], ids=["builtin", "python"])
@pytest.mark.parametrize("release_lock", [True, False], ids=["released", "held"])
def test_call_takes_the_lock_whether_or_not_the_run_released_it(release_lock: bool, native: bool) -> None:
    from graphc.frontend.native import load_program
    from graphc.runtime import launch

    if native and not launch.can_read_objects():
        pytest.skip("this interpreter's objects are unknown")
    made = load_program(failing().compile().program)
    launcher = launch.Launcher(
        made._entry,
        made._inputs,
        made._outputs,
        constants=made._constants,
        words=made._plain_words,
        sizes=made._sizes,
        arena_bytes=made._arena_bytes,
        release_lock=release_lock,
        native=native,
    )
    x = np.array([1.0, 2.0])
    for _ in range(3):  # the first by `run`, the others by `fast`
        result = launcher.fast(x)
        result = launcher.run([x], {"n": 2}) if result is None else result
        assert isinstance(result, tuple)
        np.testing.assert_array_equal(result[0], [-3.0, -5.0])
    assert launcher.fast(-x) == 1
    assert isinstance(take_error(), KeyError)


def test_run_inside_of_a_call() -> None:
    inner = failing().compile()

    def nested(results: tuple[TensorType, ...], x: Values) -> Values:
        result: Values = inner(x)
        return result

    register_host(HostFunction("test.nested", nested))
    x = make_input("x", TensorType((2,), f64))
    outer = Graph("f", (x,), tuple(ew.neg(y) for y in host.call("test.nested", (x,), (x.tensor,)))).compile()
    np.testing.assert_array_equal(outer(np.array([1.0, 2.0])), [3.0, 5.0])
    with pytest.raises(KeyError, match="no -2"):
        outer(np.array([-1.0, 1.0]))


# Kept code

SCRIPT = """
import numpy as np, graphc
from graphc.runtime import cache
made = graphc.compile(lambda x: graphc.linalg.inv(x) + 1)
print(made(np.array([[2.0, 0.0], [0.0, 4.0]])).tolist(), cache.stats().compiles)
"""


def test_kept_code_serves_another_process(tmp_path: Path) -> None:
    environment = {**os.environ, "GRAPHC_CACHE_DIR": str(tmp_path)}
    lines = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment
        ).stdout.split("] ")
        for _ in range(2)
    ]
    assert lines[0][0] == lines[1][0] == "[[1.5, 1.0], [1.0, 1.25]"
    assert int(lines[0][1]) > 0
    assert int(lines[1][1]) == 0


def test_addresses_are_no_part_of_the_code() -> None:
    from graphc.codegen.cpu import emit_kernel
    from graphc.runtime.host import _entry
    from graphc.runtime.target import host_target

    kernel = next(kernel for kernel in example().compile().kernels if kernel.name == "test.sums")
    address = ctypes.cast(_entry, ctypes.c_void_p).value
    assert str(address) not in emit_kernel(kernel, host_target(), "k")


def test_a_function_may_write_its_results_where_they_belong() -> None:
    x = make_input("x", TensorType((symbol("n"),), f32))
    up, down = host.call("test.shift", (x,), (x.tensor, x.tensor))
    graph = Graph("f", (x,), (ew.mul(up, down), down))
    values = np.arange(4, dtype=np.float32)
    for found in (evaluate_graph(graph, [values]), Executable.build(graph).outputs([values])):
        np.testing.assert_array_equal(found[0], [-1, 0, 3, 8])
        np.testing.assert_array_equal(found[1], [-1, 0, 1, 2])
