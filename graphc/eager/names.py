"""Names of the nodes of the tape, as PyTorch prints them: `MulBackward0`, `MeanBackward1`.

In: a function of the table and the arguments of a call. Out: the name. Most follow from the function's own; the rest,
and the forms that PyTorch numbers, stand in the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.eager.tensor import Tensor

_NAMES: Mapping[str, str] = {
    "truediv": "Div",
    "rtruediv": "Mul",
    "radd": "Add",
    "rmul": "Mul",
    "rpow": "PowBackward2",
    "rmod": "RemainderBackward1",
    "floordiv": "NotImplemented",
    "rfloordiv": "NotImplemented",
    "floor_divide": "NotImplemented",
    "mod": "Remainder",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "true_divide": "Div",
    "negative": "Neg",
    "absolute": "Abs",
    "to": "ToCopy",
    "type": "ToCopy",
    "float": "ToCopy",
    "double": "ToCopy",
    "flatten": "View",
    "swapaxes": "Transpose",
    "swapdims": "Transpose",
    "movedim": "Permute",
    "moveaxis": "Permute",
    "concat": "Cat",
    "concatenate": "Cat",
    "layer_norm": "NativeLayerNorm",
    "clip": "Clamp",
    "getitem": "Index",
    "chunk": "Split",
    "mse_loss": "MseLoss",
    "nll_loss": "NllLoss",
    "tile": "Repeat",
    "expit": "Sigmoid",
    "gammainc": "Igamma",
    "gammaincc": "Igammac",
    "gammaln": "Lgamma",
    "multigammaln": "Mvlgamma",
    "psi": "Digamma",
    "cross_entropy": "NllLoss",
    "outer": "Mul",
    "ger": "Mul",
    "tensordot": "View",
    "einsum": "View",
    "kron": "UnsafeView",
    "square": "Pow",
    "cross": "LinalgCross",
    "fliplr": "Flip",
    "flipud": "Flip",
    "hstack": "Cat",
    "vstack": "Cat",
    "row_stack": "Cat",
    "dstack": "Cat",
    "column_stack": "Cat",
    "combinations": "Stack",
    "cartesian_prod": "Stack",
    "gradient": "Cat",
    "diff": "Sub",
    "cov": "Squeeze",
    "corrcoef": "Div",
    "lu": "LinalgLuFactorEx",
    "lu_solve": "LinalgLuSolve",
    "quantile": "SqueezeBackward4",
    "nanquantile": "SqueezeBackward4",
    "nanmean": "Div",
    "softmin": "Softmax",
    "normalize": "Div",
    "cosine_similarity": "SumBackward1",
    "pairwise_distance": "NormBackward1",
    "adaptive_avg_pool1d": "SqueezeBackward1",
    "adaptive_max_pool1d": "SqueezeBackward1",
    "avg_pool1d": "SqueezeBackward1",
    "max_pool1d": "SqueezeBackward1",
    "max_unpool1d": "SqueezeBackward1",
    "max_pool2d": "MaxPool2DWithIndices",
    "max_pool3d": "MaxPool3DWithIndices",
    "group_norm": "NativeGroupNorm",
    "batch_norm": "NativeBatchNorm",
    "batch_norm_moving": "NativeBatchNorm",
    "instance_norm": "View",
    "instance_norm_moving": "View",
    "rms_norm": "Mul",
    "local_response_norm": "Div",
    "unfold_image": "Im2Col",
    "upsample_bilinear": "UpsampleBilinear2D",
    "grid_sample": "GridSampler2D",
    "bilinear": "Add",
    "prelu": "PreluKernel",
    "rrelu": "RreluWithNoise",
    "selu": "Elu",
    "celu": "Celu",
    "relu6": "Hardtanh",
    "logsigmoid": "LogSigmoid",
    "softsign": "Div",
    "tanhshrink": "Sub",
    "scaled_dot_product_attention": "UnsafeView",
    "dropout": "Mul",
    "feature_dropout": "Mul",
    "alpha_dropout": "Add",
    "feature_alpha_dropout": "Add",
    "triplet_margin_loss": "Mean",
    "narrow_copy": "NarrowCopy",
    "msort": "Sort",
    "take_along_dim": "Gather",
    "norm": "LinalgVectorNorm",
    "sum_to_size": "SumBackward1",
    "diagflat": "DiagEmbed",
    "ndtr": "MulBackward1",
}
"""Stems that are not the function's own name, or names with the form that the function always has."""
_UNREDUCED: Mapping[str, str] = {
    "l1_loss": "Abs",
    "margin_ranking_loss": "ClampMin",
    "cosine_embedding_loss": "Add",
    "hinge_embedding_loss": "Add",
    "poisson_nll_loss": "Sub",
    "gaussian_nll_loss": "Mul",
    "kl_div": "Sub",
    "multilabel_soft_margin_loss": "Div",
    "ctc_loss": "CtcLoss",
}
"""Losses that end in a sum or mean, and in what without one."""
_WHOLE: Mapping[str, str] = {
    "linalg.cholesky": "LinalgCholeskyEx",
    "linalg.lu_factor": "LinalgLuFactorEx",
    "linalg.svdvals": "LinalgSvd",
    "linalg.eigvalsh": "LinalgEigh",
    "linalg.eigvals": "LinalgEig",
    "linalg.solve": "LinalgSolveEx",
    "linalg.inv": "LinalgInvEx",
    "linalg.norm": "LinalgVectorNorm",
    "linalg.matrix_norm": "LinalgVectorNorm",
    "linalg.matrix_power": "Mm",
    "linalg.multi_dot": "View",
    "linalg.vander": "Cat",
    "linalg.diagonal": "Diagonal",
    "qr": "LinalgQr",
    "svd": "LinalgSvd",
    "inverse": "LinalgInvEx",
    "det": "LinalgDet",
    "slogdet": "LinalgSlogdet",
    "logdet": "Where",
    "pinverse": "LinalgPinv",
    "matrix_exp": "LinalgMatrixExp",
    "matrix_power": "Mm",
    "orgqr": "LinalgHouseholderProduct",
    "fft.fftshift": "Roll",
    "fft.ifftshift": "Roll",
    "linalg.vecdot": "Vdot",
    "linalg.cond": "SqueezeBackward1",
    "linalg.tensorinv": "ReshapeAlias",
    "linalg.tensorsolve": "View",
    "linalg.cross": "LinalgCross",
    "nn.functional.unfold": "Im2Col",
    "nn.functional.fold": "Col2Im",
}
"""Names of entries as a whole, where the part behind the namespace says something else."""
_SPECIAL = frozenset(("entr", "erfcx", "i0e", "i1", "i1e", "log_ndtr", "ndtri", "xlog1py", "zeta"))
"""Functions of `graphc.special` whose nodes say so."""
_WITH_DIM = frozenset(("sum", "mean", "prod", "squeeze", "median", "nanmedian"))
"""Functions whose form with dimensions has the number 1."""


