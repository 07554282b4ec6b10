"""How many coefficients a profile keeps, and how coarsely it stores their axes.

A file holds its profile once and a payload for each item. A coefficient is kept if what it brings
is worth its bits in every payload and its axis in the profile; an axis is stored in bits that are
worth what they bring. What one bit is worth follows from the step: it is the encoder's own λ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kinds.trellis import quantizer
from ..kinds.trellis.compact import MAX_BASIS, MAX_SHIFT
from ..kinds.trellis.engine import Engine
from ..kinds.trellis.tables import Levels

Doubles = NDArray[np.float64]
_MOST = 127  # of a value in eight bits
_SHIFTS = 14  # precisions that are compared, from one bit for an axis' largest value on
# Much of an axis' rounding lies within the span of the others, and the analysis makes up for it
_REMAINS = 1 / 3
_BESIDES = 10.0  # bytes of a coefficient in the profile beside its axis: scale, classes, flags


@dataclass(frozen=True)
class Worth:
    """What each of m coefficients costs and leaves, at some steps (G,), coarse to fine.

    total   squared error of an embedding of which nothing is known but the mean
    power   (m,) mean square of each coefficient, of rows that its axis was not made from
    bits    (G, m) ideal bits of each
    error   (G, m) mean squared error of each, once coded
    """

    steps: Doubles
    total: float
    power: Doubles
    bits: Doubles
    error: Doubles


def worth(engine: Engine, latents: NDArray[np.float32], total: float, qualities: Levels) -> Worth:
    """Code latents (N, m) at some qualities, and see what each coefficient costs and leaves."""
    bits, error = [], []
    for quality in qualities.tolist():
        at = np.full(len(latents), quality)
        attempt = engine.attempt(latents, at)
        bits.append(_bits(engine, attempt.levels, at))
        error.append(((latents - attempt.latent) ** 2).mean(axis=0))
    power = (latents.astype(np.float64) ** 2).mean(axis=0)
    steps = engine.steps[qualities - 1].astype(np.float64)
    return Worth(steps, total, power, np.array(bits), np.array(error))


def _bits(engine: Engine, levels: Levels, qualities: Levels) -> Doubles:
    """(m,) mean bits of each coefficient; a group's flag is shared out among its coefficients."""
    tables = engine.tables
    magnitudes: Levels = np.abs(levels)
    rows = tables.class_of[qualities - 1] + quantizer.odd(levels, tables.bands)
    each = tables.bits[rows, np.minimum(magnitudes, tables.escape)].astype(np.float64)
    each += magnitudes > 0
    each += tables.escape_bits(magnitudes)
    before: Levels = np.ones(len(levels), np.int64)
    for group, (a, b, _) in enumerate(tables.coded_groups):
        full: Levels = np.asarray(magnitudes[:, a:b].any(axis=1), np.int64)
        flag = tables.flag_of[qualities - 1, 2 * group + before]
        each[:, a:b] *= full[:, None]
        each[:, a:b] += (tables.bits[flag, full] / (b - a))[:, None]
        before = full
    mean: Doubles = each.mean(axis=0)
    return mean


@dataclass(frozen=True)
class Choice:
    """What a profile keeps, and what is expected of it.

    step     of the quantiser, at which the target is met
    coarsest (n,) largest units of the stored axes, powers of two
    bits     of a payload
    error    squared error of an embedding
    size     bytes of the axes and what goes with them, about
    """

    step: float
    coarsest: Doubles
    bits: float
    error: float
    size: float

    @property
    def rank(self) -> int:
        return len(self.coarsest)

    @property
    def cosine(self) -> float:
        """Of an embedding with its original, about."""
        return float(np.sqrt(max(1 - self.error, 0.0)))


class Chooser:
    """Chooses rank and precision for any step, from what coefficients are worth.

    rows    (m, D) the axes
    items   embeddings that share the profile
    weight  λ: squared steps that a bit may cost
    """

    def __init__(self, worth: Worth, rows: Doubles, items: float, weight: float) -> None:
        self.worth, self.items, self.weight = worth, items, weight
        self.dim = rows.shape[1]
        self.least = 1  # coefficients that are kept in any case
        largest = np.maximum(np.abs(rows).max(axis=1), 1e-30)
        finest = np.floor(np.log2(_MOST / largest))
        self.shifts = np.clip(finest[:, None] - np.arange(_SHIFTS)[::-1], 0, MAX_SHIFT)  # (m, S)
        self.bytes = _entropies(rows, self.shifts) / 8

    def at(self, step: float) -> Choice:
        """Rank and precision where λ is that of this step."""
        w = self.worth
        place = np.interp(-np.log(step), -np.log(w.steps), np.arange(len(w.steps)))
        low = min(int(place), len(w.steps) - 2)
        share = place - low
        bits = (1 - share) * w.bits[low] + share * w.bits[low + 1]
        error = np.exp(
            (1 - share) * np.log(w.error[low] + 1e-30) + share * np.log(w.error[low + 1] + 1e-30)
        )
        price = self.weight * step**2  # of a bit in each payload
        shared = price * 8 / self.items  # of a byte of the profile
        lost = _REMAINS * self.dim / 12 * w.power[:, None] * 4.0**-self.shifts
        best = (lost + shared * self.bytes).argmin(axis=1)
        every = np.arange(len(best))
        left = error + lost[every, best]
        size = self.bytes[every, best] + _BESIDES
        gain = w.power - left - price * bits - shared * size
        count = int(np.cumsum(gain)[: MAX_BASIS // self.dim].argmax()) + 1
        count = max(count, min(self.least, MAX_BASIS // self.dim))
        return Choice(
            step,
            np.exp2(-self.shifts[every, best])[:count],
            float(bits[:count].sum()),
            float(w.total - (w.power - left)[:count].sum()),
            float(size[:count].sum()),
        )

    def for_bits(self, bits: float) -> Choice:
        """At the step where a payload takes so many bits; the nearest if none does."""
        return self._where(lambda choice: choice.bits > bits)

    def for_cosine(self, cosine: float) -> Choice:
        """At the coarsest step where embeddings keep this cosine; the finest if none does."""
        return self._where(lambda choice: choice.cosine >= cosine)

    def _where(self, fine_enough: Callable[[Choice], bool]) -> Choice:
        coarse, fine = np.log(self.worth.steps[[0, -1]]).tolist()
        for _ in range(24):
            middle = (coarse + fine) / 2
            if fine_enough(self.at(np.exp(middle))):
                fine = middle
            else:
                coarse = middle
        return self.at(float(np.exp(fine)))


def _entropies(rows: Doubles, shifts: Doubles) -> Doubles:
    """(m, S) bits of each row, rounded to multiples of 2**-shift, by an entropy coder."""
    found = np.empty(shifts.shape)
    for i, row in enumerate(rows):
        for j, shift in enumerate(shifts[i]):
            whole = np.rint(row * 2.0**shift).astype(np.int64)
            counts = np.bincount(whole - whole.min())
            counts = counts[counts > 0]
            found[i, j] = (counts * np.log2(len(row) / counts)).sum()
    return found
