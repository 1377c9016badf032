"""What the tests of the interface share: scripts in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest


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
