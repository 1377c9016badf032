"""Kullback-Leibler divergences of pairs of distributions, in closed form where one is known.

In: two distributions. Out: the divergence for each of the batch. `register_kl` adds formulas for pairs of classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from graphc.distributions.bernoulli import Bernoulli
from graphc.distributions.beta import Beta
from graphc.distributions.binomial import Binomial
from graphc.distributions.categorical import Categorical
from graphc.distributions.cauchy import Cauchy
from graphc.distributions.continuous_bernoulli import ContinuousBernoulli
from graphc.distributions.dirichlet import Dirichlet
from graphc.distributions.distribution import Distribution
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.exponential import Exponential
from graphc.distributions.functions import Value, f
from graphc.distributions.gamma import Gamma
from graphc.distributions.geometric import Geometric
from graphc.distributions.gumbel import Gumbel
from graphc.distributions.half_normal import HalfNormal
from graphc.distributions.independent import Independent
from graphc.distributions.laplace import Laplace
from graphc.distributions.lowrank_multivariate_normal import LowRankMultivariateNormal
from graphc.distributions.multivariate_normal import MultivariateNormal, mahalanobis
from graphc.distributions.normal import Normal
from graphc.distributions.one_hot_categorical import OneHotCategorical
from graphc.distributions.pareto import Pareto
from graphc.distributions.poisson import Poisson
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.uniform import Uniform
from graphc.distributions.utils import euler_constant, sum_rightmost

__all__ = ["kl_divergence", "register_kl"]

Formula = Callable[[Any, Any], Value]
_REGISTRY: dict[tuple[type, type], Formula] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Formula], Formula]:
    """Decorate the formula for a pair of classes. Raises TypeError for classes of other things."""
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(kind, type) or not issubclass(kind, Distribution):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def enter(formula: Formula) -> Formula:
        _REGISTRY[type_p, type_q] = formula
        return formula

    return enter


def _formula_of(kind_p: type, kind_q: type) -> Formula | None:
    """The formula of the closest pair of classes that these descend from."""
    found = [
        (kind_p.__mro__.index(p) + kind_q.__mro__.index(q), kind_p.__mro__.index(p), formula)
        for (p, q), formula in _REGISTRY.items()
        if issubclass(kind_p, p) and issubclass(kind_q, q)
    ]
    return min(found, key=lambda each: each[:2])[2] if found else None


def kl_divergence(p: Distribution, q: Distribution) -> Value:
    """The mean under p of log p - log q. Raises NotImplementedError for pairs without a formula."""
    formula = _formula_of(type(p), type(q))
    if formula is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
        )
    return formula(p, q)


def _infinite_like(value: Value) -> Value:
    return f.full_like(value, math.inf)


def _x_log_x(value: Value) -> Value:
    return f.special.xlogy(value, value)


# Of one class


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Value:
    softplus = f.nn.functional.softplus
    t1 = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    t1 = f.where(q.probs == 0, math.inf, t1)
    t1 = f.where(p.probs == 0, 0.0, t1)
    t2 = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    t2 = f.where(q.probs == 1, math.inf, t2)
    t2 = f.where(p.probs == 1, 0.0, t2)
    return t1 + t2


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Value:
    total_p, total_q = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    return (
        q.concentration1.lgamma()
        + q.concentration0.lgamma()
        + total_p.lgamma()
        - (p.concentration1.lgamma() + p.concentration0.lgamma() + total_q.lgamma())
        + (p.concentration1 - q.concentration1) * f.digamma(p.concentration1)
        + (p.concentration0 - q.concentration0) * f.digamma(p.concentration0)
        + (total_q - total_p) * f.digamma(total_p)
    )


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Value:
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return f.where(p.total_count > q.total_count, math.inf, kl)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Value:
    t = p.probs * (p.logits - q.logits)
    t = f.where((q.probs == 0).expand_as(t), math.inf, t)
    t = f.where((p.probs == 0).expand_as(t), 0.0, t)
    return t.sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Value:
    return kl_divergence(p._categorical, q._categorical)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Value:
    # F. Chyzak, F. Nielsen: A closed-form formula for the Kullback-Leibler divergence between Cauchy distributions
    # (2019)
    distance = (p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)
    return distance.log() - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Value:
    mean = p.mean * (p.logits - q.logits)
    return mean + p._log_normalizer_of_probs() + f.log1p(-p.probs) - q._log_normalizer_of_probs() - f.log1p(-q.probs)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Value:
    # W. Penny: Kullback-Leibler divergences of normal, gamma, Dirichlet and Wishart densities (2001)
    total_p, total_q = p.concentration.sum(-1), q.concentration.sum(-1)
    slope = p.concentration.digamma() - total_p.digamma().unsqueeze(-1)
    return (
        total_p.lgamma()
        - total_q.lgamma()
        - (p.concentration.lgamma() - q.concentration.lgamma()).sum(-1)
        + ((p.concentration - q.concentration) * slope).sum(-1)
    )


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Value:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _family(p: Any, q: Any) -> Value:
    """The Bregman divergence of the normalizer (Nielsen and Nock, 2010)."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot                             "
            "be computed using Bregman divergences"
        )
    params = [each.detach().requires_grad_() for each in p._natural_params]
    normalizer = p._log_normalizer(*params)
    gradients = f.autograd.grad(normalizer.sum(), params, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - normalizer
    for mine, theirs, gradient in zip(params, q._natural_params, gradients, strict=True):
        term = (theirs - mine) * gradient
        result = result - sum_rightmost(term, term.dim() - normalizer.dim())
    return result


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Value:
    return (
        q.concentration * (p.rate / q.rate).log()
        + f.lgamma(q.concentration)
        - f.lgamma(p.concentration)
        + (p.concentration - q.concentration) * f.digamma(p.concentration)
        + (q.rate - p.rate) * (p.concentration / p.rate)
    )


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Value:
    ratio = p.scale / q.scale
    p_loc, q_loc = p.loc / q.scale, q.loc / q.scale
    t1 = ratio.log() - p_loc + q_loc
    t2 = ratio * euler_constant
    t3 = f.exp(q_loc + (1 + ratio).lgamma() - p_loc)
    return -t1 + t2 + t3 - (1 + euler_constant)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Value:
    return -p.entropy() - f.log1p(-q.probs) / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Value:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Value:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * f.exp(-distance / p.scale) - 1


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Value:
    return _normal_vectors(p, q, p.scale_tril, q.scale_tril)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _lowrank_lowrank(p: Any, q: Any) -> Value:
    return _normal_vectors(p, q, p.scale_tril, q.scale_tril)


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _multivariate_lowrank(p: Any, q: Any) -> Value:
    return _normal_vectors(p, q, p.scale_tril, q.scale_tril)


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _lowrank_multivariate(p: Any, q: Any) -> Value:
    return _normal_vectors(p, q, p.scale_tril, q.scale_tril)


def _normal_vectors(p: Any, q: Any, tril_p: Value, tril_q: Value) -> Value:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with                          different event shapes "
            "cannot be computed"
        )
    logs = (tril_q.diagonal(dim1=-2, dim2=-1).log() - tril_p.diagonal(dim1=-2, dim2=-1).log()).sum(-1)
    batch = f.broadcast_shapes(tril_p.shape[:-2], tril_q.shape[:-2])
    shape = (*batch, *tril_p.shape[-2:])
    solved = f.linalg.solve_triangular(tril_q.expand(shape), tril_p.expand(shape), upper=False)
    trace = solved.pow(2).sum((-2, -1))
    return logs + 0.5 * (trace + mahalanobis(tril_q, q.loc - p.loc) - p.event_shape[0])


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Value:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Value:
    # M. Gil: On Renyi divergence measures for continuous alphabet sources (2011)
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return f.where(p.support.lower_bound < q.support.lower_bound, math.inf, result)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Value:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Value:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Value:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return f.where((q.low > p.low) | (q.high < p.high), math.inf, result)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Value:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


