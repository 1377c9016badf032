"""The default pipelines on random graphs, up to and with fusion."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.graph import Graph
from graphc.passes.autodiff import differentiate
from graphc.passes.default import default_pipeline, with_fusion
from graphc.passes.instrument import Compare, Verify, random_arguments
from graphc.passes.pipeline import parse_pipeline
from tests.random_graphs import graphs


@given(graph=graphs(25, symbolic=True, empty=True), seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_the_strict_pipeline_keeps_every_bit(graph: Graph, seed: int) -> None:
    default_pipeline().run(graph, (Verify(), Compare(random_arguments(graph, seed), tolerance=0.0)))


@given(graph=graphs(25, smooth=True), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_the_fast_pipeline_keeps_values_up_to_rounding(graph: Graph, seed: int) -> None:
    default_pipeline("fast").run(graph, (Verify(), Compare(random_arguments(graph, seed), tolerance=1e-4)))


@given(graph=graphs(15, differentiable=True, scalar=True), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_gradients_go_through_the_pipeline_unchanged(graph: Graph, seed: int) -> None:
    joint = differentiate(graph, seed=True)
    default_pipeline().run(joint, (Verify(), Compare(random_arguments(joint, seed), tolerance=0.0)))


def test_default_pipelines_print_and_parse_and_end_with_fusion() -> None:
    for pipeline in (default_pipeline(), default_pipeline("fast")):
        assert parse_pipeline(str(pipeline)) == pipeline
        assert with_fusion(pipeline) == pipeline
    assert str(with_fusion(parse_pipeline("cse"))) == "cse,fuse"
    assert str(with_fusion(parse_pipeline("fuse{limit=4}"))) == "fuse{limit=4}"
    assert str(with_fusion(parse_pipeline(""))) == "fuse"
