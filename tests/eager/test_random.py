"""Random numbers with a state: seeds and streams, distributions, refusals, and the same numbers in compiled code."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest

import graphc as torch
from graphc import Generator, Tensor

SIZE = 20000
Draw = Callable[[], Tensor]

DRAWS: dict[str, Draw] = {
    "rand": lambda: torch.rand(5),
    "rand float64": lambda: torch.rand(2, 3, dtype=torch.float64),
    "rand complex": lambda: torch.rand(4, dtype=torch.complex64),
    "randn": lambda: torch.randn((3,)),
    "randint": lambda: torch.randint(0, 100, (6,)),
    "randperm": lambda: torch.randperm(9),
    "normal": lambda: torch.normal(torch.zeros(3), 2.0),
    "bernoulli": lambda: torch.bernoulli(torch.full((20,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(9), 4),
    "poisson": lambda: torch.poisson(torch.full((9,), 5.0)),
    "uniform_": lambda: torch.empty(3).uniform_(-1, 1),
    "exponential_": lambda: torch.empty(3).exponential_(),
    "dropout": lambda: torch.dropout(torch.ones(20), 0.5, True),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_seed_and_a_saved_state_give_the_same_numbers_again(draw: Draw) -> None:
    torch.manual_seed(3)
    first = draw().numpy()
    state = torch.get_rng_state()
    second = draw().numpy()
    torch.manual_seed(3)
    assert np.array_equal(draw().numpy(), first)
    assert np.array_equal(draw().numpy(), second)
    torch.set_rng_state(state)
    assert np.array_equal(draw().numpy(), second)
    assert not np.array_equal(first, second)


def test_threads_do_not_change_numbers() -> None:
    before = torch.get_num_threads()
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        torch.manual_seed(5)
        found.append(torch.randn(100_000).numpy())
    torch.set_num_threads(before)
    assert np.array_equal(*found)


def test_compiled_code_has_the_numbers_of_eager_code() -> None:
    @torch.compile
    def sample(x: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.rand(4, 5, key=first), torch.randn_like(x, key=second), torch.dropout(x, 0.5, key=first)

    x = torch.ones(30)
    for seed in (0, 1):
        torch.manual_seed(seed)
        numbers = torch.rand(4, 5), torch.randn_like(x)
        torch.manual_seed(seed)
        dropped = torch.dropout(x, 0.5, True)
        torch.manual_seed(seed)
        compiled = sample(x, torch.random.next_key(), torch.random.next_key())
        for ours, theirs in zip(compiled, (*numbers, dropped)):
            assert np.array_equal(np.asarray(ours), theirs.numpy())


def test_filling_has_the_numbers_of_the_samplers_of_compiled_code() -> None:
    @torch.compile
    def sample(x: Tensor, key: Tensor) -> list[Tensor]:
        return [
            x.uniform(-0.5, 3.25, key=key),
            x.exponential(0.7, key=key),
            x.cauchy(1.5, 0.3, key=key),
            x.log_normal(0.1, 0.6, key=key),
            x.geometric(0.3, key=key),
            torch.bernoulli(x, key=key),
            torch.multinomial(x, 5, key=key),
        ]

    x = torch.full((200,), 0.5)
    fills = [
        lambda t: t.uniform_(-0.5, 3.25),
        lambda t: t.exponential_(0.7),
        lambda t: t.cauchy_(1.5, 0.3),
        lambda t: t.log_normal_(0.1, 0.6),
        lambda t: t.geometric_(0.3),
        torch.bernoulli,
        lambda t: torch.multinomial(t, 5),
    ]
    for number, fill in enumerate(fills):
        torch.manual_seed(8)
        key = torch.random.next_key()
        torch.manual_seed(8)
        assert np.array_equal(np.asarray(sample(x, key)[number]), fill(x.clone()).numpy()), number


def test_generators_have_streams_of_their_own() -> None:
    torch.manual_seed(0)
    default = torch.rand(3)
    generator = Generator().manual_seed(0)
    assert torch.equal(torch.rand(3, generator=generator), default)
    torch.manual_seed(0)
    torch.rand(3, generator=generator)
    assert torch.equal(torch.rand(3), default)
    other = generator.clone_state()
    loaded = pickle.loads(pickle.dumps(generator))
    copied = copy.deepcopy(generator)
    expected = torch.randn(2, generator=generator)
    for each in (other, loaded, copied):
        assert torch.equal(torch.randn(2, generator=each), expected)


def test_generator_seeds() -> None:
    assert Generator().initial_seed() == 67280421310721
    assert Generator().manual_seed(-3).initial_seed() == 2**64 - 3
    assert str(Generator().device) == "cpu"
    generator = Generator()
    assert generator.seed() == generator.initial_seed()
    assert torch.manual_seed(1) is torch.default_generator
    assert torch.manual_seed(True).initial_seed() == 1
    assert torch.seed() == torch.initial_seed()


def test_state_is_a_vector_of_bytes() -> None:
    state = torch.get_rng_state()
    assert state.dtype is torch.uint8
    assert state.dim() == 1
    torch.rand(1)
    assert not torch.equal(state, torch.get_rng_state())


def test_fork_rng_sets_the_generator_back() -> None:
    torch.manual_seed(0)
    with torch.random.fork_rng():
        torch.rand(10)
    after = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), after)
    with torch.random.fork_rng(enabled=False):
        torch.rand(3)
    assert not torch.equal(torch.rand(3), after)


# name: (numbers, mean, standard deviation)
DISTRIBUTIONS: dict[str, tuple[Draw, float, float]] = {
    "rand": (lambda: torch.rand(SIZE), 0.5, 1 / math.sqrt(12)),
    "randn": (lambda: torch.randn(SIZE, dtype=torch.float64), 0.0, 1.0),
    "randint": (lambda: torch.randint(-3, 4, (SIZE,)), 0.0, 2.0),
    "normal": (lambda: torch.normal(3.0, 0.5, (SIZE,)), 3.0, 0.5),
    "normal of tensors": (lambda: torch.normal(torch.full((SIZE,), 1.0), torch.full((SIZE,), 2.0)), 1.0, 2.0),
    "bernoulli": (lambda: torch.bernoulli(torch.full((SIZE,), 0.25)), 0.25, math.sqrt(0.1875)),
    "bernoulli_": (lambda: torch.empty(SIZE).bernoulli_(0.75), 0.75, math.sqrt(0.1875)),
    "uniform_": (lambda: torch.empty(SIZE).uniform_(-1, 5), 2.0, 6 / math.sqrt(12)),
    "normal_": (lambda: torch.empty(SIZE).normal_(-1, 3), -1.0, 3.0),
    "exponential_": (lambda: torch.empty(SIZE).exponential_(4), 0.25, 0.25),
    "geometric_": (lambda: torch.empty(SIZE, dtype=torch.int64).geometric_(0.25), 4.0, math.sqrt(12)),
    "log_normal_": (
        lambda: torch.empty(SIZE).log_normal_(0.5, 0.25),
        math.exp(0.53125),
        math.exp(0.53125) * math.sqrt(math.expm1(0.0625)),
    ),
    "random_": (lambda: torch.empty(SIZE).random_(2, 5), 3.0, math.sqrt(2 / 3)),
    "poisson": (lambda: torch.poisson(torch.full((SIZE,), 3.5)), 3.5, math.sqrt(3.5)),
    "poisson of large rate": (lambda: torch.poisson(torch.full((SIZE,), 5000.0)), 5000.0, math.sqrt(5000)),
    "binomial": (
        lambda: torch.binomial(torch.full((SIZE,), 10.0), torch.full((SIZE,), 0.7)), 7.0, math.sqrt(2.1)
    ),
    "binomial of many": (
        lambda: torch.binomial(torch.full((SIZE,), 1e5), torch.full((SIZE,), 0.5)), 5e4, math.sqrt(25000)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_mean_and_deviation(case: tuple[Draw, float, float]) -> None:
    draw, mean, deviation = case
    torch.manual_seed(11)
    values = draw().numpy().astype(np.float64)
    assert abs(values.mean() - mean) < 4 * deviation / math.sqrt(SIZE)
    assert abs(values.std() - deviation) < 0.05 * deviation


def test_cauchy_numbers_have_their_quartiles() -> None:
    torch.manual_seed(1)
    values = torch.empty(SIZE).cauchy_(2, 3).numpy()
    assert np.allclose(np.quantile(values, [0.25, 0.5, 0.75]), [-1, 2, 5], atol=0.2)


def test_multinomial_draws_by_weight() -> None:
    torch.manual_seed(2)
    weights = torch.tensor([[0.0, 1.0, 3.0], [2.0, 2.0, 0.0]])
    found = torch.multinomial(weights, 8000, replacement=True).numpy()
    counts = np.stack([np.bincount(row, minlength=3) for row in found]) / 8000
    assert np.allclose(counts, [[0, 0.25, 0.75], [0.5, 0.5, 0]], atol=0.03)
    once = torch.multinomial(weights, 2)
    assert {tuple(sorted(row)) for row in once.tolist()} == {(1, 2), (0, 1)}
    first = [torch.multinomial(torch.tensor([1.0, 3.0]), 1).item() for _ in range(400)]
    assert 0.66 < np.mean(first) < 0.84
    assert torch.multinomial(torch.tensor([0.0, 0.0, 1.0]), 1).tolist() == [2]


def test_permutations_and_shapes() -> None:
    assert sorted(torch.randperm(50).tolist()) == list(range(50))
    assert torch.randperm(5, dtype=torch.float32).dtype is torch.float32
    assert torch.randperm(0).shape == (0,)
    assert torch.randint(5, (2, 3)).dtype is torch.int64
    assert torch.randint(high=5, size=(2,)).shape == torch.randint(low=0, high=5, size=[2]).shape == (2,)
    assert torch.randint_like(torch.ones(2, 3), 1, 5).dtype is torch.float32
    assert torch.rand_like(torch.ones(2, 3).t()).stride() == (1, 3)
    assert torch.rand(2, requires_grad=True).is_leaf
    assert torch.randn(3, out=torch.zeros(3)).shape == (3,)
    assert torch.normal(torch.zeros(2, 1), torch.ones(3)).shape == (2, 3)
    low, high = -(2**63), 2**63 - 1
    assert len(set(torch.randint(low, high, (4,)).tolist())) == 4


def test_filling_counts_as_a_write_and_has_no_influence_on_gradients() -> None:
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    version = y._version
    assert y.uniform_() is y
    assert y._version == version + 1
    assert type(y.grad_fn).__name__ == "UniformBackward0"
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
    sample = torch.bernoulli(torch.full((3,), 0.5, requires_grad=True))
    assert type(sample.grad_fn).__name__ == "BernoulliBackward0"


def test_dropout_scales_what_it_keeps_and_passes_gradients() -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    y = torch.dropout(x, 0.25, True)
    kept = y.detach() != 0
    assert 650 < kept.sum().item() < 850
    assert torch.equal(y.detach()[kept], torch.full((int(kept.sum()),), 4 / 3))
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())
    state = torch.get_rng_state()
    assert torch.equal(torch.dropout(x, 0.25, train=False), x)
    assert torch.equal(torch.get_rng_state(), state)


INVALID_P = (
    "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be improved?  If so, please "
    "report an enhancement request to PyTorch.)"
)
REFUSALS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: torch.manual_seed(2**64), ValueError, "Overflow when unpacking long long"),
    (lambda: Generator().manual_seed(1.5), RuntimeError, "manual_seed expected a long, but got float"),  # type: ignore[arg-type]
    (lambda: torch.set_rng_state(torch.zeros(3)), TypeError, "RNG state must be a torch.ByteTensor"),
    (lambda: torch.set_rng_state([1]), TypeError, "expected a torch.ByteTensor, but got list"),
    (lambda: torch.rand(-2), RuntimeError, "Trying to create tensor with negative dimension -2: [-2]"),
    (
        lambda: torch.rand(2, dtype=torch.int64),
        NotImplementedError,
        "\"check_uniform_bounds\" not implemented for 'Long'",
    ),
    (
        lambda: torch.randn(2, dtype=torch.int64),
        NotImplementedError,
        "\"normal_kernel_cpu\" not implemented for 'Long'",
    ),
    (
        lambda: torch.randint(5, 3, (2,)),
        RuntimeError,
        "random_ expects 'from' to be less than 'to', but got from=5 >= to=3",
    ),
    (
        lambda: torch.randint(0, 300, (2,), dtype=torch.uint8),
        RuntimeError,
        "to - 1 is out of bounds for unsigned char",
    ),
    (lambda: torch.randperm(3000, dtype=torch.float16), RuntimeError, "n cannot be greater than 2049 for Half type."),
    (lambda: torch.normal(0.0, -1.0, (2,)), RuntimeError, "normal expects std >= 0.0, but found std -1"),
    (
        lambda: torch.normal(0.0, torch.tensor([-1.0, 1])),
        RuntimeError,
        "normal expects all elements of std >= 0.0",
    ),
    (lambda: torch.bernoulli(torch.tensor([0.5, 2.0])), RuntimeError, INVALID_P),
    (lambda: torch.bernoulli(torch.ones(2), 1.5), RuntimeError, "bernoulli_ expects p to be in [0, 1], but got p=1.5"),
    (
        lambda: torch.bernoulli(torch.tensor([1, 0])),
        NotImplementedError,
        "\"bernoulli_tensor_cpu_p_\" not implemented for 'Long'",
    ),
    (
        lambda: torch.multinomial(torch.ones(2), 3),
        RuntimeError,
        "cannot sample n_sample > prob_dist.size(-1) samples without replacement",
    ),
    (
        lambda: torch.multinomial(torch.tensor([-1.0, 1]), 1),
        RuntimeError,
        "probability tensor contains either `inf`, `nan` or element < 0",
    ),
    (
        lambda: torch.multinomial(torch.zeros(2), 1),
        RuntimeError,
        "invalid multinomial distribution (sum of probabilities <= 0)",
    ),
    (
        lambda: torch.poisson(torch.tensor([-1.0])),
        RuntimeError,
        "invalid Poisson rate, expected rate to be non-negative",
    ),
    (
        lambda: torch.zeros(2).uniform_(1, 0),
        RuntimeError,
        "uniform_ expects to return a [from, to) range, but found from=1 > to=0",
    ),
    (
        lambda: torch.zeros(2).exponential_(0),
        RuntimeError,
        "exponential_ expects lambda > 0.0, but found lambda=0",
    ),
    (lambda: torch.zeros(2).geometric_(1), RuntimeError, "geometric_ expects p to be in (0, 1), but got p=1"),
    (lambda: torch.zeros(2).cauchy_(0, -1), RuntimeError, "cauchy_ expects sigma > 0.0, but found sigma=-1"),
    (lambda: torch.zeros(2).log_normal_(0, 0), RuntimeError, "log_normal_ expects std > 0.0, but found std=0"),
    (
        lambda: torch.zeros(2, requires_grad=True).normal_(),
        RuntimeError,
        "a leaf Variable that requires grad is being used in an in-place operation.",
    ),
    (
        lambda: torch.zeros(2).uniform_(generator=3),
        TypeError,
        "uniform_(): argument 'generator' must be torch.Generator, not int",
    ),
    (
        lambda: torch.dropout(torch.ones(3), 2.0, True),
        RuntimeError,
        "dropout probability has to be between 0 and 1, but got 2",
    ),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case[2][:40])
def test_refusals(case: tuple[Callable[[], object], type[Exception], str]) -> None:
    call, kind, text = case
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
