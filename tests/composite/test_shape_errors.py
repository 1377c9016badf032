"""What views, parts and joins refuse, in the words of PyTorch and under its kinds of exceptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc.ir.errors import GraphcError

Build = Callable[[Any, Any, Any], Any]


def z(*sizes: int) -> Any:
    """1, 2, 3 ... in this shape."""
    return tt(np.arange(1, 1 + np.prod(sizes, dtype=int)).reshape(sizes).astype(np.float32))


def tt(values: Any, dtype: Any = None) -> Any:
    """A tensor of these numbers; floats are float32."""
    array = np.asarray(values, np.int64 if isinstance(values, list) and not values else None)
    array = array.astype(np.float32) if array.dtype == np.float64 else array
    return g.reshape(array if dtype is None else array.astype(dtype.numpy), array.shape)


CASES: tuple[tuple[Any, ...], ...] = (
    (lambda x, y, s: x.reshape(2, 4), RuntimeError, "shape '[2, 4]' is invalid for input of size 6"),
    (lambda x, y, s: x.reshape(4, -1), RuntimeError, "shape '[4, -1]' is invalid for input of size 6"),
    (lambda x, y, s: x.reshape(-1, -1), RuntimeError, "only one dimension can be inferred"),
    (lambda x, y, s: x.reshape(-2, 3), RuntimeError, "invalid shape dimension -2 at index 0 of shape [-2, 3]"),
    (
        lambda x, y, s: z(0, 3).reshape(-1, 0),
        RuntimeError,
        (
            "cannot reshape tensor of 0 elements into shape [-1, 0] because the unspecified dimension "
            "size -1 can be any value and is ambiguous"
        ),
    ),
    (
        lambda x, y, s: z(0, 3).reshape(0, -1),
        RuntimeError,
        (
            "cannot reshape tensor of 0 elements into shape [0, -1] because the unspecified dimension "
            "size -1 can be any value and is ambiguous"
        ),
    ),
    (lambda x, y, s: x.reshape(), TypeError, 'reshape() missing 1 required positional arguments: "shape"'),
    (lambda x, y, s: x.view(2, 4), RuntimeError, "shape '[2, 4]' is invalid for input of size 6"),
    (lambda x, y, s: y.flatten(2, 1), RuntimeError, "flatten() has invalid args: start_dim cannot come after end_dim"),
    (
        lambda x, y, s: y.flatten(3),
        IndexError,
        "Dimension out of range (expected to be in range of [-3, 2], but got 3)",
    ),
    (lambda x, y, s: y.flatten(-1, 0), RuntimeError, "flatten() has invalid args: start_dim cannot come after end_dim"),
    (
        lambda x, y, s: y.unflatten(2, (3, -1)),
        RuntimeError,
        ("unflatten: Provided sizes [3, -1] don't multiply up to the size of dim 2 (4) in the input tensor"),
    ),
    (lambda x, y, s: y.unflatten(2, ()), RuntimeError, "unflatten: sizes must be non-empty"),
    (
        lambda x, y, s: y.unflatten(2, (3, 2)),
        RuntimeError,
        ("unflatten: Provided sizes [3, 2] don't multiply up to the size of dim 2 (4) in the input tensor"),
    ),
    (lambda x, y, s: y.unflatten(2, (-1, -1)), RuntimeError, "unflatten got an unexpected error:"),
    (
        lambda x, y, s: y.unflatten(3, (2, 2)),
        IndexError,
        "Dimension out of range (expected to be in range of [-3, 2], but got 3)",
    ),
    (lambda x, y, s: z(3, 0).unflatten(1, (0, -1)), RuntimeError, "unflatten got an unexpected error:"),
    (
        lambda x, y, s: x.squeeze(2),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (lambda x, y, s: z(1, 2, 1).squeeze((0, 0)), RuntimeError, "dim 0 appears multiple times in the list of dims"),
    (
        lambda x, y, s: s.squeeze(1),
        IndexError,
        "Dimension out of range (expected to be in range of [-1, 0], but got 1)",
    ),
    (
        lambda x, y, s: x.unsqueeze(3),
        IndexError,
        "Dimension out of range (expected to be in range of [-3, 2], but got 3)",
    ),
    (
        lambda x, y, s: x.unsqueeze(-4),
        IndexError,
        "Dimension out of range (expected to be in range of [-3, 2], but got -4)",
    ),
    (
        lambda x, y, s: x.transpose(0, 2),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (
        lambda x, y, s: x.permute(0),
        RuntimeError,
        (
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length "
            "of the desired ordering of dimensions i.e. input.dim() = 2 is not equal to len(dims) = 1"
        ),
    ),
    (lambda x, y, s: x.permute(0, 0), RuntimeError, "permute(): duplicate dims are not allowed."),
    (
        lambda x, y, s: x.permute(0, 2),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (
        lambda x, y, s: y.movedim((0, 1), (2,)),
        RuntimeError,
        (
            "movedim: Invalid source or destination dims: source ([0, 1] dims) should contain the "
            "same number of dims as destination ([2] dims)"
        ),
    ),
    (lambda x, y, s: y.movedim((0, 0), (1, 2)), RuntimeError, "movedim: repeated dim in `source` ([0, 0])"),
    (lambda x, y, s: y.movedim((0, 1), (2, 2)), RuntimeError, "movedim: repeated dim in `destination` ([2, 2])"),
    (
        lambda x, y, s: y.movedim(0, 3),
        IndexError,
        "Dimension out of range (expected to be in range of [-3, 2], but got 3)",
    ),
    (lambda x, y, s: y.t(), RuntimeError, "t() expects a tensor with <= 2 dimensions, but self is 3D"),
    (
        lambda x, y, s: z(3).mT,
        RuntimeError,
        "tensor.mT is only supported on matrices or batches of matrices. Got 1-D tensor.",
    ),
    (
        lambda x, y, s: y.H,
        RuntimeError,
        (
            "tensor.H is only supported on matrices (2-D tensors). Got 3-D tensor. For batches of "
            "matrices, consider using tensor.mH"
        ),
    ),
    (lambda x, y, s: z(3).H, RuntimeError, "tensor.H is only supported on matrices (2-D tensors). Got 1-D tensor."),
    (
        lambda x, y, s: z(3).mH,
        RuntimeError,
        "tensor.mH is only supported on matrices or batches of matrices. Got 1-D tensor.",
    ),
    (
        lambda x, y, s: z(3).adjoint(),
        RuntimeError,
        "tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.",
    ),
    (
        lambda x, y, s: x.expand(2),
        RuntimeError,
        (
            "expand(torch.FloatTensor{[2, 3]}, size=[2]): the number of sizes provided (1) must be "
            "greater or equal to the number of dimensions in the tensor (2)"
        ),
    ),
    (
        lambda x, y, s: x.expand(2, 4),
        RuntimeError,
        (
            "The expanded size of the tensor (4) must match the existing size (3) at non-singleton "
            "dimension 1.  Target sizes: [2, 4].  Tensor sizes: [2, 3]"
        ),
    ),
    (
        lambda x, y, s: x.expand(-1, 2, 3),
        RuntimeError,
        "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension 0",
    ),
    (
        lambda x, y, s: x.expand(5, 2, -2),
        RuntimeError,
        (
            "The expanded size of the tensor (-2) must match the existing size (3) at non-singleton "
            "dimension 2.  Target sizes: [5, 2, -2].  Tensor sizes: [2, 3]"
        ),
    ),
    (
        lambda x, y, s: x.expand_as(z(2)),
        RuntimeError,
        (
            "expand(torch.FloatTensor{[2, 3]}, size=[2]): the number of sizes provided (1) must be "
            "greater or equal to the number of dimensions in the tensor (2)"
        ),
    ),
    (
        lambda x, y, s: g.broadcast_to(x, (3,)),
        RuntimeError,
        (
            "expand(torch.FloatTensor{[2, 3]}, size=[3]): the number of sizes provided (1) must be "
            "greater or equal to the number of dimensions in the tensor (2)"
        ),
    ),
    (
        lambda x, y, s: g.broadcast_tensors(x, z(4)),
        RuntimeError,
        "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1",
    ),
    (lambda x, y, s: x.narrow(1, 2, 2), RuntimeError, "start (2) + length (2) exceeds dimension size (3)."),
    (lambda x, y, s: x.narrow(1, 0, -1), RuntimeError, "narrow(): length must be non-negative."),
    (lambda x, y, s: s.narrow(0, 0, 1), RuntimeError, "narrow() cannot be applied to a 0-dim tensor."),
    (
        lambda x, y, s: x.narrow(1, -4, 1),
        IndexError,
        "start out of range (expected to be in range of [-3, 3], but got -4)",
    ),
    (
        lambda x, y, s: x.narrow(1, 4, 0),
        IndexError,
        "start out of range (expected to be in range of [-3, 3], but got 4)",
    ),
    (
        lambda x, y, s: x.narrow(2, 0, 1),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (lambda x, y, s: x.narrow(1, tt([1]), 1), RuntimeError, "start must be an 0-dim integral Tensor."),
    (
        lambda x, y, s: x.select(1, 3),
        IndexError,
        "select(): index 3 out of range for tensor of size [2, 3] at dimension 1",
    ),
    (
        lambda x, y, s: x.select(1, -4),
        IndexError,
        "select(): index -4 out of range for tensor of size [2, 3] at dimension 1",
    ),
    (lambda x, y, s: s.select(0, 0), IndexError, "select() cannot be applied to a 0-dim tensor."),
    (
        lambda x, y, s: x.select(2, 0),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (
        lambda x, y, s: x.split(0, 1),
        RuntimeError,
        "split_size can only be 0 if dimension size is 0, but got dimension size of 3",
    ),
    (lambda x, y, s: x.split(-1), RuntimeError, "split expects split_size be non-negative, but got split_size=-1"),
    (
        lambda x, y, s: x.split([1, 1], 1),
        RuntimeError,
        (
            "split_with_sizes expects split_sizes to sum exactly to 3 (input tensor's size at "
            "dimension 1), but got split_sizes=[1, 1]"
        ),
    ),
    (
        lambda x, y, s: x.split([4, -1], 1),
        RuntimeError,
        ("split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes=[4, -1]"),
    ),
    (lambda x, y, s: s.split(1), RuntimeError, "split expects at least a 1-dimensional tensor"),
    (
        lambda x, y, s: x.split(1, 2),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (
        lambda x, y, s: x.split([], 1),
        RuntimeError,
        (
            "split_with_sizes expects split_sizes to sum exactly to 3 (input tensor's size at "
            "dimension 1), but got split_sizes=[]"
        ),
    ),
    (lambda x, y, s: x.chunk(0), RuntimeError, "chunk expects `chunks` to be greater than 0, got: 0"),
    (lambda x, y, s: s.chunk(2), RuntimeError, "chunk expects at least a 1-dimensional tensor"),
    (lambda x, y, s: z(7).tensor_split(0), RuntimeError, "number of sections must be larger than 0, got 0"),
    (
        lambda x, y, s: s.tensor_split(2),
        RuntimeError,
        "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims",
    ),
    (
        lambda x, y, s: z(7).tensor_split(tt([1.0])),
        RuntimeError,
        "tensor_split expected tensor_indices_or_sections to have dtype of long, but got Float",
    ),
    (
        lambda x, y, s: s.hsplit(2),
        RuntimeError,
        ("torch.hsplit requires a tensor with at least 1 dimension, but got a tensor with 0 dimensions!"),
    ),
    (
        lambda x, y, s: z(5).hsplit(2),
        RuntimeError,
        (
            "torch.hsplit attempted to split along dimension 0, but the size of the dimension 5 is "
            "not divisible by the split_size 2!"
        ),
    ),
    (
        lambda x, y, s: z(4, 6).hsplit(4),
        RuntimeError,
        (
            "torch.hsplit attempted to split along dimension 1, but the size of the dimension 6 is "
            "not divisible by the split_size 4!"
        ),
    ),
    (
        lambda x, y, s: z(4).vsplit(2),
        RuntimeError,
        ("torch.vsplit requires a tensor with at least 2 dimension, but got a tensor with 1 dimensions!"),
    ),
    (
        lambda x, y, s: z(4, 6).vsplit(3),
        RuntimeError,
        (
            "torch.vsplit attempted to split along dimension 0, but the size of the dimension 4 is "
            "not divisible by the split_size 3!"
        ),
    ),
    (
        lambda x, y, s: z(4, 6).dsplit(2),
        RuntimeError,
        ("torch.dsplit requires a tensor with at least 3 dimension, but got a tensor with 2 dimensions!"),
    ),
    (
        lambda x, y, s: y.dsplit(3),
        RuntimeError,
        (
            "torch.dsplit attempted to split along dimension 2, but the size of the dimension 4 is "
            "not divisible by the split_size 3!"
        ),
    ),
    (
        lambda x, y, s: z(4, 6).hsplit(0),
        RuntimeError,
        (
            "torch.hsplit attempted to split along dimension 1, but the size of the dimension 6 is "
            "not divisible by the split_size 0!"
        ),
    ),
    (lambda x, y, s: s.unbind(), IndexError, "Dimension specified as 0 but tensor has no dimensions"),
    (lambda x, y, s: x.unbind(2), IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)"),
    (lambda x, y, s: x.unfold(1, 4, 1), RuntimeError, "maximum size for tensor at dimension 1 is 3 but size is 4"),
    (lambda x, y, s: x.unfold(1, 2, 0), RuntimeError, "step is 0 but must be > 0"),
    (lambda x, y, s: x.unfold(1, -1, 1), RuntimeError, "size is -1 but must be >= 0"),
    (lambda x, y, s: s.unfold(0, 2, 1), RuntimeError, "maximum size for tensor at dimension 0 is 1 but size is 2"),
    (
        lambda x, y, s: x.unfold(2, 1, 1),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (lambda x, y, s: x.as_strided((2, 2), (1,)), RuntimeError, "mismatch in length of strides and shape"),
    (
        lambda x, y, s: x.as_strided((4, 4), (3, 1)),
        RuntimeError,
        (
            "setStorage: sizes [4, 4], strides [3, 1], storage offset 0, and itemsize 4 requiring a "
            "storage size of 52 are out of bounds for storage of size 24"
        ),
    ),
    (
        lambda x, y, s: x.as_strided((2, 2), (-1, 2)),
        RuntimeError,
        "as_strided: Negative strides are not supported at the moment, got strides: [-1, 2]",
    ),
    (lambda x, y, s: x.as_strided((2, 2), (1, 2), -1), RuntimeError, "Tensor: invalid storage offset -1"),
    (lambda x, y, s: g.cat([]), ValueError, "torch.cat(): expected a non-empty list of Tensors"),
    (
        lambda x, y, s: g.cat([x, z(2, 4)]),
        RuntimeError,
        (
            "Sizes of tensors must match except in dimension 0. Expected size 3 but got size 4 for "
            "tensor number 1 in the list."
        ),
    ),
    (lambda x, y, s: g.cat([x, y]), RuntimeError, "Tensors must have same number of dimensions: got 2 and 3"),
    (lambda x, y, s: g.cat([s, s]), RuntimeError, "zero-dimensional tensor (at position 0) cannot be concatenated"),
    (
        lambda x, y, s: g.cat([x, x], 2),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (
        lambda x, y, s: g.cat([x, z(3, 4)], 1),
        RuntimeError,
        (
            "Sizes of tensors must match except in dimension 1. Expected size 2 but got size 3 for "
            "tensor number 1 in the list."
        ),
    ),
    (
        lambda x, y, s: g.cat(x),
        TypeError,
        "cat(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor",
    ),
    (lambda x, y, s: g.cat([x, 1]), TypeError, "expected Tensor as element 1 in argument 0, but got int"),
    (lambda x, y, s: g.cat([z(2), s]), RuntimeError, "zero-dimensional tensor (at position 1) cannot be concatenated"),
    (
        lambda x, y, s: g.cat((x,), dim=-3),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got -3)",
    ),
    (
        lambda x, y, s: g.cat([z(2, 3), z(0, 0)], 0),
        RuntimeError,
        (
            "Sizes of tensors must match except in dimension 0. Expected size 3 but got size 0 for "
            "tensor number 1 in the list."
        ),
    ),
    (lambda x, y, s: g.stack([]), RuntimeError, "stack expects a non-empty TensorList"),
    (
        lambda x, y, s: g.stack([x, z(2, 4)]),
        RuntimeError,
        ("stack expects each tensor to be equal size, but got [2, 3] at entry 0 and [2, 4] at entry 1"),
    ),
    (
        lambda x, y, s: g.stack([x, x], 3),
        IndexError,
        "Dimension out of range (expected to be in range of [-3, 2], but got 3)",
    ),
    (lambda x, y, s: g.hstack([]), RuntimeError, "hstack expects a non-empty TensorList"),
    (
        lambda x, y, s: g.hstack([x, z(3, 3)]),
        RuntimeError,
        (
            "Sizes of tensors must match except in dimension 1. Expected size 2 but got size 3 for "
            "tensor number 1 in the list."
        ),
    ),
    (
        lambda x, y, s: g.vstack([z(2), z(3)]),
        RuntimeError,
        (
            "Sizes of tensors must match except in dimension 0. Expected size 2 but got size 3 for "
            "tensor number 1 in the list."
        ),
    ),
    (lambda x, y, s: g.vstack([]), RuntimeError, "vstack expects a non-empty TensorList"),
    (lambda x, y, s: x.tile(-1), RuntimeError, "Trying to create tensor with negative dimension -3: [2, -3]"),
    (
        lambda x, y, s: x.repeat(2),
        RuntimeError,
        ("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"),
    ),
    (lambda x, y, s: x.repeat(2, -1), RuntimeError, "Trying to create tensor with negative dimension -3: [4, -3]"),
    (lambda x, y, s: x.repeat(), TypeError, 'repeat() missing 1 required positional arguments: "repeats"'),
    (lambda x, y, s: s.repeat(), TypeError, 'repeat() missing 1 required positional arguments: "repeats"'),
    (
        lambda x, y, s: x.repeat_interleave(tt([1, 2, 3]), 0),
        RuntimeError,
        ("repeats must have the same size as input along dim, but got repeats.size(0) = 3 and input.size(0) = 2"),
    ),
    (lambda x, y, s: x.repeat_interleave(-1, 0), RuntimeError, "Repeats must be non-negative"),
    (
        lambda x, y, s: x.repeat_interleave(tt([1.0, 2]), 0),
        NotImplementedError,
        "\"repeat_interleave_cpu\" not implemented for 'Float'",
    ),
    (lambda x, y, s: x.repeat_interleave(tt([1, -2]), 0), RuntimeError, "repeats can not be negative"),
    (
        lambda x, y, s: x.repeat_interleave(2, output_size=3),
        RuntimeError,
        "repeat_interleave: Invalid output_size, expected 12 but got 3",
    ),
    (lambda x, y, s: x.repeat_interleave(tt([[1, 2]]), 0), RuntimeError, "repeats must be 0-dim or 1-dim tensor"),
    (lambda x, y, s: x.roll((1, 2), (0,)), RuntimeError, "shifts and dimensions must align. shifts: 2, dims:1"),
    (lambda x, y, s: x.roll((), ()), RuntimeError, "`shifts` required"),
    (
        lambda x, y, s: x.roll(1, 2),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (lambda x, y, s: s.roll(1, 0), IndexError, "Dimension specified as 0 but tensor has no dimensions"),
    (lambda x, y, s: x.roll((1, 2)), RuntimeError, "shifts and dimensions must align. shifts: 2, dims:0"),
    (lambda x, y, s: x.flip(2), IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)"),
    (lambda x, y, s: x.flip(0, 0), RuntimeError, "dim 0 appears multiple times in the list of dims"),
    (lambda x, y, s: x.flip(), TypeError, 'flip() missing 1 required positional arguments: "dims"'),
    (lambda x, y, s: s.fliplr(), RuntimeError, "Input must be >= 2-d."),
    (lambda x, y, s: z(3).fliplr(), RuntimeError, "Input must be >= 2-d."),
    (lambda x, y, s: s.flipud(), RuntimeError, "Input must be >= 1-d."),
    (
        lambda x, y, s: x.rot90(1, (0, 0)),
        RuntimeError,
        "expected rotation dims to be different, but got dim0 = 0 and dim1 = 0",
    ),
    (lambda x, y, s: x.rot90(1, (0,)), RuntimeError, "expected total rotation dims == 2, but got dims = 1"),
    (lambda x, y, s: z(3).rot90(), RuntimeError, "expected total dims >= 2, but got total dims = 1"),
    (
        lambda x, y, s: x.rot90(1, (0, 2)),
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (
        lambda x, y, s: x.rot90(1, (0, -2)),
        RuntimeError,
        "expected rotation dims to be different, but got dim0 = 0 and dim1 = -2",
    ),
    (
        lambda x, y, s: g.meshgrid(z(2), z(3), indexing="q"),
        RuntimeError,
        'torch.meshgrid: indexing must be one of "xy" or "ij", but received: q',
    ),
    (lambda x, y, s: g.meshgrid(), RuntimeError, "meshgrid expects a non-empty TensorList"),
    (
        lambda x, y, s: g.meshgrid(z(2), z(3).int()),
        RuntimeError,
        "meshgrid expects all tensors to have the same dtype",
    ),
    (lambda x, y, s: g.meshgrid([]), RuntimeError, "meshgrid expects a non-empty TensorList"),
    (
        lambda x, y, s: x.select_scatter(z(2), 1, 3),
        IndexError,
        "select(): index 3 out of range for tensor of size [2, 3] at dimension 1",
    ),
    (
        lambda x, y, s: x.select_scatter(z(3), 1, 0),
        RuntimeError,
        "expected src to have a size equal to the slice of self. src size = [3], slice size = [2]",
    ),
    (
        lambda x, y, s: x.slice_scatter(z(2, 2), 1, 0, 3),
        RuntimeError,
        ("expected src to have a size equal to the slice of self. src size = [2, 2], slice size = [2, 3]"),
    ),
    (lambda x, y, s: x.slice_scatter(z(2, 1), 1, 0, 2, 0), RuntimeError, "slice step must be positive"),
    (
        lambda x, y, s: x.diagonal_scatter(z(3)),
        RuntimeError,
        "expected src to have a size equal to the slice of self. src size = [3], slice size = [2]",
    ),
    (
        lambda x, y, s: x.as_strided_scatter(z(3), (2,), (2,)),
        RuntimeError,
        "expected src to have a size equal to the slice of self. src size = [3], slice size = [2]",
    ),
    (lambda x, y, s: s.diag(), RuntimeError, "diag(): Supports 1D or 2D tensors. Got 0D"),
    (lambda x, y, s: y.diag(), RuntimeError, "diag(): Supports 1D or 2D tensors. Got 3D"),
    (
        lambda x, y, s: z(2).diagonal(),
        IndexError,
        "Dimension out of range (expected to be in range of [-1, 0], but got 1)",
    ),
    (lambda x, y, s: y.diagonal(0, 1, 1), RuntimeError, "diagonal dimensions cannot be identical 1, 1"),
    (
        lambda x, y, s: y.diagonal(0, 0, 3),
        IndexError,
        "Dimension out of range (expected to be in range of [-3, 2], but got 3)",
    ),
    (lambda x, y, s: x.diag_embed(0, 1, 1), RuntimeError, "diagonal dimensions cannot be identical 1, 1"),
    (
        lambda x, y, s: s.diag_embed(),
        IndexError,
        "Dimension out of range (expected to be in range of [-1, 0], but got -2)",
    ),
    (lambda x, y, s: z(2).tril(), RuntimeError, "tril: input tensor must have at least 2 dimensions"),
    (lambda x, y, s: s.triu(), RuntimeError, "triu: input tensor must have at least 2 dimensions"),
    (lambda x, y, s: g.tril_indices(-1, 3), RuntimeError, "row must be non-negative, got-1"),
    (lambda x, y, s: y.trace(), RuntimeError, "trace: expected a matrix, but got tensor with dim 3"),
    (lambda x, y, s: g.pad(x, (1,)), RuntimeError, "Padding length must be divisible by 2"),
    (
        lambda x, y, s: g.pad(x, (1, 1, 1, 1, 1, 1)),
        RuntimeError,
        (
            "Padding length should be less than or equal to two times the input dimension but got "
            "padding length 6 and input of dimension 2"
        ),
    ),
    (lambda x, y, s: g.pad(x, (-2, -2)), RuntimeError, "narrow(): length must be non-negative."),
    (
        lambda x, y, s: g.pad(z(1, 2, 3), (3, 3), mode="reflect"),
        RuntimeError,
        (
            "Argument #4: Padding size should be less than the corresponding input dimension, but "
            "got: padding (3, 3) at dimension 2 of input [1, 2, 3]"
        ),
    ),
    (
        lambda x, y, s: g.pad(z(3), (1, 1), mode="reflect"),
        NotImplementedError,
        "Padding size 2 is not supported for 1D input tensor.",
    ),
    (
        lambda x, y, s: g.pad(z(1, 2, 3), (4, 4), mode="circular"),
        RuntimeError,
        "Padding value causes wrapping around more than once.",
    ),
    (lambda x, y, s: g.pad(x, (1, 1), mode="foo"), NotImplementedError, "Unrecognised padding mode foo"),
    (
        lambda x, y, s: g.pad(z(1, 2, 3, 4), (1, 1), mode="replicate"),
        NotImplementedError,
        "Padding size 2 is not supported for 4D input tensor.",
    ),
    (
        lambda x, y, s: g.pad(x, (1, 1), mode="replicate", value=2.0),
        RuntimeError,
        'Padding mode "replicate" doesn\'t take in value argument',
    ),
    (
        lambda x, y, s: g.pad(z(1, 2, 3, 4), (1, 1, 3, 1), mode="reflect"),
        RuntimeError,
        (
            "Argument #6: Padding size should be less than the corresponding input dimension, but "
            "got: padding (3, 1) at dimension 2 of input [1, 2, 3, 4]"
        ),
    ),
    (
        lambda x, y, s: g.pad(z(1, 2, 3, 4), (1, 1, 4, 1), mode="circular"),
        RuntimeError,
        "Padding value causes wrapping around more than once.",
    ),
    (lambda x, y, s: g.one_hot(x), RuntimeError, "one_hot is only applicable to index tensor of type LongTensor."),
    (lambda x, y, s: g.one_hot(tt([])), RuntimeError, "Can not infer total number of classes from empty tensor."),
    (lambda x, y, s: g.one_hot(tt([]), 0), RuntimeError, "Can not infer total number of classes from empty tensor."),
    (
        lambda x, y, s: g.pixel_shuffle(z(7, 2, 2), 2),
        RuntimeError,
        (
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
            "upscale_factor, but input.size(-3)=7 is not divisible by 4"
        ),
    ),
    (
        lambda x, y, s: g.pixel_shuffle(x, 2),
        RuntimeError,
        ("pixel_shuffle expects input to have at least 3 dimensions, but got input with 2 dimension(s)"),
    ),
    (
        lambda x, y, s: g.pixel_unshuffle(z(1, 5, 4), 2),
        RuntimeError,
        (
            "pixel_unshuffle expects height to be divisible by downscale_factor, but input.size(-2)=5 "
            "is not divisible by 2"
        ),
    ),
    (
        lambda x, y, s: g.pixel_shuffle(z(8, 2, 2), 0),
        RuntimeError,
        "pixel_shuffle expects a positive upscale_factor, but got 0",
    ),
    (
        lambda x, y, s: g.channel_shuffle(z(1, 5, 2), 2),
        RuntimeError,
        "Number of channels must be divisible by groups. Got 5 channels and 2 groups.",
    ),
    (
        lambda x, y, s: g.channel_shuffle(x, 1),
        RuntimeError,
        "channel_shuffle expects input with > 2 dims, but got input with sizes [2, 3]",
    ),
    (
        lambda x, y, s: g.channel_shuffle(z(1, 5, 2), 0),
        RuntimeError,
        "Number of groups to divide channels in must be positive. Value of groups:0",
    ),
    (
        lambda x, y, s: g.pixel_unshuffle(z(4, 4), 2),
        RuntimeError,
        ("pixel_unshuffle expects input to have at least 3 dimensions, but got input with 2 dimension(s)"),
    ),
    (
        lambda x, y, s: g.pixel_unshuffle(z(1, 4, 4), 0),
        RuntimeError,
        "pixel_unshuffle expects a positive downscale_factor, but got 0",
    ),
    (
        lambda x, y, s: g.block_diag(y),
        RuntimeError,
        "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input 0 has 3 dimensions",
    ),
    (lambda x, y, s: g.cartesian_prod(x, x), RuntimeError, "Expect a 1D vector, but got shape [2, 3]"),
)


@pytest.mark.parametrize(("build", "kind", "message"), [*CASES], ids=map(str, range(len(CASES))))
def test_errors_are_those_of_pytorch(build: Build, kind: type[Exception], message: str) -> None:
    with pytest.raises(GraphcError) as caught:
        g.symbolic_trace(build, "f32[2,3]", "f32[2,3,4]", "f32[]")
    assert caught.value.message.splitlines()[0] == message
    assert isinstance(caught.value, kind)
