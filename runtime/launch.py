"""From Python into a program: one call, whose cost for small arrays is far below a microsecond.

In: the address of a program's entry and the types of what it takes and gives. Out: a `Launcher` with two ways in.

    fast(*arrays)       takes arrays only if they are exactly right, and says None otherwise; on CPython it is a builtin
                        function made of machine code
    run(arrays, sizes)  takes arrays that the caller has checked and converted, and the values of the symbolic sizes

Both return the outputs as a tuple, or the program's status, an int, where that is not 0. The program's entry is
`i32 entry(ptr block)`; the block is made of 64-bit words: addresses of inputs, of outputs, of constants, then plain
words of the program, the values of the sizes, and the address of the arena.
"""

from __future__ import annotations

import ctypes
import importlib
import platform
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import Size, Symbol, evaluate
from graphc.ir.type import TensorType
from graphc.runtime import cache, engine
from graphc.runtime.arena import shared_arena
from graphc.runtime.buffer import WORTH_KEEPING, allocate, empty
from graphc.runtime.launch_code import (
    ARRAY_DATA,
    ARRAY_DTYPE,
    ARRAY_FLAGS,
    ARRAY_RANK,
    ARRAY_SIZES,
    HEAD,
    OBJECT_TYPE,
    PYTHON_FUNCTIONS,
    call_text,
    enter_text,
)
from graphc.runtime.lock import LOCK
from graphc.runtime.target import native_target

AnyArray: TypeAlias = npt.NDArray[Any]
Result: TypeAlias = "tuple[AnyArray, ...] | int"

_NEEDED_FLAGS = 0x0001 | 0x0100  # NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ALIGNED
_MOST_WORDS = 4096  # of a block, which lies on the stack


