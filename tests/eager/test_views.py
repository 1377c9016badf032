"""Views: where their elements lie, whose memory they use, and what they refuse."""

import numpy as np
import pytest

import graphc as torch


def x():
    return torch.arange(24.0).reshape(4, 6)


# (view, shape, strides, offset, what made it)
VIEWS = [
    (lambda x: x.view(-1), (24,), (1,), 0, "View"),
    (lambda x: x.view(2, 2, 6), (2, 2, 6), (12, 6, 1), 0, "View"),
    (lambda x: x.view(4, 6), (4, 6), (6, 1), 0, "View"),
    (lambda x: x.view(size=(8, 3)), (8, 3), (3, 1), 0, "View"),
    (lambda x: x.view(24)[::2].view(3, 4), (3, 4), (8, 2), 0, "View"),
    (lambda x: x.reshape(24), (24,), (1,), 0, "View"),
    (lambda x: x[:, 1].reshape(2, 2), (2, 2), (12, 6), 1, "ReshapeAlias"),
    (lambda x: x.flatten(), (24,), (1,), 0, "View"),
    (lambda x: x.t().ravel(), (24,), (1,), 0, "View"),
    (lambda x: x.unflatten(1, (2, 3)), (4, 2, 3), (6, 3, 1), 0, "View"),
    (lambda x: x.expand(2, 4, 6), (2, 4, 6), (0, 6, 1), 0, "Expand"),
    (lambda x: x.t().expand(1, 6, 4), (1, 6, 4), (6, 1, 6), 0, "Expand"),
    (lambda x: x[:, :1].expand(-1, 3), (4, 3), (6, 0), 0, "Expand"),
    (lambda x: x.broadcast_to(1, 1, 4, 6), (1, 1, 4, 6), (24, 24, 6, 1), 0, "Expand"),
    (lambda x: x.unsqueeze(1), (4, 1, 6), (6, 6, 1), 0, "Unsqueeze"),
    (lambda x: x.t().unsqueeze(1), (6, 1, 4), (1, 24, 6), 0, "Unsqueeze"),
    (lambda x: x.t().unsqueeze(2), (6, 4, 1), (1, 6, 1), 0, "Unsqueeze"),
    (lambda x: x[:1].squeeze(0), (6,), (1,), 0, "Squeeze"),
    (lambda x: x[:1].squeeze((0, 1)), (6,), (1,), 0, "Squeeze"),
    (lambda x: x.t(), (6, 4), (1, 6), 0, "T"),
    (lambda x: x[0].t(), (6,), (1,), 0, "T"),
    (lambda x: x.T, (6, 4), (1, 6), 0, "Permute"),
    (lambda x: x.mT, (6, 4), (1, 6), 0, "Transpose"),
    (lambda x: x.mH, (6, 4), (1, 6), 0, "Transpose"),
    (lambda x: x.movedim(0, 1), (6, 4), (1, 6), 0, "Permute"),
    (lambda x: x.swapaxes(0, 1), (6, 4), (1, 6), 0, "Transpose"),
    (lambda x: x.narrow(0, 1, 2), (2, 6), (6, 1), 6, "Slice"),
    (lambda x: x.narrow(1, 6, 0), (4, 0), (6, 1), 6, "Slice"),
    (lambda x: x.select(1, 3), (4,), (6,), 3, "Select"),
    (lambda x: x.unfold(1, 3, 2), (4, 2, 3), (6, 2, 1), 0, "Unfold"),
    (lambda x: x.diagonal(1), (4,), (7,), 1, "Diagonal"),
    (lambda x: x.t().diagonal(2), (2,), (7,), 12, "Diagonal"),
    (lambda x: x.split(3)[1], (1, 6), (6, 1), 18, "Split"),
    (lambda x: x.split([1, 3])[1], (3, 6), (6, 1), 6, "SplitWithSizes"),
    (lambda x: x.chunk(2, 1)[1], (4, 3), (6, 1), 3, "Split"),
    (lambda x: x.tensor_split(3)[1], (1, 6), (6, 1), 12, "Slice"),
    (lambda x: x.hsplit(2)[1], (4, 3), (6, 1), 3, "Slice"),
    (lambda x: x.unbind(1)[5], (4,), (6,), 5, "Unbind"),
    (lambda x: torch.atleast_3d(x), (4, 6, 1), (6, 1, 1), 0, "Unsqueeze"),
    (lambda x: x.as_strided((2, 2), (1, 2), 3), (2, 2), (1, 2), 3, "AsStrided"),
    (lambda x: torch.meshgrid(x[0], x[1], indexing="ij")[1], (6, 6), (0, 1), 6, "Expand"),
]


