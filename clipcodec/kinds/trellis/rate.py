"""What a caller may ask of the size or fidelity of a stream, and how it is met.

A profile of one rate meets a target or does not. One of many rates is searched: first for the
quality, then, around it, for the weight of a bit against the error that fills the budget best.
Every embedding is searched for itself, by the same attempts in whatever company it comes.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import OptionError, RateError
from ...system.forks import loading

if TYPE_CHECKING:
    from .. import TrellisKind
    from .kind import Attempt, Engine

# First the target is bracketed: in a few turns; where it lies far from the usual in more, until the
# bracket is narrow, in qualities
_BRACKETINGS, _MOST_BRACKETINGS, _NARROW = 4, 14, 4.0
# Then turns that look around, each of attempts made at once: steps aside from the place, and
# qualities above its own. Sizes are whole levels apart, and no path is like the next
_LOOK_AROUND: Sequence[Sequence[tuple[float, int]]] = (
    ((0.0, 1), (0.0, -1)),
    ((0.0, 0), (0.0, 2)),
    ((-0.4, 0), (-0.4, 1)),
)
_PARTS = 64  # of one quality: places are whole parts
_EXCHANGE = 0.12  # logarithm of the weight that makes up for one quality
_WEIGHTS = np.array([math.exp(_EXCHANGE * i / _PARTS) for i in range(-25 * _PARTS, 50 * _PARTS)])
_SAMPLE, _GRID = 24, 12  # embeddings and qualities that show a profile's course
_TOGETHER = 96  # attempts: up to so many, numpy's calls cost more than the work
_NOWHERE = 1e-6  # norm of what decodes to no direction
_SEED_BITS = 24  # rANS state: check value and eight signs
_SEED_SIGNS = 8
_ROUNDING = 1e-5  # between the latents of encoder and decoder


@dataclass(frozen=True)
class Target:
    """At most one of quality (1 … 100), max_bytes (a whole stream) and min_cosine (0 … 1)."""

    quality: float | None = None
    max_bytes: int | None = None
    min_cosine: float | None = None

    def __post_init__(self) -> None:
        given = {k: v for k, v in vars(self).items() if v is not None}
        if len(given) > 1:
            raise OptionError(f"{' and '.join(given)} contradict each other: give one of them")
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(
                value, (int, float, np.integer, np.floating)
            ):
                raise OptionError(f"{name}={value!r} is not a number")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise OptionError(f"quality={self.quality} is not in 1 … 100")
        if self.max_bytes is not None and (not self.max_bytes >= 1 or self.max_bytes % 1 != 0):
            raise OptionError(f"max_bytes={self.max_bytes} is not a positive whole number")
        if self.min_cosine is not None and not 0 <= self.min_cosine <= 1:
            raise OptionError(f"min_cosine={self.min_cosine} is not in 0 … 1")

    def stricter(self) -> Target:
        """A byte less, or a little closer: for what the search misjudged."""
        if self.max_bytes is not None:
            return Target(max_bytes=max(int(self.max_bytes) - 1, 1))
        if self.min_cosine is not None:
            return Target(min_cosine=1 - 0.97 * (1 - self.min_cosine))
        return self


def choose(
    scheme: TrellisKind,
    x: Embeddings,
    target: Target,
    header: int,
    profile: str,
    first: int = 0,
) -> tuple[Symbols, Symbols]:
    """Symbols (N, n) and qualities (N,) of unit-norm embeddings x (N, D).

    header  bytes of every stream before its body
    first   number of the first embedding, for errors
    Raises OptionError (a quality that is not whole) or RateError (a size or fidelity out of reach).
    """
    engine = scheme.engine(x.shape[1])
    search = _Search(engine, x, scheme.qualities, header, profile, first)
    if target.max_bytes is not None:
        return search.within(int(target.max_bytes))
    if target.min_cosine is not None:
        return search.at_least(target.min_cosine)
    quality = scheme.default_quality if target.quality is None else target.quality
    if quality % 1:
        raise OptionError(f"quality={quality}: profile {profile} has whole ones only")
    return search.at(min(int(quality), scheme.qualities))


_Judge = Callable[["Attempt", Symbols, Symbols], NDArray[np.float64]]
"""(attempt, rows, qualities) → how much too fine it was, as a logarithm; below 0: too coarse."""


class _Search:
    """The freedom of the encoder for some embeddings: a quality and a weight for each."""

    def __init__(
        self,
        engine: Engine,
        x: Embeddings,
        qualities: int,
        header: int,
        profile: str,
        first: int,
    ) -> None:
        self.engine, self.x, self.last = engine, x, qualities
        self.latent = engine.encoder.analyse(x)
        self.header, self.profile, self.first = header, profile, first
        self.levels = np.zeros(self.latent.shape, np.int64)
        self.quality = np.ones(len(x), np.int64)

    def attempt(
        self, rows: Symbols, qualities: Symbols, weight: NDArray[np.float64] | float
    ) -> Attempt:
        """Quantise some rows; `weight`: how much more than usual a bit is worth."""
        economy = np.broadcast_to(weight, len(rows)).astype(np.float32)
        return self.engine.attempt(self.latent[rows], qualities, economy)

    def sizes(self, attempt: Attempt) -> NDArray[np.int64]:
        """Bytes of whole streams: rANS stays within a hundredth of a bit of the information."""
        signs = np.minimum((attempt.levels != 0).sum(axis=1), _SEED_SIGNS)
        body = np.ceil((attempt.bits - signs + _SEED_BITS) / 8 + 0.01)
        sizes: NDArray[np.int64] = self.header + np.maximum(body, 3).astype(np.int64)
        return sizes

    def cosines(self, attempt: Attempt, rows: Symbols) -> NDArray[np.float64]:
        return _cosines(self.x[rows], self.engine.encoder.synthesise(attempt.latent))

    def void(self, attempt: Attempt) -> NDArray[np.bool_]:
        """Rows whose levels are all zero and decode to no direction."""
        empty: NDArray[np.bool_] = np.asarray(~attempt.levels.any(axis=1))
        norms = np.linalg.norm(self.engine.encoder.synthesise(attempt.latent[empty]), axis=1)
        void: NDArray[np.bool_] = np.zeros(len(empty), np.bool_)
        void[empty] = norms < _NOWHERE
        return void

    def at(self, quality: int) -> tuple[Symbols, Symbols]:
        """At one quality; where that leaves no direction, with cheaper bits until it does."""
        rows, weight = np.arange(len(self.x)), 1.0
        self.quality[:] = quality
        while len(rows):
            attempt = self.attempt(rows, self.quality[rows], weight)
            self.levels[rows] = attempt.levels
            rows, weight = rows[self.void(attempt)], weight * 0.9
            if weight < 1e-6:
                raise RateError(
                    f"embedding {self.first + rows[0]} has no direction left at quality {quality} "
                    f"of profile {self.profile}: ask for a higher one"
                )
        return self.levels, self.quality

    def within(self, limit: int) -> tuple[Symbols, Symbols]:
        """The least error (in the transform's metric) in at most `limit` bytes."""
        least = np.full(len(self.x), np.inf, np.float32)
        smallest = np.full(len(self.x), 1 << 30)
        room = max(8.0 * (limit - self.header) - _SEED_BITS + _SEED_SIGNS, 8.0)

        def judge(attempt: Attempt, rows: Symbols, qualities: Symbols) -> NDArray[np.float64]:
            sizes = self.sizes(attempt)
            np.minimum.at(smallest, rows, np.where(self.void(attempt), 1 << 30, sizes))
            fits = sizes <= limit
            cost = np.where(fits & ~self.void(attempt), attempt.error, np.inf)
            self._keep(attempt, rows, qualities, cost.astype(np.float32), least)
            excess = _log(np.maximum(attempt.bits, 1.0)) - math.log(room)
            return np.where(fits, np.minimum(excess, -1e-3), np.maximum(excess, 1e-3))

        typical = course(self.engine, self.last)
        self._approach(judge, typical.meets(math.log(room), typical.bits))
        for coarser in (*2.0 ** np.arange(0, 16), *0.9 ** np.arange(1, 25)):
            # below the lowest quality, down to no level at all, or up to the first one that gives
            # a direction; from a few qualities above it, too, whose last level may be cheaper
            for quality in (1, self.last // 16 + 1, self.last // 8 + 1):
                left = np.flatnonzero(np.isinf(least))
                if len(left):
                    qualities = np.full(len(left), quality)
                    judge(self.attempt(left, qualities, coarser), left, qualities)
        for i in np.flatnonzero(np.isinf(least)):
            raise RateError(
                f"embedding {self.first + i} takes at least {smallest[i]} bytes with "
                f"profile {self.profile}, max_bytes is {limit}: allow more"
            )
        return self.levels, self.quality

    def at_least(self, cosine: float) -> tuple[Symbols, Symbols]:
        """The smallest streams whose decoded embeddings have at least this cosine."""
        smallest = np.full(len(self.x), np.inf, np.float32)
        best = np.full(len(self.x), -1.0)
        # what is promised is checked once more on what is decoded, in float32
        needed = cosine + _ROUNDING * math.sqrt(1 - cosine**2) + 1e-7
        miss = max(1 - needed, 1e-7)

        def judge(attempt: Attempt, rows: Symbols, qualities: Symbols) -> NDArray[np.float64]:
            cosines = self.cosines(attempt, rows)
            np.maximum.at(best, rows, cosines)
            good = cosines >= needed
            cost = np.where(good, self.sizes(attempt) + 1e-3 * (1 - cosines), np.inf)
            self._keep(attempt, rows, qualities, cost.astype(np.float32), smallest)
            excess = math.log(miss) - _log(np.maximum(1 - cosines, 1e-7))
            return np.where(good, np.maximum(excess, 1e-4), np.minimum(excess, -1e-4))

        typical = course(self.engine, self.last)
        self._approach(judge, typical.meets(-math.log(miss), typical.errors))
        left = np.flatnonzero(np.isinf(smallest))
        if len(left):  # the finest that there is, every bit worth next to nothing
            highest = np.full(len(left), self.last)
            judge(self.attempt(left, highest, 0.01), left, highest)
        for i in np.flatnonzero(np.isinf(smallest)):
            raise RateError(
                f"embedding {self.first + i} reaches cosine {best[i]:.6f} at most with profile "
                f"{self.profile}, min_cosine is {cosine}: ask for less"
            )
        return self.levels, self.quality

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

    def _approach(self, judge: _Judge, start: tuple[float, float]) -> None:
        """Attempts ever closer to the target, each given to `judge`, which says how far it was.

        A place is quality ⌈place⌉ with a weight of a bit so much above the usual as makes up for
        the rest: it is continuous, below the lowest quality and above the highest, too. It is
        bracketed from both sides, from where a typical embedding meets the target, `start`: place,
        and how far a quality moves it there.
        """
        count = len(self.x)
        first, slope = start
        place = np.full(count, first)
        low, high = np.full(count, -np.inf), np.full(count, np.inf)
        below, above = np.full(count, np.nan), np.full(count, np.nan)

        def turn(rows: Symbols, attempts: Sequence[tuple[float, int]]) -> None:
            tried = [np.rint((place[rows] + aside) * _PARTS) / _PARTS for aside, _ in attempts]
            excesses = self._turn(judge, rows, tried, [finer for _, finer in attempts])
            for t, excess in zip(tried, excesses, strict=True):
                lower, upper = (excess < 0) & (t > low[rows]), (excess > 0) & (t < high[rows])
                low[rows[lower]], below[rows[lower]] = t[lower], excess[lower]
                high[rows[upper]], above[rows[upper]] = t[upper], excess[upper]
            with np.errstate(invalid="ignore"):
                share = np.clip(-below / (above - below), 0.3, 0.7)
                inside = low + share * (high - low)
            outside = np.where(np.isnan(above), low - below / slope, high - above / slope)
            place[:] = np.where(
                np.isnan(inside), np.clip(outside, -self.last, 2 * self.last), inside
            )

        rows = np.arange(count)
        for done in range(1, _MOST_BRACKETINGS + 1):
            turn(rows, [(0.0, 0)])
            if done >= _BRACKETINGS:
                rows = np.flatnonzero(high - low > _NARROW)
            if not len(rows):
                break
        for attempts in _LOOK_AROUND:
            turn(np.arange(count), attempts)

    def _turn(
        self, judge: _Judge, rows: Symbols, places: list[NDArray[np.float64]], finer: list[int]
    ) -> list[NDArray[np.float64]]:
        """The excess of each of the rows at each of its places, on qualities so much finer."""

        def attempt(rows: Symbols, tried: NDArray[np.float64], up: Symbols) -> NDArray[np.float64]:
            qualities = np.clip(np.ceil(tried) + up, 1, self.last).astype(np.int64)
            parts = (_PARTS * (qualities - tried)).astype(np.int64) + 25 * _PARTS
            weight = _WEIGHTS[np.clip(parts, 0, len(_WEIGHTS) - 1)]
            return judge(self.attempt(rows, qualities, weight), rows, qualities)

        count = len(rows)
        jobs = [(rows, t, np.full(count, up)) for t, up in zip(places, finer, strict=True)]
        if count * len(jobs) > _TOGETHER:
            return list(starmap(attempt, jobs))
        everyone, tried, up = (np.concatenate(column) for column in zip(*jobs, strict=True))
        return list(attempt(everyone, tried, up).reshape(len(jobs), count))


@dataclass(frozen=True)
class Course:
    """What a profile makes of typical embeddings, at some of its qualities: bits, and error as
    1 - cosine, both as logarithms."""

    qualities: list[int]
    bits: list[float]
    errors: list[float]

    def meets(self, wanted: float, course: list[float]) -> tuple[float, float]:
        """The place where a rising course meets what is wanted, and its slope there."""
        at = bisect_left(course, wanted, 1, len(course) - 1)
        (q, after), (v, w) = self.qualities[at - 1 : at + 1], course[at - 1 : at + 1]
        slope = max((w - v) / (after - q), 0.01)
        return min(max(q + (wanted - v) / slope, 1.0), float(self.qualities[-1])), slope


@lru_cache(maxsize=32)
def course(engine: Engine, last: int) -> Course:
    """Measured on random embeddings of the engine's own spread."""
    with loading:  # numpy imports it when asked, which no fork may cut
        import numpy.random as random
    rng = random.default_rng(0)
    y = rng.standard_normal((_SAMPLE, engine.tables.size), np.float32) * engine.encoder.spread
    grid = np.unique(np.linspace(1, last, _GRID).astype(np.int64))
    attempt = engine.attempt(np.repeat(y, len(grid), axis=0), np.tile(grid, _SAMPLE))
    asked, given = engine.encoder.synthesise(y), engine.encoder.synthesise(attempt.latent)
    missing = 1 - _cosines(np.repeat(asked, len(grid), axis=0), given)

    def middle(values: NDArray[np.float64], sign: int) -> list[float]:
        logs = sign * _log(np.median(values.reshape(_SAMPLE, len(grid)), axis=0))
        rising: list[float] = np.maximum.accumulate(logs).tolist()
        return rising

    return Course(grid.tolist(), middle(attempt.bits, 1), middle(missing, -1))


def _cosines(x: Embeddings, y: Embeddings) -> NDArray[np.float64]:
    """Of each row of x with the same of y; 0 with what has no direction."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    norms = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    cosines: NDArray[np.float64] = (x * y).sum(axis=1) / np.maximum(norms, 1e-30)
    return cosines


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithms by the C library's one function: numpy has several, by place."""
    floored = np.maximum(values, 1e-9)
    return np.array([math.log(v) for v in floored.tolist()])


def check_fixed_rate(target: Target, profile: str) -> None:
    """Refuse what a profile of one rate cannot offer."""
    if target.quality is not None:
        raise OptionError(f"profile {profile} has one fixed rate: choose a profile, not a quality")


def check_sizes(target: Target, streams: list[bytes], profile: str, first: int = 0) -> None:
    """Raise RateError for the first stream longer than `max_bytes`."""
    if target.max_bytes is None:
        return
    for i, stream in enumerate(streams):
        if len(stream) > target.max_bytes:
            raise RateError(
                f"embedding {first + i} takes {len(stream)} bytes with profile {profile}, "
                f"max_bytes is {target.max_bytes}: choose a profile of a lower rate"
            )


def check_cosines(
    target: Target, cosines: NDArray[np.floating[Any]], profile: str, first: int = 0
) -> None:
    """Raise RateError for the first decoded embedding below `min_cosine`."""
    if target.min_cosine is None:
        return
    for i in np.flatnonzero(~(cosines >= target.min_cosine)):
        raise RateError(
            f"embedding {first + i} reaches cosine {cosines[i]:.4f} with profile {profile}, "
            f"min_cosine is {target.min_cosine}: choose a profile of a higher rate"
        )
