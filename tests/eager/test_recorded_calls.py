"""Functions of tensors, modules and whole training steps as programs: same bits and effects as eager code."""

import copy
import logging
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as torch
import graphc.nn.functional as F
from graphc import nn
from graphc.eager.tensor import wrap
from graphc.utils.checkpoint import checkpoint

Batch = tuple[torch.Tensor, torch.Tensor]


class Net(nn.Module):
    """Everything that carries a state: normalisation, dropout, parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(36, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.last(self.drop(x.flatten(1)))


def batches(count: int, size: int = 5) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(size, 1, 8, 8, generator=generator), torch.randint(0, 3, (size,), generator=generator))
        for _ in range(count)
    ]


def bits(module: nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in module.state_dict().values()]


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, 1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-2, momentum=0.5, centered=True),
}


def train(make: Callable[[Any], Any], is_compiled: bool) -> tuple[list[float], list[bytes], Any]:
    torch.manual_seed(0)
    net = Net()
    optimizer = make(net.parameters())

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run: Any = torch.compile(step) if is_compiled else step
    torch.manual_seed(5)
    losses = []
    for number, (x, y) in enumerate(batches(8)):
        if number == 5:
            optimizer.param_groups[0]["lr"] *= 0.5
        losses.append(run(x, y).item())
    grads = [p.grad.numpy().tobytes() for p in net.parameters()]
    return losses, bits(net) + grads, run


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_step_has_the_bits_of_eager_code(name: str) -> None:
    eager, compiled = train(OPTIMIZERS[name], False), train(OPTIMIZERS[name], True)
    assert compiled[:2] == eager[:2]
    # One program for the steps after the first: parameters in place, a learning rate that changes compiles nothing.
    programs = [each.executable for each in compiled[2].compilations if each.executable is not None]
    assert len(set(map(id, programs))) == 1
    assert len(programs[0].program.in_place) >= 5


def test_a_module_is_compiled_and_trained_from_outside() -> None:
    results = []
    for is_compiled in (False, True):
        torch.manual_seed(0)
        net = Net()
        model: Any = torch.compile(net) if is_compiled else net
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        torch.manual_seed(2)
        found: list[Any] = []
        for number, (x, y) in enumerate(batches(6)):
            x.requires_grad_()
            loss = F.cross_entropy(model(x * 2), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            found += [loss.item(), x.grad.numpy().tobytes()]
            if number >= 3:
                model.eval()
                with torch.no_grad():
                    found.append(model(x).numpy().tobytes())
                model.train()
        results.append((found, bits(net)))
    assert results[0] == results[1]
    assert isinstance(model, nn.Module)
    assert len(model.forward.compilations) == 2
    assert next(iter(model.state_dict())) == "_orig_mod.conv.weight"
    assert model.conv is net.conv


def test_a_copy_of_a_compiled_module_has_parameters_of_its_own() -> None:
    model = torch.compile(nn.Linear(2, 2))
    x = torch.ones(1, 2)
    model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), model(x))
        with torch.no_grad():
            other.weight.zero_()
        assert torch.equal(other(x), other.bias[None])
        assert not torch.equal(other(x), model(x))


def test_train_and_eval_each_have_a_program() -> None:
    net = torch.compile(nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)))
    x = torch.ones(4, 3)
    for _ in range(3):
        net.train()
        assert (net(x) == 0).any()
        net.eval()
        assert not (net(x) == 0).any()
    assert len(net.forward.compilations) == 2


class Method(nn.Module):
    """A compiled `forward` that looks at the module itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    @torch.compile
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight * (2.0 if self.training else 3.0)


def test_a_method_notices_changes_of_its_module() -> None:
    module = Method()
    for _ in range(3):
        assert module.train()(torch.ones(3)).tolist() == [2.0] * 3
        assert module.eval()(torch.ones(3)).tolist() == [3.0] * 3
    module.weight = nn.Parameter(torch.zeros(3))
    assert module(torch.ones(3)).tolist() == [0.0] * 3
    plain = nn.Linear(3, 3)
    plain.compile()
    assert torch.equal(plain(torch.ones(3)), plain(torch.ones(3)))


def test_another_batch_size_is_another_program() -> None:
    net = torch.compile(nn.Linear(3, 2))
    for size in (4, 4, 2, 4, 2):
        assert net(torch.ones(size, 3)).shape == (size, 2)
    reasons = [each.reason for each in net.forward.compilations]
    assert reasons == ["first call", "input was f32[4,3] and is f32[2,3]"]


def test_gradients_gather_over_calls() -> None:
    w = torch.ones(3, requires_grad=True)

    @torch.compile
    def gather(x: torch.Tensor) -> None:
        (w * x).sum().backward()

    for number in range(5):
        gather(torch.full((3,), float(number)))
    held = w.grad
    gather(torch.ones(3))
    assert gather.compilations[1].reason == "a parameter of shape [3] had no gradient before"
    assert w.grad is held
    assert w.grad.tolist() == [11.0] * 3


