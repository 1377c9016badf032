"""Every example in a docstring of the package runs and gives what it says."""

import doctest
import importlib
import io
import subprocess
import sys
from types import ModuleType

import pytest

from tests.test_package import modules

BY_ITSELF = "graphc.cli.as_torch"
"""Its example lets graphc stand for torch in the whole process."""
NAMES = [name for name, _ in modules() if name not in ("graphc.__main__", BY_ITSELF)]


def examples(module: ModuleType) -> list[doctest.DocTest]:
    """The docstrings of a module that hold examples."""
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]


@pytest.mark.parametrize("name", NAMES)
def test_examples_give_what_they_say(name: str) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report = io.StringIO()
    for test in examples(importlib.import_module(name)):
        runner.run(test, out=report.write)
    assert runner.failures == 0, report.getvalue()


def test_examples_of_what_changes_its_process_give_what_they_say() -> None:
    code = f"import doctest, {BY_ITSELF} as module; print(*doctest.testmod(module))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    failed, tried = map(int, done.stdout.split()[-2:])
    assert (failed, tried > 0) == (0, True), done.stdout


def test_examples_are_found() -> None:
    found = sum(len(test.examples) for name in NAMES for test in examples(importlib.import_module(name)))
    assert found > 40
