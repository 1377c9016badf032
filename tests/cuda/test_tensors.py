"""Tensors of a GPU as scripts use them: subscripts, numbers, views, copies, hooks, generators, factories."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import Tensor, nn
from graphc.runtime.cuda import select


def plain(value: Any) -> Any:
    """Tensors as dtypes, shapes, strides and values."""
    if isinstance(value, Tensor):
        values: Any = value.detach()
        return str(value.dtype), tuple(value.shape), values.stride(), values.tolist()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def subscripts(place: str) -> Any:
    x = graphc.arange(24.0, device=place).reshape(4, 6)
    rows = graphc.tensor([0, 2], device=place)
    mask = x > 7
    return (
        x[mask], x[mask.any(1)], x[[0, 2]], x[:, [1, 3]], x[None, ..., 2], x[1, 2], x[-1, ::2], x[rows], x[rows.cpu()],
        x[graphc.tensor([True, False, True, True])], x[rows[0]], x[[True, False, True, False], None], x[..., rows],
        x[rows.cpu()[:, None], rows], x[graphc.tensor(2)],
    )  # fmt: skip


def assignments(place: str) -> Any:
    x = graphc.arange(24.0, device=place).reshape(4, 6)
    x[x > 15] = 0
    x[0] = graphc.ones(6)  # copies come from anywhere
    x[:, 1] = 7
    x[[0, 1], [2, 3]] = graphc.tensor([5.0, 6.0], device=place)
    x[graphc.tensor([2]), 1:3] = graphc.tensor(9.5)
    x[[False, False, False, True]] = graphc.zeros(1, 6, device=place)
    x.index_put_((graphc.tensor([0, 0]),), graphc.ones(6, device=place), accumulate=True)
    y = x.t()[2:]
    y.mul_(2)
    y[0].fill_(3)
    x.masked_fill_(x == 3, -1.0)
    return x, y


def outputs(place: str) -> Any:
    x = graphc.arange(6.0, device=place).reshape(2, 3)
    out, values, places = (graphc.empty(0, device=place, dtype=dtype) for dtype in (None, None, graphc.int64))
    graphc.matmul(x, x.t(), out=out)
    graphc.max(x, 1, out=(values, places))
    turned = graphc.empty(3, 2, device=place).t()
    graphc.exp(x, out=turned)
    return out, values, places, turned


def numbers(place: str) -> Any:
    x: Any = graphc.tensor(3.5, device=place)
    n: Any = graphc.tensor(3, device=place)
    return (
        x.item(), float(x), int(x), bool(x), f"{x:.2f}", complex(x), "abcd"[n], list(range(9))[n], 3.5 in x.reshape(1),
        [each.item() for each in graphc.arange(3, device=place)], max(graphc.arange(3, device=place)).item(),
        graphc.tensor([x, n]), graphc.tensor([[1, 2]], dtype=graphc.bfloat16, device=place).tolist(),
    )  # fmt: skip


def dtypes(place: str) -> Any:
    x: Any = graphc.arange(1.0, 4.0, device=place)
    return (
        x.half() + 1, x.bfloat16() * 2, x.cfloat() * 1j, ~x.bool(), x.to(graphc.float8_e5m2).float(),
        x.to(graphc.float8_e4m3fn).view(graphc.uint8), graphc.view_as_real(x.cfloat()), x.byte() << 1, x.double().std(),
        x.to(graphc.int32) // 2, x.bfloat16().view(graphc.int16),
    )  # fmt: skip


def empty(place: str) -> Any:
    x = graphc.zeros(0, 3, device=place)
    return (
        x + 1, x.sum(0), graphc.cat([x, graphc.ones(2, 3, device=place)]), x[x > 0],
        x @ graphc.ones(3, 2, device=place),
        graphc.ones(2, 0, device=place) @ graphc.ones(0, 3, device=place), x.nonzero(), x.cpu(), x.data_ptr(),
    )  # fmt: skip


def scalars_of_the_cpu(place: str) -> Any:
    x = graphc.ones(2, 3, device=place)
    s = graphc.tensor(2.0, requires_grad=True)
    (x * s + s).sum().backward()
    assert s.grad is not None
    assert s.grad.device.type == "cpu"
    return (
        s.grad, graphc.where(x > 0, graphc.tensor(4.0), x), graphc.pow(graphc.tensor(2.0), x), x / graphc.tensor(4),
        x.masked_fill(x > 0, graphc.tensor(5.0)), graphc.lerp(x, x * 2, graphc.tensor(0.5)), 1 - x,
        x == graphc.tensor(1),
    )  # fmt: skip


def host_functions(place: str) -> Any:
    a = graphc.tensor([[2.0, 1.0], [1.0, 3.0]], device=place)
    x = graphc.tensor([3.0, 1.0, 2.0, 2.0], device=place)
    return (
        graphc.linalg.solve(a, a[0]), graphc.linalg.qr(a)[1].abs(), graphc.fft.rfft(x), x.unique(return_counts=True),
        graphc.where(x > 1), x.nonzero(), graphc.bincount(x.long()), x.kthvalue(2)[0], graphc.histc(x, 4), x.topk(2),
        graphc.combinations(x[:3]), x.repeat_interleave(graphc.tensor([1, 0, 2, 1], device=place)),
    )  # fmt: skip


def second_derivatives(place: str) -> Any:
    x = graphc.tensor([1.0, 2.0], device=place, requires_grad=True)
    functional = graphc.autograd.functional
    (first,) = graphc.autograd.grad((x**3).sum(), [x], create_graph=True)
    (second,) = graphc.autograd.grad(first.sum(), [x])
    ones = graphc.ones(2, device=place)
    return (
        second, functional.jacobian(lambda x: x**2, x), functional.hessian(lambda x: (x**3).sum(), x),
        functional.jvp(lambda x: x * 2, x, ones), functional.hvp(lambda x: (x**3).sum(), x, ones),
    )  # fmt: skip


def hooks(place: str) -> Any:
    x: Any = graphc.ones(3, device=place, requires_grad=True)
    seen: list[str] = []
    x.register_hook(lambda gradient: seen.append(gradient.device.type) or gradient * 2)
    y = x * 2
    y.retain_grad()
    with graphc.autograd.graph.saved_tensors_hooks(lambda t: t.cpu(), lambda t: t.to(place)):
        z = (y * y).sum()
    with graphc.autograd.graph.save_on_cpu(pin_memory=place == "cuda"):
        z = z + (x**3).sum()
    z.backward()
    assert set(seen) == {place}
    return x.grad, y.grad


def drawn(place: str) -> Any:
    generator = graphc.Generator(device=place)
    generator.manual_seed(3)
    state = generator.get_state()
    first = graphc.rand(3, generator=generator, device=place)
    generator.set_state(state)
    graphc.manual_seed(5)
    half = graphc.full((4,), 0.5, device=place)
    return (
        first, graphc.rand(3, generator=generator, device=place), graphc.randperm(5, device=place, dtype=graphc.int32),
        graphc.bernoulli(half), graphc.multinomial(half, 3), graphc.normal(half, half), graphc.poisson(half),
        graphc.empty(2, device=place).uniform_(), graphc.empty(2, device=place).exponential_(), graphc.randn_like(half),
        nn.functional.dropout(half), graphc.distributions.Normal(half, half).rsample(),
        graphc.distributions.Gamma(half, half).rsample(), graphc.distributions.Categorical(half).sample(),
    )  # fmt: skip


def factories(place: str) -> Any:
    made: list[Any] = []
    with graphc.device(place):
        made += [graphc.zeros(2), graphc.tensor([1.0]), graphc.eye(2), graphc.tril_indices(2, 2), graphc.as_tensor([1])]
        made += [nn.Linear(2, 2, bias=False).weight * 0, graphc.hann_window(3)]
    made += [
        graphc.kaiser_window(4, device=place), graphc.fft.fftfreq(4, device=place),
        graphc.linspace(0, 1, 3, device=place),
        graphc.logspace(0, 1, 3, device=place), graphc.full((2,), 3, device=place),
        graphc.scalar_tensor(3, device=place),
        made[0].new_tensor([1, 2]), made[0].new_full((2,), 3), graphc.ones_like(graphc.ones(2), device=place),
        graphc.vander(made[0]), graphc.asarray([1], device=place), made[0].new([1.0, 2.0]), made[0].new_zeros(3),
    ]  # fmt: skip
    assert {each.device.type for each in made} == {place}
    return made


def packed(place: str) -> Any:
    graphc.manual_seed(0)
    network: Any = nn.LSTM(2, 3, batch_first=True).to(place)
    x = graphc.arange(12.0).reshape(2, 3, 2).to(place) / 10
    lengths = graphc.tensor([2, 3])
    sequence = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    found, counts = nn.utils.rnn.pad_packed_sequence(network(sequence)[0], batch_first=True)
    assert found.device.type == place
    assert counts.device.type == "cpu"
    return found, counts, nn.utils.rnn.pad_sequence([x[0], x[1, :1]])


USES: list[Callable[[str], Any]] = [
    subscripts, assignments, outputs, numbers, dtypes, empty, scalars_of_the_cpu, host_functions, second_derivatives,
    hooks, drawn, factories, packed,
]  # fmt: skip


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_a_gpu_gives_what_the_cpu_gives(use: Callable[[str], Any]) -> None:
    assert plain(use("cuda")) == plain(use("cpu"))


def test_gradients_are_checked_by_differences() -> None:
    x = graphc.arange(1.0, 3.0, dtype=graphc.float64, device="cuda").requires_grad_()
    assert graphc.autograd.gradcheck(lambda x: x.sin() * x, [x])
    assert graphc.autograd.gradgradcheck(lambda x: x.exp(), [x])


def test_copies_and_pickles_stay_on_their_gpu() -> None:
    x = graphc.arange(6.0, device="cuda:1").reshape(2, 3)
    for found in (copy.copy(x.t()), copy.deepcopy(x.t()), pickle.loads(pickle.dumps(x.t()))):
        assert str(found.device) == "cuda:1"
        assert plain(found) == plain(x.t())


def test_the_layout_of_memory_goes_along() -> None:
    x: Any = graphc.arange(6.0).reshape(2, 3).t()
    assert x.cuda().stride() == (1, 3) == x.cuda().cpu().stride()
    images: Any = graphc.zeros(2, 3, 4, 4).to(memory_format=graphc.channels_last)
    assert images.cuda().is_contiguous(memory_format=graphc.channels_last)


def test_texts_name_the_device() -> None:
    x: Any = graphc.tensor([1.5, 2.0], device="cuda")
    assert repr(x) == "tensor([1.5000, 2.0000], device='cuda:0')"
    assert (
        repr(nn.Parameter(x)) == "Parameter containing:\ntensor([1.5000, 2.0000], device='cuda:0', requires_grad=True)"
    )
    assert repr(graphc.zeros(2, 0, device="cuda:1")) == "tensor([], device='cuda:1', size=(2, 0))"
    assert (x.type(), x.long().type(), x.cpu().type()) == (
        "torch.cuda.FloatTensor",
        "torch.cuda.LongTensor",
        "torch.FloatTensor",
    )


def test_types_of_tensors_make_and_name_those_of_a_gpu() -> None:
    kind: Any = graphc.cuda.FloatTensor  # type: ignore[attr-defined]  # made when asked for
    x: Any = graphc.ones(2)
    assert kind([1, 2]).is_cuda
    assert isinstance(x.cuda(), kind)
    assert not isinstance(x, kind)
    assert not isinstance(x.cuda(), graphc.FloatTensor)  # type: ignore[attr-defined]  # put there by name
    assert x.type(kind).is_cuda
    assert x.type("torch.cuda.DoubleTensor").dtype is graphc.float64
    assert not x.cuda().type("torch.FloatTensor").is_cuda
    assert x.type_as(x.cuda()).is_cuda


def test_storages_know_their_device() -> None:
    x: Any = graphc.arange(3.0, device="cuda:1")
    storage = x.untyped_storage()
    assert (str(storage.device), storage.is_cuda, storage.get_device(), storage.nbytes()) == ("cuda:1", True, 1, 12)
    assert (storage.cpu().device.type, storage.cuda(0).get_device(), storage.clone().get_device()) == ("cpu", 0, 1)
    assert x.storage().tolist() == [0.0, 1.0, 2.0]
    assert x.is_shared()
    assert x.share_memory_() is x
    with pytest.raises(RuntimeError, match="Attempted to set the storage of a tensor on device"):
        graphc.zeros(3).set_(x)


def test_memory_of_other_libraries_is_taken_by_its_address() -> None:
    x: Any = graphc.arange(6.0, device="cuda").reshape(2, 3)

    class Other:
        __cuda_array_interface__ = x.t().__cuda_array_interface__

    found: Any = graphc.as_tensor(Other())
    x[0, 1] = 9
    assert found.tolist() == [[0, 3], [9, 4], [2, 5]]
    assert x.__dlpack_device__() == (2, 0)


def test_streams_and_events_order_work() -> None:
    stream: Any = graphc.cuda.Stream()
    with graphc.cuda.stream(stream):
        x: Any = graphc.ones(3, device="cuda") * 2
        done = graphc.cuda.Event()
        done.record()
    graphc.cuda.current_stream().wait_event(done)
    x.record_stream(stream)
    assert x.tolist() == [2.0] * 3
    with pytest.raises(RuntimeError, match="record_stream is for tensors of a GPU"):
        graphc.ones(1).record_stream(stream)  # type: ignore[attr-defined]  # a method
    x.record_stream(graphc.cuda.Stream(device="cuda:1"))
    del x
    assert graphc.zeros(3, device="cuda").tolist() == [0.0] * 3


def test_seeds_and_states_of_gpus() -> None:
    graphc.manual_seed(5)
    first = graphc.rand(2, device="cuda")
    graphc.cuda.manual_seed(5)
    state = graphc.cuda.get_rng_state()
    assert graphc.equal(graphc.rand(2, device="cuda"), first)
    with graphc.random.fork_rng():
        graphc.cuda.set_rng_state(state)
        assert graphc.equal(nn.functional.dropout(first), nn.functional.dropout(first)) is False
    assert not graphc.equal(graphc.rand(2, device="cuda"), first)
    graphc.seed()
    assert graphc.cuda.initial_seed() == graphc.initial_seed()


def test_modules_move_with_gradients_and_buffers() -> None:
    model: Any = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = model[0].weight
    weight.grad = graphc.ones(2, 2)
    model.cuda()
    assert weight is model[0].weight
    assert {str(each.device) for each in (*model.state_dict().values(), weight.grad)} == {"cuda:0"}
    other: Any = nn.Linear(2, 2)
    other.load_state_dict(model[0].state_dict())
    assert other.weight.tolist() == weight.tolist()
    assert not other.weight.is_cuda
    model.to("cuda:1", graphc.float64).cpu()
    assert weight.dtype is graphc.float64
    assert not weight.is_cuda


def test_the_accelerator_is_the_gpu() -> None:
    accelerator = graphc.accelerator
    assert accelerator.is_available()
    assert str(accelerator.current_accelerator()) == "cuda"
    assert accelerator.device_count() == 2
    accelerator.set_device_index(1)
    assert accelerator.current_device_index() == 1
    assert str(graphc.zeros(1, device=accelerator.current_accelerator()).device) == "cuda:1"
    accelerator.synchronize()


def test_numpy_gets_copies_only_when_asked() -> None:
    x: Any = graphc.arange(3.0, device="cuda")
    for touch in (x.numpy, lambda: np.asarray(x), lambda: np.add(x, 1)):
        with pytest.raises(TypeError, match=r"can't convert cuda:0 device type tensor to numpy\. Use Tensor\.cpu\(\)"):
            touch()
    assert x.numpy(force=True).tolist() == [0.0, 1.0, 2.0]


def test_pinned_memory_is_copied_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator: Any = select.driver()
    waits: list[int] = []
    plain = emulator.synchronize_stream
    monkeypatch.setattr(emulator, "synchronize_stream", lambda stream: waits.append(stream) or plain(stream))
    x: Any = graphc.arange(20.0)
    pinned = x.pin_memory()
    target: Any = graphc.empty(20, device="cuda")
    turned = pinned.reshape(4, 5).t()
    waits.clear()
    found = [
        pinned.to("cuda", non_blocking=True), pinned.cuda(non_blocking=True), target.copy_(pinned, non_blocking=True),
        turned.to("cuda", non_blocking=True).t().reshape(20),
    ]  # fmt: skip
    assert waits == []
    assert all(each.tolist() == x.tolist() for each in found)
    for wait in (lambda: pinned.cuda(), lambda: x.to("cuda", non_blocking=True), lambda: target.copy_(x)):
        waits.clear()
        wait()
        assert waits != []
    assert target.to("cpu", non_blocking=True).tolist() == x.tolist()
