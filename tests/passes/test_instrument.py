"""Instruments: each sees every pass, and names the one that went wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from graphc.ir import settings
from graphc.ir.dim import symbol
from graphc.ir.dtype import f32, f64, i64
from graphc.ir.errors import ArgumentError, VerifyError
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.location import Location, using
from graphc.ir.parse import parse_graph
from graphc.ir.text import print_graph
from graphc.ir.type import TensorType
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops import reduction as rd
from graphc.passes.instrument import (
    Compare,
    Count,
    Dump,
    Time,
    Verify,
    difference,
    instruments_from_settings,
    random_arguments,
)
from graphc.passes.pipeline import parse_pipeline, register, unregister
from graphc.passes.rewrite import RuleSet, rewrite


@pytest.fixture(autouse=True)
def wrong_passes() -> Iterator[None]:
    rules = RuleSet()

    @rules.rule("sin")
    def wrong_slope(node: Node) -> Node:
        return ew.cos(node.inputs[0])

    @register("wrong_value")
    def wrong_value(graph: Graph) -> Graph:
        """Replace sines by cosines."""
        return rewrite(graph, rules)

    @register("wrong_type")
    def wrong_type(graph: Graph) -> Graph:
        """Make a node whose type isn't what its op gives."""
        (old,) = graph.outputs
        new = Node(old.op, old.inputs, old.attributes, TensorType((7,), f32), old.location)
        return Graph(graph.name, graph.inputs, (new,))

    yield
    unregister("wrong_value")
    unregister("wrong_type")


def sine() -> Graph:
    x = make_input("x", TensorType((4,), f32))
    with using(Location("model.py", 7)):
        return Graph("sine", (x,), (ew.sin(ew.neg(ew.neg(x))),))


def test_verify_names_the_pass() -> None:
    with pytest.raises(VerifyError, match="after the pass wrong_type: "):
        parse_pipeline("simplify,wrong_type").run(sine(), (Verify(),))
    parse_pipeline("simplify,cse").run(sine(), (Verify(),))


def test_compare_names_the_first_pass_that_changed_a_value() -> None:
    with pytest.raises(VerifyError) as caught:
        parse_pipeline("cse,simplify,wrong_value,dce").run(sine(), (Compare(),))
    text = str(caught.value)
    assert text.startswith("the pass wrong_value (number 3) changed output 0: largest error ")
    assert "model.py:7" in text
    parse_pipeline("cse,simplify,dce").run(sine(), (Compare(tolerance=0.0),))


def test_compare_takes_given_arguments() -> None:
    zeros_and_quarter_turns = (np.array([0.0, np.pi / 4, np.pi / 4, np.pi / 4], np.float32),)
    with pytest.raises(VerifyError, match=r"largest error 1 at \[0\] \(-?0.0 became 1.0\), allowed"):
        parse_pipeline("wrong_value").run(sine(), (Compare(zeros_and_quarter_turns),))


def test_dump_leaves_numbered_files_that_parse_back(tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    for _ in range(2):
        graph = sine()
        result = parse_pipeline("cse,simplify").run(graph, (Dump(folder),))
    names = sorted(path.name for path in folder.iterdir())
    stages = ("00.traced", "01.cse", "02.simplify")
    assert names == sorted(f"{stem}.{stage}.gir" for stem in ("sine", "sine-2") for stage in stages)
    texts = [(folder / f"sine.{stage}.gir").read_text() for stage in stages]
    assert texts[0] == texts[1] == print_graph(graph)
    assert texts[2] == print_graph(result)
    assert print_graph(parse_graph(texts[2])) == texts[2]


def test_a_compilation_dumps_its_kernels_and_program_too(tmp_path: Path) -> None:
    with settings.override(dump=str(tmp_path), verify=True):
        sine().compile()
    names = sorted(path.name.partition(".")[2] for path in tmp_path.iterdir())
    assert names[0] == "00.traced.gir"
    assert [name.partition(".")[2] for name in names[-3:]] == ["fuse.gir", "kernel.txt", "program.txt"]
    (kernel,) = tmp_path.glob("*.kernel.txt")
    assert "kernel" in kernel.read_text()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match=r"can't be written to the folder '.*file/inside'"):
        parse_pipeline("cse").run(sine(), (Dump(tmp_path / "file" / "inside"),))


