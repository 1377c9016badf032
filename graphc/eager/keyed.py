"""Functions of the table that need a key: called without one, they take the next of the default generator.

In: the arguments of `dropout` and its kin. Out: tensors with gradients: the key decides which elements are dropped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from graphc.eager.dispatch import function_of
from graphc.eager.inplace import assign, check_writable
from graphc.eager.placement import gpu_of
from graphc.eager.sampling import key_of
from graphc.eager.tensor import Tensor
from graphc.ops.function import functions


def _keyed(name: str) -> Callable[..., object]:
    function = function_of(name)
    parameters = inspect.signature(functions()[name].build).parameters
    switch = next((each for each in ("training", "train") if each in parameters), None)
    place = list(parameters).index(switch) if switch is not None else 0
    default = parameters[switch].default if switch is not None else True

    def call(*args: object, generator: object = None, key: object = None, **kwargs: object) -> object:
        if switch is not None:
            if "train" in kwargs and switch not in kwargs:
                kwargs[switch] = kwargs.pop("train")
            is_on = args[place] if len(args) > place else kwargs.get(switch, default)
            if not is_on:
                return function(*args, **kwargs)
        gpu = next((gpu_of(each._array) for each in args if isinstance(each, Tensor)), None)
        return function(*args, key=key_of(name, generator, key, gpu=gpu), **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = functions()[name].build.__doc__
    return call


def keyed_functions(known: Callable[[str], bool]) -> dict[str, Callable[..., object]]:
    """The table's functions with a key, other than those that `known` names, and the forms of some that write."""
    found = {
        name: _keyed(name)
        for name, entry in functions().items()
        if not known(name) and "key" in (getattr(entry.build, "__kwdefaults__", None) or ())
    }
    return found | {f"{name}_": _written(found[name]) for name in _IN_PLACE if name in found}


_IN_PLACE = ("alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout", "rrelu")


def _written(function: Callable[..., object]) -> Callable[..., object]:
    def call(input: Tensor, *args: object, **kwargs: object) -> Tensor:
        check_writable(input, input.requires_grad)
        values = function(input, *args, **kwargs)
        assert isinstance(values, Tensor)
        return assign(input, values)

    call.__name__ = call.__qualname__ = f"{function.__name__}_"
    call.__doc__ = f"`{function.__name__}`, written to the tensor."
    return call
