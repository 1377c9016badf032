"""Update rules: how one step changes a parameter, written once as a pure function and run by one native call.

In: a function over symbolic tensors, the tensors it changes, those it reads, and the hyperparameters of a group. Out:
the tensors changed in place. A rule is traced once for each choice of options and dtypes; hyperparameters are inputs
of its graph, so that a learning rate that changes compiles nothing. A rule that treats every element alike sees tensors
as one row of symbolic length, and one native program serves parameters of all sizes.

    def descend(param, grad, *, lr):
        return (param - lr * grad,)

    DESCEND = Rule(descend, {"lr": "lr"})
    update(DESCEND, (), (weight,), (weight.grad,), Numbers(group, DESCEND.numbers))

A rule takes a parameter, its gradient, states without dimensions such as the count of steps, and states as large as the
parameter; then its numbers and options by name. It returns the new parameter and states in that order. Numbers are
float64 and float16 elements are computed with as float32, so that only results are rounded to the dtype of a tensor.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from graphc.eager.dispatch import function_of
from graphc.eager.guard import shorten
from graphc.eager.inplace import assign, check_writable
from graphc.eager.mode import MODE
from graphc.eager.placement import common_gpu, copy_into, copy_of, mismatch, on
from graphc.eager.plan import Plan
from graphc.eager.program import Recipe, place_for
from graphc.eager.record import Source, apply, see
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.together import reach_of
from graphc.eager.view import view_as_real
from graphc.eager.watch import WATCHING, overwritten, watcher
from graphc.frontend.executable import Executable
from graphc.frontend.place import Place as DevicePlace
from graphc.frontend.size import SymbolicSize
from graphc.frontend.tensor import SymbolicTensor, call, constant, to_node
from graphc.ir.dim import Size, symbol
from graphc.ir.dtype import DType, bf16, f16, f32, f64
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ShapeError
from graphc.ir.graph import Graph, make_input
from graphc.ir.location import using
from graphc.ir.settings import settings
from graphc.ir.sizes import fix_sizes
from graphc.ir.type import TensorType
from graphc.ops.function import functions

Value: TypeAlias = Any
"""A symbolic tensor while a rule is traced."""
Group: TypeAlias = "dict[str, Any]"
Place: TypeAlias = "str | tuple[str, int]"
"""Where a group has a number: under a key, or in the tuple under a key."""
Options: TypeAlias = "tuple[Hashable, ...]"

MOST_PLANS = 4096
"""Plans that are remembered; with parameters of ever new sizes there may be any number."""
MOST_PLACES = 16
"""GPUs and streams for which a group's numbers are kept there."""
_lock = threading.RLock()


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """An update, what it computes with, and the plans made of it."""

    function: Callable[..., tuple[Value, ...]]
    numbers: Mapping[str, Place]
    """Parameters that are numbers, and where a group has them."""
    options: tuple[str, ...] = ()
    """Parameters that choose what is computed."""
    scalars: int = 0
    """How many states have no dimensions; they come before the others."""
    is_elementwise: bool = True
    """Whether it treats each element alike; else it is told the shapes."""
    plans: dict[Hashable, RulePlan] = field(default_factory=dict)
    shared: dict[Hashable, SharedProgram] = field(default_factory=dict)


class Numbers:
    """The hyperparameters of a group that a rule computes with, and where each comes from."""

    __slots__ = ("_moved", "_values", "arrays", "group", "kinds", "places")

    def __init__(self, group: Group, places: Mapping[str, Place]) -> None:
        self.group = group
        self.places = tuple(places.values())
        """In the order of the rule's numbers."""
        self.arrays: list[AnyArray] = [_ZERO] * len(self.places)
        """The numbers as float64 arrays without dimensions; a tensor in the group is there with its own memory."""
        self.kinds: tuple[object, ...] = ()
        """Their dtypes."""
        self._values: list[object] = [None] * len(self.places)
        self._moved: dict[Hashable, list[tuple[AnyArray, AnyArray]]] = {}
        """For a GPU the numbers of the host that were copied there last, and the copies."""

    def read(self) -> None:
        """Take the numbers that the group has now."""
        group, values = self.group, self._values
        is_new = False
        for index, place in enumerate(self.places):
            value = group[place] if type(place) is str else group[place[0]][place[1]]
            if value is not values[index] or (type(value) is not float and isinstance(value, Tensor)):
                values[index] = value
                self.arrays[index] = _number(value)
                is_new = True
        if is_new:
            self.kinds = tuple([array.dtype for array in self.arrays])

    def on_gpu(self, gpu: int) -> list[AnyArray]:
        """The numbers on a GPU; those that stay the same are copied once."""
        key = reach_of(gpu)
        if key is None:
            return [on(array, gpu) for array in self.arrays]
        known = self._moved.get(key, [(_ZERO, _ZERO)] * len(self.arrays))
        if key not in self._moved and len(self._moved) >= MOST_PLACES:
            self._moved.clear()
        self._moved[key] = [
            pair if pair[0] is array and not isinstance(value, Tensor) else (array, on(array, gpu))
            for array, value, pair in zip(self.arrays, self._values, known, strict=True)
        ]
        return [moved for _, moved in self._moved[key]]

    def tell(self) -> None:
        """Tell who watches where the numbers come from."""
        found = watcher()
        if found is not None:
            for value, array, place in zip(self._values, self.arrays, self.places):
                if isinstance(value, Tensor):
                    found.seen(value)
                else:
                    found.number(array, self.group, place)

    @property
    def sources(self) -> list[Source]:
        """The numbers as what a plan computes with: tensors as they are, which may require gradients."""
        return [
            function_of("reshape")(value, ()) if isinstance(value, Tensor) else array  # type: ignore[misc]  # a tensor
            for value, array in zip(self._values, self.arrays)
        ]