@pytest.mark.parametrize("case", range(len(VIEWS)))
def test_a_view_lies_in_the_memory_of_its_base(case):
    make, shape, strides, offset, operation = VIEWS[case]
    base = x()
    view = make(base)
    assert (tuple(view.shape), view.stride(), view.storage_offset()) == (shape, strides, offset)
    assert view._is_view()
    recorded = make(base.clone().requires_grad_() * 1).grad_fn.name()
    assert recorded.startswith(f"{operation}Backward")


@pytest.mark.parametrize("case", range(len(VIEWS)))
def test_the_gradient_of_a_view_counts_how_often_it_shows_an_element(case):
    make = VIEWS[case][0]
    leaf = x().requires_grad_()
    view = make(leaf)
    weights = torch.arange(1.0, view.numel() + 1).reshape(view.shape)
    view.backward(weights)
    expected = np.zeros(24)
    np.add.at(expected, make(x()).numpy().astype(int).reshape(-1), weights.numpy().reshape(-1))
    assert leaf.grad.reshape(-1).tolist() == expected.tolist()


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.flatten(0, 0),
        lambda x: torch.atleast_2d(x),
        lambda x: x.contiguous(),
        lambda x: x.float(),
        lambda x: x.real,
        lambda x: x.conj(),
        lambda x: +x,
        lambda x: torch.broadcast_tensors(x, x[0])[0],
    ],
)
def test_what_changes_nothing_gives_the_tensor_itself(make):
    tensor = x()
    assert make(tensor) is tensor


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda x: x.t().view(24),
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead.",
        ),
        (
            lambda x: x.as_strided((30,), (1,)),
            "setStorage: sizes [30], strides [1], storage offset 0, and itemsize 4 requiring a storage size of 120 are "
            "out of bounds for storage of size 96",
        ),
        (lambda x: x.as_strided((2,), (1, 1)), "mismatch in length of strides and shape"),
        (
            lambda x: x.as_strided((2,), (-1,)),
            "as_strided: Negative strides are not supported at the moment, got strides: [-1]",
        ),
        (lambda x: x.unfold(0, 5, 1), "maximum size for tensor at dimension 0 is 4 but size is 5"),
        (lambda x: x.unfold(0, 1, 0), "step is 0 but must be > 0"),
        (
            lambda x: x[:, 0].view(torch.uint8),
            "self.stride(-1) must be 1 to view Float as Byte (different element sizes), but got 6",
        ),
        (
            lambda x: x[:, :3].view(torch.float64),
            "self.size(-1) must be divisible by 2 to view Float as Double (different element sizes), but got 3",
        ),
        (lambda x: x.imag, "imag is not implemented for tensors with non-complex dtypes."),
        (
            lambda x: x.contiguous(memory_format=torch.channels_last),
            "required rank 4 tensor to use channels_last format",
        ),
        (lambda x: x.requires_grad_().resize_(2), "cannot resize variables that require grad"),
    ],
)
def test_a_view_without_strides_is_refused(make, text):
    with pytest.raises(RuntimeError) as caught:
        make(x())
    assert str(caught.value) == text


def test_bytes_are_read_as_another_dtype():
    ones = torch.ones(2, 2)
    assert ones.view(torch.int32).tolist() == [[1065353216] * 2] * 2
    assert ones.view(torch.uint8).shape == (2, 8)
    assert ones.view(torch.float64).shape == (2, 1)
    ones.view(torch.int32)[0, 0] = 0
    assert ones.tolist() == [[0.0, 1.0], [1.0, 1.0]]


def test_parts_of_complex_numbers_share_their_memory():
    z = torch.tensor([1 + 2j, 3 + 4j])
    z.real.mul_(10)
    z.imag[1] = 0
    assert z.tolist() == [10 + 2j, 30 + 0j]
    pairs = torch.view_as_real(z)
    pairs[0, 1] = 7
    assert z.tolist() == [10 + 7j, 30 + 0j]
    assert (z.imag.stride(), z.imag.storage_offset()) == ((2,), 1)
    assert torch.view_as_complex(pairs).tolist() == z.tolist()


@pytest.mark.parametrize("part", ["real", "imag"])
def test_a_write_to_a_part_of_complex_numbers_has_a_gradient(part):
    leaf = torch.tensor([1 + 2j, 3 + 4j], requires_grad=True)
    z = leaf * 1
    getattr(z, part).mul_(3)
    (z.real.sum() + z.imag.sum()).backward()
    assert leaf.grad.tolist() == [3 + 1j if part == "real" else 1 + 3j] * 2


