"""`graphc dump`: any stage of a compilation as text."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from graphc.cli.formats import graph_text, json_value
from graphc.cli.source import add_source, load_graph
from graphc.codegen.cpu import emit_kernel
from graphc.codegen.gpu.kernel import emit_module
from graphc.codegen.gpu.ptx import emit_ptx
from graphc.codegen.program import KERNEL, emit_program
from graphc.frontend.executable import make_program, pipeline_of
from graphc.frontend.place import find_place
from graphc.frontend.stages import gpu_kernels
from graphc.ir.errors import ArgumentError
from graphc.ir.graph import Graph
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.program import Program
from graphc.kernel.text import print_kernel, print_program
from graphc.passes.pipeline import Applied
from graphc.runtime.engine import assembly
from graphc.runtime.target import Target, named_target, native_target

GRAPH_STAGES = "traced, after:PASS"
CODE_STAGES = ("program", "kernel", "llvm", "asm")
GPU_STAGES = ("program", "kernel", "llvm", "ptx")


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Enter `dump` among the commands."""
    parser = commands.add_parser("dump", help="print a stage of a compilation", description=__doc__)
    add_source(parser)
    parser.add_argument(
        "--stage",
        default="traced",
        metavar="STAGE",
        help=f"{GRAPH_STAGES}, all, {', '.join(CODE_STAGES)}, ptx (default: traced)",
    )
    parser.add_argument("--format", choices=("text", "dot", "json"), default="text", help="for graphs (default: text)")
    parser.add_argument("--passes", metavar="TEXT", help="a pipeline in place of the default one; see graphc passes")
    parser.add_argument("--numerics", choices=("strict", "fast"), default="strict")
    parser.add_argument(
        "--target",
        metavar="TARGET",
        help="generate code for this CPU or GPU, e.g. x86-64-v3 or sm_90; neither has to be here (default: this CPU)",
    )
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
    if name not in ("traced", "after", "all", "ptx", *CODE_STAGES) or (wanted and name != "after"):
        raise ArgumentError(
            f"there is no stage {stage!r}", hint=f"the stages are {GRAPH_STAGES}, all, {', '.join(CODE_STAGES)}, ptx"
        )
    gpu = _gpu(options.target)
    if name == "ptx" and gpu is None:
        raise ArgumentError("PTX is code for a GPU", hint="name one, e.g. --target sm_80")
    if name == "asm" and gpu is not None:
        raise ArgumentError(
            f"{gpu} has no assembly here", hint="use --stage ptx; the driver makes machine code of that"
        )
    if options.format != "text" and name not in ("traced", "after", "all"):
        raise ArgumentError(f"--format {options.format} is for graphs; the stage {stage} is printed as text")
    pipeline = pipeline_of(options.numerics, options.passes, gpu)
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
        return _code(make_program(fused, gpu), name, options.target, gpu)
    if options.format == "json":
        return json.dumps([{"stage": label, "graph": json_value(each)} for label, each in stages], indent=1)
    if options.format == "dot":
        return "\n\n".join(graph_text(each, "dot") for _, each in stages)
    program = make_program(fused, gpu)
    parts = [f"# {label}\n{graph_text(each, 'text')}" for label, each in stages]
    code_stages = CODE_STAGES if gpu is None else GPU_STAGES
    parts += [f"# {each}\n{_code(program, each, options.target, gpu)}" for each in code_stages]
    return "\n\n".join(parts)


def _gpu(target: str | None) -> GpuTarget | None:
    """The GPU that is named; None for a CPU."""
    if target is None or not target.startswith(("cuda", "sm_")):
        return None
    place = find_place(target)
    assert place is not None, "a target of that name is a GPU"
    return place.target


def _code(program: Program, stage: str, cpu: str | None, gpu: GpuTarget | None) -> str:
    if stage == "program":
        return print_program(program)
    if stage == "kernel":
        return "\n\n".join(map(print_kernel, program.kernels))
    if gpu is not None:
        kernels = gpu_kernels(program)
        return emit_ptx(kernels, gpu) if stage == "ptx" else emit_module(kernels, gpu)
    target: Target = native_target() if cpu is None else named_target(cpu)
    texts = [emit_kernel(kernel, target, f"{KERNEL}_{i}_{kernel.name}") for i, kernel in enumerate(program.kernels)]
    texts.append(emit_program(program, target))
    if stage == "llvm":
        return "\n\n".join(texts)
    return "\n\n".join(assembly(text, target) for text in texts)
