"""Results of a GPU beside those of the CPU: the same bits, or close to them where the order of sums is another one.

In: arrays of both, or what computes them; a reason why bits may differ, or None. Out: figures with a state of
`gpu_task`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

import graphc
from graphc.ir.dtype import bf16, dtype, f16
from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from tests.benchmarks.gpu_task import CLOSE, DIFFERS, LEFT_OUT, SAME, Figures

Array: TypeAlias = "npt.NDArray[Any]"
Result: TypeAlias = "tuple[str, tuple[int, ...], Array]"
"""Dtype, strides, elements."""

SCAN: Final = "sums along an axis are made in chunks of blocks"
ATTENTION: Final = "attention is one kernel with a softmax that goes along"
CORES: Final = "tensor cores add in an order of their own"

OPS: Final[Mapping[str, str]] = {"cumsum": SCAN, "logcumsumexp": SCAN, "recurrence": SCAN}
"""Primitive ops whose order on a GPU is another one."""

TOLERANCES: Final = {2: 2e-2, 4: 1e-4, 8: 1e-9}
"""By the bytes of a float, relative to the largest number of the result."""


TF32_TOLERANCE: Final = 2e-3
"""Factors have 11 bits."""


def compare(
    expected: Sequence[Array], found: Sequence[Array], reason: str | None, tolerance: float | None = None
) -> Figures:
    """How far the results are from those expected; `tolerance` in place of that of the dtype."""
    if len(expected) != len(found):
        return {"state": DIFFERS, "what": f"{len(found)} results, expected {len(expected)}"}
    distances: list[float] = []
    for number, (wanted, got) in enumerate(zip(expected, found)):
        if (wanted.dtype, wanted.shape) != (got.dtype, got.shape):
            what = f"{got.dtype}{list(got.shape)}, expected {wanted.dtype}{list(wanted.shape)}"
            return {"state": DIFFERS, "what": f"result {number} is {what}"}
        if _bits(wanted) == _bits(got):
            continue
        figures = _difference(wanted, got)
        most = _tolerance(wanted) if tolerance is None else tolerance
        if reason is None or figures["relative"] is None or figures["relative"] > most:
            return {"state": DIFFERS, "what": f"result {number} of {len(expected)}", **figures}
        distances.append(figures["relative"])
    return {"state": CLOSE, "reason": reason, "relative": max(distances)} if distances else {"state": SAME}


def compare_graph(graph: Graph, arrays: Sequence[Array]) -> Figures:
    """A graph, compiled for the GPU and for the CPU."""
    try:
        expected = _arrays(graph.compile()(*arrays))
    except GraphcError as error:
        return {"state": LEFT_OUT, "why": f"the CPU refuses: {error.message}"}
    return compare(expected, _arrays(graph.compile(target="cuda")(*arrays)), reason_of(graph))


def compare_eagerly(
    function: Callable[..., Any], arrays: Sequence[Array], reason: str | None, *, strides: bool = True
) -> Figures:
    """A function of tensors, and its gradients, on the GPU and on the CPU."""
    try:
        expected = _eager_results(function, arrays, "cpu")
    except (GraphcError, RuntimeError, TypeError) as error:
        return {"state": LEFT_OUT, "why": f"the CPU refuses: {str(error).splitlines()[0]}"}
    found = _eager_results(function, arrays, "cuda")
    for number, (wanted, got) in enumerate(zip(expected, found)):
        if wanted[0] != got[0] or (strides and wanted[1] != got[1]):
            return {"state": DIFFERS, "what": f"result {number} is {got[:2]}, expected {wanted[:2]}"}
    return compare([each[-1] for each in expected], [each[-1] for each in found], reason)


def on_host(tensor: Any) -> Array:
    """A tensor's elements as numpy's; those of bfloat16 and smaller floats as ml_dtypes has them."""
    plain = tensor.detach().cpu()
    name = str(plain.dtype).removeprefix("torch.")
    if plain.dtype.is_floating_point and name not in ("float16", "float32", "float64"):
        narrow: Array = plain.float().numpy().astype(getattr(ml_dtypes, name))
        return narrow
    array: Array = plain.resolve_conj().resolve_neg().numpy()
    return array


def reason_of(graph: Graph) -> str | None:
    """Why a graph's results may have other bits on a GPU; None: they may not."""
    has_softmax = any(node.op.name == "exp" for node in graph.nodes)
    products = 0
    for node in graph.nodes:
        reason = OPS.get(node.op.name)
        if reason is not None and not dtype(node.type.dtype).is_integer:
            return reason
        if node.op.name == "dot":
            products += 1
            if any(each.type.dtype in (bf16, f16) for each in node.inputs):
                return CORES
    return ATTENTION if products > 1 and has_softmax else None


