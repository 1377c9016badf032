"""What eager code does to memory, recorded as one IR graph while it runs.

Level: beside the eager engine, which tells a `Recorder` of every array that it makes, computes, copies or writes (see
`graphc/eager/watch.py`). In: those events. Out: for every stretch of memory the node of its values at each moment, so
that in the end there is one graph from what came from outside (arguments, parameters, buffers, gradients, keys of
random numbers, hyperparameters) to what was returned or written.

Memory is followed by address: a view is read as movement of its base's elements, a write to one makes a new value of
the whole. Arrays that no event explains are refused, never taken for constants: what is recorded is right or an error.

    with Recorder("step") as recorder:
        recorder.argument(0, x)
        y = x * 2
    recorder.read(y._array)      # mul(x, 2)
"""

from __future__ import annotations

import bisect
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from graphc.eager.geometry import address_of, extent_of
from graphc.eager.mode import MODE, SPECIAL
from graphc.eager.part import part_of, with_part
from graphc.eager.placement import on
from graphc.eager.source import Argument, Captured, Cotangent, Gradient, Key, Number, Source
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.watch import WATCHING
from graphc.ir.attribute import Array
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import TraceError
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.location import Location, current_location, using
from graphc.ir.type import TensorType
from graphc.ops import build, creation, elementwise


class RecordingError(TraceError):
    """Code that can't become a part of a program."""


@dataclass(slots=True, eq=False)
class Cell:
    """A stretch of memory: an array over all of it, which keeps it alive, and the node of its values now."""

    array: AnyArray
    node: Node
    source: Source | None = None
    input: Node | None = None
    """The node of the values that it had at the start."""
    version: int = 0
    is_written: bool = False
    parts: dict[object, Node] = field(default_factory=dict)
    """Views that were read since the last write."""


@dataclass(slots=True)
class Made:
    """A tensor made while recording."""

    tensor: weakref.ref[Tensor]
    location: Location | None


