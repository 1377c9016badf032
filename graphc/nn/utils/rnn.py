"""Sequences of different lengths in one tensor: padded to one length, or packed without padding.

In: sequences `[length, ...]`. Out: a padded batch `[longest, batch, ...]`, or a PackedSequence, which recurrent layers
take as it is; and back.

>>> import graphc
>>> packed = pack_sequence([graphc.tensor([1, 2, 3]), graphc.tensor([4, 5])])
>>> packed.data, packed.batch_sizes
(tensor([1, 4, 2, 5, 3]), tensor([2, 2, 1]))
>>> pad_packed_sequence(packed, batch_first=True)[0]
tensor([[1, 2, 3],
        [4, 5, 0]])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphc.eager.attributes import typename
from graphc.eager.methods import of_table
from graphc.eager.placement import gpu_of, on
from graphc.eager.tensor import Tensor, wrap
from graphc.ir import dtype as dtypes
from graphc.ir.errors import ArgumentError, ShapeError, SignatureError
from graphc.nn.attention import public

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


_cat, _full, _where, _sort = (of_table(name) for name in ("cat", "full", "where", "sort"))
Positions = npt.NDArray[np.int64]


class _Fields(NamedTuple):
    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(_Fields):
    """Sequences without padding: the first elements of all, then the second elements, and so on.

    `data` is `[elements, ...]` with the longest sequence first in each step; `batch_sizes` counts the elements of each
    step; `sorted_indices` and `unsorted_indices` lead from the order in which the sequences were given and back, and
    are None where that was the order of their lengths.
    """

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, list | tuple) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with its data as `Tensor.to` gives it; itself where that changes nothing."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else type(self)(data, *self[1:])

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """`to` the CPU."""
        return self.to(*args, **{"device": "cpu"} | kwargs)

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """`to` a GPU."""
        return self.to(*args, **{"device": "cuda"} | kwargs)

    def double(self) -> PackedSequence:
        """With data of float64."""
        return self.to(dtype=dtypes.f64)

    def float(self) -> PackedSequence:
        """With data of float32."""
        return self.to(dtype=dtypes.f32)

    def half(self) -> PackedSequence:
        """With data of float16."""
        return self.to(dtype=dtypes.f16)

    def long(self) -> PackedSequence:
        """With data of int64."""
        return self.to(dtype=dtypes.i64)

    def int(self) -> PackedSequence:
        """With data of int32."""
        return self.to(dtype=dtypes.i32)

    def short(self) -> PackedSequence:
        """With data of int16."""
        return self.to(dtype=dtypes.i16)

    def char(self) -> PackedSequence:
        """With data of int8."""
        return self.to(dtype=dtypes.i8)

    def byte(self) -> PackedSequence:
        """With data of uint8."""
        return self.to(dtype=dtypes.u8)

    def pin_memory(self) -> PackedSequence:
        """With its tensors in memory that a GPU reads."""
        sorted_indices, unsorted_indices = (None if each is None else each.pin_memory() for each in self[2:])
        return type(self)(self.data.pin_memory(), self.batch_sizes, sorted_indices, unsorted_indices)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return bool(self.data.is_cuda)

    def is_pinned(self) -> bool:
        """Whether the data is in pinned memory."""
        return bool(self.data.is_pinned())


def invert_permutation(permutation: Any) -> Any:
    """The permutation that leads back; None for None."""
    if permutation is None:
        return None
    inverse = permutation.new_empty(permutation.shape)
    return inverse.scatter_(0, permutation, _beside(np.arange(permutation.numel()), permutation))


# Packed


@public
def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a batch `[longest, batch, ...]`, with `batch_first` `[batch, longest, ...]`, of sequences of these lengths.

    Unless `enforce_sorted`, which wants the longest first, they are sorted by length. Raises ShapeError or
    ArgumentError, which are RuntimeErrors, for lengths that don't fit.
    """
    if not isinstance(lengths, Tensor):
        lengths = wrap(np.array(lengths, np.int64))
    lengths = lengths.to(dtype=dtypes.i64)
    sorted_indices = None
    if not enforce_sorted:
        lengths, sorted_indices = _sort(lengths, descending=True)
        sorted_indices = sorted_indices.to(input.device)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    x = input.transpose(0, 1) if batch_first else input
    counts = _checked_lengths(x, lengths)
    within = np.arange(x.shape[1]) < (np.arange(counts[0])[:, None] < counts).sum(1)[:, None]
    batch_sizes = within.sum(1)
    places = np.flatnonzero(within[: x.shape[0]])
    data = x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]).index_select(0, _beside(places, x))
    return PackedSequence(data, wrap(batch_sizes), sorted_indices)


def _beside(array: npt.NDArray[Any], like: Any) -> Any:
    """The array as a tensor where another one is."""
    return wrap(on(array, gpu_of(like._array)))


