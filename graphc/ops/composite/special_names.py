"""Functions of other modules that `graphc.special` has too."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.ops.composite.activation import log_softmax, softmax
from graphc.ops.composite.operand import Operand
from graphc.ops.composite.reductions import logsumexp
from graphc.ops.composite.special import logit, sinc
from graphc.ops.composite.unary import erf, erfc, exp2, expm1, log1p, round, sigmoid
from graphc.ops.function import function

for _build in (erf, erfc, exp2, expm1, log1p, log_softmax, logit, logsumexp, round, sinc, softmax):
    function(namespace="special")(_build)


@function(namespace="special")
def expit(input: Operand) -> Node:
    """1 / (1 + exp(-input))."""
    return sigmoid(input)
