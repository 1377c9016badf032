"""oneDNN (MKL-DNN), which graphc doesn't use: its switches keep what they are set to.

>>> is_available()
False
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

enabled = True
deterministic = False
allow_tf32 = True
fp32_precision = "none"


def is_available() -> bool:
    """Whether the library is used: False."""
    return False


@contextlib.contextmanager
def flags(
    enabled: bool = False, deterministic: bool = False, allow_tf32: bool = True, fp32_precision: str = "none"
) -> Iterator[None]:
    """A context with these switches."""
    module = sys.modules[__name__].__dict__
    given = {
        "enabled": enabled,
        "deterministic": deterministic,
        "allow_tf32": allow_tf32,
        "fp32_precision": fp32_precision,
    }
    before = {name: module[name] for name in given}
    module.update(given)
    try:
        yield
    finally:
        module.update(before)
