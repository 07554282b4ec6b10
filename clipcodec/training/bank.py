"""The bank of a profile: a few hundred texts that stand for many (kinds/trellis/noticed.py)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings, normalise

COUNT = 512  # fewer lose some of what an effort gains; more gain nothing that shows
_ROUNDS = 30
_LARGEST = 127


def bank(texts: Embeddings, count: int = COUNT, seed: int = 0) -> NDArray[np.int8]:
    """Centroids (M, D) of texts (N, D) of unit norm, by spherical k-means; M ≤ count.

    Rows are rounded to eight bits, each with a scale of its own, which their norm makes up for.
    """
    centroids = texts if len(texts) <= count else _centroids(texts, count, seed)
    peak = np.abs(centroids).max(axis=1, keepdims=True)
    whole: NDArray[np.int8] = np.rint(centroids * (_LARGEST / peak)).astype(np.int8)
    return whole


def _centroids(texts: Embeddings, count: int, seed: int) -> Embeddings:
    rng = np.random.default_rng(seed)
    found = texts[np.sort(rng.choice(len(texts), count, replace=False))]
    for _ in range(_ROUNDS):
        nearest = (texts @ found.T).argmax(axis=1)
        sums = np.zeros(found.shape)
        np.add.at(sums, nearest, texts)
        empty = ~(np.linalg.norm(sums, axis=1) > 0)
        sums[empty] = texts[rng.choice(len(texts), int(empty.sum()))]
        found = normalise(sums)
    return found
