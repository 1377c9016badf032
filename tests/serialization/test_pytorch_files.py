"""Files that PyTorch 2.13 has written are read without PyTorch."""

import collections
import io
import math
import pathlib
import pickle
import struct
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.serialization import CheckpointError
from tests.serialization.archives import FLOATS, archive, call, name, program, storage, tensor, value

DATA = pathlib.Path(__file__).parent / "data"


def read(content: bytes, **options: Any) -> Any:
    return graphc.load(io.BytesIO(content), **options)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_training(mmap: bool) -> None:
    found = graphc.load(DATA / "training.pt", mmap=mmap)
    assert found["epoch"] == 3
    model = nn.Module()
    model.add_module("0", nn.Module())
    model.get_submodule("0").register_parameter("weight", nn.Parameter(graphc.zeros(1, 2)))
    model.get_submodule("0").register_parameter("bias", nn.Parameter(graphc.zeros(1)))
    assert repr(model.load_state_dict(found["model"])) == "<All keys matched successfully>"
    assert found["model"]._metadata["0"] == {"version": 1}
    np.testing.assert_array_equal(
        model.get_parameter("0.weight").detach(), np.float32([[-0.13029396533966064, 0.25432288646698]])
    )
    group = found["optimizer"]["param_groups"][0]
    assert (group["lr"], group["betas"], group["params"]) == (0.125, (0.9, 0.999), [0, 1])
    assert found["optimizer"]["state"][0]["exp_avg"].shape == (1, 2)
    assert found["optimizer"]["state"][1]["step"].item() == 1


def test_a_training_of_pytorch_goes_on() -> None:
    """Two more steps of the same Adam give what PyTorch gives."""
    found = graphc.load(DATA / "training.pt")
    net = nn.Sequential(nn.Linear(2, 1))
    optimizer = graphc.optim.Adam(net.parameters(), lr=1.0)
    net.load_state_dict(found["model"])
    optimizer.load_state_dict(found["optimizer"])
    x = graphc.arange(8.0).reshape(4, 2)
    for _ in range(2):
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.125
    got = [each.detach().reshape(-1) for each in net.parameters()]
    np.testing.assert_allclose(np.concatenate(got), [-0.2111968, 0.1807522, -0.4758843], rtol=1e-6)


@pytest.mark.parametrize("mmap", [False, True])
def test_memory_shared_between_tensors(mmap: bool) -> None:
    found = graphc.load(DATA / "shared.pt", mmap=mmap)
    layouts = {key: (each.shape, each.stride(), each.storage_offset()) for key, each in found.items() if key != "tied"}
    assert layouts == {
        "base": ((6,), (1,), 0),
        "view": ((3,), (1,), 2),
        "transposed": ((3, 2), (1, 3), 0),
        "expanded": ((3,), (0,), 1),
        "parameter": ((2,), (1,), 0),
        "frozen": ((1,), (1,), 0),
        "leaf": ((2,), (1,), 0),
    }
    found["base"][2] = 9
    assert found["view"][0] == found["transposed"][2, 0] == found["tied"][1][0][2] == 9
    assert found["tied"][0] is found["base"]
    kinds = {key: (type(found[key]), found[key].requires_grad) for key in ("parameter", "frozen", "leaf")}
    assert kinds == {
        "parameter": (nn.Parameter, True), "frozen": (nn.Parameter, False), "leaf": (graphc.Tensor, True),
    }  # fmt: skip


def test_dtypes() -> None:
    found = graphc.load(DATA / "dtypes.pt")
    assert len(found) == 17
    for key, each in found.items():
        assert each.dtype is getattr(graphc, key)
        real = each.real if each.is_complex() else each
        assert real.to(graphc.float32).tolist() == ([0, 1, 1] if key == "bool" else [0, 1, 2])


def test_data() -> None:
    found = graphc.load(DATA / "data.pt")
    tensors = {key: found.pop(key) for key in ("empty", "zero_dim", "conj")}
    array = found.pop("array")
    assert dict(found) == {
        "size": graphc.Size([2, 3]), "dtype": graphc.bfloat16, "device": graphc.device("cpu"), "none": None,
        "flags": (True, False), "numbers": [1, -300, 70000, 2**40, 2**80, 1.5, math.inf], "complex": 1 + 2j,
        "bytes": b"a\xff", "bytearray": bytearray(b"z"), "set": {1, 2}, "counter": collections.Counter("aab"),
        "scalar": np.float64(0.1), "text": "naïve \U0001f600", "layout": graphc.strided,
    }  # fmt: skip
    assert type(found["size"]) is graphc.Size
    assert type(found["scalar"]) is np.float64
    np.testing.assert_array_equal(array, np.arange(6).reshape(2, 3), strict=True)
    assert tensors["empty"].shape == (0, 3)
    assert tensors["zero_dim"].item() == 7
    assert tensors["conj"].tolist() == [1 - 2j]


def test_the_format_before_1_6() -> None:
    found = graphc.load(DATA / "legacy.pt")
    assert found["base"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found["n"] == 2
    found["base"][3] = 9
    assert found["view"].tolist() == [9, 4, 5]
    with pytest.raises(RuntimeError, match="mmap can only be used with files saved with"):
        graphc.load(DATA / "legacy.pt", mmap=True)


def test_whole_modules_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"GLOBAL __main__\.Net was not an allowed global by default"):
        graphc.load(DATA / "module.pt")


