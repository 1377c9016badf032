"""What PyTorch says of a call whose tensors are on several devices.

In: the name of a function of the table and its tensors, in the order of the call. Out: the text. Most functions say
which two devices were found; those whose arguments PyTorch checks one by one say which argument is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from graphc.eager.placement import gpu_of, place_of
from graphc.eager.tensor import AnyArray
from graphc.eager.tensor_type import type_name
from graphc.ir.dtype import dtype as to_dtype

Arrays: TypeAlias = "Sequence[AnyArray]"
Named: TypeAlias = "tuple[str, list[tuple[str, AnyArray]]]"
"""What PyTorch calls in the end, and its arguments in order."""


def mixed_text(function: str, arrays: Arrays) -> str | None:
    """The text for a call; None for functions that only tell the devices."""
    special = _TEXTS.get(function)
    if special is not None:
        return special(arrays)
    named = _ARGUMENTS.get(function)
    found = None if named is None else named(arrays)
    if found is None:
        return None
    method, arguments = found
    first = arguments[0][1]
    for name, array in arguments[1:]:
        if gpu_of(array) != gpu_of(first):
            return (
                f"Expected all tensors to be on the same device, but got {name} is on {place_of(array)}, different "
                f"from other tensors on {place_of(first)} (when checking argument in method wrapper_CUDA_{method})"
            )
    return None


def _in_order(method: str, *names: str) -> Callable[[Arrays], Named]:
    return lambda arrays: (method, list(zip(names, arrays)))


def _matmul(arrays: Arrays) -> Named | None:
    ranks = [each.ndim for each in arrays[:2]]
    if min(ranks) < 2:
        return None
    method = "bmm" if min(ranks) > 2 else "mm"  # batches of one factor alone are rows of one matrix
    return method, list(zip(("self", "mat2"), arrays))


def _linear(arrays: Arrays) -> Named | None:
    if len(arrays) == 2:
        return "mm", list(zip(("self", "mat2"), arrays))
    x, weight, bias = arrays[:3]
    return "addmm", [("self", bias), ("mat1", x), ("mat2", weight)]


def _many(method: str) -> Callable[[Arrays], Named]:
    return lambda arrays: (method, [("tensors", each) for each in arrays])


def _embedding(arrays: Arrays) -> Named:
    index, weight = arrays[:2]
    return "_index_select", [("self", weight), ("index", index)]


def _convolution(arrays: Arrays) -> str | None:
    """Convolutions compare types, which tell the kind of device."""
    types = [type_name(to_dtype(each.dtype), place_of(each).type) for each in arrays]
    for name, type in zip(("weight", "bias"), types[1:]):
        if type != types[0]:
            is_host = gpu_of(arrays[0]) is None and name == "weight"
            rest = " or input should be a MKLDNN tensor and weight is a dense tensor" if is_host else ""
            return f"Input type ({types[0]}) and {name} type ({type}) should be the same{rest}"
    return None


def _attention(arrays: Arrays) -> str | None:
    query, key, value = (place_of(each) for each in arrays[:3])
    if query.type == key.type == value.type:
        return None
    return (
        "Expected query, key, and value to have the same device type, but got query.device: "
        f"{query} key.device: {key} and value.device: {value} instead."
    )


_ARGUMENTS: Final[Mapping[str, Callable[[Arrays], Named | None]]] = {
    "mm": _in_order("mm", "self", "mat2"),
    "bmm": _in_order("bmm", "self", "mat2"),
    "addmm": _in_order("addmm", "self", "mat1", "mat2"),
    "baddbmm": _in_order("baddbmm", "self", "batch1", "batch2"),
    "matmul": _matmul,
    "__matmul__": _matmul,
    "linear": _linear,
    "cat": _many("cat"),
    "concat": _many("cat"),
    "concatenate": _many("cat"),
    "stack": _many("cat"),
    "embedding": _embedding,
    "index_select": _in_order("_index_select", "self", "index"),
    "gather": _in_order("gather", "self", "index"),
    "nll_loss": _in_order("nll_loss_forward", "self", "target", "weight"),
    "cross_entropy": _in_order("nll_loss_forward", "self", "target", "weight"),
    "layer_norm": _in_order("_native_layer_norm", "input", "weight", "bias"),
}
_TEXTS: Final[Mapping[str, Callable[[Arrays], str | None]]] = {
    **dict.fromkeys(
        [f"conv{transposed}{rank}d" for transposed in ("", "_transpose") for rank in (1, 2, 3)], _convolution
    ),
    "scaled_dot_product_attention": _attention,
}
