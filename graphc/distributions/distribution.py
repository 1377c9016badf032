"""The base of all distributions: shapes, checks of parameters and values, and what follows from a few methods.

A distribution of batch shape `B` and event shape `E` draws samples of shape `S + B + E`, and gives log-probabilities of
shape `S + B`.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from graphc.distributions import constraints
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import lazy_property
from graphc.eager.mode import no_grad
from graphc.eager.size import Size
from graphc.eager.tensor import Tensor

D = TypeVar("D", bound="Distribution")

__all__ = ["Distribution"]


def _undefined(distribution: object) -> Any:
    raise NotImplementedError


class Distribution:
    """The base of all distributions."""

    has_rsample: bool = False
    has_enumerate_support: bool = False
    _validate_args: bool = __debug__
    _event_dims: ClassVar[dict[str, int]] = {}
    """The tensors that `expand` expands, each with the number of its dimensions that belong to the event."""
    arg_constraints: ClassVar[Any] = property(_undefined)
    """The sets that the parameters lie in, by name."""
    support: ClassVar[Any] = property(_undefined)
    """The set that values lie in."""

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        try:
            wanted = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{self.__class__} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or "
                "initialize the distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        for name, constraint in wanted.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name, None), lazy_property):
                continue
            value = getattr(self, name)
            if not constraint.check(value).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n{value}"
                )

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Say whether parameters and values are checked where a distribution isn't told; raises ValueError."""
        if value not in [True, False]:
            raise ValueError
        Distribution._validate_args = value

    def expand(self: D, batch_shape: Sequence[int], _instance: Any = None) -> D:
        """The same distribution with a larger batch shape; parameters are expanded, not copied."""
        new = copy.copy(self) if _instance is None else _instance
        batch = Size(batch_shape)
        for name, count in self._event_dims.items():
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                kept = value.shape[len(value.shape) - count :]
                setattr(new, name, value.expand((*batch, *kept)))  # type: ignore[attr-defined]  # a table method
        new._batch_shape = batch
        new._event_shape = self._event_shape
        new._validate_args = self._validate_args
        found: D = new
        return found

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters' batch."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one value."""
        return self._event_shape

    @property
    def mean(self) -> Value:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Value:
        """The most probable value."""
        raise NotImplementedError(f"{self.__class__} does not implement mode")

    @property
    def variance(self) -> Value:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Value:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Samples without gradient, [*sample_shape, *batch_shape, *event_shape]."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Samples with gradients to the parameters, where `has_rsample`."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Value:
        """n samples; the older form of `sample((n,))`."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample(Size((n,)))

    def log_prob(self, value: Value) -> Value:
        """The logarithm of the density or probability of each value."""
        raise NotImplementedError

    def cdf(self, value: Value) -> Value:
        """The probability of at most each value."""
        raise NotImplementedError

    def icdf(self, value: Value) -> Value:
        """The number below which a value is with each probability."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Value:
        """All values, along a new first dimension, where `has_enumerate_support`."""
        raise NotImplementedError

    def entropy(self) -> Value:
        """The entropy in nats."""
        raise NotImplementedError

    def perplexity(self) -> Value:
        """exp(entropy)."""
        return f.exp(self.entropy())

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        """The shape of samples."""
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Any) -> None:
        """Raise ValueError unless it is a tensor of values of the distribution."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        actual = value.shape
        if actual[len(actual) - len(self._event_shape) :] != self._event_shape:
            raise ValueError(f"The right-most size of value must match event_shape: {actual} vs {self._event_shape}.")
        expected = Size((*self._batch_shape, *self._event_shape))
        for mine, theirs in zip(reversed(actual), reversed(expected)):
            if mine != 1 and theirs != 1 and mine != theirs:
                raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {actual} vs {expected}.")
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{self.__class__} does not define `support` to enable sample validation. Please initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not support.check(value).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the "
                f"support ({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        shown = []
        for name in self.arg_constraints:
            if name in self.__dict__:
                value = self.__dict__[name]
                shown.append(f"{name}: {value if value.numel() == 1 else value.size()}")
        return f"{type(self).__name__}({', '.join(shown)})"
