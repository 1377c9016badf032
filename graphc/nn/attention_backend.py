"""Which kernel computes attention, as PyTorch asks: here there is one for all, so the choice changes nothing.

>>> with sdpa_kernel(SDPBackend.MATH):
...     pass
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator

from graphc.eager.attention_choice import CHOICE

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(enum.IntEnum):
    """The kernels that PyTorch may choose from."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __str__(self) -> str:
        return f"SDPBackend.{self.name}"


@contextlib.contextmanager
def sdpa_kernel(backends: list[SDPBackend] | SDPBackend, set_priority: bool = False) -> Iterator[dict[str, object]]:
    """Compute attention with one of these kernels; raises AssertionError for anything but a kernel or a list."""
    if not isinstance(backends, list | SDPBackend):
        raise AssertionError(
            "Backend must be an instance of SDPBackend or a list of SDPBackend instances, got "
            f"{type(backends).__name__}"
        )
    chosen = backends if isinstance(backends, list) else [backends]
    with CHOICE.only(
        flash=SDPBackend.FLASH_ATTENTION in chosen,
        memory_efficient=SDPBackend.EFFICIENT_ATTENTION in chosen,
        math=SDPBackend.MATH in chosen,
        cudnn=SDPBackend.CUDNN_ATTENTION in chosen,
    ):
        yield {}
