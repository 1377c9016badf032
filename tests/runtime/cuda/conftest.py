"""What the tests of the CUDA runtime share: an emulator with two devices of 64 MiB, and an array's line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from graphc.ir.settings import override
from graphc.runtime.cuda import device, memory
from graphc.runtime.cuda.emulator import Emulator
from graphc.runtime.cuda.select import driver


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """The driver in force: two devices, sm_80, 64 MiB each, no memory held."""
    with override(cuda_driver="emulator:2:sm_80:64MiB"):
        found = driver()
        assert isinstance(found, Emulator)
        memory.empty_cache()
        for number in range(2):
            memory.pool(number).reset_peaks()
            memory.pool(number).reset_totals()
            memory.pool(number).limit = None
        yield found
        device.set_device(0)
