"""The steps of all parameters of a group: on a GPU one program, elsewhere a native call for each of them.

In: a rule, and for each parameter its options, what it changes and what it reads. Out: the tensors changed in place, as
`graphc.optim.rule.update` would change them one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphc.eager.mode import MODE
from graphc.eager.placement import gpu_of
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.together import can_run_together, run_together
from graphc.eager.view import view_as_real
from graphc.eager.watch import WATCHING
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.replace import inline
from graphc.ir.type import TensorType
from graphc.optim.rule import Numbers, Options, Rule, plan_for, update


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What a rule is to do for one parameter."""

    options: Options
    targets: tuple[Tensor, ...]
    """The parameter, and its states as the rule takes them."""
    gradient: Tensor


def update_all(rule: Rule, changes: Sequence[Change], numbers: Numbers) -> None:
    """Let the rule make all changes."""
    left: Iterable[Change] = changes
    if len(changes) > 1 and not (MODE.grad or WATCHING):
        on_gpus: dict[int | None, list[Change]] = {}
        for change in changes:
            on_gpus.setdefault(gpu_of(change.targets[0]._array), []).append(change)
        left = on_gpus.pop(None, [])
        for gpu, group in on_gpus.items():
            real = [_real(change) for change in group]
            targets = [target for change in real for target in change.targets]
            are_plain = can_run_together(targets, [change.gradient for change in real])
            if gpu is None or not are_plain or not all(_fits(rule, change) for change in real):
                left = [*left, *group]
                continue
            _update_together(rule, real, numbers, gpu)
            for target in targets:
                target._storage.version += 1
    for change in left:
        update(rule, change.options, change.targets, (change.gradient,), numbers)


def _real(change: Change) -> Change:
    """Complex tensors as pairs of real numbers."""
    if change.targets[0]._array.dtype.kind != "c":
        return change
    targets = [view_as_real(each) if each._array.dtype.kind == "c" else each for each in change.targets]
    return Change(change.options, tuple(targets), view_as_real(change.gradient))


def _fits(rule: Rule, change: Change) -> bool:
    """Whether gradient and states have shapes that fit the parameter; `update` says which do not."""
    shape = change.targets[0]._array.shape
    arrays = [each._array for each in (*change.targets, change.gradient)]
    return not rule.is_elementwise or all(array.shape == shape or not array.ndim for array in arrays)


def _arrays(rule: Rule, change: Change) -> list[AnyArray]:
    """What is changed, and the gradient; rows of one element instead of what has no dimensions, but for counts."""
    found = [each._array for each in (*change.targets, change.gradient)]
    if rule.is_elementwise and not found[0].ndim:
        found = [x if 0 < place <= rule.scalars else x.reshape(1) for place, x in enumerate(found)]
    return found


def _update_together(rule: Rule, changes: Sequence[Change], numbers: Numbers, gpu: int) -> None:
    arrays = [_arrays(rule, change) for change in changes]

    def build(types: Sequence[TensorType]) -> Graph:
        inputs = [make_input(f"x{number}", type) for number, type in enumerate(types)]
        targets, gradients = iter(inputs), iter(inputs[sum(len(change.targets) for change in changes) :])
        shared = inputs[len(inputs) - len(numbers.arrays) :]
        outputs: list[Node] = []
        for change, each in zip(changes, arrays):
            plan = plan_for(rule, change.options, change.targets, (change.gradient,), numbers)
            graph = plan.of_shapes([array.shape for array in each])
            own = [next(targets) for _ in change.targets]
            outputs += inline(graph, (*own, next(gradients), *shared))
        return Graph(rule.function.__name__, tuple(inputs), tuple(outputs))

    kind = (rule, *[(change.options, len(change.targets)) for change in changes])
    changed = [array for each in arrays for array in each[:-1]]
    run_together(kind, build, changed, [*(each[-1] for each in arrays), *numbers.on_gpu(gpu)])
