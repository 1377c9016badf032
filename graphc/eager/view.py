"""Views: tensors that share another one's memory, and what happens to their history when it is written to.

Level: between a plan's graph and numpy's strides. A function of the table gives a view where its graph only renames
elements (reshape, permute, broadcast, slice, window); such a graph is followed on strides, and nothing is computed. In
place of a view that was recorded, `refresh` makes its history again after a write to its base; `rebase` enters such a
write into the history of the base. Both know a view by which elements of the base it holds.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from graphc.eager.dispatch import PLAIN_TYPES, _filled, function_of
from graphc.eager.geometry import Unviewable, address_of, as_strided, diagonal_of, follow, positions, strided
from graphc.eager.mode import MODE, SPECIAL, enable_grad
from graphc.eager.node import AutogradError, GradNode, PlanNode, node_type, operation_name
from graphc.eager.plan import Plan
from graphc.eager.program import Recipe
from graphc.eager.record import record, see
from graphc.eager.slicing import record_slice
from graphc.eager.tensor import AnyArray, AutogradMeta, Tensor, ViewInfo, meta_of, wrap_shared
from graphc.eager.watch import WATCHING
from graphc.ir.dtype import complex_of, i64
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.type import Shape, TensorType
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops import indexing as index_ops
from graphc.ops.function import functions

VIEWS = frozenset(
    "view transpose t permute expand expand_as squeeze unsqueeze split chunk unbind split_with_sizes movedim moveaxis "
    "swapaxes swapdims unflatten T mT view_as broadcast_to atleast_1d atleast_2d atleast_3d diagonal "
    "linalg.diagonal tensor_split hsplit vsplit dsplit unsafe_split unsafe_chunk unsafe_split_with_sizes".split()
)
"""Functions whose result always shares memory with the tensor."""
MAYBE_VIEWS = frozenset("reshape flatten reshape_as H mH adjoint".split())
"""Functions whose result shares memory where strides and values allow it."""
_KEEP_AXES = frozenset(
    "expand expand_as squeeze unsqueeze unbind broadcast_to atleast_1d atleast_2d atleast_3d".split()
)
"""Functions that only insert or drop dimensions of size 1."""
_GIVE_ITSELF = frozenset(
    "flatten atleast_1d atleast_2d atleast_3d conj resolve_conj resolve_neg positive __pos__ sum_to_size".split()
)
"""Functions that return the tensor itself where there is nothing to change."""
_MULTIPLE = frozenset("split chunk unbind split_with_sizes".split())
"""Functions of several views, which may not be written to while gradients are recorded."""
_UNSAFE = frozenset("unsafe_split unsafe_chunk unsafe_split_with_sizes".split())
"""Functions whose results share memory, and count as tensors of their own."""
_MOST_IN_ONE = 4
"""Views of one call that have a node together; each of more has its own, so that few programs serve any of them."""
_NODES = {
    "reshape": "View", "view_as": "View", "reshape_as": "View", "flatten": "View",
    "unflatten": "View", "atleast_1d": "View", "expand_as": "Expand", "broadcast_to": "Expand", "T": "Permute",
    "movedim": "Permute", "moveaxis": "Permute", "swapaxes": "Transpose", "swapdims": "Transpose", "mT": "Transpose",
    "H": "Transpose", "mH": "Transpose", "adjoint": "Transpose", "atleast_2d": "Unsqueeze", "atleast_3d": "Unsqueeze",
    "chunk": "Split", "split_with_sizes": "SplitWithSizes", "tensor_split": "Slice", "hsplit": "Slice",
    "vsplit": "Slice", "dsplit": "Slice", "linalg.diagonal": "Diagonal", "unsafe_chunk": "UnsafeSplit",
    "unsafe_split": "UnsafeSplit", "unsafe_split_with_sizes": "UnsafeSplitWithSizes",
}  # fmt: skip
"""What made a view, where that isn't the function's own name."""


@functools.cache
def view_function(name: str) -> Callable[..., object]:
    """The eager form of a table entry that gives views."""
    function = function_of(name)
    may_copy, is_multiple, keeps_axes = name in MAYBE_VIEWS, name in _MULTIPLE, name in _KEEP_AXES
    is_diagonal = name in ("diagonal", "linalg.diagonal")

    known: dict[tuple[object, ...], _Known] = {}
    """Calls with plain sizes and dimensions on tensors of the same kind give the same strides again."""

    def view(*args: Any, **kwargs: object) -> object:
        key: tuple[object, ...] | None = None
        if args and not kwargs and type(args[0]) in PLAIN_TYPES and _are_plain(args[1:]):
            base = args[0]
            array = base._array
            key = (array.shape, array.strides, array.dtype, args[1:])
            found = known.get(key)
            if found is not None:
                result = share(base, strided(array, found.shape, found.strides))
                if base._meta is not None and base.requires_grad:
                    record(found.plan, (base,), (result,), name=found.name)
                return result
        call, sources = function.plan_for(args, kwargs)
        base = sources[0]
        assert isinstance(base, Tensor)
        graph = call.plan.graph
        if name in _GIVE_ITSELF and graph.outputs[0] is graph.inputs[0]:
            return base
        try:
            if name == "unbind":
                arrays = _unbound(base._array, *args[1:], **kwargs)
            elif is_diagonal:
                arrays = [_diagonal(name, base._array, args[1:], kwargs)]
            else:
                arrays = follow(graph, base._array, keeps_axes)
        except Unviewable:
            if may_copy:
                return _copied(name, call.plan, args, kwargs)
            raise ArgumentError(
                "view size is not compatible with input tensor's size and stride (at least one dimension spans across "
                "two contiguous subspaces). Use .reshape(...) instead."
            ) from None
        label = _reshaped_name(name, base._array, _label(name, args, kwargs))
        results = [
            share(base, array, label if is_multiple else "", index) if name not in _UNSAFE else _separate(base, array)
            for index, array in enumerate(arrays)
        ]
        if base.requires_grad:
            if len(results) > _MOST_IN_ONE:
                _record_parts(base, results, name, args, kwargs, label)
            else:
                # The others only say what shape is wanted.
                others = [each._array if isinstance(each, Tensor) else each for each in sources[1:]]
                record(call.plan, [base, *others], results, name=f"{label}Backward{_number(name, args, kwargs)}")
        if key is not None and call.fill is None and len(sources) == 1 and name not in _UNSAFE:
            part, whole = arrays[0], base._array
            if part.size and address_of(part) == address_of(whole):
                if len(known) >= _MOST_KNOWN:
                    known.clear()
                known[key] = _Known(
                    call.plan, part.shape, part.strides, f"{label}Backward{_number(name, args, kwargs)}"
                )
        return _filled(call, results)

    return view


class _Known(NamedTuple):
    """What a call that gave one view, from the tensor's first element on, has found."""

    plan: Plan
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    name: str


