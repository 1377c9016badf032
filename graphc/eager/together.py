"""One program over many arrays of a GPU, where a call for each of them would cost more than what it computes.

Level: over executables. In: arrays of one GPU, some of them to be changed, and what builds a graph for their types.
Out: the new values where the old ones were, and the graph's other outputs. A program is made for the types of all its
arrays, and kept; its small kernels share launches (`graphc.passes.gpu.join`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

import numpy as np

from graphc.eager.placement import copy_into, gpu_of, on
from graphc.eager.program import place_for
from graphc.eager.tensor import AnyArray, Tensor, wrap_constant
from graphc.frontend.executable import Executable
from graphc.frontend.tensor import SymbolicTensor
from graphc.ir.dtype import DType, dtype
from graphc.ir.graph import Graph, make_input
from graphc.ir.location import using
from graphc.ir.settings import settings
from graphc.ir.type import TensorType

Build: TypeAlias = "Callable[[Sequence[TensorType]], Graph]"

MOST_PROGRAMS = 64
"""Programs that are kept."""
MOST_NUMBERS = 64
"""Numbers that are kept on GPUs."""
_programs: OrderedDict[Hashable, Executable] = OrderedDict()
_numbers: OrderedDict[Hashable, Tensor] = OrderedDict()
_lock = threading.RLock()


def run_together(
    kind: Hashable, build: Build, changed: Sequence[AnyArray], read: Sequence[AnyArray]
) -> tuple[AnyArray, ...]:
    """Give `changed` new values, and return what the program computes besides.

    `build` makes the graph for the types of all arrays, of which `kind` says all that it depends on beside them: its
    inputs are the arrays in order, its first outputs the new values. The arrays are those of `can_run_together`.
    """
    arrays = [*changed, *read]
    gpu = gpu_of(arrays[0])
    assert gpu is not None, "only calls on a GPU are worth it"
    key = (kind, gpu, settings().cuda_driver, *[(array.dtype, array.shape) for array in arrays])
    with _lock:
        program = _programs.get(key)
        if program is None:
            with using(None):
                graph = build([TensorType(array.shape, dtype(array.dtype)) for array in arrays])
            in_place = {place: place for place in range(len(changed))}
            program = _programs[key] = Executable.build(graph, donated=in_place, place=place_for(gpu))
            while len(_programs) > MOST_PROGRAMS:
                _programs.popitem(last=False)
        else:
            _programs.move_to_end(key)
    results = program.fast(*arrays)
    if type(results) is not tuple:
        results = program.outputs(arrays)
    written = dict(program.program.in_place)
    elsewhere = [place for place in range(len(program.graph.outputs)) if place not in written]
    others: list[AnyArray] = []
    for place, result in zip(elsewhere, results, strict=True):
        if place < len(changed):
            copy_into(changed[place], result)
        else:
            others.append(result)
    return tuple(others)


def change_together(
    kind: Hashable, function: Callable[..., Sequence[SymbolicTensor]], changed: Sequence[Tensor], read: Sequence[Tensor]
) -> list[Tensor]:
    """Give tensors new values, and return what a function of symbolic tensors computes besides.

    The function is called with the tensors to change and those to read, and gives the new values first. The tensors are
    those of `can_run_together`; what the function does depends on `kind` and on their types alone.
    """

    def build(types: Sequence[TensorType]) -> Graph:
        inputs = tuple(make_input(f"x{number}", type) for number, type in enumerate(types))
        given = [SymbolicTensor(node) for node in inputs]
        results = function(given[: len(changed)], given[len(changed) :])
        return Graph(function.__name__.strip("_"), inputs, tuple(each.node for each in results))

    arrays = [each._array for each in changed], [each._array for each in read]
    others = run_together((kind, len(changed)), build, *arrays)
    for each in changed:
        each._storage.version += 1
    return [wrap_constant(array) for array in others]


def number_on_gpu(value: float, dtype: DType, gpu: int) -> Tensor:
    """A number without dimensions on a GPU; the same one is copied there once."""
    where = reach_of(gpu)
    key = (value, dtype, where)
    with _lock:
        known = _numbers.get(key) if where is not None else None
        if known is None:
            known = wrap_constant(on(np.array(value, dtype.numpy), gpu))
            if where is not None:
                _numbers[key] = known
                while len(_numbers) > MOST_NUMBERS:
                    _numbers.popitem(last=False)
        return known


def reach_of(gpu: int) -> Hashable:
    """Where what is copied to the GPU now can be read later without waiting: its current stream.

    None while that is capturing: nothing is copied before the graph runs.
    """
    # Late: only who has tensors of a GPU comes here.
    from graphc.runtime.cuda.capture import UNDER_WAY, capture_of
    from graphc.runtime.cuda.stream import current_stream

    stream = current_stream(gpu).handle
    if UNDER_WAY and capture_of(stream) is not None:
        return None
    return gpu, settings().cuda_driver, stream


def can_run_together(changed: Sequence[Tensor], read: Sequence[Tensor] = ()) -> bool:
    """Whether all of the tensors are on one GPU, dense in row-major order, and those to change share no memory."""
    arrays = [each._array for each in (*changed, *read)]
    gpu = gpu_of(arrays[0]) if arrays else None
    if gpu is None or not all(gpu_of(array) == gpu and array.flags.carray for array in arrays):
        return False
    return len({id(each._storage) for each in changed}) == len(changed)
