"""Product quantiser with one codebook shared by all sub-vectors (PQVAE-shared).

"Compression Beyond Pixels" (arXiv 2509.05925), section on PQVAE-shared; product quantisation as in
Jégou et al. 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...entropy.tables import Symbols
from ..exact import ExactProduct

Latent = NDArray[np.float32]

_CHUNK = 1 << 16  # distances kept at a time: they stay in cache
_REACH = 1 << 12  # times the largest channel of a codeword: all that lies beyond is far away


class SharedProductQuantizer:
    """Nearest codeword of a codebook (K, d_sub), for every sub-vector of a latent.

    basis  (r, d_sub): sub-vectors to quantise are given by r coordinates along its rows; None: by
           their d_sub channels. What lies off it is equally far from all of them.
    """

    def __init__(self, codebook: Latent, basis: NDArray[Any] | None = None) -> None:
        self.codebook = np.ascontiguousarray(codebook, np.float32)
        exact = self.codebook.astype(np.float64)
        codewords = exact.T
        if basis is not None:
            codewords = ExactProduct(codewords, np.abs(basis).max())(basis)
        self._closeness = ExactProduct(codewords, _REACH * np.abs(exact).max())
        self._half_norms = (exact**2).sum(axis=1) / 2

    def quantize(self, latent: NDArray[Any]) -> Symbols:
        """Latent (N, n, r or d_sub) → symbols (N, n); ties go to the lower symbol."""
        flat = latent.reshape(-1, latent.shape[2])
        symbols = np.empty(len(flat), np.int64)
        step = max(1, _CHUNK // len(self.codebook))
        for at in range(0, len(flat), step):
            closeness = self._closeness(flat[at : at + step])
            closeness -= self._half_norms
            symbols[at : at + step] = closeness.argmax(axis=1)
        return symbols.reshape(latent.shape[:2])

    def dequantize(self, symbols: Symbols) -> Latent:
        """Symbols (N, n) → codewords (N, n, d_sub)."""
        return self.codebook[symbols]
