"""Regions of fewer bits: which functions compute in what, gradients, nesting, kept conversions, recorded calls."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from graphc import Tensor, bfloat16, float16, float32, float64, nn
from graphc.frontend.autocast_rules import Rule, is_listed, rule_of
from graphc.ir.settings import override
from graphc.ops.function import functions
from graphc.utils.checkpoint import checkpoint


def full(*shape: int) -> Tensor:
    return graphc.rand(*shape) + 0.5


def square() -> Tensor:
    return graphc.eye(3) + 0.25


Operands = tuple[Tensor, ...]

LOWER: dict[str, tuple[Callable[..., Any], Operands]] = {
    "@": (lambda a, b: a @ b, (full(2, 3), full(3, 4))),
    "matmul": (graphc.matmul, (full(3), full(3))),
    "method matmul": (lambda a, b: a.matmul(b), (full(2, 3), full(3))),
    "mm": (graphc.mm, (full(2, 3), full(3, 4))),
    "bmm": (graphc.bmm, (full(2, 2, 3), full(2, 3, 4))),
    "addmm": (graphc.addmm, (full(2, 4), full(2, 3), full(3, 4))),
    "baddbmm": (graphc.baddbmm, (full(2, 2, 4), full(2, 2, 3), full(2, 3, 4))),
    "addbmm": (graphc.addbmm, (full(2, 4), full(2, 2, 3), full(2, 3, 4))),
    "linear": (F.linear, (full(2, 3), full(4, 3), full(4))),
    "einsum": (lambda a, b: graphc.einsum("ij,jk->ik", a, b), (full(2, 3), full(3, 4))),
    "inner": (graphc.inner, (full(2, 3), full(4, 3))),
    "tensordot": (lambda a, b: graphc.tensordot(a, b, 1), (full(2, 3), full(3, 4))),
    "chain_matmul": (lambda a, b: graphc.linalg.multi_dot([a, b, a]), (full(2, 3), full(3, 2))),
    "vecdot": (graphc.linalg.vecdot, (full(2, 3), full(2, 3))),
    "cov": (graphc.cov, (full(2, 3),)),
    "matrix_power": (lambda a: graphc.linalg.matrix_power(a, 3), (square(),)),
    "conv1d": (F.conv1d, (full(1, 2, 5), full(3, 2, 2))),
    "conv2d": (F.conv2d, (full(1, 2, 5, 5), full(3, 2, 2, 2), full(3))),
    "conv3d": (F.conv3d, (full(1, 1, 3, 3, 3), full(1, 1, 2, 2, 2))),
    "conv_transpose2d": (F.conv_transpose2d, (full(1, 2, 3, 3), full(2, 3, 2, 2))),
    "prelu": (F.prelu, (full(2, 3), full(3))),
    "attention": (F.scaled_dot_product_attention, (full(1, 2, 4), full(1, 3, 4), full(1, 3, 4))),
    "rnn_tanh_cell": (graphc.rnn_tanh_cell, (full(2, 3), full(2, 4), full(4, 3), full(4, 4))),
}
"""Calls that give the region's dtype, of operands in float32 or in either half dtype."""

