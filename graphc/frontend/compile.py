"""`compile`: a Python function as native code, traced once for each kind of arguments.

In: a function of tensors. Out: a callable on numpy arrays. Arrays become inputs of the graph by dtype and shape, Python
floats and complex numbers inputs without dimensions; ints, bools, strings and other values are part of the program: it
is compiled again where they change. Sizes marked dynamic are symbols, and don't.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import numpy as np

from graphc.frontend.executable import Executable
from graphc.frontend.tensor import has_symbolic
from graphc.frontend.trace import TracedGraph, argument_names, trace
from graphc.frontend.tree import Structure, flatten
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.dim import Size, symbol
from graphc.ir.dtype import c64, c128, dtype, f32, f64
from graphc.ir.errors import ArgumentError
from graphc.ir.location import current_location
from graphc.ir.type import TensorType

Numerics: TypeAlias = 'Literal["strict", "fast"]'
Dynamic: TypeAlias = "bool | Mapping[str, int | str | tuple[int, ...] | Mapping[int, str]] | None"

log = logging.getLogger("graphc.compile")


@dataclass(frozen=True, slots=True)
class Compilation:
    """One program of a compiled function: why it was made, its graph, and its code."""

    reason: str
    graph: TracedGraph
    executable: Executable


@hide_internal_frames
def compile(
    function: Callable[..., object] | None = None,
    *,
    dynamic: Dynamic = None,
    numerics: Numerics = "strict",
    passes: str | None = None,
) -> Callable[..., object]:
    """The function as native code; also a decorator, with or without options.

    `dynamic=True` makes every size above 1 symbolic (equal sizes of one call are taken to be the same symbol);
    `dynamic={"x": 0}`, `{"x": (0, 1)}` or `{"x": {0: "n"}, "y": {0: "n"}}` the named ones: their sizes don't recompile.
    `numerics="fast"` allows rewrites that change the last bits. `passes` is a pipeline's text (see `graphc passes`).

    The result takes numpy arrays of any strides, numbers, and lists, tuples and dicts of them, and gives numpy arrays
    in the containers that the function returns. It may be called from several threads. `.compilations` lists the
    programs made so far and why.

    >>> import numpy as np, graphc
    >>> f = graphc.compile(lambda x: graphc.softmax(x, dim=1))
    >>> f(np.zeros((1, 4), np.float32))
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """
    if function is None:
        return functools.partial(compile, dynamic=dynamic, numerics=numerics, passes=passes)
    if not callable(function):
        raise ArgumentError(
            f"compile: a {type(function).__name__} is no function",
            location=current_location(),
            hint="pass a function of tensors; to compile a graph call graph.compile()",
        )
    if numerics not in ("strict", "fast"):
        raise ArgumentError(
            f"compile: numerics={numerics!r}", location=current_location(), hint='use "strict" or "fast"'
        )
    return CompiledFunction(function, dynamic, numerics, passes)


class CompiledFunction:
    """What `compile` returns: programs by kind of arguments."""

    def __init__(
        self, function: Callable[..., object], dynamic: Dynamic, numerics: Numerics, passes: str | None
    ) -> None:
        self.function = function
        self.dynamic = dynamic
        self.numerics: Numerics = numerics
        self.passes = passes
        self._programs: dict[Hashable, Compilation] = {}
        self._plain: dict[Hashable, Executable] = {}
        self._lock = threading.RLock()
        functools.update_wrapper(self, function)

    @property
    def compilations(self) -> tuple[Compilation, ...]:
        """The programs made so far, in order."""
        return tuple(self._programs.values())

    def __repr__(self) -> str:
        return f"<compiled {getattr(self.function, '__name__', 'function')}: {len(self._programs)} programs>"

    def __get__(self, instance: object, owner: type | None = None) -> object:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: object, **kwargs: object) -> object:
        if not kwargs:
            try:
                found = self._plain.get(tuple([(x.dtype, x.shape) for x in args]))  # type: ignore[attr-defined]
            except AttributeError:
                found = None
            if found is not None:
                return found.call_flat(args)
        return self._call(args, kwargs)

    @hide_internal_frames
    def _call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        if has_symbolic(args, kwargs):
            return self.function(*args, **kwargs)
        bound = _positional(self.function, args, kwargs) if kwargs else args
        leaves, structure = flatten(bound)
        names = argument_names(self.function, structure)
        kinds = self._kinds(leaves, names)
        compilation = self._programs.get((structure, kinds))
        if compilation is None:
            compilation = self._compile(structure, kinds, leaves, names)
        executable = compilation.executable
        tensors = [x for x, kind in zip(leaves, kinds, strict=True) if isinstance(kind, TensorType)]
        result = executable.call_flat(tuple(tensors))
        if bound is args and len(tensors) == len(args) and all(type(x) is np.ndarray for x in args):
            self._plain[tuple((x.dtype, x.shape) for x in cast("tuple[np.ndarray, ...]", args))] = executable
        return result

    def _compile(
        self, structure: Structure, kinds: tuple[Hashable, ...], leaves: tuple[object, ...], names: tuple[str, ...]
    ) -> Compilation:
        with self._lock:
            key = (structure, kinds)
            if key in self._programs:
                return self._programs[key]
            reason = self._reason(structure, kinds, names)
            if self._programs:
                log.info("%s is compiled again: %s", getattr(self.function, "__name__", "function"), reason)
            given = [k if isinstance(k, TensorType) else x for k, x in zip(kinds, leaves, strict=True)]
            graph = trace(self.function, given, structure, names)
            executable = Executable.build(graph, numerics=self.numerics, passes=self.passes)
            self._programs[key] = Compilation(reason, graph, executable)
            return self._programs[key]

    def _kinds(self, leaves: tuple[object, ...], names: tuple[str, ...]) -> tuple[Hashable, ...]:
        """For each leaf its type if it becomes an input, else its value."""
        is_wide = any(isinstance(x, np.ndarray) and x.dtype in (np.float64, np.complex128) for x in leaves)
        sizes: dict[object, Size] = {}
        kinds: list[Hashable] = []
        for leaf, name in zip(leaves, names, strict=True):
            match leaf:
                case np.ndarray() | np.generic():
                    kinds.append(TensorType(self._shape(name, leaf.shape, sizes), dtype(leaf.dtype)))
                case bool() | int() | str() | None:
                    kinds.append((type(leaf).__name__, leaf))
                case float():
                    kinds.append(TensorType((), f64 if is_wide else f32))
                case complex():
                    kinds.append(TensorType((), c128 if is_wide else c64))
                case _ if hasattr(leaf, "__array_interface__") or hasattr(leaf, "__array__"):
                    array = np.asarray(leaf)
                    kinds.append(TensorType(self._shape(name, array.shape, sizes), dtype(array.dtype)))
                case _:
                    kinds.append(_static(leaf, name))
        self._check_dynamic(names)
        return tuple(kinds)

    def _shape(self, name: str, shape: tuple[int, ...], sizes: dict[object, Size]) -> tuple[Size, ...]:
        marked = self._marked(name)
        if marked is None:
            return shape
        result: list[Size] = []
        for axis, size in enumerate(shape):
            if marked is True:
                if size > 1:
                    result.append(sizes.setdefault(size, symbol(f"n{len(sizes)}", 2)))
                else:
                    result.append(size)
            elif axis in marked:
                label = marked[axis]
                result.append(sizes.setdefault(label, symbol(label)))
            else:
                result.append(size)
        return tuple(result)

    def _marked(self, name: str) -> Literal[True] | dict[int, str] | None:
        if self.dynamic is None or isinstance(self.dynamic, bool):
            return True if self.dynamic else None
        if name not in self.dynamic:
            return None
        given = self.dynamic[name]
        label = "".join(c if c.isalnum() else "_" for c in name)
        match given:
            case int():
                return {given: f"{label}_{given}"}
            case str():
                return {0: given}
            case tuple():
                return {axis: f"{label}_{axis}" for axis in given}
            case _:
                return dict(given)

    def _check_dynamic(self, names: tuple[str, ...]) -> None:
        if isinstance(self.dynamic, Mapping):
            unknown = [name for name in self.dynamic if name not in names]
            if unknown:
                raise ArgumentError(
                    f"compile: dynamic names {unknown[0]!r}, which is no argument",
                    location=current_location(),
                    hint=f"the arguments are {', '.join(map(repr, names))}",
                )

    def _reason(self, structure: Structure, kinds: tuple[Hashable, ...], names: tuple[str, ...]) -> str:
        if not self._programs:
            return "first call"
        last_structure, last_kinds = cast("tuple[Structure, tuple[Hashable, ...]]", list(self._programs)[-1])
        if structure != last_structure:
            return "the containers of the arguments changed"
        changes = [
            f"{name} was {_describe(old)} and is {_describe(new)}"
            for name, old, new in zip(names, last_kinds, kinds, strict=True)
            if old != new
        ]
        return "; ".join(changes)


def _describe(kind: Hashable) -> str:
    return str(kind) if isinstance(kind, TensorType) else repr(kind[1] if isinstance(kind, tuple) else kind)


def _static(leaf: object, name: str) -> Hashable:
    """A value that is part of the program."""
    try:
        hash(leaf)
    except TypeError:
        raise ArgumentError(
            f"compile: the argument {name!r} is a {type(leaf).__name__}: no array, no number, and not hashable",
            location=current_location(),
            hint="pass numpy arrays, numbers, or lists, tuples and dicts of them",
        ) from None
    return (type(leaf).__name__, leaf)


def _positional(
    function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[object, ...]:
    """All arguments by position; parameters that are keyword-only can't be passed to a compiled function."""
    signature = inspect.signature(function)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        name = next(iter(bound.kwargs))
        raise ArgumentError(
            f"compile: {name!r} is a keyword-only argument",
            location=current_location(),
            hint="make it an ordinary parameter of the compiled function",
        )
    return bound.args
