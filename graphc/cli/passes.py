"""`graphc passes`: what can stand in a pipeline."""

from __future__ import annotations

import argparse

from graphc.frontend.executable import pipeline_of
from graphc.passes.pipeline import all_passes


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Enter `passes` among the commands."""
    parser = commands.add_parser("passes", help="list the passes", description=__doc__)
    parser.set_defaults(function=list_passes)


def list_passes(options: argparse.Namespace) -> int:
    """Print each pass with its options and a line about it, and the default pipeline."""
    rows = [(f"{p.name}{{{','.join(map(str, p.options))}}}" if p.options else p.name, p.summary) for p in all_passes()]
    width = max(len(name) for name, _ in rows)
    for name, summary in rows:
        print(f"{name:{width}}  {summary}")
    print(f"\ndefault pipeline: {pipeline_of()}")
    return 0
