"""Files that are damaged, or made to do harm: each gives one error, nothing is run, and memory is not exhausted."""

import io
import json
import pathlib
import pickle
import struct
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

import graphc
from graphc.serialization import CheckpointError, TruncatedCheckpoint, add_safe_globals, clear_safe_globals
from graphc.serialization.structure import STRUCTURE
from tests.serialization.archives import FLOATS, archive, call, name, program, storage, tensor, value

CANARY = "canary-that-must-not-be-there"


@pytest.fixture(autouse=True)
def _nothing_ran(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / CANARY).exists()


def refused(content: bytes, match: str | None = None) -> None:
    """The file is refused, from memory and from the disk, and leaves no other exception behind."""
    with pytest.raises(CheckpointError, match=match) as error:
        graphc.load(io.BytesIO(content))
    assert isinstance(error.value, pickle.UnpicklingError | RuntimeError)
    pathlib.Path("x.pt").write_bytes(content)
    with pytest.raises(CheckpointError):
        graphc.load("x.pt", mmap=True)


RUN = value(f"touch {CANARY}")
MAKE = value(f"open({CANARY!r}, 'w')")
ORDERED = call(name("collections", "OrderedDict"))
DEEP = b"]" * 100_000 + b"a" * 99_999


class Reduced:
    """An object whose pickle runs a command."""

    def __reduce__(self) -> Any:
        return exec, (f"open({CANARY!r}, 'w')",)


HARMFUL = {
    "os.system": call(name("os", "system"), RUN),
    "posix.system": call(name("posix", "system"), RUN),
    "system under the name of Python 2": call(name("__builtin__", "eval"), MAKE),
    "eval": call(name("builtins", "eval"), MAKE),
    "exec": call(name("builtins", "exec"), MAKE),
    "open": call(name("builtins", "open"), value(CANARY), value("w")),
    "getattr": call(name("builtins", "getattr"), name("collections", "OrderedDict"), value("__class__")),
    "subprocess": call(name("subprocess", "Popen"), RUN),
    "import": call(name("importlib", "import_module"), value("os")),
    "a function of ours": call(name("graphc.serialization.entry", "save"), value(1), value(CANARY)),
    "a module of ours": call(name("graphc", "save"), value(1), value(CANARY)),
    "load within load": call(name("torch.storage", "_load_from_bytes"), value(b"")),
    "attribute of a name": name("collections", "OrderedDict.fromkeys"),
    "dotted name in an allowed module": call(name("torch._utils", "os.system"), RUN),
    "call of a value": call(value("text"), value(1)),
    "call of a dict": call(ORDERED, value(1)),
    "call of a dtype": call(name("torch", "float32"), value(1)),
    "call of Tensor": call(name("torch", "Tensor"), value(10**12)),
    "call of ndarray": call(name("numpy", "ndarray"), value((10**12,))),
    "new object": name("subprocess", "Popen") + b"(" + RUN + b"t\x81",
    "new object of a value": value("text") + b")\x81",
    "new Tensor": name("torch", "Tensor") + value((10**12,)) + b"\x81",
    "new object with no tuple": name("collections", "OrderedDict") + value(1) + b"\x81",
    "object": b"(" + name("os", "system") + RUN + b"o",
    "instance": b"(" + RUN + b"ios\nsystem\n",
    "extension": b"\x82\x01",
    "state of a dict": value({}) + value({"a": 1}) + b"b",
    "state that hides a method": ORDERED + value({"items": 1}) + b"b",
    "state of a tensor": tensor(storage(), 0, (4,), (1,)) + value({"_array": 1}) + b"b",
    "class of an object": ORDERED + value({"__class__": 1}) + b"b",
    "persistent id of another kind": value(("module", "os", "x")) + b"Q",
    "persistent id that is no tuple": value("/etc/passwd") + b"Q",
    "storage of a class": b"(" + value("storage") + name("collections", "OrderedDict") + value("0") + b"NNtQ",
    "tensor without storage": tensor(value("storage"), 0, (4,), (1,)),
    "append to a tensor": tensor(storage(), 0, (4,), (1,)) + value(1) + b"a",
    "append to a class": name("collections", "OrderedDict") + value(1) + b"a",
    "item of a list": value([1]) + value(0) + value(1) + b"s",
    "item of a class": name("collections", "OrderedDict") + value("x") + value(1) + b"s",
    "odd items": value({}) + b"(" + value(1) + b"u",
    "unhashable key": value({}) + value([]) + value(1) + b"s",
    "unhashable item": call(name("builtins", "set"), value([[1]])),
    "set of a text": call(name("builtins", "set"), value("abc")),
    "bytearray of a number": call(name("builtins", "bytearray"), value(10**12)),
    "bytes of a number": call(name("builtins", "bytes"), value(10**12)),
    "size of texts": call(name("torch", "Size"), value(("a",))),
    "device of a number": call(name("torch", "device"), value(0)),
    "device of no type": call(name("torch", "device"), value("nowhere")),
    "complex of texts": call(name("builtins", "complex"), value("1"), value("2")),
    "another encoding": call(name("_codecs", "encode"), value("x"), value("zip")),
    "layout": call(name("torch.serialization", "_get_layout"), value("__class__")),
    "rebuild by another function": call(
        name("torch._tensor", "_rebuild_from_type_v2"), name("builtins", "set"), name("torch", "Tensor"), value(()),
        value({}),
    ),
    "attribute that hides a method": call(
        name("torch._tensor", "_rebuild_from_type_v2"), name("torch._utils", "_rebuild_tensor"),
        name("torch", "Tensor"), b"(" + storage() + value(0) + value((4,)) + value((1,)) + b"t", value({"sum": 1}),
    ),
    "objects of numpy": call(name("numpy", "dtype"), value("O8"), value(False), value(True)),
    "records of numpy": call(name("numpy", "dtype"), value("V8"), value(False), value(True)),
    "dtype with fields": call(name("numpy", "dtype"), value("f8")) + value((3, "<", None, ("a",), {}, 8, 8, 0)) + b"b",
    "number of numpy with too few bytes": call(
        name("numpy.core.multiarray", "scalar"), call(name("numpy", "dtype"), value("f8")), b"C\x04abcd"
    ),
    "array of numpy with too few bytes": call(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), value((0,)), value("b")
    ) + b"(" + value(1) + value((10**9,)) + call(name("numpy", "dtype"), value("f8")) + value(False) + b"C\x01atb",
    "array of another class": call(name("numpy.core.multiarray", "_reconstruct"), name("torch", "Tensor"), value((0,))),
    "array of numpy with many dimensions": call(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), value((0,)), value("b")
    ) + b"(" + value(1) + value((2**62,) * 100_000) + call(name("numpy", "dtype"), value("f8")) + b"\x89C\x01atb",
    "call of a deep nest": DEEP + b")R",
    "new object of a deep nest": DEEP + b")\x81",
    "persistent id of a deep nest": DEEP + b"\x85Q",
    "memo that is not there": b"h\x07",
    "nothing on the stack": b"0",
    "call of nothing": b"R",
    "mark of nothing": b"t",
    "longer than the file": b"X\xff\xff\xff\xff",
    "longer than memory": b"\x8e" + b"\xff" * 8,
    "wide int": b"\x8b\xff\xff\xff\x7f",
    "name without end": b"cos" + b"x" * 10_000,
    "unknown instruction": b"\xfe",
    "text instruction": b"I1\n",
    "not UTF-8": b"X\x01\x00\x00\x00\xff",
    "protocol": b"\x80\x09",
}  # fmt: skip


