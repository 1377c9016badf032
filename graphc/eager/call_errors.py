"""What is wrong with the arguments of a call, in PyTorch's words.

In: a function that has failed, and what it was called with. Out: the TypeError that PyTorch raises for arguments of
other types or another number than the function takes, or None where the arguments are not to blame.

    argument_error(add, "add", (x, "a"), {}, cause)
    # add(): argument 'other' (position 2) must be Tensor, not str
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.eager.arguments import type_name
from graphc.eager.call_forms import FIRST_MAY_BE_NUMBER, REFUSED, forms_of, is_number
from graphc.eager.guard import shorten
from graphc.eager.tensor import Tensor
from graphc.frontend.entry import ALIASES
from graphc.ir.dtype import DType
from graphc.ir.errors import GraphcError, SignatureError

_NUMBERS = ("alpha", "beta", "value", "start", "end", "step", "exponent", "maxnorm", "negative_slope", "threshold",
            "lambd", "ord", "min", "max")  # fmt: skip
"""Parameters for tensors and numbers of which PyTorch's errors say that a number is missing."""
_SAYS = re.compile(r"\w+\(\)(: argument '| received | takes | missing | got )")
"""What errors begin with that say what is wrong with an argument."""
_WITH_OLD_FORMS = frozenset("add sub addbmm addcdiv addcmul addmm addmv addr baddbmm".split())
"""Functions that take further forms, which PyTorch's errors don't speak of."""
_WORDS = {
    "Node": "Tensor",
    "Tensor": "Tensor",
    "Operand": "Tensor",
    "int": "int",
    "Size": "int",
    "bool": "bool",
    "float": "float",
    "Number": "Number",
    "str": "str",
    "DType": "torch.dtype",
    "Ints": "tuple of ints",
    "Sizes": "tuple of ints",
    "Dims": "tuple of ints",
    "Sequence[int]": "tuple of ints",
    "Sequence[Size]": "tuple of ints",
    "Sequence[Node]": "tuple of Tensors",
}


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter as PyTorch's parser knows it."""

    name: str
    words: tuple[str, ...]
    """What it may be, of `_WORDS`'s values; none where that isn't known."""
    is_optional: bool
    may_be_none: bool
    is_positional: bool
    takes_rest: bool
    is_operand: bool

    def problem(self, value: object, position: int | None) -> str | None:
        """What is wrong with the value."""
        if not self.words or (value is None and self.may_be_none) or any(map(self._takes(value), self.words)):
            return None
        where = f"argument '{self.name}'" + ("" if position is None else f" (position {position})")
        word = self.words[0]
        if word == "tuple of Tensors" and isinstance(value, list | tuple):
            index, wrong = next((i, each) for i, each in enumerate(value) if not isinstance(each, Tensor))
            return f"expected Tensor as element {index} in argument {(position or 1) - 1}, but got {type_name(wrong)}"
        if word == "tuple of ints" and isinstance(value, list | tuple):
            index, wrong = next((i, each) for i, each in enumerate(value) if not _is_int(each))
            return f"@{where} must be tuple of ints, but found element of type {type_name(wrong)} at pos {index}"
        return f"@{where} must be {word}, not {type_name(value)}"

    def _takes(self, value: object) -> Callable[[str], bool]:
        return lambda word: _is(value, word, self.is_operand)


def _is(value: object, word: str, is_operand: bool) -> bool:
    match word:
        case "Tensor":
            return isinstance(value, Tensor) or (is_operand and is_number(value))
        case "int":
            return _is_int(value)
        case "bool":
            return isinstance(value, bool | np.bool_)
        case "float":
            return isinstance(value, Tensor) or (is_number(value) and not isinstance(value, complex))
        case "Number":
            return isinstance(value, Tensor) or is_number(value)
        case "str":
            return isinstance(value, str)
        case "torch.dtype":
            return isinstance(value, DType | type | str)
        case "tuple of ints":
            return _is_int(value) or (isinstance(value, list | tuple) and all(map(_is_int, value)))
        case "tuple of Tensors":
            return isinstance(value, list | tuple) and all(isinstance(each, Tensor) for each in value)
        case _:
            return True


def _is_int(value: object) -> bool:
    if isinstance(value, bool | np.bool_):
        return False
    return isinstance(value, int | np.integer) or (isinstance(value, Tensor) and not value._array.ndim)


@functools.cache
def _parameters(build: Callable[..., object], name: str) -> tuple[_Parameter, ...] | None:
    """The parameters of a function; None where they aren't known."""
    try:
        found = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):
        return None
    result = []
    for index, each in enumerate(found):
        if each.kind is each.VAR_KEYWORD:
            return None
        parts = str(each.annotation).split(" | ")
        words = [_WORDS[part] for part in parts if part in _WORDS]
        if len(words) < len([part for part in parts if part != "None"]):
            words = []
        is_operand = "Operand" in parts and (index > 0 or each.name != "input" or name in FIRST_MAY_BE_NUMBER)
        if each.kind is each.VAR_POSITIONAL:
            words = ["tuple of ints"] if words and words[0] in ("int", "tuple of ints") else []
        if index and words and words[0] in ("Tensor", "float"):
            if each.name in _NUMBERS or (each.name == "p" and name in ("dist", "norm", "renorm")):
                words = ["Number"]
        is_optional = each.default is not each.empty or each.kind is each.VAR_POSITIONAL
        result.append(
            _Parameter(
                each.name,
                tuple(words),
                is_optional,
                "None" in parts or each.default is None,
                each.kind is not each.KEYWORD_ONLY,
                each.kind is each.VAR_POSITIONAL,
                is_operand,
            )
        )
    return tuple(result)


