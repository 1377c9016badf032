"""Pooling: the greatest, mean or norm of windows, and their inverse.

In: `[n, channels, size...]`, or without n. Out: the same rank, one element per window.

>>> MaxPool2d(2)
MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from graphc.eager.guard import NamedByClass
from graphc.nn import functional as F
from graphc.nn.module import Module
from graphc.nn.modules.utils import _ntuple, _single

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

Sizes: TypeAlias = "int | Sequence[int]"


# The greatest of each window


class _MaxPoolNd(NamedByClass, Module):
    _named = ("forward",)
    __constants__ = ["kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"]
    return_indices: bool
    ceil_mode: bool
    _compute: Any

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Any) -> Any:
        """`[n, channels, size...]`, or without n, to the greatest of each window, and on demand where it is."""
        return self._compute(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """The greatest of each window of `[n, channels, length]`."""

    _compute: Any = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPoolNd):
    """The greatest of each window of `[n, channels, height, width]`."""

    _compute: Any = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPoolNd):
    """The greatest of each window of `[n, channels, depth, height, width]`."""

    _compute: Any = staticmethod(F.max_pool3d)


class _MaxUnpoolNd(NamedByClass, Module):
    _rank: int
    _compute: Any

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        each = _ntuple(self._rank)
        self.kernel_size = each(kernel_size)
        self.stride = each(kernel_size if stride is None else stride)
        self.padding = each(padding)

    def forward(self, input: Any, indices: Any, output_size: Sequence[int] | None = None) -> Any:
        """What was pooled, with zeros where the greatest were not; `indices` are those of the pooling."""
        return self._compute(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """The values of MaxPool1d put back to their places."""

    _rank = 1
    _compute: Any = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpoolNd):
    """The values of MaxPool2d put back to their places."""

    _rank = 2
    _compute: Any = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpoolNd):
    """The values of MaxPool3d put back to their places."""

    _rank = 3
    _compute: Any = staticmethod(F.max_unpool3d)


class _FractionalMaxPoolNd(NamedByClass, Module):
    __constants__ = ["kernel_size", "return_indices", "output_size", "output_ratio"]
    _rank: int
    _compute: Any

    def __init__(
        self,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:
        super().__init__()
        each, name = _ntuple(self._rank), type(self).__name__
        self.kernel_size = each(kernel_size)
        self._check_kernel(kernel_size)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else each(output_size)
        self.output_ratio = None if output_ratio is None else each(output_ratio)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and any(not 0 < ratio < 1 for ratio in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def _check_kernel(self, kernel_size: Sizes) -> None:
        pass

    def forward(self, input: Any) -> Any:
        """`[n, channels, size...]`, or without n, to the greatest of windows at random places."""
        return self._compute(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """The greatest of windows that lie at random steps (Graham 2014)."""

    _rank = 2
    _compute: Any = staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """The greatest of windows that lie at random steps (Graham 2014)."""

    _rank = 3
    _compute: Any = staticmethod(F.fractional_max_pool3d)

    def _check_kernel(self, kernel_size: Sizes) -> None:
        if any(size <= 0 for size in self.kernel_size):
            raise ValueError(f"kernel_size must be greater than 0, but got {kernel_size}")


# The mean of each window


class _AvgPoolNd(Module):
    __constants__ = ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"]

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """The mean of each window of `[n, channels, length]`."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = _single(kernel_size if stride is None else stride)
        self.padding = _single(padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Any) -> Any:
        """`[n, channels, length]`, or without n, to the mean of each window."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class _AvgPoolWithDivisor(NamedByClass, _AvgPoolNd):
    """One whose sums may be divided by a number of one's own."""

    __constants__ = [*_AvgPoolNd.__constants__, "divisor_override"]
    _compute: Any

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Any) -> Any:
        """`[n, channels, size...]`, or without n, to the mean of each window."""
        return self._compute(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool2d(_AvgPoolWithDivisor):
    """The mean of each window of `[n, channels, height, width]`."""

    _compute: Any = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPoolWithDivisor):
    """The mean of each window of `[n, channels, depth, height, width]`."""

    _compute: Any = staticmethod(F.avg_pool3d)


# The norm of each window


class _LPPoolNd(NamedByClass, Module):
    _named = ("forward",)
    __constants__ = ["norm_type", "kernel_size", "stride", "ceil_mode"]
    norm_type: float
    ceil_mode: bool
    _compute: Any

    def __init__(
        self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, input: Any) -> Any:
        """`[n, channels, size...]`, or without n, to the norm of each window."""
        return self._compute(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """The p-norm of each window of `[n, channels, length]`."""

    _compute: Any = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPoolNd):
    """The p-norm of each window of `[n, channels, height, width]`."""

    _compute: Any = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPoolNd):
    """The p-norm of each window of `[n, channels, depth, height, width]`."""

    _compute: Any = staticmethod(F.lp_pool3d)


# As many windows as one asks for


class _AdaptiveMaxPoolNd(NamedByClass, Module):
    _named = ("forward",)
    __constants__ = ["output_size", "return_indices"]
    return_indices: bool
    _compute: Any

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Any) -> Any:
        """`[n, channels, size...]`, or without n, to `[n, channels, output_size...]`."""
        return self._compute(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """The greatest of `output_size` windows of `[n, channels, length]`."""

    _compute: Any = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """The greatest of `output_size` windows of `[n, channels, height, width]`."""

    _compute: Any = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """The greatest of `output_size` windows of `[n, channels, depth, height, width]`."""

    _compute: Any = staticmethod(F.adaptive_max_pool3d)


class _AdaptiveAvgPoolNd(NamedByClass, Module):
    _named = ("forward",)
    __constants__ = ["output_size"]
    _compute: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        """`[n, channels, size...]`, or without n, to `[n, channels, output_size...]`."""
        return self._compute(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """The mean of `output_size` windows of `[n, channels, length]`."""

    _compute: Any = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """The mean of `output_size` windows of `[n, channels, height, width]`."""

    _compute: Any = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """The mean of `output_size` windows of `[n, channels, depth, height, width]`."""

    _compute: Any = staticmethod(F.adaptive_avg_pool3d)