FULL: dict[str, tuple[Callable[..., Any], Operands]] = {
    "mse_loss": (F.mse_loss, (full(2, 3), full(2, 3))),
    "l1_loss": (F.l1_loss, (full(2, 3), full(2, 3))),
    "smooth_l1_loss": (F.smooth_l1_loss, (full(2, 3), full(2, 3))),
    "huber_loss": (F.huber_loss, (full(2, 3), full(2, 3))),
    "kl_div": (lambda a, b: F.kl_div(a, b, reduction="sum"), (full(2, 3), full(2, 3))),
    "cross_entropy": (lambda a: F.cross_entropy(a, graphc.tensor([0, 2])), (full(2, 3),)),
    "nll_loss": (lambda a: F.nll_loss(a, graphc.tensor([0, 2])), (full(2, 3),)),
    "bce_with_logits": (F.binary_cross_entropy_with_logits, (full(2, 3), full(2, 3))),
    "bce": (lambda a, b: F.binary_cross_entropy(a / 2, b / 2), (full(2, 3), full(2, 3))),
    "triplet": (F.triplet_margin_loss, (full(2, 3), full(2, 3), full(2, 3))),
    "prod": (graphc.prod, (full(2, 3),)),
    "trace": (graphc.trace, (square(),)),
    "quantile": (lambda a: graphc.quantile(a, 0.5), (full(4),)),
    "cdist": (graphc.cdist, (full(2, 3), full(4, 3))),
    "avg_pool3d": (lambda a: F.avg_pool3d(a, 2), (full(1, 1, 2, 2, 2),)),
    "max_pool3d": (lambda a: F.max_pool3d(a, 2), (full(1, 1, 2, 2, 2),)),
    "reflection_pad": (lambda a: F.pad(a, (1, 1), mode="reflect"), (full(1, 2, 3),)),
    "grid_sample": (lambda a, b: F.grid_sample(a, b, align_corners=False), (full(1, 1, 3, 3), full(1, 2, 2, 2))),
    "inverse": (graphc.linalg.inv, (square(),)),
    "cholesky": (graphc.linalg.cholesky, (square(),)),
    "svdvals": (graphc.linalg.svdvals, (square(),)),
}
"""Calls that give float32 inside a region of the CPU, also of operands in a half dtype."""

SAME: dict[str, tuple[Callable[..., Any], Operands]] = {
    "+": (lambda a, b: a + b, (full(2, 3), full(2, 3))),
    "exp": (graphc.exp, (full(2, 3),)),
    "softmax": (lambda a: graphc.softmax(a, 1), (full(2, 3),)),
    "sum": (graphc.sum, (full(2, 3),)),
    "relu": (graphc.relu, (full(2, 3),)),
    "layer_norm": (lambda a: F.layer_norm(a, (3,)), (full(2, 3),)),
    "dot": (graphc.dot, (full(3), full(3))),
    "mv": (graphc.mv, (full(2, 3), full(3))),
    "inner of vectors": (graphc.inner, (full(3), full(3))),
    "constant pad": (lambda a: F.pad(a, (1, 1)), (full(1, 2, 3),)),
    "max_pool2d": (lambda a: F.max_pool2d(a, 2), (full(1, 1, 2, 2),)),
    "cat": (lambda a, b: graphc.cat([a, b]), (full(2, 3), full(2, 3))),
    "weighted mse_loss": (lambda a, b, w: F.mse_loss(a, b, weight=w), (full(2, 3), full(2, 3), full(2, 3))),
}
"""Calls that a region of the CPU doesn't change."""


@pytest.mark.parametrize("name", LOWER)
def test_products_of_matrices_compute_in_the_dtype_of_the_region(name: str) -> None:
    compute, operands = LOWER[name]
    with graphc.autocast("cpu", float16 if name in ("@", "linear", "cov") else bfloat16):
        dtype = graphc.get_autocast_dtype("cpu")
        assert compute(*operands).dtype is dtype
        assert compute(operands[0].to(float16), *operands[1:]).dtype is dtype


@pytest.mark.parametrize("name", FULL)
def test_what_loses_too_much_in_fewer_bits_computes_in_float32(name: str) -> None:
    compute, operands = FULL[name]
    with graphc.autocast("cpu"):
        narrow = compute(*[each.to(float16) for each in operands])
        assert narrow.dtype is float32
    wide = compute(*[each.to(float16).to(float32) for each in operands])
    assert narrow.tolist() == wide.tolist()


@pytest.mark.parametrize("name", SAME)
def test_other_functions_compute_in_the_dtypes_of_their_operands(name: str) -> None:
    compute, operands = SAME[name]
    with graphc.autocast("cpu"):
        assert compute(*[each.to(bfloat16) for each in operands]).dtype is bfloat16
        if name == "softmax":
            assert compute(*operands).dtype is float32


def test_numbers_of_other_kinds_stay_as_they_are() -> None:
    a, whole = full(2, 2).double(), graphc.ones(2, 2, dtype=graphc.int64)
    with graphc.autocast("cpu"):
        assert (a @ a).dtype is float64
        assert (whole @ whole).dtype is graphc.int64
        assert F.mse_loss(a, a).dtype is float64


