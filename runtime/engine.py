"""LLVM IR text to machine code in this process.

Level: the last. In: the text of one module. Out: object bytes (which the cache keeps), and from those the addresses
of functions. There is one LLJIT for the process, made at the first load. Loaded code stays as long as its `Code` does.

Every call into LLVM happens under `lock.LOCK`.
"""

from __future__ import annotations

import ctypes
import itertools
import re
import struct
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from graphc.ir.errors import CodeMemoryFull
from graphc.runtime.llvm import llvm
from graphc.runtime.lock import LOCK, TURN
from graphc.runtime.target import Target, native_target, new_target_machine, target_machine


class InternalCompilerError(Exception):
    """LLVM refused what graphc generated: a mistake of graphc. `text` holds the module, or the object's symbols."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


def compile_object(text: str, target: Target, clean: bool = False) -> bytes:
    """Object code of the module `text`; `clean` runs the light clean-up passes first."""
    code: bytes = _emit(text, target, clean, lambda machine, module: machine.emit_object(module))
    return code


def assembly(text: str, target: Target, clean: bool = False) -> str:
    """The assembler text that `compile_object` would give the bytes of."""
    listing: str = _emit(text, target, clean, lambda machine, module: machine.emit_assembly(module))
    return listing


def cleaned(text: str, target: Target) -> str:
    """The module's text after the clean-up passes."""
    return _emit(text, target, True, lambda machine, module: str(module))


_Result = TypeVar("_Result")


def _emit(
    text: str, target: Target, clean: bool, produce: Callable[[llvm.TargetMachine, llvm.ModuleRef], _Result]
) -> _Result:
    with TURN, LOCK:
        machine = target_machine(target)
        # A context of its own: types and constants of the module go with it, and the global one does not grow.
        with llvm.create_context() as context:
            try:
                module = llvm.parse_assembly(text, context)
            except RuntimeError as error:
                raise InternalCompilerError(_explain("cannot be parsed", str(error), text), text) from None
            with module:
                module.triple = target.triple
                module.data_layout = str(machine.target_data)
                _verify(module, text)
                if clean:
                    _clean(module, machine)
                    _verify(module, text)
                try:
                    return produce(machine, module)
                except RuntimeError as error:
                    raise InternalCompilerError(_explain("cannot be compiled", str(error), text), text) from None


def _verify(module: llvm.ModuleRef, text: str) -> None:
    try:
        module.verify()
    except RuntimeError as error:
        raise InternalCompilerError(_explain("is not valid", str(error), text), text) from None


def _clean(module: llvm.ModuleRef, machine: llvm.TargetMachine) -> None:
    """Four cheap passes; the default pipelines cost five times what code generation does (and a manager runs once)."""
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.add_new_gvn_pass()
    passes.run(module, builder)


def _explain(what: str, message: str, text: str) -> str:
    """The report of an LLVM error, with the line of the module that it speaks of."""
    message = message.removeprefix("LLVM IR parsing error\n").strip()
    place = re.search(r"<string>:(\d+):", message)
    line = ""
    if place is not None:
        number = int(place[1])
        lines = text.splitlines()
        if number <= len(lines) and lines[number - 1].strip() not in message:
            line = f"\n  line {number}: {lines[number - 1].strip()}"
    return (
        f"generated LLVM IR {what}: {message}{line}\n  this is a mistake of graphc; the module is in this error's .text"
    )


_library_numbers = itertools.count()
_dead: list[llvm.ResourceTracker] = []
"""Trackers of code that nobody has any more: a tracker that goes takes its code with it, under the lock."""
_kept: list[object] = []
"""What stays for the life of the process."""
_jit: llvm.LLJIT | None = None


class Code:
    """Code that was loaded, and the addresses of its functions. It is unloaded when nobody has this object any more."""

    __slots__ = ("__weakref__", "_dead", "_tracker", "addresses")

    _live = 0
    """How many pieces of code are loaded."""

    def __init__(self, tracker: llvm.ResourceTracker, addresses: dict[str, int]) -> None:
        self._tracker = tracker
        self._dead = _dead
        self.addresses = addresses
        Code._live += 1

    def __getitem__(self, symbol: str) -> int:
        return self.addresses[symbol]

    def __del__(self) -> None:
        # Wherever this happens, LLVM may be at work: the tracker goes when code is loaded next.
        self._dead.append(self._tracker)


def keep(thing: object) -> None:
    """Let code stay for the life of the process."""
    _kept.append(thing)


def loaded() -> int:
    """How many pieces of code are loaded."""
    _unload()
    return Code._live


def _unload() -> None:
    with LOCK:
        while _dead:
            _dead.pop()
            Code._live -= 1


def load(object_bytes: bytes, symbols: Iterable[str], name: str = "kernel") -> Code:
    """Link object code into this process; `symbols` are what addresses are given of.

    What it calls must be registered by `import_symbol`, or be one of the three C functions that LLVM itself inserts.
    Raises CodeMemoryFull where too much is loaded.
    """
    symbols = tuple(symbols)
    assert symbols, "linking happens when a symbol is looked up: name at least one"
    with TURN, LOCK:
        _unload()
        if Code._live >= most_libraries():
            raise CodeMemoryFull(
                f"{Code._live} pieces of compiled code are loaded, the most that this system has room for",
                hint="compile with dynamic sizes, so that one serves many shapes, or raise vm.max_map_count",
            )
        if b"graphc_pool_run" in object_bytes and "graphc_pool_run" not in _imported:
            from graphc.runtime import pool  # late: the pool's own code is loaded by this function

            pool.start()
        if b"graphc_host_call" in object_bytes and "graphc_host_call" not in _imported:
            from graphc.runtime import host  # late: it registers itself with this module

            host.start()
        _check_needs(object_bytes)
        library = llvm.JITLibraryBuilder().add_object_img(object_bytes)
        for imports in _import_libraries():
            library.add_jit_library(imports)
        for symbol in symbols:
            library.export_symbol(symbol)
        try:
            tracker = library.link(_engine(), f"{name}.{next(_library_numbers)}")
        except RuntimeError as error:
            raise InternalCompilerError(_explain_link(str(error), object_bytes, symbols), str(error)) from None
        return Code(tracker, {symbol: tracker[symbol] for symbol in symbols})


