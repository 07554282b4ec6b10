"""What texts would notice of the coding: by how much the probabilities of texts change.

CLIP compares an image with texts by a softmax of their cosines, times a temperature. The measure
here is the Kullback–Leibler divergence between the softmax of the original and of the decoded
embedding, over some hundreds of texts. With an effort above 1 the rate search counts it beside the
squared error, and moves what it quantises against its gradient.

Products are exact (kinds/exact.py), so that the search takes the same way in any batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ..exact import ExactProduct

Doubles = NDArray[np.float64]
TEMPERATURE = 100.0


class Noticed:
    """Original embeddings x (N, D) of unit norm, as texts (M, D) of unit norm see them."""

    def __init__(self, texts: Embeddings, x: Embeddings) -> None:
        self._scores = ExactProduct(np.ascontiguousarray(texts.T), 1.0)
        self._back = ExactProduct(texts, 2.0)
        self._logs = self._log_softmax(x.astype(np.float64))
        self._shares = np.exp(self._logs)

    def _log_softmax(self, z: Doubles) -> Doubles:
        scores = TEMPERATURE * self._scores(z)
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return scores

    def divergence(self, decoded: Embeddings, rows: NDArray[np.int64]) -> Doubles:
        """(n,) divergence, in nats, of embeddings (n, D) of any norm decoded for these rows."""
        logs = self._log_softmax(_unit(decoded)[0])
        found: Doubles = (self._shares[rows] * (self._logs[rows] - logs)).sum(axis=1)
        return np.maximum(found, 0)

    def gradient(self, decoded: Embeddings) -> tuple[Doubles, Doubles]:
        """Of embeddings (N, D) decoded for all rows: divergence (N,), and its gradient (N, D)."""
        z, norms = _unit(decoded)
        logs = self._log_softmax(z)
        divergence = (self._shares * (self._logs - logs)).sum(axis=1)
        upward = TEMPERATURE * self._back(np.exp(logs) - self._shares)
        # only what is across the direction changes it
        across = upward - (upward * z).sum(axis=1, keepdims=True) * z
        return np.maximum(divergence, 0), across / norms


def _unit(rows: Embeddings) -> tuple[Doubles, Doubles]:
    wide = rows.astype(np.float64)
    norms = np.maximum(np.sqrt((wide * wide).sum(axis=1, keepdims=True)), 1e-30)
    return wide / norms, norms