_ZERO = np.zeros(())


def _number(value: object) -> AnyArray:
    if isinstance(value, Tensor):
        return value._array.reshape(())
    return np.array(0.0 if value is None else float(value))  # type: ignore[arg-type]  # it is a number


class SharedProgram:
    """A rule for rows of any length; it writes results to the memory of its targets where it can."""

    __slots__ = ("_executables", "_of_shapes", "_trace", "graph")

    def __init__(self, graph: Graph, trace: Callable[[Sequence[TensorType]], Graph]) -> None:
        self.graph = graph
        self._trace = trace
        self._executables: dict[DevicePlace | None, Executable] = {}
        self._of_shapes: dict[Hashable, Graph] = {}

    def of_shapes(self, shapes: Sequence[tuple[int, ...]]) -> Graph:
        """The rule for targets and sources of these shapes, where it is a part of something else."""
        key = tuple(shapes)
        found = self._of_shapes.get(key)
        if found is None:
            numbers = self.graph.inputs[len(key) :]
            types = [node.tensor.with_shape(shape) for node, shape in zip(self.graph.inputs, key)]
            found = self._of_shapes[key] = self._trace([*types, *(node.tensor for node in numbers)])
        return found

    def bound(self, gpu: int | None = None) -> Executable:
        """The code of a GPU or the CPU, made when it is first asked for, with a way in of its own for one length."""
        place = None if gpu is None else place_for(gpu)
        with _lock:
            found = self._executables.get(place)
            if found is None:
                targets = range(len(self.graph.outputs))
                found = Executable.build(self.graph, donated=dict(zip(targets, targets)), place=place)
                self._executables[place] = found
        return found.bound()


class RulePlan(Plan):
    """A rule for tensors of certain types: takes targets, sources and numbers, and gives new values of the targets."""

    __slots__ = ("_returned", "_shared", "flattens")

    def __init__(self, graph: Graph, name: str, shared: SharedProgram | None, recipe: Recipe | None = None) -> None:
        super().__init__(graph, name, recipe)
        self._shared = shared
        self.flattens = shared is not None
        """Whether tensors of two and more dimensions are passed as one row."""
        self._returned: Sequence[int] = range(len(graph.outputs))
        """The targets whose new values the code returns; those of the others it writes in place."""

    def of_shapes(self, shapes: Sequence[tuple[int, ...]]) -> Graph:
        """The graph for targets and sources of these shapes, as they are before they are passed as rows."""
        return self.graph if self._shared is None else self._shared.of_shapes(shapes)

    @property
    def executable(self) -> Executable:
        """The native code; made when first asked for."""
        if self._shared is None:
            return super().executable
        if self._executable is None:
            self._executable = self._shared.bound()
            in_place = dict(self._executable.program.in_place)
            self._returned = [index for index in self._returned if index not in in_place]
            self.fast = self._executable.fast
        return self._executable

    def on_gpu(self, gpu: int) -> Executable:
        """The code for a GPU; made when first asked for."""
        if self._shared is None:
            return super().on_gpu(gpu)
        key = gpu, settings().cuda_driver
        found = self._on_gpus.get(key)
        if found is None:
            found = self._on_gpus[key] = self._shared.bound(gpu)
        return found

    def run_into(self, arrays: Sequence[AnyArray]) -> None:
        """Run on contiguous arrays; the first, those of the targets, get the new values."""
        rest = self.fast(*arrays)
        gpu = None
        if type(rest) is not tuple:
            gpu = common_gpu(arrays)
            if gpu is not None:
                _refuse_host(arrays, gpu)
            rest = self._run_slowly(arrays)
        count = len(self.graph.outputs)
        returned = self._returned
        if gpu is not None:
            in_place = dict(self.on_gpu(gpu).program.in_place)
            returned = [index for index in range(count) if index not in in_place]
        for index, output in zip(returned if len(rest) < count else range(count), rest):
            copy_into(arrays[index], output)

    def run_on_copies(self, arrays: Sequence[AnyArray]) -> tuple[AnyArray, ...]:
        """The new values of the targets, as new arrays."""
        count = len(self.graph.outputs)
        results = tuple([copy_of(each) for each in arrays[:count]])
        rest = [each if each.flags.c_contiguous else copy_of(each) for each in arrays[count:]]
        self.run_into([*results, *rest])
        return results

    def run(self, arrays: Sequence[AnyArray]) -> tuple[AnyArray, ...]:
        """The same, told to who watches."""
        results = self.run_on_copies(arrays)
        if WATCHING:
            found = watcher()
            if found is not None:
                found.computed(self.graph, arrays, results)
        return results


