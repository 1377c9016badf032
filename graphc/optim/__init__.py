"""Optimizers: what changes parameters so that a loss becomes smaller.

Level: over eager tensors. In: parameters with gradients. Out: parameters changed in place, by one native call for each.

    optimizer = graphc.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.zero_grad()
    loss(model(x), y).backward()
    optimizer.step()
"""

from graphc.optim.adam import Adam
from graphc.optim.adamw import AdamW
from graphc.optim.optimizer import Optimizer
from graphc.optim.rmsprop import RMSprop
from graphc.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]
