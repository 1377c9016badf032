"""What layers show of themselves, and what their constructors and calls refuse, in PyTorch's words."""

from collections.abc import Callable

import pytest

import graphc
from graphc import nn
from graphc.nn import functional as F

TEXTS = """
Identity(3) | Identity()
Linear(2, 3) | Linear(in_features=2, out_features=3, bias=True)
Linear(2, 3, bias=False) | Linear(in_features=2, out_features=3, bias=False)
Bilinear(2, 3, 4) | Bilinear(in1_features=2, in2_features=3, out_features=4, bias=True)
Conv1d(2, 4, 3) | Conv1d(2, 4, kernel_size=(3,), stride=(1,))
Conv2d(2, 4, 3, padding="same") | Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=same)
Conv2d(2, 4, (3, 1), 2, 1, 2, 2, False, "circular") | Conv2d(2, 4, kernel_size=(3, 1), stride=(2, 2), padding=(1, 1), \
dilation=(2, 2), groups=2, bias=False, padding_mode=circular)
ConvTranspose1d(2, 4, 3, 2, 0, 1) | ConvTranspose1d(2, 4, kernel_size=(3,), stride=(2,), output_padding=(1,))
ReLU() | ReLU()
ReLU(True) | ReLU(inplace=True)
ReLU6(True) | ReLU6(inplace=True)
RReLU(inplace=True) | RReLU(lower=0.125, upper=0.3333333333333333, inplace=True)
Hardtanh(-2, 2) | Hardtanh(min_val=-2, max_val=2)
Hardsigmoid(True) | Hardsigmoid()
ELU() | ELU(alpha=1.0)
LeakyReLU(0.2, True) | LeakyReLU(negative_slope=0.2, inplace=True)
GLU() | GLU(dim=-1)
GELU("tanh") | GELU(approximate='tanh')
Hardshrink() | Hardshrink(0.5)
Softshrink() | Softshrink(0.5)
Softplus() | Softplus(beta=1.0, threshold=20.0)
PReLU(3) | PReLU(num_parameters=3)
Softmax() | Softmax(dim=None)
LogSoftmax(1) | LogSoftmax(dim=1)
Threshold(0.1, 20) | Threshold(threshold=0.1, value=20)
BatchNorm1d(3) | BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
InstanceNorm2d(3) | InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
LayerNorm([3, 4]) | LayerNorm((3, 4), eps=1e-05, elementwise_affine=True, bias=True)
GroupNorm(2, 4) | GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)
RMSNorm(3) | RMSNorm((3,), eps=None, elementwise_affine=True)
LocalResponseNorm(2) | LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0)
MaxPool2d((2, 3), ceil_mode=True) | MaxPool2d(kernel_size=(2, 3), stride=(2, 3), padding=0, dilation=1, ceil_mode=True)
MaxUnpool1d(2) | MaxUnpool1d(kernel_size=(2,), stride=(2,), padding=(0,))
AvgPool1d(2) | AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))
AvgPool2d(2, 1) | AvgPool2d(kernel_size=2, stride=1, padding=0)
LPPool2d(1.5, 3) | LPPool2d(norm_type=1.5, kernel_size=3, stride=None, ceil_mode=False)
AdaptiveAvgPool2d((3, None)) | AdaptiveAvgPool2d(output_size=(3, None))
FractionalMaxPool2d(2, 3) | FractionalMaxPool2d()
Dropout() | Dropout(p=0.5, inplace=False)
Embedding(10, 3, padding_idx=-8, max_norm=1.0) | Embedding(10, 3, padding_idx=2, max_norm=1.0)
EmbeddingBag(10, 3) | EmbeddingBag(10, 3, mode='mean')
Flatten() | Flatten(start_dim=1, end_dim=-1)
Unflatten(1, (2, 3)) | Unflatten(dim=1, unflattened_size=(2, 3))
ReflectionPad2d((1, 2, 3, 4)) | ReflectionPad2d((1, 2, 3, 4))
ZeroPad1d(1) | ZeroPad1d((1, 1))
ConstantPad1d(1, 2.5) | ConstantPad1d(padding=(1, 1), value=2.5)
Upsample(size=(3, 4), mode="bilinear") | Upsample(size=(3, 4), mode='bilinear')
UpsamplingNearest2d(scale_factor=2) | UpsamplingNearest2d(scale_factor=2.0, mode='nearest')
PixelShuffle(2) | PixelShuffle(upscale_factor=2)
ChannelShuffle(2) | ChannelShuffle(groups=2)
Fold((4, 5), 2) | Fold(output_size=(4, 5), kernel_size=2, dilation=1, padding=0, stride=1)
CosineSimilarity() | CosineSimilarity()
CrossEntropyLoss() | CrossEntropyLoss()
TripletMarginWithDistanceLoss() | TripletMarginWithDistanceLoss(\\n  (distance_function): PairwiseDistance()\\n)
LinearCrossEntropyLoss(4, 3) | LinearCrossEntropyLoss(\\n  in_features=4, num_classes=3, out_features=(), bias=False, \
reduction=mean, ignore_index=None, label_smoothing=0.0, options=None\\n  (linear): Linear(in_features=4, \
out_features=3, bias=False)\\n)
"""
ROWS = [line.split(" | ") for line in TEXTS.strip().splitlines()]