@pytest.mark.parametrize("what", HARMFUL)
def test_harmful_pickles(what: str) -> None:
    refused(archive(program(HARMFUL[what]), {"0": FLOATS}))
    with pytest.raises(CheckpointError):
        graphc.load(io.BytesIO(legacy(program(HARMFUL[what]), pickle.dumps([], 2))))


def test_an_ordinary_hostile_pickle() -> None:
    for protocol in range(2, 6):
        refused(archive(pickle.dumps({"weight": Reduced()}, protocol)), r"GLOBAL exec was not an allowed global")


def test_modules_that_nobody_can_vouch_for() -> None:
    import os

    add_safe_globals([(os.system, "os.system"), (os.system, "posix.system")])
    try:
        refused(archive(program(HARMFUL["os.system"])), "whose module os is blocked")
        refused(archive(program(HARMFUL["posix.system"])), "whose module posix is blocked")
    finally:
        clear_safe_globals()


PLACES = {
    "beyond the end": (2, (3,), (1,)),
    "far offset": (10**18, (1,), (1,)),
    "negative offset": (-1, (1,), (1,)),
    "offset that is no int": (0.5, (1,), (1,)),
    "huge offset": (2**70, (1,), (1,)),
    "huge stride": (0, (2,), (2**62,)),
    "negative stride": (3, (4,), (-1,)),
    "negative size": (0, (-1,), (1,)),
    "many elements": (0, (2**40, 2**40), (0, 0)),
    "empty and huge": (0, (0, 2**62, 2**62), (0, 0, 0)),
    "sizes and strides": (0, (2, 2), (1,)),
    "many dimensions": (0, (1,) * 100, (1,) * 100),
    "size that is no tuple": (0, 4, 1),
    "size that is no int": (0, (4.0,), (1,)),
    "bool for a size": (0, (True,), (1,)),
}


