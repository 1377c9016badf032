"""The tape: nodes that remember what computed a tensor, what its gradient reads, and where the gradients go.

Level: autograd. A `GradNode` is made for each recorded call; its edges lead to the nodes of its inputs, or to the
`AccumulateGrad` of a leaf. `PlanNode` is that of a plan, whose graph is IR; `graphc/eager/function.py` has the node of
a function in Python. Nodes hold values only through `SavedValue`, which notices when memory was overwritten.
"""

from __future__ import annotations

import functools
import gc
import itertools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from graphc.eager.handle import RemovableHandle, add_hook
from graphc.eager.mode import EVER, MODE
from graphc.eager.tensor import AnyArray, AutogradMeta, Storage, Tensor, meta_of, wrap, wrap_shared
from graphc.eager.tensor_type import type_name
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import GraphcError
from graphc.ir.type import TensorType

if TYPE_CHECKING:
    from graphc.eager.plan import Backward, Variant

Cotangents: TypeAlias = "Sequence[Tensor | None]"
Edge: TypeAlias = "tuple[GradNode, int]"

_sequence = itertools.count()
FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)


class AutogradError(GraphcError, RuntimeError):
    """A gradient that can't be computed as asked."""


class SavedValue:
    """A tensor kept for the backward pass: its memory, that memory's version, and its place on the tape."""

    __slots__ = ("array", "edge", "owner", "packed", "requires_grad", "storage", "unpack", "version")

    def __init__(
        self,
        array: AnyArray,
        storage: Storage | None,
        edge: Edge | None,
        requires_grad: bool,
        owner: weakref.ref[GradNode] | None = None,
        index: int = 0,
    ) -> None:
        self.array: AnyArray | None = array
        self.storage = storage
        """None for what nobody else can write to."""
        self.version = version = 0 if storage is None else storage.version
        if version < 0:
            raise AutogradError(
                "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode "
                "in computation tracked by autograd. To work around this, you can make a clone to get a normal tensor "
                "and use it in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
            )
        self.edge = edge
        self.requires_grad = requires_grad
        self.owner = None if owner is None else (owner, index)
        """Of a result of the node that saves it, which must not hold itself."""
        self.packed: object = None
        self.unpack: Callable[[object], Tensor] | None = None
        if "pack" in EVER and MODE.pack is not None and (storage is not None or edge is not None or owner is not None):
            self.packed, self.unpack = self._pack(self._tensor(array)), MODE.unpack
            self.array = self.storage = None

    def _pack(self, tensor: Tensor) -> object:
        assert MODE.pack is not None
        version = tensor._storage.version
        packed = MODE.pack(tensor)
        if tensor._storage.version != version:
            raise AutogradError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook "
                "cannot be modified by in-place operations as this can lead to unexpected side-effects. Please open an "
                "issue if you need to perform in-place operations on the input to a pack hook."
            )
        return packed

    def _tensor(self, array: AnyArray) -> Tensor:
        tensor = wrap(array) if self.storage is None else wrap_shared(array, self.storage)
        edge = self.edge
        if self.owner is not None:
            node = self.owner[0]()
            edge = None if node is None else (node, self.owner[1])
        if edge is not None and self.requires_grad:
            node = edge[0]
            if isinstance(node, AccumulateGrad):
                return node.variable if node.variable._array is array else _attached(tensor, node, array)
            tensor._meta = AutogradMeta(True, node, edge[1])
        return tensor

    def get(self, node: GradNode) -> Tensor:
        """The tensor; raises AutogradError where it was freed or overwritten since."""
        if self.unpack is not None:
            found = self.unpack(self.packed)
            if not isinstance(found, Tensor):
                raise TypeError(
                    "Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                    f"{type(found).__name__}"
                )
            tensor = self._tensor(found._array)
            return tensor
        if self.array is None:
            raise AutogradError(FREED)
        storage = self.storage
        if storage is not None and storage.version != self.version:
            self._refuse(node, storage.version)
        return self._tensor(self.array)

    def get_array(self, node: GradNode) -> AnyArray:
        """As `get`, without a tensor around it: what runs most."""
        array = self.array
        if array is None or (self.storage is not None and self.storage.version != self.version):
            return self.get(node)._array
        return array

    def _refuse(self, node: GradNode, version: int) -> None:
        assert self.array is not None
        which = ""
        if self.owner is not None:
            which = f", which is output {self.owner[1]} of {operation_name(node.name())},"
        elif self.edge is not None and not isinstance(self.edge[0], AccumulateGrad):
            name, index = self._last_writer() or (self.edge[0].name(), self.edge[1])
            which = f", which is output {index} of {operation_name(name)},"
        sizes = ", ".join(map(str, self.array.shape))
        hint = (
            "Hint: the backtrace further above shows the operation that failed to compute its gradient. The variable "
            "in question was changed in there or anywhere later. Good luck!"
            if MODE.anomaly
            else "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
            "torch.autograd.set_detect_anomaly(True, check_nan=False)."
        )
        raise AutogradError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"[{type_name(to_dtype(self.array.dtype))} [{sizes}]]{which} is at version {version}; expected version "
            f"{self.version} instead. {hint}"
        )

    def _last_writer(self) -> tuple[str, int] | None:
        """What made the tensor that was saved be what it is now: the name of a node, and which of its results it is.

        Nothing refers to that tensor, which might hold the node that saved it. So it is looked for among all objects;
        where it is gone its memory knows who wrote last.
        """
        for each in gc.get_referrers(self.storage):
            if isinstance(each, Tensor) and each._array is self.array and each._meta is not None:
                edge = edge_of(each)
                if edge is not None:
                    return edge[0].name(), edge[1]
        writer = getattr(self.storage, "writer", None)
        return None if writer is None else (_full_name(writer.__name__), 0)

    def register_hooks(self, pack_hook: Callable[[Tensor], object], unpack_hook: Callable[[Any], Tensor]) -> None:
        """Keep `pack_hook(tensor)` from now on; in the backward pass `unpack_hook` of that gives the tensor back."""
        if not (callable(pack_hook) and callable(unpack_hook)):
            raise TypeError("register_hooks(): incompatible function arguments: both hooks must be callable")
        if self.unpack is not None:
            raise AutogradError(
                "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of "
                "hooks is allowed at a time."
            )
        if self.array is None:
            raise AutogradError(
                "Calling register_hooks on a saved tensor after it has been freed. "
                f"{FREED[FREED.index('Saved intermediate') :]}"
            )
        self.packed, self.unpack, self.array = (
            pack_hook(wrap_shared(self.array, self.storage or Storage())),
            unpack_hook,
            None,
        )

    def release(self) -> None:
        """Let go of the memory; asking for it from now on is an error."""
        self.array = self.packed = self.unpack = None


