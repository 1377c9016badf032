"""An optimizer that works on other parameters and states for a while.

In: tensors, and a state dict that goes with them. Out: a block in which the optimizer has them.

    with swap_in_optimizer_params_and_state(optimizer, dict(twin.named_parameters()), state):
        optimizer.step()
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from graphc.eager.tensor import Tensor
from graphc.optim.optimizer import Optimizer

_NAME = "swap_in_optimizer_params_and_state"


@contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer, swapin_parameters: Mapping[str, Tensor], swapin_optim_state: dict[str, Any]
) -> Generator[None]:
    """Let the optimizer have these parameters, in the order of its own, and what `state_dict` gave for such.

    What steps write to the tensors stays; all else is undone at the end. Raises RuntimeError where the state is not
    one of an optimizer with the same groups, and for an optimizer that has no state yet.
    """
    state, groups = _check(optimizer, swapin_optim_state)
    given = list(swapin_parameters.values())
    swapped: defaultdict[Any, Any] = defaultdict(dict)
    params: list[list[Tensor]] = []
    start = 0
    for group in groups:
        numbers = group["params"]
        if start + len(numbers) > len(given):
            raise RuntimeError(
                f"{_NAME} requires the explicit parameter state to match optimizer.param_groups ordering."
            )
        params.append(given[start : start + len(numbers)])
        start += len(numbers)
        for param, number in zip(params[-1], numbers):
            swapped[param] = dict(state.get(number, {}))
    extra = [key for key in state if not any(key in group["params"] for group in groups)]
    if extra:
        raise RuntimeError(
            f"{_NAME} requires swapin_optim_state['state'] to be keyed only by packed parameter ids from "
            f"param_groups[*]['params']; got extra keys {extra!r}."
        )
    before, state_before = [dict(group) for group in optimizer.param_groups], optimizer.state
    try:
        for live, group, its in zip(optimizer.param_groups, groups, params):
            live.update({**group, "params": its})
        optimizer.state = swapped
        yield
    finally:
        for live, kept in zip(optimizer.param_groups, before):
            live.clear()
            live.update(kept)
        optimizer.state = state_before


def _check(optimizer: Optimizer, found: object) -> tuple[dict[Any, Any], list[dict[str, Any]]]:
    """The state and the groups of a state dict that fits the optimizer."""
    if not optimizer.state:
        raise RuntimeError(f"{_NAME} requires initialized optimizer state.")
    if not isinstance(found, dict):
        raise RuntimeError(f"{_NAME} requires a DCP-style optimizer state_dict.")
    state, groups = found.get("state"), found.get("param_groups")
    if not isinstance(state, dict):
        raise RuntimeError(
            f"{_NAME} requires swapin_optim_state['state'] to be a dict mapping packed parameter ids to per-param "
            f"state dicts, got {type(state).__name__}."
        )
    if any(isinstance(key, Tensor) for key in state):
        raise RuntimeError(f"{_NAME} requires optimizer.state_dict()-style state keyed by packed parameter ids.")
    if any(isinstance(key, int) and not isinstance(value, dict) for key, value in state.items()):
        raise RuntimeError(f"{_NAME} requires per-parameter optimizer state entries to be dictionaries.")
    if not isinstance(groups, list):
        raise RuntimeError(
            f"{_NAME} requires swapin_optim_state['param_groups'] to be a list of param-group dicts, got "
            f"{type(groups).__name__}."
        )
    if len(optimizer.param_groups) != len(groups):
        raise RuntimeError("swapin_optim_state has a different number of parameter groups than the live optimizer.")
    for index, (live, group) in enumerate(zip(optimizer.param_groups, groups)):
        _check_group(index, live, group)
    return state, groups


def _check_group(index: int, live: dict[str, Any], group: object) -> None:
    if not isinstance(group, dict):
        raise RuntimeError(f"{_NAME} requires each optimizer param group to be a dictionary.")
    numbers = group.get("params")
    if not isinstance(numbers, list) or not all(isinstance(each, int) for each in numbers):
        raise RuntimeError(
            f"{_NAME} requires optimizer.state_dict()-style param_groups[*]['params'] entries keyed by packed "
            "parameter ids."
        )
    if len(live["params"]) != len(numbers):
        raise RuntimeError(
            f"swapin_optim_state param group {index} has a different number of params than the live optimizer param "
            "group."
        )
    added, missing = [key for key in group if key not in live], [key for key in live if key not in group]
    if added or missing:
        raise RuntimeError(
            f"{_NAME} requires optimizer.state_dict()-style param group keys to exactly match the live optimizer group "
            f"keys for group {index}. Keys only in swap-in: {added}. Keys only in live: {missing}."
        )
