"""Where the keys of random numbers come from: generators, a seed and a count of draws each.

In: seeds and saved states. Out: keys, numbers of 64 bits, for the table's samplers (`graphc/ops/composite/random.py`).
A draw depends on its key alone, so a saved state gives the same numbers again, eager or compiled, for any number of
threads.

    generator = Generator().manual_seed(7)
    generator.next_key()
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphc.eager.device import CPU, device, device_for, gpu_device
from graphc.eager.guard import guarded
from graphc.eager.placement import empty
from graphc.eager.tensor import AnyArray, Tensor, wrap
from graphc.eager.watch import WATCHING, refuse
from graphc.ir.errors import ArgumentError, GraphcError, SignatureError

DEFAULT_SEED = 67280421310721
"""That of a new generator, as in PyTorch."""
STATE_BYTES = 16
_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


class _SeedTooLarge(GraphcError, ValueError):
    """A seed of more than 64 bits."""


def _mix(word: int) -> int:
    """A one-to-one scrambling of 64 bits: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)


class Generator:
    """A stream of random numbers, told from others by its seed. Each draw takes one key."""

    __slots__ = ("__weakref__", "_count", "_device", "_lock", "_seed")

    @guarded
    def __init__(self, device: object = None) -> None:
        self._device = CPU if device is None else device_for(device, "Generator")
        self._seed = DEFAULT_SEED
        self._count = 0
        self._lock = threading.Lock()

    @property
    def device(self) -> device:
        """Where it makes numbers."""
        return self._device

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of this seed; returns the generator."""
        if not isinstance(seed, int | np.integer):
            raise ArgumentError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if WATCHING:
            refuse("seeds a generator", "seed it outside")
        seed = int(seed)
        if not -(1 << 63) <= seed <= _WORD:
            raise _SeedTooLarge("Overflow when unpacking long long")
        with self._lock:
            self._seed, self._count = seed & _WORD, 0
        return self

    def seed(self) -> int:
        """Start a stream that nobody can foretell; returns its seed."""
        found = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(found)
        return found

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return self._seed

    def next_key(self) -> int:
        """The key of the next draw."""
        with self._lock:
            count = self._count
            self._count = (count + 1) & _WORD
            return _mix((_mix(self._seed ^ _GOLDEN) + count * _GOLDEN) & _WORD)

    def captured_key(self) -> AnyArray | None:
        """Where on its GPU replays of the CUDA graph that is being captured write the next key; None: there is none."""
        gpu = self._device.index
        if self._device.type != "cuda" or gpu is None:
            return None
        # Late: importing graphc must be quick, and most programs have no GPU.
        from graphc.runtime.cuda.capture import UNDER_WAY, aside, capture_of
        from graphc.runtime.cuda.stream import current_stream

        capture = capture_of(current_stream(gpu).handle) if UNDER_WAY else None
        if capture is None:
            return None
        with aside(gpu):  # what the graph itself has let go before is written to again when it is replayed
            array: Any = empty((), np.dtype(np.uint64), gpu)
        capture.draw(self.next_key, array.memory)
        return array  # type: ignore[no-any-return]  # an array

    def put_back(self) -> None:
        """Undo the last draw, whose key nobody has used."""
        with self._lock:
            self._count = (self._count - 1) & _WORD

    def get_state(self) -> Tensor:
        """Where the stream stands, as bytes."""
        with self._lock:
            return wrap(np.frombuffer(self._packed(), np.uint8).copy())

    def set_state(self, state: Tensor) -> Generator:
        """Go on where the stream stood when the state was taken."""
        seed, count = _unpacked(state)
        with self._lock:
            self._seed, self._count = seed, count
        return self

    def clone_state(self) -> Generator:
        """Another generator that goes on from here."""
        return Generator(self._device).set_state(self.get_state())

    def _packed(self) -> bytes:
        return self._seed.to_bytes(8, "little") + self._count.to_bytes(8, "little")

    def __reduce__(self) -> tuple[Callable[..., Generator], tuple[bytes, str]]:
        with self._lock:
            return _restored, (self._packed(), str(self._device))

    def __repr__(self) -> str:
        return f"<torch._C.Generator object at 0x{id(self):x}>"


def _restored(packed: bytes, place: str = "cpu") -> Generator:
    return Generator(place).set_state(wrap(np.frombuffer(packed, np.uint8)))


def _unpacked(state: Any) -> tuple[int, int]:
    if not isinstance(state, Tensor):
        raise SignatureError(f"expected a torch.ByteTensor, but got {type(state).__name__}")
    if state._array.dtype != np.uint8:
        raise SignatureError("RNG state must be a torch.ByteTensor")
    if state._array.size != STATE_BYTES:
        raise ArgumentError(
            f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG state size to be "
            f"{state._array.size}",
        )
    packed = state._array.tobytes()
    return int.from_bytes(packed[:8], "little"), int.from_bytes(packed[8:], "little")


default_generator = Generator()
"""The stream of calls that name no generator; each process has its own."""
default_generator.seed()
_of_gpus: dict[int, Generator] = {}
"""Those that have made numbers so far."""


def generator_of(place: int | None) -> Generator:
    """The stream of calls that name no generator, on that GPU or (None) the CPU."""
    if place is None:
        return default_generator
    found = _of_gpus.get(place)
    if found is None:
        made = Generator(gpu_device(place))
        made._seed = default_generator.initial_seed()
        found = _of_gpus.setdefault(place, made)
    return found


def all_states() -> dict[int | None, Tensor]:
    """Where the default generators stand, by GPU; None: the CPU's."""
    return {None: default_generator.get_state(), **{gpu: each.get_state() for gpu, each in _of_gpus.items()}}


def put_all_states(states: Mapping[int | None, Tensor]) -> None:
    """Let the default generators go on from there; a GPU's that has made no numbers by then starts anew."""
    default_generator.set_state(states[None])
    for gpu, each in list(_of_gpus.items()):
        if gpu in states:
            each.set_state(states[gpu])
        else:
            each._seed, each._count = default_generator.initial_seed(), 0


def generators_of_gpus() -> dict[int, Generator]:
    """The streams of GPUs that have made numbers so far."""
    return dict(_of_gpus)


def manual_seed(seed: Any) -> Generator:
    """Start the stream of this seed in the default generators of all devices; returns the CPU's."""
    for each in list(_of_gpus.values()):
        each.manual_seed(int(seed))
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Start a stream that nobody can foretell in the default generators of all devices; returns its seed."""
    found = default_generator.seed()
    manual_seed(found)
    return found


def initial_seed() -> int:
    """The seed of the default generator's stream."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Where the default generator stands, as bytes."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Let the default generator go on from a saved state."""
    default_generator.set_state(new_state)


FUNCTIONS: dict[str, Callable[..., object]] = {
    "get_rng_state": get_rng_state,
    "initial_seed": initial_seed,
    "manual_seed": manual_seed,
    "seed": seed,
    "set_rng_state": set_rng_state,
}
