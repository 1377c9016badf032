"""Tensors of other dtypes, as Python's numbers and lists, copied and pickled; subclasses; attributes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

import graphc as torch
from graphc import Tensor

X = torch.tensor([1.5, -1.5, 300.0, -1.0])

CONVERSIONS: list[tuple[Callable[[], Tensor], torch.dtype, list[object]]] = [
    (lambda: X.to(torch.float64), torch.float64, [1.5, -1.5, 300.0, -1.0]),
    (lambda: X.to("cpu", torch.int32), torch.int32, [1, -1, 300, -1]),
    (lambda: X.to(dtype=torch.int16), torch.int16, [1, -1, 300, -1]),
    (lambda: X.to(torch.ones(1, dtype=torch.int64)), torch.int64, [1, -1, 300, -1]),
    (lambda: X.to(int), torch.int64, [1, -1, 300, -1]),
    (lambda: X.byte(), torch.uint8, [1, 255, 44, 255]),
    (lambda: X.char(), torch.int8, [1, -1, 44, -1]),
    (lambda: X.short(), torch.int16, [1, -1, 300, -1]),
    (lambda: X.bool(), torch.bool, [True, True, True, True]),
    (lambda: X.half(), torch.float16, [1.5, -1.5, 300.0, -1.0]),
    (lambda: X.bfloat16(), torch.bfloat16, [1.5, -1.5, 300.0, -1.0]),
    (lambda: X.cfloat(), torch.complex64, [1.5 + 0j, -1.5 + 0j, 300 + 0j, -1 + 0j]),
    (lambda: X.type(torch.float64), torch.float64, [1.5, -1.5, 300.0, -1.0]),
    (lambda: X.type("torch.IntTensor"), torch.int32, [1, -1, 300, -1]),
    (lambda: X.type(torch.DoubleTensor), torch.float64, [1.5, -1.5, 300.0, -1.0]),
    (lambda: X.type_as(torch.tensor([1])), torch.int64, [1, -1, 300, -1]),
    (lambda: torch.tensor([float("nan"), float("inf")]).int(), torch.int32, [-(2**31), -(2**31)]),
    (lambda: torch.tensor([1e20]).long(), torch.int64, [-(2**63)]),
    (lambda: torch.tensor([1 + 2j, 2j]).bool(), torch.bool, [True, True]),
]


@pytest.mark.parametrize("case", CONVERSIONS, ids=range(len(CONVERSIONS)))
def test_conversions(case: tuple[Callable[[], Tensor], torch.dtype, list[object]]) -> None:
    convert, dtype, values = case
    found = convert()
    assert found.dtype is dtype
    assert found.tolist() == values


def test_nothing_to_change_gives_the_tensor_itself() -> None:
    x = torch.ones(2, 3)
    for same in (x.to(), x.to(None), x.to("cpu"), x.to(torch.float32), x.to(x), x.float(), x.cpu(), x.type_as(x)):
        assert same is x
    assert x.type(torch.FloatTensor) is x
    copied = x.to(torch.float32, copy=True)
    assert copied is not x
    assert copied.data_ptr() != x.data_ptr()


def test_memory_orders_of_conversions() -> None:
    x = torch.ones(2, 3).t()
    assert x.to(torch.float64).stride() == (1, 3)
    assert x.to(torch.float64, memory_format=torch.contiguous_format).stride() == (2, 1)
    assert torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last).stride() == (60, 1, 15, 3)
    assert torch.ones(1, 3).expand(2, 3).double().stride() == (3, 1)


def test_gradients_flow_back_in_the_old_dtype() -> None:
    x = torch.ones(2, dtype=torch.float16, requires_grad=True)
    y = x.double()
    assert type(y.grad_fn).__name__ == "ToCopyBackward0"
    (y * 3).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype is torch.float16
    assert x.grad.tolist() == [3.0, 3.0]
    assert not x.long().requires_grad


def test_imaginary_parts_are_dropped_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="Casting complex values to real discards the imaginary part"):
        assert torch.tensor([1 + 2j]).float().tolist() == [1.0]


def test_names_of_types() -> None:
    assert torch.ones(1).type() == "torch.FloatTensor"
    assert torch.ones(1, dtype=torch.bfloat16).type() == "torch.BFloat16Tensor"
    assert torch.typename(torch.ones(1, dtype=torch.int64)) == "torch.LongTensor"
    assert torch.typename(3) == "int"


def test_python_numbers_are_exact() -> None:
    assert torch.tensor(1.1).item() == 1.100000023841858
    assert torch.tensor(1.1, dtype=torch.bfloat16).item() == 1.1015625
    assert torch.tensor([1.1], dtype=torch.float16).tolist() == [1.099609375]
    assert torch.tensor(True).item() is True
    assert torch.tensor([[3]]).item() == 3
    assert torch.zeros(2, 0).tolist() == [[], []]
    assert int(torch.tensor([2.7])) == 2
    assert complex(torch.tensor(1)) == 1
    assert float(torch.tensor(2 + 0j)) == 2.0
    assert [10, 20, 30][torch.tensor(1)] == 20
    assert bytes(torch.tensor([1, 2], dtype=torch.uint8)) == b"\x01\x02"
    assert f"{torch.tensor(1.5):.2f} {torch.tensor(3):4d}" == "1.50    3"
    assert f"{torch.tensor([1.5])}" == "tensor([1.5000])"


def test_tensors_as_collections() -> None:
    x = torch.tensor([[1, 2], [3, 4]])
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert [row.tolist() for row in reversed(x)] == [[3, 4], [1, 2]]
    assert len(x) == 2
    assert 3 in x
    assert torch.tensor(7) not in x
    first = next(iter(x))
    first.zero_()
    assert x.tolist() == [[0, 0], [3, 4]]


def test_deepcopy_copies_leaves_and_keeps_shared_memory_shared() -> None:
    x = torch.arange(6.0)
    x.requires_grad_(True)
    (x * 2).sum().backward()
    view = x.detach()[2:4]
    y, part, again = copy.deepcopy([x, view, x])
    assert again is y
    assert y.requires_grad
    assert y.grad.tolist() == [2.0] * 6
    part[0] = 9
    assert y[2].item() == 9
    assert x[2].item() == 2
    assert copy.deepcopy(torch.ones(2, 3).t()).stride() == (1, 3)
    with pytest.raises(RuntimeError, match=r"^Only Tensors created explicitly by the user \(graph leaves\) support"):
        copy.deepcopy(x * 2)


def test_copy_shares_memory() -> None:
    x = torch.ones(2, requires_grad=True)
    y = copy.copy(x * 2)
    assert y.requires_grad
    assert y.is_leaf
    z = torch.ones(2)
    copy.copy(z)[0] = 5
    assert z.tolist() == [5.0, 1.0]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(protocol: int) -> None:
    base = torch.arange(6.0)
    tensors = {
        "leaf": torch.tensor([1.0, 2.0], requires_grad=True),
        "base": base,
        "view": base[1::2],
        "transposed": torch.ones(2, 3, dtype=torch.bfloat16).t(),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(3),
    }
    loaded = pickle.loads(pickle.dumps(tensors, protocol))
    for name, tensor in tensors.items():
        found = loaded[name]
        assert type(found) is Tensor
        assert torch.equal(found, tensor)
        assert found.dtype is tensor.dtype
        assert found.stride() == tensor.stride()
        assert found.requires_grad == tensor.requires_grad
    loaded["view"][0] = 99
    assert loaded["base"][1].item() == 99
    assert base[1].item() == 1


class Tagged(Tensor):
    """A subclass with a field."""

    tag: str


class Plain(Tensor):
    """A subclass whose operations give plain tensors."""

    from graphc.eager.subclass import disabled_torch_function as __torch_function__


class Logged(Tensor):
    """A subclass that counts calls."""

    calls: list[str] = []  # noqa: RUF012  # one list for the class is what the test reads

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        cls.calls.append(function.__name__)
        return super().__torch_function__(function, types, args, kwargs)


def test_subclasses_keep_their_class() -> None:
    x = torch.ones(2, requires_grad=True)
    tagged = x.as_subclass(Tagged)
    assert type(tagged.grad_fn).__name__ == "AliasBackward0"
    for result in (tagged + 1, 1 + tagged, torch.sin(tagged), tagged[0], tagged.detach(), tagged.data, tagged.clone()):
        assert type(result) is Tagged
    assert all(type(part) is Tagged for part in tagged.unbind(0))
    assert type(torch.stack([tagged, tagged])) is Tagged
    assert type(tagged.tolist()) is list
    (tagged * 3).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 3.0]
    assert repr(Tagged([1, 2])) == "Tagged([1., 2.])"


def test_subclasses_are_made_copied_and_pickled() -> None:
    made = Tensor._make_subclass(Tagged, torch.ones(2), True)
    made.tag = "a"
    assert made.is_leaf
    assert made.requires_grad
    for other in (copy.deepcopy(made), copy.copy(made), pickle.loads(pickle.dumps(made))):
        assert type(other) is Tagged
        assert other.tag == "a"
        assert other.tolist() == [1.0, 1.0]
    assert type(torch.ones(1).as_subclass(Plain) * 2) is Tensor
    with pytest.raises(TypeError, match=r"^Creating a Tensor subclass from a class that does not inherit from Tensor"):
        torch.ones(1).as_subclass(int)


def test_torch_function_sees_calls() -> None:
    Logged.calls.clear()
    logged = torch.ones(2).as_subclass(Logged)
    assert type(logged.sum()) is Logged
    torch.sin(logged)
    assert Logged.calls == ["sum", "sin"]


def test_the_order_of_dimensions_may_be_ambiguous() -> None:
    one = torch.ones(1, 2, 3, 4)
    both = [torch.contiguous_format, torch.channels_last]
    assert one.dim_order() == one.dim_order(ambiguity_check=both) == (0, 1, 2, 3)
    assert one.to(memory_format=torch.channels_last).dim_order(ambiguity_check=both) == (0, 2, 3, 1)
    assert torch.ones(2, 3, 4).permute(2, 0, 1).dim_order(ambiguity_check=True) == (1, 2, 0)
    assert torch.ones(4, 1, 3).permute(2, 0, 1).dim_order() == (1, 2, 0)
    for x, check in ((one, True), (one, []), (torch.ones(1, 1, 3, 4), both), (torch.ones(1).expand(3, 4), True)):
        with pytest.raises(RuntimeError, match=r"^The tensor does not have unique dim order, or cannot map to exact"):
            x.dim_order(ambiguity_check=check)
    with pytest.raises(TypeError, match=r"^The ambiguity_check argument must be a bool or a list of memory formats.$"):
        one.dim_order(ambiguity_check="channels_last")


def test_attributes_of_dense_tensors() -> None:
    x = torch.ones(2, 3)
    assert str(x.device) == "cpu"
    assert x.layout is torch.strided
    assert x.is_cpu
    for name in ("is_cuda", "is_sparse", "is_quantized", "is_meta", "is_nested", "is_mps"):
        assert getattr(x, name) is False
    for name in ("is_pinned", "is_conj", "is_neg", "is_inference"):
        assert getattr(x, name)() is False
    assert x.get_device() == -1
    assert x.t().dim_order() == (1, 0)
    assert x.name is None
    assert x.element_size() == 4
    assert not hasattr(x, "__cuda_array_interface__")
    assert "volatile" not in dir(x)
    assert {"shape", "backward", "T", "add_"} <= set(dir(x))
    with pytest.warns(UserWarning, match=r"The use of `x.T` on tensors of dimension other than 2"):
        assert torch.ones(3).T.shape == (3,)


def test_texts_of_storages() -> None:
    x = torch.tensor([1, 2], dtype=torch.int16)
    assert repr(x.storage()) == " 1\n 2\n[torch.storage.TypedStorage(dtype=torch.int16, device=cpu) of size 2]"
    assert repr(x.untyped_storage()) == " 1\n 0\n 2\n 0\n[torch.storage.UntypedStorage(device=cpu) of size 4]"


def test_parts_of_complex_numbers_can_be_written() -> None:
    z = torch.zeros(2, dtype=torch.complex64)
    z.real = torch.tensor([1.0, 2.0])
    z.imag = torch.tensor([3.0, 4.0])
    assert z.tolist() == [1 + 3j, 2 + 4j]


def test_questions_about_any_object() -> None:
    x = torch.ones(2)
    assert torch.is_tensor(x)
    assert not torch.is_tensor([1])
    assert torch.is_storage(x.storage())
    assert torch.is_floating_point(x)
    assert not torch.is_complex(x)
    assert torch.numel(x) == 2
    assert torch.is_nonzero(torch.tensor([1]))


REFUSALS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: X.to("cuda"), AssertionError, "Torch not compiled with CUDA enabled"),
    (lambda: X.cuda(), AssertionError, "Torch not compiled with CUDA enabled"),
    (lambda: X.to("float32"), RuntimeError, "Invalid device string: 'float32'"),
    (lambda: X.type("DoubleTensor"), ValueError, "invalid type: 'DoubleTensor'"),
    (lambda: X.type(3), TypeError, "dtype must be a type, str, or dtype object"),
    (
        lambda: X.to(memory_format=torch.channels_last),
        RuntimeError,
        "required rank 4 tensor to use channels_last format",
    ),
    (lambda: X.item(), RuntimeError, "a Tensor with 4 elements cannot be converted to Scalar"),
    (lambda: float(X), ValueError, "only one element tensors can be converted to Python scalars"),
    (lambda: bool(torch.tensor([])), RuntimeError, "Boolean value of Tensor with no values is ambiguous"),
    (lambda: bool(X), RuntimeError, "Boolean value of Tensor with more than one value is ambiguous"),
    (lambda: float(torch.tensor(1j)), RuntimeError, "value cannot be converted to type double without overflow"),
    (lambda: [1][X], TypeError, "only integer tensors of a single element can be converted to an index"),  # type: ignore[call-overload]
    (lambda: iter(torch.tensor(1)), TypeError, "iteration over a 0-d tensor"),
    (lambda: len(torch.tensor(1)), TypeError, "len() of a 0-d tensor"),
    (lambda: f"{X:.2f}", TypeError, "unsupported format string passed to Tensor.__format__"),
    (
        lambda: "a" in X,
        RuntimeError,
        "Tensor.__contains__ only supports Tensor or scalar, but you passed in a <class 'str'>.",
    ),
    (lambda: torch.numel(3), TypeError, "numel(): argument 'input' (position 1) must be Tensor, not int"),
    (lambda: X.is_coalesced(), RuntimeError, "is_coalesced expected sparse coordinate tensor layout but got Strided"),
]


@pytest.mark.parametrize("case", REFUSALS, ids=range(len(REFUSALS)))
def test_refusals(case: tuple[Callable[[], object], type[Exception], str]) -> None:
    call, kind, text = case
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
