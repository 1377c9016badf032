"""README.md as a program: its code blocks, run section by section.

In: the text of README.md. Out: for each section its blocks, and what the real thing prints. `python -m tests.readme`
writes what the commands print now into the file.

    ```sh         set-up commands for a fresh machine, one per block; .ci/run runs them
    ```python     `# file.py` as the first line: a file that the whole README uses; otherwise a doctest
    ```console    `$ command` lines, each followed by what it prints; a line `...` stands for lines left out
    ```text       the layout of the tree
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
KINDS = ("sh", "python", "console", "text")

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_FAILED = "Traceback (most recent call last)"
_FILE = re.compile(r"# ([\w/]+\.py)\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the heading it stands under, its language, its text, and where that starts in the file."""

    section: str
    kind: str
    text: str
    start: int

    @property
    def line(self) -> int:
        """The line of its first line, from 1."""
        return README.read_text(encoding="utf-8").count("\n", 0, self.start) + 1

    @property
    def file(self) -> str | None:
        """The name of the file that it shows."""
        found = _FILE.match(self.text)
        return found[1] if found and self.kind == "python" else None


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block, and the output shown."""

    text: str
    output: str


def blocks(text: str | None = None) -> tuple[Block, ...]:
    """All blocks of the README, in order."""
    content = README.read_text(encoding="utf-8") if text is None else text
    found = []
    for match in _FENCE.finditer(content):
        headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", content[: match.start()]), re.MULTILINE)
        found.append(Block(headings[-1] if headings else "", match[1], match[2], match.start(2)))
    return tuple(found)


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block; a command goes on after a backslash at the end of a line."""
    assert block.text.startswith("$ "), f"README.md:{block.line}: a console block starts with a command"
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, output = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*)\n(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]
        yield Command(command, output)


def write_files(folder: Path) -> None:
    """Leave the files that the README shows in the folder, and its examples."""
    for block in blocks():
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
    (folder / "examples").symlink_to(README.parent / "examples")


def environment(folder: Path) -> dict[str, str]:
    """What commands run with: this interpreter first, and a terminal of a known width."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    return {**os.environ, "PATH": path, "COLUMNS": "80", "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8"}


def run(command: str, folder: Path) -> str:
    """What a command prints on both streams, without the folder's name."""
    done = subprocess.run(
        ["bash", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=environment(folder),
        timeout=120,
    )
    return done.stdout.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")


def agrees(shown: str, printed: str) -> bool:
    """Whether the output shown is the one printed: `...` lines stand for any lines, marks under code don't count."""
    parts = re.split(r"^\.\.\.\n", _without_marks(shown), flags=re.MULTILINE)
    pattern = r"(?:.*\n)*?".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, _without_marks(printed)) is not None


def _without_marks(text: str) -> str:
    """The text without the lines of tildes and carets in tracebacks, which not every Python draws."""
    return re.sub(r"^ +[~^]+\n", "", text, flags=re.MULTILINE)


def updated() -> str:
    """The README with what its commands print now, where nothing is left out."""
    text = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        for block in reversed(blocks(text)):
            if block.kind == "console":
                parts = []
                for command in commands(block):
                    printed = run(command.text, folder)
                    if _FAILED in printed and _FAILED not in command.output:
                        raise SystemExit(f"README.md:{block.line}: $ {command.text}\n{printed}")
                    output = command.output if agrees(command.output, printed) else printed
                    parts.append(f"$ {command.text}\n{output}")
                text = text[: block.start] + "".join(parts) + text[block.start + len(block.text) :]
    return text


if __name__ == "__main__":
    README.write_text(updated(), encoding="utf-8")
