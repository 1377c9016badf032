"""Pickles read without running anything: a machine for the instructions that PyTorch's files use.

In: a stream with one pickle after the other, written by anybody, and what gives the storages. Out: the objects.
The names in a pickle are looked up in the tables of `constructors.py` and in what the user has vouched for by
`add_safe_globals`; nothing is imported. Another name is an error that says how to allow it, and so is every
instruction that could do more than build data. Memory is bounded by the size of the file.
"""

from __future__ import annotations

import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import numpy as np

from graphc.eager.tensor import Tensor
from graphc.nn.parameter import Parameter
from graphc.serialization.constructors import (
    CALLABLE,
    CLASSES,
    VALUES,
    StorageOf,
    StorageRequest,
    check_numpy_dtype_state,
    checked,
    fill_array,
    new_bytearray,
    rebuild_parameter,
)
from graphc.serialization.decode import set_attributes
from graphc.serialization.errors import CheckpointError, TruncatedCheckpoint
from graphc.serialization.file import size_of
from graphc.serialization.hashing import check_key
from graphc.serialization.safe_globals import user_globals

BLOCKED_MODULES: Final = ("sys", "os", "posix", "nt")
"""Never allowed, whatever the user vouches for."""
LONGEST_NAME: Final = 4096
MOST_COPIES: Final = 4
"""So many times the size of the file may be given to constructors; files of PyTorch give each argument once."""
_CALLED: Final = {id(each): each for each in CALLABLE.values()}


class Refused(CheckpointError):
    """A pickle that asks for what must not be done."""


