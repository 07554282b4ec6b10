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

_PROBES = 96  # attempts under way at once for few embeddings: numpy's calls cost the same
_SLOPE = 1.037  # of bits from one quality to the next, before anything else is known
# (quality above the one that fits, weight of a bit): coarser choices on a finer step
_FILL = ((0, 0.7), (1, 1.25), (2, 1.55), (1, 1.6), (3, 1.9), (2, 2.1), (4, 2.5), (0, 0.85))
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
    whole = np.full(len(x), min(int(quality), scheme.qualities))
    return search.attempt(np.arange(len(x)), whole, 1.0).levels, whole


_Judge = Callable[["Attempt", Symbols, Symbols], NDArray[np.bool_]]
_Distance = Callable[["Attempt", Symbols], NDArray[np.float64]]


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

    def attempt(self, rows: Symbols, qualities: Symbols, weight: float) -> Attempt:
        from .schemes.trellis import WEIGHT

        weights = np.full(len(rows), WEIGHT * weight, np.float32)
        return self.engine.attempt(self.latent[rows], qualities, weights)

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

    def within(self, limit: int) -> tuple[Symbols, Symbols]:
        """The least error (in the transform's metric) in at most `limit` bytes."""
        self.error = np.full(len(self.x), np.inf, np.float32)

        def fits(attempt: Attempt, rows: Symbols, qualities: Symbols) -> NDArray[np.bool_]:
            good = self.sizes(attempt) <= limit
            self._keep(attempt, rows, qualities, good & (attempt.error < self.error[rows]))
            return good

        room = 8.0 * (limit - self.header) - _SEED_BITS + _SEED_SIGNS
        low = self._bracket(fits, lambda attempt, rows: np.log(attempt.bits / max(room, 1)))
        everyone = np.flatnonzero(low > 0)
        for more, weight in _FILL if len(everyone) else ():
            qualities = np.minimum(low[everyone] + more, self.last)
            attempt = self.attempt(everyone, qualities, weight)
            fits(attempt, everyone, qualities)
        weight = 1.0
        while len(left := np.flatnonzero(np.isinf(self.error))):
            weight *= 2  # below the lowest quality: coarser still, down to no level at all
            qualities = np.ones(len(left), np.int64)
            attempt = self.attempt(left, qualities, weight)
            fits(attempt, left, qualities)
            if weight > 1e6:
                smallest = self.sizes(attempt)
                i = int(smallest.argmax())
                raise RateError(
                    f"embedding {self.first + left[i]} takes at least {smallest[i]} bytes with "
                    f"profile {self.profile}, max_bytes is {limit}: allow more"
                )
        return self.levels, self.quality

    def at_least(self, cosine: float) -> tuple[Symbols, Symbols]:
        """The smallest streams whose decoded embeddings have at least this cosine."""
        self.size = np.full(len(self.x), 1 << 30)
        best = np.zeros(len(self.x), np.float32)

        def falls_short(attempt: Attempt, rows: Symbols, qualities: Symbols) -> NDArray[np.bool_]:
            cosines = self.cosines(attempt, rows)
            # what is promised is checked once more when all is coded: leave room for rounding
            good = cosines >= cosine + 2e-6
            np.maximum.at(best, rows, cosines)
            sizes = self.sizes(attempt)
            smaller = good & (sizes < self.size[rows])
            self._keep(attempt, rows, qualities, smaller, sizes)
            return ~good

        def distance(attempt: Attempt, rows: Symbols) -> NDArray[np.float64]:
            miss = 1 - self.cosines(attempt, rows)
            wide = np.log(np.maximum(1 - cosine, 1e-6) / np.maximum(miss, 1e-6))
            return np.asarray(wide, np.float64)

        low = self._bracket(falls_short, distance)
        for more, weight in ((1, 1.15), (2, 1.4), (3, 1.7), (0, 0.85), (4, 2.1)):
            rows = np.flatnonzero(low < self.last)
            qualities = np.clip(low[rows] + more, 1, self.last)
            falls_short(self.attempt(rows, qualities, weight), rows, qualities)
        left = np.flatnonzero(self.size == 1 << 30)
        if len(left):  # the finest that there is: every bit worth next to nothing
            qualities = np.full(len(left), self.last)
            falls_short(self.attempt(left, qualities, 0.05), left, qualities)
        for i in np.flatnonzero(self.size == 1 << 30):
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
        better: NDArray[np.bool_],
        sizes: NDArray[np.int64] | None = None,
    ) -> None:
        """Remember the better attempts; of several for one row, the best."""
        where = np.flatnonzero(better)
        if sizes is None:
            order = where[np.argsort(-attempt.error[where], kind="stable")]
            self.error[rows[order]] = attempt.error[order]
        else:
            order = where[np.argsort(-sizes[where], kind="stable")]
            self.size[rows[order]] = sizes[order]
        self.levels[rows[order]] = attempt.levels[order]
        self.quality[rows[order]] = qualities[order]

    def _bracket(self, below: _Judge, distance: _Distance) -> Symbols:
        """The highest quality (N,) that is still `below` the target; 0 if none is.

        Bisection where the next place to look is guessed from how far off the last one was.
        """
        count = len(self.x)
        low, high = np.zeros(count, np.int64), np.full(count, self.last + 1)
        guess = np.full(count, (self.last + 1) // 2)
        probes = max(1, _PROBES // max(count, 1))
        while len(rows := np.flatnonzero(high - low > 1)):
            if probes > 1:  # few embeddings: all of a bracket at equal distances
                width = (high - low)[rows] - 1
                number = min(probes, int(width.max()))
                share = (np.arange(number) + 1) / (number + 1)
                tried = low[rows, None] + np.ceil(share * width[:, None]).astype(np.int64)
                tried = np.clip(tried, low[rows, None] + 1, high[rows, None] - 1)
                asked, qualities = np.repeat(rows, number), tried.ravel()
            else:
                asked, qualities = rows, np.clip(guess[rows], low[rows] + 1, high[rows] - 1)
            attempt = self.attempt(asked, qualities, 1.0)
            good = below(attempt, asked, qualities)
            np.maximum.at(low, asked[good], qualities[good])
            np.minimum.at(high, asked[~good], qualities[~good])
            high = np.maximum(high, low + 1)  # not quite monotonous: the higher one that does
            if probes == 1:
                jump = distance(attempt, asked) / np.log(_SLOPE)
                guess[asked] = qualities - np.rint(jump).astype(np.int64)
                late = np.abs(jump) < 1.5  # next door, then
                guess[asked[late]] += np.where(good[late], 1, -1) * (
                    guess[asked[late]] == qualities[late]
                )
        return low


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
