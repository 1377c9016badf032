"""oneDNN (MKL-DNN), which graphc doesn't use: its switches keep what they are set to.

>>> is_available()
False
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from graphc.backends.switches import PrecisionModule, Switch
from graphc.ir.precision import precision_kept

enabled = True
deterministic = False
allow_tf32 = True
matmul, conv, rnn = Switch("mkldnn.matmul"), Switch("mkldnn.conv"), Switch("mkldnn.rnn")
sys.modules[__name__].__class__ = PrecisionModule


def is_available() -> bool:
    """Whether the library is used: False."""
    return False


@contextlib.contextmanager
def flags(
    enabled: bool = False, deterministic: bool = False, allow_tf32: bool = True, fp32_precision: str = "none"
) -> Iterator[None]:
    """A context with these switches."""
    module = sys.modules[__name__]
    given = {"enabled": enabled, "deterministic": deterministic, "allow_tf32": allow_tf32}
    before = {name: getattr(module, name) for name in given}
    with precision_kept():
        module.__dict__.update(given)
        try:
            module.__setattr__("fp32_precision", fp32_precision)
            yield
        finally:
            module.__dict__.update(before)
