"""Graph to graph, and graph to kernel.

A pass is a function from a graph to a graph, known by name; `parse_pipeline("simplify,cse")` makes a pipeline of two.
One's own is registered like these: `@graphc.passes.register("name")`.
"""

if __name__ != "graphc.passes":
    raise ImportError("graphc's passes are imported as graphc.passes")

# Each of these modules registers its passes.
from graphc.passes import cse, dce, decompose, fold, fuse, simplify
from graphc.passes.default import default_pipeline
from graphc.passes.pipeline import Pipeline, all_passes, parse_pipeline, register, unregister

__all__ = [
    "Pipeline",
    "all_passes",
    "cse",
    "dce",
    "decompose",
    "default_pipeline",
    "fold",
    "fuse",
    "parse_pipeline",
    "register",
    "simplify",
    "unregister",
]
