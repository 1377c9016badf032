"""How many arguments the functions with several forms take: what their errors depend on.

In: the name of a function or method. Out: the least and the greatest number of arguments of each form, `out` included.
PyTorch parses the arguments of such a call by the one form that can have so many; where none or several can, the error
names no argument, but lists all forms.

    forms_of("sum", is_method=True)  # ((0, 1), (1, 3)): all dimensions, or some of them
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Forms: TypeAlias = "tuple[tuple[int, int], ...]"

_FUNCTIONS = {
    "1-1 2-2": "round_",
    "1-1 2-2 2-2": "squeeze",
    "1-1 2-4": "median nanmedian",
    "1-1 3-4 3-3 3-3 3-3": "where",
    "1-2 1-4 2-4": "all any",
    "1-2 2-2": "count_nonzero",
    "1-2 2-3": "round",
    "1-2 2-3 2-3": "squeeze_copy",
    "1-2 2-3 2-4": "max min",
    "1-2 2-5": "prod sum",
    "1-3 1-3": "clamp_ clip_",
    "1-3 2-3": "bernoulli linalg.cond trapz",
    "1-3 2-5": "mean",
    "1-4 1-4": "clamp clip",
    "1-5 1-5 2-4 2-4": "linalg.matrix_rank linalg.pinv",
    "1-6 2-6": "linalg.norm",
    "1-6 2-7": "bartlett_window blackman_window hann_window",
    "1-6 2-7 3-8": "kaiser_window",
    "1-6 2-7 3-8 4-9": "hamming_window",
    "1-7 2-7 2-9": "arange",
    "1-7 2-8": "eye",
    "2-2 2-2": "clamp_max_ clamp_min_ dsplit fill fill_ hsplit vsplit xlogy_",
    "2-2 2-2 2-2 2-2": "result_type",
    "2-3 1-3": "cumulative_trapezoid trapezoid",
    "2-3 2-2": "floor_divide multiply true_divide",
    "2-3 2-2 2-3": "bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor remainder",
    "2-3 2-3": "clamp_max clamp_min copysign eq fmod ge greater greater_equal gt le less less_equal lt ne not_equal "
    "rsub view_copy",
    "2-3 2-3 2-3": "float_power pow special.chebyshev_polynomial_t special.chebyshev_polynomial_u "
    "special.chebyshev_polynomial_v special.chebyshev_polynomial_w special.hermite_polynomial_h "
    "special.hermite_polynomial_he special.laguerre_polynomial_l special.legendre_polynomial_p "
    "special.shifted_chebyshev_polynomial_t special.shifted_chebyshev_polynomial_u "
    "special.shifted_chebyshev_polynomial_v special.shifted_chebyshev_polynomial_w special.xlog1py special.xlogy "
    "special.zeta tensor_split xlogy",
    "2-3 3-4": "bmm mm",
    "2-3 3-4 1-4 2-4 3-4 2-4 3-4": "gradient",
    "2-3 3-4 2-2 3-3": "divide",
    "2-3 3-4 3-3": "div",
    "2-4 1-2 2-4": "repeat_interleave",
    "2-4 1-3": "nuclear_norm",
    "2-4 1-4 1-2": "std_mean var_mean",
    "2-4 1-4 2-4 3-10": "normal",
    "2-4 2-3": "subtract",
    "2-5 1-3": "argsort",
    "2-5 1-4": "sort",
    "2-5 1-5 1-2": "std var",
    "2-5 1-6": "histogram",
    "2-5 2-4": "bucketize",
    "2-5 2-5 2-5": "isin",
    "2-6 2-6": "nanquantile quantile",
    "2-7 2-7": "conv1d conv2d conv3d searchsorted",
    "2-8 1-7": "rand rand_like randn randn_like randperm",
    "3-3 3-3": "masked_fill moveaxis movedim",
    "3-4 3-4": "lerp",
    "3-6 4-7": "addmm baddbmm",
    "3-7 2-7": "linalg.matrix_norm",
    "3-9 2-8 4-10 3-9": "randint",
    "3-9 3-9 3-9 3-9": "linspace",
    "3-10 3-10 3-10 3-10": "logspace",
    "4-4 4-4": "index_fill narrow",
    "4-5 5-6 4-5 5-6": "scatter",
    "4-7 4-7": "ctc_loss",
    "4-10 3-9 3-9 2-8 3-9 2-8": "randint_like",
}
_METHODS = {
    "0-0 0-2 1-2": "all any",
    "0-0 1-1": "nonzero round round_",
    "0-0 1-1 1-1": "squeeze squeeze_",
    "0-0 1-1 1-2": "max min",
    "0-0 1-1 3-4 1-1 3-4": "set_",
    "0-0 1-2": "median nanmedian",
    "0-1 1-1": "count_nonzero",
    "0-1 1-1 1-1 1-2 1-2": "new",
    "0-1 1-2": "bernoulli",
    "0-1 1-3": "mean prod sum",
    "0-1 2-3 1-2": "random_",
    "0-2 0-2": "clamp clamp_ clip clip_",
    "0-5 1-4 1-4": "to",
    "1-1 1-1": "bitwise_and bitwise_and_ bitwise_left_shift bitwise_left_shift_ bitwise_or bitwise_or_ "
    "bitwise_right_shift bitwise_right_shift_ bitwise_xor bitwise_xor_ clamp_max clamp_max_ clamp_min clamp_min_ "
    "copysign copysign_ dsplit eq eq_ fill_ float_power float_power_ floor_divide floor_divide_ fmod fmod_ ge ge_ "
    "greater greater_ greater_equal greater_equal_ gt gt_ hsplit le le_ less less_ less_equal less_equal_ lt lt_ "
    "multiply multiply_ ne ne_ not_equal not_equal_ pow pow_ remainder remainder_ true_divide true_divide_ view vsplit "
    "xlogy xlogy_",
    "1-1 2-2 1-1 2-2": "divide divide_",
    "1-1 2-2 2-2": "div div_",
    "1-2 0-2": "bernoulli_",
    "1-2 1-2": "subtract subtract_",
    "1-2 1-2 1-2": "tensor_split",
    "1-3 0-2": "argsort sort",
    "1-3 0-3 0-1": "std var",
    "1-3 0-4": "histogram",
    "1-3 1-3": "repeat_interleave",
    "1-4 1-4": "nanquantile quantile",
    "2-2 2-2": "lerp lerp_ masked_fill masked_fill_ moveaxis movedim where",
    "3-3 3-3": "index_fill index_fill_ narrow",
    "3-3 4-4 3-3 4-4": "scatter scatter_",
}


REFUSED = "a number is where none may be"
"""How the error ends for which `refuses` is the cause."""
FIRST_MAY_BE_NUMBER = frozenset(
    ("add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "floor_divide", "remainder", "pow",
     "float_power", "normal", "bucketize", "isin", "xlogy", "special.xlogy", "special.xlog1py", "special.zeta",
     "maximum", "minimum")
)  # fmt: skip
"""Functions of several operands, the first of which may be a number."""
_BOTH_MAY_BE_NUMBERS = frozenset(
    ("add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "floor_divide")
)


def _by_name(table: dict[str, str]) -> dict[str, Forms]:
    found: dict[str, Forms] = {}
    for text, names in table.items():
        forms = tuple((int(least), int(most)) for least, _, most in (each.partition("-") for each in text.split()))
        found |= dict.fromkeys(names.split(), forms)
    return found


_KNOWN = {False: _by_name(_FUNCTIONS), True: _by_name(_METHODS)}


def forms_of(name: str, is_method: bool) -> Forms:
    """The forms of a function or method; none where there is a single one."""
    return _KNOWN[is_method].get(name, ())


def is_number(value: object) -> bool:
    """Whether it is a number of Python's or numpy's."""
    return isinstance(value, int | float | complex | np.number | np.bool_)


def refuses(name: str, parameters: Sequence[inspect.Parameter], args: Sequence[object]) -> bool:
    """Whether a call gives a number where PyTorch wants a tensor or a bool, though a builder would take it."""
    if name.startswith(("__", "nn.")):
        return False
    for index, (parameter, value) in enumerate(zip(parameters, args)):
        if parameter.kind is parameter.VAR_POSITIONAL:
            break
        annotation = str(parameter.annotation)
        if annotation == "bool":
            if not isinstance(value, bool | np.bool_):
                return True
        elif is_number(value):
            if annotation == "Node":
                return True
            if annotation == "Operand" and not index and parameter.name == "input":
                if name not in FIRST_MAY_BE_NUMBER:
                    return True
    return (
        len(args) == 2
        and all(map(is_number, args))
        and name not in _BOTH_MAY_BE_NUMBERS
        and bool(forms_of(name, is_method=False))
    )
