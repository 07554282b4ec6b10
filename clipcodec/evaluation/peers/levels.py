"""Levels of uniform scalar quantisers, and the bits that they take.

`Quantiser` has one step for all dimensions and is fitted to training values: levels are chosen by
error + λ · bits, tables count those levels, and a level is decoded to the mean of what it coded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...training.klt import Doubles

Levels = NDArray[np.int64]
ENOUGH = 20_000  # training rows
HIGHEST = 127  # magnitude of the largest level
_LAMBDA = 0.15  # squared steps per bit
_ROUNDS = 4  # of fitting tables to levels and choosing levels by these tables


@dataclass(frozen=True)
class Quantiser:
    """Values are in steps.

    bits   (D, 2 · HIGHEST + 1): −log2 of the share of each level, from −HIGHEST on
    shift  (4,): what is added to the magnitude of a level 0, 1, 2, and of 3 and more
    """

    bits: Doubles
    shift: Doubles

    def choose(self, values: Doubles) -> Levels:
        """The level of each value (N, D): zero, or one of the two around it."""
        return _choose(values, self.bits)

    def spent(self, levels: Levels) -> Doubles:
        """The ideal size (N,) of each row of levels (N, D), in bits."""
        bits: Doubles = np.take_along_axis(self.bits, levels.T + HIGHEST, axis=1).sum(axis=0)
        return bits

    def values(self, levels: Levels) -> Doubles:
        """What levels are decoded to."""
        magnitude = np.abs(levels)
        values: Doubles = np.sign(levels) * (magnitude + self.shift[np.minimum(magnitude, 3)])
        return values


def rounded(values: NDArray[np.floating[Any]]) -> Levels:
    """The nearest level of each value; values are in steps."""
    levels: Levels = np.rint(values).astype(np.int64).clip(-HIGHEST, HIGHEST)
    return levels


def fit(values: Doubles) -> Quantiser:
    """The quantiser for training values (M, D)."""
    levels = rounded(values)
    for _ in range(_ROUNDS):
        bits = table_bits(levels)
        levels = _choose(values, bits)
    magnitude = np.minimum(np.abs(levels), 3).ravel()
    remainder = (np.abs(values) - np.abs(levels)).ravel()
    count = np.maximum(np.bincount(magnitude, minlength=4), 1)
    shift = np.bincount(magnitude, weights=remainder, minlength=4) / count
    shift[0] = 0
    return Quantiser(bits, shift)


def table_bits(levels: Levels) -> Doubles:
    """−log2 p (D, alphabet) of each level of each dimension, from levels (M, D).

    Two counts are added, distributed as a two-sided geometric distribution of the same mean
    magnitude, so that the cost of a level that never occurred is finite.
    """
    count, dim = levels.shape
    alphabet = 2 * HIGHEST + 1
    cells = (levels + HIGHEST + alphabet * np.arange(dim)).ravel()
    counts = np.bincount(cells, minlength=dim * alphabet).reshape(dim, alphabet)
    mean = np.maximum(np.abs(levels).mean(axis=0), 1e-3)
    ratio = (np.sqrt(1 + mean**2) - 1) / mean
    prior = np.maximum(ratio[:, None] ** np.abs(np.arange(-HIGHEST, HIGHEST + 1)), 1e-30)
    shares = counts + 2 * prior / prior.sum(axis=1, keepdims=True)
    bits: Doubles = -np.log2(shares / (count + 2))
    return bits


def _choose(values: Doubles, bits: Doubles) -> Levels:
    """For each value (N, D): zero or one of the two levels around it, by least error + λ · bits."""
    sign = np.sign(values).astype(np.int64)
    magnitude = np.abs(values)
    lower = np.minimum(magnitude.astype(np.int64), HIGHEST)
    best = np.zeros_like(lower)
    least = np.full(values.shape, np.inf)
    for level in (np.zeros_like(lower), lower, np.minimum(lower + 1, HIGHEST)):
        rate = np.take_along_axis(bits, (sign * level).T + HIGHEST, axis=1).T
        cost = (magnitude - level) ** 2 + _LAMBDA * rate
        better = cost < least
        best[better], least[better] = level[better], cost[better]
    return sign * best
