"""Calls of the table's functions on eager tensors.

In: an entry of `graphc/ops/function.py` and the arguments of a call. Out: tensors. What the arguments are (types of
tensors, values of everything that isn't computed with) is the key of a plan, which is the entry's graph compiled for
them; a plan is made once. Numbers that are operands are inputs of the plan, so that a changing number needs no new one.

    function_of("mul")(x, 3.5)
"""

from __future__ import annotations

import functools
import inspect
import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from graphc.eager import float8
from graphc.eager.call_forms import REFUSED, refuses
from graphc.eager.layout import run_in_layout
from graphc.eager.names import backward_name
from graphc.eager.placement import refuse_mixed
from graphc.eager.plan import Plan
from graphc.eager.program import Recipe
from graphc.eager.record import Source, record, see
from graphc.eager.tensor import AnyArray, Tensor, wrap, wrap_constant
from graphc.eager.watch import WATCHING
from graphc.frontend.entry import ALIASES, explain
from graphc.frontend.tensor import SymbolicTensor
from graphc.frontend.tensor import call as call_symbolically
from graphc.frontend.tree import Structure, flatten
from graphc.ir.dtype import DType, c128, f64, get_default_dtype, i64, when_default_changes
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import GraphcError, SignatureError
from graphc.ir.graph import INPUT, Graph, Node, make_input
from graphc.ir.location import using
from graphc.ir.precision import when_precision_changes
from graphc.ir.type import TensorType
from graphc.ops.function import Function, functions

_lock = threading.RLock()
MOST_CALLS = 512
"""Plans that one function remembers; then those made first are forgotten."""
_NUMBERS = {int: i64, float: f64, complex: c128}
_STATIC = frozenset((bool, str, type(None), DType))
"""Types of arguments that are always part of a plan as they are."""
_PLAIN = frozenset((0, 1, 2, 3, -1, -2, 0.5, -0.5))
"""Values of parameters such as exponents and factors that have better code of their own."""
_OPERANDS = frozenset(("input", "other", "self", "min", "max", "value", "end", "weight", "source", "tensor"))
"""Parameters whose numbers are never part of a plan; other operands are, where they have one of the values above."""


class Call:
    """What a plan needs besides tensors: how to put its outputs into the results."""

    __slots__ = ("constants", "fill", "plan")

    def __init__(self, plan: Plan, structure: Structure, constants: tuple[object, ...]) -> None:
        self.plan = plan
        self.constants = constants
        """Leaves of the result that are plain values; an output stands where there is OUTPUT."""
        self.fill = None if structure.kind is None else structure.fill


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """An argument that is an input of the plan."""

    type: TensorType
    is_weak: bool
    """Whether it stands for a Python number."""


_ALL: list[EagerFunction] = []
PLAIN_TYPES: set[type] = {Tensor}
"""Classes of tensors whose results are plain tensors."""
OUTPUT = object()
NO_PLAN = Plan(Graph("none", (), ()), "")


class Parameters(NamedTuple):
    """The parameters of a table entry."""

    names: tuple[str, ...]
    rest: int | None
    """Which of them takes all further positional arguments."""
    lifted: dict[str, bool]
    """Those whose numbers are inputs of the plan; whether also numbers with a plain value."""

    @classmethod
    def of(cls, entry: Function) -> Parameters:
        """Read them from the entry's builder."""
        parameters = inspect.signature(entry.build).parameters
        return cls(
            tuple(name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD),
            next((i for i, each in enumerate(parameters.values()) if each.kind is each.VAR_POSITIONAL), None),
            {
                name: name in _OPERANDS
                for name, each in parameters.items()
                if "Operand" in str(each.annotation).replace("|", " ").split()
            },
        )


