"""Calling a module with other values for its parameters and buffers.

In: a module, values by dotted name, arguments. Out: what the module gives with them; the module is as before.

>>> import graphc
>>> from graphc import nn
>>> layer = nn.Linear(1, 1, bias=False)
>>> call_with(layer, {"weight": graphc.tensor([[3.0]])}, (graphc.tensor([2.0]),))
tensor([6.])
"""

from __future__ import annotations

import collections
import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphc.eager.tensor import Tensor
from graphc.nn.module import Module
from graphc.nn.parts import KINDS

__all__ = ["functional_call"]

_MISSING = object()


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Any],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """The old place of `func.functional_call`."""
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a future "
        "version of PyTorch. Please use `torch.func.functional_call` instead which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return call_with(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)


def call_with(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """What the module gives for the arguments with these values in place of its own.

    One dictionary, or several with different names. What is not given is the module's own; with `strict` all must be.
    A parameter that has several names needs a value for one of them, unless `tie_weights` is False. Buffers that the
    module replaces are replaced in the dictionary. Raises RuntimeError for names that don't fit, ValueError for
    different values of one tied parameter.
    """
    values = _merged(parameter_and_buffer_dicts)
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _values_in_place(module, values, tie_weights, strict):
        return module(*args, **(kwargs or {}))


def _merged(given: Any) -> dict[str, Any]:
    if isinstance(given, dict):
        return given
    if not isinstance(given, Sequence):
        raise ValueError(
            f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(given)}"
        )
    if not all(isinstance(each, dict) for each in given):
        raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
    names = collections.Counter(name for each in given for name in each)
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
    return {name: value for each in given for name, value in each.items()}


@contextlib.contextmanager
def _values_in_place(module: Module, values: dict[str, Any], tie_weights: bool, strict: bool) -> Iterator[None]:
    """In this block the module has these values; after it its own again."""
    untied = _untied(module, values) if tie_weights else values
    if strict:
        _check_names(module, values, untied)
    before = [(name, _swap(module, name, value)) for name, value in untied.items()]
    try:
        yield
    finally:
        for name, value in reversed(before):
            after = _swap(module, name, value)
            if name in values and after is not _MISSING:
                values[name] = after


def _untied(module: Module, values: dict[str, Any]) -> dict[str, Any]:
    """The values, where each name of a parameter that has several has the value of the one that is given."""
    names_of: dict[int, list[str]] = {}
    for members in (module.named_parameters, module.named_buffers):
        for name, tensor in members(remove_duplicate=False):
            names_of.setdefault(id(tensor), []).append(name)
    found = dict(values)
    for names in names_of.values():
        given = [name for name in names if name in values]
        if len(names) < 2 or not given:
            continue
        if any(values[name] is not values[given[0]] for name in given):
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(given)}, which are tied. Consider using "
                "tie_weights=False"
            )
        found.update(dict.fromkeys(names, values[given[0]]))
    return found


def _check_names(module: Module, values: dict[str, Any], untied: dict[str, Any]) -> None:
    own = {
        name
        for members in (module.named_parameters, module.named_buffers)
        for name, _ in members(remove_duplicate=False)
    }
    problems = []
    unexpected = [name for name in values if name not in own]
    missing = [name for name in sorted(own) if name not in untied]
    if unexpected:
        problems.append(f"Unexpected key(s): {', '.join(map(repr, unexpected))}.")
    if missing:
        problems.append(f"Missing key(s): {', '.join(map(repr, missing))}.")
    if problems:
        lines = "\n\t".join(problems)
        raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t{lines}")


def _swap(module: Module, name: str, value: Any) -> Any:
    """Put a value in the place of this dotted name, and give what was there."""
    path, _, last = name.rpartition(".")
    owner: Any = module.get_submodule(path)
    if value is not _MISSING and value is not None and not isinstance(value, Tensor):
        raise TypeError(f"{value} is not an instance of torch.Tensor")
    for kind in KINDS[:2]:
        place = owner.__dict__[kind]
        if last in place:
            found = place[last]
            if value is _MISSING:
                del place[last]
            else:
                place[last] = value
            owner._tell(last)
            return found
    found = getattr(owner, last, _MISSING)
    if value is _MISSING:
        if found is not _MISSING:
            delattr(owner, last)
    else:
        setattr(owner, last, value)
    return found
