"""Compiled code, kept in memory for this process and on disk for the next.

In: a text that determines the code, and a function that makes the LLVM IR should it be needed. Out: the code, with the
addresses of its symbols. The key is everything that the object bytes depend on, as content. A disk entry that is
damaged in any way counts as absent and is replaced. A folder that cannot be used costs one `CacheWarning`, and nothing
else.

    code = compiled("kernel add(...)", lambda: llvm_text, ["add"], host_target())
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib.util
import itertools
import os
import sys
import threading
import time
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from graphc.ir.errors import CodeMemoryFull
from graphc.ir.settings import settings
from graphc.runtime import engine
from graphc.runtime.llvm import versions
from graphc.runtime.lock import LOCK, TURN
from graphc.runtime.target import Target

_FORMAT = b"graphc object 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size


class CacheWarning(UserWarning):
    """Compiled code cannot be kept on disk; graphc works, and compiles anew in each process."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What became of the requests so far."""

    memory_hits: int
    disk_hits: int
    misses: int
    compiles: int


def key(text: str, target: Target, clean: bool, symbols: Sequence[str]) -> str:
    """The name of an entry: a digest of all that the object bytes depend on. Each part is listed here and only here."""
    parts = (
        _FORMAT.decode(),
        codegen_version(),
        *versions(),
        target.triple,
        target.cpu,
        target.features,
        str(target.opt_level),
        str(clean),
        "\n".join(symbols),
        text,
    )
    return digest_of(parts)


def digest_of(parts: Iterable[str]) -> str:
    """A digest of texts, which differ if any of the parts does."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def codegen_version() -> str:
    """A digest of the sources that turn a kernel into LLVM IR, so that an edited generator finds no stale code."""
    packages = ("graphc.ir", "graphc.kernel", "graphc.codegen", "graphc.runtime")
    specs = [importlib.util.find_spec(package) for package in packages]
    return source_digest(Path(folder) for spec in specs if spec for folder in spec.submodule_search_locations or ())


def source_digest(folders: Iterable[Path]) -> str:
    """A digest of the names and contents of all Python files under `folders`."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            source = path.read_bytes()
            digest.update(f"{path.relative_to(folder).as_posix()} {len(source)}\n".encode() + source)
    return digest.hexdigest()[:16]


# One process-wide table of what is loaded. Reading it takes no lock; the lock covers what changes it.
_loaded: weakref.WeakValueDictionary[str, engine.Code] = weakref.WeakValueDictionary()
_recent: OrderedDict[str, engine.Code] = OrderedDict()
"""What was loaded last stays, whether or not a program has it."""
MOST_RECENT = 4096
_counts = {"memory_hits": 0, "disk_hits": 0, "misses": 0, "compiles": 0}


def compiled(
    text: str, make_llvm: Callable[[], str], symbols: Sequence[str], target: Target, clean: bool = False
) -> engine.Code:
    """The code that `text` determines, with the addresses of `symbols`: from memory, else from disk, else compiled.

    Whoever calls it must keep it: code that nobody has is unloaded when much else was loaded since.
    `make_llvm` is called only if neither holds the code; two threads that ask for the same code compile it once.
    """
    name = key(text, target, clean, symbols)
    found = _loaded.get(name)
    if found is None:
        assert target.runs_here, f"code for {target.cpu} cannot be loaded on this machine"
        with TURN, LOCK:
            found = _loaded.get(name)
            if found is None:
                try:
                    found = _load_or_compile(name, make_llvm, symbols, target, clean)
                except CodeMemoryFull:  # make room
                    _recent.clear()
                    gc.collect()
                    found = _load_or_compile(name, make_llvm, symbols, target, clean)
                _loaded[name] = _recent[name] = found
                while len(_recent) > min(MOST_RECENT, engine.most_libraries() // 4):
                    _recent.popitem(last=False)
                return found
    _counts["memory_hits"] += 1
    return found


def _load_or_compile(
    name: str, make_llvm: Callable[[], str], symbols: Sequence[str], target: Target, clean: bool
) -> engine.Code:
    store = disk_store()
    object_bytes = store.read(name) if store is not None else None
    if object_bytes is not None:
        try:
            code = engine.load(object_bytes, symbols, name[:16])
            _counts["disk_hits"] += 1
            return code
        except engine.InternalCompilerError:
            pass  # whole, yet not linkable here: replaced below
    _counts["misses"] += 1
    object_bytes = engine.compile_object(make_llvm(), target, clean)
    _counts["compiles"] += 1
    code = engine.load(object_bytes, symbols, name[:16])
    if store is not None:
        store.write(name, object_bytes)
    return code


def stats() -> CacheStats:
    """How often code was found in memory, on disk, or not at all, in this process."""
    return CacheStats(**_counts)


def forget() -> None:
    """Drop the table in memory, as a new process would find it; code that somebody has stays."""
    with LOCK:
        _loaded.clear()
        _recent.clear()


def cache_dir() -> Path:
    """The folder that holds compiled code: GRAPHC_CACHE_DIR, or the platform's place for such things."""
    if settings().cache_dir:
        return Path(settings().cache_dir)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or os.path.expanduser("~")) / "graphc" / "cache"
    if sys.platform == "darwin":
        return Path(os.path.expanduser("~/Library/Caches/graphc"))
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "graphc"


