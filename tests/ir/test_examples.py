"""The examples in the docstrings of this level."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import graphc.ir

MODULES = [module.name for module in pkgutil.iter_modules(graphc.ir.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"graphc.ir.{name}")).failed == 0
