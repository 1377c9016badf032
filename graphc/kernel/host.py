"""What native code tells the runtime of a call of the host, as text.

In: the statement of a kernel that is such a call. Out: text that names the function, its parameters, and dtype and rank
of each array; and what that text says. Native code holds it, so it may be kept on disk: no address is part of it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Final

from graphc.ir.dtype import DType, dtype
from graphc.ir.host import Parameters, parse_parameters
from graphc.kernel.ir import HostCall

CALL: Final = "graphc_host_call"
"""The function that the runtime provides: `i32 (ptr description, ptr words)`.

The description ends with a zero byte. The words have 8 bytes each: the address of each operand and of each result, then
the sizes of all their axes in the same order. It gives 1 if the results are written; else an exception waits for the
thread.
"""


@dataclass(frozen=True, slots=True)
class Description:
    """The function, and dtype and rank of each array."""

    function: str
    parameters: Parameters
    operands: tuple[tuple[DType, int], ...]
    results: tuple[tuple[DType, int], ...]


def describe(statement: HostCall) -> str:
    """The text of a call."""
    operands, results = (
        tuple((array.type.dtype.short, array.type.rank) for array in arrays)
        for arrays in (statement.operands, statement.results)
    )
    return repr((statement.function, statement.parameters, operands, results))


def read_description(text: str) -> Description:
    """What `describe` wrote."""
    function, parameters, *arrays = ast.literal_eval(text)
    operands, results = (tuple((dtype(short), rank) for short, rank in each) for each in arrays)
    return Description(function, parse_parameters(parameters), operands, results)
