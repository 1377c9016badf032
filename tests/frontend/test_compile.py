"""`compile`: what it takes, what it gives, and when it compiles again."""

from __future__ import annotations

import copy
import functools
import gc
import logging
import pickle
import weakref
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend.compile import CompiledFunction
from graphc.frontend.specialize import MANY
from graphc.ir.dtype import f32, f64, set_default_dtype
from graphc.ir.errors import ArgumentError, GraphcError, ShapeError, TraceError

X = np.arange(6, dtype=np.float32).reshape(2, 3)
Pair = namedtuple("Pair", "first second")


def programs(f: Any) -> int:
    return len(f.compilations)


def reasons(f: Any) -> list[str]:
    return [each.reason for each in f.compilations]


def same(actual: object, expected: object) -> None:
    """Containers of the same types with equal arrays of the same dtype."""
    assert type(actual) is type(expected)
    if isinstance(expected, dict):
        assert list(actual) == list(expected)  # type: ignore[call-overload]  # it is a dict too
        for key in expected:
            same(actual[key], expected[key])  # type: ignore[index]
    elif isinstance(expected, tuple | list):
        assert len(actual) == len(expected)  # type: ignore[arg-type]
        for a, b in zip(actual, expected):  # type: ignore[call-overload]
            same(a, b)
    elif isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(actual, expected, strict=True)  # type: ignore[arg-type]
    else:
        assert actual == expected


# Ways to be a function


def double(x: Any, factor: float = 2.0, *, plus: int = 0) -> Any:
    """Twice as much."""
    return x * factor + plus


@graphc.compile
def compiled_double(x: Any) -> Any:
    return x * 2


class Model:
    def __init__(self, weight: float) -> None:
        self.weight = np.float32(weight)

    @graphc.compile
    def forward(self, x: Any) -> Any:
        return x * self.weight

    @graphc.compile(dynamic={"x": 0})
    def total(self, x: Any) -> Any:
        return x.sum(dim=0) * self.weight

    @staticmethod
    @graphc.compile
    def negative(x: Any) -> Any:
        return -x

    @graphc.compile
    @staticmethod
    def twice(x: Any) -> Any:
        return x * 2

    @classmethod
    @graphc.compile
    def named(cls, x: Any) -> Any:
        return x + len(cls.__name__)

    def __call__(self, x: Any) -> Any:
        return x + self.weight


class Attributes:
    """Something callable whose attributes are called like those of a compiled function."""

    def __init__(self) -> None:
        self.function = self._quick = self.compilations = None

    def __call__(self, x: Any) -> Any:
        return x + 1


CALLABLES: dict[str, tuple[Callable[..., Any], np.ndarray]] = {
    "function": (double, X * 2),
    "lambda": (lambda x: x * 2, X * 2),
    "partial": (functools.partial(double, factor=3.0), X * 3),
    "partial of an array": (functools.partial(lambda w, x: x * w, np.float32(4)), X * 4),
    "object": (Model(5), X + 5),
    "object with attributes": (Attributes(), X + 1),
    "bound method": (Model(6).__call__, X + 6),
    "compiled": (graphc.compile(double), X * 2),
    "function of the table": (graphc.relu, X),
    "builtin": (abs, X),
}


@pytest.mark.parametrize("name", CALLABLES)
def test_anything_that_can_be_called_is_compiled(name: str) -> None:
    function, expected = CALLABLES[name]
    compiled = graphc.compile(function)
    for _ in range(3):
        same(compiled(X), expected)
    assert programs(compiled) == 1


def test_it_is_a_decorator_with_and_without_options() -> None:
    @graphc.compile
    def f(x: Any) -> Any:
        """Add one."""
        return x + 1

    @graphc.compile(numerics="fast", passes="simplify,fuse", dynamic={"x": 0})
    def g(x: Any) -> Any:
        return x + 1

    same(f(X), X + 1)
    same(g(X), X + 1)
    assert isinstance(f, CompiledFunction)
    assert (f.__name__, f.__doc__) == ("f", "Add one.")
    assert repr(f) == "<compiled f: 1 program>"
    assert f.compilations[0].graph.name == "f"


