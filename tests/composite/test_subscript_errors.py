"""What subscripts refuse, in the words of PyTorch and under its kinds of exceptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc.frontend.tensor import call
from graphc.ir.errors import GraphcError
from graphc.ops.function import functions

Build = Callable[[Any, Any, Any], Any]


def z(*sizes: int) -> Any:
    """1, 2, 3 ... in this shape."""
    return tt(np.arange(1, 1 + np.prod(sizes, dtype=int)).reshape(sizes).astype(np.float32))


def tt(values: Any, dtype: Any = None) -> Any:
    """A tensor of these numbers; floats are float32."""
    array = np.asarray(values, np.int64 if isinstance(values, list) and not values else None)
    array = array.astype(np.float32) if array.dtype == np.float64 else array
    return g.reshape(array if dtype is None else array.astype(dtype.numpy), array.shape)


def put(x: Any, index: Any, value: Any) -> Any:
    """x with a value in place of x[index]."""
    return call(functions()["_with_item"], (x, index, value), {})


CASES: tuple[tuple[Any, ...], ...] = (
    (lambda x, y, s: x[0, 0, 0], IndexError, "too many indices for tensor of dimension 2"),
    (lambda x, y, s: x[5], IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
    (lambda x, y, s: x[0, 7], IndexError, "index 7 is out of bounds for dimension 1 with size 3"),
    (lambda x, y, s: x[-3], IndexError, "index -3 is out of bounds for dimension 0 with size 2"),
    (
        lambda x, y, s: x[1.5],
        IndexError,
        (
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
            "indices (got float)"
        ),
    ),
    (lambda x, y, s: x["a"], TypeError, "new(): invalid data type 'str'"),
    (lambda x, y, s: x[slice(0, 2, 0)], ValueError, "slice step cannot be zero"),
    (lambda x, y, s: x[slice(0, 2, -1)], ValueError, "step must be greater than zero"),
    (
        lambda x, y, s: x[tt([True, False, True])],
        IndexError,
        ("The shape of the mask [3] at index 0 does not match the shape of the indexed tensor [2, 3] at index 0"),
    ),
    (
        lambda x, y, s: x[slice(None), tt([True, False])],
        IndexError,
        ("The shape of the mask [2] at index 0 does not match the shape of the indexed tensor [2, 3] at index 1"),
    ),
    (lambda x, y, s: x[tt([5])], IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
    (
        lambda x, y, s: x[tt([0, 1]), tt([0, 1, 2])],
        IndexError,
        "shape mismatch: indexing tensors could not be broadcast together with shapes [2], [3]",
    ),
    (lambda x, y, s: x[tt([0.5])], IndexError, "tensors used as indices must be long, int, byte or bool tensors"),
    (lambda x, y, s: x[slice(None), [0, 5]], IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
    (
        lambda x, y, s: x[tt([0, 1], dtype=g.int16)],
        IndexError,
        "tensors used as indices must be long, int, byte or bool tensors",
    ),
    (
        lambda x, y, s: x[slice(0.5, 1),],
        TypeError,
        "slice indices must be integers or None or have an __index__ method",
    ),
    (lambda x, y, s: x[[0], 0, 0], IndexError, "too many indices for tensor of dimension 2"),
    (
        lambda x, y, s: x[tt([[True, False, True]]),],
        IndexError,
        ("The shape of the mask [1, 3] at index 0 does not match the shape of the indexed tensor [2, 3] at index 0"),
    ),
    (lambda x, y, s: x[0, Ellipsis, 0, 0], IndexError, "too many indices for tensor of dimension 2"),
    (lambda x, y, s: x[z(0)], IndexError, "tensors used as indices must be long, int, byte or bool tensors"),
    (
        lambda x, y, s: x[tt([True])],
        IndexError,
        ("The shape of the mask [1] at index 0 does not match the shape of the indexed tensor [2, 3] at index 0"),
    ),
    (
        lambda x, y, s: x[1 + 2j],
        IndexError,
        (
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
            "indices (got complex)"
        ),
    ),
    (
        lambda x, y, s: x[{}],
        IndexError,
        ("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got dict)"),
    ),
    (
        lambda x, y, s: s[0],
        IndexError,
        (
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in "
            "C++ to convert a 0-dim tensor to a number"
        ),
    ),
    (lambda x, y, s: s[tt(0)], IndexError, "too many indices for tensor of dimension 0"),
    (lambda x, y, s: s[slice(None)], IndexError, "slice() cannot be applied to a 0-dim tensor."),
    (lambda x, y, s: s[tt([0])], IndexError, "too many indices for tensor of dimension 0"),
    (lambda x, y, s: s[[]], IndexError, "too many indices for tensor of dimension 0"),
    (
        lambda x, y, s: put(x, 0, z(4)),
        RuntimeError,
        (
            "The expanded size of the tensor (3) must match the existing size (4) at non-singleton "
            "dimension 0.  Target sizes: [3].  Tensor sizes: [4]"
        ),
    ),
    (
        lambda x, y, s: put(x, 0, z(2, 3)),
        RuntimeError,
        (
            "expand(torch.FloatTensor{[2, 3]}, size=[3]): the number of sizes provided (1) must be "
            "greater or equal to the number of dimensions in the tensor (2)"
        ),
    ),
    (
        lambda x, y, s: put(x, (0, 0), z(2)),
        RuntimeError,
        (
            "expand(torch.FloatTensor{[2]}, size=[]): the number of sizes provided (0) must be "
            "greater or equal to the number of dimensions in the tensor (1)"
        ),
    ),
    (
        lambda x, y, s: put(x, tt([0, 1]), z(2)),
        RuntimeError,
        ("shape mismatch: value tensor of shape [2] cannot be broadcast to indexing result of shape [2, 3]"),
    ),
    (
        lambda x, y, s: put(x, tt([0, 1]), z(4)),
        RuntimeError,
        ("shape mismatch: value tensor of shape [4] cannot be broadcast to indexing result of shape [2, 3]"),
    ),
    (
        lambda x, y, s: put(x, tt([[True, False, True], [True, True, False]]), z(3)),
        RuntimeError,
        ("shape mismatch: value tensor of shape [3] cannot be broadcast to indexing result of shape [4]"),
    ),
    (lambda x, y, s: put(x, 5, 0.0), IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
    (lambda x, y, s: put(x, 0, "a"), TypeError, "can't assign a str to a torch.FloatTensor"),
    (lambda x, y, s: put(x, slice(0, 1), [1, 2, 3]), TypeError, "can't assign a list to a torch.FloatTensor"),
    (lambda x, y, s: put(x, tt([0, 1]), [1.0, 2.0, 3.0]), TypeError, "can't assign a list to a torch.FloatTensor"),
    (
        lambda x, y, s: put(x, tt([0]), z(3).double()),
        RuntimeError,
        (
            "Index put requires the source and destination dtypes match, got Float for the "
            "destination and Double for the source."
        ),
    ),
    (lambda x, y, s: put(x, tt([0, 5]), 0.0), IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
)


@pytest.mark.parametrize(("build", "kind", "message"), [*CASES], ids=map(str, range(len(CASES))))
def test_errors_are_those_of_pytorch(build: Build, kind: type[Exception], message: str) -> None:
    with pytest.raises(GraphcError) as caught:
        g.symbolic_trace(build, "f32[2,3]", "f32[2,3,4]", "f32[]")
    assert caught.value.message.splitlines()[0] == message
    assert isinstance(caught.value, kind)
