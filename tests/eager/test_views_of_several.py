"""Views that are made of several tensors at once, and storage that strides must not leave."""

from __future__ import annotations

import pytest

import graphc as torch


def test_grids_in_the_order_of_images_have_the_second_vector_in_rows() -> None:
    columns, rows = torch.meshgrid(torch.arange(2), torch.arange(3), indexing="xy")
    assert columns.tolist() == [[0, 1], [0, 1], [0, 1]]
    assert rows.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert (columns.stride(), rows.stride()) == ((0, 1), (1, 0))


def test_several_tensors_each_get_their_dimensions() -> None:
    number, matrix = torch.tensor(1.0), torch.ones(2, 3)
    for given in ((number, matrix), ([number, matrix],)):
        first, second = torch.atleast_1d(*given)
        assert first.tolist() == [1.0]
        assert second is matrix
    assert torch.atleast_3d(number).shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("size", "offset", "message"),
    [
        ((2, 2), -1, "Tensor: invalid storage offset -1"),
        ((-2, 2), 0, r"Storage size calculation overflowed with sizes=\[-2, 2\] and strides=\[1, 2\]"),
    ],
)
def test_strides_do_not_leave_the_storage(size: tuple[int, int], offset: int, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        torch.ones(2, 3).as_strided(size, (1, 2), offset)


def test_a_quick_copy_is_made_for_its_own_shape_alone() -> None:
    assert torch.diag(torch.ones(10, 10)).shape == (10,)
    assert torch.diag(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).tolist() == [1.0, 5.0]


def test_what_is_given_one_by_one_may_be_given_by_name() -> None:
    x = torch.arange(6).reshape(shape=(2, 3))
    assert x.permute(dims=(1, 0)).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert torch.flip(x, dims=(0,)).tolist() == [[3, 4, 5], [0, 1, 2]]
    assert x.repeat(repeats=(2, 1)).shape == (4, 3)
    assert x.expand(size=(4, 2, 3)).shape == (4, 2, 3)


def test_the_method_split_calls_its_sizes_split_size() -> None:
    x = torch.arange(5)
    assert [part.tolist() for part in x.split(split_size=3)] == [[0, 1, 2], [3, 4]]
    assert [part.tolist() for part in x.split(split_size=[1, 4], dim=0)] == [[0], [1, 2, 3, 4]]
