"""Functions of `graphc.linalg` on the interpreter and in native code, and the slopes of their gradients."""

from __future__ import annotations

import numpy as np
import pytest

from tests.composite.case import Case, assert_close, interpret, native, wanted
from tests.composite.test_gradients import check_slope, weighted
from tests.linalg.linalg_cases import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_value_is_what_numpy_or_the_definition_says(case: Case) -> None:
    expected = wanted(case.expected, *case.arrays)
    assert_close(interpret(case.build, *case.arrays), expected, exact=False, limit=1e-9)


@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.id)
def test_native_code_gives_the_same(case: Case) -> None:
    expected = interpret(case.build, *case.arrays)
    assert_close(native(case.build, *case.arrays), expected, exact=False, limit=1e-10)


@pytest.mark.parametrize("case", CASES[1::3], ids=lambda case: case.id)
def test_float32_is_computed_in_float32(case: Case) -> None:
    expected = wanted(case.expected, *case.arrays)
    found = interpret(case.build, *case.narrowed())
    assert all(x.dtype in (np.float32, np.int64) for x in found)
    assert_close(found, expected, exact=False, limit=2e-4)


@pytest.mark.parametrize("case", [case for case in CASES if case.gradient], ids=lambda case: case.id)
def test_slopes_of_two_orders_are_those_of_differences(case: Case) -> None:
    wrt = tuple(range(len(case.arrays)))
    gradient = check_slope(weighted(case.build, case.arrays), case.arrays, wrt)
    if all(x.size for x in case.arrays):
        check_slope(weighted(gradient, case.arrays), case.arrays, wrt)
