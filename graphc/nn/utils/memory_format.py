"""The order in memory of the weights of convolutions.

In: a module. Out: the same, with those weights in the format.
"""

from __future__ import annotations

from typing import Any, TypeVar

from graphc.nn.module import Module
from graphc.nn.modules.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]

M = TypeVar("M", bound=Module)


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Lay out the weights of all 2-dimensional convolutions inside in a format such as `channels_last`."""
    return _convert(module, memory_format, (Conv2d, ConvTranspose2d))


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Lay out the weights of all 3-dimensional convolutions inside in a format such as `channels_last_3d`."""
    return _convert(module, memory_format, (Conv3d, ConvTranspose3d))


def _convert(module: M, memory_format: Any, kinds: tuple[type[Module], ...]) -> M:
    for each in module.modules():
        if isinstance(each, kinds):
            each.weight.data = each.weight.detach().clone(memory_format=memory_format)
    return module