@pytest.mark.parametrize(("code", "text"), ROWS, ids=[row[0] for row in ROWS])
def test_layers_show_their_settings(code: str, text: str) -> None:
    assert repr(eval(f"nn.{code}")) == text.replace("\\n", "\n")


def x(*shape: int) -> graphc.Tensor:
    return graphc.ones(*shape)  # type: ignore[attr-defined]  # a function of the table


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: nn.Bilinear(0, 1, 1), ValueError, "in1_features must be > 0, but got (in1_features=0)"),
    (lambda: nn.Linear(2, -1), RuntimeError, "Trying to create tensor with negative dimension -1: [-1, 2]"),
    (lambda: nn.Conv2d(3, 4, 2, groups=2), ValueError, "in_channels must be divisible by groups"),
    (lambda: nn.Conv2d(4, 3, 2, groups=2), ValueError, "out_channels must be divisible by groups"),
    (lambda: nn.Conv2d(4, 4, 2, groups=0), ValueError, "groups must be a positive integer"),
    (
        lambda: nn.Conv2d(4, 4, 2, stride=2, padding="same"),
        ValueError,
        "padding='same' is not supported for strided convolutions",
    ),
    (lambda: nn.Conv2d(4, 4, 2, padding="all"), ValueError, "Invalid padding string 'all', should be one of {"),
    (lambda: nn.Conv2d(4, 4, 2, padding_mode="all"), ValueError, "padding_mode must be one of {"),
    (
        lambda: nn.ConvTranspose2d(1, 1, 2, padding_mode="reflect"),
        ValueError,
        'Only "zeros" padding mode is supported for ConvTranspose2d',
    ),
    (lambda: nn.Hardtanh(2, 1), AssertionError, "max_val (1) must be greater than min_val (2)"),
    (lambda: nn.Dropout(1.5), ValueError, "dropout probability has to be between 0 and 1, but got 1.5"),
    (lambda: nn.GroupNorm(3, 4), ValueError, "num_channels (4) must be divisible by num_groups (3)"),
    (
        lambda: nn.FractionalMaxPool2d(2),
        ValueError,
        "FractionalMaxPool2d requires specifying either an output size, or a pooling ratio",
    ),
    (
        lambda: nn.FractionalMaxPool3d(2, 2, 0.5),
        ValueError,
        "only one of output_size and output_ratio may be specified",
    ),
    (
        lambda: nn.FractionalMaxPool2d(2, output_ratio=1.5),
        ValueError,
        "output_ratio must be between 0 and 1 (got 1.5)",
    ),
    (lambda: nn.FractionalMaxPool3d(0, 2), ValueError, "kernel_size must be greater than 0, but got 0"),
    (lambda: nn.Embedding(10, 3, 10), AssertionError, "Padding_idx must be within num_embeddings"),
    (lambda: nn.EmbeddingBag(10, 3, padding_idx=-11), AssertionError, "padding_idx must be within num_embeddings"),
    (
        lambda: nn.Embedding(3, 2, _weight=x(2, 2)),
        AssertionError,
        "Shape of weight does not match num_embeddings and embedding_dim",
    ),
    (
        lambda: nn.Embedding.from_pretrained(x(3)),
        AssertionError,
        "Embeddings parameter is expected to be 2-dimensional",
    ),
    (lambda: nn.Unflatten(1, 3), TypeError, "unflattened_size must be a tuple of ints, but found type int"),
    (
        lambda: nn.Unflatten(1, (2, 1.5)),
        TypeError,
        "unflattened_size must be tuple of ints, but found element of type float at pos 1",
    ),
    (lambda: nn.HuberLoss(delta="a"), TypeError, "delta must be a float or int, got: <class 'str'>"),  # type: ignore[arg-type]  # refused
    (lambda: nn.MultiMarginLoss(p=3), ValueError, "only p == 1 and p == 2 supported"),
    (
        lambda: nn.TripletMarginLoss(margin=0),
        ValueError,
        "TripletMarginLoss: expected margin to be greater than 0, got 0 instead",
    ),
    (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 20, []),
        ValueError,
        "cutoffs should be a sequence of length larger than 0",
    ),
    (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 3]),
        ValueError,
        "cutoffs should be a sequence of unique, positive integers sorted in an increasing order",
    ),
    (lambda: nn.BatchNorm1d(3)(x(3)), ValueError, "expected 2D or 3D input (got 1D input)"),
    (lambda: nn.BatchNorm2d(3)(x(3, 3, 3)), ValueError, "expected 4D input (got 3D input)"),
    (
        lambda: nn.BatchNorm1d(3)(x(1, 3)),
        ValueError,
        "Expected more than 1 value per channel when training, got input size torch.Size([1, 3])",
    ),
    (
        lambda: nn.InstanceNorm1d(3, affine=True)(x(2, 4, 5)),
        ValueError,
        "expected input's size at dim=1 to match num_features (3), but got: 4.",
    ),
    (lambda: nn.Softmax2d()(x(2, 3)), ValueError, "Softmax2d: expected input to be 3D or 4D, got 2D instead"),
    (lambda: nn.CircularPad1d(1)(x(3)), ValueError, "expected 2D or 3D input (got 1D input)"),
    (
        lambda: nn.ConvTranspose2d(3, 4, 3, stride=2)(x(1, 3, 4, 4), output_size=(12, 12)),
        ValueError,
        "requested an output size of (12, 12), but valid sizes range from [9, 9] to [10, 10] (for an input of "
        "torch.Size([4, 4]))",
    ),
    (
        lambda: nn.ConvTranspose2d(3, 4, 3)(x(3, 4, 4), output_size=(6,)),
        ValueError,
        "ConvTranspose2D: for 3D input, output_size must have 2 or 3 elements (got 1)",
    ),
    (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4])(x(2, 16), graphc.tensor([1, 20])),  # type: ignore[attr-defined]  # from the table
        RuntimeError,
        "Target values should be in [0, 19], but values in range [1, 20] were found. ",
    ),
    (
        lambda: nn.Linear(3, 2)(x(2, 3).double()),  # type: ignore[attr-defined]  # from the table
        RuntimeError,
        "mat1 and mat2 must have the same dtype, but got Double and Float",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[row[2][:60] for row in REFUSED])