_MOST_KNOWN = 256
"""Of each function; then all are forgotten."""


def _are_plain(args: tuple[object, ...]) -> bool:
    """Whether these are integers and tuples of integers, which are equal to nothing of another kind but bools."""
    for each in args:
        kind = type(each)
        if kind is not int and not (kind is tuple and {int}.issuperset(map(type, each))):  # type: ignore[call-overload]
            return False
    return True


def _label(name: str, args: Sequence[object], kwargs: dict[str, object]) -> str:
    if name == "split" and not isinstance(args[1] if len(args) > 1 else next(iter(kwargs.values()), 0), int):
        return "SplitWithSizes"
    return _NODES.get(name) or "".join(part.capitalize() for part in name.split("_"))


def _number(name: str, args: Sequence[object], kwargs: dict[str, object]) -> int:
    """PyTorch counts the forms of squeeze: without dimensions, with one, with several."""
    if name != "squeeze":
        return 0
    given = args[1] if len(args) > 1 else kwargs.get("dim")
    return 0 if given is None else 1 if isinstance(given, int) else 2


def _unbound(array: AnyArray, dim: Any = 0, **named: object) -> list[AnyArray]:
    """The parts along a dimension; numpy makes many views faster than a graph is followed."""
    moved = np.moveaxis(array, dim, 0)
    return [moved[i, ...] for i in range(len(moved))]


