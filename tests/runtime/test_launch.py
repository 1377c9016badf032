"""The call from Python into a program: what the fast way takes, what it declines, and what each block holds.

Most programs here are Python callbacks, which look at their block; the machine code that calls them is the real one.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir.dim import Symbol, symbol
from graphc.ir.dtype import bf16, f32, f64, i64
from graphc.ir.errors import MemoryExceeded
from graphc.ir.type import TensorType
from graphc.runtime import engine, launch
from graphc.runtime.buffer import buffer_stats
from graphc.runtime.launch import Launcher
from graphc.runtime.target import host_target, native_target

WAYS = pytest.mark.parametrize(
    "native",
    [
        pytest.param(True, marks=pytest.mark.skipif(not launch.can_read_objects(), reason="no such interpreter")),
        False,
    ],
    ids=["native", "python"],
)

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(ctypes.c_int64))
_kept: list[object] = []


def program(body: Callable[[list[int]], int | None], words: int) -> int:
    """The address of an entry that calls `body` with the words of its block."""
    callback = _ENTRY(lambda block: body([block[i] for i in range(words)]) or 0)
    _kept.append(callback)
    return ctypes.cast(callback, ctypes.c_void_p).value or 0


def floats(address: int, count: int) -> np.ndarray:
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address))


def adder(native: bool, **options: object) -> Launcher:
    """A program that adds two vectors of 3 into a third."""

    def body(words: list[int]) -> None:
        x, y, out = (floats(address, 3) for address in words[:3])
        out[:] = x + y

    vector = TensorType((3,), f32)
    return Launcher(program(body, 4), [vector, vector], [vector], native=native, **options)  # type: ignore[arg-type]  # options of several types


X = np.array([1, 2, 3], np.float32)
Y = np.array([10, 20, 30], np.float32)


@WAYS
@pytest.mark.parametrize("release_lock", [True, False])
def test_the_fast_way_opens_after_the_first_run(native: bool, release_lock: bool) -> None:
    launcher = adder(native, release_lock=release_lock)
    assert launcher.fast(X, Y) is None
    for result in (launcher.run([X, Y], {}), launcher.fast(X, Y), launcher.fast(Y, X)):
        assert isinstance(result, tuple)
        np.testing.assert_array_equal(result[0], [11, 22, 33])
        assert result[0].dtype == np.float32
        assert result[0].flags.writeable


class Subclass(np.ndarray):
    pass


def misaligned() -> np.ndarray:
    return np.frombuffer(bytearray(13), np.float32, count=3, offset=1)


DECLINED: dict[str, tuple[object, ...]] = {
    "too few": (X,),
    "too many": (X, Y, Y),
    "none at all": (),
    "a list": (X, [1.0, 2.0, 3.0]),
    "None": (X, None),
    "a number": (X, 1.0),
    "another dtype": (X, Y.astype(np.float64)),
    "the same width": (X, Y.view(np.int32)),
    "bytes swapped": (X, Y.astype(">f4")),
    "a scalar array": (X, np.float32(1).reshape(())),
    "more dimensions": (X, Y.reshape(1, 3)),
    "longer": (X, np.zeros(4, np.float32)),
    "empty": (X, np.zeros(0, np.float32)),
    "strided": (X, np.zeros(6, np.float32)[::2]),
    "backwards": (X, Y[::-1]),
    "misaligned": (X, misaligned()),
    "a subclass": (X, Y.view(Subclass)),
    "a masked array": (X, np.ma.array(Y)),
}


@WAYS
@pytest.mark.parametrize("case", DECLINED)
def test_what_is_not_exactly_right_is_declined(native: bool, case: str) -> None:
    launcher = adder(native, arena_bytes=64)
    launcher.run([X, Y], {})
    assert launcher.fast(*DECLINED[case]) is None
    assert launcher.fast(X, Y) is not None  # and nothing was left in disorder


@WAYS
def test_read_only_arrays_are_taken(native: bool) -> None:
    launcher = adder(native)
    launcher.run([X, Y], {})
    frozen = X.copy()
    frozen.flags.writeable = False
    assert launcher.fast(frozen, Y) is not None


@WAYS
def test_arrays_of_every_rank(native: bool) -> None:
    shapes = [(), (0,), (2, 0, 3), (2, 3), (1,) * 20]
    types = [TensorType(shape, f64) for shape in shapes]

    def body(words: list[int]) -> None:
        for source, target, shape in zip(words, words[len(shapes) :], shapes):
            ctypes.memmove(target, source, 8 * int(np.prod(shape)))

    launcher = Launcher(program(body, 2 * len(shapes)), types, types, native=native)
    arrays = [np.random.default_rng(0).standard_normal(shape) for shape in shapes]
    for result in (launcher.run(arrays, {}), launcher.fast(*arrays)):
        assert isinstance(result, tuple)
        for array, copy in zip(arrays, result):
            np.testing.assert_array_equal(array, copy)
            assert array.shape == copy.shape


@WAYS
def test_a_dtype_that_numpy_does_not_have(native: bool) -> None:
    kind = TensorType((2,), bf16)
    launcher = Launcher(
        program(lambda words: ctypes.memmove(words[1], words[0], 4) and None, 2), [kind], [kind], native=native
    )
    x = np.array([1.5, -2], bf16.numpy)
    for result in (launcher.run([x], {}), launcher.fast(x)):
        assert isinstance(result, tuple)
        assert result[0].dtype == bf16.numpy
        np.testing.assert_array_equal(result[0].astype(np.float32), [1.5, -2])


@WAYS
def test_the_block_has_inputs_outputs_constants_words_sizes_and_arena_in_this_order(native: bool) -> None:
    seen: list[list[int]] = []
    n = symbol("n", 1, 100)
    constant = np.arange(4.0)
    launcher = Launcher(
        program(seen.append, 8),
        [TensorType((n, 2), f32), TensorType((), i64)],
        [TensorType((n,), f64)],
        constants=[constant],
        words=[77],
        sizes=[Symbol("n", 1, 100), Symbol("m", 1, 100)],
        arena_bytes=n * 8 + 1,
        native=native,
    )
    x, y = np.zeros((5, 2), np.float32), np.array(7)
    results = [launcher.run([x, y], {"n": 5, "m": 9}), launcher.fast(x, y)]
    assert len(seen) == 2
    for words, result in zip(seen, results):
        assert isinstance(result, tuple)
        assert words[:2] == [x.ctypes.data, y.ctypes.data]
        assert words[2] == result[0].ctypes.data
        assert words[3:7] == [constant.ctypes.data, 77, 5, 9]
        assert words[7] != 0
        assert words[7] % 64 == 0


@WAYS
def test_other_sizes_take_the_slow_way_once(native: bool) -> None:
    n = symbol("n", 0, 1000)
    launcher = Launcher(
        program(lambda words: None, 4),
        [TensorType((n,), f32)],
        [TensorType((n * 2 + 1,), f32)],
        sizes=[Symbol("n", 0, 1000)],
        arena_bytes=n * 4,
        native=native,
    )
    for size in (5, 6, 5, 0, 1000, 3):
        x = np.zeros(size, np.float32)
        assert launcher.fast(x) is None
        assert launcher.run([x], {"n": size})[0].shape == (2 * size + 1,)  # type: ignore[index]  # it is a tuple
        again = launcher.fast(x)
        assert isinstance(again, tuple)
        assert again[0].shape == (2 * size + 1,)


@WAYS
def test_a_status_is_returned_instead_of_the_outputs(native: bool) -> None:
    launcher = Launcher(
        program(lambda words: int(floats(words[0], 1)[0]), 2),
        [TensorType((1,), f32)],
        [TensorType((3,), f32)],
        native=native,
        arena_bytes=8,
    )
    for status in (7, 0, -3, 2**31 - 1, 0):
        x = np.array([status if abs(status) < 1000 else 1000], np.float32)
        for result in (launcher.run([x], {}), launcher.fast(x)):
            if status == 0:
                assert isinstance(result, tuple)
            else:
                assert result == int(x[0])


@WAYS
def test_no_inputs_and_no_outputs(native: bool) -> None:
    calls: list[list[int]] = []
    launcher = Launcher(program(calls.append, 1), [], [], native=native)
    assert launcher.run([], {}) == ()
    assert launcher.fast() == ()
    assert calls == [[calls[0][0]], [calls[1][0]]]


@WAYS
def test_large_outputs_come_from_the_store(native: bool) -> None:
    kind = TensorType((1 << 20,), f32)
    launcher = Launcher(program(lambda words: None, 2), [], [kind], native=native)
    launcher.run([], {})
    before = buffer_stats()
    result = launcher.fast() or launcher.run([], {})
    assert isinstance(result, tuple)
    assert result[0].shape == (1 << 20,)
    assert result[0].ctypes.data % 4096 == 0
    assert buffer_stats().reused > before.reused


@WAYS
def test_more_arguments_than_the_stack_should_hold(native: bool) -> None:
    count = 5000
    kind = TensorType((), f32)
    launcher = Launcher(program(lambda words: int(words[0] != 0), 1), [kind] * count, [], native=native)
    x = np.zeros((), np.float32)
    assert launcher.run([x] * count, {}) == 1
    assert launcher.fast(*[x] * count) in (None, 1)


@WAYS
def test_an_arena_beyond_memory_is_the_users_error(native: bool) -> None:
    n = symbol("n", 1, 1 << 60)
    launcher = Launcher(
        program(lambda words: None, 2), [TensorType((n,), f32)], [], sizes=[Symbol("n", 1, 1 << 60)],
        arena_bytes=n * (1 << 60), native=native,
    )  # fmt: skip
    with pytest.raises(MemoryExceeded, match="no memory for"):
        launcher.run([X], {"n": 3})
    assert launcher.fast(X) is None


@WAYS
def test_nothing_is_leaked(native: bool) -> None:
    launcher = adder(native, arena_bytes=100)
    launcher.run([X, Y], {})
    result = launcher.fast(X, Y)
    assert isinstance(result, tuple)
    alive = weakref.ref(result[0])
    watched = (X, Y, X.dtype, None, launcher)
    before = [sys.getrefcount(each) for each in watched]
    for _ in range(1000):
        launcher.fast(X, Y)
        launcher.fast(X, X.astype(np.int8))
        launcher.fast(X)
    assert all(abs(sys.getrefcount(each) - count) < 500 for each, count in zip(watched, before))
    del result
    assert alive() is None


@WAYS
def test_the_function_outlives_its_launcher(native: bool) -> None:
    launcher = adder(native, arena_bytes=1000)
    launcher.run([X, Y], {})
    fast = launcher.fast
    del launcher
    gc.collect()
    trash = [np.full(1000, 255, np.uint8) for _ in range(100)]
    result = fast(X, Y)
    assert isinstance(result, tuple)
    np.testing.assert_array_equal(result[0], [11, 22, 33])
    del trash


@WAYS
def test_a_launcher_that_goes_frees_its_arena(native: bool) -> None:
    before = buffer_stats().in_use
    launcher = adder(native, arena_bytes=12345)
    launcher.run([X, Y], {})
    launcher.fast(X, Y)
    del launcher
    gc.collect()
    assert buffer_stats().in_use == before


@WAYS
def test_changing_sizes_do_not_pile_up_arenas(native: bool) -> None:
    n = symbol("n", 1, 100000)
    launcher = Launcher(
        program(lambda words: None, 3), [TensorType((n,), f32)], [], sizes=[Symbol("n", 1, 100000)],
        arena_bytes=n * 100, native=native,
    )  # fmt: skip
    before = buffer_stats().in_use
    for size in (*range(1, 2000, 50), 50000, 3, 4, 5):
        launcher.run([np.zeros(size, np.float32)], {"n": size})
    assert buffer_stats().in_use - before <= 4 * 128 * 5 + 1024


@WAYS
def test_launchers_that_need_about_one_size_share_an_arena(native: bool) -> None:
    before = buffer_stats().in_use
    launchers = [adder(native, arena_bytes=1 << 20) for _ in range(50)]
    for launcher in launchers:
        launcher.run([X, Y], {})
    for launcher in launchers:
        assert isinstance(launcher.fast(X, Y), tuple)
    assert buffer_stats().in_use - before <= 2 << 20


@WAYS
def test_calls_at_once_have_an_arena_each(native: bool) -> None:
    held: list[int] = []
    start = threading.Barrier(3)

    def body(words: list[int]) -> int:
        held.append(words[1])
        start.wait(20)  # all three are in the program now
        return 0

    launcher = Launcher(program(lambda words: 0, 2), [TensorType((1,), f32)], [], arena_bytes=64, native=native)
    x = np.zeros(1, np.float32)
    launcher.run([x], {})
    launcher._entry = program(body, 2)
    launcher._fast_path.settle({})
    taken: list[bool] = []

    def call() -> None:
        result = launcher.fast(x)
        taken.append(result is not None)
        if result is None:
            launcher.run([x], {})

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(held)) == 3
    if native:
        assert sorted(taken) == [False, False, True]
    launcher._entry = program(lambda words: 0, 2)
    launcher._fast_path.settle({})
    assert launcher.fast(x) == ()


@WAYS
def test_sizes_that_change_while_a_call_runs(native: bool) -> None:
    """The call that runs keeps its own arena; it comes back to find another in its place."""
    n = symbol("n", 1, 100)
    state = {"depth": 0}

    def body(words: list[int]) -> int:
        state["depth"] += 1
        if state["depth"] == 2:  # the fast call, which holds the arena for n = 1
            for size in (2, 50, 1, 3):
                assert launcher.run([np.zeros(size, np.float32)], {"n": size}) == ()
                ctypes.memset(words[2], 255, 100)
        return 0

    launcher = Launcher(
        program(body, 3), [TensorType((n,), f32)], [], sizes=[Symbol("n", 1, 100)], arena_bytes=n * 100, native=native
    )
    one, three = np.zeros(1, np.float32), np.zeros(3, np.float32)
    launcher.run([one], {"n": 1})
    assert launcher.fast(one) == ()
    assert launcher.fast(one) is None
    assert launcher.fast(three) == ()
    assert launcher.fast(three) == ()


SPIN = """
define i32 @entry(ptr %block) nounwind {
entry:
  %flag = load ptr, ptr %block
  br label %loop
loop:
  %value = load atomic i32, ptr %flag seq_cst, align 4
  %go_on = icmp eq i32 %value, 0
  br i1 %go_on, label %loop, label %done
done:
  ret i32 0
}
"""


@WAYS
def test_other_python_threads_run_meanwhile(native: bool, run_child) -> None:
    """A program that waits for what another Python thread does: it hangs if the lock is not released."""
    output = run_child(f"""
