"""The thread pool, in children: what goes wrong with threads hangs or ends the process."""

from __future__ import annotations

import threading

import pytest

from graphc.ir.errors import ArgumentError
from graphc.runtime import engine, pool
from graphc.runtime.pool_code import is_supported, pool_text
from graphc.runtime.target import TARGETS, native_target
from graphc.runtime.threads import set_num_threads

# `repeat(counts, times, most)` runs regions whose tasks count in counts[thread] and record the thread count in
# counts[100]; `nested(counts)` runs a region whose tasks each run a region.
PRELUDE = """
import ctypes, os, pathlib, signal, sys, threading, time
from graphc.runtime import engine, pool
from graphc.runtime.target import host_target
from graphc.runtime.threads import get_num_threads, set_num_threads
TEXT = '''
declare void @graphc_pool_run(ptr, ptr)
declare void @graphc_pool_run_n(ptr, ptr, i64)
define void @task(ptr %counts, i64 %thread, i64 %threads) nounwind {
  %mine = getelementptr i64, ptr %counts, i64 %thread
  %old = atomicrmw add ptr %mine, i64 1 monotonic
  %total = getelementptr i64, ptr %counts, i64 100
  store atomic i64 %threads, ptr %total monotonic, align 8
  ret void
}
define void @repeat(ptr %counts, i64 %times, i64 %most) nounwind {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  call void @graphc_pool_run_n(ptr @task, ptr %counts, i64 %most)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %times
  br i1 %more, label %loop, label %done
done:
  ret void
}
define void @outer_task(ptr %counts, i64 %thread, i64 %threads) nounwind {
  call void @graphc_pool_run(ptr @task, ptr %counts)
  ret void
}
define void @nested(ptr %counts) nounwind {
  call void @graphc_pool_run(ptr @outer_task, ptr %counts)
  ret void
}
'''
signal.alarm(100)  # a hang ends the child
if FALLBACK:
    pool.is_supported = lambda target: False
set_num_threads(2)
addresses = engine.load(engine.compile_object(TEXT, host_target()), ["repeat", "nested"])
repeat = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(addresses["repeat"])
nested = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(addresses["nested"])
counts = (ctypes.c_int64 * 101)()
def run(times, most=1024):
    ctypes.memset(counts, 0, ctypes.sizeof(counts))
    repeat(counts, times, most)
    return [n for n in counts[:100] if n], counts[100]
"""

BOTH = pytest.mark.parametrize("fallback", [False, True], ids=["native", "python"])


@pytest.fixture
def in_child(run_child):
    def run(source: str, fallback: bool = False) -> str:
        return run_child(f"FALLBACK = {fallback}\n{PRELUDE}\n{source}")

    return run


@BOTH
def test_each_thread_runs_the_task_once(in_child, fallback: bool) -> None:
    output = in_child(
        """
kind = type(pool.start()).__name__
assert kind == ("PythonPool" if FALLBACK else "NativePool"), kind
for threads in (1, 2, 3, 8, 2, 1, 4):
    set_num_threads(threads)
    assert get_num_threads() == threads
    for times in (1, 50):
        assert run(times) == ([times] * threads, threads), threads
print("done")
""",
        fallback,
    )
    assert output == "done\n"


@BOTH
def test_a_region_may_use_fewer_threads(in_child, fallback: bool) -> None:
    output = in_child(
        """
set_num_threads(4)
for most in (1, 2, 3, 4, 1000, 2, 4, 1, 0, -5):
    expected = max(1, min(most, 4))
    assert run(20, most) == ([20] * expected, expected), most
print("done")
""",
        fallback,
    )
    assert output == "done\n"


@BOTH
def test_a_nested_region_runs_serially(in_child, fallback: bool) -> None:
    output = in_child(
        """
set_num_threads(3)
nested(counts)
assert counts[0] == 3 and counts[1] == counts[2] == 0 and counts[100] == 1
assert run(5) == ([5] * 3, 3)
print("done")
""",
        fallback,
    )
    assert output == "done\n"


@BOTH
def test_regions_of_several_python_threads_do_not_mix(in_child, fallback: bool) -> None:
    output = in_child(
        """
times = 50 if FALLBACK else 20000
tables = [(ctypes.c_int64 * 101)() for _ in range(3)]
threads = [threading.Thread(target=repeat, args=(table, times, 1024)) for table in tables]
for thread in threads: thread.start()
for thread in threads: thread.join()
for table in tables:
    # thread 0 takes part in every region, the other in those that found the pool free
    assert table[0] == times and 0 <= table[1] <= times, list(table)[:3]
    assert sum(table[2:100]) == 0
assert run(5) == ([5] * 2, 2)
print("done")
""",
        fallback,
    )
    assert output == "done\n"


