"""A container without items that are equal, or nearly: `dedupe`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..errors import OptionError, placed
from .copying import Output, Source, chosen_items, copy_items, opened, refuse_own
from .reader import Container

Keep = Literal["first", "last"]
KEEP: tuple[Keep, ...] = get_args(Keep)

_ROWS = 1024  # compared with the kept ones at a time
_TILE = 8192  # kept ones that are read at a time
_SHORT = 64  # numbers that stand for an embedding at first
_SLACK = np.float32(1e-5)  # far above what float32 loses in a product of unit vectors
_MANY = 8  # candidates for each row, above which the short numbers tell too little


@dataclass(frozen=True)
class Deduped:
    """What `dedupe` has made.

    Attributes:
        items: How many items the new container has.
        bytes: The size of its file; of what was written, for a file object.
        left_out: (L,) int64, positions in the source of the items left out, in order.
        kept: (L,) int64, for each of these the position of the item that is kept in its place.
        cosines: (L,) float32, the cosine of the two; 1 for equal streams.
        left_out_ids: L ids of the items left out, None where one has none.
        kept_ids: L ids of the items kept in their places.

    Examples:
        >>> from clipcodec.container import dedupe, merge
        >>> merged = merge(["photos.clpc", "photos.clpc"], "twice.clpc")
        >>> done = dedupe("twice.clpc", "once.clpc")
        >>> done.items, done.left_out_ids[0], done.kept[:3]
        (100, '0.jpg', array([0, 1, 2]))
    """

    items: int
    bytes: int
    left_out: NDArray[np.int64]
    kept: NDArray[np.int64]
    cosines: NDArray[np.float32]
    left_out_ids: list[str | None] = field(repr=False)
    kept_ids: list[str | None] = field(repr=False)

    def __repr__(self) -> str:
        from ..system.shown import counted, shown, sized

        def parts() -> list[object]:
            return [counted(self.items, "item"), sized(self.bytes),
                    f"{len(self.left_out):,} left out"]  # fmt: skip

        return shown("container.Deduped", parts)


def dedupe(
    source: Source,
    out: Output,
    *,
    cosine: float | None = None,
    keep: Keep = "first",
    overwrite: bool = False,
    block_items: int | None = None,
) -> Deduped:
    """Write a container without the items that are equal to another one, or nearly.

    Items are taken in order; one is left out if an item that was kept before has the same stream,
    or with `cosine` an embedding that is at least so near. So no two items that are kept are that
    near, and each item left out has one that is kept. The result is exact: every pair is compared
    that could be near enough, and cosines are taken to six decimals. For each item memory has
    some 16 bytes, with `cosine` some 270 of each that is kept; a temporary file holds the decoded
    embeddings of these.

    Args:
        source: A container, open or as a path or a binary file.
        out: The path of the new container, or a binary file.
        cosine: The least cosine of decoded embeddings, above 0 and at most 1, at which one is left
            out; None: only equal streams are.
        keep: Which of those that are alike is kept: with `"last"` items are taken from the end.
            The new container has them in the old order either way.
        overwrite: Whether a file at `out` may be replaced.
        block_items: As in `clipcodec.create`.

    Returns:
        What was kept, and for each item left out which is kept in its place: of several, the one
        that was taken first.

    Raises:
        OptionError: `cosine` or `keep` is none of these, or `out` is the source.
        DecodeError: The source is no container, or damaged; with `cosine`, also if its streams
            have several widths, or a profile that is not at hand. Nothing is written.
        OutputExistsError: `out` exists, and may not be replaced.
        LockedError: Another process writes `out`, or wrote the source meanwhile.
        OSError: The source cannot be read, or `out` cannot be written; nothing is left of it.

    Examples:
        >>> from clipcodec.container import dedupe
        >>> done = dedupe("photos.clpc", "apart.clpc", cosine=0.9)
        >>> done.items + len(done.left_out)
        100
    """
    if keep not in KEEP:
        raise OptionError(f"keep={keep!r}: expected {' or '.join(map(repr, KEEP))}")
    if cosine is not None and not 0 < cosine <= 1:
        raise OptionError(f"cosine={cosine!r}: expected a number above 0 and at most 1")
    with opened(source) as container:
        refuse_own(container, out)
        if cosine is None:
            found = _equal(container, keep)
        else:
            with tempfile.TemporaryFile() as file:
                found = _near(container, keep, cosine, file)
        left_out, kept, cosines = found
        chosen = np.ones(len(container), bool)
        chosen[left_out] = False
        ids = container.ids if len(left_out) else []
        writer = copy_items(
            container, out, chosen_items(container, chosen, partial=False),
            overwrite=overwrite, block_items=block_items,
        )  # fmt: skip
    return Deduped(
        len(writer), writer.size, left_out, kept, cosines,
        [ids[i] for i in left_out.tolist()], [ids[i] for i in kept.tolist()],
    )  # fmt: skip


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def _equal(container: Container, keep: Keep) -> _Found:
    """By digests: 16 bytes for each item."""
    digests = bytearray()
    for stream in container:
        digests += blake2b(stream, digest_size=16).digest()
    keys = np.frombuffer(bytes(digests), "V16").view(np.uint64).reshape(-1, 2)
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal ones stay in order
    if keep == "last":
        order = order[::-1]  # the last of equal ones comes first
    ordered = keys[order]
    begins = np.ones(len(order), bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    firsts = order[np.flatnonzero(begins)[np.cumsum(begins) - 1]] if len(order) else order
    left_out, kept = order[~begins], firsts[~begins]
    by_place = np.argsort(left_out)
    ones = np.ones(len(left_out), np.float32)
    return left_out[by_place].astype(np.int64), kept[by_place].astype(np.int64), ones


def _near(container: Container, keep: Keep, cosine: float, file: BinaryIO) -> _Found:
    left_out: list[int] = []
    kept: list[int] = []
    cosines: list[float] = []
    there: _Kept | None = None
    for places, rows in _parts(container, backwards=keep == "last"):
        if there is None:
            there = _Kept(rows, cosine, file)
        found, scores = there.add(places, rows)
        alike = found >= 0
        left_out += places[alike].tolist()
        kept += found[alike].tolist()
        cosines += scores[alike].tolist()
    by_place = np.argsort(np.array(left_out, np.int64), kind="stable")
    return (
        np.array(left_out, np.int64)[by_place],
        np.array(kept, np.int64)[by_place],
        np.array(cosines, np.float32)[by_place],
    )


def _parts(
    container: Container, *, backwards: bool
) -> Iterator[tuple[NDArray[np.int64], Embeddings]]:
    """Positions and embeddings, `_ROWS` at a time, in the order in which they are taken."""
    count = len(container)
    starts = range(0, count, _ROWS)
    if not backwards:
        for start, rows in zip(starts, container.decode_blocks(_ROWS), strict=True):
            yield np.arange(start, start + len(rows)), rows
        return
    for start in reversed(starts):
        places = np.arange(start, min(start + _ROWS, count))[::-1]
        with placed(start, item="item", source=container.name):
            rows = container.codec.decode_batch(container[start : start + _ROWS])
        yield places, rows[::-1]


class _Kept:
    """The embeddings that are kept, in a file, with what finds those that can be near.

    Each is turned so that its first numbers say most, as learned from the first rows, and the
    length of the others is kept: by the inequality of Cauchy and Schwarz, the product of two
    embeddings is at most that of their first numbers and these lengths. What this lets through is
    multiplied in full, in float64.
    """

    def __init__(self, rows: Embeddings, cosine: float, file: BinaryIO) -> None:
        self._least, self._lowest = cosine, np.float32(cosine) - _SLACK
        self._file, self._width = file, rows.shape[1]
        self._count = 0
        self._places = np.empty(0, np.int64)
        _, vectors = np.linalg.eigh(np.float64(rows.T) @ rows)
        self._first = vectors[:, ::-1][:, :_SHORT].astype(np.float32)
        self._heads = np.empty((0, self._first.shape[1] + 1), np.float32)  # in memory

    def add(
        self, places: NDArray[np.int64], rows: Embeddings
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """For each row the position of the kept one that is near enough, -1: it is kept itself;
        and their cosine.
        """
        heads = self._head(rows)
        found, scores = np.full(len(rows), -1), np.zeros(len(rows))
        for at in range(0, self._count, _TILE):
            open_rows = np.flatnonzero(found < 0)
            if not len(open_rows):
                return found, scores
            end = min(at + _TILE, self._count)
            near, score = self._first_near(rows[open_rows], heads[open_rows], at, end)
            hit = near >= 0
            found[open_rows[hit]] = self._places[at:end][near[hit]]
            scores[open_rows[hit]] = score[hit]
        new = np.flatnonzero(found < 0)
        own = self._among(rows[new])
        kept = own < 0
        found[new[~kept]] = places[new[own[~kept]]]
        scores[new[~kept]] = _cosines(rows[new[~kept]], rows[new[own[~kept]]])
        self._keep(places[new[kept]], rows[new[kept]], heads[new[kept]])
        return found, scores

    def _head(self, rows: Embeddings) -> NDArray[np.float32]:
        head = rows @ self._first
        rest = rows.astype(np.float64) - head.astype(np.float64) @ self._first.T
        return np.column_stack([head, np.linalg.norm(rest, axis=1)]).astype(np.float32)

    def _first_near(
        self, rows: Embeddings, heads: NDArray[np.float32], at: int, end: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """For each row the first of the kept ones `at` to `end` that is near enough, or -1, counted
        from `at`; and their cosine.
        """
        possible = heads @ self._heads[at:end].T >= self._lowest
        found, scores = np.full(len(rows), -1), np.zeros(len(rows))
        candidates = np.count_nonzero(possible)
        if not candidates:
            return found, scores
        tile = self._read(at, end - at)
        if candidates > _MANY * len(rows):
            possible = rows @ tile.T >= self._lowest
        waiting = np.flatnonzero(possible.any(axis=1))
        while len(waiting):
            columns = possible[waiting].argmax(axis=1)
            exact = _cosines(rows[waiting], tile[columns])
            hit = exact >= self._least
            found[waiting[hit]], scores[waiting[hit]] = columns[hit], exact[hit]
            possible[waiting, columns] = False
            waiting = waiting[~hit]
            waiting = waiting[possible[waiting].any(axis=1)]
        return found, scores

    def _among(self, rows: Embeddings) -> NDArray[np.int64]:
        """For each row the first of those kept before it that is near enough, or -1."""
        found = np.full(len(rows), -1)
        if not len(rows):
            return found
        possible = np.tril(rows @ rows.T >= self._lowest, -1)
        for row in np.flatnonzero(possible.any(axis=1)):
            others = np.flatnonzero(possible[row] & (found < 0))
            hits = others[_cosines(rows[others], rows[row]) >= self._least]
            if len(hits):
                found[row] = hits[0]
        return found

    def _keep(
        self, places: NDArray[np.int64], rows: Embeddings, heads: NDArray[np.float32]
    ) -> None:
        self._file.seek(4 * self._width * self._count)
        self._file.write(np.ascontiguousarray(rows, np.float32).data)
        end = self._count + len(rows)
        if end > len(self._places):  # room for twice as many, so that it is seldom copied
            room = max(end, 2 * len(self._places), _TILE)
            self._places = np.resize(self._places, room)
            self._heads = np.resize(self._heads, (room, self._heads.shape[1]))
        self._places[self._count : end], self._heads[self._count : end] = places, heads
        self._count = end

    def _read(self, first: int, count: int) -> Embeddings:
        self._file.seek(4 * self._width * first)
        data = self._file.read(4 * self._width * count)
        return np.frombuffer(data, np.float32).reshape(count, self._width)


def _cosines(x: Embeddings, y: Embeddings) -> NDArray[np.float64]:
    """Of rows of unit norm, to the six decimals that float32 holds: 1 for equal ones."""
    cosines: NDArray[np.float64] = np.round((x.astype(np.float64) * y).sum(axis=1), 6)
    return cosines
