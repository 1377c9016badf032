"""The recorded graph as users see it: nodes, their names, edges and saved values."""

import pytest

import graphc as torch
from graphc.autograd.graph import (
    GradientEdge,
    Node,
    allow_mutation_on_saved_tensors,
    disable_saved_tensors_hooks,
    get_gradient_edge,
    increment_version,
    save_on_cpu,
    saved_tensors_hooks,
)

x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
v = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
NAMES = {
    "AddBackward0": lambda: x + 1,
    "RsubBackward1": lambda: 2 - x,
    "MulBackward0": lambda: 2 / x,
    "PowBackward0": lambda: x.square(),
    "PowBackward1": lambda: x**x,
    "PowBackward2": lambda: 2**x,
    "DivBackward2": lambda: torch.div(x, 2, rounding_mode="floor"),
    "SumBackward0": lambda: x.sum(),
    "SumBackward1": lambda: x.sum(0),
    "MeanBackward1": lambda: x.mean(1),
    "StdBackward0": lambda: x.std(0),
    "MaxBackward1": lambda: x.max(),
    "MaxBackward0": lambda: x.max(0).values,
    "ClampBackward1": lambda: x.clamp(0, 1),
    "LinalgVectorNormBackward0": lambda: x.norm(),
    "DotBackward0": lambda: v @ v,
    "MvBackward0": lambda: x @ v,
    "MmBackward0": lambda: x @ x.t(),
    "UnsafeViewBackward0": lambda: x.expand(2, 2, 3) @ x.t(),
    "AddmmBackward0": lambda: torch.nn.functional.linear(x, x, torch.zeros(2)),
    "SelectBackward0": lambda: x[0],
    "SliceBackward0": lambda: x[:1],
    "IndexBackward0": lambda: x[torch.tensor([0])],
    "UnsqueezeBackward0": lambda: x[None],
    "TBackward0": lambda: x.t(),
    "ViewBackward0": lambda: x.reshape(-1),
    "CatBackward0": lambda: torch.vstack([x, x]),
    "StackBackward0": lambda: torch.stack([x, x]),
    "SplitBackward0": lambda: x.chunk(2)[0],
    "UnbindBackward0": lambda: x.unbind()[1],
    "ToCopyBackward0": lambda: x.double(),
    "SoftmaxBackward0": lambda: x.softmax(1),
    "MeanBackward0": lambda: torch.nn.functional.l1_loss(x, x.detach()),
    "NllLossBackward0": lambda: torch.nn.functional.cross_entropy(x, torch.tensor([0, 1])),
    "torch::autograd::CopySlices": lambda: _written(),
    "torch::autograd::CopyBackwards": lambda: torch.zeros(3).copy_(v),
}


def _written() -> torch.Tensor:
    result = torch.zeros(3)
    result[1:] = v[1:]
    return result


@pytest.mark.parametrize("name", NAMES)
def test_nodes_have_the_names_of_pytorch(name: str) -> None:
    node = NAMES[name]().grad_fn
    assert node.name() == name
    assert type(node).__name__ == name.rpartition(":")[2]


def test_gradients_that_are_recorded_have_names_too() -> None:
    (first,) = torch.autograd.grad((v**3).sum(), v, create_graph=True)
    assert type(first.grad_fn).__name__ == "MulBackward0"
    assert str(first) == "tensor([ 3., 12., 27.], grad_fn=<MulBackward0>)"


def test_edges_lead_to_the_nodes_of_the_operands() -> None:
    z = x * x.exp() + 2
    (product, index), (none, zero) = z.grad_fn.next_functions
    assert (product.name(), index, none, zero) == ("MulBackward0", 0, None, 0)
    (own, _), (exp, _) = product.next_functions
    assert own.variable is x
    assert own.name() == "torch::autograd::AccumulateGrad"
    assert repr(own).startswith("<AccumulateGrad object at 0x")
    assert exp.name() == "ExpBackward0"
    assert z.grad_fn._sequence_nr() > product._sequence_nr() > exp._sequence_nr()
    assert torch.stack([v, v]).unbind()[1].output_nr == 1
    assert isinstance(product, Node)
    assert issubclass(type(product), Node)


def test_nodes_hold_notes_and_saved_values() -> None:
    a, b = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0], requires_grad=True)
    product, power = a * b, a.exp()
    product.grad_fn.metadata["seen"] = 1
    assert product.grad_fn.metadata == {"seen": 1}
    assert product.grad_fn._saved_self is a
    assert product.grad_fn._saved_other.tolist() == [3.0, 4.0]
    assert power.grad_fn._saved_result.tolist() == power.tolist()
    assert power.grad_fn._saved_result is not power
    assert (a * 3).grad_fn._saved_self is None
    with pytest.raises(AttributeError, match="'MulBackward0' object has no attribute '_saved_nothing'"):
        _ = product.grad_fn._saved_nothing
    power.sum().backward()
    with pytest.raises(RuntimeError, match=r"^Trying to backward through the graph a second time"):
        _ = power.grad_fn._saved_result


