"""Tools around tensors: recomputing instead of keeping (`checkpoint`)."""

from graphc.utils import checkpoint

__all__ = ["checkpoint"]
