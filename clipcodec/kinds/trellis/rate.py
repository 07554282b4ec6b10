"""The rate search: a quality and a λ for each embedding, so that its stream meets the target.

λ (the RDO weight) is what a bit may cost in squared error. The search first looks for the quality
at which the target is met, then for the λ around it that fills the budget best. Every embedding is
searched for itself, by the same attempts whatever batch it is in.

With more effort come turns: the coefficients are moved a little, quantised again, and the attempt
that loses least is kept. They are moved against what texts would notice (noticed.py), or, where no
texts are known, at random.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import RateError, placed
from ...system.forks import loading
from ...target import Target
from .engine import Attempt, Engine
from .noticed import Noticed

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

# First the target is bracketed. Most embeddings need few attempts; those far from the typical one
# get more, until the bracket is this narrow, in qualities
_BRACKETINGS, _MOST_BRACKETINGS, _NARROW = 3, 14, 4.0
# Then come rounds of attempts near the point found: (shift of the point, qualities finer than its
# own). Sizes are whole levels apart and every path is different, so several tries fill the budget
_REFINEMENTS: Sequence[Sequence[tuple[float, int]]] = (
    ((0.0, 1), (0.0, -1)),
    ((0.0, 0), (0.0, 2)),
    ((-0.4, 0), (-0.4, 1)),
    ((-0.3, 2), (-0.3, -1)),
)
_TURNS = (0, 0, 1, 2, 4, 6, 9, 14, 22, 32)  # by the effort, 1 … 9
_TURN: Sequence[tuple[float, int]] = ((0.0, 0), (0.0, 1), (0.0, -1))  # attempts of each
_NOTICED = 0.3  # squared error that a divergence of one nat counts as much as
_GAMMA = 0.5  # of the step that would undo the divergence, were it linear
_FARTHEST = 3.0  # that a step goes, in quantiser steps
_DITHER = 0.15  # of moves at random: standard deviation, in quantiser steps
_PARTS = 64  # of one quality: operating points are whole parts
_EXCHANGE = 0.12  # log of the factor on λ that makes up for one quality
_FACTORS = np.array([math.exp(_EXCHANGE * i / _PARTS) for i in range(-25 * _PARTS, 50 * _PARTS)])
_SAMPLE, _GRID = 24, 12  # embeddings and qualities that show a profile's rate–distortion curve
_TOGETHER = 96  # attempts in one call: for so few, numpy's calls cost more than the work
_ZERO_NORM = 1e-6  # a vector shorter than this has no direction
_ROUNDING = 1e-5  # between the latents of encoder and decoder


class Searchable(Protocol):
    """What the search needs of a kind; see `TrellisKind`."""

    profile_name: str
    qualities: int
    default_quality: int

    def engine(self, width: int) -> Engine: ...


def search(
    kind: Searchable, x: Embeddings, target: Target, header: int, texts: Embeddings | None = None
) -> tuple[Symbols, Symbols]:
    """Levels (N, n) and qualities (N,) of unit-norm embeddings x (N, D) that meet the target.

    header  bytes of every stream before its payload
    texts   (M, D), unit norm: whose probabilities should stay; for efforts above 1
    Raises RateError for rows that cannot reach the size or fidelity.
    """
    searching = _Search(kind, x, header, _TURNS[target.effort], texts)
    if target.max_bytes is not None:
        return searching.within_bytes(int(target.max_bytes))
    if target.min_cosine is not None:
        return searching.at_least_cosine(target.min_cosine)
    quality = kind.default_quality if target.quality is None else int(target.quality)
    return searching.at_quality(min(quality, kind.qualities), target.weight or 1.0)


_Measure = Callable[[Attempt, Symbols, Symbols], Doubles]
"""(attempt, rows, qualities) → by how much it was too fine, as a logarithm; below 0: too coarse."""


class _Search:
    """What the encoder may choose for N embeddings, and the best choice so far."""

    def __init__(
        self,
        kind: Searchable,
        x: Embeddings,
        header: int,
        turns: int,
        texts: Embeddings | None,
    ) -> None:
        self.engine, self.x, self.last = kind.engine(x.shape[1]), x, kind.qualities
        self.latent = self.engine.transform.analyse(x)
        self.header, self.profile = header, kind.profile_name
        self.levels = np.zeros(self.latent.shape, np.int64)
        self.quality = np.ones(len(x), np.int64)
        self.turns = turns
        self.noticed = Noticed(texts, x) if turns and texts is not None else None
        self.shift: Floats | None = None  # (N, n) by which the coefficients are moved
        self.decoded = self.latent.copy() if turns else self.latent  # of each row's last attempt

    def attempt(self, rows: Symbols, qualities: Symbols, factor: Doubles | float) -> Attempt:
        """Quantise some rows, each at its quality and with λ times its factor."""
        factors = np.broadcast_to(factor, len(rows)).astype(np.float32)
        y = self.latent[rows]
        with placed(rows):
            if self.shift is None:
                found = self.engine.attempt(y, qualities, factors)
            else:
                found = self.engine.attempt(y + self.shift[rows], qualities, factors)
                found.y = y
        if self.turns:
            self.decoded[rows] = found.latent
        return found

    def lost(self, attempt: Attempt, rows: Symbols) -> Doubles:
        """(N,) what is lost: the squared error in the transform's metric, and what texts notice."""
        if self.noticed is None:
            return attempt.error.astype(np.float64)
        y = self.engine.transform.synthesise(attempt.latent)
        return attempt.error + _NOTICED * self.noticed.divergence(y, rows)

    def moves(self) -> Iterator[None]:
        """For each turn of the effort, move the coefficients, starting from the last attempts."""
        if not self.turns:
            return
        rng = _generator()
        self.shift = np.zeros_like(self.latent)
        for _ in range(self.turns):
            step = self.engine.steps[self.quality - 1][:, None]
            if self.noticed is None:
                self.shift = _DITHER * step * rng.standard_normal(self.latent.shape[1], np.float32)
            else:
                encoder = self.engine.transform
                divergence, up = self.noticed.gradient(encoder.synthesise(self.decoded))
                gradient = encoder.pull(up)
                power = np.maximum((gradient * gradient).sum(axis=1), 1e-30)
                length = np.minimum(
                    _GAMMA * divergence / power, _FARTHEST * step[:, 0] / np.sqrt(power)
                )
                self.shift = (self.shift - length[:, None] * gradient).astype(np.float32)
            yield
        self.shift = None

    def sizes(self, attempt: Attempt) -> NDArray[np.int64]:
        """(N,) bytes of the whole streams."""
        return self.header + self.engine.coder.sizes(attempt.levels, attempt.bits)

    def cosines(self, attempt: Attempt, rows: Symbols) -> Doubles:
        return _cosines(self.x[rows], self.engine.transform.synthesise(attempt.latent))

    def without_direction(self, attempt: Attempt) -> NDArray[np.bool_]:
        """(N,) rows whose levels are all zero and decode to a vector of norm zero."""
        empty: NDArray[np.bool_] = np.asarray(~attempt.levels.any(axis=1))
        found: NDArray[np.bool_] = np.zeros(len(empty), np.bool_)
        if empty.any():
            x = self.engine.transform.synthesise(attempt.latent[empty])
            found[empty] = np.linalg.norm(x, axis=1) < _ZERO_NORM
        return found

    def at_quality(self, quality: int, weight: float) -> tuple[Symbols, Symbols]:
        """At one quality and factor on λ; a smaller one for rows left without direction."""
        every = np.arange(len(self.x))
        self.quality[:] = quality
        least = np.full(len(every), np.inf, np.float32)
        bit = weight * float(self.engine.weights[quality - 1] * self.engine.steps[quality - 1] ** 2)

        def keep(rows: Symbols, factor: float) -> Symbols:
            """Attempt these rows, keep the better ones; those that are left without direction."""
            attempt = self.attempt(rows, self.quality[rows], factor)
            empty = self.without_direction(attempt)
            cost = bit * attempt.bits + (self.lost(attempt, rows) if self.turns else 0)
            cost = np.where(empty, np.inf, cost)
            self._keep(attempt, rows, self.quality[rows], cost.astype(np.float32), least)
            return rows[empty]

        rows, factor = every, weight
        while len(rows := keep(rows, factor)):
            factor *= 0.9
            if factor < 1e-6:
                raise RateError(
                    f"no direction is left at quality {quality} of profile {self.profile}: "
                    "ask for a higher one",
                    rows=rows.tolist(),
                )
        for _ in self.moves():
            keep(every, weight)
        return self.levels, self.quality

    def within_bytes(self, limit: int) -> tuple[Symbols, Symbols]:
        """The least error (in the transform's metric) in at most `limit` bytes."""
        least = np.full(len(self.x), np.inf, np.float32)
        smallest = np.full(len(self.x), 1 << 30)
        room = self.engine.coder.room(limit - self.header)

        def measure(attempt: Attempt, rows: Symbols, qualities: Symbols) -> Doubles:
            sizes, invalid = self.sizes(attempt), self.without_direction(attempt)
            np.minimum.at(smallest, rows, np.where(invalid, 1 << 30, sizes))
            fits = sizes <= limit
            cost = np.where(fits & ~invalid, self.lost(attempt, rows), np.inf)
            self._keep(attempt, rows, qualities, cost.astype(np.float32), least)
            excess = _log(np.maximum(attempt.bits, 1.0)) - math.log(room)
            return np.where(fits, np.minimum(excess, -1e-3), np.maximum(excess, 1e-3))

        curve = rate_distortion(self.engine, self.last)
        self._approach(measure, curve.meets(math.log(room), curve.bits))
        for factor in (*2.0 ** np.arange(0, 16), *0.9 ** np.arange(1, 25)):
            # coarser than the lowest quality, down to no level at all, or finer up to the first
            # level that gives a direction; a few qualities up that level may cost fewer bits
            for quality in (1, self.last // 16 + 1, self.last // 8 + 1):
                left = np.flatnonzero(np.isinf(least))
                if len(left):
                    qualities = np.full(len(left), quality)
                    measure(self.attempt(left, qualities, factor), left, qualities)
        self._refuse(
            least, "at least {} bytes", smallest.tolist(), f"max_bytes is {limit}: allow more"
        )
        return self.levels, self.quality

    def at_least_cosine(self, cosine: float) -> tuple[Symbols, Symbols]:
        """The smallest streams whose decoded embeddings have at least this cosine."""
        self.noticed = None  # only size counts
        smallest = np.full(len(self.x), np.inf, np.float32)
        best = np.full(len(self.x), -1.0)
        # the caller checks once more on what is decoded, in float32
        needed = cosine + _ROUNDING * math.sqrt(1 - cosine**2) + 1e-7
        miss = max(1 - needed, 1e-7)

        def measure(attempt: Attempt, rows: Symbols, qualities: Symbols) -> Doubles:
            cosines = self.cosines(attempt, rows)
            np.maximum.at(best, rows, cosines)
            good = cosines >= needed
            cost = np.where(good, self.sizes(attempt) + 1e-3 * (1 - cosines), np.inf)
            self._keep(attempt, rows, qualities, cost.astype(np.float32), smallest)
            excess = math.log(miss) - _log(np.maximum(1 - cosines, 1e-7))
            return np.where(good, np.maximum(excess, 1e-4), np.minimum(excess, -1e-4))

        curve = rate_distortion(self.engine, self.last)
        self._approach(measure, curve.meets(-math.log(miss), curve.errors))
        left = np.flatnonzero(np.isinf(smallest))
        if len(left):  # the finest that there is, with bits almost free
            highest = np.full(len(left), self.last)
            measure(self.attempt(left, highest, 0.01), left, highest)
        self._refuse(
            smallest, "cosine {:.6f} at most", best.tolist(),
            f"min_cosine is {cosine}: ask for less",
        )  # fmt: skip
        return self.levels, self.quality

    def _refuse(
        self, cost: NDArray[np.float32], words: str, values: Sequence[float], remedy: str
    ) -> None:
        """RateError for all rows for which nothing was kept."""
        rows = np.flatnonzero(np.isinf(cost)).tolist()
        if rows:
            raise RateError.of_rows(
                {
                    i: f"{words.format(values[i])} with profile {self.profile}, {remedy}"
                    for i in rows
                }
            )

    def _keep(
        self,
        attempt: Attempt,
        rows: Symbols,
        qualities: Symbols,
        cost: NDArray[np.float32],
        least: NDArray[np.float32],
    ) -> None:
        """Remember the attempts of least cost; of several for one row, the best."""
        where = np.flatnonzero(cost < least[rows])
        order = where[np.lexsort((-where, -cost[where]))]  # the last one stays: the first of equals
        least[rows[order]] = cost[order]
        self.levels[rows[order]] = attempt.levels[order]
        self.quality[rows[order]] = qualities[order]

    def _approach(self, measure: _Measure, start: tuple[float, float]) -> None:
        """Attempts ever closer to the target; `measure` keeps the best and says how far each was.

        An operating point p is quality ⌈p⌉ with λ raised by the factor that makes up for ⌈p⌉ - p.
        So it is continuous, and goes on below the lowest quality and above the highest. The target
        is bracketed from both sides. `start` is the point where a typical embedding meets it, and
        how fast the excess grows per quality there.
        """
        count = len(self.x)
        first, slope = start
        point = np.full(count, first)
        low, high = np.full(count, -np.inf), np.full(count, np.inf)
        below, above = np.full(count, np.nan), np.full(count, np.nan)  # excess there

        def attempts(rows: Symbols, shifts: Sequence[tuple[float, int]]) -> None:
            """Measure these points of each row, and move to the best guess from all so far."""
            tried = [np.rint((point[rows] + shift) * _PARTS) / _PARTS for shift, _ in shifts]
            excesses = self._measure_points(measure, rows, tried, [finer for _, finer in shifts])
            for t, excess in zip(tried, excesses, strict=True):
                lower, upper = (excess < 0) & (t > low[rows]), (excess > 0) & (t < high[rows])
                low[rows[lower]], below[rows[lower]] = t[lower], excess[lower]
                high[rows[upper]], above[rows[upper]] = t[upper], excess[upper]
            with np.errstate(invalid="ignore"):
                share = np.clip(-below / (above - below), 0.3, 0.7)
                inside = low + share * (high - low)
            outside = np.where(np.isnan(above), low - below / slope, high - above / slope)
            point[:] = np.where(
                np.isnan(inside), np.clip(outside, -self.last, 2 * self.last), inside
            )

        rows = np.arange(count)
        for done in range(1, _MOST_BRACKETINGS + 1):
            attempts(rows, [(0.0, 0)])
            if done >= _BRACKETINGS:
                rows = np.flatnonzero(high - low > _NARROW)
            if not len(rows):
                break
        for shifts in _REFINEMENTS:
            attempts(np.arange(count), shifts)
        for _ in self.moves():
            attempts(np.arange(count), _TURN)

    def _measure_points(
        self, measure: _Measure, rows: Symbols, points: list[Doubles], finer: list[int]
    ) -> list[Doubles]:
        """The excess of each row at each of its points, at a finer quality than its own."""

        def one(rows: Symbols, tried: Doubles, up: Symbols) -> Doubles:
            qualities = np.clip(np.ceil(tried) + up, 1, self.last).astype(np.int64)
            parts = (_PARTS * (qualities - tried)).astype(np.int64) + 25 * _PARTS
            factor = _FACTORS[np.clip(parts, 0, len(_FACTORS) - 1)]
            return measure(self.attempt(rows, qualities, factor), rows, qualities)

        count = len(rows)
        jobs = [(rows, t, np.full(count, up)) for t, up in zip(points, finer, strict=True)]
        if count * len(jobs) > _TOGETHER:
            return list(starmap(one, jobs))
        each, tried, up = (np.concatenate(column) for column in zip(*jobs, strict=True))
        return list(one(each, tried, up).reshape(len(jobs), count))


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
        slope = max((w - v) / (after - q), 0.01)
        return min(max(q + (wanted - v) / slope, 1.0), float(self.qualities[-1])), slope


@lru_cache(maxsize=32)
def rate_distortion(engine: Engine, last: int) -> RateDistortion:
    """Measured on random coefficients of the transform's own scale."""
    rng = _generator()
    y = rng.standard_normal((_SAMPLE, engine.tables.count), np.float32) * engine.transform.scale
    grid = np.unique(np.linspace(1, last, _GRID).astype(np.int64))
    with placed(None):  # an error here is about no row of the caller's
        attempt = engine.attempt(np.repeat(y, len(grid), axis=0), np.tile(grid, _SAMPLE))
    asked, given = engine.transform.synthesise(y), engine.transform.synthesise(attempt.latent)
    missing = 1 - _cosines(np.repeat(asked, len(grid), axis=0), given)

    def medians(values: Doubles, sign: int) -> list[float]:
        logs = sign * _log(np.median(values.reshape(_SAMPLE, len(grid)), axis=0))
        rising: list[float] = np.maximum.accumulate(logs).tolist()
        return rising

    return RateDistortion(grid.tolist(), medians(attempt.bits, 1), medians(missing, -1))


def _generator() -> np.random.Generator:
    with loading:  # numpy imports it on first use, which a fork must not cut
        import numpy.random as random
    return random.default_rng(0)


def _cosines(x: Embeddings, y: Embeddings) -> Doubles:
    """(N,) of each row of x with the same row of y; 0 where y has no direction."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    norms = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    cosines: Doubles = (x * y).sum(axis=1) / np.maximum(norms, 1e-30)
    return cosines


def _log(values: Doubles) -> Doubles:
    """Natural logarithms by the C library's one function: numpy has several, by machine."""
    floored = np.maximum(values, 1e-9)
    return np.array([math.log(v) for v in floored.tolist()])
