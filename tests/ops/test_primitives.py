"""Every primitive op: type rule and reference against plain numpy, lowering against reference, and nothing left out."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import numpy as np
import pytest

import graphc.ops
from graphc.ir.dtype import c128, f64
from graphc.ir.interpret import evaluate_graph
from graphc.ir.op import Flags, Op, find_op
from graphc.ops import creation
from tests.ops.cases import CASES, Case, assert_close
from tests.ops.element import compute
from tests.ops.special_cases import POLYNOMIALS

MODULES = [import_module(found.name) for found in pkgutil.walk_packages(graphc.ops.__path__, "graphc.ops.")]
RECORDS = {value.name: value for module in MODULES for value in vars(module).values() if isinstance(value, Op)}
PRIMITIVES = {name: op for name, op in RECORDS.items() if not op.has(Flags.STRUCTURAL)}  # those are in test_control.py

WITHOUT_GRADIENT = {
    "constant almost everywhere": {"floor", "ceil", "round", "trunc", "sign", "floor_divide"},
    "not arithmetic": {"bitcast"},
    "stops gradients on purpose": {"detach"},
    "none in PyTorch": {
        "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_k0", "modified_bessel_k1",
        "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", *(op.name for op in POLYNOMIALS),
    },
    "no operands of floats": {"constant", "iota", "size", "random_bits"},
}  # fmt: skip
BY_SECOND_OPERAND = {"zeta", "lower_gamma", "upper_gamma", "without_gradient"}
"""Ops whose gradient by the first operand is an error; tests/special/test_gradients.py has them."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_reference_gives_what_is_expected(case: Case) -> None:
    graph = case.graph()
    (actual,) = evaluate_graph(graph, case.arrays)  # asserts that the array has the type's dtype and shape
    if case.expected is None:
        return
    with np.errstate(all="ignore"):
        expected = np.asarray(case.expected(*case.arrays))
    summed = max((x.size for x in case.arrays), default=1) if case.op.has(Flags.REDUCTION | Flags.CONTRACTION) else 1
    assert_close(actual, expected.reshape(actual.shape), exact=case.exact, count=max(summed, 1))


@pytest.mark.parametrize("case", [case for case in CASES if case.op.lower is not None], ids=lambda case: case.id)
def test_lowering_rule_gives_what_the_reference_gives(case: Case) -> None:
    graph = case.graph()
    (expected,) = evaluate_graph(graph, case.arrays)
    if case.op is creation.constant and not creation.is_uniform(graph.outputs[0].keywords["value"]):
        with pytest.raises(AssertionError, match="is a buffer"):
            compute(graph.outputs[0], case.arrays)
        return
    actual = compute(graph.outputs[0], case.arrays)
    summed = max((x.size for x in case.arrays), default=1) if case.op.has(Flags.REDUCTION) else 2
    assert_close(actual, expected, exact=case.exact, count=summed)


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_no_part_of_a_record_is_missing(name: str) -> None:
    op = PRIMITIVES[name]
    assert find_op(name) is op
    assert op.summary
    cases = [case for case in CASES if case.op is op]
    assert cases, f"{name} has no case in the table"
    assert (op.lower is None) == op.has(Flags.OPAQUE), f"{name} needs a lowering rule, or to be OPAQUE"
    float_results = [case for case in cases if case.graph().outputs[0].tensor.dtype in (f64, c128)]
    marked = any(name in names for names in WITHOUT_GRADIENT.values())
    if op.vjp is None:
        assert marked or not float_results, f"{name} gives floats: give it a gradient, or say why there is none"
    else:
        assert not marked
        is_tested = name in BY_SECOND_OPERAND or any(case.gradient for case in cases)
        assert is_tested, f"no case of {name} tests its gradient"


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_flags_are_true(name: str) -> None:
    op = PRIMITIVES[name]
    for case in CASES:
        if case.op is not op or any(x.dtype.kind == "c" for x in case.arrays):
            continue  # numpy fuses the products of complex numbers, so it isn't commutative; kernels don't
        node = case.graph().outputs[0]
        if op.has(Flags.ELEMENTWISE):
            assert all(operand.shape == node.shape for operand in node.inputs)
        if op.has(Flags.COMMUTATIVE):
            (straight,), (swapped,) = (
                evaluate_graph(case.graph(), order) for order in (case.arrays, case.arrays[::-1])
            )
            is_nan = straight != straight
            np.testing.assert_array_equal(swapped != swapped, is_nan)
            assert np.where(is_nan, straight.dtype.type(0), straight).tobytes() == (
                np.where(is_nan, straight.dtype.type(0), swapped).tobytes()
            )
