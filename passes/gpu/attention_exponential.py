"""The exponential that weights on tensor cores are made with: half the instructions of the exact one.

In: a score less the greatest one of its query: no positive number, but for rounding. Out: its exponential with a
relative error below 2^-18, where weights are rounded to 16 bits in the end; 1 is exact. Below exp(-87) it is 0. As in
`graphc.kernel.formula.exponential`, exp(x) = 2^n exp(r), but with a polynomial of degree 4 and with no care for numbers
out of the range of normal ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from graphc.ir.dtype import f32
from graphc.kernel.formula.number import FORMATS, Number, choose, fma
from graphc.kernel.ir import Operand
from graphc.passes.gpu.statements import real

if TYPE_CHECKING:
    from graphc.kernel.builder import KernelBuilder

_LOG2_E: Final = 1.4426950408889634
_LOG_2: Final = 0.6931471805599453
"""Rounded to a float32, n times it is wrong by less than 2^-21."""
_POWERS: Final = (0.041513681411743164, 0.16787591576576233, 0.5000302195549011, 0.9999668002128601, 1.0)
"""exp(r) for |r| <= log(2) / 2, from the highest power on: minimax in relative error, 2.9e-6, with 1 kept."""
_LEAST: Final = -87.0
"""Below this n would be no exponent of a normal number."""


def exponential(b: KernelBuilder, x: Operand) -> Operand:
    """exp(x) for a float32 that is not positive, nan of nan; of small positive numbers, too."""
    form, number = FORMATS[f32], Number(b, x)
    # n + bias stands in the last bits of the sum, and becomes the exponent of a float.
    magic = form.magic + form.bias
    shifted = fma(number, _LOG2_E, magic)
    n = shifted - magic
    r = fma(n, -_LOG_2, number)
    power = number.constant(_POWERS[0])
    for coefficient in _POWERS[1:]:
        power = fma(power, r, coefficient)
    scaled = power * (shifted.bits << form.fraction).bitcast(f32)
    return real(choose(number < _LEAST, 0.0, scaled).scalar)
