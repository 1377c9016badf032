"""What a GPU's runtime promises beside results: memory comes back, errors are found, streams and replays give the same.

Out: a group of tasks, each with a state of `gpu_task` in its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import graphc
from graphc.ir.errors import GraphcError, MemoryExceeded
from tests.benchmarks.gpu_compare import compare, on_host
from tests.benchmarks.gpu_task import DIFFERS, SAME, Figures, Task
from tests.benchmarks.gpu_training import SMALL_STEPS

STEPS, QUICK_STEPS = 100, 6
WARM_UP = 5
"""Steps after which memory must not grow."""


def behaviour_tasks(is_quick: bool) -> Iterator[Task]:
    """Memory, errors, streams, replays, copies."""
    for name, is_compiled in (("eager", False), ("compiled", True)):
        yield Task(f"memory over steps, {name}", lambda is_compiled=is_compiled: memory(is_compiled, is_quick))  # type: ignore[misc]
    functions: tuple[Callable[[], Figures], ...] = (
        index_out_of_range, compiled_index_out_of_range, out_of_memory, other_device, replay, copies, random_numbers,
        dropout,
    )  # fmt: skip
    yield Task("several streams", lambda: several_streams(*((7, 1) if is_quick else (257, 3))))
    for function in functions:
        yield Task(function.__name__.replace("_", " "), function)


def memory(is_compiled: bool, is_quick: bool) -> Figures:
    """What a training step takes is there again after it."""
    step = SMALL_STEPS["MLP, SGD" if is_quick else "MLP, Adam"](graphc, "cuda").step()
    if is_compiled:
        step = graphc.compile(step)
    for _ in range(WARM_UP):
        step()
    before = graphc.cuda.memory_allocated(), graphc.cuda.memory_reserved()
    count = QUICK_STEPS if is_quick else STEPS
    for _ in range(count):
        step()
    graphc.cuda.synchronize()
    after = graphc.cuda.memory_allocated(), graphc.cuda.memory_reserved()
    figures: Figures = {"bytes_allocated": after[0], "bytes_reserved": after[1], "steps": count}
    if after != before:
        return {"state": DIFFERS, "what": f"before {count} steps {before} bytes, after them {after}", **figures}
    return {"state": SAME, **figures}


def index_out_of_range() -> Figures:
    """Found where the host next waits."""
    table, places = graphc.ones(10, 4, device="cuda"), graphc.tensor([1, 12], device="cuda")
    return _raises(lambda: graphc.nn.functional.embedding(places, table).cpu(), GraphcError, "index out of range")


def compiled_index_out_of_range() -> Figures:
    """The same in a program, and what comes after the error is right."""
    table, places = graphc.ones(10, 4, device="cuda"), graphc.tensor([1, 2], device="cuda")
    look_up = graphc.compile(lambda i, x: graphc.nn.functional.embedding(i, x) * 2)
    for _ in range(3):
        expected = look_up(places, table).cpu()
    wrong = graphc.tensor([1, 12], device="cuda")
    figures = _raises(lambda: look_up(wrong, table).cpu(), GraphcError, "index out of range")
    if figures["state"] != SAME:
        return figures
    return compare([expected.numpy()], [look_up(places, table).cpu().numpy()], None)


def out_of_memory() -> Figures:
    """PyTorch's words and the lines that hold memory; afterwards all is well."""
    total = graphc.cuda.get_device_properties(0).total_memory
    kept = graphc.ones(1 << 20, device="cuda")
    figures = _raises(lambda: graphc.empty(total // 2, device="cuda"), MemoryExceeded, "CUDA out of memory. Tried to")
    if figures["state"] != SAME:
        return figures
    return compare([np.float32(1 << 20)], [kept.sum().cpu().numpy()], None)


def other_device() -> Figures:
    """Tensors of the host and of a GPU do not mix."""
    x, y = graphc.ones(3, device="cuda"), graphc.ones(3)
    return _raises(lambda: x + y, RuntimeError, "Expected all tensors to be on the same device")


def several_streams(size: int, rounds: int) -> Figures:
    """Work of four streams at once, each with memory of its own, beside the default one."""
    arrays = [np.random.default_rng(seed).standard_normal((size, 12), np.float32) for seed in range(4)]

    def work(x: Any) -> Any:
        for _ in range(rounds):
            x = (x @ x.t()).softmax(dim=1) @ x + 1
        return x

    expected = [work(graphc.from_numpy(array)).numpy() for array in arrays]
    streams = [graphc.cuda.Stream() for _ in arrays]
    tensors = [graphc.from_numpy(array).cuda() for array in arrays]
    graphc.cuda.synchronize()
    results = []
    for _ in range(rounds):
        results.clear()
        for stream, tensor in zip(streams, tensors):
            with graphc.cuda.stream(stream):
                results.append(work(tensor))
        for stream in streams:
            graphc.cuda.current_stream().wait_stream(stream)
        results.append(sum(results[1:], results[0]))
    total = expected[0]
    for each in expected[1:]:
        total = total + each
    return compare([*expected, total], [each.cpu().numpy() for each in results], None)


def replay() -> Figures:
    """A program that is replayed reads what is in its arguments then, not what was there when it was noted."""
    program = graphc.compile(lambda x, w: ((x @ w).softmax(dim=1).flip(0) @ w).sum(dim=1))
    generator = np.random.default_rng(0)
    w = generator.standard_normal((24, 24), np.float32)
    x = graphc.zeros(24, 24, device="cuda")
    weights = graphc.from_numpy(w).cuda()
    expected, found = [], []
    for _ in range(6):
        array = generator.standard_normal((24, 24), np.float32)
        expected.append(program(graphc.from_numpy(array), graphc.from_numpy(w)).numpy())
        x.copy_(graphc.from_numpy(array))
        found.append(program(x, weights).cpu().numpy())
    return compare(expected, found, None)


def copies() -> Figures:
    """Of any strides, between host and device, pinned and not."""
    x = np.random.default_rng(0).standard_normal((37, 1030, 5), np.float32)
    plain = graphc.from_numpy(x)
    pinned = plain.pin_memory().to("cuda", non_blocking=True)
    there = plain.cuda()
    views = (there, pinned, there.permute(2, 0, 1), there[::3, 5:], there.flip(1), there.half(), there.to("cpu").cuda())
    wanted = (x, x, x.transpose(2, 0, 1), x[::3, 5:], x[:, ::-1], x.astype(np.float16), x)
    return compare([np.ascontiguousarray(each) for each in wanted], [on_host(each) for each in views], None)


def random_numbers() -> Figures:
    """Those of the CPU."""

    def draw(device: str) -> list[Any]:
        graphc.manual_seed(11)
        with graphc.device(device):
            drawn = graphc.rand(1001), graphc.randn(333), graphc.randint(0, 100, (77,)), graphc.randperm(500)
        return [on_host(each) for each in drawn]

    return compare(draw("cpu"), draw("cuda"), None)


def dropout() -> Figures:
    """Drawn from the device's own stream, which goes on from call to call."""

    def drop(device: str) -> list[Any]:
        graphc.manual_seed(11)
        with graphc.device(device):
            graphc.rand(3)
            return [on_host(graphc.nn.functional.dropout(graphc.ones(4099), 0.3)) for _ in range(2)]

    return compare(drop("cpu"), drop("cuda"), None)


def _raises(call: Callable[[], object], kind: type[Exception], words: str) -> Figures:
    try:
        call()
    except kind as error:
        if words in str(error):
            return {"state": SAME, "message": str(error).splitlines()[0]}
        return {"state": DIFFERS, "what": f"the message lacks {words!r}: {error}"}
    return {"state": DIFFERS, "what": f"no {kind.__name__} is raised"}
