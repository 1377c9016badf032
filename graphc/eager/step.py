"""`graphc.compile` of code on tensors: forward, backward and update of a step as one program.

Level: over the recorder. In: a function of tensors and the arguments of a call. Out: what it returns, with the same
effects on parameters, buffers, gradients and random numbers. The first call of each kind runs eagerly and is recorded;
the next ones run the recorded graph as one native call and put the results where the code would have put them.

What a call's Python decided is checked before its program runs again: types and values of arguments, gradient mode,
regions of `autocast`, `training` of modules and whatever else of them was set, which gradients were there, what
requires gradients.
"""

from __future__ import annotations

import logging
import reprlib
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

from graphc.eager.autocast import own_cache
from graphc.eager.mode import MODE
from graphc.eager.outcome import Ended, Outcome, Unsettled
from graphc.eager.placement import gpu_of
from graphc.eager.recorder import Recorder
from graphc.eager.recording import UNFIT, Recording
from graphc.eager.tensor import Tensor
from graphc.eager.watch import watcher
from graphc.frontend.autocast import autocast_key
from graphc.frontend.autocast import describe as describe_autocast
from graphc.frontend.executable import Executable
from graphc.frontend.signature import Signature
from graphc.frontend.tree import Structure, flatten
from graphc.ir.dtype import get_default_dtype
from graphc.ir.errors import ArgumentError, describe
from graphc.ir.graph import Graph
from graphc.ir.precision import matmul_level, tf32_is_asked_for
from graphc.ir.type import TensorType

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
        self._count = 0
        self._last_kinds: dict[str, str] | None = None
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
        result = self._run(key, tensors)
        if result is not UNFIT:
            return result
        if key in self._eager:
            return self.function(*args, **kwargs)
        with self._lock:
            result = self._run(key, tensors)  # another thread may have recorded it meanwhile
            return self._record(key, tensors, args, kwargs) if result is UNFIT else result

    def _run(self, key: Hashable, tensors: Sequence[Tensor]) -> object:
        """The results of a program that serves the call; UNFIT if none does."""
        for recording in self._known.get(key, ()):
            if recording.misfit() is None:
                result = recording.run(tensors)
                if result is not UNFIT:
                    return result
                recording.stale = "a tensor that is used has another shape or dtype"
        return UNFIT

    def _record(
        self, key: Hashable, tensors: Sequence[Tensor], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        recorder = Recorder(self.name, is_lenient=self.fallback is not None)
        kinds, names = self._kinds(args, kwargs)
        reason = self._reason(key, kinds)
        with recorder:
            for index, tensor in enumerate(tensors):
                recorder.argument(index, tensor, names[id(tensor)])
            owner = getattr(self.function, "__self__", None)
            if hasattr(owner, "named_parameters"):
                recorder.called(owner)  # the function is a method of a module
            with own_cache():
                result = self.function(*args, **kwargs)
            made = None if recorder.failure is not None else self._made(recorder, tensors, result, reason)
        if recorder.failure is not None:
            self._eager.add(key)
            log.warning("%s\n  it runs eagerly from now on", recorder.failure)
            return result
        if made is not None:
            self._last_kinds = kinds
            self._count += 1
            self.recordings.append(made)
            if len(self.recordings) > MOST_KINDS:
                del self.recordings[0]
            if len(self._known) >= MOST_KINDS:
                self._known.clear()
            known = self._known.get(key, [])
            self._known[key] = [made, *(each for each in known if each.stale is None)]
            for module, _ in made.modules:
                _watch(module, made)
            self._report(made)
        return result

    def _report(self, made: Recording) -> None:
        count = self._count
        if count % MANY == 0:
            log.warning("%s has been recorded %d times, now because %s", self.name, count, made.reason)
        elif count > 1:
            log.info("%s is recorded again: %s", self.name, made.reason)

    def _made(self, recorder: Recorder, tensors: Sequence[Tensor], result: object, reason: str) -> Recording | None:
        """The recording of a call; None where it would not do the same again."""
        if recorder.is_passed_over:
            return None
        try:
            made = Outcome(recorder, tensors, result).recording(reason, self.options)
        except Ended:
            return None
        except Unsettled as cause:
            self._unsettled += 1
            if self._unsettled >= MOST_UNSETTLED:
                recorder.refuse(cause.what, cause.hint)
            return None
        self._unsettled = 0
        return made

    def _kinds(self, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[dict[str, str], dict[int, str]]:
        """What decides which program serves a call, by its name in the user's words; and the names of the tensors."""
        signature = Signature(getattr(self.function, "forward", self.function))  # of a module, what users define
        call = signature.bind(args, kwargs)
        leaves, structure = flatten(call.values)
        found = {
            "gradients": "recorded" if MODE.grad else "not recorded",
            "the default dtype": str(get_default_dtype()),
            "autocast": describe_autocast(),
            "the precision of products": matmul_level(),
        }
        names: dict[int, str] = {}
        for name, leaf in zip(signature.leaf_names(call, structure), leaves, strict=True):
            if isinstance(leaf, Tensor):
                names.setdefault(id(leaf), name)
                layout = "" if leaf._array.flags.c_contiguous else f" of strides {list(leaf._array.strides)}"
                grad = " that requires grad" if leaf.requires_grad else ""
                gpu = gpu_of(leaf._array)
                where = "" if gpu is None else f" on cuda:{gpu}"
                found[name] = f"{TensorType(leaf._array.shape, leaf.dtype)}{where}{layout}{grad}"
            else:
                found[name] = reprlib.repr(leaf)
        return found, names

    def _reason(self, key: Hashable, kinds: dict[str, str]) -> str:
        """Why no program serves the call: what differs from the last one that was recorded."""
        last = self._last_kinds
        if last is None:
            return "first call"
        changes = [f"{name} was {last[name]} and is {now}" for name, now in kinds.items() if last.get(name, now) != now]
        if changes or last.keys() != kinds.keys():
            return "; ".join(changes) or "its arguments are nested in another way"
        misfits = (each.misfit() for each in self._known.get(key, ()))
        return next((each for each in misfits if each is not None), "tensors among its arguments share memory")


def _key_of(leaves: Sequence[object], structure: Structure) -> tuple[Hashable, list[Tensor]]:
    tensors: list[Tensor] = []
    key: list[Any] = [structure, MODE.grad, MODE.inference, get_default_dtype(), autocast_key()]
    key.append(tf32_is_asked_for("cuda.matmul"))
    places: dict[int, int] = {}
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            array = leaf._array
            place = places.setdefault(id(leaf._storage), len(tensors))
            tensors.append(leaf)
            meta = leaf._meta
            is_required = meta is not None and leaf.requires_grad
            key.extend((type(leaf), array.dtype, array.shape, gpu_of(array), place, is_required))
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
