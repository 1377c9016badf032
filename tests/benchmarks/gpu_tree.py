"""The packages of a checkout that is not installed: `passes/` and `runtime/` lie beside `graphc/`, not in it.

Importing this module lets `import graphc` find them there, where no installed graphc does. It comes before graphc's own
modules.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent.parent
MOVED = {"graphc.passes": ROOT / "passes", "graphc.runtime": ROOT / "runtime"}


class _Moved(MetaPathFinder):
    """Asked last, so that an installed package is found first."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folder = MOVED.get(name)
        if folder is None:
            return None
        return spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])


sys.meta_path.append(_Moved())
