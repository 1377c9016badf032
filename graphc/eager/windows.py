"""Windows and frequencies, which the table computes from numbers alone, with what other factories take: `device=`.

In: the arguments of the table's function, and `device`, `layout`, `pin_memory`, `requires_grad`. Out: tensors there.

    hann_window(8, device="cuda")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from graphc.eager.arguments import check_place, created
from graphc.eager.dispatch import function_of
from graphc.eager.tensor import Tensor
from graphc.ops.function import functions

_OPTIONS = {"layout": None, "device": None, "pin_memory": False, "requires_grad": False}


def _placed(name: str) -> Callable[..., Tensor]:
    entry = functions()[name]
    short = name.rpartition(".")[2]

    def make(
        *args: Any,
        layout: object = None,
        device: object = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        **options: Any,
    ) -> Tensor:
        place = check_place(short, layout, device, pin_memory)
        made = function_of(name)(*args, **options)
        assert isinstance(made, Tensor)
        is_done = place is None and not (requires_grad or pin_memory)
        return made if is_done else created(made._array, requires_grad, place, pin_memory)

    signature = inspect.signature(entry.build)
    options = [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=_OPTIONS[each]) for each in _OPTIONS]
    made: Any = make
    made.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *options])
    made.__name__ = made.__qualname__ = short
    made.__doc__ = entry.build.__doc__
    return make


FUNCTIONS: dict[str, Callable[..., object]] = {
    name: _placed(name)
    for name in (
        "bartlett_window",
        "blackman_window",
        "fft.fftfreq",
        "fft.rfftfreq",
        "hamming_window",
        "hann_window",
        "kaiser_window",
    )
}
