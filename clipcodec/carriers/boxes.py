"""Boxes of ISO base media files (ISO/IEC 14496-12): their positions, and the offsets they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..errors import ImageError

_MAX_ENTRIES = 1 << 16  # boxes of one parent, items of a file, extents of all items
_MAX_CHUNKS = 1 << 20  # of a track


class Box(NamedTuple):
    """A box at bytes start … end of the file; its body is body … end."""

    kind: bytes
    start: int
    body: int
    end: int


class Extent(NamedTuple):
    """One piece of an item's data."""

    field: int  # position in the file of the field that stores the offset
    start: int  # the stored offset plus the item's base offset
    length: int


class Location(NamedTuple):
    """An entry of the iloc box; the entry itself is at bytes start … end of the file."""

    item: int
    start: int
    end: int
    method: int  # offsets count in: 0, the file; 1, the box idat; 2, another item
    external: bool
    extents: list[Extent]


class Cursor:
    """Reads the fields of a box one after the other, and never beyond its end."""

    def __init__(self, data: bytes, box: Box) -> None:
        self.data, self.at, self._end, self._box = data, box.body, box.end, box

    def number(self, width: int) -> int:
        """An unsigned integer of `width` bytes."""
        at, self.at = self.at, self.at + width
        if self.at > self._end:
            raise ImageError(damaged(self._box.start, self._box.kind))
        return int.from_bytes(self.data[at : self.at], "big")

    def text(self) -> bytes:
        """A text that ends with a zero byte."""
        end = self.data.find(b"\0", self.at, self._end)
        if end < 0:
            raise ImageError(damaged(self._box.start, self._box.kind))
        text, self.at = self.data[self.at : end], end + 1
        return text

    def version(self) -> int:
        """The version of a full box; three bytes of flags follow it."""
        return self.number(4) >> 24

    def more(self) -> bool:
        return self.at < self._end


def damaged(at: int, kind: bytes = b"") -> str:
    """The message about a box that is not as the standard says."""
    what = f"box {kind.decode('latin-1')!r}" if kind else "box"
    return f"damaged or unusual: no valid {what} at byte {at}; save the image again"


def boxes(data: bytes, start: int, end: int) -> list[Box]:
    """The boxes that fill bytes start … end, one after the other."""
    found: list[Box] = []
    while start < end:
        body = start + 8
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : body]
        if size == 1:
            body = start + 16
            size = int.from_bytes(data[start + 8 : body], "big")
        elif size == 0 and end == len(data):
            size = end - start  # size 0: the box goes to the end of the file
        if size < body - start or start + size > end or len(found) == _MAX_ENTRIES:
            raise ImageError(damaged(start))
        found.append(Box(kind, start, body, start + size))
        start += size
    return found


def children(data: bytes, box: Box) -> list[Box]:
    return boxes(data, box.body, box.end)


def meta_children(data: bytes, meta: Box) -> list[Box]:
    """The boxes in a meta box; only `free`, `skip` and `uuid` may occur more than once."""
    if meta.body + 4 > meta.end:
        raise ImageError(damaged(meta.start, meta.kind))
    found = boxes(data, meta.body + 4, meta.end)
    seen = set()
    for box in found:
        if box.kind in seen:
            raise ImageError(damaged(box.start, box.kind))
        if box.kind not in (b"free", b"skip", b"uuid"):
            seen.add(box.kind)
    return found


def locations(data: bytes, iloc: Box) -> tuple[int, tuple[int, int, int, int], list[Location]]:
    """Version, widths in bytes (of offset, length, base, index) and entries of an iloc box."""
    cursor = Cursor(data, iloc)
    version = cursor.version()
    packed = cursor.number(2)
    offset, length, base, index = (packed >> shift & 15 for shift in (12, 8, 4, 0))
    if version == 0:
        index = 0
    if version > 2 or {offset, length} - {4, 8} or {base, index} - {0, 4, 8}:
        raise ImageError(damaged(iloc.start, iloc.kind))
    count = cursor.number(4 if version == 2 else 2)
    entries: list[Location] = []
    extents = 0
    for _ in range(count):
        start = cursor.at
        item = cursor.number(4 if version == 2 else 2)
        method = cursor.number(2) & 15 if version else 0
        external = cursor.number(2) != 0
        base_offset = cursor.number(base)
        pieces = []
        for _ in range(cursor.number(2)):
            cursor.number(index)
            field, place = cursor.at, base_offset + cursor.number(offset)
            pieces.append(Extent(field, place, cursor.number(length)))
        extents += len(pieces)
        if len(entries) == _MAX_ENTRIES or extents > _MAX_ENTRIES:
            raise ImageError(damaged(iloc.start, iloc.kind))
        entries.append(Location(item, start, cursor.at, method, external, pieces))
    return version, (offset, length, base, index), entries


def chunk_offsets(data: bytes, moov: Box) -> Iterator[tuple[int, int, int]]:
    """Every file offset that a movie stores, as (position of the field, its width, the offset)."""
    for box in children(data, moov):
        if box.kind == b"meta":
            yield from _meta_offsets(data, box)
        elif box.kind == b"trak":
            for inner in children(data, box):
                if inner.kind == b"meta":
                    yield from _meta_offsets(data, inner)
                elif inner.kind == b"mdia":
                    yield from _media_offsets(data, inner)


def _media_offsets(data: bytes, mdia: Box) -> Iterator[tuple[int, int, int]]:
    tables = [
        table
        for minf in children(data, mdia)
        if minf.kind == b"minf"
        for stbl in children(data, minf)
        if stbl.kind == b"stbl"
        for table in children(data, stbl)
    ]
    for table in tables:
        if table.kind == b"saio":
            raise ImageError(
                "it has encrypted or auxiliary samples, whose offsets clipcodec cannot update"
            )
        if table.kind in (b"stco", b"co64"):
            width = 4 if table.kind == b"stco" else 8
            cursor = Cursor(data, table)
            cursor.version()
            count = cursor.number(4)
            if count > _MAX_CHUNKS:
                raise ImageError(damaged(table.start, table.kind))
            for _ in range(count):
                field = cursor.at
                yield field, width, cursor.number(width)


def _meta_offsets(data: bytes, meta: Box) -> Iterator[tuple[int, int, int]]:
    for box in meta_children(data, meta):
        if box.kind == b"iloc":
            _, widths, entries = locations(data, box)
            yield from file_offsets(entries, widths[0])


def file_offsets(entries: list[Location], width: int) -> Iterator[tuple[int, int, int]]:
    """Every file offset of these entries, as (position of the field, its width, the offset).

    The offset includes the item's base offset, which the field itself does not hold.
    """
    for entry in entries:
        if entry.method == 0 and not entry.external:
            for extent in entry.extents:
                yield extent.field, width, extent.start
