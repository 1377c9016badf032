"""Checkpoints: a training goes on as if it had never stopped, and a file is never there by half."""

import os
import pathlib
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.eager import random_state
from graphc.serialization import CheckpointError, load_checkpoint, save_checkpoint
from graphc.utils.data import DataLoader, TensorDataset


class Momentum:
    """A small optimizer with a state of its own."""

    def __init__(self, parameters: Any) -> None:
        self.parameters = [*parameters]
        self.velocity = [graphc.zeros_like(each) for each in self.parameters]
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        with graphc.no_grad():
            for parameter, velocity in zip(self.parameters, self.velocity):
                velocity.mul_(0.9).add_(parameter.grad)
                parameter.sub_(velocity, alpha=0.05)
                parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {"velocity": self.velocity, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        for mine, loaded in zip(self.velocity, state["velocity"]):
            mine.copy_(loaded)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(graphc.randn(3, 2))
        self.register_buffer("seen", graphc.tensor(0))

    def forward(self, x: Any) -> Any:
        self.seen += 1
        return (x @ self.weight) * graphc.rand(2)


def train(model: Model, optimizer: Momentum, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        x = graphc.randn(4, 3) * random.random() + np.random.rand()  # noqa: NPY002 - its state is in the checkpoint
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def fresh() -> tuple[Model, Momentum]:
    model = Model()
    return model, Momentum(model.parameters())


def test_a_training_goes_on_bit_for_bit(tmp_path: pathlib.Path) -> None:
    graphc.manual_seed(3)
    random.seed(4)
    model, optimizer = fresh()
    train(model, optimizer, 3)
    save_checkpoint(tmp_path / "run.pt", model=model, optimizer=optimizer, epoch=3, best=(0.5, "text"))
    expected = train(model, optimizer, 5)

    graphc.manual_seed(100)
    random.seed(101)
    other, its_optimizer = fresh()
    rest = load_checkpoint(tmp_path / "run.pt", model=other, optimizer=its_optimizer)
    assert rest == {"epoch": 3, "best": (0.5, "text")}
    assert its_optimizer.steps == 3
    assert train(other, its_optimizer, 5) == expected
    for name, tensor in model.state_dict().items():
        assert graphc.equal(tensor, other.state_dict()[name])


def whole_training() -> dict[str, Any]:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.ReLU(), nn.Linear(4, 1))
    optimizer = graphc.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = graphc.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    dataset = TensorDataset(graphc.arange(60.0).reshape(20, 3) / 60)
    loader = DataLoader(dataset, batch_size=4, shuffle=True)
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler, "loader": loader}


def epoch(model: Any, optimizer: Any, scheduler: Any, loader: Any) -> Iterator[float]:
    for (x,) in loader:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        yield loss.item()
    scheduler.step()


def test_models_optimizers_schedulers_and_loaders_in_the_middle_of_an_epoch(tmp_path: pathlib.Path) -> None:
    graphc.manual_seed(0)
    parts = whole_training()
    expected = []
    for step, loss in enumerate(epoch(**parts)):
        expected.append(loss)
        if step == 1:
            save_checkpoint(tmp_path / "run.pt", **parts)
    expected += epoch(**parts)

    graphc.manual_seed(77)
    others = whole_training()
    list(epoch(**others))
    load_checkpoint(tmp_path / "run.pt", **others)
    assert [*epoch(**others), *epoch(**others)] == expected[2:]
    assert others["optimizer"].param_groups[0]["lr"] == parts["optimizer"].param_groups[0]["lr"] == 0.0025


def test_parts_in_lists_and_dicts(tmp_path: pathlib.Path) -> None:
    models = {"a": Model(), "b": [Model(), Model()]}
    save_checkpoint(tmp_path / "run.pt", models=models, rng=False)
    others = {"a": Model(), "b": [Model(), Model()]}
    random.seed(1)
    before = random.getstate()
    assert load_checkpoint(tmp_path / "run.pt", models=others) == {}
    assert random.getstate() == before
    assert graphc.equal(others["b"][1].weight, models["b"][1].weight)  # type: ignore[index]
    assert [*load_checkpoint(tmp_path / "run.pt")["models"]["a"]] == ["weight", "seen"]


