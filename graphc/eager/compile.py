"""Compiled functions on eager tensors: tensors in, tensors out, and gradients through them.

In: an executable and its inputs. Out: its outputs as tensors. The executable's graph is a plan like that of any other
operation, so autograd differentiates it by the same pass, and its backward pass is compiled as a whole too.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np

from graphc.eager.plan import Plan
from graphc.eager.record import Source, apply
from graphc.eager.tensor import Tensor
from graphc.frontend.concrete import Eager, Recorded, set_eager
from graphc.frontend.executable import Executable

_plans: weakref.WeakKeyDictionary[Executable, Plan] = weakref.WeakKeyDictionary()
_lock = Lock()


def run(executable: Executable, inputs: Sequence[object]) -> tuple[object, ...]:
    """The outputs, recorded; numbers among the inputs take the dtype of the input they are for."""
    with _lock:
        plan = _plans.get(executable)
        if plan is None:
            plan = _plans[executable] = Plan.of(executable, "CompiledFunctionBackward")
    sources: list[Source] = [
        each if isinstance(each, Tensor | np.ndarray) else np.asarray(each, node.tensor.dtype.numpy)
        for each, node in zip(inputs, executable.graph.inputs, strict=True)
    ]
    return tuple(apply(plan, sources))


def record(function: Callable[..., Any], name: str, **options: Any) -> Recorded:
    """What runs a function of tensors as recorded programs."""
    from graphc.eager.step import Step  # late: importing graphc must be quick

    return Step(function, name, **options)


def install() -> None:
    """Let compiled functions take eager tensors."""
    set_eager(Eager(Tensor, lambda tensor: tensor._array, lambda tensor: tensor.requires_grad, run, record))