@lru_cache(maxsize=1)
def most_libraries() -> int:
    """How many pieces of code may be loaded: each takes two or three mappings, and LLVM aborts if it is refused one."""
    try:
        return int(Path("/proc/sys/vm/max_map_count").read_text()) // 4
    except (OSError, ValueError):
        return 1 << 20


def _engine() -> llvm.LLJIT:
    """The one LLJIT of this process.

    JITLink places code and constants of an object in one block. The older linker maps them apart, and in a process
    with gigabytes of arrays between them a 32-bit distance may not reach.
    """
    global _jit
    if _jit is None:
        use_jit_link = sys.platform != "win32"
        machine = new_target_machine(native_target())
        _jit = llvm.create_lljit_compiler(machine, use_jit_link=use_jit_link, suppress_errors=True)
        # Threads of the pool run in this code until the very end: no finalizer may unmap it.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_jit))
    return _jit


def _check_needs(object_bytes: bytes) -> None:
    """Refuse code that calls what was never imported.

    The linker would look in the whole process, where a call of libm's exp, say, finds one and gives other bits.
    """
    try:
        _, needed = object_symbols(object_bytes)
    except ValueError:
        return  # of another system, or damaged: left to the linker
    _import_libraries()
    unknown = [symbol for symbol in needed if symbol not in _imported]
    if unknown:
        message = f"generated code calls what the runtime does not provide: {', '.join(unknown)}"
        raise InternalCompilerError(message, message)


def _explain_link(message: str, object_bytes: bytes, symbols: tuple[str, ...]) -> str:
    """What is missing; LLVM itself says only that the library could not be made."""
    try:
        defined, _ = object_symbols(object_bytes)
    except ValueError as error:
        return f"generated code cannot be linked: {error}"
    absent = [symbol for symbol in symbols if symbol not in defined]
    if absent:
        return f"generated code does not define {', '.join(absent)}"
    return f"generated code cannot be linked: {message}"


def object_symbols(object_bytes: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The global symbols that a 64-bit little-endian ELF object defines, and those that it needs."""
    if object_bytes[:6] != b"\x7fELF\x02\x01":
        raise ValueError("the object is not 64-bit little-endian ELF")
    try:
        (table_offset,) = struct.unpack_from("<Q", object_bytes, 0x28)
        entry_size, count = struct.unpack_from("<HH", object_bytes, 0x3A)
        # One section header: name, kind, flags, address, offset, size, link, information, alignment, entry size.
        headers = [struct.unpack_from("<IIQQQQIIQQ", object_bytes, table_offset + i * entry_size) for i in range(count)]
        defined: list[str] = []
        undefined: list[str] = []
        for _, kind, _, _, offset, size, link, first_global, _, _ in headers:
            if kind != 2:  # SHT_SYMTAB
                continue
            names = headers[link][4]
            for at in range(offset + first_global * 24, offset + size, 24):
                name_offset, _, _, section = struct.unpack_from("<IBBH", object_bytes, at)
                end = object_bytes.index(b"\0", names + name_offset)
                name = object_bytes[names + name_offset : end].decode()
                (defined if section else undefined).append(name)
        return tuple(defined), tuple(undefined)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"the object is damaged ({error})") from None


# What LLVM calls of its own accord. Nothing of libm is here: its functions differ between systems, so our bits would.
_BLOCK_FUNCTIONS = ("memcpy", "memmove", "memset")

_imported: dict[str, int] = {}
_waiting: dict[str, int] = {}  # imported, and not yet in one of the libraries
_libraries: list[str] = []


def import_symbol(name: str, address: int) -> None:
    """Let code that is loaded from now on use `name` for what lies at `address`, for the life of the process."""
    assert address, f"{name} has no address"
    with LOCK:
        known = _imported.setdefault(name, address)
        assert known == address, f"{name} is imported twice, with two addresses"
        _waiting[name] = address


def _import_libraries() -> list[str]:
    """Libraries that define the imported names: naming one costs less than importing its symbols for each kernel."""
    if not _libraries:
        _import_c_functions()
    if _waiting:
        name = f"imports.{next(_library_numbers)}"
        anchor = f"graphc_{name.replace('.', '_')}"  # a library exists once a symbol of it is looked up
        library = llvm.JITLibraryBuilder().add_ir(f"@{anchor} = constant i8 0").export_symbol(anchor)
        for symbol, address in _waiting.items():
            library.import_symbol(symbol, address)
        keep(library.link(_engine(), name))
        _libraries.append(name)
        _waiting.clear()
    return _libraries


def _import_c_functions() -> None:
    library = ctypes.CDLL("ucrtbase") if sys.platform == "win32" else ctypes.CDLL(None)
    for name in _BLOCK_FUNCTIONS:
        address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        assert address is not None
        import_symbol(name, address)