def test_operands_of_several_dtypes_become_the_widest() -> None:
    low, wide = full(2).to(bfloat16), full(2)
    with graphc.autocast("cpu"):
        assert graphc.cat([low, wide]).dtype is float32
        assert graphc.stack([low, low]).dtype is bfloat16
        index = graphc.tensor([0])
        assert graphc.index_copy(wide, 0, index, low[:1]).dtype is float32
        with pytest.raises(RuntimeError, match="Unexpected floating ScalarType in at::autocast::prioritize"):
            graphc.cat([low.half(), low.half()])


CUDA = (
    (Rule.LOWER, "matmul linear conv2d einsum mv addmv gru_cell lstm_cell nn.functional.scaled_dot_product_attention"),
    (
        Rule.FULL,
        "exp log pow __pow__ __rpow__ arccos special.expm1 softmax nn.functional.softmax log_softmax layer_norm "
        "group_norm cumsum sum prod logsumexp norm linalg.vector_norm cross_entropy mse_loss cosine_similarity "
        "nn.functional.smooth_l1_loss interpolate binary_cross_entropy_with_logits dist reciprocal rsqrt",
    ),
    (Rule.WIDEST, "addcdiv addcmul atan2 arctan2 bilinear cross dot vdot index_put scatter_add tensordot"),
    (Rule.REFUSED, "binary_cross_entropy nn.functional.binary_cross_entropy"),
    (None, "add mul relu sigmoid gelu sqrt sin mean var batch_norm embedding cat stack abs tanh"),
)
"""What PyTorch lists for GPUs, by names of entries."""


@pytest.mark.parametrize(("rule", "names"), CUDA, ids=lambda each: getattr(each, "value", None))
def test_gpus_have_lists_of_their_own(rule: Rule | None, names: str) -> None:
    assert {name: rule_of(functions()[name], "cuda", (full(2), full(2))) for name in names.split()} == dict.fromkeys(
        names.split(), rule
    )


def test_a_sum_with_a_dtype_of_its_own_keeps_it() -> None:
    entry, x = functions()["sum"], full(2)
    assert rule_of(entry, "cuda", (x,), {"dtype": float16}) is None
    assert rule_of(entry, "cuda", (x,), {"dtype": None}) is Rule.FULL
    assert rule_of(functions()["interpolate"], "cuda", (x,), {"mode": "area"}) is None
    assert rule_of(entry, "mps", (x,)) is None
    assert is_listed("sum")
    assert not is_listed("add")


def test_gradients_have_the_dtypes_of_the_parameters() -> None:
    x, w, b = (full(*shape).requires_grad_() for shape in ((4, 3), (2, 3), (2,)))
    with graphc.autocast("cpu"):
        y = F.linear(x, w, b)
        loss = F.mse_loss(y, graphc.zeros(4, 2))
    assert (y.dtype, loss.dtype) == (bfloat16, float32)
    loss.backward()
    assert x.grad.dtype is w.grad.dtype is b.grad.dtype is float32
    with graphc.no_grad():
        low = [each.to(bfloat16) for each in (x, w, b)]
    low = [each.requires_grad_() for each in low]
    F.mse_loss(F.linear(*low).float(), graphc.zeros(4, 2)).backward()
    assert w.grad.tolist() == low[1].grad.float().tolist()


def test_writing_forms_are_as_outside() -> None:
    a, out = full(2, 2), graphc.empty(2, 2)
    expected = a @ a
    with graphc.autocast("cpu"):
        graphc.mm(a, a, out=out)
        assert out.tolist() == expected.tolist()
        assert a.clone().addmm_(a, a).tolist() == graphc.add(a, expected).tolist()


