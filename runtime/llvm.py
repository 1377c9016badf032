"""llvmlite's binding, imported when something is first asked of it: its 20 ms are not for `import graphc` to pay.

from graphc.runtime.llvm import llvm
llvm.parse_assembly(...)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import llvmlite.binding as llvm
else:

    class _Binding:
        """Stands for the module `llvmlite.binding`."""

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module("llvmlite.binding"), name)

    llvm = _Binding()

__all__ = ["llvm", "versions"]


def versions() -> tuple[str, str]:
    """The versions of llvmlite and of its LLVM."""
    package = importlib.import_module("llvmlite")
    return str(package.__version__), ".".join(map(str, llvm.llvm_version_info))
