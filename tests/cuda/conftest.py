"""Tensors of a GPU without one: the emulator, whose memory the host can't touch, so that a mistake ends the process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import graphc
from graphc.ir.settings import override
from graphc.runtime.cuda import device


@pytest.fixture(scope="module", autouse=True)
def emulator() -> Iterator[None]:
    """Two GPUs of the kind sm_80 with 256 MiB each, which do nothing before somebody waits."""
    with override(cuda_driver="emulator:2:sm_80:256MiB:late"):
        yield


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    """The CPU is the device of new tensors again after each test, and GPU 0 the current one."""
    yield
    graphc.set_default_device(None)
    device.set_device(0)
