"""Hooks of modules: when they are called, with what, and what they may replace."""

import copy
import gc
import sys
import warnings

import pytest

import graphc as torch
from graphc import nn
from graphc.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)


class Scale(nn.Module):
    """x * factor, in several forms."""

    def __init__(self, factor: float = 3.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x, *, form="tensor"):
        y = x * self.factor
        if form == "raise":
            raise ValueError("no result")
        return {"tensor": y, "tuple": (y, 7), "list": [y], "none": None}[form]


def test_forward_hooks_are_called_in_order_with_their_arguments() -> None:
    net, log = Scale(), []
    net.register_forward_pre_hook(lambda m, args: log.append(("pre", m is net, len(args))))
    net.register_forward_pre_hook(lambda m, args, kwargs: log.append(("pre kwargs", kwargs)), with_kwargs=True)
    net.register_forward_pre_hook(lambda m, args: log.append("pre first"), prepend=True)
    net.register_forward_hook(lambda m, args, out: log.append(("post", out.item())))
    net.register_forward_hook(lambda m, args, kwargs, out: log.append(("post kwargs", kwargs)), with_kwargs=True)
    net.register_forward_hook(lambda m, args, out: log.append("post first"), prepend=True)
    net(torch.tensor(2.0), form="tensor")
    assert log == [
        "pre first", ("pre", True, 1), ("pre kwargs", {"form": "tensor"}),
        "post first", ("post", 6.0), ("post kwargs", {"form": "tensor"}),
    ]  # fmt: skip


def test_forward_hooks_replace_arguments_and_results() -> None:
    net, x = Scale(), torch.tensor(2.0)
    first = net.register_forward_pre_hook(lambda m, args: args[0] + 1)
    second = net.register_forward_pre_hook(lambda m, args, kwargs: (args, {"form": "tuple"}), with_kwargs=True)
    assert net(x)[0].item() == 9.0
    first.remove()
    assert net(x)[0].item() == 6.0
    second.remove()
    assert net._forward_pre_hooks_with_kwargs == {}
    with net.register_forward_hook(lambda m, args, out: out * 10):
        assert net(x).item() == 60.0
    assert net(x).item() == 6.0
    net.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(
        RuntimeError, match=r"^forward pre-hook must return None or a tuple of \(new_args, new_kwargs\)"
    ):
        net(x)


def test_hooks_that_are_always_called_see_errors_and_keep_their_own_quiet() -> None:
    net, log = Scale(), []

    def fail(*args):
        raise KeyError("of the hook")

    net.register_forward_hook(lambda m, args, out: log.append("skipped"))
    net.register_forward_hook(fail, always_call=True)
    net.register_forward_hook(lambda m, args, out: log.append(out), always_call=True)
    text = (
        "module forward hook with ``always_call=True`` raised an exception that was silenced as another error was "
        "raised in forward: 'of the hook'"
    )
    with (
        pytest.warns(UserWarning, match=r"^module forward hook with") as warned,
        pytest.raises(ValueError, match=r"^no result$"),
    ):
        net(torch.tensor(1.0), form="raise")
    assert [str(each.message) for each in warned] == [text]
    assert log == [None]


def test_full_backward_hooks_see_gradients_of_inputs_and_outputs() -> None:
    net, log, x = Scale(), [], torch.tensor(2.0, requires_grad=True)
    net.register_full_backward_hook(lambda m, gi, go: log.append(("hook", [g.item() for g in gi], go[0].item())))
    net.register_full_backward_pre_hook(lambda m, go: log.append(("pre", go[0].item())))
    y = net(x)
    assert y.grad_fn.name() == "BackwardHookFunctionBackward"
    (y * 5).backward()
    assert log == [("pre", 5.0), ("hook", [15.0], 5.0)]
    assert x.grad.item() == 15.0


def test_backward_hooks_get_none_where_no_tensor_is_and_zeros_for_tensors_without_gradient() -> None:
    class Mixed(nn.Module):
        def forward(self, a, text, b):
            return a * b, text

    net, log = Mixed(), []
    net.register_full_backward_hook(lambda m, gi, go: log.append([[g if g is None else g.item() for g in gi], go[1]]))
    net(torch.tensor(2.0, requires_grad=True), "text", torch.tensor(3.0))[0].backward()
    assert log == [[[3.0, None, 0.0], None]]


def test_full_backward_hooks_replace_gradients() -> None:
    net, x = Scale(), torch.tensor(2.0, requires_grad=True)
    net.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    net.register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))
    net(x).backward()
    assert (x.grad.item(), net.factor.grad.item()) == (60.0, 4.0)


@pytest.mark.parametrize(
    "register, text",
    [
        (
            lambda m: m.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0])),
            "Backward hook returned an invalid number of grad_input, got 2, but expected 1",
        ),
        (
            lambda m: m.register_full_backward_pre_hook(lambda m, go: (go[0], go[0])),
            "Backward pre hook returned an invalid number of grad_output, got 2, but expected 1",
        ),
    ],
)
def test_backward_hooks_must_return_as_many_gradients(register, text) -> None:
    net = Scale()
    register(net)
    with pytest.raises(RuntimeError) as error:
        net(torch.tensor(2.0, requires_grad=True)).backward()
    assert str(error.value) == text


