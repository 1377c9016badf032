"""Arrays of any layout, numbers, and what is no array at all; by `compile` and by an `Executable`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import graphc
from graphc.ir.dtype import DTYPES
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, ShapeError

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def unaligned(x: np.ndarray) -> np.ndarray:
    """The same values one byte beside where they should be."""
    raw = np.zeros(x.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(x.tobytes(), np.uint8)
    result = raw[1:].view(x.dtype).reshape(x.shape)
    assert not result.flags.aligned
    return result


def read_only(x: np.ndarray) -> np.ndarray:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def spread(x: np.ndarray) -> np.ndarray:
    wide = np.zeros(tuple(3 * n for n in x.shape), x.dtype)
    wide[::3, ::3, ::3] = x
    return wide[::3, ::3, ::3]


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda x: x,
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
    "transposed": lambda x: x.transpose(2, 0, 1).copy().transpose(1, 2, 0),
    "negative strides": lambda x: x[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "gaps": spread,
    "repeated": lambda x: np.broadcast_to(x[:1], x.shape),
    "unaligned": unaligned,
    "unaligned and swapped": lambda x: unaligned(x.astype(x.dtype.newbyteorder())),
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "a view of bytes": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "memory of a subclass": lambda x: x.view(type("Mine", (np.ndarray,), {})),
}

f = graphc.compile(lambda x, y: (x * 2 + y).sum(dim=1))
executable = graphc.symbolic_trace(lambda x, y: (x * 2 + y).sum(dim=1), "f32[2,3,4]", "f32[2,3,4]").compile()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("call", [f, executable], ids=["compile", "executable"])
def test_arrays_of_any_layout(layout: str, call: Callable[..., Any]) -> None:
    x = LAYOUTS[layout](X)
    expected = (x.astype(np.float32) * 2 + X).sum(axis=1)
    for _ in range(2):
        np.testing.assert_array_equal(call(x, X), np.asarray(expected), strict=True)
        assert type(call(x, X)) is np.ndarray


def test_layouts_share_a_program() -> None:
    g = graphc.compile(lambda x: x + 1)
    for layout in LAYOUTS.values():
        g(layout(X))
    assert len(g.compilations) == 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_goes_in_and_out(dtype: Any) -> None:
    x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype.numpy)
    g = graphc.compile(lambda x: (x, x.T))
    same, turned = g(x)
    np.testing.assert_array_equal(same, x, strict=True)
    np.testing.assert_array_equal(turned, x.T, strict=True)
    assert graphc.symbolic_trace(lambda x: x, f"{dtype.short}[]").compile()(x[0, 0]).dtype == dtype.numpy


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 3), (3, 0, 2), (1, 1, 1), (1, 5), (5, 1), (1,) * 10])
def test_empty_and_single_sizes(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 3.0)
    total, plus, product = graphc.compile(lambda x: (x.sum(), x + 1, x * x.sum()))(x)
    np.testing.assert_array_equal(total, np.asarray(x.sum()), strict=True)
    np.testing.assert_array_equal(plus, np.asarray(x + 1), strict=True)
    np.testing.assert_array_equal(product, np.asarray(x * x.sum()), strict=True)


def test_an_empty_dimension_has_no_greatest_element() -> None:
    with pytest.raises(IndexError, match="Expected reduction dim 0 to have non-zero size") as info:
        graphc.compile(lambda x: x.amax(dim=0))(np.zeros((0, 3)))
    assert isinstance(info.value, GraphcError)
    assert info.value.location is not None


def test_numpy_scalars_are_arrays_without_dimensions() -> None:
    g = graphc.compile(lambda x: x + x)
    assert g(np.float32(2)) == 4
    assert g(np.array(2, np.float32)) == 4
    assert len(g.compilations) == 1
    assert g(np.int8(2)).dtype == np.int8
    assert g(np.True_).dtype == np.bool_


class Like:
    """Something that numpy takes for an array."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.array


def test_objects_that_give_arrays_are_taken() -> None:
    for call in (graphc.compile(lambda x: x * 2), graphc.symbolic_trace(lambda x: x * 2, "f32[2,3,4]").compile()):
        np.testing.assert_array_equal(call(Like(X)), X * 2, strict=True)


