"""Who a worker is: `get_worker_info()`, for datasets that give each worker its share.

Set by the loop of a worker (`worker.py`), for its thread or for its whole process.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.eager.generator import Generator
from graphc.utils.data._utils.seed import numpy_seed


@dataclass(frozen=True, slots=True)
class WorkerRandom:
    """Generators of a worker thread's own: the default ones are shared by all threads."""

    random_generator: random.Random
    torch_generator: Generator
    numpy_generator: np.random.Generator

    @staticmethod
    def seeded(base_seed: int, worker: int) -> WorkerRandom:
        """Those of one worker."""
        seed = base_seed + worker
        return WorkerRandom(
            random.Random(seed),
            Generator().manual_seed(seed),
            np.random.default_rng(numpy_seed(base_seed, worker)),
        )


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker: its number `id` of `num_workers`, its `seed`, and its `dataset` (in a process, its own copy)."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: WorkerRandom | None = None
    worker_method: str = "multiprocessing"


_current = threading.local()
_of_process: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The worker that this code runs in; None outside of workers."""
    found: WorkerInfo | None = getattr(_current, "info", _of_process)
    return found


def set_worker_info(info: WorkerInfo) -> None:
    """Declare who this thread is, or, in a worker process, who all of its threads are."""
    global _of_process
    if info.worker_method == "thread":
        _current.info = info
    else:
        _of_process = info