class Recorder:
    """The graph of what this thread does while the recorder is entered."""

    def __init__(self, name: str, is_lenient: bool = False) -> None:
        self.name = name
        self.thread = threading.get_ident()
        self.failure: RecordingError | None = None
        """Why the code can't be a program, where that isn't raised."""
        self._is_lenient = is_lenient
        self.inputs: list[tuple[Node, Source]] = []
        self.gradients: dict[int, tuple[Tensor, Tensor | None]] = {}
        """Tensors whose `grad` was looked at or replaced, with what it was at the start."""
        self.modules: dict[int, tuple[Any, dict[str, Any]]] = {}
        """Modules that were called, with the attributes and buffers that they had before."""
        self.checks: list[tuple[Callable[[], object], object]] = []
        """What the code depends on besides tensors, as it was."""
        self.tensors: list[Made] = []
        self.cells: list[Cell] = []
        self._starts: list[int] = []
        self._by_start: dict[int, Cell] = {}
        self._unexplained: dict[int, AnyArray] = {}
        self._own_storages: dict[int, object] = {}
        self._kept: list[object] = []
        self._names: dict[int, str] = {}
        self._live: set[Node] = set()
        """Nodes through which gradients flow to an input."""
        self._required: dict[tuple[object, ...], bool] = {}
        """Whether gradients flow through the tensors that are about to be read."""
        self._keys: dict[tuple[int, int], Node] = {}
        self.has_own_gradient = False
        """Whether a function defines its gradient itself, which nodes don't know of."""
        self.is_passed_over = False
        """Whether the call has done something that the next ones won't."""
        self._is_active = False

    def __enter__(self) -> Recorder:
        WATCHING.append(self)
        SPECIAL.append(None)
        self._is_active = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._is_active:
            self._is_active = False
            WATCHING.remove(self)
            SPECIAL.pop()

    # Where values come from

    def argument(self, index: int, tensor: Tensor, name: str) -> None:
        """A tensor that the call is given."""
        if tensor._array.size and self._find(tensor._array) is None:
            cell = self._enter(tensor._array, Argument(index), name)
            if tensor.requires_grad:
                self._live.add(cell.node)

    def cotangent(self, index: int, array: AnyArray) -> None:
        """An array that stands for the gradient of a result."""
        self._enter(array, Cotangent(index), f"ct_{index}")

    def _enter(self, array: AnyArray, source: Source, name: str) -> Cell:
        node = make_input(name, TensorType(array.shape, to_dtype(array.dtype)))
        self.inputs.append((node, source))
        return self._add(Cell(array, node, source, node))

    def _add(self, cell: Cell) -> Cell:
        start = address_of(cell.array)
        self._kept.append(self._by_start.get(start))  # an array whose memory was reused lives on
        if start not in self._by_start:
            bisect.insort(self._starts, start)
        self._by_start[start] = cell
        self._unexplained.pop(start, None)
        self.cells.append(cell)
        return cell

    def seen(self, tensor: Tensor) -> None:
        """A tensor is about to be read or written: if it came from outside it is an input."""
        array = tensor._array
        if not array.size:
            return
        self._required[_place_of(array)] = MODE.grad and tensor.requires_grad
        if self._find(array) is not None or id(tensor._storage) in self._own_storages:
            return
        meta = tensor._meta
        whole = tensor if meta is None or meta.view is None else meta.view.base
        name = self._names.get(id(whole), f"t{len(self.inputs)}")
        if self._is_touched(whole._array):
            self.refuse(
                "uses two tensors that share memory, one of which came first as a part of it",
                "pass the whole tensor, or clones of its parts",
            )
            return
        cell = self._enter(whole._array, Captured(whole), name)
        if whole.requires_grad:
            self._live.add(cell.node)

    def seen_gradient(self, tensor: Tensor) -> None:
        """A tensor's `grad` is about to be looked at or replaced."""
        if id(tensor) in self.gradients or id(tensor._storage) in self._own_storages:
            return
        meta = tensor._meta
        gradient = None if meta is None else meta.grad
        self.gradients[id(tensor)] = (tensor, gradient)
        if gradient is not None and gradient._array.size and self._find(gradient._array) is None:
            name = self._names.get(id(tensor), f"t{len(self.inputs)}")
            self._enter(gradient._array, Gradient(tensor), f"{name}_grad")

    def drawn(self, array: AnyArray, generator: Any) -> None:
        """A new array holds the next key of a generator; one that was drawn before, of a state that was restored."""
        known = (id(generator), int(array))
        node = self._keys.get(known)
        if node is not None:
            self._add(Cell(array, node))
        else:
            self._keys[known] = self._enter(array, Key(generator), f"key_{len(self.inputs)}").node

    def number(self, array: AnyArray, group: dict[str, Any], place: str | tuple[str, int]) -> None:
        """An array holds a number of a group, which is looked up at each call."""
        if self._find(array) is None:
            name = place if isinstance(place, str) else f"{place[0]}_{place[1]}"
            self._enter(array, Number(group, place), f"{name}_{len(self.inputs)}")

    def depends(self, ask: Callable[[], object]) -> None:
        """What happens depends on something besides tensors, which `ask` gives."""
        self.checks.append((ask, ask()))

    def constant(self, array: AnyArray) -> None:
        """A new array holds numbers that don't depend on any tensor."""
        if array.size and self._find(array) is None:
            self._add(Cell(array, constant_node(array)))

    def called(self, module: Any) -> None:
        """A module is called: what it holds has names."""
        if id(module) not in self.modules:
            self.modules[id(module)] = (module, {**module.__dict__, **module._buffers})
            for found in (module.named_parameters(), module.named_buffers()):
                for name, tensor in found:
                    self._names.setdefault(id(tensor), name.replace(".", "_"))

    # What happens to them

    def made(self, tensor: Tensor) -> None:
        """A new tensor has memory of its own, which no event explains yet."""
        array = tensor._array
        self.tensors.append(Made(weakref.ref(tensor), current_location()))
        self._own_storages[id(tensor._storage)] = tensor._storage
        if array.size and self._find(array) is None:
            self._unexplained[address_of(array)] = array

    def computed(self, graph: Graph, arrays: Sequence[AnyArray], outputs: Sequence[AnyArray]) -> None:
        """New arrays hold what the graph gives for others."""
        nodes = self._read_all(arrays)
        if nodes is None:
            return
        location = current_location()
        operands = self._flowing(arrays, nodes)
        values: dict[Node, Node] = dict(zip(graph.inputs, operands))
        is_live = any(node in self._live for node in operands)
        with using(location):
            for node in graph.nodes:
                if node not in values:
                    inputs = tuple([values[each] for each in node.inputs])
                    values[node] = Node(node.op, inputs, node.attributes, node.type, location)
        for node, array in zip(graph.outputs, outputs):
            self._define(array, values[node])
            if is_live:
                self._live.add(values[node])

    def _flowing(self, arrays: Sequence[AnyArray], nodes: Sequence[Node]) -> list[Node]:
        """The nodes of operands, cut off where the tape has no gradient through them."""
        found: list[Node] = []
        for array, node in zip(arrays, nodes):
            if node in self._live and not (MODE.grad and self._required.get(_place_of(array), True)):
                node = elementwise.detach(node)
            found.append(node)
        self._required.clear()
        return found

    def derived(self, result: AnyArray, operands: Sequence[AnyArray], build: Callable[..., Node]) -> None:
        """A new array holds what nodes built on those of other arrays stand for."""
        for each in operands:
            if each.size and self._find(each) is None and address_of(each) not in self._unexplained and each.ndim:
                return  # numbers that numpy made of no tensor: whoever makes a tensor of them says what they are
        nodes = self._read_all(operands)
        if nodes is not None:
            flowing = self._flowing(operands, nodes)
            with using(current_location()):
                node = build(*flowing)
            self._define(result, node)
            if any(each in self._live for each in flowing):
                self._live.add(node)

    def written(self, target: AnyArray, operands: Sequence[AnyArray], build: Callable[..., Node]) -> None:
        """An array is about to be overwritten."""
        if not target.size:
            return
        nodes = self._read_all(operands)
        cell = self._find(target)
        if cell is None:
            if address_of(target) in self._unexplained:
                return  # whatever it held, it is explained when all of it was written
            self.refuse("writes to memory that it has no tensor of", "write to tensors by their own methods")
            return
        if nodes is None:
            return
        flowing = self._flowing(operands, nodes)
        with using(current_location()):
            value = build(*flowing)
            is_live = any(each in self._live for each in (*flowing, cell.node))
            cell.node = value if _is_whole(cell, target) else with_part(cell.array, cell.node, target, value)
            if is_live:
                self._live.add(cell.node)
        cell.version += 1
        cell.is_written = True
        cell.parts.clear()

    def _define(self, array: AnyArray, node: Node) -> None:
        if array.size:
            self._add(Cell(array, node))

    def looked_at(self, tensor: Tensor, what: str) -> None:
        """Python asks for a tensor's values: that is refused, but for constants."""
        array = tensor._array
        cell = self._find(array) if array.size else None
        if array.size and not (cell is not None and _is_constant(cell.node)):
            self.refuse(
                f"asks for the values of a tensor ({what})",
                "return the tensor and look at it outside; where a choice depends on it use torch.where",
            )

    def pass_over(self) -> None:
        """The call does something that the next ones won't: its graph is of no use."""
        self.is_passed_over = True

    def refuse(self, what: str, hint: str) -> None:
        """Raise, or note, that this can't be part of a program."""
        if self.failure is None and self._is_active:
            way = "compile with fallback='eager' to run it without compiling"
            error = RecordingError(
                f"compile: {self.name} {what}, which only running Python can do",
                location=current_location(),
                hint=f"{hint}; or {way}",
            )
            self.failure = error
            self._stop()
            if not self._is_lenient:
                raise error

    # What memory holds

    def read(self, array: AnyArray) -> Node | None:
        """The node of an array's values; None if recording has ended here."""
        if not array.size:
            return creation.constant(value=Array(np.asarray(on(array, None))))
        cell = self._find(array)
        if cell is None:
            if array.ndim == 0 and address_of(array) not in self._unexplained:
                return constant_node(array)  # a number of the call
            self.refuse("computes with values that numpy made of others", "use functions of tensors throughout")
            return None
        if _is_whole(cell, array):
            return cell.node
        key = (address_of(array), array.shape, array.strides, array.dtype)
        found = cell.parts.get(key)
        if found is None:
            with using(current_location()):
                found = cell.parts[key] = part_of(cell.array, cell.node, array)
            if cell.node in self._live:
                self._live.add(found)
        return found

    def _read_all(self, arrays: Sequence[AnyArray]) -> list[Node] | None:
        found = [self.read(each) for each in arrays]
        nodes = [each for each in found if each is not None]
        return nodes if len(nodes) == len(found) else None

    def cell_of(self, array: AnyArray) -> Cell | None:
        """The stretch of memory that an array is a part of."""
        return self._find(array) if array.size else None

    def is_own(self, tensor: Tensor) -> bool:
        """Whether the tensor's memory was made while recording."""
        return id(tensor._storage) in self._own_storages

    def _is_touched(self, array: AnyArray) -> bool:
        """Whether a part of the array's memory is known."""
        start = address_of(array)
        end = start + extent_of(array)
        place = bisect.bisect_left(self._starts, start)
        if place < len(self._starts) and self._starts[place] < end:
            return True
        if not place:
            return False
        before = self._starts[place - 1]
        return before + extent_of(self._by_start[before].array) > start

    def _find(self, array: AnyArray) -> Cell | None:
        start = address_of(array)
        cell = self._by_start.get(start)
        if cell is None or extent_of(cell.array) < extent_of(array):
            place = bisect.bisect_right(self._starts, start) - 1
            if place < 0:
                return None
            cell = self._by_start[self._starts[place]]
            if address_of(cell.array) + extent_of(cell.array) < start + extent_of(array):
                return None
        return cell


def _is_whole(cell: Cell, array: AnyArray) -> bool:
    base = cell.array
    return base is array or (
        base.shape == array.shape
        and base.strides == array.strides
        and base.dtype == array.dtype
        and address_of(base) == address_of(array)
    )


def _place_of(array: AnyArray) -> tuple[object, ...]:
    return address_of(array), array.shape, array.strides


def _is_constant(node: Node) -> bool:
    while node.op.name in ("broadcast", "reshape", "permute", "slice", "cast") and node.inputs:
        node = node.inputs[0]
    return node.op is creation.constant


def constant_node(array: AnyArray) -> Node:
    """The array's values as a node; equal ones as a single number, repeated."""
    array = on(array, None)
    flat = array.reshape(-1)
    if array.size > 1 and array.dtype.kind in "biufc" and flat[0].tobytes() * flat.size == flat.tobytes():
        return build.constant(flat[0], to_dtype(array.dtype), array.shape)
    return creation.constant(value=Array(np.asarray(array)))
