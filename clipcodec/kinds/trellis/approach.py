"""The search for the operating point of each embedding: few attempts, ever closer to its target.

An operating point p is quality ⌈p⌉ with λ raised by the factor that makes up for ⌈p⌉ - p. So it is
continuous, and goes on below the lowest quality and above the highest.

What an attempt comes to scatters: paths through the trellis differ, and with them what is predicted
from them. Two qualities next to each other differ by 4 % in bits, and attempts at one point, with
other steps, by as much. So the point is not what the last attempts bracket, but what all attempts
near it say on average; and several at it are worth their time, as the best is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...entropy import Symbols

Doubles = NDArray[np.float64]

Measure = Callable[[Symbols, Symbols, Doubles, bool], Doubles]
"""(rows, qualities, factors on λ, whether to aim) → by how much an attempt there was too fine, as a
logarithm; below 0: too coarse. What was best so far is kept."""

_MOST_LOCATING = 14  # attempts to find the point
_NEAR, _NARROW = 0.12, 4.0  # as good as found: as a logarithm, in qualities
_SCATTER = 0.05  # of attempts at one point, as a logarithm
Rounds = Sequence[Sequence[tuple[float, int]]]
"""Attempts near the point found: (shift from it, qualities finer than its own)."""
BUDGET: Rounds = (((-0.4, 1), (-0.4, 0)), ((-0.4, 2), (-0.4, -1)))
"""For attempts that fill their room by themselves: few will do."""
SMALL: Rounds = (*BUDGET, ((-0.2, 0), (-0.2, 1)))
"""The same in little room, where one level more or less counts most."""
FREE: Rounds = (
    ((0.0, 1), (0.0, -1)),
    ((0.0, 0), (0.0, 2)),
    ((-0.4, 0), (-0.4, 1)),
    ((-0.3, 2), (-0.3, -1)),
)
"""For attempts that are not aimed: some fall on either side of the target, by chance."""
FIDELITY: Rounds = (
    ((-0.4, 1),),
    ((-0.4, 0),),
    ((-0.4, 2),),
    ((-0.4, -1),),
    ((0.0, 3),),
    ((0.0, 1),),
)
"""For attempts at ever smaller sizes: one after the other, as each depends on the last."""
_TURN: Sequence[tuple[float, int]] = ((0.0, 0), (0.0, 1), (0.0, -1))  # of each turn
_PARTS = 64  # of one quality: operating points are whole parts
_EXCHANGE = 0.12  # log of the factor on λ that makes up for one quality
_FACTORS = np.array([math.exp(_EXCHANGE * i / _PARTS) for i in range(-25 * _PARTS, 50 * _PARTS)])
_TOGETHER = 96  # attempts in one call: for so few, numpy's calls cost more than the work


class Approach:
    """Operating points of N embeddings.

    start, slope  where a typical embedding meets the target, and how fast the excess grows there
    last          the highest quality
    rounds        the attempts once the point is found; where each is of one, none go together
    """

    def __init__(
        self, measure: Measure, count: int, last: int, start: float, slope: float, rounds: Rounds
    ) -> None:
        self._rounds = rounds
        self._single = all(len(shifts) == 1 for shifts in rounds)
        self._bracketed, self._least = np.full(count, rounds is FREE), 3 if rounds is FREE else 2
        self._measure, self._last, self._slope = measure, last, slope
        self.point = np.full(count, start)
        self._low, self._high = np.full(count, -np.inf), np.full(count, np.inf)
        self._below, self._above = np.full(count, np.nan), np.full(count, np.nan)  # excess there
        self._nearest = np.full(count, np.inf)  # excess of all
        self._sum, self._weight = np.zeros(count), np.zeros(count)

    def locate(self) -> None:
        """Find each embedding's point. Those far from the typical one take more attempts."""
        rows = np.arange(len(self.point))
        for done in range(1, _MOST_LOCATING + 1):
            self.attempts(rows, [(0.0, 0)], aim=False)
            if done >= self._least:
                rows = rows[~(self._near(rows) | self._narrow(rows))]
            if not len(rows):
                break

    def refine(self) -> None:
        """Several attempts near each point."""
        for shifts in self._rounds:
            self.attempts(np.arange(len(self.point)), shifts)

    def bracket(self, rows: Symbols) -> None:
        """For rows whose attempts are still far from the target: go by the nearest on each side."""
        self._bracketed[rows] = True
        self._guess(rows)
        self.attempts(rows, [(0.0, 0)])

    def turn(self) -> None:
        """The attempts of one turn."""
        self.attempts(np.arange(len(self.point)), _TURN)

    def attempts(
        self, rows: Symbols, shifts: Sequence[tuple[float, int]], *, aim: bool = True
    ) -> None:
        """Measure these points of each row, and move to the best guess from all so far."""
        tried = [np.rint((self.point[rows] + shift) * _PARTS) / _PARTS for shift, _ in shifts]
        for t, excess in zip(
            tried, self._at(rows, tried, [up for _, up in shifts], aim), strict=True
        ):
            self._learn(rows, t, excess)
        self._guess(rows)

    def _learn(self, rows: Symbols, tried: Doubles, excess: Doubles) -> None:
        """What one attempt at each row, at these points, says of them."""
        weight = 1 / (_SCATTER**2 + excess * excess)  # the farther, the less it says
        self._weight[rows] += weight
        self._sum[rows] += weight * (tried - excess / self._slope)
        self._nearest[rows] = np.minimum(np.abs(excess), self._nearest[rows])
        lower = (excess < 0) & (tried > self._low[rows])
        self._low[rows[lower]], self._below[rows[lower]] = tried[lower], excess[lower]
        upper = (excess > 0) & (tried < self._high[rows])
        self._high[rows[upper]], self._above[rows[upper]] = tried[upper], excess[upper]

    def _guess(self, rows: Symbols) -> None:
        """The best guess from all so far."""
        low, high, below, above = (
            a[rows] for a in (self._low, self._high, self._below, self._above)
        )
        with np.errstate(invalid="ignore"):
            share = np.clip(-below / (above - below), 0.3, 0.7)
            inside = low + share * (high - low)
        outside = np.where(np.isnan(above), low - below / self._slope, high - above / self._slope)
        mean = np.clip(self._sum[rows] / self._weight[rows], low - 1, high + 1)
        far = np.where(np.isnan(inside), outside, inside)
        point = np.where(self._near(rows), mean, far)
        self.point[rows] = np.clip(point, -self._last, 2 * self._last)

    def _near(self, rows: Symbols) -> NDArray[np.bool_]:
        """(n,) is some attempt so near that all say more on average than the last two?"""
        near: NDArray[np.bool_] = (self._nearest[rows] < _NEAR) & ~self._bracketed[rows]
        return near

    def _narrow(self, rows: Symbols) -> NDArray[np.bool_]:
        """(n,) are there attempts close on either side of the point?"""
        narrow: NDArray[np.bool_] = self._high[rows] - self._low[rows] < _NARROW
        return narrow

    def _at(
        self, rows: Symbols, points: Sequence[Doubles], finer: Sequence[int], aim: bool
    ) -> list[Doubles]:
        """The excess of each row at each of its points, at a finer quality than its own."""

        def one(rows: Symbols, tried: Doubles, up: Symbols | int) -> Doubles:
            qualities = np.clip(np.ceil(tried) + up, 1, self._last).astype(np.int64)
            parts = (_PARTS * (qualities - tried)).astype(np.int64) + 25 * _PARTS
            factors = _FACTORS[np.clip(parts, 0, len(_FACTORS) - 1)]
            return self._measure(rows, qualities, factors, aim)

        count = len(rows)
        if len(points) == 1 or self._single or count * len(points) > _TOGETHER:
            return [one(rows, t, up) for t, up in zip(points, finer, strict=True)]
        found = one(np.tile(rows, len(points)), np.concatenate(points), np.repeat(finer, count))
        return list(found.reshape(len(points), count))