_GRADIENTS: Mapping[str, str] = {
    "Tanh": "TanhBackward", "Sigmoid": "SigmoidBackward", "Relu": "ThresholdBackward", "Gelu": "GeluBackward",
    "Softmax": "SoftmaxBackwardData", "LogSoftmax": "LogSoftmaxBackwardData", "Select": "SelectBackward",
    "Slice": "SliceBackward", "Index": "IndexPut", "Gather": "ScatterAdd", "IndexSelect": "IndexAdd", "Cat": "Slice",
    "Log": "Div", "Sqrt": "Div", "Div": "Div", "Atan": "Div", "Mm": "Mm", "Bmm": "Bmm", "Addmm": "Mm", "Neg": "Neg",
    "Sum": "Expand", "Mean": "DivBackward1", "Expand": "View", "T": "T", "Transpose": "Transpose", "View": "View",
    "Permute": "Permute", "Squeeze": "Unsqueeze", "Unsqueeze": "Squeeze", "UnsafeView": "ReshapeAlias",
    "Cumsum": "Flip", "Flip": "Flip", "Roll": "Roll", "Clamp": "Where", "Where": "Where", "Max": "MaskedFillBackward1",
    "Min": "MaskedFillBackward1", "ToCopy": "ToCopy", "Clone": "Clone", "Conj": "Conj", "Tril": "Tril", "Triu": "Triu",
}  # fmt: skip
"""The last step of a function's gradient, where that isn't a product."""


def gradient_name(name: str) -> str:
    """The name of the node that records the gradient of a node."""
    found = _GRADIENTS.get(name.partition("Backward")[0], "Mul")
    return found if "Backward" in found and found[-1].isdigit() else f"{found}Backward0"


def _has_tensor(args: tuple[object, ...], kwargs: Mapping[str, object], *names: str) -> bool:
    """Whether one of the arguments is a tensor; of the named ones, those with these names count, or all."""
    named = (value for name, value in kwargs.items() if not names or name in names)
    return any(isinstance(each, Tensor) for each in (*args, *named))


def _in_namespace(name: str, short: str, args: tuple[object, ...]) -> str | None:
    """The stem for a function of linear algebra or a transform, which have names of their own."""
    if name.startswith("linalg."):
        return "Linalg" + short.title().replace("_", "")
    if not name.startswith("fft."):
        return _NAMES.get(short)
    if short.startswith(("irfft", "hfft")):
        return "FftC2R"
    if short.startswith("ihfft"):
        return "Conj"
    is_real = bool(args) and isinstance(args[0], Tensor) and not args[0].dtype.is_complex
    return "FftR2C" if short.startswith("rfft") or (short == "fft" and is_real) else "FftC2C"


