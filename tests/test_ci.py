"""What .ci/run tests is what README.md tells a newcomer to run."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.readme import blocks

ROOT = Path(__file__).parent.parent
COMMANDS = [block.text.strip() for block in blocks() if block.kind == "sh"]


def test_the_two_set_up_commands_install_into_a_fresh_environment() -> None:
    assert len(COMMANDS) == 2
    for command, extra in zip(COMMANDS, ("examples", "test")):
        parts = command.split(" && ")
        assert parts[:3] == ["python3 -m venv .venv", ". .venv/bin/activate", f"pip install -e '.[{extra}]'"]
        assert len(parts) == 4
    assert COMMANDS[0].endswith(" && python examples/digits.py")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    done = subprocess.run([ROOT / ".ci/test_command"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == COMMANDS[1].split(" && ")[-1]
    script = (ROOT / ".ci/run").read_text()
    assert "tests=$(.ci/test_command)" in script
    assert script.rstrip().endswith('bash -c "$tests"')


@pytest.mark.parametrize("lines", [0, 2])
def test_ci_wants_one_such_command(tmp_path: Path, lines: int) -> None:
    (tmp_path / ".ci").mkdir()
    script = tmp_path / ".ci" / "test_command"
    script.write_text((ROOT / ".ci/test_command").read_text())
    script.chmod(0o755)
    (tmp_path / "README.md").write_text((COMMANDS[1] + "\n") * lines)
    done = subprocess.run([script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no single command" in done.stderr


@pytest.mark.parametrize("name", ["run", "typecheck", "test_command"])
def test_scripts_are_executable_and_stop_at_errors(name: str) -> None:
    path = ROOT / ".ci" / name
    assert os.access(path, os.X_OK)
    assert re.search(r"^set -euo pipefail$", path.read_text(), re.MULTILINE)
    subprocess.run(["bash", "-n", path], check=True)
