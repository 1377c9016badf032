"""Collating: what makes one batch of a list of samples.

In: samples of one structure: tensors, arrays, numbers, texts, in mappings and sequences. Out: the same structure with
tensors that have one dimension more. Types are told apart by a table, which users may extend.

>>> default_collate([(1, "a"), (2, "b")])
[tensor([1, 2]), ('a', 'b')]
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphc.eager.guard import guarded
from graphc.eager.interop import as_tensor as _as_tensor
from graphc.eager.interop import tensor as _tensor
from graphc.eager.methods import of_table
from graphc.eager.tensor import Tensor, wrap
from graphc.ir.dtype import f64

CollateMap: TypeAlias = dict[type | tuple[type, ...], Callable[..., Any]]
as_tensor, tensor = guarded(_as_tensor), guarded(_tensor)
_stack = of_table("stack")

np_str_obj_array_pattern = re.compile(r"[SaUO]")
"""Codes of the numpy dtypes whose elements are no numbers."""
default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def default_convert(data: Any) -> Any:
    """Tensors for the numpy arrays and numbers in a sample, whose structure stays; the rest is left alone."""
    kind = type(data)
    if isinstance(data, Tensor):
        return data
    if kind.__module__ == "numpy" and kind.__name__ not in ("str_", "string_"):
        if isinstance(data, np.ndarray) and np_str_obj_array_pattern.search(data.dtype.str):
            return data
        return as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, lambda key: default_convert(data[key]))
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return kind(*[default_convert(each) for each in data])
    if isinstance(data, tuple):
        return [default_convert(each) for each in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _like_sequence(data, [(default_convert, each) for each in data])
    return data


def collate(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """One batch of samples, by the function that the map has for the first one's type or for a base of it.

    Mappings and sequences that the map doesn't have are collated part by part. Raises TypeError for other types, and
    RuntimeError for sequences of different lengths.
    """
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        if kind in collate_fn_map:
            return collate_fn_map[kind](batch, collate_fn_map=collate_fn_map)
        for each, function in collate_fn_map.items():
            if isinstance(first, each):
                return function(batch, collate_fn_map=collate_fn_map)

    def part(samples: Sequence[Any]) -> Any:
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        return _like_mapping(first, lambda key: part([sample[key] for sample in batch]))
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*[part(samples) for samples in zip(*batch)])
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = list(zip(*batch))
        if isinstance(first, tuple):
            return [part(samples) for samples in columns]
        return _like_sequence(first, [(part, samples) for samples in columns])
    raise TypeError(default_collate_err_msg_format.format(kind))


# A mapping or sequence type of the user's may have more state than its elements: a changeable one is copied and filled,
# another one made anew, and one that allows neither becomes a dict or list.


def _like_mapping(example: Mapping[Any, Any], value_of: Callable[[Any], Any]) -> Any:
    try:
        found = {key: value_of(key) for key in example}
        if isinstance(example, MutableMapping):
            clone = copy.copy(example)
            clone.update(found)
            return clone
        return type(example)(found)  # type: ignore[call-arg]  # if the type takes no mapping, see below
    except TypeError:
        return {key: value_of(key) for key in example}


def _like_sequence(example: Sequence[Any], parts: list[tuple[Callable[[Any], Any], Any]]) -> Any:
    try:
        found = [function(part) for function, part in parts]
        if isinstance(example, MutableSequence):
            clone = copy.copy(example)
            for place, value in enumerate(found):
                clone[place] = value
            return clone
        return type(example)(found)  # type: ignore[call-arg]  # if the type takes no list, see below
    except TypeError:
        return [function(part) for function, part in parts]


def collate_tensor_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Tensors of one shape, stacked."""
    # `stack` is compiled for each count of tensors, which pays for gradients but not for a copy of small samples.
    if all(map(_is_plain, batch)):
        arrays = [sample._array for sample in batch]
        if all(array.shape == arrays[0].shape and array.dtype == arrays[0].dtype for array in arrays):
            return wrap(np.stack(arrays))
    return _stack(list(batch), 0)


def _is_plain(sample: Any) -> bool:
    if type(sample) is not Tensor or type(sample._array) is not np.ndarray:
        return False
    return sample._array.flags.c_contiguous and not sample.requires_grad


def collate_numpy_array_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Arrays of numbers, stacked to a tensor."""
    if np_str_obj_array_pattern.search(batch[0].dtype.str):
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return collate([as_tensor(each) for each in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Numbers of numpy's types, as a tensor of the type."""
    return as_tensor(batch)


def collate_float_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Floats, as a tensor of dtype float64: what Python computes with."""
    return tensor(batch, dtype=f64)


def collate_int_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Ints, or bools, as a tensor."""
    return tensor(batch)


def collate_str_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Texts as they came."""
    return batch


default_collate_fn_map: CollateMap = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}
"""What `default_collate` does with each type; add to it in place."""


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch of samples: tensors, arrays and numbers stacked along a new first dimension, inside the mappings and
    sequences that they are in; texts stay a list. Tuples become lists, named ones stay what they are."""
    return collate(batch, collate_fn_map=default_collate_fn_map)
