"""JPEG: XMP in an APP1 segment; a long packet goes on in further ones (XMP part 3, 1.1.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import md5
from typing import NamedTuple

from ..errors import ImageError
from .xmp import LIMIT, content, trimmed

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF = b"Exif\0"
_MAX_PACKET = 65502  # bytes of a packet that fit into one segment

_START, _SCAN, _END = 0xD8, 0xDA, 0xD9
_APP0, _APP1, _APP2 = 0xE0, 0xE1, 0xE2
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF
_BARE = {0x01, *range(0xD0, 0xD8)}  # markers without a length


class _Segment(NamedTuple):
    marker: int
    start: int
    body: int
    end: int


def matches(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def packets(data: bytes) -> list[bytes]:
    """The first packet, b"" if there is none, then the extended packets that it names."""
    first, parts = b"", []
    for segment in _segments(data):
        body = data[segment.body : segment.end]
        if segment.marker == _APP1 and body.startswith(_XMP):
            first = first or content(body[len(_XMP) :])
        elif segment.marker == _APP1 and body.startswith(_EXTENSION):
            parts.append(body[len(_EXTENSION) :])
    return [first, *_extensions(first, parts)]


def _extensions(first: bytes, parts: list[bytes]) -> Iterator[bytes]:
    """Each extended packet, put together from its segments, if it is complete and within LIMIT."""
    whole: dict[bytes, dict[int, bytes]] = {}
    for part in parts:
        if len(part) > 40 and part[:32] in first:
            whole.setdefault(part[:32], {})[int.from_bytes(part[36:40], "big")] = part[40:]
    for digest, pieces in whole.items():
        packet = b"".join(piece for _, piece in sorted(pieces.items()))
        whole_digest = md5(packet, usedforsecurity=False).hexdigest().upper().encode()
        if len(packet) <= LIMIT and whole_digest == digest:  # larger ones hold depth maps
            yield packet


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, as they are stored; None: the file does not say them."""
    for segment in _segments(data):
        if segment.marker in _FRAMES and segment.end - segment.body >= 5:
            height, width = struct.unpack_from(">HH", data, segment.body + 1)
            return (width, height) if width and height else None
    return None


def replace(data: bytes, packet: bytes) -> bytes:
    """The file with this packet in the old one's place, else behind JFIF and Exif."""
    packet = trimmed(packet, _MAX_PACKET)
    if len(packet) > _MAX_PACKET:
        raise ImageError(
            f"its XMP would have {len(packet)} bytes, and a JPEG segment holds {_MAX_PACKET}: "
            "remove some of its XMP, or convert it to PNG, WebP or AVIF"
        )
    start = end = 2
    leading, empty = True, None
    for segment in _segments(data):
        body = data[segment.body : segment.end]
        if segment.marker == _APP1 and body.startswith(_XMP):
            if content(body[len(_XMP) :]):
                start, end = segment.start, segment.end
                break
            empty = empty or segment
        leading &= segment.marker == _APP0 or (segment.marker == _APP1 and body.startswith(_EXIF))
        if leading:
            start = end = segment.end
    else:
        if empty is not None:
            start, end = empty.start, empty.end
    body = _XMP + packet
    new = struct.pack(">BBH", 0xFF, _APP1, 2 + len(body)) + body
    moved = _moved(data, end, len(new) - (end - start))
    return moved[:start] + new + moved[end:]


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments that have a length, from the start of the image to its first scan."""
    at = 2
    while True:
        start = at
        if data[at : at + 1] != b"\xff":
            raise ImageError(_damaged(at))
        while data[at : at + 1] == b"\xff":  # any number of fill bytes may stand before a marker
            at += 1
        if at >= len(data) or data[at] in (0, _START):
            raise ImageError(_damaged(at))
        marker, at = data[at], at + 1
        if marker in (_SCAN, _END):
            return
        if marker in _BARE:
            continue
        size = int.from_bytes(data[at : at + 2], "big")
        if size < 2 or at + size > len(data) or at + 2 > len(data):
            raise ImageError(_damaged(start))
        yield _Segment(marker, start, at + 2, at + size)
        at += size


def _damaged(at: int) -> str:
    return f"damaged: no complete JPEG segment at byte {at}; save the image again"


def _moved(data: bytes, edit: int, by: int) -> bytes:
    """The file with the offsets of its further images (CIPA DC-007, MPF) updated.

    The edit at byte `edit` makes the file `by` bytes longer. Phones store gain maps, depth and
    previews as further images. An index that is not valid stays as it is.
    """
    new = bytearray(data)
    for segment in _segments(data):
        if segment.marker != _APP2 or data[segment.body : segment.body + 4] != b"MPF\0":
            continue
        base = segment.body + 4
        index = data[base : segment.end]
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(index[:4])
        if order is None:
            continue
        for entry in _entries(index, order):
            size, offset = struct.unpack_from(order + "II", index, entry + 4)
            if offset == 0:  # the first image, which the edit is in
                size += by
            elif base < edit <= base + offset:
                offset += by
            if 0 <= size < 1 << 32 and 0 <= offset < 1 << 32:
                struct.pack_into(order + "II", new, base + entry + 4, size, offset)
    return bytes(new)


def _entries(index: bytes, order: str) -> range:
    """Positions in an MPF index of the images' entries, 16 bytes each."""
    try:
        (at,) = struct.unpack_from(order + "I", index, 4)
        (count,) = struct.unpack_from(order + "H", index, at)
        for field in range(at + 2, at + 2 + 12 * count, 12):
            tag, _, size, start = struct.unpack_from(order + "HHII", index, field)
            if tag == 0xB002 and start + size <= len(index):
                return range(start, start + size // 16 * 16, 16)
    except struct.error:
        pass
    return range(0)