def test_refused(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Conv2d(1), "Conv2d.__init__() missing 2 required positional arguments: 'out_channels' and "),
        (lambda: nn.Conv1d(1, 1, 1)(), "Conv1d.forward() missing 1 required positional argument: 'input'"),
        (lambda: type("Mine", (nn.Conv2d,), {})(), "Conv2d.__init__() missing 3 required positional arguments: "),
        (lambda: nn.LazyConv2d(), "LazyConv2d.__init__() missing 2 required positional arguments: 'out_channels'"),
        (lambda: nn.ReLU(bias=1), "ReLU.__init__() got an unexpected keyword argument 'bias'"),
        (lambda: nn.AvgPool3d(), "AvgPool3d.__init__() missing 1 required positional argument: 'kernel_size'"),
        (lambda: nn.MSELoss()(x(1)), "MSELoss.forward() missing 1 required positional argument: 'target'"),
        (lambda: nn.ZeroPad2d(1, 2), "ZeroPad2d.__init__() takes 2 positional arguments but 3 were given"),
    ],
)
def test_wrong_arguments_name_the_class_that_is_called(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.mse_loss(x(1)), "mse_loss() missing 1 required positional argument: 'target'"),
        (lambda: F.relu(), "relu() missing 1 required positional argument: 'input'"),
        (lambda: F.relu(x(1), slope=1), "relu() got an unexpected keyword argument 'slope'"),
        (lambda: F.layer_norm(x(1)), "layer_norm() missing 1 required positional argument: 'normalized_shape'"),
        (lambda: F.dropout(x(1), 0.5, True, False, 1), "dropout() takes from 1 to 4 positional arguments but 5 were "),
        (lambda: F.embedding(x(1), x(1), bias=1), "embedding() got an unexpected keyword argument 'bias'"),
        (lambda: F.batch_norm(x(2, 3)), "batch_norm() missing 2 required positional arguments: 'running_mean' and 'ru"),
        (lambda: F.gelu(), 'gelu() missing 1 required positional arguments: "input"'),
        (lambda: nn.utils.rnn.pad_sequence(), "pad_sequence() missing 1 required positional argument: 'sequences'"),
    ],
)
def test_wrong_arguments_are_refused_in_the_words_of_python_where_pytorch_has_python(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value).startswith(message)


