"""The cache of compiled code: what its key depends on, and what befalls its folder."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import pytest

from graphc.ir.settings import override
from graphc.runtime import cache
from graphc.runtime.cache import CacheWarning, DiskStore
from graphc.runtime.target import host_target


def module(value: int) -> str:
    return f"define i32 @answer() nounwind {{\n  ret i32 {value}\n}}"


def answer(value: int, text: str | None = None) -> int:
    """What the code of `module(value)` returns, by way of the cache."""
    address = cache.compiled(text or f"answer {value}", lambda: module(value), ["answer"], host_target())["answer"]
    result: int = ctypes.CFUNCTYPE(ctypes.c_int32)(address)()
    return result


def since(before: cache.CacheStats) -> tuple[int, int, int]:
    """Hits in memory, hits on disk and compiles from `before` until now."""
    now = cache.stats()
    return (
        now.memory_hits - before.memory_hits,
        now.disk_hits - before.disk_hits,
        now.compiles - before.compiles,
    )


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.glob("??/*") if path.suffix != ".tmp"]


def test_memory_then_disk_then_compile(cache_folder: Path) -> None:
    before = cache.stats()
    assert answer(42) == 42
    assert since(before) == (0, 0, 1)
    assert answer(42) == 42
    assert since(before) == (1, 0, 1)
    cache.forget()
    assert answer(42) == 42
    assert since(before) == (1, 1, 1)
    assert len(entries(cache_folder)) == 1


def test_a_hit_makes_no_llvm_text(cache_folder: Path) -> None:
    answer(1)
    cache.forget()

    def refuse() -> str:
        raise AssertionError("asked for text that the cache holds the code of")

    assert cache.compiled("answer 1", refuse, ["answer"], host_target())


TARGET = host_target()
CHANGES: dict[str, Callable[[pytest.MonkeyPatch], str]] = {
    "text": lambda patch: cache.key("other", TARGET, False, ["f"]),
    "triple": lambda patch: cache.key("text", dataclasses.replace(TARGET, triple="x"), False, ["f"]),
    "cpu": lambda patch: cache.key("text", dataclasses.replace(TARGET, cpu="x"), False, ["f"]),
    "features": lambda patch: cache.key("text", dataclasses.replace(TARGET, features="+x"), False, ["f"]),
    "opt level": lambda patch: cache.key("text", dataclasses.replace(TARGET, opt_level=1), False, ["f"]),
    "clean-up": lambda patch: cache.key("text", TARGET, True, ["f"]),
    "symbols": lambda patch: cache.key("text", TARGET, False, ["f", "g"]),
    "llvmlite": lambda patch: (patch.setattr(llvmlite, "__version__", "x"), cache.key("text", TARGET, False, ["f"]))[1],
    "LLVM": lambda patch: (
        patch.setattr(llvm, "llvm_version_info", (1, 2, 3)),
        cache.key("text", TARGET, False, ["f"]),
    )[1],
    "codegen": lambda patch: (
        patch.setattr(cache, "codegen_version", lambda: "x"),
        cache.key("text", TARGET, False, ["f"]),
    )[1],
    "format": lambda patch: (patch.setattr(cache, "_FORMAT", b"x\n"), cache.key("text", TARGET, False, ["f"]))[1],
}


@pytest.mark.parametrize("part", CHANGES)
def test_each_part_of_the_key_changes_it(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = cache.key("text", TARGET, False, ["f"])
    assert original == cache.key("text", TARGET, False, ["f"])
    assert CHANGES[part](monkeypatch) != original


def test_parts_of_the_key_do_not_run_together() -> None:
    one = dataclasses.replace(TARGET, cpu="ab", features="c")
    other = dataclasses.replace(TARGET, cpu="a", features="bc")
    assert cache.key("text", one, False, ["f"]) != cache.key("text", other, False, ["f"])


def test_the_version_of_the_generator_is_its_sources(tmp_path: Path) -> None:
    (tmp_path / "nested").mkdir()
    inner = tmp_path / "nested" / "formula.py"
    inner.write_text("x = 1\n")
    seen = {cache.source_digest([tmp_path])}
    inner.write_text("x = 2\n")
    seen.add(cache.source_digest([tmp_path]))
    inner.rename(tmp_path / "nested" / "other.py")
    seen.add(cache.source_digest([tmp_path]))
    (tmp_path / "empty.py").write_text("")
    seen.add(cache.source_digest([tmp_path]))
    assert len(seen) == 4
    assert cache.source_digest([tmp_path]) in seen


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "header only": lambda data: data[:48],
    "one bit": lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
    "longer": lambda data: data + b"\0",
    "other format": lambda data: b"X" + data[1:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_a_miss_and_is_replaced(damage: str, cache_folder: Path) -> None:
    answer(5)
    (path,) = entries(cache_folder)
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[damage](whole))
    cache.forget()
    before = cache.stats()
    assert answer(5) == 5
    assert since(before) == (0, 0, 1)
    assert path.read_bytes() == whole


def test_an_entry_under_another_name_is_a_miss(cache_folder: Path) -> None:
    answer(6)
    (path,) = entries(cache_folder)
    answer(7)
    (other,) = [entry for entry in entries(cache_folder) if entry != path]
    other.write_bytes(path.read_bytes())
    cache.forget()
    assert answer(7) == 7


def test_an_object_that_does_not_link_is_replaced(cache_folder: Path) -> None:
    name = cache.key("answer 8", host_target(), False, ["answer"])
    DiskStore(cache_folder, 1 << 20).write(name, b"whole, and no object")
    before = cache.stats()
    assert answer(8) == 8
    assert since(before) == (0, 0, 1)
    cache.forget()
    assert answer(8) == 8
    assert since(before) == (0, 1, 1)


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    with override(cache_dir=str(blocker / "cache")):
        with pytest.warns(CacheWarning, match="GRAPHC_CACHE_DIR") as caught:
            assert answer(11) == 11
        assert len(caught) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert answer(12) == 12
            assert answer(11) == 11
    cache.forget()


def test_no_bytes_on_disk_where_none_are_allowed(tmp_path: Path) -> None:
    with override(cache_dir=str(tmp_path / "cache"), cache_bytes=0):
        assert answer(13) == 13
    assert not (tmp_path / "cache").exists()
    cache.forget()


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, 5000)
    for i in range(5):
        store.write(f"{i:02x}entry", b"x" * 900)
        used = time.time() - 100 + i
        os.utime(tmp_path / f"{i:02x}" / "entry", (used, used))
    assert store.read("00entry") is not None  # now the newest of them
    store.write("05entry", b"x" * 900)
    assert sorted(path.parent.name for path in entries(tmp_path)) == ["00", "03", "04", "05"]


def test_drafts_of_a_writer_that_died_are_cleared_away(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, 5000)
    store.write("aaentry", b"x")
    old, new = tmp_path / "aa" / "old.1.1.tmp", tmp_path / "aa" / "new.1.1.tmp"
    for draft in (old, new):
        draft.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    store.evict()
    assert not old.exists()
    assert new.exists()


def test_threads_that_ask_at_once_compile_once(cache_folder: Path) -> None:
    before = cache.stats()
    results: list[int] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        results.append(answer(21))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [21] * 4
    assert since(before)[2] == 1


def test_two_processes_fill_one_folder(tmp_path: Path) -> None:
    source = """
import ctypes
from graphc.runtime import cache
from graphc.runtime.target import host_target
for i in range(30):
    text = f"define i32 @answer() nounwind {{\\n  ret i32 {i}\\n}}"
    address = cache.compiled(f"answer {i}", lambda: text, ["answer"], host_target())["answer"]
    assert ctypes.CFUNCTYPE(ctypes.c_int32)(address)() == i
found = cache.stats()
assert found.compiles + found.disk_hits == 30
"""
    env = {**os.environ, "GRAPHC_CACHE_DIR": str(tmp_path), "GRAPHC_CACHE_BYTES": "20000"}
    command = [sys.executable, "-W", "error", "-c", source]
    children = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
    for path in entries(tmp_path):
        assert DiskStore(tmp_path, 20000).read(path.parent.name + path.name) is not None
    assert not list(tmp_path.glob("??/*.tmp"))
