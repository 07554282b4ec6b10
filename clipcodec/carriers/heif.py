"""AVIF and HEIF: XMP as an item of type `mime` that describes the primary image (cdsc).

A new packet goes into a media data box at the end of the file. The meta box grows by the entries
for it, and every offset that points behind the meta box is raised by as much.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..errors import ImageError
from .boxes import (
    Box,
    Cursor,
    Location,
    boxes,
    children,
    chunk_offsets,
    damaged,
    file_offsets,
    locations,
    meta_children,
)
from .xmp import LIMIT, check_empty, content

_TYPE = b"application/rdf+xml"
_FRAGMENTS = (b"moof", b"mfra", b"sidx", b"ssix")  # boxes with offsets that are not updated here
_TOO_NARROW = "there is no room for a stream: its offset fields are too small for the new offsets"
_TOO_MANY_ITEMS = "there is no room for a stream: it has 65535 items already"


@dataclass(frozen=True)
class _Meta:
    """The meta box of a file, and what it says about items."""

    box: Box
    inside: list[Box]
    parts: dict[bytes, Box]  # the same boxes, by kind
    primary: int  # item number of the primary image
    items: dict[int, bool]  # item number → whether it is XMP
    version: int  # of iloc
    widths: tuple[int, int, int, int]  # of the fields of iloc, see `boxes.locations`
    entries: list[Location]  # of iloc
    described: dict[int, list[int]]  # item number → the items that it describes


def matches(data: bytes) -> bool:
    return data[:1] == b"\0" and data[4:8] == b"ftyp"


def packets(data: bytes) -> list[bytes]:
    """The packet that describes the primary image, b"" if there is none; always one packet."""
    meta = _meta(data, boxes(data, 0, len(data)))
    return [_content(data, meta, _xmp_item(data, meta))]


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of its largest image, as stored; None: it does not say them.

    The largest, since a phone's picture is made of tiles, and may come with a thumbnail.
    """
    meta = _meta(data, boxes(data, 0, len(data)))
    found = []
    for box in children(data, meta.parts[b"iprp"]) if b"iprp" in meta.parts else []:
        for part in children(data, box) if box.kind == b"ipco" else []:
            if part.kind == b"ispe" and part.end - part.body >= 12:
                width, height = struct.unpack_from(">II", data, part.body + 4)
                found.append((width, height))
    return max(found, key=lambda size: size[0] * size[1], default=None)


def replace(data: bytes, packet: bytes) -> bytes:
    """The file with this packet at its end; the meta box and all offsets are updated."""
    top = boxes(data, 0, len(data))
    meta = _meta(data, top)
    if any(box.kind in _FRAGMENTS for box in top):  # usually a video
        raise ImageError(
            "a file in fragments, whose offsets clipcodec cannot update: save the image again"
        )
    item = _xmp_item(data, meta)
    stored = [entry for entry in meta.entries if entry.item == item]
    kept = [entry for entry in meta.entries if entry.item != item]
    fields = list(file_offsets(kept, meta.widths[0]))
    movies = [box for box in top if box.kind == b"moov"]
    for movie in movies:
        fields += chunk_offsets(data, movie)
    if _holds_only_packet(top[-1], stored, kept) and all(
        value < top[-1].start for _, _, value in fields
    ):
        data, top = data[: top[-1].start], top[:-1]  # the old packet, which is dropped

    def parts(place: int, now: bytes | bytearray) -> bytes:
        """The boxes of the new meta box, made from the file `now`, with the packet at `place`."""
        new = _Edit(now, meta, item if item is not None else _free_number(data, meta))
        edited = {b"iloc": new.iloc(kept, place, len(packet))}
        if item is None:
            edited |= {b"iinf": new.iinf(), b"iref": new.iref()}
        ordered = [edited.pop(b.kind, bytes(now[b.start : b.end])) for b in meta.inside]
        return b"".join([*ordered, *edited.values()])

    head = data[meta.box.start : meta.box.body + 4]
    grown = len(head) + len(parts(0, data)) - (meta.box.end - meta.box.start)
    out = bytearray(data)
    _write_size(out, top[-1])
    for field, width, value in fields:
        if meta.box.start <= value < meta.box.end:
            raise ImageError(damaged(meta.box.start, b"meta"))
        if value >= meta.box.end:
            raw = int.from_bytes(data[field : field + width], "big") + grown
            if raw < 0 or raw >> 8 * width:
                raise ImageError(_TOO_NARROW)
            out[field : field + width] = raw.to_bytes(width, "big")
    new = bytearray(head + parts(len(data) + grown + 8, out))
    width, at = (8, 8) if meta.box.body - meta.box.start == 16 else (4, 0)
    new[at : at + width] = len(new).to_bytes(width, "big")
    last = struct.pack(">I4s", 8 + len(packet), b"mdat") + packet
    return bytes(out[: meta.box.start]) + new + out[meta.box.end :] + last


