"""`Size`: a tuple of integers that prints as PyTorch's."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.eager.size import Size
from graphc.ir.errors import SignatureError


class Seven:
    def __index__(self) -> int:
        return 7


MADE = (
    ([4, 3], "torch.Size([4, 3])"),
    ((), "torch.Size([])"),
    (range(3), "torch.Size([0, 1, 2])"),
    ((i for i in (5, 6)), "torch.Size([5, 6])"),
    ([True, np.int64(3), np.array(2), Seven()], "torch.Size([1, 3, 2, 7])"),
    ([-1], "torch.Size([-1])"),
    ([2**40], "torch.Size([1099511627776])"),
)


@pytest.mark.parametrize(("given", "text"), MADE, ids=[text for _, text in MADE])
def test_is_made_of_integers_and_prints_them(given: Any, text: str) -> None:
    made = Size(given)
    assert repr(made) == str(made) == f"{made}" == text
    assert all(type(item) is int for item in made)


SIZE = Size([4, 3, 2])
KEPT: tuple[tuple[str, Callable[[], object], Size], ...] = (
    ("slice", lambda: SIZE[1:], Size([3, 2])),
    ("reversed", lambda: SIZE[::-1], Size([2, 3, 4])),
    ("plus size", lambda: SIZE + Size([1]), Size([4, 3, 2, 1])),
    ("plus tuple", lambda: SIZE + (1,), Size([4, 3, 2, 1])),
    ("tuple plus", lambda: (1,) + SIZE, Size([1, 4, 3, 2])),
    ("times", lambda: Size([2, 1]) * 2, Size([2, 1, 2, 1])),
    ("times from the left", lambda: 2 * Size([2]), Size([2, 2])),
    ("pickle", lambda: pickle.loads(pickle.dumps(SIZE)), SIZE),
    ("copy", lambda: copy.deepcopy(SIZE), SIZE),
    ("trusted", lambda: Size.trusted((4, 3, 2)), SIZE),
)


@pytest.mark.parametrize(("make", "expected"), [row[1:] for row in KEPT], ids=[row[0] for row in KEPT])
def test_stays_a_size(make: Callable[[], object], expected: Size) -> None:
    found = make()
    assert type(found) is Size
    assert found == expected


def test_is_a_tuple_otherwise() -> None:
    assert SIZE == (4, 3, 2)
    assert hash(SIZE) == hash((4, 3, 2))
    assert {SIZE: 1}[4, 3, 2] == 1
    assert type(SIZE[0]) is int
    assert SIZE[-1] == 2
    assert SIZE.index(3) == 1
    assert SIZE.count(3) == 1
    assert len(SIZE) == 3
    first, *rest = SIZE
    assert (first, rest) == (4, [3, 2])
    assert SIZE < (5,)


@pytest.mark.parametrize(("sizes", "count"), [((), 1), ((4, 3), 12), ((3, 0), 0), ((2**40, 2**40), 2**80)])
def test_numel_is_the_product(sizes: tuple[int, ...], count: int) -> None:
    assert Size(sizes).numel() == count


WRONG: tuple[tuple[Callable[[], object], str], ...] = (
    (lambda: Size([1.5]), "torch.Size() takes an iterable of 'int' (item 0 is 'float')"),
    (lambda: Size([1, "a"]), "torch.Size() takes an iterable of 'int' (item 1 is 'str')"),
    (lambda: Size([None]), "torch.Size() takes an iterable of 'int' (item 0 is 'NoneType')"),
    (lambda: Size("ab"), "torch.Size() takes an iterable of 'int' (item 0 is 'str')"),
    (lambda: Size([np.float32(3)]), "torch.Size() takes an iterable of 'int' (item 0 is 'numpy.float32')"),
    (lambda: Size([[1]]), "torch.Size() takes an iterable of 'int' (item 0 is 'list')"),
    (lambda: Size([1]) + (1.5,), "torch.Size() takes an iterable of 'int' (item 0 is 'float')"),
    (lambda: ("a",) + Size([1]), "torch.Size() takes an iterable of 'int' (item 0 is 'str')"),
    (lambda: Size([1]) + [2], "can only concatenate tuple (not list) to torch.Size"),
    (lambda: Size([1]) + 2, "can only concatenate tuple (not int) to torch.Size"),
)


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_refuses_what_is_no_integer(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SignatureError) as caught:
        make()
    assert caught.value.message == message
    assert isinstance(caught.value, TypeError)


def test_refuses_what_is_no_iterable() -> None:
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        Size(3)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(TypeError, match="can't multiply sequence by non-int of type 'float'"):
        SIZE * 1.5
    with pytest.raises(TypeError, match="can only concatenate list"):
        [2] + SIZE