def test_gradients_of_gradients() -> None:
    cube = torch.compile(lambda x: x * x * x)
    for _ in range(3):
        x = torch.tensor([2.0], requires_grad=True)
        (first,) = torch.autograd.grad(cube(x), x, create_graph=True)
        (second,) = torch.autograd.grad(first, x)
        assert (first.item(), second.item()) == (12.0, 12.0)


def test_what_eager_code_doesnt_differentiate_has_no_gradient_here() -> None:
    @torch.compile
    def f(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            scale = x.sum()
        return (x * scale * y.detach()).sum()

    for _ in range(3):
        x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0], requires_grad=True)
        gx, gy = torch.autograd.grad(f(x, y), (x, y), create_graph=True, allow_unused=True)
        assert gx.tolist() == [9.0, 12.0]
        assert gy is None or gy.tolist() == [0.0, 0.0]


class Square(torch.autograd.Function):
    """A function with a gradient of its own, which isn't that of its numbers."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return grad * x * 10


def test_a_written_buffer_that_the_gradient_reads_is_kept_for_it() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            u.copy_(F.normalize(w @ u, dim=0))
        return F.linear(x, w / torch.vdot(u.clone(), torch.mv(w, v)))

    results = []
    for run in (f, torch.compile(f)):
        w = torch.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
        u, v = torch.ones(2), torch.ones(2)
        found = []
        for _ in range(4):
            run(torch.ones(1, 2)).sum().backward()
            found.append((u.tolist(), w.grad.tolist()))
        results.append(found)
    assert results[0] == results[1]


def test_a_function_with_its_own_gradient_keeps_it() -> None:
    f = torch.compile(lambda x: Square.apply(x).sum())
    for _ in range(3):
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        f(x).backward()
        assert x.grad.tolist() == [10.0, 20.0]
    with pytest.raises(RuntimeError, match="no gradient where a function inside defines its own"):
        torch.autograd.grad(f(x), x, create_graph=True)


def test_recomputed_dropout_draws_the_same_numbers() -> None:
    w = torch.ones(50, requires_grad=True)

    def step(x: torch.Tensor) -> torch.Tensor:
        loss = checkpoint(lambda x: F.dropout(x * w, 0.5).tanh(), x, use_reentrant=False).sum()
        loss.backward()
        return loss

    results = []
    for run in (step, torch.compile(step)):
        torch.manual_seed(3)
        found = []
        for _ in range(4):
            w.grad = None
            found += [run(torch.ones(50)).item(), w.grad.tolist()]
        found.append(torch.rand(2).tolist())
        results.append(found)
    assert results[0] == results[1]


class Memory(nn.Module):
    """Replaces its state and a buffer at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 3)
        self.state = torch.zeros(2, 3)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.last(x) + self.state)
        self.state = h.detach()
        self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        return h.sum()


def test_tensors_that_a_module_replaces_are_carried() -> None:
    results = []
    for is_compiled in (False, True):
        torch.manual_seed(0)
        module = Memory()
        run = torch.compile(module) if is_compiled else module
        results.append([[run(torch.randn(2, 3)).item(), module.mean.tolist()] for _ in range(5)])
    assert results[0] == results[1]
    assert len(run.forward.compilations) == 1


def test_views_and_writes_go_to_memory_as_in_eager_code() -> None:
    def f(x: torch.Tensor, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y[0] = 5
        y[:, 1] += x[:, 0]
        y.t()[2].mul_(3)
        table[index] = x[0]
        part = y.view(-1)[1:5]
        part.zero_()
        return y + table[index].sum() + y.diagonal().sum() + y[index[0]].sum()

    run = torch.compile(f)
    for seed in range(4):
        x = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 4)).astype(np.float32))
        index = torch.tensor([seed % 3, (seed + 1) % 3])
        tables = torch.zeros(3, 4), torch.zeros(3, 4)
        assert torch.equal(run(x, tables[1], index), f(x, tables[0], index))
        assert torch.equal(*tables)
    assert len(run.compilations) == 1


def test_tensors_of_any_strides_are_written_in_place() -> None:
    @torch.compile
    def halve(x: torch.Tensor) -> None:
        x.mul_(0.5)

    whole = torch.ones(4, 6)
    for _ in range(3):
        halve(whole[:, ::2])
    assert whole[0].tolist() == [0.125, 1.0] * 3


def test_requires_grad_modules_and_parameters_that_change_are_noticed() -> None:
    net = nn.Linear(2, 2)
    run = torch.compile(net)
    x = torch.ones(1, 2)
    for _ in range(2):
        run(x)
    net.double()
    assert run(x.double()).dtype is torch.float64
    with torch.no_grad():
        net.weight = nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))
    assert torch.equal(run(x.double()), net.bias.detach()[None])
    assert run.forward.compilations[-1].reason == "Linear.weight was set"
    net.weight.requires_grad_(False)
    net.bias.requires_grad_(False)
    assert not run(x.double()).requires_grad


