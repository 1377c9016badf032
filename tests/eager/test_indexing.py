"""Subscripts: what they choose, what they write, what they refuse, and what they cost."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as torch
from graphc.eager import slicing

T = torch.tensor


def matrix():
    return torch.arange(6.0).reshape(2, 3)


CHOSEN = [
    (lambda x: x[0], [0.0, 1.0, 2.0], (1,)),
    (lambda x: x[-1, -2], 4.0, ()),
    (lambda x: x[np.int64(1)], [3.0, 4.0, 5.0], (1,)),
    (lambda x: x[T(1)], [3.0, 4.0, 5.0], (1,)),
    (lambda x: x[:, 1:], [[1.0, 2.0], [4.0, 5.0]], (3, 1)),
    (lambda x: x[:, ::2], [[0.0, 2.0], [3.0, 5.0]], (3, 2)),
    (lambda x: x[T(0) : T(1)], [[0.0, 1.0, 2.0]], (3, 1)),
    (lambda x: x[5:], [], (3, 1)),
    (lambda x: x[None, ..., None], [[[[0.0], [1.0], [2.0]], [[3.0], [4.0], [5.0]]]], (6, 3, 1, 1)),
    (lambda x: x[..., 0], [0.0, 3.0], (3,)),
    (lambda x: x[..., ...], [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], (3, 1)),
    (lambda x: x[()], [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], (3, 1)),
    (lambda x: x[True], [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]], (6, 3, 1)),
    (lambda x: x[False], [], (6, 3, 1)),
    (lambda x: x[0, True], [[0.0, 1.0, 2.0]], (3, 1)),
    (lambda x: x[[0, 1]], [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], (3, 1)),
    (lambda x: x[range(2), 1], [1.0, 4.0], (1,)),
    (lambda x: x[np.array([1, 0])], [[3.0, 4.0, 5.0], [0.0, 1.0, 2.0]], (3, 1)),
    (lambda x: x[0, [1, 2]], [1.0, 2.0], (1,)),
    (lambda x: x[T([[0, 1], [1, 0]]), T([2, 0])], [[2.0, 3.0], [5.0, 0.0]], (2, 1)),
    (lambda x: x[None, T([0, 1]), None, T([0, 1])], [[[0.0]], [[4.0]]], (1, 1, 1)),
    (lambda x: x[x > 2], [3.0, 4.0, 5.0], (1,)),
    (lambda x: x[T([True, False])], [[0.0, 1.0, 2.0]], (3, 1)),
    (lambda x: x[0, T([True, False, True])], [0.0, 2.0], (1,)),
    (lambda x: x[T(True)], [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]], (6, 3, 1)),
    (lambda x: x[[]], [], (3, 1)),
    (lambda x: x.t()[[0, 1]], [[0.0, 3.0], [1.0, 4.0]], (2, 1)),
    (lambda x: x.reshape(1, 2, 3).permute(2, 0, 1)[:, [0]], [[[0.0, 3.0]], [[1.0, 4.0]], [[2.0, 5.0]]], (1, 3, 3)),
]


@pytest.mark.parametrize("case", range(len(CHOSEN)))
def test_a_subscript_chooses(case):
    choose, values, strides = CHOSEN[case]
    found = choose(matrix())
    assert found.tolist() == values
    assert found.stride() == strides


REFUSED = [
    (lambda x: x[2], IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
    (lambda x: x[0, -4], IndexError, "index -4 is out of bounds for dimension 1 with size 3"),
    (lambda x: x[0, 0, 0], IndexError, "too many indices for tensor of dimension 2"),
    (
        lambda x: x[1.0],
        IndexError,
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got float)",
    ),
    (lambda x: x["a"], TypeError, "new(): invalid data type 'str'"),
    (lambda x: x[::-1], ValueError, "step must be greater than zero"),
    (lambda x: x[::0], ValueError, "slice step cannot be zero"),
    (lambda x: x[10**20], ValueError, "Overflow when unpacking long long"),
    (
        lambda x: x[:, T([True, False])],
        IndexError,
        "The shape of the mask [2] at index 0 does not match the shape of the indexed tensor [2, 3] at index 1",
    ),
    (lambda x: x[T([0, 5])], IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
    (lambda x: x[T([0.0])], IndexError, "tensors used as indices must be long, int, byte or bool tensors"),
    (
        lambda x: x[T([0, 1]), T([0, 1, 2])],
        IndexError,
        "shape mismatch: indexing tensors could not be broadcast together with shapes [2], [3]",
    ),
    (
        lambda x: T(3)[0],
        IndexError,
        "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
        "0-dim tensor to a number",
    ),
    (lambda x: T(3)[:], IndexError, "slice() cannot be applied to a 0-dim tensor."),
    (lambda x: x.select(0, 4), IndexError, "select(): index 4 out of range for tensor of size [2, 3] at dimension 0"),
    (lambda x: x.narrow(0, 1, 2), RuntimeError, "start (1) + length (2) exceeds dimension size (2)."),
    (
        lambda x: x.narrow(0, 3, 1),
        IndexError,
        "start out of range (expected to be in range of [-2, 2], but got 3)",
    ),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_a_subscript_that_fits_nothing_is_refused(case):
    choose, kind, text = REFUSED[case]
    with pytest.raises(kind) as caught:
        choose(matrix())
    assert str(caught.value) == text


def test_bytes_as_a_mask_are_deprecated():
    with pytest.warns(UserWarning, match="indexing with dtype torch.uint8 is now deprecated"):
        assert matrix()[T([1, 0], dtype=torch.uint8)].tolist() == [[0.0, 1.0, 2.0]]


def test_a_list_of_places_for_each_dimension_warns():
    with pytest.warns(UserWarning, match="non-tuple sequence for multidimensional indexing"):
        assert matrix()[[[0, 1], [1, 0]]].tolist() == [1.0, 3.0]


ASSIGNED = [
    ("x[0] = 7", [[7, 7, 7], [3, 4, 5]]),
    ("x[0] = torch.ones(1, 1, 3)", [[1, 1, 1], [3, 4, 5]]),
    ("x[0] = T([9, 8, 7])", [[9, 8, 7], [3, 4, 5]]),
    ("x[:, 1] = T([True, False])", [[0, 1, 2], [3, 0, 5]]),
    ("x[...] = np.float64(2.5)", [[2.5] * 3] * 2),
    ("x[None] = 5", [[5] * 3] * 2),
    ("x[False] = 3", [[0, 1, 2], [3, 4, 5]]),
    ("x[True] = 3", [[3] * 3] * 2),
    ("x[0:0] = 1", [[0, 1, 2], [3, 4, 5]]),
    ("x[x > 1] = 0", [[0, 1, 0], [0, 0, 0]]),
    ("x[x > 1] = torch.ones(4)", [[0, 1, 1], [1, 1, 1]]),
    ("x[[0, 0]] = T([[1.0, 2, 3], [4, 5, 6]])", [[4, 5, 6], [3, 4, 5]]),
    ("x[1, [0, 2]] = T([8.0, 9.0])", [[0, 1, 2], [8, 4, 9]]),
    ("x[T([True, False])] = T([[1.0, 2, 3]])", [[1, 2, 3], [3, 4, 5]]),
    ("x.t()[0] = 6", [[6, 1, 2], [6, 4, 5]]),
    ("x.index_put_((T([0, 0]), T([1, 1])), T(1.0), accumulate=True)", [[0, 3, 2], [3, 4, 5]]),
    ("x.fill_diagonal_(9)", [[9, 1, 2], [3, 9, 5]]),
]


@pytest.mark.parametrize("case", range(len(ASSIGNED)))
def test_an_assignment_writes(case):
    code, values = ASSIGNED[case]
    x = matrix()
    exec(code, {"x": x, "torch": torch, "T": T, "np": np})
    assert x.tolist() == values


def test_integers_take_the_whole_part_of_a_number():
    x = torch.arange(3)
    x[0] = 1.7
    x[[1]] = 2.9
    x[x > 4] = 0.5
    assert x.tolist() == [1, 2, 2]


UNFIT = [
    (
        "x[0] = torch.ones(2)",
        RuntimeError,
        "The expanded size of the tensor (3) must match the existing size (2) at non-singleton dimension 0.  Target "
        "sizes: [3].  Tensor sizes: [2]",
    ),
    (
        "x[0] = torch.ones(2, 3)",
        RuntimeError,
        "expand(torch.FloatTensor{[2, 3]}, size=[3]): the number of sizes provided (1) must be greater or equal to the "
        "number of dimensions in the tensor (2)",
    ),
    ("x[0] = [1, 2, 3]", TypeError, "can't assign a list to a torch.FloatTensor"),
    ("x[0] = np.ones(3)", TypeError, "can't assign a numpy.ndarray to a torch.FloatTensor"),
    ("x[0] = 1j", RuntimeError, "value cannot be converted to type float without overflow"),
    (
        "x[[0, 1]] = torch.ones(2)",
        RuntimeError,
        "shape mismatch: value tensor of shape [2] cannot be broadcast to indexing result of shape [2, 3]",
    ),
    (
        "x[[0, 1]] = T(5)",
        RuntimeError,
        "Index put requires the source and destination dtypes match, got Float for the destination and Long for the "
        "source.",
    ),
    (
        "x.index_put_(T([0]), T(1.0))",
        TypeError,
        "index_put_(): argument 'indices' (position 1) must be tuple of Tensors, not Tensor",
    ),
    (
        "x[[0, 1]] = x[0]",
        RuntimeError,
        "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
        "location. Please clone() the tensor before performing the operation.",
    ),
    ("T([1.0]).fill_diagonal_(1)", RuntimeError, "dimensions must larger than 1"),
]


@pytest.mark.parametrize("case", range(len(UNFIT)))
def test_a_value_that_fits_nowhere_is_refused(case):
    code, kind, text = UNFIT[case]
    with pytest.raises(kind) as caught:
        exec(code, {"x": matrix(), "torch": torch, "T": T, "np": np})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("choose", "name"),
    [
        (lambda x: x[0], "SelectBackward0"),
        (lambda x: x[T(0)], "SelectBackward0"),
        (lambda x: x[0, :], "SelectBackward0"),
        (lambda x: x[:], "SliceBackward0"),
        (lambda x: x[0, 1:], "SliceBackward0"),
        (lambda x: x[:, :], "AliasBackward0"),
        (lambda x: x[...], "AliasBackward0"),
        (lambda x: x[:, None], "UnsqueezeBackward0"),
        (lambda x: x[[0]], "IndexBackward0"),
        (lambda x: x[x > 1], "IndexBackward0"),
        (lambda x: x[True], "IndexBackward0"),
        (lambda x: x.narrow(0, 0, 2), "SliceBackward0"),
    ],
)
def test_the_node_of_a_subscript_names_its_last_step(choose, name):
    x = matrix().requires_grad_()
    assert choose(x).grad_fn.name() == name


def test_a_loop_over_parts_makes_one_plan():
    x = torch.ones(50, 3, requires_grad=True)
    slicing._plan.cache_clear()
    total = sum((i + 1) * x[i].sum() for i in range(50))
    assert slicing._plan.cache_info().misses == 1
    total.backward()
    assert x.grad[:, 0].tolist() == [float(i + 1) for i in range(50)]


@pytest.mark.parametrize(
    ("write", "to_x", "to_v"),
    [
        (lambda x, v: x.__setitem__(0, v[0]), [[0, 0, 0], [1, 1, 1]], [3, 0, 0]),
        (lambda x, v: x.__setitem__((slice(None), 1), v[:2]), [[1, 0, 1], [1, 0, 1]], [1, 1, 0]),
        (lambda x, v: x.__setitem__([1, 1], v), [[1, 1, 1], [0, 0, 0]], [1, 1, 1]),
        (lambda x, v: x.__setitem__(x > 3, v[2]), [[1, 1, 1], [1, 0, 0]], [0, 0, 2]),
        (lambda x, v: x.index_put_((T([0, 0]), T([1, 1])), v[:2], accumulate=True), [[1] * 3] * 2, [1, 1, 0]),
        (lambda x, v: x[1].copy_(v), [[1, 1, 1], [0, 0, 0]], [1, 1, 1]),
        (lambda x, v: x.t()[0].mul_(v[0]), [[2, 1, 1], [2, 1, 1]], [3, 0, 0]),
    ],
)
def test_gradients_of_a_write_reach_what_is_left_and_the_value(write, to_x, to_v):
    leaf = matrix().requires_grad_()
    v = T([2.0, 3.0, 4.0], requires_grad=True)
    x = leaf * 1
    write(x, v)
    x.sum().backward()
    assert leaf.grad.tolist() == to_x
    assert v.grad.tolist() == to_v


ENTRIES = st.one_of(
    st.integers(-2, 1),
    st.builds(slice, st.integers(-3, 3) | st.none(), st.integers(-3, 3) | st.none(), st.integers(1, 2) | st.none()),
    st.none(),
    st.lists(st.integers(-2, 1), min_size=1, max_size=3),
    st.lists(st.booleans(), min_size=2, max_size=2),
)


@settings(max_examples=150)
@given(st.lists(ENTRIES, min_size=1, max_size=4))
def test_any_subscript_chooses_and_writes_what_it_does_step_by_step(entries):
    """Against one step at a time: ints, slices and None on views, then index lists by a loop over their elements."""
    if sum(each is not None for each in entries) > 3:
        return
    array = np.arange(8.0).reshape(2, 2, 2)
    lists = [np.array(each).nonzero()[0] if type(each[0]) is bool else each for each in entries if type(each) is list]
    lengths = {len(each) for each in lists} - {1}
    if len(lengths) > 1:
        return
    view, places, axis = array, [], 0
    for each in entries:
        if each is None:
            view = np.expand_dims(view, axis)
        elif isinstance(each, int):
            view = np.moveaxis(view, axis, 0)[each]
            continue
        elif isinstance(each, slice):
            view = view[(slice(None),) * axis + (each,)]
        else:
            places.append(axis)
        axis += 1
    if places:
        count = lengths.pop() if lengths else 1
        rows = [each if len(each) == count else list(each) * count for each in lists]
        front = np.moveaxis(view, places, range(len(places)))
        picked = [front[tuple(row[i] for row in rows)] for i in range(count)]
        expected = np.array(picked).reshape((count, *front.shape[len(places) :]))
        if places == list(range(places[0], places[-1] + 1)):
            expected = np.moveaxis(expected, 0, places[0])
    else:
        expected = view
    x = torch.from_numpy(array.copy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lists of one entry that stand alone
        found = x[tuple(entries)]
        assert found.tolist() == expected.tolist()
        assert tuple(found.shape) == expected.shape
        chosen = set(expected.reshape(-1).tolist())
        x[tuple(entries)] = -1.0
    assert x.tolist() == np.where(np.isin(array, list(chosen)), -1.0, array).tolist()
