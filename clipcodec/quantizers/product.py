"""Product quantiser with one codebook shared by all sub-vectors (PQVAE-shared).

"Compression Beyond Pixels" (arXiv 2509.05925), section on PQVAE-shared; product quantisation as in
Jégou et al. 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..entropy.tables import Symbols

Latent = NDArray[np.float32]

_CHUNK = 1 << 17  # distances kept at a time: they stay in cache
_NEGLIGIBLE = 1e-6  # of the widest direction: rounding


class SharedProductQuantizer:
    """Nearest codeword of a codebook (K, d_sub), for every sub-vector of a latent."""

    def __init__(self, codebook: Latent) -> None:
        self.codebook = np.ascontiguousarray(codebook, np.float32)
        # What lies off the directions that codewords span is equally far from all of them: the
        # search goes on within these, at a fraction of the cost.
        _, spread, axes = np.linalg.svd(self.codebook.astype(np.float64), full_matrices=False)
        self._axes = axes[spread > _NEGLIGIBLE * spread[0]].T.astype(np.float32)
        self._codewords = (self.codebook @ self._axes).T.copy()
        self._half_norms = (self._codewords**2).sum(axis=0) / 2

    def quantize(self, latent: Latent) -> Symbols:
        """Latent (N, n, d_sub) → symbols (N, n); ties go to the lower symbol."""
        flat = latent.reshape(-1, self.codebook.shape[1]) @ self._axes
        symbols = np.empty(len(flat), np.int64)
        step = max(1, _CHUNK // len(self.codebook))
        for at in range(0, len(flat), step):
            closeness = flat[at : at + step] @ self._codewords
            closeness -= self._half_norms
            symbols[at : at + step] = closeness.argmax(axis=1)
        return symbols.reshape(latent.shape[:2])

    def dequantize(self, symbols: Symbols) -> Latent:
        """Symbols (N, n) → codewords (N, n, d_sub)."""
        return self.codebook[symbols]
