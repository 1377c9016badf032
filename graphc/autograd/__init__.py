"""Gradients of eager tensors: `backward`, `grad`, and what controls recording.

>>> import graphc
>>> x = graphc.tensor([1.0, 2.0], requires_grad=True)
>>> graphc.autograd.grad((x * x).sum(), x)
(tensor([2., 4.]),)
"""

import importlib as _importlib
import typing as _typing

from graphc.autograd import function, graph
from graphc.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from graphc.autograd.variable import Variable
from graphc.eager.anomaly import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from graphc.eager.backward import backward, grad
from graphc.eager.function import Function
from graphc.eager.mode import enable_grad, inference_mode, no_grad, set_grad_enabled, set_multithreading_enabled

_ON_DEMAND = ("functional", "grad_mode", "profiler")
"""Modules that are imported when they are asked for, which is rarely."""

if _typing.TYPE_CHECKING:
    from graphc.autograd import functional, grad_mode, profiler
else:

    def __getattr__(name: str) -> object:
        if name in _ON_DEMAND:
            return _importlib.import_module(f"graphc.autograd.{name}")
        raise AttributeError(f"module 'graphc.autograd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})


__all__ = [
    "Function",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_anomaly_enabled",
    "no_grad",
    "profiler",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
]