def _meta(data: bytes, top: list[Box]) -> _Meta:
    metas = [box for box in top if box.kind == b"meta"]
    if len(metas) != 1:
        raise ImageError("not an AVIF or HEIF image: expected one box 'meta' at its top level")
    inside = meta_children(data, metas[0])
    found = {box.kind: box for box in inside}
    for kind in (b"hdlr", b"pitm", b"iinf", b"iloc"):
        if kind not in found:
            raise ImageError(
                f"not an AVIF or HEIF image: expected a box {kind.decode()!r} in 'meta'"
            )
    if data[found[b"hdlr"].body + 8 : found[b"hdlr"].body + 12] != b"pict":
        raise ImageError("not an AVIF or HEIF image: its box 'meta' is not about pictures")
    cursor = Cursor(data, found[b"pitm"])
    primary = cursor.number(2 if cursor.version() == 0 else 4)
    version, widths, entries = locations(data, found[b"iloc"])
    return _Meta(
        metas[0], inside, found, primary, _items(data, found[b"iinf"]), version, widths, entries,
        _described(data, found.get(b"iref")),
    )  # fmt: skip


def _items(data: bytes, iinf: Box) -> dict[int, bool]:
    """Item number → whether the item is uncompressed XMP."""
    cursor = Cursor(data, iinf)
    cursor.number(2 if cursor.version() == 0 else 4)
    items = {}
    for box in boxes(data, cursor.at, iinf.end):
        entry = Cursor(data, box)
        version = entry.version()
        item = entry.number(4 if version == 3 else 2)
        items[item] = False
        if version in (2, 3):
            entry.number(2)  # protection
            if entry.number(4) == int.from_bytes(b"mime", "big"):
                entry.text()  # its name
                items[item] = entry.text() == _TYPE and not (entry.more() and entry.text())
    return items


def _described(data: bytes, iref: Box | None) -> dict[int, list[int]]:
    """Item number → the items that it describes (references of kind cdsc)."""
    found: dict[int, list[int]] = {}
    if iref is None:
        return found
    cursor = Cursor(data, iref)
    width = 2 if cursor.version() == 0 else 4
    for box in boxes(data, cursor.at, iref.end):
        reference = Cursor(data, box)
        item = reference.number(width)
        targets = [reference.number(width) for _ in range(reference.number(2))]
        if box.kind == b"cdsc":
            found.setdefault(item, []).extend(targets)
    return found


def _xmp_item(data: bytes, meta: _Meta) -> int | None:
    """The first XMP item that describes the primary image, or that describes none by reference.

    One that is not empty goes before empty ones.
    """
    items = [
        item
        for item, is_xmp in meta.items.items()
        if is_xmp and meta.primary in meta.described.get(item, [meta.primary])
    ]
    for count, item in enumerate(items, 1):
        if _content(data, meta, item):
            return item
        check_empty(count)
    return items[0] if items else None


def _content(data: bytes, meta: _Meta, item: int | None) -> bytes:
    """The packet of an item, b"" if it is empty."""
    for entry in meta.entries:
        if entry.item != item:
            continue
        base, end = 0, len(data)
        if entry.method == 1 and b"idat" in meta.parts:
            base, end = meta.parts[b"idat"].body, meta.parts[b"idat"].end
        elif entry.method:
            raise ImageError("its XMP is stored inside other items: rewrite it with exiftool")
        total = sum(extent.length for extent in entry.extents)
        if not total and not entry.external:
            return b""  # as exiftool leaves it, not "to the end", which no packet would be
        ends = [base + extent.start + extent.length for extent in entry.extents]
        whole = all(extent.length for extent in entry.extents)  # one of 0 may mean "to the end"
        if entry.external or not whole or total > LIMIT or max(ends, default=0) > end:
            raise ImageError("its XMP item is damaged or too large: rewrite it with exiftool")
        starts = [base + extent.start for extent in entry.extents]
        return content(b"".join(data[a:b] for a, b in zip(starts, ends, strict=True)))
    return b""