class Unpickler:
    """Reads pickles from a stream; `storage_of` gives the memory for what PyTorch calls a persistent id."""

    def __init__(self, stream: BinaryIO, storage_of: StorageOf) -> None:
        self.stream = stream
        self.size = size_of(stream)
        self.storage_of = storage_of
        self.user = user_globals()
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.given = 0
        """Items and bytes that constructors got."""

    def load(self) -> Any:
        """The object of the next pickle; raises CheckpointError."""
        self.stack, self.marks, self.memo = [], [], {}
        try:
            while True:
                code = self._read(1)[0]
                if code == STOP:
                    return kept(self.stack.pop())
                step = INSTRUCTIONS.get(code)
                if step is None:
                    raise Refused(f"Unsupported operand {code}")
                step(self)
        except CheckpointError:
            raise
        # RecursionError: a nest of any depth can be read, but not be shown in an error.
        except (IndexError, KeyError, ValueError, TypeError, struct.error, OverflowError, RecursionError) as error:
            raise CheckpointError(f"the pickle in the file is damaged: {type(error).__name__}: {error}") from None

    # Bytes

    def _read(self, count: int) -> bytes:
        if count > self.size:
            raise TruncatedCheckpoint(f"the pickle in the file speaks of {count} bytes, more than the file has")
        found = self.stream.read(count)
        if len(found) != count:
            raise TruncatedCheckpoint("Ran out of input")
        return found

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._read(struct.calcsize(form)))[0]

    def _line(self) -> str:
        line = self.stream.readline(LONGEST_NAME)
        if not line.endswith(b"\n"):
            raise TruncatedCheckpoint("Ran out of input")
        return line[:-1].decode("utf-8")

    # The stack

    def push(self, value: Any) -> None:
        """Put a value on top."""
        self.stack.append(value)

    def pop_marked(self) -> list[Any]:
        """What was pushed since the last mark."""
        found = self.stack
        self.stack = self.marks.pop()
        return found

    def mark(self) -> None:
        """Remember this height."""
        self.marks.append(self.stack)
        self.stack = []

    def pack(self, count: int) -> None:
        """Make a tuple of the values on top."""
        if len(self.stack) < count:
            raise IndexError("pop from empty list")
        values = tuple(map(kept, self.stack[len(self.stack) - count :]))
        del self.stack[len(self.stack) - count :]
        self.stack.append(values)

    # What a file could abuse

    def push_global(self, module: str, name: str) -> None:
        """What stands for a name; nothing is imported."""
        if (module, name) in NAME_MAPPING:
            module, name = NAME_MAPPING[(module, name)]
        module = IMPORT_MAPPING.get(module, module)
        path = f"{module}.{name}"
        if module in BLOCKED_MODULES:
            raise Refused(f"Trying to load unsupported GLOBAL {path} whose module {module} is blocked.")
        if path in CALLABLE:
            self.push(CALLABLE[path])
        elif path in VALUES:
            self.push(VALUES[path])
        elif path in self.user:
            self.push(self.user[path])
        else:
            path = path.removeprefix("builtins.")
            raise Refused(
                f"Unsupported global: GLOBAL {path} was not an allowed global by default. Please use "
                f"`torch.serialization.add_safe_globals([{path}])` or the "
                f"`torch.serialization.safe_globals([{path}])` context manager to allowlist this global if you trust "
                "this class/function."
            )

    def call(self) -> None:
        """REDUCE: one of our constructors, or what the user vouches for."""
        args = self.stack.pop()
        function = self.stack.pop()
        if not isinstance(args, tuple):
            raise Refused(f"Trying to call with {type(args).__name__} for arguments")
        if id(function) in _CALLED:
            self._charge(args)
            self.push(checked(function, args))
        elif self._is_vouched(function):
            self.push(function(*args))
        else:
            raise Refused(f"Trying to call reduce for unrecognized function {function}")

    def _charge(self, args: tuple[Any, ...]) -> None:
        """Count what a constructor may copy: a file could give it the same long argument again and again."""
        self.given += sum(len(each) for each in args if isinstance(each, bytes | str | list | tuple | dict))
        if self.given > MOST_COPIES * self.size + LONGEST_NAME:
            raise Refused("the pickle in the file makes many copies of what it holds")

    def create(self) -> None:
        """NEWOBJ: an object of a class that the user vouches for, not yet initialised."""
        args = self.stack.pop()
        kind = self.stack.pop()
        if isinstance(args, tuple) and kind is Parameter:
            self.push(checked(rebuild_parameter, (*args, True, None)[:3]))
        elif isinstance(args, tuple) and id(kind) in _CALLED:
            self._charge(args)
            self.push(checked(kind, args))
        elif isinstance(args, tuple) and isinstance(kind, type) and self._is_vouched(kind):
            self.push(kind.__new__(kind, *args))
        else:
            raise Refused(
                "Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` but got "
                f"{kind}"
            )

    def build(self) -> None:
        """BUILD: the state of an object."""
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) in (OrderedDict, Counter):
            if not isinstance(state, dict):
                raise Refused("attributes of a mapping are no dict")
            set_attributes(made, state)
        elif isinstance(made, np.dtype):
            check_numpy_dtype_state(state)
        elif type(made) is np.ndarray:
            fill_array(made, state)
        elif type(made) is not Tensor and self._is_vouched(type(made)):
            _set_state(made, state)
        else:
            raise Refused(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, but got "
                f"{type(made)}"
            )

    def load_storage(self) -> None:
        """BINPERSID: memory of the file."""
        told = self.stack.pop()
        if type(told) is not tuple:
            raise Refused(f"persistent_load id must be tuple or int, but got {type(told)}")
        if not told or told[0] not in ("storage", b"storage"):
            raise Refused(f"Only persistent_load of storage is allowed, but got {told[0] if told else told}")
        self.push(self.storage_of(StorageRequest.read(told)))

    def _is_vouched(self, value: object) -> bool:
        return any(value is each for each in self.user.values())

    # Containers

    def append(self, items: list[Any]) -> None:
        """APPEND, APPENDS: items for the list on top."""
        target = self.stack[-1]
        if type(target) is not list:
            raise Refused(f"Can only extend lists, but got {type(target)}")
        target.extend(map(kept, items))

    def add(self, items: list[Any]) -> None:
        """ADDITEMS: items for the set on top."""
        target = self.stack[-1]
        if type(target) is not set:
            raise Refused(f"Can only add to sets, but got {type(target)}")
        for each in items:
            check_key(each)
        target.update(items)

    def set_items(self, items: list[Any]) -> None:
        """SETITEM, SETITEMS: keys and values for the mapping on top."""
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict, Counter):
            raise Refused(
                f"Can only SETITEM for dict, collections.OrderedDict, collections.Counter, but got {type(target)}"
            )
        if len(items) % 2:
            raise IndexError("a key has no value")
        for key, value in zip(items[::2], items[1::2]):
            check_key(key)
            target[key] = kept(value)

    def remember(self, index: int) -> None:
        """BINPUT, MEMOIZE: a number for the value on top."""
        self.memo[index] = self.stack[-1]

    def skip_frame(self) -> None:
        """FRAME: a hint at how much to read at once."""
        self._read(8)

    def check_protocol(self) -> None:
        """PROTO: which version the pickle is of."""
        protocol = self._read(1)[0]
        if protocol > 5:
            raise CheckpointError(f"unsupported pickle protocol: {protocol}")

    def push_text(self, length: int) -> None:
        """A string."""
        self.push(str(self._read(length), "utf-8", "surrogatepass"))

    def push_old_text(self, length: int) -> None:
        """A string of Python 2."""
        self.push(self._read(length).decode("utf-8"))

    def push_int(self, length: int) -> None:
        """An int of any width."""
        self.push(int.from_bytes(self._read(length), "little", signed=True))


