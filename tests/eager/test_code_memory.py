"""When no more native code fits into the process, eager operations go on."""

import numpy as np
import pytest

import graphc as torch
from graphc.runtime import engine


def test_operations_are_interpreted_when_code_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.from_numpy(np.arange(1, 7, dtype=np.float64).reshape(2, 3)).requires_grad_()
    x.exp().sum().backward()  # what every operation needs is loaded now
    x.grad = None
    monkeypatch.setattr(engine, "most_libraries", lambda: 0)
    y = (torch.expm1(x).cumsum(dim=1) * 0.123).atan()
    y.sum().backward()
    expected = np.arctan(np.expm1(x.detach().numpy()).cumsum(axis=1) * 0.123)
    assert np.allclose(y.detach().numpy(), expected)
    assert x.grad.shape == (2, 3)
    with pytest.raises(MemoryError, match="pieces of compiled code are loaded"):
        torch.compile(lambda x: (x * 0.77).erfc())(np.ones(3))
