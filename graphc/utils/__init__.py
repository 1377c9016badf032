"""Tools around tensors: recomputing instead of keeping (`checkpoint`), sharing with other libraries (`dlpack`)."""

from graphc.utils import checkpoint, dlpack

__all__ = ["checkpoint", "dlpack"]
