"""What a caller may ask of the size or fidelity of a stream, and how it is met.

A profile of one rate meets a target or does not. One of many rates is searched: first for the
quality, then, around it, for the weight of a bit against the error that fills the budget best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .embeddings import Embeddings
from .entropy import Symbols
from .errors import OptionError, RateError

if TYPE_CHECKING:
    from .schemes import TrellisScheme
    from .schemes.trellis import Attempt, Engine

_PROBES = 96  # attempts under way at once for few embeddings
_FEWEST_PROBES = 8  # of each, to be worth it
# turns of the search: quality above the place's own, and steps aside from it. First to bracket the
# target, then to look around: sizes are whole levels apart, and no path is like the next
_TURNS = ((0, 0), (0, 0), (0, 0), (0, 0), (1, 0), (-1, 0), (2, 0), (0, -0.4), (1, -0.4), (-1, -0.4))
_SAMPLE, _GRID = 24, 12  # embeddings and qualities of the first look
_EXCHANGE = 0.12  # logarithm of the weight that makes up for one quality, until measured
_NOWHERE = 1e-6  # norm of what decodes to no direction
_SEED_BITS = 24  # rANS state: check value and eight signs
_SEED_SIGNS = 8


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


def choose(
    scheme: TrellisScheme,
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
        self.latent = engine.transform.analyse(x)
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

    def cosines(self, attempt: Attempt, rows: Symbols) -> NDArray[np.float32]:
        y = self.engine.transform.synthesise(attempt.latent)
        norms = np.maximum(np.linalg.norm(y, axis=1), 1e-30)
        cosines: NDArray[np.float32] = (y * self.x[rows]).sum(axis=1) / norms
        return cosines

    def void(self, attempt: Attempt) -> NDArray[np.bool_]:
        """Rows whose levels are all zero and decode to no direction."""
        empty: NDArray[np.bool_] = np.asarray(~attempt.levels.any(axis=1))
        norms = np.linalg.norm(self.engine.transform.synthesise(attempt.latent[empty]), axis=1)
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
            excess = np.log(np.maximum(attempt.bits, 1.0) / room)
            return np.where(fits, np.minimum(excess, -1e-3), np.maximum(excess, 1e-3))

        self._approach(judge)
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
        best = np.full(len(self.x), -1, np.float32)
        # what is promised is checked once more when all is coded: leave room for rounding
        needed = cosine + 2e-6
        miss = max(1 - needed, 1e-7)

        def judge(attempt: Attempt, rows: Symbols, qualities: Symbols) -> NDArray[np.float64]:
            cosines = self.cosines(attempt, rows)
            np.maximum.at(best, rows, cosines)
            good = cosines >= needed
            cost = np.where(good, self.sizes(attempt) + 1e-3 * (1 - cosines), np.inf)
            self._keep(attempt, rows, qualities, cost.astype(np.float32), smallest)
            excess = np.log(miss / np.maximum(1 - cosines.astype(np.float64), 1e-7))
            return np.where(good, np.maximum(excess, 1e-4), np.minimum(excess, -1e-4))

        self._approach(judge)
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
        order = where[np.argsort(-cost[where], kind="stable")]
        least[rows[order]] = cost[order]
        self.levels[rows[order]] = attempt.levels[order]
        self.quality[rows[order]] = qualities[order]

    def _approach(self, judge: _Judge) -> None:
        """Attempts ever closer to the target, each given to `judge`, which says how far it was.

        A place t is quality ⌈t⌉ with a weight of a bit so much above the usual as makes up for
        the rest: t is continuous, below the lowest quality and above the highest, too. It is
        bracketed from both sides, starting where a sample of the embeddings crosses the target.
        """
        count = len(self.x)
        everyone = np.arange(count)
        low, high = np.full(count, -np.inf), np.full(count, np.inf)
        below, above = np.full(count, np.nan), np.full(count, np.nan)

        def attempt(asked: Symbols, tried: NDArray[np.float64], finer: Symbols | int) -> None:
            # also on a finer quality at a greater weight, for variety
            qualities = np.clip(np.ceil(tried) + finer, 1, self.last).astype(np.int64)
            weight = np.exp(np.clip(exchange * (qualities - tried), -3, 6))
            excess = judge(self.attempt(asked, qualities, weight), asked, qualities)
            for sign, edge, value in ((-1, low, below), (1, high, above)):
                there = np.flatnonzero(excess * sign > 0)
                order = there[np.argsort(sign * -tried[there], kind="stable")]
                closer = order[(tried[order] - edge[asked[order]]) * sign < 0]
                edge[asked[closer]], value[asked[closer]] = tried[closer], excess[closer]

        exchange = _EXCHANGE
        probes = _PROBES // max(count, 1)
        if probes >= _FEWEST_PROBES:  # numpy's calls cost the same for many attempts
            place = np.full(count, (self.last + 1) / 2)
            for span in (self.last / 2, self.last / probes, 1.0):
                tried = (place[:, None] + np.linspace(-span, span, probes)).ravel()
                attempt(np.repeat(everyone, probes), tried, np.tile(np.arange(probes) % 2, count))
                ends = np.nan_to_num(low, neginf=1), np.nan_to_num(high, posinf=self.last)
                place = (ends[0] + ends[1]) / 2
            return
        start, slope, exchange = self._crossing(judge)
        place = np.full(count, start)
        for finer, shift in _TURNS:
            attempt(everyone, place + shift, finer)
            with np.errstate(invalid="ignore"):
                share = np.clip(-below / (above - below), 0.3, 0.7)
                inside = low + share * (high - low)
            outside = np.where(np.isnan(above), low - below / slope, high - above / slope)
            place = np.where(np.isnan(inside), outside, inside)

    def _crossing(self, judge: _Judge) -> tuple[float, float, float]:
        """Where a sample of the embeddings meets the target, how fast it moves there, and the
        logarithm of the weight that makes up for one quality.
        """
        sample = np.arange(0, len(self.x), max(1, len(self.x) // _SAMPLE))[:_SAMPLE]
        grid = np.unique(np.linspace(1, self.last, _GRID).astype(np.int64))

        def curve(qualities: Symbols, weight: float) -> NDArray[np.float64]:
            asked, tried = np.repeat(sample, len(qualities)), np.tile(qualities, len(sample))
            excess = judge(self.attempt(asked, tried, weight), asked, tried)
            middle: NDArray[np.float64] = np.median(
                excess.reshape(len(sample), len(qualities)), axis=0
            )
            return middle

        usual = np.maximum.accumulate(curve(grid, 1.0))
        place = float(np.interp(0, usual, grid))
        i = int(np.clip(np.searchsorted(grid, place), 1, len(grid) - 1))
        slope = max(float(usual[i] - usual[i - 1]) / float(grid[i] - grid[i - 1]), 0.01)
        near = np.array([max(1, round(place))])
        response = float((curve(near, 1.0) - curve(near, 2.0))[0]) / np.log(2)
        return place, slope, float(np.clip(slope / max(response, 0.01), 0.02, 0.4))


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
    target: Target, cosines: NDArray[np.float32], profile: str, first: int = 0
) -> None:
    """Raise RateError for the first decoded embedding below `min_cosine`."""
    if target.min_cosine is None:
        return
    for i in np.flatnonzero(~(cosines >= target.min_cosine)):
        raise RateError(
            f"embedding {first + i} reaches cosine {cosines[i]:.4f} with profile {profile}, "
            f"min_cosine is {target.min_cosine}: choose a profile of a higher rate"
        )
