"""Log-probabilities of many classes, where rare ones are told apart by smaller matrices.

In: `[n, features]`. The first classes, and one stand-in for each cluster of rare ones, have scores of their own; a
cluster's classes have scores among themselves (Grave et al. 2017).

>>> AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs=[4, 10]).head
Linear(in_features=16, out_features=6, bias=False)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from graphc.eager.methods import of_table
from graphc.nn import functional as F
from graphc.nn.module import Module
from graphc.nn.modules.container import ModuleList, Sequential
from graphc.nn.modules.linear import Linear

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

_cat, _where = of_table("cat"), of_table("where")


class _ASMoutput(NamedTuple):
    """The targets' log-probabilities `[n]`, and minus their mean."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """The classes' log-probabilities, and the loss that goes with them; classes are numbered by frequency.

    Cluster i has the classes from `cutoffs[i]` on, and in_features / div_value^(i + 1) features. One that no target is
    in gets gradients of 0.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(set(cutoffs))
            or cutoffs[0] <= 0
            or cutoffs[-1] > n_classes - 1
            or any(int(each) != each for each in cutoffs)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
                "value is between 1 and n_classes-1"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i, (first, end) in enumerate(zip(self.cutoffs, self.cutoffs[1:]), 1):
            features = int(in_features // div_value**i)
            self.tail.append(
                Sequential(
                    Linear(in_features, features, bias=False, device=device, dtype=dtype),
                    Linear(features, end - first, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw new values."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster.children():
                layer.reset_parameters()

    def forward(self, input_: Any, target_: Any) -> _ASMoutput:
        """`[n, in_features]` and classes `[n]`, or both without n, to log-probabilities and loss.

        Raises RuntimeError for other shapes, and for targets that are no classes.
        """
        if target_.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target_.ndim == 1:
            if input_.shape[0] != target_.shape[0]:
                raise RuntimeError("Input and target should have the same size in the batch dimension.")
            if input_.ndim != 2:
                raise RuntimeError(
                    f"1D target tensor expects 2D input tensors, but found inputs with size {input_.shape}"
                )
        elif input_.ndim != 1:
            raise RuntimeError(f"0D target tensor expects 1D input tensors, but found inputs with size {input_.shape}")
        is_batch = target_.ndim == 1
        input, target = (input_, target_) if is_batch else (input_.unsqueeze(0), target_.unsqueeze(0))
        output = self._of_targets(input, target)
        output = output if is_batch else output.squeeze(0)
        return _ASMoutput(output, -output.mean())

    def _of_targets(self, input: Any, target: Any) -> Any:
        """The targets' log-probabilities.

        All rows go through every cluster, so that no shape depends on the targets' values.
        """
        # A target past the last class goes past the head's last column, which gather refuses as one below 0.
        column = sum((target >= start).to(target.dtype) for start in self.cutoffs) + (self.shortlist_size - 1)
        column = _where(target < self.shortlist_size, target, column)
        try:
            output = F.log_softmax(self.head(input), 1).gather(1, column.unsqueeze(1)).squeeze(1)
        except IndexError:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range [{target.min().item()}, "
                f"{target.max().item()}] were found. "
            ) from None
        for cluster, first, end in zip(self.tail, self.cutoffs, self.cutoffs[1:]):
            place = (target - first).clamp(0, end - first - 1)
            within = F.log_softmax(cluster(input), 1).gather(1, place.unsqueeze(1)).squeeze(1)
            output = output + _where((target >= first) & (target < end), within, 0.0)
        return output

    def log_prob(self, input: Any) -> Any:
        """`[n, in_features]` to the log-probabilities of all classes, `[n, n_classes]`."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail, self.shortlist_size):
            parts.append(F.log_softmax(cluster(input), 1) + head[:, i : i + 1])
        return _cat(parts, 1)

    def predict(self, input: Any) -> Any:
        """`[n, in_features]` to the most probable classes `[n]`; clusters count where their stand-in is on top."""
        top = self.head(input).argmax(1)
        return _where(top < self.shortlist_size, top, self.log_prob(input).argmax(1))
