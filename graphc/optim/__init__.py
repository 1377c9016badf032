"""Optimizers: what changes parameters so that a loss becomes smaller.

Level: over eager tensors. In: parameters with gradients. Out: parameters changed in place, by one native call for each.

    optimizer = graphc.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.zero_grad()
    loss(model(x), y).backward()
    optimizer.step()
"""

from graphc.optim import lr_scheduler, swa_utils
from graphc.optim.adadelta import Adadelta
from graphc.optim.adafactor import Adafactor
from graphc.optim.adagrad import Adagrad
from graphc.optim.adam import Adam
from graphc.optim.adamax import Adamax
from graphc.optim.adamw import AdamW
from graphc.optim.asgd import ASGD
from graphc.optim.lbfgs import LBFGS
from graphc.optim.muon import Muon
from graphc.optim.nadam import NAdam
from graphc.optim.optimizer import Optimizer
from graphc.optim.radam import RAdam
from graphc.optim.rmsprop import RMSprop
from graphc.optim.rprop import Rprop
from graphc.optim.sgd import SGD
from graphc.optim.sparse_adam import SparseAdam
from graphc.optim.stateless import swap_in_optimizer_params_and_state

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
    "swap_in_optimizer_params_and_state",
]
