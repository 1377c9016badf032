"""Every function of the table against an independent formula: interpreted in float64, native in float32."""

import pytest

from graphc.ops.function import functions
from tests.composite.case import Case, assert_close, interpret, native, wanted
from tests.composite.cases import CASES

MOVED = ("shapes", "pieces", "joins", "diagonals", "channels", "padding", "subscript")
ELSEWHERE = {
    "of random numbers, in test_random.py": {
        "rand", "randn", "rand_like", "randn_like", "randint", "normal", "bernoulli",
        *(n for n, e in functions().items() if e.build.__module__.endswith((".distributions", ".dropout"))),
    },
    "forms of functions that have cases, in tests/nn/test_functional.py": {
        n for n, e in functions().items() if e.build.__module__.endswith(".functional_forms") or n.endswith("_moving")
    },
    "recurrences, in tests/nn/test_rnn.py": {
        n for n, e in functions().items() if e.build.__module__.endswith(".recurrence")
    },
    "give no tensor": {"dim", "size", "is_same_size"},
    "refuses": {"__setitem__"},
    "moved elements, in test_shapes.py and test_subscripts.py": {
        name for name, entry in functions().items() if entry.build.__module__.rpartition(".")[2] in MOVED
    },
    "of linear algebra and transforms, in tests/linalg and tests/fft; callbacks, in tests/host": {
        name
        for name, entry in functions().items()
        if any(part in entry.build.__module__ for part in (".linalg", ".fft", ".callback"))
    },
    "special functions, in tests/special": {
        name
        for name, entry in functions().items()
        if ".special_" in entry.build.__module__ or entry.build.__module__.endswith(".floating_point")
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_interpreted_values_are_those_of_the_formula(case: Case) -> None:
    expected = wanted(case.expected, *case.arrays)
    assert_close(interpret(case.build, *case.arrays), expected, exact=case.exact, limit=1e-11)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_native_values_are_those_of_the_formula(case: Case) -> None:
    arrays = case.narrowed()
    expected = wanted(case.expected, *arrays)
    assert_close(native(case.build, *arrays), expected, exact=case.exact, limit=2e-5)


def test_every_function_of_the_table_has_a_case() -> None:
    tested = {case.name for case in CASES}.union(*ELSEWHERE.values())
    builds = {functions()[name].build for name in tested}
    assert {name for name, entry in functions().items() if entry.build not in builds} == set()