def _diagonal(name: str, array: AnyArray, args: Sequence[object], kwargs: dict[str, object]) -> AnyArray:
    """The diagonal that a call asks for; that the call is right, its plan knows."""
    given = dict(zip(("offset", "dim1", "dim2"), args)) | kwargs
    defaults = {"offset": 0, "dim1": 0, "dim2": 1} if name == "diagonal" else {"offset": 0, "dim1": -2, "dim2": -1}
    offset, first, second = (given.get(key, value) for key, value in defaults.items())
    assert isinstance(offset, int)
    assert isinstance(first, int)
    assert isinstance(second, int)
    return diagonal_of(array, offset, first % array.ndim, second % array.ndim)


def _reshaped_name(name: str, array: AnyArray, label: str) -> str:
    """PyTorch's reshape of other memory than row-major is an operation of its own."""
    is_alias = name in ("reshape", "flatten", "reshape_as") and not array.flags.c_contiguous
    return "ReshapeAlias" if is_alias else label


def _copied(name: str, plan: Plan, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    """What has no strides: the elements in new memory."""
    result, tensors = function_of(name).run(args, kwargs)
    node = None if tensors[0]._meta is None else tensors[0]._meta.node
    if node is not None and name not in ("H", "mH", "adjoint"):
        rename(node, "UnsafeViewBackward0")
    return result


def rename(node: GradNode, name: str) -> None:
    """Let a plan's node have another name."""
    node.__class__ = node_type(name)


def _separate(base: Tensor, array: AnyArray) -> Tensor:
    if base._storage.owner is None:
        base._storage.owner = base._array
    return wrap_shared(array, base._storage)


def _record_parts(
    base: Tensor, results: Sequence[Tensor], name: str, args: Sequence[object], kwargs: dict[str, object], label: str
) -> None:
    """Give each of many parts along a dimension a node."""
    array = base._array
    drops = name == "unbind"
    given = kwargs.get("dim", args[-1] if len(args) > (1 if drops else 2) else 0)
    axis = {"hsplit": 1 if array.ndim > 1 else 0, "vsplit": 0, "dsplit": 2}.get(name, given)
    assert isinstance(axis, int)
    axis %= array.ndim
    start = 0
    for result in results:
        size = 1 if drops else result._array.shape[axis]
        starts = [start if a == axis else 0 for a in range(array.ndim)]
        spans = [size if a == axis else n for a, n in enumerate(array.shape)]
        record_slice(base, result, starts, spans, (1,) * array.ndim, f"{label}Backward0")
        start += size


def share(base: Tensor, array: AnyArray, multiple: str = "", index: int = 0) -> Tensor:
    """A view of a tensor with this array, not recorded yet. `multiple` names a call that gave several at once."""
    if WATCHING:
        see((base,))
    storage = base._storage
    if storage.owner is None:
        storage.owner = base._array
    result = wrap_shared(array, storage)
    meta = result._meta = AutogradMeta()
    below = None if base._meta is None else base._meta.view
    if SPECIAL and MODE.inference:
        origin = "inference"
    else:
        origin = "no_grad" if not MODE.grad else "multiple" if multiple else ""
    if below is None:
        root = base
    else:
        root = below.base
        origin = origin or below.origin
    meta.view = ViewInfo(root, storage.version, origin, (multiple, index))
    return result


def refresh(tensor: Tensor) -> None:
    """Bring the history of a view up to date with that of its base."""
    meta = tensor._meta
    if meta is None or meta.view is None:
        return
    view, version = meta.view, tensor._storage.version
    if view.version == version:
        return
    base = view.base
    if meta.node is None and not base.requires_grad:
        return
    if view.origin:
        refuse_view(tensor, "and its base or another view of its base has been")
    current = wrap_shared(tensor._array, tensor._storage)
    if base.requires_grad:
        places = positions(base._array, tensor._array)
        plan = gather_plan(_type(base._array), places.shape, tensor._array.dtype.kind == "c")
        with enable_grad():
            record(plan, [base, places], [current], shown=1)
    fresh = meta_of(current)
    meta.requires_grad, meta.node, meta.index = fresh.requires_grad, fresh.node, fresh.index
    view.version = version


def refuse_view(tensor: Tensor, how: str) -> None:
    """Raise for a write that reaches a view whose history can't be made again."""
    assert tensor._meta is not None
    view = tensor._meta.view
    assert view is not None
    if view.origin == "multiple":
        name, index = view.source
        node = tensor._meta.node
        if node is not None:
            name, index = operation_name(node.name()), index if name else tensor._meta.index
        which = f"Output {index} of {name}"
        raise AutogradError(
            f"{which} is a view {how} modified inplace. This view is the output of a function that returns multiple "
            "views. Such functions do not allow the output views to be modified inplace. You should replace the "
            "inplace operation by an out-of-place one."
        )
    if view.origin == "custom":
        raise AutogradError(
            f"Output {tensor._meta.index} of {view.source[0]} is a view {how} modified inplace. This view was created "
            "inside a custom Function (or because an input was returned as-is) and the autograd logic to handle "
            "view+inplace would override the custom backward associated with the custom Function, leading to incorrect "
            "gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function."
        )
    where, block = ("inference mode", "inference_mode") if view.origin == "inference" else ("no_grad mode", "no_grad")
    # The two texts differ in nothing but the mode.
    other = "grad mode enabled" if view.origin == "no_grad" else "normal mode"
    raise AutogradError(
        f"A view was created in {where} {how} modified inplace {'with' if view.origin == 'no_grad' else 'in'} {other}. "
        "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving "
        f"both the view and the inplace either both inside the {block} block (if you don't want the inplace to be "
        "tracked) or both outside (if you want the inplace to be tracked)."
    )


def rebase(tensor: Tensor, written: Tensor, is_kept: bool = True) -> None:
    """Enter into the tape that `tensor` holds the values of `written` from now on.

    `written` was computed and its values have been copied; `is_kept`: what its node has saved of it is the tensor's
    memory from now on. If the tensor is a view, its base has a new history too.
    """
    meta, source = meta_of(tensor), written._meta
    if meta.view is None:
        if source is not None and source.requires_grad:
            meta.requires_grad, meta.node, meta.index = True, source.node, source.index
            assert source.node is not None
            tensor._storage.writer = type(source.node)
            _adopt(source.node, source.index, tensor)
        elif MODE.grad:
            meta.requires_grad, meta.node, meta.index = False, None, 0
        return
    view = meta.view
    base = view.base
    if (source is not None and source.requires_grad) or base.requires_grad:
        places = positions(base._array, tensor._array)
        is_complex = tensor._array.dtype.kind == "c"
        plan = scatter_plan(_type(base._array), places.shape, is_complex, _type(written._array))
        fresh = wrap_shared(base._array, base._storage)
        node = record(plan, [base, written, places], [fresh], shown=2)
        base_meta = meta_of(base)
        if node is not None:
            base_meta.requires_grad, base_meta.node, base_meta.index = True, node, 0
            base._storage.writer = type(node)
            view.version = -1  # the next look at it makes its history from that of the base
            if source is not None and is_kept:
                _adopt(source.node, source.index, tensor)


def _adopt(node: GradNode | None, index: int, tensor: Tensor) -> None:
    """Let what the node has saved of its result be the memory that the values were copied to."""
    if isinstance(node, PlanNode):
        for each in node.saved:
            if each.owner is not None and each.owner[1] == index:
                each.array, each.storage, each.version = tensor._array, tensor._storage, tensor._storage.version


def _type(array: AnyArray) -> TensorType:
    return TensorType(array.shape, to_dtype(array.dtype))


@functools.lru_cache(maxsize=512)
def gather_plan(whole: TensorType, places: Shape, is_complex: bool) -> Plan:
    """The elements of a base at numbered places, as a view has them."""

    def build_graph(types: Sequence[TensorType]) -> Graph:
        base, index = make_input("base", whole), make_input("places", types[0])
        part = index_ops.gather(_flat(base, is_complex), index, axis=0)
        if is_complex and not whole.dtype.is_complex:
            part = _joined(part)
        return Graph("as_strided", (base, index), (part,))

    types = (TensorType(places, i64),)
    # Views of one base may have any size: one program serves them.
    return Plan(build_graph(types), "AsStridedBackward0", Recipe(("as_strided", whole, is_complex), types, build_graph))


@functools.lru_cache(maxsize=512)
def scatter_plan(whole: TensorType, places: Shape, is_complex: bool, written: TensorType) -> Plan:
    """A base with the elements at numbered places replaced: what a write to a view, complex or not, makes of it."""

    def build_graph(types: Sequence[TensorType]) -> Graph:
        base, index, value = make_input("base", whole), make_input("places", types[0]), make_input("value", types[1])
        flat, shape = _flat(base, is_complex), types[0].shape
        if is_complex and not whole.dtype.is_complex:
            part = _split(build.cast_to(value, complex_of(whole.dtype)))
        else:
            part = build.cast_to(value, flat.tensor.dtype)
        lead = len(part.shape) - len(shape)
        part = build.broadcast_to(build.reshape_to(part, part.shape[lead:]) if lead > 0 else part, shape)
        # No place is written twice, so this sum is a replacement, whose gradient needn't look for the last write.
        cleared = index_ops.scatter(flat, index, build.zeros_like(part), axis=0, mode="set")
        result = ew.add(cleared, index_ops.scatter(build.zeros_like(flat), index, part, axis=0, mode="add"))
        if flat.tensor.dtype is not whole.dtype:
            result = _joined(build.reshape_to(result, (math.prod(whole.shape), 2)))
        return Graph("copy_slices", (base, value, index), (build.reshape_to(result, whole.shape),))

    types = (TensorType(places, i64), written)
    return Plan(build_graph(types), "CopySlices", Recipe(("copy_slices", whole, is_complex), types, build_graph))


def _flat(base: Node, is_complex: bool) -> Node:
    """All elements in a row, as real numbers where a complex base has a real view."""
    if base.tensor.dtype.is_complex and not is_complex:
        base = _split(base)
    return build.reshape_to(base, (math.prod(base.shape),))


def _split(x: Node) -> Node:
    found = functions()["view_as_real"].build(x)
    assert isinstance(found, Node)
    return found


def _joined(x: Node) -> Node:
    found = functions()["view_as_complex"].build(x)
    assert isinstance(found, Node)
    return found


# Views of several tensors


def broadcast_tensors(*tensors: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The tensors, each repeated to their common shape; those that have it are given back as they are."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], list | tuple) else tensors
    shapes = [each._array.shape for each in given]  # type: ignore[union-attr]  # they are tensors
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        _refuse_shapes(shapes)
    expand = view_function("expand")
    return tuple(each if each._array.shape == shape else expand(each, shape) for each in given)  # type: ignore[union-attr, misc]


def _refuse_shapes(shapes: Sequence[tuple[int, ...]]) -> None:
    rank = max(map(len, shapes))
    for axis in range(rank - 1, -1, -1):
        sizes = [shape[axis - rank] for shape in shapes if len(shape) >= rank - axis]
        wide = [size for size in sizes if size != 1]
        for other in wide[1:]:
            if other != wide[0]:
                raise ShapeError(
                    f"The size of tensor a ({wide[0]}) must match the size of tensor b ({other}) at non-singleton "
                    f"dimension {axis}"
                )


def meshgrid(*tensors: Tensor | Sequence[Tensor], indexing: str | None = None) -> tuple[Tensor, ...]:
    """Grids of coordinates: each vector repeated along the dimensions of the others."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], list | tuple) else tensors
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.", stacklevel=4
        )
        indexing = "ij"
    # The table's own function says what is wrong with other arguments.
    function_of("meshgrid").plan_for(tuple(given), {"indexing": indexing})
    vectors = list(given)
    is_swapped = indexing == "xy" and len(vectors) >= 2
    if is_swapped:
        vectors[0], vectors[1] = vectors[1], vectors[0]
    shape = tuple(each._array.size for each in vectors)
    reshape, expand = (view_function(name) for name in ("view", "expand"))
    rank = len(vectors)
    grids = [
        expand(reshape(each, (1,) * axis + (-1,) + (1,) * (rank - axis - 1)), shape)
        for axis, each in enumerate(vectors)
    ]
    if is_swapped:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)  # type: ignore[arg-type]  # views are tensors


def _at_least(name: str) -> Callable[..., object]:
    one = view_function(name)

    def at_least(*tensors: Tensor | Sequence[Tensor]) -> object:
        """A tensor with so many dimensions at least; of several a tuple."""
        if len(tensors) == 1 and not isinstance(tensors[0], list | tuple):
            return one(tensors[0])
        given: Any = tensors[0] if len(tensors) == 1 else tensors
        return tuple(one(each) for each in given)

    at_least.__name__ = at_least.__qualname__ = name
    return at_least


def real(input: Tensor) -> Tensor:
    """The real parts of complex numbers, as a view; a real tensor itself."""
    return _part("real", input) if input._array.dtype.kind == "c" else input


def imag(input: Tensor) -> Tensor:
    """The imaginary parts of complex numbers, as a view."""
    if input._array.dtype.kind != "c":
        raise ArgumentError("imag is not implemented for tensors with non-complex dtypes.")
    return _part("imag", input)


def _part(name: str, input: Tensor) -> Tensor:
    result = share(input, getattr(input._array, name))
    if input.requires_grad:
        call, sources = function_of(name).plan_for((input,), {})
        record(call.plan, sources, [result], name="SelectBackward0")
    return result


def view_as_real(input: Tensor) -> Tensor:
    """Complex numbers as pairs of real ones, over the same memory."""
    from graphc.eager.geometry import as_real

    if input._array.dtype.kind != "c":
        raise ArgumentError("view_as_real is only supported for complex tensors")
    result = share(input, as_real(input._array))
    if input.requires_grad:
        call, sources = function_of("view_as_real").plan_for((input,), {})
        record(call.plan, sources, [result], name="ViewAsRealBackward0")
    return result


def view_as_complex(input: Tensor) -> Tensor:
    """Pairs of real numbers along the last dimension as complex ones, over the same memory."""
    call, sources = function_of("view_as_complex").plan_for((input,), {})
    array = input._array
    unit = array.itemsize
    if array.size:
        if array.strides[-1] != unit:
            raise ArgumentError("Tensor must have a last dimension with stride 1")
        if any(step % (2 * unit) for step in array.strides[:-1]):
            raise ArgumentError("Tensor must have a stride divisible by 2 for all but last dimension")
    wide = call.plan.graph.outputs[0].tensor.dtype.numpy
    pair = as_strided(array, (*array.shape[:-1], 2), (*array.strides[:-1], unit))
    result = share(input, pair.view(wide).reshape(array.shape[:-1]) if array.size else np.empty(array.shape[:-1], wide))
    if input.requires_grad:
        record(call.plan, sources, [result], name="ViewAsComplexBackward0")
    return result


def itself(input: Tensor) -> Tensor:
    """The tensor."""
    return input


def positive(input: Tensor) -> Tensor:
    """The tensor; bools have no sign."""
    if input._array.dtype == np.bool_:
        raise ArgumentError("The `+` operator, on a bool tensor is not supported.")
    return input


def conj(input: Tensor) -> object:
    """The complex conjugates; a real tensor itself."""
    return function_of("conj")(input) if input._array.dtype.kind == "c" else input


FUNCTIONS: dict[str, Callable[..., object]] = {
    "__pos__": positive,
    "conj": conj,
    "positive": positive,
    "resolve_conj": itself,
    "resolve_neg": itself,
    "broadcast_tensors": broadcast_tensors,
    "meshgrid": meshgrid,
    "atleast_1d": _at_least("atleast_1d"),
    "atleast_2d": _at_least("atleast_2d"),
    "atleast_3d": _at_least("atleast_3d"),
    "real": real,
    "imag": imag,
    "view_as_real": view_as_real,
    "view_as_complex": view_as_complex,
}
METHODS: dict[str, Callable[..., object]] = {}
