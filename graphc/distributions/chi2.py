"""The chi-squared distribution."""

from __future__ import annotations

from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.functions import Value
from graphc.distributions.gamma import Gamma

__all__ = ["Chi2"]


class Chi2(Gamma):
    """Sums of squares of `df` normal numbers."""

    arg_constraints: ClassVar[Any] = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)

    @property
    def df(self) -> Value:
        """The degrees of freedom."""
        return self.concentration * 2