def test_methods_have_programs_of_their_own_and_take_none_to_the_grave() -> None:
    a, b = Model(2), Model(3)
    for _ in range(2):
        same(a.forward(X), X * 2)
        same(b.forward(X), X * 3)
    assert programs(a.forward) == programs(b.forward) == 1
    same(b.total(X), X.sum(0) * 3)
    same(b.total(X[:1]), X[0] * 3)
    assert programs(b.total) == 1
    either: Any
    for either in (Model, b):
        same(either.negative(X), -X)
        same(either.twice(X), X * 2)
        same(either.named(X), X + 5)
    same(Model.forward(a, X), X * 2)  # by the class, as of any function
    gone = weakref.ref(b)
    del b, either
    gc.collect()
    assert gone() is None


def test_a_method_of_an_object_without_weak_references() -> None:
    class Slotted:
        __slots__ = ("weight",)

        @graphc.compile
        def forward(self, x: Any) -> Any:
            return x * self.weight

    model = Slotted()
    model.weight = np.float32(3)
    same(model.forward(X), X * 3)


# Arguments and containers


def test_keywords_positions_and_defaults_share_programs() -> None:
    f = graphc.compile(double)
    same(f(X), X * 2)
    same(f(x=X), X * 2)
    assert programs(f) == 1
    same(f(X, 3.0), X * 3)
    same(f(X, factor=4.0), X * 4)
    same(f(factor=5.0, x=X), X * 5)
    assert programs(f) == 2
    same(f(X, plus=1), X * 2 + 1)
    same(f(plus=1, x=X), X * 2 + 1)
    assert programs(f) == 3
    assert reasons(f)[1] == "the arguments given were x and are x, factor"


def test_any_number_of_positions_and_keywords() -> None:
    @graphc.compile
    def f(first: Any, *rest: Any, **named: Any) -> Any:
        return {"sum": first + sum(rest), **named}

    same(f(X, X, X, b=X, a=X + 1), {"sum": X * 3, "a": X + 1, "b": X})
    same(f(X), {"sum": X})
    assert [str(node.attribute("name")) for node in f.compilations[0].graph.inputs] == [
        "first", "rest_0", "rest_1", "a", "b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        X,
        [X, X + 1],
        (X,),
        {"w": X, "b": [X, (X + 1, {"c": X})]},
        Pair(X, {"k": X}),
        OrderedDict(b=X, a=X + 1),
        {1: X, (2, "x"): X},
        {"x": X, "nothing": None, "name": "adam", "empty": [], "none": (None, {})},
    ],
    ids=["array", "list", "tuple", "nested", "namedtuple", "OrderedDict", "keys", "static"],
)
def test_containers_come_back_as_they_are(value: object) -> None:
    f = graphc.compile(lambda value: value)
    for _ in range(2):
        same(f(value), value)
    assert programs(f) == 1


def test_numbers_sizes_and_arrays_that_are_returned_become_arrays() -> None:
    f = graphc.compile(lambda x: (3, 2.5, True, 1j, x.shape[0], x.shape, np.ones(2), np.float64(1)), dynamic={"x": 0})
    result = f(X)
    expected = (
        np.array(3), np.array(2.5, np.float32), np.array(True), np.array(1j, np.complex64), np.array(2),
        (np.array(2), np.array(3)), np.ones(2), np.array(1.0),
    )  # fmt: skip
    same(result, expected)
    same(f(X[:1])[4], np.array(1))


@pytest.mark.parametrize("kind", [Counter, defaultdict])
def test_containers_that_cannot_be_built_again_are_refused(kind: type) -> None:
    value = kind(list) if kind is defaultdict else kind()
    value["x"] = X
    with pytest.raises(ArgumentError, match=f"a {kind.__name__} is a dict that can't be built again"):
        graphc.compile(lambda x: x["x"])(value)


def test_a_container_that_holds_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ArgumentError, match="nest more than 200 deep"):
        graphc.compile(lambda x: x)(loop)


