"""What is wrong with a file, or with what is asked of one, is told in words of its own."""

import io
import json
import pathlib
import pickle
import struct
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.serialization import CheckpointError, archive, get_unsafe_globals_in_checkpoint, safe_globals, safetensors
from graphc.serialization.structure import STRUCTURE
from tests.serialization.archives import FLOATS, call, name, program, storage, tensor, value
from tests.serialization.archives import archive as archive_of

REBUILD = name("torch._utils", "_rebuild_tensor_v2")
SUBCLASS = name("torch._tensor", "_rebuild_from_type_v2")
HOOKS = call(name("collections", "OrderedDict"))
PLACE = storage() + value(0) + value((4,)) + value((1,))
TENSOR = tensor(storage(), 0, (4,), (1,))
DTYPE = call(name("numpy", "dtype"), value("f8"), value(False), value(True))
ARRAY = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), value((0,)), value("b"))
COPY = call(name("builtins", "bytearray"), b"h\0")

PICKLES = {
    "a tensor in the file has no dtype that graphc knows": call(
        name("torch._utils", "_rebuild_tensor_v3"), PLACE, value(False), HOOKS, value("float32")
    ),
    "a tensor in the file has no storage": call(REBUILD, value(0), value(0), value((4,)), value((1,)), b"\x89", HOOKS),
    "a parameter in the file has no tensor": call(
        name("torch._utils", "_rebuild_parameter"), value(1), value(True), HOOKS
    ),
    "a tensor in the file has a requires_grad that is no bool": call(REBUILD, PLACE, value(1), HOOKS),
    "a tensor in the file has metadata that graphc doesn't know": call(
        REBUILD, PLACE, value(False), HOOKS, value({"zero": True})
    ),
    "the file holds a tensor of a class with slots": call(
        SUBCLASS, REBUILD, name("torch", "Tensor"), b"(" + PLACE + value(False) + HOOKS + b"t", value(({}, {"a": 1}))
    ),
    "attributes of a tensor in the file are no dict": call(
        SUBCLASS, REBUILD, name("torch", "Tensor"), b"(" + PLACE + value(False) + HOOKS + b"t", value([1])
    ),
    "the file holds a tensor of a class that graphc doesn't know": call(
        SUBCLASS, name("torch", "Size"), name("torch", "Tensor"), value(()), value({})
    ),
    "a dict in the file is made of other things than pairs": call(
        name("collections", "OrderedDict"), value([(1, 2, 3)])
    ),
    "a container in the file is made of other things than a list": call(name("collections", "OrderedDict"), value(1)),
    "a Counter in the file is made of other things than a dict": call(name("collections", "Counter"), value("aab")),
    "a number of numpy in the file has no dtype or no bytes": call(
        name("numpy.core.multiarray", "scalar"), value("f8"), b"C\x08abcdefgh"
    ),
    "an array of numpy in the file has no elements": ARRAY + value((1,)) + b"b",
    "an array of numpy in the file has elements that are no numbers": ARRAY + value((1, (1,), "f8", False, 1)) + b"b",
    "an array of numpy in the file has too few or too many bytes": (
        ARRAY + b"(" + value(1) + value((2,)) + DTYPE + b"\x89C\x08abcdefghtb"
    ),
    "unhashable type in the file: 'list'": value({}) + b"(" + value([1]) + b"t" + value(1) + b"s",
    "a tensor in the file is expanded, and to be conjugated or negated": call(
        REBUILD, storage(), value(0), value((10**12,)), value((0,)), value(False), HOOKS, value({"neg": True})
    ),
    "the pickle in the file makes many copies of what it holds": (
        b"](B" + struct.pack("<I", 10**6) + bytes(10**6) + b"q\0" + b"".join([COPY] * 100) + b"e"
    ),
    "pop from empty list": b"\x86",
    "Trying to call with int for arguments": name("collections", "OrderedDict") + value(1) + b"R",
    "attributes of a mapping are no dict": HOOKS + value([1]) + b"b",
    "Can only add to sets, but got <class 'list'>": value([]) + b"(" + value(1) + b"\x90",
    "STACK_GLOBAL requires str": value("os") + value(1) + b"\x93",
    "persistent_load id must be tuple or int, but got <class 'int'>": value(1) + b"Q",
    "Only persistent_load of storage is allowed, but got module": value(("module", "x")) + b"Q",
    "a storage in the file has no type that graphc knows": value(("storage", "x", "0", "cpu", 4)) + b"Q",
    "a storage in the file has no name, location or size": storage(count=-1),
}


