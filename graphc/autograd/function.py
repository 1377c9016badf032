"""Where PyTorch programs look for custom gradients: `from graphc.autograd.function import once_differentiable`."""

from graphc.eager.function import Function, FunctionCtx, InplaceFunction, once_differentiable

__all__ = ["Function", "FunctionCtx", "InplaceFunction", "once_differentiable"]