def update(
    rule: Rule, options: Options, targets: Sequence[Tensor], sources: Sequence[Tensor], numbers: Numbers
) -> None:
    """Let the rule change `targets`: the parameter, and its states as the rule takes them.

    `sources` are read only: the gradient. Complex tensors are pairs of real numbers. While gradients are recorded the
    change is recorded too; raises AutogradError where a target is a leaf that requires one.
    """
    if targets[0]._array.dtype.kind == "c":
        targets, sources = _real(targets), _real(sources)
    plan = plan_for(rule, options, targets, sources, numbers)
    if MODE.grad:
        _record_rule(plan, rule, targets, sources, numbers)
    else:
        run_rule(plan, targets, sources, numbers)


def run_rule(plan: RulePlan, targets: Sequence[Tensor], sources: Sequence[Tensor], numbers: Numbers) -> None:
    """Run the plan on the tensors and the numbers, and write the results to the targets.

    Raises ShapeError where a state has another shape than the parameter.
    """
    if WATCHING:
        see((*targets, *sources))
        numbers.tell()
    arrays = [each._array for each in (*targets, *sources)]
    is_copied = WATCHING or False in [array.flags.carray for array in arrays]
    given = arrays
    if plan.flattens:
        shape = arrays[0].shape
        for array in arrays:
            if array.shape != shape and array.ndim:
                raise _misfit(array.shape, shape)
        if len(shape) > 1:
            arrays = [array if array.ndim < 2 else array.reshape(-1) for array in arrays]
    arrays += numbers.arrays
    if is_copied:
        results = [output.reshape(each.shape) for each, output in zip(given, plan.run_on_copies(arrays))]
        found = watcher() if WATCHING else None
        if found is not None:
            graph = plan.of_shapes([each.shape for each in given])
            found.computed(graph, [*given, *numbers.arrays], results)
        for target, values in zip(targets, results):
            if found is not None:
                overwritten(target._array, values)
            copy_into(target._array, values)
    else:
        plan.run_into(arrays)
    for target in targets:
        target._storage.version += 1


def _refuse_host(arrays: Sequence[AnyArray], gpu: int) -> None:
    """Raise DeviceMismatch where a GPU's parameter has a state or a gradient on the host."""
    if any(type(array) is np.ndarray and array.ndim for array in arrays):
        raise mismatch(f"cuda:{gpu}", "cpu")


def _misfit(state: tuple[int, ...], shape: tuple[int, ...]) -> ShapeError:
    """The error for a state of another shape than its parameter."""
    text = f"output with shape {list(state)} doesn't match the broadcast shape "
    for axis in range(-1, -min(len(state), len(shape)) - 1, -1):
        a, b = state[axis], shape[axis]
        if a != b and 1 not in (a, b):
            place = max(len(state), len(shape)) + axis
            text = (
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {place}"
            )
            break
    else:
        text += str(list(np.broadcast_shapes(state, shape)))
    error = ShapeError(text, hint="this is the state of another parameter: load that of the same model")
    shorten(error)
    return error


def _record_rule(
    plan: RulePlan, rule: Rule, targets: Sequence[Tensor], sources: Sequence[Tensor], numbers: Numbers
) -> None:
    """As `run_rule`, and enter the change of the parameter and its states into the tape."""
    reshape = function_of("reshape")
    for target in targets:
        check_writable(target, target.requires_grad)
    given: list[Any] = [*targets, *sources]
    if plan.flattens:
        given = [reshape(each, (-1,)) if each._array.ndim > 1 else each for each in given]
    results = apply(plan, [*given, *numbers.sources])
    for index, (target, result) in enumerate(zip(targets, results)):
        if 0 < index <= rule.scalars:  # a count of steps has no gradient
            result = result.detach()  # type: ignore[attr-defined]  # a method of the table
        assign(target, reshape(result, target._array.shape))  # type: ignore[arg-type]  # one tensor


