"""Where a node comes from: the user's own line, however it is run."""

from __future__ import annotations

import doctest
import linecache
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from graphc.ir.dtype import f32
from graphc.ir.errors import ShapeError
from graphc.ir.graph import Node, make_input
from graphc.ir.location import Location, current_location, is_own, using
from graphc.ir.type import TensorType
from graphc.ops import elementwise

TYPE = TensorType((2,), f32)


def here(offset: int = 0) -> Location:
    """The line of the caller."""
    frame = sys._getframe(1)
    name = frame.f_code.co_name
    return Location(frame.f_code.co_filename, frame.f_lineno + offset, name)


def test_a_node_has_the_line_that_built_it() -> None:
    x = make_input("x", TYPE)
    assert x.location == here(-1)
    y = elementwise.neg(x)
    assert y.location == here(-1)


def test_the_innermost_function_of_the_user_counts() -> None:
    def helper() -> Node:
        return make_input("x", TYPE)

    location = helper().location
    assert location is not None
    assert location.function == "helper"


def test_lambdas_generators_and_comprehensions() -> None:
    def generate() -> Iterator[Node]:
        yield make_input("x", TYPE)

    make: Callable[[], Node] = lambda: make_input("x", TYPE)  # noqa: E731
    found = [make().location, next(generate()).location, next(iter([make_input("x", TYPE) for _ in "a"])).location]
    assert all(each is not None and each.file == __file__ for each in found)
    assert [each.function for each in found[:2] if each] == ["<lambda>", "generate"]


def test_threads() -> None:
    found: list[Location | None] = []

    def work() -> None:
        found.append(make_input("x", TYPE).location)

    with using(Location("other.py", 1)):  # of this thread alone
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [each.function for each in found if each] == ["work"]


def run(code: str, name: str, scope: dict[str, object]) -> Node:
    exec(compile(code, name, "exec"), scope)
    node = scope["node"]
    assert isinstance(node, Node)
    return node


CODE = "from graphc.ir.graph import make_input\n\nnode = make_input('x', TYPE)\n"


@pytest.mark.parametrize(
    "scope",
    (
        {},
        {"__name__": None},
        {"__name__": 3},
        {"__name__": "__main__"},
        {"__name__": "graphc_tools"},
        {"__name__": "graph"},
    ),
    ids=str,
)
def test_code_run_by_exec(scope: dict[str, object]) -> None:
    node = run(CODE, "<ipython-input-3-f00>", {**scope, "TYPE": TYPE})
    assert node.location == Location("<ipython-input-3-f00>", 3)
    assert str(node.location) == "<ipython-input-3-f00>:3"


def test_code_of_graphc_itself_is_passed_over() -> None:
    node = run(CODE, "inside.py", {"__name__": "graphc.frontend.somewhere", "TYPE": TYPE})
    assert node.location is not None
    assert node.location.function == "run"


def test_doctests_of_graphc_count_as_the_user_s() -> None:
    source = """
        >>> from graphc.ir.graph import make_input
        >>> make_input("x", TYPE).location.file
        '<doctest example[1]>'
    """
    scope = {"__name__": "graphc.ir.graph", "TYPE": TYPE}
    test = doctest.DocTestParser().get_doctest(source, scope, "example", None, None)
    runner = doctest.DocTestRunner()
    runner.run(test, clear_globs=False)
    assert runner.failures == 0


def test_a_script_called_graphc_is_the_user_s(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            """\
            from graphc.ir.dtype import f32
            from graphc.ir.graph import make_input
            from graphc.ir.type import TensorType

            print(make_input("x", TensorType((), f32)).location)
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "train.py:5\n"


def test_using_sets_the_location_and_nests() -> None:
    outer, inner = Location("a.py", 1), Location("b.py", 2)
    with using(outer):
        with using(inner):
            assert current_location() is inner
        with using(None):
            assert current_location() is None
        with pytest.raises(ValueError, match="left"), using(inner):
            raise ValueError("left")
        assert current_location() is outer
    assert current_location() == here()


def test_a_frame_is_own_by_its_module() -> None:
    frame: FrameType = sys._getframe()
    assert not is_own(frame)


def test_a_location_is_described_with_its_text() -> None:
    linecache.cache["model.py"] = (30, None, ["import graphc\n", "  y = x @ w  # project\n"], "model.py")
    assert Location("model.py", 2, "loss").describe() == "model.py:2 in loss: y = x @ w  # project"
    assert Location("model.py", 2).describe() == "model.py:2: y = x @ w  # project"
    assert Location("model.py", 9).describe() == "model.py:9"
    assert Location("missing.py", 1).describe() == "missing.py:1"
    assert str(Location("/home/me/model.py", 2, "loss")) == "model.py:2"


def test_an_error_of_a_type_rule_names_the_user_s_line() -> None:
    x, y = make_input("x", TYPE), make_input("y", TensorType((3,), f32))
    with pytest.raises(ShapeError) as caught:
        elementwise.add(x, y)
    assert caught.value.location == here(-1)
    assert "elementwise.add(x, y)" in str(caught.value)
