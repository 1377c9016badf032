"""Which functions of the table compute in fewer bits inside `autocast`, and which in float32: PyTorch's lists.

In: an entry of the table, its arguments, a type of device. Out: a `Rule`, or None for a function that computes in the
dtypes of its operands as everywhere.

PyTorch lists operations beneath its public functions. Here each public function stands under what comes out there:
`cov` ends in a product of matrices on the CPU, `normalize` divides by a norm in float32 on a GPU.

>>> from graphc.ops.function import functions
>>> rule_of(functions()["matmul"], "cpu"), rule_of(functions()["exp"], "cuda"), rule_of(functions()["exp"], "cpu")
(<Rule.LOWER: 'lower'>, <Rule.FULL: 'full'>, None)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

from graphc.ops.function import Function, functions


class Rule(Enum):
    """What happens to the operands of a function. Those of float64 and of no floating dtype stay as they are."""

    LOWER = "lower"
    """They become the region's dtype."""
    FULL = "full"
    """They become float32."""
    WIDEST = "widest"
    """All become float32 if one is, else the region's dtype."""
    ROUNDED = "rounded"
    """They become float32, and the result the region's dtype: its last step is of the kind `LOWER`."""
    STATE = "state"
    """As `WIDEST`, asking the state of a recurrent cell alone."""
    REFUSED = "refused"
    """The function raises an error."""


_PRODUCTS: Final = (
    "__matmul__ __rmatmul__ matmul mm spmm bmm baddbmm addmm addbmm linear einsum chain_matmul linalg.multi_dot "
    "linalg.vecdot conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d prelu rnn_tanh_cell "
    "rnn_relu_cell nn.functional.scaled_dot_product_attention _recurrent_layer"
)
_LOSSES: Final = (
    "mse_loss l1_loss smooth_l1_loss huber_loss soft_margin_loss kl_div poisson_nll_loss nll_loss cross_entropy "
    "hinge_embedding_loss margin_ranking_loss cosine_embedding_loss triplet_margin_loss "
    "nn.functional.multi_margin_loss nn.functional.multilabel_margin_loss binary_cross_entropy_with_logits"
)
"""Those of the table's own names; the same under nn.functional follow from the table."""
_DECOMPOSITIONS: Final = (
    "linalg.cholesky linalg.cholesky_ex linalg.cond linalg.eig linalg.eigh linalg.eigvals linalg.eigvalsh "
    "linalg.householder_product linalg.inv linalg.inv_ex linalg.lstsq linalg.matrix_rank linalg.qr linalg.solve "
    "linalg.svd linalg.svdvals linalg.tensorinv linalg.tensorsolve cholesky cholesky_inverse cholesky_solve geqrf "
    "inverse lu lu_solve orgqr ormqr pinverse qr svd triangular_solve"
)
_TRANSFORMS: Final = (
    "fft.fft fft.ifft fft.fft2 fft.ifft2 fft.fftn fft.ifftn fft.rfft fft.irfft fft.rfft2 fft.irfft2 fft.rfftn "
    "fft.irfftn fft.hfft fft.ihfft stft"
)

_CPU: Final[Mapping[Rule, str]] = {
    Rule.LOWER: f"{_PRODUCTS} inner tensordot",
    Rule.ROUNDED: "cov corrcoef nn.functional.affine_grid linalg.pinv linalg.matrix_power",
    Rule.FULL: f"{_LOSSES} {_DECOMPOSITIONS} {_TRANSFORMS} binary_cross_entropy ctc_loss "
    "nn.functional.linear_cross_entropy pad prod trace quantile nanquantile polar view_as_complex cdist avg_pool3d "
    "lp_pool3d adaptive_avg_pool3d adaptive_max_pool3d max_pool3d nn.functional.fractional_max_pool2d "
    "nn.functional.fractional_max_pool3d nn.functional.max_unpool1d nn.functional.max_unpool2d "
    "nn.functional.max_unpool3d nn.functional.grid_sample",
    Rule.WIDEST: "cat stack index_copy",
    Rule.STATE: "gru_cell lstm_cell",
}
_CUDA: Final[Mapping[Rule, str]] = {
    Rule.LOWER: f"{_PRODUCTS} mv addmv addr gru_cell lstm_cell",
    Rule.ROUNDED: "cov corrcoef linalg.matrix_power",
    Rule.FULL: f"{_LOSSES} acos asin cosh sinh tan erfinv exp expm1 log log10 log1p log2 reciprocal rsqrt pow __pow__ "
    "__rpow__ __rtruediv__ square softplus softmax log_softmax softmin nn.functional.gumbel_softmax logsumexp sum "
    "sum_to_size prod cumsum cumprod trapezoid cumulative_trapezoid layer_norm group_norm rms_norm "
    "local_response_norm normalize norm frobenius_norm nuclear_norm renorm linalg.norm linalg.vector_norm "
    "linalg.matrix_norm linalg.cond cosine_similarity pairwise_distance dist pdist cdist lp_pool1d lp_pool2d lp_pool3d "
    "interpolate nn.functional.upsample nn.functional.upsample_nearest nn.functional.upsample_bilinear "
    "gaussian_nll_loss nn.functional.multilabel_soft_margin_loss nn.functional.linear_cross_entropy",
    Rule.WIDEST: "addcdiv addcmul atan2 bilinear cross dot vdot inner tensordot index_put scatter_add "
    "nn.functional.grid_sample",
    Rule.REFUSED: "binary_cross_entropy",
}

