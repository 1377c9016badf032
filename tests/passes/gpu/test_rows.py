"""Reductions along rows on a GPU: the bits of the CPU, one kernel, one read of memory, and no registers spilled."""

from __future__ import annotations

import pytest

import graphc as g
from graphc.ir.dim import evaluate
from graphc.kernel.gpu import STATIC_SHARED_BYTES, grid_of
from graphc.kernel.ir import Loop, LoopKind, Space, Store, statements_in
from tests.codegen.gpu.assembler import compiled
from tests.gpu.harness import TARGET, schedule_graph
from tests.passes.gpu.reductions import (
    COMBINERS,
    OVER_AXIS,
    Function,
    check,
    check_extremes,
    global_loads,
    kernel_of,
    kernels_of,
)

LENGTHS = (1, 2, 5, 31, 32, 33, 63, 64, 65, 100, 1000, 1024, 5000, 20000)

PROGRAMS: dict[str, tuple[Function, tuple[str, ...]]] = {
    "softmax": (lambda x: x.softmax(1), ("f32[9,1000]",)),
    "softmax of short rows": (lambda x: x.softmax(1), ("f32[33,10]",)),
    "softmax of long rows": (lambda x: x.softmax(1), ("f32[3,5000]",)),
    "softmax of bf16": (lambda x: x.softmax(1), ("bf16[9,264]",)),
    "softmax of the middle one of three axes": (lambda x: x.permute(0, 2, 1).softmax(2), ("f32[3,40,5]",)),
    "log_softmax": (lambda x: x.log_softmax(-1), ("f32[3,5,70]",)),
    "gradient of softmax": (g.grad(lambda x: x.softmax(1).square().sum()), ("f32[9,200]",)),
    "layer norm": (lambda x, w, b: g.layer_norm(x, 200, w, b), ("f32[9,200]", "f32[200]", "f32[200]")),
    "gradient of layer norm": (g.grad(lambda x, w: g.layer_norm(x, 200, w).sin().sum()), ("f32[9,200]", "f32[200]")),
    "rms norm": (lambda x, w: g.rms_norm(x, 200, w), ("f32[9,200]", "f32[200]")),
    "cross entropy": (g.value_and_grad(g.cross_entropy), ("f32[9,130]", "i64[9]")),
    "batch norm": (lambda x: g.batch_norm(x, None, None, training=True), ("f32[16,3,5,5]",)),
    "group norm": (lambda x: g.group_norm(x, 2), ("f32[3,4,6,6]",)),
    "variance over a batch and a plane": (lambda x: x.var((0, 2)), ("f32[10,3,64]",)),
    "variance of all": (lambda x: x.var(), ("f32[70,100]",)),
    "logsumexp": (lambda x: x.logsumexp(1), ("f32[5,300]",)),
    "complex": (lambda x: x.sum(1), ("c64[5,300]",)),
    "quotient by the sum of all": (lambda x: x / x.sum(), ("f32[1000]",)),
    "results for rows and elements": (lambda x: (x - x.amax(1, keepdim=True), x.amax(1)), ("f32[9,100]",)),
    "sum of windows' maxima": (lambda x: g.max_pool2d(x, 3).sum((2, 3)), ("f32[2,3,30,30]",)),
    "elements by index": (lambda x, i: x.gather(1, i).sum(1), ("f32[5,40]", "i64[5,70]")),
    "rows whose number is no multiple of a block's": (lambda x: x.softmax(1), ("f32[77,7]",)),
    "padded rows": (lambda x: g.nn.functional.pad(x, (1, 2)).sum(1), ("f32[5,77]",)),
    "all, in two stages": (lambda x: x.sum(), ("f32[300,200]",)),
    "all, of symbolic size": (lambda x: x.amax(), ("f32[n]",)),
    "softmax of symbolic size": (lambda x: x.softmax(1), ("f32[n,m]",)),
    "layer norm of symbolic size": (lambda x: g.layer_norm(x, x.shape[1:]), ("f32[n,m]",)),
    "argmax of symbolic size": (lambda x: x.argmax(1), ("f32[n,m]",)),
}


@pytest.mark.parametrize("length", LENGTHS)
def test_rows_of_any_length_keep_every_bit(length: int) -> None:
    check(OVER_AXIS["sum"](1), f"f32[3,{length}]")
    check(OVER_AXIS["argmax"](1), f"f32[40,{length}]")
    check(lambda x: x.log_softmax(1), f"f32[2,{length}]")


@pytest.mark.parametrize(("combiner", "dtype"), COMBINERS)
def test_combiners_keep_every_bit(combiner: str, dtype: str) -> None:
    for length in (10, 200, 2500):
        check(OVER_AXIS[combiner](1), f"{dtype}[3,{length}]", policy="rows")


def test_ties_nans_and_zeros_keep_every_bit() -> None:
    check_extremes(1)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_keep_every_bit(name: str) -> None:
    function, specs = PROGRAMS[name]
    for n, m in ((3, 70), (1, 17000)) if any("n" in each for each in specs) else ((1, 1),):
        check(function, *specs, n=n, m=m)


@pytest.mark.parametrize(("n", "m"), [(0, 5), (3, 0), (0, 0)])
def test_no_rows_and_empty_rows(n: int, m: int) -> None:
    for function in (lambda x: x.softmax(1), lambda x: x.sum(1), lambda x: x.prod(0), lambda x: x.var()):
        check(function, "f32[n,m]", n=n, m=m)


