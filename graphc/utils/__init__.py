"""Tools around tensors: `data` for loading, `checkpoint` to recompute instead of keeping, `dlpack` to share memory.

`data` is imported when it is asked for.
"""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING

from graphc.utils import checkpoint, dlpack

if _TYPE_CHECKING:
    from graphc.utils import data
else:

    def __getattr__(name: str) -> object:
        if name == "data":
            return _importlib.import_module("graphc.utils.data")
        raise AttributeError(f"module 'graphc.utils' has no attribute {name!r}")


__all__ = ["checkpoint", "data", "dlpack"]
