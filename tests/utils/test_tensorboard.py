"""`SummaryWriter` writes event files that TensorBoard reads: frames with checksums around protocol buffers."""

import pathlib
import re
import struct
import subprocess
import sys
import wave
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import nn

pytest.importorskip("tensorboardX")

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from graphc.utils.tensorboard import SummaryWriter


def checksum(data: bytes) -> int:
    """CRC-32C, masked as event files have it."""
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = (found >> 1) ^ (0x82F63B78 if found & 1 else 0)
    found ^= 0xFFFFFFFF
    return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events(folder: pathlib.Path) -> list[Any]:
    """All events of the one file in a folder, its frames checked."""
    (path,) = folder.glob("events.out.tfevents.*")
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        payload = data[12 : 12 + length]
        assert struct.unpack_from("<I", data, 8)[0] == checksum(data[:8])
        assert struct.unpack_from("<I", data, 12 + length)[0] == checksum(payload)
        found.append(Event.FromString(payload))
        data = data[16 + length :]
    assert found[0].file_version == "brain.Event:2"
    return found[1:]


def values(folder: pathlib.Path) -> Iterator[tuple[int, Any]]:
    for event in events(folder):
        for value in event.summary.value:
            yield event.step, value


def one(folder: pathlib.Path) -> Any:
    ((_, value),) = values(folder)
    return value


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "run"


def test_scalars(folder: pathlib.Path) -> None:
    with SummaryWriter(folder) as writer:
        numbers = (2, 0.5, np.float32(0.25), graphc.tensor(3.0, requires_grad=True), graphc.tensor([1.5]))
        for step, number in enumerate(numbers):
            writer.add_scalar("loss/train set", number, step, walltime=100.0 + step)
    found = [(step, value.tag, value.simple_value) for step, value in values(folder)]
    assert found == [(k, "loss/train set", x) for k, x in enumerate((2, 0.5, 0.25, 3, 1.5))]
    assert [event.wall_time for event in events(folder)] == [100, 101, 102, 103, 104]


def test_scalars_of_the_new_kind(folder: pathlib.Path) -> None:
    with SummaryWriter(folder) as writer:
        writer.add_scalar("a", 0.1, new_style=True)
        writer.add_scalar("b", 0.1, graphc.tensor(4), new_style=True, double_precision=True)
    (_, a), (step, b) = values(folder)
    assert list(a.tensor.float_val) == [np.float32(0.1)]
    assert list(b.tensor.double_val) == [0.1]
    assert (step, b.metadata.plugin_data.plugin_name) == (4, "scalars")


def test_several_scalars_have_a_folder_each(folder: pathlib.Path) -> None:
    with SummaryWriter(str(folder)) as writer:
        writer.add_scalars("x/y", {"a": 1, "b": graphc.tensor(2)}, 7)
    assert sorted(each.name for each in folder.iterdir() if each.is_dir()) == ["x_y_a", "x_y_b"]
    for name, number in (("a", 1), ("b", 2)):
        ((step, value),) = values(folder / f"x_y_{name}")
        assert (step, value.tag, value.simple_value) == (7, "x/y", number)


def test_histograms(folder: pathlib.Path) -> None:
    data = graphc.tensor([[0.5, -1.5], [2.5, 0.5]])
    with SummaryWriter(folder) as writer:
        writer.add_histogram("h", data, 1)
        writer.add_histogram("narrow", data.to(graphc.bfloat16), 1, bins=np.array([-2.0, 0.0, 3.0]))
        writer.add_histogram_raw("raw", 0, 2, graphc.tensor(3), 3.0, 5.0, graphc.tensor([1.0, 2.0]), [1, 2])
        with pytest.raises(ValueError, match=r"The input has no element\."):
            writer.add_histogram("empty", graphc.empty(0))
        with pytest.raises(ValueError, match="len"):
            writer.add_histogram_raw("raw", 0, 2, 3, 3.0, 5.0, [1.0, 2.0], [1])
    whole, narrow, raw = (value.histo for _, value in values(folder))
    assert (whole.min, whole.max, whole.num, whole.sum, whole.sum_squares) == (-1.5, 2.5, 4, 2.0, 9.0)
    assert sum(whole.bucket) == sum(narrow.bucket) == 4
    assert (raw.num, list(raw.bucket_limit), list(raw.bucket)) == (3, [1, 2], [1, 2])


def pixels(value: Any) -> Any:
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(BytesIO(value.image.encoded_image_string)))


