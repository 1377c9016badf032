"""Integer expressions against Python's integers: operators, bounds, substitution, division."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.dim import (
    Dim,
    Size,
    Symbol,
    bounds,
    evaluate,
    is_at_least,
    is_at_most,
    linear,
    maximum,
    minimum,
    parse_size,
    product,
    quotient,
    remainder,
    render,
    substitute,
    symbol,
    symbols,
)

A = Symbol("a", 0, 7).size
B = Symbol("b", 1, 9).size
C = Symbol("c", -5, 5).size
N = Symbol("n", 1, 6).size
M = Symbol("m", 1, 4).size
I = Symbol("i", 0, N - 1).size
J = Symbol("j", 0, M - 1).size
K = Symbol("k", 0, N * M - 1).size
KNOWN: dict[str, Size] = {"a": A, "b": B, "c": C, "n": N, "m": M, "i": I, "j": J, "k": K}
DIVISORS = ("n", "m", "b", "n*m", "2*n", "n + 1", "3*m*n", "b + n")


@dataclass(frozen=True)
class Tree:
    """An expression as Python would write it: leaves are numbers and names, the rest operators."""

    op: str
    children: tuple[Tree, ...] = ()
    value: int = 0

    def build(self) -> Size:
        """The expression by `graphc.ir.dim`."""
        x = [child.build() for child in self.children]
        match self.op:
            case "number":
                return self.value
            case "+":
                return x[0] + x[1]
            case "-":
                return x[0] - x[1]
            case "*":
                return x[0] * x[1]
            case "//":
                return quotient(x[0], x[1])
            case "%":
                return remainder(x[0], x[1])
            case "min":
                return minimum(*x)
            case "max":
                return maximum(*x)
            case name:
                return parse_size(name, KNOWN)

    def run(self, env: dict[str, int]) -> int:
        """The value by Python's own integers."""
        x = [child.run(env) for child in self.children]
        match self.op:
            case "number":
                return self.value
            case "+":
                return x[0] + x[1]
            case "-":
                return x[0] - x[1]
            case "*":
                return x[0] * x[1]
            case "//":
                return x[0] // x[1]
            case "%":
                return x[0] % x[1]
            case "min":
                return min(x)
            case "max":
                return max(x)
            case name:
                return int(eval(name, {}, env))


def number(low: int, high: int) -> st.SearchStrategy[Tree]:
    return st.integers(low, high).map(lambda value: Tree("number", value=value))


LEAVES = st.one_of(number(-9, 20), st.sampled_from(tuple(KNOWN)).map(Tree))
POSITIVE = st.one_of(number(1, 24), st.sampled_from(DIVISORS).map(Tree))


def grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    arithmetic = st.tuples(st.sampled_from("+-*"), inner, inner)
    division = st.tuples(st.sampled_from(("//", "%")), inner, POSITIVE)
    extremes = st.tuples(st.sampled_from(("min", "max")), inner, inner)
    return st.one_of(arithmetic, arithmetic, division, division, extremes).map(lambda t: Tree(t[0], (t[1], t[2])))


TREES = st.recursive(LEAVES, grown, max_leaves=9)


@st.composite
def environments(draw: st.DrawFn) -> dict[str, int]:
    env = {"a": draw(st.integers(0, 7)), "b": draw(st.integers(1, 9)), "c": draw(st.integers(-5, 5))}
    env["n"], env["m"] = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    env["i"], env["j"] = draw(st.integers(0, env["n"] - 1)), draw(st.integers(0, env["m"] - 1))
    env["k"] = draw(st.integers(0, env["n"] * env["m"] - 1))
    return env


ENVIRONMENTS = st.lists(environments(), min_size=4, max_size=4)


@given(TREES, ENVIRONMENTS)
@settings(max_examples=600, deadline=None)
def test_values_bounds_and_proofs_agree_with_python(tree: Tree, envs: list[dict[str, int]]) -> None:
    size = tree.build()
    low, high = bounds(size)
    for env in envs:
        expected = tree.run(env)
        assert evaluate(size, env) == expected
        assert low <= expected <= high
        for least in (expected - 1, expected, expected + 1, 0):
            assert not is_at_least(size, least) or expected >= least
        assert not is_at_most(size, N * M - 1) or expected <= env["n"] * env["m"] - 1


@given(TREES)
@settings(max_examples=200, deadline=None)
def test_text_parses_back_to_the_same_expression(tree: Tree) -> None:
    size = tree.build()
    text = str(size)
    again = parse_size(text, KNOWN)
    assert again == size
    assert str(again) == text


