"""The floats of eight bits: kept, moved and cast, but not computed with.

In: arrays of `ml_dtypes`' float8 types, names of functions. Out: arrays cast as PyTorch casts, through float32; which
functions only move such values; the error of the others.

>>> import numpy as np
>>> from graphc.ir.dtype import f8e4m3fn, f8e5m2
>>> [cast(np.array([1e6, 0.1]), dtype).tolist() for dtype in (f8e4m3fn, f8e5m2)]
[[448.0, 0.1015625], [inf, 0.09375]]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.eager.placement import gpu_of, on
from graphc.eager.tensor import Tensor, wrap
from graphc.ir.dtype import DType, f8e4m3fn, f32
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

_OPERATORS: Final = {
    "__add__": "add", "__radd__": "add", "__sub__": "sub", "__rsub__": "sub", "__mul__": "mul", "__rmul__": "mul",
    "__truediv__": "div", "__rtruediv__": "div", "__floordiv__": "floor_divide", "__rfloordiv__": "floor_divide",
    "__mod__": "remainder", "__rmod__": "remainder", "__pow__": "pow", "__rpow__": "pow", "__matmul__": "matmul",
    "__rmatmul__": "matmul", "__neg__": "neg", "__abs__": "abs", "__eq__": "eq", "__ne__": "ne", "__lt__": "lt",
    "__le__": "le", "__gt__": "gt", "__ge__": "ge", "__and__": "bitwise_and", "__or__": "bitwise_or",
    "__xor__": "bitwise_xor", "__invert__": "bitwise_not",
}  # fmt: skip


def cast(array: AnyArray, dtype: DType) -> AnyArray:
    """The array in a dtype, where it has, or gets, eight bits: through float32, rounded to the nearest, ties to even.

    What is too large becomes the greatest number of float8_e4m3fn, infinity in float8_e5m2, and nan in the others.
    """
    gpu = gpu_of(array)
    if gpu is not None:
        return on(cast(on(array, None), dtype), gpu)
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


Runner: TypeAlias = "Callable[[tuple[object, ...], dict[str, object]], tuple[object, list[Tensor]]]"


def dtype_in(args: tuple[object, ...], kwargs: dict[str, object]) -> DType | None:
    """The dtype of eight bits among the tensors and dtypes of a call, or None."""
    for each in (*args, *kwargs.values()):
        for one in each if isinstance(each, list | tuple) else (each,):
            found = one.dtype if isinstance(one, Tensor) else one
            if isinstance(found, DType) and found.is_storage_only:
                return found
    return None


def run(
    name: str, dtype: DType, runner: Runner, args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[object, list[Tensor]]:
    """A call with tensors of this dtype, or to it: `runner` moves their bytes, or compares them as float32.

    Raises UnsupportedDType for functions that compute. Gradients don't flow.
    """
    name = _OPERATORS.get(name, name)
    if name == "to" and isinstance(args[0], Tensor):
        target = next((x for x in (*args[1:], *kwargs.values()) if isinstance(x, DType)), dtype)
        made = wrap(cast(args[0]._array, target))
        return made, [made]
    if name in MOVES:
        result, made_by = runner(*_exchanged(args, kwargs, lambda array: array.view(np.uint8)))
        for each in made_by:
            each._array = each._array.view(dtype.numpy)
        return result, made_by
    if name not in THROUGH_FLOAT:
        raise refusal(name, dtype)
    result, made_by = runner(*_exchanged(args, kwargs, lambda array: cast(array, f32)))
    if name in ("abs", "positive"):
        for each in made_by:
            each._array = cast(each._array, dtype)
    return result, made_by


def _exchanged(
    args: tuple[object, ...], kwargs: dict[str, object], other: Callable[[AnyArray], AnyArray]
) -> tuple[tuple[object, ...], dict[str, object]]:
    """The arguments with tensors over other arrays in place of those of eight bits."""

    def exchange(x: object) -> object:
        if isinstance(x, Tensor) and x.dtype.is_storage_only:
            return wrap(other(x._array))
        return type(x)(map(exchange, x)) if type(x) in (list, tuple) else x  # type: ignore[call-arg, call-overload]

    return tuple(map(exchange, args)), {name: exchange(x) for name, x in kwargs.items()}
