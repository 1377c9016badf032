"""`compile`: a Python function as native code, traced once for each kind of arguments.

In: a function of tensors. Out: a callable on numpy arrays. Arrays become inputs of the graph by dtype and shape, Python
floats and complex numbers inputs without dimensions; ints, bools, strings and other values are part of the program: it
is compiled again where they change. Sizes marked dynamic are symbols, and don't.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np

from graphc.frontend.arguments import Dynamic, Sizes, as_argument, kinds_of
from graphc.frontend.autocast import CASTING
from graphc.frontend.concrete import Recorded, has_tensors, is_wrapped, recorded, without_tensors, wrapped
from graphc.frontend.executable import Executable, Numerics, check_options
from graphc.frontend.place import Place, find_place
from graphc.frontend.scope import TRACING, current_scope
from graphc.frontend.signature import Call, Signature, name_of
from graphc.frontend.specialize import MOST_REMEMBERED, Route, Specializer
from graphc.frontend.tensor import SymbolicTensor, constant
from graphc.frontend.trace import TracedGraph, outputs_of, run
from graphc.frontend.tree import Structure, flatten
from graphc.ir.boundary import hide_frames, hide_internal_frames
from graphc.ir.dtype import c128, f64, when_default_changes
from graphc.ir.errors import ArgumentError, describe
from graphc.ir.graph import Graph
from graphc.ir.type import TensorType

Fallback: TypeAlias = "str | None"
"""What to do with code that can't be a program: raise an error, or run it ("eager")."""
Quick: TypeAlias = "tuple[Callable[..., object], Callable[[tuple[object, ...]], object] | None]"


@dataclass(frozen=True, slots=True)
class Compilation:
    """One program of a compiled function: why it was made, its graph, and its code."""

    reason: str
    graph: Graph
    executable: Executable | None
    """None for a recorded call that hasn't come again."""


@overload
def compile(
    function: Callable[..., object],
    *,
    dynamic: Dynamic = ...,
    numerics: Numerics = ...,
    passes: str | None = ...,
    target: str = ...,
    fallback: Fallback = ...,
    disable: bool = ...,
    **ignored: object,
) -> Any: ...
@overload
def compile(
    function: None = ...,
    *,
    dynamic: Dynamic = ...,
    numerics: Numerics = ...,
    passes: str | None = ...,
    target: str = ...,
    fallback: Fallback = ...,
    disable: bool = ...,
    **ignored: object,
) -> Callable[[Callable[..., object]], Any]: ...
@hide_internal_frames
def compile(
    function: Callable[..., object] | None = None,
    *,
    dynamic: Dynamic = None,
    numerics: Numerics = "strict",
    passes: str | None = None,
    target: str = "cpu",
    fallback: Fallback = None,
    disable: bool = False,
    **ignored: object,
) -> Any:
    """The function as native code; also a decorator, with or without options, of functions and methods.

    The result takes numpy arrays of any strides, numbers, and lists, tuples and dicts of them, and gives new numpy
    arrays in the containers that the function returns. It may be called from several threads. Inside another traced
    function it becomes a part of that one's graph.

    A call with other dtypes, shapes, containers, ints, bools or strings compiles another program; one with other floats
    doesn't. `.compilations` lists the programs made so far and why; the logger `graphc.compile` tells of each.
    `dynamic={"x": 0}`, `{"x": (0, 1)}` or `{"x": {0: "n"}, "y": {0: "n"}}` marks sizes that may change without another
    program; those of one name must be equal. The mark of an argument goes for all arrays in it. `dynamic=True` marks
    every size above 1 (sizes equal in one call are one size). `numerics="fast"` allows rewrites that change the last
    bits. `passes` is a pipeline's text (see `graphc passes`); `fuse` is added at its end where it lacks that, since
    kernels are made of fused nodes. `target="cuda"` ("cuda:1", "cuda:sm_90") makes code for a GPU: arrays are copied
    there, and the results back. Eager tensors need no target: code runs where they live.

    Arrays that the function finds elsewhere, in globals or attributes, are constants of the program: it keeps the
    values that they had when it was traced.

    On eager tensors (or without arguments) a call of a new kind runs eagerly and is recorded; the next ones of that
    kind are one native call with the same bits and effects: a function, a module, or a whole training step with
    `backward()`, `optimizer.step()` and `zero_grad()`. Parameters, buffers and gradients are read and written where
    they are, hyperparameters such as the learning rate are looked up, random numbers go on in their stream. What only
    Python can do inside (print, `.item()`, branches on values) raises an error that names the line; with
    `fallback="eager"` such calls run eagerly, which is said once. Python's own effects, such as counting calls, happen
    only when a call is recorded.

    `disable=True` gives the function back. PyTorch's `backend`, `mode` and `options` are taken and mean nothing here;
    `fullgraph=True` asks for an error where scripts run as PyTorch's would fall back. Raises ArgumentError for others.

    >>> import numpy as np, graphc
    >>> f = graphc.compile(lambda x: graphc.softmax(x, dim=1))
    >>> f(np.zeros((1, 4), np.float32))
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """
    check_options(numerics, passes)
    place = find_place(target)
    unknown = sorted(ignored.keys() - _OF_PYTORCH)
    if unknown:
        raise ArgumentError(f"compile() got an unexpected keyword argument '{unknown[0]}'", hint="see help(compile)")
    if fallback not in (None, "eager"):
        raise ArgumentError(f"compile: fallback is {fallback!r}", hint="give 'eager', or leave it out")
    if fallback is None and not ignored.get("fullgraph"):
        fallback = _default_fallback[0]
    sizes = Sizes(dynamic)

    def make(function: Callable[..., object]) -> Any:
        if disable:
            return function
        return wrapped(function, CompiledFunction(function, sizes, numerics, passes, fallback, place=place))

    if function is not None:
        return make(function)

    @hide_internal_frames
    def decorate(function: Callable[..., object]) -> Any:
        return make(function)

    return decorate


