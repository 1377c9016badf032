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
    "expit": "Sigmoid",
    "gammainc": "Igamma",
    "gammaincc": "Igammac",
    "gammaln": "Lgamma",
    "multigammaln": "Mvlgamma",
    "psi": "Digamma",
    "cross_entropy": "NllLoss",
}
_SPECIAL = frozenset(("entr", "erfcx", "i0e", "i1", "i1e", "log_ndtr", "ndtri", "xlog1py", "zeta"))
"""Functions of `graphc.special` whose nodes say so."""
_WITH_DIM = frozenset(("sum", "mean", "prod", "std", "var", "norm", "squeeze"))
"""Functions whose form with dimensions has the number 1."""


def backward_name(name: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
    """The name of the node that a call of a table entry records."""
    short = name.rpartition(".")[2].strip("_")
    stem = _NAMES.get(short)
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
    ):
        number = 1
    return f"{stem}Backward{number}"