class EagerFunction:
    """A table entry, called on tensors."""

    __slots__ = (
        "_calls",
        "_known",
        "_one",
        "_takes_all",
        "_two",
        "_twos",
        "_with_int",
        "_with_number",
        "entry",
        "name",
    )

    def __init__(self, entry: Function) -> None:
        self.entry = entry
        self.name = entry.name.rpartition(".")[2]
        self._calls: dict[tuple[object, ...], Call] = {}
        self._known: Parameters | None = None
        # The last plans that served a call on one tensor, on two, and on a tensor and a number: most calls are like
        # the one before, and `fast` itself sees whether its arrays fit.
        self._one: Plan = NO_PLAN
        self._two: Plan = NO_PLAN
        self._twos: dict[tuple[object, ...], Plan] = {}
        self._with_number: dict[type, Plan] = {}
        """By the type of the number, where any is an input of the plan."""
        self._takes_all = False
        """Whether that holds for all numbers, or not for those that have code of their own."""
        self._with_int: dict[int, Plan] = {}
        """By the number, where it is a part of the plan."""
        _ALL.append(self)

    @property
    def _parameters(self) -> Parameters:
        """What is known of the entry's parameters; read at the first call, since importing graphc must be quick."""
        if self._known is None:
            self._known = Parameters.of(self.entry)
        return self._known

    def forget(self) -> None:
        """Forget all plans: something that graphs depend on besides arguments has changed."""
        self._calls.clear()
        self._twos.clear()
        self._one = self._two = NO_PLAN
        self._with_number.clear()
        self._with_int.clear()

    def __call__(self, *args: Any, **kwargs: object) -> object:
        """Compute, and record if a gradient may be asked for."""
        if not (kwargs or WATCHING):
            count = len(args)
            found = self.of_two(*args) if count == 2 else self.of_one(*args) if count == 1 else None
            if found is not None:
                return found
        return self.compute(*args, **kwargs)

    def compute(self, *args: Any, **kwargs: object) -> object:
        """As a call, of any arguments, without a try at the short ways."""
        if any(isinstance(each, SymbolicTensor) for each in args):
            return call_symbolically(self.entry, args, kwargs)
        return self.run(args, kwargs)[0]

    def of_one(self, a: Any) -> Tensor | None:
        """The short way of a call on one argument: by the plan of the call before, if that fits, else None."""
        if type(a) in PLAIN_TYPES:
            plan = self._one
            outputs = plan.fast(a._array)
            if type(outputs) is not tuple and type(a._array) is not np.ndarray:
                outputs = plan.fast_on_gpu(a._array)
            if type(outputs) is tuple:
                result = wrap(outputs[0])
                if a._meta is not None:
                    record(plan, (a,), (result,))
                return result
        return None

    def of_two(self, a: Any, b: Any) -> Tensor | None:
        """As `of_one`, of two tensors, or a tensor and a number."""
        if type(a) in PLAIN_TYPES:
            kind = type(b)
            if kind in PLAIN_TYPES:
                plan = self._two
                outputs = plan.fast(a._array, b._array)
                if type(outputs) is not tuple:
                    x, y = a._array, b._array
                    plan = self._twos.get((x.shape, y.shape, x.dtype, y.dtype), NO_PLAN)
                    outputs = plan.fast(x, y)
                    if type(outputs) is not tuple and type(x) is not np.ndarray:
                        outputs = plan.fast_on_gpu(x, y)
                if type(outputs) is tuple:
                    self._two = plan
                    result = wrap(outputs[0])
                    if a._meta is not None or b._meta is not None:
                        record(plan, (a, b), (result,))
                    return result
            elif kind is float or kind is int:
                sources: tuple[Any, ...] = (a,)
                number_plan = self._with_number.get(kind)
                if number_plan is not None and (self._takes_all or b not in _PLAIN):
                    number = np.array(b)
                    outputs = number_plan.fast(a._array, number)
                    sources = (a, number)
                elif kind is int:
                    number_plan = self._with_int.get(b, NO_PLAN)
                    outputs = number_plan.fast(a._array)
                else:
                    return None
                if type(outputs) is tuple:
                    result = wrap(outputs[0])
                    if a._meta is not None:
                        record(number_plan, sources, (result,))
                    return result
        return None

    def _remember(self, args: tuple[object, ...], sources: list[Source], call: Call) -> None:
        """Let the next call of this kind take the short way, if one serves it."""
        count = len(args)
        if count > 2 or call.fill is not None or call.constants[0] is not OUTPUT or type(args[0]) not in PLAIN_TYPES:
            return
        if count == 1:
            if len(sources) == 1:
                self._one = call.plan
            return
        kind = type(args[1])
        if kind in PLAIN_TYPES:
            if len(self._twos) >= MOST_CALLS:
                self._twos = {}
            x, y = (source._array for source in sources if isinstance(source, Tensor))
            self._two = self._twos[x.shape, y.shape, x.dtype, y.dtype] = call.plan
        elif kind is int and len(sources) == 1:
            if len(self._with_int) >= MOST_CALLS:
                self._with_int.clear()
            self._with_int[args[1]] = call.plan  # type: ignore[index]  # it is an int
        elif kind in (int, float) and len(sources) == 2:
            names, rest, lifted = self._parameters
            self._takes_all = lifted[names[1 if rest is None else min(rest, 1)]]
            self._with_number[kind] = call.plan

    def run(
        self, args: tuple[object, ...], kwargs: dict[str, object], overwrites: Tensor | None = None
    ) -> tuple[object, list[Tensor]]:
        """The result, and the tensors in it. `overwrites` is written to afterwards: see `record`."""
        sources: list[Source] = []
        key: list[object] = []
        try:
            self._scan_all(args, kwargs, key, sources)
            call = self._calls.get(tuple(key))
        except TypeError as error:
            if "unhashable" not in str(error):
                raise
            call = None
        if call is None:
            narrow = float8.dtype_in(args, kwargs)
            if narrow is not None:
                return float8.run(self.name, narrow, self.run, args, kwargs)
            call = self._make(tuple(key), args, kwargs)
        plan = call.plan
        arrays: list[AnyArray] = []
        has_history = has_gpu = False
        for each in sources:
            if isinstance(each, Tensor):
                arrays.append(each._array)
                has_history = has_history or each._meta is not None
            else:
                arrays.append(each)
            if type(arrays[-1]) is not np.ndarray:
                has_gpu = True
        if has_gpu:
            refuse_mixed(self.name, sources)
        if WATCHING:
            see(sources)
        outputs: Any = None if WATCHING else plan.fast(*arrays)
        if type(outputs) is not tuple:
            outputs = run_in_layout(plan, arrays)
        if not (kwargs or WATCHING):
            self._remember(args, sources, call)
        results = [wrap(outputs[0])] if len(outputs) == 1 else [wrap(each) for each in outputs]
        if has_history:
            index = None if overwrites is None else next(i for i, each in enumerate(sources) if each is overwrites)
            record(plan, sources, results, overwrites=index)
        if call.fill is None and call.constants[0] is OUTPUT:
            return results[0], results
        return _filled(call, results), results

    def plan_for(self, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[Call, list[Source]]:
        """The plan that would serve a call, and its inputs; nothing runs."""
        sources: list[Source] = []
        key: list[object] = []
        self._scan_all(args, kwargs, key, sources)
        return self._calls.get(tuple(key)) or self._make(tuple(key), args, kwargs), sources

    def _scan_all(
        self, args: tuple[object, ...], kwargs: dict[str, object], key: list[object], sources: list[Source]
    ) -> None:
        names, rest, lifted = self._parameters
        for position, value in enumerate(args):
            kind = type(value)
            if kind in PLAIN_TYPES:
                array = value._array  # type: ignore[attr-defined]  # it is a tensor
                sources.append(value)  # type: ignore[arg-type]
                key += (array.dtype, array.shape)
                continue
            if kind in _STATIC:
                key += (kind, value)
                continue
            index = position if rest is None or position < rest else rest
            name = names[index] if index < len(names) else ""
            if kind is np.ndarray:
                self._refuse_array(name, position)
            _scan(value, lifted.get(name), key, sources)
        for name, value in kwargs.items():
            key.append(name)
            kind = type(value)
            if kind in _STATIC:
                key += (kind, value)
                continue
            if kind is np.ndarray:
                self._refuse_array(name, len(args))
            lift = lifted.get(ALIASES.get(name, name))
            if kind is float and _is_lifted(value, lift):
                key.append(float)
                sources.append(np.array(value))
            else:
                _scan(value, lift, key, sources)

    def _refuse_array(self, name: str, position: int) -> None:
        """Raise for an array in place of a tensor; operators take it."""
        if not self.name.startswith("__"):
            raise SignatureError(
                f"{self.name}(): argument '{name}' (position {position + 1}) must be Tensor, not numpy.ndarray",
                hint="graphc.from_numpy(array) is a tensor over its memory; graphc.compile makes functions of arrays",
            )

    def _make(self, key: tuple[object, ...], args: tuple[object, ...], kwargs: dict[str, object]) -> Call:
        slots: list[Slot] = []
        names, rest, lifted = self._parameters
        if refuses(self.entry.name, list(inspect.signature(self.entry.build).parameters.values()), args):
            raise SignatureError(f"{self.name}(): {REFUSED}", hint="make a tensor or bool of it")
        given: list[object] = []
        for position, value in enumerate(args):
            index = position if rest is None or position < rest else rest
            lift = lifted.get(names[index]) if index < len(names) else None
            given.append(_to_slots(value, lift, slots))
        named: dict[str, object] = {}
        for name, value in kwargs.items():
            known = name if name in names else ALIASES.get(name, name)
            named[known] = _to_slots(value, lifted.get(known), slots)
        types = tuple(slot.type for slot in slots)
        graph, structure, constants = self._build(given, named, slots, types)

        def rebuild(types: Sequence[TensorType]) -> Graph | None:
            graph, its_structure, its_constants = self._build(given, named, slots, types)
            return graph if (its_structure, its_constants) == (structure, constants) else None

        name = backward_name(self.entry.name, args, kwargs)
        # The key without sizes: a tuple in it is a shape, as other tuples are there by their entries.
        sizeless = tuple(tuple if type(each) is tuple else each for each in key)
        plan = Plan(graph, name, Recipe((self.entry.name, get_default_dtype(), sizeless), types, rebuild))
        call = Call(plan, structure, constants)
        with _lock:
            if len(self._calls) >= MOST_CALLS:
                for old in list(itertools.islice(self._calls, MOST_CALLS // 2)):
                    del self._calls[old]
            return self._calls.setdefault(key, call)

    def _build(
        self, given: Sequence[object], named: dict[str, object], slots: list[Slot], types: Sequence[TensorType]
    ) -> tuple[Graph, Structure, tuple[object, ...]]:
        """The entry's graph for inputs of these types, and how its outputs make the result."""
        inputs = [plan_input(index, type, slot.is_weak) for index, (slot, type) in enumerate(zip(slots, types))]
        nodes = dict(zip(slots, inputs))
        args = [_with_nodes(each, nodes) for each in given]
        kwargs = {name: _with_nodes(each, nodes) for name, each in named.items()}
        with using(None):  # the tape is shared by all calls of this kind, wherever they stand
            try:
                built = self.entry.build(*args, **kwargs)
            except Exception as error:
                cause: GraphcError | None = explain(self.entry, error, tuple(args), kwargs)
                if cause is None:
                    raise
                if isinstance(error, TypeError) and not isinstance(error, GraphcError):
                    cause = SignatureError(cause.message, hint=cause.hint)
                raise cause from None
        leaves, structure = flatten(built)
        outputs = tuple(leaf for leaf in leaves if isinstance(leaf, Node))
        constants = tuple(OUTPUT if isinstance(leaf, Node) else leaf for leaf in leaves)
        return Graph(self.name, tuple(inputs), outputs), structure, constants


def _filled(call: Call, results: list[Tensor]) -> object:
    if call.fill is None and call.constants[0] is OUTPUT:
        return results[0]
    found = iter(results)
    leaves = [next(found) if each is OUTPUT else each for each in call.constants]
    return leaves[0] if call.fill is None else call.fill(leaves)


def _scan(value: object, lift: bool | None, key: list[object], sources: list[Source]) -> None:
    """Add what a plan must know of an argument to its key, and what it computes with to its inputs."""
    if isinstance(value, Tensor):
        array = value._array
        sources.append(value)
        key += (array.dtype, array.shape)
        return
    kind = type(value)
    if kind is float or kind is int or kind is complex:
        if _is_lifted(value, lift):
            sources.append(_number(value))  # type: ignore[arg-type]  # it is a number
            key.append(kind)
        else:
            key += (kind, value)
        return
    if kind is list or kind is tuple or isinstance(value, list | tuple):
        key += (kind, len(value))  # type: ignore[arg-type]  # it has a length
        entries: Any = value
        if lift is None and {int}.issuperset(map(type, entries)):
            for each in entries:
                key += (int, each)
            return
        for index, each in enumerate(entries):
            if type(each) is np.ndarray and each.ndim:
                raise SignatureError(
                    f"expected Tensor as element {index} in argument 0, but got numpy.ndarray",
                    hint="graphc.from_numpy(array) is a tensor over its memory",
                )
            _scan(each, lift, key, sources)
        return
    if isinstance(value, slice):
        key.append(slice)
        for each in (value.start, value.stop, value.step):
            _scan(each, None, key, sources)
        return
    if isinstance(value, np.ndarray | np.generic):
        _scan(_from_numpy(value), lift, key, sources)
        return
    key += (kind, value)


def _to_slots(value: object, lift: bool | None, slots: list[Slot]) -> object:
    """The argument with slots in place of what a plan computes with; walks as `_scan` does."""
    if isinstance(value, Tensor):
        array = value._array
        slots.append(Slot(TensorType(array.shape, to_dtype(array.dtype)), False))
        return slots[-1]
    kind = type(value)
    if kind in _NUMBERS and _is_lifted(value, lift):
        slots.append(Slot(TensorType((), _NUMBERS[kind]), True))
        return slots[-1]
    if isinstance(value, list | tuple):
        found = [_to_slots(each, lift, slots) for each in value]
        return tuple(found) if isinstance(value, tuple) else found
    if isinstance(value, slice):
        return slice(*(_to_slots(each, None, slots) for each in (value.start, value.stop, value.step)))
    if isinstance(value, np.ndarray | np.generic):
        return _to_slots(_from_numpy(value), lift, slots)
    return value


def _with_nodes(value: object, nodes: dict[Slot, Node]) -> object:
    """The argument as the builder takes it."""
    if isinstance(value, Slot):
        return nodes[value]
    if isinstance(value, list | tuple):
        found = [_with_nodes(each, nodes) for each in value]
        return tuple(found) if isinstance(value, tuple) else found
    if isinstance(value, slice):
        return slice(*(_with_nodes(each, nodes) for each in (value.start, value.stop, value.step)))
    return value


def plan_input(index: int, type: TensorType, is_weak: bool) -> Node:
    """An input of a plan's graph; a weak one stands for a Python number, which changes no dtype."""
    node = make_input(f"x{index}", type)
    return Node(INPUT, (), (*node.attributes, ("weak", True)), type, node.location) if is_weak else node


def _is_lifted(value: object, lift: bool | None) -> bool:
    if lift is None or (type(value) is int and not -(1 << 63) <= value < 1 << 63):
        return False
    return lift or value not in _PLAIN or (value == 0 and type(value) is float)  # -0.0 would be taken for 0.0


def _number(value: complex) -> AnyArray:
    return np.array(value)


def _from_numpy(value: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | np.generic) -> object:
    """A numpy scalar as a Python number, an array as a tensor over the same memory."""
    return value.item() if isinstance(value, np.generic) else wrap_constant(value)


@functools.cache
def function_of(name: str) -> EagerFunction:
    """The eager form of a table entry."""
    return EagerFunction(functions()[name])


def _forget_all() -> None:
    for each in _ALL:
        each.forget()


when_default_changes(_forget_all)
when_precision_changes(_forget_all)
