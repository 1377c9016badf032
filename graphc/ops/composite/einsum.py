"""einsum: sums of products by letters.

In: an equation such as "bij,bjk->bik" and operands. Out: contractions of two operands at a time, always the pair whose
result is smallest against what it replaces.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from graphc.ir.dim import Size
from graphc.ir.dtype import i64
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, creation, reduction
from graphc.ops import elementwise as ew
from graphc.ops.check import NUMBER, can_be_equal, equal_dtypes, shape_text, takes
from graphc.ops.composite.contraction import Labels, contract
from graphc.ops.function import function

_TYPICAL_SIZE = 64
"""What a symbolic size counts for in the choice of pairs."""


@function()
def einsum(equation: str, *operands: Node | Sequence[Node]) -> Node:
    """The sum of products that the equation says, as in "ij,jk->ik"; without "->" letters that stand once stay."""
    nodes = _operands(operands)
    if not isinstance(equation, str):
        raise ArgumentError("einsum: the equation comes first", hint='for example einsum("ij,jk->ik", a, b)')
    terms, output = _parse(equation, nodes)
    equal_dtypes("einsum", *(x.tensor for x in nodes))
    takes("einsum", nodes[0].tensor, NUMBER)
    sizes = _sizes(equation, nodes, terms)
    parts = [_diagonal(x, labels) for x, labels in zip(nodes, terms, strict=True)]
    while len(parts) > 1:
        i, j = _cheapest_pair(parts, output, sizes)
        (x, x_labels), (w, w_labels) = parts[i], parts[j]
        others = [part for k, part in enumerate(parts) if k not in (i, j)]
        kept = set(output).union(*(labels for _, labels in others))
        labels = tuple(dict.fromkeys(label for label in (*x_labels, *w_labels) if label in kept))
        if not others:
            labels = output
        parts = [*others, (contract(x, x_labels, w, w_labels, labels), labels)]
    (x, labels) = parts[0]
    axes = tuple(axis for axis, label in enumerate(labels) if label not in output)
    if axes:
        x = build.cast_to(reduction.sum_(x, axes=axes), x.tensor.dtype)
        labels = tuple(label for label in labels if label in output)
    return build.permute_to(x, tuple(map(labels.index, output)))


def _operands(given: tuple[Node | Sequence[Node], ...]) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for each in given:
        nodes.extend([each] if isinstance(each, Node) else each)
    if not nodes:
        raise ArgumentError("einsum: no operands are given", hint='for example einsum("ij,jk->ik", a, b)')
    return tuple(nodes)


def _parse(equation: str, nodes: tuple[Node, ...]) -> tuple[list[Labels], Labels]:
    """For each operand its labels, and those of the result. Dimensions of an ellipsis count from the last: "...0"."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(nodes):
        raise ArgumentError(
            f"einsum: {equation!r} has {len(terms)} terms for {len(nodes)} operands",
            hint="write one term per operand, separated by commas",
        )
    labels = [_labels(equation, term, len(x.shape), x) for term, x in zip(terms, nodes, strict=True)]
    everywhere = Counter(label for each in labels for label in each)
    hidden = sorted((label for label in everywhere if str(label).startswith("...")), key=str, reverse=True)
    if not arrow:
        return labels, (*hidden, *sorted(k for k, n in everywhere.items() if n == 1 and k not in hidden))
    _check_letters(equation, right)
    head, dots, tail = right.partition("...")
    output = (*head, *(hidden if dots else ()), *tail)
    for label in output:
        if label not in everywhere:
            raise ArgumentError(
                f"einsum: {label!r} of the result is in no operand of {equation!r}",
                hint="the result's letters are among those of the operands",
            )
        if output.count(label) > 1:
            raise ArgumentError(
                f"einsum: {label!r} stands twice in the result of {equation!r}",
                hint="take the diagonal of an operand with a repeated letter there, not in the result",
            )
    return labels, output


def _labels(equation: str, term: str, rank: int, x: Node) -> Labels:
    _check_letters(equation, term)
    head, dots, tail = term.partition("...")
    hidden = rank - len(head) - len(tail)
    if hidden < 0 or (hidden and not dots):
        raise ShapeError(
            f"einsum: the term {term!r} of {equation!r} has {len(head) + len(tail)} letters for the shape"
            f" {shape_text(x.shape)}",
            hint="write a letter for every dimension, or ... for the rest",
        )
    return (*head, *(f"...{k:03}" for k in reversed(range(hidden))), *tail)


def _check_letters(equation: str, term: str) -> None:
    head, _, tail = term.partition("...")
    for letter in head + tail:
        if not (letter.isascii() and letter.isalpha()):
            raise ArgumentError(
                f"einsum: {letter!r} in the equation {equation!r}", hint="use letters, commas, ... and one ->"
            )


def _sizes(equation: str, nodes: tuple[Node, ...], terms: list[Labels]) -> dict[int | str, Size]:
    """The size of each label; a size of 1 goes with any other."""
    sizes: dict[int | str, Size] = {}
    for x, labels in zip(nodes, terms, strict=True):
        for label, size in zip(labels, x.shape, strict=True):
            known = sizes.get(label, 1)
            if known != 1 and size not in (1, known):
                name = "..." if str(label).startswith("...") else label
                differ = "are not known to be equal" if can_be_equal(known, size) else "differ"
                raise ShapeError(
                    f"einsum: the sizes {known} and {size} of {name!r} in {equation!r} {differ}",
                    hint="dimensions of one letter have one size",
                )
            sizes[label] = size if known == 1 else known
    return sizes


def _diagonal(x: Node, labels: Labels) -> tuple[Node, Labels]:
    """One axis per label: of several the elements with equal indices, as the sum of a row with all others 0."""
    for label in dict.fromkeys(labels):
        axes = [axis for axis, each in enumerate(labels) if each == label]
        for axis in reversed(axes[1:]):
            first, second = (creation.iota(shape=x.shape, axis=a, dtype=i64) for a in (axes[0], axis))
            chosen = ew.select(ew.eq(first, second), x, build.zeros_like(x))
            x = build.cast_to(reduction.sum_(chosen, axes=(axis,)), x.tensor.dtype)
            labels = labels[:axis] + labels[axis + 1 :]
    return x, labels


def _cheapest_pair(parts: list[tuple[Node, Labels]], output: Labels, sizes: dict[int | str, Size]) -> tuple[int, int]:
    def elements(labels: set[int | str]) -> int:
        return math.prod(size if isinstance(size := sizes[label], int) else _TYPICAL_SIZE for label in labels)

    def growth(pair: tuple[int, int]) -> tuple[int, tuple[int, int]]:
        x, w = set(parts[pair[0]][1]), set(parts[pair[1]][1])
        rest = set(output).union(*(labels for k, (_, labels) in enumerate(parts) if k not in pair))
        return elements((x | w) & rest) - elements(x) - elements(w), pair

    count = len(parts)
    return min(((i, j) for i in range(count) for j in range(i + 1, count)), key=growth)