REFUSED: list[tuple[str, object, type[GraphcError], str]] = [
    ("objects", np.array([None, 1]), DTypeError, "the argument 'x' has dtype object"),
    ("strings", np.array(["a", "b"]), DTypeError, "the argument 'x' has dtype <U1"),
    ("bytes", np.array([b"a"]), DTypeError, r"the argument 'x' has dtype \|S1"),
    ("dates", np.array(["2020-01-01"], "M8[D]"), DTypeError, r"the argument 'x' has dtype datetime64\[D\]"),
    ("durations", np.array([1], "m8[s]"), DTypeError, r"the argument 'x' has dtype timedelta64\[s\]"),
    ("records", np.zeros(2, [("a", "i4"), ("b", "f4")]), DTypeError, "the argument 'x' has dtype"),
    ("long double", np.zeros(2, np.longdouble), DTypeError, "the argument 'x' has dtype"),
    ("object scalar", Like(np.array(None)), DTypeError, "the argument 'x' has dtype object"),
    ("sparse", scipy.sparse.csr_matrix(np.eye(2)), ArgumentError, "the argument 'x' is a csr_matrix: no array"),
    ("sparse array", scipy.sparse.coo_array(np.eye(2)), ArgumentError, "the argument 'x' is a coo_array: no array"),
    (
        "masked",
        np.ma.masked_array([1.0, 2.0], [0, 1]),
        ArgumentError,
        "'x' is a masked array, whose mask would be lost",
    ),
    ("set", {1, 2}, ArgumentError, "the argument 'x' is a set: no array"),
    ("buffer", memoryview(bytearray(3)), ArgumentError, "the argument 'x' is a memoryview: no array"),
    ("bytearray", bytearray(3), ArgumentError, "the argument 'x' is a bytearray: no array"),
    ("generator", (i for i in range(3)), ArgumentError, "the argument 'x' is a generator: no array"),
    ("iterator", iter([1, 2]), ArgumentError, "the argument 'x' is a list_iterator: no array"),
    ("nested", {"a": [np.array(["a"])]}, DTypeError, r"the argument \"x\['a'\]\[0\]\" has dtype <U1"),
]