class Launcher:
    """A program that can be called. Threads may call it at once; each call has an arena to itself."""

    array_type = np.ndarray
    """What results are."""

    def __init__(
        self,
        entry: int,
        inputs: Sequence[TensorType],
        outputs: Sequence[TensorType],
        *,
        constants: Sequence[AnyArray] = (),
        words: Sequence[int] = (),
        sizes: Sequence[Symbol] = (),
        arena_bytes: Size = 0,
        code: Sequence[object] = (),
        release_lock: bool = True,
        native: bool | None = None,
    ) -> None:
        """`release_lock` lets other Python threads run meanwhile, for 0.05 us; `native` chooses how `fast` is made.

        `code` must live as long as the launcher, or what it gives as `fast`.
        """
        self._code = tuple(code)
        self._entry = entry
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._constants = tuple(constants)
        self._plain_words = tuple(words)
        self._sizes = tuple(sizes)
        self._arena_bytes = arena_bytes
        self._releases_lock = release_lock
        self._enter = _enter(release_lock)
        self._fast_path: _FastPath = _NativePath(self) if _is_native(native) else _PythonPath(self)
        self.fast: Callable[..., Result | None] = self._fast_path.call

    def another(self) -> Launcher:
        """A launcher of the same program, whose `fast` expects sizes of its own."""
        return Launcher(
            self._entry,
            self._inputs,
            self._outputs,
            constants=self._constants,
            words=self._plain_words,
            sizes=self._sizes,
            arena_bytes=self._arena_bytes,
            code=self._code,
            release_lock=self._releases_lock,
            native=isinstance(self._fast_path, _NativePath),
        )

    def laid_out(self, array: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
        """The array as kernels read it: this machine's byte order, C-contiguous, aligned; itself if it is."""
        ready = np.require(array, dtype=dtype, requirements=("C", "A"))
        return ready.reshape(array.shape)  # numpy makes one dimension of none

    def copy_into(self, target: AnyArray, source: AnyArray) -> None:
        """Write an array's elements to another one of its dtype."""
        np.copyto(target, source.reshape(target.shape))

    def on_host(self, array: AnyArray) -> AnyArray:
        """The array where numpy reads it."""
        return array

    def run(self, arrays: Sequence[AnyArray], sizes: Mapping[str, int]) -> Result:
        """Run on arrays of the right dtypes and sizes, C-contiguous and aligned, where `sizes` are their symbols."""
        values = {symbol.name: sizes[symbol.name] for symbol in self._sizes}
        result = self._run(arrays, values)
        if values != self._fast_path.values:
            self._fast_path.settle(values)
        return result

    def _run(self, arrays: Sequence[AnyArray], values: Mapping[str, int]) -> Result:
        assert len(arrays) == len(self._inputs)
        for array, type in zip(arrays, self._inputs):
            assert array.dtype == type.dtype.numpy
            assert array.shape == self.shape(type, values)
            assert array.flags.c_contiguous
            assert array.flags.aligned
        results = tuple(empty(self.shape(type, values), type.dtype.numpy) for type in self._outputs)
        arena = allocate(evaluate(self._arena_bytes, values))
        words = [_address(array) for array in (*arrays, *results)]
        words += self.constant_words(values)
        words.append(arena.address)
        block = (ctypes.c_int64 * len(words))(*words)
        status: int = self._enter(self._entry, block)
        return status or results

    def shape(self, type: TensorType, values: Mapping[str, int]) -> tuple[int, ...]:
        """A type's shape in numbers."""
        return tuple(evaluate(size, values) for size in type.shape)

    def constant_words(self, values: Mapping[str, int]) -> list[int]:
        """The words of the block between the outputs and the arena."""
        addresses = (_address(array) for array in self._constants)
        return [*addresses, *self._plain_words, *(values[symbol.name] for symbol in self._sizes)]


class _PythonPath:
    """`fast` in Python, for interpreters whose objects we cannot read; the same behaviour."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._wanted: tuple[dict[str, int], tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]] | None = None

    @property
    def values(self) -> dict[str, int] | None:
        """The sizes that are expected."""
        return None if self._wanted is None else self._wanted[0]

    def settle(self, values: dict[str, int]) -> None:
        """Expect these sizes from now on."""
        launcher = self._launcher
        self._wanted = values, tuple((type.dtype.numpy, launcher.shape(type, values)) for type in launcher._inputs)

    def call(self, *arrays: object) -> Result | None:
        if self._wanted is None:
            return None
        values, wanted = self._wanted
        if len(arrays) != len(wanted):
            return None
        for array, (dtype, shape) in zip(arrays, wanted):
            if type(array) is not np.ndarray or array.dtype is not dtype or array.shape != shape:
                return None
            if not (array.flags.c_contiguous and array.flags.aligned):
                return None
        return self._launcher._run(arrays, values)  # type: ignore[arg-type]  # the loop has seen that all are arrays


class _NativePath:
    """`fast` as a builtin function over a table of this launcher, which always describes one choice of sizes."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.values: dict[str, int] | None = None
        self._lock = threading.Lock()
        kinds = (*launcher._inputs, *launcher._outputs)
        constant_words = len(launcher._constants) + len(launcher._plain_words) + len(launcher._sizes)
        records = 3 * len(launcher._inputs) + 2 * len(launcher._outputs) + sum(len(kind.shape) for kind in kinds)
        self._is_usable = len(kinds) + constant_words < _MOST_WORDS
        self._table = bytearray(8 * (len(HEAD) + constant_words + records))
        # Holding a view keeps the table from moving. What must live as long as the function hangs on it as its
        # module, which for CPython is any object.
        self._words = (ctypes.c_int64 * (len(self._table) // 8)).from_buffer(self._table)
        self._alive: list[object] = [None, launcher._constants, kinds, self._words, launcher._code]
        runtime = _call_runtime()
        self._words[tuple(HEAD).index("inputs")] = -1  # no number of arguments is right before the first sizes
        self._words[tuple(HEAD).index("none")] = id(None)
        self.call: Callable[..., Result | None] = runtime.make_function(self._table, self._alive)

    def settle(self, values: dict[str, int]) -> None:
        """Write the table for these sizes; the function goes by the old one until all is written, at once."""
        launcher = self._launcher
        shapes = [launcher.shape(type, values) for type in launcher._outputs]
        itemsizes = [type.dtype.itemsize for type in launcher._outputs]
        largest = max((_nbytes(shape, itemsize) for shape, itemsize in zip(shapes, itemsizes)), default=0)
        if not self._is_usable or largest >= WORTH_KEEPING:
            # Large results come from the store of blocks, by `run`; the table may keep what it describes.
            self.values = values
            self._disable()
            return
        constants = launcher.constant_words(values)
        records: list[int] = []
        for type in launcher._inputs:
            records += (id(type.dtype.numpy), _NEEDED_FLAGS, len(type.shape), *launcher.shape(type, values))
        for type, shape in zip(launcher._outputs, shapes):
            records += (id(type.dtype.numpy), len(shape), *shape)
        arena_bytes = evaluate(launcher._arena_bytes, values)
        with self._lock:
            self.values = None
            arena = shared_arena(arena_bytes)
            runtime = _call_runtime()
            head = {
                "entry_point": launcher._entry,
                "inputs": len(launcher._inputs),
                "outputs": len(launcher._outputs),
                "constant_words": len(constants),
                "first_record": 8 * (len(HEAD) + len(constants)),
                "releases_lock": int(launcher._releases_lock),
                "arena": arena.address,
                "arena_flag": arena.flag_at,
                "arena_owner": id(arena),
                "none": id(None),
                "array_type": id(np.ndarray),
                "make_array": runtime.make_array,
            }
            previous = self._alive[0]
            self._alive[0] = arena
            self._words[:] = [*(head[field] for field in HEAD), *constants, *records]
            self.values = values
            del previous  # only now: the table spoke of it

    def _disable(self) -> None:
        self._words[tuple(HEAD).index("inputs")] = -1


_FastPath: TypeAlias = "_NativePath | _PythonPath"


class _CallRuntime:
    """What all native fast paths share: the function in machine code and a few addresses."""

    def __init__(self) -> None:
        for name in PYTHON_FUNCTIONS:
            address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
            assert address is not None
            engine.import_symbol(name, address)
        target = native_target()
        text = call_text(target.arch)
        addresses = cache.compiled(text, lambda: text, ("launch_call",), target, clean=True)
        engine.keep(addresses)
        self.make_array = _numpy_function(_PYARRAY_EMPTY)
        self._method = _MethodDefinition(b"program", addresses["launch_call"], _METH_FASTCALL, None)
        new = ctypes.pythonapi.PyCFunction_NewEx
        self._new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.py_object)(
            ctypes.cast(new, ctypes.c_void_p).value or 0
        )

    def make_function(self, table: bytearray, alive: object) -> Callable[..., Result | None]:
        """A builtin over `table`, which keeps it and `alive`."""
        function: Callable[..., Result | None] = self._new(ctypes.addressof(self._method), table, alive)
        return function


class _MethodDefinition(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_METH_FASTCALL = 0x0080
_PYARRAY_EMPTY = 184  # index in numpy's table of C functions, which only ever grows within a major version


def _numpy_function(index: int) -> int:
    """The address of a function of numpy's C API."""
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
        ctypes.cast(get_pointer, ctypes.c_void_p).value or 0
    )
    module = importlib.import_module("numpy._core._multiarray_umath")  # where numpy's own headers look for the table
    table: int = get(module._ARRAY_API, None)
    address = ctypes.c_void_p.from_address(table + index * ctypes.sizeof(ctypes.c_void_p)).value
    assert address is not None
    return address


@lru_cache(maxsize=1)
def _call_runtime() -> _CallRuntime:
    with LOCK:
        return _CallRuntime()


@lru_cache(maxsize=2)
def _enter(release_lock: bool) -> Callable[[int, object], int]:
    """`launch_enter` by way of ctypes."""
    target = native_target()
    text = enter_text(target.arch)
    code = cache.compiled(text, lambda: text, ("launch_enter",), target)
    engine.keep(code)
    address = code["launch_enter"]
    kind = ctypes.CFUNCTYPE if release_lock else ctypes.PYFUNCTYPE
    function: Callable[[int, object], int] = kind(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(address)
    return function


def _is_native(wanted: bool | None) -> bool:
    return can_read_objects() if wanted is None else wanted


@lru_cache(maxsize=1)
def can_read_objects() -> bool:
    """Whether this interpreter's and this numpy's objects look as `launch_code` expects, tried on a few arrays."""
    if (
        platform.python_implementation() != "CPython"
        or sys.byteorder != "little"
        or ctypes.sizeof(ctypes.c_void_p) != 8
    ):
        return False
    if sysconfig.get_config_var("Py_GIL_DISABLED") or not np.__version__.startswith("2."):
        return False  # without the lock, reference counts and the arena's exchange need more than is done here
    if native_target().arch not in ("x86_64", "aarch64"):
        return False
    return all(_looks_as_expected(array) for array in (np.zeros((3, 5, 7), np.float32), np.zeros((2, 4), np.int8).T))


def _looks_as_expected(array: AnyArray) -> bool:
    word = ctypes.c_int64.from_address
    here = id(array)
    sizes = word(here + ARRAY_SIZES).value
    flags = ctypes.c_int32.from_address(here + ARRAY_FLAGS).value
    return (
        word(here + OBJECT_TYPE).value == id(np.ndarray)
        and word(here + ARRAY_DATA).value == _address(array)
        and ctypes.c_int32.from_address(here + ARRAY_RANK).value == array.ndim
        and tuple((ctypes.c_int64 * array.ndim).from_address(sizes)) == array.shape
        and word(here + ARRAY_DTYPE).value == id(array.dtype)
        and (flags & _NEEDED_FLAGS == _NEEDED_FLAGS) == (array.flags.c_contiguous and array.flags.aligned)
    )


def _address(array: AnyArray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _nbytes(shape: tuple[int, ...], itemsize: int) -> int:
    total = itemsize
    for size in shape:
        total *= size
    return total
