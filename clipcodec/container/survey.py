"""Finds the blocks of a container: by its index, or by reading from block to block."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import (
    CorruptError,
    DecodeError,
    TruncatedError,
    UnsupportedError,
    placed,
)
from ..system.shown import counted
from . import layout
from .deletions import Deletions, Places, unpack_deletions
from .embedded import Embedded, check_order
from .files import SeekableFile

_TRIES, _PAUSE = 50, 0.004  # of reading a file that another process writes; seconds
_LEAST_PIECE, _MOST_PIECE = 1 << 12, 1 << 20  # bytes that are searched at a time
_WANTED = re.compile(  # heads of items, and of deletions, within the limits
    rb"DATA(?=[\x00-\x04]...\x00[\x00\x01])|GONE(?=[\x00-\x04]...\x00{4})", re.DOTALL
)
_MANY = 2  # blocks, good or not
_NO_INDEX = "ends without its index: truncated, or still being written"


class Survey:
    """Where a container's blocks are, and its metadata.

    entries    (B, 2) int64, bytes and items of every good block, in the order of the file
    offsets    (B,) int64, where each of them begins
    places     where the items are
    deletions  which of these are deleted
    end        position in the file where the last good block ends
    complete   whether the file ends with a valid index
    why        what is wrong with it, if it is not complete
    state      of the file when it was surveyed, see `SeekableFile.state`
    """

    def __init__(
        self,
        entries: NDArray[np.int64],
        metadata: dict[str, Any],
        *,
        state: tuple[int, ...] | None,
        offsets: NDArray[np.int64] | None = None,
        deletions: Deletions | None = None,
        why: DecodeError | None = None,
    ) -> None:
        self.entries, self.metadata, self.state = entries, metadata, state
        self.deletions = deletions or Deletions()
        self.complete, self.why = why is None, why
        ends = len(layout.OPENING) + np.cumsum(entries[:, 0])
        self.offsets = ends - entries[:, 0] if offsets is None else offsets
        last = len(self.offsets) - 1
        self.end = int(self.offsets[last] + entries[last, 0]) if last >= 0 else len(layout.OPENING)
        self.places = Places.of(self.offsets, entries[:, 1])

    @property
    def items(self) -> int:
        """How many items there are, without those that are deleted."""
        return int(self.places.counts.sum()) - len(self.deletions)

    def __repr__(self) -> str:
        from ..system.shown import shown, sized

        def parts() -> list[object]:
            return [counted(len(self.entries), "block"),
                    counted(self.items, "item"), sized(self.end),
                    "complete" if self.complete else "not complete"]  # fmt: skip

        return shown("container.Survey", parts)


def read_survey(file: SeekableFile, *, partial: bool) -> Survey:
    """Find the blocks by the index at the end of the file.

    partial  without a valid index, read block after block instead, and pass over what is damaged

    Raises DecodeError naming the file.
    """
    with placed(source=file.name):
        for _ in range(_TRIES):
            file.measure()
            state = file.state()  # before it is read: a later writer is noticed
            layout.check_opening(file.read_at(0, len(layout.OPENING)))
            entries, why = _by_index(file)
            if entries is not None:
                try:
                    deletions = _deletions(file, entries)
                except (TruncatedError, CorruptError) as error:
                    entries, why = None, error
            if entries is not None:
                return Survey(entries, _metadata(file), state=state, deletions=deletions)
            if state == file.state():  # else another process wrote it while we read: once more
                if partial or not _just_written(state):
                    break
                time.sleep(_PAUSE)  # a write may be half done, in which time the state stays
        return _without_index(file, state, why, partial=partial)


def _just_written(state: tuple[int, ...] | None) -> bool:
    """Was the file with this state written within the last second?"""
    return state is not None and abs(time.time_ns() - state[3]) < 1_000_000_000


def _without_index(
    file: SeekableFile, state: tuple[int, ...] | None, why: DecodeError | None, *, partial: bool
) -> Survey:
    if partial:
        return _by_walking(file, state)
    if file.remote:  # it would be downloaded to count its items
        raise why or TruncatedError(f"{_NO_INDEX}; what is good can be read with partial=True")
    entries, found = _by_heads(file)
    why = why or found
    items = int(entries[:, 1].sum())
    good = f"its first {counted(items, 'item')}" if items else "what is good of it, if anything"
    raise type(why)(f"{why}; partial=True reads {good}, and mode='a' goes on writing after that")


def _by_index(file: SeekableFile) -> tuple[NDArray[np.int64] | None, DecodeError | None]:
    """Entries by the index that the file ends with; None, and perhaps why, if that is none."""
    closing = file.read_at(max(0, file.size - layout.CLOSING_BYTES), layout.CLOSING_BYTES)
    whole = layout.AROUND + int.from_bytes(closing[:4], "big")
    start = file.size - whole
    if start < len(layout.OPENING) or whole > layout.AROUND + layout.MAX_BODY:
        return None, None
    try:
        head, body = layout.parse_block(file.read_at(start, whole))
        if head.kind != layout.INDEX or head.whole != whole:
            return None, None
        entries = layout.unpack_index(body)
    except DecodeError:
        return None, None  # no index, or a damaged one: reading the blocks will show which
    if len(layout.OPENING) + entries[:, 0].sum() != start:
        return None, CorruptError("its index does not match its size: damaged")
    return np.concatenate([entries, [[whole, 0]]]), None


def _deletions(file: SeekableFile, entries: NDArray[np.int64]) -> Deletions:
    """Those of all blocks behind the first item. Raises DecodeError, also for unknown blocks."""
    offsets = len(layout.OPENING) + np.cumsum(entries[:, 0]) - entries[:, 0]
    begun = np.maximum.accumulate(entries[:, 1]) > 0
    others = np.flatnonzero(begun & (entries[:, 1] == 0))[:-1]  # the last is the index
    if not len(others):
        return Deletions()
    found = list[Deletions]()
    places = Places.of(offsets, entries[:, 1])
    sizes = entries[others, 0].tolist()
    for at, size in zip(offsets[others].tolist(), sizes, strict=True):
        head = layout.parse_head(file.read_at(at, layout.HEAD_BYTES))
        if head.whole != size or head.items:
            raise CorruptError("block and index disagree: damaged")
        if head.kind == layout.GONE:
            found.append(_unpacked(file, at, size, places))
    return Deletions.union(found)


def _by_heads(file: SeekableFile) -> tuple[NDArray[np.int64], DecodeError]:
    """Entries from head to head, bodies unread, and the error at which that ends."""
    entries: list[tuple[int, int]] = []
    at = len(layout.OPENING)
    why: DecodeError = TruncatedError(_NO_INDEX)
    while at < file.size:
        try:
            head = _head(file, at)
        except DecodeError as error:
            why = error
            break
        entries.append((head.whole, head.items))
        at += head.whole
    else:
        if entries and head.kind == layout.INDEX:
            why = CorruptError("its index is damaged")
    return np.array(entries, np.int64).reshape(-1, 2), why


def _by_walking(file: SeekableFile, state: tuple[int, ...] | None) -> Survey:
    """Every block that is wholly good, also after damage, a hole or an insertion."""
    offsets: list[int] = []
    entries: list[tuple[int, int]] = []
    whys: list[DecodeError] = []
    at: int | None = len(layout.OPENING)
    first = b""  # kind of the first good block
    gone: list[tuple[int, int]] = []  # where blocks with deletions begin, and their bytes
    patience = _Patience(4 * file.size)
    while at is not None and at < file.size:
        try:
            head = _good_block(file, at, patience, None if whys else entries, first)
        except DecodeError as error:
            whys.append(error)
            if isinstance(error, UnsupportedError):  # it must not be passed over
                break
            at = _next_good(file, at + 1, patience)
            continue
        first = first or head.kind
        offsets.append(at)
        entries.append((head.whole, head.items))
        if head.kind == layout.GONE:
            gone.append((at, head.whole))
        at += head.whole
    found = np.array(entries, np.int64).reshape(-1, 2)
    starts = np.array(offsets, np.int64)
    places, deletions = Places.of(starts, found[:, 1]), list[Deletions]()
    for place, size in gone:
        try:
            deletions.append(_unpacked(file, place, size, places))
        except DecodeError as error:
            whys.insert(-1, error)  # what ended the walk stays the last
    why = next(iter(whys), TruncatedError(_NO_INDEX))
    if whys and isinstance(whys[-1], UnsupportedError):
        why = whys[-1]
    metadata = _metadata(file) if offsets[:1] == [len(layout.OPENING)] else {}
    gone_items = Deletions.union(deletions)
    return Survey(found, metadata, state=state, offsets=starts, deletions=gone_items, why=why)


def _unpacked(file: SeekableFile, at: int, size: int, places: Places) -> Deletions:
    """What the block at this byte deletes. Raises DecodeError."""
    _, body = layout.parse_block(file.read_at(at, size))
    return unpack_deletions(body, places, at)


def _head(file: SeekableFile, at: int) -> layout.Head:
    head = layout.parse_head(file.read_at(at, layout.HEAD_BYTES))
    if at + head.whole > file.size:
        raise TruncatedError("ends inside a block: truncated, or still being written")
    return head


class _Patience:
    """Bytes that may still be read of blocks that prove bad: any number of heads can be forged."""

    def __init__(self, left: int) -> None:
        self.left = left


def _good_block(
    file: SeekableFile,
    at: int,
    patience: _Patience,
    entries: list[tuple[int, int]] | None = None,
    first: bytes = b"",
) -> layout.Head:
    """The head of a block that is wholly good.

    entries  of the blocks before it, if all are good; None: they are not
    first    kind of the first of these
    """
    head = _head(file, at)
    patience.left -= head.whole
    head, body = layout.parse_block(file.read_at(at, head.whole))
    if head.kind == layout.DATA:
        layout.unpack_items(body, head.items)
    elif head.kind == layout.INDEX:
        if entries is None:
            raise CorruptError("an index after damage, which does not say where blocks are")
        check_index(body, entries)
    elif head.kind == layout.METADATA and entries == []:
        layout.unpack_metadata(body)
    elif head.kind == layout.PROFILE:
        check_order(_MANY if entries is None else len(entries), first)
        Embedded.parse(body)
    patience.left += head.whole
    return head


def _next_good(file: SeekableFile, at: int, patience: _Patience) -> int | None:
    """Where the next good block of items or deletions is; None if there is none."""
    for place in _wanted_heads(file, at):
        if patience.left < 0:
            break
        with suppress(DecodeError):
            _good_block(file, place, patience)
            return place
    return None


def _wanted_heads(file: SeekableFile, at: int) -> Iterator[int]:
    """Whatever looks like the head of a block of items or deletions, from `at` on."""
    size = _LEAST_PIECE
    while piece := file.read_at(at, size):
        for match in _WANTED.finditer(piece):
            with suppress(DecodeError):
                data = piece[match.start() : match.start() + layout.HEAD_BYTES]
                layout.parse_head(data)
                yield at + match.start()
        if len(piece) < size:
            return
        at += size - layout.HEAD_BYTES + 1  # a head may lie across two pieces
        size = min(2 * size, _MOST_PIECE)


def _metadata(file: SeekableFile) -> dict[str, Any]:
    """The metadata, if the first block is a METADATA block, else {}."""
    at = len(layout.OPENING)
    head = layout.parse_head(file.read_at(at, layout.HEAD_BYTES))
    if head.kind != layout.METADATA:
        return {}
    return layout.unpack_metadata(layout.parse_block(file.read_at(at, head.whole))[1])


def check_index(body: bytes, entries: list[tuple[int, int]]) -> None:
    """Raise CorruptError unless an index has these entries, those of the blocks before it."""
    found = layout.unpack_index(body)
    if not np.array_equal(found, np.array(entries, np.int64).reshape(-1, 2)):
        raise CorruptError("its index does not match the blocks before it: damaged")
