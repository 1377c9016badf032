"""Files and batches with tensors of GPUs: locations, checkpoints, pinned memory, worker processes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import pytest

import graphc
from graphc import nn, serialization
from graphc.ir.settings import override
from graphc.utils.data import DataLoader, TensorDataset

FORMATS: tuple[Literal["safetensors", "torch"], ...] = ("safetensors", "torch")


@pytest.mark.parametrize("format", FORMATS)
def test_tensors_return_to_their_gpus_and_share_memory_again(format: Any) -> None:
    x: Any = graphc.arange(6.0, device="cuda:1").reshape(2, 3)
    file = io.BytesIO()
    graphc.save({"x": x, "part": x.t()[1:], "weight": nn.Parameter(x), "cpu": graphc.ones(2)}, file, format=format)
    file.seek(0)
    found = graphc.load(file)
    assert [str(each.device) for each in found.values()] == ["cuda:1", "cuda:1", "cuda:1", "cpu"]
    found["x"].add_(1)
    assert found["part"].tolist() == (x.t()[1:] + 1).tolist()
    assert isinstance(found["weight"], nn.Parameter)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("map_location", "device"),
    [
        ("cpu", "cpu"),
        (graphc.device("cuda"), "cuda:0"),
        ({"cuda:1": "cuda:0"}, "cuda:0"),
        ({"cuda:0": "cpu"}, "cuda:1"),
        (lambda storage, location: storage, "cpu"),
        (lambda storage, location: storage.cuda(0) if location == "cuda:1" else storage, "cuda:0"),
        (lambda storage, location: None, "cuda:1"),
    ],
    ids=["cpu", "device", "dict", "other", "as read", "moved", "default"],
)
def test_map_location_says_where_tensors_go(format: Any, map_location: Any, device: str) -> None:
    file = io.BytesIO()
    graphc.save([graphc.arange(3.0, device="cuda:1")], file, format=format)
    file.seek(0)
    (found,) = graphc.load(file, map_location=map_location)
    assert str(found.device) == device
    assert found.tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("format", FORMATS)
def test_files_of_gpus_that_are_not_here(format: Any) -> None:
    file = io.BytesIO()
    graphc.save([graphc.arange(3.0, device="cuda:1")], file, format=format)
    file.seek(0)
    with pytest.raises(RuntimeError, match=r"object on CUDA device 7 but torch\.cuda\.device_count\(\) is 2"):
        graphc.load(file, map_location="cuda:7")
    with override(cuda_driver="none"):
        file.seek(0)
        with pytest.raises(RuntimeError, match=r"on a CUDA device but torch\.cuda\.is_available\(\) is False"):
            graphc.load(file)
        file.seek(0)
        assert graphc.load(file, map_location="cpu")[0].tolist() == [0.0, 1.0, 2.0]


def test_a_checkpoint_has_the_random_numbers_of_gpus(tmp_path: Path) -> None:
    model: Any = nn.Linear(2, 1).cuda()
    optimizer: Any = graphc.optim.Adam(model.parameters())
    model(graphc.ones(1, 2, device="cuda")).sum().backward()
    optimizer.step()
    graphc.rand(2, device="cuda")
    serialization.save_checkpoint(tmp_path / "run.pt", model=model, optimizer=optimizer, epoch=3)
    expected = graphc.rand(2, device="cuda")
    other: Any = nn.Linear(2, 1).cuda()
    optimizer = graphc.optim.Adam(other.parameters())
    assert serialization.load_checkpoint(tmp_path / "run.pt", model=other, optimizer=optimizer) == {"epoch": 3}
    assert graphc.equal(graphc.rand(2, device="cuda"), expected)
    assert graphc.equal(other.weight, model.weight)
    assert {str(each.device) for each in optimizer.state[other.weight].values()} == {"cuda:0"}


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_come_in_pinned_memory(workers: int) -> None:
    x: Any = graphc.arange(8.0).reshape(4, 2)
    loader: Any = DataLoader(TensorDataset(x, x[:, 0]), batch_size=2, pin_memory=True, num_workers=workers)
    moved = []
    for batch in loader:
        assert all(each.is_pinned() for each in batch)
        moved.append(batch[0].to("cuda", non_blocking=True))
    assert graphc.cat(moved).tolist() == x.tolist()


def test_batches_are_made_of_tensors_on_a_gpu() -> None:
    x = graphc.arange(4.0, device="cuda")
    loader: Any = DataLoader(TensorDataset(x), batch_size=2)
    assert [str(batch.device) for (batch,) in loader] == ["cuda:0"] * 2


def test_memory_is_pinned_where_it_is_asked_for() -> None:
    x: Any = graphc.arange(6.0).reshape(2, 3).t()
    pinned = x.pin_memory()
    assert (pinned.is_pinned(), pinned[1:].is_pinned(), x.is_pinned(), pinned.clone().is_pinned()) == (
        True,
        True,
        False,
        False,
    )
    assert (pinned.stride(), pinned.tolist()) == (x.stride(), x.tolist())
    assert pinned.pin_memory() is pinned
    made: list[Any] = [
        graphc.empty(3, pin_memory=True), graphc.zeros(3, pin_memory=True), graphc.randn(3, pin_memory=True),
        graphc.tensor([1], pin_memory=True), graphc.empty_like(x, pin_memory=True), graphc.arange(3, pin_memory=True),
        x.new_zeros(2, pin_memory=True), graphc.full((2,), 1.0, pin_memory=True),
        graphc.hann_window(3, pin_memory=True),
    ]  # fmt: skip
    assert all(each.is_pinned() for each in made)
    with pytest.raises(RuntimeError, match="Only dense CPU tensors can be pinned"):
        graphc.zeros(2, device="cuda", pin_memory=True)
