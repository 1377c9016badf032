"""Shapes without tensors, places from positions, and `where` as a method.

In: sizes, positions, conditions. Out: sizes, tensors, answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.eager.arguments import created, type_name
from graphc.eager.dispatch import function_of
from graphc.eager.size import Size
from graphc.eager.tensor import Tensor
from graphc.eager.view import view_function
from graphc.ir.errors import ShapeError, SignatureError


def broadcast_shapes(*shapes: int | Sequence[int]) -> Size:
    """The shape to which all of these repeat, dimensions counted from the last."""
    given = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in shapes]
    result = [1] * max(map(len, given), default=0)
    for number, shape in enumerate(given):
        for place in range(-1, -len(shape) - 1, -1):
            size = shape[place]
            if size < 0:
                raise ShapeError("Attempting to broadcast a dimension with negative length!")
            if size in (1, result[place]):
                continue
            if result[place] != 1:
                raise ShapeError(
                    f"Attempting to broadcast a dimension of length {size} at {place}! Mismatching argument at index "
                    f"{number} had {shape}; but expected shape should be broadcastable to {result}"
                )
            result[place] = size
    return Size(result)


def unravel_index(indices: Tensor, shape: int | Sequence[int]) -> tuple[Tensor, ...]:
    """The coordinates, one tensor for each dimension, of positions in an array of this shape in row-major order."""
    if not isinstance(indices, Tensor):
        raise SignatureError(f"unravel_index(): argument 'indices' must be Tensor, not {type_name(indices)}")
    if not indices.dtype.is_integer:
        raise SignatureError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    steps = [int(np.prod(sizes[axis + 1 :], dtype=np.int64)) for axis in range(len(sizes))]
    rows = function_of("floor_divide")(view_function("unsqueeze")(indices, -1), created(np.array(steps, np.int64)))
    coordinates = function_of("remainder")(rows, created(np.array(sizes, np.int64)))
    found = view_function("unbind")(coordinates, -1)
    assert isinstance(found, tuple)
    return found


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same sizes."""
    if not isinstance(other, Tensor):
        raise SignatureError(f"is_same_size(): argument 'other' (position 2) must be Tensor, not {type_name(other)}")
    return input._array.shape == other._array.shape


def where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """The tensor's elements where the condition holds, else the other's."""
    found = function_of("where")(condition, self, other)
    assert isinstance(found, Tensor)
    return found


FUNCTIONS: dict[str, Callable[..., object]] = {
    "broadcast_shapes": broadcast_shapes,
    "is_same_size": is_same_size,
    "unravel_index": unravel_index,
}
METHODS: dict[str, Callable[..., object]] = {"is_same_size": is_same_size, "where": where}
