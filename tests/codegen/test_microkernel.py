"""The micro-kernel's code: registers enough, the right instructions, and tiles that suit the sizes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from graphc.codegen.emitter import Module
from graphc.codegen.microkernel import choose_tile, define_tile, registers
from graphc.ir.dim import Size, symbol
from graphc.runtime.engine import assembly
from graphc.runtime.target import TARGETS, named_target

UNKNOWN = symbol("N", 0, 1 << 20)
SIZES: list[tuple[Size, Size]] = [(UNKNOWN, UNKNOWN), (1, 1000), (1024, 1024), (1000, 10), (5, 100)]


def inner_loop(target_name: str, scalar: str, rows: Size, columns: Size, packed: bool) -> tuple[int, str]:
    """How many products of vectors the tile has, and the assembly of the loop that computes them."""
    target = named_target(target_name)
    tile = replace(choose_tile(target, scalar, rows, columns), packed_left=packed)
    module = Module(target)
    define_tile(module, tile)
    text = assembly(module.text.replace("define internal", "define"), target)
    blocks = re.split(r"^\.LBB\w+:.*$", text, flags=re.MULTILINE)
    (loop,) = [b for b in blocks if len(re.findall(r"\s(?:v?fmadd|fmla|v?mulp)", b)) >= tile.rows * tile.vectors]
    return tile.rows * tile.vectors, loop


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("scalar", ["float", "double"])
@pytest.mark.parametrize("name", list(TARGETS))
def test_totals_stay_in_registers(name: str, scalar: str, packed: bool) -> None:
    for rows, columns in SIZES:
        products, loop = inner_loop(name, scalar, rows, columns, packed)
        assert len(re.findall(r"\s(?:v?fmadd|fmla|v?mulp)", loop)) == products
        assert not re.search(r"\(%r[sb]p|\[sp|\[x29", loop), f"{rows}x{columns}: the loop uses the stack\n{loop}"
        assert not re.search(r"\bcall|\bbl\b", loop)


@pytest.mark.parametrize("name, register", [("x86-64", "xmm"), ("x86-64-v3", "ymm"), ("x86-64-v4", "zmm")])
def test_the_widest_registers_are_used(name: str, register: str) -> None:
    _, loop = inner_loop(name, "float", UNKNOWN, UNKNOWN, packed=False)
    assert register in loop


@pytest.mark.parametrize("name", list(TARGETS))
def test_tiles_are_as_narrow_as_the_result(name: str) -> None:
    target = named_target(name)
    for scalar in ("float", "double", "i8", "i16", "i32", "i64"):
        for rows, columns in SIZES:
            tile = choose_tile(target, scalar, rows, columns)
            assert registers(target, scalar, tile.rows, tile.vectors) <= target.vector_registers
            assert not isinstance(rows, int) or tile.rows <= rows
            assert not isinstance(columns, int) or tile.columns < columns + tile.lanes
