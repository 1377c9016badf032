"""Spectra of short pieces of a signal, one after another: stft, and istft that makes the signal of them.

spectrum = graphc.stft(x, n_fft=400, hop_length=160, window=graphc.hann_window(400), return_complex=True)
"""

from __future__ import annotations

import warnings

from graphc.ir.dim import Size
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, movement, requirement
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import div, mul
from graphc.ops.composite.complex_functions import view_as_real
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.convolution import padded
from graphc.ops.composite.fft import fft, ifft, irfft, rfft
from graphc.ops.composite.padding import pad
from graphc.ops.composite.shapes import cut
from graphc.ops.function import function


def _call_text(name: str, shown: str, **options: object) -> str:
    """The call as PyTorch's errors print it."""

    def text(value: object) -> str:
        if isinstance(value, Node):
            return f"torch.{value.tensor.dtype.scalar}Tensor{{{sizes_text(value.shape)}}}"
        return str(int(value)) if isinstance(value, bool) else str(value)

    return f"{name}({shown}, {', '.join(f'{each}={text(value)}' for each, value in options.items())})"


def _window(window: Node | None, like: Node, length: int, n_fft: int) -> Node | None:
    """The window in the middle of n_fft elements; None for one of ones."""
    if window is None:
        if length == n_fft:
            return None
        window = build.constant(1, like.tensor.dtype, (length,))
    left = (n_fft - length) // 2
    return padded(window, (left,), (n_fft - length - left,))


