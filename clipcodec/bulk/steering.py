"""`mean_bytes` of a container: bytes of its items with their ids, on average.

What does not grow with the items is not counted: the metadata, and some forty bytes of each block.
A dozen photographs would have next to nothing left, and so would one that is added later.

Where the inputs are known in whole (arrays), `settled` finds one quality for all of them. Images
come as a stream: `Steering` finds a quality on the first of them, and changes it a little with each
chunk, so that the average of the whole file comes to what was asked. Which quality an image gets
depends on those before it, but not on workers or time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from math import exp, log
from typing import Any, Protocol

import numpy as np

from .. import mean
from ..codec import Codec
from ..container import layout
from ..container.packing import BLOCK_ITEMS, packed
from ..container.survey import Survey
from ..embeddings import Embeddings, normalise
from ..errors import ClipcodecError, InputError, each_row
from ..target import Target

FIRST = 512  # items on which the first quality is found
CHUNK = 256  # items of one quality after that
LAG = 2  # chunks in work: what their streams take is not known when the next one begins
_HORIZON = 768  # items, at least, in which what is too much or too little is to be made up for
_SHARE = 8  # or this part of those there are: the longer the stream, the steadier the quality
_MOST = 0.25  # of what was asked: no later chunk aims farther from it
_STEP = 0.1  # most that the aim changes from chunk to chunk


class Sizing(Protocol):
    """Bytes of what is written, while items are added."""

    items: int

    @property
    def total(self) -> float: ...
    def add(self, streams: Sequence[bytes], ids: Sequence[str]) -> None: ...
    def more(self, streams: Sequence[bytes], ids: Sequence[str]) -> float:
        """How many bytes these items would add."""


class StreamSize:
    """Bytes of streams alone."""

    def __init__(self) -> None:
        self.items = self.total = 0

    def add(self, streams: Sequence[bytes], ids: Sequence[str]) -> None:
        self.items += len(streams)
        self.total += sum(map(len, streams))

    def more(self, streams: Sequence[bytes], ids: Sequence[str]) -> float:
        return sum(map(len, streams))


class ContainerSize:
    """Bytes that items take in a container's file as it will be, while they are added.

    size, items  of those in the file that there is already: see `counted`
    """

    def __init__(self, size: float = 0, items: int = 0) -> None:
        self._blocks, self.items = size, items
        self._streams: list[bytes] = []  # of the block that is not full
        self._ids: list[str] = []

    def add(self, streams: Sequence[bytes], ids: Sequence[str]) -> None:
        self._streams, self._ids = [*self._streams, *streams], [*self._ids, *ids]
        self.items += len(streams)
        while len(self._streams) >= BLOCK_ITEMS:
            self._blocks += _block(self._streams[:BLOCK_ITEMS], self._ids[:BLOCK_ITEMS])
            self._streams, self._ids = self._streams[BLOCK_ITEMS:], self._ids[BLOCK_ITEMS:]

    @property
    def total(self) -> float:
        return self._blocks + (_block(self._streams, self._ids) if self._streams else 0)

    def more(self, streams: Sequence[bytes], ids: Sequence[str]) -> float:
        other = copy(self)
        other.add(streams, ids)
        return other.total - self.total


def _block(streams: list[bytes], ids: list[str] | None) -> int:
    """Bytes of items that the writer packs together."""
    blocks = packed(streams, [None] * len(streams) if ids is None else ids)
    return sum(len(data) - _AROUND for data, _ in blocks)


_AROUND = len(layout.pack_items([b"\0"], ["a"])) - 2  # of a block, whatever is in it


def counted(survey: Survey) -> int:
    """Bytes that the items of a container take in its file, without those that are deleted."""
    blocks = survey.entries[survey.entries[:, 1] > 0, 0]
    size, count = int(blocks.sum()) - len(blocks) * _AROUND, survey.items
    return size if not len(survey.deletions) else size * count // (count + len(survey.deletions))


# known in whole


def settled(
    codec: Codec,
    asked: Target,
    parts: Callable[[], Iterable[tuple[list[str], Any]]],
    *,
    in_order: bool = False,
) -> Target | None:
    """The quality and weight for one container of all these rows; None if there are none.

    parts   gives ids and rows (n, D) of any norm, all of them each time it is called; rows that
            cannot be encoded are passed over
    in_order  ids are written as they come; else they are those of rows by their numbers

    Raises RateError if `asked.mean_bytes` is out of reach.
    """
    ids: list[str] = []

    def units() -> Iterator[Embeddings]:
        ids.clear()
        for names, rows in parts():
            good = _good(normalise, rows)
            ids.extend(names[i] for i, _ in good)
            if good:
                yield np.stack([row for _, row in good])

    found = mean.sample(units)
    if not found.count:
        return None
    # ids of one input in their natural order, whatever the order of the inputs
    if not in_order:
        ids.sort(key=lambda id: (id.rpartition("/")[0], len(id), id))
    names = sum(_names(ids[at : at + BLOCK_ITEMS]) for at in range(0, len(ids), BLOCK_ITEMS))
    besides = names / found.count

    def weigh(streams: list[bytes]) -> float:
        blocks = range(0, len(streams), BLOCK_ITEMS)
        size = sum(_block(streams[at : at + BLOCK_ITEMS], None) for at in blocks)
        return size / len(streams) + besides

    rows = [found.rows[i] for i in _encodable(codec, found.rows, asked)]
    return mean.resolve(codec.encode_each, rows, asked, codec.profile, weigh).target


def _names(ids: list[str]) -> int:
    """Bytes that the ids of a block take."""
    streams = [b"\0"] * len(ids)
    return _block(streams, list(ids)) - _block(streams, None)


def _good(work: Callable[[Any], Any], rows: Any) -> list[tuple[int, Any]]:
    """What `work` makes of each row, with its number, without the rows at fault."""

    def some(chosen: list[int]) -> Any:
        return work(rows[chosen] if isinstance(rows, np.ndarray) else [rows[i] for i in chosen])

    found = each_row(some, len(rows), InputError)
    return [(i, row) for i, row in enumerate(found) if not isinstance(row, ClipcodecError)]


def _encodable(codec: Codec, rows: list[Embeddings], asked: Target) -> list[int]:
    """Which rows have streams at all; if none has, the error says why."""
    default = Target(entropy=asked.entropy)
    good = _good(lambda some: codec.encode_each(some, default), rows)
    if not good:
        codec.encode_each(rows, default)
    return [i for i, _ in good]


# known bit by bit


class Steering:
    """The target of each chunk of a stream of items, from the streams of the chunks before.

    size  of what there is so far
    left  how many items are still to come, if that is known

    `adapted` tells whether a quality has depended on the items before.
    """

    def __init__(self, codec: Codec, asked: Target, size: Sizing, left: int | None = None) -> None:
        self._codec, self._asked, self._size, self._left = codec, asked, size, left
        self._wanted = float(asked.mean_bytes or 0)
        self.adapted = False
        self._known: list[tuple[str, Embeddings]] = []  # items on which the curve was measured
        self._curve: mean.Curve | None = None
        self._aim = 0.0  # bytes per item of those
        self._hardness = 1.0  # bytes of an item now, where those take one
        self._open: deque[tuple[int, float]] = deque()  # items in work, and bytes expected of each

    @property
    def next_size(self) -> int:
        """Items of the next chunk."""
        if self._known:
            return CHUNK
        few = self._left is not None and self._left <= FIRST + CHUNK
        return max(self._left or 0, 1) if few else FIRST

    def next(self, ids: Sequence[str], rows: Sequence[Any], *, last: bool) -> Target:
        """The target of the next chunk.

        rows  (D,) each, of any norm; needed where the quality is not known yet
        last  nothing follows it

        Raises RateError if what was asked is out of reach.
        """
        if last:
            self._left = len(rows)
        self.adapted = self.adapted or (
            len(rows) > 0 and (bool(self._known) or self._size.items > 0)
        )
        wanted = self._next_mean(len(rows))
        if self._left is not None:
            self._left -= len(rows)
        if len(self._known) < FIRST:
            target = self._begin(ids, rows, wanted)
        elif self._curve is not None:
            step = log(wanted / self._hardness / self._aim)
            self._aim *= exp(min(max(step, -_STEP), _STEP))
            target = self._curve.at(self._aim)
        self._open.append((len(rows), self._aim * self._hardness))
        return target

    def _begin(self, ids: Sequence[str], rows: Sequence[Any], wanted: float) -> Target:
        """Find the quality on all items so far."""
        named = [
            (ids[i], unit)
            for i, row in enumerate(rows)
            for _, unit in _good(normalise, np.asarray(row)[None])
        ]
        if named:
            good = _encodable(self._codec, [unit for _, unit in named], self._asked)
            self._known += [named[i] for i in good]
        if not self._known:
            return Target(entropy=self._asked.entropy)  # no stream comes of it
        names = [id for id, _ in self._known]
        point = mean.resolve(
            self._codec.encode_each, [unit for _, unit in self._known], self._asked,
            self._codec.profile,
            lambda streams: self._size.more(streams, names[: len(streams)]) / len(streams),
            self._wanted - wanted,
        )  # fmt: skip
        self._curve, self._aim = point.curve, point.on_curve
        self._hardness = point.size / point.on_curve
        return point.target

    def _horizon(self, count: int) -> int:
        """In how many items the average is to come right; `count` of them are next."""
        most = max(_HORIZON, self._size.items // _SHARE)
        return max(most if self._left is None else min(most, self._left), count, 1)

    def _next_mean(self, count: int) -> float:
        """Bytes per item for the next items, so that the whole comes to what was asked."""
        items = self._size.items + sum(n for n, _ in self._open)
        there = self._size.total + sum(n * each for n, each in self._open)
        mean = self._wanted + (self._wanted * items - there) / self._horizon(count)
        return min(max(mean, (1 - _MOST) * self._wanted), (1 + _MOST) * self._wanted)

    def add(self, ids: Sequence[str], streams: Sequence[bytes]) -> None:
        """What became of the oldest chunk in work."""
        _, expected = self._open.popleft()
        if streams:
            before = self._size.total
            self._size.add(streams, ids)
            harder = (self._size.total - before) / len(streams) / expected
            # in part: a chunk differs by chance, too
            count = len(streams)
            self._hardness *= harder ** min(2 * count / self._horizon(count), 0.5)