def test_images(folder: pathlib.Path) -> None:
    red = graphc.zeros(3, 2, 4)
    red[0] = 1
    with SummaryWriter(folder) as writer:
        writer.add_image("float", red)
        writer.add_image("bytes", (red * 255).to(graphc.uint8).permute(1, 2, 0), dataformats="HWC")
        writer.add_image("gray", graphc.ones(2, 4) * 0.5, dataformats="HW")
        writer.add_images("grid", graphc.stack([red, red]))
        writer.add_image_with_boxes("boxes", graphc.zeros(3, 8, 8), graphc.tensor([[1.0, 1.0, 6.0, 6.0]]))
    found = {value.tag: pixels(value) for _, value in values(folder)}
    np.testing.assert_array_equal(found["float"], np.broadcast_to(np.uint8([255, 0, 0]), (2, 4, 3)))
    np.testing.assert_array_equal(found["bytes"], found["float"])
    assert found["gray"].min() == found["gray"].max() == 127
    assert found["grid"].shape == (2, 8, 3)
    assert found["boxes"].max() > 0


def test_figures(folder: pathlib.Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 2), dpi=50)
    figure.subplots().plot([1, 2])
    with SummaryWriter(folder) as writer:
        writer.add_figure("f", figure, 3, close=False)
    assert pixels(one(folder)).shape[:2] == (100, 50)


def test_texts_sounds_tensors(folder: pathlib.Path) -> None:
    with SummaryWriter(folder) as writer:
        writer.add_text("t", "**bold**", 2)
        writer.add_audio("a", graphc.tensor([[0.0, 0.5, 2.0, -1.0]]), sample_rate=8000)
        writer.add_tensor("x", graphc.tensor([[1, 2], [3, 4]]))
        writer.add_mesh("m", graphc.rand(1, 4, 3))
    found = {value.tag: value for _, value in values(folder)}
    assert found["t/text_summary"].tensor.string_val[0] == b"**bold**"
    with wave.open(BytesIO(found["a"].audio.encoded_audio_string)) as sound:
        assert (sound.getframerate(), sound.getnchannels()) == (8000, 1)
        assert np.frombuffer(sound.readframes(9), "<i2").tolist() == [0, 16383, 32767, -32767]
    tensor = found["x"].tensor
    assert [each.size for each in tensor.tensor_shape.dim] == [2, 2]
    assert np.frombuffer(tensor.tensor_content, np.int64).tolist() == [1, 2, 3, 4]
    assert any(tag.startswith("m") for tag in found)


def test_hyperparameters(folder: pathlib.Path) -> None:
    with SummaryWriter(folder) as writer:
        settings = {"lr": graphc.tensor(0.5), "kind": "sgd", "nesterov": True}
        writer.add_hparams(settings, {"loss": graphc.tensor(2.0)}, {"kind": ["sgd", "adam"]}, run_name="first")
        with pytest.raises(TypeError, match=r"hparam_dict and metric_dict should be dictionary\."):
            writer.add_hparams([], {})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="hparam_domain_discrete"):
            writer.add_hparams({}, {}, {"absent": [1]})
    found = {value.tag: value for _, value in values(folder / "first")}
    assert found["loss"].simple_value == 2
    start = HParamsPluginData.FromString(found["_hparams_/session_start_info"].metadata.plugin_data.content)
    told = start.session_start_info.hparams
    assert (told["lr"].number_value, told["kind"].string_value, told["nesterov"].bool_value) == (0.5, "sgd", True)
    experiment = HParamsPluginData.FromString(found["_hparams_/experiment"].metadata.plugin_data.content).experiment
    domains = {each.name: [*each.domain_discrete] for each in experiment.hparam_infos}
    assert domains == {"lr": [], "kind": ["sgd", "adam"], "nesterov": []}


def test_precision_over_recall(folder: pathlib.Path) -> None:
    with SummaryWriter(folder) as writer:
        writer.add_pr_curve("p", graphc.tensor([0, 1, 1]), graphc.tensor([0.1, 0.9, 0.8]), num_thresholds=3)
    table = np.reshape(one(folder).tensor.float_val, (6, 3))
    np.testing.assert_array_equal(table[0], [2, 2, 0])  # true positives at 0, 0.5 and 1
    np.testing.assert_array_equal(table[1], [1, 0, 0])


