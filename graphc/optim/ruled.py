"""Optimizers whose step is one rule for every parameter.

In: a `Rule`, and what a subclass says of its options and states. Out: `step`, which runs one native call for each
parameter that has a gradient, or on a GPU one program for all of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from graphc.eager.geometry import is_dense
from graphc.eager.memory import new_array
from graphc.eager.mode import enable_grad
from graphc.eager.placement import gpu_of, on
from graphc.eager.tensor import AnyArray, Tensor, wrap_constant
from graphc.eager.watch import WATCHING, depends
from graphc.optim.optimizer import Optimizer, _get_scalar_dtype, _use_grad_for_differentiable
from graphc.optim.rule import Group, Numbers, Options, Rule
from graphc.optim.together import Change, update_all

__all__ = ["RuledOptimizer"]

State = dict[str, Any]


class RuledOptimizer(Optimizer):
    """The base of optimizers that apply a rule; a subclass says which, and which states it has."""

    _rule: ClassVar[Rule]
    _scalars: ClassVar[tuple[str, ...]] = ("step",)
    """States without dimensions, which older versions saved as numbers."""
    _loaded: ClassVar[Mapping[str, Any]] = {}
    """Options that saved groups of older versions may lack."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in self._loaded.items():
                group.setdefault(key, value)
            for param in group["params"]:
                its = self.state.get(param) or {}
                for name in self._scalars:
                    if name in its and not isinstance(its[name], Tensor):
                        its[name] = scalar(its[name], group, param)

    @_use_grad_for_differentiable
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.

        `closure` computes the loss and its gradients again; its result is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        states = self.state
        if WATCHING:
            depends(self._kinds)
        for group, numbers in zip(self.param_groups, self._numbers()):
            numbers.read()
            options, names = self._options(group), self._states(group)
            changes: list[Change] = []
            for param in group["params"]:
                grad = param.grad
                if grad is not None:
                    state = states[param] if names else {}
                    changes.append(self._change(param, grad, state, options, names, numbers))
            update_all(self._rule, changes, numbers)
        return loss

    def _kinds(self) -> object:
        """All that a step depends on besides tensors and numbers."""
        return [
            (self._options(group), self._states(group), len(group["params"]), numbers.kinds)
            for group, numbers in zip(self.param_groups, self._numbers())
        ]

    def _change(
        self, param: Tensor, grad: Tensor, state: State, options: Options, names: tuple[str, ...], numbers: Numbers
    ) -> Change:
        """What the rule is to do for one parameter."""
        if not state and names:
            self._start(param, state, numbers.group)
        return Change(options, (param, *[state[name] for name in names]), grad)

    def _options(self, group: Group) -> Options:
        """The values of the rule's options."""
        raise NotImplementedError

    def _states(self, group: Group) -> tuple[str, ...]:
        """The names of the states that the rule takes, in its order."""
        raise NotImplementedError

    def _start(self, param: Tensor, state: State, group: Group) -> None:
        """Make the states of a parameter before its first step: those of `_states`, of zeros."""
        for name in self._states(group):
            state[name] = scalar(0.0, group, param) if name in self._scalars else zeros_like(param)

    def _numbers(self) -> list[Numbers]:
        """The numbers of each group; kept as long as the groups are the same."""
        known: list[Numbers] = self.__dict__.get("_group_numbers", [])
        groups = self.param_groups
        if len(known) != len(groups) or any(each.group is not group for each, group in zip(known, groups)):
            known = [Numbers(group, self._rule.numbers) for group in groups]
            self.__dict__["_group_numbers"] = known
        return known


def scalar(value: float, group: Group, param: Tensor) -> Tensor:
    """A state without dimensions, such as the count of steps, where the parameter is: no step waits for a GPU."""
    is_fused = bool(group.get("fused") or group.get("capturable"))
    return wrap_constant(on(np.array(float(value), _get_scalar_dtype(is_fused).numpy), gpu_of(param._array)))


def _like(array: AnyArray, value: complex) -> AnyArray:
    """The value everywhere, in an array at the same strides in the same place."""
    if type(array) is np.ndarray:
        return np.full_like(array, value)
    strides = array.strides if is_dense(array) else None
    result = new_array(array.shape, array.dtype, strides, gpu_of(array))
    result.fill(value)
    return result


def zeros_like(param: Tensor) -> Tensor:
    """A state with an element for each of the parameter's, at the same strides."""
    return wrap_constant(_like(param._array, 0))


def full_like(param: Tensor, value: float) -> Tensor:
    """A state with the value for each of the parameter's elements; of a complex one for both parts."""
    array = param._array
    return wrap_constant(_like(array, complex(value, value) if array.dtype.kind == "c" else value))
