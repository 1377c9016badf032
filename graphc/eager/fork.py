"""Forked children: locks that threads of the parent held are open there, and the background compiler starts again.

In: nothing. Out: a handler of forks. A child has no thread but the one that forked. What the locks guard is whole at
any moment for a reader: tables get new entries at once, and a plan whose compilation was under way has no code yet.
"""

from __future__ import annotations

import os
import threading

from graphc.eager import dispatch, engine, node, plan, program
from graphc.eager.compiled import PROGRAMS
from graphc.eager.generator import default_generator


def _open_locks() -> None:
    dispatch._lock = threading.RLock()
    plan._lock = threading.RLock()
    plan._differentiating = threading.RLock()
    program._lock = threading.RLock()
    node._accumulators = threading.Lock()
    engine._accumulating = threading.Lock()
    default_generator._lock = threading.Lock()
    PROGRAMS.restart()


def install() -> None:
    """Let children of this process start with open locks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_open_locks)
