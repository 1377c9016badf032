"""The named tuples that functions of the table give, printed as PyTorch prints its `torch.return_types`.

Level: beside ops. What stands in the fields are nodes while a graph is built, and tensors or arrays once it has run.

>>> sort(1, 2)
torch.return_types.sort(
values=1,
indices=2)
"""

from __future__ import annotations

from typing import NamedTuple

from graphc.ir.graph import Node


def text_of(result: tuple[object, ...], fields: tuple[str, ...]) -> str:
    """What PyTorch prints of a result of these fields."""
    lines = ",\n".join(f"{field}={value!r}" for field, value in zip(fields, result))
    return f"torch.return_types.{type(result).__name__}(\n{lines})"


class ValuesAndIndices(NamedTuple):
    """What a function along one dimension finds, and where."""

    values: Node
    indices: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class aminmax(NamedTuple):
    """Both ends of what a dimension holds."""

    min: Node
    max: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class frexp(NamedTuple):
    """Mantissa and exponent of each float."""

    mantissa: Node
    exponent: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class histogram(NamedTuple):
    """How much lies in each bin, and where the bins end."""

    hist: Node
    bin_edges: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class sort(ValuesAndIndices):
    """Of `sort`."""

    __slots__ = ()


class topk(ValuesAndIndices):
    """Of `topk`."""

    __slots__ = ()


class kthvalue(ValuesAndIndices):
    """Of `kthvalue`."""

    __slots__ = ()


class median(ValuesAndIndices):
    """Of `median`."""

    __slots__ = ()


class nanmedian(ValuesAndIndices):
    """Of `nanmedian`."""

    __slots__ = ()


class mode(ValuesAndIndices):
    """Of `mode`."""

    __slots__ = ()


class cummax(ValuesAndIndices):
    """Of `cummax`."""

    __slots__ = ()


class cummin(ValuesAndIndices):
    """Of `cummin`."""

    __slots__ = ()


class max(ValuesAndIndices):
    """Of `max` along a dimension."""

    __slots__ = ()


class min(ValuesAndIndices):
    """Of `min` along a dimension."""

    __slots__ = ()