def test_embeddings(folder: pathlib.Path) -> None:
    points = graphc.arange(6.0).reshape(3, 2)
    with SummaryWriter(folder) as writer:
        writer.add_embedding(points, ["a", "b", "c"], graphc.rand(3, 3, 4, 4), tag="words")
    place = folder / "00000" / "words"
    np.testing.assert_array_equal(np.loadtxt(place / "tensors.tsv"), points.numpy())
    assert (place / "metadata.tsv").read_text().split() == ["a", "b", "c"]
    assert (place / "sprite.png").exists()
    assert "words" in (folder / "projector_config.pbtxt").read_text()


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(graphc.randn(3, 4))
        self.register_buffer("scale", graphc.tensor(2.0))

    def forward(self, x: Any) -> Any:
        return (x @ self.weight) / self.scale


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Attention()
        self.head = nn.Parameter(graphc.ones(4))
        self.unused = nn.Parameter(graphc.ones(4))

    def forward(self, x: Any, mask: Any) -> dict[str, Any]:
        hidden = graphc.relu(self.first(x))
        hidden += 1
        if hidden.sum().item() > 0:
            hidden = hidden.t()
        return {"y": hidden.t() * self.head, "m": mask}


def graph(folder: pathlib.Path) -> dict[str, Any]:
    (event,) = events(folder)
    return {node.name: node for node in GraphDef.FromString(event.graph_def).node}


def test_graphs_of_models(folder: pathlib.Path) -> None:
    net = Net()
    net.first.eval()
    with SummaryWriter(folder) as writer:
        writer.add_graph(net, (graphc.rand(2, 3), graphc.ones(2)))
    assert (net.training, net.first.training) == (True, False)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in net.modules())
    found = graph(folder)
    assert "Net/unused" not in found
    (product,) = (node for node in found.values() if "Net/Attention[first]/weight" in node.input)
    assert product.name.startswith("Net/Attention[first]/")
    assert "input/x" in product.input
    (divided,) = (node for node in found.values() if "Net/Attention[first]/scale" in node.input)
    assert list(divided.input) == [product.name, "Net/Attention[first]/scale"]
    assert list(found["Net/relu"].input) == [divided.name]
    assert found["Net/relu"].op == "relu"
    assert [each.size for each in found["Net/relu"].attr["_output_shapes"].list.shape[0].dim] == [2, 4]
    (last,) = (node for node in found.values() if "Net/head" in node.input)
    assert "Net/add" in last.input
    assert list(found["output/0"].input) == [last.name]
    assert list(found["output/1"].input) == ["input/mask"]
    assert {name for node in found.values() for name in node.input} <= set(found)


def test_graphs_of_models_that_fail(folder: pathlib.Path) -> None:
    net = Net()
    with SummaryWriter(folder) as writer:
        with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
            writer.add_graph(net, (graphc.rand(2, 5), graphc.ones(2)))
        with pytest.raises(TypeError, match="add_graph needs a model that can be called, got int"):
            writer.add_graph(3, graphc.rand(2, 5))
    assert net.training
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in net.modules())


def test_names_that_come_twice_are_told_apart(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SummaryWriter(folder) as writer:
        writer.add_graph(lambda x: (x + 1) + (x + 2), graphc.rand(2), verbose=True)
    found = graph(folder)
    assert [name for name in found if "add" in name] == ["function/add", "function/add_1", "function/add_2"]
    assert list(found["function/add_2"].input) == ["function/add", "function/add_1"]
    assert 'name: "function/add_2"' in capsys.readouterr().out


def test_the_folder_by_default(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer = SummaryWriter(comment="_note")
    writer.close()
    (run,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"\w{3}\d\d_\d\d-\d\d-\d\d_.*_note", run.name)
    assert writer.get_logdir() == writer.log_dir == f"runs/{run.name}"


def test_closed_writers_open_again(folder: pathlib.Path) -> None:
    writer = SummaryWriter(folder, purge_step=5, filename_suffix=".x")
    writer.flush()
    writer.close()
    writer.close()
    (event, session) = events(folder)
    assert (event.step, session.session_log.status) == (5, 1)
    (path,) = folder.iterdir()
    assert path.name.endswith(".x")
    path.unlink()
    writer.add_scalar("a", 1)
    writer.close()
    assert one(folder).tag == "a"


@pytest.mark.parametrize("value", ["text", graphc.ones(2), None, [1, 2]])
def test_what_is_no_number(folder: pathlib.Path, value: Any) -> None:
    with (
        SummaryWriter(folder) as writer,
        pytest.raises((TypeError, ValueError), match=r"Tensor should|but expected numpy"),
    ):
        writer.add_scalar("a", value)


def test_packages_that_are_missing(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with SummaryWriter(folder) as writer, pytest.raises(ImportError, match="add_video needs the package moviepy"):
        writer.add_video("v", graphc.rand(1, 2, 3, 4, 4))
    code = (
        "import sys; sys.modules['tensorboardX'] = None\n"
        "try:\n    from graphc.utils.tensorboard import SummaryWriter\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("pip install 'graphc[tensorboard]'\n")
