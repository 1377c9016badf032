"""The precision of float32 products: one state behind all switches, which code for GPUs reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import graphc
from graphc import backends
from graphc.frontend.place import find_place
from graphc.ir.precision import precision_kept, set_precision, tf32_is_asked_for


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """Nothing is set at first, and what a test sets is undone."""
    with precision_kept():
        graphc.set_float32_matmul_precision("highest")
        for group in GROUPS:
            set_precision(group, "none")
        yield


GROUPS = ("generic", *(f"{b}{k}" for b in ("cuda", "mkldnn") for k in ("", ".matmul", ".conv", ".rnn")))


def set_(what: object, name: str, value: object) -> Callable[[], None]:
    return lambda: setattr(what, name, value)


def state() -> tuple[object, ...]:
    matmul = backends.cuda.matmul
    return matmul.allow_tf32, graphc.get_float32_matmul_precision(), matmul.fp32_precision, backends.cudnn.allow_tf32


matmul = backends.cuda.matmul
SETTINGS = (
    (lambda: None, (False, "highest", "none", True)),
    (set_(matmul, "allow_tf32", True), (True, "high", "tf32", True)),
    (set_(matmul, "allow_tf32", False), (False, "highest", "ieee", True)),
    (lambda: graphc.set_float32_matmul_precision("high"), (True, "high", "tf32", True)),
    (lambda: graphc.set_float32_matmul_precision("medium"), (True, "medium", "tf32", True)),
    (lambda: graphc.set_float32_matmul_precision("highest"), (False, "highest", "ieee", True)),
    (set_(matmul, "fp32_precision", "tf32"), (True, "high", "tf32", True)),
    (set_(backends, "fp32_precision", "tf32"), (True, "high", "tf32", True)),
    (set_(backends.cudnn, "fp32_precision", "ieee"), (False, "highest", "ieee", False)),
    (set_(backends.cudnn, "allow_tf32", False), (False, "highest", "none", False)),
    (set_(backends.cudnn.conv, "fp32_precision", "ieee"), (False, "highest", "none", False)),
)


@pytest.mark.parametrize(("change", "expected"), SETTINGS)
def test_every_switch_shows_the_same_state(change: Callable[[], None], expected: tuple[object, ...]) -> None:
    change()
    assert state() == expected
    place = find_place("cuda:sm_90")
    assert place is not None
    assert place.target.allow_tf32 is expected[0]


def test_a_setting_of_its_own_goes_before_that_of_a_larger_group() -> None:
    backends.fp32_precision = "ieee"
    matmul.fp32_precision = "tf32"
    assert (matmul.allow_tf32, backends.cudnn.fp32_precision, backends.mkldnn.matmul.fp32_precision) == (
        True,
        "ieee",
        "ieee",
    )
    matmul.fp32_precision = "none"
    assert not matmul.allow_tf32
    graphc.set_float32_matmul_precision("medium")
    assert backends.mkldnn.matmul.fp32_precision == "bf16"


def test_convolutions_use_tf32_only_where_a_program_sets_it() -> None:
    assert backends.cudnn.allow_tf32
    assert not tf32_is_asked_for("cuda.conv")
    with backends.cudnn.flags(enabled=True):
        assert not tf32_is_asked_for("cuda.conv")
    backends.cudnn.allow_tf32 = True
    assert tf32_is_asked_for("cuda.conv")
    with backends.cudnn.flags(allow_tf32=False), backends.mkldnn.flags(fp32_precision="bf16"):
        assert not backends.cudnn.allow_tf32
        assert backends.mkldnn.fp32_precision == "bf16"
    assert tf32_is_asked_for("cuda.conv")
    assert backends.mkldnn.fp32_precision == "none"


def test_other_switches_of_products_keep_what_they_are_set_to() -> None:
    try:
        matmul.allow_bf16_reduced_precision_reduction = False
        matmul.allow_fp16_accumulation = True
        assert not matmul.allow_bf16_reduced_precision_reduction
        assert matmul.allow_fp16_accumulation
    finally:
        matmul.allow_bf16_reduced_precision_reduction = True
        matmul.allow_fp16_accumulation = False


MISUSE = (
    (set_(matmul, "allow_tf32", 3), RuntimeError, "set_allow_tf32_cublas expects a bool, but got int"),
    (set_(backends.cudnn, "allow_tf32", 3), RuntimeError, "set_allow_tf32_cublas expects a bool, but got int"),
    (set_(matmul, "allow_fp16_accumulation", 3), RuntimeError, "set_allow_fp16_accumulation_cublas expects a bool"),
    (set_(matmul, "allow_fp16_reduced_precision_reduction", 3), TypeError, "expects a bool or a tuple/list of bools"),
    (set_(matmul, "foo", 3), AttributeError, "Unknown attribute foo"),
    (lambda: matmul.foo, AttributeError, "Unknown attribute foo"),
    (set_(matmul, "fp32_precision", "bf16"), RuntimeError, "backend 'cuda' does not support precision 'bf16'"),
    (set_(backends, "fp32_precision", "x"), RuntimeError, "Unknown precision: x"),
    (lambda: graphc.set_float32_matmul_precision(3), RuntimeError, "expects a str, but got int"),  # type: ignore[arg-type]
)


@pytest.mark.parametrize(("change", "kind", "text"), MISUSE)
def test_misuse_is_told_in_pytorchs_words(change: Callable[[], object], kind: type[Exception], text: str) -> None:
    before = state()
    with pytest.raises(kind, match=text):
        change()
    assert state() == before


def test_recorded_calls_depend_on_it() -> None:
    @graphc.compile
    def double(x: graphc.Tensor) -> graphc.Tensor:
        return x * 2

    x = graphc.ones(2)
    double(x)
    matmul.allow_tf32 = True
    double(x)
    matmul.allow_tf32 = False
    double(x)
    assert [each.reason for each in double.compilations] == [
        "first call",
        "the precision of products was highest and is high",
    ]
