"""The table of cases that every function has: `tests/composite/*_cases.py` together."""

from __future__ import annotations

from tests.composite import (
    algebra_cases,
    arithmetic_cases,
    contraction_cases,
    functional_cases,
    loss_cases,
    network_cases,
    ordering_cases,
    shape_cases,
    spectra_cases,
)

MODULES = (algebra_cases, arithmetic_cases, shape_cases, contraction_cases, network_cases, loss_cases, ordering_cases)
MODULES += (functional_cases, spectra_cases)
CASES = [case for module in MODULES for case in module.cases()]
