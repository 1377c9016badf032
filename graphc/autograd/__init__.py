"""Gradients of eager tensors: `backward`, `grad`, and what controls recording.

>>> import graphc
>>> x = graphc.tensor([1.0, 2.0], requires_grad=True)
>>> graphc.autograd.grad((x * x).sum(), x)
(tensor([2., 4.]),)
"""

from graphc.eager.anomaly import detect_anomaly, set_detect_anomaly
from graphc.eager.function import Function
from graphc.eager.history import backward, grad
from graphc.eager.mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
