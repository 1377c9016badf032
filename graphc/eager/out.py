"""`out=`: results written to tensors that the caller has.

In: a function and the tensors for its results. Out: those tensors, with the sizes and values of the results. Which
dtypes they may have is up to the function: most convert where the kind allows it, some want their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from graphc.eager.geometry import overlaps_itself
from graphc.eager.inplace import any_requires, check_cast, copy_to, sizes_text
from graphc.eager.memory import resize_to
from graphc.eager.mode import MODE
from graphc.eager.node import AutogradError
from graphc.eager.placement import gpu_of, mismatch, place_of
from graphc.eager.tensor import Tensor
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, SignatureError
from graphc.ops.composite.operand import c_name

_STRICT = frozenset(
    "mm matmul bmm mv addmm addmv baddbmm addbmm addr dot vdot inner max min sort topk kthvalue mode median nanmedian "
    "cummax cummin gather argmax argmin argsort searchsorted bucketize histc triu_indices index_add index_copy "
    "tril triu aminmax renorm linalg_cross".split()
)
"""Functions whose `out` must have the dtype of the result."""
_TEXTS = {
    "index_select": "index_select(): self and result must have the same scalar type",
    "masked_select": "masked_select(): self and result must have the same scalar type",
    "take": "take(): self and out expected to have the same dtype, but got self.dtype = {got} and out.dtype = {given}",
    "where": "Expected out type to be {got} but got {given}",
    "nonzero": "nonzero: Expected out tensor to have scalar type Long but got scalar type{given}",
}
"""How functions that want the dtype of their result refuse another one."""
_TEXTS |= dict.fromkeys(
    ("amax", "amin"),
    "Expected the dtype for input and out to match, but got {got} for input's dtype and {given} for out's dtype.",
)
_ANY = frozenset("cumsum cumprod sum prod zeros ones full empty arange linspace logspace eye range".split())
"""Functions that compute in the dtype of `out`."""
_WITHOUT_GRADIENT = frozenset("nonzero argmax argmin argsort eq ne lt le gt ge isin".split())
"""Functions of whose operands no gradient is asked for."""


def with_out(function: Callable[..., object], name: str = "") -> Callable[..., object]:
    """A function that also takes `out=`, tensors that are to hold the results."""

    def call(*args: object, out: object = None, **kwargs: object) -> object:
        if out is None:
            return function(*args, **kwargs)
        targets = _targets(name, out)
        if MODE.grad:
            _refuse_gradients(name, args, kwargs, targets)
        result = function(*args, **kwargs)
        results = result if isinstance(result, tuple | list) else (result,)
        for target, values in zip(targets, results, strict=True):
            assert isinstance(values, Tensor)
            fill_out(target, values, name)
        if not isinstance(result, tuple | list):
            return out
        kind: Any = type(result)
        return kind(*targets) if hasattr(kind, "_fields") else tuple(targets)

    return call


def _targets(name: str, out: object) -> Sequence[Tensor]:
    given = out if isinstance(out, tuple | list) else (out,)
    for position, each in enumerate(given):
        if not isinstance(each, Tensor):
            what = f"element {position} of argument 'out'" if isinstance(out, tuple | list) else "argument 'out'"
            raise SignatureError(f"{name}(): {what} must be Tensor, not {type(each).__name__}")
    return given


def _refuse_gradients(
    name: str, args: tuple[object, ...], kwargs: dict[str, object], targets: Sequence[Tensor]
) -> None:
    flat = [one for each in (*args, *kwargs.values()) for one in (each if isinstance(each, list | tuple) else (each,))]
    if (any_requires(flat) and name not in _WITHOUT_GRADIENT) or any_requires(targets):
        raise AutogradError(
            f"{name.rpartition('.')[2]}(): functions with out=... arguments don't support automatic differentiation, "
            "but one of the arguments requires grad."
        )


def fill_out(target: Tensor, values: Tensor, name: str = "") -> None:
    """Write a result to a tensor given as `out`, which gets the result's shape."""
    got, given = values.dtype, target.dtype
    short = name.rpartition(".")[2]
    if got is not given:
        if short in _TEXTS:
            raise DTypeError(_TEXTS[short].format(got=got.scalar, given=given.scalar))
        if short in _STRICT:
            raise DTypeError(f"Expected out tensor to have dtype {c_name(got)}, but got {c_name(given)} instead")
        if short in ("any", "all"):
            if given.name != "uint8":
                raise ArgumentError(f"{short} only supports bool tensor for result, got: {given.scalar}")
        elif short not in _ANY:
            check_cast(got, given)
    if target._array.shape != values._array.shape:
        if target._array.size:
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {sizes_text(target)}, which does "
                f"not match the required output shape {sizes_text(values)}. This behavior is deprecated, and in a "
                "future PyTorch release outputs will not be resized unless they have zero elements. You can "
                "explicitly reuse an out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
                stacklevel=5,
            )
        resize_to(target, values._array.shape)
    elif overlaps_itself(target._array):
        raise ShapeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    if gpu_of(target._array) != gpu_of(values._array):
        raise mismatch(*sorted((str(place_of(values._array)), str(place_of(target._array))), reverse=True))
    copy_to(target._array, values._array)
    target._storage.version += 1