# Of different classes


def _cross(p: Distribution, log_q: Value) -> Value:
    """The divergence, from the mean of log q under p."""
    return -p.entropy() - log_q


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Value:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, Exponential)
def _beta_exponential(p: Any, q: Any) -> Value:
    return _cross(p, q.rate.log() - q.rate * p.mean)


@register_kl(Beta, ContinuousBernoulli)
def _beta_continuous_bernoulli(p: Any, q: Any) -> Value:
    return _cross(p, p.mean * q.logits + f.log1p(-q.probs) + q._log_normalizer_of_probs())


@register_kl(Beta, Gamma)
def _beta_gamma(p: Any, q: Any) -> Value:
    mean_log = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    log_q = q.concentration * q.rate.log() - q.concentration.lgamma() + (q.concentration - 1) * mean_log
    return _cross(p, log_q - q.rate * p.mean)


@register_kl(Beta, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
@register_kl(Uniform, Normal)
@register_kl(ContinuousBernoulli, Normal)
def _any_normal(p: Any, q: Any) -> Value:
    square = q.scale.pow(2)
    log_q = -0.5 * (2 * math.pi * square).log() - 0.5 * (p.variance + (p.mean - q.loc).pow(2)) / square
    return _cross(p, log_q)


@register_kl(Pareto, Normal)
def _pareto_normal(p: Any, q: Any) -> Value:
    return f.where(p.alpha <= 2, math.inf, _any_normal(p, q))


@register_kl(Beta, Uniform)
@register_kl(ContinuousBernoulli, Uniform)
def _share_uniform(p: Any, q: Any) -> Value:
    result = -p.entropy() + (q.high - q.low).log()
    return f.where((q.low > 0) | (q.high < 1), math.inf, result)


@register_kl(ContinuousBernoulli, Exponential)
def _continuous_bernoulli_exponential(p: Any, q: Any) -> Value:
    return _cross(p, q.rate.log() - q.rate * p.mean)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Value:
    ratio = q.rate / p.rate
    return (
        -q.concentration * ratio.log()
        + ratio
        + q.concentration.lgamma()
        + q.concentration * euler_constant
        - (1 + euler_constant)
    )


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Value:
    product = p.rate * q.scale
    loc = q.loc / q.scale
    return product.log() - 1 + product.reciprocal() - loc + f.exp(loc) * product / (product + 1)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Any, q: Any) -> Value:
    return _cross(p, q.rate.log() - q.rate * p.concentration / p.rate)


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Value:
    product = p.rate * q.scale
    loc = q.loc / q.scale
    return (
        (p.concentration - 1) * p.concentration.digamma()
        - p.concentration.lgamma()
        - p.concentration
        + product.log()
        + p.concentration / product
        - loc
        + f.exp(loc) * (1 + product.reciprocal()).pow(-p.concentration)
    )


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Value:
    offset = (p.loc - q.loc) / q.scale
    spread = (p.scale / q.scale).pow(2) / 2
    return -(p.scale / q.scale).log() + offset + f.exp(-offset + spread) - 0.5 * (1 + math.log(2 * math.pi))


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Value:
    offset = p.loc - q.loc
    scaled = offset / p.scale
    mean_distance = p.scale * math.sqrt(2 / math.pi) * f.exp(-0.5 * scaled.pow(2)) + offset * f.erf(
        math.sqrt(0.5) * scaled
    )
    return _cross(p, -(2 * q.scale).log() - mean_distance / q.scale)


