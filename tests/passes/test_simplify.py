"""The rules of simplify: text to text, and the same bits on special values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from graphc.ir.dtype import Kind
from graphc.ir.graph import Graph
from graphc.ir.interpret import evaluate_graph
from graphc.ir.text import print_graph
from graphc.ir.verify import verify
from graphc.passes.simplify import simplify
from tests.passes.text import body

F = "%x: f32[9], %y: f32[9], %c: bool[9]"
I = "%x: i32[9], %y: i32[9]"


def constant(value: str, dtype: str = "f32") -> str:
    """Lines that define %w as this value repeated nine times."""
    one = f"%k = constant() {{value=dense<{dtype}[1]: {value}>}} : {dtype}[1]"
    return f"{one}\n %w = broadcast(%k) {{shape=(9)}} : {dtype}[9]\n"


# name: (inputs, lines before, lines after)
RULES: dict[str, tuple[str, str, str]] = {
    "a fold of windows side by side": (
        "%x: f32[2,3,2]",
        "%0 = fold(%x) {axes=(1), dilation=(1), extent=(6), size=(2), stride=(2)} : f32[2,6]\n return %0",
        "%0 = reshape(%x) {shape=(2,6)} : f32[2,6]\n %1 = constant() {value=dense<f32[1,1]: 0.0>} : f32[1,1]\n"
        " %2 = broadcast(%1) {shape=(2,6)} : f32[2,6]\n %3 = add(%0, %2) : f32[2,6]\n return %3",
    ),
    "a fold of windows side by side, any number of them": (
        "%x: i32[n,m,2]",
        "%0 = fold(%x) {axes=(1), dilation=(1), extent=(2*m), size=(2), stride=(2)} : i32[n,2*m]\n return %0",
        "%0 = reshape(%x) {shape=(n,2*m)} : i32[n,2*m]\n return %0",
    ),
    "a fold of products side by side": (
        "%x: f32[6,4], %w: f32[4,2]",
        "%0 = dot(%x, %w) {contract=((1),(0))} : f32[6,2]\n"
        " %1 = fold(%0) {axes=(0), dilation=(1), extent=(12), size=(2), stride=(2)} : f32[12]\n return %1",
        "%0 = dot(%x, %w) {contract=((1),(0))} : f32[6,2]\n %1 = reshape(%0) {shape=(12)} : f32[12]\n return %1",
    ),
    "a fold of windows side by side along two axes, and a rest": (
        "%x: i32[2,3,2,2]",
        "%0 = fold(%x) {axes=(0,1), dilation=(1,1), extent=(5,6), size=(2,2), stride=(2,2)} : i32[5,6]\n return %0",
        "%0 = permute(%x) {axes=(0,2,1,3)} : i32[2,2,3,2]\n %1 = reshape(%0) {shape=(4,6)} : i32[4,6]\n"
        " %2 = constant() {value=dense<i32[]: 0>} : i32[]\n"
        " %3 = pad(%1, %2) {high=(1,0), interior=(0,0), low=(0,0)} : i32[5,6]\n return %3",
    ),
    "x * 1": (F, constant("1.0") + "%0 = mul(%x, %w) : f32[9]\n return %0", "return %x"),
    "1 * x": (F, constant("1.0") + "%0 = mul(%w, %x) : f32[9]\n return %0", "return %x"),
    "x * -1": (F, constant("-1.0") + "%0 = mul(%x, %w) : f32[9]\n return %0", "%0 = neg(%x) : f32[9]\n return %0"),
    "x * 0 of ints": (
        I,
        constant("0", "i32") + "%0 = mul(%x, %w) : i32[9]\n return %0",
        constant("0", "i32") + "return %w",
    ),
    "-x * -y": (
        F,
        "%0 = neg(%x) : f32[9]\n %1 = neg(%y) : f32[9]\n %2 = mul(%0, %1) : f32[9]\n return %2",
        "%0 = mul(%x, %y) : f32[9]\n return %0",
    ),
    "x + -0": (F, constant("-0.0") + "%0 = add(%x, %w) : f32[9]\n return %0", "return %x"),
    "x - 0": (F, constant("0.0") + "%0 = sub(%x, %w) : f32[9]\n return %0", "return %x"),
    "-0 - x": (F, constant("-0.0") + "%0 = sub(%w, %x) : f32[9]\n return %0", "%0 = neg(%x) : f32[9]\n return %0"),
    "x + -y": (
        F,
        "%0 = neg(%y) : f32[9]\n %1 = add(%x, %0) : f32[9]\n return %1",
        "%0 = sub(%x, %y) : f32[9]\n return %0",
    ),
    "-x + y": (
        F,
        "%0 = neg(%x) : f32[9]\n %1 = add(%0, %y) : f32[9]\n return %1",
        "%0 = sub(%y, %x) : f32[9]\n return %0",
    ),
    "x - -y": (
        F,
        "%0 = neg(%y) : f32[9]\n %1 = sub(%x, %0) : f32[9]\n return %1",
        "%0 = add(%x, %y) : f32[9]\n return %0",
    ),
    "x - x of ints": (I, "%0 = sub(%x, %x) : i32[9]\n return %0", constant("0", "i32") + "return %w"),
    "x / 1": (F, constant("1.0") + "%0 = div(%x, %w) : f32[9]\n return %0", "return %x"),
    "x / 4": (
        F,
        constant("4.0") + "%0 = div(%x, %w) : f32[9]\n return %0",
        constant("0.25") + "%0 = mul(%x, %w) : f32[9]\n return %0",
    ),
    "x // 1": (I, constant("1", "i32") + "%0 = floor_divide(%x, %w) : i32[9]\n return %0", "return %x"),
    "x % 1": (
        I,
        constant("1", "i32") + "%0 = remainder(%x, %w) : i32[9]\n return %0",
        constant("0", "i32") + "return %w",
    ),
    "x ** 1": (F, constant("1.0") + "%0 = pow(%x, %w) : f32[9]\n return %0", "return %x"),
    "x ** 0": (F, constant("-0.0") + "%0 = pow(%x, %w) : f32[9]\n return %0", constant("1.0") + "return %w"),
    "--x": (F, "%0 = neg(%x) : f32[9]\n %1 = neg(%0) : f32[9]\n return %1", "return %x"),
    "not not c": (F, "%0 = logical_not(%c) : bool[9]\n %1 = logical_not(%0) : bool[9]\n return %1", "return %c"),
    "|-x|": (F, "%0 = neg(%x) : f32[9]\n %1 = abs(%0) : f32[9]\n return %1", "%0 = abs(%x) : f32[9]\n return %0"),
    "||x||": (F, "%0 = abs(%x) : f32[9]\n %1 = abs(%0) : f32[9]\n return %1", "%0 = abs(%x) : f32[9]\n return %0"),
    "floor of round": (
        F,
        "%0 = round(%x) : f32[9]\n %1 = floor(%0) : f32[9]\n return %1",
        "%0 = round(%x) : f32[9]\n return %0",
    ),
    "max(x, x)": (F, "%0 = maximum(%x, %x) : f32[9]\n return %0", "return %x"),
    "x & x": (I, "%0 = bitwise_and(%x, %x) : i32[9]\n return %0", "return %x"),
    "x & 0": (
        I,
        constant("0", "i32") + "%0 = bitwise_and(%x, %w) : i32[9]\n return %0",
        constant("0", "i32") + "return %w",
    ),
    "x & -1": (I, constant("-1", "i32") + "%0 = bitwise_and(%w, %x) : i32[9]\n return %0", "return %x"),
    "x | 0": (I, constant("0", "i32") + "%0 = bitwise_or(%x, %w) : i32[9]\n return %0", "return %x"),
    "c | true": (
        F,
        constant("true", "bool") + "%0 = bitwise_or(%c, %w) : bool[9]\n return %0",
        constant("true", "bool") + "return %w",
    ),
    "x ^ -1": (
        I,
        constant("-1", "i32") + "%0 = bitwise_xor(%x, %w) : i32[9]\n return %0",
        "%0 = bitwise_not(%x) : i32[9]\n return %0",
    ),
    "x ^ x": (I, "%0 = bitwise_xor(%x, %x) : i32[9]\n return %0", constant("0", "i32") + "return %w"),
    "x << 0": (I, constant("0", "i32") + "%0 = shift_left(%x, %w) : i32[9]\n return %0", "return %x"),
    "x <= x of ints": (I, "%0 = le(%x, %x) : bool[9]\n return %0", constant("true", "bool") + "return %w"),
    "require what holds": (
        F,
        constant("true", "bool") + '%0 = require(%x, %w) {message="{}"} : f32[9]\n return %0',
        "return %x",
    ),
    "select of one value": (F, "%0 = select(%c, %x, %x) : f32[9]\n return %0", "return %x"),
    "select by a constant": (
        F,
        constant("false", "bool") + "%0 = select(%w, %x, %y) : f32[9]\n return %0",
        "return %y",
    ),
    "select by a negation": (
        F,
        "%0 = logical_not(%c) : bool[9]\n %1 = select(%0, %x, %y) : f32[9]\n return %1",
        "%0 = select(%c, %y, %x) : f32[9]\n return %0",
    ),
    "select asked twice": (
        F,
        "%0 = exp(%x) : f32[9]\n %1 = select(%c, %0, %y) : f32[9]\n %2 = select(%c, %1, %x) : f32[9]\n return %2",
        "%0 = exp(%x) : f32[9]\n %1 = select(%c, %0, %x) : f32[9]\n return %1",
    ),
    "cast to the same": (F, "%0 = cast(%x) {dtype=f32} : f32[9]\n return %0", "return %x"),
    "cast there and back": (
        F,
        "%0 = cast(%x) {dtype=f64} : f64[9]\n %1 = cast(%0) {dtype=f32} : f32[9]\n return %1",
        "return %x",
    ),
    "cast of a lossless cast": (
        I,
        "%0 = cast(%x) {dtype=f64} : f64[9]\n %1 = cast(%0) {dtype=f32} : f32[9]\n return %1",
        "%0 = cast(%x) {dtype=f32} : f32[9]\n return %0",
    ),
    "parts of a complex": (
        F,
        "%0 = complex(%x, %y) : c64[9]\n %1 = imag(%0) : f32[9]\n %2 = real(%0) : f32[9]\n return %1, %2",
        "return %y, %x",
    ),
    "permute twice": (
        "%x: f32[2,3,4]",
        "%0 = permute(%x) {axes=(1,2,0)} : f32[3,4,2]\n %1 = permute(%0) {axes=(0,2,1)} : f32[3,2,4]\n return %1",
        "%0 = permute(%x) {axes=(1,0,2)} : f32[3,2,4]\n return %0",
    ),
    "permute back": (
        "%x: f32[2,3,4]",
        "%0 = permute(%x) {axes=(1,2,0)} : f32[3,4,2]\n %1 = permute(%0) {axes=(2,0,1)} : f32[2,3,4]\n return %1",
        "return %x",
    ),
    "permute of an axis of size 1": (
        "%x: f32[n,1,4]",
        "%0 = permute(%x) {axes=(1,0,2)} : f32[1,n,4]\n return %0",
        "%0 = reshape(%x) {shape=(1,n,4)} : f32[1,n,4]\n return %0",
    ),
    "reshape of a reshape": (
        "%x: f32[n,6]",
        "%0 = reshape(%x) {shape=(n,2,3)} : f32[n,2,3]\n %1 = reshape(%0) {shape=(2*n,3)} : f32[2*n,3]\n return %1",
        "%0 = reshape(%x) {shape=(2*n,3)} : f32[2*n,3]\n return %0",
    ),
    "reshape there and back": (
        "%x: f32[n,6]",
        "%0 = reshape(%x) {shape=(6*n)} : f32[6*n]\n %1 = reshape(%0) {shape=(n,6)} : f32[n,6]\n return %1",
        "return %x",
    ),
    "broadcast of a broadcast": (
        "%x: f32[1,1]",
        "%0 = broadcast(%x) {shape=(4,1)} : f32[4,1]\n %1 = broadcast(%0) {shape=(4,5)} : f32[4,5]\n return %1",
        "%0 = broadcast(%x) {shape=(4,5)} : f32[4,5]\n return %0",
    ),
    "flip of a flip": (
        "%x: f32[4,5]",
        "%0 = flip(%x) {axes=(0,1)} : f32[4,5]\n %1 = flip(%0) {axes=(1)} : f32[4,5]\n return %1",
        "%0 = flip(%x) {axes=(0)} : f32[4,5]\n return %0",
    ),
    "flip of nothing": ("%x: f32[1,5]", "%0 = flip(%x) {axes=(0)} : f32[1,5]\n return %0", "return %x"),
    "slice of everything": (
        "%x: f32[n]",
        "%0 = slice(%x) {start=(0), step=(1), stop=(n)} : f32[n]\n return %0",
        "return %x",
    ),
    "slice of a slice": (
        "%x: f32[n,20]",
        """%0 = slice(%x) {start=(0,2), step=(1,3), stop=(n,20)} : f32[n,6]
           %1 = slice(%0) {start=(0,1), step=(1,2), stop=(n,6)} : f32[n,3]
           return %1""",
        "%0 = slice(%x) {start=(0,5), step=(1,6), stop=(n,18)} : f32[n,3]\n return %0",
    ),
    "empty slice of a slice": (
        "%x: f32[20]",
        """%0 = slice(%x) {start=(2), step=(3), stop=(20)} : f32[6]
           %1 = slice(%0) {start=(6), step=(1), stop=(6)} : f32[0]
           return %1""",
        "%0 = slice(%x) {start=(2), step=(1), stop=(2)} : f32[0]\n return %0",
    ),
    "slice of a concat": (
        "%x: f32[3,4], %y: f32[3,5]",
        """%0 = concat(%x, %y) {axis=1} : f32[3,9]
           %1 = slice(%0) {start=(0,5), step=(1,2), stop=(2,9)} : f32[2,2]
           return %1""",
        "%0 = slice(%y) {start=(0,1), step=(1,2), stop=(2,5)} : f32[2,2]\n return %0",
    ),
    "pad by nothing": (
        "%x: f32[3], %v: f32[]",
        "%0 = pad(%x, %v) {high=(0), interior=(0), low=(0)} : f32[3]\n return %0",
        "return %x",
    ),
    "pad between elements where there is one": (
        "%x: f32[3,1], %v: f32[]",
        "%0 = pad(%x, %v) {high=(0,0), interior=(0,2), low=(0,0)} : f32[3,1]\n return %0",
        "return %x",
    ),
    "concat of one": ("%x: f32[3]", "%0 = concat(%x) {axis=0} : f32[3]\n return %0", "return %x"),
    "concat of concats and nothing": (
        "%x: f32[3], %y: f32[4], %e: f32[0]",
        "%0 = concat(%x, %y) {axis=0} : f32[7]\n %1 = concat(%0, %e, %x) {axis=0} : f32[10]\n return %1",
        "%0 = concat(%x, %y, %x) {axis=0} : f32[10]\n return %0",
    ),
    "concat of all chunks": (
        "%x: f32[n,6]",
        """%0 = slice(%x) {start=(0,0), step=(1,1), stop=(n,2)} : f32[n,2]
           %1 = slice(%x) {start=(0,2), step=(1,1), stop=(n,6)} : f32[n,4]
           %2 = concat(%0, %1) {axis=1} : f32[n,6]
           return %2""",
        "return %x",
    ),
    "concat of neighbouring chunks": (
        "%x: f32[8], %y: f32[2]",
        """%0 = slice(%x) {start=(1), step=(1), stop=(3)} : f32[2]
           %1 = slice(%x) {start=(3), step=(1), stop=(6)} : f32[3]
           %2 = concat(%y, %0, %1) {axis=0} : f32[7]
           return %2""",
        """%0 = slice(%x) {start=(1), step=(1), stop=(6)} : f32[5]
           %1 = concat(%y, %0) {axis=0} : f32[7]
           return %1""",
    ),
    "windows of one element": (
        "%x: f32[2,9]",
        "%0 = window(%x) {axes=(1), dilation=(1), size=(1), stride=(2)} : f32[2,5,1]\n return %0",
        """%0 = slice(%x) {start=(0,0), step=(1,2), stop=(2,9)} : f32[2,5]
           %1 = reshape(%0) {shape=(2,5,1)} : f32[2,5,1]
           return %1""",
    ),
    "gather of all in order": (
        "%x: f32[3,n]",
        "%0 = iota() {axis=0, dtype=i64, shape=(n)} : i64[n]\n %1 = gather(%x, %0) {axis=1} : f32[3,n]\n return %1",
        "return %x",
    ),
    "gather of one place": (
        "%x: f32[3,5]",
        "%0 = constant() {value=dense<i64[]: -2>} : i64[]\n %1 = gather(%x, %0) {axis=1} : f32[3]\n return %1",
        """%0 = slice(%x) {start=(0,3), step=(1,1), stop=(3,4)} : f32[3,1]
           %1 = reshape(%0) {shape=(3)} : f32[3]
           return %1""",
    ),
    "gather of places in steps": (
        "%x: f32[9]",
        "%0 = constant() {value=dense<i64[3]: 1 4 7>} : i64[3]\n %1 = gather(%x, %0) {axis=0} : f32[3]\n return %1",
        "%0 = slice(%x) {start=(1), step=(3), stop=(8)} : f32[3]\n return %0",
    ),
    "dynamic slice at a known place": (
        "%x: f32[9]",
        "%0 = constant() {value=dense<i64[]: 7>} : i64[]\n %1 = dynamic_slice(%x, %0) {sizes=(4)} : f32[4]\n return %1",
        "%0 = slice(%x) {start=(5), step=(1), stop=(9)} : f32[4]\n return %0",
    ),
    "dynamic update of everything": (
        "%x: f32[9], %y: f32[9], %i: i64[]",
        "%0 = dynamic_update(%x, %y, %i) : f32[9]\n return %0",
        "return %y",
    ),
    "sum over no axes": ("%x: f32[3]", "%0 = sum(%x) {axes=()} : f32[3]\n return %0", "return %x"),
    "max over an axis of size 1": (
        "%x: f32[3,1]",
        "%0 = max(%x) {axes=(1)} : f32[3]\n return %0",
        "%0 = reshape(%x) {shape=(3)} : f32[3]\n return %0",
    ),
    "sum of ints over an axis of size 1": (
        "%x: i32[3,1]",
        "%0 = sum(%x) {axes=(1)} : i64[3]\n return %0",
        "%0 = cast(%x) {dtype=i64} : i64[3,1]\n %1 = reshape(%0) {shape=(3)} : i64[3]\n return %1",
    ),
    "sum also over axes of size 1": (
        "%x: f32[3,1,4,1,5]",
        "%0 = sum(%x) {axes=(0,1,3,4)} : f32[4]\n return %0",
        "%0 = reshape(%x) {shape=(3,4,5)} : f32[3,4,5]\n %1 = sum(%0) {axes=(0,2)} : f32[4]\n return %1",
    ),
    "max of a broadcast": (
        "%x: f32[3,1,4]",
        "%0 = broadcast(%x) {shape=(3,5,4)} : f32[3,5,4]\n %1 = max(%0) {axes=(1,2)} : f32[3]\n return %1",
        "%0 = reshape(%x) {shape=(3,4)} : f32[3,4]\n %1 = max(%0) {axes=(1)} : f32[3]\n return %1",
    ),
    "max of a max": (
        "%x: f32[3,5,4]",
        "%0 = max(%x) {axes=(1)} : f32[3,4]\n %1 = max(%0) {axes=(1)} : f32[3]\n return %1",
        "%0 = max(%x) {axes=(1,2)} : f32[3]\n return %0",
    ),
    "dot of transposed operands": (
        "%x: f32[3,4], %y: f32[5,3]",
        """%0 = permute(%x) {axes=(1,0)} : f32[4,3]
           %1 = permute(%y) {axes=(1,0)} : f32[3,5]
           %2 = dot(%0, %1) {contract=((1),(0))} : f32[4,5]
           return %2""",
        "%0 = dot(%x, %y) {contract=((0),(1))} : f32[4,5]\n return %0",
    ),
    "a contraction transposed": (
        "%x: f32[2,3,4], %y: f32[4,5,2]",
        """%0 = dot(%x, %y) {batch=((0),(2)), contract=((2),(0))} : f32[2,3,5]
           %1 = permute(%0) {axes=(0,2,1)} : f32[2,5,3]
           return %1""",
        "%0 = dot(%y, %x) {batch=((2),(0)), contract=((0),(2))} : f32[2,5,3]\n return %0",
    ),
    "a running sum of one element": ("%x: f32[3,1]", "%0 = cumsum(%x) {axis=1} : f32[3,1]\n return %0", "return %x"),
    "the place of the only element": (
        "%x: f32[3,1]",
        "%0 = argmax(%x) {axis=1} : i64[3]\n return %0",
        """%0 = constant() {value=dense<i64[1]: 0>} : i64[1]
           %1 = broadcast(%0) {shape=(3)} : i64[3]
           return %1""",
    ),
    "a constant of equal elements": (
        "%x: f32[3]",
        "%0 = constant() {value=dense<f32[2,2]: 1.5 1.5 1.5 1.5>} : f32[2,2]\n return %0",
        """%0 = constant() {value=dense<f32[1,1]: 1.5>} : f32[1,1]
           %1 = broadcast(%0) {shape=(2,2)} : f32[2,2]
           return %1""",
    ),
    "a moved constant": (
        "%x: f32[3]",
        """%0 = constant() {value=dense<f32[1,1]: 2.0>} : f32[1,1]
           %1 = broadcast(%0) {shape=(3,2)} : f32[3,2]
           %2 = permute(%1) {axes=(1,0)} : f32[2,3]
           return %2""",
        """%0 = constant() {value=dense<f32[1,1]: 2.0>} : f32[1,1]
           %1 = broadcast(%0) {shape=(2,3)} : f32[2,3]
           return %1""",
    ),
}

KEPT: dict[str, tuple[str, str]] = {
    "x + 0 turns -0 into 0": (F, constant("0.0") + "%0 = add(%x, %w) : f32[9]\n return %0"),
    "x - -0 turns -0 into 0": (F, constant("-0.0") + "%0 = sub(%x, %w) : f32[9]\n return %0"),
    "0 - x isn't -x at 0": (F, constant("0.0") + "%0 = sub(%w, %x) : f32[9]\n return %0"),
    "x * 0 keeps nan and sign": (F, constant("0.0") + "%0 = mul(%x, %w) : f32[9]\n return %0"),
    "x - x is nan at infinity": (F, "%0 = sub(%x, %x) : f32[9]\n return %0"),
    "x == x is false at nan": (F, "%0 = eq(%x, %x) : bool[9]\n return %0"),
    "x / 3 rounds once": (F, constant("3.0") + "%0 = div(%x, %w) : f32[9]\n return %0"),
    "x / 2 ** 127, whose reciprocal is subnormal": (
        F,
        constant(str(2.0**127)) + "%0 = div(%x, %w) : f32[9]\n return %0",
    ),
    "x ** 2 is a formula": (F, constant("2.0") + "%0 = pow(%x, %w) : f32[9]\n return %0"),
    "-(x - y) isn't y - x at 0": (F, "%0 = sub(%x, %y) : f32[9]\n %1 = neg(%0) : f32[9]\n return %1"),
    "cast of a cast that rounds": (
        F,
        "%0 = cast(%x) {dtype=f16} : f16[9]\n %1 = cast(%0) {dtype=f32} : f32[9]\n return %1",
    ),
    "int through float to a narrower int": (
        I,
        "%0 = cast(%x) {dtype=f64} : f64[9]\n %1 = cast(%0) {dtype=i8} : i8[9]\n return %1",
    ),
    "lone element of a float sum, which may be -0": ("%x: f32[9,1]", "%0 = sum(%x) {axes=(1)} : f32[9]\n return %0"),
    "complex times 1, a formula": (
        "%x: c64[9]",
        constant("(1.0,0.0)", "c64") + "%0 = mul(%x, %w) : c64[9]\n return %0",
    ),
    "gather out of range, an error of the run": (
        "%x: f32[9]",
        "%0 = constant() {value=dense<i64[]: 9>} : i64[]\n %1 = gather(%x, %0) {axis=0} : f32[]\n return %1",
    ),
    "a constant of zeros with different signs": (
        "%x: f32[3]",
        "%0 = constant() {value=dense<f32[3]: 0.0 0.0 -0.0>} : f32[3]\n return %0",
    ),
    "dot whose free axes change places": (
        "%x: f32[2,3,4], %y: f32[4,5]",
        "%0 = permute(%x) {axes=(1,0,2)} : f32[3,2,4]\n %1 = dot(%0, %y) {contract=((2),(0))} : f32[3,2,5]\n return %1",
    ),
}

SPECIAL = (0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 1e-42, 3e38)


def special_arguments(graph: Graph) -> list[npt.NDArray[np.generic]]:
    arrays: list[npt.NDArray[np.generic]] = []
    for place, node in enumerate(graph.inputs):
        shape = tuple(size if isinstance(size, int) else 3 for size in node.shape)
        count = int(np.prod(shape))
        dtype = node.tensor.dtype
        if dtype.kind >= Kind.FLOAT:
            values = np.resize(np.roll(SPECIAL, 4 * place), count)
        else:
            values = np.resize(np.array([0, 1, -3, 7, 2**31 - 1, -(2**31), 5, 100, -1]), count)
        arrays.append(values.reshape(shape).astype(dtype.numpy))
    return arrays


def assert_same_bits(before: Graph, after: Graph) -> None:
    arrays = special_arguments(before)
    for a, b in zip(evaluate_graph(before, arrays), evaluate_graph(after, arrays)):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
        if a.dtype.kind in "fc":
            np.testing.assert_array_equal(np.signbit(a.real)[~np.isnan(a)], np.signbit(b.real)[~np.isnan(b)])


@pytest.mark.parametrize("name", RULES)
def test_a_rule_applies_and_keeps_every_bit(name: str) -> None:
    inputs, lines, expected_lines = RULES[name]
    graph, expected = body(inputs, lines), body(inputs, expected_lines)
    result = simplify(graph)
    verify(result)
    assert print_graph(result, locations=False) == print_graph(expected, locations=False)
    assert simplify(result) is result
    assert_same_bits(graph, result)


@pytest.mark.parametrize("name", KEPT)
def test_what_is_not_exact_stays(name: str) -> None:
    graph = body(*KEPT[name])
    assert simplify(graph) is graph


FAST: dict[str, tuple[str, str, str]] = {
    "x + 0": (F, constant("0.0") + "%0 = add(%x, %w) : f32[9]\n return %0", "return %x"),
    "x - x": (F, "%0 = sub(%x, %x) : f32[9]\n return %0", constant("0.0") + "return %w"),
    "x / x": (F, "%0 = div(%x, %x) : f32[9]\n return %0", constant("1.0") + "return %w"),
    "x * 0": (F, constant("0.0") + "%0 = mul(%x, %w) : f32[9]\n return %0", constant("0.0") + "return %w"),
    "x / 5": (
        F,
        constant("5.0") + "%0 = div(%x, %w) : f32[9]\n return %0",
        constant("0.2") + "%0 = mul(%x, %w) : f32[9]\n return %0",
    ),
    "x / sqrt(y)": (
        F,
        "%0 = sqrt(%y) : f32[9]\n %1 = div(%x, %0) : f32[9]\n return %1",
        "%0 = rsqrt(%y) : f32[9]\n %1 = mul(%x, %0) : f32[9]\n return %1",
    ),
    "(x + 1) + 1": (
        F,
        constant("1.0") + "%0 = add(%x, %w) : f32[9]\n %1 = add(%0, %w) : f32[9]\n return %1",
        constant("2.0") + "%0 = add(%x, %w) : f32[9]\n return %0",
    ),
    "(x * 4) * 4": (
        F,
        constant("4.0") + "%0 = mul(%x, %w) : f32[9]\n %1 = mul(%0, %w) : f32[9]\n return %1",
        constant("16.0") + "%0 = mul(%x, %w) : f32[9]\n return %0",
    ),
    "x ** 2": (F, constant("2.0") + "%0 = pow(%x, %w) : f32[9]\n return %0", "%0 = mul(%x, %x) : f32[9]\n return %0"),
    "x ** 0.5": (F, constant("0.5") + "%0 = pow(%x, %w) : f32[9]\n return %0", "%0 = sqrt(%x) : f32[9]\n return %0"),
    "log of exp": (F, "%0 = exp(%x) : f32[9]\n %1 = log(%0) : f32[9]\n return %1", "return %x"),
    "-(x - y)": (
        F,
        "%0 = sub(%x, %y) : f32[9]\n %1 = neg(%0) : f32[9]\n return %1",
        "%0 = sub(%y, %x) : f32[9]\n return %0",
    ),
    "sum of a lone element": (
        "%x: f32[9,1]",
        "%0 = sum(%x) {axes=(1)} : f32[9]\n return %0",
        "%0 = reshape(%x) {shape=(9)} : f32[9]\n return %0",
    ),
    "sum of equal elements": (
        "%x: f32[9,1]",
        "%0 = broadcast(%x) {shape=(9,6)} : f32[9,6]\n %1 = sum(%0) {axes=(1)} : f32[9]\n return %1",
        "%0 = reshape(%x) {shape=(9)} : f32[9]\n" + constant("6.0") + "%1 = mul(%0, %w) : f32[9]\n return %1",
    ),
}


@pytest.mark.parametrize("name", FAST)
def test_fast_numerics_go_further(name: str) -> None:
    inputs, lines, expected_lines = FAST[name]
    graph, expected = body(inputs, lines), body(inputs, expected_lines)
    assert simplify(graph) is graph
    result = simplify(graph, numerics="fast")
    verify(result)
    found, wanted = (print_graph(each, locations=False) for each in (result, expected))
    assert found == wanted
    assert simplify(result, numerics="fast") is result
