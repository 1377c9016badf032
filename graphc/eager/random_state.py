"""Where random numbers stand: graphc's, Python's and numpy's global generators, taken and set together.

In: the generators of this process; or what a checkpoint says of them, which may be anybody's. Out: states that compare
with `==`, and that can be written as plain values and tensors.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from graphc.eager.generator import Generator, default_generator
from graphc.eager.tensor import Tensor, wrap
from graphc.ir.errors import GraphcError

RandomState: TypeAlias = tuple[bytes, tuple[Any, ...], Any]
"""Of graphc's generator, of Python's, and of numpy's (None where numpy's has been replaced by another kind)."""
_WORDS: Final = 624
"""Of the Mersenne twister, which numpy's global generator is."""


def take() -> RandomState:
    """The states of the generators of this process."""
    numpy_state: Any = np.random.get_state()  # noqa: NPY002  # what the code of datasets draws from
    if isinstance(numpy_state, tuple):
        name, key, *rest = numpy_state
        return state_of(default_generator), random.getstate(), (name, key.tobytes(), *rest)
    return state_of(default_generator), random.getstate(), None


def put(state: RandomState) -> None:
    """Let the generators go on from these states."""
    ours, python_state, numpy_state = state
    set_state(default_generator, ours)
    random.setstate(python_state)
    if numpy_state is not None:
        name, key, *rest = numpy_state
        np.random.set_state((name, np.frombuffer(key, np.uint32), *rest))  # noqa: NPY002  # as above


def state_of(generator: Generator) -> bytes:
    """The state of one generator."""
    return generator.get_state()._array.tobytes()


def set_state(generator: Generator, state: bytes) -> None:
    """Let one generator go on from a state."""
    generator.set_state(tensor_of(state))


def tensor_of(content: bytes) -> Tensor:
    """Bytes as a tensor."""
    return wrap(np.frombuffer(content, np.uint8).copy())


def bytes_of(tensor: Tensor) -> bytes:
    """A tensor as bytes."""
    return tensor._array.tobytes()


def to_plain(state: RandomState | None) -> dict[str, Any] | None:
    """A state as what a checkpoint holds."""
    if state is None:
        return None
    ours, (version, words, gauss), numpy_state = state
    if isinstance(numpy_state, tuple):
        name, key, *rest = numpy_state
        numpy_state = [name, tensor_of(key), *rest]
    return {
        "graphc": tensor_of(ours),
        "python": [version, wrap(np.array(words, np.int64)), gauss],
        "numpy": numpy_state,
    }


def from_plain(plain: Mapping[str, Any] | None) -> RandomState | None:
    """The state that a checkpoint holds. Raises ValueError for what no generator can go on from."""
    if plain is None:
        return None
    try:
        version, words, gauss = plain["python"]
        numpy_state = plain["numpy"]
        if isinstance(numpy_state, list | tuple):
            name, key, place, *rest = numpy_state
            numpy_state = (name, bytes_of(key), place, *rest)
        found = bytes_of(plain["graphc"]), (version, tuple(words.tolist()), gauss), numpy_state
        _check(found)
    except (GraphcError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"the random numbers in the state are damaged: {error}") from None
    return found


def _check(state: RandomState) -> None:
    """Raise an error for a state that generators refuse, or that numpy's would take and read beyond its memory."""
    ours, python_state, numpy_state = state
    set_state(Generator(), ours)
    random.Random().setstate(python_state)
    match numpy_state:
        case None:
            return
        case ("MT19937", bytes(key), int(place), *rest):
            if len(key) != _WORDS * 4 or not 0 <= place <= _WORDS:
                raise ValueError("numpy's generator stands beyond its words")
            np.random.RandomState().set_state(("MT19937", np.frombuffer(key, np.uint32), place, *rest))
        case dict():  # of a generator that a worker thread has of its own
            generator: Any = np.random.PCG64()
            generator.state = numpy_state
        case _:
            raise ValueError("numpy's generator is of another kind")
