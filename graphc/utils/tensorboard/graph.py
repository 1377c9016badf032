"""The graph of one call of a model, as TensorBoard draws it.

In: a model and what it is called with. Out: operations in the order they ran, each with what it reads, named by the
module that ran it: `Net/Linear[hidden]/linear`. The call is watched while it runs (`graphc/eager/watch.py`): memory is
known by its address, so a tensor's views lead to what computed the tensor.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from graphc.eager.geometry import address_of, extent_of
from graphc.eager.mode import no_grad
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.watch import WATCHING
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import SignatureError


@dataclass(frozen=True, slots=True)
class Operation:
    """A node of the drawing. `reads` are names of other nodes; `results` are the shapes and dtypes of what it gives."""

    name: str
    kind: str
    reads: tuple[str, ...]
    results: tuple[tuple[tuple[int, ...], str], ...]


def trace(model: Any, inputs: object) -> list[Operation]:
    """The operations of `model(*inputs)`; a tensor, or a list or tuple of arguments.

    The model is in evaluation mode meanwhile and records no gradients. Raises SignatureError for what can't be called.
    """
    if not callable(model):
        raise SignatureError(f"add_graph needs a model that can be called, got {type(model).__name__}")
    args = tuple(inputs) if isinstance(inputs, list | tuple) else () if inputs is None else (inputs,)
    drawing = Drawing(type(model).__name__)
    for name, tensor in _named_arguments(model, args):
        drawing.add_source(f"input/{name}", "IO Node", tensor)
    for name, tensor, kind in _own_tensors(model):
        drawing.add_source(name, kind, tensor)
    with _evaluating(model), _scopes(model, drawing), no_grad():
        WATCHING.append(drawing)
        try:
            found = model(*args)
        finally:
            WATCHING.remove(drawing)
    for number, tensor in enumerate(_tensors_in(found)):
        drawing.add_result(f"output/{number}", tensor)
    return drawing.used()


class Drawing:
    """What a watched call did so far."""

    has_own_gradient = False

    def __init__(self, root: str) -> None:
        self.thread = threading.get_ident()
        self.scopes = [root]
        self.operations: dict[str, Operation] = {}
        self.memory: list[tuple[int, int, str]] = []
        """Stretches of memory with the name of what has written them; the last one counts."""
        self.kept: list[AnyArray] = []
        """Arrays stay alive meanwhile, so that no address comes twice."""

    # What the drawing is made of

    def add_source(self, name: str, kind: str, tensor: Tensor) -> None:
        """A tensor that is there before the call."""
        self._note(tensor._array, self._add(name, kind, (), (tensor._array,)))

    def add_result(self, name: str, tensor: Tensor) -> None:
        """A tensor that the call returned."""
        self._add(name, "IO Node", (self._source(tensor._array),), (tensor._array,))

    def used(self) -> list[Operation]:
        """All but what nothing reads: buffers, say, that only training looks at."""
        read = {name for each in self.operations.values() for name in each.reads}
        return [each for each in self.operations.values() if each.name in read or each.reads or each.kind == "IO Node"]

    def _add(self, name: str, kind: str, reads: tuple[str, ...], results: Sequence[AnyArray]) -> str:
        unique, number = name, 0
        while unique in self.operations:
            number += 1
            unique = f"{name}_{number}"
        shapes = tuple((tuple(each.shape), to_dtype(each.dtype).name) for each in results)
        self.operations[unique] = Operation(unique, kind, reads, shapes)
        return unique

    def _note(self, array: AnyArray, name: str) -> None:
        start = address_of(array)
        self.memory.append((start, start + max(extent_of(array), 1), name))
        self.kept.append(array)

    def _source(self, array: AnyArray) -> str:
        address = address_of(array)
        for start, end, name in reversed(self.memory):
            if start <= address < end:
                return name
        name = self._add(f"{self._scope()}/constant", "Const", (), (array,))
        self._note(array, name)
        return name

    def _scope(self) -> str:
        return "/".join(self.scopes)

    def _record(self, kind: str, arrays: Sequence[AnyArray], results: Sequence[AnyArray]) -> None:
        reads = tuple(dict.fromkeys(self._source(each) for each in arrays))
        name = self._add(f"{self._scope()}/{kind}", kind, reads, results)
        for each in results:
            self._note(each, name)

    # What the eager level tells

    def computed(self, graph: Any, arrays: Sequence[AnyArray], outputs: Sequence[AnyArray]) -> None:
        """An operation ran."""
        self._record(graph.name.strip("_") or "operation", arrays, outputs)

    def derived(self, result: AnyArray, operands: Sequence[AnyArray], build: object) -> None:
        """Values were copied, joined or converted."""
        if len(operands) == 1 and operands[0].dtype == result.dtype:
            self._note(result, self._source(operands[0]))
        else:
            self._record("to" if len(operands) == 1 else "join", operands, (result,))

    def written(self, target: AnyArray, operands: Sequence[AnyArray], build: object) -> None:
        """Values are put into memory that is there already."""
        if len(operands) == 1 and operands[0].shape == target.shape:
            self._note(target, self._source(operands[0]))
            return
        self._record("copy_", (target, *operands), (target,))

    def drawn(self, array: AnyArray, generator: object) -> None:
        """A random number was drawn."""
        self._record("random", (), (array,))

    def constant(self, array: AnyArray) -> None:
        """An array holds numbers that don't depend on any tensor; it is drawn when something reads it."""

    def made(self, tensor: Tensor) -> None:
        """A new tensor has memory of its own."""

    seen = seen_gradient = made

    def called(self, module: object) -> None:
        """A module is called; its hooks tell where that ends."""

    def number(self, *facts: object) -> None:
        """Hyperparameters are no part of a model."""

    depends = looked_at = refuse = pass_over = number


