"""How long an attempt's messages should become, and what is chosen in one band for it.

The bits of an attempt scatter by 4 %, so a message would leave as much of its room empty, or not
fit. As the last bands hold few bits, λ can be changed there at little loss until the room is full.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .tables import Levels

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
_TAIL = 80.0  # bits: λ is changed in the bands that are foreseen to hold less in all


@dataclass
class Aim:
    """What N messages have room for.

    room  (N,) bits; infinite: as many as they like
    rest  (N, B + 1) bits that are foreseen from each band on; 0 after the last
    """

    room: Doubles
    rest: Doubles

    def left(self, band: int, last: bool) -> Doubles:
        """(N,) bits for a band and all before it; infinite where λ is not to be changed yet."""
        left: Doubles = self.room - self.rest[:, band + 1]
        return left if last else np.where(self.rest[:, band] < _TAIL, left, np.inf)


@dataclass
class Band:
    """Of N messages, one band of k coefficients.

    residual  (N, k) in steps, less what is predicted
    classes   (N, k) rows of the tables, flags (N, 2·G) likewise
    full      (N,) whether the group before was full
    """

    residual: Floats
    classes: Levels
    flags: Levels
    full: Levels

    def of(self, rows: Levels) -> Band:
        """Some of the messages."""
        return Band(self.residual[rows], self.classes[rows], self.flags[rows], self.full[rows])


@dataclass
class Path:
    """Of N messages, the levels of one band.

    levels (N, k), grid (N, k) in steps, bits (N,), full (N,) whether the last group is full
    """

    levels: Levels
    grid: Floats
    bits: Doubles
    full: Levels

    def of(self, rows: Levels) -> Path:
        """Some of the messages."""
        return Path(self.levels[rows], self.grid[rows], self.bits[rows], self.full[rows])

    def put(self, rows: Levels, other: Path) -> None:
        """Replace those of some messages."""
        self.levels[rows], self.grid[rows] = other.levels, other.grid
        self.bits[rows], self.full[rows] = other.bits, other.full
