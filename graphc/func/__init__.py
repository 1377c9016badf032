"""Functions of functions of tensors: gradients, products with Jacobians, modules called with other parameters.

>>> import graphc
>>> grad(lambda x: (x**3).sum())(graphc.tensor([1.0, 2.0]))
tensor([ 3., 12.])
"""

from graphc.func.module import functional_call, stack_module_state
from graphc.func.transform import grad, grad_and_value, hessian, jacfwd, jacrev, vjp

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "stack_module_state",
    "vjp",
]