def _holds_only_packet(last: Box, stored: list[Location], kept: list[Location]) -> bool:
    """Whether the file's last box is media data with the old packet and nothing else."""
    if last.kind != b"mdat" or len(stored) != 1 or stored[0].method or stored[0].external:
        return False
    if [(e.start, e.start + e.length) for e in stored[0].extents] != [(last.body, last.end)]:
        return False
    return not any(
        extent.start + extent.length > last.start or not extent.length
        for entry in kept
        if entry.method == 0 and not entry.external
        for extent in entry.extents
    )


def _free_number(data: bytes, meta: _Meta) -> int:
    """The smallest number that no item and no group of items has."""
    taken = {0, meta.primary, *meta.items, *(entry.item for entry in meta.entries)}
    if b"grpl" in meta.parts:
        for group in children(data, meta.parts[b"grpl"]):
            cursor = Cursor(data, group)
            cursor.version()
            taken.add(cursor.number(4))
    item = next(number for number in range(1, len(taken) + 1) if number not in taken)
    if item > 0xFFFF:
        raise ImageError(_TOO_MANY_ITEMS)
    return item


def _write_size(out: bytearray, last: Box) -> None:
    """Write the size of a last box that says "to the end of the file": a box will follow it."""
    size = last.end - last.start
    if out[last.start : last.start + 4] == bytes(4):
        if size >> 32:
            raise ImageError(
                "there is no room for a stream: its last box states no size and is above 4 GiB"
            )
        out[last.start : last.start + 4] = size.to_bytes(4, "big")


@dataclass(frozen=True)
class _Edit:
    """The new boxes of a meta box, for an XMP item of this number."""

    data: bytes | bytearray
    meta: _Meta
    item: int

    def _box(self, kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(body), kind) + body

    def iloc(self, kept: list[Location], place: int, length: int) -> bytes:
        box, version = self.meta.parts[b"iloc"], self.meta.version
        offset, size, base, index = self.meta.widths
        if place >> 8 * offset:
            raise ImageError(_TOO_NARROW)
        wide = 4 if version == 2 else 2
        entry = self.item.to_bytes(wide, "big")
        entry += bytes(2 if version else 0)  # construction method 0
        entry += bytes(2 + base) + b"\0\1" + bytes(index)  # base offset 0, one extent
        entry += place.to_bytes(offset, "big") + length.to_bytes(size, "big")
        body = bytes(self.data[box.body : box.body + 6])
        body += (len(kept) + 1).to_bytes(wide, "big")
        body += b"".join(bytes(self.data[old.start : old.end]) for old in kept)
        return self._box(b"iloc", body + entry)

    def iinf(self) -> bytes:
        box = self.meta.parts[b"iinf"]
        wide = 2 if self.data[box.body] == 0 else 4
        at = box.body + 4
        count = int.from_bytes(self.data[at : at + wide], "big") + 1
        if count >> 8 * wide:
            raise ImageError(_TOO_MANY_ITEMS)
        entry = b"\2\0\0\0" + self.item.to_bytes(2, "big") + b"\0\0mime" + b"\0" + _TYPE + b"\0"
        body = bytes(self.data[box.body : at]) + count.to_bytes(wide, "big")
        body += bytes(self.data[at + wide : box.end]) + self._box(b"infe", entry)
        return self._box(b"iinf", body)

    def iref(self) -> bytes:
        box = self.meta.parts.get(b"iref")
        if box is None:
            old = struct.pack(">I", (self.meta.primary > 0xFFFF) << 24)
        else:
            old = bytes(self.data[box.body : box.end])
        wide = 2 if old[0] == 0 else 4
        reference = self.item.to_bytes(wide, "big") + b"\0\1"
        reference += self.meta.primary.to_bytes(wide, "big")
        return self._box(b"iref", old + self._box(b"cdsc", reference))
