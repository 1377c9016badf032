"""Functions of many ops, scheduled for a GPU and run by the kernel interpreter: the bits that a CPU gives."""

from __future__ import annotations

import pytest

from tests.composite.case import Case, trace
from tests.gpu.harness import check_same_bits
from tests.gpu.table import FUNCTIONS


@pytest.mark.parametrize("case", FUNCTIONS, ids=lambda case: case.id)
def test_a_gpu_gives_the_bits_of_a_cpu(case: Case) -> None:
    arrays = case.narrowed()
    check_same_bits(trace(case.build, arrays), arrays)