Get: TypeAlias = "Callable[[str], Any]"
"""Gives the argument of a call that a parameter takes, or its default."""


def _has_free_size(a: Any, b: Any, dims: Any) -> bool:
    """Whether a sum over these dimensions of both is a product of matrices, and not of two vectors."""
    pair = ([-i - 1 for i in range(dims)], range(dims)) if isinstance(dims, int) else dims
    free = [
        size
        for x, summed in zip((a, b), pair)
        for i, size in enumerate(x.shape)
        if i not in summed and i - len(x.shape) not in summed
    ]
    return any(size != 1 for size in free)


Condition: TypeAlias = "Callable[[Get, str], bool]"
"""Of a call's arguments, and the type of device."""

_ONLY: Final[Mapping[str, Condition]] = {
    "inner": lambda get, device: (
        all(len(get(x).shape) > 0 for x in ("input", "other"))
        and (device == "cuda" or _has_free_size(get("input"), get("other"), ([-1], [-1])))
    ),
    "tensordot": lambda get, device: device == "cuda" or _has_free_size(get("a"), get("b"), get("dims")),
    "linalg.matrix_power": lambda get, device: get("n") not in (-1, 0, 1),
    "pad": lambda get, device: get("mode") in ("reflect", "replicate"),
    "interpolate": lambda get, device: get("mode") != "area",
    "nn.functional.mse_loss": lambda get, device: device == "cuda" or get("weight") is None,
    "nn.functional.l1_loss": lambda get, device: device == "cuda" or get("weight") is None,
} | dict.fromkeys(
    (
        "sum prod cumsum cumprod softmax log_softmax softmin nn.functional.softmax nn.functional.log_softmax "
        "nn.functional.softmin norm linalg.norm linalg.vector_norm linalg.matrix_norm"
    ).split(),
    lambda get, device: device == "cpu" or get("dtype") is None,
)
"""Where functions are listed only for some of their calls."""

REFUSAL: Final = (
    "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to autocast.\n"
    "Many models use a sigmoid layer right before the binary cross entropy layer.\n"
    "In this case, combine the two layers using torch.nn.functional.binary_cross_entropy_with_logits\n"
    "or torch.nn.BCEWithLogitsLoss.  binary_cross_entropy_with_logits and BCEWithLogits are\n"
    "safe to autocast."
)
"""What binary_cross_entropy says on a GPU: its logarithms of probabilities near 0 and 1 need more bits."""


@functools.cache
def _rules() -> Mapping[str, Mapping[str, Rule]]:
    """For each type of device the rules by name, also under the other names of a function."""
    table = functions()
    twins: dict[Callable[..., object], list[str]] = {}
    for name, entry in table.items():
        twins.setdefault(entry.build, []).append(name)
    found: dict[str, dict[str, Rule]] = {}
    for device, lists in (("cpu", _CPU), ("cuda", _CUDA)):
        rules = found[device] = {}
        for rule, names in lists.items():
            for name in names.split():
                rules.update(dict.fromkeys((*twins[table[name].build], *_in_namespace(name)), rule))
    return found


def _in_namespace(name: str) -> Sequence[str]:
    """The entries of this name in other namespaces, which are other builders for the same."""
    return [each for where in ("nn.functional", "special") if (each := f"{where}.{name}") in functions()]


@functools.cache
def _only() -> Mapping[Callable[..., object], Condition]:
    """The conditions, by the builders of all names."""
    return {functions()[name].build: condition for name, condition in _ONLY.items()}


def rule_of(
    entry: Function, device: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> Rule | None:
    """The rule of an entry for a call with these arguments, whose tensors are on this type of device."""
    found = _rules().get(device, {}).get(entry.name)
    condition = _only().get(entry.build)
    if found is None or condition is None:
        return found

    def get(name: str) -> Any:
        if kwargs is not None and name in kwargs:
            return kwargs[name]
        position, default = _place_of(entry.build, name)
        return args[position] if position is not None and position < len(args) else default

    return found if condition(get, device) else None


def is_listed(name: str) -> bool:
    """Whether any device has a rule for the entry of this name."""
    return any(name in rules for rules in _rules().values())


@functools.cache
def _place_of(build: Callable[..., object], name: str) -> tuple[int | None, object]:
    """Where a parameter stands among positional arguments, if it may be one of them, and its default."""
    parameters = inspect.signature(build).parameters
    one = parameters[name]
    position = None if one.kind is one.KEYWORD_ONLY else list(parameters).index(name)
    return position, None if one.default is one.empty else one.default