def test_hooks_on_one_saved_value() -> None:
    a, b = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0], requires_grad=True)
    product = a * b
    saved = product.grad_fn._raw_saved_self
    saved.register_hooks(lambda tensor: tensor.tolist(), lambda kept: torch.tensor(kept) * 10)
    with pytest.raises(RuntimeError, match=r"^Calling register_hooks on a saved tensor whose hooks have already been"):
        saved.register_hooks(lambda tensor: tensor, lambda kept: kept)
    product.sum().backward()
    assert b.grad.tolist() == [10.0, 20.0]
    with pytest.raises(RuntimeError, match=r"^Calling register_hooks on a saved tensor after it has been freed"):
        product.grad_fn._raw_saved_other.register_hooks(lambda tensor: tensor, lambda kept: kept)


def test_gradients_from_and_to_edges() -> None:
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    y = a * 2
    z = y * 3
    edge = get_gradient_edge(y)
    assert isinstance(edge, GradientEdge)
    assert (edge.node, edge.output_nr) == (y.grad_fn, 0)
    found = torch.autograd.grad(z.sum(), [edge, a], retain_graph=True)
    assert [each.tolist() for each in found] == [[3.0, 3.0], [6.0, 6.0]]
    root = get_gradient_edge(z)
    assert torch.autograd.grad(root, a, torch.ones(2), retain_graph=True)[0].tolist() == [6.0, 6.0]
    torch.autograd.backward(root, torch.ones(2), retain_graph=True)
    assert a.grad.tolist() == [6.0, 6.0]
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        torch.autograd.grad(root, a)
    with pytest.raises(RuntimeError, match=r"^It is not possible to get the gradient edge for a Tensor that does not"):
        get_gradient_edge(torch.tensor(1.0))


def test_saved_values_kept_elsewhere() -> None:
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    with saved_tensors_hooks(lambda tensor: tensor.tolist(), torch.tensor):
        y = (a * a).exp()
    y.sum().backward()
    assert [round(each, 3) for each in a.grad.tolist()] == [5.437, 218.393]
    a.grad = None
    with save_on_cpu():
        y = a * a
    with torch.no_grad():
        a.add_(1)
    y.sum().backward()
    assert a.grad.tolist() == [2.0, 4.0], "the copy was not written to"


def test_hooks_on_saved_values_nest_and_are_checked() -> None:
    a, log = torch.tensor([1.0, 2.0], requires_grad=True), []
    with saved_tensors_hooks(lambda tensor: log.append("outer") or tensor, lambda kept: kept):
        with saved_tensors_hooks(lambda tensor: log.append("inner") or tensor, lambda kept: kept):
            a.exp()
        a.exp()
    assert log == ["inner", "outer"]
    with saved_tensors_hooks(lambda tensor: 5, lambda kept: kept):
        y = a.exp()
    with pytest.raises(
        TypeError, match=r"^Output of saved tensor unpack_hook expected to be a Tensor but got result of"
    ):
        y.sum().backward()
    in_place = pytest.raises(RuntimeError, match=r"^A saved tensor pack hook is modifying its input in place")
    with saved_tensors_hooks(lambda tensor: tensor.mul_(2), lambda kept: kept), in_place:
        (a * 1).exp()
    with disable_saved_tensors_hooks("not here"), pytest.raises(RuntimeError, match=r"^not here$"):
        saved_tensors_hooks(lambda tensor: tensor, lambda kept: kept).__enter__()


def test_saved_values_may_change_where_copies_are_kept() -> None:
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    with allow_mutation_on_saved_tensors():
        y = a.clone()
        z = y**2
        y.sin_()
        z.sum().backward()
        lost = a.exp()
    assert a.grad.tolist() == [2.0, 4.0]
    with pytest.raises(RuntimeError, match=r"^Trying to backward outside of the 'allow_mutation_on_saved_tensors'"):
        lost.sum().backward()


def test_a_write_that_nobody_saw_can_be_told() -> None:
    y = torch.tensor([1.0], requires_grad=True).exp()
    increment_version(y)
    assert y._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_the_bias_of_a_linear_layer_comes_first() -> None:
    bias = torch.zeros(2, requires_grad=True)
    node = torch.nn.functional.linear(x.relu(), x.detach()[:2] + 1, bias).grad_fn
    first, second = (edge[0] for edge in node.next_functions[:2])
    assert first.variable is bias
    assert second.name() == "ReluBackward0"
    seen = []
    y = torch.nn.functional.linear(x, x.detach(), bias)
    y.grad_fn.register_hook(lambda inputs, outputs: seen.extend(None if g is None else tuple(g.shape) for g in inputs))
    y.sum().backward()
    assert seen[:2] == [(2,), (2, 3)]
    bias.grad = x.grad = None
