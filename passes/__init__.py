"""Graph to graph, and graph to kernel."""

if __name__ != "graphc.passes":
    raise ImportError("graphc's passes are imported as graphc.passes")

# Each module registers its passes.
from graphc.passes import cse, dce
from graphc.passes.pipeline import Pipeline, all_passes, parse_pipeline, register, unregister

__all__ = ["Pipeline", "all_passes", "cse", "dce", "parse_pipeline", "register", "unregister"]
