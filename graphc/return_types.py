"""graphc.return_types: the named tuples that functions give.

>>> import graphc
>>> isinstance(graphc.ones(2, 2).max(dim=0), max)
True
"""

from graphc.ops.return_types import (
    aminmax,
    cummax,
    cummin,
    frexp,
    histogram,
    kthvalue,
    max,
    median,
    min,
    mode,
    nanmedian,
    sort,
    topk,
)

__all__ = [
    "aminmax",
    "cummax",
    "cummin",
    "frexp",
    "histogram",
    "kthvalue",
    "max",
    "median",
    "min",
    "mode",
    "nanmedian",
    "sort",
    "topk",
]
