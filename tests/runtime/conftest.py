"""What the tests of the runtime share: children, since a fault in native code ends the process, and fresh folders."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphc.ir.settings import override
from graphc.runtime import cache

RunChild = Callable[..., str]


@pytest.fixture
def cache_folder(tmp_path: Path) -> Iterator[Path]:
    """An empty disk cache, and a memory table that knows nothing, for one test."""
    folder = tmp_path / "cache"
    with override(cache_dir=str(folder)):
        cache.forget()
        yield folder
    cache.forget()


@pytest.fixture
def run_child(tmp_path: Path) -> RunChild:
    """Run Python source in a child with warnings as errors; its output is the result, and it must exit with 0."""

    def run(source: str, **environment: str) -> str:
        env = {**os.environ, "GRAPHC_CACHE_DIR": str(tmp_path / "cache"), **environment}
        command = [sys.executable, "-W", "error", "-X", "faulthandler", "-c", textwrap.dedent(source)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.stderr == ""
        return done.stdout

    return run
