"""Cases of spectra of pieces of a signal, by a loop over the pieces."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import graphc as g
from tests.composite.case import Case, draw


def cases() -> Iterator[Case]:
    """All of them."""
    x, window = draw(2, 20), draw(6, low=0.5)
    plain = partial(g.stft, n_fft=8, hop_length=3, return_complex=True)
    yield Case("stft", plain, partial(_spectra, hop=3), (x,))
    yield Case("stft", partial(plain, pad_mode="constant"), partial(_spectra, hop=3, mode="constant"), (x,))
    yield Case("stft", partial(plain, center=False), partial(_spectra, hop=3, mode=None), (x[0],))
    yield Case("stft", partial(plain, onesided=False), partial(_spectra, hop=3, whole=True), (x,))
    yield Case("stft", plain, partial(_spectra, hop=3, whole=True), (x + 1j * draw(2, 20),))
    yield Case(
        "stft",
        lambda x, w: g.stft(x, 8, window=w, win_length=6, normalized=True, return_complex=True).abs(),
        lambda x, w: np.abs(_spectra(x, w, hop=2)) / np.sqrt(8),
        (x, window),
        gradient=True,
    )
    yield Case(
        "stft",
        lambda x, w: g.stft(x, 8, 3, 6, w, False, return_complex=True, align_to_window=True),
        lambda x, w: _spectra(np.pad(x, ((0, 0), (1, 1))), w, hop=3, mode=None),
        (x, window),
    )
    yield Case("istft", _there_and_back, lambda x, w: x[:, :18], (x, window), gradient=True)
    yield Case(
        "istft",
        lambda x: g.istft(g.stft(x, 8, 2, onesided=False, return_complex=True), 8, 2, length=20, return_complex=True),
        lambda x: x,
        (x + 1j * draw(2, 20),),
    )
    spectra = draw(5, 3) + 1j * draw(5, 3)
    yield Case("istft", partial(g.istft, n_fft=8, hop_length=4, center=False), _least_squares, (spectra,))


def _there_and_back(x: Any, window: Any) -> Any:
    spectra = g.stft(x, 8, 2, 6, window, return_complex=True)
    return g.istft(spectra, 8, 2, 6, window, length=18)


def _spectra(x: Any, window: Any = None, *, hop: int, mode: Any = "reflect", whole: bool = False) -> Any:
    rows = np.atleast_2d(x)
    if mode is not None:
        rows = np.pad(rows, ((0, 0), (4, 4)), mode)
    weights = np.ones(8) if window is None else np.pad(window, 1)
    pieces = [rows[:, i : i + 8] * weights for i in range(0, rows.shape[1] - 7, hop)]
    found = np.stack([(np.fft.fft if whole else np.fft.rfft)(piece) for piece in pieces], -1)
    return found if x.ndim == 2 else found[0]


def _least_squares(spectra: Any) -> Any:
    """The signal of 16 elements, two of whose three pieces of 8 overlap everywhere in the middle."""
    pieces = np.fft.irfft(spectra.T)
    total, count = np.zeros(16), np.zeros(16)
    for k, piece in enumerate(pieces):
        total[4 * k : 4 * k + 8] += piece
        count[4 * k : 4 * k + 8] += 1
    return total / count
