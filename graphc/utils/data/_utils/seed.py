"""Seeds: the one of an epoch, and those of its workers.

In: the loader's generator. Out: 64-bit seeds, and what numpy's legacy generator is seeded with.
"""

from __future__ import annotations

import random

import numpy as np

from graphc.eager.generator import Generator, default_generator, manual_seed


def draw_seed(generator: Generator | None) -> int:
    """A seed of 63 bits from a generator, which makes one step."""
    return (default_generator if generator is None else generator).next_key() >> 1


def seed_worker(base_seed: int, worker: int) -> int:
    """Seed graphc, `random` and numpy for a worker process; returns the seed, `base_seed + worker`."""
    seed = base_seed + worker
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(numpy_seed(base_seed, worker))  # noqa: NPY002  # what the code of datasets draws from
    return seed


def numpy_seed(base_seed: int, worker: int) -> list[int]:
    """Four words that differ in many bits between workers of one base seed: numpy takes no 64-bit seed at once."""
    entropy = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return [int(word) for word in np.random.SeedSequence(entropy).generate_state(4)]
