"""graphc.types: names for annotations.

>>> isinstance(2.0, Number)
True
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any

from graphc.eager.device import device as Device_
from graphc.eager.memory import UntypedStorage as Storage
from graphc.eager.memory_format import layout as _layout
from graphc.eager.size import Size
from graphc.eager.tensor import Tensor
from graphc.ir.dtype import DType as _dtype

_bool, _int, _float, _complex = bool, int, float, complex
_device = Device_
_size = Size | list[int] | tuple[int, ...]
_TensorOrTensors = Tensor | Sequence[Tensor]
Number = int | float | bool
Device = Device_ | str | int | None
FileLike = str | os.PathLike[str] | IO[Any]

__all__ = ["Device", "FileLike", "Number", "Storage", "_device", "_dtype", "_layout", "_size"]