@pytest.mark.parametrize(
    "code, text",
    [
        (lambda x: print(x), r"asks for the values of a tensor \(repr\(\)\)"),
        (lambda x: x.sum().item(), r"\(item\(\)\)"),
        (lambda x: x.numpy(), r"\(numpy\(\)\)"),
        (lambda x: x if x.sum() > 0 else -x, r"\(bool\(\)\)"),
        (lambda x: x[x > 0], "chooses elements by a mask"),
        (lambda x: x.nonzero(), r"\(nonzero\(\)\)"),
        (lambda x: [torch.tensor(each) for each in x.tolist()], r"\(tolist\(\)\)"),
        (lambda x: torch.unique(x), r"\(unique\(\)\)"),
        (lambda x: x.apply_(lambda y: y + 1), "calls a Python function for each element"),
        (lambda x: torch.manual_seed(1), "seeds a generator"),
        (lambda x: object(), "returns an object"),
        (lambda x: torch.equal(x, x), r"\(equal\(\)\)"),
    ],
)
def test_what_only_python_can_do_is_refused_at_its_line(code: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(TypeError, match=text) as info:
        torch.compile(code)(torch.ones(3))
    shown = str(info.value)
    assert "test_recorded_calls.py" in shown
    assert "fallback='eager'" in shown


def test_the_fallback_runs_eagerly_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    @torch.compile(fallback="eager")
    def f(x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum().item() > 0 else -x

    with caplog.at_level(logging.WARNING, logger="graphc.compile"):
        assert [f(torch.tensor([sign])).item() for sign in (1.0, -1.0, 2.0)] == [2.0, 1.0, 4.0]
    assert len(caplog.records) == 1
    assert "it runs eagerly from now on" in caplog.text
    assert "item()" in caplog.text


def test_what_stays_after_the_call_is_refused_when_it_stays_always() -> None:
    kept: list[torch.Tensor] = []

    @torch.compile
    def f(x: torch.Tensor) -> torch.Tensor:
        kept.append(x * 2)
        return x + 1

    f(torch.ones(2))
    f(torch.ones(2))
    with pytest.raises(TypeError, match="keeps a tensor that it makes"):
        f(torch.ones(2))
    assert len(kept) == 3


class Counter(nn.Module):
    """Counts its calls in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return x * self.count


def test_numbers_that_a_module_counts_are_refused() -> None:
    module = torch.compile(Counter())
    assert [module(torch.ones(1)).item() for _ in range(2)] == [1, 2]
    with pytest.raises(TypeError, match=r"sets Counter\.count at each call"):
        module(torch.ones(2))


def test_a_failing_index_is_an_error_and_changes_nothing_behind_it() -> None:
    table = nn.Embedding(3, 2)
    optimizer = torch.optim.SGD(table.parameters(), 0.1)

    @torch.compile
    def step(index: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = table(index).sum()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(torch.tensor([0, 1]))
    before = table.weight.tolist()
    with pytest.raises(IndexError):
        step(torch.tensor([0, 7]))
    assert table.weight.tolist() == before


def test_options_of_pytorch_are_taken_and_others_refused() -> None:
    assert torch.compile(torch.sin, backend="inductor", mode="max-autotune", fullgraph=True)(torch.zeros(1)).item() == 0
    assert torch.compile(torch.sin, disable=True) is torch.sin
    with pytest.raises(RuntimeError, match="unexpected keyword argument 'fulgraph'"):
        torch.compile(torch.sin, fulgraph=True)
    with pytest.raises(RuntimeError, match="fallback is 'numpy'"):
        torch.compile(torch.sin, fallback="numpy")


def test_a_gradient_penalty_and_sampled_actions_are_programs() -> None:
    critic = nn.Linear(3, 1)
    optimizer = torch.optim.Adam(critic.parameters())

    @torch.compile
    def penalise(x: torch.Tensor) -> torch.Tensor:
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(critic(x).tanh().sum(), x, create_graph=True)
        penalty = ((slope.norm(2, dim=1) - 1) ** 2).mean()
        optimizer.zero_grad()
        (critic(x).mean() + 10 * penalty).backward()
        optimizer.step()
        return penalty

    @torch.compile
    def act(x: torch.Tensor) -> torch.Tensor:
        return torch.multinomial(torch.softmax(x, 1), 2).view(-1, 2)

    for _ in range(4):
        assert penalise(torch.randn(4, 3)).isfinite()
        assert act(torch.randn(4, 3)).shape == (4, 2)
    assert len(penalise.compilations) == len(act.compilations) == 1


def test_memory_that_cant_be_followed_is_refused() -> None:
    whole = torch.zeros(4)
    part = whole.data[1:3].data
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.1)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    optimizer.step()

    def replaced(x: torch.Tensor) -> None:
        whole.data = x.clone()

    def stepped(x: torch.Tensor) -> torch.Tensor:
        scheduler.step()
        return x

    x = torch.ones(2)
    for code, text in (
        (lambda x: (part + x).sum() + whole, "uses two tensors that share memory"),
        (replaced, "replaces a tensor's memory"),
        (lambda x: x + wrap(x._array * 2), "computes with values that numpy made of others"),
        (stepped, "steps a learning-rate scheduler"),
    ):
        with pytest.raises(TypeError, match=text):
            torch.compile(code)(x)
    with pytest.raises(RuntimeError, match="an argument is a set"):
        torch.compile(lambda x, y: x)(x, {1, 2})
