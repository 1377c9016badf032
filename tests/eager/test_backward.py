"""The backward pass: node by node, as one program, and what both must agree on."""

import gc
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import graphc as torch
from graphc.eager import compiled
from graphc.eager.compiled import PROGRAMS
from graphc.eager.plan import next_number
from graphc.ir.settings import override

Loss = Callable[..., torch.Tensor]


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


MODELS: dict[str, tuple[Loss, tuple[tuple[int, ...], ...]]] = {
    "two layers": (lambda x, w, v: (torch.relu(x @ w) @ v).pow(2).sum(), ((5, 8), (8, 7), (7, 3))),
    "layer norm": (lambda x, w, b: (torch.layer_norm(x, (6,), w, b) * x).sum(), ((4, 6), (6,), (6,))),
    "softmax": (lambda x, y: (torch.softmax(x, dim=1) * torch.log_softmax(y, dim=1)).mean(), ((4, 5), (4, 5))),
    "shared": (lambda x, y: ((x * y + x) * (x - y).exp() + x.sum(dim=0)).mean(), ((3, 4), (3, 4))),
    "views": (lambda x, y: (x.t()[1:3].reshape(-1) * y.view(2, 4)[:, ::2].sum()).sum(), ((4, 5), (8,))),
    "cumulative": (lambda x: (x.cumsum(dim=1) * x).sum(dim=1).tanh().sum(), ((3, 6),)),
}


@pytest.mark.parametrize("name", MODELS)
def test_one_program_gives_the_bits_of_node_by_node(name: str) -> None:
    loss, shapes = MODELS[name]
    found = []
    for way in ("eager", "now"):
        with override(backward=way):
            leaves = [torch.from_numpy(normal(i, *shape)).requires_grad_() for i, shape in enumerate(shapes)]
            runs = []
            for _ in range(3):
                for leaf in leaves:
                    leaf.grad = None
                loss(*leaves).backward()
                runs.append([leaf.grad.numpy().copy() for leaf in leaves])
            for again in runs[1:]:
                assert all(np.array_equal(a, b) for a, b in zip(runs[0], again))
            found.append(runs[-1])
    assert all(np.array_equal(a, b) for a, b in zip(*found))


def test_a_program_is_made_when_a_structure_comes_again_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MOST_PROGRAMS", PROGRAMS.count + 1)  # other tests may have made as many as there are
    with override(backward="now"):
        x = torch.from_numpy(normal(0, 3, 3)).requires_grad_()
        before = PROGRAMS.count
        (x * x.exp()).sum().backward()
        assert PROGRAMS.count == before
        for _ in range(3):
            (x * x.exp()).sum().backward()
        assert PROGRAMS.count == before + 1
        (x * x.exp() + x).sum().backward()
        assert PROGRAMS.count == before + 1


def test_the_background_compiler_takes_over_without_a_change_of_values() -> None:
    with override(backward="background"):
        x = torch.from_numpy(normal(0, 4, 4)).requires_grad_()
        seen = []
        for step in range(5):
            x.grad = None
            (x.sin() * x).sum().backward()
            seen.append(x.grad.numpy().copy())
            if step == 2:
                PROGRAMS.wait()
        assert all(np.array_equal(seen[0], each) for each in seen[1:])


def test_a_change_of_structure_is_noticed() -> None:
    with override(backward="now"):
        x = torch.from_numpy(normal(0, 4)).requires_grad_()
        for count in (1, 2, 1, 3, 2, 1, 3):
            x.grad = None
            y = x
            for _ in range(count):
                y = y * x
            y.sum().backward()
            assert np.allclose(x.grad.numpy(), (count + 1) * x.detach().numpy() ** count, rtol=1e-5)


def test_a_hook_is_called_in_a_known_structure_too() -> None:
    with override(backward="now"):
        x = torch.from_numpy(normal(0, 4)).requires_grad_()
        for step in range(4):
            x.grad = None
            y = x * 2
            if step == 3:
                y.register_hook(lambda grad: grad * 10)
            (y * 3).sum().backward()
            assert x.grad.tolist() == [60.0 if step == 3 else 6.0] * 4


