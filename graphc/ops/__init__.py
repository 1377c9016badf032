"""The primitive ops, one record each. Importing this package registers all of them."""

from graphc.ops import contraction, control, creation, elementwise, indexing, movement, reduction

__all__ = ["contraction", "control", "creation", "elementwise", "indexing", "movement", "reduction"]
