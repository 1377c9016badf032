"""Parts of networks: parameters, and modules that hold them.

>>> import graphc
>>> class Scale(Module):
...     def __init__(self):
...         super().__init__()
...         self.factor = Parameter(graphc.ones(2))
...     def forward(self, x):
...         return x * self.factor
>>> [name for name, _ in Scale().named_parameters()]
['factor']
"""

from graphc.nn import functional
from graphc.nn.module import Module
from graphc.nn.parameter import Buffer, Parameter

__all__ = ["Buffer", "Module", "Parameter", "functional"]
