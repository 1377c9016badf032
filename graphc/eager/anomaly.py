"""Finding the forward call behind a failing backward one: `detect_anomaly`.

While it is on every node keeps the stack of the call that made it; a backward call that fails, or gives nan, prints it.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from graphc.eager.mode import MODE, _Context, _set
from graphc.ir.location import is_own

if TYPE_CHECKING:
    from graphc.eager.node import GradNode


def where() -> str:
    """The stack of the user's frames, outermost first, as Python prints it."""
    import traceback  # late: importing graphc must be quick, and this is for finding mistakes

    frames = [frame for frame, _ in traceback.walk_stack(None) if not is_own(frame)]
    lines = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in reversed(frames))
    return "".join(lines.format())


def is_anomaly_enabled() -> bool:
    """Whether this thread looks for anomalies."""
    return MODE.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether gradients of nan count as anomalies."""
    return MODE.check_nan


def tell(node: GradNode) -> None:
    """Warn with the stack of the forward call of a node."""
    if node.trace is None:
        warnings.warn(
            f"Error detected in {node.name()}. No forward pass information available. Enable detect anomaly during "
            "forward pass for more information.",
            stacklevel=2,
        )
    else:
        warnings.warn(
            f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{node.trace}",
            stacklevel=2,
        )


class detect_anomaly(_Context):
    """Names the forward call of a backward one that fails or gives nan. Slow: for finding mistakes only."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(anomaly=True, check_nan=check_nan)
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            stacklevel=2,
        )


class set_detect_anomaly(_Context):
    """Turns anomaly detection on or off, at once; as a context manager it sets back what was before."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__()
        self._before.append({"anomaly": MODE.anomaly, "check_nan": MODE.check_nan})
        _set({"anomaly": mode, "check_nan": check_nan})

    def __enter__(self) -> None:
        pass
