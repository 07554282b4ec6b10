"""Boxes of ISO base media files (ISO/IEC 14496-12): where they are, and where they point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..errors import ImageError

_MOST = 1 << 16  # boxes beside each other, items of a file, their extents
_MOST_CHUNKS = 1 << 20  # of a track


class Box(NamedTuple):
    kind: bytes
    start: int
    body: int
    end: int


class Extent(NamedTuple):
    """A piece of an item."""

    field: int  # where its offset is stored
    start: int  # that offset, and the item's base
    length: int


class Location(NamedTuple):
    """An entry of iloc, whose own bytes are start … end."""

    item: int
    start: int
    end: int
    method: int  # 0: places in the file; 1: in the box idat; 2: in another item
    external: bool
    extents: list[Extent]


class Cursor:
    """Reads the fields of a box, no further than its end."""

    def __init__(self, data: bytes, box: Box) -> None:
        self.data, self.at, self._end, self._box = data, box.body, box.end, box

    def number(self, size: int) -> int:
        at, self.at = self.at, self.at + size
        if self.at > self._end:
            raise ImageError(damaged(self._box.start, self._box.kind))
        return int.from_bytes(self.data[at : self.at], "big")

    def text(self) -> bytes:
        end = self.data.find(b"\0", self.at, self._end)
        if end < 0:
            raise ImageError(damaged(self._box.start, self._box.kind))
        text, self.at = self.data[self.at : end], end + 1
        return text

    def version(self) -> int:
        """Of a full box, which has three bytes of flags behind it."""
        return self.number(4) >> 24

    def more(self) -> bool:
        return self.at < self._end


def damaged(at: int, kind: bytes = b"") -> str:
    what = f"{kind.decode('latin-1')!r} " if kind else ""
    return f"damaged or unusual: no box {what}as expected at byte {at}; export it anew"


def boxes(data: bytes, start: int, end: int) -> list[Box]:
    """Those that fill a range, one after the other."""
    found: list[Box] = []
    while start < end:
        body = start + 8
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : body]
        if size == 1:
            body = start + 16
            size = int.from_bytes(data[start + 8 : body], "big")
        elif size == 0 and end == len(data):
            size = end - start  # to the end of the file
        if size < body - start or start + size > end or len(found) == _MOST:
            raise ImageError(damaged(start))
        found.append(Box(kind, start, body, start + size))
        start += size
    return found


def children(data: bytes, box: Box) -> list[Box]:
    return boxes(data, box.body, box.end)


def meta_children(data: bytes, meta: Box) -> list[Box]:
    """The boxes in a meta box, each kind once, apart from `free`, `skip` and `uuid`."""
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
    """Version, sizes (of offset, length, base, index) and entries of an iloc box."""
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
        origin = cursor.number(base)
        pieces = []
        for _ in range(cursor.number(2)):
            cursor.number(index)
            field, place = cursor.at, origin + cursor.number(offset)
            pieces.append(Extent(field, place, cursor.number(length)))
        extents += len(pieces)
        if len(entries) == _MOST or extents > _MOST:
            raise ImageError(damaged(iloc.start, iloc.kind))
        entries.append(Location(item, start, cursor.at, method, external, pieces))
    return version, (offset, length, base, index), entries


def chunk_offsets(data: bytes, moov: Box) -> Iterator[tuple[int, int, int]]:
    """Field, size and value of every place in the file that a movie's tracks name."""
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
            raise ImageError("it has encrypted or auxiliary samples, whose places are not followed")
        if table.kind in (b"stco", b"co64"):
            size = 4 if table.kind == b"stco" else 8
            cursor = Cursor(data, table)
            cursor.version()
            count = cursor.number(4)
            if count > _MOST_CHUNKS:
                raise ImageError(damaged(table.start, table.kind))
            for _ in range(count):
                field = cursor.at
                yield field, size, cursor.number(size)


def _meta_offsets(data: bytes, meta: Box) -> Iterator[tuple[int, int, int]]:
    for box in meta_children(data, meta):
        if box.kind == b"iloc":
            _, sizes, entries = locations(data, box)
            yield from file_offsets(entries, sizes[0])


def file_offsets(entries: list[Location], size: int) -> Iterator[tuple[int, int, int]]:
    """Field, size and value of every place in the file, where the value may have a base."""
    for entry in entries:
        if entry.method == 0 and not entry.external:
            for extent in entry.extents:
                yield extent.field, size, extent.start