def test_backward_hooks_without_gradients_of_inputs() -> None:
    net, log = Scale(), []
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go[0].item())))
    with pytest.warns(UserWarning, match=r"^Full backward hook is firing when gradients are computed with respect to"):
        net(torch.tensor(2.0)).backward()
    assert log == [((None,), 1.0)]
    net.register_full_backward_hook(lambda m, gi, go: (torch.ones(1),))
    with (
        pytest.warns(UserWarning, match="Full backward hook"),
        pytest.raises(RuntimeError, match="where no input requires gradient should always return None"),
    ):
        net(torch.tensor(2.0)).backward()


def test_backward_hooks_need_tensors_as_results() -> None:
    net = Scale()
    net.register_full_backward_hook(lambda m, gi, go: None)
    text = (
        "^For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
        "<class 'list'>$"
    )
    with pytest.warns(UserWarning, match=text):
        net(torch.tensor(2.0), form="list")


def test_old_backward_hooks_see_the_last_node() -> None:
    class Double(nn.Module):
        def forward(self, x):
            return x * 2

    net, log = Double(), []
    net.register_backward_hook(lambda m, gi, go: log.append((gi[0].item(), go[0].item())))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        (net(torch.tensor(1.0, requires_grad=True)) * 3).backward()
    assert log == [(6.0, 3.0)]
    with pytest.raises(RuntimeError) as error:
        net.register_full_backward_hook(print)
    assert str(error.value) == (
        "Cannot use both regular backward hooks and full backward hooks on a single Module. Please use only one of "
        "them."
    )


def test_old_backward_hooks_say_what_they_miss() -> None:
    net = nn.Sequential(Scale(), Scale())
    net.register_backward_hook(lambda m, gi, go: None)
    with pytest.warns(FutureWarning, match="the forward contains multiple autograd Nodes"):
        net(torch.tensor(1.0, requires_grad=True))


def test_hooks_of_all_modules_come_before_those_of_one() -> None:
    net, log = nn.Sequential(Scale()), []
    net[0].register_forward_hook(lambda m, args, out: log.append("own"))
    handles = [
        register_module_forward_pre_hook(lambda m, args: log.append(f"pre {type(m).__name__}")),
        register_module_forward_hook(lambda m, args, out: log.append(f"post {type(m).__name__}")),
        register_module_full_backward_hook(lambda m, gi, go: log.append(f"back {type(m).__name__}")),
        register_module_full_backward_pre_hook(lambda m, go: log.append(f"pre back {type(m).__name__}")),
    ]
    x = torch.tensor(2.0, requires_grad=True)
    try:
        net(x).backward()
    finally:
        for handle in handles:
            handle.remove()
    assert log == [
        "pre Sequential", "pre Scale", "post Scale", "own", "post Sequential",
        "pre back Sequential", "pre back Scale", "back Scale", "back Sequential",
    ]  # fmt: skip
    log.clear()
    net(x).backward()
    assert log == ["own"]


def test_registration_hooks_see_and_replace_parts() -> None:
    log = []
    other = nn.Parameter(torch.zeros(1))
    handles = [
        register_module_parameter_registration_hook(lambda m, name, value: log.append(name) or other),
        register_module_buffer_registration_hook(lambda m, name, value: log.append(name)),
        register_module_module_registration_hook(lambda m, name, value: log.append(name)),
    ]
    try:
        net = nn.Module()
        net.p = nn.Parameter(torch.ones(1))
        net.register_buffer("b", None)
        net.m = nn.Identity()
    finally:
        for handle in handles:
            handle.remove()
    assert log == ["p", "b", "m"]
    assert net.p is other


def test_copies_keep_hooks() -> None:
    net, log = Scale(), []
    net.register_forward_hook(lambda m, args, out: log.append(m))
    twin = copy.deepcopy(net)
    twin(torch.tensor(1.0))
    assert log == [twin]


def test_a_call_without_hooks_runs_forward_at_once() -> None:
    net, x = Scale(), torch.tensor(1.0)
    net.register_forward_hook(lambda m, args, out: None).remove()
    register_module_forward_hook(lambda m, args, out: None).remove()
    net(x)  # finds no hooks any more, and doesn't look for them from now on
    called = []
    gc.disable()
    sys.setprofile(lambda frame, event, arg: called.append(frame.f_code.co_name) if event == "call" else None)
    try:
        net(x)
    finally:
        sys.setprofile(None)
        gc.enable()
    assert called[:2] == ["__call__", "forward"]


def test_whoever_watches_a_module_is_told_of_changes() -> None:
    net, log = Scale(), []
    net.__dict__["_watch"] = lambda module, name: log.append(name)
    net.rate = 0.1
    del net.rate
    net.eval()
    net.factor = nn.Parameter(torch.zeros(1))
    net.register_buffer("count", torch.zeros(1))
    net.count = torch.ones(1)
    net.inner = nn.Identity()
    net.inner = None
    net.register_forward_hook(print).remove()
    assert log == ["rate", "rate", "training", "factor", "count", "count", "inner", "inner", "hooks", "hooks"]
    assert "_watch" not in copy.deepcopy(net).__dict__
    assert "_watch" not in copy.copy(net).__dict__
    assert "_watch" not in dir(net)


def test_compiled_modules_see_hooks_come_and_go() -> None:
    net = nn.Sequential(Scale())
    compiled, x = torch.compile(net), torch.tensor(2.0)
    assert compiled(x).item() == 6.0
    handle = net[0].register_forward_hook(lambda m, args, out: out + 1)
    assert compiled(x).item() == 7.0
    handle.remove()
    assert compiled(x).item() == 6.0
