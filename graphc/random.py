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

from graphc.eager.device import device, gpu_index
from graphc.eager.generator import (
    Generator,
    all_states,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    put_all_states,
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
    """Set the default generators back when the block is left: the CPU's, and those of the GPUs or of `devices`."""
    if not enabled:
        yield
        return
    before = all_states()
    chosen = None if devices is None else {gpu_index(device(each)) for each in devices}
    try:
        yield
    finally:
        kept = {} if chosen is None else {gpu: now for gpu, now in all_states().items() if gpu not in chosen}
        put_all_states({**before, **kept, None: before[None]})


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
