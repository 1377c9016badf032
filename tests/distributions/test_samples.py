"""Samples: shapes, dtypes, moments, repeatability, gradients."""

import numpy as np
import pytest

import graphc
from graphc import distributions as d
from tests.distributions.cases import CONTINUOUS, DISCRETE, t

MAKERS = {name: make for name, (make, _) in {**CONTINUOUS, **DISCRETE}.items()}
COUNT = 20_000
WITHOUT_SLOPE = ("MixtureSameFamily", "RelaxedBernoulli", "GeneralizedPareto", "ContinuousBernoulli")
"""No gradients of samples, no mean, and none to parameters where another formula takes over."""


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "RelaxedBernoulli"])
def test_samples_have_the_moments(name: str) -> None:
    distribution = MAKERS[name]()
    graphc.manual_seed(3)
    samples = distribution.sample((COUNT,))
    assert (samples.shape, samples.dtype) == ((COUNT, 2), graphc.float64)
    assert distribution.support.check(samples).all()
    error = distribution.stddev.numpy() / COUNT**0.5
    assert (np.abs(samples.mean(0).numpy() - distribution.mean.numpy()) < 5 * error).all()
    np.testing.assert_allclose(samples.std(0).numpy(), distribution.stddev.numpy(), rtol=0.15)


@pytest.mark.parametrize("name", [n for n in CONTINUOUS if n not in WITHOUT_SLOPE])
def test_gradients_of_samples_are_those_of_the_mean(name: str) -> None:
    base = MAKERS[name]()
    names = [each for each in base.arg_constraints if each != "logits"]
    parameters = [getattr(base, each).detach().clone().requires_grad_() for each in names]
    if name == "Pareto":
        parameters.reverse()  # it takes the scale first
    graphc.manual_seed(5)
    distribution = type(base)(*parameters)
    assert distribution.has_rsample
    got = graphc.autograd.grad(distribution.rsample((COUNT,)).mean(0).sum(), parameters, allow_unused=True)
    want = graphc.autograd.grad(type(base)(*parameters).mean.sum(), parameters, allow_unused=True)
    for mine, expected in zip(got, want, strict=True):
        if expected is not None:
            np.testing.assert_allclose(mine.numpy(), expected.numpy(), rtol=0.1, atol=0.03)


@pytest.mark.parametrize("concentration", [0.05, 0.7, 3.0, 40.0, 900.0, 20000.0])
def test_gamma_numbers_keep_their_quantile_as_the_concentration_moves(concentration: float) -> None:
    a = t(concentration).expand(50).clone().requires_grad_()
    graphc.manual_seed(1)
    x = d.Gamma(a, graphc.ones_like(a)).rsample()
    (slope,) = graphc.autograd.grad(x.sum(), a)
    step = concentration * 1e-5
    x = x.detach()
    kept = x > 1e-30
    change = slope * step
    low = graphc.special.gammainc(a.detach() - step, x - change)
    high = graphc.special.gammainc(a.detach() + step, x + change)
    moved = (high - low)[kept].abs().max().item()
    alone = (graphc.special.gammainc(a.detach() + step, x) - graphc.special.gammainc(a.detach() - step, x)).abs()
    assert moved < 2e-3 * alone.max().item()


def test_samples_of_vectors() -> None:
    graphc.manual_seed(0)
    cov = t(2.0, 0.5, 0.5, 1.0).view(2, 2)
    for normal in (
        d.MultivariateNormal(t(1.0, -1.0), cov),
        d.LowRankMultivariateNormal(t(1.0, -1.0), t(1.0, 0.5).view(2, 1), t(1.0, 0.75)),
    ):
        drawn = normal.rsample((COUNT,))
        np.testing.assert_allclose(np.cov(drawn.numpy().T), cov.numpy(), atol=0.08)
        np.testing.assert_allclose(drawn.mean(0).numpy(), [1, -1], atol=0.05)
    shares = d.Dirichlet(t(1.5, 2.0, 3.0)).sample((COUNT,))
    np.testing.assert_allclose(shares.sum(-1).numpy(), 1)
    np.testing.assert_allclose(shares.mean(0).numpy(), np.array([1.5, 2, 3]) / 6.5, atol=0.01)
    counts = d.Multinomial(6, t(0.2, 0.3, 0.5)).sample((COUNT,))
    assert (counts.sum(-1) == 6).all()
    np.testing.assert_allclose(counts.mean(0).numpy(), [1.2, 1.8, 3.0], atol=0.05)
    matrices = d.Wishart(t(5.0)[0], cov).sample((COUNT,))
    np.testing.assert_allclose(matrices.mean(0).numpy(), 5 * cov.numpy(), rtol=0.1)
    factors = d.LKJCholesky(3, 2.0).sample((100,))
    assert d.constraints.corr_cholesky.check(factors).all()
    angles = d.VonMises(t(0.5), t(4.0)).sample((COUNT,))
    assert angles.abs().max().item() <= np.pi
    assert np.arctan2(angles.sin().mean().item(), angles.cos().mean().item()) == pytest.approx(0.5, abs=0.02)


def test_categories() -> None:
    graphc.manual_seed(0)
    chances = t(0.1, 0.2, 0.7, 0.5, 0.25, 0.25).view(2, 3)
    drawn = d.Categorical(chances).sample((COUNT, 1))
    assert (drawn.shape, drawn.dtype) == ((COUNT, 1, 2), graphc.int64)
    for row in range(2):
        shares = np.bincount(drawn[:, 0, row].numpy(), minlength=3) / COUNT
        np.testing.assert_allclose(shares, chances[row].numpy(), atol=0.015)
    assert d.Categorical(t(0.0, 1.0)).sample().item() == 1
    hot = d.OneHotCategorical(chances).sample((4,))
    assert (hot.shape, hot.sum().item()) == ((4, 2, 3), 8.0)
    logits = graphc.zeros(2, 3, requires_grad=True)
    through = d.OneHotCategoricalStraightThrough(logits=logits).rsample()
    assert d.constraints.one_hot.check(through).all()
    (through * graphc.arange(3.0)).sum().backward()
    np.testing.assert_allclose(logits.grad.numpy(), [[-1 / 3, 0, 1 / 3]] * 2, atol=1e-6)


def test_samples_have_no_history_and_repeat_by_the_seed() -> None:
    scale = graphc.ones(3, requires_grad=True)
    normal = d.Normal(graphc.zeros(3), scale)
    graphc.manual_seed(1)
    first = normal.sample((2,))
    graphc.manual_seed(1)
    assert graphc.equal(normal.sample((2,)), first)
    assert not first.requires_grad
    assert normal.rsample().requires_grad
    for apart in (d.Bernoulli(0.5), d.Categorical(graphc.ones(2)), d.Poisson(1.0)):
        assert not apart.has_rsample
        with pytest.raises(NotImplementedError):
            apart.rsample()


def test_a_score_function_trains_a_policy() -> None:
    graphc.manual_seed(0)
    logits = graphc.zeros(3, requires_grad=True)
    for _ in range(60):
        policy = d.Categorical(logits=logits)
        action = policy.sample((64,))
        loss = -(policy.log_prob(action) * (action == 2).float()).mean()
        (gradient,) = graphc.autograd.grad(loss, logits)
        with graphc.no_grad():
            logits -= 2 * gradient
    assert d.Categorical(logits=logits).probs[2].item() > 0.9
