"""graphc.masked: reductions and normalizations of the elements for which a mask holds.

>>> import graphc
>>> x = graphc.tensor([[1.0, 2.0, 9.0], [4.0, 9.0, 9.0]])
>>> mask = graphc.tensor([[True, True, False], [True, False, False]])
>>> mean(x, 1, mask=mask)
tensor([1.5000, 4.0000])
"""

from graphc.masked._ops import (
    amax,
    amin,
    argmax,
    argmin,
    cumprod,
    cumsum,
    log_softmax,
    logaddexp,
    logsumexp,
    mean,
    median,
    norm,
    normalize,
    prod,
    softmax,
    softmin,
    std,
    sum,
    var,
)

__all__ = [
    "amax",
    "amin",
    "argmax",
    "argmin",
    "cumprod",
    "cumsum",
    "log_softmax",
    "logaddexp",
    "logsumexp",
    "mean",
    "median",
    "norm",
    "normalize",
    "prod",
    "softmax",
    "softmin",
    "std",
    "sum",
    "var",
]