import ctypes, signal, threading, time
import numpy as np
from graphc.ir.dtype import i32
from graphc.ir.type import TensorType
from graphc.runtime import engine
from graphc.runtime.launch import Launcher
from graphc.runtime.target import host_target
signal.alarm(60)
code = engine.load(engine.compile_object('''{SPIN}''', host_target()), ["entry"])
entry = code["entry"]
launcher = Launcher(entry, [TensorType((1,), i32)], [], native={native})
launcher.run([np.array([1], np.int32)], {{}})
for call in (launcher.fast, lambda x: launcher.run([x], {{}})):
    flag = np.zeros(1, np.int32)
    timer = threading.Timer(0.05, lambda: flag.__setitem__(0, 1))
    timer.start()
    assert call(flag) == ()
    timer.join()
print("done")
""")
    assert output == "done\n"


FLOAT_MODE = """
declare void @llvm.x86.sse.ldmxcsr(ptr)
declare void @llvm.x86.sse.stmxcsr(ptr)
define void @set_mode(i32 %mode) nounwind {
  %at = alloca i32
  store i32 %mode, ptr %at
  call void @llvm.x86.sse.ldmxcsr(ptr %at)
  ret void
}
define i32 @get_mode() nounwind {
  %at = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %at)
  %mode = load i32, ptr %at
  %control = and i32 %mode, 65472
  ret i32 %control
}
define i32 @entry(ptr %block) nounwind {
  %x_at = load ptr, ptr %block
  %out_at_at = getelementptr i64, ptr %block, i64 1
  %out_at = load ptr, ptr %out_at_at
  %x = load float, ptr %x_at
  %half = fmul float %x, 0.5
  store float %half, ptr %out_at
  ret i32 0
}
"""


@WAYS
@pytest.mark.skipif(native_target().arch != "x86_64", reason="the mode's register is this machine's own")
def test_programs_run_with_subnormals_whatever_the_thread_has_set(native: bool) -> None:
    addresses = engine.load(engine.compile_object(FLOAT_MODE, host_target()), ["set_mode", "get_mode", "entry"])
    set_mode = ctypes.CFUNCTYPE(None, ctypes.c_int32)(addresses["set_mode"])
    get_mode = ctypes.CFUNCTYPE(ctypes.c_int32)(addresses["get_mode"])
    kind = TensorType((1,), f32)
    launcher = Launcher(addresses["entry"], [kind], [kind], native=native)
    tiny = np.array([np.finfo(np.float32).smallest_normal])
    launcher.run([tiny], {})
    results: list[object] = []

    def work() -> None:  # in a thread of its own, since the mode is the thread's
        flush_to_zero = 0x9FC0
        set_mode(flush_to_zero)
        for result in (launcher.fast(tiny), launcher.run([tiny], {})):
            results.append(result[0].view(np.int32)[0] if isinstance(result, tuple) else result)
        results.append(get_mode() == flush_to_zero)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [1 << 22, 1 << 22, True]


@WAYS
def test_wrong_arrays_in_the_slow_way_are_our_mistake(native: bool) -> None:
    launcher = adder(native)
    for arrays in ([X], [X, np.zeros(4, np.float32)], [X, Y.astype(np.float64)], [X, np.zeros(6, np.float32)[::2]]):
        with pytest.raises(AssertionError):
            launcher.run(arrays, {})


def test_the_builtin_takes_no_keywords() -> None:
    with pytest.raises(TypeError):
        adder(launch.can_read_objects()).fast(x=X, y=Y) if launch.can_read_objects() else adder(False).fast(x=X)
