"""Every function of the table in a recorded call, run again on other numbers: the bits of the eager function."""

from typing import Any

import numpy as np
import pytest

import graphc
from tests.composite.case import Values
from tests.eager.table_cases import calls, leaves

UNINITIALISED = frozenset(("empty_like", "new_empty", "new_empty_strided", "empty_permuted"))
ASKS_FOR_VALUES = frozenset(("allclose", "equal", "bernoulli", "full", "as_strided", "as_strided_copy", "size", "T"))
"""Functions that give Python values, look at numbers, or warn."""
NAMES = sorted(set(calls()) - UNINITIALISED - ASKS_FOR_VALUES)


def reversed_values(array: Values) -> Values:
    """Other numbers of the same kind: those of the case in the opposite order."""
    return np.array(array) if array.ndim == 0 else array.reshape(-1)[::-1].reshape(array.shape).copy()


def outcome(arrays: tuple[Values, ...], run: Any) -> list[Any]:
    """Results and gradients as dtype, strides and bytes."""
    graphc.manual_seed(7)
    tensors = [graphc.from_numpy(np.array(array, order="C")) for array in arrays]
    for each in tensors:
        each.requires_grad_(each.dtype.is_differentiable)
    results = [each for each in leaves(run(*tensors)) if isinstance(each, graphc.Tensor)]
    roots = [each for each in results if each.requires_grad]
    found = list(results)
    if roots:
        wanted = [each for each in tensors if each.requires_grad]
        seeds = [graphc.ones_like(each) for each in roots]
        found += [each for each in graphc.autograd.grad(roots, wanted, seeds, allow_unused=True) if each is not None]
    return [(each.dtype, each.shape, each.stride(), canonical(each.detach()._array)) for each in found]


def canonical(array: Values) -> bytes:
    """The bits, with one form of nan."""
    found = np.array(array, order="C")
    if found.dtype.kind in "fc":
        found[np.isnan(found)] = np.nan
    return found.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_call_gives_the_bits_of_the_eager_one(name: str) -> None:
    call = calls()[name][0]
    arrays = call.arrays()
    if not arrays:
        return
    others = tuple(map(reversed_values, arrays))
    compiled = graphc.compile(call.run)
    try:
        expected = outcome(others, call.run)
    except RuntimeError:
        return  # numbers that the function refuses
    outcome(arrays, compiled)
    assert outcome(others, compiled) == expected
    assert len(compiled.compilations) == 1
