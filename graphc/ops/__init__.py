"""The primitive ops, one record each. Importing this package registers all of them."""

from graphc.ops import (
    along,
    contraction,
    control,
    creation,
    elementwise,
    host,
    indexing,
    movement,
    ordering,
    polynomial,
    reduction,
    requirement,
    scan,
    special,
    special_pair,
)

__all__ = [
    "along",
    "contraction",
    "control",
    "creation",
    "elementwise",
    "host",
    "indexing",
    "movement",
    "ordering",
    "polynomial",
    "reduction",
    "requirement",
    "scan",
    "special",
    "special_pair",
]
