"""graphc.linalg: factorisations, solutions, norms and the rest of linear algebra, under PyTorch's names.

>>> import numpy as np, graphc
>>> graphc.compile(lambda a: graphc.linalg.det(a))(np.array([[1.0, 2.0], [3.0, 4.0]]))
array(-2.)
"""

from graphc.eager.methods import free_functions as _free_functions
from graphc.ir.errors import LinAlgError

_table = _free_functions("linalg")
globals().update(_table)

__all__ = ["LinAlgError", *_table]
