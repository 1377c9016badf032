"""The default pipelines, from the traced graph to the one that kernels are made of.

Level: tensor graph to tensor graph. `fuse` is the last pass that gives a graph; what follows gives kernels. Every
rewrite merges equal nodes and a graph holds no dead ones, so neither `cse` nor `dce` needs a step of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from graphc.ir.graph import FUSED, Graph
from graphc.passes.access import ANY_ROW
from graphc.passes.pipeline import Pass, Pipeline, Step, parse_pipeline

STRICT = (
    "simplify",  # composites and gradient rules leave neutral elements and double views: less for all that follows
    "fold",  # what depends on constants alone is known now; simplify has brought constants together
    "decompose",  # kernels compute with real numbers, and convolution gradients are to store no products
    "simplify",  # folding made constants, decomposing made views: both hold new chances
    "fuse",  # last: nothing that follows works on single nodes
)

FAST = (
    "simplify{numerics=fast}",  # as above, with rules that are right up to rounding
    "fold{numerics=fast}",  # as above, and formulas of constants: what the machine would round otherwise
    "decompose",  # as above
    "simplify{numerics=fast}",  # as above; reciprocals of folded constants show up here
    "fuse",  # as above
)


def default_pipeline(numerics: Literal["strict", "fast"] = "strict") -> Pipeline:
    """What `compile` runs: rules that keep every bit, or with "fast" those that are right up to rounding too."""
    return parse_pipeline(",".join(FAST if numerics == "fast" else STRICT))


def with_fusion(pipeline: Pipeline) -> Pipeline:
    """The pipeline with `fuse` as its last step, without which no kernels can be made."""
    if pipeline.steps and pipeline.steps[-1].pass_.name == "fuse":
        return pipeline
    return pipeline + parse_pipeline("fuse")


def grouped_for_gpu(graph: Graph) -> Graph:
    """The graph with the groups of attention in it, which recompute what they read; the same one if there are none.

    `partition` saves nothing of what is in a group: of attention a value for each query, and not its weights.
    """
    steps = for_gpu(default_pipeline()).steps[:-1]
    found = Pipeline(steps).run(graph)
    return found if any(node.op is FUSED for node in found.nodes) else graph


def for_gpu(pipeline: Pipeline) -> Pipeline:
    """The pipeline for a GPU: attention is one kernel, its gradients two, and `fuse` keeps rows of any length in one.

    The kernels of a GPU hold what they keep of a row in registers or shared memory, or compute it again; a step `fuse`
    that says how long rows may be stays as it is.
    """
    *others, last = pipeline.steps
    if last.pass_.name != "fuse":
        return pipeline
    # Late: most programs are for the CPU, and importing graphc must be quick.
    from graphc.passes.gpu.attention_groups import fuse_attention

    if "row" not in dict(last.options):
        last = replace(last, options=(*last.options, ("row", ANY_ROW)))
    # It has no name in pipelines of one's own: for the CPU there are no kernels for what it makes.
    attention = Step(Pass("fuse_attention", "Make groups of attention and its gradients.", fuse_attention))
    return Pipeline((*others, attention, last))
