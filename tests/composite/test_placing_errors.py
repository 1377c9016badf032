"""What functions that sort and place by an index refuse, in PyTorch's words: while building, and in the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc.ir.errors import (
    ArgumentError,
    DimensionError,
    DTypeError,
    GraphcError,
    IndexOutOfRange,
    ShapeError,
    UnsupportedDType,
)
from tests.composite.case import interpret, native

F, I, C, B, E = "f32[3,4]", "i64[3,4]", "c64[3,4]", "bool[3,4]", "f32[0,3]"

REFUSED: tuple[tuple[Callable[..., Any], tuple[str, ...], type[GraphcError], str], ...] = (
    # Chosen by an index
    (
        lambda x, i: x.gather(0, i),
        (F, "i64[3]"),
        ShapeError,
        "Index tensor must have the same number of dimensions as input tensor",
    ),
    (lambda x, i: x.gather(0, i), (F, F), DTypeError, "gather(): Expected dtype int32/int64 for index"),
    (
        lambda x, i: x.gather(0, i),
        (F, "i64[3,5]"),
        ShapeError,
        "Size does not match at dimension 1 expected index [3, 5] to be no larger than self [3, 4] "
        "apart from dimension 0",
    ),
    (
        lambda x, i: x.gather(2, i),
        (F, I),
        DimensionError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (g.take, (F, F), DTypeError, "take(): Expected a long tensor for index, but got Float"),
    (
        lambda x, i: g.take_along_dim(x, i, 1),
        (F, "i64[3]"),
        ShapeError,
        "torch.take_along_dim(): input and indices should have the same number of dimensions, but got 2 dimensions "
        "for input, and 1 dimensions for indices",
    ),
    (g.take_along_dim, (F, F), DTypeError, "torch.take_along_dim(): dtype of indices should be Long but got Float"),
    (
        lambda x, i: x.index_select(0, i),
        (F, "i64[2,2]"),
        DimensionError,
        "index_select(): Index is supposed to be a vector",
    ),
    (
        lambda x, i: x.index_select(0, i),
        (F, "f32[2]"),
        DTypeError,
        "index_select(): Expected dtype int32 or int64 for index",
    ),
    (
        lambda x, i: x.index_select(0, i),
        ("f32[]", "i64[2]"),
        ShapeError,
        "index_select(): Index to scalar can have only 1 value, got 2 value(s)",
    ),
    # Placed by an index
    (
        lambda x, i: x.scatter(0, i, x.double()),
        (F, I),
        DTypeError,
        "scatter(): Expected self.dtype to be equal to src.dtype",
    ),
    (
        lambda x, i: x.scatter(0, i, x[:2]),
        (F, I),
        ShapeError,
        "Expected index [3, 4] to be no larger than self [3, 4] apart from dimension 0 and to be no larger size than "
        "src [2, 4]",
    ),
    (
        lambda x, i: x.scatter(0, i[0], x),
        (F, I),
        ShapeError,
        "Index tensor must have the same number of dimensions as self tensor",
    ),
    (
        lambda x, i: x.scatter(0, i, x[0]),
        (F, I),
        ShapeError,
        "Index tensor must have the same number of dimensions as src tensor",
    ),
    (lambda x, i: x.scatter(0, i), (F, I), ArgumentError, "scatter: give either src or value"),
    (
        lambda x, i: x.scatter(0, i, x, reduce="mean"),
        (F, I),
        ArgumentError,
        "reduce argument must be either add or multiply.",
    ),
    (
        lambda x, i: x.scatter_reduce(0, i, x, "and"),
        (F, I),
        ArgumentError,
        "reduce argument must be either sum, prod, mean, amax or amin, got and",
    ),
    (
        lambda x, i: x.scatter_reduce(0, i, x, "mean"),
        (B, I),
        UnsupportedDType,
        "\"scatter_gather_tensor_cpu_reduce_mean\" not implemented for 'Bool'",
    ),
    (
        lambda x, i: x.index_add(0, i, x),
        (F, "i64[2]"),
        ShapeError,
        "index_add_(): Number of indices (2) should be equal to source.size(dim): (3), for dim: 0",
    ),
    (
        lambda x, i: x.index_add(0, i, x[:, :2]),
        (F, "i64[3]"),
        ShapeError,
        "source tensor shape must match self tensor shape, excluding the specified dimension. "
        "Got self.shape = [3, 4] source.shape = [3, 2]",
    ),
    (
        lambda x, i: x.index_add(0, i, x.double()),
        (F, "i64[3]"),
        DTypeError,
        "index_add_(): self (Float) and source (Double) must have the same scalar type",
    ),
    (
        lambda x, i: x.index_add(0, i, x),
        (F, "f32[3]"),
        DTypeError,
        "index_add_(): Expected dtype int32/int64 for index but got: Float",
    ),
    (
        lambda x, i: x.index_add(0, i, x),
        (F, "i64[1,3]"),
        DimensionError,
        "index_add_(): Index is supposed to be a vector, but got dim: 2 with type: Long and size: [1, 3]",
    ),
    (
        lambda x, i: x.index_reduce(0, i, x, "sum"),
        (F, "i64[3]"),
        ArgumentError,
        "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got sum.",
    ),
    (
        lambda x, i: x.index_copy(0, i, x[0]),
        (F, "i64[3]"),
        DimensionError,
        "index_copy_(): When source and destination are not scalars, their dimensionality must match. Source "
        "dimensionality (1), destination dimensionality (2)",
    ),
    (
        lambda x, i: x.index_copy(0, i, x[:1]),
        (F, "i64[3]"),
        DimensionError,
        "index_copy_(): Number of indices (3) should be equal to source.size(dim) (1)",
    ),
    (
        lambda x, i: x.index_copy(0, i, x),
        (F, "i32[3]"),
        DTypeError,
        "index_copy_(): Expected a long tensor for index, but got Int",
    ),
    (
        lambda x, i: x.index_fill(0, i, x[0]),
        (F, "i64[3]"),
        ShapeError,
        "index_fill_ only supports a 0-dimensional value tensor, but got tensor with 1 dimension(s).",
    ),
    (
        lambda x, i: x.index_fill(0, i, 1),
        (F, "i32[3]"),
        DimensionError,
        "index_fill_(): Expected dtype int64 for index.",
    ),
    (
        lambda x, i: x.put(i, x),
        (F, "i64[3]"),
        DimensionError,
        "put_(): Expected source and index to have the same number of elements, but got source.numel() = 12, "
        "index.numel() = 3",
    ),
    (
        lambda x, i: x.put(i, i),
        (F, "i64[3]"),
        DTypeError,
        "put_(): self and source expected to have the same dtype, but got self.dtype = Float and source.dtype = Long",
    ),
    (lambda x: x.index_put((), 1.0), (F,), ArgumentError, "index_put: no index tensors"),
    (
        lambda x, i: x.index_put((i, i, i), 1.0),
        (F, "i64[2]"),
        DimensionError,
        "too many indices for tensor of dimension 2 (got 3)",
    ),
    (
        lambda x, i: x.index_put((i,), x[:, :3]),
        (F, "i64[2]"),
        ShapeError,
        "shape mismatch: value tensor of shape [3, 3] cannot be broadcast to indexing result of shape [2, 4]",
    ),
    (
        lambda x, i: x.index_put((i,), x.double()),
        (F, "i64[3]"),
        DTypeError,
        "Index put requires the source and destination dtypes match, got Float for the destination and Double for the "
        "source.",
    ),
    (
        lambda x: x.masked_scatter(x, x),
        (F,),
        DTypeError,
        "masked_scatter_ only supports boolean masks, but got mask with dtype Float",
    ),
    (
        lambda x, b: x.masked_scatter(b, x.double()),
        (F, B),
        DTypeError,
        "masked_scatter: expected self and source to have same dtypes but gotFloat and Double",
    ),
    (
        lambda x, b: x.masked_fill(b, x[0]),
        (F, B),
        ShapeError,
        "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with 1 dimension(s).",
    ),
    # Ordered
    (g.sort, (C,), DTypeError, " Sort does not support complex dtypes on CPU"),
    (lambda x: x.topk(5), (F,), ArgumentError, "selected index k out of range"),
    (lambda x: x.topk(-1), (F,), ArgumentError, "selected index k out of range"),
    (lambda x: x.topk(1), (B,), DTypeError, "topk does not support bool dtypes on CPU"),
    (
        lambda x: x.kthvalue(0),
        (F,),
        ArgumentError,
        "kthvalue(): selected number k out of range for dimension 1",
    ),
    (lambda x: x.median(0), (E,), DimensionError, "median(): Expected reduction dim 0 to have non-zero size."),
    (g.median, (B,), UnsupportedDType, "\"median_cpu\" not implemented for 'Bool'"),
    (lambda x: x.mode(0), (E,), DimensionError, "mode(): Expected reduction dim 0 to have non-zero size."),
    (lambda x: x.quantile(1.5), (F,), ArgumentError, "quantile() q must be in the range [0, 1] but got 1.5"),
    (lambda x: x.quantile(x), (F,), ShapeError, "quantile() q must be a scalar or 1D tensor"),
    (lambda x: x.quantile(0.5), (I,), DTypeError, "quantile() input tensor must be either float or double dtype"),
    (
        lambda x, q: x.nanquantile(q),
        (F, "f64[]"),
        DTypeError,
        "nanquantile() q tensor must be same dtype as the input tensor",
    ),
    (lambda x: x.quantile(0.5), (E,), ShapeError, "quantile() input tensor must be non-empty"),
    (
        lambda x: x.quantile(0.5, interpolation="up"),
        (F,),
        ArgumentError,
        "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got up",
    ),
    (
        lambda a, x: g.searchsorted(a, x, side="up"),
        ("f32[3]", F),
        ArgumentError,
        "torch.searchsorted(): side can only be 'left' or 'right' but got up",
    ),
    (
        lambda a, x: g.searchsorted(a, x, side="left", right=True),
        ("f32[3]", F),
        ArgumentError,
        "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True",
    ),
    (
        g.searchsorted,
        (F, "f32[2,4]"),
        ShapeError,
        "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
        "tensor and input value tensor must match, but we got boundaries tensor [3, 4] and input value tensor [2, 4]",
    ),
    (
        lambda a: g.searchsorted(a, 1.0),
        (F,),
        ShapeError,
        "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we got "
        "boundaries tensor dim(2) and input value's dim(0) numel(1)",
    ),
    (
        lambda a, s: g.searchsorted(a, a, sorter=s),
        ("f32[3]", "i64[2]"),
        ShapeError,
        "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor [3]and got sorter "
        "tensor [2]",
    ),
    (
        lambda a, s: g.searchsorted(a, a, sorter=s),
        ("f32[3]", "i32[3]"),
        DTypeError,
        "torch.searchsorted(): sorter must be a tensor of long dtype but got dtype Int",
    ),
    (g.bucketize, (F, F), ShapeError, "boundaries tensor must be 1 dimension, but got dim(2)"),
    # Greatest and least, running and counted
    (g.max, (E,), ArgumentError, "max(): Expected reduction dim to be specified for input.numel() == 0."),
    (lambda x: x.max(0), (E,), DimensionError, "max(): Expected reduction dim 0 to have non-zero size."),
    (g.argmax, (E,), DimensionError, "argmax(): Expected reduction dim to be specified for input.numel() == 0."),
    (g.argmax, (B,), DTypeError, "argmax(): does not support bool input"),
    (lambda x: x.min(0), (C,), DTypeError, "min(): does not support complex input"),
    (g.min, (C,), UnsupportedDType, "\"min_all\" not implemented for 'ComplexFloat'"),
    (lambda x: x.amax(0), (E,), DimensionError, "amax(): Expected reduction dim 0 to have non-zero size."),
    (
        g.aminmax,
        (E,),
        ArgumentError,
        "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.",
    ),
    (lambda x: x.cummax(0), (C,), UnsupportedDType, "\"cummax_cpu\" not implemented for 'ComplexFloat'"),
    (lambda x: x.logcumsumexp(0), (I,), UnsupportedDType, "\"logcumsumexp_out_cpu\" not implemented for 'Long'"),
    (lambda x: x.histc(0), (F,), ArgumentError, "torch.histogram(): bins must be > 0, but got 0 for dimension 0"),
    (lambda x: x.histc(4, 3, 1), (F,), ArgumentError, "torch.histc: max must be larger than min"),
    (lambda x: x.histc(4), (I,), UnsupportedDType, "\"histogram_cpu\" not implemented for 'Long'"),
)


@pytest.mark.parametrize(
    ("build", "specs", "kind", "message"), REFUSED, ids=[f"{k}-{row[3][:40]}" for k, row in enumerate(REFUSED)]
)
def test_refused_in_pytorchs_words(
    build: Callable[..., Any], specs: tuple[str, ...], kind: type[GraphcError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        g.symbolic_trace(build, *specs)
    assert caught.value.message.startswith(message)
    assert caught.value.hint


OUT_OF_RANGE: tuple[tuple[str, Callable[..., Any], tuple[int, ...], Any, str], ...] = (
    ("subscript", lambda x, i: x[i], (3,), 3, "index 3 is out of bounds for dimension 0 with size 3"),
    ("two subscripts", lambda x, i: x[i, i], (3, 4), 3, "index 3 is out of bounds for dimension 0 with size 3"),
    ("gather", lambda x, i: x.gather(1, i[None]), (3, 4), 4, "index 4 is out of bounds for dimension 1 with size 4"),
    ("gather below", lambda x, i: x.gather(0, i), (3,), -1, "index -1 is out of bounds for dimension 0 with size 3"),
    (
        "take",
        lambda x, i: x.take(i),
        (3, 4),
        -13,
        "out of range: tried to access index -13 on a tensor of 12 elements.",
    ),
    ("put", lambda x, i: x.put(i, x[:1]), (3,), 5, "out of range: tried to access index 5 on a tensor of 3 elements."),
    ("scatter", lambda x, i: x.scatter(0, i, 0.0), (3,), -4, "index -4 is out of bounds for dimension 0 with size 3"),
    ("index_select", lambda x, i: x.index_select(0, i), (3,), -1, "index out of range in self"),
    (
        "index_add",
        lambda x, i: x.index_add(0, i, x[:1]),
        (3,),
        3,
        "index 3 is out of bounds for dimension 0 with size 3",
    ),
    (
        "index_copy",
        lambda x, i: x.index_copy(0, i, x[:1]),
        (3,),
        -1,
        "index_copy_(): index -1 is out of bounds for dimension 0 with size 3",
    ),
    ("index_fill", lambda x, i: x.index_fill(0, i, 1.0), (3,), 3, "index 3 is out of bounds for dimension 0"),
    ("embedding", lambda x, i: g.embedding(x, i), (3, 4), 3, "index out of range in self"),
    ("one_hot", lambda x, i: g.one_hot(i, 3), (3,), -1, "Class values must be smaller than num_classes."),
    ("cross_entropy", lambda x, i: g.cross_entropy(x[:1], i), (1, 4), 4, "Target 4 is out of bounds."),
    ("cross_entropy below", lambda x, i: g.cross_entropy(x[:1], i), (1, 4), -1, "Target -1 is out of bounds."),
    (
        "masked_scatter",
        lambda x, i: x.masked_scatter(x == 0, i.float()),
        (3,),
        0,
        "Number of elements of source < number of ones in mask",
    ),
    ("quantile", lambda x, i: x.quantile(i.float()), (3,), 2, "quantile() q values must be in the range [0, 1]"),
)


@pytest.mark.parametrize(
    ("name", "build", "shape", "index", "message"), OUT_OF_RANGE, ids=[row[0] for row in OUT_OF_RANGE]
)
def test_an_index_out_of_range_is_reported_by_the_run(
    name: str, build: Callable[..., Any], shape: tuple[int, ...], index: int, message: str
) -> None:
    arrays = np.zeros(shape, np.float32), np.array([index])
    for run in (interpret, native):
        with pytest.raises(IndexOutOfRange) as caught:
            run(build, *arrays)
        assert caught.value.message.startswith(message)
        assert "test_placing_errors.py" in str(caught.value)


def test_of_a_graph_too_long_to_run_again_the_error_names_no_value() -> None:
    def build(x: Any, i: Any) -> Any:
        for _ in range(250):
            x = x.sin()
        return g.cross_entropy(x, i)

    with pytest.raises(IndexOutOfRange, match=r"Target \(not shown\) is out of bounds"):
        native(build, np.zeros((1, 3), np.float32), np.array([3]))