class Net(nn.Module):
    def forward(self, x: Any) -> Any:
        return self.fc(x)


def test_whole_modules_of_a_trusted_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's classes become those of graphc, the user's are found where they are."""
    monkeypatch.setattr(sys.modules["__main__"], "Net", Net, raising=False)
    net = graphc.load(DATA / "module.pt", weights_only=False)
    assert (type(net), type(net.fc), type(net.fc.weight)) == (Net, nn.Linear, nn.Parameter)
    x = graphc.ones(1, 1)
    assert graphc.equal(net(x), x @ net.fc.weight.t() + net.fc.bias)
    net(x).sum().backward()
    assert net.fc.bias.grad.item() == 1


def test_names_that_nobody_has_vouched_for() -> None:
    unsafe = graphc.serialization.get_unsafe_globals_in_checkpoint
    assert unsafe(DATA / "data.pt") == []
    names = unsafe(DATA / "module.pt")
    assert names[0] == "__main__.Net"
    assert "torch.nn.modules.linear.Linear" in names
    with graphc.serialization.safe_globals([(dict, "__main__.Net")]):
        assert "__main__.Net" not in unsafe(DATA / "module.pt")
    for protocol in (2, 4):
        assert unsafe(io.BytesIO(archive(pickle.dumps([Fraction(1, 2), 3], protocol)))) == ["fractions.Fraction"]
    with pytest.raises(RuntimeError, match="Expected input to be a checkpoint returned by"):
        unsafe(DATA / "legacy.pt")


def test_mapped_tensors_are_aligned(tmp_path: pathlib.Path) -> None:
    """In files of other writers the bytes of a storage begin anywhere."""
    for shift in range(4):
        path = tmp_path / str(shift)
        path.write_bytes(archive(program(tensor(storage(), 0, (4,), (1,))), {"0": FLOATS}, pad=b"x" * shift))
        found = graphc.load(path, mmap=True)
        assert found.data_ptr() % 4 == 0
        assert found.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_names_are_found_in_every_protocol(protocol: int) -> None:
    """A later protocol tells the module once, and then where it was told."""
    file = io.BytesIO()
    graphc.save([nn.Linear, nn.Bilinear, nn.ReLU], file, pickle_protocol=protocol)
    file.seek(0)
    assert graphc.serialization.get_unsafe_globals_in_checkpoint(file) == [
        f"graphc.nn.modules.{name}" for name in ("linear.Linear", "linear.Bilinear", "activation.ReLU")
    ]


def test_hand_written_archives_are_good_ones() -> None:
    """The archives of these tests are read where nothing is wrong with them."""
    content = archive(program(tensor(storage(), 1, (3,), (1,))), {"0": FLOATS})
    assert read(content).tolist() == [2, 3, 4]


def test_big_endian_archives() -> None:
    data = program(
        b"(", tensor(storage(), 0, (4,), (1,)), tensor(storage("ComplexDoubleStorage", "1", 1), 0, (), ()), b"t"
    )
    storages = {"0": struct.pack(">4f", 1, 2, 3, 4), "1": struct.pack(">2d", 1.5, -2)}
    floats, number = read(archive(data, storages, byteorder=b"big"))
    assert floats.tolist() == [1, 2, 3, 4]
    assert number.item() == 1.5 - 2j


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols_of_pickle(protocol: int) -> None:
    plain = {
        "a": [1, 2.5, b"x", "y", {3}, frozenset([4]), bytearray(b"z"), 2**80, None, (True, False)],
        "long": "s" * 300,
    }
    assert read(archive(pickle.dumps(plain, protocol))) == plain


def test_tensors_of_a_gpu() -> None:
    content = archive(program(tensor(storage(location="cuda:1"), 0, (4,), (1,))), {"0": FLOATS})
    with pytest.raises(RuntimeError, match=r"Attempting to deserialize object on a CUDA device but torch\.cuda"):
        read(content)
    seen = []
    for place in ("cpu", {"cuda:1": "cpu"}, lambda memory, location: seen.append(location)):
        if callable(place):
            with pytest.raises(RuntimeError, match="Attempting to deserialize"):
                read(content, map_location=place)  # it left the choice to the default
        else:
            assert read(content, map_location=place).tolist() == [1, 2, 3, 4]
    assert seen == ["cuda:1"]
    assert read(content, map_location=lambda memory, location: memory).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("function", "kind"),
    [("_rebuild_sparse_tensor", "sparse"), ("_rebuild_qtensor", "quantized"), ("_rebuild_nested_tensor", "nested")],
)
def test_tensors_that_graphc_has_not(function: str, kind: str) -> None:
    with pytest.raises(CheckpointError, match=f"the file holds {kind} tensors, which graphc has not"):
        read(archive(program(call(name("torch._utils", function), value(1)))))


def test_other_formats_are_told_apart() -> None:
    with pytest.raises(CheckpointError, match="TorchScript archives"):
        read(archive(program(value(1)), **{"constants.pkl": b""}))
