"""Errors cross the border to the user without our frames."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import graphc
from graphc.ir.boundary import hide_internal_frames, users_frames
from graphc.ir.errors import GraphcError, VerifyError
from graphc.ir.settings import override

# Stands for a module of graphc: its functions run under this name.
INSIDE = '''
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.errors import GraphcError, ShapeError, VerifyError

def deep(kind, depth):
    if depth:
        return deep(kind, depth - 1)
    try:
        {}["missing"]
    except KeyError:
        raise kind("sizes 2 and 3 differ")

@hide_internal_frames
def fail(kind=ShapeError):
    """Fails three calls below."""
    return deep(kind, 3)

@hide_internal_frames
def call(function, *args, **kwargs):
    return middle(function, *args, **kwargs)

def middle(function, *args, **kwargs):
    return function(*args, **kwargs)

@hide_internal_frames
def convert(function):
    try:
        return function()
    except Exception as error:
        raise ShapeError("converted") from error

@hide_internal_frames
def use_library():
    import json
    return json.loads("{")
'''


def inside() -> dict[str, object]:
    scope: dict[str, object] = {"__name__": "graphc.inside"}
    exec(compile(INSIDE, "graphc/inside.py", "exec"), scope)
    return scope


SCOPE = inside()


def files_of(error: BaseException) -> list[str]:
    return [os.path.basename(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]


def caught(name: str, *args: object) -> BaseException:
    """The error that a function from inside gives, as seen from here."""
    function = SCOPE[name]
    assert callable(function)
    with pytest.raises(Exception) as info:  # which error it is, is what the tests look at
        function(*args)
    return info.value


def test_the_user_sees_the_line_that_called_us_and_nothing_below() -> None:
    error = caught("fail")
    assert files_of(error) == ["test_boundary.py"]
    text = "".join(traceback.format_exception(error))
    assert "inside.py" not in text
    assert "boundary.py" not in text.replace("test_boundary.py", "")
    assert "KeyError" not in text  # what we caught on the way
    assert "ShapeError: sizes 2 and 3 differ\n  at " in text
    assert isinstance(error, GraphcError)
    assert error.location is not None
    assert (os.path.basename(error.location.file), error.location.function) == ("test_boundary.py", "caught")


def test_functions_of_the_user_between_stay() -> None:
    def mine() -> None:
        fail = SCOPE["fail"]
        assert callable(fail)
        fail()

    error = caught("call", SCOPE["call"], mine)
    assert files_of(error) == ["test_boundary.py"] * 2
    assert [f.name for f in traceback.extract_tb(error.__traceback__)] == ["caught", "mine"]


def test_the_user_s_own_errors_lose_our_frames_too() -> None:
    def mine() -> None:
        raise ZeroDivisionError("mine")

    error = caught("call", mine)
    assert type(error) is ZeroDivisionError
    assert [f.name for f in traceback.extract_tb(error.__traceback__)] == ["caught", "mine"]


def test_a_cause_keeps_the_user_s_frames() -> None:
    def mine() -> None:
        raise ZeroDivisionError("mine")

    error = caught("convert", mine)
    assert files_of(error) == ["test_boundary.py"]
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert [f.name for f in traceback.extract_tb(error.__cause__.__traceback__)] == ["mine"]


@pytest.mark.parametrize("kind", [VerifyError, RuntimeError, AssertionError])
def test_mistakes_of_ours_keep_all_frames(kind: type[Exception]) -> None:
    assert files_of(caught("fail", kind)).count("inside.py") == 5


def test_an_error_in_a_library_that_we_call_keeps_all_frames() -> None:
    assert "inside.py" in files_of(caught("use_library"))


def test_the_setting_brings_the_frames_back() -> None:
    with override(traceback=True):
        error = caught("fail")
    assert files_of(error).count("inside.py") == 5
    assert isinstance(error.__context__, KeyError)
    assert "KeyError" in "".join(traceback.format_exception(error))


def test_results_arguments_and_names_go_through() -> None:
    call = SCOPE["call"]
    assert callable(call)
    assert call(dict, a=1) == {"a": 1}
    fail = SCOPE["fail"]
    assert fail.__name__ == "fail"  # type: ignore[attr-defined]
    assert fail.__doc__ == "Fails three calls below."


def test_the_exception_that_the_caller_handles_stays_that_one() -> None:
    seen: list[BaseException | None] = []
    outer = KeyError("outer")
    try:
        raise outer
    except KeyError:
        caught("fail")
        seen.append(sys.exc_info()[1])
    seen.append(sys.exc_info()[1])
    assert seen == [outer, None]


def test_a_traceback_of_our_frames_alone_is_empty() -> None:
    assert users_frames(None) is None

    @hide_internal_frames
    def fail() -> None:
        raise GraphcError("here")

    with pytest.raises(GraphcError) as info:
        fail()
    assert files_of(info.value) == ["test_boundary.py"] * 2


@pytest.mark.parametrize("is_full", [False, True])
def test_what_python_prints_for_a_script_shows_no_file_of_graphc(tmp_path: Path, is_full: bool) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "from graphc.ir.boundary import hide_internal_frames\n"
        "from graphc.ir.parse import parse_graph\n"
        "\n"
        "def load():\n"
        "    hide_internal_frames(parse_graph)('graph f(%x f32[2]) { return }')\n"
        "\n"
        "load()\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "GRAPHC_TRACEBACK": "1" if is_full else "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert 'train.py", line 7, in <module>' in done.stderr
    assert 'train.py", line 5, in load' in done.stderr
    assert "ParseError: 1:12: expected ':', found 'f32'" in done.stderr
    assert (os.path.dirname(graphc.__file__) in done.stderr) == is_full


def test_a_malformed_setting_is_named_without_our_frames(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import graphc, numpy\ngraphc.compile(lambda x: x + 1)(numpy.ones(3))\n")
    environment = {**os.environ, "GRAPHC_NUM_THREADS": "abc"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "GRAPHC_NUM_THREADS is 'abc'" in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("  File")] == [
        f'  File "{script}", line 2, in <module>'
    ]
