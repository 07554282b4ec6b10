"""A fixed orthogonal transform of any width, for embeddings nobody has trained a profile for
(formats/rotation.md): twice random signs and a cosine transform.

After it every coefficient of a unit vector is nearly Gaussian with variance 1/D, whatever the
model, so one table a quality serves them all (as in TurboQuant and RaBitQ).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.fft  # np.fft would import it in the midst of work
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy.tables import Symbols

Floats = NDArray[np.float32]
_MASK = (1 << 64) - 1
_PART = 1 << 17  # numbers transformed at a time


class RotationTransform:
    """Analysis and synthesis for width D. Nothing is learned, nothing refined.

    spread  (D,) standard deviation of each coefficient
    """

    def __init__(self, dim: int, seed: int) -> None:
        self._first, self._second = (_signs(dim, seed + i) for i in (0, 1))
        self._root = np.sqrt(dim)
        self.spread = np.ones(dim, np.float32)

    def analyse(self, x: Embeddings) -> Floats:
        """Embeddings (N, D) → coefficients (N, D), times √D: of variance near one."""
        return _in_parts(self._analyse, x)

    def _analyse(self, x: Embeddings) -> Floats:
        y = _dct(self._second * _dct(self._first * x.astype(np.float64)))
        scaled: Floats = (y * self._root).astype(np.float32)
        return scaled

    def refine(self, estimate: Floats, band: int, qualities: Symbols) -> None:
        """Nothing is predicted."""

    def synthesise(self, y: Floats) -> Embeddings:
        """Coefficients (N, D) → embeddings (N, D), not yet of unit norm."""
        return _in_parts(self._synthesise, y)

    def _synthesise(self, y: Floats) -> Embeddings:
        x = self._first * _idct(self._second * _idct(y.astype(np.float64) / self._root))
        return x.astype(np.float32)


def _in_parts(work: Callable[[Floats], Floats], rows: Floats) -> Floats:
    """Some rows at a time, which stay in cache: a third of the time of all at once."""
    step = max(1, _PART // rows.shape[1])
    if len(rows) <= step:
        return work(rows)
    out = np.empty(rows.shape, np.float32)
    for at in range(0, len(rows), step):
        out[at : at + step] = work(rows[at : at + step])
    return out


@lru_cache(maxsize=64)
def _signs(dim: int, seed: int) -> NDArray[np.float64]:
    """D signs from the bits of SplitMix64, least significant first; a set bit is a minus."""
    bits: list[int] = []
    state = seed
    while len(bits) < dim:
        state = state + 0x9E3779B97F4A7C15 & _MASK
        z = state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
        z ^= z >> 31
        bits += [z >> j & 1 for j in range(64)]
    return 1.0 - 2.0 * np.array(bits[:dim])


@lru_cache(maxsize=64)
def _twiddle(dim: int) -> NDArray[np.complex128]:
    twiddle: NDArray[np.complex128] = np.exp(-0.5j * np.pi * np.arange(dim) / dim) * np.sqrt(
        2 / dim
    )
    twiddle[0] /= np.sqrt(2)
    return twiddle


def _dct(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal DCT-II of each row, by one FFT of the same length (Makhoul 1980)."""
    folded = np.concatenate([x[:, ::2], x[:, 1::2][:, ::-1]], axis=1)
    y: NDArray[np.float64] = (np.fft.fft(folded) * _twiddle(x.shape[1])).real
    return y


def _idct(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Its inverse: the orthonormal DCT-III of each row."""
    dim = y.shape[1]
    spectrum = y.astype(np.complex128)
    spectrum[:, 1:] -= 1j * y[:, :0:-1]
    spectrum *= np.conj(_twiddle(dim)) * dim
    spectrum[:, 0] = y[:, 0] * np.sqrt(dim)
    spectrum[:, 1:] /= 2
    folded = np.fft.ifft(spectrum).real
    x = np.empty_like(y)
    half = (dim + 1) // 2
    x[:, ::2], x[:, 1::2] = folded[:, :half], folded[:, half:][:, ::-1]
    return x
