"""The tensor language over the primitives: each function is written once, on nodes, under PyTorch's name.

Importing this package enters everything into the table of `graphc/ops/function.py`.
"""

from graphc.ops.composite import (
    activation,
    arithmetic,
    classification,
    contraction,
    convolution,
    creation,
    einsum,
    indexing,
    loss,
    normalization,
    pooling,
    random,
    reductions,
    resize,
    shapes,
    special,
    subscript,
)

__all__ = [
    "activation",
    "arithmetic",
    "classification",
    "contraction",
    "convolution",
    "creation",
    "einsum",
    "indexing",
    "loss",
    "normalization",
    "pooling",
    "random",
    "reductions",
    "resize",
    "shapes",
    "special",
    "subscript",
]