def backward_name(name: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
    """The name of the node that a call of a table entry records."""
    short = name.rpartition(".")[2].strip("_")
    stem = _by_form(short, args, kwargs) or _WHOLE.get(name)
    if stem is None:
        stem = _in_namespace(name, short, args) if "." in name else _NAMES.get(short)
    if stem is None:
        stem = "".join(part.title() for part in short.split("_"))  # a letter after a digit is a capital, too
        stem = f"Special{stem}" if short in _SPECIAL else stem
    return stem if "Backward" in stem or stem == "NotImplemented" else f"{stem}Backward{_number(short, args, kwargs)}"


def _number(short: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> int:
    """Which of the forms that PyTorch counts it is."""
    if short == "div" and (len(args) > 2 or kwargs.get("rounding_mode") is not None):
        return 2
    has_dim = len(args) > 1 or "dim" in kwargs or "axis" in kwargs
    return int(
        (short in _WITH_DIM and has_dim)
        or (short in ("pow", "float_power", "fmod", "remainder", "mod") and _is_tensor(args, kwargs, 1))
        or (short in ("clamp_max", "clamp_min") and _is_tensor(args, kwargs, 1, "max", "min"))
        or (short in ("max", "min") and not has_dim)
        or (short == "rsub" and not _is_tensor(args, kwargs, 1))
        or (short in ("clamp", "clip") and not _has_tensor(args[1:], kwargs))
        or (short == "lerp" and _is_tensor(args, kwargs, 2, "weight"))
        or (short in ("masked_fill", "index_fill") and _is_tensor(args, kwargs, len(args) - 1, "value"))
        or (short == "scatter" and not _has_tensor(args[3:], kwargs, "src"))
        or (short == "round" and "decimals" in kwargs)
        or (short == "sort" and "stable" in kwargs)
    )


def _by_form(short: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str | None:
    """The names of functions that PyTorch makes of others, which depend on the kind of their arguments."""
    ranks = [each._array.ndim for each in args if isinstance(each, Tensor)]
    if short in _UNREDUCED:
        reduction = kwargs.get("reduction", "mean")
        return {"none": _UNREDUCED[short], "batchmean": "Div"}.get(str(reduction), str(reduction).capitalize())
    match short:
        case "matmul" | "rmatmul" if len(ranks) > 1:
            return _product(*(ranks[:2] if short == "matmul" else ranks[1::-1]))
        case "linear" if len(ranks) > 1:
            if ranks[0] == 2 or ranks[1] == 1:
                return "Addmm" if len(ranks) > 2 else _product(ranks[0], ranks[1])
            return "View" if len(ranks) > 2 else _product(ranks[0], 2)
        case "conv1d" | "conv2d" | "conv3d" | "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d":
            return "SqueezeBackward1" if ranks and ranks[0] == int(short[-2]) + 1 else "Convolution"
        case "inner":
            return "Mul" if 0 in ranks else "View"
        case "diag":
            return "DiagEmbed" if ranks == [1] else "DiagonalBackward0_copy"
        case "float_power":
            return "Pow"
        case "trapz" | "trapezoid":
            return "DivBackward1" if len(ranks) > 1 or "x" in kwargs else "MulBackward1"
        case "cumulative_trapezoid":
            return "DivBackward1" if len(ranks) > 1 or "x" in kwargs else "Cumsum"
        case "pad":
            mode = kwargs.get("mode", args[2] if len(args) > 2 else "constant")
            kinds = {"reflect": "ReflectionPad", "replicate": "ReplicationPad"}
            pads = args[1] if len(args) > 1 else kwargs.get("pad", ())
            sides = len(pads) // 2 if isinstance(pads, tuple | list) else 1
            return f"{kinds[str(mode)]}{sides}D" if mode in kinds else "ConstantPadNd"
        case "interpolate" | "upsample" | "upsample_nearest":
            kinds = {"linear": "Linear1D", "bilinear": "Bilinear2D", "trilinear": "Trilinear3D", "bicubic": "Bicubic2D"}
            mode = str(kwargs.get("mode", args[3] if len(args) > 3 else "nearest"))
            return f"Upsample{kinds.get(mode) or f'Nearest{ranks[0] - 2}D'}" if ranks else None
        case "cross_entropy" if len(args) > 1 and isinstance(args[1], Tensor) and args[1].dtype.is_floating_point:
            return "DivBackward1" if kwargs.get("reduction", "mean") == "mean" else "Neg"
        case "cross_entropy" if kwargs.get("label_smoothing"):
            return "Add"
        case "lp_pool1d" | "lp_pool2d" | "lp_pool3d":
            return "Pow"
        case "bilinear" if len(ranks) == 3 and "bias" not in kwargs:
            return "View"
        case "adaptive_avg_pool2d" if len(args) > 1 and args[1] in (1, (1, 1), [1, 1]):
            return "MeanBackward1"
        case "cross_entropy" | "nll_loss" if ranks and ranks[0] > 2:
            return "NllLoss2D"
    return None


def _product(first: int, second: int) -> str:
    """The last step of a product of tensors of these ranks."""
    known = {(1, 1): "Dot", (2, 1): "Mv", (1, 2): "SqueezeBackward4", (2, 2): "Mm"}
    return known.get((first, second), "UnsafeView")


def _is_tensor(args: tuple[object, ...], kwargs: Mapping[str, object], place: int, *names: str) -> bool:
    """Whether the argument at this place, or of this name, is a tensor."""
    if len(args) > place and isinstance(args[place], Tensor):
        return True
    return any(isinstance(kwargs.get(name), Tensor) for name in (*names, "other", "exponent"))
