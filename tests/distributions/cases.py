"""Distributions of one number with fixed parameters, for tests that hold for all of them."""

from collections.abc import Callable

import graphc
from graphc import distributions as d


def t(*values: float) -> graphc.Tensor:
    return graphc.tensor(values, dtype=graphc.float64)


# Name: the distribution, of batch shape [2], and the range outside of which nothing counts.
CONTINUOUS: dict[str, tuple[Callable[[], d.Distribution], tuple[float, float]]] = {
    "Normal": (lambda: d.Normal(t(0.3, -1.0), t(1.5, 0.5)), (-15, 15)),
    "Laplace": (lambda: d.Laplace(t(0.3, -1.0), t(1.5, 0.5)), (-60, 60)),
    "Uniform": (lambda: d.Uniform(t(-1.0, 0.5), t(2.0, 3.0)), (-1, 3)),
    "Exponential": (lambda: d.Exponential(t(0.7, 2.0)), (0, 60)),
    "Gamma": (lambda: d.Gamma(t(1.7, 3.0), t(0.7, 2.0)), (1e-9, 80)),
    "Chi2": (lambda: d.Chi2(t(3.0, 5.0)), (1e-9, 120)),
    "Beta": (lambda: d.Beta(t(1.7, 3.0), t(2.5, 1.5)), (1e-9, 1 - 1e-9)),
    "StudentT": (lambda: d.StudentT(t(9.0, 12.0), t(0.3, -1.0), t(1.5, 0.5)), (-200, 200)),
    "FisherSnedecor": (lambda: d.FisherSnedecor(t(5.0, 7.0), t(12.0, 15.0)), (1e-9, 300)),
    "LogNormal": (lambda: d.LogNormal(t(0.3, -1.0), t(0.5, 0.3)), (1e-9, 60)),
    "Gumbel": (lambda: d.Gumbel(t(0.3, -1.0), t(1.5, 0.5)), (-20, 70)),
    "HalfNormal": (lambda: d.HalfNormal(t(1.5, 0.5)), (0, 15)),
    "InverseGamma": (lambda: d.InverseGamma(t(6.0, 7.0), t(1.5, 0.5)), (1e-3, 100)),
    "Pareto": (lambda: d.Pareto(t(1.0, 1.0), t(6.0, 7.0)), (1, 300)),
    "Weibull": (lambda: d.Weibull(t(1.5, 0.5), t(1.3, 2.0)), (1e-9, 40)),
    "Kumaraswamy": (lambda: d.Kumaraswamy(t(1.5, 2.0), t(1.3, 2.0)), (1e-9, 1 - 1e-9)),
    "ContinuousBernoulli": (lambda: d.ContinuousBernoulli(t(0.2, 0.5001)), (0, 1)),
    "GeneralizedPareto": (lambda: d.GeneralizedPareto(t(0.0, 0.0), t(1.5, 0.5), t(0.1, 0.0)), (0, 400)),
    "RelaxedBernoulli": (lambda: d.RelaxedBernoulli(t(0.7)[0], t(0.3, 0.6)), (1e-9, 1 - 1e-9)),
    "MixtureSameFamily": (
        lambda: d.MixtureSameFamily(
            d.Categorical(t(0.3, 0.7).expand(2, 2)),
            d.Normal(t(-2.0, 1.0, 0.0, 4.0).view(2, 2), t(0.5, 1.0, 1.0, 1.0).view(2, 2)),
        ),
        (-12, 16),
    ),
}

# Name: the distribution, and how many whole numbers from 0 on count.
DISCRETE: dict[str, tuple[Callable[[], d.Distribution], int]] = {
    "Bernoulli": (lambda: d.Bernoulli(t(0.2, 0.6)), 2),
    "Bernoulli of logits": (lambda: d.Bernoulli(logits=t(0.2, -0.6)), 2),
    "Poisson": (lambda: d.Poisson(t(0.7, 4.3)), 60),
    "Geometric": (lambda: d.Geometric(t(0.3, 0.6)), 120),
    "Binomial": (lambda: d.Binomial(7, t(0.2, 0.6)), 8),
    "NegativeBinomial": (lambda: d.NegativeBinomial(t(5.5, 2.5), t(0.2, 0.6)), 200),
}
