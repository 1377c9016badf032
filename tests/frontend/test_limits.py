"""Sizes that overflow or exhaust memory, and a cache that is damaged or can't be written; each in a child."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.frontend.conftest import RunScript

HUGE = """
import resource, sys
import numpy as np
import graphc
from graphc.ir.errors import MemoryExceeded

compile, x = graphc.compile, np.ones((1, 1), np.float32)
CASES = {
    "result": lambda: compile(lambda x: x.expand(1 << 20, 1 << 20) * 2)(x),
    "beyond 64 bits": lambda: compile(lambda x: x.expand(1 << 33, 1 << 33) * 2)(x),
    "beyond 64 bits inside": lambda: compile(lambda x: (x.expand(1 << 33, 1 << 33) * 2).reshape(-1)[0])(x),
    "far beyond": lambda: compile(lambda x: x.expand(1 << 40, 1 << 40, 1 << 40) * 2)(x),
    "ones": lambda: compile(lambda x: graphc.ones(1 << 40) + x[0])(x),
    "inside": lambda: compile(lambda x: x.expand(1 << 18, 1 << 18).cumsum(dim=0).sum())(x),
    "product": lambda: compile(lambda x: (x.expand(1 << 18, 8) @ x.expand(8, 1 << 18)).cumsum(dim=0)[0, 0])(x),
    "dynamic": lambda: compile(lambda x: (x[:, None] * x[None]).cumsum(dim=0), dynamic={"x": 0})(x.repeat(1 << 18)),
    "a spec": lambda: graphc.symbolic_trace(lambda x: x + 1, f"f32[{2**70}]").compile(),
    "a copy": lambda: graphc.symbolic_trace(lambda x: x.sum(), f"f32[{1 << 20},{1 << 20}]").compile()(
        np.broadcast_to(x, (1 << 20, 1 << 20))),
    "gradient": lambda: graphc.grad(lambda x: (x.expand(1 << 20, 1 << 20).cumsum(dim=0) ** 2).sum())(x),
    "vjp": lambda: graphc.vjp(lambda x: x.expand(1 << 20, 1 << 20).exp(), x),
    "function": lambda: graphc.function([p := graphc.placeholder((1,), name="p")], [p.expand(1 << 42) + 1])(x[0]),
}
compile(lambda x: x + 1)(x)
before = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, before[1]))
for name, case in CASES.items():
    try:
        case()
        print(name, "gave no error")
    except MemoryExceeded as error:
        assert isinstance(error, MemoryError)
        assert error.location is not None and error.location.file == __file__, (name, error.location)
        assert error.hint, name
    assert compile(lambda x: x + 1)(x)[0, 0] == 2, name
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_sizes_beyond_memory_are_errors_and_all_goes_on(run_script: RunScript) -> None:
    done = run_script(HUGE)
    assert done == (0, "done\n", ""), done


KEEPS_GOING = """
import numpy as np
import graphc

f = graphc.compile(lambda x: (x * 2 + 1).sum(dim=0))
print(f(np.ones((3, 2), np.float32)).tolist(), graphc.grad(lambda x: (x * x).sum())(np.ones(2)).tolist())
from graphc.runtime import cache
print(cache.stats().compiles, cache.stats().disk_hits)
"""
RESULT = "[9.0, 9.0] [2.0, 2.0]"


def test_damaged_entries_are_made_anew(run_script: RunScript, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cold = run_script(KEEPS_GOING, GRAPHC_CACHE_DIR=str(folder))
    assert cold.status == 0, cold.err
    result, counts = cold.out.splitlines()
    assert result == RESULT
    compiles = counts.split()[0]
    warm = run_script(KEEPS_GOING, GRAPHC_CACHE_DIR=str(folder))
    assert warm.out.splitlines() == [RESULT, f"0 {compiles}"]
    entries = sorted(path for path in folder.glob("??/*") if path.is_file())
    assert len(entries) == int(compiles)
    for number, path in enumerate(entries):
        data = path.read_bytes()
        match number % 4:
            case 0:
                path.write_bytes(b"")
            case 1:
                path.write_bytes(data[: len(data) // 2])
            case 2:
                path.write_bytes(data[:-50] + bytes(50))
            case _:
                path.write_bytes(b"something else entirely")
    damaged = run_script(KEEPS_GOING, GRAPHC_CACHE_DIR=str(folder))
    assert damaged == (0, f"{RESULT}\n{compiles} 0\n", "")
    mended = run_script(KEEPS_GOING, GRAPHC_CACHE_DIR=str(folder))
    assert mended.out.splitlines() == [RESULT, f"0 {compiles}"]


def test_a_cache_folder_that_cannot_be_written_is_one_warning(run_script: RunScript, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    script = f"import warnings\nwarnings.simplefilter('default')\n{KEEPS_GOING}"
    done = run_script(script, GRAPHC_CACHE_DIR=str(tmp_path / "file" / "cache"))
    assert done.status == 0, done.err
    assert done.out.splitlines()[0] == RESULT
    assert done.err.count("CacheWarning") == 1
    assert "set GRAPHC_CACHE_DIR to a folder that can be written" in done.err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing stops this user from writing")
def test_a_cache_folder_that_is_read_only(run_script: RunScript, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o500)
    done = run_script(f"import warnings\nwarnings.simplefilter('default')\n{KEEPS_GOING}", GRAPHC_CACHE_DIR=str(folder))
    assert done.out.splitlines()[0] == RESULT
    assert done.err.count("CacheWarning") == 1


def test_no_cache_at_all(run_script: RunScript, tmp_path: Path) -> None:
    done = run_script(KEEPS_GOING, GRAPHC_CACHE_DIR=str(tmp_path / "cache"), GRAPHC_CACHE_BYTES="0")
    assert done.out.splitlines()[0] == RESULT
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1"),
        ("graph f(%x: f32[2]) {", "found the end"),
        ("graph f(%x: f32[2]) {\n  %0 = exq(%x) : f32[2]\n  return %0\n}\n", "2:8"),
        ("graph f(%x: f32[2]) {\n  %0 = exp(%y) : f32[2]\n  return %0\n}\n", "%y"),
        ("graph f(%x: f32[2]) {\n  %0 = exp(%x) : f32[3]\n  return %0\n}\n", r"f32[3]"),
        ("graph f(%x: f32[2]) {\n  %0 = add(%x) : f32[2]\n  return %0\n}\n", "add"),
        ("\0\0", "1:1"),
    ],
)
def test_a_malformed_graph_is_an_error_with_its_place(text: str, message: str) -> None:
    from graphc.ir.errors import GraphcError
    from graphc.ir.parse import parse_graph

    with pytest.raises(GraphcError) as info:
        parse_graph(text)
    assert message in str(info.value)


FORKED = """
import os
import numpy as np
import graphc

f = graphc.compile(lambda x: x + 1)
f(np.ones(2))
child = os.fork()
if child == 0:
    assert f(np.ones(2))[0] == 2
    assert f(np.ones(3))[0] == 2
    os._exit(len(f.compilations))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
print(len(f.compilations))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_goes_on_compiling(run_script: RunScript) -> None:
    assert run_script("import warnings\nwarnings.simplefilter('ignore', DeprecationWarning)\n" + FORKED).out == "1\n"