@pytest.mark.parametrize("length", [10, 64, 100, 1000, 1024, 2048, 4096, 8192])
@pytest.mark.parametrize(
    "function",
    [lambda x: x.softmax(1), lambda x: x.log_softmax(1), lambda x: g.layer_norm(x, x.shape[1:])],
    ids=["softmax", "log_softmax", "layer_norm"],
)
def test_a_row_is_read_once(function: Function, length: int) -> None:
    rows = 256
    kernel = kernel_of(function, f"f32[{rows},{length}]")
    read = global_loads(kernel, "p0")
    # The threads behind the end of a row read its last elements once more.
    assert rows * length <= read <= rows * (length + 1024)
    assert length not in (64, 1024, 2048, 4096) or read == rows * length


def test_what_all_rows_read_takes_no_registers() -> None:
    kernel = kernel_of(lambda x, w: (x * w).softmax(1), "f32[64,1024]", "f32[1024]")
    times = {buffer.size: global_loads(kernel, buffer.name) for buffer in kernel.buffers if buffer not in kernel.writes}
    assert times[64 * 1024] == 64 * 1024
    assert times[1024] == 2 * 64 * 1024


def test_few_long_rows_have_a_block_each() -> None:
    def blocks(rows: int, length: int) -> object:
        grid = grid_of(kernel_of(lambda x: x.sum(1), f"f32[{rows},{length}]"))
        assert grid is not None
        return grid.blocks

    assert blocks(100, 4000) == 100
    assert blocks(10000, 4000) == 625
    assert blocks(10000, 10000) == 10000
    assert blocks(1000, 10) == 32


def test_rows_of_symbolic_length_have_a_warp_or_a_block_each() -> None:
    def blocks(rows: int, length: int) -> list[int]:
        kernels = kernels_of(lambda x: x.argmax(1), "f32[n,m]")
        grids = [grid for grid in map(grid_of, kernels) if grid is not None]
        return [evaluate(grid.blocks, {"n": rows, "m": length}) for grid in grids]

    assert blocks(4096, 64) == [512, 0]
    assert blocks(4096, 4000) == [512, 0]
    assert blocks(4096, 20000) == [0, 4096]
    assert blocks(4, 4000) == [0, 4]
    assert blocks(0, 0) == [0, 0]


@pytest.mark.parametrize("dtype", ["bool", "u8", "bf16", "f32", "f64", "i64"])
def test_shared_memory_is_what_every_block_may_have(dtype: str) -> None:
    for length in (4096, 10000, 16384):
        for combiner in ("sum", "all", "argmax") if dtype not in ("bool", "bf16") else ("sum", "all"):
            graph = g.symbolic_trace(_centered(combiner), f"{dtype}[3,{length}]")
            for kernel in schedule_graph(graph).policies:
                grid = grid_of(kernel)
                assert grid is not None
                assert grid.shared_bytes <= STATIC_SHARED_BYTES


def _centered(combiner: str) -> Function:
    """A function that keeps a row for what follows a reduction."""
    reduced = OVER_AXIS[combiner](1)
    return lambda x: (x.to(g.int64) + reduced(x).to(g.int64).unsqueeze(1)).to(x.dtype)


def test_neighbours_are_read_at_once() -> None:
    def width(dtype: str, length: int) -> object:
        kernel = kernel_of(lambda x: x.sum(1), f"{dtype}[1000,{length}]")
        return max((s.extent for s in statements_in(kernel.body) if _is_vector(s)), default=1)  # type: ignore[union-attr]

    assert width("f32", 1000) == 4
    assert width("f32", 1002) == 2
    assert width("f32", 1001) == 2
    assert width("f32", 101) == 1
    assert width("bf16", 1024) == 8
    assert width("f64", 1024) == 2


def _is_vector(statement: object) -> bool:
    return isinstance(statement, Loop) and statement.kind is LoopKind.VECTOR


def test_only_one_thread_of_a_team_stores_what_a_row_has_one_of() -> None:
    kernel = kernel_of(lambda x: x.sum(1), "f32[100,1000]")
    (store,) = (s for s in statements_in(kernel.body) if isinstance(s, Store) and s.buffer.space is Space.GLOBAL)
    assert store.predicate is not None


def test_no_registers_are_spilled() -> None:
    programs = [
        PROGRAMS[name] for name in ("softmax", "gradient of layer norm", "batch norm", "argmax of symbolic size")
    ]
    programs += [(lambda x: x.softmax(1), (f"f32[64,{length}]",)) for length in (10, 2048, 4096, 8192)]
    programs += [(OVER_AXIS[name](1), ("bf16[64,3000]",)) for name in ("sum", "argmax")]
    kernels = {
        f"kernel_{number}_{part}": kernel
        for number, (function, specs) in enumerate(programs)
        for part, kernel in enumerate(kernels_of(function, *specs))
    }
    _, usages = compiled(kernels, TARGET)
    assert {name: usage.spilled_bytes for name, usage in usages.items() if usage.spilled_bytes} == {}
    assert {name: usage.stack_bytes for name, usage in usages.items() if usage.stack_bytes} == {}
