"""graphc.autograd.grad_mode: the switches of recording, under the module path that programs import them from."""

from graphc.eager.mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]
