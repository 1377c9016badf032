"""Constant arrays as text: elements that a person can read where there are few, base64 where there are many.

In: an `Array`. Out: what stands between `dense<` and `>`, for instance `f32[2,2]: 1.0 2.0 3.0 4.0`; and back. Either
form gives the same bits again: elements whose bits no number tells, such as a nan with a payload, go as base64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array
from graphc.ir.dtype import DType, Kind, dtype

READABLE: Final = 16
"""Arrays of more elements than this go as base64."""

Element: TypeAlias = "bool | int | float | complex"


def array_text(array: Array) -> str:
    """The text of an array, without the word `dense` and its brackets."""
    value = array.value
    head = f"{dtype(value.dtype).short}[{','.join(map(str, value.shape))}]:"
    with np.errstate(all="ignore"):  # a conversion of a signalling nan counts as invalid
        elements = _element_texts(value) if value.size <= READABLE else None
    if elements is None:
        import base64  # late: importing graphc must be quick, and most constants are small

        return f'{head} "{base64.b64encode(_little_endian(value)).decode()}"'
    return " ".join([head, *elements])


def from_elements(shape: tuple[int, ...], element_type: DType, elements: Sequence[Element]) -> Array:
    """The array of these elements; ValueError says what is wrong with them."""
    _check_count(shape, len(elements), "elements")
    try:
        # float64 and complex128 hold the elements of every narrower type, bfloat16 included.
        wide = {Kind.FLOAT: np.dtype(np.float64), Kind.COMPLEX: np.dtype(np.complex128)}
        flat = np.array(elements, dtype=wide.get(element_type.kind, element_type.numpy))
    except OverflowError:
        raise ValueError(f"an element is beyond {element_type.name}") from None
    with np.errstate(all="ignore"):
        return Array(flat.astype(element_type.numpy).reshape(shape))


def from_base64(shape: tuple[int, ...], element_type: DType, text: str) -> Array:
    """The array of these bytes; ValueError says what is wrong with them."""
    import base64  # late, as in array_text

    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("the text isn't base64") from None
    if len(data) % element_type.itemsize:
        raise ValueError(f"{len(data)} bytes are no whole number of elements of {element_type.name}")
    if element_type.kind is Kind.BOOL and max(data, default=0) > 1:
        raise ValueError("a bool is a byte of 0 or 1")
    _check_count(shape, len(data) // element_type.itemsize, "elements")
    storage = element_type.numpy
    if element_type.name != "bfloat16":  # ml_dtypes has no type of the other byte order
        return Array(np.frombuffer(data, dtype=storage.newbyteorder("<")).reshape(shape))
    return Array(np.frombuffer(data, dtype="<u2").astype(np.uint16).view(storage).reshape(shape))


def _check_count(shape: tuple[int, ...], count: int, what: str) -> None:
    expected = 1
    for size in shape:
        expected *= size
    if expected != count:
        raise ValueError(f"the shape takes {expected} {what}, there are {count}")
    if len(shape) > 64 or max(shape, default=0) >= 2**31:  # numpy's own limits
        raise ValueError("the array has too many dimensions or too large a size")


def _little_endian(value: npt.NDArray[np.generic]) -> bytes:
    if dtype(value.dtype).name == "bfloat16":
        value = value.view(np.uint16)
    return value.astype(value.dtype.newbyteorder("<")).tobytes()


def _element_texts(value: npt.NDArray[np.generic]) -> list[str] | None:
    """The elements as text, or None where text does not tell their bits."""
    element_type = dtype(value.dtype)
    flat = value.reshape(-1)
    if element_type.kind is Kind.BOOL:
        texts = ["true" if x else "false" for x in flat]
    elif element_type.kind is Kind.INT:
        texts = [str(int(x)) for x in flat]
    elif element_type.kind is Kind.FLOAT:
        texts = [_float_text(x, element_type) for x in flat]
    else:
        part = dtype(np.dtype(flat.real.dtype))
        texts = [f"({_float_text(x.real, part)},{_float_text(x.imag, part)})" for x in flat]
    again = from_elements(value.shape, element_type, [_element(text) for text in texts])
    return texts if again.value.tobytes() == value.tobytes() else None


def _float_text(x: np.generic, element_type: DType) -> str:
    """The shortest text that gives the number again, which is often shorter than that of the float64 it equals."""
    short = repr(float(str(x)))
    again = np.float64(short).astype(element_type.numpy)
    return short if again == x else repr(float(str(x.astype(np.float64))))


def _element(text: str) -> Element:
    if text in ("true", "false"):
        return text == "true"
    if text.startswith("("):
        real, imaginary = text[1:-1].split(",")
        return complex(float(real), float(imaginary))
    return int(text) if text.lstrip("-").isdigit() else float(text)
