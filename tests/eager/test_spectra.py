"""stft and istft on tensors: how spectra lie in memory, and windows that leave gaps."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as g


def test_each_spectrum_lies_in_one_piece() -> None:
    x = g.tensor(np.random.default_rng(2).normal(size=(2, 40)))
    assert g.stft(x, 8, return_complex=True).stride() == (105, 1, 5)
    assert g.stft(x[0], 8, return_complex=True, pad_mode="constant").stride() == (1, 5)
    with pytest.warns(UserWarning, match="stft with return_complex=False is deprecated"):
        parts = x.stft(8, return_complex=False)
    assert parts.stride() == (210, 2, 10, 1)
    whole = x.stft(8, return_complex=True)
    assert (g.view_as_real(whole).numpy() == parts.numpy()).all()


def test_a_window_that_leaves_gaps_has_no_inverse() -> None:
    spectra = g.stft(g.arange(40.0), 8, 2, return_complex=True)
    with pytest.raises(RuntimeError, match="window overlap add min: 1"):
        g.istft(spectra, 8, 2, window=g.zeros(8))
    with pytest.warns(UserWarning, match="The length of signal is shorter than the length parameter"):
        found = g.istft(spectra, 8, 2, length=60)
    np.testing.assert_allclose(found.numpy()[:44], [*range(40), 38, 37, 36, 35], atol=1e-4)
    assert (found.numpy()[48:] == 0).all()
