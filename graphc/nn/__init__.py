"""Parts of networks: parameters, modules that hold them, layers, losses, and values to start from.

>>> import graphc
>>> layer = Linear(2, 3)
>>> layer
Linear(in_features=2, out_features=3, bias=True)
>>> layer(graphc.ones(5, 2)).shape
torch.Size([5, 3])
>>> [name for name, _ in layer.named_parameters()]
['weight', 'bias']
"""

from graphc.nn import common_types, functional, grad, init, modules, parallel, utils
from graphc.nn.compiled import OptimizedModule
from graphc.nn.modules import *  # noqa: F403  # it says what it has, in its `__all__`
from graphc.nn.parallel import DataParallel
from graphc.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [
    "Buffer",
    "DataParallel",
    "OptimizedModule",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "common_types",
    "functional",
    "grad",
    "init",
    "modules",
    "parallel",
    "utils",
]
__all__ += modules.__all__