_default_fallback: list[Fallback] = [None]


def set_default_fallback(fallback: Fallback) -> None:
    """Let `compile` take this for `fallback` where none is given."""
    _default_fallback[0] = fallback


_OF_PYTORCH = frozenset(("backend", "fullgraph", "mode", "options"))
"""Options of `torch.compile` that choose among compilers of PyTorch."""


_COMPILED: weakref.WeakSet[CompiledFunction] = weakref.WeakSet()


def _forget_routes() -> None:
    for each in list(_COMPILED):
        each.forget_routes()


when_default_changes(_forget_routes)


class CompiledFunction:
    """What `compile` returns: programs by kind of arguments."""

    def __init__(
        self,
        function: Callable[..., object],
        sizes: Sizes,
        numerics: Numerics = "strict",
        passes: str | None = None,
        fallback: Fallback = None,
        records: bool = True,
        place: Place | None = None,
    ) -> None:
        if not callable(function):
            raise ArgumentError(
                f"compile: {describe(function)} is no function",
                hint="pass a function of tensors; to compile a graph call graph.compile()",
            )
        # Its names and docstring, but not its attributes, which may be called like ours.
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self._sizes = sizes
        self._numerics: Numerics = numerics
        self._passes = passes
        self._fallback = fallback
        self._place = place
        self._records = records
        """Whether calls on eager tensors are recorded; else the function is traced for them too."""
        self._recorded: Recorded | None = None
        self._is_object = is_wrapped(function)
        self._signature = Signature(function)
        self._specializer = Specializer(function, self._signature, sizes, self._build)
        # How the last call on plain arrays was served, in one object: other threads see all of it or nothing.
        self._quick: Quick = (_decline, None)
        self._plain: dict[Hashable, Executable] = {}
        self._last: Route | None = None
        self._bound: dict[int, tuple[weakref.ref[object], CompiledFunction]] = {}
        _COMPILED.add(self)

    def forget_routes(self) -> None:
        """Look at each kind of arguments anew: something else that programs depend on has changed."""
        self._quick = _decline, None
        self._plain = {}
        self._last = None

    def of(self, function: Callable[..., object]) -> CompiledFunction:
        """Another function, compiled with the same options."""
        return CompiledFunction(
            function, self._sizes, self._numerics, self._passes, self._fallback, self._records, self._place
        )

    @property
    def compilations(self) -> tuple[Compilation, ...]:
        """The programs made so far, in order."""
        traced = tuple(Compilation(each.reason, each.graph, each.made) for each in self._specializer.made)
        return traced + tuple(Compilation(*each) for each in (self._recorded.compilations if self._recorded else ()))

    def __copy__(self) -> CompiledFunction:
        return self  # as functions are

    def __deepcopy__(self, memo: object) -> CompiledFunction:
        return self

    @hide_internal_frames
    def __reduce__(self) -> str | tuple[object, ...]:
        """By name where it is found under one, as a decorated function is; else by the function, to compile it again.

        Programs are not pickled: they belong to this process.
        """
        name = str(getattr(self, "__qualname__", self._signature.name))
        if _is_found(self, name, self.__module__):
            return name
        function = self.function
        if isinstance(function, types.FunctionType) and not _is_found(
            function, function.__qualname__, function.__module__
        ):
            raise ArgumentError(
                f"{self!r} can't be pickled: another process couldn't find the function by the name "
                f"{function.__qualname__!r}",
                location=self._signature.location,
                hint="define it at the top level of a module, or compile it in that process",
            )
        options = (self._sizes, self._numerics, self._passes, self._fallback, self._records, self._place)
        return CompiledFunction, (function, *options)

    def __repr__(self) -> str:
        count = len(self._specializer.made) + len(self._recorded.compilations if self._recorded else ())
        return f"<compiled {self._signature.name}: {count} program{'' if count == 1 else 's'}>"

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """As a method: programs belong to the instance, and go with it."""
        is_method = hasattr(self.function, "__get__") and not isinstance(self.function, staticmethod)
        if instance is None or not is_method:
            return self
        found = self._bound.get(id(instance))
        if found is None or found[0]() is not instance:
            try:
                found = self._bind(instance)
            except TypeError:  # nothing weak can refer to it, so its programs can't go with it
                return functools.partial(self, instance)
        return BoundFunction(found[1], instance)

    def _bind(self, instance: object) -> tuple[weakref.ref[object], CompiledFunction]:
        key, bound = id(instance), self._bound

        def forget(reference: object) -> None:
            if key in bound and bound[key][0] is reference:
                del bound[key]

        reference = weakref.ref(instance, forget)
        method = _WeakMethod(self.function, instance, reference)
        compiled = self.of(method)
        found = bound.setdefault(key, (reference, compiled))  # another thread may have been quicker
        assert found[0]() is instance, "the entry of an object goes with it"
        return found

    def __call__(self, /, *args: object, **kwargs: object) -> Any:
        """Run on the arguments; compiles if no program serves them yet."""
        try:
            if not (kwargs or TRACING or CASTING):
                fast, fill = self._quick
                result = fast(*args)
                if type(result) is tuple:
                    return result[0] if fill is None else fill(result)
            return self._call(args, kwargs)
        except Exception as error:
            hide_frames(error)
            raise

    def _call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        key = _plain_key(args) if not (kwargs or TRACING or CASTING) else None
        executable = self._plain.get(key) if key is not None else None
        if executable is not None:
            self._quick = executable.fast, executable.fill
            return executable.call_flat(args)
        if self._recorded is not None and not TRACING and self._is_recorded(args, kwargs):
            return self._recorded(args, kwargs)
        call = self._signature.bind(args, kwargs)
        if key is None and self._last is not None and not (TRACING or CASTING):
            inputs = self._last.take(call)
            if inputs is not None:
                made: Executable = self._last.specialization.made
                result = made.fast(*inputs)
                if type(result) is tuple:
                    return result[0] if made.fill is None else made.fill(result)
        leaves, structure = flatten(call.values)
        if current_scope() is not None or any(isinstance(leaf, SymbolicTensor) for leaf in leaves):
            return self._inline(call, leaves, structure)
        if self._is_object or (self._records and (not leaves or (has_tensors(leaves) and not self._sizes.is_given))):
            self._signature.check(call)
            if self._recorded is None:
                name, numerics, passes = self._signature.name, self._numerics, self._passes
                self._recorded = recorded(
                    self.function, name, fallback=self._fallback, numerics=numerics, passes=passes
                )
            return self._recorded(args, kwargs)
        if has_tensors(leaves):
            found, _, _ = self._specializer.find(call, without_tensors(leaves), structure)
            return found.made.call_flat([x for x, kind in zip(leaves, found.kinds) if isinstance(kind, TensorType)])
        found, arrays, route = self._specializer.find(call, leaves, structure)
        result = found.made.call_flat(arrays)
        if CASTING:
            return result  # programs for the regions of a thread don't serve other calls
        self._last = route
        if key is not None:
            if len(self._plain) >= MOST_REMEMBERED:
                self._plain.clear()
            self._plain[key] = found.made
            self._quick = found.made.fast, found.made.fill
        return result

    def _is_recorded(self, args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
        """Whether a call is plainly one on tensors."""
        if self._is_object or not (args or kwargs):
            return True
        return not self._sizes.is_given and has_tensors((*args, *kwargs.values()))

    def _inline(self, call: Call, leaves: tuple[object, ...], structure: Structure) -> object:
        """The function as a part of the graph that is being built: what would be inputs are symbolic tensors."""
        names = self._signature.leaf_names(call, structure)
        given = [x if isinstance(x, SymbolicTensor) else as_argument(x, n) for x, n in zip(leaves, names, strict=True)]
        plain = [None if isinstance(x, SymbolicTensor) else x for x in given]
        is_wide = any(isinstance(x, SymbolicTensor) and x.dtype in (f64, c128) for x in given)
        kinds = kinds_of(plain, names, Sizes(None), is_wide)
        lifted = [
            SymbolicTensor(constant(x, kind.dtype)) if isinstance(kind, TensorType) else x
            for x, kind in zip(given, kinds, strict=True)
        ]
        returned = run(self.function, self._signature, call, structure, lifted)
        nodes, results = outputs_of(returned, self._signature)
        return results.fill([SymbolicTensor(node) for node in nodes])

    def _build(self, graph: TracedGraph) -> Executable:
        return Executable.build(graph, numerics=self._numerics, passes=self._passes, place=self._place)


class BoundFunction:
    """A compiled method of one object."""

    __slots__ = ("__self__", "__wrapped__")

    def __init__(self, compiled: CompiledFunction, instance: object) -> None:
        self.__wrapped__ = compiled
        self.__self__ = instance

    def __call__(self, /, *args: object, **kwargs: object) -> Any:
        """Run on the arguments; compiles if no program serves them yet."""
        try:
            return self.__wrapped__(*args, **kwargs)
        except Exception as error:
            hide_frames(error)  # those of this call; the others are hidden
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __reduce__(self) -> tuple[object, ...]:
        return getattr, (self.__self__, name_of(self.__wrapped__.function))  # as Python's own methods

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


class _WeakMethod:
    """A method that doesn't keep its object alive: what is compiled for an object must not."""

    def __init__(self, function: Callable[..., object], instance: object, reference: weakref.ref[object]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.__signature__ = inspect.signature(types.MethodType(function, instance))
        self._function = function
        self._reference = reference

    @property
    def __self__(self) -> object:
        return self._reference()

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self._function(self._reference(), *args, **kwargs)


def _is_found(value: object, name: str, module: str) -> bool:
    """Whether the module has the value under this dotted name."""
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def _plain_key(args: tuple[object, ...]) -> Hashable:
    """What decides which program serves plain arrays; None if another object is among the arguments."""
    parts: list[Hashable] = []
    for x in args:
        if type(x) is not np.ndarray:
            return None
        parts += (x.dtype, x.shape)
    return tuple(parts)


def _decline(*args: object) -> None:
    """What serves plain arrays before there is a program."""
