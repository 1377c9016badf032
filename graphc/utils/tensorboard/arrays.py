"""What users give to TensorBoard, as numbers that its file format has.

In: tensors, numpy's arrays, Python's numbers, in lists and dicts. Out: numpy's arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.eager.placement import on
from graphc.eager.tensor import AnyArray, Tensor
from graphc.ir.errors import SignatureError


def as_array(value: Any) -> AnyArray:
    """An array of the values; those of dtypes that numpy lacks come as float32.

    Raises SignatureError (a TypeError) for what holds no numbers.
    """
    if isinstance(value, Tensor):
        array = on(value._array, None)
        is_narrow = value.dtype.is_floating_point and array.dtype not in (np.float16, np.float32, np.float64)
        return array.astype(np.float32) if is_narrow else array.copy()
    if isinstance(value, list | tuple) and any(isinstance(each, Tensor) for each in value):
        return np.stack([as_array(each) for each in value])
    found = np.asarray(value)
    if found.dtype.kind not in "biufc":
        raise SignatureError(f"Got {type(value)}, but expected numpy array or torch tensor.")
    return found


def plain(value: Any) -> Any:
    """The value with tensors of one element as Python's numbers."""
    return value.item() if isinstance(value, Tensor) else value
