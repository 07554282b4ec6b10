"""The KLT (Karhunen-Loève transform) of embeddings, and step sizes for its coefficients.

The covariance is shrunk, and the distance may weigh what tells texts apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings

Doubles = NDArray[np.float64]
_MIN_VARIANCE = 1e-7  # as a share of the mean variance: constant directions need one above zero
QUALITIES = 100  # of a profile for all rates
LOW, HIGH = 0.08, 4.0  # bits per dimension of the coarsest and the finest one, in theory
RDO_WEIGHT = 0.4  # λ, in squared steps per bit; close to the best value at every rate
ERROR = 0.3
"""Squared error of a coded coefficient, in squared steps (measured: 0.26 to 0.3)."""


@dataclass(frozen=True)
class Klt:
    """Coefficients y = (x − mean) · analysis, and back: x = y · synthesis + mean.

    mean (D,); analysis (D, n), synthesis (n, D); variance (n,) of the coefficients, in falling
    order; n is D, or less where the last ones are left out
    """

    mean: Doubles
    analysis: Doubles
    synthesis: Doubles
    variance: Doubles

    def first(self, count: int) -> Klt:
        """The first coefficients alone."""
        return Klt(
            self.mean, self.analysis[:, :count], self.synthesis[:count], self.variance[:count]
        )

    def coefficients(self, x: Embeddings) -> NDArray[np.float32]:
        """(N, D) → (N, n)."""
        y: NDArray[np.float32] = ((x - self.mean) @ self.analysis).astype(np.float32)
        return y


def klt(
    x: Embeddings,
    weights: Doubles,
    *,
    shrinkage: float | None = None,
    text: Embeddings | None = None,
    text_weight: float = 0.0,
) -> Klt:
    """The KLT of rows x (N, D); row i counts `weights[i]` times.

    shrinkage  share of the covariance that is replaced by a multiple of the identity; None: the
               estimate of `oas`
    text       embeddings of texts (M, D). The metric is then (1 − g)·I + g·Σ_text·D / tr Σ_text
               with g = `text_weight`, so that directions in which texts differ are coded better.
    """
    dim = x.shape[1]
    share = weights / weights.sum()
    mean = share @ x.astype(np.float64)
    covariance = _covariance(x, share)
    count = 1 / (share**2).sum()
    if shrinkage is None:
        shrinkage = oas(covariance, count)
    level = np.trace(covariance) / dim
    covariance = (1 - shrinkage) * covariance + shrinkage * level * np.eye(dim)
    root = inverse = np.eye(dim)
    if text is not None and text_weight:
        sigma = _covariance(text, np.full(len(text), 1 / len(text)))
        metric = (1 - text_weight) * np.eye(dim) + text_weight * dim * sigma / np.trace(sigma)
        values, axes = np.linalg.eigh(metric)
        root, inverse = (axes * np.sqrt(values)) @ axes.T, (axes / np.sqrt(values)) @ axes.T
    values, axes = np.linalg.eigh(root @ covariance @ root)
    axes, values = axes[:, ::-1], values[::-1]
    variance = np.maximum(values, _MIN_VARIANCE * values.mean())
    return Klt(mean, root @ axes, axes.T @ inverse, variance)


def _covariance(x: Embeddings, share: Doubles) -> Doubles:
    centred = x - (share @ x).astype(np.float32)
    c: Doubles = ((centred * share[:, None].astype(np.float32)).T @ centred).astype(np.float64)
    return (c + c.T) / 2


def oas(covariance: Doubles, count: float) -> float:
    """Shrinkage (0 … 1) of a covariance (D, D) of `count` rows.

    The oracle approximating shrinkage estimator: Chen et al. 2010, "Shrinkage Algorithms for MMSE
    Covariance Estimation".
    """
    dim = len(covariance)
    square, trace = float((covariance**2).sum()), float(np.trace(covariance)) ** 2
    top = (1 - 2 / dim) * square + trace
    bottom = (count + 1 - 2 / dim) * (square - trace / dim)
    return 1.0 if bottom <= 0 else min(1.0, top / bottom)


def steps_for(variance: Doubles, qualities: int, low: float, high: float) -> NDArray[np.float32]:
    """Steps (qualities,) of the trellis quantiser: from `low` to `high` bits per dimension.

    The rate at a step is that of reverse water-filling: the mean over the variances σ² of
    ½·log2 max(1, σ²/θ), where θ = ERROR · step² is the squared error. Steps fall geometrically.
    """
    ends = []
    for bits in (low, high):
        below, above = np.log(variance.max()) - 60, np.log(variance.max())  # of log θ
        for _ in range(60):
            middle = (below + above) / 2
            rate = 0.5 * np.log2(np.maximum(variance / np.exp(middle), 1)).mean()
            below, above = (middle, above) if rate > bits else (below, middle)
        ends.append(np.sqrt(np.exp(below) / ERROR))
    return np.geomspace(ends[0], ends[1], qualities).astype(np.float32)
