"""README.md tells the truth: every block of code in it runs and gives what it shows.

Where a change of the compiler changes what a command prints, `python -m tests.readme` writes it into the file.
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from graphc.cli.main import main
from graphc.ir.settings import table
from tests.readme import KINDS, README, agrees, blocks, commands, environment, run, write_files

TEXT = README.read_text(encoding="utf-8")
BLOCKS = blocks(TEXT)
SECTIONS = tuple(dict.fromkeys(block.section for block in BLOCKS))


def of(kind: str, section: str) -> list[str]:
    return [block.text for block in BLOCKS if block.kind == kind and block.section == section and not block.file]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the README shows."""
    write_files(tmp_path)
    return tmp_path


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    assert [f"line {block.line}: {block.kind}" for block in BLOCKS if block.kind not in KINDS] == []
    assert TEXT.count("\n```") == 2 * len(BLOCKS)
    for block in BLOCKS:
        if block.kind == "python" and not block.file:
            assert block.text.startswith(">>> "), f"line {block.line}: neither a file nor a doctest"


@pytest.mark.parametrize("section", [s for s in SECTIONS if of("python", s)])
def test_python_blocks_print_what_they_show(section: str, folder: Path) -> None:
    (folder / "section.txt").write_text("\n".join(of("python", section)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "doctest", "-o", "ELLIPSIS", "section.txt"],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(folder),
        timeout=120,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("section", [s for s in SECTIONS if of("console", s)])
def test_commands_print_what_is_shown(section: str, folder: Path) -> None:
    for block in BLOCKS:
        if block.kind == "console" and block.section == section:
            for command in commands(block):
                printed = run(command.text, folder)
                if not agrees(command.output, printed):
                    assert printed == command.output, f"line {block.line}: $ {command.text}"


def test_files_shown_are_used() -> None:
    used = "".join(block.text for block in BLOCKS if not block.file)
    for block in BLOCKS:
        if block.file:
            stem = block.file.removesuffix(".py")
            assert re.search(rf"\b{stem}\.py\b|\bimport\b.*\b{stem}\b|\bfrom {stem} ", used), block.file


def test_paths_in_the_layout_exist() -> None:
    root = README.parent
    lines = "".join(block.text for block in BLOCKS if block.kind == "text").splitlines()
    assert lines
    parents: list[str] = []
    listed = set()
    for line in lines:
        indent, names = re.fullmatch(r"( *)(\S+(?: \S+)*)  .*", line).groups()  # type: ignore[union-attr]
        parents = parents[: len(indent) // 2]
        for name in names.split():
            path = root.joinpath(*parents, name)
            assert path.is_dir() if name.endswith("/") else path.is_file(), f"{path} is not there"
            listed.add(path)
        parents.append(names)
    for parent in (root, root / "graphc"):
        packages = {path for path in parent.iterdir() if list(path.glob("*.py")) and path.name[0] not in "._"}
        assert packages <= listed, "the layout leaves folders out"


def test_the_table_of_settings_is_complete() -> None:
    rows = re.findall(r"^\| `(GRAPHC_\w+)` \| (.*?) \| (.*?) \|$", TEXT, re.MULTILINE)
    expected = [(row.variable, _shown(row.default), row.meaning) for row in table()]
    assert rows == expected


def _shown(default: str | int | bool) -> str:
    return f"`{int(default) if isinstance(default, bool) else default}`" if default != "" else ""


def test_every_example_is_described() -> None:
    rows = "".join(re.findall(r"^\| (`examples/.*?) \|", TEXT, re.MULTILINE))
    programs = {path.relative_to(README.parent).as_posix() for path in README.parent.glob("examples/*.py")}
    assert set(re.findall(r"`([\w/.]+)`", rows)) == programs


def test_every_command_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    names = re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE)
    assert len(names) >= 3
    for name in names:
        assert re.search(rf"^\| `graphc {name}[ `]", TEXT, re.MULTILINE), name


def test_tests_named_for_promises_exist() -> None:
    paths = re.findall(r"python -m pytest (tests/[\w/.:]+)", TEXT)
    assert paths
    for path in paths:
        file, _, name = path.partition("::")
        assert (README.parent / file).exists(), path
        assert not name or f"def {name}(" in (README.parent / file).read_text()


def test_trimmed_output_is_marked() -> None:
    shown = inspect.cleandoc("""
        first
        ...
        last
    """)
    assert agrees(shown + "\n", "first\nmiddle\nlast\n")
    assert not agrees(shown + "\n", "first\nmiddle\nlast\nmore\n")
    assert not agrees("first\nlast\n", "first\nmiddle\nlast\n")