@pytest.mark.parametrize("text", PICKLES)
def test_pickles(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        graphc.load(io.BytesIO(archive_of(program(PICKLES[text]), {"0": FLOATS})))
    assert text in str(caught.value)


def own(*table: Any) -> bytes:
    """A file of our own, of one array and this table."""
    notes = {STRUCTURE: json.dumps({"version": 1, "root": [0], "table": table})}
    header = {"__metadata__": notes, "x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    content = json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + FLOATS


def old(*pickles: bytes, data: bytes = b"") -> bytes:
    """A file in PyTorch's format from before 1.6."""
    return b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {})) + b"".join(pickles) + data


NAMES = pickle.dumps(["0"], 2)
FILES = {
    "there is no item 7": own(["tuple", [[7]]]),
    "an item of kind 'tuple' lacks its parts": own(["tuple", 5]),
    "an array and its tensor are of different shapes": own(
        ["tensor", {"entry": "x", "dtype": "float32", "shape": [2, 2], "stride": [1, 2]}]
    ),
    "the array 'x' has two orders": own(
        ["list", [[1], [2]]], *[["tensor", {"entry": "x", "dtype": "float32", "shape": [4], "stride": [1]}]] * 2
    ),
    "the file holds views of storages, as PyTorch wrote before 0.4": old(
        program(tensor(storage()[:-2] + value(("view", 0, 4)) + b"tQ", 0, (4,), (1,))), NAMES
    ),
    "the file ends after 3 of 8 bytes": old(
        program(tensor(storage()[:-2] + b"NtQ", 0, (4,), (1,))), NAMES, data=b"\x04\0\0"
    ),
    "is there twice": archive_of(program(value(1)), {"0": FLOATS, "1": FLOATS}).replace(b"data/1", b"data/0"),
}


@pytest.mark.parametrize("text", FILES)
def test_files(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        graphc.load(io.BytesIO(FILES[text]))
    assert text in str(caught.value)


def test_a_mapped_record_beyond_the_end(tmp_path: pathlib.Path) -> None:
    content = bytearray(archive_of(program(TENSOR), {"0": FLOATS}))
    at = content.rindex(b"PK\x03\x04")
    struct.pack_into("<H", content, at + 28, 60_000)  # a header that is said to be long
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match="'archive/data/0' lies beyond the end"):
        graphc.load(tmp_path / "x", mmap=True)


def test_a_damaged_pickle_has_no_names() -> None:
    with pytest.raises(CheckpointError, match="the pickle in the file is damaged: "):
        get_unsafe_globals_in_checkpoint(io.BytesIO(archive_of(b"\x80\x02X\xff\xff\xff\xff")))


def test_arguments() -> None:
    file = io.BytesIO()
    graphc.save([graphc.ones(2)], file)

    def load(**options: Any) -> None:
        file.seek(0)
        graphc.load(file, **options)

    with pytest.raises(ValueError, match="format must be 'safetensors' or 'torch', got 'zip'"):
        graphc.save([], io.BytesIO(), format="zip")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="graphc pickles by Python's own pickle"):
        graphc.save([], io.BytesIO(), pickle_module=json, format="torch")
    with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_module is specified"):
        load(weights_only=True, pickle_module=pickle)
    with pytest.warns(UserWarning, match="pickle_load_args only works if `weights_only=False`"):
        load(encoding="latin1")
    with pytest.raises(RuntimeError, match="f must be a file path in order to use the mmap argument"):
        load(mmap=True)
    with pytest.raises(TypeError, match="'int' object is not callable"):
        load(map_location=3)
    with pytest.raises(CheckpointError, match="tensors without memory are not there"):
        load(map_location="meta")
    with pytest.raises(ValueError, match="Expected tuple of length 2"), safe_globals([(int, "a", "b")]):  # type: ignore[list-item]
        graphc.load(io.BytesIO(archive_of(program(value(1)))))
    with pytest.raises(TypeError, match="Expected second item in tuple to be str"), safe_globals([(int, 1)]):  # type: ignore[list-item]
        graphc.load(io.BytesIO(archive_of(program(value(1)))))


