"""Values that parameters start with: each function fills a tensor in place, unrecorded, and returns it.

In: a tensor, the distribution's numbers, a generator (else the default one). Out: the same tensor. Fans are counted as
of a weight `[out, in, ...]`: that of the inputs is in * kernel elements, that of the outputs out * kernel elements.

>>> import graphc
>>> constant_(graphc.empty(2), 0.5)
tensor([0.5000, 0.5000])
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, Final

from graphc.eager.methods import of_table
from graphc.eager.mode import no_grad

_FILLING = (
    "uniform_ normal_ trunc_normal_ constant_ ones_ zeros_ eye_ dirac_ xavier_uniform_ xavier_normal_ "
    "kaiming_uniform_ kaiming_normal_ orthogonal_ sparse_"
).split()
_OLD = "uniform normal constant eye dirac xavier_uniform xavier_normal kaiming_uniform kaiming_normal orthogonal sparse"

__all__ = [*_FILLING, *_OLD.split(), "calculate_gain"]  # all defined here, or put here by name

_GAINS: Final = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), 1),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1),
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
}
_EMPTY = "Initializing zero-element tensors is a no-op"
"""The warning for tensors without elements."""


_arange, _diagonal, _empty_like = (of_table(name) for name in ("arange", "diagonal", "empty_like"))
_eye, _qr, _randperm, _where = (of_table(name) for name in ("eye", "linalg.qr", "randperm", "where"))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """What a layer's standard deviation is multiplied by to make good for the nonlinearity after it.

    `param` is the slope of "leaky_relu", 0.01 unless given. Raises ValueError for a name that it doesn't know.
    """
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, int | float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


# Distributions with numbers of one's own


@no_grad()
def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Uniform from a to b."""
    return tensor.uniform_(a, b, generator=generator)


@no_grad()
def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Normal."""
    return tensor.normal_(mean, std, generator=generator)


@no_grad()
def trunc_normal_(
    tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Any:
    """Normal, given that the value is from a to b.

    Values outside are drawn again; where most would be, uniform ones are kept by chance, as far as the density there is
    below its greatest.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be "
            "incorrect.",
            stacklevel=2,
        )
    if _share_below((b - mean) / std) - _share_below((a - mean) / std) > 0.3:
        tensor.normal_(mean, std, generator=generator)
        again = _empty_like(tensor)
        while (outside := (tensor < a) | (tensor > b)).any():
            tensor.copy_(_where(outside, again.normal_(mean, std, generator=generator), tensor))
        return tensor
    peak = ((max(a, min(mean, b)) - mean) / std) ** 2
    tensor.uniform_(a, b, generator=generator)
    proposed, pending = tensor.clone(), None
    while True:
        chance = (peak - ((proposed - mean) / std) ** 2) / 2
        refused = _empty_like(tensor).uniform_(generator=generator).log() > chance
        pending = refused if pending is None else pending & refused
        if not pending.any():
            return tensor
        proposed.uniform_(a, b, generator=generator)
        tensor.copy_(_where(pending, proposed, tensor))


def _share_below(x: float) -> float:
    """The distribution function of the normal distribution."""
    return math.erfc(-x / math.sqrt(2.0)) / 2


@no_grad()
def constant_(tensor: Any, val: float) -> Any:
    """One number everywhere."""
    return tensor.fill_(val)


@no_grad()
def ones_(tensor: Any) -> Any:
    """1 everywhere."""
    return tensor.fill_(1.0)


@no_grad()
def zeros_(tensor: Any) -> Any:
    """0 everywhere."""
    return tensor.zero_()


# Matrices and kernels that pass on what comes in


@no_grad()
def eye_(tensor: Any) -> Any:
    """1 on the diagonal of a matrix, else 0."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return tensor.copy_(_eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


@no_grad()
def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Kernels of a convolution that passes on as many channels, per group, as it has."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    outputs, inputs, *kernel = tensor.shape
    if outputs % groups:
        raise ValueError("dim 0 must be divisible by groups")
    per_group = outputs // groups
    channels = _arange(min(per_group, inputs), device=tensor.device)
    tensor.zero_()
    center = tuple(size // 2 for size in kernel)
    for first in range(0, outputs, per_group):
        place = (channels + first, channels) + center
        tensor[place] = 1
    return tensor


# Distributions that fit the sizes of a layer


def _calculate_fan_in_and_fan_out(tensor: Any) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    outputs, inputs, *kernel = tensor.shape
    return inputs * math.prod(kernel), outputs * math.prod(kernel)


def _calculate_correct_fan(tensor: Any, mode: str) -> int:
    modes = ["fan_in", "fan_out"]
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode.lower()} not supported, please use one of {modes}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


def uniform_within_fan(bias: Any, weight: Any) -> None:
    """Fill a layer's bias, if it has one, uniformly within 1 / sqrt(fan in) of its weight."""
    if bias is not None:
        fan = _calculate_fan_in_and_fan_out(weight)[0]
        bound = 1 / math.sqrt(fan) if fan > 0 else 0
        uniform_(bias, -bound, bound)


def _xavier_deviation(tensor: Any, gain: float) -> float:
    return gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Uniform within gain * sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010)."""
    bound = math.sqrt(3.0) * _xavier_deviation(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal with standard deviation gain * sqrt(2 / (fan in + fan out)) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, _xavier_deviation(tensor, gain), generator)


def _kaiming_deviation(tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    fan = _calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Uniform within gain * sqrt(3 / fan) (He et al. 2015); `a` is the slope of a leaky ReLU below 0."""
    if 0 in tensor.shape:
        warnings.warn(_EMPTY, stacklevel=2)
        return tensor
    bound = math.sqrt(3.0) * _kaiming_deviation(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Normal with standard deviation gain / sqrt(fan) (He et al. 2015); `a` is the slope of a leaky ReLU below 0."""
    if 0 in tensor.shape:
        warnings.warn(_EMPTY, stacklevel=2)
        return tensor
    return normal_(tensor, 0, _kaiming_deviation(tensor, a, mode, nonlinearity), generator)


@no_grad()
def orthogonal_(tensor: Any, gain: float = 1, generator: Any = None) -> Any:
    """A random matrix `[first size, the others]` with orthonormal rows or columns, times gain (Saxe et al. 2013).

    It is the Q of a normal matrix; signs that make R's diagonal positive let it be uniform (Mezzadri 2007).
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    drawn = tensor.new_empty((rows, columns)).normal_(0, 1, generator=generator)
    q, r = _qr(drawn.t() if rows < columns else drawn)
    q = q * _diagonal(r).sign()
    return tensor.copy_((q.t() if rows < columns else q).reshape(tensor.shape)).mul_(gain)


@no_grad()
def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """Normal, but for a share of each column that is 0 (Martens 2010)."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    tensor.normal_(0, std, generator=generator)
    for column in range(columns):
        tensor[_randperm(rows)[:zeros], column] = 0
    return tensor


def _under_old_name(name: str) -> Callable[..., Any]:
    function = globals()[f"{name}_"]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`{name}_` under an old name."
    return call


globals().update({name: _under_old_name(name) for name in _OLD.split()})
