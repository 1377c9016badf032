"""Gamma numbers with gradients to their concentration.

In: concentrations. Out: numbers of rate 1; the slope of each with its concentration at a fixed quantile, which implicit
differentiation of the distribution function gives (M. Figurnov, S. Mohamed, A. Mnih: Implicit reparameterization
gradients, 2018).
"""

from __future__ import annotations

import numpy as np

from graphc.distributions.functions import Value, f
from graphc.eager.mode import is_grad_enabled, no_grad
from graphc.eager.tensor import AnyArray

_LARGE = 1e4
"""The concentration from which on the distribution is as good as that of a normal number's cube (Wilson, Hilferty)."""


def standard_gamma(concentration: Value) -> Value:
    """Gamma numbers of these concentrations and rate 1, in their dtype."""
    with no_grad():
        sample = f._standard_gamma(concentration)
    if not (is_grad_enabled() and concentration.requires_grad):
        return sample
    kept = concentration.detach()
    with no_grad():
        digamma = f.digamma(kept.double() + 1).cpu().numpy()
        slope = _slope(kept.double().cpu().numpy(), sample.double().cpu().numpy(), digamma)
        moved = f.from_numpy(slope).to(sample)
    return sample + (concentration - kept) * moved


def _slope(a: AnyArray, x: AnyArray, digamma: AnyArray) -> AnyArray:
    """dx/da at a fixed P(a, x) = x**a exp(-x) sum_n x**n / gamma(a + n + 1), term by term over the density."""
    small = np.minimum(a, _LARGE)
    with np.errstate(all="ignore"):
        log_x = np.log(x)
        term = x / small
        result = term * (digamma - log_x)
        n = 0
        while True:
            n += 1
            digamma = digamma + 1 / (small + n)
            term = term * x / (small + n)
            step = term * (digamma - log_x)
            result = result + step
            going = (a < _LARGE) & (x > 0) & ~(np.abs(step) <= 1e-16 * np.abs(result)) & np.isfinite(step)
            if not going.any():
                break
        root = np.cbrt(x / a)
        normal = (root - 1 + 1 / (9 * a)) * 3 * np.sqrt(a)
        large = root**3 + 3 * a * root**2 * (1 / (9 * a**2) - normal / (6 * a**1.5))
    return np.asarray(np.where(x > 0, np.where(a < _LARGE, result, large), 0.0))
