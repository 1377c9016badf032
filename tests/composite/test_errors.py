"""What the functions refuse: the first line of the error, its kind, and that it names the user's own line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc as g
from graphc.ir.errors import (
    ArgumentError,
    DimensionError,
    DTypeError,
    GraphcError,
    IndexOutOfRange,
    ShapeError,
    SignatureError,
    TraceError,
    UnsupportedDType,
)

F = "f32[3,4]"
IMAGE = "f32[2,4,8,8]"
Row = tuple[Callable[..., Any], tuple[str, ...], type[GraphcError], str]

CONTRACTIONS: tuple[Row, ...] = (
    (g.matmul, (F, "f32[5,3]"), ShapeError, "mat1 and mat2 shapes cannot be multiplied (3x4 and 5x3)"),
    (
        g.matmul,
        (F, "f32[n,3]"),
        ShapeError,
        "matmul: the sizes 4 and n are not known to be equal",
    ),
    (g.matmul, (F, "f64[4,3]"), DTypeError, "expected m1 and m2 to have the same dtype, but got: float != double"),
    (g.matmul, ("bool[3,4]", "bool[4,3]"), UnsupportedDType, "\"addmm_impl_cpu_\" not implemented for 'Bool'"),
    (g.matmul, ("f32[]", F), ShapeError, "both arguments to matmul need to be at least 1D, but they are 0D and 2D"),
    (
        g.matmul,
        ("f32[2,3,4]", "f32[5,4,3]"),
        ShapeError,
        "The size of tensor a (2) must match the size of tensor b (5) at non-singleton dimension 0",
    ),
    (g.mm, ("f32[3]", F), ShapeError, "self must be a matrix"),
    (g.mm, (F, "f32[4]"), ShapeError, "mat2 must be a matrix"),
    (g.bmm, (F, F), ShapeError, "batch1 must be a 3D tensor"),
    (
        g.bmm,
        ("f32[2,3,4]", "f32[1,4,3]"),
        ShapeError,
        "Expected size for first two dimensions of batch2 tensor to be: [2, 4] but got: [1, 4].",
    ),
    (g.mv, (F, F), ShapeError, "vector + matrix @ vector expected, got 1, 2, 2"),
    (g.dot, (F, "f32[4]"), ShapeError, "1D tensors expected, but got 2D and 1D tensors"),
    (g.vdot, ("f32[4]", F), ShapeError, "1D tensors expected, but got 1D and 2D tensors"),
    (g.outer, (F, F), ShapeError, "outer: Expected 1-D argument self, but got 2-D"),
    (
        g.addmm,
        ("f32[2,2]", F, "f32[4,5]"),
        ShapeError,
        "The expanded size of the tensor (5) must match the existing size (2) at non-singleton"
        " dimension 1.  Target sizes: [3, 5].  Tensor sizes: [2, 2]",
    ),
    (
        g.addmm,
        ("f32[2,3,5]", F, "f32[4,5]"),
        ShapeError,
        "expand(torch.FloatTensor{[2, 3, 5]}, size=[3, 5]): the number of sizes provided (2) m"
        "ust be greater or equal to the number of dimensions in the tensor (3)",
    ),
    (
        g.linear,
        (F, "f32[2,5]"),
        ShapeError,
        "mat1 and mat2 shapes cannot be multiplied (3x4 and 5x2)",
    ),
    (
        g.linear,
        (F, IMAGE),
        ShapeError,
        "t() expects a tensor with <= 2 dimensions, but self is 4D",
    ),
    (
        g.bilinear,
        (F, F, "f32[2,4,5]"),
        ShapeError,
        "bilinear(): input2 size does not match weight size: got 4 but expected 5",
    ),
    (
        g.bilinear,
        (F, "f32[2,4]", "f32[2,4,4]"),
        ShapeError,
        "bilinear(): input batch dimensions do not match at dim 0: got 3 and 2",
    ),
    (
        lambda a, b: g.tensordot(a, b, 1),
        (F, F),
        ShapeError,
        "contracted dimensions need to match, but first has size 4 in dim -1 and second has size 3 in dim 0",
    ),
    (
        lambda a, b: g.tensordot(a, b, 3),
        (F, F),
        ArgumentError,
        "tensordot expects dims < ndim_a or ndim_b, but got dims=3",
    ),
    (
        lambda a, b: g.tensordot(a, b, ([0, 0], [0, 1])),
        (F, F),
        ArgumentError,
        "dim 0 appears multiple times in the list of dims",
    ),
    (lambda x: g.einsum(x, "ij"), (F,), ArgumentError, "einsum(): subscript i is not within the valid range [0, 52)"),
    (
        lambda x: g.einsum("ij"),
        (F,),
        ArgumentError,
        "einsum(): must specify the equation string and at least one operand, or at least one "
        "operand and its subscripts list",
    ),
    (
        lambda x: g.einsum("ij,jk", x),
        (F,),
        ArgumentError,
        "einsum(): fewer operands were provided than specified in the equation",
    ),
    (
        lambda x: g.einsum("i", x),
        (F,),
        ShapeError,
        "einsum(): the number of subscripts in the equation (1) does not match the number of d"
        "imensions (2) for operand 0 and no ellipsis was given",
    ),
    (
        lambda x: g.einsum("ijk...", x),
        (F,),
        ShapeError,
        "einsum(): the number of subscripts in the equation (3) is larger than the number of d"
        "imensions (2) for operand 0",
    ),
    (
        lambda x: g.einsum("i1", x),
        (F,),
        ArgumentError,
        "einsum(): invalid subscript given at index 1 in the equation string, subscripts must be in [a-zA-Z]",
    ),
    (
        lambda x: g.einsum("ij->ik", x),
        (F,),
        ArgumentError,
        "einsum(): output subscript k does not appear in the equation for any input operand",
    ),
    (
        lambda x: g.einsum("ij->ii", x),
        (F,),
        ArgumentError,
        "einsum(): output subscript i appears more than once in the output",
    ),
    (
        lambda x, y: g.einsum("ij,jk", x, y),
        (F, F),
        ShapeError,
        "einsum(): subscript j has size 3 for operand 1 which does not broadcast with previously seen size 4",
    ),
    (
        lambda x, y: g.einsum("ij,jk", x, y),
        (F, "f32[n,3]"),
        ShapeError,
        "einsum: the sizes 4 and n are not known to be equal",
    ),
    (
        lambda x, y: g.einsum("ij,jk", x, y),
        (F, "f64[4,3]"),
        DTypeError,
        "expected scalar type Float but found Double",
    ),
)

SUBSCRIPTS: tuple[Row, ...] = (
    (lambda x: x[x > 0], (F,), TraceError, "index: how many elements a mask chooses is known only when it is computed"),
    (lambda x, i: x[i:], (F, "i64[]"), TraceError, "index: the ends of a slice are computed"),
    (
        lambda x: x[x.shape[0] - 2 :],
        ("f32[n]",),
        ShapeError,
        "index: whether n - 2 counts from the front or from the end is not known",
    ),
    (
        lambda x, i, j: x[i, j],
        (F, "i64[2]", "i64[3]"),
        IndexOutOfRange,
        "shape mismatch: indexing tensors could not be broadcast together with shapes [2], [3]",
    ),
    (lambda x: x.__setitem__(0, 1), (F,), TraceError, "a traced tensor can't be written to"),
    (
        lambda x: x.masked_fill(x, 0),
        (F,),
        DTypeError,
        "masked_fill_ only supports boolean masks, but got mask with dtype float",
    ),
    (lambda i: g.one_hot(i), ("i64[3]",), ArgumentError, "one_hot: the number of classes is not given"),
    (lambda x: x.roll(1, 0), ("f32[n]",), ShapeError, "roll: by 1 along the symbolic size n"),
)

NETWORKS: tuple[Row, ...] = (
    (g.gelu, ("i64[3]",), UnsupportedDType, "\"GeluKernelImpl\" not implemented for 'Long'"),
    (lambda x: g.gelu(x, "erf"), (F,), ArgumentError, "approximate argument must be either none or tanh."),
    (
        lambda x: x.softmax(0),
        ("i64[3]",),
        UnsupportedDType,
        "\"softmax_lastdim_kernel_impl\" not implemented for 'Long'",
    ),
    (
        lambda x: x.softmax(2),
        (F,),
        ArgumentError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
    ),
    (lambda x: g.hardtanh(x, 1, 0), (F,), ArgumentError, "min_val cannot be greater than max_val"),
    (
        lambda x: g.softshrink(x, -1.0),
        (F,),
        ArgumentError,
        "lambda must be in range [0, 3.40282e+38] for input dtype Float, but found -1",
    ),
    (lambda x: g.celu(x, 0), (F,), ArgumentError, "ZeroDivisionError: alpha cannot be 0 for CELU"),
    (
        g.prelu,
        (F, "f32[3]"),
        ShapeError,
        "Mismatch of parameter numbers and input channel size. Found parameter numbers = 3 and channel size = 4.",
    ),
    (lambda x: g.glu(x, 0), (F,), ShapeError, "Halving dimension must be even, but dimension 0 is size 3"),
    (
        lambda x: g.layer_norm(x, 3),
        (F,),
        ShapeError,
        "Given normalized_shape=[3], expected input with shape [*, 3], but got input of size[3, 4]",
    ),
    (
        lambda x: g.layer_norm(x, ()),
        (F,),
        ShapeError,
        "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one"
        " element, but got normalized_shape = []",
    ),
    (
        lambda x, w: g.layer_norm(x, 4, w),
        (F, "f32[3]"),
        ShapeError,
        "Expected weight to be of same shape as normalized_shape, but got weight of shape [3] "
        "and normalized_shape = [4]",
    ),
    (
        lambda x: g.rms_norm(x, 3),
        (F,),
        ShapeError,
        "Given normalized_shape=[3], expected input with shape [*3], but got input of size[3, 4]",
    ),
    (
        lambda x: g.group_norm(x, 3),
        (IMAGE,),
        ShapeError,
        "Expected number of channels in input to be divisible by num_groups, but got input of "
        "shape [2, 4, 8, 8] and num_groups=3",
    ),
    (
        lambda x: g.group_norm(x, 1),
        ("f32[3]",),
        ShapeError,
        "Expected at least 2 dimensions for input tensor but received 1",
    ),
    (lambda x: g.batch_norm(x, None, None), (IMAGE,), ArgumentError, "running_mean must be defined in evaluation mode"),
    (
        lambda x, w: g.batch_norm(x, w, w),
        (IMAGE, "f32[3]"),
        ShapeError,
        "running_mean should contain 4 elements not 3",
    ),
    (
        g.instance_norm,
        (F,),
        ShapeError,
        "Expected more than 1 spatial element when training, got input size torch.Size([3, 4])",
    ),
    (lambda x: g.dropout(x, 1.5), (F,), ArgumentError, "dropout probability has to be between 0 and 1, but got 1.5"),
    (g.dropout, (F,), ArgumentError, "dropout: no key is given, and a graph has no random numbers of its own"),
    (lambda x: g.dropout(x, key=x), (F,), DTypeError, "dropout: takes integers as the key, not float32"),
    (lambda x: g.dropout(x, key=0.5), (F,), ArgumentError, "dropout: the key is a float"),
    (lambda x: g.rand(3), (F,), ArgumentError, "rand: no key is given"),
    (lambda x: g.rand(3, key=1, dtype="int64"), (F,), DTypeError, "rand: no random numbers of int64"),
    (lambda x: g.randint(3, key=1), (F,), ArgumentError, "randint: no size is given"),
    (lambda x: g.randint(3, 3, (2,), key=1), (F,), ArgumentError, "randint: nothing is from 3 to before 3"),
    (lambda x: g.normal(0.0, 1.0, key=1), (F,), ArgumentError, "normal: neither a tensor nor a size is given"),
)

LOSSES: tuple[Row, ...] = (
    (lambda x: g.mse_loss(x, x, "avg"), (F,), ArgumentError, "avg is not a valid value for reduction"),
    (g.mse_loss, ("i64[3]", "i64[3]"), UnsupportedDType, "\"mse_cpu\" not implemented for 'Long'"),
    (
        lambda x: g.smooth_l1_loss(x, x, beta=-1),
        (F,),
        ArgumentError,
        "smooth_l1_loss does not support negative values for beta.",
    ),
    (
        lambda x: g.huber_loss(x, x, delta=0),
        (F,),
        ArgumentError,
        "huber_loss does not support non-positive values for delta.",
    ),
    (g.gaussian_nll_loss, (F, F, "f32[5,3,4]"), ShapeError, "var is of incorrect size"),
    (
        g.cosine_embedding_loss,
        (F, F, F),
        ShapeError,
        "0D or 1D target tensor expected, multi-target not supported",
    ),
    (g.cross_entropy, (F, "i64[4]"), ShapeError, "Expected input batch_size (3) to match target batch_size (4)."),
    (g.cross_entropy, (F, "f32[3]"), DTypeError, "expected target dtype to be Long or Byte, but got Float"),
    (g.cross_entropy, (F, "i64[3,4]"), DTypeError, "Expected floating point type for target with class probabilities"),
    (g.cross_entropy, (F, "i64[3,1]"), ShapeError, "0D or 1D target tensor expected, multi-target not supported"),
    (g.cross_entropy, ("f32[3]", "i64[2]"), ShapeError, "For 1D input, 1D target must have size 1, but got target siz"),
    (g.cross_entropy, ("f32[2,3,4]", "i64[2,3]"), ShapeError, "Expected target size [2, 4], got [2, 3]"),
    (
        g.cross_entropy,
        (IMAGE, "i64[2,8]"),
        ShapeError,
        "only batches of spatial targets supported (3D tensors) but got",
    ),
    (g.cross_entropy, (IMAGE, "i64[2,8,9]"), ShapeError, "size mismatch (got input: [2, 4, 8, 8] , target: [2, 8, 9]"),
    (
        lambda x, p: g.cross_entropy(x, p, ignore_index=0),
        (F, F),
        ArgumentError,
        "ignore_index is not supported for floating point target",
    ),
    (g.cross_entropy, (F, "i64[3]", "f64[4]"), DTypeError, "expected scalar type Float but found Double"),
    (
        lambda x, m: g.batch_norm(x, m, m, training=True, eps=0.0),
        (F, "f32[4]"),
        ArgumentError,
        "batch_norm eps must be positive during training, but got 0.0",
    ),
    (
        lambda x, w, b: g.linear(x, w, b),
        (F, "f64[2,4]", "f64[2]"),
        DTypeError,
        "mat1 and mat2 must have the same dtype, but got Float and Double",
    ),
    (g.linear, ("f32[]", F), ShapeError, "both arguments to linear need to be at least 1D, but they are 0D and 2D"),
    (g.cross_entropy, (F, "bool[3]"), DTypeError, "expected target dtype to be Long or Byte, but got Bool"),
    (g.cross_entropy, (F, "i32[3]"), DTypeError, "expected target dtype to be Long or Byte, but got Int"),
    (g.cross_entropy, (IMAGE, "u8[2,8,8]"), DTypeError, "expected scalar type Long but found Byte"),
    (g.nll_loss, ("f32[2,3,4]", "u8[2,4]"), DTypeError, "expected scalar type Long but found Byte"),
    (
        g.cross_entropy,
        (F, "i64[3]", "f32[3]"),
        ShapeError,
        "weight tensor should be defined either for all 4 classes or no classes but got weight tensor of shape: [3]",
    ),
    (g.cross_entropy, ("f32[]", "i64[]"), ShapeError, "Expected 1 or more dimensions (got 0)"),
    (
        lambda x, t: g.cross_entropy(x, t, label_smoothing=2.0),
        (F, "i64[3]"),
        ArgumentError,
        "label_smoothing must be between 0.0 and 1.0. Got: 2",
    ),
    (g.nll_loss, (F, "f32[3]"), DTypeError, "expected target dtype to be Long or Byte, but got Float"),
)

ELEMENTS: tuple[Row, ...] = (
    (
        g.add,
        (F, "f32[3,3]"),
        ShapeError,
        "The size of tensor a (4) must match the size of tensor b (3) at non-singleton dimension 1",
    ),
    (
        g.add,
        (F, "f32[3,n]"),
        ShapeError,
        "add: the shapes [3,4] and [3,n] are not known to broadcast: 4 and n in dimension 1",
    ),
    (lambda x: x + "a", (F,), ArgumentError, "a str is no tensor or number"),
    (
        lambda x: g.div(x, x, rounding_mode="up"),
        (F,),
        ArgumentError,
        "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found 'up'",
    ),
    (lambda x: x**-1, ("i64[3]",), ArgumentError, "Integers to negative integer powers are not allowed."),
    (lambda x: x.clamp(), (F,), ArgumentError, "torch.clamp: At least one of 'min' or 'max' must not be None"),
    (g.isclose, (F, "f64[3,4]"), DTypeError, "Float did not match Double"),
    (lambda x: x.diff(-1), (F,), ArgumentError, "order must be non-negative but got -1"),
    (g.diff, ("f32[]",), ShapeError, "diff expects input to be at least one-dimensional"),
    (g.trapezoid, ("f32[]",), DimensionError, "Dimension specified as -1 but tensor has no dimensions"),
    (g.trapezoid, (F, "f32[3]"), ShapeError, "trapezoid: There must be one `x` value for each sample point"),
    (g.view_as_complex, (F,), ShapeError, "Tensor must have a last dimension of size 2"),
    (g.view_as_real, (F,), DTypeError, "view_as_real is only supported for complex tensors"),
    (
        g.mean,
        ("i64[3]",),
        DTypeError,
        "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: Long",
    ),
    (lambda x: x.sum((0, 0)), (F,), ArgumentError, "dim 0 appears multiple times in the list of dims"),
    (lambda x: x.sum(1.0), (F,), ArgumentError, "sum: dim must be an int, not a float"),
    (lambda x: x.norm("max"), (F,), ArgumentError, "linalg.matrix_norm: Order max not supported."),
)

SHAPES: tuple[Row, ...] = (
    (lambda x: g.arange(0, 1, 0), (F,), ArgumentError, "step must be nonzero"),
    (lambda x: g.arange(0.5, x.shape[0]), ("f32[n]",), ArgumentError, "arange: a float beside a symbolic size"),
    (lambda x: g.arange(0, 9, x.shape[0]), ("f32[n]",), ArgumentError, "arange: the step is the symbolic size n"),
    (lambda x: g.arange(3, dtype="bool"), (F,), UnsupportedDType, "\"arange_cpu\" not implemented for 'Bool'"),
    (lambda x: g.linspace(0, 1, -1), (F,), ArgumentError, "number of steps must be non-negative"),
    (
        lambda x: g.full((2,), x),
        (F,),
        SignatureError,
        "full(): argument 'fill_value' (position 2) must be Number, not Tensor",
    ),
    (lambda x: g.zeros(2, dtype="float31"), (F,), DTypeError, "'float31' is no dtype graphc computes with"),
    (
        lambda x: g.meshgrid(x),
        (F,),
        ShapeError,
        "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: [3, 4]",
    ),
    (
        lambda x: g.meshgrid(x[0], indexing="yx"),
        (F,),
        ArgumentError,
        'torch.meshgrid: indexing must be one of "xy" or "ij", but received: yx',
    ),
    (
        g.block_diag,
        (IMAGE,),
        ShapeError,
        "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input 0 has 4 dimensions",
    ),
)

ROWS = (*CONTRACTIONS, *SUBSCRIPTS, *NETWORKS, *LOSSES, *ELEMENTS, *SHAPES)


@pytest.mark.parametrize(("build", "specs", "kind", "message"), ROWS, ids=[row[3][:60] for row in ROWS])
def test_refused(build: Callable[..., Any], specs: tuple[str, ...], kind: type[GraphcError], message: str) -> None:
    def users_function(*x: Any) -> Any:
        return build(*x)

    with pytest.raises(kind) as caught:
        g.symbolic_trace(users_function, *specs)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(message), lines[0]
    assert "test_errors.py" in lines[1]
    assert len(lines) == 3, "every error says the way out"


def test_the_sign_of_a_slices_end_is_the_users_to_declare() -> None:
    graph = g.symbolic_trace(lambda x: x[x.shape[0] - 2 :], "f32[n] where n in 2..64")
    assert str(graph.outputs[0].type) == "f32[2]"


@pytest.mark.parametrize("loss", [g.mse_loss, g.l1_loss, g.smooth_l1_loss, g.huber_loss])
def test_a_target_that_repeats_is_warned_of(loss: Callable[..., Any]) -> None:
    message = r"Using a target size \(torch.Size\(\[4\]\)\) that is different to the input size"
    with pytest.warns(UserWarning, match=message):
        g.symbolic_trace(loss, F, "f32[4]")
