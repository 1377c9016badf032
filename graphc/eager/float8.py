"""The floats of eight bits: kept, moved and cast, but not computed with.

In: arrays of `ml_dtypes`' float8 types, names of functions. Out: arrays cast as PyTorch casts, through float32; which
functions only move such values; the error of the others.

>>> import numpy as np
>>> from graphc.ir.dtype import f8e4m3fn, f8e5m2
>>> cast(np.array([1e6, 0.1]), f8e4m3fn), cast(np.array([1e6, 0.1]), f8e5m2)
(array([448, 0.101562], dtype=float8_e4m3fn), array([inf, 0.09375], dtype=float8_e5m2))
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dtype import DType, f8e4m3fn
from graphc.ir.errors import UnsupportedDType

AnyArray: TypeAlias = npt.NDArray[Any]

MOVES: Final = frozenset(
    (
        "__getitem__", "cat", "chunk", "clone", "concat", "concatenate", "contiguous", "diag", "diagonal", "expand",
        "flatten", "hstack", "index_put", "index_select", "masked_select", "movedim", "narrow", "pad", "permute",
        "ravel", "repeat", "reshape", "roll", "select", "split", "squeeze", "stack", "t", "tile", "transpose", "unbind",
        "unsqueeze", "view", "vstack", "where",
    )
)  # fmt: skip
"""Functions whose results are elements of their operands: they may as well be run on the bytes."""

THROUGH_FLOAT: Final = frozenset(("abs", "all", "any", "eq", "isnan", "isreal", "ne", "positive"))
"""Functions that PyTorch has for them all the same. Results of `abs` and `positive` are cast back."""

_KERNELS: Final = {
    "add": "add_stub", "sub": "add_stub", "rsub": "add_stub", "subtract": "add_stub", "mul": "mul_cpu_reduced_float",
    "multiply": "mul_cpu_reduced_float", "div": "div_cpu", "divide": "div_cpu", "true_divide": "div_cpu", "pow": "pow",
    "square": "pow", "floor_divide": "div_floor_cpu", "relu": "clamp_min_scalar_cpu", "clamp": "clamp_scalar_cpu",
    "sum": "sum_cpu", "mean": "sum_cpu", "prod": "prod_out_cpu", "max": "max_all", "min": "min_all",
    "amax": "max_values_cpu", "amin": "min_values_cpu", "logsumexp": "max_values_cpu", "cumsum": "cumsum_out_cpu",
    "cumprod": "cumprod_out_cpu", "sort": "sorting_kernel_method_name", "argsort": "sorting_kernel_method_name",
    "softmax": "softmax_kernel_impl", "nonzero": "nonzero_count_cpu", "count_nonzero": "nonzero_count_cpu",
    "sigmoid": "sigmoid_cpu_reduced_float", "sgn": "sign_cpu", "equal": "equal_notnan_cpu", "gelu": "GeluKernelImpl",
    "gather": "scatter_gather_tensor_cpu", "scatter": "scatter_gather_tensor_cpu", "lerp": "lerp_kernel_scalar",
    "mse_loss": "mse_cpu", "rand": "check_uniform_bounds", "rand_like": "check_uniform_bounds",
    "randn": "normal_kernel_cpu", "dropout": "bernoulli_scalar_cpu_", "matmul": "dot", "mm": "dot", "dot": "dot",
    **dict.fromkeys(("isclose", "allclose"), "mul_cpu_reduced_float"),
    **{
        name: f"{name}_vml_cpu"
        for name in (
            "acos", "asin", "atan", "ceil", "cos", "erf", "erfc", "erfinv", "exp", "expm1", "floor", "i0", "lgamma",
            "log", "log10", "log1p", "log2", "round", "sin", "sqrt", "tan", "tanh", "trunc",
        )
    },
    **{
        name: name
        for name in (
            "digamma", "exp2", "isfinite", "isinf", "nan_to_num", "unique", "tril", "triu", "trace", "masked_fill",
        )
    },
}  # fmt: skip
"""Names of PyTorch's kernels, where they aren't the function's name with "_cpu"."""


def cast(array: AnyArray, dtype: DType) -> AnyArray:
    """The array in a dtype, where it has, or gets, eight bits: through float32, rounded to the nearest, ties to even.

    What is too large becomes the greatest number of float8_e4m3fn, infinity in float8_e5m2, and nan in the others.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        real = array.real if np.iscomplexobj(array) and not dtype.is_complex else array
        single = real.astype(np.float32)
        if dtype is f8e4m3fn:
            single = np.clip(single, -448, 448)  # it has no infinity; nan stays
        return single.astype(dtype.numpy)


def refusal(name: str, dtype: DType) -> UnsupportedDType:
    """The error of a function that computes."""
    return UnsupportedDType(
        f"\"{_KERNELS.get(name, f'{name}_cpu')}\" not implemented for '{dtype.scalar}'",
        hint="compute in float32: x.float()",
    )
