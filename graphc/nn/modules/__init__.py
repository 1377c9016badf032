"""The layers and losses of graphc.nn, one file per kind, under the names that PyTorch's files have.

>>> Linear(2, 1)
Linear(in_features=2, out_features=1, bias=True)
"""
# ruff: noqa: F403  # each file says what it has, in its `__all__`

import sys as _sys

from graphc.nn import module
from graphc.nn.module import Module
from graphc.nn.modules import (
    activation,
    adaptive,
    batchnorm,
    channelshuffle,
    container,
    conv,
    distance,
    dropout,
    flatten,
    fold,
    instancenorm,
    linear,
    linear_cross_entropy_options,
    loss,
    normalization,
    padding,
    pixelshuffle,
    pooling,
    rnn,
    sparse,
    transformer,
    upsampling,
)
from graphc.nn.modules.activation import *
from graphc.nn.modules.adaptive import *
from graphc.nn.modules.batchnorm import *
from graphc.nn.modules.channelshuffle import *
from graphc.nn.modules.container import *
from graphc.nn.modules.conv import *
from graphc.nn.modules.distance import *
from graphc.nn.modules.dropout import *
from graphc.nn.modules.flatten import *
from graphc.nn.modules.fold import *
from graphc.nn.modules.instancenorm import *
from graphc.nn.modules.linear import *
from graphc.nn.modules.linear_cross_entropy_options import *
from graphc.nn.modules.loss import *
from graphc.nn.modules.normalization import *
from graphc.nn.modules.padding import *
from graphc.nn.modules.pixelshuffle import *
from graphc.nn.modules.pooling import *
from graphc.nn.modules.rnn import *
from graphc.nn.modules.sparse import *
from graphc.nn.modules.transformer import *
from graphc.nn.modules.upsampling import *

for _file in (module,):  # these stand beside this folder; PyTorch has them inside
    _sys.modules[f"{__name__}.{_file.__name__.rpartition('.')[2]}"] = _file

__all__ = ["Module"]
__all__ += activation.__all__
__all__ += adaptive.__all__
__all__ += batchnorm.__all__
__all__ += channelshuffle.__all__
__all__ += container.__all__
__all__ += conv.__all__
__all__ += distance.__all__
__all__ += dropout.__all__
__all__ += flatten.__all__
__all__ += fold.__all__
__all__ += instancenorm.__all__
__all__ += linear.__all__
__all__ += linear_cross_entropy_options.__all__
__all__ += loss.__all__
__all__ += normalization.__all__
__all__ += padding.__all__
__all__ += pixelshuffle.__all__
__all__ += pooling.__all__
__all__ += rnn.__all__
__all__ += sparse.__all__
__all__ += transformer.__all__
__all__ += upsampling.__all__
