"""What functions of `graphc.linalg` refuse, in PyTorch's words, and what they report of matrices that fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc import linalg as la
from graphc.ir.errors import LinAlgError

NOT_POSITIVE = (
    "The factorization could not be completed because the input is not positive-definite "
    "(the leading minor of order {} is not positive-definite)."
)
SINGULAR = "The diagonal element {} is zero, the inversion could not be completed because the input matrix is singular."

FROM_RUNS: tuple[tuple[Callable[[], Any], str], ...] = (
    (lambda: la.cholesky(-g.eye(3)), f"linalg.cholesky: {NOT_POSITIVE.format(1)}"),
    (lambda: la.cholesky(g.tensor([[1.0, 2.0], [2.0, 1.0]])), f"linalg.cholesky: {NOT_POSITIVE.format(2)}"),
    (
        lambda: la.cholesky(g.stack([g.eye(2), -g.eye(2)])),
        f"linalg.cholesky: (Batch element 1): {NOT_POSITIVE.format(1)}",
    ),
    (lambda: la.inv(g.zeros(3, 3)), f"linalg.inv: {SINGULAR.format(1)}"),
    (lambda: g.inverse(g.ones(2, 2)), f"linalg.inv: {SINGULAR.format(2)}"),
    (lambda: la.inv(g.zeros(2, 3, 3)), f"linalg.inv: (Batch element 0): {SINGULAR.format(1)}"),
    (
        lambda: la.solve(g.zeros(2, 2), g.ones(2)),
        "torch.linalg.solve: The solver failed because the input matrix is singular.",
    ),
    (
        lambda: la.lu_factor(g.ones(2, 3)),
        "torch.linalg.lu_factor: U[2,2] is zero and using it on lu_solve would result in a division by zero. If you "
        "still want to perform the factorization, consider calling linalg.lu(A, pivot) or "
        "linalg.lu_factor_ex(A, pivot)",
    ),
    (
        lambda: la.svd(g.full((2, 2), float("nan"))),
        "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values.",
    ),
)


@pytest.mark.parametrize(("call", "message"), FROM_RUNS, ids=range(len(FROM_RUNS)))
def test_matrices_that_fail(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(LinAlgError) as caught:
        call()
    assert str(caught.value) == message
    assert isinstance(caught.value, RuntimeError)


AT_ONCE: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = (
    (
        lambda: la.inv(g.ones(3, 4)),
        RuntimeError,
        "linalg.inv: A must be batches of square matrices, but they are 3 by 4 matrices",
    ),
    (lambda: la.det(g.ones(3)), RuntimeError, "linalg.det: The input tensor A must have at least 2 dimensions."),
    (
        lambda: la.qr(g.ones(2, 2, dtype=g.int64)),
        RuntimeError,
        "linalg.qr: Expected a floating point or complex tensor as input. Got Long",
    ),
    (
        lambda: la.cholesky(g.ones(2, 2, dtype=g.float16)),
        NotImplementedError,
        "\"cholesky_cpu\" not implemented for 'Half'",
    ),
    (
        lambda: la.inv(g.ones(2, 2, dtype=g.bfloat16)),
        RuntimeError,
        "linalg.inv: Low precision dtypes not supported. Got BFloat16",
    ),
    (
        lambda: la.solve(g.eye(3), g.ones(4, 2)),
        RuntimeError,
        "linalg.solve: Incompatible shapes of A and B for the equation AX = B (3x3 and 4x2)",
    ),
    (
        lambda: la.solve(g.eye(3), g.ones(3, dtype=g.float64)),
        RuntimeError,
        "linalg.solve: Expected A and B to have the same dtype, but found A of type Float and B of type Double instead",
    ),
    (
        lambda: la.qr(g.ones(3, 2), "x"),
        RuntimeError,
        "qr received unrecognized mode 'x' but expected one of 'reduced' (default), 'r', or 'complete'",
    ),
    (lambda: la.eigh(g.eye(2), UPLO="x"), RuntimeError, "Expected UPLO argument to be 'L' or 'U', but got x"),
    (
        lambda: la.eig(g.full((2, 2), float("inf"))),
        RuntimeError,
        "torch.linalg.eig: input tensor should not contain infs or NaNs.",
    ),
    (
        lambda: la.lstsq(g.ones(4, 2), g.ones(4, 3), driver="zz"),
        RuntimeError,
        "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)",
    ),
    (
        lambda: la.lstsq(g.ones(4, 2), g.ones(3, 1)),
        RuntimeError,
        "torch.linalg.lstsq: input.size(-2) should match other.size(-2)",
    ),
    (lambda: la.multi_dot([g.ones(2)]), RuntimeError, "multi_dot(): expected at least 2 tensors but got 1"),
    (
        lambda: la.multi_dot([g.ones(2, 3), g.ones(2, 3)]),
        RuntimeError,
        "multi_dot(): tensors 0 and 1 with shapes [2, 3] and [2, 3] cannot be multiplied",
    ),
    (lambda: la.matrix_norm(g.ones(3, 3), "x"), RuntimeError, "linalg.matrix_norm: Order x not supported."),
    (lambda: la.matrix_norm(g.ones(3, 3), 3), RuntimeError, "linalg.matrix_norm: Order 3 not supported."),
    (
        lambda: la.matrix_norm(g.ones(3, 3, 3), dim=(0, 0)),
        RuntimeError,
        "linalg.matrix_norm: dims must be different. Got (0, 0)",
    ),
    (
        lambda: la.norm(g.ones(2, 2, 2), 2),
        RuntimeError,
        "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got 3D.",
    ),
    (
        lambda: la.cond(g.ones(2, 3), "fro"),
        RuntimeError,
        "linalg.cond(ord=fro): A must be batches of square matrices, but they are 2 by 3 matrices",
    ),
    (lambda: la.vander(g.tensor(1.0)), RuntimeError, "N must be greater than 1."),
    (
        lambda: la.tensorinv(g.ones(2, 3)),
        RuntimeError,
        "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got 1 != 6",
    ),
    (
        lambda: la.solve_triangular(g.ones(2, 2), g.ones(3, 3), upper=True),
        RuntimeError,
        "linalg.solve_triangular: Incompatible shapes of A and B for the equation AX = B (2x2 and 3x3)",
    ),
    (
        lambda: la.lu(g.ones(2, 2), pivot=False),
        RuntimeError,
        "linalg.lu_factor: LU without pivoting is not implemented on the CPU",
    ),
    (
        lambda: la.matrix_power(g.eye(2), 1.5),
        TypeError,
        "linalg_matrix_power(): argument 'n' (position 2) must be int, not float",
    ),
)


@pytest.mark.parametrize(("call", "kind", "message"), AT_ONCE, ids=range(len(AT_ONCE)))
def test_arguments_that_do_not_fit(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).splitlines()[0] == message


def test_gradients_that_do_not_exist() -> None:
    for mode, message in (("r", "depends on Q"), ("complete", "not differentiable when mode='complete'")):
        x = g.ones(3, 2, requires_grad=True)
        with pytest.raises(RuntimeError, match=message):
            la.qr(x, mode).R.sum().backward()


def test_failures_are_counted_where_they_are_not_raised() -> None:
    singular = g.tensor([[[1.0, 2.0], [2.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]]])
    assert la.inv_ex(singular).info.tolist() == [2, 0]
    assert la.solve_ex(singular, g.ones(2, 2, 1)).info.tolist() == [2, 0]
    assert la.lu_factor_ex(singular).info.tolist() == [2, 0]
    assert la.cholesky_ex(g.stack([g.eye(2), -g.eye(2)])).info.tolist() == [0, 1]
    assert la.cholesky_ex(g.eye(2)).info.dtype is g.int32
    for ex in (la.inv_ex, la.cholesky_ex, la.lu_factor_ex):
        with pytest.raises(LinAlgError, match=ex.__name__.removesuffix("_ex")):
            ex(-g.zeros(2, 2), check_errors=True)


def test_singular_matrices_that_are_no_error() -> None:
    zero = g.zeros(2, 2, requires_grad=True)
    la.det(zero).backward()
    assert zero.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    sign, logarithm = la.slogdet(g.zeros(2, 2))
    assert (sign.item(), logarithm.item()) == (0.0, -np.inf)
    assert np.isnan(g.logdet(-g.eye(3)).item())
    assert la.cond(g.zeros(2, 2), "fro").item() == np.inf
    solved = la.solve_triangular(g.zeros(2, 2), g.ones(2, 1), upper=True)
    assert solved[1].item() == np.inf
    assert np.isnan(solved[0].item())


def test_results_are_named_and_printed_as_in_torch() -> None:
    q, r = la.qr(g.eye(1))
    assert la.qr(g.eye(1))._fields == ("Q", "R")
    assert q.shape == r.shape == (1, 1)
    assert str(la.slogdet(g.eye(2))) == "torch.return_types.linalg_slogdet(\nsign=tensor(1.),\nlogabsdet=tensor(0.))"
    assert str(g.slogdet(g.eye(2))).startswith("torch.return_types.slogdet(")
    assert la.lstsq(g.ones(3, 2), g.ones(3, 1))._fields == ("solution", "residuals", "rank", "singular_values")


@pytest.mark.parametrize("shape", [(3, 3), (1, 1), (4, 4)], ids=str)
def test_one_program_serves_matrices_of_any_size(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(3).normal(size=shape) + 3 * np.eye(*shape)
    det, inverse, rebuilt, order = PROGRAM(x)
    np.testing.assert_allclose(det, np.linalg.det(x), rtol=1e-10)
    np.testing.assert_allclose(inverse, np.linalg.inv(x), rtol=1e-8)
    np.testing.assert_allclose(rebuilt, x, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(order, np.linalg.det(x) * np.linalg.inv(x).T, rtol=1e-8)


def _several(x: Any) -> Any:
    p, l, u = la.lu(x)
    return la.det(x), la.inv(x), p @ l @ u, g.grad(la.det)(x)


PROGRAM = g.symbolic_trace(_several, "f64[n,n]").compile()


def test_a_shape_of_unequal_symbols_is_refused() -> None:
    with pytest.raises(RuntimeError, match="n is not known to be m"):
        g.symbolic_trace(la.inv, "f64[n,m]")


def test_eager_calls_on_many_shapes_share_a_program() -> None:
    for rows in range(2, 9):
        for columns in (2, 5):
            x = np.random.default_rng(rows).normal(size=(rows, columns))
            p, l, u = la.lu(g.from_numpy(x))
            np.testing.assert_allclose((p @ l @ u).numpy(), x, atol=1e-12)
            np.testing.assert_allclose(la.pinv(g.from_numpy(x)).numpy(), np.linalg.pinv(x), atol=1e-10)
            square = g.from_numpy(x @ x.T + np.eye(rows)).requires_grad_(True)
            la.slogdet(square).logabsdet.backward()
            np.testing.assert_allclose(square.grad.numpy(), np.linalg.inv(square.detach().numpy()), atol=1e-8)
        with pytest.raises(LinAlgError, match="element 1 is zero"):
            la.inv(g.zeros(rows, rows))


def test_least_squares_say_of_one_matrix_what_holds_for_all_right_sides() -> None:
    a, b = g.eye(3).reshape(1, 3, 3), g.ones(2, 3, 4)
    found = la.lstsq(a, b, driver="gelsd")
    assert found.solution.tolist() == b.tolist()
    assert (found.rank.tolist(), found.singular_values.tolist()) == ([3], [[1.0, 1.0, 1.0]])
    with pytest.raises(RuntimeError, match=r"input.dim\(\) must be greater or equal to other.dim\(\)"):
        la.lstsq(a[0], b)