@register_kl(Pareto, Exponential)
def _pareto_exponential(p: Any, q: Any) -> Value:
    product = p.scale * q.rate
    result = (p.alpha / product).log() - p.alpha.reciprocal() + p.alpha * product / (p.alpha - 1) - 1
    return f.where(p.alpha <= 1, math.inf, result)


@register_kl(Pareto, Gamma)
def _pareto_gamma(p: Any, q: Any) -> Value:
    mean_log = p.scale.log() + p.alpha.reciprocal()
    log_q = q.concentration * q.rate.log() - q.concentration.lgamma() + (q.concentration - 1) * mean_log
    return f.where(p.alpha <= 1, math.inf, _cross(p, log_q - q.rate * p.mean))


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Value:
    result = _cross(p, q.rate.log() - q.rate * p.mean)
    return f.where(p.low < 0, math.inf, result)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Value:
    mean_log = (_x_log_x(p.high) - _x_log_x(p.low)) / (p.high - p.low) - 1
    log_q = q.concentration * q.rate.log() - q.concentration.lgamma() + (q.concentration - 1) * mean_log
    return f.where(p.low < 0, math.inf, _cross(p, log_q - q.rate * p.mean))


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Value:
    width = p.high - p.low
    mean_log = (_x_log_x(p.high) - _x_log_x(p.low)) / width - 1
    mean_log_rest = (_x_log_x(1 - p.low) - _x_log_x(1 - p.high)) / width - 1
    total = q.concentration1 + q.concentration0
    log_q = (
        (q.concentration1 - 1) * mean_log
        + (q.concentration0 - 1) * mean_log_rest
        - (q.concentration1.lgamma() + q.concentration0.lgamma() - total.lgamma())
    )
    return f.where((p.high > 1) | (p.low < 0), math.inf, _cross(p, log_q))


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous_bernoulli(p: Any, q: Any) -> Value:
    log_q = p.mean * q.logits + f.log1p(-q.probs) + q._log_normalizer_of_probs()
    return f.where((p.high > 1) | (p.low < 0), math.inf, _cross(p, log_q))


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Value:
    width = (p.high - p.low) / q.scale
    high, low = (q.loc - p.high) / q.scale, (q.loc - p.low) / q.scale
    return 0.5 * (-high - low) - width.log() - (f.exp(high) - f.exp(low)) / width


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Value:
    mean_log = (_x_log_x(p.high) - _x_log_x(p.low)) / (p.high - p.low) - 1
    log_q = q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * mean_log
    return f.where(p.low < q.scale, math.inf, _cross(p, log_q))


# Where p has values that q doesn't


def _infinite(p: Any, q: Any) -> Value:
    first = next(value for value in vars(p).values() if isinstance(value, f.Tensor))
    return _infinite_like(first.expand(p.batch_shape) if first.shape != p.batch_shape else first)


def _infinite_beta(p: Any, q: Any) -> Value:
    return _infinite_like(p.concentration1)


register_kl(Beta, Pareto)(_infinite_beta)
for _p, _others in {
    ContinuousBernoulli: (Pareto,),
    Exponential: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gamma: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gumbel: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Laplace: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Pareto: (Beta, ContinuousBernoulli, Uniform),
    Poisson: (Bernoulli, Binomial),
}.items():
    for _q in _others:
        register_kl(_p, _q)(_infinite)
