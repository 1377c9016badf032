"""Functions of the host: what a graph calls in Python, since no kernel of ours computes it.

Level: below the ops. A graph and a kernel name such a function and its parameters; the function itself stands in the
table here. The interpreters and native code look it up by name when they get there, so nothing that is printed or
cached holds an address.

    register_host(HostFunction("linalg.det", lambda results, x: np.linalg.det(x)))
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Attribute
from graphc.ir.dtype import dtype
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, ShapeError
from graphc.ir.type import TensorType

if TYPE_CHECKING:
    from graphc.ir.graph import Node

AnyArray: TypeAlias = npt.NDArray[Any]
Parameters: TypeAlias = "tuple[tuple[str, Attribute], ...]"
"""Names and values: None, bools, numbers, strings, and tuples of these."""


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A function by its name.

    `run(results, *arrays, **parameters)` gives an array for each of `results`, the types with their sizes as numbers;
    one array alone where there is one. It must give the same for the same arguments, and change none of the arrays.
    With `writes` it is `run(targets, *arrays, **parameters)`, where the targets are arrays of those types to be written
    to, and gives nothing: for results that are large and come bit by bit.
    `vjp(cotangents, outputs, *inputs, **parameters)` gives a cotangent or None for each input. It gets a cotangent or
    None for each of the outputs.
    """

    name: str
    run: Callable[..., object]
    vjp: Callable[..., tuple[Node | None, ...]] | None = None
    writes: bool = False


_FUNCTIONS: dict[str, HostFunction] = {}


def register_host(function: HostFunction) -> HostFunction:
    """Make a function known by its name; a name is taken once."""
    assert function.name not in _FUNCTIONS, f"a host function {function.name} exists already"
    _FUNCTIONS[function.name] = function
    return function


def find_host(name: str) -> HostFunction:
    """The function of this name; raises GraphcError if this process has none."""
    found = _FUNCTIONS.get(name)
    if found is None:
        raise GraphcError(
            f"there is no host function {name!r} in this process",
            hint="a callback lives in the process in which it was given to pure_callback",
        )
    return found


def run_host(
    name: str, parameters: Parameters, results: Sequence[TensorType], arrays: Sequence[AnyArray]
) -> tuple[AnyArray, ...]:
    """Call a function; its results have exactly the dtypes and shapes of `results`, whose sizes are numbers."""
    function = find_host(name)
    with np.errstate(all="ignore"):
        if function.writes:
            targets = tuple(np.empty(sizes_of(each), each.dtype.numpy) for each in results)
            function.run(targets, *arrays, **dict(parameters))
            return targets
        given = function.run(tuple(results), *arrays, **dict(parameters))
        values = given if isinstance(given, tuple) else (given,)
        if len(values) != len(results):
            raise ArgumentError(f"{_shown(name)}: gave {len(values)} results, not {len(results)}")
        return tuple(_checked(name, number, *each) for number, each in enumerate(zip(values, results)))


def write_host(name: str, parameters: Parameters, targets: Sequence[AnyArray], arrays: Sequence[AnyArray]) -> None:
    """Call a function and put its results into arrays that are there already."""
    function = find_host(name)
    if function.writes:
        with np.errstate(all="ignore"):
            function.run(tuple(targets), *arrays, **dict(parameters))
        return
    types = tuple(TensorType(each.shape, dtype(each.dtype)) for each in targets)
    for target, result in zip(targets, run_host(name, parameters, types, arrays)):
        target[...] = result


def _checked(name: str, number: int, value: object, type: TensorType) -> AnyArray:
    array = np.asarray(value)
    if array.shape != type.shape:
        raise ShapeError(f"{_shown(name)}: result {number} has shape {array.shape}, expected {type}")
    if array.dtype != type.dtype.numpy:
        if not isinstance(value, bool | int | float | complex) or isinstance(value, np.generic):
            raise DTypeError(f"{_shown(name)}: result {number} has dtype {array.dtype}, expected {type}")
        array = array.astype(type.dtype.numpy)
    return array


def _shown(name: str) -> str:
    """The name without the number of a callback."""
    return name.partition("#")[0]


def sizes_of(type: TensorType) -> tuple[int, ...]:
    """The sizes of a result, which are numbers in a run."""
    sizes = tuple(size for size in type.shape if isinstance(size, int))
    assert len(sizes) == type.rank, f"{type} in a run"
    return sizes


def parameters_text(parameters: Parameters) -> str:
    """The parameters as a Python literal."""
    return repr(parameters)


def parse_parameters(text: str) -> Parameters:
    """The parameters back from their text; ValueError if it is none."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{text!r} is no Python literal") from error
    is_table = isinstance(value, tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )
    if not is_table:
        raise ValueError(f"{text!r} is no tuple of names and values")
    return tuple(value)
