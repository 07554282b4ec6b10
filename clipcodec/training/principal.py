"""The first principal axes of rows, and of the same rows without some: few or many, wide or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings

Doubles = NDArray[np.float64]
_PART = 1 << 13  # rows at a time


@dataclass(frozen=True)
class Axes:
    """Where rows lie: x ≈ mean + y · rows.

    mean (D,); rows (m, D), orthonormal; variance (m,) along each of them, falling
    """

    mean: Doubles
    rows: Doubles
    variance: Doubles

    def coefficients(self, x: Embeddings) -> NDArray[np.float32]:
        """(N, D) → (N, m)."""
        analysis = self.rows.T.astype(np.float32)
        parts = [
            (x[at : at + _PART] - self.mean.astype(np.float32)) @ analysis
            for at in range(0, len(x), _PART)
        ]
        y: NDArray[np.float32] = np.concatenate(parts)
        return y


def axes_without(
    x: Embeddings, weights: Doubles, held: Sequence[NDArray[np.int64]], most: int
) -> list[Axes]:
    """The axes of all rows x (N, D), then of all but each of `held`; at most `most` of them.

    weights  (N,) how often each row counts

    The sums of all rows less those of the rows held out are those of the others, so all rows are
    read once. Of fewer rows than dimensions, the axes come from their inner products.
    """
    if len(x) <= x.shape[1]:
        left = [np.setdiff1d(np.arange(len(x)), rows) for rows in held]
        return [_of_few(x[rows], weights[rows], most) for rows in [np.arange(len(x)), *left]]
    origin = x[:: max(1, len(x) // _PART)].mean(axis=0)  # near the mean: float32 will do
    rest = np.ones(len(x), bool)
    for rows in held:
        rest[rows] = False
    parts = [_sums(x[rows], weights[rows], origin) for rows in held]
    others = _sums(x[rest], weights[rest], origin)
    total = others
    for part in parts:
        total = total.plus(part)
    return [sums.axes(origin, most) for sums in (total, *(total.plus(part, -1) for part in parts))]


@dataclass(frozen=True)
class _Sums:
    """Weight, sum (D,) and sum of products (D, D) of rows, counted from an origin."""

    weight: float
    first: Doubles
    second: Doubles

    def plus(self, other: _Sums, sign: int = 1) -> _Sums:
        return _Sums(
            self.weight + sign * other.weight,
            self.first + sign * other.first,
            self.second + sign * other.second,
        )

    def axes(self, origin: Embeddings, most: int) -> Axes:
        mean = self.first / self.weight
        values, vectors = np.linalg.eigh(self.second / self.weight - np.outer(mean, mean))
        variance = np.maximum(values[::-1][:most], 0)
        return Axes(origin + mean, vectors[:, ::-1][:, :most].T, variance)


def _sums(x: Embeddings, weights: Doubles, origin: Embeddings) -> _Sums:
    first, second = np.zeros(x.shape[1]), np.zeros((x.shape[1], x.shape[1]))
    for at in range(0, len(x), _PART):
        centred = x[at : at + _PART] - origin
        weighed = centred * weights[at : at + _PART, None].astype(np.float32)
        first += weighed.sum(axis=0, dtype=np.float64)
        second += weighed.T @ centred
    return _Sums(float(weights.sum()), first, second)


def _of_few(x: Embeddings, weights: Doubles, most: int) -> Axes:
    share = weights / weights.sum()
    mean = share @ x.astype(np.float64)
    centred = (x - mean) * np.sqrt(share)[:, None]
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = int((values > 1e-12 * max(values[0], 1e-30)).sum())
    count = max(1, min(most, kept, len(x) - 1))
    variance = np.maximum(values[:count], 1e-30)
    rows = (vectors[:, :count] / np.sqrt(variance)).T @ centred
    return Axes(mean, rows, variance)
