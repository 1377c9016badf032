"""Names of the nodes of the tape, as PyTorch prints them: `MulBackward0`, `MeanBackward1`.

In: a function of the table and the arguments of a call. Out: the name. Most follow from the function's own; the rest,
and the forms that PyTorch numbers, stand in the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.eager.tensor import Tensor

_NAMES: Mapping[str, str] = {
    "truediv": "Div",
    "rtruediv": "Div",
    "radd": "Add",
    "rmul": "Mul",
    "rpow": "Pow",
    "floordiv": "FloorDivide",
    "mod": "Remainder",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "true_divide": "Div",
    "negative": "Neg",
    "absolute": "Abs",
    "linear": "Addmm",
    "matmul": "Mm",
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
    "conv1d": "Convolution",
    "conv2d": "Convolution",
    "conv3d": "Convolution",
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
}
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
}
"""Names of entries as a whole, where the part behind the namespace says something else."""
_SPECIAL = frozenset(("entr", "erfcx", "i0e", "i1", "i1e", "log_ndtr", "ndtri", "xlog1py", "zeta"))
"""Functions of `graphc.special` whose nodes say so."""
_WITH_DIM = frozenset(("sum", "mean", "prod", "std", "var", "norm", "squeeze"))
"""Functions whose form with dimensions has the number 1."""


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
    stem = _WHOLE.get(name)
    if stem is None:
        stem = _in_namespace(name, short, args) if "." in name else _NAMES.get(short)
    if stem is None:
        stem = "".join(part.title() for part in short.split("_"))  # a letter after a digit is a capital, too
        stem = f"Special{stem}" if short in _SPECIAL else stem
    number = 0
    if short in _WITH_DIM and (len(args) > 1 or "dim" in kwargs or "axis" in kwargs):
        number = 1
    elif short in ("sum", "mean", "prod", "std", "var"):
        number = 0
    elif (
        (short == "pow" and (len(args) < 2 or isinstance(args[1], Tensor)))
        or (short in ("max", "min") and not (len(args) > 1 or "dim" in kwargs))
        or short == "rsub"
        or (short in ("clamp", "clip") and not _has_tensor(args[1:], kwargs))
        or (short == "masked_fill" and _has_tensor(args[2:], kwargs, "value"))
        or (short == "scatter" and not _has_tensor(args[3:], kwargs, "src"))
        or (short == "round" and "decimals" in kwargs)
    ):
        number = 1
    return f"{stem}Backward{number}"
