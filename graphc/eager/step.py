"""`graphc.compile` of code on tensors: forward, backward and update of a step as one program.

Level: over the recorder. In: a function of tensors and the arguments of a call. Out: what it returns, with the same
effects on parameters, buffers, gradients and random numbers. The first call of each kind runs eagerly and is recorded;
the next ones run the recorded graph as one native call and put the results where the code would have put them.

What a call's Python decided is checked before its program runs again: types and values of arguments, gradient mode,
`training` of modules and whatever else of them was set, which gradients were there, what requires gradients.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

from graphc.eager.mode import MODE
from graphc.eager.outcome import Ended, Outcome, Unsettled
from graphc.eager.recorder import Recorder
from graphc.eager.recording import UNFIT, Recording
from graphc.eager.tensor import Tensor
from graphc.eager.watch import watcher
from graphc.frontend.executable import Executable
from graphc.frontend.tree import Structure, flatten
from graphc.ir.dtype import get_default_dtype
from graphc.ir.errors import ArgumentError, describe
from graphc.ir.graph import Graph

log = logging.getLogger("graphc.compile")

MOST_UNSETTLED = 3
"""Calls that change what programs can't change, before that is taken for what the function always does."""
MOST_KINDS = 1024
"""Kinds of calls that are remembered."""
MANY = 32
"""So many recordings of one function are worth a warning."""

Fallback: TypeAlias = "str | None"


class Step:
    """A function of tensors, recorded once for each kind of call."""

    def __init__(self, function: Callable[..., Any], name: str, fallback: Fallback = None, **options: Any) -> None:
        self.function = function
        self.options = options
        self.name = name
        self.fallback = fallback
        self.recordings: list[Recording] = []
        self._known: dict[Hashable, list[Recording]] = {}
        self._eager: set[Hashable] = set()
        """Kinds of calls that can't be programs."""
        self._unsettled = 0
        self._lock = threading.RLock()

    @property
    def compilations(self) -> Sequence[tuple[str, Graph, Executable | None]]:
        """For each program why it was made, its graph, and its code once it has run."""
        return [(each.reason, each.graph, each.executable) for each in self.recordings]

    def __call__(self, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """Run the program of this kind of call, or run and record it."""
        if watcher() is not None:  # a part of another recording
            return self.function(*args, **kwargs)
        leaves, structure = flatten((args, kwargs))
        key, tensors = _key_of(leaves, structure)
        for recording in self._known.get(key, ()):
            if recording.fits():
                result = recording.run(tensors)
                if result is not UNFIT:
                    return result
                recording.stale = "a tensor that is used has another shape or dtype"
        if key in self._eager:
            return self.function(*args, **kwargs)
        with self._lock:
            return self._record(key, tensors, args, kwargs)

    def _record(
        self, key: Hashable, tensors: Sequence[Tensor], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        recorder = Recorder(self.name, is_lenient=self.fallback is not None)
        with recorder:
            for index, tensor in enumerate(tensors):
                recorder.argument(index, tensor, f"x{index}")
            owner = getattr(self.function, "__self__", None)
            if hasattr(owner, "named_parameters"):
                recorder.called(owner)  # the function is a method of a module
            result = self.function(*args, **kwargs)
            made = None if recorder.failure is not None else self._made(recorder, tensors, result)
        if recorder.failure is not None:
            self._eager.add(key)
            log.warning("%s runs eagerly: %s", self.name, recorder.failure)
            return result
        if made is not None:
            self.recordings.append(made)
            if len(self._known) >= MOST_KINDS:
                self._known.clear()
            known = self._known.get(key, [])
            self._known[key] = [made, *(each for each in known if each.stale is None)]
            for module, _ in made.modules:
                _watch(module, made)
            self._report(made)
        return result

    def _report(self, made: Recording) -> None:
        count = len(self.recordings)
        if count % MANY == 0:
            log.warning("%s has been recorded %d times, now because %s", self.name, count, made.reason)
        elif count > 1:
            log.info("%s is recorded again: %s", self.name, made.reason)

    def _made(self, recorder: Recorder, tensors: Sequence[Tensor], result: object) -> Recording | None:
        """The recording of a call; None where it would not do the same again."""
        try:
            made = Outcome(recorder, tensors, result).recording(self._reason(), self.options)
        except Ended:
            return None
        except Unsettled as cause:
            self._unsettled += 1
            if self._unsettled >= MOST_UNSETTLED:
                recorder.refuse(cause.what, cause.hint)
            return None
        self._unsettled = 0
        return made

    def _reason(self) -> str:
        if not self.recordings:
            return "first call"
        stale = next((each.stale for each in reversed(self.recordings) if each.stale is not None), None)
        return stale or "a call of another kind"


def _key_of(leaves: Sequence[object], structure: Structure) -> tuple[Hashable, list[Tensor]]:
    tensors: list[Tensor] = []
    key: list[Any] = [structure, MODE.grad, MODE.inference, get_default_dtype()]
    places: dict[int, int] = {}
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            array = leaf._array
            place = places.setdefault(id(leaf._storage), len(tensors))
            tensors.append(leaf)
            meta = leaf._meta
            is_required = meta is not None and leaf.requires_grad
            key.extend((type(leaf), array.dtype, array.shape, place, is_required))
            if not array.flags.c_contiguous:
                key.append(array.strides)
        else:
            try:
                hash(leaf)
            except TypeError:
                raise ArgumentError(
                    f"compile: an argument is {describe(leaf)}, which can't be told from another one",
                    hint="pass tensors, numbers, strings and plain containers of them",
                ) from None
            key.extend((type(leaf), leaf))
    return tuple(key), tensors


def _watch(module: Any, recording: Recording) -> None:
    """Let changes of a module's attributes make the recording stale."""
    watched = module.__dict__.get("_watch")
    if watched is None:
        watched = _Changes()
        module.__dict__["_watch"] = watched
    watched.recordings.append(recording)


class _Changes:
    """Hears of every attribute of a module that is set."""

    def __init__(self) -> None:
        self.recordings: list[Recording] = []

    def __call__(self, module: Any, name: str) -> None:
        if name == "training":
            return  # that is looked at before each run
        for each in self.recordings:
            if each.stale is None:
                each.stale = f"{type(module).__name__}.{name} was set"
        self.recordings.clear()
