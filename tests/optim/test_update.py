"""Updates against their published formulas, written in numpy in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc

Array = np.ndarray[Any, np.dtype[np.float64]]
Update = Callable[[Array, Array], Array]
SHAPES = ((3, 4), (5,), ())
STEPS = 6


def sgd(lr: float, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False):
    velocity: Array | None = None

    def update(x: Array, g: Array) -> Array:
        nonlocal velocity
        g = g + weight_decay * x
        if momentum:
            velocity = g if velocity is None else momentum * velocity + (1 - dampening) * g
            g = g + momentum * velocity if nesterov else velocity
        return x - lr * g

    return update


def adam(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decoupled: bool = False,
) -> Update:
    m = v = largest = np.zeros(())
    t = 0

    def update(x: Array, g: Array) -> Array:
        nonlocal m, v, t, largest
        t += 1
        if decoupled:
            x = x - lr * weight_decay * x
        else:
            g = g + weight_decay * x
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        second = (largest if amsgrad else v) / (1 - betas[1] ** t)
        return x - lr * m / (1 - betas[0] ** t) / (np.sqrt(second) + eps)

    return update


def rmsprop(
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> Update:
    v = mean = velocity = np.zeros(())

    def update(x: Array, g: Array) -> Array:
        nonlocal v, mean, velocity
        g = g + weight_decay * x
        v = alpha * v + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        velocity = momentum * velocity + g / (np.sqrt(v - mean**2 if centered else v) + eps)
        return x - lr * velocity

    return update


def adamax(
    lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0
) -> Update:
    m = u = np.zeros(())
    t = 0

    def update(x: Array, g: Array) -> Array:
        nonlocal m, u, t
        t += 1
        g = g + weight_decay * x
        m = betas[0] * m + (1 - betas[0]) * g
        u = np.maximum(betas[1] * u, np.abs(g) + eps)
        return x - lr / (1 - betas[0] ** t) * m / u

    return update


def nadam(
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
) -> Update:
    m = v = np.zeros(())
    t, product = 0, 1.0

    def momentum(t: int) -> float:
        return betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    def update(x: Array, g: Array) -> Array:
        nonlocal m, v, t, product
        t += 1
        if decoupled_weight_decay:
            x = x - lr * weight_decay * x
        else:
            g = g + weight_decay * x
        product *= momentum(t)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        ahead = momentum(t + 1) * m / (1 - product * momentum(t + 1))
        return x - lr * (ahead + (1 - momentum(t)) * g / (1 - product)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)

    return update


def radam(
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
) -> Update:
    m = v = np.zeros(())
    t = 0
    longest = 2 / (1 - betas[1]) - 1

    def update(x: Array, g: Array) -> Array:
        nonlocal m, v, t
        t += 1
        if decoupled_weight_decay:
            x = x - lr * weight_decay * x
        else:
            g = g + weight_decay * x
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        length = longest - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        direction = m / (1 - betas[0] ** t)
        if length > 5:
            r = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            direction = direction * r * math.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)
        return x - lr * direction

    return update


def adagrad(
    lr: float,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Update:
    total: Any = initial_accumulator_value
    t = 0

    def update(x: Array, g: Array) -> Array:
        nonlocal total, t
        g = g + weight_decay * x
        total = total + g**2
        x = x - lr / (1 + t * lr_decay) * g / (np.sqrt(total) + eps)
        t += 1
        return x

    return update


def adadelta(lr: float, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0) -> Update:
    squares = steps = np.zeros(())

    def update(x: Array, g: Array) -> Array:
        nonlocal squares, steps
        g = g + weight_decay * x
        squares = rho * squares + (1 - rho) * g**2
        step = np.sqrt(steps + eps) / np.sqrt(squares + eps) * g
        steps = rho * steps + (1 - rho) * step**2
        return x - lr * step

    return update


def rprop(lr: float, etas: tuple[float, float] = (0.5, 1.2), step_sizes: tuple[float, float] = (1e-6, 50)) -> Update:
    before: Any = 0.0
    size: Any = lr

    def update(x: Array, g: Array) -> Array:
        nonlocal before, size
        agreement = g * before
        size = np.clip(size * np.choose(np.sign(agreement).astype(int) + 1, [etas[0], 1.0, etas[1]]), *step_sizes)
        before = np.where(agreement < 0, 0.0, g)
        return x - np.sign(before) * size

    return update


def asgd(lr: float, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6, weight_decay: float = 0.0) -> Update:
    rate, t = lr, 0

    def update(x: Array, g: Array) -> Array:
        nonlocal rate, t
        t += 1
        x = (1 - lambd * rate) * x - rate * (g + weight_decay * x)
        rate = lr / (1 + lambd * lr * t) ** alpha
        return x

    return update


def adafactor(
    lr: float,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    weight_decay: float = 0.0,
    dtype: Any = np.float64,
) -> Update:
    rows = columns = squares = np.zeros(())
    t = 0
    floor = float(np.finfo(dtype).eps) if eps[0] is None else eps[0]

    def update(x: Array, g: Array) -> Array:
        nonlocal rows, columns, squares, t
        t += 1
        share = t**beta2_decay
        scale = max(eps[1], math.sqrt(np.mean(x**2))) * min(lr, 1 / math.sqrt(t))
        x = x - lr * weight_decay * x
        if x.ndim > 1:
            rows = rows + share * ((g**2).mean(-1, keepdims=True) - rows)
            columns = columns + share * ((g**2).mean(-2, keepdims=True) - columns)
            variance = rows @ columns / np.maximum(rows.mean(-2, keepdims=True), floor)
        else:
            variance = squares = squares + share * (g**2 - squares)
        change = g / np.sqrt(np.maximum(variance, floor**2))
        return x - scale / max(1.0, math.sqrt(np.mean(change**2)) / d) * change

    return update


CASES: list[tuple[str, Callable[..., Update], dict[str, Any], dict[str, Any]]] = [
    ("SGD", sgd, {"lr": 0.1}, {}),
    ("SGD", sgd, {"lr": 0.1, "weight_decay": 0.3}, {}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.25}, {}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}, {}),
    ("Adam", adam, {}, {}),
    ("Adam", adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}, {}),
    ("Adam", adam, {"lr": 0.05, "amsgrad": True}, {}),
    ("AdamW", adam, {"lr": 0.05, "weight_decay": 0.1}, {"decoupled": True}),
    ("AdamW", adam, {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}, {"decoupled": True}),
    ("RMSprop", rmsprop, {}, {}),
    ("RMSprop", rmsprop, {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.9}, {}),
    ("RMSprop", rmsprop, {"centered": True}, {}),
    ("RMSprop", rmsprop, {"momentum": 0.5}, {}),
    ("Adamax", adamax, {"lr": 0.02}, {}),
    ("Adamax", adamax, {"lr": 0.02, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}, {}),
    ("NAdam", nadam, {"lr": 0.02, "weight_decay": 0.1}, {}),
    ("NAdam", nadam, {"lr": 0.02, "weight_decay": 0.1, "momentum_decay": 0.1, "decoupled_weight_decay": True}, {}),
    ("RAdam", radam, {"lr": 0.02, "weight_decay": 0.1}, {}),
    ("RAdam", radam, {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}, {}),
    ("Adagrad", adagrad, {"lr": 0.1}, {}),
    ("Adagrad", adagrad, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}, {}),
    ("Adadelta", adadelta, {"lr": 1.0}, {}),
    ("Adadelta", adadelta, {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1}, {}),
    ("Rprop", rprop, {"lr": 0.1}, {}),
    ("Rprop", rprop, {"lr": 0.1, "etas": (0.25, 2.0), "step_sizes": (0.05, 0.3)}, {}),
    ("ASGD", asgd, {"lr": 0.1}, {}),
    ("ASGD", asgd, {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "weight_decay": 0.1}, {}),
    ("Adafactor", adafactor, {"lr": 0.1}, {}),
    ("Adafactor", adafactor, {"lr": 0.1, "eps": (1e-2, 0.1), "d": 2.0, "weight_decay": 0.1}, {}),
]


NAMED = [pytest.param(*case, id=f"{case[0]}-{'-'.join(case[2]) or 'plain'}") for case in CASES]


def run(
    name: str, options: dict[str, Any], dtype: Any, gradients: list[list[Array]], start: list[Array]
) -> list[Array]:
    params = [graphc.tensor(x, dtype=dtype, requires_grad=True) for x in start]
    optimizer = getattr(graphc.optim, name)(params, **options)
    for each in gradients:
        for param, grad in zip(params, each):
            param.grad = graphc.tensor(grad, dtype=dtype)
        optimizer.step()
    return [param.detach().numpy() for param in params]


@pytest.mark.parametrize(("name", "formula", "options", "also"), NAMED)
@pytest.mark.parametrize("dtype", [graphc.float64, graphc.float32], ids=str)
def test_the_steps_are_those_of_the_formula(
    name: str, formula: Callable[..., Update], options: dict[str, Any], also: dict[str, Any], dtype: Any
) -> None:
    random = np.random.default_rng(7)
    start = [random.standard_normal(shape) for shape in SHAPES]
    gradients = [[random.standard_normal(shape) for shape in SHAPES] for _ in range(STEPS)]
    found = run(name, options, dtype, gradients, start)
    for index, x in enumerate(start):
        more = {"dtype": dtype.numpy} if name == "Adafactor" else {}
        update = formula(**options, **also, **more)
        for each in gradients:
            x = update(x, each[index])
        # Counts of steps and other states without dimensions are float32 in any case.
        tolerance = (1e-7 if name in ("NAdam", "ASGD") else 1e-13) if dtype is graphc.float64 else 2e-6
        np.testing.assert_allclose(found[index], x, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "formula", "options", "also"), NAMED)
def test_maximizing_is_minimizing_with_the_opposite_gradient(
    name: str, formula: object, options: dict[str, Any], also: object
) -> None:
    start, gradients = [np.array([1.0, -2.0])], [[np.array([0.5, 0.25])], [np.array([-1.0, 2.0])]]
    opposite = [[-each for each in grads] for grads in gradients]
    (up,) = run(name, {**options, "maximize": True}, graphc.float32, gradients, start)
    (down,) = run(name, options, graphc.float32, opposite, start)
    assert up.tobytes() == down.tobytes()


def test_the_first_step_of_adam_has_the_length_of_the_learning_rate() -> None:
    (found,) = run("Adam", {"lr": 0.25}, graphc.float64, [[np.array([3.0, -1e-3])]], [np.zeros(2)])
    assert all(math.isclose(abs(value), 0.25, rel_tol=1e-4) for value in found)


def test_the_average_of_asgd_is_that_of_all_parameters_after_t0() -> None:
    x = graphc.zeros(1, dtype=graphc.float64, requires_grad=True)
    optimizer = graphc.optim.ASGD([x], lr=1.0, lambd=0.0, t0=2)
    for _ in range(6):  # x is -1, -2, ... -6
        x.grad = graphc.ones(1, dtype=graphc.float64)
        optimizer.step()
    # mu is 1 until step 3, then 1/2, 1/3: the average of what came from then on.
    assert optimizer.state[x]["ax"].item() == pytest.approx((-4 - 5 - 6) / 3, rel=1e-6)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 5)])
def test_muon_moves_along_a_nearly_orthogonal_matrix(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(3)
    start, grad = random.standard_normal(shape), random.standard_normal(shape)
    x = graphc.tensor(start, requires_grad=True)
    x.grad = graphc.tensor(grad)
    graphc.optim.Muon([x], lr=0.5, weight_decay=0.0).step()
    change = (start - x.detach().numpy()) / (0.5 * math.sqrt(max(1, shape[0] / shape[1])))
    values = np.linalg.svd(change, compute_uv=False)
    assert values.min() > 0.4
    assert values.max() < 1.4
    u, _, v = np.linalg.svd(grad, full_matrices=False)
    assert np.vdot(change, u @ v) > 0.9 * np.linalg.norm(change) * math.sqrt(min(shape))


def test_muon_decays_and_scales_as_asked() -> None:
    x = graphc.full((2, 8), 1.0, requires_grad=True)
    x.grad = graphc.zeros(2, 8)
    graphc.optim.Muon([x], lr=0.5, weight_decay=0.25).step()
    assert x.tolist() == [[0.875] * 8] * 2
    grad = np.random.default_rng(5).standard_normal((2, 8)).astype(np.float32)
    found = []
    for way in ("original", "match_rms_adamw"):
        y = graphc.zeros(2, 8, requires_grad=True)
        y.grad = graphc.tensor(grad)
        graphc.optim.Muon([y], lr=1.0, adjust_lr_fn=way).step()
        found.append(y.detach().numpy())
    np.testing.assert_allclose(found[1], 0.2 * math.sqrt(8) * found[0], rtol=1e-6)


def test_complex_parameters_are_pairs_of_real_ones() -> None:
    random = np.random.default_rng(11)
    pairs, grads = random.standard_normal((3, 2)), random.standard_normal((3, 3, 2))
    for name in ("SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD"):
        (real,) = run(name, {"lr": 0.1}, graphc.float64, [[each] for each in grads], [pairs])
        x = graphc.view_as_complex(graphc.tensor(pairs)).requires_grad_()
        optimizer = getattr(graphc.optim, name)([x], lr=0.1)
        for grad in grads:
            x.grad = graphc.view_as_complex(graphc.tensor(grad))
            optimizer.step()
        assert graphc.view_as_real(x).detach().numpy().tobytes() == real.tobytes(), name


def test_halves_are_computed_with_as_float32_and_rounded_once() -> None:
    start, grad = graphc.tensor([1.0, 2.0, -3.0]), graphc.tensor([0.125, -0.75, 1.5])
    for dtype in (graphc.bfloat16, graphc.float16):
        half, single = (start.clone().to(each).requires_grad_() for each in (dtype, graphc.float32))
        half.grad, single.grad = grad.to(dtype), grad.clone()
        graphc.optim.AdamW([half], lr=1e-2).step()
        graphc.optim.AdamW([single], lr=1e-2).step()
        assert half.dtype is dtype
        assert half.tolist() == single.detach().to(dtype).tolist()


@pytest.mark.parametrize("part", ["t", "column", "rows", "element"])
def test_a_parameter_of_any_layout_is_written_where_it_is(part: str) -> None:
    whole = graphc.zeros(3, 4)
    view = {"t": whole.t(), "column": whole[:, 1], "rows": whole[::2], "element": whole[1, 1]}[part]
    x = view.detach().requires_grad_()
    x.grad = graphc.full(x.shape, 2.0)
    before = whole._version
    graphc.optim.SGD([x], lr=0.5).step()
    assert whole._version == before + 1
    assert (view == -1).all()
    assert whole.sum().item() == -view.numel()


def test_gradients_of_another_layout_are_read_by_position() -> None:
    grad = np.arange(6.0).reshape(2, 3)
    x = graphc.zeros(2, 3, dtype=graphc.float64, requires_grad=True)
    x.grad = graphc.from_numpy(np.asfortranarray(grad))
    graphc.optim.SGD([x], lr=1.0).step()
    assert x.tolist() == (-grad).tolist()
    x.grad = graphc.ones(1, dtype=graphc.float64).expand(2, 3)
    graphc.optim.SGD([x], lr=1.0).step()
    assert x.tolist() == (-grad - 1).tolist()


def test_a_parameter_between_the_words_of_memory_is_written_where_it_is() -> None:
    memory = np.zeros(4 * 5 + 1, np.uint8)
    array = memory[1:].view(np.float32)
    x = graphc.from_numpy(array).requires_grad_()
    x.grad = graphc.ones(5)
    graphc.optim.Adam([x], lr=0.5).step()
    assert array.tolist() == pytest.approx([-0.5] * 5)


def test_empty_parameters_only_count_steps() -> None:
    x = graphc.zeros(0, 3, requires_grad=True)
    x.grad = graphc.zeros(0, 3)
    optimizer = graphc.optim.Adam([x])
    optimizer.step()
    assert optimizer.state[x]["step"].item() == 1.0
