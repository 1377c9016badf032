"""Where the random numbers of a worker stand: those of its process, or those of its thread alone.

In: the generators of a thread, or None. Out: states as in `graphc/eager/random_state.py`.
"""

from __future__ import annotations

from graphc.eager import random_state
from graphc.eager.random_state import RandomState
from graphc.utils.data._utils.worker_info import WorkerRandom


def take(own: WorkerRandom | None) -> RandomState:
    """The states of the generators of this process, or of a thread's own."""
    if own is None:
        return random_state.take()
    ours = random_state.state_of(own.torch_generator)
    return ours, own.random_generator.getstate(), own.numpy_generator.bit_generator.state


def put(state: RandomState, own: WorkerRandom | None) -> None:
    """Let the generators go on from these states."""
    if own is None:
        random_state.put(state)
        return
    ours, python_state, numpy_state = state
    random_state.set_state(own.torch_generator, ours)
    own.random_generator.setstate(python_state)
    own.numpy_generator.bit_generator.state = numpy_state
