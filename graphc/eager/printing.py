"""How an eager tensor prints: PyTorch's text, character for character.

In: the tensor's values as an array and what else its text tells (dtype, device, gradient). Out: the text of
`repr`. Numbers share one precision and one column width, found from all elements that are shown; tensors of more than
`threshold` elements show the first and last `edgeitems` along each dimension.

>>> import numpy as np
>>> from graphc.ir.dtype import f64
>>> tensor_text(np.array([[1.5, -20.0], [0.25, 3.0]]), f64, requires_grad=True)
'tensor([[  1.5000, -20.0000],\\n        [  0.2500,   3.0000]], dtype=torch.float64, requires_grad=True)'
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from graphc.eager.placement import empty, gpu_of, on
from graphc.ir.dtype import DType, bool_, default_complex, get_default_dtype, i64

Array: TypeAlias = "npt.NDArray[np.generic]"
Floats: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """What `set_printoptions` sets; `sci_mode` None leaves the choice of scientific notation to the values."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


class OptionValues(TypedDict):
    """The options by name, as `get_printoptions` gives them and `set_printoptions` takes them."""

    precision: int
    threshold: float
    edgeitems: int
    linewidth: int
    sci_mode: bool | None


PROFILES: Final = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}

_options = PrintOptions()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print, in the whole process: first all of a profile, then each option given.

    `profile` is "default", "short" or "full" (no summary). `sci_mode` is set by every call: None means
    that the values decide. A name that is no profile changes nothing by itself.
    """
    global _options
    base = PROFILES.get(profile, _options) if profile is not None else _options
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    changes = {name: value for name, value in given.items() if value is not None}
    _options = replace(base, **changes, sci_mode=sci_mode)  # type: ignore[arg-type]  # each has its field's type


def get_printoptions() -> OptionValues:
    """The options in force, by name."""
    now = _options
    return {
        "precision": now.precision,
        "threshold": now.threshold,
        "edgeitems": now.edgeitems,
        "linewidth": now.linewidth,
        "sci_mode": now.sci_mode,
    }


@contextmanager
def printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> Iterator[None]:
    """Other options for the time of a `with` block."""
    global _options
    before = _options
    set_printoptions(precision, threshold, edgeitems, linewidth, profile, sci_mode)
    try:
        yield
    finally:
        _options = before


def tensor_text(
    array: Array,
    dtype: DType,
    *,
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    device: str = "cpu",
    type_name: str = "tensor",
    is_parameter: bool = False,
) -> str:
    """The text of a tensor.

    `grad_fn_name` is the name of the node that made it, such as "AddBackward0"; it hides `requires_grad`. `device` is
    shown where it is not "cpu"; on "meta" there are no values to show. `type_name` is "tensor", or the class of a
    subclass of Tensor.
    """
    opening, size = f"{type_name}(", f"size={tuple(array.shape)}"
    has_values = device != "meta" and array.size > 0
    suffixes = [f"device='{device}'"] if device != "cpu" else []
    if device == "meta" or (array.ndim != 1 if array.size == 0 else _options.edgeitems == 0):
        suffixes.append(size)
    if dtype is not get_default_dtype() and not (has_values and dtype in (i64, bool_, default_complex())):
        suffixes.append(f"dtype=torch.{dtype.name}")
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    body = array_text(array, dtype, len(opening)) if has_values else "..." if device == "meta" else "[]"
    text = _with_suffixes(opening + body, suffixes, len(opening))
    return f"Parameter containing:\n{text}" if is_parameter else text


def _with_suffixes(text: str, suffixes: Sequence[str], indent: int) -> str:
    """The text closed by its suffixes; one that would pass the line's end stands on a line of its own."""
    pieces = [text]
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if column + len(suffix) + 2 > _options.linewidth:
            pieces.append(f",\n{' ' * indent}{suffix}")
            column = indent + len(suffix)
        else:
            pieces.append(f", {suffix}")
            column += len(suffix) + 2
    pieces.append(")")
    return "".join(pieces)


