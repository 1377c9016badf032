"""Every function of the table on a GPU: the CPU's results and gradients to the last bit, and on the GPU."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import Tensor
from graphc.ir.errors import MissingGradient
from graphc.ops.function import functions
from tests.eager.table_cases import Call, calls, leaves

UNDETERMINED = frozenset(("empty_like", "new_empty", "full"))
"""Functions whose results are what was in memory, or, of a number in a tensor, on the default device."""
SAME = re.compile(r"__|special\.|unsafe_|native_|.*_copy$")
"""Names of functions that are others under another name, or formulas of the same kind as those."""
REORDERED = frozenset(("cumsum", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"))
"""Functions that add in another order on a GPU, or where code is for all sizes, which it is after a few calls."""


def cheapest(of_name: list[Call]) -> Call:
    """The call with tensors that has the fewest elements."""
    return min((call for call in of_name if call.arrays()), key=lambda call: sum(a.size for a in call.arrays()))


@functools.cache
def cases() -> dict[str, Call]:
    """A call of each function that takes tensors; of functions under several names, of one."""
    built: dict[object, str] = {}
    for name, found in calls().items():
        if not SAME.match(name) and name not in UNDETERMINED and any(call.arrays() for call in found):
            built.setdefault(functions()[name].build, name)
    return {name: cheapest(calls()[name]) for name in sorted(built.values())}


def found_on(place: str, call: Call) -> list[Tensor]:
    """The results of the call there, and then the gradients of those that have one."""
    graphc.manual_seed(7)
    tensors = [graphc.from_numpy(np.array(array, order="C")).to(place) for array in call.arrays()]
    for tensor in tensors:
        tensor.requires_grad_(tensor.dtype.is_differentiable)
    results = [each for each in leaves(call.run(*tensors)) if isinstance(each, Tensor)]
    roots = [each for each in results if each.requires_grad]
    if roots:
        wanted = [each for each in tensors if each.requires_grad]
        seeds = [graphc.ones_like(each) for each in roots]
        try:
            gradients = graphc.autograd.grad(roots, wanted, seeds, allow_unused=True)
        except MissingGradient:
            gradients = ()
        results += [each for each in gradients if each is not None]
    return results


def described(tensor: Tensor) -> tuple[Any, ...]:
    """Dtype, sizes, strides and bits of a tensor; all nans count as one."""
    array = tensor.detach().cpu()._array
    whole = np.array(array, order="C")
    if whole.dtype.kind in "fc":
        whole[np.isnan(whole)] = np.nan
    return str(tensor.dtype), tuple(tensor.shape), tensor.stride(), whole.tobytes()


@pytest.mark.filterwarnings("ignore:The use of `x.T` on tensors")
@pytest.mark.parametrize("name", cases())
def test_a_gpu_computes_what_the_cpu_computes(name: str) -> None:
    expected, found = found_on("cpu", cases()[name]), found_on("cuda", cases()[name])
    assert {str(each.device) for each in found} <= {"cuda:0"}
    assert len(found) == len(expected)
    for mine, other in zip(expected, found):
        if name in REORDERED:
            assert described(mine)[:3] == described(other)[:3]
            graphc.testing.assert_close(mine.detach(), other.detach().cpu(), equal_nan=True)
        else:
            assert described(mine) == described(other)