def _checked_lengths(x: Any, lengths: Any) -> Positions:
    samples = x.size(1)
    if not x.numel():
        raise ShapeError("Cannot pack empty tensors.", hint="every sequence has an element")
    if lengths.dim() != 1 or lengths.is_cuda:
        raise ShapeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.dim()}D {lengths.device} "
            "Long tensor",
            hint="give one length for each sequence",
        )
    counts: Positions = lengths.numpy()
    if len(counts) != samples:
        raise ShapeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(counts)} (batch_size={samples})",
            hint="give one length for each sequence",
        )
    if counts[-1] <= 0:
        raise ArgumentError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0",
            hint="leave out sequences without elements",
        )
    if (counts[1:] > counts[:-1]).any():
        raise ArgumentError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability.",
            hint="or sort the sequences",
        )
    return counts


@public
def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Any, Any]:
    """The sequences as a batch `[longest, batch, ...]` in the order they were given, and their lengths.

    With `total_length` the batch is that long; raises ValueError if a sequence is longer.
    """
    counts: Positions = sequence.batch_sizes.numpy()
    steps = len(counts)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
        counts, steps = np.concatenate([counts, np.zeros(total_length - steps, np.int64)]), total_length
    starts = np.cumsum(counts) - counts
    within = np.arange(counts[0])
    mask = within < counts[:, None]
    padded = _spread(sequence.data, np.where(mask, starts[:, None] + within, 0), mask, padding_value)
    padded = padded.transpose(0, 1) if batch_first else padded
    lengths: Any = wrap(mask.sum(0))
    order = sequence.unsorted_indices
    if order is None:
        return padded, lengths
    return padded.index_select(0 if batch_first else 1, order), lengths.index_select(0, order.cpu())


def _spread(data: Any, sources: Positions, mask: npt.NDArray[np.bool_], padding_value: float) -> Any:
    """The elements at `sources`, and the padding where the mask is false."""
    found = data.index_select(0, _beside(sources.reshape(-1), data)).reshape(*mask.shape, *data.shape[1:])
    if mask.all():
        return found
    inside = _beside(mask.reshape(*mask.shape, *(1 for _ in data.shape[1:])), data)
    return _where(inside, found, _full((), padding_value, dtype=data.dtype))


# Padded


@public
def pad_sequence(
    sequences: Iterable[Any], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Any:
    """Sequences `[length, ...]` as a batch `[longest, batch, ...]`, with `batch_first` `[batch, longest, ...]`.

    It has the dtype of the first of them. Raises ShapeError where the sizes besides the lengths differ.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    given = tuple(sequences)
    for position, each in enumerate(given):
        if not isinstance(each, Tensor):
            raise SignatureError(
                f"expected Tensor as element {position} in argument 0, but got {typename(each)}", hint="make tensors"
            )
    if not given:
        raise ArgumentError("received an empty list of sequences", hint="give at least one")
    if padding_side not in ("left", "right"):
        raise ArgumentError(
            f"Expected padding_side to be one of left or right, but got {padding_side}.", hint="say left or right"
        )
    if not given[0].dim():
        raise ShapeError("ArrayRef: invalid slice, N = 1; size = 0", hint="a sequence has at least one dimension")
    first: Any = given[0]
    parts = [_fitting(each, (each.shape[0], *first.shape[1:])).to(first.dtype) for each in given]
    counts = np.array([each.shape[0] for each in parts])
    longest = int(counts.max())
    steps = np.arange(longest) - (longest - counts if padding_side == "left" else np.zeros_like(counts))[:, None]
    mask = (steps >= 0) & (steps < counts[:, None])
    sources = np.where(mask, (np.cumsum(counts) - counts)[:, None] + steps, 0)
    if not batch_first:
        mask, sources = np.ascontiguousarray(mask.T), sources.T
    if not counts.any():
        return first.new_empty((*mask.shape, *first.shape[1:]))
    return _spread(_cat(parts), sources, mask, padding_value)


def _fitting(x: Any, shape: Sequence[int]) -> Any:
    """The tensor with this shape, as a write into one of that shape would read it."""
    sizes = (1,) * (len(shape) - x.dim()) + tuple(x.shape)
    for axis, (wanted, size) in reversed([*enumerate(zip(shape, sizes))]):
        if size not in (1, wanted):
            raise ShapeError(
                f"The size of tensor a ({wanted}) must match the size of tensor b ({size}) at non-singleton "
                f"dimension {axis}",
                hint="sequences differ in their lengths alone",
            )
    return x if tuple(x.shape) == tuple(shape) else x.expand(*shape)


@public
def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences in a batch; without `batch_first` its first two dimensions are swapped in place, as in PyTorch."""
    if not batch_first:
        padded_sequences.transpose_(0, 1)
    positions = np.arange(padded_sequences.shape[1])
    return [
        sequence[_beside(positions < int(length), sequence)]
        for sequence, length in zip(padded_sequences, lengths, strict=True)
    ]


@public
def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences `[length, ...]`; unless `enforce_sorted`, which wants the longest first, they are sorted."""
    lengths = [each.shape[0] for each in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


@public
def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The sequences in the order they were given."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
