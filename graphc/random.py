"""Random numbers: seeds, generators, their states.

Every draw takes a key of 64 bits from a generator; `next_key()` gives one to compiled code, so that it has the numbers
that eager code would have had:

>>> import graphc
>>> sample = graphc.compile(lambda key: graphc.randn(2, 3, key=key))
>>> _ = graphc.manual_seed(0)
>>> eager = graphc.randn(2, 3)
>>> _ = graphc.manual_seed(0)
>>> bool((graphc.as_tensor(sample(graphc.random.next_key())) == eager).all())
True
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from graphc.eager.generator import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from graphc.eager.sampling import key_of
from graphc.eager.tensor import Tensor


def next_key(generator: Generator | None = None) -> Tensor:
    """The key of the next draw, a uint64 tensor without dimensions: what samplers take as `key=`."""
    return key_of("next_key", generator)


@contextlib.contextmanager
def fork_rng(
    devices: Iterable[object] | None = None,
    enabled: bool = True,
    _caller: str = "fork_rng",
    _devices_kw: str = "devices",
    device_type: str = "cpu",
) -> Iterator[None]:
    """Set the default generator back when the block is left. Only the CPU's is there, so `devices` has no effect."""
    if not enabled:
        yield
        return
    before = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(before)


__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "next_key",
    "seed",
    "set_rng_state",
]