def test_results_share_memory_with_nothing() -> None:
    constant = np.ones((2, 3), np.float32)
    f = graphc.compile(lambda x, y: (x, x, y, [x, constant], constant, x.reshape(3, 2), x.T))
    x, y = X.copy(), X.copy()
    for _ in range(2):  # the way of the first call, and the quick one
        results = f(x, y)
        arrays = [*results[:3], *results[3], *results[4:]]
        everything = [*arrays, x, y, constant]
        for i, a in enumerate(arrays):
            assert a.flags.writeable
            assert not any(np.shares_memory(a, b) for j, b in enumerate(everything) if i != j)
            a[...] = -1
    np.testing.assert_array_equal(f(x, y)[0], X)
    np.testing.assert_array_equal(constant, 1)


def test_functions_of_nothing_and_of_constants() -> None:
    same(graphc.compile(lambda: graphc.arange(3))().numpy(), np.arange(3))
    f = graphc.compile(lambda unused, x: x)
    same(f(X, X + 1), X + 1)
    same(f(None, X), X)


# When it compiles again


def test_ints_bools_and_strings_are_part_of_the_program() -> None:
    f = graphc.compile(lambda x, n: x * n if not isinstance(n, str) else x)
    for n in (2, 3, 2, True, 1, "a", "b", "a"):
        same(f(X, n), X if isinstance(n, str) else X * n)
    assert programs(f) == 6
    assert reasons(f)[:3] == ["first call", "n was 2 and is 3", "n was 3 and is True"]


def test_floats_are_not() -> None:
    f = graphc.compile(lambda x, rate, other: x * rate + other)
    for rate in (0.5, 2.0, -1.0, float("nan"), float("inf"), 1e300, 1e-300):
        with np.errstate(all="ignore"):
            expected = X * np.float32(rate) + np.complex64(1j)
        same(f(X, rate, 1j), expected)
    assert programs(f) == 1