def test_regions_nest() -> None:
    a = full(2, 2)
    assert not graphc.is_autocast_enabled("cpu")
    with graphc.autocast("cpu"):
        assert (graphc.is_autocast_enabled("cpu"), graphc.get_autocast_dtype("cpu")) == (True, bfloat16)
        with graphc.autocast("cpu", enabled=False):
            assert (a @ a).dtype is float32
            with graphc.autocast("cpu", float16):
                assert (a @ a).dtype is float16
            assert (a @ a).dtype is float32
        assert (a @ a).dtype is bfloat16
        with pytest.raises(ZeroDivisionError), graphc.autocast("cpu", float16):
            raise ZeroDivisionError
        assert (a @ a).dtype is bfloat16
    assert (a @ a).dtype is float32
    assert graphc.get_autocast_dtype("cpu") is bfloat16


def test_a_region_belongs_to_its_thread() -> None:
    a, seen = full(2, 2), []

    def work() -> None:
        seen.append((a @ a).dtype)
        with graphc.autocast("cpu", float16):
            seen.append((a @ a).dtype)

    with graphc.autocast("cpu"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert (a @ a).dtype is bfloat16
    assert seen == [float32, float16]


def test_a_decorated_function_is_a_region() -> None:
    @graphc.autocast("cpu")
    def product(a: Tensor) -> Tensor:
        """A product."""
        return a @ a

    assert product(full(2, 2)).dtype is bfloat16
    assert product.__doc__ == "A product."
    assert (full(2, 2) @ full(2, 2)).dtype is float32
    with pytest.raises(TypeError, match=r"autocast\(\)\(func\) requires a callable, but got int\. Did you mean"):
        graphc.autocast("cpu")(3)  # type: ignore[type-var]


def casts(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The tensors that are converted from now on."""
    from graphc.eager import autocast

    seen: list[Tensor] = []
    plain = autocast._to
    monkeypatch.setattr(autocast, "_to", lambda tensor, dtype: (seen.append(tensor), plain(tensor, dtype))[1])
    return seen


def test_parameters_are_converted_once_in_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = casts(monkeypatch)
    w, x = full(2, 2).requires_grad_(), full(2, 2)
    with graphc.autocast("cpu"):
        with graphc.autocast("cpu"):
            (x @ w).sum().backward()
        (x @ w).sum().backward()
        assert sum(each is w for each in seen) == 1
        assert sum(each is x for each in seen) == 2
        with graphc.no_grad():
            x @ w  # a conversion without history is another one
            w.add_(1)  # and so is one of other numbers
            assert (x @ w).tolist() == (x.bfloat16() @ w.bfloat16()).tolist()
        graphc.clear_autocast_cache()
        x @ w
    assert sum(each is w for each in seen) == 4
    assert w.grad.tolist() == (2 * (x.bfloat16().T @ graphc.ones(2, 2, dtype=bfloat16)).float()).tolist()
    with graphc.autocast("cpu", cache_enabled=False):
        assert not graphc.is_autocast_cache_enabled()
        x @ w
        x @ w
    assert sum(each is w for each in seen) == 6
    assert graphc.is_autocast_cache_enabled()


def test_nothing_is_kept_after_a_region() -> None:
    w = full(2, 2).requires_grad_()
    gone = weakref.ref(w)
    with graphc.autocast("cpu"):
        w @ w
    del w
    assert gone() is None


def test_layers_compute_as_their_functions() -> None:
    x = full(3, 2, 4)
    with graphc.autocast("cpu"):
        assert [each.dtype for each in nn.LSTM(4, 3)(x)[1]] == [bfloat16, bfloat16]
        assert nn.GRU(4, 3)(x)[0].dtype is float32
        assert nn.LSTMCell(4, 3)(x[0])[0].dtype is float32
        assert nn.MultiheadAttention(4, 2)(x, x, x)[0].dtype is bfloat16


def test_traced_functions_are_traced_in_the_region_around_them() -> None:
    def product(a: Any, b: Any) -> Any:
        return graphc.exp(a @ b)

    plain = graphc.symbolic_trace(product, "f32[2,3]", "f32[3,2]")
    with graphc.autocast("cpu"):
        low = graphc.symbolic_trace(product, "f32[2,3]", "f32[3,2]")
    assert [str(each.outputs[0].type) for each in (plain, low)] == ["f32[2,2]", "bf16[2,2]"]


def test_compiled_functions_of_arrays_are_compiled_for_each_region() -> None:
    @graphc.compile
    def product(a: Any) -> Any:
        return a @ a

    a = np.full((2, 2), 1.001, np.float32)
    expected = [a.dtype, np.dtype("bfloat16"), a.dtype, np.dtype("float16"), np.dtype("bfloat16")]
    found = [product(a).dtype]
    with graphc.autocast("cpu"):
        found.append(product(a).dtype)
        with graphc.autocast("cpu", enabled=False):
            found.append(product(a).dtype)
        with graphc.autocast("cpu", float16):
            found.append(product(a).dtype)
        found.append(product(a).dtype)
    assert found == expected
    assert product(a).dtype == a.dtype
    assert [each.reason for each in product.compilations] == [
        "first call",
        "autocast was off and is cpu in bfloat16",
        "autocast was cpu in bfloat16 and is cpu in float16",
    ]


def test_recorded_calls_are_recorded_for_each_region() -> None:
    w = full(3, 3).requires_grad_()

    @graphc.compile
    def product(x: Tensor) -> Tensor:
        return x @ w

    x = full(2, 3)
    for _ in range(3):
        assert product(x).dtype is float32
        with graphc.autocast("cpu"):
            x @ w  # the conversion that this keeps is not the program's
            assert product(x).dtype is bfloat16
            assert product(x).tolist() == (x @ w).tolist()
        with graphc.autocast("cpu", float16):
            assert product(x).dtype is float16
    assert [each.reason for each in product.compilations] == [
        "first call",
        "autocast was off and is cpu in bfloat16",
        "autocast was cpu in bfloat16 and is cpu in float16",
    ]


def test_recorded_calls_enter_regions_of_their_own() -> None:
    w = full(3, 3).requires_grad_()

    def step(x: Tensor) -> Tensor:
        with graphc.autocast("cpu"):
            y = (x @ w) @ w
        y.float().sum().backward()
        return y

    compiled = graphc.compile(step)
    for _ in range(3):
        x = full(2, 3)
        w.grad = None
        expected = step(x)
        gradient = w.grad.tolist()
        w.grad = None
        found = compiled(x)
        assert (found.dtype, found.tolist(), w.grad.tolist()) == (bfloat16, expected.tolist(), gradient)
    assert len(compiled.compilations) == 1


def test_what_sets_regions_for_good_is_no_part_of_a_program() -> None:
    @graphc.compile(fullgraph=True)
    def step(x: Tensor) -> Tensor:
        graphc.set_autocast_enabled("cpu", False)
        return x + 1

    with pytest.raises(graphc.GraphcError, match=r"calls set_autocast_enabled\(\)"):
        step(full(2))


def digits() -> tuple[Tensor, Tensor]:
    """Ten noisy patterns of 64 numbers each, and which one each row is."""
    random = np.random.default_rng(5)
    patterns = random.standard_normal((10, 64)).astype(np.float32)
    labels = random.integers(0, 10, 200)
    return graphc.from_numpy(patterns[labels] + 0.3 * random.standard_normal((200, 64)).astype(np.float32)), (
        graphc.from_numpy(labels)
    )


@pytest.mark.parametrize(("dtype", "compiled"), [(float16, False), (bfloat16, True)], ids=["eager", "compiled"])
def test_a_network_learns_in_fewer_bits(dtype: Any, compiled: bool) -> None:
    graphc.manual_seed(1)
    x, labels = digits()
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = graphc.optim.Adam(model.parameters(), lr=0.02)
    scaler = graphc.amp.GradScaler("cpu", init_scale=2.0**10)

    def backward() -> Tensor:
        optimizer.zero_grad()
        with graphc.autocast("cpu", dtype):
            loss = F.cross_entropy(model(x), labels)
        scaler.scale(loss).backward()
        return loss.detach()

    run = graphc.compile(backward) if compiled else backward
    losses = []
    for _ in range(25):
        losses.append(run().item())
        scaler.step(optimizer)
        scaler.update()
    assert all(each.dtype is float32 and each.grad.dtype is float32 for each in model.parameters())
    assert losses[0] > 2 > 0.1 > losses[-1]
    assert scaler.get_scale() == 2.0**10


class Product(graphc.autograd.Function):
    """A product whose backward says what it computes in."""

    seen: ClassVar[list[Any]] = []

    @staticmethod
    @graphc.amp.custom_fwd(device_type="cpu")
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    @graphc.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, gradient: Tensor) -> Any:
        a, b = ctx.saved_tensors
        left = gradient @ b.T
        Product.seen.append(left.dtype)
        return left.float(), (a.T @ gradient).float()


class InFull(graphc.autograd.Function):
    """A product that computes in float32 wherever it is."""

    seen: ClassVar[list[Any]] = []

    @staticmethod
    @graphc.amp.custom_fwd(device_type="cpu", cast_inputs=float32)
    def forward(ctx: Any, a: Tensor, options: dict[str, Any]) -> Tensor:
        InFull.seen.append(options["scale"].dtype)
        return a @ a * options["scale"]

    @staticmethod
    @graphc.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, gradient: Tensor) -> Any:
        InFull.seen.append((gradient @ gradient).dtype)
        return gradient, None


def test_gradients_written_in_python_run_in_the_region_of_their_forward() -> None:
    a, b = full(2, 2).requires_grad_(), full(2, 2).requires_grad_()
    with graphc.autocast("cpu"):
        y = Product.apply(a, b)
    assert y.dtype is bfloat16
    y.float().sum().backward()
    Product.apply(a, b).sum().backward()
    assert Product.seen == [bfloat16, float32]
    with graphc.autocast("cpu"):
        z = InFull.apply(a.bfloat16(), {"scale": graphc.ones(1, dtype=float16)})
        assert z.dtype is float32
        z.sum().backward()
    InFull.apply(a, {"scale": graphc.ones(1, dtype=float16)}).sum().backward()
    assert InFull.seen == [float32, float32, float16, float32]
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        graphc.amp.custom_fwd(device_type=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_what_is_computed_again_is_computed_in_the_regions_of_the_first_time(use_reentrant: bool) -> None:
    w, x, seen = full(3, 3).requires_grad_(), full(2, 3).requires_grad_(), []

    def part(x: Tensor) -> Tensor:
        y = (x @ w).exp() @ w
        seen.append(y.dtype)
        return y

    def gradients(run: Callable[[], Tensor]) -> list[Any]:
        w.grad = x.grad = None
        with graphc.autocast("cpu"):
            y = run()
        y.float().sum().backward()
        return [w.grad.tolist(), x.grad.tolist()]

    expected = gradients(lambda: part(x))
    found = gradients(lambda: checkpoint(part, x, use_reentrant=use_reentrant, early_stop=False))
    assert found == expected
    assert seen == [bfloat16] * 3
    assert not graphc.is_autocast_enabled("cpu")


def test_states_can_be_set_and_asked_for() -> None:
    assert (graphc.get_autocast_dtype("cpu"), graphc.get_autocast_dtype("cuda")) == (bfloat16, float16)
    assert graphc.amp.is_autocast_available("cpu")
    assert not graphc.amp.is_autocast_available("meta")
    a = full(2, 2)
    graphc.set_autocast_enabled("cpu", True)
    graphc.set_autocast_dtype("cpu", float16)
    try:
        assert (a @ a).dtype is float16
        assert not graphc.is_autocast_enabled()
    finally:
        graphc.set_autocast_dtype("cpu", bfloat16)
        graphc.set_autocast_enabled("cpu", False)
    graphc.set_autocast_enabled(True)
    assert graphc.is_autocast_enabled("cuda")
    assert (a @ a).dtype is float32  # it is on the CPU
    graphc.set_autocast_enabled(False)
    assert (graphc.autocast_increment_nesting(), graphc.autocast_decrement_nesting()) == (1, 0)
    graphc.set_autocast_cache_enabled(False)
    assert not graphc.is_autocast_cache_enabled()
    graphc.set_autocast_cache_enabled(True)


MISUSE: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: graphc.autocast("gpu"), RuntimeError, "Expected one of cpu, cuda"),
    (lambda: graphc.autocast("meta"), RuntimeError, "User specified an unsupported autocast device_type 'meta'"),
    (lambda: graphc.autocast(3), ValueError, "Expected `device_type` of type `str`, got: `<class 'int'>`"),  # type: ignore[arg-type]
    (lambda: graphc.is_autocast_enabled("gpu"), RuntimeError, "Expected one of cpu, cuda"),
    (lambda: graphc.is_autocast_enabled("meta"), RuntimeError, "unknown device type for autocast"),
    (lambda: graphc.is_autocast_enabled(3), TypeError, r"argument 'device_type' \(position 1\) must be str, not int"),
    (lambda: graphc.get_autocast_dtype("meta"), RuntimeError, "unsupported scalarType"),
    (
        lambda: graphc.set_autocast_enabled("cpu", 1),
        TypeError,
        r"argument 'enabled' \(position 2\) must be bool, not i",
    ),
    (lambda: graphc.set_autocast_dtype("cpu", "x"), TypeError, r"argument 'dtype' \(position 2\) must be torch.dtype"),
    (lambda: graphc.set_autocast_cache_enabled(3), TypeError, r"enabled must be a bool \(got int\)"),
)


@pytest.mark.parametrize(("call", "kind", "text"), MISUSE)
def test_misuse_is_told_in_pytorchs_words(call: Callable[[], object], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_older_names_warn() -> None:
    with pytest.warns(FutureWarning, match=r"`torch\.cpu\.amp\.autocast\(args\.\.\.\)` is deprecated"):
        region = graphc.cpu.amp.autocast()
    with region:
        assert (full(2, 2) @ full(2, 2)).dtype is bfloat16
    with pytest.warns(DeprecationWarning, match=r"torch\.is_autocast_cpu_enabled\(\) is deprecated\. Please use"):
        assert not graphc.is_autocast_cpu_enabled()
    with pytest.warns(DeprecationWarning, match=r"torch\.get_autocast_gpu_dtype\(\) is deprecated"):
        assert graphc.get_autocast_gpu_dtype() is float16
    with pytest.warns(DeprecationWarning, match=r"torch\.set_autocast_cpu_dtype\(dtype\) is deprecated"):
        graphc.set_autocast_cpu_dtype(bfloat16)


def test_tensors_on_a_gpu_compute_by_the_lists_of_gpus() -> None:
    with override(cuda_driver="emulator"):
        graphc.manual_seed(0)
        model = nn.Linear(4, 3).cuda()
        optimizer = graphc.optim.SGD(model.parameters(), lr=0.1)
        scaler = graphc.amp.GradScaler(init_scale=2.0**17)
        x, labels = (full(2, 4) / 10).cuda(), graphc.tensor([0, 2]).cuda()
        losses = []
        for _ in range(2):
            optimizer.zero_grad()
            with graphc.autocast("cuda"):
                y = model(x)
                loss = F.cross_entropy(y, labels)
                assert (full(2, 2) @ full(2, 2)).dtype is float32  # on the CPU, where no region is in force
            assert (y.dtype, loss.dtype) == (float16, float32)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        assert losses[1] < losses[0]
        assert scaler._scale.device == model.weight.grad.device == graphc.device("cuda:0")
        assert model.weight.grad.dtype is float32
        with pytest.raises(AssertionError, match="new_scale should be a float or a 1-element"):
            scaler.update(graphc.ones(1))
        with graphc.autocast("cuda", bfloat16):
            assert graphc.exp(x.half()).dtype is x.half().sum().dtype is float32
            assert (x @ x.T).dtype is bfloat16
            with pytest.raises(RuntimeError, match=r"BCELoss are unsafe to autocast\.\nMany models use a sigmoid"):
                F.binary_cross_entropy(x, x)
        with pytest.warns(FutureWarning, match=r"torch\.cuda\.amp\.autocast"), graphc.cuda.amp.autocast():
            assert (x @ x.T).dtype is float16
        assert not graphc.cuda.amp.amp_definitely_not_available()
