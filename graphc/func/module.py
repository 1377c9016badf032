"""Modules as functions of their parameters.

In: modules, values by dotted name. Out: what a module gives with these values; the values of several modules as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.eager.methods import of_table
from graphc.nn.module import Module
from graphc.nn.utils.stateless import call_with

__all__ = ["functional_call", "stack_module_state"]

_stack = of_table("stack")

functional_call = call_with


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of modules of one class by name, each with a new first dimension for the modules.

    The parameters are leaves that require gradients where those of the modules do. Raises RuntimeError for no modules,
    for modules of different classes, and for some in training and others not.
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(each.training for each in models) or not any(each.training for each in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(each) is not type(models[0]) for each in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters: dict[str, Any] = {}
    for name, first in models[0].named_parameters():
        stacked = _stack([each.get_parameter(name).data for each in models])  # type: ignore[attr-defined]  # installed
        parameters[name] = stacked.requires_grad_(first.requires_grad)
    buffers = {name: _stack([each.get_buffer(name) for each in models]) for name, _ in models[0].named_buffers()}
    return parameters, buffers