def where(condition: Value, chosen: Value, other: Value) -> Value:
    """Of each element one of two, while a rule is traced."""
    return call(functions()["where"], (condition, chosen, other), {})


def number(value: float | SymbolicSize) -> Value:
    """A number, or a size that need not be known, as float64 while a rule is traced."""
    if isinstance(value, SymbolicSize):
        size: Value = SymbolicTensor(to_node(value))
        return size.double()
    return SymbolicTensor(constant(value, f64))


def _real(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [view_as_real(each) if each._array.dtype.kind == "c" else each for each in tensors]


def plan_for(
    rule: Rule, options: Options, targets: Sequence[Tensor], sources: Sequence[Tensor], numbers: Numbers
) -> RulePlan:
    """The plan for tensors of these types and numbers of these kinds."""
    first = targets[0]._array
    size: object = (first.size if first.ndim else -1) if rule.is_elementwise else first.shape
    key = (options, size, numbers.kinds, *[each._array.dtype for each in targets], sources[0]._array.dtype)
    plan = rule.plans.get(key)
    if plan is None:
        if len(rule.plans) >= MOST_PLANS:
            rule.plans.clear()
        plan = rule.plans[key] = _make(rule, options, [each._array for each in (*targets, *sources)], numbers)
    return plan


def _make(rule: Rule, options: Options, arrays: Sequence[AnyArray], numbers: Numbers) -> RulePlan:
    dtypes = [to_dtype(array.dtype) for array in (*arrays, *numbers.arrays)]
    name = f"{rule.function.__name__.title().replace('_', '')}Backward"
    if not rule.is_elementwise:
        types = tuple(TensorType(array.shape, dtype) for array, dtype in zip((*arrays, *numbers.arrays), dtypes))

        def rebuild(types: Sequence[TensorType]) -> Graph:
            return trace(rule, options, types)

        recipe = Recipe((rule.function, options, tuple(dtypes)), types, rebuild)
        return RulePlan(rebuild(types), name, None, recipe)
    has_rows = arrays[0].ndim > 0
    shared = _shared_program(rule, options, dtypes, has_rows)
    graph = fix_sizes(shared.graph, {"n": arrays[0].size}) if has_rows else shared.graph
    return RulePlan(graph, name, shared)


def _shared_program(rule: Rule, options: Options, dtypes: Sequence[DType], has_rows: bool) -> SharedProgram:
    """The program for rows of any length, or for tensors without dimensions."""
    key = (options, tuple(dtypes), has_rows)
    with _lock:
        found = rule.shared.get(key)
        if found is None:
            row: tuple[Size, ...] = (symbol("n", 0),) if has_rows else ()
            count = len(dtypes) - len(rule.numbers)
            shapes = [() if 0 < index <= rule.scalars or index >= count else row for index in range(len(dtypes))]
            types = [TensorType(shape, dtype) for shape, dtype in zip(shapes, dtypes)]
            found = rule.shared[key] = SharedProgram(trace(rule, options, types), partial(trace, rule, options))
        return found


def trace(rule: Rule, options: Options, types: Sequence[TensorType]) -> Graph:
    """The rule's graph for targets, a gradient and numbers of these types."""
    names = [*inspect.signature(rule.function).parameters]
    del names[1]  # targets come first
    count = len(types) - len(rule.numbers) - 1
    with using(None):
        labels = [*names[:count], "grad", *rule.numbers]
        inputs = [make_input(label, type) for label, type in zip(labels, types, strict=True)]
        values: list[Value] = []
        for index, (node, type) in enumerate(zip(inputs, types)):
            value: Value = SymbolicTensor(node)
            if index > count:
                value = value.to(f64)
            elif not 0 < index <= rule.scalars:
                value = value.to(f32) if type.dtype in (f16, bf16) else value
                value = value if type.shape else value.reshape((1,))  # numbers must not widen it
            values.append(value)
        param, *states = values[:count]
        results = rule.function(
            param,
            values[count],
            *states,
            **dict(zip(rule.numbers, values[count + 1 :])),
            **dict(zip(rule.options, options, strict=True)),
        )
        outputs = [
            each.to(type.dtype).reshape(type.shape) if each.shape != type.shape else each.to(type.dtype)
            for each, type in zip(results, types[:count], strict=True)
        ]
    return Graph(rule.function.__name__, tuple(inputs), tuple(each.node for each in outputs))
