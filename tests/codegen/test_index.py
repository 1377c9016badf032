"""Index expressions as code, in scalar code and in lanes, of 32 and of 64 bits, against their value in Python."""

from __future__ import annotations

import random

import numpy as np
import pytest

from graphc.codegen.emitter import Emitter, Module
from graphc.codegen.index import index
from graphc.ir.dim import Symbol, evaluate, parse_size, symbol, symbols
from graphc.kernel.parse import parse_kernel
from graphc.runtime.target import native_target
from tests.codegen.native import run_native, runnable_targets


def random_expression(source: random.Random, depth: int = 3) -> str:
    """Sums, products, quotients, remainders and extremes of i, j, n and numbers."""
    if depth == 0 or source.random() < 0.15:
        return source.choice(("i", "j", "n", str(source.randint(0, 40))))
    a = random_expression(source, depth - 1)
    match source.randrange(6):
        case 0:
            return f"({a} + {random_expression(source, depth - 1)})"
        case 1:
            return f"({a} - {random_expression(source, depth - 1)})"
        case 2:
            return f"({a} * {source.choice(('2', '3', '(-1)', 'n', 'i', 'j'))})"
        case 3:
            return f"({a} // {source.choice(('2', '3', '7', '16', 'n', '(n + 3)'))})"
        case 4:
            return f"({a} % {source.choice(('2', '5', '8', 'n', '(2*n)'))})"
        case _:
            return f"{source.choice(('min', 'max'))}({a}, {random_expression(source, depth - 1)})"


@pytest.mark.parametrize("bounds", ("in 1..30", "in 1..281474976710655"), ids=("narrow", "wide"))
@pytest.mark.parametrize("kind", ("serial", "vector"))
def test_random_expressions_have_the_value_that_python_gives(kind: str, bounds: str) -> None:
    source = random.Random(f"{kind} {bounds}")
    expressions = [random_expression(source) for _ in range(60)]
    buffers = "".join(f"write y{number}: i64[5*n]\n" for number in range(len(expressions)))
    body = "".join(
        f"%v{number}: i64 = position {text} store y{number}[n*i + j] = %v{number}\n"
        for number, text in enumerate(expressions)
    )
    kernel = parse_kernel(
        f"kernel positions {{ size n {bounds}\n{buffers} serial i < 5 {{ {kind} j < n {{ {body} }} }} }}"
    )
    limit = 30 if "30" in bounds else 2**48 - 1
    names = {"n": symbol("n", 1, limit), "i": symbol("i", 0, 4), "j": symbol("j", 0, limit - 1)}
    for n in (1, 2, 17, 30):
        for target in runnable_targets():
            results = {f"y{number}": np.zeros(5 * n, np.int64) for number in range(len(expressions))}
            assert run_native(kernel, results, {"n": n}, target=target) == 0
            for number, text in enumerate(expressions):
                size = parse_size(text, names)
                wanted = [evaluate(size, {"n": n, "i": i, "j": j}) for i in range(5) for j in range(n)]
                assert results[f"y{number}"].tolist() == wanted, f"{text} for n={n} on {target.cpu}"


def test_terms_are_computed_in_the_outermost_loop_that_knows_them() -> None:
    n, i, j = symbol("n"), symbol("i", 0, 9), symbol("j", 0, 9)
    e = Emitter(Module(native_target()), "f", "i64 %n")
    bound = {name: symbols(size)[0] for name, size in (("n", n), ("i", i), ("j", j))}
    assert all(isinstance(each, Symbol) for each in bound.values())
    e.bind(bound["n"], "%n")
    with e.loop("0", "10") as outer:
        outer_block = e.block
        e.bind(bound["i"], outer)
        with e.loop("0", "10") as inner:
            inner_block = e.block
            e.bind(bound["j"], inner)
            first = index(e, n * n * i + n // 3 + j)
            assert index(e, n * n * i + n // 3 + j) == first
            index(e, n * n * i + n // 3 + 5)
    e.finish()
    start = e.blocks[1]
    assert [line.split(" = ")[1].split()[0] for line in start.lines[:2]] == ["udiv", "mul"]
    assert not any("udiv" in line for line in (*outer_block.lines, *inner_block.lines))
    assert sum("mul" in line for line in outer_block.lines) == 1
    assert not any("mul" in line for line in inner_block.lines)


def test_a_divisor_of_zero_in_front_of_an_empty_loop_does_no_harm() -> None:
    kernel = parse_kernel("""kernel empty {
  size n
  write y: i64[n]
  serial i < n {
    %v: i64 = position i // n + 7 % n
    store y[i] = %v
  }
}
""")
    assert run_native(kernel, {"y": np.zeros(0, np.int64)}, {"n": 0}) == 0
