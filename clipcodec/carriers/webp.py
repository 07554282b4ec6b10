"""WebP: XMP in a chunk of the extended file format."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import ImageError
from .xmp import content

_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10
_XMP = (b"XMP ", b"XMP\0")  # ImageMagick 6 writes the second
_MAX_CHUNKS = 1 << 16  # an animation has one per frame


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    body: int
    stop: int  # end of the body; one more byte follows if its length is odd
    end: int


def matches(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def packets(data: bytes) -> list[bytes]:
    """The packet of the first XMP chunk, b"" if there is none; always one packet."""
    chunk = _xmp_chunk(data, _chunks(data))
    return [b"" if chunk is None else content(data[chunk.body : chunk.stop])]


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Width and height of the canvas in pixels; None: the file does not say them."""
    first = _chunks(data)[0]
    canvas = data[first.body : first.stop] if first.kind == b"VP8X" else _canvas(data, first)
    if len(canvas) < 10:
        return None
    width, height = (int.from_bytes(canvas[at : at + 3], "little") + 1 for at in (4, 7))
    return width, height


def replace(data: bytes, packet: bytes) -> bytes:
    """The file with this packet in the old one's place, else at the end.

    A file of the simple format becomes one of the extended format: it gets a VP8X chunk.
    """
    chunks = _chunks(data)
    first, last = chunks[0], chunks[-1].end
    old = _xmp_chunk(data, chunks) or _Chunk(b"", last, last, last, last)
    if first.kind == b"VP8X":
        if first.stop - first.body < 10:
            raise ImageError(_damaged(first.start))
        flags = bytes([data[first.body] | _XMP_FLAG])
        head = data[first.start : first.body] + flags + data[first.body + 1 : first.end]
        rest = data[first.end : old.start]
    else:
        head = _pack(b"VP8X", _canvas(data, first))
        rest = data[first.start : old.start]
    body = b"WEBP" + head + rest + _pack(b"XMP ", packet) + data[old.end : last]
    if len(body) >= (1 << 32) - 10:
        raise ImageError("there is no room for a stream: a WebP file has at most 4 GiB")
    return b"RIFF" + struct.pack("<I", len(body)) + body + data[last:]


def _xmp_chunk(data: bytes, chunks: list[_Chunk]) -> _Chunk | None:
    """The first XMP chunk that is not empty, else the first one."""
    found = [chunk for chunk in chunks if chunk.kind in _XMP]
    full = (chunk for chunk in found if content(data[chunk.body : chunk.stop]))
    return next(full, found[0] if found else None)


def _pack(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _chunks(data: bytes) -> list[_Chunk]:
    """All chunks; bytes after the size that the file states are no part of it."""
    size = int.from_bytes(data[4:8], "little")
    end = 8 + size
    if end > len(data) or size % 2:
        raise ImageError(
            f"damaged: {len(data)} bytes of a WebP file of {end}; save the image again"
        )
    chunks: list[_Chunk] = []
    at = 12
    while at < end:
        body = at + 8
        stop = body + int.from_bytes(data[at + 4 : body], "little")
        if max(body, stop) > end or len(chunks) == _MAX_CHUNKS:
            raise ImageError(_damaged(at))
        chunks.append(_Chunk(data[at : at + 4], at, body, stop, stop + (stop - body) % 2))
        at = chunks[-1].end
    if not chunks or chunks[0].kind not in (b"VP8 ", b"VP8L", b"VP8X"):
        raise ImageError(_damaged(12))
    return chunks


def _damaged(at: int) -> str:
    return f"damaged: no valid WebP chunk at byte {at}; save the image again"


def _canvas(data: bytes, image: _Chunk) -> bytes:
    """The body of a VP8X chunk for a simple file: size and alpha flag, from its image chunk."""
    bits = data[image.body : image.stop]
    flags = _XMP_FLAG
    if image.kind == b"VP8L":
        if len(bits) < 5 or bits[0] != 0x2F:
            raise ImageError(_damaged(image.start))
        fields = int.from_bytes(bits[1:5], "little")
        width, height = (fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1
        if fields >> 28 & 1:
            flags |= _ALPHA_FLAG
    else:
        if len(bits) < 10 or bits[3:6] != b"\x9d\x01\x2a":
            raise ImageError(_damaged(image.start))
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", bits[6:10]))
        if not width or not height:
            raise ImageError(_damaged(image.start))
    sides = ((side - 1).to_bytes(3, "little") for side in (width, height))
    return bytes([flags, 0, 0, 0]) + b"".join(sides)
