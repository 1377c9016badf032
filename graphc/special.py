"""graphc.special: special functions of mathematics, under PyTorch's names.

>>> import numpy as np, graphc
>>> graphc.compile(lambda x: graphc.special.digamma(x))(np.array([1.0, 2.0]))
array([-0.57721566,  0.42278434])
"""

from graphc.eager.methods import free_functions as _free_functions

_table = _free_functions("special")
globals().update(_table)

__all__ = [*_table]
