"""`graphc run`: a graph on random or given inputs, and `--check`: interpreter and native code compared pass by pass.

With `--as-torch` it runs a script that imports torch, on graphc.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.cli.as_torch import run_script
from graphc.cli.source import add_source, load_graph
from graphc.frontend.executable import Executable
from graphc.frontend.tree import flatten
from graphc.ir.errors import ArgumentError
from graphc.ir.graph import Graph
from graphc.ir.interpret import evaluate_graph
from graphc.ir.sizes import check_arguments
from graphc.passes.instrument import difference, random_arguments
from graphc.passes.pipeline import Applied

AnyArray = npt.NDArray[Any]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Enter `run` among the commands."""
    parser = commands.add_parser("run", help="run a graph, or a script written for PyTorch", description=__doc__)
    add_source(parser, is_optional=True)
    parser.add_argument(
        "--as-torch",
        nargs=argparse.REMAINDER,
        help="SCRIPT.py and its arguments: run the unmodified script with graphc in the place of torch",
    )
    parser.add_argument("--inputs", metavar="FILE.npz", help="arrays by the names of the inputs (default: random ones)")
    parser.add_argument("--seed", type=int, default=0, help="for random inputs")
    parser.add_argument(
        "--size", action="append", default=[], metavar="NAME=N", help="a symbolic size of random inputs"
    )
    parser.add_argument("--check", action="store_true", help="compare interpreter and native values, pass by pass")
    parser.add_argument("--passes", metavar="TEXT", help="a pipeline in place of the default one; see graphc passes")
    parser.add_argument("--numerics", choices=("strict", "fast"), default="strict")
    parser.add_argument("-o", "--output", metavar="FILE.npz", help="write the results")
    parser.set_defaults(function=run)


def without_script(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The command's own words, and after `--as-torch` those of the script, which argparse shall not take apart."""
    if "--as-torch" not in words or words[0] != "run":
        return words, ()
    index = words.index("--as-torch") + 1
    return words[:index], words[index:]


def run(options: argparse.Namespace) -> int:
    """Run the graph; the status is 1 where a check found a difference. A script's status is its own."""
    words = [word for word in (options.source, *options.script) if word is not None]
    if not words:
        raise ArgumentError("nothing to run is named", hint="give a SOURCE, or --as-torch SCRIPT.py")
    if options.as_torch is not None:
        return run_script(Path(words[0]), words[1:])
    graph = load_graph(options)
    arrays = _read(Path(options.inputs), graph) if options.inputs else _random(graph, options)
    check_arguments(graph, arrays)
    stages: list[tuple[str, Graph]] = []

    def note(applied: Applied) -> None:
        stages.append((str(applied.step), applied.after))

    executable = Executable.build(graph, numerics=options.numerics, passes=options.passes, instruments=(note,))
    results = _flat(executable.call_flat(tuple(arrays)))
    for index, array in enumerate(results):
        print(f"result {index}: {_summary(array)}")
    if options.output:
        try:
            named: dict[str, Any] = {f"result_{i}": array for i, array in enumerate(results)}
            np.savez(options.output, **named)
        except OSError as error:
            raise ArgumentError(f"{options.output} can't be written: {error.strerror}") from None
    return _check(graph, arrays, stages, results) if options.check else 0


def _check(graph: Graph, arrays: list[AnyArray], stages: list[tuple[str, Graph]], results: list[AnyArray]) -> int:
    """Each pass's graph against the one before it, by the interpreter; then native code against the last."""
    before = evaluate_graph(graph, arrays)
    status = 0
    for name, after in stages:
        values = evaluate_graph(after, arrays)
        status |= _report(f"after {name}", before, values)
        before = values
    return status | _report("native", before, tuple(results))


def _report(stage: str, expected: tuple[AnyArray, ...], actual: tuple[AnyArray, ...]) -> int:
    for index, (want, have) in enumerate(zip(expected, actual, strict=True)):
        found = difference(want, have)
        if found is not None:
            print(f"check {stage}: result {index} changed: {found}")
            return 1
    print(f"check {stage}: ok")
    return 0


def _flat(result: object) -> list[AnyArray]:
    leaves, _ = flatten(result)
    return [np.asarray(leaf) for leaf in leaves]


def _summary(array: AnyArray) -> str:
    if array.size == 0:
        return f"{array.dtype} {array.shape}, empty"
    if array.dtype.kind in "bc" or array.size == 1:
        return f"{array.dtype} {array.shape}, first {array.flat[0]}"
    wide = array.astype(np.float64)
    return f"{array.dtype} {array.shape}, mean {wide.mean():.6g}, least {wide.min():.6g}, greatest {wide.max():.6g}"


def _read(path: Path, graph: Graph) -> list[AnyArray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ArgumentError(f"{path} can't be read as .npz: {error}") from None
    names = [str(node.attribute("name")) for node in graph.inputs]
    missing = [name for name in names if name not in held]
    if missing:
        raise ArgumentError(f"{path} has no array {missing[0]!r}", hint=f"it has {', '.join(held) or 'none'}")
    return [held[name] for name in names]


def _random(graph: Graph, options: argparse.Namespace) -> list[AnyArray]:
    sizes: dict[str, int] = {}
    for text in options.size:
        name, _, number = text.partition("=")
        if not number.isdigit() or name not in {each.name for each in graph.sizes}:
            known = ", ".join(each.name for each in graph.sizes) or "none"
            raise ArgumentError(f"--size {text} is no NAME=N of a symbolic size", hint=f"the graph's are: {known}")
        sizes[name] = int(number)
    return list(random_arguments(graph, options.seed, sizes))
