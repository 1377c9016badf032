"""Checking gradients against finite differences: `gradcheck`, and `gradgradcheck` for gradients of gradients.

In: a function of tensors and double-precision inputs. Out: True, or `GradcheckError` that shows both Jacobians of the
first output and input that disagree. Jacobians here have a row for each element of the input. The derivative of a real
value by a complex number z = x + iy is d/dx + i d/dy; complex outputs are checked part by part.

>>> import graphc
>>> x = graphc.tensor([1.0, 2.0], dtype=graphc.float64, requires_grad=True)
>>> gradcheck(lambda x: x.sin() * x, x)
True
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from graphc.eager.backward import grad
from graphc.eager.dispatch import function_of
from graphc.eager.function import undefined_grad
from graphc.eager.history import requires_grad_
from graphc.eager.node import AutogradError
from graphc.eager.placement import full_like, gpu_of, on
from graphc.eager.tensor import AnyArray, Tensor, wrap
from graphc.ir.dtype import c128, f64
from graphc.ir.errors import ArgumentError

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

Tensors: TypeAlias = "tuple[Tensor, ...]"
Values: TypeAlias = "tuple[Any, ...]"

_UNDEFINED = (
    'Please look at "Notes about undefined output gradients" in "tools/autograd/derivatives.yaml"'  # PyTorch's own file
)


class GradcheckError(RuntimeError):
    """A gradient that finite differences contradict."""


@dataclass(frozen=True, slots=True)
class _Check:
    """A function at a point, with what its gradients may be off by."""

    function: Callable[..., Any]
    inputs: Values
    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    checks_dtypes: bool
    is_fast: bool
    part: str = ""
    """Which part of complex outputs is looked at: "real", "imaginary", or empty where all outputs are real."""
    complex_outputs: frozenset[int] = frozenset()

    @property
    def variables(self) -> list[tuple[int, Tensor]]:
        """The inputs that need gradients, with their positions."""
        return [(i, each) for i, each in enumerate(self.inputs) if isinstance(each, Tensor) and each.requires_grad]

    def outputs(self) -> Tensors:
        """What the function gives now: the parts, of outputs that require gradients."""
        return tuple(self._part(each) for each in _differentiable(self.function(*self.inputs)))

    def _part(self, output: Tensor) -> Tensor:
        if not output.dtype.is_complex:
            return output
        found = function_of("imag" if self.part == "imaginary" else "real")(output)
        assert isinstance(found, Tensor)
        return found


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the gradients of a function with central differences of step `eps`.

    They agree within `atol + rtol * |difference|`. Else GradcheckError is raised, or False returned where
    `raise_exception` is False. `fast_mode` compares one random projection of each Jacobian. Gradients must also be the
    same twice (to `nondet_tol`), zero for cotangents of zero, and computable where some cotangents are missing.
    """
    _check_options(check_forward_ad, check_backward_ad, check_batched_grad, check_batched_forward_grad)
    given = _as_tuple(inputs)
    _check_inputs(given)
    check = _Check(func, given, eps, atol, rtol, nondet_tol, check_grad_dtypes, fast_mode)
    try:
        _check_all(check, check_undefined_grad)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check the gradients of a function's gradients, by the inputs and by the cotangents `grad_outputs`.

    Cotangents that aren't given are random numbers from -1 to 1.
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    if check_undefined_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_undefined_grad=True requires check_rev_over_rev to be True")
    if check_batched_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_batched_grad=True requires check_rev_over_rev to be True")
    given = _as_tuple(inputs)
    if grad_outputs is None:
        cotangents = _random_cotangents(_differentiable(func(*given)), gen_non_contig_grad_outputs)
    else:
        cotangents = _as_tuple(grad_outputs)
    needs = [isinstance(each, Tensor) and each.requires_grad for each in (*given, *cotangents)]

    def gradients(*values: Any) -> Tensors:
        values = tuple(requires_grad_(each) if needed else each for each, needed in zip(values, needs))
        points, directions = values[: len(given)], values[len(given) :]
        outputs = _differentiable(func(*points))
        wanted = [each for each, needed in zip(points, needs) if needed]
        found = grad(outputs, wanted, directions, create_graph=True, allow_unused=True)
        return tuple(each for each in found if each is not None)

    return gradcheck(
        gradients,
        given + cotangents,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )


def _check_all(check: _Check, checks_undefined: bool) -> None:
    outputs = _differentiable(check.function(*check.inputs))
    complex_outputs = frozenset(i for i, each in enumerate(outputs) if each.dtype.is_complex)
    parts = ("imaginary", "real") if complex_outputs else ("",)
    for part in parts:
        _check_part(
            _Check(
                check.function, check.inputs, check.eps, check.atol, check.rtol, check.nondet_tol, check.checks_dtypes,
                check.is_fast, part, complex_outputs,
            )
        )  # fmt: skip
    if outputs:
        _check_zero(check, outputs)
        if checks_undefined:
            _check_undefined(check)


