"""Parameters, texts, shapes, expansion, constraints, transforms."""

import numpy as np
import pytest

import graphc
from graphc import distributions as d
from graphc import tensor
from graphc.distributions import constraints
from tests.distributions.cases import CONTINUOUS, DISCRETE, t

MAKERS = {name: make for name, (make, _) in {**CONTINUOUS, **DISCRETE}.items()}

TEXTS = {
    "Normal(loc: 0.0, scale: 1.0)": lambda: d.Normal(0, 1),
    "Normal(loc: torch.Size([3, 4]), scale: torch.Size([3, 4]))": lambda: d.Normal(graphc.zeros(3, 4), 1.0),
    "Bernoulli(probs: 0.30000001192092896)": lambda: d.Bernoulli(0.3),
    "Categorical(logits: torch.Size([2]))": lambda: d.Categorical(logits=tensor([1.0, 3.0])),
    "Gamma(concentration: tensor([1.]), rate: tensor([2.]))": lambda: d.Gamma(tensor([1.0]), tensor([2.0])),
    "Beta()": lambda: d.Beta(0.5, 0.5),
    "Independent(Normal(loc: torch.Size([3]), scale: torch.Size([3])), 1)": lambda: d.Independent(
        d.Normal(graphc.zeros(3), graphc.ones(3)), 1
    ),
    "MultivariateNormal(loc: torch.Size([2]), covariance_matrix: torch.Size([2, 2]))": lambda: d.MultivariateNormal(
        graphc.zeros(2), graphc.eye(2)
    ),
    "MixtureSameFamily(\n  Categorical(probs: torch.Size([5]), logits: torch.Size([5])),\n"
    "  Normal(loc: torch.Size([5]), scale: torch.Size([5])))": lambda: d.MixtureSameFamily(
        d.Categorical(graphc.ones(5)), d.Normal(graphc.zeros(5), graphc.ones(5))
    ),
    "IntegerInterval(lower_bound=0, upper_bound=2)": lambda: d.Categorical(graphc.ones(2, 3)).support,
    "IndependentConstraint(Real(), 1)": lambda: d.MultivariateNormal(graphc.zeros(2), graphc.eye(2)).support,
    "ComposeTransform(\n    ExpTransform(),\n    AffineTransform()\n)": lambda: d.transform_to(constraints.positive),
    "_InverseTransform(ExpTransform())": lambda: d.ExpTransform().inv,
    "SoftmaxTransform()": lambda: d.transform_to(constraints.simplex),
    "StickBreakingTransform()": lambda: d.biject_to(constraints.simplex),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    assert repr(TEXTS[text]()) == text


ERRORS = {
    "Expected parameter scale (Tensor of shape (2,)) of distribution Normal(loc: torch.Size([2]), scale: "
    "torch.Size([2])) to satisfy the constraint GreaterThan(lower_bound=0.0), but found invalid values:\n"
    "tensor([ 1., -2.])": lambda: d.Normal(tensor([0.0, 1.0]), tensor([1.0, -2.0])),
    "Expected parameter probs (Tensor of shape (2,)) of distribution Categorical(probs: torch.Size([2])) to satisfy "
    "the constraint Simplex(), but found invalid values:\ntensor([-1.,  2.])": lambda: d.Categorical(
        tensor([-1.0, 2.0])
    ),
    "Expected parameter low (Tensor of shape ()) of distribution Uniform(low: 1.0, high: 0.0) to satisfy the "
    "constraint LessThan(upper_bound=0.0), but found invalid values:\n1.0": lambda: d.Uniform(1.0, 0.0),
    "Expected parameter covariance_matrix (Tensor of shape (2, 2)) of distribution MultivariateNormal(loc: "
    "torch.Size([2]), covariance_matrix: torch.Size([2, 2])) to satisfy the constraint PositiveDefinite(), but found "
    "invalid values:\ntensor([[-1., -0.],\n        [-0., -1.]])": lambda: d.MultivariateNormal(
        graphc.zeros(2), -graphc.eye(2)
    ),
    "Expected value argument (Tensor of shape ()) to be within the support (IntegerInterval(lower_bound=0, "
    "upper_bound=1)) of the distribution Categorical(probs: torch.Size([2])), but found invalid values:\n2": lambda: (
        d.Categorical(graphc.ones(2)).log_prob(tensor(2))
    ),
    "The value argument to log_prob must be a Tensor": lambda: d.Normal(0.0, 1.0).log_prob(1.0),
    "Value is not broadcastable with batch_shape+event_shape: torch.Size([2]) vs torch.Size([3]).": lambda: d.Normal(
        graphc.zeros(3), 1.0
    ).log_prob(graphc.zeros(2)),
    "The right-most size of value must match event_shape: torch.Size([3]) vs torch.Size([2]).": lambda: (
        d.MultivariateNormal(graphc.zeros(2), graphc.eye(2)).log_prob(graphc.zeros(3))
    ),
    "Either `probs` or `logits` must be specified, but not both.": d.Categorical,
    "`probs` parameter must be at least one-dimensional.": lambda: d.Categorical(tensor(1.0)),
    "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.": lambda: (
        d.MultivariateNormal(graphc.zeros(2))
    ),
    "Input arguments must all be instances of Number, torch.Tensor or objects implementing "
    "__torch_function__.": lambda: d.Normal("a", 1),
    "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual 2 vs 1": lambda: d.Independent(
        d.Normal(graphc.zeros(3), 1.0), 2
    ),
}


@pytest.mark.parametrize("text", ERRORS)
def test_wrong_parameters_and_values(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        ERRORS[text]()
    assert str(caught.value) == text


def test_checks_can_be_left_out() -> None:
    assert d.Uniform(0.0, 1.0, validate_args=False).log_prob(tensor(2.0)).item() == -np.inf
    assert d.Normal(0.0, -1.0, validate_args=False).scale.item() == -1.0
    try:
        d.Distribution.set_default_validate_args(False)
        assert d.Normal(0.0, -1.0).stddev.item() == -1.0
    finally:
        d.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError):
        d.Distribution.set_default_validate_args(3)


@pytest.mark.parametrize("name", MAKERS)
def test_expanded_distributions_are_the_same_for_each_of_the_batch(name: str) -> None:
    base = MAKERS[name]()
    wide = base.expand((3, 2))
    assert (wide.batch_shape, wide.event_shape, type(wide)) == ((3, 2), (), type(base))
    value = base.sample()
    np.testing.assert_allclose(wide.log_prob(value).numpy(), np.stack([base.log_prob(value).numpy()] * 3))
    assert wide.sample((4,)).shape == (4, 3, 2)
    assert base.batch_shape == (2,)


def test_dimensions_of_batches_become_those_of_events() -> None:
    normal = d.Normal(graphc.zeros(2, 3), 1.0)
    vector = d.Independent(normal, 1)
    x = graphc.ones(2, 3)
    assert (vector.batch_shape, vector.event_shape) == ((2,), (3,))
    assert graphc.equal(vector.log_prob(x), normal.log_prob(x).sum(-1))
    assert graphc.equal(vector.entropy(), normal.entropy().sum(-1))
    assert d.kl_divergence(vector, vector).tolist() == [0.0, 0.0]
    moved = d.TransformedDistribution(normal, [d.AffineTransform(1.0, 2.0), d.ExpTransform()])
    expected = normal.log_prob((x.log() - 1) / 2) - np.log(2) - x.log()
    np.testing.assert_allclose(moved.log_prob(x).numpy(), expected.numpy(), rtol=1e-6)


def test_probabilities_and_logits_follow_from_each_other() -> None:
    np.testing.assert_allclose(d.Categorical(t(1.0, 3.0)).logits.numpy(), np.log([0.25, 0.75]), rtol=1e-12)
    np.testing.assert_allclose(d.Categorical(logits=t(0.0, np.log(3.0))).probs.numpy(), [0.25, 0.75])
    np.testing.assert_allclose(d.Bernoulli(t(0.25)).logits.numpy(), np.log(1 / 3))
    logits = graphc.zeros(2, requires_grad=True)
    d.Categorical(logits=logits).entropy().backward()
    assert logits.grad.tolist() == [0.0, 0.0]


SETS = {
    "positive": (constraints.positive, [1.0, 0.0, -1.0], [True, False, False]),
    "unit_interval": (constraints.unit_interval, [0.0, 1.0, 1.1], [True, True, False]),
    "half_open": (constraints.half_open_interval(0, 1), [0.0, 1.0], [True, False]),
    "integer_interval": (constraints.integer_interval(0, 2), [0.0, 2.0, 1.5, 3.0], [True, True, False, False]),
    "boolean": (constraints.boolean, [0.0, 1.0, 2.0], [True, True, False]),
    "real": (constraints.real, [1.0, np.nan], [True, False]),
    "simplex": (constraints.simplex, [[0.5, 0.5], [0.5, 0.6], [1.5, -0.5]], [True, False, False]),
    "one_hot": (constraints.one_hot, [[0.0, 1.0], [1.0, 1.0]], [True, False]),
    "real_vector": (constraints.real_vector, [[0.0, 1.0], [np.nan, 1.0]], [True, False]),
    "lower_cholesky": (constraints.lower_cholesky, [[[1.0, 0.0], [2.0, 1.0]], [[1.0, 1.0], [0.0, 1.0]]], [True, False]),
    "positive_definite": (
        constraints.positive_definite,
        [[[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]],
        [True, False],
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_sets_know_their_values(name: str) -> None:
    constraint, values, inside = SETS[name]
    assert constraint.check(tensor(values)).tolist() == inside


@pytest.mark.parametrize(
    "constraint",
    [
        constraints.real, constraints.positive, constraints.greater_than(2.0), constraints.less_than(-1.0),
        constraints.unit_interval, constraints.interval(-1.0, 3.0), constraints.simplex, constraints.corr_cholesky,
        constraints.lower_cholesky, constraints.positive_definite, constraints.real_vector,
    ],
    ids=repr,
)  # fmt: skip
def test_any_numbers_can_be_brought_into_a_set(constraint: constraints.Constraint) -> None:
    x = graphc.randn(5, 3, 3, dtype=graphc.float64, generator=graphc.Generator().manual_seed(2))
    transform = d.transform_to(constraint)
    y = transform(x)
    assert constraint.check(y).all()
    if transform.bijective:
        np.testing.assert_allclose(transform.inv(y).numpy(), x.numpy(), rtol=1e-6, atol=1e-8)


TRANSFORMS = {
    "exp": d.ExpTransform(),
    "sigmoid": d.SigmoidTransform(),
    "tanh": d.TanhTransform(),
    "softplus": d.SoftplusTransform(),
    "affine": d.AffineTransform(1.0, -2.0),
    "affine vectors": d.AffineTransform(t(1.0, 2.0, 3.0), t(0.5, 1.0, -2.0), event_dim=1),
    "stick breaking": d.StickBreakingTransform(),
    "correlations": d.CorrCholeskyTransform(),
    "composition": d.ComposeTransform([d.TanhTransform(), d.AffineTransform(2.0, 0.5), d.PowerTransform(t(2.0)[0])]),
    "pieces": d.CatTransform([d.ExpTransform(), d.TanhTransform()], dim=-1, lengths=[1, 2]),
    "slices": d.StackTransform([d.ExpTransform(), d.TanhTransform(), d.ExpTransform()], dim=-1),
    "distribution function": d.CumulativeDistributionTransform(d.Normal(t(0.0), t(1.0))),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_stretching_of_volume_is_the_determinant(name: str) -> None:
    transform = TRANSFORMS[name]
    x = t(0.3, -0.4, 0.2)
    y = transform(x)
    np.testing.assert_allclose(transform.inv(y).numpy(), x.numpy(), rtol=1e-9, atol=1e-12)
    jacobian = graphc.autograd.functional.jacobian(transform, x).numpy()
    if name == "stick breaking":
        jacobian = jacobian[:-1]  # the last share follows
    elif name == "correlations":
        jacobian = jacobian[(1, 2, 2), (0, 0, 1)]  # the free entries
    got = transform.log_abs_det_jacobian(x, y).sum().item()
    assert got == pytest.approx(np.linalg.slogdet(jacobian)[1])
    back = transform.inv.log_abs_det_jacobian(y, x).sum().item()
    assert back == pytest.approx(-got)


def test_transforms_compare_remember_and_report_shapes() -> None:
    assert d.ExpTransform() == d.ExpTransform()
    assert d.AffineTransform(0, 1) != d.AffineTransform(0, 2)
    exp = d.ExpTransform(cache_size=1)
    x = graphc.ones(2)
    y = exp(x)
    assert exp.inv(y) is x
    assert exp(x) is y
    assert exp.inv.inv is exp
    assert d.StickBreakingTransform().forward_shape((4, 2)) == (4, 3)
    assert d.CorrCholeskyTransform().forward_shape((3,)) == (3, 3)
    assert d.ReshapeTransform((2, 3), (6,))(graphc.zeros(5, 2, 3)).shape == (5, 6)
    with pytest.raises(ValueError, match="in_shape, out_shape have different numbers of elements"):
        d.ReshapeTransform((2,), (3,))
    with pytest.raises(NotImplementedError, match="Cannot transform _Boolean constraints"):
        d.transform_to(constraints.boolean)


def test_submodules_are_where_programs_look_for_them() -> None:
    from graphc.distributions.categorical import Categorical
    from graphc.distributions.kl import kl_divergence
    from graphc.distributions.multivariate_normal import MultivariateNormal
    from graphc.distributions.normal import Normal
    from graphc.distributions.utils import broadcast_all, probs_to_logits
    from graphc.distributions.von_mises import VonMises

    assert Categorical is d.Categorical
    assert kl_divergence is d.kl_divergence
    assert (MultivariateNormal, Normal, VonMises) == (d.MultivariateNormal, d.Normal, d.VonMises)
    assert broadcast_all(1, 2)[0].dtype is graphc.float32
    assert probs_to_logits(t(0.5), is_binary=True).item() == 0
