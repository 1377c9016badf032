"""Pickles of a trusted source: any class, with PyTorch's names standing for ours.

In: what `load` gets with `weights_only=False`. Out: the objects; whatever the pickle says is run.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

from graphc.serialization.constructors import CALLABLE, VALUES, StorageOf, StorageRequest


def trusting(options: dict[str, Any]) -> Callable[[BinaryIO, StorageOf], pickle.Unpickler]:
    """What reads pickles with these options of `pickle.Unpickler`."""

    class Trusting(pickle.Unpickler):
        """Python's own unpickler, which imports what it is told to."""

        def __init__(self, stream: BinaryIO, storage_of: StorageOf) -> None:
            super().__init__(stream, **options)
            self.storage_of = storage_of

        def persistent_load(self, pid: Any) -> Any:
            """Memory of the file, or a class that an old file has with its source."""
            if isinstance(pid, tuple) and pid and pid[0] in ("module", b"module"):
                return pid[1]
            return self.storage_of(StorageRequest.read(pid))

        def find_class(self, module_name: str, global_name: str, /) -> Any:
            """What a name stands for: PyTorch's modules have their names here under `graphc`."""
            path = f"{module_name}.{global_name}"
            if module_name.startswith("torch"):
                if path in CALLABLE:
                    return CALLABLE[path]
                if path in VALUES:
                    return VALUES[path]
                if module_name == "torch" or module_name.startswith("torch."):
                    module_name = "graphc" + module_name.removeprefix("torch")
                    importlib.import_module(module_name)
            return super().find_class(module_name, global_name)

    return Trusting
