"""Which values of a file may be keys: a hash visits a nest of tuples as often as it is referred to, without end."""

from __future__ import annotations

from graphc.serialization.errors import CheckpointError

MOST_PARTS = 10_000
DEEPEST = 100


def check_key(key: object) -> None:
    """Raise CheckpointError for what can't be hashed, or not in reasonable time."""
    if not isinstance(key, tuple | frozenset):
        if getattr(type(key), "__hash__", None) is None:
            raise CheckpointError(f"unhashable type in the file: {type(key).__name__!r}")
        return
    pending: list[tuple[object, int]] = [(key, 0)]
    visited = 0
    while pending:
        part, depth = pending.pop()
        visited += 1
        if visited > MOST_PARTS or depth > DEEPEST:
            raise CheckpointError("a key in the file is nested too deeply, or has too many parts")
        if isinstance(part, tuple):
            pending += [(each, depth + 1) for each in part]
        elif getattr(type(part), "__hash__", None) is None:
            raise CheckpointError(f"unhashable type in the file: {type(part).__name__!r}")