@pytest.mark.parametrize(
    ("look", "to_leaf"),
    [
        (lambda z: z[:1], [0j, 1 + 1j]),
        (lambda z: z.real, [1j, 1j]),
        (lambda z: torch.view_as_real(z)[0], [0j, 1 + 1j]),
    ],
)
def test_real_numbers_written_to_a_view_of_complex_ones_have_a_gradient(look, to_leaf):
    leaf = torch.tensor([1 + 2j, 3 + 4j], requires_grad=True)
    value = torch.tensor([5.0], requires_grad=True)
    z = leaf * 1
    view = look(z)
    view.copy_(value)
    (z.real.sum() + z.imag.sum()).backward()
    assert leaf.grad.tolist() == to_leaf
    assert value.grad.tolist() == [float(view.numel())]


def test_a_storage_knows_its_memory():
    tensor = x()
    storage = tensor[1:].untyped_storage()
    assert (storage.nbytes(), len(storage), storage.data_ptr()) == (96, 96, tensor.data_ptr())
    assert tensor.storage().tolist() == list(range(24))
    assert tensor[1:].data_ptr() == tensor.data_ptr() + 24
    assert tensor.is_set_to(tensor.view(4, 6))
    assert not tensor.is_set_to(tensor[0])


def test_resizing_keeps_the_memory_where_it_is_enough():
    tensor = x()
    row = tensor[0]
    tensor.resize_(2, 2)
    assert tensor.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert tensor.untyped_storage().nbytes() == 96
    assert row.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    tensor.resize_(10, 5)
    assert tensor.reshape(-1)[:24].tolist() == list(range(24))
    assert tensor.resize_as_(torch.ones(3)).tolist() == [0.0, 1.0, 2.0]


def test_set_takes_the_memory_of_another():
    a, b = torch.zeros(2), x()
    a.set_(b)
    a[0, 0] = 9
    assert b[0, 0].item() == 9
    a.set_(b.untyped_storage(), 1, (2,), (2,))
    assert a.tolist() == [1.0, 3.0]
    assert a.set_().shape == (0,)


@pytest.mark.parametrize(
    ("change", "shape", "strides", "name"),
    [
        (lambda y: y.t_(), (6, 4), (1, 6), "TBackward1"),
        (lambda y: y.transpose_(0, 1), (6, 4), (1, 6), "TransposeBackward1"),
        (lambda y: y.unsqueeze_(0), (1, 4, 6), (24, 6, 1), "UnsqueezeBackward1"),
        (lambda y: y.squeeze_(), (4, 6), (6, 1), "SqueezeBackward3"),
        (lambda y: y.as_strided_((2, 2), (1, 1)), (2, 2), (1, 1), "AsStridedBackward1"),
    ],
)
def test_a_tensor_may_be_looked_at_in_another_way(change, shape, strides, name):
    leaf = x().requires_grad_()
    y = leaf * 2
    assert change(y) is y
    assert (tuple(y.shape), y.stride(), y.grad_fn.name()) == (shape, strides, name)
    y.sum().backward()
    assert leaf.grad.sum().item() == 2 * y.numel()


def test_copies_keep_the_order_of_memory_or_get_the_one_asked_for():
    image = torch.zeros(2, 3, 4, 5)
    last = image.contiguous(memory_format=torch.channels_last)
    assert last.stride() == (60, 1, 15, 3)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    assert last.clone().stride() == (60, 1, 15, 3)
    assert image.clone(memory_format=torch.channels_last).stride() == (60, 1, 15, 3)
    assert x().t().clone().stride() == (1, 6)
    assert x().t().clone(memory_format=torch.contiguous_format).stride() == (4, 1)
    assert x()[::2, ::3].clone().stride() == (2, 1)
    assert torch.ones(2, 3).t().expand(4, 3, 2).clone().stride() == (6, 1, 3)


def test_the_elements_of_a_vector_are_views():
    vector = torch.arange(3.0)
    vector.unbind()[1].add_(5)
    for element in vector:
        element.mul_(2)
    assert vector.tolist() == [0.0, 12.0, 4.0]


def test_many_views_of_one_call_share_few_plans():
    leaf = torch.ones(40, 2, requires_grad=True)
    rows = leaf.unbind()
    sum(row.sum() * i for i, row in enumerate(rows)).backward()
    assert {row.grad_fn.name() for row in rows} == {"UnbindBackward0"}
    assert leaf.grad[:, 1].tolist() == [float(i) for i in range(40)]
