"""graphc.fft: discrete Fourier transforms under PyTorch's names.

>>> import numpy as np, graphc
>>> graphc.compile(lambda x: graphc.fft.rfft(x))(np.array([1.0, 0.0, 0.0, 0.0]))
array([1.+0.j, 1.+0.j, 1.+0.j])
"""

from graphc.eager.methods import free_functions as _free_functions

_table = _free_functions("fft")
globals().update(_table)

__all__ = [*_table]