def test_time_and_count_have_a_line_per_pass() -> None:
    seconds, nodes = Time(), Count()
    parse_pipeline("cse,simplify{numerics=fast}").run(sine(), (seconds, nodes))
    assert [name for name, _ in seconds.seconds] == ["cse", "simplify{numerics=fast}"]
    assert nodes.nodes == [("cse", 4, 4), ("simplify{numerics=fast}", 4, 2)]
    assert len(seconds.report().splitlines()) == 2
    assert nodes.report().splitlines()[1] == "     4 ->      2 nodes  simplify{numerics=fast}"


def test_settings_ask_for_instruments(tmp_path: Path) -> None:
    with settings.override(verify=False, dump=""):
        assert instruments_from_settings() == ()
    with settings.override(verify=True, dump=str(tmp_path)):
        chosen = instruments_from_settings()
    assert [type(each) for each in chosen] == [Verify, Dump]
    parse_pipeline("simplify").run(sine(), chosen)
    assert (tmp_path / "sine.01.simplify.gir").exists()


DIFFERENCES: list[tuple[npt.ArrayLike, npt.ArrayLike, str | type, float | None, str | None]] = [
    ([1.0, np.nan, np.inf], [1.0, np.nan, np.inf], "f4", None, None),
    ([0.0], [-0.0], "f4", 0.0, None),
    ([100.0, 1e-6], [100.0, 0.0], "f4", None, None),
    ([100.0, 1.0], [100.0, 1.1], "f4", None, r"largest error 0.1 at \[1\]"),
    ([100.0, 1.0], [100.0, 1.1], "f4", 1e-2, None),
    ([1.0], [np.nan], "f8", None, r"largest error inf at \[0\] \(1.0 became nan\)"),
    ([1.0], [np.inf], "f8", 1e9, r"largest error inf"),
    ([np.inf], [-np.inf], "f8", None, r"largest error inf"),
    ([1.0, 2.0], [1.0, 2.03], ml_dtypes.bfloat16, None, None),
    ([1.0, 2.0], [1.0, 2.2], ml_dtypes.bfloat16, None, "largest error"),
    ([1 + 1j], [1 + 1.5j], "c8", None, r"largest error 0.5"),
    ([1, 2, 3], [1, 2, 3], "i8", None, None),
    ([1, 2, 3], [1, 5, 4], "i8", 100.0, r"2 of 3 elements differ, first at \[1\]: 2 became 5"),
    (5, 6, "i8", None, r"1 of 1 elements differ, first at \[\]: 5 became 6"),
]


@pytest.mark.parametrize("a, b, dtype, tolerance, message", DIFFERENCES)
def test_differences_in_words(
    a: npt.ArrayLike, b: npt.ArrayLike, dtype: str | type, tolerance: float | None, message: str | None
) -> None:
    found = difference(np.array(a, dtype), np.array(b, dtype), tolerance)
    if message is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(message, found), found


def test_other_shapes_and_dtypes_are_differences() -> None:
    assert difference(np.zeros(3), np.zeros(4)) == "float64[3] became float64[4]"
    assert difference(np.zeros(3), np.zeros(3, np.float32)) == "float64[3] became float32[3]"


def test_random_arguments_fit_symbolic_inputs() -> None:
    n, m = symbol("n", 1, 64), symbol("m", 8, 9)
    x = make_input("x", TensorType((n, m, 2), f64))
    k = make_input("k", TensorType((m,), i64))
    graph = Graph("f", (x, k), (rd.sum_(x, axes=(0, 1, 2)), build.cast_to(k, f32)))
    arrays = random_arguments(graph, 3)
    assert [(a.dtype, a.shape) for a in arrays] == [(np.float64, (2, 8, 2)), (np.int64, (8,))]
    assert set(np.unique(arrays[1])) <= {0, 1}
    for a, b in zip(arrays, random_arguments(graph, 3)):
        np.testing.assert_array_equal(a, b)
