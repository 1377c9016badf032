"""CUDA graphs that programs capture: what they give, their memory, random numbers, and what no graph can hold."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc import nn
from graphc.cuda import CUDAGraph, graph, graph_pool_handle, is_current_stream_capturing, make_graphed_callables
from graphc.runtime.cuda.emulator import Emulator
from graphc.runtime.cuda.select import driver

here: Any = graphc


def on_gpu(*values: float, **options: Any) -> Any:
    return here.tensor(values, dtype=here.float32, device="cuda", **options)


def captured(function: Callable[[], Any], **options: Any) -> tuple[CUDAGraph, Any]:
    made = CUDAGraph()
    with graph(made, **options):
        result = function()
    return made, result


def launches() -> int:
    found = driver()
    assert isinstance(found, Emulator)
    return found.launches


def test_nothing_runs_until_a_graph_is_replayed() -> None:
    x = on_gpu(1, 2, 3)
    before = launches()
    made, y = captured(lambda: (x * 2 + 1).sin().cumsum(0))
    assert launches() == before
    expected = (x * 2 + 1).sin().cumsum(0)
    made.replay()
    assert y.tolist() == expected.tolist()
    x.copy_(on_gpu(4, 5, 6))
    expected = (x * 2 + 1).sin().cumsum(0)
    for _ in range(2):
        made.replay()
        assert y.tolist() == expected.tolist()
    assert on_gpu(1, 2).add(3).tolist() == [4, 5]  # what was captured is not what others use


def test_results_stay_where_they_are() -> None:
    x = here.ones(300, device="cuda")
    made, y = captured(lambda: (x + 1) * 2)
    address = y.data_ptr()
    others = [here.zeros(300, device="cuda") for _ in range(8)]
    made.replay()
    assert (y.data_ptr(), y.sum().item()) == (address, 1200.0)
    assert all(other.sum().item() == 0 for other in others)
    del y
    others = [here.zeros(300, device="cuda") for _ in range(8)]
    made.replay()  # also where nobody has the result any more, its memory is the graph's
    assert all(other.sum().item() == 0 for other in others)


def test_memory_returns_with_the_last_graph_that_uses_it() -> None:
    here.cuda.empty_cache()
    before = here.cuda.memory_reserved()
    ones = [here.ones(1 << 20, device="cuda")]
    first, y = captured(lambda: ones[0] + 1)
    results = [y]
    second, z = captured(lambda: results[0] + ones[0], pool=first.pool())
    results.clear()
    second_pool = second.pool()
    assert second_pool == first.pool() != graph_pool_handle()
    del y, z
    first.reset()
    here.cuda.empty_cache()
    assert here.cuda.memory_reserved() > before + (4 << 20)  # what the graph needs, and the ones
    second.reset()
    ones.clear()
    here.cuda.empty_cache()
    assert here.cuda.memory_reserved() == before


def test_a_training_step() -> None:
    def made(seed: int) -> tuple[Any, Any, Any, Any]:
        here.manual_seed(seed)
        model: Any = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2)).cuda()
        optimizer = graphc.optim.Adam(model.parameters(), lr=0.1)
        return model, optimizer, here.randn(3, 4).cuda(), here.randn(3, 2).cuda()

    def step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def warmed(seed: int) -> tuple[Any, Any, Any, Any]:
        parts = made(seed)
        step(*parts)
        return parts

    expected_parts = warmed(3)
    here.cuda.manual_seed(11)
    expected = [step(*expected_parts).item() for _ in range(3)]
    parts = warmed(3)
    captured_step, loss = captured(lambda: step(*parts))
    here.cuda.manual_seed(11)
    found = []
    for _ in range(3):
        captured_step.replay()
        found.append(loss.item())
    assert found == expected  # dropout too draws what it would have drawn
    for a, b in zip(parts[0].parameters(), expected_parts[0].parameters()):
        assert here.equal(a, b)


def test_programs_of_compile_are_part_of_a_graph() -> None:
    @here.compile
    def program(x: Any) -> Any:
        return nn.functional.dropout(x.softmax(0), 0.5) + here.randn_like(x)

    x = on_gpu(1, 2, 3)
    program(x)
    program(x)
    here.cuda.manual_seed(4)
    expected = [program(x).tolist() for _ in range(3)]
    made, y = captured(lambda: program(x))
    here.cuda.manual_seed(4)
    found = []
    for _ in range(3):
        made.replay()
        found.append(y.tolist())
    assert found == expected


def test_graphs_run_in_any_stream() -> None:
    x = on_gpu(1, 2)
    made, y = captured(lambda: x + 1)
    side: Any = here.cuda.Stream()
    with here.cuda.stream(side):
        made.replay()
    here.cuda.current_stream().wait_stream(side)
    assert y.tolist() == [2, 3]


def test_other_streams_may_take_part() -> None:
    x = on_gpu(1, 2)

    def work() -> Any:
        side: Any = here.cuda.Stream()
        main = here.cuda.current_stream()
        side.wait_stream(main)
        with here.cuda.stream(side):
            assert is_current_stream_capturing()
            y = x * 3
        main.wait_stream(side)
        y.record_stream(main)
        return y + 1

    assert not is_current_stream_capturing()
    made, y = captured(work)
    made.replay()
    assert y.tolist() == [4, 7]


def test_a_capture_can_be_given_up() -> None:
    made = CUDAGraph()
    with here.cuda.stream(here.cuda.Stream()):
        made.capture_begin()
        assert is_current_stream_capturing()
        made.reset()
        assert not is_current_stream_capturing()


def test_other_threads_go_on_meanwhile() -> None:
    x = on_gpu(1, 2)
    found: list[Any] = []

    def other() -> None:
        with here.cuda.stream(here.cuda.Stream()):
            found.append((on_gpu(3, 4) * 2).tolist())

    def work() -> Any:
        thread = threading.Thread(target=other)
        y = x + 1
        thread.start()
        thread.join()
        return y * 2

    made, y = captured(work)
    made.replay()
    assert (found, y.tolist()) == ([[6, 8]], [4, 6])


def test_checks_in_kernels_are_told_after_a_replay() -> None:
    x, index = on_gpu(1, 2), here.tensor([0, 1], device="cuda")
    made, y = captured(lambda: x[index])
    made.replay()
    assert y.tolist() == [1, 2]
    index.fill_(7)
    made.replay()
    with pytest.raises(IndexError):
        here.cuda.synchronize()


def test_pinned_memory_is_copied_by_a_graph() -> None:
    source = here.tensor([1.0, 2.0, 3.0]).pin_memory()
    back = here.zeros(3).pin_memory()

    def work() -> Any:
        y = source.to("cuda", non_blocking=True) * 2
        back.copy_(y, non_blocking=True)
        return y

    made, _ = captured(work)
    source.copy_(here.tensor([4.0, 5.0, 6.0]))
    made.replay()
    here.cuda.synchronize()
    assert back.tolist() == [8, 10, 12]


def test_graphed_callables() -> None:
    here.manual_seed(0)
    plain: Any = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).cuda()
    here.manual_seed(0)
    fast: Any = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).cuda()
    sample = here.randn(5, 3, device="cuda", requires_grad=True)
    assert make_graphed_callables(fast, (sample,)) is fast
    for number in range(3):
        here.manual_seed(number)
        x = here.randn(5, 3, device="cuda").requires_grad_()
        z = x.detach().clone().requires_grad_()
        (plain(x).square().sum()).backward()
        (fast(z).square().sum()).backward()
        assert here.equal(x.grad, z.grad)
        for a, b in zip(plain.parameters(), fast.parameters()):
            assert here.equal(a.grad, b.grad)
    fast.eval()
    assert fast(here.ones(1, 3, device="cuda")).shape == (1, 2)  # another shape: not by the graph


def test_several_graphed_functions() -> None:
    first, second = make_graphed_callables(
        (lambda a, b: {"sum": a + b}, lambda a: (a * 2, a.long())),
        ((on_gpu(0, 0), on_gpu(0, 0)), (on_gpu(0, 0),)),
    )
    assert first(on_gpu(1, 2), on_gpu(3, 4))["sum"].tolist() == [4, 6]
    assert [each.tolist() for each in second(on_gpu(5, 6))] == [[10, 12], [5, 6]]


NOT_PERMITTED = "CUDA error: operation not permitted when stream is capturing"
PINNED = (
    "Cannot copy between CPU and CUDA tensors during CUDA graph capture unless the CPU tensor is pinned. Please use "
    "tensor.pin_memory() or allocate the tensor with pin_memory=True."
)
FORBIDDEN: dict[str, tuple[Callable[[Any], object], str]] = {
    "item": (lambda x: x[0].item(), NOT_PERMITTED),
    "bool": (lambda x: bool(x[0] > 0), NOT_PERMITTED),
    "synchronize": (lambda x: here.cuda.synchronize(), NOT_PERMITTED),
    "stream": (lambda x: here.cuda.current_stream().synchronize(), NOT_PERMITTED),
    "query": (lambda x: here.cuda.current_stream().query(), NOT_PERMITTED),
    "event": (
        lambda x: here.cuda.current_stream().record_event().synchronize(),
        "CUDA error: operation not permitted on an event last recorded in a capturing stream",
    ),
    "cpu": (lambda x: x.cpu(), PINNED),
    "tensor": (lambda x: here.tensor([1.0, 2.0, 3.0], device="cuda"), PINNED),
    "nonzero": (lambda x: x.nonzero(), NOT_PERMITTED),
    "uncaptured work": (
        lambda x: here.cuda.current_stream().wait_stream(here.cuda.default_stream()),
        "CUDA error: dependency created on uncaptured work in another stream",
    ),
    "another graph": (lambda x: captured(lambda: x + 1), NOT_PERMITTED),
    "own error": (lambda x: 1 // 0, "integer division or modulo by zero"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_graph_can_not_hold(name: str) -> None:
    call, text = FORBIDDEN[name]
    x = on_gpu(1, 2, 3)
    here.cuda.default_stream().record_event()
    made = CUDAGraph()
    with pytest.raises((RuntimeError, ZeroDivisionError)) as caught, graph(made):
        call(x)
    assert str(caught.value).startswith(text)
    assert not is_current_stream_capturing()
    with graph(made):  # all is as before
        y = x + 1
    made.replay()
    assert y.tolist() == [2, 3, 4]


def test_work_that_nobody_waits_for_is_refused() -> None:
    x = on_gpu(1, 2)
    side: Any = here.cuda.Stream()

    def work() -> None:
        side.wait_stream(here.cuda.current_stream())
        with here.cuda.stream(side):
            x.add_(1)

    with pytest.raises(RuntimeError, match="CUDA error: capturing stream has unjoined work"):
        captured(work)
    assert x.tolist() == [1, 2]


def begun() -> CUDAGraph:
    made = CUDAGraph()
    made.capture_begin()
    return made


def ended_elsewhere() -> None:
    side: Any = here.cuda.Stream()
    made = CUDAGraph()
    with here.cuda.stream(side):
        made.capture_begin()
    try:
        made.capture_end()
    finally:
        with here.cuda.stream(side):
            made.capture_end()


def finished() -> CUDAGraph:
    x = on_gpu(1)
    return captured(lambda: x + 1)[0]


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "default stream": (begun, "CUDA graphs must be captured on a non-default stream."),
    "not begun": (lambda: CUDAGraph().capture_end(), "capture_end() called before capture_begin()."),
    "not captured": (
        lambda: CUDAGraph().replay(), "Called CUDAGraph::replay without a preceding successful capture."
    ),
    "no pool": (lambda: CUDAGraph().pool(), "Called CUDAGraph::pool() without a preceding successful capture."),
    "twice": (lambda: finished().capture_begin(), "This CUDAGraph instance already owns a captured graph."),
    "other stream": (ended_elsewhere, "Capture must end on the same stream it began on."),
    "mode": (
        lambda: CUDAGraph().capture_begin(capture_error_mode="all"),
        "Unknown capture error mode. Expected `global`, `thread_local`, or `relaxed`, got all",
    ),
    "instantiate": (
        lambda: finished().instantiate(), "instantiate() is intended to be called by the user only when keep_graph=true"
    ),
    "instantiate early": (
        lambda: CUDAGraph().instantiate(), "capture_end() must have been called before calling instantiate"
    ),
    "raw": (lambda: finished().raw_cuda_graph(), "You cannot access the raw cudaGraph_t instance unless CUDAGraph was"),
    "raw exec": (lambda: CUDAGraph().raw_cuda_graph_exec(), "You cannot access the raw cudaGraphExec_t instance until"),
    "reset": (lambda: (made := finished(), made.reset(), made.replay()), "Called CUDAGraph::replay without"),
    "kept": (lambda: CUDAGraph(keep_graph=True), "a CUDA graph keeps no more than what is launched"),
    "liveness": (
        lambda: CUDAGraph().capture_begin(check_input_liveness=True),
        "a CUDA graph does not look whether its inputs live",
    ),
    "annotations": (lambda: graph(CUDAGraph(), enable_annotations=True), "CUDA graphs have no annotations"),
    "pictures": (lambda: CUDAGraph().debug_dump("x"), "graphc writes no pictures of CUDA graphs"),
    "numbers": (
        lambda: make_graphed_callables(lambda a: a, (1,)),
        "In the beta API, sample_args for each callable must contain only Tensors.",
    ),
    "hooks": (lambda: make_graphed_callables(hooked(), (on_gpu(1),)), "Modules must not have hooks registered"),
    "buffers": (lambda: make_graphed_callables(trained_buffer(), (on_gpu(1),)), "In any :class:`~torch.nn.Module`"),
    "autocast": (lambda: in_autocast(), "make_graphed_callables does not support the autocast"),
}  # fmt: skip


def hooked() -> Any:
    module: Any = nn.Linear(1, 1)
    module.register_forward_hook(lambda *arguments: None)
    return module


def trained_buffer() -> Any:
    module: Any = nn.Linear(1, 1)
    module.register_buffer("extra", here.ones(1, requires_grad=True))
    return module


def in_autocast() -> None:
    with here.autocast("cuda"):
        make_graphed_callables(lambda a: a, (on_gpu(1),))


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    call, text = REFUSED[name]
    with pytest.raises((RuntimeError, AssertionError)) as caught:
        call()
    assert str(caught.value).startswith(text)
    assert not is_current_stream_capturing()
