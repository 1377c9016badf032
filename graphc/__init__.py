"""graphc: a deep-learning library whose engine is a compiler you can read.

Compile a function of tensors and call it on numpy arrays:

>>> import numpy as np, graphc
>>> @graphc.compile
... def normalize(x):
...     return (x - x.mean(dim=1, keepdim=True)) / x.std(dim=1, keepdim=True)
>>> normalize(np.array([[1.0, 2.0, 3.0]], np.float32))
array([[-1.,  0.,  1.]], dtype=float32)

Look inside with `graphc.symbolic_trace` and the command `graphc dump`; differentiate with `graphc.grad`.
"""

from graphc import autograd
from graphc.eager import methods as _methods
from graphc.eager.mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from graphc.eager.tensor import Tensor
from graphc.frontend.compile import compile
from graphc.frontend.custom import checkpoint, custom_vjp
from graphc.frontend.executable import Executable
from graphc.frontend.pullback import vjp
from graphc.frontend.symbolic import function, gradients, placeholder
from graphc.frontend.tensor import SymbolicTensor
from graphc.frontend.trace import symbolic_trace
from graphc.frontend.transform import grad, value_and_grad
from graphc.ir import dtype as _dtype
from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.runtime.pool import get_num_threads, set_num_threads

bool, bfloat16, float16, float32, float64 = _dtype.bool_, _dtype.bf16, _dtype.f16, _dtype.f32, _dtype.f64
int8, int16, int32, int64 = _dtype.i8, _dtype.i16, _dtype.i32, _dtype.i64
uint8, uint16, uint32, uint64 = _dtype.u8, _dtype.u16, _dtype.u32, _dtype.u64
complex64, complex128 = _dtype.c64, _dtype.c128

_methods.install()
_table = _methods.free_functions()
globals().update(_table)

__all__ = [
    "Executable",
    "Graph",
    "GraphcError",
    "SymbolicTensor",
    "Tensor",
    "autograd",
    "bfloat16",
    "bool",
    "checkpoint",
    "compile",
    "complex64",
    "complex128",
    "custom_vjp",
    "enable_grad",
    "float16",
    "float32",
    "float64",
    "function",
    "get_num_threads",
    "grad",
    "gradients",
    "inference_mode",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "placeholder",
    "set_grad_enabled",
    "set_num_threads",
    "symbolic_trace",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "value_and_grad",
    "vjp",
    *_table,
]
