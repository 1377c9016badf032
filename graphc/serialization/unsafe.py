"""Which names in a file `load` would refuse: what to look at before vouching for them.

In: a file in PyTorch's format. Out: names; nothing is loaded.
"""

from __future__ import annotations

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from typing import Any

from graphc.eager.guard import guarded
from graphc.serialization.archive import MAGIC, Archive
from graphc.serialization.constructors import CALLABLE, VALUES
from graphc.serialization.errors import CheckpointError
from graphc.serialization.file import FileLike, reading
from graphc.serialization.safe_globals import user_globals


@guarded
def get_unsafe_globals_in_checkpoint(f: FileLike) -> list[str]:
    """The names in a file of `torch.save` that are neither plain data nor vouched for by `add_safe_globals`.

    Raises CheckpointError for a file of another format, or a damaged one.
    """
    with reading(f) as stream:
        start = stream.read(len(MAGIC))
        stream.seek(-len(start), 1)
        if start != MAGIC:
            raise CheckpointError("Expected input to be a checkpoint returned by torch.save")
        content = Archive(stream).read("data.pkl")
    known = {*CALLABLE, *VALUES, *user_globals()}
    found: dict[str, None] = {}
    texts: list[Any] = []
    memo: dict[int, Any] = {}
    pushed: Any = None
    try:
        for code, argument, _ in pickletools.genops(content):
            if code.name == "MEMOIZE":
                memo[len(memo)] = pushed
            elif code.name in ("PUT", "BINPUT", "LONG_BINPUT"):
                memo[argument] = pushed  # type: ignore[index]  # a number, with these
            elif code.name in ("GET", "BINGET", "LONG_BINGET"):
                pushed = memo.get(argument)  # type: ignore[arg-type]  # as above
                texts.append(pushed)
            else:
                pushed = argument if code.name.endswith(("UNICODE", "UNICODE8", "STRING")) else None
                texts += () if pushed is None else (pushed,)
            if code.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
            elif code.name == "STACK_GLOBAL" and len(texts) > 1:
                module, name = texts[-2:]
            else:
                continue
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
            found[f"{module}.{name}"] = None
    except ValueError as error:
        raise CheckpointError(f"the pickle in the file is damaged: {error}") from None
    return [each for each in found if each not in known]
