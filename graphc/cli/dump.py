"""`graphc dump`: any stage of a compilation as text."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from graphc.cli.formats import graph_text, json_value
from graphc.cli.source import add_source, load_graph
from graphc.codegen.cpu import emit_kernel
from graphc.codegen.program import KERNEL, emit_program
from graphc.frontend.executable import make_program, pipeline_of
from graphc.ir.errors import ArgumentError
from graphc.ir.graph import Graph
from graphc.kernel.program import Program
from graphc.kernel.text import print_kernel, print_program
from graphc.passes.pipeline import Applied
from graphc.runtime.engine import assembly
from graphc.runtime.target import Target, named_target, native_target

GRAPH_STAGES = "traced, after:PASS"
CODE_STAGES = ("program", "kernel", "llvm", "asm")


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Enter `dump` among the commands."""
    parser = commands.add_parser("dump", help="print a stage of a compilation", description=__doc__)
    add_source(parser)
    parser.add_argument(
        "--stage",
        default="traced",
        metavar="STAGE",
        help=f"{GRAPH_STAGES}, all, {', '.join(CODE_STAGES)} (default: traced)",
    )
    parser.add_argument("--format", choices=("text", "dot", "json"), default="text", help="for graphs (default: text)")
    parser.add_argument("--passes", metavar="TEXT", help="a pipeline in place of the default one; see graphc passes")
    parser.add_argument("--numerics", choices=("strict", "fast"), default="strict")
    parser.add_argument("--target", metavar="CPU", help="generate code for this CPU, e.g. x86-64-v3 (llvm, asm)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")
    parser.set_defaults(function=dump)


def dump(options: argparse.Namespace) -> int:
    """Print the stage that the options name."""
    graph = load_graph(options)
    text = _stage(graph, options).rstrip("\n") + "\n"
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(options.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{options.output} can't be written: {error.strerror}") from None
    return 0


def _stage(graph: Graph, options: argparse.Namespace) -> str:
    stage: str = options.stage
    name, _, wanted = stage.partition(":")
    if name not in ("traced", "after", "all", *CODE_STAGES) or (wanted and name != "after"):
        raise ArgumentError(
            f"there is no stage {stage!r}", hint=f"the stages are {GRAPH_STAGES}, all, {', '.join(CODE_STAGES)}"
        )
    if options.format != "text" and name not in ("traced", "after", "all"):
        raise ArgumentError(f"--format {options.format} is for graphs; the stage {stage} is printed as text")
    pipeline = pipeline_of(options.numerics, options.passes)
    if name == "traced":
        return graph_text(graph, options.format)
    names = [step.pass_.name for step in pipeline.steps]
    if name == "after" and wanted not in names:
        raise ArgumentError(f"the pipeline has no pass {wanted!r}", hint=f"its passes are {', '.join(names)}")
    stages: list[tuple[str, Graph]] = [("traced", graph)]

    def note(applied: Applied) -> None:
        stages.append((f"after:{applied.step.pass_.name}", applied.after))

    fused = pipeline.run(graph, instruments=(note,))
    if name == "after":
        return graph_text(next(g for label, g in reversed(stages) if label == stage), options.format)
    if name != "all":
        return _code(make_program(fused), name, options.target)
    if options.format == "json":
        return json.dumps([{"stage": label, "graph": json_value(each)} for label, each in stages], indent=1)
    if options.format == "dot":
        return "\n\n".join(graph_text(each, "dot") for _, each in stages)
    program = make_program(fused)
    parts = [f"# {label}\n{graph_text(each, 'text')}" for label, each in stages]
    parts += [f"# {each}\n{_code(program, each, options.target)}" for each in CODE_STAGES]
    return "\n\n".join(parts)


def _code(program: Program, stage: str, cpu: str | None) -> str:
    if stage == "program":
        return print_program(program)
    if stage == "kernel":
        return "\n\n".join(map(print_kernel, program.kernels))
    target: Target = native_target() if cpu is None else named_target(cpu)
    texts = [emit_kernel(kernel, target, f"{KERNEL}_{i}_{kernel.name}") for i, kernel in enumerate(program.kernels)]
    texts.append(emit_program(program, target))
    if stage == "llvm":
        return "\n\n".join(texts)
    return "\n\n".join(assembly(text, target) for text in texts)
