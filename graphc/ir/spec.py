"""Specs: the types of arguments as users write them.

In: a dtype by its short or full name and sizes in brackets; names are symbolic sizes, bounds follow after `where`, as
in the text of a graph. Out: a `TensorType`. One name is one size in all specs of a call.

>>> print(parse_spec("float32[64, 2*n] where n in 1..128"))
f32[64,2*n]
>>> for type in parse_specs(("f32[n,10] where n in 1..64", "f32[10,m]", "f32[n,m]")):
...     print(type)
f32[n,10]
f32[10,m]
f32[n,m]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.ir.dim import Size
from graphc.ir.scan import Scanner
from graphc.ir.type import TensorType


def parse_spec(text: str) -> TensorType:
    """The type that one spec stands for; raises ParseError."""
    return parse_specs((text,))[0]


def parse_specs(texts: Sequence[str], symbols: Mapping[str, Size] | None = None) -> tuple[TensorType, ...]:
    """The types of several specs, whose symbols are shared; `symbols` are known already. Raises ParseError."""
    known = dict(symbols or {})
    for text in texts:  # bounds may stand in any of them, also in the last
        scanner = Scanner(text, known)
        positions = [i for i, token in enumerate(scanner.tokens) if token.text == "where" and token.kind == "name"]
        if positions:
            scanner.position = positions[0]
            scanner.declarations()
            _expect_end(scanner)
        known = scanner.symbols
    types: list[TensorType] = []
    for text in texts:
        scanner = Scanner(text, known)
        scanner.declares = True
        types.append(scanner.tensor_type())
        if not scanner.at("where"):
            _expect_end(scanner)
        known = scanner.symbols
    return tuple(types)


def _expect_end(scanner: Scanner) -> None:
    if scanner.token.kind != "end":
        raise scanner.unexpected("the end of the spec, or 'where'")
