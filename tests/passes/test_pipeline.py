"""Pipelines: registering passes, text, running, and errors that say what would fix them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest

from graphc.ir.dtype import f32
from graphc.ir.errors import ArgumentError, ParseError
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.type import TensorType
from graphc.ops import elementwise as ew
from graphc.passes.pipeline import (
    Applied,
    Pipeline,
    all_passes,
    as_pipeline,
    find_pass,
    make_step,
    parse_pipeline,
    register,
    unregister,
)
from graphc.passes.rewrite import RuleSet, rewrite


@pytest.fixture(autouse=True)
def double_pass() -> Iterator[None]:
    @register("double")
    def double(
        graph: Graph, *, times: int = 1, scale: float = 2.0, mode: Literal["add", "mul"] = "add", tag: str | None = None
    ) -> Graph:
        """Add each output to itself.

        More text.
        """
        outputs: tuple[Node, ...] = graph.outputs
        for _ in range(times):
            outputs = tuple(ew.add(x, x) if mode == "add" else ew.mul(x, x) for x in outputs)
        return Graph(tag or graph.name, graph.inputs, outputs)

    yield
    unregister("double")


def chain() -> Graph:
    x = make_input("x", TensorType((4,), f32))
    return Graph("f", (x,), (ew.exp(x),))


def test_a_registered_pass_has_its_first_line_and_its_options() -> None:
    found = find_pass("double")
    assert found.summary == "Add each output to itself."
    assert [str(option) for option in found.options] == ["times=1", "scale=2.0", "mode=add", "tag=none"]
    assert [option.describe() for option in found.options] == [
        "a whole number",
        "a number",
        "add or mul",
        "a word or none",
    ]
    assert "double" in [each.name for each in all_passes()]


@pytest.mark.parametrize(
    "text, printed",
    [
        ("", ""),
        ("cse", "cse"),
        (" cse ,  dce", "cse,dce"),
        ("double{}", "double"),
        ("double{times=1}", "double"),
        ("double{ times = 3 }", "double{times=3}"),
        ("double{mode=mul,times=2}", "double{times=2,mode=mul}"),
        ("double{scale=3}", "double{scale=3}"),
        ("double{scale=-1.5e-3}", "double{scale=-0.0015}"),
        ("double{tag=g},cse", "double{tag=g},cse"),
        ('double{tag="a b,}"}', 'double{tag="a b,}"}'),
        ('double{tag="true"}', 'double{tag="true"}'),
        ("double{tag=none}", "double"),
    ],
)
def test_pipelines_print_and_parse(text: str, printed: str) -> None:
    pipeline = parse_pipeline(text)
    assert str(pipeline) == printed
    assert parse_pipeline(printed) == pipeline


@pytest.mark.parametrize(
    "text, message",
    [
        ("csee", r"column 1: there is no pass called 'csee'\n  did you mean cse\?"),
        ("cse,doubel", r"column 5: there is no pass called 'doubel'\n  did you mean double\?"),
        ("double{time=1}", r"column 1: the pass double has no option 'time'\n  did you mean times\?"),
        ("cse{x=1}", r"the pass cse has no option 'x'\n  it has no options"),
        ("double{times=1.5}", r"can't take times=1.5\n  times takes a whole number"),
        ("double{times=true}", r"can't take times=true"),
        ("double{mode=div}", r"can't take mode=div\n  mode takes add or mul"),
        ("double{times}", r"column 13: '=' was expected after times"),
        ("double{times=}", r"column 14: a value was expected for times"),
        ("double{times=1", r"column 15: ',' or '}' was expected"),
        ("double{times=1,times=2}", r"the option times is given twice"),
        ("cse dce", r"column 5: a comma or the end was expected, not 'dce'"),
        ("cse,", r"column 5: a pass's name was expected"),
        ("cse;dce", r"column 4: ';' means nothing here"),
        ("1", r"column 1: a pass's name was expected"),
    ],
)
def test_malformed_pipelines_say_where_and_what_instead(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse_pipeline(text)


def test_a_pipeline_comes_from_text_steps_or_itself() -> None:
    pipeline = parse_pipeline("cse,double{times=2}")
    assert as_pipeline(["cse", "double{times=2}"]) == as_pipeline("cse,double{times=2}") == as_pipeline(pipeline)
    assert parse_pipeline("cse") + parse_pipeline("double{times=2}") == pipeline
    assert Pipeline((make_step("cse"), make_step("double", times=2))) == pipeline


def test_passes_run_in_order_and_instruments_see_each() -> None:
    seen: list[Applied] = []
    graph = chain()
    result = parse_pipeline("cse,double{times=2},cse").run(graph, (seen.append,))
    assert [(each.number, str(each.step)) for each in seen] == [(1, "cse"), (2, "double{times=2}"), (3, "cse")]
    assert seen[0].before is graph
    assert seen[0].after is graph
    assert seen[2].after is result
    assert len(result.nodes) == 4
    assert all(each.seconds >= 0 for each in seen)


def test_a_pass_that_returns_no_graph_is_named() -> None:
    @register("broken")
    def broken(graph: Graph) -> Graph:
        """Return nothing."""
        return None  # type: ignore[return-value]  # the mistake that the test is about

    try:
        with pytest.raises(ArgumentError, match="the pass broken returned NoneType"):
            parse_pipeline("broken").run(chain())
    finally:
        unregister("broken")


def test_a_pass_of_ones_own_rewrites_with_rules() -> None:
    rules = RuleSet()

    @rules.rule("exp")
    def exp_of_exp2(node: Node) -> Node:
        return ew.exp2(node.inputs[0])

    @register("faster_exp")
    def faster_exp(graph: Graph) -> Graph:
        """Compute another power."""
        return rewrite(graph, rules)

    try:
        result = parse_pipeline("faster_exp").run(chain())
    finally:
        unregister("faster_exp")
    assert result.outputs[0].op.name == "exp2"


def no_docstring(graph: Graph) -> Graph:
    return graph


def positional(graph: Graph, times: int = 1) -> Graph:
    """Take an option that isn't keyword-only."""
    return graph


def strange(graph: Graph, *, sizes: tuple[int, ...] = ()) -> Graph:
    """Take what text can't give."""
    return graph


@pytest.mark.parametrize(
    "name, function, message",
    [
        ("cse", no_docstring, "a pass called 'cse' exists already"),
        ("Bad-Name", no_docstring, "'Bad-Name' can't name a pass"),
        ("quiet", no_docstring, "the pass 'quiet' has no docstring"),
        ("positional", positional, "the parameter 'times', which is no option"),
        ("strange", strange, "the option 'sizes' of the pass 'strange' has no type that text can give"),
    ],
)
def test_registering_refuses_what_text_could_not_use(name: str, function: object, message: str) -> None:
    before = {each.name for each in all_passes()}
    with pytest.raises(ArgumentError, match=message):
        register(name)(function)  # type: ignore[type-var]  # a table of functions
    assert {each.name for each in all_passes()} == before