@function(method=True)
def stft(
    input: Node,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Node | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Node:
    """Fourier transforms of pieces of n_fft elements, `hop_length` apart: `[n, frequencies, pieces]` of `[n, length]`.

    Pieces are multiplied by the window first. With `center` the signal is padded, so that piece k lies around element
    k * hop_length. Of real signals half of the frequencies are kept, unless `onesided` is False.
    """
    if center and align_to_window is not None:
        raise ArgumentError("stft align_to_window should only be set when center = false", hint="leave it out")
    x = input
    if center:
        rank = len(x.shape)
        wide = build.insert_axes(x, tuple(range(3 - rank))) if rank < 3 else x
        x = pad(wide, (n_fft // 2, n_fft // 2), pad_mode)
        x = build.reshape_to(x, x.shape[len(x.shape) - rank :])
    hop, length = n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length
    is_complex = input.tensor.dtype.is_complex or (window is not None and window.tensor.dtype.is_complex)
    if return_complex is None:
        if not is_complex:
            raise ArgumentError(
                "stft requires the return_complex parameter be given for real inputs, and will further require that "
                "return_complex=True in a future PyTorch release.",
                hint="pass return_complex=True",
            )
        return_complex = True
    elif not return_complex:
        warnings.warn(
            "stft with return_complex=False is deprecated. In a future pytorch release, stft will return complex "
            "tensors for all inputs, and return_complex=False will raise an error.\nNote: you can still call "
            "torch.view_as_real on the complex output to recover the old return format.",
            UserWarning,
            stacklevel=2,
        )
    called = _call_text(
        "stft",
        f"torch.{x.tensor.dtype.scalar}Tensor{sizes_text(x.shape)}",
        n_fft=n_fft,
        hop_length=hop,
        win_length=length,
        window=window,
        normalized=normalized,
        onesided=onesided,
        return_complex=return_complex,
        align_to_window=align_to_window,
    )
    _check_signal(called, x, n_fft, hop, length, window)
    if onesided and is_complex:
        raise ArgumentError("Cannot have onesided output if window or input is complex", hint="stft: leave it out")
    signal = x if len(x.shape) == 2 else build.insert_axes(x, (0,))
    if align_to_window and length < n_fft:
        left = (n_fft - length) // 2
        signal = padded(signal, (left,), (n_fft - length - left,))
    pieces = movement.window(signal, axes=(1,), size=(n_fft,), stride=(hop,), dilation=(1,))
    weights = _window(window, input, length, n_fft)
    pieces = pieces if weights is None else mul(pieces, weights)
    transform = fft if is_complex or onesided is False else rfft
    found = transform(pieces, norm="ortho" if normalized else None)
    result = build.permute_to(found, (0, 2, 1))
    result = result if len(x.shape) == 2 else build.reshape_to(result, result.shape[1:])
    return result if return_complex else view_as_real(result)


def _check_signal(called: str, x: Node, n_fft: int, hop: int, length: int, window: Node | None) -> None:
    dtype = x.tensor.dtype
    if not dtype.is_floating_point and not dtype.is_complex:
        raise DTypeError(f"{called} : expected a tensor of floating point or complex values", hint="convert the signal")
    if len(x.shape) not in (1, 2):
        raise ShapeError(f"{called} : expected a 1D or 2D tensor", hint="the signal is [length] or [n, length]")
    total = x.shape[-1]
    if n_fft <= 0 or (isinstance(total, int) and n_fft > total):
        raise ArgumentError(f"{called} : expected 0 < n_fft < {total}, but got n_fft={n_fft}", hint="use a smaller one")
    if hop <= 0:
        raise ArgumentError(f"{called} : expected hop_length > 0, but got hop_length={hop}", hint="use 1 or more")
    if not 0 < length <= n_fft:
        raise ArgumentError(
            f"{called} : expected 0 < win_length <= n_fft, but got win_length={length}", hint=f"up to {n_fft}"
        )
    if window is not None and window.shape != (length,):
        raise ShapeError(
            f"{called} : expected a 1D window tensor of size equal to win_length={length}, but got window with size "
            f"{sizes_text(window.shape)}",
            hint="give win_length too",
        )


@function(method=True)
def istft(
    input: Node,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Node | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Node:
    """The signal whose `stft` with the same options comes nearest to the input (Griffin and Lim 1984)."""
    hop, width = n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length
    called = _call_text(
        "istft",
        f"CPU{input.tensor.dtype.scalar}Type{sizes_text(input.shape)}",
        n_fft=n_fft,
        hop_length=hop,
        win_length=width,
        window=window,
        center=center,
        normalized=normalized,
        onesided=onesided,
        length=length,
        return_complex=return_complex,
    )
    is_half = _check_spectrum(called, input, n_fft, hop, width, window, onesided, return_complex)
    x = input if len(input.shape) == 3 else build.insert_axes(input, (0,))
    transform = ifft if return_complex else irfft
    spectrum = build.permute_to(x, (0, 2, 1))
    if not return_complex and not is_half:
        spectrum = cut(spectrum, 2, 0, n_fft // 2 + 1)
    pieces = transform(spectrum, n_fft, -1, "ortho" if normalized else None)  # [n, pieces, n_fft]
    weights = _window(window, pieces, width, n_fft)
    ones = build.constant(1, pieces.tensor.dtype, (n_fft,))
    weights = ones if weights is None else build.cast_to(weights, pieces.tensor.dtype)
    weighted = mul(pieces, weights)
    squares = build.broadcast_to(ew.mul(weights, weights), pieces.shape[1:])
    count = x.shape[2]
    total = n_fft + hop * (count - 1)

    def added(each: Node, axis: int) -> Node:
        return movement.fold(each, axes=(axis,), size=(n_fft,), stride=(hop,), dilation=(1,), extent=(total,))

    first = n_fft // 2 if center else 0
    last: Size = first + length if length is not None else total - n_fft // 2 if center else total
    missing = 0
    if isinstance(last, int) and isinstance(total, int) and last > total:
        missing, last = last - total, total
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded with zeros in the tail. "
            "Please check your center and hop_length settings.",
            UserWarning,
            stacklevel=2,
        )
    envelope = cut(added(squares, 0), 0, first, last)
    least = ew.gt(ew.abs_(envelope), build.full_like(ew.abs_(envelope), 1e-11))
    envelope = requirement.require(envelope, least, message=f"{called} window overlap add min: 1")
    result = div(cut(added(weighted, 1), 1, first, last), envelope)
    result = padded(result, (0,), (missing,))
    return result if len(input.shape) == 3 else build.reshape_to(result, result.shape[1:])


def _check_spectrum(
    called: str,
    x: Node,
    n_fft: int,
    hop: int,
    width: int,
    window: Node | None,
    onesided: bool | None,
    return_complex: bool,
) -> bool:
    """Whether half of the frequencies are there."""
    if not x.tensor.dtype.is_complex:
        raise DTypeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True.",
            hint="graphc.view_as_complex makes one of pairs",
        )
    if x.tensor.size == 0:
        raise ShapeError(f"{called} : input tensor cannot be empty.", hint="give at least one piece")
    if len(x.shape) not in (2, 3):
        raise ShapeError(
            f"{called} : expected a tensor with 3 or 4 dimensions, but got {len(x.shape) + 1}",
            hint="the spectrum is [n, frequencies, pieces], or that without n",
        )
    frequencies = x.shape[-2]
    is_half = frequencies != n_fft if onesided is None else onesided
    wanted, text = (
        (n_fft // 2 + 1, "n_fft / 2 + 1 when onesided=True") if is_half else (n_fft, "n_fft when onesided=False")
    )
    if isinstance(frequencies, int) and frequencies != wanted:
        raise ShapeError(
            f"{called} : expected the frequency dimension (3rd to the last) of the input tensor to match {text}, but "
            f"got {frequencies}",
            hint="give the options of stft",
        )
    if not 0 < hop <= width:
        raise ArgumentError(f"{called} : expected 0 < hop_length <= win_length", hint=f"up to {width}")
    if not 0 < width <= n_fft:
        raise ArgumentError(f"{called} : expected 0 < win_length <= n_fft", hint=f"up to {n_fft}")
    if window is not None and window.shape != (width,):
        raise ShapeError(
            f"{called} : Invalid window shape. window has to be 1D and length of `win_length`",
            hint=f"give one of {width} elements",
        )
    if is_half and return_complex:
        raise ArgumentError(
            "Cannot have onesided output if window or input is complex", hint="half of a spectrum is of a real signal"
        )
    if window is not None and window.tensor.dtype.is_complex and not return_complex:
        raise ArgumentError(
            "Complex windows are incompatible with return_complex=False", hint="pass return_complex=True"
        )
    return is_half
