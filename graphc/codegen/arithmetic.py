"""Arithmetic on sizes in code: i64 registers or constants, folded where both are constants.

The terms of one block of a contraction are known numbers more often than not; without folding, code for tails that
cannot happen would be written and compiled.
"""

from __future__ import annotations

from graphc.codegen.emitter import Emitter


def is_known(*values: str) -> bool:
    """Whether all are constants."""
    return all(value[0] != "%" for value in values)


def plus(e: Emitter, a: str, b: str | int) -> str:
    """a + b."""
    b = str(b)
    if is_known(a, b):
        return str(int(a) + int(b))
    return a if b == "0" else b if a == "0" else e.emit(f"add nsw i64 {a}, {b}")


def minus(e: Emitter, a: str, b: str | int) -> str:
    """a - b."""
    b = str(b)
    if is_known(a, b):
        return str(int(a) - int(b))
    return a if b == "0" else e.emit(f"sub nsw i64 {a}, {b}")


def times(e: Emitter, a: str, b: str | int) -> str:
    """a * b."""
    b = str(b)
    if is_known(a, b):
        return str(int(a) * int(b))
    if "0" in (a, b):
        return "0"
    return a if b == "1" else b if a == "1" else e.emit(f"mul nsw i64 {a}, {b}")


def least(e: Emitter, a: str, b: str | int) -> str:
    """The lesser of the two."""
    b = str(b)
    if is_known(a, b):
        return str(min(int(a), int(b)))
    return a if a == b else e.intrinsic("smin", "i64", ("i64", a), ("i64", b))


def greatest(e: Emitter, a: str, b: str | int) -> str:
    """The greater of the two."""
    b = str(b)
    if is_known(a, b):
        return str(max(int(a), int(b)))
    return a if a == b else e.intrinsic("smax", "i64", ("i64", a), ("i64", b))


def divide(e: Emitter, a: str, b: str | int) -> str:
    """Quotient of a, at least 0, by b, at least 1."""
    b = str(b)
    if is_known(a, b):
        return str(int(a) // int(b))
    return a if b == "1" else e.emit(f"udiv i64 {a}, {b}")


def divide_up(e: Emitter, a: str, b: str | int) -> str:
    """The same, rounded up."""
    b = str(b)
    return divide(e, plus(e, a, minus(e, b, 1)), b)


def round_up(e: Emitter, a: str, unit: str | int) -> str:
    """The least multiple of `unit` from a on."""
    return times(e, divide_up(e, a, unit), unit)


def compare(e: Emitter, predicate: str, a: str, b: str | int) -> str:
    """An i1: `icmp` with that predicate (eq, slt, sle, sge ...) of two sizes."""
    b = str(b)
    if is_known(a, b):
        x, y = int(a), int(b)
        return str({"eq": x == y, "slt": x < y, "sle": x <= y, "sge": x >= y, "sgt": x > y}[predicate]).lower()
    return e.emit(f"icmp {predicate} i64 {a}, {b}")


def extend(e: Emitter, condition: str) -> str:
    """1 where the i1 holds, else 0."""
    if is_known(condition):
        return "1" if condition == "true" else "0"
    return e.emit(f"zext i1 {condition} to i64")


def address(e: Emitter, pointer: str, offset: str | int) -> str:
    """The pointer moved by that many bytes."""
    return pointer if str(offset) == "0" else e.emit(f"getelementptr i8, ptr {pointer}, i64 {offset}")
