"""Tables of vectors, read by number: Embedding, and EmbeddingBag, which sums what it reads.

>>> Embedding(10, 3, padding_idx=-1)
Embedding(10, 3, padding_idx=9)
"""

from __future__ import annotations

from typing import Any, TypeVar

from graphc.eager.mode import no_grad
from graphc.nn import functional as F
from graphc.nn import init
from graphc.nn.module import Module
from graphc.nn.modules.utils import uninitialised
from graphc.nn.parameter import Parameter

__all__ = ["Embedding", "EmbeddingBag"]

E = TypeVar("E", bound="_Table")


class _Table(Module):
    """A weight `[num_embeddings, embedding_dim]`, normal at first, of which one row may stay 0."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    norm_type: float
    scale_grad_by_freq: bool
    sparse: bool

    def _set_weight(self, given: Any, freeze: bool, device: Any, dtype: Any) -> None:
        if given is None:
            shape = (self.num_embeddings, self.embedding_dim)
            self.weight = uninitialised(*shape, device=device, dtype=dtype)
            self.weight.requires_grad_(not freeze)  # type: ignore[attr-defined]  # installed on tensors
            self.reset_parameters()
            return
        if list(given.shape) != [self.num_embeddings, self.embedding_dim]:
            raise AssertionError("Shape of weight does not match num_embeddings and embedding_dim")
        self.weight = Parameter(given, requires_grad=not freeze)

    def _padding_row(self, given: int | None, name: str) -> int | None:
        """The number of the row for padding; below 0 it counts from the end."""
        if given is None:
            return None
        if not -self.num_embeddings <= given < self.num_embeddings:
            raise AssertionError(f"{name} must be within num_embeddings")
        return given % self.num_embeddings

    def reset_parameters(self) -> None:
        """Draw new values; padding is 0."""
        init.normal_(self.weight)
        self._fill_padding_idx_with_zero()

    def _fill_padding_idx_with_zero(self) -> None:
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].fill_(0)  # type: ignore[index]  # installed on tensors

    @classmethod
    def _of_values(cls: type[E], values: Any, freeze: bool, options: dict[str, Any]) -> E:
        if values.ndim != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        rows, columns = values.shape
        made = cls(num_embeddings=rows, embedding_dim=columns, _weight=values, **options)
        made.weight.requires_grad_(not freeze)  # type: ignore[attr-defined]  # installed on tensors
        return made

    def _shown(self, names: tuple[tuple[str, object], ...]) -> str:
        """The sizes, and those settings that are not as usual."""
        shown = [f"{self.num_embeddings}, {self.embedding_dim}"]
        return ", ".join(
            shown + [f"{name}={getattr(self, name)!r}" for name, usual in names if getattr(self, name) != usual]
        )


class Embedding(_Table):
    """Rows of a learned table by their numbers.

    With `max_norm` rows that are read are scaled down to it, in place. `padding_idx` is a row that gets no gradient.
    """

    __constants__ = [
        "num_embeddings",
        "embedding_dim",
        "padding_idx",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "sparse",
    ]

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = self._padding_row(padding_idx, "Padding_idx")
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self._set_weight(_weight, _freeze, device, dtype)

    def forward(self, input: Any) -> Any:
        """Numbers `[...]` to rows `[..., embedding_dim]`."""
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        return self._shown(
            (
                ("padding_idx", None),
                ("max_norm", None),
                ("norm_type", 2),
                ("scale_grad_by_freq", False),
                ("sparse", False),
            )
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A table of these rows, which share the tensor's memory; frozen, it gets no gradient."""
        options = {
            "padding_idx": padding_idx,
            "max_norm": max_norm,
            "norm_type": norm_type,
            "scale_grad_by_freq": scale_grad_by_freq,
            "sparse": sparse,
        }
        return cls._of_values(embeddings, freeze, options)


class EmbeddingBag(_Table):
    """Sums, means or maxima of rows of a learned table, over bags of numbers."""

    __constants__ = [
        "num_embeddings",
        "embedding_dim",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "mode",
        "sparse",
        "include_last_offset",
        "padding_idx",
    ]

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.padding_idx = self._padding_row(padding_idx, "padding_idx")
        self.mode, self.sparse, self.include_last_offset = mode, sparse, include_last_offset
        self._set_weight(_weight, False, device, dtype)

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        """Numbers `[bags, n]`, or `[n]` with the place where each bag starts, to `[bags, embedding_dim]`."""
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        return self._shown(
            (
                ("max_norm", None),
                ("norm_type", 2),
                ("scale_grad_by_freq", False),
                ("mode", None),
                ("padding_idx", None),
            )
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A table of these rows, which share the tensor's memory; frozen, it gets no gradient."""
        options = {
            "max_norm": max_norm,
            "norm_type": norm_type,
            "scale_grad_by_freq": scale_grad_by_freq,
            "mode": mode,
            "sparse": sparse,
            "include_last_offset": include_last_offset,
            "padding_idx": padding_idx,
        }
        return cls._of_values(embeddings, freeze, options)
