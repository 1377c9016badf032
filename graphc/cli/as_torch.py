"""Scripts that import torch, run on graphc: `torch` and its submodules become other names of graphc and its own.

In: the path of a script and its arguments, or nothing. Out: the script's exit status, or this process with the names in
place. A module is the same object under both names, so nothing is imported twice.

>>> from graphc.cli import as_torch
>>> as_torch.install()
>>> import graphc.autograd, torch.autograd
>>> torch.autograd is graphc.autograd
True
"""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType

import graphc
from graphc.frontend.compile import set_default_fallback
from graphc.ir.boundary import users_frames
from graphc.ir.errors import ArgumentError
from graphc.ir.settings import settings

ADVICE = 'README.md lists what is missing yet, under "Coming from PyTorch"'
_SHOWN: dict[type, str] = {graphc.Tensor: "Tensor", graphc.Size: "Size", graphc.device: "device", graphc.dtype: "dtype"}
"""Classes that scripts print the type of: it shows as PyTorch's, under which name pickle finds them too."""
_NO_NAME = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'|module '([\w.]+)' has no attribute '(\w+)'")


class _Alias(MetaPathFinder, Loader):
    """Finds `torch.x.y`, whose module is `graphc.x.y`."""

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "torch" and not name.startswith("torch."):
            return None
        if _find(_own(name)) is None:
            raise ModuleNotFoundError(f"graphc has no {name}; {ADVICE}", name=name)
        return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes what stands in sys.modules by then, and leaves its __name__ and __spec__ alone.
        sys.modules[module.__name__] = importlib.import_module(_own(module.__name__))


def _own(name: str) -> str:
    return "graphc" + name[len("torch") :]


def _find(name: str) -> object:
    """The module or its spec; None where there is none."""
    if name in sys.modules:
        return sys.modules[name]
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None


def install() -> None:
    """Let `import torch` mean graphc in this process, and in those that `multiprocessing` starts from it.

    Calling it again changes nothing. Raises ArgumentError (a RuntimeError) where PyTorch itself is imported already.
    """
    present = sys.modules.get("torch")
    if present is graphc:
        return
    if present is not None:
        origin = getattr(present, "__file__", None) or "an unknown place"
        raise ArgumentError(
            f"torch is imported already, from {origin}",
            hint="make graphc stand for it before anything imports it: graphc run --as-torch SCRIPT.py, or "
            "graphc.cli.as_torch.install() at the very top",
        )
    sys.meta_path.insert(0, _Alias())
    sys.modules["torch"] = graphc
    set_default_fallback("eager")  # as PyTorch runs what it can't compile, unless it is asked for a full graph
    for kind, name in _SHOWN.items():
        kind.__module__, kind.__qualname__ = "torch", name


class _Arguments(list[str]):
    """sys.argv of a script. A new process of `multiprocessing` unpickles it before it imports the script."""

    def __reduce__(self) -> tuple[Callable[[list[str]], list[str]], tuple[list[str]]]:
        return _arguments_in_child, (list(self),)


def _arguments_in_child(arguments: list[str]) -> list[str]:
    install()
    return _Arguments(arguments)


def run_script(path: Path, arguments: Sequence[str]) -> int:
    """Run a script as `python path arguments...` would, on graphc; what it raises goes to standard error.

    The status is the script's own, or 1 where it raised. Raises ArgumentError where there is no such script.
    """
    if not path.is_file():
        raise ArgumentError(f"there is no file {path}")
    install()
    main = ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", str(path))
    main.__dict__.update(__file__=str(path), __builtins__=builtins, __cached__=None, __loader__=loader)
    sys.argv[:] = [str(path), *arguments]
    sys.argv = _Arguments(sys.argv)
    sys.path[0] = str(path.resolve().parent)
    sys.modules["__main__"] = main
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), main.__dict__)
        return 0
    except SystemExit as exit:
        return _status(exit)
    except BaseException as error:
        _report(error)
        return 130 if isinstance(error, KeyboardInterrupt) else 1


def _status(exit: SystemExit) -> int:
    if exit.code is None or isinstance(exit.code, int):
        return exit.code or 0
    print(exit.code, file=sys.stderr)
    return 1


def _report(error: BaseException) -> None:
    """Print the error as Python would, without the frames of this command, and say which name graphc lacks."""
    if not settings().traceback:
        error.__traceback__ = users_frames(error.__traceback__)
    if sys.excepthook is sys.__excepthook__:
        traceback.print_exception(type(error), error, error.__traceback__)
    else:
        sys.excepthook(type(error), error, error.__traceback__)
    lacking = _lacking(error)
    if lacking is not None:
        print(f"graphc has no {lacking}; {ADVICE}", file=sys.stderr)


def _lacking(error: BaseException) -> str | None:
    """The name of PyTorch's that the error says is not there."""
    if not isinstance(error, AttributeError | ImportError):
        return None
    match = _NO_NAME.match(str(error))
    if match is None:
        return None
    module, name = (match[2], match[1]) if match[1] else (match[3], match[4])
    if module not in ("graphc", "torch") and not module.startswith(("graphc.", "torch.")):
        return None
    return f"torch{module[len('graphc' if module.startswith('graphc') else 'torch') :]}.{name}"