def kept(value: Any) -> Any:
    """A value as it is in the result: a class where the tables have a function that makes it."""
    return CLASSES.get(value, value) if id(value) in _CALLED else value


def _set_state(made: Any, state: Any) -> None:
    """The state of an object of the user's own class, as `pickle` sets it."""
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state:
        made.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(made, name, value)


def _stack_global(m: Unpickler) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise Refused("STACK_GLOBAL requires str")
    m.push_global(module, name)


def _global(m: Unpickler) -> None:
    module = m._line()
    m.push_global(module, m._line())


STOP: Final = ord(".")
INSTRUCTIONS: Final[dict[int, Callable[[Unpickler], object]]] = {
    ord(code): step
    for code, step in {
        "c": _global,
        "\x93": _stack_global,
        "R": Unpickler.call,
        "\x81": Unpickler.create,
        "b": Unpickler.build,
        "Q": Unpickler.load_storage,
        "a": lambda m: m.append([m.stack.pop()]),
        "e": lambda m: m.append(m.pop_marked()),
        "s": lambda m: m.set_items([*reversed((m.stack.pop(), m.stack.pop()))]),
        "u": lambda m: m.set_items(m.pop_marked()),
        "\x90": lambda m: m.add(m.pop_marked()),
        "(": Unpickler.mark,
        "0": lambda m: m.stack.pop(),
        "t": lambda m: m.push(tuple(map(kept, m.pop_marked()))),
        ")": lambda m: m.push(()),
        "\x85": lambda m: m.pack(1),
        "\x86": lambda m: m.pack(2),
        "\x87": lambda m: m.pack(3),
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "]": lambda m: m.push([]),
        "}": lambda m: m.push({}),
        "\x8f": lambda m: m.push(set()),
        "\x91": lambda m: m.push(checked(CALLABLE["builtins.frozenset"], (m.pop_marked(),))),
        "J": lambda m: m.push(m._number("<i")),
        "K": lambda m: m.push(m._number("<B")),
        "M": lambda m: m.push(m._number("<H")),
        "\x8a": lambda m: m.push_int(m._number("<B")),
        "\x8b": lambda m: m.push_int(m._number("<I")),
        "G": lambda m: m.push(m._number(">d")),
        "X": lambda m: m.push_text(m._number("<I")),
        "\x8c": lambda m: m.push_text(m._number("<B")),
        "\x8d": lambda m: m.push_text(m._number("<Q")),
        "U": lambda m: m.push_old_text(m._number("<B")),
        "T": lambda m: m.push_old_text(m._number("<I")),
        "B": lambda m: m.push(m._read(m._number("<I"))),
        "C": lambda m: m.push(m._read(m._number("<B"))),
        "\x8e": lambda m: m.push(m._read(m._number("<Q"))),
        "\x96": lambda m: m.push(new_bytearray(m._read(m._number("<Q")))),
        "h": lambda m: m.push(m.memo[m._number("<B")]),
        "j": lambda m: m.push(m.memo[m._number("<I")]),
        "q": lambda m: m.remember(m._number("<B")),
        "r": lambda m: m.remember(m._number("<I")),
        "\x94": lambda m: m.remember(len(m.memo)),
        "\x95": Unpickler.skip_frame,
        "\x80": Unpickler.check_protocol,
    }.items()
}  # fmt: skip
"""The steps of the machine by the byte that asks for them; what else pickles know is refused."""
