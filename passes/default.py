"""The default pipelines: which passes a graph goes through, and why in this order."""

from __future__ import annotations

from typing import Literal

from graphc.passes.pipeline import Pipeline, parse_pipeline


def default_pipeline(numerics: Literal["strict", "fast"] = "strict") -> Pipeline:
    """The passes from a traced graph to the one that `fuse` takes."""
    return parse_pipeline(f"simplify{{numerics={numerics}}},fold,cse,dce")
