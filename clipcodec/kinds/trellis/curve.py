"""A profile's rate–distortion curve: how many bits and how much error its qualities mean.

It is measured on embeddings that are drawn by the profile's own tables. These were counted on what
the profile was made for, so what is drawn is typical of it, and nothing else need be in the file.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...errors import placed
from ...system.forks import loading
from . import quantizer
from .engine import Engine
from .tables import Levels, LevelTables

Doubles = NDArray[np.float64]

_SAMPLE, _GRID = 24, 12  # embeddings and qualities that show the curve
_LEAST_SLOPE = 0.01  # per quality


@dataclass(frozen=True)
class RateDistortion:
    """A profile's rate–distortion curve on typical embeddings, at some of its qualities.

    bits, errors  natural logarithms, rising: of the code length, and of 1 / (1 - cosine)
    """

    qualities: list[int]
    bits: list[float]
    errors: list[float]

    def meets(self, wanted: float, curve: list[float]) -> tuple[float, float]:
        """The operating point where a rising curve has the value wanted, and its slope there."""
        at = bisect_left(curve, wanted, 1, len(curve) - 1)
        (q, after), (v, w) = self.qualities[at - 1 : at + 1], curve[at - 1 : at + 1]
        slope = max((w - v) / (after - q), _LEAST_SLOPE)
        return min(max(q + (wanted - v) / slope, 1.0), float(self.qualities[-1])), slope

    def slope(self, point: float, curve: list[float]) -> float:
        """How fast a rising curve grows at an operating point."""
        at = bisect_left(self.qualities, point, 1, len(self.qualities) - 1)
        (q, after), (v, w) = self.qualities[at - 1 : at + 1], curve[at - 1 : at + 1]
        return max((w - v) / (after - q), _LEAST_SLOPE)


@lru_cache(maxsize=32)
def rate_distortion(engine: Engine, last: int) -> RateDistortion:
    """Measured on embeddings that are typical at the highest quality, `last`."""
    rng = generator()
    y = engine.latent(drawn(engine.tables, last, _SAMPLE, rng), np.full(_SAMPLE, last))
    y = np.where(np.isfinite(y), y, 0).astype(np.float32)  # strange tables draw what overflows
    grid = np.unique(np.linspace(1, last, _GRID).astype(np.int64))
    with placed(None):  # an error here is about no row of the caller's
        attempt = engine.attempt(np.repeat(y, len(grid), axis=0), np.tile(grid, _SAMPLE))
    asked, given = engine.transform.synthesise(y), engine.transform.synthesise(attempt.latent)
    missing = 1 - cosines_of(np.repeat(asked, len(grid), axis=0), given)

    def medians(values: Doubles, sign: int) -> list[float]:
        logs = sign * log(np.median(values.reshape(_SAMPLE, len(grid)), axis=0))
        rising: list[float] = np.maximum.accumulate(logs).tolist()
        return rising

    return RateDistortion(grid.tolist(), medians(attempt.bits, 1), medians(missing, -1))


def drawn(tables: LevelTables, quality: int, count: int, rng: np.random.Generator) -> Levels:
    """Levels (count, n), each as often as its table says. None is above the escape."""
    upper = np.cumsum(tables.frequencies, axis=1)
    whole = int(upper[0, -1])
    levels = np.zeros((count, tables.count), np.int64)
    full, state = np.ones(count, np.int64), np.zeros(count, np.int64)

    def draw(rows: Levels) -> Levels:
        below = rng.integers(0, whole, count)
        symbols: Levels = (below[:, None] >= upper[rows]).sum(axis=1)
        return symbols

    for group, (a, b, first) in enumerate(tables.coded_groups):
        if first:
            state[:] = 0
        full = np.minimum(draw(tables.flag_of[quality - 1, 2 * group + full]), 1)
        for i in range(a, b):
            magnitudes = full * draw(tables.class_of[quality - 1, i] + (state & 1))
            levels[:, i] = magnitudes
            state = quantizer.NEXT[state, magnitudes & 1]
    return levels * (1 - 2 * rng.integers(0, 2, levels.shape))


def generator() -> np.random.Generator:
    """Random numbers, the same every time."""
    with loading:  # numpy imports it on first use, which a fork must not cut
        import numpy.random as random
    return random.default_rng(0)


def cosines_of(x: Embeddings, y: Embeddings) -> Doubles:
    """(N,) of each row of x with the same row of y; 0 where y has no direction."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    norms = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    cosines: Doubles = (x * y).sum(axis=1) / np.maximum(norms, 1e-30)
    return cosines


def log(values: Doubles) -> Doubles:
    """Natural logarithms by the C library's one function: numpy has several, by machine."""
    floored = np.maximum(values, 1e-9).tolist()
    return np.fromiter(map(math.log, floored), np.float64, len(floored))


def exp(values: Doubles) -> Doubles:
    """Their inverse, likewise; a number too large is the largest that is of use."""
    found = np.minimum(values, 700.0).tolist()
    return np.fromiter(map(math.exp, found), np.float64, len(found))
