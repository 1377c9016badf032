"""The command `graphc`: dump any stage of a compilation, run a dumped graph, list the passes, look at the machine.

    graphc dump model.py:loss --input 'f32[64,1000]' 'f32[1000,10]' --stage kernel
    graphc run loss.gir --check
    graphc passes
    graphc doctor

What the user got wrong is one line on standard error and exit status 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from graphc.cli import doctor, dump, passes, run
from graphc.ir.errors import GraphcError, ParseError
from graphc.ir.settings import settings


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 where a check found something wrong, 2 for a mistake."""
    parser = _Parser(prog="graphc", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser, metavar="COMMAND")
    for module in (dump, run, passes, doctor):
        module.add_command(commands)
    words, script = run.without_script(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(words)
    options.script = script
    try:
        status: int = options.function(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone, as `head` does: nobody is left to be told
        return 0
    except GraphcError as error:
        if settings().traceback:
            raise
        print(f"graphc {options.command}: error: {one_line(error)}", file=sys.stderr)
        return 2


def one_line(error: GraphcError) -> str:
    """What is wrong, where, and the way out, on one line."""
    parts = [error.message]
    if isinstance(error, ParseError):  # the text with a mark below it makes no sense on one line
        first, *shown = error.message.split("\n")
        parts = [f"{first}: {shown[0].strip()!r}" if shown else first]
    if error.location is not None:
        parts.append(f"at {error.location.describe()}")
    if error.hint is not None:
        parts.append(error.hint)
    return "; ".join(part.replace("\n", " ") for part in parts)
