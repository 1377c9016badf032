"""The named constants for how a tensor lies in memory: `strided`, `channels_last` and their kin.

They are compared by identity; copies and pickles are the one object again.

>>> channels_last, strided
(torch.channels_last, torch.strided)
"""

from __future__ import annotations

from typing import Final

from graphc.ir.errors import SignatureError


class _Named:
    """A constant that prints under PyTorch's name and can't be made by users."""

    __slots__ = ("_name",)

    _name: str

    def __new__(cls) -> _Named:
        raise SignatureError(f"cannot create 'torch.{cls.__name__}' instances", hint="use the ones that are there")

    def __repr__(self) -> str:
        return f"torch.{self._name}"

    def __reduce__(self) -> str:
        return self._name  # by its name in this module

    def __copy__(self) -> _Named:
        return self

    def __deepcopy__(self, memo: object) -> _Named:
        return self


class layout(_Named):
    """How elements are addressed: by strides, which is all there is here, or by lists of positions."""

    __slots__ = ()


class memory_format(_Named):
    """An order of the dimensions in memory, for tensors that are created or copied."""

    __slots__ = ()


def _layout(name: str) -> layout:
    made = object.__new__(layout)
    made._name = name
    return made


def _memory_format(name: str) -> memory_format:
    made = object.__new__(memory_format)
    made._name = name
    return made


strided: Final = _layout("strided")
sparse_coo: Final = _layout("sparse_coo")
sparse_csr: Final = _layout("sparse_csr")
sparse_csc: Final = _layout("sparse_csc")
sparse_bsr: Final = _layout("sparse_bsr")
sparse_bsc: Final = _layout("sparse_bsc")
jagged: Final = _layout("jagged")

contiguous_format: Final = _memory_format("contiguous_format")
"""The last dimension is the one whose neighbours are neighbours in memory."""
preserve_format: Final = _memory_format("preserve_format")
"""As the tensor that is copied lies."""
channels_last: Final = _memory_format("channels_last")
"""[n, c, h, w] stored as [n, h, w, c]."""
channels_last_3d: Final = _memory_format("channels_last_3d")
"""[n, c, d, h, w] stored as [n, d, h, w, c]."""