@pytest.mark.parametrize(("value", "error", "message"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_is_no_array_is_refused_by_name(value: object, error: type[GraphcError], message: str) -> None:
    g = graphc.compile(lambda x: 1)
    for _ in range(2):
        with pytest.raises(error, match=message) as info:
            g(value)
        assert info.value.location is not None
        assert info.value.location.file == __file__
        assert info.value.hint
    assert g.compilations == ()


def test_none_and_text_are_values_of_the_program() -> None:
    g = graphc.compile(lambda x, y: x + 1 if y is None else x)
    np.testing.assert_array_equal(g(X, None), X + 1)
    np.testing.assert_array_equal(g(X, "y"), X)


# An executable knows what it takes


nested = graphc.symbolic_trace(
    lambda params, count, x: {"y": x @ params["w"] * count}, {"w": "f32[3,2]"}, 3, "f32[n,3] where n in 1..8"
).compile()
W, Y = np.ones((3, 2), np.float32), np.ones((4, 3), np.float32)
scalars = graphc.symbolic_trace(lambda a, b, c, d: (a, b, c, d), "f32[]", "i64[]", "u8[]", "bool[]").compile()


def test_an_executable_takes_and_gives_the_containers_of_its_function() -> None:
    for call in (
        lambda: nested({"w": W}, 3, Y),
        lambda: nested({"w": W}, 3, x=Y),
        lambda: nested(x=Y, count=3, params={"w": W}),
    ):
        result = call()
        assert list(result) == ["y"]
        np.testing.assert_array_equal(result["y"], np.full((4, 2), 9, np.float32), strict=True)
    assert nested.input_names == ("params['w']", "x")
    assert repr(nested) == "<executable function(params['w']: f32[3,2], x: f32[n,3])>"
    assert nested.peak_bytes({"w": W}, 3, Y) == 4 * 2 * 4


BAD_CALLS: list[tuple[Callable[[], object], type[GraphcError], str]] = [
    (lambda: nested({"v": W}, 3, Y), ArgumentError, "params lacks the key 'w' and has the new key 'v'"),
    (lambda: nested([W], 3, Y), ArgumentError, "params is a list in place of a dict"),
    (lambda: nested({"w": W}, 4, Y), ArgumentError, "count is 4 in place of 3"),
    (lambda: nested({"w": W}, 3.0, Y), ArgumentError, "count is 3.0 in place of 3"),
    (lambda: nested({"w": W}, 3), ArgumentError, "the argument 'x' is missing"),
    (lambda: nested({"w": W}, 3, Y, Y), ArgumentError, "takes 3 arguments, 4 given"),
    (lambda: nested({"w": W}, 3, y=Y), ArgumentError, "'y' is no argument"),
    (lambda: nested({"w": W}, 3, Y, count=3), ArgumentError, "'count' is given twice"),
    (lambda: nested({"w": [W]}, 3, Y), ArgumentError, r"\"params\['w'\]\" is a list"),
    (lambda: nested({"w": None}, 3, Y), ArgumentError, r"\"params\['w'\]\" is None"),
    (lambda: nested({"w": "w"}, 3, Y), ArgumentError, r"\"params\['w'\]\" is a str"),
    (lambda: nested({"w": W}, 3, Y.astype(np.float64)), DTypeError, "argument x has dtype float64, expected float32"),
    (lambda: nested({"w": W}, 3, Y[0]), ShapeError, r"argument x has 1 dimension, shape \(3,\); its type f32\[n,3\]"),
    (lambda: nested({"w": W}, 3, Y[:, :2]), ShapeError, "dimension 1 of argument x is 2, expected 3"),
    (lambda: nested({"w": W}, 3, np.ones((9, 3), np.float32)), ShapeError, r"argument x is 9; n is within 1\.\.8"),
    (lambda: nested({"w": W}, 3, Y[:0]), ShapeError, r"argument x is 0; n is within 1\.\.8"),
    (lambda: nested({"w": W}, 3, 2.0), ShapeError, r"argument x has 0 dimensions"),
    (lambda: nested({"w": np.array([None])}, 3, Y), DTypeError, r"params\['w'\] has dtype object"),
    (lambda: scalars(1j, 2, 3, True), DTypeError, "'a' is 1j, expected float32"),
    (lambda: scalars(1, 2.5, 3, True), DTypeError, "'b' is 2.5, expected int64"),
    (lambda: scalars(1, 2, 300, True), DTypeError, "'c' is 300, which is no uint8"),
    (lambda: scalars(1, 2, -1, True), DTypeError, "'c' is -1, which is no uint8"),
    (lambda: scalars(1, 2, 3, 1), DTypeError, "'d' is 1, expected bool"),
    (lambda: scalars(10**4000, 2, 3, True), DTypeError, "'a' is 1000000000.*, which is no float32"),
    (lambda: scalars(np.float64(1), 2, 3, True), DTypeError, "argument a has dtype float64, expected float32"),
    (lambda: scalars(1, 2, 3), ArgumentError, "the argument 'd' is missing"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD_CALLS, ids=[message for _, _, message in BAD_CALLS])
def test_an_executable_says_what_is_wrong_with_its_arguments(
    call: Callable[[], object], error: type[GraphcError], message: str
) -> None:
    with pytest.raises(error, match=message) as info:
        call()
    assert info.value.location is not None
    assert info.value.location.file == __file__


def test_numbers_stand_for_inputs_without_dimensions() -> None:
    for given in ((1, 2, 3, True), (True, False, True, False), (1e300, 2**62, 255, True), (float("nan"), -1, 0, False)):
        with np.errstate(over="ignore"):
            expected = [np.asarray(v, t) for v, t in zip(given, (np.float32, np.int64, np.uint8, np.bool_))]
        for have, want in zip(scalars(*given), expected, strict=True):
            np.testing.assert_array_equal(have, want, strict=True)


def test_sizes_of_one_name_must_agree_between_arguments() -> None:
    g = graphc.symbolic_trace(lambda x, y: x.sum() + y.sum(), "f32[n,m]", "f32[2*n]").compile()
    ones = np.ones((2, 3), np.float32)
    assert g(ones, np.ones(4, np.float32)) == 10
    with pytest.raises(ShapeError, match=re.escape("argument y is 5, expected 2*n = 4, as n is 2 by dimension 0 of")):
        g(ones, np.ones(5, np.float32))


def test_a_plain_graph_takes_its_inputs_and_gives_a_tuple() -> None:
    from graphc.ir.parse import parse_graph

    text = "graph f(%x: f32[2], %y: f32[2]) {\n  %0 = add(%x, %y) : f32[2]\n  return %0, %y\n}\n"
    g = parse_graph(text).compile()
    a = np.ones(2, np.float32)
    total, second = g(a, y=a)  # type: ignore[misc]  # two results
    np.testing.assert_array_equal(total, a + a)
    np.testing.assert_array_equal(second, a)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "gpu"}, "there is no target 'gpu'"),
        ({"speed": 3}, "there is no option 'speed'"),
        ({"numerics": "quick"}, "numerics='quick'"),
        ({"passes": "simplifi"}, "did you mean simplify"),
    ],
)
def test_options_of_graph_compile(options: dict[str, Any], message: str) -> None:
    graph = graphc.symbolic_trace(lambda x: x, "f32[2]")
    with pytest.raises(GraphcError) as info:
        graph.compile(**options)
    assert message in str(info.value)
    assert info.value.location is not None


def test_an_executable_inside_a_traced_function_becomes_part_of_it() -> None:
    square = graphc.symbolic_trace(lambda x: {"y": x * x}, "f32[2,3,4]").compile()
    g = graphc.compile(lambda x: square(x)["y"] + square(X)["y"])
    np.testing.assert_array_equal(g(X), 2 * X * X)
    assert len(g.compilations[0].executable.kernels) == 1
    with pytest.raises(ArgumentError, match=r"was made for x : f32\[2,3,4\], and is called with a f32\[3,4\]"):
        graphc.compile(lambda x: square(x[0])["y"])(X)