def test_retained_gradients_leave_the_program() -> None:
    with override(backward="now"):
        x = torch.from_numpy(normal(0, 4)).requires_grad_()
        for _ in range(4):
            x.grad = None
            y = x * 2
            y.retain_grad()
            (y * y).sum().backward()
            assert np.allclose(y.grad.numpy(), 4 * x.detach().numpy())
            assert np.allclose(x.grad.numpy(), 8 * x.detach().numpy())


def test_an_overwritten_value_is_noticed_by_the_program() -> None:
    with override(backward="now"):
        x = torch.from_numpy(normal(0, 4)).requires_grad_()
        for _ in range(3):
            (x.exp() * 2).sum().backward()
        y = x.exp()
        loss = (y * 2).sum()
        with torch.no_grad():
            y.add_(1)
        with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*output 0 of Exp, is at version 1"):
            loss.backward()


def test_a_graph_runs_once_unless_it_is_retained() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_gradients_of_gradients() -> None:
    x = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad((x**4).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(second.sum(), x)
    assert np.allclose(first.detach().numpy(), 4 * np.array([0.5, 2.0]) ** 3)
    assert np.allclose(second.detach().numpy(), 12 * np.array([0.5, 2.0]) ** 2)
    assert np.allclose(third.numpy(), 24 * np.array([0.5, 2.0]))


def test_only_the_inputs_asked_for_change() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.tensor([3.0, 4.0], requires_grad=True)
    (x * y).sum().backward(inputs=[x])
    assert x.grad.tolist() == [3.0, 4.0]
    assert y.grad is None
    assert torch.autograd.grad((x * y).sum(), [y])[0].tolist() == [1.0, 2.0]
    assert y.grad is None


def test_an_unused_input_is_an_error_or_none() -> None:
    x = torch.tensor([1.0], requires_grad=True)
    y = torch.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        torch.autograd.grad(x.sum(), [x, y])
    assert torch.autograd.grad(x.sum(), [x, y], allow_unused=True)[1] is None
    assert torch.autograd.grad(x.sum(), [x, y], materialize_grads=True)[1].tolist() == [0.0]


def test_a_deep_graph_needs_no_recursion() -> None:
    x = torch.tensor([1.0], requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.backward()
    assert x.grad.tolist() == [1.0]
    del y
    gc.collect()


def test_threads_have_tapes_of_their_own_and_add_to_shared_leaves() -> None:
    shared = torch.from_numpy(normal(0, 8)).requires_grad_()
    expected = np.zeros(8, np.float64)
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            own = torch.from_numpy(normal(seed, 8)).requires_grad_()
            for _ in range(50):
                own.grad = None
                (shared * own).sum().backward()
                assert np.array_equal(own.grad.numpy(), shared.detach().numpy())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for seed in range(1, 5):
        expected += 50 * normal(seed, 8).astype(np.float64)
    assert np.allclose(shared.grad.numpy(), expected, rtol=1e-3, atol=1e-3)


@pytest.fixture
def quiet_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_long_loop_keeps_nothing(quiet_collector: None) -> None:
    x = torch.from_numpy(normal(0, 4, 4))
    w = torch.from_numpy(normal(1, 4, 4)).requires_grad_()

    def step() -> None:
        w.grad = None
        loss = torch.tanh(x @ w).pow(2).sum()
        loss.backward()
        with torch.no_grad():
            w.sub_(w.grad, alpha=1e-3)

    for _ in range(100):
        step()
    PROGRAMS.wait()
    step()
    objects, plans, programs = len(gc.get_objects()), next_number(), PROGRAMS.count
    for _ in range(100_000):
        step()
    assert PROGRAMS.count == programs
    assert next_number() == plans + 1, "no plan was made"
    assert len(gc.get_objects()) - objects < 50, "with the collector off, a cycle would stay"
