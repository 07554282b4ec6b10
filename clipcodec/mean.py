"""`mean_bytes`: one quality and one weight for many embeddings, so that their average size is met.

A limit for each stream is what costs: some embeddings need more bytes than others. Here all get the
same quality, and the same weight between two qualities, and only their average is given.

`sample` chooses rows by a hash of their values, so that the same rows are chosen in any order.
`resolve` encodes them at some qualities and finds the point. What is known bit by bit only is
steered: see `Curve` and clipcodec.bulk.steering.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from .embeddings import Embeddings
from .errors import RateError
from .target import Checkable, Target

SAMPLE = 1 << 14  # rows that are encoded to find the point, at most: 0.25 % off is the usual error
_ROUGH = 1 << 9  # of them for the first search
_CLOSE = 5e-4  # relative; closer than this is not looked for
NEAR = 0.01  # relative: what is promised
_PROBE = 1.25  # factor on the weight by which its effect is measured
_PER_QUALITY = 0.04  # about how much the logarithm of the size grows
_LEAST = 0.01  # bytes, which no stream has
_MOST_LOG = 1.5  # of the weight
_ROUNDS = 8

Encode = Callable[[Sequence[Embeddings], Target], list[bytes]]  # rows (D,) of unit norm
Weigh = Callable[[list[bytes]], float]  # bytes per item of these streams


def mean_length(streams: Sequence[bytes]) -> float:
    """Bytes of a stream on average."""
    return sum(map(len, streams)) / len(streams)


@dataclass(frozen=True)
class Sample:
    """Some rows of an input, or all.

    rows    each (D,), float32, unit norm, in an order that depends on nothing but their values
    places  (n,) where they are in the input
    count   rows of the whole input
    """

    rows: list[Embeddings]
    places: NDArray[np.int64]
    count: int

    @property
    def whole(self) -> bool:
        """Are these all rows?"""
        return len(self.rows) == self.count


def sample(parts: Callable[[], Iterable[Embeddings]], most: int = SAMPLE) -> Sample:
    """At most `most` rows, the same of the same rows in any order.

    parts  gives the input from its beginning, as unit-norm rows (n, D); it is called twice
    """
    found = [hashes_of(x) for x in parts()]
    hashes = np.concatenate(found) if found else np.empty(0, np.uint64)
    places = _lowest(hashes, most)
    order = np.argsort(places)
    wanted, rows, at, next = places[order], list[Embeddings](), 0, 0
    for x in parts():
        while next < len(wanted) and wanted[next] < at + len(x):
            rows.append(x[wanted[next] - at].copy())
            next += 1
        at += len(x)
    ranks = np.argsort(order)
    return Sample([rows[i] for i in ranks], places, len(hashes))


def hashes_of(x: Embeddings) -> NDArray[np.uint64]:
    """(N,) a hash of each row's values."""
    rows = x + np.float32(0)  # no negative zeros
    digests = b"".join(blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def _lowest(hashes: NDArray[np.uint64], most: int) -> NDArray[np.int64]:
    """Places of the lowest hashes, in their order; a row that comes again counts as another."""
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    every = np.arange(len(ranked))
    again = np.zeros(len(ranked), bool)
    again[1:] = ranked[1:] == ranked[:-1]
    first = np.maximum.accumulate(np.where(again, 0, every))
    mixed = ranked + (every - first).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # as in SplitMix64
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return order[np.argsort(mixed, kind="stable")[:most]]


class Curve:
    """Bytes per item of some embeddings at any quality and weight, measured where it is asked.

    measure  a target with a quality → bytes per item
    asked    what its targets share: the entropy coder, the effort and its texts
    """

    def __init__(
        self, measure: Callable[[Target], float], qualities: int, asked: Target | None = None
    ) -> None:
        self._measure, self._last = measure, qualities
        self._asked = asked or Target()
        self._sizes: dict[Target, float] = {}

    def target(self, quality: int, weight: float = 1.0) -> Target:
        weighed = None if weight == 1 else weight
        return replace(self._asked, mean_bytes=None, quality=float(quality), weight=weighed)

    def at(self, size: float) -> Target:
        """The quality and weight at which these embeddings take this many bytes.

        The quality is the one whose own size is nearest. Out of reach: the nearest there is.
        """
        quality = self._nearest(size)
        miss = math.log(size / self._size(quality))
        probe = 1 / _PROBE if miss > 0 else _PROBE
        slope = self._log_size(quality, probe) - self._log_size(quality)
        slope = min(slope / math.log(probe), -1e-3)  # never rising, not even by chance
        return self.target(
            quality, round(math.exp(min(max(miss / slope, -_MOST_LOG), _MOST_LOG)), 4)
        )

    def _nearest(self, size: float) -> int:
        """The quality whose size is nearest, found from the middle."""
        low, high = 0, self._last + 1  # the nearest below and above that were measured, or outside
        guess = (self._last + 1) // 2
        halve = False
        while True:
            before = high - low
            low, high = (guess, high) if self._size(guess) <= size else (low, guess)
            if high - low == 1:
                break
            if low >= 1 and high <= self._last:
                a, b = self._log_size(low), self._log_size(high)
                halve = not halve and 2 * (high - low) > before
                share = 0.5 if halve else (math.log(size) - a) / max(b - a, 1e-9)
                guess = round(low + share * (high - low))
            else:
                guess += round((math.log(size) - self._log_size(guess)) / _PER_QUALITY)
            guess = min(max(guess, low + 1), high - 1)
        found = [q for q in (low, high) if 1 <= q <= self._last]
        return min(found, key=lambda q: abs(self._log_size(q) - math.log(size)))

    def _size(self, quality: int, weight: float = 1.0) -> float:
        target = self.target(quality, weight)
        if target not in self._sizes:
            self._sizes[target] = self._measure(target)
        return self._sizes[target]

    def _log_size(self, quality: int, weight: float = 1.0) -> float:
        return math.log(self._size(quality, weight))


@dataclass
class Point:
    """The quality and weight found for a sample.

    target   what to encode with
    size     bytes per item of the sample with it
    streams  of the sample's rows
    curve    of a few of these rows, on which the target is the one for `on_curve` bytes
    """

    target: Target
    size: float
    streams: list[bytes]
    curve: Curve
    on_curve: float


def resolve(
    encode: Encode,
    rows: Sequence[Embeddings],
    asked: Target,
    profile: Checkable,
    weigh: Weigh = mean_length,
    besides: float = 0.0,
) -> Point:
    """The quality and weight at which rows (at least one) take `asked.mean_bytes` on average.

    rows     in an order that depends on their values alone (`sample`), and so does the result then
    weigh    bytes per item of streams
    besides  bytes per item that are not weighed, but count

    A row or few come as near as streams of whole bytes can. Raises RateError, which names what can
    be reached, if it is out of reach.
    """
    wanted = max(float(asked.mean_bytes or 0) - besides, _LEAST)
    known: dict[Target, list[bytes]] = {}
    few = len(rows) <= _ROUGH

    def roughly(target: Target) -> float:
        streams = encode(rows[:_ROUGH], target)
        if few:
            known[target] = streams
        return weigh(streams)

    curve = Curve(roughly, profile.qualities, asked)
    best: Point | None = None
    tried = set[Target]()
    low: Point | None = None
    high: Point | None = None
    size = wanted
    for _ in range(_ROUNDS):
        target = curve.at(size)
        if target in tried:
            break
        tried.add(target)
        streams = known.pop(target, None) or encode(rows, target)
        point = Point(target, weigh(streams), streams, curve, size)
        if best is None or _miss(point, wanted) < _miss(best, wanted):
            best = point
        if _miss(best, wanted) <= _CLOSE:
            break
        if point.size < wanted:
            low = point
        else:
            high = point
        if low is None or high is None:
            size *= wanted / point.size
        else:
            share = math.log(wanted / low.size) / math.log(high.size / low.size)
            size = low.on_curve * (high.on_curve / low.on_curve) ** min(max(share, 0.2), 0.8)
    assert best is not None
    if _miss(best, wanted) > NEAR:
        least, most = (weigh(encode(rows, curve.target(q))) for q in (1, profile.qualities))
        if not least <= wanted <= most:
            raise RateError(
                f"mean_bytes is {asked.mean_bytes:g}: profile {profile.name} reaches "
                f"{least + besides:.1f} to {most + besides:.1f} bytes on average with these "
                f"{len(rows)} embeddings"
            )
    return best


def _miss(point: Point, wanted: float) -> float:
    return abs(math.log(point.size / wanted))
