"""`testing.assert_close` and `make_tensor`; `utils.benchmark`."""

import inspect

import pytest

import graphc
from graphc import tensor
from graphc.testing import assert_close, make_tensor
from graphc.utils.benchmark import Measurement, Timer

LARGER = """\
Tensor-likes are not close!

Mismatched elements: 2 / 4 (50.0%)
Greatest absolute difference: 1.0 at index (0, 1) (up to 1e-05 allowed)
Greatest relative difference: 0.3333333432674408 at index (0, 1) (up to 1.3e-06 allowed)"""

FAILURES = {
    "elements": (tensor([[1.0, 2.0], [5.0, 6.0]]), tensor([[1.0, 3.0], [4.0, 6.0]]), {}, LARGER),
    "scalars": (
        tensor(1.0),
        tensor(2.0),
        {},
        "Scalars are not close!\n\nExpected 2.0 but got 1.0.\nAbsolute difference: 1.0 (up to 1e-05 allowed)\n"
        "Relative difference: 0.5 (up to 1.3e-06 allowed)",
    ),
    "ints": (
        tensor([1, 2]),
        tensor([1, 3]),
        {},
        "Tensor-likes are not equal!\n\nMismatched elements: 1 / 2 (50.0%)\n"
        "Greatest absolute difference: 1 at index (1,)\n"
        "Greatest relative difference: 0.3333333432674408 at index (1,)",
    ),
    "numbers": (
        [1, 2],
        [1, 3],
        {},
        "Scalars are not equal!\n\nExpected 3 but got 2.\nAbsolute difference: 1\n"
        "Relative difference: 0.3333333333333333\n\nThe failure occurred for item [1]",
    ),
    "nan": (
        tensor([float("nan")]),
        tensor([float("nan")]),
        {},
        "Tensor-likes are not close!\n\nMismatched elements: 1 / 1 (100.0%)\n"
        "Greatest absolute difference: nan at index (0,) (up to 1e-05 allowed)\n"
        "Greatest relative difference: nan at index (0,) (up to 1.3e-06 allowed)",
    ),
    "shape": (
        tensor([1.0]),
        tensor([1.0, 2.0]),
        {},
        "The values for attribute 'shape' do not match: torch.Size([1]) != torch.Size([2]).",
    ),
    "dtype": (
        tensor([1.0]),
        tensor([1]),
        {},
        "The values for attribute 'dtype' do not match: torch.float32 != torch.int64.",
    ),
    "stride": (
        graphc.ones(2, 3).t(),
        graphc.ones(3, 2),
        {"check_stride": True},
        "The values for attribute 'stride()' do not match: (1, 3) != (2, 1).",
    ),
    "length": ([1], [1, 2], {}, "The length of the sequences mismatch: 1 != 2"),
    "keys": (
        {"a": 1},
        {"b": 1},
        {},
        "The keys of the mappings do not match:\nMissing keys in the actual mapping: ['b']\n"
        "Additional keys in the actual mapping: ['a']",
    ),
    "none": (tensor([1.0]), None, {}, "None mismatch: tensor([1.]) is not None"),
    "bools": (True, False, {}, "Booleans mismatch: True is not False"),
    "own words": (1.0, 2.0, {"msg": "look here"}, "look here"),
    "more words": (True, False, {"msg": lambda text: f"look: {text}"}, "look: Booleans mismatch: True is not False"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_is_not_close_is_told(name: str) -> None:
    actual, expected, options, text = FAILURES[name]
    with pytest.raises(AssertionError) as caught:
        assert_close(actual, expected, **options)
    assert str(caught.value) == text


def test_what_is_close_passes() -> None:
    assert_close(tensor([1.0]), tensor([1.0 + 5e-6]))
    assert_close({"a": [tensor([1.0]), 2]}, {"a": [tensor([1.0]), 2]})
    assert_close(tensor([1.0, 2.0]), tensor([1.0, 2.0]).double(), check_dtype=False)
    assert_close(tensor([float("nan")]), tensor([float("nan")]), equal_nan=True)
    assert_close(tensor([1.0]), tensor([1.2]), rtol=0.1, atol=0.1)
    assert_close(tensor([1.0]).bfloat16(), tensor([1.01]).bfloat16())
    assert_close(graphc.zeros(0), graphc.zeros(0))
    assert_close(graphc.ones(2, requires_grad=True), graphc.ones(2))


def test_misuse_of_assert_close() -> None:
    with pytest.raises(ValueError, match="must be either specified or omitted, but got no atol"):
        assert_close(1.0, 1.0, rtol=1.0)
    with pytest.raises(TypeError, match="No comparison pair was able to handle inputs of type <class 'str'>"):
        assert_close("a", "a")


@pytest.mark.parametrize("dtype", [graphc.float32, graphc.float16, graphc.int8, graphc.bool, graphc.complex64])
def test_made_tensors(dtype) -> None:
    made = make_tensor((5, 4), dtype=dtype, device="cpu")
    assert (made.shape, made.dtype, made.is_contiguous()) == ((5, 4), dtype, True)
    spaced = make_tensor(5, 4, dtype=dtype, device="cpu", noncontiguous=True)
    assert (spaced.shape, spaced.is_contiguous()) == ((5, 4), False)


def test_made_numbers_are_in_the_range() -> None:
    made = make_tensor(1000, dtype=graphc.int64, device="cpu", low=-1, high=3, exclude_zero=True)
    assert sorted({*made.tolist()}) == [-1, 1, 2]
    made = make_tensor(1000, dtype=graphc.float64, device="cpu", low=2.0, high=2.5, requires_grad=True)
    assert made.requires_grad
    assert 2 <= made.min().item() < 2.1 < 2.4 < made.max().item() < 2.5
    with pytest.raises(ValueError, match="`low` must be less than `high`, but got 3 >= 1"):
        make_tensor(3, dtype=graphc.float32, device="cpu", low=3, high=1)


def test_a_timer_measures_and_prints() -> None:
    x = graphc.ones(3)
    found = Timer("x + 1", globals={"x": x}, label="add", sub_label="small", description="graphc").timeit(20)
    assert isinstance(found, Measurement)
    assert 0 < found.median == found.mean < 1
    lines = str(found).splitlines()
    assert lines[1:3] == ["add: small", "graphc"]
    assert lines[-1] == "  1 measurement, 20 runs , 1 thread"
    ranged = Timer("x + 1", globals={"x": x}).blocked_autorange(min_run_time=0.002)
    assert sum(ranged.raw_times) >= 0.002
    assert inspect.cleandoc(str(ranged)).splitlines()[1] == "x + 1"
    assert Measurement.merge([found, found])[0].times == found.times * 2