def test_a_float_has_the_width_of_the_arrays_and_of_nothing_before() -> None:
    f = graphc.compile(lambda x, s: x.sum() * 0 + s)
    assert f(X, 0.1).dtype == np.float32
    same(f(X.astype(np.float64), 0.1), np.array(0.1))
    assert f(X, 0.1).dtype == np.float32
    g = graphc.compile(lambda x: x)
    assert g(np.array(0.5)).dtype == np.float64
    assert g(0.5).dtype == np.float32
    assert g(np.float64(0.5)).dtype == np.float64
    assert g(0.5).dtype == np.float32


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (X, X[0], "x was f32[2,3] and is f32[3]"),
        (X, X.astype(np.float64), "x was f32[2,3] and is f64[2,3]"),
        (X, 2, "x was f32[2,3] and is 2"),
        ([X], (X,), "x is a tuple in place of a list"),
        ([X], [X, X], "x has 2 entries in place of 1"),
        ([X], X, "x is a leaf in place of a list"),
        ({"a": X}, {"b": X}, "x lacks the key 'a' and has the new key 'b'"),
        ({"a": X, "b": X}, {"b": X, "a": X}, "x has its keys in another order"),
        ({"a": {"b": [X]}}, {"a": {"b": [X[0]]}}, "x['a']['b'][0] was f32[2,3] and is f32[3]"),
        (Pair(X, [X]), Pair(X, X), "x.second is a leaf in place of a list"),
    ],
    ids=str,
)
def test_the_reason_for_compiling_again_names_the_argument(
    first: object, second: object, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    f = graphc.compile(lambda x, y: 1)
    with caplog.at_level(logging.INFO, "graphc.compile"):
        f(first, X)
        f(second, X)
        f(first, X)
        f(second, X)
    assert reasons(f) == ["first call", reason]
    assert caplog.messages == [f"function is compiled again: {reason}"]


def test_any_value_with_a_hash_is_part_of_the_program() -> None:
    class Setting:
        factor = 3

    f = graphc.compile(lambda x, what: x.to(what) if isinstance(what, type | graphc.float32.__class__) else what(x))
    same(f(X, np.float64), X.astype(np.float64))
    same(f(X, graphc.float64), X.astype(np.float64))
    same(f(X, graphc.neg), -X)
    same(f(X, graphc.neg), -X)
    assert programs(f) == 3
    g = graphc.compile(lambda x, setting: x * setting.factor)
    one, two = Setting(), Setting()
    for setting in (one, two, one, two):
        same(g(X, setting), X * 3)
    assert programs(g) == 2


def test_copies_of_a_compiled_function_are_itself() -> None:
    assert copy.deepcopy({"f": compiled_double})["f"] is compiled_double
    assert copy.copy(compiled_double) is compiled_double
    assert pickle.loads(pickle.dumps(compiled_double)) is compiled_double
    executable = graphc.symbolic_trace(double, "f32[2]").compile()
    assert copy.deepcopy([executable])[0] is executable


def test_the_reason_is_what_differs_from_the_nearest_program() -> None:
    f = graphc.compile(lambda x, y, n: x)
    f(X, X, 1)
    f(X[0], X[0], 2)
    f(X, X, 3)
    assert reasons(f)[2] == "n was 1 and is 3"


def test_many_programs_of_one_function_are_worth_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    f = graphc.compile(lambda x, n: x)
    with caplog.at_level(logging.WARNING, "graphc.compile"):
        for n in range(MANY):
            f(0.5, n)
    assert len(caplog.messages) == 1
    assert f"compiled {MANY} times, now because n was {MANY - 2} and is {MANY - 1}" in caplog.messages[0]


def test_programs_of_other_shapes_are_found_again() -> None:
    f = graphc.compile(lambda x, y: x + y)
    shapes = [(3,), (4,), (2, 2), (), (0,), (1, 1)]
    for _ in range(3):
        for shape in shapes:
            x = np.random.default_rng(0).random(shape, np.float32)
            same(f(x, x), x + x if shape else np.asarray(x + x))
    assert programs(f) == len(shapes)


# Sizes that may change


DYNAMIC: list[tuple[Any, int]] = [
    ({"x": 0}, 1),
    ({"x": -2}, 1),
    ({"x": (0,)}, 1),
    ({"x": "batch"}, 1),
    ({"x": {0: "batch"}}, 1),
    ({"x": (0, 1)}, 1),
    (None, 5),
    (False, 5),
    (True, 3),  # sizes 0 and 1 are special, and 2 above
]


@pytest.mark.parametrize(("dynamic", "expected"), DYNAMIC, ids=str)
def test_sizes_marked_dynamic_do_not_recompile(dynamic: Any, expected: int) -> None:
    f = graphc.compile(lambda x: (x * 2).sum(dim=0), dynamic=dynamic)
    for _ in range(2):
        for n in (5, 2, 1, 0, 70):
            x = np.ones((n, 4), np.float32)
            same(f(x), x.sum(0) * 2)
    assert programs(f) == expected


def test_a_mark_goes_for_all_that_an_argument_contains() -> None:
    f = graphc.compile(lambda batch, w: (batch["x"] @ w + batch["y"][0]).sum(), dynamic={"batch": "n"})
    for n in (2, 5, 1):
        batch = {"x": np.ones((n, 3)), "y": [np.ones((n, 4))]}
        same(f(batch, np.ones((3, 4))), np.array(n * 16.0))
    assert programs(f) == 1
    g = graphc.compile(lambda batch: batch["x"] + batch["y"], dynamic={"batch['x']": 0})
    g({"x": np.ones((3, 2)), "y": np.ones(2)})
    g({"x": np.ones((4, 2)), "y": np.ones(2)})
    assert programs(g) == 1


def test_sizes_of_one_name_must_be_equal() -> None:
    f = graphc.compile(lambda x, y: x + y, dynamic={"x": {0: "n"}, "y": {0: "n"}})
    same(f(X, X), X + X)
    with pytest.raises(
        ShapeError, match=r"dimension 0 of argument y is 1, expected 2, as n is 2 by dimension 0 of .* x"
    ):
        f(X, X[:1])
    assert programs(f) == 1


def test_two_dynamic_sizes_are_not_taken_to_be_equal() -> None:
    f = graphc.compile(lambda x, y: x + y, dynamic={"x": 0, "y": 0})
    with pytest.raises(ShapeError, match="not known to broadcast: x_0 and y_0"):
        f(X, X)


def test_names_of_sizes_that_collide_stay_apart() -> None:
    f = graphc.compile(lambda p, p_a_: (p["a"].sum(), p_a_.sum()), dynamic={"p['a']": 0, "p_a_": {0: "p__a___0"}})
    same(f({"a": np.ones(2)}, np.ones(3)), (np.array(2.0), np.array(3.0)))


BAD_DYNAMIC: list[tuple[Any, str]] = [
    ({"y": 0}, "dynamic names 'y', which is no argument"),
    ({"x": 2}, r"dynamic names dimension 2 of 'x', whose shape is \(2, 3\)"),
    ({"x": "n m"}, "a size can't be called 'n m'"),
    ({"x": {0: "for"}}, "a size can't be called 'for'"),
    ({"x": 1.5}, "dynamic gives 1.5 for 'x'"),
    ({"x": True}, "dynamic gives True for 'x'"),
    ({"x": {"a": 0}}, "dynamic gives"),
    ({0: 0}, "dynamic names 0"),
    (3, "dynamic=3"),
    (["x"], "dynamic="),
]


@pytest.mark.parametrize(("dynamic", "message"), BAD_DYNAMIC, ids=str)
def test_marks_that_mean_nothing(dynamic: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as info:
        graphc.compile(lambda x: x, dynamic=dynamic)(X)
    assert info.value.location is not None
    assert info.value.hint


# Options and misuse


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: graphc.compile(3), "an int is no function"),
        (lambda: graphc.compile()(None), "None is no function"),
        (lambda: graphc.compile(double, numerics="quick"), "numerics='quick'"),
        (lambda: graphc.compile(double, passes="csee"), "no pass called 'csee'"),
        (lambda: graphc.compile(double, passes=("cse",)), "passes is a tuple"),
        (lambda: graphc.compile(double)(), r"double: missing a required argument: 'x'"),
        (lambda: graphc.compile(double)(X, 1, 2), "double: too many positional arguments"),
        (lambda: graphc.compile(double)(X, minus=3), "double: got an unexpected keyword argument 'minus'"),
    ],
)
def test_misuse_is_named_where_it_happens(make: Callable[[], object], message: str) -> None:
    with pytest.raises(GraphcError, match=message) as info:
        make()
    assert info.value.location is not None
    assert info.value.location.file == __file__