@pytest.mark.parametrize("format", ["safetensors", "torch"])
def test_errors_of_functions_for_locations_are_no_damage(format: Any) -> None:
    file = io.BytesIO()
    graphc.save([graphc.ones(2)], file, format=format)

    def load(place: Any) -> None:
        file.seek(0)
        graphc.load(file, map_location=place)

    with pytest.raises(ValueError, match="map_location gave an int"):
        load(lambda storage, location: 3)
    with pytest.raises(ZeroDivisionError):
        load(lambda storage, location: 1 / 0)
    with pytest.raises(KeyError, match="'cpu'"):
        load(lambda storage, location: {}[location])


def test_what_cannot_be_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    nest: list[Any] = []
    for _ in range(100_000):
        nest = [nest]
    with pytest.raises(CheckpointError, match="the object is nested too deeply to be pickled"):
        graphc.save(nest, io.BytesIO(), format="torch")
    floats = graphc.ones(2)
    with pytest.raises(RuntimeError, match="Cannot save multiple tensors or storages that view the same data as"):
        graphc.save([floats, floats.view(graphc.int32)], io.BytesIO(), format="torch")
    for odd in (np.zeros(1, [("a", "i4")]), np.array([None]), np.zeros(1, "V3")):
        with pytest.raises(CheckpointError, match="this is more: numpy's dtype"):
            graphc.save(odd, io.BytesIO(), format="safetensors")
    monkeypatch.setattr(safetensors, "LONGEST_HEADER", 100)
    with pytest.raises(CheckpointError, match="the header of the file would have 248 bytes, more than 100"):
        graphc.save(["x" * 100], io.BytesIO())
    assert archive.LARGEST_PICKLE > 100
    monkeypatch.setattr(archive, "LARGEST_PICKLE", 10)
    with pytest.raises(CheckpointError, match=r"the record 'data\.pkl' has \d+ bytes"):
        graphc.load(io.BytesIO(archive_of(program(value("x" * 100)))))


class Slotted:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 1


class WithState:
    def __getstate__(self) -> int:
        return 5

    def __setstate__(self, state: int) -> None:
        self.state = state


def test_objects_of_classes_that_the_user_vouches_for() -> None:
    file = io.BytesIO()
    graphc.save([Slotted(), WithState()], file)
    file.seek(0)
    with safe_globals([Slotted, WithState]):
        slotted, with_state = graphc.load(file)
    assert (slotted.a, with_state.state) == (1, 5)
    made = archive_of(program(call(name("builtins", "divmod"), value(7), value(4))))
    with safe_globals([divmod]):
        assert graphc.load(io.BytesIO(made)) == (1, 3)


def test_other_ways_to_write_what_is_allowed() -> None:
    """Protocols and Pythons write texts, sets, parameters and bytes in several ways."""
    parameter = name("torch.nn.parameter", "Parameter") + b"(" + TENSOR + b"t\x81"
    parts = (
        b"U\x01a", b"T\x02\0\0\0ab", call(name("collections", "OrderedDict"), value([("k", 1)])),
        name("builtins", "set") + b"]\x85\x81", call(name("builtins", "bytearray"), value("z"), value("latin-1")),
        parameter,
    )  # fmt: skip
    content = archive_of(program(b"](" + b"".join(parts) + b"e"), {"0": FLOATS})
    *plain, found = graphc.load(io.BytesIO(content))
    assert plain == ["a", "ab", {"k": 1}, set(), bytearray(b"z")]
    assert type(found) is nn.Parameter
    assert found.tolist() == [1, 2, 3, 4]


def test_attributes_of_parameters_and_tensors() -> None:
    parameter, tensor_ = nn.Parameter(graphc.ones(2)), graphc.ones(2)
    parameter.note = tensor_.note = "of its own"
    file = io.BytesIO()
    graphc.save([parameter, tensor_], file)
    file.seek(0)
    found = graphc.load(file)
    assert [type(each) for each in found] == [nn.Parameter, graphc.Tensor]
    assert [each.note for each in found] == ["of its own"] * 2


def test_bools_that_are_neither_0_nor_1() -> None:
    content = archive_of(program(tensor(storage("BoolStorage"), 0, (4,), (1,))), {"0": b"\0\1\2\xff"})
    assert graphc.load(io.BytesIO(content)).int().tolist() == [0, 1, 1, 1]
