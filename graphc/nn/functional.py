"""graphc.nn.functional: the functions that networks are made of, under PyTorch's names and with its parameters.

Most are entries of the table, of this namespace or of graphc itself. What writes to memory stands here: forms in place,
running statistics, rows of a table that are scaled down. While a function is traced nothing is written: the results are
what the graph goes on with.

>>> import graphc
>>> relu(graphc.tensor([-1.0, 2.0]))
tensor([0., 2.])
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graphc.eager import inplace
from graphc.eager.call_errors import python_error
from graphc.eager.guard import guarded
from graphc.eager.methods import free_function, free_functions, of_table
from graphc.eager.mode import no_grad
from graphc.eager.tensor import Tensor
from graphc.frontend.tensor import SymbolicTensor
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.nn import grad as grad
from graphc.nn.attention import multi_head_attention_forward, public, scaled_dot_product_attention
from graphc.ops.function import functions

_SAME = (
    "adaptive_avg_pool1d avg_pool1d avg_pool2d avg_pool3d bilinear channel_shuffle conv1d conv2d conv3d "
    "conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity gelu hardshrink linear logsigmoid "
    "native_channel_shuffle one_hot pairwise_distance pdist pixel_shuffle pixel_unshuffle prelu softplus softshrink"
).split()
"""Functions of graphc that are here as they are there."""
_SAME_IN_PYTHON = (
    "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d ctc_loss fold "
    "gaussian_nll_loss group_norm interpolate layer_norm local_response_norm lp_pool1d lp_pool2d lp_pool3d max_pool1d "
    "max_pool2d max_pool3d normalize pad rms_norm sigmoid softsign tanh tanhshrink"
).split()
"""Those that PyTorch has once more here, in Python: wrong arguments are refused in Python's words."""
_ACTIVATIONS = "celu elu hardsigmoid hardswish hardtanh leaky_relu mish relu relu6 selu silu threshold".split()
"""Those that have `inplace=` here."""
_IN_PLACE = "celu elu hardtanh leaky_relu relu selu threshold".split()
"""Those that also have a form with a `_`."""
_DROPOUTS = "alpha_dropout dropout feature_alpha_dropout rrelu".split()
"""Random ones with `inplace=`."""

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...  # most functions are put here by name