def test_a_pipeline_of_ones_own_is_used() -> None:
    f = graphc.compile(lambda x: x + x, passes="cse,fuse")
    same(f(X), X + X)
    assert "fused" in {node.op.name for node in f.compilations[0].executable.fused.nodes}
    g = graphc.compile(lambda x: x + x, passes="fuse{limit=1}")
    same(g(X), X + X)


# What a traced function may and may not do


def test_a_call_that_failed_leaves_nothing_behind() -> None:
    calls = []

    def fails_first(x: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("the first")
        return x + 1

    f = graphc.compile(fails_first)
    with pytest.raises(ValueError, match="the first"):
        f(X)
    assert programs(f) == 0
    same(f(X), X + 1)
    same(f(X), X + 1)
    assert len(calls) == 2


def test_printing_works_while_tracing(capsys: pytest.CaptureFixture[str]) -> None:
    def noisy(x: Any) -> Any:
        print(x, f"{x.sum():.3f}", [x], x.shape, f"{x.shape[0]:3}")
        return x

    f = graphc.compile(noisy, dynamic={"x": {0: "n"}})
    f(X)
    f(X)
    tensor = "SymbolicTensor(f32[n,3], op=input)"
    assert capsys.readouterr().out == f"{tensor} SymbolicTensor(f32[], op=sum) [{tensor}] (n, 3) n\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("a"), "p lacks the key 'a' after the call"),
        (lambda p: p.update(c=1), "p has the new key 'c' after the call"),
        (lambda p: p.__setitem__("a", p["a"] + 1), "p['a'] is another value after the call"),
        (lambda p: p["b"].append(1), "p['b'] has 2 entries in place of 1 after the call"),
        (lambda p: p["b"].__setitem__(0, [p["b"][0]]), "p['b'][0] is a list in place of a leaf after the call"),
    ],
)
def test_a_function_that_changes_its_containers_is_refused(change: Callable[[Any], object], message: str) -> None:
    def mutate(p: Any) -> Any:
        change(p)
        return p["b"][0]

    given = {"a": X, "b": [X]}
    with pytest.raises(TraceError) as info:
        graphc.compile(mutate)(given)
    assert message in info.value.message
    assert info.value.location is not None
    assert info.value.location.function == "mutate"
    assert list(given) == ["a", "b"]


