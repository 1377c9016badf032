"""Groups, hooks, state dicts, errors and texts of optimizers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import optim
from graphc.optim import optimizer as base


def param(*shape: int, **options: Any) -> Any:
    made = graphc.zeros(*(shape or (2,)), requires_grad=True, **options)
    made.grad = graphc.ones_like(made).detach()
    return made


ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (
        lambda: optim.SGD(param()),
        TypeError,
        ("params argument given to the optimizer should be an iterable of Tensors or dicts, but got torch.FloatTensor"),
    ),
    (lambda: optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
    (lambda: optim.SGD([3]), TypeError, "optimizer can only optimize Tensors, but one of the params is int"),
    (
        lambda: optim.SGD([{"params": {param()}}]),
        TypeError,
        (
            "optimizer parameters need to be organized in ordered collections, but the ordering of "
            "tensors in sets will change between runs. Please use a list instead."
        ),
    ),
    (lambda: optim.SGD([param() * 2]), ValueError, "can't optimize a non-leaf Tensor"),
    (
        lambda: (lambda x: optim.SGD([{"params": x}, {"params": [x]}]))(param()),
        ValueError,
        "some parameters appear in more than one parameter group",
    ),
    (
        lambda: optim.SGD([("a", param()), param()]),
        ValueError,
        "all optimizer params should be with/without names. Some param names are missing",
    ),
    (
        lambda: optim.SGD([{"params": [param()]}, {"params": [("a", param())]}]),
        ValueError,
        ("all optimizer param groups should be with/without names. cannot add param group with names to the optimizer"),
    ),
    (lambda: optim.SGD([param()]).add_param_group([]), TypeError, "param_group must be a dict, but got <class 'list'>"),
    (lambda: optim.SGD([param()], lr=-1.0), ValueError, "Invalid learning rate: -1.0"),
    (lambda: optim.SGD([param()], lr=graphc.ones(2)), ValueError, "Tensor lr must be 1-element"),
    (lambda: optim.SGD([param()], momentum=-1.0), ValueError, "Invalid momentum value: -1.0"),
    (lambda: optim.SGD([param()], weight_decay=-1.0), ValueError, "Invalid weight_decay value: -1.0"),
    (
        lambda: optim.SGD([param()], nesterov=True),
        ValueError,
        "Nesterov momentum requires a momentum and zero dampening",
    ),
    (
        lambda: optim.SGD([param()], fused=True, foreach=True),
        RuntimeError,
        "`fused` and `foreach` cannot be `True` together.",
    ),
    (
        lambda: optim.Adam([param()], fused=True, differentiable=True),
        RuntimeError,
        "`fused` does not support `differentiable`",
    ),
    (lambda: optim.Adam([param()], eps=-1.0), ValueError, "Invalid epsilon value: -1.0"),
    (lambda: optim.Adam([param()], betas=(1.0, 0.5)), ValueError, "Invalid beta parameter at index 0: 1.0"),
    (lambda: optim.Adam([param()], betas=(0, 0.5)), ValueError, "betas must be either both floats or both Tensors"),
    (
        lambda: optim.Adam([param()], lr=graphc.tensor(0.1), foreach=True),
        ValueError,
        "lr as a Tensor is not supported for capturable=False and foreach=True",
    ),
    (lambda: optim.RMSprop([param()], alpha=-1.0), ValueError, "Invalid alpha value: -1.0"),
    (lambda: optim.Adadelta([param()], rho=2.0), ValueError, "Invalid rho value: 2.0"),
    (lambda: optim.Adagrad([param()], lr_decay=-1.0), ValueError, "Invalid lr_decay value: -1.0"),
    (lambda: optim.NAdam([param()], momentum_decay=-1.0), ValueError, "Invalid momentum_decay value: -1.0"),
    (lambda: optim.Rprop([param()], etas=(0.5, 0.6)), ValueError, "Invalid eta values: 0.5, 0.6"),
    (lambda: optim.Adafactor([param()], d=0.5), ValueError, "Clipping threshold d should be >= 1 but is: 0.5"),
    (
        lambda: optim.Adafactor([param(dtype=graphc.complex64)]).step(),
        RuntimeError,
        "Adafactor does not support complex parameters",
    ),
    (
        lambda: optim.Muon([param()]),
        ValueError,
        ("Muon only supports 2D parameters whereas we found a parameter with size: torch.Size([2])"),
    ),
    (
        lambda: optim.Muon([param(2, 2)], ns_steps=100).step(),
        ValueError,
        "Number of steps must be less than 100 for computational efficiency",
    ),
    (
        lambda: optim.LBFGS([{"params": [param()]}, {"params": [param()]}]),
        ValueError,
        "LBFGS doesn't support per-parameter options (parameter groups)",
    ),
    (
        lambda: optim.SparseAdam([param()]).step(),
        RuntimeError,
        "SparseAdam does not support dense gradients, please consider Adam instead",
    ),
    (
        lambda: optim.Optimizer([param()], {"lr": base.required}),
        ValueError,
        "parameter group didn't specify a value of required optimization parameter lr",
    ),
    (
        lambda: optim.SGD([param()], differentiable=True).step(),
        RuntimeError,
        "a leaf Variable that requires grad is being used in an in-place operation.",
    ),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors_have_the_words_of_pytorch(case: int) -> None:
    call, kind, text = ERRORS[case]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


def test_a_parameter_listed_twice_is_warned_of() -> None:
    x = param()
    with pytest.warns(UserWarning, match="optimizer contains a parameter group with duplicate parameters"):
        optim.SGD([x, x])


def test_groups_take_defaults_and_print() -> None:
    optimizer = optim.SGD([{"params": [param()], "lr": 0.5}, {"params": param()}], lr=0.1, momentum=0.9)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]
    assert repr(optimizer) == (
        "SGD (\n"
        "Parameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.5\n"
        "    maximize: False\n    momentum: 0.9\n    nesterov: False\n    weight_decay: 0\n"
        "\n"
        "Parameter Group 1\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.1\n"
        "    maximize: False\n    momentum: 0.9\n    nesterov: False\n    weight_decay: 0\n)"
    )


def test_named_parameters_keep_their_names() -> None:
    optimizer = optim.SGD(graphc.nn.Linear(2, 3).named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_gradients_are_forgotten_or_set_to_zero() -> None:
    x = param()
    optimizer, grad = optim.SGD([x]), x.grad
    optimizer.zero_grad(set_to_none=False)
    assert x.grad is grad
    assert grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert x.grad is None
    optimizer.step()
    assert x.tolist() == [0.0, 0.0]


def test_a_closure_runs_with_gradients_and_gives_its_loss() -> None:
    x = param()
    optimizer = optim.Adam([x], lr=0.5)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = ((x - 1) ** 2).sum()
        loss.backward()
        return loss

    with graphc.no_grad():
        assert optimizer.step(closure).item() == 2.0
    assert x.tolist() == pytest.approx([0.5, 0.5])


def test_hooks_run_around_steps_and_states() -> None:
    log: list[object] = []
    optimizer = optim.Adam([param()])
    with (
        base.register_optimizer_step_pre_hook(lambda *_: log.append("all before")),
        base.register_optimizer_step_post_hook(lambda *_: log.append("all after")),
    ):
        optimizer.register_step_pre_hook(lambda its, args, kwargs: log.append(("before", its is optimizer)))
        optimizer.register_step_post_hook(lambda its, args, kwargs: log.append("after"))
        optimizer.step()
    assert log == ["all before", ("before", True), "after", "all after"]
    del log[:]
    optimizer.register_state_dict_pre_hook(lambda its: log.append("save"))
    optimizer.register_state_dict_post_hook(lambda its, state: {**state, "more": 1})
    optimizer.register_state_dict_post_hook(lambda its, state: log.append(sorted(state)), prepend=True)
    optimizer.register_load_state_dict_pre_hook(lambda its, state: log.append(sorted(state)))
    optimizer.register_load_state_dict_post_hook(lambda its: log.append("loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert log == ["save", ["param_groups", "state"], ["more", "param_groups", "state"], "loaded"]


def test_a_hook_may_replace_arguments_but_not_by_anything_else() -> None:
    optimizer = optim.SGD([param()])
    optimizer.register_step_pre_hook(lambda its, args, kwargs: ((*args, lambda: 7), kwargs))
    assert optimizer.step() == 7
    optimizer.register_step_pre_hook(lambda its, args, kwargs: 3)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 3\."):
        optimizer.step()


ALL: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Rprop", {}),
    ("ASGD", {"t0": 2}),
    ("Adafactor", {}),
    ("Muon", {}),
    ("LBFGS", {"lr": 0.1, "max_iter": 2}),
]


def train(optimizer: Any, x: Any, y: Any, steps: int) -> None:
    target = graphc.linspace(-1.0, 1.0, 6).reshape(2, 3)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = ((x - target) ** 2).sum() + (x @ y).pow(2).sum()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


@pytest.mark.parametrize(("name", "options"), ALL, ids=[name for name, _ in ALL])
@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_what_was_saved_goes_on_with_the_same_bits(name: str, options: dict[str, Any], way: str) -> None:
    x, y = (graphc.linspace(0.5, 2.0, 6).reshape(shape).requires_grad_() for shape in ((2, 3), (3, 2)))
    optimizer = getattr(optim, name)([x, y], **options)
    train(optimizer, x, y, 3)
    if way == "state_dict":
        a, b = (each.detach().clone().requires_grad_() for each in (x, y))
        other = getattr(optim, name)([a, b])
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    else:
        other = pickle.loads(pickle.dumps(optimizer)) if way == "pickle" else copy.deepcopy(optimizer)
        a, b = other.param_groups[0]["params"]
    train(optimizer, x, y, 3)
    train(other, a, b, 3)
    assert x.detach().numpy().tobytes() == a.detach().numpy().tobytes()
    assert y.detach().numpy().tobytes() == b.detach().numpy().tobytes()


KEYS = {
    "SGD": ["momentum_buffer"],
    "Adam": ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
    "NAdam": ["step", "mu_product", "exp_avg", "exp_avg_sq"],
    "Adagrad": ["step", "sum"],
    "RMSprop": ["step", "square_avg", "momentum_buffer", "grad_avg"],
    "Rprop": ["step", "prev", "step_size"],
    "ASGD": ["step", "eta", "mu", "ax"],
    "Adafactor": ["step", "row_var", "col_var"],
}


@pytest.mark.parametrize("name", KEYS)
def test_states_have_the_keys_of_pytorch(name: str) -> None:
    x = param(2, 3)
    optimizer = getattr(optim, name)([x], **dict(ALL)[name])
    optimizer.step()
    state = optimizer.state_dict()["state"][0]
    assert list(state) == KEYS[name]
    if "step" in state:
        assert state["step"].shape == ()
        assert state["step"].dtype is graphc.float32


def test_a_state_is_loaded_in_the_dtype_of_the_parameter_and_old_counts_become_tensors() -> None:
    x, wide = param(), param(dtype=graphc.float64)
    saved = optim.Adam([x])
    saved.step()
    state = saved.state_dict()
    state["state"][0]["step"] = 7
    del state["param_groups"][0]["amsgrad"]
    loaded = optim.Adam([wide])
    loaded.load_state_dict(state)
    assert {key: value.dtype for key, value in loaded.state[wide].items()} == {
        "step": graphc.float32,
        "exp_avg": graphc.float64,
        "exp_avg_sq": graphc.float64,
    }
    assert loaded.state[wide]["step"].item() == 7.0
    assert loaded.param_groups[0]["amsgrad"] is False


def test_a_state_for_other_groups_is_refused() -> None:
    saved = optim.SGD([param(), param()]).state_dict()
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optim.SGD([param()]).load_state_dict(saved)
    with pytest.raises(ValueError, match="has a different number of parameter groups"):
        optim.SGD([{"params": param()}, {"params": param()}]).load_state_dict(saved)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((2, 4), "The size of tensor a (4) must match the size of tensor b (3) at non-singleton dimension 1"),
        ((3, 2), "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 1"),
        ((1, 3), "output with shape [1, 3] doesn't match the broadcast shape [2, 3]"),
        ((3,), "output with shape [3] doesn't match the broadcast shape [2, 3]"),
    ],
)
def test_a_state_of_another_shape_is_refused_at_the_step(shape: tuple[int, ...], text: str) -> None:
    x = param(2, 3)
    optimizer = optim.Adam([x])
    optimizer.step()
    optimizer.state[x]["exp_avg"] = graphc.zeros(shape)
    with pytest.raises(RuntimeError) as caught:
        optimizer.step()
    assert str(caught.value) == text


@pytest.mark.parametrize("rate", [graphc.tensor(0.25), graphc.tensor([0.25], dtype=graphc.float64)])
def test_a_learning_rate_may_be_a_tensor_that_changes(rate: Any) -> None:
    rate = rate.clone()
    x = param()
    optimizer = optim.SGD([x], lr=rate)
    optimizer.step()
    rate.fill_(0.5)
    optimizer.step()
    assert x.tolist() == [-0.75, -0.75]


def test_a_differentiable_step_has_gradients_by_the_start_and_the_rate() -> None:
    start = graphc.tensor([1.0, 2.0], dtype=graphc.float64, requires_grad=True)
    rate = graphc.tensor(0.1, dtype=graphc.float64, requires_grad=True)
    x = start.clone()
    x.retain_grad()
    x.grad = graphc.tensor([3.0, -1.0], dtype=graphc.float64)
    optim.SGD([x], lr=rate, differentiable=True).step()
    (x**2).sum().backward()
    end = np.array([0.7, 2.1])
    assert start.grad.tolist() == pytest.approx((2 * end).tolist())
    assert rate.grad.item() == pytest.approx(-2 * (end @ [3.0, -1.0]))


def test_weights_that_are_not_finite_stay_apart_without_decay() -> None:
    x = graphc.tensor([np.inf, 1.0], requires_grad=True)
    x.grad = graphc.ones(2)
    optimizer = optim.SGD([x], lr=1.0, momentum=0.5)
    optimizer.step()
    assert optimizer.state[x]["momentum_buffer"].tolist() == [1.0, 1.0]
    assert x.tolist() == [np.inf, 0.0]


def test_an_optimizer_may_work_on_other_parameters_for_a_while() -> None:
    x, other = param(), graphc.tensor([5.0, 6.0], requires_grad=True)
    optimizer = optim.SGD([x], lr=0.5, momentum=0.5)
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    state["param_groups"][0]["lr"] = 2.0
    other.grad = graphc.ones(2)
    with optim.swap_in_optimizer_params_and_state(optimizer, {"x": other}, state):
        optimizer.step()
    assert other.tolist() == [2.0, 3.0]  # the buffer was 1, and is 1.5
    assert state["state"][0]["momentum_buffer"].tolist() == [1.5, 1.5]
    assert optimizer.state[x]["momentum_buffer"].tolist() == [1.0, 1.0]
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert x.tolist() == [-0.5, -0.5]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda state: {"state": 3}, "to be a dict mapping packed parameter ids to per-param state dicts, got int."),
        (lambda state: {**state, "param_groups": {}}, "to be a list of param-group dicts, got dict."),
        (lambda state: {**state, "param_groups": []}, "has a different number of parameter groups than the live"),
        (lambda state: {**state, "state": {7: {}}}, "got extra keys [7]."),
        (
            lambda state: {**state, "param_groups": [{"params": [0], "lr": 1}]},
            "Keys only in swap-in: []. Keys only in live: ['momentum', 'dampening',",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_not_swapped_in(change: Callable[[Any], Any], text: str) -> None:
    x = param()
    optimizer = optim.SGD([x], momentum=0.5)
    with pytest.raises(RuntimeError, match="requires initialized optimizer state"):
        optim.swap_in_optimizer_params_and_state(optimizer, {}, {}).__enter__()
    optimizer.step()
    state = change(optimizer.state_dict())
    with pytest.raises(RuntimeError) as caught:
        optim.swap_in_optimizer_params_and_state(optimizer, {"x": x}, state).__enter__()
    assert text in str(caught.value)
