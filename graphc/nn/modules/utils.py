"""What the layers' constructors share: sizes per dimension, and parameters that are filled afterwards.

In: numbers or sequences of them, and the `device` and `dtype` of a constructor. Out: tuples; uninitialised parameters.

>>> _pair(3), _pair((1, 2))
((3, 3), (1, 2))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from graphc.eager.methods import of_table
from graphc.nn.parameter import Parameter

__all__ = ["consume_prefix_in_state_dict_if_present"]


empty, ones, zeros = (of_table(name) for name in ("empty", "ones", "zeros"))


def uninitialised(*shape: int, device: Any, dtype: Any) -> Parameter:
    """A parameter of this shape, for an initialisation to fill."""
    return Parameter(empty(*shape, device=device, dtype=dtype))


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    return parse


_single, _pair, _triple, _quadruple = (
    _ntuple(n, name) for n, name in enumerate(("_single", "_pair", "_triple", "_quadruple"), 1)
)


def _reverse_repeat_tuple(t: Sequence[Any], n: int) -> tuple[Any, ...]:
    """Each element `n` times, the last one first: from a padding per dimension to the order that `pad` takes."""
    return tuple(each for each in reversed(t) for _ in range(n))


def _list_with_default(out_size: Sequence[int | None], defaults: Sequence[int]) -> list[int]:
    """Sizes, with the last of `defaults` where there is None."""
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    return [given if given is not None else own for given, own in zip(out_size, defaults[-len(out_size) :])]


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take a prefix off the keys of a state dict, and off its metadata, in place."""
    metadata: dict[str, Any] = getattr(state_dict, "_metadata", {})
    if prefix.rstrip(".") in metadata:  # the wrapped module's own stands under the prefix without its dot
        metadata[""] = metadata.pop(prefix.rstrip("."))
    for table in (state_dict, metadata):
        for key in list(table):
            if key.startswith(prefix):
                table[key.removeprefix(prefix)] = table.pop(key)
