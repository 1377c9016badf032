"""What a node has kept, by PyTorch's names: `grad_fn._saved_self`, `grad_fn._saved_result`, `grad_fn._raw_saved_other`.

In: a node and the name. Out: the tensor or number; None where the gradient doesn't read it.
"""

from __future__ import annotations

from graphc.eager.node import FREED, AutogradError, GradNode, PlanNode, SavedValue
from graphc.eager.plan import Saved

_INPUTS = {
    "self": 0, "input": 0, "mask": 0, "condition": 0, "other": 1, "exponent": 1, "mat2": 1, "vec": 1, "vec2": 1,
    "weight": 1, "index": 1, "tensor": 1, "target": 1, "end": 1, "mat1": 1, "batch1": 1, "tensor1": 1, "batch2": 2,
    "tensor2": 2, "value": 1, "source": 2, "bias": 2,
}  # fmt: skip
_OUTPUTS = {"result": 0, "out": 0, "output": 0, "result0": 0, "values": 0, "result1": 1, "indices": 1, "result2": 2}
_NUMBERS = frozenset(("exponent", "value"))
"""Operands that PyTorch keeps as numbers where they were given so."""


def saved_attribute(node: GradNode, name: str) -> object:
    """The value of an attribute that names a saved value; raises AttributeError where there is none of that name."""
    short = name.partition("saved_")[2]
    if isinstance(node, PlanNode):
        if short == "self_sym_sizes":
            return tuple(node.backward.plan.graph.inputs[0].shape)
        for source, places in (("input", _INPUTS), ("output", _OUTPUTS)):
            if short in places and places[short] < len(_values(node, source)):
                found = _find(node, Saved(source, places[short]))  # type: ignore[arg-type]  # one of two words
                return found if name.startswith("_raw") or found is None else _value(node, found, short)
    raise AttributeError(f"'{type(node).__name__}' object has no attribute '{name}'")


def _values(node: PlanNode, source: str) -> tuple[object, ...]:
    graph = node.backward.plan.graph
    return graph.inputs if source == "input" else graph.outputs


def _find(node: PlanNode, wanted: Saved) -> SavedValue | None:
    for known, value in zip(node.backward.saved, node.saved):
        if known == wanted:
            return value
    return None


def _value(node: PlanNode, saved: SavedValue, short: str) -> object:
    if saved.array is None and saved.unpack is None:
        raise AutogradError(FREED)
    tensor = saved.get(node)
    return tensor._array.item() if short in _NUMBERS and not tensor._array.ndim and saved.edge is None else tensor