def _with_inplace(name: str, compute: Callable[..., Any], write: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a last parameter `inplace`, which writes the result to the first argument."""
    own = inspect.signature(functions()[name].build)
    parameters = [each for each in own.parameters.values() if each.kind is not each.KEYWORD_ONLY]
    place = len(parameters)
    added = inspect.Parameter("inplace", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=False, annotation="bool")

    def call(*args: Any, **kwargs: Any) -> Any:
        inplace = kwargs.pop("inplace", False)
        if len(args) == place + 1:
            inplace, args = args[place], args[:place]
        try:
            return (write if inplace else compute)(*args, **kwargs)
        except TypeError:
            wrong = python_error(name, signature, args, kwargs)
            if wrong is not None:
                raise wrong from None
            raise

    call.__name__ = call.__qualname__ = name
    call.__doc__ = functions()[name].build.__doc__
    signature = own.replace(parameters=[*parameters, added])
    call.__signature__ = signature  # type: ignore[attr-defined]  # what `inspect` shows
    return call


def _written(compute: Callable[..., Any]) -> Callable[..., Any]:
    """The form of a function that writes its result to the first argument."""

    def write(input: Any, *args: Any, **kwargs: Any) -> Any:
        values = compute(input, *args, **kwargs)
        if isinstance(values, SymbolicTensor):
            input.node = values.node  # from here on the name stands for the result
            return input
        inplace.check_writable(input, input.requires_grad)
        return input if values is input else inplace.assign(input, values)

    return write


def _activation(name: str) -> Callable[..., Any]:
    compute = of_table(name)
    eager, traced = guarded(inplace.in_place(name)), _written(compute)

    def write(input: Any, *args: Any, **kwargs: Any) -> Any:
        return (traced if isinstance(input, SymbolicTensor) else eager)(input, *args, **kwargs)

    return _with_inplace(name, compute, write)


_table = free_functions("nn.functional")
globals().update({name: each for name, each in _table.items() if not name.startswith("_") and name not in globals()})
globals().update({name: of_table(name) for name in _SAME})
globals().update({name: free_function(functions()[name], f"nn.functional.{name}") for name in _SAME_IN_PYTHON})
globals().update({name: _activation(name) for name in _ACTIVATIONS})
globals().update({name: _with_inplace(name, of_table(name), _written(of_table(name))) for name in _DROPOUTS})
globals().update({f"{name}_": guarded(inplace.in_place(name)) for name in _IN_PLACE})
rrelu_ = _written(of_table("rrelu"))


# Positions of the greatest elements, always given


def _with_indices(name: str) -> Callable[..., Any]:
    compute = of_table(name)
    parameters = list(inspect.signature(functions()[name].build).parameters)
    place = parameters.index("return_indices")

    @functools.wraps(compute)
    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("return_indices", None)
        return compute(*args[:place], return_indices=True, **kwargs)

    call.__name__ = call.__qualname__ = f"{name}_with_indices"
    return call


_POOLS = [f"{kind}max_pool{rank}d" for kind in ("", "adaptive_") for rank in (1, 2, 3)]
globals().update({f"{name}_with_indices": _with_indices(name) for name in _POOLS})


# Channels dropped


def _channels_dropped(rank: int) -> Callable[..., Any]:
    name = f"dropout{rank}d"
    drop = of_table("feature_dropout")
    batched = rank + 2
    shapes = {1: "2D or 3D", 2: "3D or 4D", 3: "4D or 5D"}[rank]
    exists = (
        f"Note that {name} exists to provide channel-wise dropout on inputs with {rank} spatial "
        f"dimension{'s' if rank > 1 else ''}, a channel dimension, and an optional batch dimension (i.e. {shapes} "
        "inputs)."
    )

    def call(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        count = input.dim() if isinstance(input, Tensor) else input.ndim
        if count not in (batched - 1, batched):
            if rank == 1:
                raise ShapeError(f"{name}: Expected {shapes} input, but received a {count}D input. {exists}")
            warnings.warn(
                f"{name}: Received a {count}-D input to {name}, which is deprecated and will result in an error in "
                f"a future release. To retain the behavior and silence this warning, please use dropout instead. "
                f"{exists}",
                stacklevel=2,
            )
        if rank == 2 and count == 3:
            warnings.warn(
                "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is "
                "desired - input is interpreted as shape (N, C, L), where C is the channel dim. This behavior will "
                "change in a future release to interpret the input as one without a batch dimension, i.e. shape (C, "
                "H, W). To maintain the 1D channel-wise dropout behavior, please switch to using dropout1d instead.",
                stacklevel=2,
            )
        is_single = rank != 2 and count == batched - 1
        result = drop(input.unsqueeze(0) if is_single else input, p, training)
        result = result.squeeze(0) if is_single else result
        return _written(lambda _: result)(input) if inplace else result

    call.__name__ = call.__qualname__ = name
    call.__doc__ = "In training whole channels are 0 with probability p, and the others divided by 1 - p."
    return public(call)


dropout1d, dropout2d, dropout3d = (_channels_dropped(rank) for rank in (1, 2, 3))


# Statistics that run along


def _update(running: Tensor | None, values: Tensor | None) -> None:
    if running is not None and values is not None:
        inplace.assign(running, values)


@public
def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Mean 0 and variance 1 per channel: by the batch in training, else by the running mean and variance.

    Training moves the running ones toward the batch's, by the share `momentum`.
    """
    if not training or (running_mean is None and running_var is None) or isinstance(input, SymbolicTensor):
        return _plain_batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    result, mean, var = _batch_norm_moving(input, running_mean, running_var, weight, bias, momentum, eps)
    with no_grad():
        _update(running_mean, mean)
        _update(running_var, var)
    return result


@public
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Mean 0 and variance 1 per channel of each sample; without `use_input_stats` by the running mean and variance.

    With it, running ones move toward the mean of the samples', by the share `momentum`.
    """
    if not use_input_stats or (running_mean is None and running_var is None) or isinstance(input, SymbolicTensor):
        return _plain_instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
    result, mean, var = _instance_norm_moving(input, running_mean, running_var, weight, bias, momentum, eps)
    with no_grad():
        _update(running_mean, mean)
        _update(running_var, var)
    return result


_plain_batch_norm, _plain_instance_norm = of_table("batch_norm"), of_table("instance_norm")
_batch_norm_moving: Callable[..., Any]
_instance_norm_moving: Callable[..., Any]
_batch_norm_moving, _instance_norm_moving = _table["_batch_norm_moving"], _table["_instance_norm_moving"]


# Rows of a table


def _scale_down(weight: Any, rows: Any, max_norm: float, norm_type: float) -> None:
    """Let the rows have norms of at most `max_norm`; the table is written to."""
    with no_grad():
        numbers, table = rows.reshape(-1), weight  # a row that is named twice is written twice, with the same values
        found = table.index_select(0, numbers)
        size = found.norm(norm_type, 1, True)
        table.index_copy_(0, numbers, found * (max_norm / (size + 1e-7)).where(size > max_norm, 1.0))


def _with_limit(name: str) -> Callable[..., Any]:
    compute = _table[name]
    signature = inspect.signature(functions()[f"nn.functional.{name}"].build)

    @functools.wraps(compute)
    def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) + len(kwargs) > 2:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError:
                return compute(*args, **kwargs)  # which refuses them in its own words
            limit, rows = given.get("max_norm"), given["input"]
            if limit is not None and isinstance(rows, Tensor):
                _scale_down(given["weight"], rows, limit, given.get("norm_type", 2.0))
        return compute(*args, **kwargs)

    return public(call)


embedding = _with_limit("embedding")
embedding_bag = _with_limit("embedding_bag")


# A loss whose mean is not what most expect


_plain_kl_div: Callable[..., Any] = _table["kl_div"]


@public
def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """target (log target - input) of log-probabilities; "batchmean" divides the sum by the first size."""
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    options = {} if size_average is None and reduce is None else {"size_average": size_average, "reduce": reduce}
    return _plain_kl_div(input, target, reduction=reduction, log_target=log_target, **options)


# A distance of one's own


@public
def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """max(0, distance to the positive - distance to the negative + margin), by a distance of one's own.

    With `swap` the negative counts as near to the positive as to the anchor.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"{reduction} is not a valid value for reduction", hint='use "none", "mean" or "sum"')
    if margin <= 0:
        raise ArgumentError(f"margin must be greater than 0, got {margin}")
    ranks = [each.ndim for each in (anchor, positive, negative)]
    if len(set(ranks)) > 1:
        raise ShapeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {ranks[0]}D, positive {ranks[1]}D, and negative {ranks[2]}D inputs"
        )
    distance = of_table("pairwise_distance") if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = of_table("minimum")(far, distance(positive, negative))
    loss = (margin + near - far).clamp(min=0)
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


__all__ = sorted(
    {name for name in _table if not name.startswith("_")}
    | {*_SAME, *_SAME_IN_PYTHON, *_ACTIVATIONS, *_DROPOUTS, *(f"{name}_" for name in _IN_PLACE), "rrelu_"}
    | {f"{name}_with_indices" for name in _POOLS}
    | {multi_head_attention_forward.__name__, scaled_dot_product_attention.__name__}
    | {"batch_norm", "instance_norm", "dropout1d", "dropout2d", "dropout3d", "triplet_margin_with_distance_loss"}
)
