"""Random numbers of a GPU's tensors: the CPU's bits, made on the device, from generators of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc import Tensor, nn
from graphc.ir.settings import override
from tests.cuda.traffic import Traffic, bits

FILLS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "uniform_": ("float32 float64 float16 bfloat16 complex64", lambda x: x.uniform_(-2.5, 7.25)),
    "uniform_ of one number": ("float32", lambda x: x.uniform_(1.0, 1.0)),
    "normal_": ("float32 float64 float16 complex64", lambda x: x.normal_(1.5, 2.5)),
    "normal_ standard": ("bfloat16", lambda x: x.normal_()),
    "log_normal_": ("float32 float16", lambda x: x.log_normal_(0.3, 0.2)),
    "exponential_": ("float32 bfloat16", lambda x: x.exponential_(2.5)),
    "geometric_": ("float32 int32 int8", lambda x: x.geometric_(0.3)),
    "cauchy_": ("float32", lambda x: x.cauchy_(1.0, 0.5)),
    "bernoulli_": ("float32 bool int64", lambda x: x.bernoulli_(0.3)),
    "bernoulli_ by a tensor": ("float32", lambda x: x.bernoulli_(graphc.linspace(0, 1, 8).to(x.device))),
    "random_": ("float32 float16 int16 bool", lambda x: x.random_()),
    "random_ in a range": ("int64 bfloat16", lambda x: x.random_(-5, 100)),
}
CHOICES: dict[str, Callable[[Any], Any]] = {
    "bernoulli": graphc.bernoulli,
    "bernoulli of a number": lambda p: graphc.bernoulli(p, 0.3),
    "binomial": lambda p: graphc.binomial(p * 8, p),
    "multinomial": lambda p: graphc.multinomial(p, 3),
    "multinomial with replacement": lambda p: graphc.multinomial(p, 5, replacement=True),
    "normal": lambda p: graphc.normal(p, p),
    "normal of means": lambda p: graphc.normal(p, 2.0),
    "poisson": lambda p: graphc.poisson(p * 5),
    "randint": lambda p: graphc.randint(3, 90, (7,), dtype=graphc.int32, device=p.device),
    "randperm": lambda p: graphc.randperm(9, dtype=graphc.int16, device=p.device),
    "randn_like": lambda p: graphc.randn_like(p.cfloat()),
    "rand into a tensor": lambda p: graphc.rand(4, out=graphc.empty(4, dtype=graphc.float32, device=p.device)),
}


@pytest.mark.parametrize("name", FILLS)
def test_tensors_are_filled_on_the_gpu_with_the_numbers_of_the_cpu(name: str) -> None:
    dtypes, fill = FILLS[name]
    for dtype in dtypes.split():
        found = {}
        for place in ("cpu", "cuda"):
            graphc.manual_seed(11)
            x: Any = graphc.zeros(5, 8, dtype=getattr(graphc, dtype), device=place)
            turned: Any = graphc.zeros(8, 3, dtype=getattr(graphc, dtype), device=place).t()
            with Traffic() as traffic:
                assert fill(x) is x
            fill(turned)
            found[place] = bits(x), bits(turned)
            if place == "cuda":  # the tensor of probabilities is moved there, and asked whether all of them are
                assert traffic.moved == ((32, 1) if name == "bernoulli_ by a tensor" else (0, 0))
        assert found["cuda"] == found["cpu"]


@pytest.mark.parametrize("name", CHOICES)
def test_samples_are_drawn_on_the_gpu(name: str) -> None:
    found = {}
    for place in ("cpu", "cuda"):
        graphc.manual_seed(11)
        p: Any = graphc.tensor([0.25, 0.75, 0.5, 1.0], device=place)
        with Traffic() as traffic:
            result = CHOICES[name](p)
        assert result.device == p.device
        found[place] = bits(result)
        up, down = traffic.moved
        assert up == 0
        assert down <= 2, "answers to questions such as whether all weights are finite"
    assert found["cuda"] == found["cpu"]


def test_a_network_is_made_on_its_gpu() -> None:
    def network(place: str) -> Any:
        graphc.manual_seed(3)
        made = nn.Sequential(
            nn.Linear(4, 6, device=place), nn.Conv2d(1, 2, 3, device=place), nn.Embedding(5, 4, device=place),
            nn.LayerNorm(6, device=place), nn.LSTM(3, 2, device=place), nn.BatchNorm1d(4, device=place),
            nn.TransformerEncoderLayer(4, 2, 8, device=place),
        )  # fmt: skip
        for name in ("xavier_normal_", "kaiming_normal_", "ones_", "zeros_"):
            getattr(nn.init, name)(made[0].weight)
        nn.init.normal_(made[0].weight, std=0.02)
        return made

    with Traffic() as traffic:
        on_gpu = network("cuda")
    assert traffic.moved == (0, 0)
    assert {each.device.type for each in on_gpu.state_dict().values()} == {"cuda"}
    expected = network("cpu").state_dict()
    assert {name: bits(each) for name, each in on_gpu.state_dict().items()} == {
        name: bits(each) for name, each in expected.items()
    }


def test_a_tensor_that_needs_a_gradient_has_none_after_it_was_filled() -> None:
    leaf: Any = graphc.ones(3, device="cuda", requires_grad=True)
    with Traffic() as traffic:
        (leaf * 2).uniform_().sum().backward()
    assert traffic.moved == (0, 0)
    assert leaf.grad.tolist() == [0.0] * 3


def test_generators_are_of_one_kind_of_device() -> None:
    mine: Any = graphc.Generator(device="cuda").manual_seed(3)
    again: Any = graphc.Generator(device="cuda").manual_seed(3)
    x: Any = graphc.empty(4, device="cuda")
    assert x.normal_(generator=mine).tolist() == graphc.randn(4, generator=again, device="cuda").tolist()
    assert str(mine.device) == "cuda:0"
    state = mine.get_state()
    first = x.uniform_(generator=mine).tolist()
    mine.set_state(state)
    assert x.uniform_(generator=mine).tolist() == first
    for wrong, draw in (
        (graphc.Generator(), lambda wrong: x.uniform_(generator=wrong)),
        (graphc.Generator(), lambda wrong: graphc.bernoulli(x.abs().clamp(0, 1), generator=wrong)),
        (graphc.Generator(), lambda wrong: graphc.multinomial(graphc.ones(3, device="cuda"), 1, generator=wrong)),
        (mine, lambda wrong: graphc.empty(3).exponential_(generator=wrong)),
    ):
        here, there = ("cuda", "cpu") if wrong is not mine else ("cpu", "cuda")
        with pytest.raises(RuntimeError, match=f"Expected a '{here}' device type for generator but found '{there}'"):
            draw(wrong)


def test_each_gpu_has_a_stream_of_numbers() -> None:
    cuda: Any = graphc.cuda
    graphc.manual_seed(5)
    first = [graphc.empty(3, device=place).normal_().tolist() for place in ("cpu", "cuda:0", "cuda:1")]
    assert first[0] == first[1] == first[2]
    cuda.manual_seed_all(9)
    assert {cuda.initial_seed(), graphc.initial_seed()} == {9, 5}
    states = cuda.get_rng_state_all()
    drawn = [graphc.rand(3, device=place).tolist() for place in ("cuda:0", "cuda:1", "cuda:1")]
    assert drawn[0] == drawn[1] != drawn[2]
    cuda.set_rng_state_all(states)
    assert graphc.rand(3, device="cuda:1").tolist() == drawn[1]


@pytest.mark.parametrize(
    "use, text",
    [
        (lambda x: graphc.bernoulli(x * 2), "Expected p_in >= 0 && p_in <= 1"),
        (lambda x: graphc.poisson(-x), "invalid Poisson rate"),
        (lambda x: graphc.normal(x, -x), "normal expects all elements of std >= 0.0"),
        (lambda x: graphc.multinomial(x / 0, 1), "probability tensor contains either `inf`, `nan` or element < 0"),
        (lambda x: graphc.multinomial(x * 0, 1), "invalid multinomial distribution"),
        (lambda x: graphc.normal(x, x.cpu()), "Expected all tensors to be on the same device"),
        (lambda x: graphc.binomial(x, x.cpu()), "Expected all tensors to be on the same device"),
        (lambda x: x.clone().bernoulli_(x.cpu()), "Expected all tensors to be on the same device"),
    ],
)
def test_parameters_that_make_no_distribution_are_refused(use: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        use(graphc.ones(3, device="cuda"))


@pytest.mark.parametrize("name", ["uniform_", "normal_"])
def test_numbers_of_eight_bits_are_not_drawn(name: str) -> None:
    x = graphc.empty(3, dtype=graphc.float8_e5m2)
    with pytest.raises(NotImplementedError, match="not implemented for 'Float8_e5m2'"):
        getattr(x, name)()


@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_tensors_are_filled_in_compiled_functions_too(place: str) -> None:
    def draw() -> list[Tensor]:
        x: Any = graphc.empty(3, 4, device=place)
        return [x.uniform_(-1, 1).clone(), x.t().clone().t().exponential_(), x.normal_(2.0, 3.0), x.bernoulli_(0.3)]

    compiled = graphc.compile(draw)
    for seed in range(3):
        graphc.manual_seed(seed)
        expected = [bits(each) for each in draw()]
        graphc.manual_seed(seed)
        assert [bits(each) for each in compiled()] == expected


def test_a_gradient_that_depends_on_nothing_is_where_its_tensor_is() -> None:
    for _ in range(3):  # node by node, then by one program
        with override(backward="now"):
            x: Any = graphc.ones(3, device="cuda", requires_grad=True)
            x.clone().exponential_().sum().backward()
        assert x.grad.device.type == "cuda"
        assert x.grad.tolist() == [0.0] * 3


def test_a_graph_fills_with_new_numbers_at_each_replay() -> None:
    cuda: Any = graphc.cuda
    x: Any = graphc.empty(4, device="cuda")
    x.uniform_()  # what is compiled is there before
    made = cuda.CUDAGraph()
    with cuda.graph(made):
        x.uniform_()
    graphc.manual_seed(5)
    found = []
    for _ in range(2):
        made.replay()
        found.append(x.tolist())
    graphc.manual_seed(5)
    assert found == [x.uniform_().tolist(), x.uniform_().tolist()]
    assert found[0] != found[1]