@pytest.mark.parametrize("what", PLACES)
def test_places_outside_the_memory(what: str) -> None:
    refused(archive(program(tensor(storage(), *PLACES[what])), {"0": FLOATS}))


@pytest.mark.parametrize(
    "memory",
    [storage(count=5), storage(count=3), storage(count=-4), storage(count=2**61), storage(key="1"), storage(key="../0"),
     storage(key="/etc/passwd"), storage(location="nowhere"), storage("NoStorage"), storage("os")],
)  # fmt: skip
def test_storages_that_are_not_there(memory: bytes) -> None:
    refused(archive(program(tensor(memory, 0, (1,), (1,))), {"0": FLOATS}))


def test_nests_that_are_costly() -> None:
    """A tuple of two references to the one before it, again and again: small, but endless to walk."""
    step = b"h%ch%c\x86q%c0"
    doubled = value(()) + b"q\x000" + b"".join(step % (n, n, n + 1) for n in range(100)) + b"h\x64"
    for use in (b"}" + doubled + value(1) + b"s", call(name("builtins", "set"), b"]" + doubled + b"a")):
        refused(archive(program(use)), "key in the file")
    deep = b")" + b"\x85" * 100_000
    refused(archive(program(b"}" + deep + value(1) + b"s")), "key in the file")
    nested = graphc.load(io.BytesIO(archive(program(DEEP))))
    assert type(nested) is list


GOOD = archive(program(tensor(storage(), 0, (4,), (1,))), {"0": FLOATS})


def test_truncated_archives() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(CheckpointError):
            graphc.load(io.BytesIO(GOOD[:length]))


def test_damaged_archives() -> None:
    """Any byte may be wrong: there is an error of ours, or the value is right."""
    for place in range(len(GOOD)):
        damaged = bytearray(GOOD)
        damaged[place] ^= 0xFF
        try:
            found = graphc.load(io.BytesIO(bytes(damaged)))
        except CheckpointError:
            continue
        assert found.tolist() == [1, 2, 3, 4]


def test_wrong_checksums() -> None:
    at = GOOD.index(FLOATS)
    refused_content = GOOD[:at] + b"\x01" + GOOD[at + 1 :]
    with pytest.raises(CheckpointError, match="Bad CRC-32"):
        graphc.load(io.BytesIO(refused_content))


