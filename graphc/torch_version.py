"""Versions that compare as versions do: with other versions, texts and tuples.

>>> TorchVersion("2.13.0+graphc0.1.0") >= (1, 8), TorchVersion("2.13.0") > "2.9", TorchVersion("2.13.0") == "2.13.0"
(True, True, True)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["TorchVersion"]

_PARTS = re.compile(r"v?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview|dev|post)[-_.]?(\d*))?(?:\+(.+))?")
_STAGES = {"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "c": -1, "rc": -1, "pre": -1, "preview": -1, "post": 1}

_Key = tuple[tuple[int, ...], int, int]


class TorchVersion(str):
    """A text that orders as a version. What is no version compares as text."""

    def _sides(self, other: object) -> tuple[_Key, _Key] | None:
        mine, theirs = _key(self), _key(_text(other))
        return None if mine is None or theirs is None else (mine, theirs)

    def __lt__(self, other: object) -> bool:
        sides = self._sides(other)
        return str.__lt__(self, _text(other)) if sides is None else sides[0] < sides[1]

    def __le__(self, other: object) -> bool:
        return not self > other

    def __gt__(self, other: object) -> bool:
        sides = self._sides(other)
        return str.__gt__(self, _text(other)) if sides is None else sides[0] > sides[1]

    def __ge__(self, other: object) -> bool:
        return not self < other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str | tuple | list):
            return NotImplemented
        sides = self._sides(other)
        return str.__eq__(self, _text(other)) if sides is None else sides[0] == sides[1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def _text(value: object) -> str:
    return ".".join(map(str, value)) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)


def _key(text: str) -> _Key | None:
    """Release without trailing zeros, stage, number of the stage; a local label such as +cpu plays no part."""
    match = _PARTS.fullmatch(text.strip().lower())
    if match is None:
        return None
    release = [int(part) for part in match[1].split(".")]
    while release and release[-1] == 0:
        release.pop()
    return tuple(release), _STAGES.get(match[2] or "", 0), int(match[3] or 0)
