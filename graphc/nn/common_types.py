"""Names for the kinds of sizes that layers take, for annotations in users' own modules.

>>> from graphc.nn.common_types import _size_2_t
>>> def area(kernel_size: _size_2_t) -> int:
...     height, width = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
...     return height * width
>>> area(3)
9
"""

from typing import TypeAlias, TypeVar, Union

from graphc.eager.tensor import Tensor

_T = TypeVar("_T")
# One value for all dimensions, or one for each. Union, since users' files may evaluate the names with `Optional`.
_scalar_or_tuple_any_t: TypeAlias = Union[_T, tuple[_T, ...]]  # noqa: UP007
_scalar_or_tuple_1_t: TypeAlias = Union[_T, tuple[_T]]  # noqa: UP007
_scalar_or_tuple_2_t: TypeAlias = Union[_T, tuple[_T, _T]]  # noqa: UP007
_scalar_or_tuple_3_t: TypeAlias = Union[_T, tuple[_T, _T, _T]]  # noqa: UP007
_scalar_or_tuple_4_t: TypeAlias = Union[_T, tuple[_T, _T, _T, _T]]  # noqa: UP007
_scalar_or_tuple_6_t: TypeAlias = Union[_T, tuple[_T, _T, _T, _T, _T, _T]]  # noqa: UP007

_size_any_t: TypeAlias = _scalar_or_tuple_any_t[int]
_size_1_t: TypeAlias = _scalar_or_tuple_1_t[int]
_size_2_t: TypeAlias = _scalar_or_tuple_2_t[int]
_size_3_t: TypeAlias = _scalar_or_tuple_3_t[int]
_size_4_t: TypeAlias = _scalar_or_tuple_4_t[int]
_size_6_t: TypeAlias = _scalar_or_tuple_6_t[int]

_size_any_opt_t: TypeAlias = _scalar_or_tuple_any_t[int | None]
_size_2_opt_t: TypeAlias = _scalar_or_tuple_2_t[int | None]
_size_3_opt_t: TypeAlias = _scalar_or_tuple_3_t[int | None]

_ratio_any_t: TypeAlias = _scalar_or_tuple_any_t[float]
_ratio_2_t: TypeAlias = _scalar_or_tuple_2_t[float]
_ratio_3_t: TypeAlias = _scalar_or_tuple_3_t[float]

_tensor_list_t: TypeAlias = _scalar_or_tuple_any_t[Tensor]
_maybe_indices_t: TypeAlias = _scalar_or_tuple_2_t[Tensor]