@given(TREES, environments())
@settings(max_examples=200, deadline=None)
def test_substituting_numbers_evaluates(tree: Tree, env: dict[str, int]) -> None:
    size = tree.build()
    expected = tree.run(env)
    assert substitute(size, env) == expected
    some: dict[str, Size] = {name: env[name] for name in ("a", "i", "n")}
    assert evaluate(substitute(size, some), env) == expected


@given(TREES, TREES, environments())
@settings(max_examples=200, deadline=None)
def test_substituting_expressions_composes(tree: Tree, other: Tree, env: dict[str, int]) -> None:
    size, inner = tree.build(), other.build()
    assert evaluate(substitute(size, {"a": inner}), env) == evaluate(size, {**env, "a": evaluate(inner, env)})


@given(st.lists(TREES, min_size=2, max_size=4), st.randoms())
@settings(max_examples=200, deadline=None)
def test_order_of_operands_does_not_show(trees: list[Tree], random: object) -> None:
    sizes = [tree.build() for tree in trees]
    shuffled = list(sizes)
    getattr(random, "shuffle")(shuffled)  # noqa: B009  # hypothesis types its random as object
    assert product(sizes) == product(shuffled)
    assert str(minimum(*sizes[:2])) == str(minimum(*sizes[1::-1])) or minimum(*sizes[:2]) in sizes


@given(TREES, st.sampled_from(tuple(KNOWN)), environments())
@settings(max_examples=200, deadline=None)
def test_linear_splits_off_a_symbol(tree: Tree, name: str, env: dict[str, int]) -> None:
    size = tree.build()
    parts = linear(size, name)
    if parts is not None:
        rest, slope = parts
        assert evaluate(rest, env) + evaluate(slope, env) * env[name] == evaluate(size, env)
        assert all(s.name != name for part in parts for s in symbols(part))


@given(TREES)
@settings(max_examples=200, deadline=None)
def test_render_with_the_own_names_is_the_text(tree: Tree) -> None:
    size = tree.build()
    assert render(size, {name: name for name in KNOWN}) == str(size)


def test_equal_polynomials_are_equal_objects_in_sets() -> None:
    a, b = (I + J) * (I - J), I * I - J * J
    assert a == b
    assert hash(a) == hash(b)
    assert len({a, b, I * I - J * J + 1}) == 2
    assert a != I * I
    assert a - b == 0
    assert isinstance(a - b, int)


SIMPLIFIED = [
    # quotient and remainder of an index map: (a*n + b) with b below n
    (quotient(A * N + I, N), A),
    (remainder(A * N + I, N), I),
    (quotient(A * 10 + Symbol("d", 0, 9).size, 10), A),
    (remainder(A * 10 + Symbol("d", 0, 9).size, 10), Symbol("d", 0, 9).size),
    # [m, n, 10] flattened and taken apart
    (quotient(J * N * 10 + I * 10 + A, N * 10), J),
    (remainder(J * N * 10 + I * 10 + A, N * 10), I * 10 + A),
    (remainder(quotient(J * N * 10 + I * 10 + A, 10), N), I),
    (quotient(quotient(J * N * 10 + I * 10 + A, 10), N), J),
    (quotient(remainder(J * N * 10 + I * 10 + A, N * 10), 10), I),
    # a divisor that is a sum
    (quotient(A * (N + 2) + I, N + 2), A),
    (remainder(A * (N + 2) + I, N + 2), I),
    (quotient((N + 1) * (N - 1), N + 1), N - 1),
    # reshape and back
    (12 * quotient(A, 12) + remainder(A, 12), A),
    (N * quotient(K, N) + remainder(K, N), K),
    (10 * N * quotient(C, N) + 10 * remainder(C, N), 10 * C),
    (4 * remainder(quotient(C, 4), 3) + remainder(C, 4), remainder(C, 12)),
    (24 * quotient(C, 24) + 4 * remainder(quotient(C, 4), 6) + remainder(C, 4), C),
    (C - 4 * quotient(C, 4), remainder(C, 4)),
    (quotient(K, N), quotient(K + 0, N)),
    # nests
    (quotient(quotient(C, 3), 4), quotient(C, 12)),
    (quotient(quotient(C, 3) + 2, 4), quotient(C + 6, 12)),
    (quotient(quotient(C, N), M), quotient(C, N * M)),
    (remainder(remainder(C, 12), 4), remainder(C, 4)),
    (remainder(remainder(C, 4 * N), N), remainder(C, N)),
    (quotient(remainder(C, 12), 4), remainder(quotient(C, 4), 3)),
    # common factors
    (quotient(8 * C + A, 16), quotient(C, 2)),
    (remainder(8 * C + A, 16), 8 * remainder(C, 2) + A),
    (quotient(6 * C + 3, 4), quotient(3 * C + 1, 2)),
    (quotient(C * N + I, 4 * N), quotient(C, 4)),
    (remainder(C * N + I, 4 * N), N * remainder(C, 4) + I),
    # constants
    (quotient(C + 13, 5), quotient(C + 3, 5) + 2),
    (quotient(C - 1, 5), quotient(C + 4, 5) - 1),
    (remainder(C + 13, 5), remainder(C + 3, 5)),
    (quotient(C, -3), quotient(-C, 3)),
    (remainder(C, -3), -remainder(-C, 3)),
    (quotient(0, N), 0),
    (remainder(N, N), 0),
    (quotient(A, 8), 0),
    (quotient(A - 8, 8), -1),
    (remainder(A - 8, 8), A),
    # extremes
    (minimum(A, 7), A),
    (minimum(A, 8, N), minimum(N, A)),
    (maximum(N - 1, 0), N - 1),
    (maximum(I, N - 1), N - 1),
    (minimum(I, N), I),
    (minimum(minimum(A, B), C), minimum(A, minimum(C, B))),
    (minimum(C, C), C),
    (maximum(A, A + 1), A + 1),
]


