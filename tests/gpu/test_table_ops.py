"""Every op of the table, scheduled for a GPU and run by the kernel interpreter: the bits that a CPU gives.

Of cases that differ in what is in the arrays alone, the first is run.
"""

from __future__ import annotations

import pytest

from tests.gpu.harness import check_same_bits
from tests.gpu.table import OPS, op_cases


@pytest.mark.parametrize("op", OPS)
def test_a_gpu_gives_the_bits_of_a_cpu(op: str) -> None:
    for case in op_cases(op, by_width=True):
        try:
            check_same_bits(case.graph(), case.arrays)
        except AssertionError as error:
            raise AssertionError(f"{case.id}: {error}") from error