class DiskStore:
    """A folder of entries, at most `limit` bytes of them; the least recently used go first.

    What an entry holds (an object file, PTX, a GPU's machine code) is for who made its key to know.

    An entry is `ab/cdef...`, by its key: a line with the format, a SHA-256 of key and object, the object. It is written
    beside its place and renamed, so a reader sees all of it or nothing, in this process or another.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._bytes: int | None = None  # what the folder holds, as far as this process knows; None: not looked yet
        self._broken = False

    def read(self, name: str) -> bytes | None:
        """The object called `name`, or None where there is none that is whole."""
        path = self._path(name)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        start = len(_FORMAT) + _DIGEST_BYTES
        if data[: len(_FORMAT)] != _FORMAT or data[len(_FORMAT) : start] != _checksum(name, data[start:]):
            return None
        with contextlib.suppress(OSError):  # readable and not ours: it still serves
            os.utime(path)  # marks it as used, for the eviction
        return data[start:]

    def write(self, name: str, object_bytes: bytes) -> None:
        """Keep an object, and evict others if the folder has grown past its limit."""
        if self._broken:
            return
        path = self._path(name)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{next(_draft_numbers)}.tmp")
        data = _FORMAT + _checksum(name, object_bytes) + object_bytes
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_bytes(data)
            os.replace(draft, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink()
            self._broken = True
            warnings.warn(
                f"compiled code cannot be kept in {self.folder} ({error.strerror or error}); "
                "set GRAPHC_CACHE_DIR to a folder that can be written",
                CacheWarning,
                stacklevel=2,
            )
            return
        if self._bytes is None:
            self.evict()
        else:
            self._bytes += len(data)
            if self._bytes > self.limit:
                self.evict()

    def evict(self) -> None:
        """Remove the entries used longest ago until the rest fill nine tenths of the limit; clear away old drafts."""
        entries: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("??/*"):
            try:
                status = path.stat()
                if path.suffix != ".tmp":
                    entries.append((status.st_mtime, status.st_size, path))
                elif time.time() - status.st_mtime > 3600:  # its writer is gone
                    path.unlink()
            except OSError:
                continue  # another process was quicker
        total = sum(size for _, size, _ in entries)
        if total > self.limit:
            for _, size, path in sorted(entries):
                if total <= self.limit * 9 // 10:
                    break
                try:
                    path.unlink(missing_ok=True)
                except OSError:
                    continue
                total -= size
        self._bytes = total

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name[2:]


_draft_numbers = itertools.count()


def _checksum(name: str, object_bytes: bytes) -> bytes:
    digest = hashlib.sha256(name.encode())
    digest.update(object_bytes)
    return digest.digest()


_stores: dict[tuple[Path, int], DiskStore] = {}
_stores_lock = threading.Lock()


def disk_store() -> DiskStore | None:
    """The store that the settings name, or None where they ask for none."""
    limit = settings().cache_bytes
    if limit == 0:
        return None
    folder = cache_dir()
    with _stores_lock:
        return _stores.setdefault((folder, limit), DiskStore(folder, limit))
