"""Convolutions and transposed ones of 1, 2 and 3 dimensions.

In: `[n, channels, size...]`, or without n. Out: the same rank with `out_channels`.

>>> Conv2d(1, 8, 3, padding=1)
Conv2d(1, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphc.eager.guard import NamedByClass
from graphc.nn import functional as F
from graphc.nn import init
from graphc.nn.module import Module
from graphc.nn.modules.lazy import LazyModuleMixin
from graphc.nn.modules.utils import _ntuple, _reverse_repeat_tuple, uninitialised
from graphc.nn.parameter import UninitializedParameter

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
]

_WORDS = ("same", "valid")
_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _as_set(words: Sequence[str]) -> str:
    return "{" + ", ".join(f"'{word}'" for word in words) + "}"


class _ConvNd(Module):
    """What convolutions have in common; sizes are tuples here."""

    __constants__ = [
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
        "output_padding",
        "in_channels",
        "out_channels",
        "kernel_size",
    ]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in _WORDS:
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {_as_set(_WORDS)}")
            if padding == "same" and any(step != 1 for step in stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in _PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {_as_set(_PADDING_MODES)}, but got {padding_mode=}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.transposed, self.output_padding, self.groups = transposed, output_padding, groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = _padding_for_pad(padding, kernel_size, dilation)
        rows, columns = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        self.weight = uninitialised(rows, columns // groups, *kernel_size, device=device, dtype=dtype)
        self.register_parameter("bias", uninitialised(out_channels, device=device, dtype=dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values, uniform within 1 / sqrt(elements of a kernel)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None and init._calculate_fan_in_and_fan_out(self.weight)[0]:
            init.uniform_within_fan(self.bias, self.weight)

    def extra_repr(self) -> str:
        zeros, ones = ((each,) * len(self.kernel_size) for each in (0, 1))
        shown = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        for name, usual in (("padding", zeros), ("dilation", ones), ("output_padding", zeros), ("groups", 1)):
            value = getattr(self, name)
            if value != usual:
                shown.append(f"{name}={value}")
        if self.bias is None:
            shown.append("bias=False")
        if self.padding_mode != "zeros":
            shown.append(f"padding_mode={self.padding_mode}")
        return ", ".join(shown)


def _padding_for_pad(
    padding: str | tuple[int, ...], kernel_size: tuple[int, ...], dilation: tuple[int, ...]
) -> list[int] | tuple[int, ...]:
    """A convolution's padding in the order of `pad`: before and after, the last dimension first."""
    if not isinstance(padding, str):
        return _reverse_repeat_tuple(padding, 2)
    if padding == "valid":
        return [0] * (2 * len(kernel_size))
    reach = [step * (size - 1) for step, size in zip(dilation, kernel_size)]
    return [part for total in reversed(reach) for part in (total // 2, total - total // 2)]


class _Convolution(NamedByClass, _ConvNd):
    """A convolution of some number of dimensions."""

    _rank: int
    _compute: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        each = _ntuple(self._rank)
        super().__init__(
            in_channels,
            out_channels,
            each(kernel_size),
            each(stride),
            padding if isinstance(padding, str) else each(padding),
            each(dilation),
            False,
            each(0),
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _conv_forward(self, input: Any, weight: Any, bias: Any) -> Any:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = (0,) * self._rank
        return self._compute(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: Any) -> Any:
        """`[n, in_channels, size...]`, or without n, to `[n, out_channels, size...]`."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_Convolution):
    """Sums over windows of `[n, channels, length]`, weighted by learned kernels."""

    _rank = 1
    _compute: Any = staticmethod(F.conv1d)


class Conv2d(_Convolution):
    """Sums over windows of `[n, channels, height, width]`, weighted by learned kernels."""

    _rank = 2
    _compute: Any = staticmethod(F.conv2d)


class Conv3d(_Convolution):
    """Sums over windows of `[n, channels, depth, height, width]`, weighted by learned kernels."""

    _rank = 3
    _compute: Any = staticmethod(F.conv3d)


class _ConvTransposeNd(NamedByClass, _ConvNd):
    """A transposed convolution of some number of dimensions."""

    _rank: int
    _compute: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        each = _ntuple(self._rank)
        super().__init__(
            in_channels,
            out_channels,
            each(kernel_size),
            each(stride),
            each(padding),
            each(dilation),
            True,
            each(output_padding),
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(
        self,
        input: Any,
        output_size: Sequence[int] | None,
        stride: Sequence[int],
        padding: Sequence[int],
        kernel_size: Sequence[int],
        num_spatial_dims: int,
        dilation: Sequence[int] | None = None,
    ) -> Sequence[int]:
        """What to add to the smallest result for the size that is asked for; raises ValueError if it can't be had."""
        if output_size is None:
            return _ntuple(num_spatial_dims)(self.output_padding)
        rank, leading = input.ndim, input.ndim - num_spatial_dims
        if len(output_size) == rank:
            output_size = output_size[leading:]
        if len(output_size) != num_spatial_dims:
            raise ValueError(
                f"ConvTranspose{num_spatial_dims}D: for {rank}D input, output_size must have {num_spatial_dims} or "
                f"{rank} elements (got {len(output_size)})"
            )
        sizes = input.shape[leading:]
        steps = dilation if dilation is not None else (1,) * num_spatial_dims
        least = [
            (size - 1) * step - 2 * border + apart * (width - 1) + 1
            for size, step, border, apart, width in zip(sizes, stride, padding, steps, kernel_size)
        ]
        most = [size + step - 1 for size, step in zip(least, stride)]
        if any(not low <= size <= high for size, low, high in zip(output_size, least, most)):
            raise ValueError(
                f"requested an output size of {output_size}, but valid sizes range from {least} to {most} (for an "
                f"input of {input.shape[2:]})"
            )
        return [size - low for size, low in zip(output_size, least)]

    def forward(self, input: Any, output_size: Sequence[int] | None = None) -> Any:
        """`[n, in_channels, size...]`, or without n, to `[n, out_channels, size...]`.

        With a stride several sizes lead to the same input; `output_size` chooses one.
        """
        if self.padding_mode != "zeros":
            raise ValueError(f"Only `zeros` padding mode is supported for {type(self).__name__}")
        if not isinstance(self.padding, tuple):
            raise AssertionError("self.padding must be a tuple")
        added = self._output_padding(
            input, output_size, self.stride, self.padding, self.kernel_size, self._rank, self.dilation
        )
        return self._compute(
            input, self.weight, self.bias, self.stride, self.padding, added, self.groups, self.dilation
        )


class ConvTranspose1d(_ConvTransposeNd):
    """The transpose of Conv1d, as a map of its outputs to its inputs."""

    _rank = 1
    _compute: Any = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTransposeNd):
    """The transpose of Conv2d, as a map of its outputs to its inputs."""

    _rank = 2
    _compute: Any = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTransposeNd):
    """The transpose of Conv3d, as a map of its outputs to its inputs."""

    _rank = 3
    _compute: Any = staticmethod(F.conv_transpose3d)


# With channels that the first input tells


class _LazyConv(LazyModuleMixin, _ConvNd):
    """What lazy convolutions have in common."""

    weight: Any
    bias: Any

    def reset_parameters(self) -> None:
        """Draw new values, if there are any yet."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()

    def _leave_open(self, out_channels: int, groups: int, bias: bool, device: Any, dtype: Any) -> None:
        """Set what the constructor of the layer must not know yet, and parameters without shapes."""
        self.out_channels, self.groups = out_channels, groups
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def initialize_parameters(self, input: Any, *args: Any, **kwargs: Any) -> None:
        """Take the shapes from `[n, in_channels, size...]` or `[in_channels, size...]`."""
        if self.has_uninitialized_params():
            channels = self.in_channels = self._channels_of(input)
            if channels % self.groups != 0:
                raise ValueError("in_channels must be divisible by groups")
            pair = (self.out_channels, channels // self.groups)
            if self.transposed:
                pair = (channels, self.out_channels // self.groups)
            self.weight.materialize((*pair, *self.kernel_size))
            if self.bias is not None:
                self.bias.materialize((self.out_channels,))
            self.reset_parameters()
        if self.in_channels == 0:  # values were loaded
            self.in_channels = self._channels_of(input)

    def _channels_of(self, input: Any) -> int:
        rank = len(self.kernel_size)
        if input.dim() not in (rank + 1, rank + 2):
            raise RuntimeError(
                f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {type(self).__name__}, but got "
                f"input of size: {input.shape}"
            )
        channels: int = input.shape[-rank - 1]
        return channels


class _LazyConvolution(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        # Without channels the number of groups cannot be checked: it is set after.
        options = (kernel_size, stride, padding, dilation, 1, False, padding_mode)
        super().__init__(0, 0, *options)  # to the layer, which stands between
        self._leave_open(out_channels, groups, bias, device, dtype)


class _LazyConvTranspose(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (kernel_size, stride, padding, output_padding, 1, False, dilation, padding_mode)
        super().__init__(0, 0, *options)
        self._leave_open(out_channels, groups, bias, device, dtype)


class LazyConv1d(_LazyConvolution, Conv1d):
    """A `Conv1d` whose `in_channels` are those of the first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvolution, Conv2d):
    """A `Conv2d` whose `in_channels` are those of the first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvolution, Conv3d):
    """A `Conv3d` whose `in_channels` are those of the first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """A `ConvTranspose1d` whose `in_channels` are those of the first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """A `ConvTranspose2d` whose `in_channels` are those of the first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """A `ConvTranspose3d` whose `in_channels` are those of the first input."""

    cls_to_become = ConvTranspose3d