def argument_error(
    build: Callable[..., object],
    name: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    cause: Exception,
    is_method: bool = False,
) -> SignatureError | None:
    """The error for the arguments of this call, if they are none that the function takes. `args` has self."""
    namespace, _, short = name.rpartition(".")
    if namespace == "nn.functional":
        return python_error(short, inspect.signature(build), args, kwargs)
    parameters = _parameters(build, name)
    if parameters is None:
        return None
    if isinstance(cause, SignatureError) and _SAYS.match(cause.message) and not is_method:
        return None  # the function has looked at its arguments itself
    skipped = int(is_method)
    given = args[skipped:]
    shown = name.replace(".", "_")
    found = _misfit(parameters[skipped:], shown, given, kwargs, is_method)
    if found is None and isinstance(cause, SignatureError) and cause.message.endswith(REFUSED):
        found = ""  # some forms take a number here, some there
    if found is None:
        return None
    if "missing" in found and name.rstrip("_") in _WITH_OLD_FORMS:
        found = f"{_combination(given, kwargs)}, but expected {_form(parameters[skipped:], is_method)}"
    forms = forms_of(name, is_method)
    if forms:
        count = len(given) + len(kwargs)
        if sum(least <= count <= most for least, most in forms) != 1:
            found = f"{_combination(given, kwargs)}, but expected one of:"
    found = found.replace("@argument", f"{shown}(): argument").replace("@", f"{shown}()")
    error = SignatureError(found, hint=cause.hint if isinstance(cause, GraphcError) else None)
    shorten(error)
    return error


def python_error(
    name: str, signature: inspect.Signature, args: tuple[object, ...], kwargs: dict[str, object]
) -> SignatureError | None:
    """The error for a call that doesn't fit, of a function that is written in Python in PyTorch: Python's own words."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        plain = [
            each.replace(annotation=each.empty, default=each.empty if each.default is each.empty else None)
            for each in signature.parameters.values()
        ]
        scope: dict[str, Callable[..., object]] = {}
        shown = signature.replace(parameters=plain, return_annotation=signature.empty)
        exec(f"def {name}{shown}: ...", scope)  # a function of these parameters, for Python to refuse the call
        try:
            scope[name](*args, **kwargs)
        except TypeError as error:
            found = SignatureError(str(error))
            shorten(found)
            return found
    return None


def _combination(args: Sequence[object], kwargs: dict[str, object]) -> str:
    types = ", ".join([*map(type_name, args), *(f"{key}={type_name(each)}" for key, each in kwargs.items())])
    return f"@ received an invalid combination of arguments - got ({types}{', ' if kwargs and not args else ''})"


def _form(parameters: Sequence[_Parameter], is_method: bool) -> str:
    """The form of a function in which tensors come first, and numbers by name."""
    found = [f"Tensor {each.name}" for each in parameters if each.is_positional]
    named = [f"Number {each.name} = 1" for each in parameters if not each.is_positional and each.name != "out"]
    return f"({', '.join([*found, '*', *named, *([] if is_method else ['Tensor out = None'])])})"


def is_operand(value: object, operator: str) -> bool:
    """Whether a tensor's operator takes this beside the tensor; else Python asks the value's own class."""
    is_product = "matmul" in operator
    return isinstance(value, Tensor | np.ndarray) or (is_number(value) and not is_product)


def _misfit(
    parameters: Sequence[_Parameter],
    name: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    is_method: bool,
) -> str | None:
    """The first thing that is wrong, in the order in which PyTorch looks; "@" stands for the function."""
    if is_method and not parameters:
        if kwargs:
            return f"TensorBase.{name}() takes no keyword arguments"
        return f"TensorBase.{name}() takes no arguments ({len(args)} given)" if args else None
    positional = [each for each in parameters if each.is_positional]
    if len(args) > len(positional) and not any(each.takes_rest for each in positional):
        return _too_many(parameters, positional, len(args))
    named = {ALIASES.get(key, key) if key not in _names(parameters) else key: value for key, value in kwargs.items()}
    named.pop("out", None)
    for index, parameter in enumerate(parameters):
        problem = None
        if parameter.takes_rest:
            rest = args[index:]
            if rest:
                problem = parameter.problem(rest[0] if len(rest) == 1 else rest, index + 1)
                if problem is not None and len(rest) > 1 and not _is_int(rest[0]):
                    problem = parameter.problem(rest[0], index + 1)
            named.pop(parameter.name, None)
        elif parameter.is_positional and index < len(args):
            problem = parameter.problem(args[index], index + 1)
        elif parameter.name in named:
            problem = parameter.problem(named.pop(parameter.name), None)
        elif not parameter.is_optional:
            missing = [
                each.name
                for each in parameters[max(index, len(args)) :]
                if not each.is_optional and each.name not in named
            ]
            names = ", ".join(f'"{each}"' for each in missing)
            return f"@ missing {len(missing)} required positional argument{'s' * (len(missing) == 1)}: {names}"
        if problem is not None:
            return problem
    for key in named:
        if key not in _names(parameters[: len(args)]):
            return f"@ got an unexpected keyword argument '{key}'"
        return f"@ got multiple values for argument '{key}'"
    return None


def _names(parameters: Sequence[_Parameter]) -> list[str]:
    return [each.name for each in parameters]


def _too_many(parameters: Sequence[_Parameter], positional: Sequence[_Parameter], count: int) -> str:
    least, most = sum(not each.is_optional for each in parameters), len(positional)
    verb = "was" if count == 1 else "were"
    if least != most:
        return f"@ takes from {least} to {most} positional arguments but {count} {verb} given"
    return f"@ takes {most} positional argument{'s' * (most != 1)} but {count} {verb} given"