def array_text(array: Array, dtype: DType, indent: int = 0) -> str:
    """The values in brackets (a number alone for no dimensions); later lines begin `indent` columns in."""
    edge = _options.edgeitems
    if array.size > _options.threshold and not edge:
        return "[...]"
    cut = tuple(array.size > _options.threshold and size > 2 * edge for size in array.shape)
    for axis, is_cut in enumerate(cut):
        if is_cut:
            array = _ends(array, edge, axis)
    texts, width = _element_texts(on(array, None).ravel(), dtype)
    if not array.ndim:
        return texts[0]
    return _bracketed(texts, width, array.shape, cut, indent)


def _ends(array: Array, edge: int, axis: int) -> Array:
    """The first and last elements along an axis, where the array is: what is left out of a GPU's stays there."""
    source = np.moveaxis(array, axis, 0)
    kept = empty((2 * edge, *source.shape[1:]), array.dtype, gpu_of(array))
    kept[:edge] = source[:edge]
    kept[edge:] = source[-edge:]
    return np.moveaxis(kept, 0, axis)


def _bracketed(texts: list[str], width: int, shape: tuple[int, ...], cut: tuple[bool, ...], indent: int) -> str:
    """The elements' texts as nested lists, put together from the last dimension outward."""
    rank = len(shape)
    per_line = max(1, (_options.linewidth - indent - rank + 1) // (width + 2))
    for axis in reversed(range(rank)):
        size, margin = shape[axis], " " * (indent + axis + 1)
        is_row = axis == rank - 1
        between = ",\n" + "\n" * (rank - 2 - axis) + margin
        groups = [texts[i : i + size] for i in range(0, len(texts), size)]
        if cut[axis]:
            for group in groups:
                group.insert(_options.edgeitems, " ..." if is_row else "...")
        if is_row:
            between = ",\n" + margin
            groups = [[", ".join(g[i : i + per_line]) for i in range(0, len(g), per_line)] for g in groups]
        texts = [f"[{between.join(group)}]" for group in groups]
    return texts[0]


def _element_texts(values: Array, dtype: DType) -> tuple[list[str], int]:
    """The text of each element, and the width that a column of them takes."""
    if dtype.is_complex:
        real, real_width = _number_texts(values.real.astype(np.float64))
        imaginary, imaginary_width = _number_texts(values.imag.astype(np.float64))
        texts = [_complex_text(a, b.lstrip()) for a, b in zip(real, imaginary, strict=True)]
        return texts, real_width + imaginary_width + 1
    if dtype.is_floating_point:
        return _number_texts(values.astype(np.float64))
    texts = [str(value) for value in values.tolist()]
    width = max(map(len, texts), default=1)
    return [text.rjust(width) for text in texts], width


def _complex_text(real: str, imaginary: str) -> str:
    return f"{real}{imaginary}j" if imaginary[0] in "+-" else f"{real}+{imaginary}j"


def _number_texts(values: Floats) -> tuple[list[str], int]:
    """Real numbers in one notation, aligned on the right; the width counts only finite ones other than zero.

    Scientific where the largest magnitude passes 1e8 or a thousand times the smallest, or the smallest is below 1e-4;
    whole numbers end in a point instead of zeros.
    """
    counted = np.isfinite(values) & (values != 0)
    magnitudes = np.abs(values[counted])
    is_whole, is_scientific = True, False
    if magnitudes.size:
        is_whole = bool((magnitudes == np.floor(magnitudes)).all())
        smallest, largest = float(magnitudes.min()), float(magnitudes.max())
        is_scientific = largest / smallest > 1000 or largest > 1e8 or (not is_whole and smallest < 1e-4)
        if _options.sci_mode is not None:
            is_scientific = _options.sci_mode
    precision = _options.precision
    if is_scientific:
        texts = [f"{value:.{precision}e}" for value in values.tolist()]
    elif is_whole:
        texts = [f"{value:.0f}." if math.isfinite(value) else str(value) for value in values.tolist()]
    else:
        texts = [f"{value:.{precision}f}" for value in values.tolist()]
    width = max((len(text) for text, counts in zip(texts, counted.tolist(), strict=True) if counts), default=1)
    return [text.rjust(width) for text in texts], width