def _check_part(check: _Check) -> None:
    """Compare all Jacobians, or their projections."""
    outputs = check.outputs()
    if not outputs:
        everything = [each for each in _as_tuple(check.function(*check.inputs)) if isinstance(each, Tensor)]
        for _, variable in check.variables:
            for block in _numerical(check, variable, everything, lambda: _tensors_of(check)):
                if block.any():
                    raise GradcheckError("Numerical gradient for function expected to be zero")
        return
    numerical = [_numerical(check, variable, outputs, check.outputs) for _, variable in check.variables]
    for index, output in enumerate(outputs):
        analytical = _analytical(check, output)
        for place in range(len(numerical)):
            given, wanted = analytical[place], numerical[place][index]
            is_close, shown = _compare(check, given, wanted)
            if not is_close:
                raise GradcheckError(_mismatch(check, index, place, given, wanted, shown))


def _compare(check: _Check, given: AnyArray, wanted: AnyArray) -> tuple[bool, tuple[AnyArray, AnyArray]]:
    """Whether two Jacobians agree, and what of them was compared."""
    if not check.is_fast or not given.size:
        return np.allclose(given, wanted, check.rtol, check.atol, equal_nan=False), (given, wanted)
    generator = np.random.default_rng(2147483647)
    u, v = generator.random(given.shape[0]), generator.random(given.shape[1])
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    a, n = np.asarray(u @ given @ v), np.asarray(u @ wanted @ v)
    return bool(np.allclose(a, n, check.rtol, check.atol * u.sum() * v.sum())), (a, n)


def _mismatch(
    check: _Check,
    output: int,
    input: int,
    given: AnyArray,
    wanted: AnyArray,
    shown: tuple[AnyArray, AnyArray],
) -> str:
    prefix = (
        f"While considering the {check.part} part of complex outputs only, " if output in check.complex_outputs else ""
    )
    text = (
        f"{prefix}Jacobian mismatch for output {output} with respect to input {input},\n"
        f"numerical:{wrap(shown[1])}\nanalytical:{wrap(shown[0])}\n"
    )
    if not check.is_fast:
        return text
    text += (
        "\nThe above quantities relating the numerical and analytical jacobians are computed \n"
        "in fast mode. See: https://github.com/pytorch/pytorch/issues/53876 for more background \n"
        "about fast mode. Below, we recompute numerical and analytical jacobians in slow mode:\n\n"
        f"Numerical:\n {wrap(wanted)}\nAnalytical:\n{wrap(given)}\n\n"
        f"The max per-element difference (slow mode) is: {float(np.abs(wanted - given).max())}.\n"
    )
    if np.allclose(given, wanted, check.rtol, check.atol):
        text += (
            "Fast gradcheck failed but element-wise differences are small. This means that the\n"
            "test might've passed in slow_mode!"
        )
    return text


def _numerical(
    check: _Check, variable: Tensor, outputs: Sequence[Tensor], compute: Callable[[], Sequence[Tensor]]
) -> list[AnyArray]:
    """The Jacobians of all outputs by one input, from its elements moved up and down."""
    array, eps = variable._array, check.eps
    is_complex = variable.dtype.is_complex
    blocks = [
        np.zeros((array.size, each._array.size), array.dtype if is_complex else each._array.dtype) for each in outputs
    ]
    for row, index in enumerate(np.ndindex(array.shape)):
        for step in (eps, eps * 1j) if is_complex else (eps,):
            low, high = _moved(array, index, -step, compute), _moved(array, index, step, compute)
            for block, before, after in zip(blocks, low, high):
                _check_alike(before, after, step, index)
                slope = (after - before) / (2 * eps)
                block[row] += (slope * 1j if isinstance(step, complex) else slope).reshape(-1)
    return blocks


def _moved(
    array: AnyArray, index: tuple[int, ...], step: complex, compute: Callable[[], Sequence[Tensor]]
) -> list[AnyArray]:
    """The outputs with one element moved."""
    before = array[index].item()
    array[index] = before + step
    try:
        return [np.array(on(each._array, None)) for each in compute()]
    finally:
        array[index] = before


def _check_alike(before: AnyArray, after: AnyArray, eps: complex, index: tuple[int, ...]) -> None:
    where = f" on index {index}"
    if before.shape != after.shape:
        raise AssertionError(
            f"Expected `func` to return outputs with the same shape when inputs are perturbed{where} by {eps}, but "
            f"got: shapes {wrap(before).shape} and {wrap(after).shape}."
        )
    if before.dtype != after.dtype:
        raise AssertionError(
            f"Expected `func` to return outputs with the same dtype when inputs are perturbed{where} by {eps}, but "
            f"got: dtypes {wrap(before).dtype} and {wrap(after).dtype}."
        )


def _analytical(check: _Check, output: Tensor) -> list[AnyArray]:
    """The Jacobians of one output by all inputs, from backward passes; each is made twice."""
    first, second = _backward_rows(check, output), _backward_rows(check, output)
    for a, b in zip(first, second):
        if a.size and not np.abs(a - b).max() <= check.nondet_tol and not np.array_equal(a, b, equal_nan=True):
            raise GradcheckError(
                "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
                "gives different values, although analytical gradient matches numerical gradient.The tolerance for "
                f"nondeterminism was {check.nondet_tol}.\n\nNOTE: If your op relies on non-deterministic operations "
                "i.e., it is listed here:\n"
                "https://pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html\nthis failure might "
                "be expected."
            )
    return first


