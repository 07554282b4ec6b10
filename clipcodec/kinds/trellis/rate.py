"""The rate search: a quality and a λ for each embedding, so that its stream meets the target.

λ (the RDO weight) is what a bit may cost in squared error. The search first looks for the quality
at which the target is met, then for the λ around it that fills the budget best (approach.py). Every
embedding is searched for itself, by the same attempts whatever batch it is in.

With more effort come turns: the coefficients are moved a little, quantised again, and the attempt
that loses least is kept. They are moved against what texts would notice (noticed.py), or, where no
texts are known, at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import RateError
from ...target import Target
from .approach import BUDGET, FIDELITY, FREE, SMALL, Approach, Measure, Rounds
from .curve import log, rate_distortion
from .engine import Attempt, Engine
from .held import Held
from .smallest import Smallest

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

_TURNS = (0, 0, 1, 2, 4, 6, 9, 14, 22, 32)  # by the effort, 1 … 9
_LITTLE = 200.0  # bits of room
_SPARE = 0.3  # bits: what rANS may take beyond its ideal length
_MORE, _EMPTY = 10, 0.15  # more attempts where so much of the room is empty, as a logarithm
_FINER = (1.0, 2.0, 4.0, 8.0, 16.0)  # qualities above the point, for rows still not close enough
_ROUNDING = 1e-5  # between the latents of encoder and decoder


class Searchable(Protocol):
    """What the search needs of a kind; see `TrellisKind`."""

    profile_name: str
    qualities: int
    default_quality: int

    def engine(self, width: int) -> Engine: ...


def search(
    kind: Searchable,
    x: Embeddings,
    target: Target,
    header: int,
    texts: Embeddings | None = None,
    *,
    held: Any = None,
) -> tuple[Symbols, Symbols]:
    """Levels (N, n) and qualities (N,) of unit-norm embeddings x (N, D) that meet the target.

    header  bytes of every stream before its payload
    texts   (M, D), unit norm: whose probabilities should stay; for efforts above 1
    held    what holds the embeddings on another device, in place of x, of which then only the
            width counts; levels are as it has them
    Raises RateError for rows that cannot reach the size or fidelity.
    """
    engine = kind.engine(x.shape[1])
    if held is None:
        held = Held(engine, x, _TURNS[target.effort], texts)
    searching = _Search(kind, engine, held, header)
    if target.max_bytes is not None:
        return searching.within_bytes(int(target.max_bytes))
    if target.min_cosine is not None:
        return searching.at_least_cosine(target.min_cosine)
    quality = kind.default_quality if target.quality is None else int(target.quality)
    return searching.at_quality(min(quality, kind.qualities), target.weight or 1.0)


class _Search:
    """What the encoder may choose for N embeddings, and the best choice so far."""

    def __init__(self, kind: Searchable, engine: Engine, held: Any, header: int) -> None:
        self.engine, self.last, self.held = engine, kind.qualities, held
        self.aims = len(engine.tables.bands) > 1  # in one band there is no end to change
        self.header, self.profile = header, kind.profile_name
        self.count = len(held.quality)
        self.least = np.full(self.count, np.inf, np.float32)  # cost of what is kept

    def at_quality(self, quality: int, weight: float) -> tuple[Symbols, Symbols]:
        """At one quality and factor on λ; a smaller one for rows left without direction."""
        held, every = self.held, np.arange(self.count)
        bit = weight * float(self.engine.weights[quality - 1] * self.engine.steps[quality - 1] ** 2)

        def keep(rows: Symbols, factor: float) -> Symbols:
            """Attempt these rows, keep the better ones; those that are left without direction."""
            attempt = held.attempt(rows, np.full(len(rows), quality), factor)
            empty: NDArray[np.bool_] = held.without_direction(attempt)
            cost = np.where(empty, np.inf, bit * attempt.bits)
            if held.turns:
                cost += held.lost(attempt, rows, ~empty)
            self._keep(attempt, rows, cost)
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
        for _ in held.moves():
            keep(every, weight)
        return held.levels, held.quality

    def within_bytes(self, limit: int) -> tuple[Symbols, Symbols]:
        """The least error (in the transform's metric) in at most `limit` bytes."""
        held = self.held
        smallest, filled = np.full(self.count, 1 << 30), np.full(self.count, -np.inf)
        room = self.engine.coder.room(limit - self.header)

        def measure(rows: Symbols, qualities: Symbols, factors: Doubles, aim: bool) -> Doubles:
            attempt = held.attempt(
                rows, qualities, factors, room - _SPARE if aim and self.aims else None
            )
            sizes, invalid = self.header + held.sizes(attempt), held.without_direction(attempt)
            np.minimum.at(smallest, rows, np.where(invalid, 1 << 30, sizes))
            fits = sizes <= limit
            self._keep(attempt, rows, held.lost(attempt, rows, fits & ~invalid))
            excess = log(np.maximum(attempt.bits, 1.0)) - math.log(room)
            np.maximum.at(filled, rows, np.where(fits & ~invalid, excess, -np.inf))
            return np.where(fits, np.minimum(excess, -1e-3), np.maximum(excess, 1e-3))

        curve = rate_distortion(self.engine, self.last)
        rounds = SMALL if room < _LITTLE else BUDGET
        approach = self._approach(measure, curve.meets(math.log(room), curve.bits), rounds)
        for _ in range(_MORE):
            left = np.flatnonzero((filled < -_EMPTY) & (held.quality < self.last))
            if len(left):
                approach.bracket(left)
        for factor in (*2.0 ** np.arange(0, 16), *0.9 ** np.arange(1, 25)):
            # coarser than the lowest quality, down to no level at all, or finer up to the first
            # level that gives a direction; a few qualities up that level may cost fewer bits
            for quality in (1, self.last // 16 + 1, self.last // 8 + 1):
                left = np.flatnonzero(np.isinf(self.least))
                if len(left):
                    measure(left, np.full(len(left), quality), np.full(len(left), factor), False)
        self._refuse("at least {} bytes", smallest.tolist(), f"max_bytes is {limit}: allow more")
        return held.levels, held.quality

    def at_least_cosine(self, cosine: float) -> tuple[Symbols, Symbols]:
        """The smallest streams whose decoded embeddings have at least this cosine."""
        held = self.held
        held.noticed = None  # only size counts
        best, coder = np.full(self.count, -1.0), self.engine.coder
        # the caller checks once more on what is decoded, in float32
        needed = cosine + _ROUNDING * math.sqrt(1 - cosine**2) + 1e-7
        miss = max(1 - needed, 1e-7)

        def measure(rows: Symbols, qualities: Symbols, factors: Doubles, aim: bool) -> Doubles:
            room = None
            aim = aim and self.aims
            if aim:
                room = np.array([coder.room(size) for size in smallest.next(rows)]) - _SPARE
            attempt = held.attempt(rows, qualities, factors, room)
            cosines = held.cosines(attempt, rows)
            best[rows] = np.maximum(best[rows], cosines)
            good, sizes = cosines >= needed, held.sizes(attempt)
            cost = self.header + sizes + 1e-3 * (1 - cosines)
            self._keep(attempt, rows, np.where(good, cost, np.inf))
            excess = math.log(miss) - log(np.maximum(1 - cosines, 1e-7))
            excess = np.where(good, np.maximum(excess, 1e-4), np.minimum(excess, -1e-4))
            smallest.learn(rows, attempt.bits, sizes, excess, aim)
            # an aimed attempt is about a size, and says nothing of the point
            return np.where(good, 1e-4, -1e-4) if aim else excess

        curve = rate_distortion(self.engine, self.last)
        start, slope = curve.meets(-math.log(miss), curve.errors)
        ratio = curve.slope(start, curve.bits) / slope
        smallest = Smallest(self.count, ratio, coder.room(1 << 10) - (8 << 10))
        approach = self._approach(measure, (start, slope), FIDELITY)
        for finer in _FINER:
            left = np.flatnonzero(np.isinf(self.least))
            if len(left):
                approach.attempts(left, [(finer, 0)], aim=False)
        left = np.flatnonzero(np.isinf(self.least))
        if len(left):  # the finest that there is, with bits almost free
            measure(left, np.full(len(left), self.last), np.full(len(left), 0.01), False)
        self._refuse(
            "cosine {:.6f} at most", best.tolist(), f"min_cosine is {cosine}: ask for less"
        )
        return held.levels, held.quality

    def _approach(self, measure: Measure, start: tuple[float, float], rounds: Rounds) -> Approach:
        """All attempts of a target. `start` is the point of a typical embedding, and the slope."""
        approach = Approach(measure, self.count, self.last, *start, rounds if self.aims else FREE)
        approach.locate()
        approach.refine()
        for _ in self.held.moves():
            approach.turn()
        return approach

    def _refuse(self, words: str, values: Sequence[float], remedy: str) -> None:
        """RateError for all rows for which nothing was kept."""
        rows = np.flatnonzero(np.isinf(self.least)).tolist()
        if rows:
            raise RateError.of_rows(
                {
                    i: f"{words.format(values[i])} with profile {self.profile}, {remedy}"
                    for i in rows
                }
            )

    def _keep(self, attempt: Attempt, rows: Symbols, cost: Doubles) -> None:
        """Keep the attempts of least cost; of several for one row, the first of the best."""
        costs = cost.astype(np.float32)
        where = np.flatnonzero(costs < self.least[rows])
        where = where[np.argsort(costs[where], kind="stable")]
        chosen, first = np.unique(rows[where], return_index=True)
        self.least[chosen] = costs[where[first]]
        self.held.keep(attempt, where[first], chosen)
