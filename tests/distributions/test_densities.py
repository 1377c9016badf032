"""Densities against their integrals: total, mean, variance, entropy, distribution function; divergences likewise."""

import itertools

import numpy as np
import pytest

import graphc
from graphc import distributions as d
from tests.distributions.cases import CONTINUOUS, DISCRETE, t

NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)


def grid(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of integrals, closer at the lower end and around 0."""
    cuts = sorted({low, high, *(c for c in (-8, -3, -1, 0, 0.05, 0.3, 0.5, 1, 2, 3, 8, 25) if low < c < high)})
    points = [((b - a) * NODES + a + b) / 2 for a, b in itertools.pairwise(cuts)]
    return np.concatenate(points), np.concatenate([(b - a) / 2 * WEIGHTS for a, b in itertools.pairwise(cuts)])


def log_density(distribution: d.Distribution, points: np.ndarray) -> np.ndarray:
    distribution._validate_args = False
    found = distribution.log_prob(graphc.from_numpy(points).unsqueeze(-1)).numpy()
    return np.where(np.isnan(found), -np.inf, found)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_densities_have_their_moments(name: str) -> None:
    make, (low, high) = CONTINUOUS[name]
    distribution = make()
    x, weights = grid(low, high)
    logs = log_density(distribution, x)
    density = np.exp(logs) * weights[:, None]
    tolerance = {"rtol": 2e-3, "atol": 2e-4}
    np.testing.assert_allclose(density.sum(0), 1, **tolerance)
    if name == "RelaxedBernoulli":
        return  # it has no moments in closed form
    mean = (x[:, None] * density).sum(0)
    np.testing.assert_allclose(distribution.mean.numpy(), mean, **tolerance)
    variance = ((x[:, None] - mean) ** 2 * density).sum(0)
    np.testing.assert_allclose(distribution.variance.numpy(), variance, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(distribution.stddev.numpy(), variance**0.5, rtol=1e-2, atol=1e-3)
    if name not in ("MixtureSameFamily", "FisherSnedecor"):
        entropy = -(np.where(np.isinf(logs), 0, logs) * density).sum(0)
        np.testing.assert_allclose(distribution.entropy().numpy(), entropy, **tolerance)


@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_have_their_moments(name: str) -> None:
    make, count = DISCRETE[name]
    distribution = make()
    k = np.arange(count, dtype=np.float64)
    chances = np.exp(log_density(distribution, k))
    np.testing.assert_allclose(chances.sum(0), 1, rtol=1e-9)
    mean = (k[:, None] * chances).sum(0)
    np.testing.assert_allclose(distribution.mean.numpy(), mean, rtol=1e-7)
    np.testing.assert_allclose(distribution.variance.numpy(), ((k[:, None] - mean) ** 2 * chances).sum(0), rtol=1e-7)
    np.testing.assert_array_equal(chances.argmax(0), np.floor(distribution.mode.numpy()))
    if name not in ("NegativeBinomial", "Poisson"):
        logs = np.log(np.where(chances > 0, chances, 1))
        np.testing.assert_allclose(distribution.entropy().numpy(), -(chances * logs).sum(0), rtol=1e-6)


WITHOUT_CDF = ("StudentT", "FisherSnedecor", "Beta", "RelaxedBernoulli")
WITHOUT_ICDF = ("Gamma", "Chi2", "InverseGamma", "MixtureSameFamily")


@pytest.mark.parametrize("name", [n for n in CONTINUOUS if n not in WITHOUT_CDF])
def test_distribution_functions_integrate_the_density(name: str) -> None:
    distribution = CONTINUOUS[name][0]()
    distribution._validate_args = False
    low, high = {"Pareto": (1.2, 1.4), "Uniform": (0.6, 0.7)}.get(name, (0.2, 0.7))
    start, end = (graphc.full((2,), each, dtype=graphc.float64) for each in (low, high))
    points = (high - low) / 2 * NODES + (low + high) / 2
    integral = (np.exp(log_density(distribution, points)) * WEIGHTS[:, None]).sum(0) * (high - low) / 2
    np.testing.assert_allclose((distribution.cdf(end) - distribution.cdf(start)).numpy(), integral, rtol=1e-4)
    if name not in WITHOUT_ICDF:
        np.testing.assert_allclose(distribution.icdf(distribution.cdf(end)).numpy(), high, rtol=1e-6)


PAIRS = [
    ("Normal", "Normal"), ("Normal", "Laplace"), ("Normal", "Gumbel"), ("Laplace", "Laplace"), ("Laplace", "Normal"),
    ("Gamma", "Gamma"), ("Gamma", "Exponential"), ("Gamma", "Gumbel"), ("Gamma", "Normal"), ("Exponential", "Gamma"),
    ("Exponential", "Exponential"), ("Exponential", "Gumbel"), ("Exponential", "Normal"), ("Gumbel", "Gumbel"),
    ("Gumbel", "Normal"), ("Beta", "Beta"), ("Beta", "Gamma"), ("Beta", "Exponential"), ("Beta", "Normal"),
    ("Beta", "ContinuousBernoulli"), ("Uniform", "Normal"),
    ("Uniform", "Gumbel"), ("HalfNormal", "HalfNormal"), ("Pareto", "Pareto"), ("Pareto", "Gamma"),
    ("Pareto", "Exponential"), ("Pareto", "Normal"), ("LogNormal", "LogNormal"), ("ContinuousBernoulli", "Normal"),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_divergences_are_mean_differences_of_logs(pair: tuple[str, str]) -> None:
    make, (low, high) = CONTINUOUS[pair[0]]
    p, q = make(), CONTINUOUS[pair[1]][0]()
    if pair[0] != "Pareto" and pair[0] == pair[1]:  # of the other parameters
        q = p.expand((2, 2)).__class__(*(getattr(q, name).flip(0) for name in q.arg_constraints))
    x, weights = grid(low, high)
    logs_p, logs_q = log_density(p, x), log_density(q, x)
    known = ~np.isinf(logs_p)
    terms = np.exp(logs_p) * np.where(known, np.where(known, logs_p, 0) - logs_q, 0) * weights[:, None]
    np.testing.assert_allclose(d.kl_divergence(p, q).numpy(), terms.sum(0), rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize(
    "p, q, expected",
    [
        (d.Bernoulli(t(0.2)), d.Bernoulli(t(0.6)), 0.2 * np.log(0.2 / 0.6) + 0.8 * np.log(0.8 / 0.4)),
        (d.Bernoulli(t(0.2)), d.Bernoulli(t(0.0)), np.inf),
        (d.Bernoulli(t(0.0)), d.Bernoulli(t(0.5)), np.log(2)),
        (d.Categorical(t(1.0, 3.0)), d.Categorical(t(1.0, 1.0)), 0.25 * np.log(0.5) + 0.75 * np.log(1.5)),
        (d.Categorical(t(1.0, 0.0)), d.Categorical(t(1.0, 1.0)), np.log(2)),
        (d.Poisson(t(2.0)), d.Poisson(t(3.0)), 2 * np.log(2 / 3) + 1),
        (d.Cauchy(t(0.0), t(1.0)), d.Cauchy(t(1.0), t(2.0)), np.log(10 / 8)),
        (d.Uniform(t(0.0), t(1.0)), d.Uniform(t(-1.0), t(2.0)), np.log(3)),
        (d.Uniform(t(0.0), t(1.0)), d.Uniform(t(0.5), t(2.0)), np.inf),
        (d.Normal(t(0.0), t(1.0)), d.Exponential(t(1.0)), np.inf),
    ],
)
def test_divergences_in_closed_form(p: d.Distribution, q: d.Distribution, expected: float) -> None:
    np.testing.assert_allclose(d.kl_divergence(p, q).numpy(), expected, rtol=1e-6)


def test_divergences_of_others_are_refused_and_can_be_registered() -> None:
    class Mine(d.Normal):
        pass

    with pytest.raises(NotImplementedError, match=r"No KL\(p \|\| q\) is implemented for p type Uniform"):
        d.kl_divergence(d.Uniform(0.0, 1.0), d.Poisson(1.0))
    assert d.kl_divergence(Mine(0.0, 1.0), d.Normal(1.0, 1.0)).item() == 0.5

    @d.register_kl(Mine, Mine)
    def _mine(p: Mine, q: Mine) -> graphc.Tensor:
        return graphc.tensor(7.0)

    assert d.kl_divergence(Mine(0.0, 1.0), Mine(1.0, 1.0)).item() == 7.0


def normal_log(x: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> float:
    """log N(x; mean, cov)."""
    offset = x - mean
    return float(-0.5 * (offset @ np.linalg.solve(cov, offset) + np.linalg.slogdet(2 * np.pi * cov)[1]))


def test_normal_vectors() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3))
    cov, mean, x = root @ root.T + np.eye(3), rng.normal(size=3), rng.normal(size=3)
    loc, value, matrix = (graphc.from_numpy(each) for each in (mean, x, cov))
    ways = [
        d.MultivariateNormal(loc, matrix),
        d.MultivariateNormal(loc, precision_matrix=graphc.linalg.inv(matrix)),
        d.MultivariateNormal(loc, scale_tril=graphc.linalg.cholesky(matrix)),
    ]
    for each in ways:
        assert each.log_prob(value).item() == pytest.approx(normal_log(x, mean, cov), rel=1e-9)
        np.testing.assert_allclose(each.covariance_matrix.numpy(), cov, rtol=1e-9)
        np.testing.assert_allclose(each.precision_matrix.numpy(), np.linalg.inv(cov), rtol=1e-8)
        assert each.entropy().item() == pytest.approx(0.5 * np.linalg.slogdet(2 * np.pi * np.e * cov)[1])
        np.testing.assert_allclose(each.variance.numpy(), np.diag(cov))
    factor, diagonal = root[:, :2], np.array([0.5, 1.0, 2.0])
    low = d.LowRankMultivariateNormal(loc, *map(graphc.from_numpy, (factor.copy(), diagonal)))
    small = factor @ factor.T + np.diag(diagonal)
    assert low.log_prob(value).item() == pytest.approx(normal_log(x, mean, small), rel=1e-9)
    np.testing.assert_allclose(low.precision_matrix.numpy(), np.linalg.inv(small), rtol=1e-8)
    other = ways[0].expand((2,))
    expected = 0.5 * (
        np.trace(np.linalg.solve(cov, small)) - 3 + np.linalg.slogdet(cov)[1] - np.linalg.slogdet(small)[1]
    )
    np.testing.assert_allclose(d.kl_divergence(low, other).numpy(), [expected, expected], rtol=1e-8)


def test_vectors_of_shares_and_counts() -> None:
    shares, value = d.Dirichlet(t(1.5, 2.0, 3.0)), t(0.2, 0.3, 0.5)
    beta = d.Beta(t(1.5), t(5.0)).log_prob(t(0.2)) + d.Beta(t(2.0), t(3.0)).log_prob(t(0.375)) - np.log(0.8)
    assert shares.log_prob(value).item() == pytest.approx(beta.item())  # by sticks that are broken in turn
    counts = d.Multinomial(4, t(0.2, 0.3, 0.5))
    assert counts.log_prob(t(1.0, 1.0, 2.0)).exp().item() == pytest.approx(12 * 0.2 * 0.3 * 0.25)
    everything = [v for v in itertools.product(range(5), repeat=3) if sum(v) == 4]
    logs = counts.log_prob(graphc.tensor(everything, dtype=graphc.float64))
    assert logs.exp().sum().item() == pytest.approx(1)
    assert counts.entropy().item() == pytest.approx(-(logs.exp() * logs).sum().item())
    one_hot = d.OneHotCategorical(t(0.2, 0.8))
    assert one_hot.log_prob(t(0.0, 1.0)).exp().item() == pytest.approx(0.8)
    assert one_hot.enumerate_support().tolist() == [[1.0, 0.0], [0.0, 1.0]]
    freedom = d.Wishart(5.0, graphc.eye(1, dtype=graphc.float64) * 2)  # in one dimension a gamma distribution
    expected = d.Gamma(t(2.5), t(0.25)).log_prob(t(3.0))
    assert freedom.log_prob(t(3.0).view(1, 1)).item() == pytest.approx(expected.item())
