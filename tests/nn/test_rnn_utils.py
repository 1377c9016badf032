"""Padding and packing sequences: layout, order, padding on both sides, gradients, texts."""

from __future__ import annotations

from typing import Any

import pytest

import graphc
from graphc.nn.utils.rnn import (
    PackedSequence,
    invert_permutation,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)

tensor = graphc.tensor


def batch() -> Any:
    """`[3, 4]`: the elements of four sequences below each other."""
    return graphc.arange(12.0).reshape(3, 4)


def fields(packed: PackedSequence) -> list[list[Any] | None]:
    return [None if each is None else each.tolist() for each in packed]


def test_packing_puts_the_elements_of_each_step_behind_each_other() -> None:
    wanted = [[0, 1, 2, 3, 4, 5, 6, 8], [4, 3, 1], None, None]
    assert fields(pack_padded_sequence(batch(), [3, 2, 2, 1])) == wanted
    assert fields(pack_padded_sequence(batch(), tensor([3, 2, 2, 1], dtype=graphc.int32))) == wanted
    assert fields(pack_padded_sequence(batch().t(), [3, 2, 2, 1], batch_first=True)) == wanted


def test_packing_sorts_by_length_if_it_may() -> None:
    packed = pack_padded_sequence(batch(), [1, 2, 3, 2], enforce_sorted=False)
    assert fields(packed) == [[2, 1, 3, 0, 6, 5, 7, 10], [4, 3, 1], [2, 1, 3, 0], [3, 1, 0, 2]]
    padded, lengths = pad_packed_sequence(packed)
    assert lengths.tolist() == [1, 2, 3, 2]
    assert padded.tolist() == [[0, 1, 2, 3], [0, 5, 6, 7], [0, 0, 10, 0]]


def test_unpacking_pads_to_a_length_with_a_value() -> None:
    packed = pack_padded_sequence(batch(), [3, 2, 2, 1])
    padded, lengths = pad_packed_sequence(packed, batch_first=True, padding_value=-1.5, total_length=4)
    assert padded.tolist() == [[0, 4, 8, -1.5], [1, 5, -1.5, -1.5], [2, 6, -1.5, -1.5], [3, -1.5, -1.5, -1.5]]
    assert padded.stride() == (1, 4)
    assert lengths.tolist() == [3, 2, 2, 1]
    integers = pad_packed_sequence(pack_padded_sequence(batch().long(), [3, 2, 2, 1]), padding_value=2.7)[0]
    assert integers.tolist() == [[0, 1, 2, 3], [4, 5, 6, 2], [8, 2, 2, 2]]


def test_sequences_are_padded_on_either_side() -> None:
    given = [tensor([1, 2, 3]), tensor([4]), tensor([5, 6])]
    assert pad_sequence(given).tolist() == [[1, 4, 5], [2, 0, 6], [3, 0, 0]]
    assert pad_sequence(given, True).tolist() == [[1, 2, 3], [4, 0, 0], [5, 6, 0]]
    assert pad_sequence(given, True, -1, "left").tolist() == [[1, 2, 3], [-1, -1, 4], [-1, 5, 6]]
    assert pad_sequence(tuple(given), padding_side="left").tolist() == [[1, 0, 0], [2, 0, 5], [3, 4, 6]]
    assert pad_sequence(given).stride() == (3, 1)
    assert pad_sequence(graphc.ones(2, 3, 4)).shape == (3, 2, 4)
    assert pad_sequence([graphc.ones(0, 2), graphc.ones(1, 2)], True).tolist() == [[[0, 0]], [[1, 1]]]
    assert pad_sequence([graphc.ones(0, 2)]).shape == (0, 1, 2)


def test_the_first_sequence_decides_the_dtype() -> None:
    assert pad_sequence([tensor([1, 2]), tensor([1.5])], True).tolist() == [[1, 2], [1, 0]]
    assert pad_sequence([tensor([1.5]), tensor([1, 2])]).dtype is graphc.float32


def test_sequences_come_back() -> None:
    given = [tensor([1]), tensor([4, 5]), tensor([6])]
    packed = pack_sequence(given, enforce_sorted=False)
    assert fields(packed) == [[4, 1, 6, 5], [3, 1], [1, 0, 2], [1, 0, 2]]
    assert [each.tolist() for each in unpack_sequence(packed)] == [[1], [4, 5], [6]]
    padded, lengths = pad_sequence(given, True), tensor([1, 2, 1])
    assert [each.tolist() for each in unpad_sequence(padded, lengths, batch_first=True)] == [[1], [4, 5], [6]]
    turned = pad_sequence(given)
    assert [each.tolist() for each in unpad_sequence(turned, lengths)] == [[1], [4, 5], [6]]
    assert turned.shape == (3, 2)  # turned round in place, as in PyTorch
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is shorter than argument 1"):
        unpad_sequence(padded, lengths[:2], batch_first=True)