DEPRECATED: list[tuple[Callable[[], object], type[Warning], str]] = [
    (
        lambda: nn.Hardtanh(min_value=-3),
        FutureWarning,
        "keyword argument `min_value` is deprecated and renamed to `min_val`",
    ),
    (lambda: nn.NLLLoss2d(), FutureWarning, "NLLLoss2d has been deprecated."),
    (
        lambda: nn.MSELoss(size_average=False),
        UserWarning,
        "size_average and reduce args will be deprecated, please use reduction='sum' instead.",
    ),
    (
        lambda: nn.InstanceNorm1d(3)(x(2, 4, 5)),
        UserWarning,
        "input's size at dim=1 does not match num_features.",
    ),
    (
        lambda: nn.KLDivLoss()(x(2), x(2)),
        UserWarning,
        "reduction: 'mean' divides the total loss by both the batch size and the support size.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), DEPRECATED, ids=[row[2][:40] for row in DEPRECATED])
def test_warned_of(call: Callable[[], object], kind: type[Warning], message: str) -> None:
    with pytest.warns(kind) as caught:
        call()
    assert str(caught[0].message).startswith(message)


def test_old_arguments_choose_the_reduction() -> None:
    with pytest.warns(UserWarning, match="size_average"):
        assert nn.L1Loss(reduce=False).reduction == "none"
    with pytest.warns(UserWarning, match="size_average"):
        assert nn.NLLLoss(size_average=True).reduction == "mean"
    with pytest.warns(FutureWarning):
        layer = nn.Hardtanh(min_value=-3, max_value=2)
    assert (layer.min_val, layer.max_val) == (-3, 2)
