"""What tests of tensors on a GPU measure and compare: bytes that go between the memories, and bits of results."""

from __future__ import annotations

from typing import Any

from graphc import Tensor
from graphc.runtime.cuda.select import driver


class Traffic:
    """The bytes that a block copies between the memories of host and GPU."""

    moved: tuple[int, int]
    """To the GPU, and to the host."""

    def __enter__(self) -> Traffic:
        self._start = self._now()
        return self

    def _now(self) -> tuple[int, int]:
        found: Any = driver()
        return found.bytes_to_device, found.bytes_to_host

    def __exit__(self, *error: object) -> None:
        (up, down), (first_up, first_down) = self._now(), self._start
        self.moved = up - first_up, down - first_down


def bits(value: Any) -> Any:
    """Of a tensor its dtype, sizes, strides and bytes; of a tuple those of its tensors."""
    if isinstance(value, list | tuple):
        return [bits(each) for each in value]
    if not isinstance(value, Tensor):
        return value
    array = value.detach().cpu()._array
    return str(value.dtype), tuple(value.shape), value.stride(), array.copy(order="C").tobytes()