def test_a_hundred_thousand_regions(in_child) -> None:
    assert in_child("assert run(100_000) == ([100_000] * 2, 2)\nprint('done')") == "done\n"


def test_regions_after_the_workers_fell_asleep(in_child) -> None:
    output = in_child("""
set_num_threads(5)  # more than the CPUs of some machines: those go to sleep at once
for _ in range(20):
    assert run(1) == ([1] * 5, 5)
    assert run(1, 3) == ([1] * 3, 3)
    time.sleep(0.005)
print('done')
""")
    assert output == "done\n"


def test_no_thread_starts_before_the_first_region(in_child) -> None:
    output = in_child("""
assert pool.start().started == 1
run(1, 1)
assert pool.start().started == 1
run(1)
assert pool.start().started == 2
print('done')
""")
    assert output == "done\n"


@BOTH
@pytest.mark.parametrize("pause", [0, 0.1], ids=["spinning", "parked"])
def test_the_process_ends_cleanly(in_child, fallback: bool, pause: float) -> None:
    assert in_child(f"run(100)\ntime.sleep({pause})\nprint('done')", fallback) == "done\n"


def test_the_process_ends_while_a_daemon_thread_is_in_a_region(in_child) -> None:
    output = in_child("""
thread = threading.Thread(target=repeat, args=(counts, 1 << 50, 1024), daemon=True)
thread.start()
time.sleep(0.05)
print('done')
""")
    assert output == "done\n"


@BOTH
def test_a_forked_child_has_a_pool_of_its_own(in_child, fallback: bool) -> None:
    output = in_child(
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of a fork with threads: that is the test
for times in (0, 100):
    if times: run(times)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        assert run(100) == ([100] * 2, 2)
        set_num_threads(3)
        assert run(100) == ([100] * 3, 3)
        grandchild = os.fork()
        if grandchild == 0:
            signal.alarm(20)
            os._exit(0 if run(100) == ([100] * 3, 3) else 1)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    assert os.waitpid(child, 0)[1] == 0
    assert run(100) == ([100] * 2, 2)
print("done")
""",
        fallback,
    )
    assert output == "done\n"


def test_a_fork_while_another_thread_is_in_a_region(in_child) -> None:
    output = in_child("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # as above
other = (ctypes.c_int64 * 101)()
thread = threading.Thread(target=repeat, args=(other, 200_000, 1024))
thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if run(100) == ([100] * 2, 2) else 1)
    assert os.waitpid(child, 0)[1] == 0
thread.join()
assert other[0] == 200_000
print("done")
""")
    assert output == "done\n"


def test_too_few_threads_granted_is_no_failure(in_child) -> None:
    output = in_child("""
import resource
set_num_threads(200)
# No room for 200 stacks: the pool takes the threads that it gets.
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), resource.RLIM_INFINITY))
found, threads = run(3)
assert found == [3] * threads and 1 <= threads < 200, (found, threads)
print("done")
""")
    assert output == "done\n"


def test_workers_leave_signals_to_the_program(in_child) -> None:
    output = in_child("""
run(10)
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(threading.current_thread() is threading.main_thread()))
for _ in range(20):
    os.kill(os.getpid(), signal.SIGUSR1)
tasks = [pathlib.Path("/proc/self/task", task, "status").read_text() for task in os.listdir("/proc/self/task")]
masks = [line for task in tasks for line in task.splitlines() if line.startswith("SigBlk")]
assert seen == [True] * 20
assert sum(int(mask.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1 for mask in masks) == 1, masks
print("done")
""")
    assert output == "done\n"


def test_the_count_comes_from_the_settings(run_child) -> None:
    source = "from graphc.runtime.threads import get_num_threads\nprint(get_num_threads())"
    assert run_child(source, GRAPHC_NUM_THREADS="3") == "3\n"
    assert int(run_child(source)) >= 1


@pytest.mark.parametrize("count", [0, -1, 1025, 2.0, "2", True, None])
def test_a_count_out_of_range_is_refused(count: object) -> None:
    with pytest.raises(ArgumentError, match="from 1 to 1024"):
        set_num_threads(count)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if is_supported(target)])
def test_the_pool_compiles_for_every_target(name: str) -> None:
    code = engine.compile_object(pool_text(TARGETS[name]), TARGETS[name], clean=True)
    defined, needed = engine.object_symbols(code)
    assert {"pool_run", "pool_run_n", "pool_reset"} <= set(defined)
    assert set(needed) <= set(pool._C_FUNCTIONS)


def test_the_native_pool_serves_linux() -> None:
    if "linux" in native_target().triple and native_target().arch in ("x86_64", "aarch64"):
        assert isinstance(pool.start(), pool.NativePool)
    else:
        assert isinstance(pool.start(), pool.PythonPool)
    assert threading.active_count() >= 1
