"""graphc's functions of tensors, for the formulas of this package: `f.log(x)`."""

from __future__ import annotations

from typing import Any

import graphc

f: Any = graphc
"""The root namespace, whose functions are put there by name."""
Value = Any
"""A tensor, with the methods that are put on it by name."""
