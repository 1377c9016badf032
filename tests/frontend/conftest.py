"""What the tests of the interface share: scripts in a process of their own, and a disk cache that is empty."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from graphc.ir.settings import override
from graphc.runtime import cache


class Done(NamedTuple):
    status: int
    out: str
    err: str


RunScript = Callable[..., Done]


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Run Python source as the file `script.py` in a child with warnings as errors."""

    def run(source: str, **environment: str) -> Done:
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(source))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-X", "faulthandler", str(path)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def cache_folder(tmp_path: Path) -> Iterator[Path]:
    """An empty disk cache, and a memory table that knows nothing, for one test."""
    folder = tmp_path / "cache"
    with override(cache_dir=str(folder)):
        cache.forget()
        yield folder
    cache.forget()
