"""Every primitive as native code, on the table of cases: against the reference, and with other layouts."""

import numpy as np
import pytest

from graphc.frontend.executable import Executable
from graphc.ir.interpret import evaluate_graph
from tests.ops.cases import CASES, Case, assert_close

RUNNABLE = [case for case in CASES if case.label != "refused"]


@pytest.mark.parametrize("case", RUNNABLE, ids=lambda case: case.id)
def test_native_code_gives_what_the_reference_gives(case: Case) -> None:
    graph = case.graph()
    (expected,) = evaluate_graph(graph, case.arrays)
    actual = Executable.build(graph)(*case.arrays)
    count = max([array.size for array in case.arrays] + [1])
    assert_close(np.asarray(actual), expected, exact=case.exact, count=count)


def spread(array: np.ndarray) -> np.ndarray:
    """The same values with gaps between the elements, read-only."""
    wide = np.zeros(tuple(2 * n for n in array.shape), array.dtype)
    view = wide[(*(slice(None, None, 2) for _ in array.shape), ...)]
    view[...] = array
    view.flags.writeable = False
    return view


@pytest.mark.parametrize("case", [case for case in RUNNABLE if case.arrays][::7], ids=lambda case: case.id)
def test_strides_of_the_arguments_make_no_difference(case: Case) -> None:
    run = Executable.build(case.graph())
    plain = np.asarray(run(*case.arrays))
    strided = np.asarray(run(*map(spread, case.arrays)))
    transposed = np.asarray(run(*(np.array(array, order="F") for array in case.arrays)))
    assert plain.tobytes() == strided.tobytes() == transposed.tobytes()
