"""Every example in a docstring of the package runs and gives what it says."""

import doctest
import importlib
import io
from types import ModuleType

import pytest

from tests.test_package import modules

NAMES = [name for name, _ in modules() if name != "graphc.__main__"]


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


def test_examples_are_found() -> None:
    found = sum(len(test.examples) for name in NAMES for test in examples(importlib.import_module(name)))
    assert found > 40
