"""Random numbers: what they follow, that a key decides them, and how dropout uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

import graphc as g
from tests.composite.case import Values, interpret, native

COUNT = 20000
KEY = np.array(7, np.uint64)
NORMAL = scipy.stats.norm(0, 1).cdf
UNIFORM = scipy.stats.uniform(0, 1).cdf

DISTRIBUTIONS: tuple[tuple[str, Callable[..., Any], Callable[..., Any]], ...] = (
    ("rand", lambda k: g.rand(COUNT, key=k), UNIFORM),
    ("rand-f64", lambda k: g.rand((COUNT,), key=k, dtype="float64"), UNIFORM),
    ("rand_like", lambda k: g.rand_like(g.zeros(COUNT), key=k), UNIFORM),
    ("randn", lambda k: g.randn(COUNT, key=k), NORMAL),
    ("randn-f64", lambda k: g.randn(COUNT, key=k, dtype="float64"), NORMAL),
    ("randn_like", lambda k: g.randn_like(g.zeros(COUNT, dtype="float64"), key=k), NORMAL),
    ("normal", lambda k: (g.normal(2.0, 3.0, (COUNT,), key=k) - 2.0) / 3.0, NORMAL),
    ("normal-tensors", lambda k: g.normal(g.ones(COUNT), 2.0, key=k) / 2.0 - 0.5, NORMAL),
)


@pytest.mark.parametrize(("name", "build", "cdf"), DISTRIBUTIONS, ids=[each[0] for each in DISTRIBUTIONS])
def test_distribution(name: str, build: Callable[..., Any], cdf: Callable[..., Any]) -> None:
    (numbers,) = interpret(build, KEY)
    assert scipy.stats.kstest(numbers.astype(np.float64), cdf).pvalue > 0.01
    neighbours = np.corrcoef(numbers[:-1], numbers[1:])[0, 1]
    assert abs(neighbours) < 4 / COUNT**0.5
    (compiled,) = native(build, KEY)
    np.testing.assert_allclose(compiled, numbers, rtol=2e-5, atol=2e-6)


def test_uniform_numbers_are_below_one_in_every_dtype() -> None:
    for kind in ("float16", "bfloat16", "float32"):
        (numbers,) = interpret(lambda k, d=kind: g.rand(200000, key=k, dtype=d).to("float64"), KEY)
        assert 0.0 <= numbers.min() < 0.01 < 0.99 < numbers.max() < 1.0


def test_integers_are_each_equally_likely() -> None:
    for build in (lambda k: g.randint(-2, 5, (COUNT,), key=k), lambda k: g.randint(7, (COUNT,), key=k) - 2):
        (numbers,) = interpret(build, KEY)
        assert numbers.dtype == np.int64
        counts = np.bincount(numbers + 2, minlength=7)
        assert len(counts) == 7
        assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_bernoulli_follows_its_probabilities() -> None:
    p = np.repeat([0.0, 0.3, 1.0], COUNT)
    (numbers,) = interpret(lambda p, k: g.bernoulli(p, key=k), p, KEY)
    means = numbers.reshape(3, COUNT).mean(1)
    assert means[0] == 0
    assert means[2] == 1
    assert abs(means[1] - 0.3) < 4 * 0.46 / COUNT**0.5


def test_the_key_decides() -> None:
    def draw_twice(key: Any) -> Any:
        return g.randn(100, key=key), g.randn(100, key=key), g.randn(100, key=key + 1)

    first, again, other = interpret(draw_twice, KEY)
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.4
    (number,) = interpret(lambda x: x * 0 + g.randn(100, key=7), np.zeros(100, np.float32))
    np.testing.assert_array_equal(number, first)


def test_dropout_keeps_the_mean_and_scales_what_stays() -> None:
    x = np.ones((100, 200), np.float32)
    for run in (interpret, native):
        (result,) = run(lambda x, k: g.dropout(x, 0.25, key=k), x, KEY)
        assert set(np.unique(result)) == {np.float32(0), np.float32(1 / 0.75)}
        assert abs(result.mean() - 1) < 0.02


def test_dropout_gives_the_gradient_of_what_stays() -> None:
    x = np.ones(50)
    value, gradient = interpret(
        lambda x, k: (g.dropout(x, 0.5, key=k), g.grad(lambda x: g.dropout(x, 0.5, key=k).sum())(x)), x, KEY
    )
    np.testing.assert_array_equal(value, gradient)


def test_feature_dropout_drops_whole_channels() -> None:
    x = np.ones((10, 20, 3, 4))
    (result,) = interpret(lambda x, k: g.feature_dropout(x, 0.5, key=k), x, KEY)
    channels: Values = result.reshape(200, 12)
    assert (channels == channels[:, :1]).all()
    assert 60 < (channels[:, 0] == 0).sum() < 140


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = np.random.default_rng(3).standard_normal((COUNT, 4))
    for build in (
        lambda x, k: g.alpha_dropout(x, 0.3, True, key=k),
        lambda x, k: g.feature_alpha_dropout(x, 0.3, True, key=k),
    ):
        (result,) = interpret(build, x, KEY)
        assert abs(result.mean()) < 0.02
        assert abs(result.var() - 1) < 0.03
        values, counts = np.unique(result, return_counts=True)
        assert counts.max() / result.size == pytest.approx(0.3, abs=0.01)
        # alpha' = -1.7581 of selu, through the affine map a * (alpha' d + x (1 - d)) + b with a for p = 0.3
        a = 1 / ((1.7580993408473766**2 * 0.3 + 1) * 0.7) ** 0.5
        assert values[counts.argmax()] == pytest.approx(-1.7580993408473766 * a * 0.7)


def test_random_slopes_lie_between_their_bounds() -> None:
    x = np.repeat([-2.0, 3.0], COUNT)
    (result,) = interpret(lambda x, k: g.rrelu(x, 0.1, 0.3, True, key=k), x, KEY)
    slopes = result[:COUNT] / -2
    assert 0.1 <= slopes.min() < 0.101 < 0.299 < slopes.max() < 0.3
    assert (result[COUNT:] == 3).all()
    (fixed,) = interpret(lambda x: g.rrelu(x, 0.1, 0.3), x)
    np.testing.assert_allclose(fixed, np.where(x < 0, 0.2 * x, x))


def test_dropped_nan_stays_nan() -> None:
    (result,) = interpret(lambda x, k: g.dropout(x, 0.5, key=k), np.full(100, np.nan), KEY)
    assert np.isnan(result).all()
