"""The graph that a command works on: a function of a file, or a dumped graph.

In: `FILE.py:FUNCTION` with specs of its arguments, or `FILE.gir`. Out: a `Graph`.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from graphc.frontend.compile import CompiledFunction
from graphc.frontend.executable import Executable
from graphc.frontend.tensor import SymbolicTensor
from graphc.frontend.trace import symbolic_trace
from graphc.frontend.transform import value_and_grad
from graphc.ir.boundary import users_frames
from graphc.ir.errors import ArgumentError, GraphcError
from graphc.ir.graph import Graph
from graphc.ir.location import Location
from graphc.ir.parse import parse_graph
from graphc.passes.autodiff import differentiate


def add_source(parser: argparse.ArgumentParser, *, is_optional: bool = False) -> None:
    """The arguments that say which graph is meant."""
    text = "FILE.py:FUNCTION, or FILE.gir with the text of a graph"
    parser.add_argument("source", metavar="SOURCE", nargs="?" if is_optional else None, help=text)
    parser.add_argument(
        "--input", nargs="+", default=[], metavar="SPEC", help="types of the function's arguments, e.g. 'f32[64,n]'"
    )
    parser.add_argument("--grad", action="store_true", help="the graph of the value and the gradients")


def load_graph(options: argparse.Namespace) -> Graph:
    """The graph that the arguments mean; raises ArgumentError."""
    source: str = options.source
    if source.endswith(".gir"):
        if options.input:
            raise ArgumentError("--input goes with FILE.py:FUNCTION: a .gir file has its types in it")
        return _read_graph(Path(source), options.grad)
    file, separator, name = source.rpartition(":")
    if not separator or not file.endswith(".py") or not name:
        raise ArgumentError(f"{source!r} is neither FILE.py:FUNCTION nor FILE.gir")
    found = _load(Path(file), name)
    if isinstance(found, Executable):
        found = found.graph
    if isinstance(found, Graph):
        return differentiate(found, seed=True) if options.grad else found
    if isinstance(found, SymbolicTensor) or not callable(found):
        raise ArgumentError(f"{name} in {file} is a {type(found).__name__}, no function or graph")
    function = found.function if isinstance(found, CompiledFunction) else found
    if not options.input:
        raise ArgumentError(f"{name} needs the types of its arguments", hint="give them by --input 'f32[64,10]' ...")
    if options.grad:
        function = value_and_grad(function, argnums=tuple(range(len(options.input))))
    try:
        return symbolic_trace(function, *options.input)
    except GraphcError:
        raise
    except Exception as error:  # whatever the user's function raises is the user's to read, on one line
        raise ArgumentError(
            f"{name} raised {type(error).__name__}: {error}", location=_where(error, Path(file))
        ) from error


def _read_graph(path: Path, with_grad: bool) -> Graph:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path} can't be read: {error}") from None
    try:
        graph = parse_graph(text)
    except GraphcError as error:
        error.message = f"{path}: {error.message}"
        raise
    return differentiate(graph, seed=True) if with_grad else graph


def _load(path: Path, name: str) -> object:
    if not path.is_file():
        raise ArgumentError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except GraphcError:
        raise
    except Exception as error:
        raise ArgumentError(
            f"{path} failed while it was imported: {type(error).__name__}: {error}", location=_where(error, path)
        ) from error
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == path.stem]
            raise ArgumentError(f"{path} has no {name}", hint=f"it has {', '.join(public)}" if public else None)
        found = getattr(found, part)
    return found


def _where(error: BaseException, path: Path) -> Location | None:
    """The innermost line of the user's that the error came through."""
    if isinstance(error, SyntaxError):
        return Location(error.filename or str(path), error.lineno or 1)
    traceback = users_frames(error.__traceback__)
    found: Location | None = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith("<frozen "):
            found = Location(code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found
