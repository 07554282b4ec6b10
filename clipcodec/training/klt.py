"""Mean, shrunk covariance, a metric that hears text, and the KLT in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings

Doubles = NDArray[np.float64]
_TINY = 1e-7  # least variance, as a share of the mean one: keeps constant directions finite


@dataclass(frozen=True)
class Klt:
    """x ↦ (x − mean) · analysis; back with synthesis. `variance` (D,) falls."""

    mean: Doubles
    analysis: Doubles
    synthesis: Doubles
    variance: Doubles


def klt(
    x: Embeddings,
    weights: Doubles,
    *,
    shrinkage: float | None = None,
    text: Embeddings | None = None,
    text_weight: float = 0.0,
) -> Klt:
    """KLT of rows x (N, D), each counted `weights` times.

    shrinkage  share of the covariance that is replaced by a multiple of the identity; None: the
               oracle approximating estimate of Chen et al. 2010
    text       embeddings of texts (M, D); the metric is then (1 − g)·I + g·Σ_text·D / tr Σ_text
               with g = `text_weight`, so that what texts can tell apart is kept better
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
    variance = np.maximum(values, _TINY * values.mean())
    return Klt(mean, root @ axes, axes.T @ inverse, variance)


def _covariance(x: Embeddings, share: Doubles) -> Doubles:
    centred = x - (share @ x).astype(np.float32)
    c: Doubles = ((centred * share[:, None].astype(np.float32)).T @ centred).astype(np.float64)
    return (c + c.T) / 2


def oas(covariance: Doubles, count: float) -> float:
    """Shrinkage for `count` rows by the oracle approximating estimator (Chen et al. 2010)."""
    dim = len(covariance)
    square, trace = float((covariance**2).sum()), float(np.trace(covariance)) ** 2
    top = (1 - 2 / dim) * square + trace
    bottom = (count + 1 - 2 / dim) * (square - trace / dim)
    return 1.0 if bottom <= 0 else min(1.0, top / bottom)


def steps_for(variance: Doubles, qualities: int, low: float, high: float) -> NDArray[np.float32]:
    """Steps of the trellis quantiser, finer and finer: from `low` to `high` bits a dimension.

    By reverse water-filling: R = Σ ½·log2 max(1, σ²/θ), θ being the error of a step.
    """
    ends = []
    for bits in (low, high):
        a, b = np.log(variance.max()) - 60, np.log(variance.max())
        for _ in range(60):
            middle = (a + b) / 2
            rate = 0.5 * np.log2(np.maximum(variance / np.exp(middle), 1)).mean()
            a, b = (middle, b) if rate > bits else (a, middle)
        ends.append(np.sqrt(np.exp(a) / ERROR))
    return np.geomspace(ends[0], ends[1], qualities).astype(np.float32)


ERROR = 0.3
"""Squared error of a coded coefficient in squared steps (measured: .26 to .3)."""
