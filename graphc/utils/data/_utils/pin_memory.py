"""Pinning the memory of a batch, so that its copy to a GPU goes on beside what else is done.

In: a batch: tensors in mappings and sequences, or an object with a `pin_memory` method. Out: the same structure over
pinned memory.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

from graphc.eager.attributes import pin_memory as pinned
from graphc.eager.tensor import Tensor


def pin_memory(data: Any) -> Any:
    """The data with its tensors pinned; tuples become lists, and what can't be pinned is left alone."""
    kind = type(data)
    if isinstance(data, Tensor):
        return pinned(data)
    if hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, str | bytes):
        return data
    if isinstance(data, Mapping):
        return _of_mapping(data)
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return kind(*[pin_memory(each) for each in data])
    if isinstance(data, tuple):
        return [pin_memory(each) for each in data]
    if isinstance(data, Sequence):
        return _of_sequence(data)
    return data


def _of_mapping(data: Mapping[Any, Any]) -> Any:
    kind: Any = type(data)
    parts = {key: pin_memory(each) for key, each in data.items()}
    try:
        if isinstance(data, MutableMapping):  # it may have more attributes
            whole = copy.copy(data)
            whole.update(parts)
            return whole
        return kind(parts)
    except TypeError:  # a class that can't be made of a dict
        return parts


def _of_sequence(data: Sequence[Any]) -> Any:
    kind: Any = type(data)
    parts = [pin_memory(each) for each in data]
    try:
        if isinstance(data, MutableSequence):
            whole = copy.copy(data)
            for place, each in enumerate(parts):
                whole[place] = each
            return whole
        return kind(parts)
    except TypeError:
        return parts