@pytest.mark.parametrize("simplified, expected", SIMPLIFIED, ids=lambda size: str(size))
def test_simplifies(simplified: Size, expected: Size) -> None:
    assert simplified == expected


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.lists(st.integers(1, 6), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_reshape_there_and_back_is_the_identity(front: list[int], back: list[int]) -> None:
    # Indices of a shape, flattened, split along another shape that holds as many, flattened and split again.
    shape = [*front, *back]
    other = [product(front), product(back)]
    indices = [symbol(f"x{axis}", 0, size - 1) for axis, size in enumerate(shape)]
    middle = split(flatten(indices, shape), other)
    assert flatten(middle, other) == flatten(indices, shape)
    assert split(flatten(middle, other), shape) == indices


def test_reshape_with_symbolic_sizes_is_the_identity() -> None:
    shape: list[Size] = [M, N, 10, B]
    indices = [Symbol(f"x{axis}", 0, size - 1).size for axis, size in enumerate(shape)]
    flat = flatten(indices, shape)
    assert split(flat, shape) == indices
    assert split(flatten(split(flat, [M * N, 10 * B]), [M * N, 10 * B]), shape) == indices


def test_reshape_of_one_flat_index_joins_again() -> None:
    flat = Symbol("f", 0, 359).size
    for shape in ([360], [4, 90], [4, 9, 10], [2, 3, 4, 15], [6, 60]):
        assert flatten(split(flat, shape), shape) == flat


def flatten(indices: list[Size], shape: list[Size] | list[int]) -> Size:
    total: Size = 0
    for index, size in zip(indices, shape):
        total = total * size + index
    return total


def split(flat: Size, shape: list[Size] | list[int]) -> list[Size]:
    indices: list[Size] = []
    for size in reversed(shape[1:]):
        flat, index = quotient(flat, size), remainder(flat, size)
        indices.append(index)
    return [flat, *indices[::-1]]


PROOFS = [
    (I, N - 1, True),
    (I, N, True),
    (I + J, N + M - 2, True),
    (J * N + I, M * N - 1, True),
    (K, M * N - 1, True),
    (remainder(A, N), N - 1, True),
    (minimum(N, A), N, True),
    (16 * A + Symbol("t", 0, minimum(16, B - 16 * A) - 1).size, B - 1, True),
    (A, maximum(A, N), True),
    (N, I, False),
    (I, J, False),
    (J * N + I, M * N - 2, False),
]


@pytest.mark.parametrize("a, b, is_known", PROOFS, ids=lambda x: str(x))
def test_proves_order(a: Size, b: Size, is_known: bool) -> None:
    assert is_at_most(a, b) is is_known


def test_bounds_of_symbols_with_symbolic_ends() -> None:
    assert bounds(I) == (0, 5)
    assert bounds(N * 10 + 4) == (14, 64)
    assert bounds(C * C) == (-25, 25)
    assert bounds(quotient(C, 2)) == (-3, 2)
    assert bounds(quotient(24, B)) == (2, 24)
    assert bounds(remainder(C, N)) == (0, 5)
    assert bounds(remainder(K, 100)) == (0, 23)
    assert bounds(7) == (7, 7)


def test_a_symbol_with_one_value_is_that_value() -> None:
    assert symbol("x", 3, 3) == 3
    assert str(Symbol("x", 3, 3).size) == "x"
    assert evaluate(Symbol("x", 3, 3).size, {"x": 3}) == 3


def test_symbols_come_in_order_of_appearance_and_once() -> None:
    size = A * J + quotient(C + A, B)
    assert str(size) == "((a + c) // b) + a*j"
    assert [s.name for s in symbols(size)] == ["a", "c", "b", "j"]
    assert symbols(I) == (Symbol("i", 0, N - 1),)
    assert symbols(4) == ()


def test_symbols_of_the_same_name_with_other_bounds_differ() -> None:
    one, two = Symbol("x", 0, 4), Symbol("x", 0, 5)
    assert one != two
    assert one.size - two.size != 0
    assert replace(one, upper=5) == two
    assert hash(replace(one, upper=5)) == hash(two)


def test_a_convolution_of_equal_size_keeps_its_quotients_apart() -> None:
    # Both terms hold k // 9, one of them 56 times: no remainder may take a share of it.
    k, n = symbol("k", 0, 575), symbol("n", 0, 3135)
    index = (k // 9 * 56 + n // 56 + k // 3 % 3) * 56 + n % 56 + k % 3
    assert str(index) == "56*((k // 3) % 3) + (k % 3) + 3136*(k // 9) + n"


def test_division_by_zero_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        quotient(N, 0)
    with pytest.raises(ZeroDivisionError):
        remainder(N, 0)
    with pytest.raises(ZeroDivisionError):
        evaluate(quotient(5, Symbol("z", 0, 3).size), {"z": 0})


def test_the_truth_of_a_symbolic_size_is_an_error() -> None:
    with pytest.raises(TypeError, match="truth of the symbolic size n \\+ 1"):
        bool(N + 1)


def test_evaluate_names_the_symbol_without_a_value() -> None:
    with pytest.raises(KeyError, match="m"):
        evaluate(N + M, {"n": 1})


def test_other_operands_are_refused() -> None:
    for operation in (lambda: N + 1.5, lambda: N * "x", lambda: 2.0 - N):
        with pytest.raises(TypeError):
            operation()


TEXTS = [
    (N * 10 + 4, "10*n + 4"),
    (4 - N, "-n + 4"),
    (-2 * N - 3, "-2*n - 3"),
    (N * N * M, "m*n*n"),
    (quotient(C + 1, N), "((c + 1) // n)"),
    (quotient(C, 4) * 2, "2*(c // 4)"),
    (remainder(C, N * M), "(c % (m*n))"),
    (minimum(C, A + 1), "min(a + 1, c)"),
    (maximum(C, 0) - 1, "max(0, c) - 1"),
    (quotient(3 * C, 7), "((3*c) // 7)"),
]


@pytest.mark.parametrize("size, text", TEXTS, ids=lambda x: str(x))
def test_prints(size: Size, text: str) -> None:
    assert str(size) == text
    assert repr(size) == text
    assert parse_size(text, KNOWN) == size


def test_render_renames_and_orders_by_the_new_names() -> None:
    size = 2 * N + M * I + remainder(C, N) + 5
    assert render(size, {"n": "s0", "m": "s1", "i": "s2", "c": "s3"}) == "(s3 % s0) + 2*s0 + s1*s2 + 5"
    other = substitute(size, {"n": Symbol("zz", 1, 6).size, "m": Symbol("aa", 1, 4).size})
    assert render(other, {"zz": "s0", "aa": "s1", "i": "s2", "c": "s3"}) == render(
        size, {"n": "s0", "m": "s1", "i": "s2", "c": "s3"}
    )


def test_a_long_sum_and_a_long_product_are_quick_and_flat() -> None:
    total: Size = 0
    for position in range(2000):
        total = total + Symbol(f"t{position}", 0, 9).size
    assert isinstance(total, Dim)
    assert bounds(total) == (0, 18000)
    assert parse_size(str(total), {f"t{p}": Symbol(f"t{p}", 0, 9).size for p in range(2000)}) == total