def operation_name(name: str) -> str:
    """What errors call the operation of a node: Squeeze, Squeeze1."""
    stem, _, number = name.partition("Backward")
    return stem if number == "0" else f"{stem}{number}"


def _full_name(name: str) -> str:
    """What PyTorch calls a node of this class: writes say where they come from."""
    return f"torch::autograd::{name}" if name in ("CopySlices", "CopyBackwards") else name


def _attached(tensor: Tensor, node: AccumulateGrad, array: AnyArray) -> Tensor:
    tensor._meta = AutogradMeta(True)
    tensor._meta.accumulator = weakref.ref(node)
    return tensor


class GradNode:
    """What computed a tensor: `tensor.grad_fn`."""

    __slots__ = (
        "__weakref__",
        "_metadata",
        "edges",
        "outputs",
        "post_hooks",
        "pre_hooks",
        "retained",
        "sequence",
        "tensor_hooks",
        "trace",
    )

    def __init__(self, edges: tuple[Edge | None, ...], outputs: int) -> None:
        self.edges = edges
        self.outputs = outputs
        """How many results the call gave."""
        self.sequence = next(_sequence)
        """Grows with time: a node's edges lead to nodes with smaller numbers."""
        self.pre_hooks: OrderedDict[int, Callable[..., object]] | None = None
        self.post_hooks: OrderedDict[int, Callable[..., object]] | None = None
        self.tensor_hooks: dict[int, OrderedDict[int, Callable[..., object]]] | None = None
        """Hooks of the tensors that it computed, by result."""
        self.retained: dict[int, weakref.ref[Tensor]] | None = None
        """The tensors that keep their gradient, by result."""
        self._metadata: dict[Any, Any] | None = None
        self.trace: str | None = None
        if "anomaly" in EVER and MODE.anomaly:
            from graphc.eager.anomaly import where  # late: it is needed while anomalies are looked for

            self.trace = where()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"

    @property
    def next_functions(self) -> tuple[tuple[GradNode | None, int], ...]:
        """The nodes that the gradients go to, and which of their results each is for."""
        return tuple([self.edges[index] or (None, 0) for index in self.shown])

    @property
    def shown(self) -> Sequence[int]:
        """The edges that users know of."""
        return range(len(self.edges))

    def result(self, index: int) -> TensorType:
        """Shape and dtype of one of its results."""
        raise NotImplementedError

    def register_hook(self, fn: Callable[..., object]) -> RemovableHandle:
        """Call `fn(grad_inputs, grad_outputs)` after the node has run; a tuple that it returns replaces the first."""
        if self.post_hooks is None:
            self.post_hooks = OrderedDict()
        return add_hook(self.post_hooks, fn)

    def register_prehook(self, fn: Callable[..., object]) -> RemovableHandle:
        """Call `fn(grad_outputs)` before the node runs; a tuple that it returns replaces them."""
        if self.pre_hooks is None:
            self.pre_hooks = OrderedDict()
        return add_hook(self.pre_hooks, fn)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_saved_", "_raw_saved_")):
            from graphc.eager.saved import saved_attribute  # late: it is a question of the curious

            return saved_attribute(self, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for the user's own notes."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    def name(self) -> str:
        """Its name: that of its class, but for writes to views."""
        return _full_name(type(self).__name__)

    def run(self, cotangents: Cotangents, create_graph: bool) -> Cotangents:
        """The gradients for the edges, from those of the results."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of saved values."""

    def _sequence_nr(self) -> int:
        return self.sequence


_start_node = GradNode.__init__  # found quicker than by way of `super`


class AccumulateGrad(GradNode):
    """The end of the tape: adds what arrives to a leaf's `grad`."""

    __slots__ = ("variable",)

    def __init__(self, variable: Tensor) -> None:
        _start_node(self, (), 1)
        self.variable = variable

    def name(self) -> str:
        """Its name, as PyTorch has it."""
        return "torch::autograd::AccumulateGrad"

    def result(self, index: int) -> TensorType:
        """Shape and dtype of the leaf."""
        return TensorType(self.variable._array.shape, self.variable.dtype)


class PlanNode(GradNode):
    """The node of a call that a plan computed."""

    __slots__ = ("backward", "saved")

    def __init__(
        self, backward: Backward, edges: tuple[Edge | None, ...], saved: list[SavedValue], outputs: int
    ) -> None:
        _start_node(self, edges, outputs)
        self.backward = backward
        self.saved = saved

    def run(self, cotangents: Cotangents, create_graph: bool) -> Cotangents:
        """Run the backward plan, recorded if `create_graph` holds."""
        variant = self.variant(cotangents)
        results: list[Tensor | None] = [None] * len(self.edges)
        if variant.plan is None:
            return results
        given = [ct for ct in cotangents if ct is not None]
        if create_graph:
            from graphc.eager.record import apply  # late: recording builds nodes, which this module defines

            gradients: Sequence[Tensor] = apply(
                variant.plan, [*(self.saved[i].get(self) for i in variant.reads), *given]
            )
        else:
            arrays = [self.saved[i].get_array(self) for i in variant.reads]
            gradients = [wrap(each) for each in variant.plan.run([*arrays, *(ct._array for ct in given)])]
        for index, gradient in zip(variant.produces, gradients):
            results[index] = gradient
        return results

    @property
    def shown(self) -> Sequence[int]:
        """The edges that users know of: indices and masks have none, nor have numbers but in arithmetic."""
        plan = self.backward.plan
        keeps_numbers = plan.name[:3] in ("Add", "Sub", "Mul", "Div")
        inputs = [*enumerate(zip(self.edges, plan.graph.inputs))]
        if plan.name == "AddmmBackward0" and len(inputs[-1][1][1].shape) == 1:
            inputs.insert(0, inputs.pop())  # a linear layer's bias, which addmm takes first
        return [
            index
            for index, (edge, node) in inputs
            if edge is not None
            or (keeps_numbers if ("weak", True) in node.attributes else node.tensor.dtype.is_differentiable)
        ]

    def result(self, index: int) -> TensorType:
        """Shape and dtype of one of its results."""
        return self.backward.plan.graph.outputs[index].tensor

    def variant(self, cotangents: Cotangents) -> Variant:
        """The backward plan for the cotangents that are there."""
        pattern = tuple([ct is not None for ct in cotangents])
        differentiable = self.backward.plan.differentiable
        if pattern != differentiable:
            pattern = tuple(a and b for a, b in zip(pattern, differentiable))
        return self.backward.variant(pattern)

    def release(self) -> None:
        """Let go of saved values."""
        for each in self.saved:
            each.release()


@functools.cache
def node_type(name: str) -> type[PlanNode]:
    """The class of plan nodes of this name: a node prints as `<AddBackward0 object at 0x...>`."""
    made = type(name, (PlanNode,), {"__slots__": (), "__module__": "builtins"})
    assert issubclass(made, PlanNode)
    return made


_accumulators = threading.Lock()


def edge_of(tensor: Tensor) -> Edge | None:
    """Where the gradient of a tensor goes; None if it needs none."""
    meta = tensor._meta
    if meta is None or not tensor.requires_grad:
        return None
    if meta.view is not None:
        from graphc.eager.view import refresh  # late: views are made of recorded calls

        refresh(tensor)
    if meta.node is not None:
        return meta.node, meta.index
    return accumulator_of(tensor), 0


def accumulator_of(leaf: Tensor) -> AccumulateGrad:
    """The node that adds to the leaf's gradient; there is one at a time."""
    meta = meta_of(leaf)
    found = None if meta.accumulator is None else meta.accumulator()
    if found is None:
        with _accumulators:
            found = None if meta.accumulator is None else meta.accumulator()
            if found is None:
                found = object.__new__(AccumulateGrad)
                _start_node(found, (), 1)
                found.variable = leaf
                meta.accumulator = weakref.ref(found)
    return found
