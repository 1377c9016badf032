"""Gradients of every differentiable entry on eager tensors: two orders against differences; node by node and as one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import Tensor
from graphc.eager import dispatch, program
from graphc.ir.settings import override
from tests.composite.case import Values
from tests.eager.table_cases import Call, calls, leaves, tensor_of
from tests.eager.test_table_values import DISTINCT, UNSET

STEP = 1e-6
SYMMETRIC = frozenset("cholesky linalg.cholesky linalg.cholesky_ex linalg.eigh linalg.eigvalsh".split())
"""Functions of symmetric matrices: their gradients are for changes that keep them so."""
WITHOUT_DERIVATIVE = {
    "geqrf": "the derivative for 'geqrf' is not implemented.",
    "heaviside": "derivative for aten::heaviside is not implemented",
    "igamma": "the derivative for 'igamma: input' is not implemented.",
    "igammac": "the derivative for 'igammac: input' is not implemented.",
    "linalg.ldl_factor": "derivative for aten::linalg_ldl_factor_ex is not implemented",
    "linalg.ldl_factor_ex": "derivative for aten::linalg_ldl_factor_ex is not implemented",
    "linalg.ldl_solve": "derivative for aten::linalg_ldl_solve is not implemented",
    "special.zeta": "the derivative for 'zeta' is not implemented.",
}
"""Functions that PyTorch has no derivative of, and its error."""
GIVE_NONE = frozenset(
    "detach binomial histc empty_like full_like ones_like zeros_like rand_like randn_like new_empty new_full new_ones "
    "new_zeros".split()
)
"""Functions whose results never require a gradient; those of many special functions don't either."""
SOME_GIVE_NONE = frozenset("lu linalg.lu lu_unpack linalg.lstsq".split())
"""Functions of whose results some, as permutations, require no gradient."""
CHANCE = frozenset("normal bernoulli poisson binomial multinomial _standard_gamma _sample_dirichlet".split())
"""Functions whose numbers depend on chance: a difference for one key isn't what a gradient means."""
NORMALIZED = frozenset(("ctc_loss",))
"""Functions whose gradient takes the operand for logarithms of probabilities that add up to 1, and keeps it so."""
FINITE = [name for name in DISTINCT if name not in UNSET | CHANCE | NORMALIZED | set(WITHOUT_DERIVATIVE)]


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Differentiated:
    """A call in float64 or complex128, with weights for its results and directions for its operands."""

    def __init__(self, name: str, call: Call) -> None:
        self.random = np.random.default_rng(17)
        self.call = call.converted(self._smooth)
        self.arrays = self.call.arrays()
        tensors, results = self.forward(self.arrays)
        self.needing = [i for i, tensor in enumerate(tensors) if tensor.requires_grad]
        self.weights = [self.draw(each._array) for each in results]
        self.directions = [self.draw(self.arrays[i]) for i in self.needing]
        self.second = [self.draw(self.arrays[i]) for i in self.needing]
        if name in SYMMETRIC:
            self.directions = [d + np.conj(np.swapaxes(d, -1, -2)) for d in self.directions]

    def _smooth(self, array: Values) -> Values:
        """The array in double precision, away from the corners where functions of numbers have them."""
        if array.dtype.kind not in "fc":
            return array
        wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
        parts = np.stack([wide.real, wide.imag]) if array.dtype.kind == "c" else wide
        is_special = not np.all(np.isfinite(wide)) or (array.ndim == 1 and np.any(2 * parts == np.rint(2 * parts)))
        return np.asarray(np.abs(self.draw(wide)) * 0.8 + 0.1 if is_special else wide)

    def draw(self, like: Values) -> Values:
        """Random numbers of this shape and kind."""
        real = self.random.uniform(-1, 1, like.shape)
        return real + 1j * self.random.uniform(-1, 1, like.shape) if like.dtype.kind == "c" else real

    def forward(self, arrays: Sequence[Values]) -> tuple[list[Tensor], list[Tensor]]:
        """The operands, and the results that have a gradient."""
        tensors = [tensor_of(array, requires_grad=True) for array in arrays]
        found = [each for each in leaves(self.call.run(*tensors)) if isinstance(each, Tensor) and each.requires_grad]
        return tensors, found

    def gradient(self, arrays: Sequence[Values], create_graph: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """The operands, and the gradient of the weighted sum of the results by each of them."""
        tensors, results = self.forward(arrays)
        operands = [tensors[i] for i in self.needing]
        weights = [tensor_of(np.asarray(each)) for each in self.weights]
        found = graphc.autograd.grad(
            results, operands, grad_outputs=weights, create_graph=create_graph, materialize_grads=True
        )
        return operands, list(found)

    def moved(self, step: float) -> list[Values]:
        """The operands some way along the direction."""
        arrays = list(self.arrays)
        for index, direction in zip(self.needing, self.directions, strict=True):
            arrays[index] = np.asarray(arrays[index] + step * direction)
        return arrays


def product(left: Sequence[Any], right: Sequence[Any]) -> float:
    """The real part of the inner product: the slope that gradients of complex numbers stand for."""
    return sum(float(np.sum(np.real(np.conj(_values(a)) * _values(b)))) for a, b in zip(left, right, strict=True))


def _values(x: Any) -> Values:
    return x.detach().numpy() if isinstance(x, Tensor) else x


def size(gradients: Sequence[Tensor]) -> float:
    """What errors are measured by."""
    return 1.0 + sum(float(np.abs(_values(each)).sum()) for each in gradients)


@pytest.fixture
def _interpreted(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Most plans without native code, which would take longer to make than all else here; it has tests of its own."""
    if name not in FINITE[::5]:
        monkeypatch.setattr(program, "MOST_OWN", 0)
    yield
    dispatch._forget_all()


@pytest.mark.usefixtures("_interpreted")
@pytest.mark.parametrize("name", FINITE)
def test_slopes_of_two_orders_are_those_of_differences(name: str) -> None:
    for call in calls()[name][:1]:
        case = Differentiated(name, call)
        if not case.weights:
            continue
        operands, gradient = case.gradient(case.arrays, create_graph=True)
        for operand, each in zip(operands, gradient, strict=True):
            assert (each.shape, each.dtype) == (operand.shape, operand.dtype)
        values = [product(case.weights, case.forward(case.moved(step))[1]) for step in (STEP, -STEP)]
        slope, scale = product(gradient, case.directions), size(gradient)
        assert abs(slope - (values[0] - values[1]) / (2 * STEP)) < 1e-6 * scale

        slopes = [product(case.second, case.gradient(case.moved(step))[1]) for step in (STEP, -STEP)]
        curved = [(each, v) for each, v in zip(gradient, case.second, strict=True) if each.requires_grad]
        again: list[Tensor] = []
        if curved:
            weights = [tensor_of(np.asarray(v)) for _, v in curved]
            again = list(
                graphc.autograd.grad([x for x, _ in curved], operands, grad_outputs=weights, materialize_grads=True)
            )
        slope = product(again, case.directions) if again else 0.0
        assert abs(slope - (slopes[0] - slopes[1]) / (2 * STEP)) < 1e-5 * (scale + size(again))


@pytest.mark.parametrize("name", WITHOUT_DERIVATIVE)
def test_a_missing_derivative_is_an_error(name: str) -> None:
    call = calls()[name][0]
    results = [each for each in leaves(call.eagerly(requires_grad=True)) if each.requires_grad]
    total = sum(each.sum() for each in results)
    with pytest.raises(NotImplementedError) as caught:
        total.backward()
    assert str(caught.value) == WITHOUT_DERIVATIVE[name]


@pytest.mark.parametrize("name", DISTINCT)
def test_results_require_a_gradient_if_an_operand_does(name: str) -> None:
    call = calls()[name][0]
    assert not any(each.requires_grad for each in leaves(call.eagerly()) if isinstance(each, Tensor))
    tensors = [tensor_of(array, requires_grad=True) for array in call.arrays()]
    can = any(each.requires_grad for each in tensors)
    for result in leaves(call.run(*tensors)):
        if isinstance(result, Tensor) and not any(result is each for each in tensors):
            gives_none = name in GIVE_NONE or _is_special_without_gradient(name)
            if not (name in SOME_GIVE_NONE and not result.requires_grad):
                assert result.requires_grad == (can and result.dtype.is_differentiable and not gives_none)
            assert result.requires_grad == (result.grad_fn is not None)
            assert not result.is_leaf or not result.requires_grad
    with graphc.no_grad():
        for result in leaves(call.run(*tensors)):
            if isinstance(result, Tensor) and not any(result is each for each in tensors):
                assert result.grad_fn is None
                # A view asks its base, as in PyTorch.
                assert result.requires_grad == (result._is_view() and result._base.requires_grad)


def _is_special_without_gradient(name: str) -> bool:
    return name.startswith("special.") and any(part in name for part in ("bessel_", "polynomial_", "airy"))


@pytest.mark.parametrize("name", FINITE[::8])
def test_one_program_gives_the_bits_of_node_by_node(name: str) -> None:
    call = calls()[name][0]

    def run() -> list[bytes]:
        tensors = [tensor_of(array, requires_grad=True) for array in call.arrays()]
        operands = [each * each if each.is_floating_point() else each for each in tensors]
        results = [each for each in leaves(call.run(*operands)) if isinstance(each, Tensor) and each.requires_grad]
        if results:
            sum((each.abs() * each.detach().abs()).sum() for each in results).backward()
        return [each.grad.numpy().tobytes() for each in tensors if each.grad is not None]

    with override(backward="eager"):
        expected = run()
    with override(backward="now"):
        for _ in range(3):
            assert run() == expected