def zipped(*records: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as target:
        for path, content in records:
            target.writestr(path, content)
    return file.getvalue()


PICKLE = program(tensor(storage(count=10**8), 0, (4,), (1,)))
ZIPS = {
    "no pickle": zipped(("archive/x", b"")),
    "pickle at the top": zipped(("data.pkl", program(value(1)))),
    "two pickles": zipped(("a/data.pkl", program(value(1))), ("b/data.pkl", program(value(1)))),
    "compressed": zipped(("a/data.pkl", program(value([0] * 10_000))), compression=zipfile.ZIP_DEFLATED),
    "bomb": zipped(("a/data.pkl", PICKLE), ("a/data/0", bytes(4 * 10**6)), compression=zipfile.ZIP_DEFLATED),
    "empty": zipped(),
    "order of bytes": archive(program(value(1)), byteorder=b"middle"),
}


@pytest.mark.parametrize("what", ZIPS)
def test_archives_of_other_shapes(what: str) -> None:
    refused(ZIPS[what])


def test_records_that_overlap() -> None:
    """Many entries of the directory for the same bytes, each of which would be read anew."""
    content = bytearray(zipped(("a/data.pkl", program(value(1))), *((f"a/data/{n}", b"\0" * 64) for n in range(9))))
    end = content.rindex(b"PK\x05\x06")
    at = struct.unpack_from("<I", content, end + 16)[0]
    for _ in range(10):
        struct.pack_into("<I", content, at + 24, 1000)  # sizes, claimed to be larger
        struct.pack_into("<I", content, at + 20, 1000)
        at += 46 + sum(struct.unpack_from("<HHH", content, at + 28))
    refused(bytes(content), "more bytes than the file")


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_safetensors_written_by_hand_are_good_ones() -> None:
    assert graphc.load(io.BytesIO(safetensors({"x": entry()}, FLOATS)))["x"].tolist() == [1, 2, 3, 4]


HEADERS = {
    "longer than the file": safetensors({"x": entry()}, FLOATS, length=10**6),
    "longer than allowed": safetensors({"x": entry()}, FLOATS, length=2**63),
    "no JSON": safetensors(b"{nonsense", FLOATS),
    "no object": safetensors(b"{}"[:1] + b"]", FLOATS),
    "deep JSON": safetensors(b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "name twice": safetensors(b"{" + b",".join([b'"x":' + json.dumps(entry()).encode()] * 2) + b"}", FLOATS),
    "no entry": safetensors({"x": 1}),
    "lacks a field": safetensors({"x": {"dtype": "F32", "shape": [4]}}, FLOATS),
    "dtype": safetensors({"x": entry("Q4")}, FLOATS),
    "dtype that is no text": safetensors({"x": entry(["F32"])}, FLOATS),  # type: ignore[arg-type]
    "shape": safetensors({"x": entry(shape=(5,))}, FLOATS),
    "negative shape": safetensors({"x": entry(shape=(-2, -2))}, FLOATS),
    "huge shape": safetensors({"x": entry(shape=(2**62, 2**62, 2**62))}, FLOATS),
    "many dimensions": safetensors({"x": entry(shape=(1,) * 99 + (4,))}, FLOATS),
    "very many dimensions": safetensors({"x": entry(shape=(2**62,) * 100_000)}, FLOATS),
    "shape of texts": safetensors({"x": entry(shape=("4",))}, FLOATS),
    "beyond the end": safetensors({"x": entry(offsets=(8, 24))}, FLOATS),
    "backwards": safetensors({"x": entry(offsets=(16, 0))}, FLOATS),
    "three offsets": safetensors({"x": entry(offsets=(0, 16, 16))}, FLOATS),
    "no offsets": safetensors({"x": entry(offsets=())}, FLOATS),
    "overlap": safetensors({"x": entry(), "y": entry()}, FLOATS),
    "gap": safetensors({"x": entry(offsets=(4, 20))}, FLOATS + b"1234"),
    "more data": safetensors({"x": entry()}, FLOATS + b"1"),
    "less data": safetensors({"x": entry()}, FLOATS[:-1]),
    "notes that are no texts": safetensors({"__metadata__": {"a": 1}, "x": entry()}, FLOATS),
    "notes that are no object": safetensors({"__metadata__": 1, "x": entry()}, FLOATS),
    "not a number": safetensors(b'{"x":NaN}', FLOATS),
}  # fmt: skip


@pytest.mark.parametrize("what", HEADERS)
def test_safetensors_headers(what: str) -> None:
    refused(HEADERS[what], "safetensors|Invalid magic number")


def told(table: list[Any], root: Any = None, version: Any = 1) -> bytes:
    text = json.dumps({"version": version, "root": [0] if root is None else root, "table": table})
    return safetensors({"__metadata__": {STRUCTURE: text}, "x": entry()}, FLOATS)


def at(**facts: Any) -> list[Any]:
    return ["tensor", {"entry": "x", "dtype": "float32", "shape": [4], **facts}]


TABLES = {
    "another version": told([], version=2),
    "no such item": told([["list", [[7]]]]),
    "negative item": told([["list", [[-1]]]]),
    "a value of another kind": told([["list", [{"z": 1}]]]),
    "item that contains itself": told([["tuple", [[0]]]]),
    "items that contain each other": told([["tuple", [[1]]], ["tuple", [[0]]]]),
    "kind": told([["os.system", "x"]]),
    "attribute for a kind": told([["__class__", {}]]),
    "kind that is no text": told([[["list"], []]]),
    "no kind": told([[]]),
    "parts": told([["list", 5]]),
    "odd dict": told([["dict", [1]]]),
    "key": told([["dict", [[1], 2]], ["list", []]]),
    "item of a set": told([["set", [[1]]], ["list", []]]),
    "size of texts": told([["Size", ["a"]]]),
    "bytes": told([["bytes", "?"]]),
    "bits": told([["list", [{"f": "zz" * 8}]]]),
    "digits": told([["list", [{"i": "0xz"}]]]),
    "complex": told([["complex", 1, "a"]]),
    "dtype": told([["dtype", "float33"]]),
    "device": told([["device", "nowhere"]]),
    "name": told([["named", "__doc__"]]),
    "numpy's objects": told([["numpy.dtype", "|O"]]),
    "numpy's records": told([["numpy.raw", "i4,O", [1], ""]]),
    "numpy's bytes": told([["numpy.raw", "<f8", [4], "AAAA"]]),
    "numpy's sizes": told([["numpy.raw", "<f8", [-1], ""]]),
    "numpy's scalar": told([["numpy.scalar", "<f8", "AAAA"]]),
    "array that is not there": told([at(entry="y")]),
    "array of a file": told([at(entry="../x")]),
    "place": told([at(shape=[5])]),
    "offset": told([at(stride=[1], offset=2, view=True)]),
    "negative offset": told([at(stride=[1], offset=-1, view=True)]),
    "strides": told([at(stride=[2], offset=0)]),
    "negative strides": told([at(stride=[-1], offset=3, view=True)]),
    "dtype of a tensor": told([at(dtype="object")]),
    "gradient of an int": told([at(dtype="int32", requires_grad=True)]),
    "attributes": told([["OrderedDict", [], [1]], ["dict", ["items", 1]]]),
    "attributes that are no dict": told([["OrderedDict", [], 1]]),
    "no table": safetensors({"__metadata__": {STRUCTURE: "{}"}}),
    "no JSON": safetensors({"__metadata__": {STRUCTURE: "["}}),
    "deep JSON": safetensors({"__metadata__": {STRUCTURE: "[" * 200_000}}),
    "wide number": safetensors({"__metadata__": {STRUCTURE: '{"version":1,"table":[],"root":' + "9" * 10_000 + "}"}}),
}


@pytest.mark.parametrize("what", TABLES)
def test_structures_of_our_own_files(what: str) -> None:
    if what == "wide number" and not hasattr(sys, "get_int_max_str_digits"):
        pytest.skip("this Python converts numbers of any length")
    refused(TABLES[what])


def test_damaged_files_of_our_own() -> None:
    """Any byte of the header may be wrong: there is an error of ours, or something harmless."""
    file = io.BytesIO()
    graphc.save({"a": graphc.arange(3), "b": [(1, 2.5), {"k": graphc.ones(2).t()}, graphc.Size([1])]}, file)
    good = file.getvalue()
    for place in range(len(good)):
        for flip in (0xFF, 0x01, 0x10):
            damaged = bytearray(good)
            damaged[place] ^= flip
            try:
                graphc.load(io.BytesIO(bytes(damaged)))
            except CheckpointError:
                continue
    for length in range(len(good)):
        with pytest.raises(CheckpointError):
            graphc.load(io.BytesIO(good[:length]))


def test_files_of_no_known_format() -> None:
    with pytest.raises(TruncatedCheckpoint, match="Ran out of input"):
        graphc.load(io.BytesIO())
    for content in (
        b"x",
        b"\x93NUMPY",
        b"GIF89a" + bytes(100),
        pickle.dumps([1]),
        pickle.dumps(Reduced()),
    ):
        refused(content, "Invalid magic number; corrupt file")


MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)


def legacy(*pickles: bytes, data: bytes = b"", version: int = 1001) -> bytes:
    return MAGIC + pickle.dumps(version, 2) + pickle.dumps({}, 2) + b"".join(pickles) + data


OLD_STORAGE = storage()[:-2] + b"NtQ"
OLD = program(tensor(OLD_STORAGE, 0, (4,), (1,)))
NAMES = pickle.dumps(["0"], 2)
SIZED = struct.pack("<q", 4) + FLOATS


def test_old_files_written_by_hand_are_good_ones() -> None:
    assert graphc.load(io.BytesIO(legacy(OLD, NAMES, data=SIZED))).tolist() == [1, 2, 3, 4]


LEGACY = {
    "version": legacy(OLD, NAMES, data=SIZED, version=7),
    "wide version": legacy(OLD, NAMES, data=SIZED, version=2**40_000),
    "deep version": MAGIC + program(DEEP),
    "version that is a tensor": MAGIC + program(tensor(OLD_STORAGE, 0, (4,), (1,))),
    "no names": legacy(OLD),
    "names of nothing": legacy(OLD, pickle.dumps(["0", "1"], 2), data=SIZED + SIZED),
    "no storage": legacy(OLD, pickle.dumps([], 2)),
    "names that are no texts": legacy(OLD, pickle.dumps([0], 2), data=SIZED),
    "twice": legacy(OLD, pickle.dumps(["0", "0"], 2), data=SIZED + SIZED),
    "size": legacy(OLD, NAMES, data=struct.pack("<q", 10**12) + FLOATS),
    "truncated": legacy(OLD, NAMES, data=SIZED[:-1]),
    "claims much": legacy(
        program(tensor(OLD_STORAGE.replace(value(4), value(10**11)), 0, (4,), (1,))), NAMES, data=SIZED
    ),
}


@pytest.mark.parametrize("what", LEGACY)
def test_old_files(what: str) -> None:
    refused(LEGACY[what])
