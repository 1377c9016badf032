"""Finding the forward call of a failing backward one."""

import warnings
from typing import Any

import pytest

import graphc as torch
from graphc.autograd import Function, detect_anomaly, is_anomaly_enabled, set_detect_anomaly


class Fails(Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("in backward")


def test_nan_is_traced_to_the_line_that_made_it() -> None:
    x = torch.tensor([0.0, 2.0], requires_grad=True)
    with pytest.warns(UserWarning, match="^Anomaly Detection has been enabled. This mode will increase the runtime"):
        mode = detect_anomaly()
    with mode, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        y = x.sqrt() * 0  # the line that is named
        with pytest.raises(RuntimeError, match=r"^Function 'SqrtBackward0' returned nan values in its 0th output\.$"):
            y.sum().backward()
    (text,) = [str(each.message) for each in warned]
    assert text.startswith("Error detected in SqrtBackward0. Traceback of forward call that caused the error:\n")
    assert "y = x.sqrt() * 0  # the line that is named" in text
    assert "graphc/eager" not in text.replace("tests/eager", "")


def test_nan_may_be_let_through() -> None:
    x = torch.tensor([0.0], requires_grad=True)
    with set_detect_anomaly(True, check_nan=False):
        assert torch.is_anomaly_enabled()
        assert not torch.is_anomaly_check_nan_enabled()
        (x.sqrt() * 0).backward()
    assert x.grad.isnan().all()
    assert not is_anomaly_enabled()
    assert torch.is_anomaly_check_nan_enabled()


def test_an_error_is_traced() -> None:
    x = torch.tensor([1.0], requires_grad=True)
    y = Fails.apply(x)
    with set_detect_anomaly(True):
        with (
            pytest.warns(
                UserWarning, match=r"^Error detected in FailsBackward\. No forward pass information available"
            ),
            pytest.raises(RuntimeError, match=r"^in backward$"),
        ):
            y.sum().backward()
        y = Fails.apply(x)
        with (
            pytest.warns(UserWarning, match=r"(?s)^Error detected in FailsBackward\. Traceback of forward.*y = Fails"),
            pytest.raises(RuntimeError, match=r"^in backward$"),
        ):
            y.sum().backward()


def test_it_can_be_turned_on_for_good() -> None:
    set_detect_anomaly(True)
    try:
        assert is_anomaly_enabled()
    finally:
        set_detect_anomaly(False)
    assert not is_anomaly_enabled()


def test_an_overwritten_value_has_another_hint() -> None:
    x = torch.tensor([1.0], requires_grad=True)
    with set_detect_anomaly(True):
        y = x.tanh()
        y.add_(1)
        with (
            pytest.warns(UserWarning, match=r"^Error detected in TanhBackward0"),
            pytest.raises(
                RuntimeError, match=r"The variable in question was changed in there or anywhere later. Good luck!$"
            ),
        ):
            y.backward()
