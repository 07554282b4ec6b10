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
class Course:
    """How far N attempts have come, band after band.

    y                           (N, n) coefficients that were asked for
    steps, weight, qualities    (N,) step, λ and quality of each
    levels, estimate            (N, n) so far; zeros, and what is predicted, in the bands to come
    bits, full                  (N,) so far, and whether the group before was full
    """

    y: Floats
    steps: Floats
    weight: Floats
    qualities: Levels
    levels: Levels
    estimate: Floats
    bits: Doubles
    full: Levels

    @classmethod
    def of(cls, y: Floats, steps: Floats, weight: Floats, qualities: Levels) -> Course:
        """Before the first band."""
        count = len(y)
        return cls(
            np.ascontiguousarray(y), steps, weight, qualities, np.zeros(y.shape, np.int64),
            np.zeros(y.shape, np.float32), np.zeros(count), np.ones(count, np.int64),
        )  # fmt: skip

    def some(self, rows: Levels) -> Course:
        """Copies of some rows."""
        return Course(
            self.y[rows], self.steps[rows], self.weight[rows], self.qualities[rows],
            self.levels[rows], self.estimate[rows], self.bits[rows], self.full[rows],
        )  # fmt: skip

    def put(self, rows: Levels, other: Course, chosen: Levels, band: slice) -> None:
        """Replace what rows have of a band by what those chosen of another course have."""
        self.levels[rows, band] = other.levels[chosen, band]
        self.estimate[rows, band] = other.estimate[chosen, band]
        self.bits[rows], self.full[rows] = other.bits[chosen], other.full[chosen]
