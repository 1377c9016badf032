"""What batches samples become, by the types in them."""

from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.utils.data import default_collate, default_convert
from graphc.utils.data._utils.collate import collate, default_collate_fn_map

Point = namedtuple("Point", "x y")


class Row(list[Any]):
    """A list with more to it than its elements."""

    name = ""


def text_of(value: Any) -> Any:
    """Tensors as dtype and elements, so that they compare."""
    if isinstance(value, graphc.Tensor):
        return str(value.dtype)[6:], value.tolist()
    if isinstance(value, dict):
        return {key: text_of(each) for key, each in value.items()}
    if isinstance(value, tuple | list | deque) and not isinstance(value, str):
        kind: Any = type(value)
        return kind(*map(text_of, value)) if hasattr(value, "_fields") else kind(map(text_of, value))
    return value


BATCHES: list[tuple[list[Any], Any]] = [
    ([1, 2], ("int64", [1, 2])),
    ([1.5, 2], ("float64", [1.5, 2.0])),
    ([True, False], ("bool", [True, False])),
    ([1, 2.5], ("float32", [1.0, 2.5])),
    (["a", "b"], ["a", "b"]),
    ([b"a"], [b"a"]),
    ([np.float32(1), np.float32(2)], ("float32", [1.0, 2.0])),
    ([np.int16(1)], ("int16", [1])),
    ([np.bool_(True)], ("bool", [True])),
    ([np.float64(1)], ("float64", [1.0])),
    ([np.array(1), np.array(2)], ("int64", [1, 2])),
    ([np.ones(2, np.float32), np.zeros(2, np.float32)], ("float32", [[1.0, 1.0], [0.0, 0.0]])),
    ([graphc.tensor(1), graphc.tensor(2)], ("int64", [1, 2])),
    ([graphc.ones(2, dtype=graphc.float16)] * 2, ("float16", [[1.0, 1.0], [1.0, 1.0]])),
    ([(1, "a"), (2, "b")], [("int64", [1, 2]), ("a", "b")]),
    ([[1, 2], [3, 4]], [("int64", [1, 3]), ("int64", [2, 4])]),
    ([Point(1, 2.0), Point(3, 4.0)], Point(("int64", [1, 3]), ("float64", [2.0, 4.0]))),
    (
        [{"a": 1, "b": (5, 6)}, {"a": 2, "b": (7, 8)}],
        {"a": ("int64", [1, 2]), "b": [("int64", [5, 7]), ("int64", [6, 8])]},
    ),
    ([OrderedDict(a=1)], OrderedDict(a=("int64", [1]))),
    ([defaultdict(int, a=1)], defaultdict(int, a=("int64", [1]))),
    ([deque([1, 2])], deque([("int64", [1]), ("int64", [2])])),
    ([range(2), range(2)], [("int64", [0, 0]), ("int64", [1, 1])]),
    ([()], []),
    ([{}], {}),
]


@pytest.mark.parametrize(("batch", "expected"), BATCHES)
def test_collated_samples(batch: list[Any], expected: Any) -> None:
    found = default_collate(batch)
    assert text_of(found) == expected
    assert type(found) is (
        graphc.Tensor if isinstance(expected, tuple) and not hasattr(expected, "_fields") else type(expected)
    )


def test_a_container_keeps_what_it_has_besides_elements() -> None:
    row = Row([1, 2])
    row.name = "first"
    found = default_collate([row, Row([3, 4])])
    assert (type(found), found.name, text_of(list(found))) == (Row, "first", [("int64", [1, 3]), ("int64", [2, 4])])
    assert list(row) == [1, 2]


def test_gradients_reach_the_samples() -> None:
    sample = graphc.ones(2, requires_grad=True)
    default_collate([sample, sample]).sum().backward()
    assert sample.grad.tolist() == [2.0, 2.0]


CONVERTED: list[tuple[Any, Any]] = [
    (1, 1),
    ("a", "a"),
    (None, None),
    (np.array([1, 2]), ("int64", [1, 2])),
    (np.float32(1), ("float32", 1.0)),
    (np.str_("x"), "x"),
    ((1, np.ones(1)), [1, ("float64", [1.0])]),
    ([np.ones(1), "a"], [("float64", [1.0]), "a"]),
    (Point(np.array(0), 1), Point(("int64", 0), 1)),
    ({"a": np.array(1)}, {"a": ("int64", 1)}),
    (range(2), [0, 1]),
]


@pytest.mark.parametrize(("sample", "expected"), CONVERTED)
def test_converted_samples(sample: Any, expected: Any) -> None:
    assert text_of(default_convert(sample)) == expected


def test_conversion_leaves_texts_and_tensors_alone() -> None:
    tensor = graphc.ones(2)
    names = np.array(["a", "b"])
    assert default_convert(tensor) is tensor
    assert default_convert(names) is names


FOUND = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
WRONG: list[tuple[list[Any], type[Exception], str]] = [
    ([None], TypeError, FOUND.format("<class 'NoneType'>")),
    ([{1}], TypeError, FOUND.format("<class 'set'>")),
    ([1j], TypeError, FOUND.format("<class 'complex'>")),
    ([np.array("a")], TypeError, FOUND.format("<U1")),
    ([np.array([None])], TypeError, FOUND.format("object")),
    ([{"a": None}], TypeError, FOUND.format("<class 'NoneType'>")),
    ([(1, 2), (1,)], RuntimeError, "each element in list of batch should be of equal size"),
    ([{"a": 1}, {"b": 1}], KeyError, "'a'"),
    (
        [graphc.ones(2), graphc.ones(3)],
        RuntimeError,
        "stack expects each tensor to be equal size, but got [2] at entry 0 and [3] at entry 1",
    ),
    ([], IndexError, "list index out of range"),
]


@pytest.mark.parametrize(("batch", "kind", "text"), WRONG)
def test_samples_that_make_no_batch(batch: list[Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        default_collate(batch)
    assert text in str(caught.value)


def test_the_table_of_types_can_be_extended() -> None:
    class Sample:
        def __init__(self, value: int) -> None:
            self.value = value

    class Special(Sample):
        pass

    def values(batch: list[Sample], *, collate_fn_map: Any = None) -> Any:
        return collate([sample.value for sample in batch], collate_fn_map=collate_fn_map)

    table = {**default_collate_fn_map, Sample: values}
    found = collate([{"s": Special(1)}, {"s": Special(2)}], collate_fn_map=table)
    assert found["s"].tolist() == [1, 2]
    with pytest.raises(TypeError):
        default_collate([Sample(1)])