def _named_arguments(model: Any, args: tuple[Any, ...]) -> Iterator[tuple[str, Tensor]]:
    try:
        names = [*inspect.signature(getattr(model, "forward", model)).parameters]
    except (TypeError, ValueError):
        names = []
    for number, each in enumerate(args):
        name = names[number] if number < len(names) else str(number)
        found = [*_tensors_in(each)]
        for place, tensor in enumerate(found):
            yield name if len(found) == 1 else f"{name}/{place}", tensor


def _tensors_in(value: object) -> Iterator[Tensor]:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, dict):
            pending += reversed([*each.values()])
        elif isinstance(each, list | tuple):
            pending += reversed(each)


def _names(model: Any) -> dict[int, tuple[str, ...]]:
    """The scope of each module inside: its class and its name in the module around it."""
    found: dict[int, tuple[str, ...]] = {}
    paths: dict[str, tuple[str, ...]] = {}
    for path, module in model.named_modules() if hasattr(model, "named_modules") else ():
        around, _, name = path.rpartition(".")
        kind = type(module).__name__
        paths[path] = (*paths[around], f"{kind}[{name}]") if path else (kind,)
        found[id(module)] = paths[path]
    return found


def _own_tensors(model: Any) -> Iterator[tuple[str, Tensor, str]]:
    if not hasattr(model, "named_modules"):
        return
    names = _names(model)
    for module in model.modules():
        scope = "/".join(names[id(module)])
        for kind, tensors in (("Parameter", module._parameters), ("Buffer", module._buffers)):
            for name, tensor in tensors.items():
                if tensor is not None:
                    yield f"{scope}/{name}", tensor, kind


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    modules = [*model.modules()] if hasattr(model, "modules") else []
    flags = [each.training for each in modules]
    try:
        for each in modules:
            each.training = False
        yield
    finally:
        for each, flag in zip(modules, flags):
            each.training = flag


@contextmanager
def _scopes(model: Any, drawing: Drawing) -> Iterator[None]:
    """Let each module inside put its name on what it runs."""
    handles = []
    outer: list[list[str]] = []

    def entering(scope: tuple[str, ...]) -> Callable[..., None]:
        def hook(module: object, args: object) -> None:
            outer.append(drawing.scopes)
            drawing.scopes = [*scope]

        return hook

    def leaving(module: object, args: object, result: object) -> None:
        drawing.scopes = outer.pop()

    names = _names(model)
    try:
        for module in model.modules() if names else ():
            handles.append(module.register_forward_pre_hook(entering(names[id(module)]), prepend=True))
            handles.append(module.register_forward_hook(leaving, always_call=True))
        yield
    finally:
        for each in handles:
            each.remove()
