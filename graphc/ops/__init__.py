"""The primitive ops, one record each. Importing this package registers all of them."""

from graphc.ops import contraction, creation, elementwise, indexing, movement, reduction

__all__ = ["contraction", "creation", "elementwise", "indexing", "movement", "reduction"]
