"""Tensors and numpy's arrays, buffers and DLPack: shared memory, functions of numpy on tensors, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graphc as torch


def test_from_numpy_and_numpy_share_memory() -> None:
    array = np.arange(6.0).reshape(2, 3)
    tensor = torch.from_numpy(array)
    array[0, 0] = 10
    tensor[1, 2] = 20
    assert tensor[0, 0].item() == 10
    assert array[1, 2] == 20
    tensor.mul_(2)
    assert array[0, 0] == 20
    back = tensor.numpy()
    back[0, 1] = -1
    assert tensor[0, 1].item() == -1
    assert torch.from_numpy(array[:, ::2]).stride() == (3, 2)
    assert torch.from_numpy(np.array(5.0)).shape == ()


def test_as_tensor_copies_only_where_it_must() -> None:
    array = np.ones(2)
    assert torch.as_tensor(array).data_ptr() == array.ctypes.data
    assert torch.as_tensor(array, dtype=torch.float32).tolist() == [1.0, 1.0]
    x = torch.ones(2, requires_grad=True)
    assert torch.as_tensor(x) is x
    assert torch.as_tensor(x, dtype=torch.float64).requires_grad
    assert torch.as_tensor([1, 2.5]).dtype is torch.float32


def test_asarray_takes_what_has_memory() -> None:
    array = np.ones(2)
    assert torch.asarray(array).data_ptr() == array.ctypes.data
    assert torch.asarray(array, copy=True).data_ptr() != array.ctypes.data
    assert torch.asarray([1.0], requires_grad=True).requires_grad
    assert torch.asarray(bytearray(b"abcd"), dtype=torch.int16).tolist() == [25185, 25699]
    assert torch.asarray(3).dtype is torch.int64
    x = torch.ones(1, requires_grad=True)
    assert not torch.asarray(x, requires_grad=False).requires_grad
    with pytest.warns(UserWarning, match="unspecified requires_grad now defaults to obj.requires_grad"):
        assert torch.asarray(x) is x


def test_buffers() -> None:
    memory = bytearray(8)
    tensor = torch.frombuffer(memory, dtype=torch.int32)
    tensor[1] = 1
    assert memory == b"\0\0\0\0\1\0\0\0"
    assert torch.frombuffer(memory, dtype=torch.int32, offset=4).tolist() == [1]
    assert torch.frombuffer(memory, dtype=torch.uint8, count=2).shape == (2,)


def test_files_are_mapped_to_memory(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    np.arange(4.0).tofile(path)
    own = torch.from_file(str(path), size=3, dtype=torch.float64)
    own += 1
    assert own.tolist() == [1.0, 2.0, 3.0]
    assert np.fromfile(path).tolist() == [0.0, 1.0, 2.0, 3.0]
    shared = torch.from_file(str(path), shared=True, size=5, dtype=torch.float64)
    shared += 1
    assert np.fromfile(path).tolist() == [1.0, 2.0, 3.0, 4.0, 1.0]
    assert torch.from_file(str(tmp_path / "new"), True, 2).tolist() == [0.0, 0.0]
    assert torch.from_file(str(path)).shape == (0,)
    with pytest.raises(RuntimeError, match=r"size <40> is smaller than the required mapping size <48>$"):
        torch.from_file(str(path), size=6, dtype=torch.float64)
    with pytest.raises(
        RuntimeError, match=r"^unable to open file <.*> in read-only mode: No such file or directory \(2\)$"
    ):
        torch.from_file(str(tmp_path / "none"), size=1)
    with pytest.raises(RuntimeError, match=r"^unable to mmap -4 bytes"):
        torch.from_file(str(path), size=-1)


def test_read_only_memory_is_warned_about() -> None:
    with pytest.warns(UserWarning, match="The given NumPy array is not writable"):
        torch.from_numpy(np.broadcast_to(np.ones(2), (2, 2)))
    with pytest.warns(UserWarning, match="The given buffer is not writable"):
        torch.frombuffer(b"abcd", dtype=torch.uint8)


def test_dlpack_both_ways() -> None:
    array = np.arange(3.0)
    tensor = torch.from_dlpack(array)
    tensor[0] = 7
    assert array[0] == 7
    shared = np.from_dlpack(tensor)
    assert shared.ctypes.data == array.ctypes.data
    capsule = torch.to_dlpack(tensor)
    again = torch.from_dlpack(capsule)
    assert again.data_ptr() == tensor.data_ptr()
    again.add_(1)
    assert array.tolist() == [8.0, 2.0, 3.0]
    assert tuple(tensor.__dlpack_device__()) == (1, 0)
    assert torch.from_dlpack(torch.ones(2, 3).t()).stride() == (1, 3)


def test_the_module_of_dlpack() -> None:
    tensor = torch.ones(2)
    shared = torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(tensor))
    assert shared.data_ptr() == tensor.data_ptr()


def test_numpy_functions_take_tensors() -> None:
    x = torch.tensor([1.0, 4.0])
    total = np.add(x, x)
    assert isinstance(total, torch.Tensor)
    assert total.tolist() == [2.0, 8.0]
    assert np.sqrt(x).tolist() == [1.0, 2.0]
    assert np.isnan(x).dtype is torch.uint8
    assert np.asarray(x, dtype=np.int32).tolist() == [1, 4]
    assert np.array(x).ctypes.data != x.data_ptr()
    assert np.asarray(x).ctypes.data == x.data_ptr()
    assert np.concatenate([x, x]).shape == (4,)
    assert np.allclose(x, np.array([1.0, 4.0]))


def test_operators_with_numpy_scalars_and_arrays() -> None:
    x = torch.ones(2)
    assert (np.float64(2) * x).dtype is torch.float32
    assert (x * np.float64(2)).tolist() == [2.0, 2.0]
    assert (np.int64(3) - x).tolist() == [2.0, 2.0]
    assert (torch.ones(2, dtype=torch.int64) + np.float32(2)).dtype is torch.float32
    assert (x + np.ones(2)).dtype is torch.float64
    assert (np.ones(2) + x).dtype is torch.float64
    array = np.ones(2)
    array *= x.numpy()
    assert array.tolist() == [1.0, 1.0]


def test_force_gives_numpy_what_requires_gradients() -> None:
    assert torch.ones(2, requires_grad=True).numpy(force=True).tolist() == [1.0, 1.0]


def test_memory_is_given_where_no_gradients_are_recorded() -> None:
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        x.numpy()[0] = 3
        assert np.asarray(x).tolist() == [3.0, 1.0]
    assert x.tolist() == [3.0, 1.0]


NEEDS_DETACH = "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
SUPPORTED = (
    "The only supported types are: float64, float32, float16, complex64, complex128, int64, int32, int16, int8, "
    "uint64, uint32, uint16, uint8, and bool."
)
REFUSALS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (
        lambda: torch.from_numpy(np.arange(4)[::-1]),
        ValueError,
        "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently "
        "supported. (You can probably work around this by making a copy of your array  with array.copy().) ",
    ),
    (lambda: torch.from_numpy([1]), TypeError, "expected np.ndarray (got list)"),
    (lambda: torch.from_numpy(np.float32(1)), TypeError, "expected np.ndarray (got numpy.float32)"),
    (lambda: torch.from_numpy(np.array(["a"])), TypeError, f"can't convert np.ndarray of type numpy.str_. {SUPPORTED}"),
    (
        lambda: torch.tensor(np.array([object()])),
        TypeError,
        f"can't convert np.ndarray of type numpy.object_. {SUPPORTED}",
    ),
    (
        lambda: torch.from_numpy(np.array([1], ">i4")),
        ValueError,
        "given numpy array has byte order different from the native byte order. Conversion between byte orders is "
        "currently not supported.",
    ),
    (
        lambda: torch.from_numpy(np.zeros(3, [("a", "i4"), ("b", "i1")])["a"]),
        ValueError,
        "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the "
        "memory.",
    ),
    (lambda: torch.ones(2, requires_grad=True).numpy(), RuntimeError, NEEDS_DETACH),
    (lambda: np.asarray(torch.ones(2, requires_grad=True)), RuntimeError, NEEDS_DETACH),
    (lambda: torch.ones(2, dtype=torch.bfloat16).numpy(), TypeError, "Got unsupported ScalarType BFloat16"),
    (
        lambda: torch.ones(2, requires_grad=True).__dlpack__(),
        BufferError,
        "Can't export tensors that require gradient, use tensor.detach()",
    ),
    (lambda: torch.asarray([1, 2], copy=False), ValueError, "can't alias arbitrary sequence into a tensor."),
    (
        lambda: torch.asarray(np.ones(2), dtype=torch.float32, copy=False),
        ValueError,
        "can't alias tensor with dtype 'Double' into dtype 'Float'.",
    ),
    (
        lambda: torch.frombuffer(bytearray(7), dtype=torch.float32),
        ValueError,
        "buffer length (7 bytes) after offset (0 bytes) must be a multiple of element size (4)",
    ),
    (
        lambda: torch.frombuffer(bytearray(8), dtype=torch.float32, offset=8),
        ValueError,
        "offset (8 bytes) must be non-negative and no greater than buffer length (8 bytes) minus 1",
    ),
    (
        lambda: torch.frombuffer(bytearray(8), dtype=torch.float32, count=3),
        ValueError,
        "requested buffer length (3 * 4 bytes) after offset (0 bytes) must not be greater than actual buffer length "
        "(8 bytes)",
    ),
    (
        lambda: torch.frombuffer(bytearray(0), dtype=torch.float32),
        ValueError,
        "both buffer length (0) and count (-1) must not be 0",
    ),
    (
        lambda: torch.frombuffer([1], dtype=torch.float32),
        ValueError,
        "object does not implement Python buffer protocol.",
    ),
    (
        lambda: torch.from_dlpack([1]),
        RuntimeError,
        "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you might "
        "have already constructed a tensor from it once.",
    ),
]


@pytest.mark.parametrize("case", REFUSALS, ids=range(len(REFUSALS)))
def test_refusals(case: tuple[Callable[[], object], type[Exception], str]) -> None:
    call, kind, text = case
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
