"""Graph to graph, and graph to kernel."""

if __name__ != "graphc.passes":
    raise ImportError("graphc's passes are imported as graphc.passes")

# Each module registers its passes.
from graphc.passes import cse, dce, fold, simplify
from graphc.passes.pipeline import Pipeline, all_passes, parse_pipeline, register, unregister

__all__ = ["Pipeline", "all_passes", "cse", "dce", "fold", "parse_pipeline", "register", "simplify", "unregister"]
