"""einsum: sums of products by letters.

In: an equation such as "bij,bjk->bik" and operands. Out: contractions of two operands at a time, always the pair whose
result is smallest against what it replaces.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from string import ascii_letters, ascii_lowercase, ascii_uppercase

from graphc.ir.dim import Size
from graphc.ir.dtype import Kind, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, SignatureError, describe
from graphc.ir.graph import Node
from graphc.ops import build, creation, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.contraction import Labels, agree, contract
from graphc.ops.composite.operand import refuse_kinds
from graphc.ops.function import function

_TYPICAL_SIZE = 64
"""What a symbolic size counts for in the choice of pairs."""


@function()
def einsum(equation: object, *operands: object) -> Node:
    """The sum of products that the equation says, as in "ij,jk->ik"; without "->" letters that stand once stay.

    In place of letters, numbers may follow each operand: `einsum(x, [0, 1], y, [1, 2], [0, 2])`.
    """
    text, nodes = _written(equation, operands)
    terms, output = _parse(text, nodes)
    sizes = _sizes(nodes, terms)
    for x in nodes[1:]:
        if x.tensor.dtype is not nodes[0].tensor.dtype:
            raise DTypeError(
                f"expected scalar type {nodes[0].tensor.dtype.scalar} but found {x.tensor.dtype.scalar}",
                hint="einsum: convert one of the operands",
            )
    if len(nodes) > 1:
        refuse_kinds("bmm", nodes[0], Kind.BOOL)
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
        x = reduction.sum_(x, axes=axes)
        labels = tuple(label for label in labels if label in output)
    return build.permute_to(x, tuple(map(labels.index, output)))


def _written(equation: object, operands: tuple[object, ...]) -> tuple[str, tuple[Node, ...]]:
    """The equation and the operands, of either form of call."""
    given: list[object] = list(operands)
    if isinstance(equation, str):
        if len(given) == 1 and isinstance(given[0], Sequence):
            given = list(given[0])
        if not given:
            raise ArgumentError(
                "einsum(): must specify the equation string and at least one operand, or at least one operand and its "
                "subscripts list",
                hint='for example einsum("ij,jk->ik", a, b)',
            )
        return equation, tuple(_node(each) for each in given)
    pairs = [equation, *given]
    output = pairs.pop() if len(pairs) % 2 else None
    nodes = tuple(_node(each) for each in pairs[::2])
    text = ",".join(_term(each) for each in pairs[1::2])
    return text if output is None else f"{text}->{_term(output)}", nodes


def _node(value: object) -> Node:
    if not isinstance(value, Node):
        raise SignatureError(
            f"einsum(): operands must be tensors, not {describe(value)}", hint='write einsum("ij,jk->ik", a, b)'
        )
    return value


def _term(subscripts: object) -> str:
    """A list of numbers as letters: 0 to 25 are capitals, 26 to 51 small."""
    if not isinstance(subscripts, Sequence):
        raise SignatureError(f"einsum(): a list of subscripts is {describe(subscripts)}", hint="give a list of ints")
    term = ""
    for each in subscripts:
        if each is Ellipsis:
            term += "..."
        elif isinstance(each, int) and 0 <= each < len(ascii_letters):
            term += (ascii_uppercase + ascii_lowercase)[each]
        else:
            raise ArgumentError(
                f"einsum(): subscript {each} is not within the valid range [0, 52)", hint="number them from 0"
            )
    return term


def _parse(equation: str, nodes: tuple[Node, ...]) -> tuple[list[Labels], Labels]:
    """For each operand its labels, and those of the result. Dimensions of an ellipsis count from the last: "...0"."""
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    begins = [sum(len(each) + 1 for each in terms[:i]) for i in range(len(terms))]
    letters = [
        _letters(term, begin, f"for operand {i} ") for i, (term, begin) in enumerate(zip(terms, begins, strict=True))
    ]
    if len(terms) != len(nodes):
        count = "fewer" if len(nodes) < len(terms) else "more"
        raise ArgumentError(
            f"einsum(): {count} operands were provided than specified in the equation",
            hint="write one term per operand, separated by commas",
        )
    labels = [_labels(i, each, x) for i, (each, x) in enumerate(zip(letters, nodes, strict=True))]
    everywhere = Counter(label for each in labels for label in each)
    hidden = sorted((label for label in everywhere if str(label).startswith("...")), key=str, reverse=True)
    if not arrow:
        return labels, (*hidden, *sorted(k for k, n in everywhere.items() if n == 1 and k not in hidden))
    head, dots, tail = _letters(right, len(left) + 2, "for the output ")
    output = (*head, *(hidden if dots else ()), *tail)
    for label in output:
        if output.count(label) > 1:
            raise ArgumentError(
                f"einsum(): output subscript {label} appears more than once in the output",
                hint="take the diagonal of an operand with a repeated letter there, not in the result",
            )
        if label not in everywhere:
            raise ArgumentError(
                f"einsum(): output subscript {label} does not appear in the equation for any input operand",
                hint="the result's letters are among those of the operands",
            )
    return labels, output


def _letters(term: str, begin: int, where: str) -> tuple[str, bool, str]:
    """(letters before the ellipsis, whether there is one, letters after it) of a term that begins there."""
    before, after, has_dots = "", "", False
    at = 0
    while at < len(term):
        letter = term[at]
        if letter == ".":
            if has_dots:
                raise ArgumentError(
                    f"einsum(): found '.' {where}for which an ellipsis was already found", hint="write ... once"
                )
            if term[at : at + 3] != "...":
                raise ArgumentError(
                    f"einsum(): found '.' {where}that is not part of any ellipsis", hint="write three dots"
                )
            has_dots, at = True, at + 3
            continue
        if letter != " ":
            if not (letter.isascii() and letter.isalpha()):
                raise ArgumentError(
                    f"einsum(): invalid subscript given at index {begin + at} in the equation string, subscripts "
                    "must be in [a-zA-Z]",
                    hint="use letters, commas, ... and one ->",
                )
            before, after = (before, after + letter) if has_dots else (before + letter, after)
        at += 1
    return before, has_dots, after


def _labels(operand: int, letters: tuple[str, bool, str], x: Node) -> Labels:
    head, dots, tail = letters
    hidden = len(x.shape) - len(head) - len(tail)
    if hidden < 0 or (hidden and not dots):
        how = "is larger than" if dots else "does not match"
        end = "" if dots else " and no ellipsis was given"
        raise ShapeError(
            f"einsum(): the number of subscripts in the equation ({len(head) + len(tail)}) {how} the number of "
            f"dimensions ({len(x.shape)}) for operand {operand}{end}",
            hint="write a letter for every dimension, or ... for the rest",
        )
    return (*head, *(f"...{k:03}" for k in reversed(range(hidden))), *tail)


def _sizes(nodes: tuple[Node, ...], terms: list[Labels]) -> dict[int | str, Size]:
    """The size of each label; a size of 1 goes with any other, but not within one operand."""
    sizes: dict[int | str, Size] = {}
    for operand, (x, labels) in enumerate(zip(nodes, terms, strict=True)):
        own: dict[int | str, Size] = {}
        for label, size in zip(labels, x.shape, strict=True):
            mine = own.setdefault(label, size)
            message = (
                f"einsum(): subscript {label} is repeated for operand {operand} but the sizes don't match, "
                f"{size} != {mine}"
            )
            agree("einsum", mine, size, message)
        for label, size in own.items():
            known = sizes.get(label, 1)
            if known != 1 and size != 1:
                message = (
                    f"einsum(): subscript {label} has size {size} for operand {operand} which does not broadcast with "
                    f"previously seen size {known}"
                )
                if str(label).startswith("..."):
                    message = message.replace(f"subscript {label}", "an ellipsis dimension")
                agree("einsum", known, size, message)
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
