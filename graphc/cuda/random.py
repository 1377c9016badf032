"""Random numbers of GPUs: each GPU has a generator of its own, of the same numbers as the CPU's of that seed.

Without a GPU, seeding does nothing, and what asks for a state raises DeviceUnavailable.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphc.cuda.devices import device_count, is_available, number_of
from graphc.eager.generator import Generator, generator_of
from graphc.eager.guard import guarded
from graphc.eager.tensor import Tensor

__all__ = [
    "get_rng_state",
    "get_rng_state_all",
    "initial_seed",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "set_rng_state",
    "set_rng_state_all",
]


@guarded
def manual_seed(seed: int) -> None:
    """Seed the current GPU."""
    if is_available():
        generator_of(number_of(None)).manual_seed(int(seed))


@guarded
def manual_seed_all(seed: int) -> None:
    """Seed all GPUs."""
    for generator in default_generators():
        generator.manual_seed(int(seed))


def seed() -> None:
    """Seed the current GPU by chance."""
    if is_available():
        generator_of(number_of(None)).seed()


def seed_all() -> None:
    """Seed all GPUs by chance, with one seed."""
    generators = default_generators()
    if generators:
        manual_seed_all(generators[0].seed())


@guarded
def initial_seed() -> int:
    """The current GPU's seed."""
    return generator_of(number_of(None)).initial_seed()


@guarded
def get_rng_state(device: object = "cuda") -> Tensor:
    """Where a GPU's generator stands, as bytes on the CPU."""
    return generator_of(number_of(device)).get_state()


def get_rng_state_all() -> list[Tensor]:
    """Where the generators of all GPUs stand."""
    return [generator.get_state() for generator in default_generators()]


@guarded
def set_rng_state(new_state: Tensor, device: object = "cuda") -> None:
    """Let a GPU's generator go on from a saved state."""
    generator_of(number_of(device)).set_state(new_state)


@guarded
def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    """Let the generators of all GPUs go on from saved states."""
    for number, state in enumerate(new_states):
        set_rng_state(state, number)


def default_generators() -> tuple[Generator, ...]:
    """The generators of all GPUs."""
    return tuple(generator_of(number) for number in range(device_count()))
