"""Expansion: base ops alone afterwards, with the same bits; what is computed twice is computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from graphc.ir.dtype import DTYPES, DType, Kind, bf16, bool_, f16, f32, f64, i64, u8
from graphc.kernel.expand import expand, record
from graphc.kernel.interpret import run_kernel
from graphc.kernel.ir import Apply, Buffer, Kernel, Literal, Load, Statement, Store, Value, nested_bodies
from graphc.kernel.parse import parse_kernel
from graphc.kernel.scalar import SCALARS, Result, evaluate, result_dtype
from graphc.kernel.text import print_kernel
from graphc.kernel.verify import verify_kernel
from tests.kernel.kernels import MATMUL, TEXTS
from tests.kernel.ulp import Array, random_bits

REAL = [d for d in DTYPES if d.kind is not Kind.COMPLEX]


def applications(kernel: Kernel) -> Iterator[Apply]:
    """Every Apply of the kernel."""
    bodies = [kernel.body]
    while bodies:
        for statement in bodies.pop():
            bodies += nested_bodies(statement)
            if isinstance(statement, Apply):
                yield statement


def counts(kernel: Kernel) -> Counter[str]:
    return Counter(each.op for each in applications(kernel))


def kernel_of(text: str, dtype: str = "f32", out: str = "f32") -> Kernel:
    """A kernel that computes %y from %x in a loop."""
    head = f"kernel k {{ read x: {dtype}[8] write y: {out}[8] vector i < 8 {{ %x: {dtype} = load x[i]\n"
    return parse_kernel(f"{head}{text}\nstore y[i] = %y }} }}")


def values_of(dtype: DType, count: int, seed: int) -> Array:
    random = np.random.default_rng(seed)
    if dtype is bool_:
        return random.integers(0, 2, count).astype(bool)
    if dtype.is_integer:
        limits = np.iinfo(dtype.numpy)  # type: ignore[type-var]
        return np.concatenate(
            [
                random.integers(limits.min, limits.max, count // 2, dtype.numpy, endpoint=True),
                random.integers(0, 40, count - count // 2).astype(dtype.numpy),
            ]
        )
    wide = np.float64 if dtype is f64 else np.float32
    with np.errstate(all="ignore"):
        return np.concatenate([random_bits(wide, count // 2, seed), random.normal(0, 4, count // 2)]).astype(
            dtype.numpy
        )


def replay(name: str, out: DType, operands: list[Array]) -> Array:
    """The recorded steps, one after another."""
    recorded = record(name, tuple(next(d for d in REAL if d.numpy == x.dtype) for x in operands), out)
    values = list(operands)
    for step in recorded.steps:
        assert SCALARS[step.op].is_base
        inputs = [
            np.full(operands[0].shape, x.value).astype(x.dtype.numpy) if isinstance(x, Literal) else values[x]
            for x in step.operands
        ]
        dtypes = {x.dtype for x in inputs}
        if step.op not in ("select", "cast", "bitcast"):
            assert not dtypes & {f16.numpy, bf16.numpy}, f"{step.op} in 16 bits"
        if step.op in ("add", "mul", "maximum", "minimum"):
            assert bool_.numpy not in dtypes, f"{step.op} on bools"
        if step.op in ("shift_left", "shift_right"):
            assert len(dtypes) == 1, "a shift's amount has another dtype"
        values.append(evaluate(step.op, step.dtype, *inputs))
    assert isinstance(recorded.result, int)
    return values[recorded.result]


@pytest.mark.parametrize("name", SCALARS)
def test_steps_give_the_bits_of_the_op(name: str) -> None:
    op = SCALARS[name]
    if op.result in (Result.GIVEN, Result.SELECT):
        return
    for dtype in REAL:
        if dtype.kind not in op.kinds or (name == "multiply_high" and (dtype.signed or dtype.bits < 32)):
            continue
        operands = [values_of(dtype, 64, 40 + i) for i in range(op.arity)]
        if name == "ldexp":
            operands[1] = np.arange(-32, 32).astype(dtype.numpy)
        out = result_dtype(name, (dtype,) * op.arity)
        got, want = replay(name, out, operands), evaluate(name, out, *operands)
        assert got.dtype == want.dtype
        if dtype.is_floating_point:
            got, want = got.astype(np.float64), want.astype(np.float64)
        is_same = np.array_equal(got, want, equal_nan=dtype.is_floating_point)
        assert is_same, f"{name} of {dtype}"


@pytest.mark.parametrize("source", REAL)
def test_steps_of_casts(source: DType) -> None:
    for out in REAL:
        if out is not source:
            x = values_of(source, 64, 50)
            with np.errstate(all="ignore"):
                got, want = replay("cast", out, [x]).astype(np.float64), evaluate("cast", out, x).astype(np.float64)
            assert np.array_equal(got, want, equal_nan=True), f"{source} to {out}"


@pytest.mark.parametrize("amount", [u8, i64])
def test_shift_amounts_of_another_dtype(amount: DType) -> None:
    x, distance = values_of(f32, 40, 51).view(np.int32), np.resize([0, 1, 31, 32, 200, 255], 40)
    distance = distance.astype(amount.numpy) if amount is u8 else distance.astype(np.int64) * 2**33 - (distance == 31)
    dtype = next(d for d in REAL if d.numpy == x.dtype)
    for name in ("shift_left", "shift_right"):
        assert replay(name, dtype, [x, distance]).tolist() == evaluate(name, dtype, x, distance).tolist()


@pytest.mark.parametrize("name", TEXTS)
def test_kernels_stay_valid_and_keep_their_base_ops(name: str) -> None:
    kernel = parse_kernel(TEXTS[name])
    expanded = expand(kernel)
    verify_kernel(expanded, is_scheduled=True)
    assert all(SCALARS[op].is_base for op in counts(expanded))
    assert parse_kernel(print_kernel(expanded)).name == kernel.name


def test_a_kernel_of_base_ops_is_returned_as_it_is() -> None:
    kernel = parse_kernel(MATMUL)
    assert expand(kernel) is kernel


def test_the_expanded_kernel_gives_the_same_bits() -> None:
    kernel = kernel_of("%a: f32 = tanh %x\n%b: f32 = sigmoid %a\n%y: f32 = pow %b, %x")
    x = np.linspace(-3, 3, 8, dtype=np.float32)
    results = []
    for each in (kernel, expand(kernel)):
        y = np.zeros(8, np.float32)
        assert run_kernel(each, [x, y], {}) == []
        results.append(y.tobytes())
    assert results[0] == results[1]


def test_sine_and_cosine_share_their_reduction() -> None:
    alone = sum(counts(expand(kernel_of("%y: f32 = sin %x"))).values())
    both = sum(counts(expand(kernel_of("%a: f32 = sin %x\n%b: f32 = cos %x\n%y: f32 = add %a, %b"))).values())
    assert both < alone + 20


def test_an_op_on_the_same_operands_is_computed_once() -> None:
    kernel = expand(kernel_of("%a: f32 = add %x, %x\n%b: f32 = add %x, %x\n%y: f32 = mul %a, %b"))
    assert counts(kernel) == {"add": 1, "mul": 1}


def test_zeros_of_different_sign_are_different_operands() -> None:
    kernel = expand(kernel_of("%a: f32 = copysign %x, 0.0:f32\n%b: f32 = copysign %x, -0.0:f32\n%y: f32 = add %a, %b"))
    assert counts(kernel)["copysign"] == 2


def test_what_one_body_computes_is_not_known_in_the_next() -> None:
    loop = "vector {0} < 8 {{ %a{0}: f32 = load x[0]\n %b{0}: f32 = neg %a{0}\n %c{0}: f32 = neg %s\n"
    loop += "%d{0}: f32 = add %b{0}, %c{0}\n store y[{0}] = %d{0} }}\n"
    text = "kernel k { read x: f32[8] write y: f32[8] %s: f32 = load x[1]\n"
    kernel = expand(parse_kernel(text + loop.format("i") + loop.format("j") + "}"))
    verify_kernel(kernel)
    assert counts(kernel)["neg"] == 4
    kernel = expand(parse_kernel(text + "%t: f32 = neg %s\n" + loop.format("i") + loop.format("j") + "}"))
    verify_kernel(kernel)
    assert counts(kernel)["neg"] == 3


def test_literals_are_folded() -> None:
    kernel = expand(kernel_of("%a: f32 = exp 1.0:f32\n%y: f32 = mul %a, %x"))
    (only,) = applications(kernel)
    assert only.operands[0] == Literal(float(np.float32(np.e)), f32)


def test_ops_named_native_are_kept() -> None:
    kernel = kernel_of("%y: f32 = exp %x")
    assert counts(expand(kernel, native=frozenset({"ldexp"})))["ldexp"] == 1
    assert expand(kernel, native=frozenset({"exp"})) is kernel


def test_the_result_keeps_its_value() -> None:
    kernel = kernel_of("%y: f32 = sigmoid %x")
    (before,) = applications(kernel)
    *_, after = applications(expand(kernel))
    assert after.out is before.out


def test_predicates_elements_and_stores_follow_what_was_replaced() -> None:
    text = (
        "kernel k { read x: f32[8] write y: f32[8] write z: f32[1] parallel i < 8 { %0: f32 = load x[i]\n"
        "%1: bool = is_nan %0\n %2: bool = is_nan %0\n %3: bool = logical_not %2\n if %2 { store y[i] = 1.0:f32 }\n"
        "check %3 else 3\n store y[i] = %0 where %3\n }\n"
        "%4: f32 = reduce sum k < 8 { %5: f32 = load x[k]\n %6: f32 = exp %5\n %7: f32 = exp %5\n yield %7 }\n"
        "store z[0] = %4 }"
    )
    kernel = expand(parse_kernel(text))
    verify_kernel(kernel)
    assert counts(kernel)["ne"] == 1
    x = np.array([1, np.nan, 0, 0, 0, 0, 0, 0], np.float32)
    y, z = np.zeros(8, np.float32), np.zeros(1, np.float32)
    assert run_kernel(kernel, [x, y, z], {}) == [3]
    assert y.tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


def test_sixteen_bit_floats_are_widened_and_rounded_after_each_op() -> None:
    kernel = expand(kernel_of("%a: bf16 = mul %x, %x\n%y: bf16 = add %a, %x", "bf16", "bf16"))
    # x is widened once; the product is rounded before the sum takes it.
    assert [(each.op, each.out.dtype) for each in applications(kernel)] == [
        ("cast", f32),
        ("mul", f32),
        ("cast", bf16),
        ("cast", f32),
        ("add", f32),
        ("cast", bf16),
    ]


def test_long_bodies_need_no_recursion() -> None:
    x, y = Buffer("x", f32, 1), Buffer("y", f32, 1)
    value = Value("v", f32)
    body: list[Statement] = [Load(value, x, 0)]
    for number in range(3000):
        following = Value(f"v{number}", f32)
        body.append(Apply(following, "reciprocal", (value,)))
        value = following
    body.append(Store(y, 0, value))
    expanded = expand(Kernel("long", (x, y), (), tuple(body), frozenset({y})))
    assert counts(expanded) == {"div": 3000}