def test_recursion_of_the_users_function_ends_as_in_python() -> None:
    def deeper(x: Any) -> Any:
        return deeper(x + 1)

    with pytest.raises(RecursionError):
        graphc.compile(deeper)(X)
    same(graphc.compile(lambda x: x)(X), X)


def test_a_deep_chain_of_operations_needs_no_recursion() -> None:
    def chain(x: Any) -> Any:
        for _ in range(3000):
            x = x + 1
        return x

    same(graphc.compile(chain)(X), X + 3000)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: None, "function returns None"),
        (lambda x: "text", "function returns a str"),
        (lambda x: [x, object()], r"function returns an object at result\[1\]"),
        (lambda x: {"a": {1, 2}}, r"function returns a set at result\['a'\]"),
        (lambda x: (x for _ in range(3)), "function returns a generator"),
        (lambda x: np.array(["a"]), "is no dtype"),
        (lambda x: 2**70, "the number 1180591620717411303424 doesn't fit into int64"),
    ],
)
def test_what_cannot_be_returned(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(GraphcError, match=message) as info:
        graphc.compile(function)(X)
    assert info.value.location is not None
    assert info.value.hint


# A compiled function inside a traced one


def test_a_compiled_function_becomes_part_of_the_graph_around_it() -> None:
    inner = graphc.compile(lambda x, n, rate=1.0: {"y": x * n + rate})
    outer = graphc.compile(lambda x: inner(x, 3)["y"] + inner(x, n=2, rate=0.5)["y"])
    same(outer(X), X * 5 + np.float32(1.5))
    assert programs(inner) == 0
    assert len(outer.compilations[0].executable.kernels) == 1


def test_inside_it_arrays_and_floats_are_tensors_as_they_are_outside() -> None:
    def f(x: Any, rate: Any) -> Any:
        return x.sum(dim=0) * rate  # an array has no dim, and a float no width

    inner = graphc.compile(f)
    for x in (X, X.astype(np.float64)):
        outside = inner(x, 0.1)
        same(graphc.compile(lambda y, x=x: inner(x, 0.1) + 0 * y.sum())(np.float32(1)), outside)
        same(graphc.compile(lambda x: inner(x, 0.1))(x), outside)


def test_inside_it_closes_over_tensors_of_the_outer_one() -> None:
    def outer(x: Any) -> Any:
        inner = graphc.compile(lambda y: x * y)
        return inner(np.float32(2)) + inner(x)

    same(graphc.compile(outer)(X), 2 * X + X * X)


def test_another_default_dtype_makes_another_program() -> None:
    @graphc.compile
    def halves(x: Any) -> Any:
        return x / 2

    x = np.array([1, 2])
    found = []
    try:
        for default in (f32, f64, f32, f64):
            set_default_dtype(default)
            found += [halves(x).dtype, halves(x).dtype]
    finally:
        set_default_dtype(f32)
    assert found == [np.float32, np.float32, np.float64, np.float64] * 2
    assert reasons(halves) == ["first call", "the default dtype was float32 and is float64"]
