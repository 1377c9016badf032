"""What the command's tests share: running it in this process, and a file with functions."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from graphc.cli.main import main

SOURCE = """\
import graphc


def loss(x, w):
    hidden = (x @ w).tanh()
    return (hidden * hidden).mean()


def misfit(x):
    return x + x.reshape(-1)


def fails(x):
    raise RuntimeError("no luck")


compiled = graphc.compile(loss)
number = 3
"""


class Done(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `graphc` with these arguments."""

    def run(*arguments: object) -> Done:
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as exit:
            status = int(exit.code or 0)
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file with a function `loss` and others."""
    path = tmp_path / "model.py"
    path.write_text(SOURCE)
    return path
