"""The blocks of a file: where their items are, read when they are wanted, kept for a while."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, DecodeError, OptionError, placed
from . import layout
from .blocks import Block, Piece, pieces
from .files import SeekableFile
from .survey import Survey

_KEPT, _KEPT_BYTES = 4, 1 << 20  # blocks kept in memory: as many, or as many as have these bytes


class FileBlocks:
    """The blocks of a file that have items which are not deleted. Thread-safe.

    `len` counts these items, and their positions count no others.

    survey  of this file

    The check value of a block is verified when it is read. All methods that read raise DecodeError
    for a damaged block, naming the file and the block's items.
    """

    def __init__(self, file: SeekableFile, survey: Survey) -> None:
        self._file = file
        self._deletions = deletions = survey.deletions
        places = survey.places
        ends = places.firsts + places.counts
        living = places.counts - (deletions.before(ends) - deletions.before(places.firsts))
        there = living > 0
        self._sizes = survey.entries[survey.entries[:, 1] > 0, 0][there]
        self._offsets, self._counts = places.offsets[there], places.counts[there]
        self._places = places.firsts[there]  # of each block's first item, deleted ones counted
        self._living = living[there]
        self._firsts: list[int] = (np.cumsum(self._living) - self._living).tolist()
        self._len = int(self._living.sum())
        self._kept: OrderedDict[int, Block] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._len

    def __iter__(self) -> Iterator[Block]:
        for _, block in self._chosen():
            yield block

    def with_positions(
        self, on_bad: Callable[[DecodeError], object] | None = None
    ) -> Iterator[tuple[int, Block]]:
        """All blocks, each with the position of its first item.

        on_bad  called with the error of a damaged block, which is passed over; None: it is raised
        """
        for number, block in self._chosen(on_bad=on_bad):
            yield self._firsts[number], block

    def pieces(self, rows: int) -> Iterator[tuple[int, Piece]]:
        """All items, `rows` at a time, with the position of the first of these.

        Raises OptionError, too.
        """
        if rows < 1:
            raise OptionError(f"rows={rows}: at least 1")
        yield from zip(count(0, rows), pieces(self, rows), strict=False)

    def at(self, position: int) -> tuple[Block, int]:
        """The block that holds an item, and where in it."""
        number = bisect_right(self._firsts, position) - 1
        return self._block(number), position - self._firsts[number]

    def gathered(
        self, positions: NDArray[np.int64], *, with_ids: bool = False
    ) -> tuple[list[bytes], list[str | None]]:
        """The streams, and the ids if they are wanted, of the items at positions in any order."""
        if not len(positions):
            return [], []
        order = np.argsort(positions, kind="stable")
        ordered = positions[order]
        numbers = np.searchsorted(self._firsts, ordered, side="right") - 1
        chosen, starts = np.unique(numbers, return_index=True)
        streams, ids = [b""] * len(positions), list[str | None]([None]) * len(positions)
        parts = zip(starts.tolist(), [*starts[1:].tolist(), len(positions)], strict=True)
        for (number, block), (start, end) in zip(self._chosen(chosen), parts, strict=True):
            rows = ordered[start:end] - self._firsts[number]
            at = order[start:end].tolist()
            for place, stream in zip(at, block.streams.take(rows), strict=True):
                streams[place] = stream
            if with_ids:
                own = block.ids
                for place, row in zip(at, rows.tolist(), strict=True):
                    ids[place] = own[row]
        return streams, ids

    def _chosen(
        self,
        numbers: Iterable[int] | None = None,
        on_bad: Callable[[DecodeError], object] | None = None,
    ) -> Iterator[tuple[int, Block]]:
        """Some blocks, or all, with their numbers. on_bad: as in `with_positions`."""
        wanted = [*map(int, range(len(self._firsts)) if numbers is None else numbers)]
        with self._lock:
            kept = {number: self._kept[number] for number in wanted if number in self._kept}
        missing = [number for number in wanted if number not in kept]
        read = self._file.read_many([self._range(number) for number in missing])
        for number in wanted:
            try:
                block = kept.pop(number) if number in kept else self._parsed(number, next(read))
            except DecodeError as error:
                if on_bad is None:
                    raise
                on_bad(error)
                continue
            yield number, block

    def _block(self, number: int) -> Block:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        return self._parsed(number, self._file.read_at(*self._range(number)))

    def _range(self, number: int) -> tuple[int, int]:
        """Where a block begins in the file, and its bytes."""
        return int(self._offsets[number]), int(self._sizes[number])

    def _parsed(self, number: int, data: bytes) -> Block:
        """A block of these bytes, which is kept for a while."""
        first, items = self._firsts[number], int(self._counts[number])
        name = f"{self._file.name}: items {first} to {first + int(self._living[number]) - 1}"
        with placed(source=name):
            try:
                head, body = layout.parse_block(data)
                if head.items != items or head.whole != len(data):
                    raise CorruptError("block and index disagree: damaged")
                streams, ids = layout.unpack_streams(body, items)
            except DecodeError:
                self._file.check_unchanged()  # it may be another object by now
                raise
            there = self._deletions.kept(int(self._places[number]), items)
            found = Block(streams, ids, name, there)
        self._keep(number, found, len(data))
        return found

    def _keep(self, number: int, block: Block, size: int) -> None:
        with self._lock:
            if number not in self._kept:
                self._kept_bytes += size
            self._kept[number] = block
            while len(self._kept) > _KEPT and self._kept_bytes > _KEPT_BYTES:
                old, _ = self._kept.popitem(last=False)
                self._kept_bytes -= int(self._sizes[old])
