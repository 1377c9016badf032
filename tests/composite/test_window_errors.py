"""What convolutions, pooling, resizing and rows of tables refuse, in the words of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc as g
import graphc.nn.functional as F
from graphc.ir.errors import GraphcError

IMAGE = "f32[2,4,8,8]"
KERNEL = "f32[4,4,3,3]"
LINE = "f32[1,2,8]"

CONVOLUTIONS: tuple[tuple[Callable[..., Any], tuple[str, ...], str], ...] = (
    (
        F.conv2d,
        ("f32[3,4]", KERNEL),
        "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [3, 4]",
    ),
    (
        F.conv2d,
        (IMAGE, "f32[4,3,3,3]"),
        "Given groups=1, weight of size [4, 3, 3, 3], expected input[2, 4, 8, 8] to have 3 channels, but got 4 "
        "channels instead",
    ),
    (
        F.conv2d,
        (IMAGE, "f32[4,4,3,3,3]"),
        "Expected 5-dimensional input for 5-dimensional weight[4, 4, 3, 3, 3], but got 4-dimensional input of size [2, "
        "4, 8, 8] instead",
    ),
    (F.conv1d, (LINE, "f32[2,3]"), "weight should have at least three dimensions"),
    (F.conv2d, (IMAGE, "f64[4,4,3,3]"), "expected scalar type Float but found Double"),
    (
        F.conv2d,
        ("c64[2,4,8,8]", KERNEL),
        "Input type (CPUComplexFloatType) and weight type (torch.FloatTensor) should be the same",
    ),
    (F.conv2d, (IMAGE, KERNEL, "f64[4]"), "Input type (float) and bias type (double) should be the same"),
    (
        F.conv2d,
        (IMAGE, "f32[4,4,9,9]"),
        "Calculated padded input size per channel: (8 x 8). Kernel size: (9 x 9). Kernel size can't be greater than "
        "actual input size",
    ),
    (
        F.conv2d,
        (IMAGE, "f32[5,4,3,3]", "f32[4]"),
        "Given weight of size [5, 4, 3, 3], expected bias to be 1-dimensional with 5 elements, but got bias of size "
        "[4] instead",
    ),
    (
        lambda x, w: F.conv2d(x, w, groups=2),
        (IMAGE, "f32[5,2,3,3]"),
        "Given groups=2, expected weight to be divisible by 2 at dimension 0, but got weight of size [[5, 2, 3, 3]] "
        "instead",
    ),
    (
        lambda x, w: F.conv2d(x, w, groups=8),
        (IMAGE, KERNEL),
        "Given groups=8, expected weight to be at least 8 at dimension 0, but got weight of size [4, 4, 3, 3] instead",
    ),
    (lambda x, w: F.conv2d(x, w, groups=0), (IMAGE, KERNEL), "non-positive groups is not supported"),
    (lambda x, w: F.conv2d(x, w, stride=0), (IMAGE, KERNEL), "non-positive stride is not supported"),
    (lambda x, w: F.conv2d(x, w, padding=-1), (IMAGE, KERNEL), "negative padding is not supported"),
    (
        lambda x, w: F.conv2d(x, w, dilation=(1, 0)),
        (IMAGE, KERNEL),
        "dilation should be greater than zero, but got [1, 0]",
    ),
    (
        lambda x, w: F.conv2d(x, w, stride=(1, 2, 3)),
        (IMAGE, KERNEL),
        "expected stride to be a single integer value or a list of 2 values to match the convolution dimensions, but "
        "got stride=[1, 2, 3]",
    ),
    (lambda x, w: F.conv2d(x, w, padding="full"), (IMAGE, KERNEL), "Invalid padding string: 'full'"),
    (
        lambda x, w: F.conv2d(x, w, stride=2, padding="same"),
        (IMAGE, KERNEL),
        "padding='same' is not supported for strided convolutions",
    ),
    (
        lambda x, w: F.conv1d(x, w, padding="same"),
        ("f32[2,3,8]", "f32[4,3,k]"),
        'conv1d: padding="same" with a kernel of symbolic size',
    ),
    (
        lambda x, w: F.conv_transpose2d(x, w, output_padding=1),
        (IMAGE, "f32[4,3,3,3]"),
        "output padding must be smaller than either stride or dilation, but got output_padding_height: 1 "
        "output_padding_width: 1 stride_height: 1 stride_width: 1 dilation_height: 1 dilation_width: 1",
    ),
    (
        lambda x, w: F.conv_transpose2d(x, w, output_padding=-1),
        (IMAGE, "f32[4,3,3,3]"),
        "negative output_padding is not supported",
    ),
    (
        F.conv_transpose2d,
        (IMAGE, "f32[3,6,3,3]"),
        "Given transposed=1, weight of size [3, 6, 3, 3], expected input[2, 4, 8, 8] to have 3 channels, but got 4 "
        "channels instead",
    ),
    (
        lambda x, w: F.conv_transpose2d(x, w, padding=20),
        (IMAGE, "f32[4,3,3,3]"),
        "Given input size per channel: (8 x 8). Calculated output size per channel: (-30 x -30). Output size is too "
        "small",
    ),
    (
        lambda x: F.unfold(x, 9),
        (IMAGE,),
        "Given input with spatial size (8, 8), kernel_size=(9, 9), dilation=(1, 1), padding=(0, 0), calculated shape "
        "of the array of sliding blocks as (0, 0), but its components must be at least one.",
    ),
    (lambda x: F.unfold(x, (2, 2, 2)), (IMAGE,), "It is expected kernel_size equals to 2, but got size 3"),
    (
        lambda x: F.unfold(x, 2, padding=-1),
        (IMAGE,),
        "padding should be non-negative, but got pad_height: -1 pad_width: -1",
    ),
    (
        lambda x: F.fold(x, 4, 2, stride=0),
        ("f32[2,8,9]",),
        "stride should be greater than zero, but got stride_height: 0 stride_width: 0",
    ),
    (
        lambda x: F.fold(x, 4, 2),
        ("f32[2,9,9]",),
        "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)=9 "
        "and kernel_size=(2, 2).",
    ),
    (
        lambda x: F.fold(x, 4, 2),
        ("f32[2,8,8]",),
        "Given output_size=(4, 4), kernel_size=(2, 2), dilation=(1, 1), padding=(0, 0), stride=(1, 1), expected size "
        "of input's dimension 2 to match the calculated number of sliding blocks 3 * 3 = 9, but got input.size(2)=8.",
    ),
    (
        lambda x: F.fold(x, 4, 2),
        ("f32[2]",),
        "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, "
        "but got: [2]",
    ),
)

POOLS: tuple[tuple[Callable[..., Any], tuple[str, ...], str], ...] = (
    (
        lambda x: F.max_pool2d(x, 9),
        (IMAGE,),
        "Given input size: (4x8x8). Calculated output size: (4x0x0). Output size is too small",
    ),
    (
        lambda x: F.avg_pool1d(x, 9),
        (LINE,),
        "Given input size: (2x1x8). Calculated output size: (2x1x0). Output size is too small",
    ),
    (lambda x: F.max_pool1d(x, 9), (LINE,), "max_pool1d() Invalid computed output size: 0"),
    (
        lambda x: F.avg_pool3d(x, 9),
        ("f32[1,2,4,4,4]",),
        "input image (T: 4 H: 4 W: 4) smaller than kernel size (kT: 9 kH: 9 kW: 9)",
    ),
    (
        lambda x: F.max_pool2d(x, 2, padding=2),
        (IMAGE,),
        "pad should be at most half of effective kernel size, but got pad=2, kernel_size=2 and dilation=1",
    ),
    (
        lambda x: F.max_pool1d(x, 2, padding=2),
        (LINE,),
        "max_pool1d() padding should be at most half of kernel size, but got padding=2 and kernel_size=2",
    ),
    (lambda x: F.avg_pool2d(x, 2, padding=-1), (IMAGE,), "pad must be non-negative, but got pad: -1"),
    (lambda x: F.max_pool2d(x, 0), (IMAGE,), "stride should not be zero"),
    (
        lambda x: F.max_pool3d(x, 2, -1),
        ("f32[1,2,4,4,4]",),
        "stride should be greater than zero, but got dT: -1 dH: -1 dW: -1",
    ),
    (
        lambda x: F.max_pool2d(x, 2, dilation=0),
        (IMAGE,),
        "dilation should be greater than zero, but got dilationH: 0 dilationW: 0",
    ),
    (
        lambda x: F.max_pool2d(x, (2, 2, 2)),
        (IMAGE,),
        "max_pool2d: kernel_size must either be a single int, or a tuple of two ints",
    ),
    (
        lambda x: F.avg_pool3d(x, 2, (1, 1)),
        ("f32[1,2,4,4,4]",),
        "avg_pool3d: stride must be omitted, a single int, or a tuple of three ints",
    ),
    (lambda x: F.avg_pool1d(x, (2, 2)), (LINE,), "avg_pool1d() argument 'kernel_size' should contain one int (got 2)"),
    (lambda x: F.max_pool2d(x, 2), ("f32[8,8]",), "non-empty 3D or 4D (batch mode) tensor expected for input"),
    (
        lambda x: F.max_pool2d(x, 2),
        ("f32[1,2,0,4]",),
        "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:[1, 2, 0, 4]",
    ),
    (lambda x: F.max_pool2d(x, 2), ("bool[1,1,4,4]",), "\"max_pool2d\" not implemented for 'Bool'"),
    (lambda x: F.max_pool1d(x, 2), ("i64[1,1,4]",), "\"max_pool1d_impl\" not implemented for 'Long'"),
    (lambda x: F.avg_pool2d(x, 2, divisor_override=0), (IMAGE,), "divisor must be not zero"),
    (lambda x: F.lp_pool1d(x, 0, 2), ("f32[1,1,4]",), "lp_pool1d: norm_type is 0"),
    (
        lambda x: F.adaptive_avg_pool2d(x, (-1, 0)),
        (IMAGE,),
        "adaptive_avg_pool2d: elements of output_size must be greater than or equal to 0 but received {-1, 0}",
    ),
    (lambda x: F.adaptive_avg_pool2d(x, ()), (IMAGE,), "adaptive_avg_pool2d: output_size must be 2"),
    (
        lambda x: F.adaptive_max_pool2d(x, ()),
        (IMAGE,),
        "adaptive_max_pool2d(): internal error: output_size.size() must be 2",
    ),
    (lambda x: F.adaptive_max_pool2d(x, (2, 2)), ("f32[2,2]",), "Input dimension should be at least 3"),
    (
        lambda x: F.adaptive_max_pool2d(x, 2),
        ("f32[2,2]",),
        "adaptive_max_pool2d(): Expected 3D or 4D tensor, but got: [2, 2",
    ),
    (
        lambda x: F.adaptive_avg_pool2d(x, 2),
        ("f32[2,2]",),
        "adaptive_avg_pool2d(): Expected 3D or 4D tensor, but got [2, 2",
    ),
    (
        lambda x: F.adaptive_avg_pool1d(x, 2),
        ("f32[1,1,n]",),
        "adaptive_avg_pool1d: whether 2 cells divide the symbolic size n is not known",
    ),
    (
        lambda x, i: F.max_unpool2d(x, i, 2),
        ("f32[1,2,2,2]", "i32[1,2,2,2]"),
        "elements in indices should be type int64 but got: Int",
    ),
    (
        lambda x, i: F.max_unpool2d(x, i, 2),
        ("f32[1,2,2,2]", "i64[1,1,2,2]"),
        "Expected shape of indices to be same as that of the input tensor ([1, 2, 2, 2]) but got indices tensor with "
        "shape: [1, 1, 2, 2]",
    ),
    (
        lambda x, i: F.max_unpool2d(x, i, 2, output_size=(9, 5)),
        ("f32[1,2,2,2]", "i64[1,2,2,2]"),
        'invalid output_size "(9, 5)" (dim 0 must be between 2 and 6)',
    ),
    (
        lambda x, i: F.max_unpool2d(x, i, 2),
        ("f32[2,2]", "i64[2,2]"),
        "Input to max_unpooling2d should be a 3d or 4d Tensor, but got a tensor with 2 dimensions.",
    ),
)

_MODES = "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"
SIZES: tuple[tuple[Callable[..., Any], tuple[str, ...], str], ...] = (
    (F.interpolate, (IMAGE,), "either size or scale_factor should be defined"),
    (lambda x: F.interpolate(x, 2, 2.0), (IMAGE,), "only one of size or scale_factor should be defined"),
    (
        lambda x: F.interpolate(x, (2, 2, 2)),
        (IMAGE,),
        "Input and output must have the same number of spatial dimensions, but got input with spatial dimensions of "
        "[8, 8] and output size of (2, 2, 2). Please provide input tensor in (N, C, d1, d2, ...,dK) format and output "
        "size in (o1, o2, ...,oK) format.",
    ),
    (
        lambda x: F.interpolate(x, 2),
        ("f32[3,4]",),
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got 2D) for the modes: {_MODES} (got nearest)",
    ),
    (
        lambda x: F.interpolate(x, 2, mode="cubic"),
        (IMAGE,),
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got 4D) for the modes: {_MODES} (got cubic)",
    ),
    (lambda x: F.interpolate(x, 2, mode="linear"), (IMAGE,), "Got 4D input, but linear mode needs 3D input"),
    (
        lambda x: F.interpolate(x, 2, align_corners=True),
        (IMAGE,),
        "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear",
    ),
    (
        lambda x: F.interpolate(x, 2, antialias=True),
        (IMAGE,),
        "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input",
    ),
    (
        lambda x: F.interpolate(x, (2, 0)),
        (IMAGE,),
        "Input and output sizes should be greater than 0, but got input (H: 8, W: 8) output (H: 2, W: 0)",
    ),
    (
        lambda x: F.interpolate(x, scale_factor=0.01),
        (IMAGE,),
        "Input and output sizes should be greater than 0, but got input (H: 8, W: 8) output (H: 0, W: 0)",
    ),
    (
        lambda x: F.interpolate(x, 2, recompute_scale_factor=True),
        (IMAGE,),
        "recompute_scale_factor is not meaningful with an explicit size.",
    ),
    (
        lambda x: F.interpolate(x, 2, mode="bicubic"),
        ("i64[1,1,2,2]",),
        "\"compute_indices_weights_cubic\" not implemented for 'Long'",
    ),
    (lambda x: F.interpolate(x, 2), ("f32[1,1,n]",), "interpolate: the size n of dimension 2 is symbolic"),
    (
        lambda x, grid: F.grid_sample(x, grid, "cubic", align_corners=False),
        (IMAGE, "f32[2,3,3,2]"),
        "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: 'cubic'",
    ),
    (
        lambda x, grid: F.grid_sample(x, grid, align_corners=False),
        (IMAGE, "f32[2,3,3,3]"),
        "grid_sampler(): expected grid to have size 2 in last dimension, but got grid with sizes [2, 3, 3, 3]",
    ),
    (
        lambda x, grid: F.grid_sample(x, grid, align_corners=False),
        (IMAGE, "f32[1,3,3,2]"),
        "grid_sampler(): expected grid and input to have same batch size, but got input with sizes [2, 4, 8, 8] and "
        "grid with sizes [1, 3, 3, 2]",
    ),
    (
        lambda x: F.affine_grid(x, [1, 1, 2, 2], False),
        ("f32[1,2,2]",),
        "Expected a batch of 2D affine matrices of shape Nx2x3 for size [1, 1, 2, 2]. Got torch.Size([1, 2, 2]).",
    ),
)

ROWS_OF_TABLES: tuple[tuple[Callable[..., Any], tuple[str, ...], str], ...] = (
    (
        F.embedding,
        ("f32[3]", "f32[5,2]"),
        "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
        "torch.FloatTensor instead (while checking arguments for embedding)",
    ),
    (F.embedding, ("i64[3]", "f32[3]"), "'weight' must be 2-D"),
    (
        lambda i, w: F.embedding(i, w, padding_idx=9),
        ("i64[3]", "f32[5,2]"),
        "Padding_idx must be within num_embeddings",
    ),
    (F.embedding_bag, ("i64[3]", "f32[5,2]"), "offsets has to be a 1D Tensor but got None"),
    (
        lambda i, w: F.embedding_bag(i, w, mode="min"),
        ("i64[3,2]", "f32[5,2]"),
        "mode has to be one of sum, mean or max",
    ),
    (
        lambda i, w, s: F.embedding_bag(i, w, mode="sum", per_sample_weights=s),
        ("i64[3,2]", "f32[5,2]", "f32[3]"),
        "embedding_bag: If per_sample_weights (torch.Size([3])) is not None, then it must have the same shape as the "
        "input (torch.Size([3, 2]))",
    ),
    (
        F.multi_margin_loss,
        ("f32[3,5]", "i64[2]"),
        "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). "
        "Expected target size [3], but got [2]. Input has shape [3, 5].",
    ),
    (
        lambda x, y: F.multi_margin_loss(x, y, p=3),
        ("f32[3,5]", "i64[3]"),
        "only p == 1 and p == 2 supported",
    ),
    (F.multilabel_margin_loss, ("f32[3,5]", "i64[2]"), "inconsistent target size: [2] for input of size: [3, 5]"),
    (
        lambda x, y: F.multilabel_soft_margin_loss(x, y, reduction="avg"),
        ("f32[3,5]", "f32[3,5]"),
        "avg is not valid",
    ),
    (
        lambda q, k: F.scaled_dot_product_attention(q, k, q),
        ("f32[4,8]", "f64[4,8]"),
        "Expected query, key, and value to have the same dtype, but got query.dtype: float key.dtype: double and "
        "value.dtype: float instead.",
    ),
    (
        lambda q: F.scaled_dot_product_attention(q, q, q),
        ("f32[8]",),
        "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: 1 key.dim: 1 and "
        "value.dim: 1 instead.",
    ),
    (
        lambda x, t, n: F.ctc_loss(x, t, n, n, blank=7),
        ("f32[6,2,4]", "i64[2,2]", "i64[2]"),
        "blank must be in label range",
    ),
    (
        lambda x, t, n: F.ctc_loss(x, t, n, n),
        ("f32[6,2,4]", "i64[2,2]", "i64[1]"),
        "input_lengths must be of size batch_size",
    ),
    (
        lambda x, t, n: F.ctc_loss(x, t, n, n, reduction="avg"),
        ("f32[6,2,4]", "i64[2,2]", "i64[2]"),
        "avg is not a valid value for reduction",
    ),
)

SPECTRA: tuple[tuple[Callable[..., Any], tuple[str, ...], str], ...] = (
    (
        lambda x: g.stft(x, 8),
        ("f32[2,40]",),
        "stft requires the return_complex parameter be given for real inputs, and will further require that "
        "return_complex=True in a future PyTorch release.",
    ),
    (
        lambda x, w: g.stft(x, 8, window=w, return_complex=True),
        ("f32[2,40]", "f32[6]"),
        "stft(torch.FloatTensor[2, 48], n_fft=8, hop_length=2, win_length=8, window=torch.FloatTensor{[6]}, "
        "normalized=0, onesided=None, return_complex=1, align_to_window=None) : expected a 1D window tensor of size "
        "equal to win_length=8, but got window with size [6]",
    ),
    (
        lambda x: g.istft(x, 10),
        ("c64[2,5,21]",),
        "istft(CPUComplexFloatType[2, 5, 21], n_fft=10, hop_length=2, win_length=10, window=None, center=1, "
        "normalized=0, onesided=None, length=None, return_complex=0) : expected the frequency dimension (3rd to the "
        "last) of the input tensor to match n_fft / 2 + 1 when onesided=True, but got 5",
    ),
    (
        lambda x: g.istft(x, 8),
        ("f32[2,5,21]",),
        "istft requires a complex-valued input tensor matching the output from stft with return_complex=True.",
    ),
)

ROWS = (*SPECTRA, *CONVOLUTIONS, *POOLS, *SIZES, *ROWS_OF_TABLES)


@pytest.mark.parametrize(("build", "specs", "message"), ROWS, ids=[row[2][:60] for row in ROWS])
def test_refused(build: Callable[..., Any], specs: tuple[str, ...], message: str) -> None:
    def users_function(*x: Any) -> Any:
        return build(*x)

    with pytest.raises(GraphcError) as caught:
        g.symbolic_trace(users_function, *specs)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(message), lines[0]
    assert "test_window_errors.py" in lines[1]
    assert len(lines) == 3, "every error says the way out"
