"""What `graphc.save` writes comes back as it was, and other readers of safetensors understand it."""

import collections
import io
import math
import pathlib
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import graphc
from graphc import nn
from graphc.serialization import CheckpointError

FORMATS = (None, "torch")


def again(value: Any, format: str | None = None, **options: Any) -> Any:
    file = io.BytesIO()
    graphc.save(value, file, format=format)
    file.seek(0)
    return graphc.load(file, **options)


def bits(value: float) -> bytes:
    return struct.pack(">d", value)


def same(a: Any, b: Any) -> bool:
    """Equal, of the same type, to the last bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, graphc.Tensor):
        return (
            (a.dtype, a.shape, a.stride(), a.storage_offset(), a.requires_grad)
            == (b.dtype, b.shape, b.stride(), b.storage_offset(), b.requires_grad)
            and a._array.tobytes() == b._array.tobytes()
        )  # fmt: skip
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return bits(a) == bits(b)
    if isinstance(a, complex):
        return bits(a.real) == bits(b.real) and bits(a.imag) == bits(b.imag)
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip([*a.items()], [*b.items()]))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


DATA = {
    "none": None,
    "bools": [True, False],
    "ints": [0, -1, 2**31, -(2**63), 2**64 + 1, -(2**200)],
    "floats": [0.1, -0.0, 1e-320, 1.7976931348623157e308, math.inf, -math.inf, math.nan],
    "payload of a nan": struct.unpack(">d", bytes.fromhex("7ff8000000abcdef"))[0],
    "complex": [1 + 2j, complex(-0.0, math.nan), complex(math.inf, 0.5)],
    "texts": ["", "naïve \U0001f600", "\x00\n", "lone \ud800"],
    "bytes": [b"", b"\x00\xff", bytearray(b"ab")],
    "keys": {1: "a", "1": "b", (1, ("x", None)): "c", 2.5: "d", None: "e", b"b": "f", frozenset([1]): "g"},
    "ordered": collections.OrderedDict([("z", 1), ("a", 2)]),
    "counter": collections.Counter("aab"),
    "sets": [{1, "a"}, frozenset(), {(1, 2)}],
    "empty": [(), [], {}, set()],
    "names": [graphc.bfloat16, graphc.device("cpu"), graphc.Size([2, 3]), graphc.strided],
    "other device": graphc.device("cuda:1"),
    "scalars of numpy": [np.float32(0.1), np.int8(-3), np.True_, np.complex64(1 + 2j)],
    "arrays of numpy": [np.arange(6).reshape(2, 3), np.array(2.5), np.zeros((0, 3), np.uint16)],
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", DATA)
def test_plain_data(name: str, format: str | None) -> None:
    assert same(again(DATA[name], format), DATA[name])


@pytest.mark.parametrize(
    "value",
    [np.array(["ab", "c"]), np.datetime64("2020-01-02"), np.dtype("float16"), ml_dtypes.bfloat16(1.5),
     np.arange(6.0).reshape(2, 3).T, np.array([1, 2], ">i4"), graphc.channels_last],
    ids=str,
)  # fmt: skip
def test_what_only_our_own_format_keeps(value: Any) -> None:
    found = again(value)
    assert same(found, value)
    if isinstance(value, np.ndarray):
        assert found.strides == value.strides


DTYPES = (
    "bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128 "
    "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz"
).split()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", DTYPES)
def test_tensors_of_every_dtype(name: str, format: str | None) -> None:
    tensor = graphc.tensor([[0, 1, 2], [3, 1, 0]]).to(getattr(graphc, name))
    assert same(again(tensor, format), tensor)
    assert same(again(tensor[:0].reshape(3, 0), format), tensor[:0].reshape(3, 0))


LAYOUTS = {
    "0-d": graphc.tensor(2.5),
    "empty": graphc.empty(0, 3),
    "transposed": graphc.arange(6.0).reshape(2, 3).t(),
    "channels last": graphc.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=graphc.channels_last),
    "part": graphc.arange(10)[2:5],
    "strided": graphc.arange(10)[1::3],
    "expanded": graphc.ones(1).expand(3, 2),
    "leaf": graphc.ones(2, requires_grad=True),
    "transposed complex": graphc.tensor([[1j, 2], [3, 4j]], dtype=graphc.complex128).t(),
    "parameter": nn.Parameter(graphc.ones(2)),
    "frozen": nn.Parameter(graphc.ones(2), requires_grad=False),
    "buffer": nn.Buffer(graphc.ones(2)),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", LAYOUTS)
def test_tensors_keep_their_layout(name: str, format: str | None) -> None:
    tensor = LAYOUTS[name]
    found = again(tensor, format)
    assert same(found, tensor)
    assert len(found.untyped_storage()) == len(tensor.untyped_storage())


@pytest.mark.parametrize("format", FORMATS)
def test_shared_memory_stays_shared(format: str | None) -> None:
    base = graphc.arange(6.0)
    found = again({"view": base[2:4], "base": base, "table": base.reshape(2, 3).t(), "again": [base]}, format)
    assert found["again"][0] is found["base"]
    found["base"][2] = 9
    assert found["view"][0] == 9
    assert found["table"][2, 0] == 9
    parts = again([base[:4], base[2:]], format)
    parts[0][3] = 7
    assert parts[1][1] == 7
    assert base[2] == 2


@pytest.mark.parametrize("format", FORMATS)
def test_objects_met_twice_are_one_again(format: str | None) -> None:
    inner = [1]
    inner.append(inner)  # type: ignore[arg-type]
    found = again({"a": inner, "b": (inner, {"c": inner})}, format)
    assert found["a"] is found["b"][0] is found["b"][1]["c"] is found["a"][1]


def test_strides_of_any_size() -> None:
    """Their product says nothing: that of a large image in another layout is beyond 64 bits."""
    tensor = graphc.arange(4.0).as_strided((1, 1, 1, 2), (2**30, 2**30, 2**30, 2))
    found = again(tensor)
    assert found.stride() == tensor.stride()
    assert found.tolist() == [[[[0, 2]]]]


def test_deep_nests() -> None:
    deep: Any = []
    for _ in range(20_000):
        deep = [deep]
    found = again(deep)
    for _ in range(20_000):
        (found,) = found
    assert found == []


@pytest.mark.parametrize("format", FORMATS)
def test_attributes_of_state_dicts_are_kept(format: str | None) -> None:
    state = collections.OrderedDict(weight=graphc.ones(1))
    state._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    assert again(state, format)._metadata == {"": {"version": 2}}


def test_a_state_dict_is_read_by_others(tmp_path: pathlib.Path) -> None:
    base = graphc.arange(6.0)
    state = {
        "encoder.weight": base.reshape(2, 3),
        "decoder.weight": base.reshape(2, 3),  # tied
        "part": base[1:3],
        "turned": graphc.arange(4).reshape(2, 2).t(),
        "half": graphc.ones(2, dtype=graphc.float16),
        "count": graphc.tensor(3),
        "flag": graphc.tensor([True, False]),
        "complex": graphc.tensor([1 + 2j]),
        "none": graphc.empty(0, 2),
        "part.storage": graphc.ones(1),
    }
    state["other part"] = state["part"][:1]
    graphc.save(state, tmp_path / "model.safetensors")
    read = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert set(read) == set(state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(read[name], tensor.numpy(), strict=True)
    assert [*graphc.load(tmp_path / "model.safetensors")] == [*state]


def test_a_dtype_that_the_format_lacks_is_kept_in_pairs(tmp_path: pathlib.Path) -> None:
    graphc.save({"x": graphc.tensor([1 + 2j], dtype=graphc.complex128)}, tmp_path / "x")
    np.testing.assert_array_equal(safetensors.numpy.load_file(tmp_path / "x")["x"], [[1.0, 2.0]])


def test_safetensors_of_others(tmp_path: pathlib.Path) -> None:
    arrays = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.array([True, False]),
        "c": np.array(3, np.int64),
    }
    safetensors.numpy.save_file(arrays, tmp_path / "x.safetensors", {"format": "np"})
    for options in ({}, {"mmap": True}):
        found = graphc.load(tmp_path / "x.safetensors", **options)
        assert type(found) is dict
        assert {name: tensor.tolist() for name, tensor in found.items()} == {k: v.tolist() for k, v in arrays.items()}
    assert graphc.load(io.BytesIO(safetensors.numpy.save(arrays)))["b"].dtype is graphc.float32


@pytest.mark.parametrize("format", FORMATS)
def test_mapped_files(tmp_path: pathlib.Path, format: str | None) -> None:
    path = tmp_path / "x.pt"
    graphc.save({"a": graphc.arange(1000.0), "b": graphc.ones(3)}, path, format=format)
    before = path.read_bytes()
    found = graphc.load(str(path), mmap=True)
    assert found["a"].sum() == 499500
    found["a"][0] = 5  # a copy of this process's own
    assert found["a"].sum() == 499505
    assert path.read_bytes() == before
    with pytest.raises(RuntimeError, match="f must be a file path in order to use the mmap argument"):
        graphc.load(io.BytesIO(before), mmap=True)  # type: ignore[call-arg]


class Opaque:
    """More than data."""

    def __init__(self) -> None:
        self.weight = graphc.ones(2)


def test_objects_need_trust() -> None:
    file = io.BytesIO()
    graphc.save({"it": Opaque(), "n": 1}, file)
    content = file.getvalue()
    with pytest.raises(CheckpointError, match=r"Unsupported global: GLOBAL \S*Opaque was not an allowed global"):
        graphc.load(io.BytesIO(content))
    assert graphc.load(io.BytesIO(content), weights_only=False)["it"].weight.tolist() == [1, 1]
    with graphc.serialization.safe_globals([Opaque]):
        assert graphc.serialization.get_safe_globals() == [Opaque]
        assert graphc.load(io.BytesIO(content))["it"].weight.tolist() == [1, 1]
    assert graphc.serialization.get_safe_globals() == []
    with pytest.raises(CheckpointError, match="a safetensors file holds plain data, and this is more"):
        graphc.save(Opaque(), io.BytesIO(), format="safetensors")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(graphc.arange(2.0))
        self.register_buffer("count", graphc.tensor(3))


def test_whole_modules() -> None:
    net = again(Net(), weights_only=False)
    assert [(name, tensor.tolist()) for name, tensor in net.state_dict().items()] == [("weight", [0, 1]), ("count", 3)]
    assert isinstance(net.weight, nn.Parameter)


def test_streams_are_read_from_where_they_stand() -> None:
    for format in FORMATS:
        file = io.BytesIO()
        file.write(b"before")
        graphc.save([graphc.ones(2), "x"], file, format=format)
        file.seek(6)
        assert graphc.load(file)[1] == "x"


@pytest.mark.parametrize(
    "place",
    ["cpu", b"cpu", graphc.device("cpu"), "cpu:0", {"cpu": "cpu"}, {}, lambda s, where: s, lambda s, where: None],
)
@pytest.mark.parametrize("format", FORMATS)
def test_map_location(place: Any, format: str | None) -> None:
    assert again([graphc.ones(2)], format, map_location=place)[0].tolist() == [1, 1]


@pytest.mark.parametrize("place", ["cuda", {"cpu": "cuda:0"}, graphc.device("cuda")])
def test_map_location_to_a_device_that_is_not_there(place: Any) -> None:
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device but"):
        again([graphc.ones(2)], map_location=place)


def test_what_cannot_be_a_file() -> None:
    with pytest.raises(AttributeError, match="expected 'f' to be string, path, or a file-like object with a 'write'"):
        graphc.save([], 3)
    with pytest.raises(AttributeError, match=r"You can only torch\.load from a file that is seekable"):
        graphc.load(3)
    with pytest.raises(RuntimeError, match=r"Parent directory .*absent does not exist"):
        graphc.save([], "absent/x.pt")