def test_what_does_not_fit(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint(path, model=Model(), both=[Model(), Model()], epoch=1)
    model = Model()
    before = model.weight.clone()
    for parts, match in (
        ({"model": model, "absent": Model()}, "the checkpoint has no part 'absent'"),
        ({"model": model, "epoch": 7}, "epoch is an int, which has no load_state_dict"),
        ({"model": model, "both": [Model()]}, "both has 1 parts, and the checkpoint 2"),
        ({"model": model, "both": {"x": Model()}}, "both is a dict, which has no load_state_dict"),
    ):
        with pytest.raises(CheckpointError, match=match):
            load_checkpoint(path, **parts)
        assert graphc.equal(model.weight, before)
    graphc.save({"model": model.state_dict()}, path)
    with pytest.raises(CheckpointError, match="the file holds no checkpoint"):
        load_checkpoint(path, model=model)
    with pytest.raises(CheckpointError, match="holds plain data, and this is more"):
        save_checkpoint(path, callback=print)


def test_random_numbers_that_no_generator_goes_on_from(tmp_path: pathlib.Path) -> None:
    good: dict[str, Any] = random_state.to_plain(random_state.take()) or {}
    name, key, place, *rest = good["numpy"]
    version, words, gauss = good["python"]
    model = Model()
    before, python_before = model.weight.clone(), random.getstate()
    for numbers in (
        {"numpy": [name, key, 10**6, *rest]},  # numpy would take it, and read beyond its memory
        {"numpy": [name, key, -1, *rest]},
        {"numpy": [name, key[:-4], place, *rest]},
        {"numpy": ["PCG64", key, place, *rest]},
        {"numpy": {"bit_generator": "PCG64"}},
        {"numpy": 1},
        {"python": [version, words + 2**33, gauss]},
        {"python": [version, words[1:], gauss]},
        {"python": None},
        {"graphc": key},
        {"graphc": None},
    ):
        state = {"model": Model().state_dict()}
        graphc.save({"graphc.checkpoint": 1, "parts": state, "random numbers": good | numbers}, tmp_path / "x.pt")
        with pytest.raises(CheckpointError, match="the random numbers in the state are damaged: "):
            load_checkpoint(tmp_path / "x.pt", model=model)
        assert graphc.equal(model.weight, before)
        assert random.getstate() == python_before


@pytest.mark.parametrize("content", [{}, {"graphc.checkpoint": 1}, {"graphc.checkpoint": np.ones(2), "parts": {}}, [1]])
def test_files_that_are_no_checkpoints(tmp_path: pathlib.Path, content: Any) -> None:
    graphc.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="the file holds no checkpoint"):
        load_checkpoint(tmp_path / "x.pt")


KILLED = """
import os, resource, signal, sys, graphc
from graphc.serialization import save_checkpoint

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

save_checkpoint(sys.argv[1], parts=[graphc.ones(1 << 20)], n=1)
MOMENT
save_checkpoint(sys.argv[1], parts=[graphc.zeros(1 << 20)], n=2)
"""
MOMENTS = {
    "while tensors are written": (
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL); resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
    ),
    "before they are on the disk": "os.fsync = die",
    "before the file has its name": "os.replace = die",
}


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="the system has no such signals")
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_writing(tmp_path: pathlib.Path, moment: str) -> None:
    path = tmp_path / "run.pt"
    done = subprocess.run([sys.executable, "-c", KILLED.replace("MOMENT", MOMENTS[moment]), str(path)])
    assert done.returncode in (-signal.SIGKILL, -signal.SIGXFSZ)
    assert len(os.listdir(tmp_path)) == 2  # what was being written is there beside the old file
    found = load_checkpoint(path, rng=False)
    assert found["n"] == 1
    assert found["parts"][0].sum() == 1 << 20
    save_checkpoint(path, n=3)
    assert load_checkpoint(path) == {"n": 3}


def test_a_failed_write_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.pt"
    graphc.save([1], path)
    os.chmod(path, 0o640)

    class Stubborn:
        def __reduce__(self) -> Any:
            raise RuntimeError("not now")

    with pytest.raises(RuntimeError, match="not now"):
        graphc.save([2, Stubborn()], path)
    assert graphc.load(path) == [1]
    assert os.listdir(tmp_path) == ["x.pt"]
    link = tmp_path / "link.pt"
    link.symlink_to(path)
    graphc.save([3], link)
    assert graphc.load(path) == [3]
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_private_file_is_private_while_it_is_written(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.pt"
    path.touch(0o600)
    seen: list[int] = []

    class Looking:
        def __reduce__(self) -> Any:
            seen.extend(each.stat().st_mode & 0o777 for each in tmp_path.iterdir())
            return int, ()

    graphc.save(Looking(), path)
    assert seen == [0o600, 0o600]


def test_a_new_file_may_be_read_by_whom_the_process_lets(tmp_path: pathlib.Path) -> None:
    before = os.umask(0o027)
    try:
        graphc.save([1], tmp_path / "x.pt")
    finally:
        os.umask(before)
    assert (tmp_path / "x.pt").stat().st_mode & 0o777 == 0o640


def test_a_name_as_long_as_the_system_allows(tmp_path: pathlib.Path) -> None:
    path = tmp_path / ("x" * 255)
    graphc.save([1], path)
    assert graphc.load(path) == [1]


def test_what_may_not_be_written_to_is_not_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        graphc.save([1], tmp_path / "loop")
    assert os.listdir(tmp_path) == ["loop"]
    if os.geteuid() == 0:
        pytest.skip("root may write to every file")
    path = tmp_path / "x.pt"
    path.write_bytes(b"old")
    path.chmod(0o400)
    with pytest.raises(PermissionError):
        graphc.save([1], path)
    assert path.read_bytes() == b"old"


def test_several_processes_write_one_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.pt"
    program = "import sys, graphc\nfor _ in range(8): graphc.save([int(sys.argv[2])] * 9, sys.argv[1])"
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), str(number)]) for number in range(2)]
    while any(each.poll() is None for each in writers):
        if path.exists():
            assert graphc.load(path) in ([0] * 9, [1] * 9)
    assert [each.returncode for each in writers] == [0, 0]
    assert os.listdir(tmp_path) == ["x.pt"]


def test_devices_are_written_to_as_they_are() -> None:
    graphc.save([1], os.devnull)
    assert not os.path.isfile(os.devnull)
