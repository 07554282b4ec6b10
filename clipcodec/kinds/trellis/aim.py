"""How long an attempt's messages should become, and what is chosen in one band for it.

The bits of an attempt scatter by 4 %, so a message would leave as much of its room empty, or not
fit. As the last bands hold few bits, λ can be changed there at little loss until the room is full.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .tables import Levels

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
_LEAP, _PARTS = 4, 8  # of the logarithm of λ, in parts of one: the first other λ that is tried
_WAYS = np.array([math.exp(i / _PARTS) for i in range(-2 * _LEAP, 2 * _LEAP + 1)], np.float32)
_CLOSE = 2.0  # bits: near enough
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

    def before(self, band: slice) -> tuple[Floats, Doubles, Levels]:
        """Copies of what a band is going to change."""
        return self.estimate[:, band].copy(), self.bits.copy(), self.full.copy()

    def again(
        self, rows: Levels, before: tuple[Floats, Doubles, Levels], band: slice, ways: Floats
    ) -> Course:
        """Copies of some rows as they were before a band, with λ times `ways` (n,)."""
        estimate, bits, full = before
        some = Course(
            self.y[rows], self.steps[rows], self.weight[rows] * ways, self.qualities[rows],
            self.levels[rows], self.estimate[rows], bits[rows], full[rows],
        )  # fmt: skip
        some.levels[:, band] = 0
        some.estimate[:, band] = estimate[rows]
        return some

    def put(self, rows: Levels, other: Course, chosen: Levels, band: slice) -> None:
        """Replace what rows have of a band by what those chosen of another course have."""
        self.levels[rows, band] = other.levels[chosen, band]
        self.estimate[rows, band] = other.estimate[chosen, band]
        self.bits[rows], self.full[rows] = other.bits[chosen], other.full[chosen]


class Steerable(Protocol):
    """What `steer` needs of a `Course`, which may be on another device."""

    @property
    def bits(self) -> Doubles: ...
    def before(self, band: slice) -> Any: ...
    def again(self: C, rows: Levels, before: Any, band: slice, ways: Floats) -> C: ...
    def put(self: C, rows: Levels, other: C, chosen: Levels, band: slice) -> None: ...


C = TypeVar("C", bound=Steerable)


def steer(quantise: Callable[[C], None], course: C, band: slice, left: Doubles) -> None:
    """Take every row through a band, with other λ where the bits are then far from what is left.

    quantise  takes a course through the band
    left      (N,) bits for the band and all before it; infinite: any are right

    λ is doubled or halved, about, by halving what it may be. The path stays whose bits come nearest
    below, or exceed it least.
    """
    before = course.before(band)
    quantise(course)
    slack = left - course.bits
    rows = np.flatnonzero(np.isfinite(slack) & ~((slack >= 0) & (slack < _CLOSE)))
    way = np.where(slack[rows] < 0, _LEAP, -_LEAP)  # of the logarithm of λ, in parts
    for step in (_LEAP, _LEAP // 2):
        if not len(rows):
            return
        tried = course.again(rows, before, band, _WAYS[way + 2 * _LEAP])
        quantise(tried)
        now, nearest = left[rows] - tried.bits, slack[rows]
        nearer = np.where(nearest >= 0, (now >= 0) & (now < nearest), now > nearest)
        better = np.flatnonzero(nearer)
        course.put(rows[better], tried, better, band)
        slack[rows[better]] = now[better]
        same = (now < 0) == (way > 0)  # not there yet
        way = np.where(same, 2 * way, way - np.sign(way) * (step // 2))
        far = np.flatnonzero(~((now >= 0) & (now < _CLOSE)))
        rows, way = rows[far], way[far]


def foreseen(until: Doubles, room: Doubles) -> Doubles:
    """(N, B + 1) bits from each band on in messages that just fill their room (N,).

    until  (N, B) of attempts at them: the bits up to the end of each band
    """
    total = until[:, -1:]
    rest = np.concatenate([total, total - until], axis=1)
    found: Doubles = rest * np.clip(room[:, None] / np.maximum(total, 1.0), 0.5, 2.0)
    return found
