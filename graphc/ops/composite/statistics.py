"""How variables vary together, under PyTorch's names: cov and corrcoef."""

from __future__ import annotations

from graphc.ir.dtype import Kind, bool_, i64, real_of
from graphc.ir.errors import DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import clamp, div, mul, sub
from graphc.ops.composite.contraction import agree, matmul
from graphc.ops.composite.diagonals import diag
from graphc.ops.composite.operand import Operand, floating, in_dtype
from graphc.ops.function import function


@function(method=True)
def cov(input: Node, *, correction: int = 1, fweights: Node | None = None, aweights: Node | None = None) -> Node:
    """The covariances of variables, which are rows, between observations, which are columns.

    `fweights` say how often an observation counts, `aweights` how much. The sums are divided by the weights' total
    less `correction`.
    """
    _check_observations("cov", input)
    x = floating(input if len(input.shape) == 2 else build.reshape_to(input, (1, input.tensor.size)))
    real = real_of(x.tensor.dtype)
    weights = _weights(x, fweights, aweights)
    if weights is None:
        count = build.size_of(x.shape[1], real)
        weighted, divisor = x, sub(count, correction)
    else:
        count = reduction.sum_(weights, axes=(0,))
        weighted = mul(x, weights)
        less: Operand = correction
        if aweights is not None and correction != 0:
            less = mul(div(reduction.sum_(mul(weights, aweights), axes=(0,)), count), correction)
        divisor = sub(count, less)
    center = div(reduction.sum_(weighted, axes=(1,)), count)
    centered = sub(x, build.insert_axes(center, (1,)))
    other = centered if weights is None else mul(centered, weights)
    product = matmul(centered, build.conj_of(build.permute_to(other, (1, 0))))
    result = div(product, clamp(in_dtype("cov", divisor, real), min=0))
    return build.reshape_to(result, tuple(size for size in result.shape if size != 1))


def _check_observations(name: str, x: Node) -> None:
    if len(x.shape) > 2:
        raise ShapeError(
            f"{name}(): expected input to have two or fewer dimensions but got an input with {len(x.shape)} dimensions",
            hint="rows are variables, columns observations",
        )
    if x.tensor.dtype is bool_:
        raise DTypeError(f"{name}(): bool dtype is not supported for input", hint="convert it first")


def _weights(x: Node, fweights: Node | None, aweights: Node | None) -> Node | None:
    result: Node | None = None
    wanted = (("fweights", fweights, Kind.INT, "integral"), ("aweights", aweights, Kind.FLOAT, "floating point"))
    for name, given, kind, kind_name in wanted:
        if given is None:
            continue
        if len(given.shape) > 1:
            raise ShapeError(
                f"cov(): expected {name} to have one or fewer dimensions but got {name} with {len(given.shape)} "
                "dimensions",
                hint="give one weight for each observation",
            )
        if given.tensor.dtype.kind is not kind:
            raise DTypeError(
                f"cov(): expected {name} to have {kind_name} dtype but got {name} with "
                f"{given.tensor.dtype.scalar} dtype",
                hint="convert them",
            )
        size = given.tensor.size
        message = (
            f"cov(): expected {name} to have the same numel as there are observations in the input but got "
            f"{size} != {x.shape[1]}"
        )
        agree("cov", size, x.shape[1], message)
        flat = build.reshape_to(given, (x.shape[1],))
        result = flat if result is None else mul(result, flat)
    if result is None:
        return None
    return result if result.tensor.dtype.kind is Kind.FLOAT else build.cast_to(result, i64)


@function(method=True)
def corrcoef(input: Node) -> Node:
    """The correlations of variables, which are rows: covariances over the standard deviations of both."""
    _check_observations("corrcoef", input)
    between = cov(input)
    if not between.shape:
        return div(between, between)
    variance = diag(between)
    deviation = ew.sqrt(ew.real(variance) if variance.tensor.dtype.is_complex else variance)
    result = div(div(between, build.insert_axes(deviation, (1,))), deviation)
    if not result.tensor.dtype.is_complex:
        return clamp(result, -1, 1)
    return ew.complex_(clamp(ew.real(result), -1, 1), clamp(ew.imag(result), -1, 1))
