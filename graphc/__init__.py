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

import importlib as _importlib
import math as _math
import sys as _sys
import typing as _typing

from graphc import autograd, random
from graphc.eager import fork as _fork
from graphc.eager import legacy as _legacy
from graphc.eager import methods as _methods
from graphc.eager.device import device, get_default_device, set_default_device
from graphc.eager.generator import Generator, default_generator
from graphc.eager.memory_format import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    sparse_bsc,
    sparse_bsr,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)
from graphc.eager.mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from graphc.eager.printing import get_printoptions, printoptions, set_printoptions
from graphc.eager.size import Size
from graphc.eager.tensor import Tensor
from graphc.eager.tensor_type import set_default_tensor_type
from graphc.eager.type_info import can_cast, finfo, iinfo, promote_types, result_type
from graphc.frontend.compile import compile
from graphc.frontend.custom import checkpoint, custom_vjp
from graphc.frontend.executable import Executable
from graphc.frontend.pullback import vjp
from graphc.frontend.symbolic import function, gradients, placeholder
from graphc.frontend.tensor import SymbolicTensor
from graphc.frontend.trace import symbolic_trace
from graphc.frontend.transform import grad, value_and_grad
from graphc.ir import dtype as _dtype
from graphc.ir.dtype import DType as dtype
from graphc.ir.dtype import get_default_dtype, set_default_dtype
from graphc.ir.errors import GraphcError
from graphc.ir.errors import MemoryExceeded as OutOfMemoryError
from graphc.ir.graph import Graph
from graphc.runtime.threads import get_num_threads, set_num_threads
from graphc.version import __version__

bool, bfloat16, float16, float32, float64 = _dtype.bool_, _dtype.bf16, _dtype.f16, _dtype.f32, _dtype.f64
int8, int16, int32, int64 = _dtype.i8, _dtype.i16, _dtype.i32, _dtype.i64
uint8, uint16, uint32, uint64 = _dtype.u8, _dtype.u16, _dtype.u32, _dtype.u64
complex64, complex128 = _dtype.c64, _dtype.c128
float8_e4m3fn, float8_e4m3fnuz = _dtype.f8e4m3fn, _dtype.f8e4m3fnuz
float8_e5m2, float8_e5m2fnuz = _dtype.f8e5m2, _dtype.f8e5m2fnuz
short, int, long, half = int16, int32, int64, float16
float, double, cfloat, cdouble = float32, float64, complex64, complex128

pi, e, inf, nan, newaxis = _math.pi, _math.e, _math.inf, _math.nan, None

_methods.install()
_fork.install()
_table = _methods.free_functions()
globals().update(_table)
globals().update(_legacy.TYPES)

_ON_DEMAND = frozenset(
    (
        "__config__ accelerator amp backends compiler cpu cuda distributed distributions fft func functional hub jit "
        "linalg masked mps multiprocessing nn optim overrides profiler return_types serialization special storage "
        "testing torch_version types utils xpu"
    ).split()
)
"""Namespaces that are imported when they are asked for, since many programs use none of them."""
_LATE = {
    "AcceleratorError": "accelerator",
    "Event": "accelerator",
    "GradScaler": "amp",
    "Stream": "accelerator",
    "autocast": "amp",
    "autocast_decrement_nesting": "amp.autocast_mode",
    "autocast_increment_nesting": "amp.autocast_mode",
    "clear_autocast_cache": "amp.autocast_mode",
    "get_autocast_cpu_dtype": "amp.autocast_mode",
    "get_autocast_dtype": "amp.autocast_mode",
    "get_autocast_gpu_dtype": "amp.autocast_mode",
    "get_device_module": "accelerator",
    "gru": "nn.recurrence",
    "is_autocast_cache_enabled": "amp.autocast_mode",
    "is_autocast_cpu_enabled": "amp.autocast_mode",
    "is_autocast_enabled": "amp.autocast_mode",
    "load": "serialization",
    "lstm": "nn.recurrence",
    "rnn_relu": "nn.recurrence",
    "rnn_tanh": "nn.recurrence",
    "save": "serialization",
    "set_autocast_cache_enabled": "amp.autocast_mode",
    "set_autocast_cpu_dtype": "amp.autocast_mode",
    "set_autocast_cpu_enabled": "amp.autocast_mode",
    "set_autocast_dtype": "amp.autocast_mode",
    "set_autocast_enabled": "amp.autocast_mode",
    "set_autocast_gpu_dtype": "amp.autocast_mode",
}
"""Names of the root that such a namespace holds."""

if _typing.TYPE_CHECKING:
    from graphc import fft, linalg, nn, optim, special, utils
else:

    def __getattr__(name: str) -> object:
        if name in _ON_DEMAND:
            return _importlib.import_module(f"graphc.{name}")
        if name in _LATE:
            return getattr(_importlib.import_module(f"graphc.{_LATE[name]}"), name)
        if name.startswith("_foreach_"):
            found = _importlib.import_module("graphc.eager.foreach").FUNCTIONS.get(name)
            if found is not None:
                return found
        raise AttributeError(f"module 'graphc' has no attribute {name!r}", name=name, obj=_sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND, *_LATE})


__all__ = [
    "OutOfMemoryError",
    "__version__",
    "e",
    "inf",
    "nan",
    "newaxis",
    "pi",
    *_LATE,
    "random",
    "default_generator",
    "Generator",
    "Executable",
    "Graph",
    "GraphcError",
    "Size",
    "SymbolicTensor",
    "Tensor",
    "autograd",
    "bfloat16",
    "bool",
    "can_cast",
    "cdouble",
    "cfloat",
    "channels_last",
    "channels_last_3d",
    "checkpoint",
    "compile",
    "complex128",
    "complex64",
    "contiguous_format",
    "custom_vjp",
    "device",
    "double",
    "dtype",
    "enable_grad",
    "fft",
    "finfo",
    "float",
    "float16",
    "float32",
    "float64",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "function",
    "get_default_device",
    "get_default_dtype",
    "get_num_threads",
    "get_printoptions",
    "grad",
    "gradients",
    "half",
    "iinfo",
    "inference_mode",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "layout",
    "linalg",
    "long",
    "memory_format",
    "no_grad",
    "nn",
    "optim",
    "placeholder",
    "preserve_format",
    "printoptions",
    "promote_types",
    "result_type",
    "set_default_device",
    "set_default_dtype",
    "set_default_tensor_type",
    "set_grad_enabled",
    "set_num_threads",
    "set_printoptions",
    "short",
    "sparse_bsc",
    "sparse_bsr",
    "sparse_coo",
    "sparse_csc",
    "sparse_csr",
    "special",
    "strided",
    "symbolic_trace",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "utils",
    "value_and_grad",
    "vjp",
    *_legacy.TYPES,
    *_table,
]