def _backward_rows(check: _Check, output: Tensor) -> list[AnyArray]:
    variables = [each for _, each in check.variables]
    size = output._array.size
    blocks = [np.zeros((each._array.size, size), each._array.dtype) for each in variables]
    fits, types_fit = True, True
    for column in range(size):
        seed = np.zeros(output._array.shape, output._array.dtype)
        seed.reshape(-1)[column] = 1
        cotangent = wrap(on(seed, gpu_of(output._array)))
        found = grad(output, variables, cotangent, retain_graph=True, allow_unused=True)
        for block, variable, gradient in zip(blocks, variables, found):
            if gradient is None:
                continue
            types_fit = types_fit and gradient.dtype is variable.dtype
            if gradient._array.shape != variable._array.shape:
                fits = False
            else:
                block[:, column] = on(gradient._array, None).reshape(-1)
    if not types_fit and check.checks_dtypes:
        raise GradcheckError("Gradient has dtype mismatch")
    if not fits:
        raise GradcheckError("Analytical gradient has incorrect size")
    return blocks


def _check_zero(check: _Check, outputs: Tensors) -> None:
    """Cotangents of zero must give gradients of zero, like the inputs."""
    variables = [each for _, each in check.variables]
    zeros = [wrap(full_like(each._array, 0)) for each in outputs]
    for gradient, variable in zip(grad(outputs, variables, zeros, allow_unused=True), variables):
        if gradient is None:
            continue
        if on(gradient._array, None).any():
            raise GradcheckError("backward not multiplied by grad_output")
        if gradient.dtype is not variable.dtype:
            raise GradcheckError("grad is incorrect type")
        if gradient._array.shape != variable._array.shape:
            raise GradcheckError("grad is incorrect size")


def _check_undefined(check: _Check) -> None:
    """Cotangents that are missing must do no harm: all of them, and one after another."""
    count = len(_differentiable(check.function(*check.inputs)))
    variables = [each for _, each in check.variables]
    for missing in [range(count), *([i] for i in range(count) if count > 1)]:
        outputs = _differentiable(check.function(*check.inputs))
        roots = [undefined_grad(each) if i in missing else each for i, each in enumerate(outputs)]
        zeros = [wrap(full_like(each._array, 0)) for each in roots]
        try:
            found = grad(roots, variables, zeros, allow_unused=True)
        except RuntimeError as error:
            _warn_undefined()
            raise GradcheckError(
                f"Expected backward function to handle undefined output grads. {_UNDEFINED}"
            ) from error
        if any(each is not None and on(each._array, None).any() for each in found):
            _warn_undefined()
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are undefined or zero. "
                f"{_UNDEFINED}"
            )


def _warn_undefined() -> None:
    warnings.warn(
        "Backwards compatibility: New undefined gradient support checking feature is enabled by default, but it may "
        "break existing callers of this function. If this is true for you, you can call this function with "
        '"check_undefined_grad=False" to disable the feature',
        stacklevel=2,
    )


def _check_options(forward: bool, backward: bool, batched: bool, batched_forward: bool) -> None:
    if not (forward or backward):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if batched and not backward:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if batched_forward and not forward:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    if forward:
        raise NotImplementedError("check_forward_ad needs forward-mode differentiation: check the backward mode")


def _check_inputs(inputs: Values) -> None:
    is_any = False
    for index, each in enumerate(inputs):
        if not (isinstance(each, Tensor) and each.requires_grad):
            continue
        is_any = True
        if each.dtype not in (f64, c128):
            warnings.warn(
                f"Input #{index} requires gradient and is not a double precision floating point or complex. This check "
                "will likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=3,
            )
        if any(step == 0 and size > 1 for step, size in zip(each._array.strides, each._array.shape)):
            raise AutogradError(
                f"The {index}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call .contiguous "
                "on the input before passing it to gradcheck."
            )
    if not is_any:
        raise ArgumentError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )


def _random_cotangents(outputs: Tensors, has_gaps: bool) -> Tensors:
    generator = np.random.default_rng()
    made = []
    for output in outputs:
        shape, dtype = output._array.shape, output._array.dtype
        values = generator.uniform(-1, 1, shape) + (1j * generator.uniform(-1, 1, shape) if dtype.kind == "c" else 0)
        array = np.asarray(values).astype(dtype)
        if has_gaps and shape:
            array = np.repeat(array, 2, axis=-1)[..., ::2]
        made.append(requires_grad_(wrap(on(array, gpu_of(output._array)))))
    return tuple(made)


def _as_tuple(value: object) -> Values:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _differentiable(outputs: object) -> Tensors:
    return tuple(each for each in _as_tuple(outputs) if each.requires_grad)


def _tensors_of(check: _Check) -> list[Tensor]:
    return [each for each in _as_tuple(check.function(*check.inputs)) if isinstance(each, Tensor)]
