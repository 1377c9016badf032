"""What each thread records and checks: gradients on or off, inference, anomalies.

In: `with no_grad():` and its kin, also as decorators. Out: the state that every eager call looks at.
"""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Container, Generator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

D = TypeVar("D", bound="_Decorator")
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class _Mode(threading.local):
    grad: bool = True
    """Whether gradients are recorded."""
    asked: bool = True
    """Whether they were asked to be; inference mode records none all the same."""
    inference: bool = False
    anomaly: bool = False
    check_nan: bool = True
    pack: Callable[[Any], Any] | None = None
    unpack: Callable[[Any], Any] | None = None
    keeps_copies: bool = False
    """Whether saved tensors are copies, which nobody can write to."""
    hooks_refused: str | None = None
    """Why hooks on saved tensors may not be used now."""
    pass_number: int = 0
    """Which backward pass runs, and its nodes: for hooks that wait for several gradients."""
    pass_nodes: Container[object] = ()
    pass_has_inputs: bool = False
    """Whether the pass that runs gives gradients of certain inputs only."""


MODE = _Mode()
"""This thread's state. Gradients are recorded while `grad` holds."""
EVER: set[str] = set()
"""The fields that any thread has ever set. A thread's state costs more to ask for than this: hooks on saved tensors
and the search for anomalies cost nothing where nobody uses them."""
SPECIAL: list[None] = []
"""Has an item for each block of inference mode that any thread is in, and for each watcher: new tensors look at it."""


def _set(settings: Mapping[str, object]) -> None:
    EVER.update(settings)
    for name, value in settings.items():
        setattr(MODE, name, value)
    MODE.grad = MODE.asked and not MODE.inference


class _Context:
    """Sets fields of the mode for a block, a function or the steps of a generator."""

    _settings: dict[str, object]

    def __init__(self, **settings: object) -> None:
        self._settings = settings
        self._before: list[dict[str, object]] = []

    def __enter__(self) -> None:
        self._before.append({name: getattr(MODE, name) for name in self._settings})
        _set(self._settings)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _set(self._before.pop())

    def clone(self) -> _Context:
        """Another context with the same settings; a recursive function needs one for each call."""
        return _Context(**self._settings)

    def __call__(self, function: F) -> F:
        """Decorate a function or generator function: the settings hold while it runs."""
        if inspect.isclass(function):
            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate "
                "functions or methods. To preserve the current behavior of class decoration, you can directly decorate "
                "the `__init__` method and nothing else.",
                FutureWarning,
                stacklevel=2,
            )
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generate(*args: object, **kwargs: object) -> Generator[object, object, object]:
                generator = function(*args, **kwargs)
                sent: object = None
                raised: BaseException | None = None
                while True:
                    try:
                        with self.clone():
                            value = generator.send(sent) if raised is None else generator.throw(raised)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        sent, raised = (yield value), None
                    except GeneratorExit:
                        with self.clone():
                            generator.close()
                        raise
                    except BaseException as error:
                        sent, raised = None, error

            return generate  # type: ignore[return-value]  # it has the signature of what it wraps

        @functools.wraps(function)
        def call(*args: object, **kwargs: object) -> object:
            with self.clone():
                return function(*args, **kwargs)

        return call  # type: ignore[return-value]  # it has the signature of what it wraps


class _Decorator(_Context):
    """Records gradients or not; may also stand without parentheses over a function: `@no_grad`."""

    _asked: ClassVar[bool]
    _asked_before: list[bool]

    @overload
    def __new__(cls: type[D], function: None = None) -> D: ...

    @overload
    def __new__(cls, function: F) -> F: ...  # type: ignore[misc]  # over a function it gives one

    def __new__(cls, function: Callable[..., object] | None = None) -> Any:
        made = object.__new__(cls)
        made._asked_before = []
        return made if function is None else made(function)

    if not TYPE_CHECKING:  # where a checker would look at it rather than at `__new__`
        __init__ = object.__init__  # `__new__` has done it: this block is entered more often than any other

    def __enter__(self) -> None:
        self._asked_before.append(MODE.asked)
        _ask(self._asked)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _ask(self._asked_before.pop())

    def clone(self) -> _Context:
        """Another one."""
        made: _Context = type(self)()
        return made


def _ask(recorded: bool) -> None:
    """Record gradients or not, but for inference mode."""
    MODE.asked = recorded
    MODE.grad = recorded and not (SPECIAL and MODE.inference)


def unrecorded(compute: Callable[[], T]) -> T:
    """What a computation gives with nothing recorded.

    For our own code in place of `no_grad`: an interrupt (Ctrl-C) may come at the first instruction of a context
    manager's `__exit__`, which then does nothing. Between the instructions of this `finally` none can.
    """
    before = MODE.asked, MODE.grad
    try:
        MODE.asked = MODE.grad = False
        return compute()
    finally:
        MODE.asked, MODE.grad = before


class no_grad(_Decorator):
    """Records no gradients: results don't require them. A context manager and a decorator."""

    _asked = False


class enable_grad(_Decorator):
    """Records gradients, also inside `no_grad`. A context manager and a decorator."""

    _asked = True


class set_grad_enabled(_Context):
    """Records gradients or not, at once; as a context manager or decorator it sets back what was before."""

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(
                f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}"
            )
        super().__init__(asked=mode)
        self._previous = MODE.asked
        _set(self._settings)

    def __enter__(self) -> None:
        self._before.append({"asked": self._previous})
        _set(self._settings)

    def __call__(self, function: F) -> F:
        """Decorate; what the constructor has set is undone."""
        _set({"asked": self._previous})
        return super().__call__(function)


class inference_mode(_Context):
    """Records nothing at all: tensors made inside can't take part in what is recorded later."""

    def __new__(cls, mode: bool | Callable[..., object] = True) -> Any:
        made = super().__new__(cls)
        if callable(mode):
            made.__init__(True)  # type: ignore[misc]  # as in `_Decorator`
            return made(mode)
        return made

    def __init__(self, mode: bool | Callable[..., object] = True) -> None:
        super().__init__(asked=not mode, inference=bool(mode))

    def __enter__(self) -> None:
        super().__enter__()
        SPECIAL.append(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        SPECIAL.pop()
        super().__exit__(kind, error, traceback)

    def clone(self) -> inference_mode:
        """Another one of the same mode."""
        return inference_mode(bool(self._settings["inference"]))


class set_multithreading_enabled(_Context):
    """Accepted for programs that set it: a backward pass runs in the thread that asks for it, in either mode."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = mode


def saved_hooks(pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> _Context:
    """Inside, saved values are kept as `pack` gives them."""
    return _Context(pack=pack, unpack=unpack)


def is_grad_enabled() -> bool:
    """Whether this thread records gradients."""
    return MODE.asked


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return MODE.inference
