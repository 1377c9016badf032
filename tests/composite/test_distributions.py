"""Samplers: whether what they give follows the distribution, by closed formulas, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import graphc as g
from graphc.frontend.tensor import call
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, ShapeError
from graphc.ops.function import functions
from tests.composite.case import Values

COUNT = 40000
KEY = np.array(11, np.uint64)
ZEROS = np.zeros(COUNT)
Reals = npt.NDArray[np.float64]


def sample(name: str, *arguments: Any, key: Any = KEY) -> Values:
    """What native code gives; arrays are operands of it, all else is fixed."""
    arrays = [each for each in arguments if isinstance(each, np.ndarray)]

    def build(key: Any, *given: Any) -> Any:
        left = iter(given)
        filled = [next(left) if isinstance(each, np.ndarray) else each for each in arguments]
        return call(functions()[name], tuple(filled), {"key": key})

    result = g.compile(build)(key, *arrays)
    assert isinstance(result, np.ndarray)
    return result


def erf(x: Reals) -> Reals:
    return np.array([math.erf(each) for each in x])


CONTINUOUS: tuple[tuple[str, tuple[Any, ...], Callable[[Reals], Reals]], ...] = (
    ("uniform", (ZEROS, -2.0, 3.0), lambda x: (x + 2) / 5),
    ("exponential", (ZEROS, 2.0), lambda x: -np.expm1(-2 * x)),
    ("cauchy", (ZEROS, 1.0, 2.0), lambda x: np.arctan((x - 1) / 2) / np.pi + 0.5),
    ("log_normal", (ZEROS, 0.5, 0.25), lambda x: 0.5 + 0.5 * erf((np.log(x) - 0.5) / 0.25 / 2**0.5)),
    ("_standard_gamma", (np.full(COUNT, 0.5),), lambda x: erf(np.sqrt(x))),
    ("_standard_gamma", (np.full(COUNT, 1.0),), lambda x: -np.expm1(-x)),
    ("_standard_gamma", (np.full(COUNT, 3.0),), lambda x: 1 - np.exp(-x) * (1 + x + x * x / 2)),
)


@pytest.mark.parametrize(("name", "arguments", "cdf"), CONTINUOUS, ids=range(len(CONTINUOUS)))
def test_continuous_numbers_follow_their_distribution(
    name: str, arguments: tuple[Any, ...], cdf: Callable[[Reals], Reals]
) -> None:
    numbers = np.sort(sample(name, *arguments))
    steps = np.arange(COUNT + 1) / COUNT
    reached = cdf(numbers)
    distance = max(np.max(steps[1:] - reached), np.max(reached - steps[:-1]))
    assert distance * COUNT**0.5 < 1.95  # of Kolmogorov and Smirnov: exceeded with the probability 0.001


def poisson_mass(rate: float) -> Callable[[int], float]:
    return lambda k: math.exp(k * math.log(rate) - rate - math.lgamma(k + 1))


def binomial_mass(n: int, p: float) -> Callable[[int], float]:
    return lambda k: math.comb(n, k) * p**k * (1 - p) ** (n - k) if k <= n else 0.0


def full(value: float) -> Values:
    return np.full(COUNT, float(value))


DISCRETE: tuple[tuple[str, tuple[Any, ...], Callable[[int], float]], ...] = (
    ("geometric", (ZEROS, 0.3), lambda k: 0.3 * 0.7 ** (k - 1) if k else 0.0),
    *(("poisson", (full(rate),), poisson_mass(rate)) for rate in (0.01, 3.0, 11.9, 12.0, 40.0)),
    *(
        ("binomial", (full(n), full(p)), binomial_mass(n, p))
        for n, p in ((1, 0.3), (64, 0.9), (65, 0.05), (65, 0.5), (900, 0.3), (900, 0.97), (900, 0.001))
    ),
)


@pytest.mark.parametrize(("name", "arguments", "mass"), DISCRETE, ids=range(len(DISCRETE)))
def test_counts_follow_their_distribution(name: str, arguments: tuple[Any, ...], mass: Callable[[int], float]) -> None:
    found = np.bincount(sample(name, *arguments).astype(np.int64))
    expected = np.array([COUNT * mass(k) for k in range(len(found))])
    often = expected >= 5
    both = [np.append(each[often], COUNT - each[often].sum()) for each in (found, expected)]
    observed, wanted = (each[: -1 if both[1][-1] < 1 else None] for each in both)
    freedom = len(wanted) - 1
    assert freedom >= 1
    assert np.sum((observed - wanted) ** 2 / wanted) < freedom + 4 * (2 * freedom) ** 0.5 + 8


def test_parameters_at_their_ends() -> None:
    np.testing.assert_array_equal(sample("poisson", np.array([0.0, np.nan])), [0.0, np.nan])
    n, p = np.array([5.0, 5.0, 999.0, 999.0]), np.array([0.0, 1.0, 0.0, 1.0])
    np.testing.assert_array_equal(sample("binomial", n, p), [0, 5, 0, 999])
    np.testing.assert_array_equal(sample("geometric", ZEROS[:3], 1.0), np.ones(3))
    assert sample("exponential", ZEROS).min() > 0
    large = sample("poisson", full(1e6))
    assert abs((large - 1e6).mean()) < 5 * 1e3 / COUNT**0.5
    assert abs(large.var() / 1e6 - 1) < 5 * (2 / COUNT) ** 0.5


def test_uniform_numbers_stay_below_their_end() -> None:
    for kind in (np.float16, np.float32):
        numbers = sample("uniform", np.zeros(200000, kind), 1.0, 2.0)
        assert numbers.dtype == kind
        assert 1.0 <= numbers.min() < 1.01 < 1.99 < numbers.max() < 2.0


def test_shares_add_up_to_one_and_have_their_means() -> None:
    shares = sample("_sample_dirichlet", np.tile([0.5, 1.0, 3.0], (COUNT, 1)))
    np.testing.assert_allclose(shares.sum(1), 1.0)
    np.testing.assert_allclose(shares.mean(0), np.array([0.5, 1.0, 3.0]) / 4.5, atol=0.01)
    assert not np.isnan(sample("_sample_dirichlet", np.full((100, 2), 1e-4))).any()


def test_permutations_hold_each_number_once() -> None:
    rows = np.array([sample("randperm", 4, key=np.array(k, np.uint64)) for k in range(600)])
    assert (np.sort(rows, 1) == np.arange(4)).all()
    counts = np.unique(rows, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert np.sum((counts - 25) ** 2 / 25) < 23 + 4 * 46**0.5
    assert sample("randperm", 1).tolist() == [0]


def test_choices_follow_their_weights() -> None:
    weights = np.array([0.1, 0.0, 0.8, 0.6, 0.4])
    drawn = sample("multinomial", weights, COUNT, True)
    assert drawn.dtype == np.int64
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / COUNT, weights / 1.9, atol=0.01)
    pairs = sample("multinomial", np.tile(weights, (COUNT, 1)), 2)
    assert pairs.shape == (COUNT, 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    np.testing.assert_allclose(np.bincount(pairs[:, 0], minlength=5) / COUNT, weights / 1.9, atol=0.01)
    second = sum(weights[k] / 1.9 * weights / (1.9 - weights[k]) * (np.arange(5) != k) for k in range(5))
    np.testing.assert_allclose(np.bincount(pairs[:, 1], minlength=5) / COUNT, second, atol=0.01)


def test_integers_of_wide_ranges_have_no_bias() -> None:
    numbers = sample("randint", 0, 3 * 2**61, (COUNT,))  # 2**64 is no multiple: remainders alone favour the low third
    np.testing.assert_allclose(np.bincount(numbers >> 61) / COUNT, np.full(3, 1 / 3), atol=0.012)
    assert abs((sample("randint", -(2**63), 2**63, (COUNT,)) < 0).mean() - 0.5) < 0.012


def test_numbers_are_those_of_the_key_for_any_number_of_threads() -> None:
    rates = np.linspace(0.1, 50.0, 20000)
    found = []
    try:
        for threads in (1, 2):
            g.set_num_threads(threads)
            found.append(sample("poisson", rates))
    finally:
        g.set_num_threads(2)
    np.testing.assert_array_equal(*found)
    assert (sample("poisson", rates, key=np.array(12, np.uint64)) != found[0]).any()


REFUSED: tuple[tuple[str, tuple[Any, ...], type[GraphcError], str], ...] = (
    ("exponential", (ZEROS, 0.0), ArgumentError, "exponential_ expects lambda > 0.0, but found lambda=0"),
    ("geometric", (ZEROS, 0.0), ArgumentError, "geometric_ expects p to be in (0, 1), but got p=0"),
    ("cauchy", (ZEROS, 0.0, -1.0), ArgumentError, "cauchy_ expects sigma > 0.0, but found sigma=-1"),
    ("log_normal", (ZEROS, 0.0, 0.0), ArgumentError, "log_normal_ expects std > 0.0, but found std=0"),
    (
        "uniform",
        (ZEROS, 2.0, 1.0),
        ArgumentError,
        "uniform_ expects to return a [from, to) range, but found from=2 > to=1",
    ),
    ("poisson", (np.arange(3),), DTypeError, "\"poisson_cpu\" not implemented for 'Long'"),
    (
        "binomial",
        (np.arange(3), ZEROS[:3]),
        DTypeError,
        "binomial only supports floating-point dtypes for count, got: Long",
    ),
    ("multinomial", (ZEROS[:2], 0), ArgumentError, "cannot sample n_sample <= 0 samples"),
    (
        "multinomial",
        (ZEROS[:2], 3),
        ArgumentError,
        "cannot sample n_sample > prob_dist.size(-1) samples without replacement",
    ),
    ("multinomial", (np.zeros((1, 1, 2)), 1), ShapeError, "prob_dist must be 1 or 2 dim"),
    ("randperm", (-1,), ArgumentError, "n must be non-negative, got -1"),
)


@pytest.mark.parametrize(("name", "arguments", "kind", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_refused(name: str, arguments: tuple[Any, ...], kind: type[GraphcError], message: str) -> None:
    with pytest.raises(kind) as caught:
        sample(name, *arguments)
    assert caught.value.message == message