def test_gradients_flow_through_packing_and_padding() -> None:
    x = batch().requires_grad_()
    padded, _ = pad_packed_sequence(pack_padded_sequence(x, [1, 2, 3, 2], enforce_sorted=False), padding_value=3.0)
    (padded * padded).sum().backward()
    assert x.grad.tolist() == [[0, 2, 4, 6], [0, 10, 12, 14], [0, 0, 20, 0]]
    parts = [graphc.ones(3, requires_grad=True), graphc.ones(1, requires_grad=True)]
    (pad_sequence(parts) * graphc.arange(6.0).reshape(3, 2)).sum().backward()
    assert [each.grad.tolist() for each in parts] == [[0, 2, 4], [1]]


def test_a_packed_sequence_is_a_named_tuple_that_converts_its_data() -> None:
    packed = pack_sequence([tensor([1.0, 2.0]), tensor([4.0])])
    assert isinstance(packed, tuple)
    assert packed._fields == ("data", "batch_sizes", "sorted_indices", "unsorted_indices")
    assert repr(packed) == (
        "PackedSequence(data=tensor([1., 4., 2.]), batch_sizes=tensor([2, 1]), sorted_indices=None, "
        "unsorted_indices=None)"
    )
    for name in "double float half long int short char byte".split():
        converted = getattr(packed, name)()
        assert converted.data.dtype is getattr(tensor([1.0]), name)().dtype
        assert converted.batch_sizes is packed.batch_sizes
    assert packed.float() is packed
    assert packed.cpu() is packed
    assert packed.to(graphc.float64).data.dtype is graphc.float64
    assert (packed.is_cuda, packed.is_pinned()) == (False, False)
    assert fields(PackedSequence((tensor([1, 2]), tensor([2])))) == [[1, 2], [2], None, None]
    assert fields(PackedSequence(tensor([1, 2]), tensor([2]), tensor([1, 0])))[3] == [1, 0]


def test_a_permutation_is_inverted() -> None:
    assert invert_permutation(tensor([2, 0, 1])).tolist() == [1, 2, 0]
    assert invert_permutation(None) is None


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: pack_padded_sequence(batch(), [1, 2, 3, 2]), RuntimeError,
         "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
         "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do "
         "not need ONNX exportability."),
        (lambda: pack_padded_sequence(batch(), [3, 2, 2]), RuntimeError,
         "Expected `len(lengths)` to be equal to batch_size, but got 3 (batch_size=4)"),
        (lambda: pack_padded_sequence(batch(), [3, 2, 2, 0]), RuntimeError,
         "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"),
        (lambda: pack_padded_sequence(batch(), tensor([[3, 2, 2, 1]])), RuntimeError,
         "'lengths' argument should be a 1D CPU int64 tensor, but got 2D cpu Long tensor"),
        (lambda: pack_padded_sequence(graphc.zeros(0, 4), [1, 1, 1, 1]), RuntimeError, "Cannot pack empty tensors."),
        (lambda: pack_padded_sequence(graphc.zeros(4), [1]), IndexError,
         "Dimension out of range (expected to be in range of [-1, 0], but got 1)"),
        (lambda: pad_packed_sequence(pack_padded_sequence(batch(), [3, 2, 2, 1]), total_length=2), ValueError,
         "Expected total_length to be at least the length of the longest sequence in input, but got total_length=2 "
         "and max sequence length being 3"),
        (lambda: pad_sequence([]), RuntimeError, "received an empty list of sequences"),
        (lambda: pad_sequence(5), RuntimeError,
         "pad_sequence: Expected iterable for input sequences, but got arg of type: <class 'int'>"),
        (lambda: pad_sequence([1, 2]), TypeError, "expected Tensor as element 0 in argument 0, but got int"),
        (lambda: pad_sequence([tensor([1])], padding_side="mid"), RuntimeError,
         "Expected padding_side to be one of left or right, but got mid."),
        (lambda: pad_sequence([graphc.ones(2, 2), graphc.ones(2, 3)]), RuntimeError,
         "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 1"),
        (lambda: PackedSequence(tensor([1, 2])), AssertionError, "Expected data to be a list or tuple of length 2"),
    ],
)  # fmt: skip
def test_errors_are_pytorchs(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