def _eager_results(function: Callable[..., Any], arrays: Sequence[Array], device: str) -> list[Result]:
    graphc.manual_seed(7)
    tensors = [graphc.from_numpy(np.array(array, order="C")).to(device) for array in arrays]
    for tensor in tensors:
        tensor.requires_grad_(tensor.dtype.is_differentiable)
    with graphc.device(device):
        results = [each for each in leaves(function(*tensors)) if isinstance(each, graphc.Tensor)]
    roots = [each for each in results if each.requires_grad]
    if roots:
        wanted = [tensor for tensor in tensors if tensor.requires_grad]
        ones = [graphc.ones_like(each) for each in roots]
        gradients = graphc.autograd.grad(roots, wanted, ones, allow_unused=True)
        results += [each for each in gradients if each is not None]
    for each in results:
        if each.device.type != device:
            raise AssertionError(f"a result on {each.device}, computed from tensors on {device}")
    return [(str(each.dtype), tuple(each.stride()), on_host(each)) for each in results]


def leaves(result: Any) -> list[Any]:
    """What a result consists of, containers opened."""
    if isinstance(result, dict):
        return leaves(list(result.values()))
    if isinstance(result, list | tuple):
        return [leaf for each in result for leaf in leaves(each)]
    return [result]


def _arrays(result: Any) -> list[Array]:
    return [np.asarray(each) for each in leaves(result)]


def _wide(array: Array) -> Array:
    """Numbers that numpy computes with."""
    kind = array.dtype.kind
    return array if kind in "biufc" else array.astype(np.float32)


def _bits(array: Array) -> bytes:
    """The elements' bits; any nan is like any other."""
    if array.dtype.kind in "biu":
        return array.tobytes()
    plain = np.array(_wide(array), order="C")
    parts = (plain.real, plain.imag) if plain.dtype.kind == "c" else (plain,)
    canonical = [np.where(np.isnan(part), np.asarray(np.nan, part.dtype), part) for part in parts]
    return b"".join(part.tobytes() for part in canonical)


def _difference(expected: Array, found: Array) -> Figures:
    """How many elements differ, and by how much in terms of the largest one expected; None: by no number."""
    a, b = _wide(expected), _wide(found)
    is_other = ~((a == b) | ((a != a) & (b != b)))
    figures: Figures = {"elements": int(is_other.sum()), "of": int(a.size), "dtype": str(expected.dtype)}
    if a.dtype.kind == "b":
        return {**figures, "relative": None}
    finite = np.isfinite(a)
    if (finite != np.isfinite(b)).any() or (is_other & ~finite).any():
        return {**figures, "relative": None}
    with np.errstate(all="ignore"):
        wide = np.complex128 if a.dtype.kind == "c" else np.float64
        error = np.abs(a[finite].astype(wide) - b[finite].astype(wide))
        scale = float(np.max(np.abs(a[finite].astype(wide)), initial=0.0))
    relative = float(np.max(error, initial=0.0)) / (scale or 1.0)
    return {**figures, "relative": relative, "at": [int(i) for i in np.argwhere(is_other)[0]] if is_other.any() else []}


def _tolerance(array: Array) -> float:
    """Integers may not differ at all."""
    if array.dtype.kind in "biu":
        return 0.0
    width = array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1)
    return TOLERANCES.get(width, TOLERANCES[2])
