"""PNG and APNG: XMP in an iTXt chunk (XMP part 3, 1.1.5)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import ImageError
from .xmp import LIMIT, check_empty, content

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEYWORD = b"XML:com.adobe.xmp"
_RAW = b"Raw profile type xmp"  # ImageMagick 6 writes XMP so, in hexadecimal


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    body: int
    stop: int  # of the body; four bytes of check value follow
    end: int


def matches(data: bytes) -> bool:
    return data.startswith(_SIGNATURE)


def packets(data: bytes) -> list[bytes]:
    """The packet of the iTXt chunk, and one in the form of ImageMagick 6 or libvips 8.14.

    Either is b"" if there is none.
    """
    first = other = b""
    empty = 0
    for chunk in _chunks(data):
        if chunk.kind in (b"iTXt", b"tEXt", b"zTXt"):
            keyword, _, rest = data[chunk.body : chunk.stop].partition(b"\0")
            if chunk.kind == b"iTXt" and keyword == _KEYWORD and not first:
                _check(data, chunk)
                first = content(_international(rest))
                empty += not first
            elif chunk.kind != b"iTXt" and keyword in (_KEYWORD, _RAW) and not other:
                _check(data, chunk)
                other = content(_inflated(rest) if chunk.kind == b"zTXt" else rest)
                other = content(_from_hexadecimal(other)) if keyword == _RAW else other
                empty += not other
            check_empty(empty)
    return [first, other]


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels; None: the file does not say them."""
    header = next(_chunks(data))
    if header.stop - header.body < 8:
        return None
    width, height = struct.unpack_from(">II", data, header.body)
    return (width, height) if width and height else None


def replace(data: bytes, packet: bytes) -> bytes:
    """The file with this packet in the old one's place, else before the first image data."""
    body = b"iTXt" + _KEYWORD + bytes(5) + packet  # not compressed; no language, no translation
    new = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    start = end = 0
    empty: _Chunk | None = None
    for chunk in _chunks(data):
        if chunk.kind == b"IDAT" and not start:
            start = end = chunk.start
        if chunk.kind == b"iTXt" and data.startswith(_KEYWORD + b"\0", chunk.body):
            if content(_international(data[chunk.body + len(_KEYWORD) + 1 : chunk.stop])):
                start, end = chunk.start, chunk.end
                break
            empty = empty or chunk
    else:
        if empty is not None:
            start, end = empty.start, empty.end
    return data[:start] + new + data[end:]


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """All chunks up to IEND. Raises ImageError if none holds image data."""
    at, kind, images = len(_SIGNATURE), b"", 0
    while kind != b"IEND":
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        chunk = _Chunk(kind, at, at + 8, at + 8 + size, at + 12 + size)
        if chunk.end > len(data) or (kind == b"IHDR") != (at == len(_SIGNATURE)):
            raise ImageError(f"damaged: no complete PNG chunk at byte {at}; save the image again")
        images += kind == b"IDAT"
        yield chunk
        at = chunk.end
    if not images:
        raise ImageError("damaged: a PNG file without image data; save the image again")


def _check(data: bytes, chunk: _Chunk) -> None:
    stored = int.from_bytes(data[chunk.stop : chunk.end], "big")
    if zlib.crc32(data[chunk.start + 4 : chunk.stop]) != stored:
        raise ImageError("damaged: the check value of its XMP is wrong; remove it with exiftool")


def _international(rest: bytes) -> bytes:
    """The text of an iTXt chunk, from the bytes after its keyword."""
    fields = rest[2:].split(b"\0", 2)  # language, translated keyword, text
    if len(rest) < 4 or len(fields) < 3 or rest[0] > 1:
        raise ImageError("damaged: its iTXt chunk is not complete; remove its XMP with exiftool")
    return _inflated(rest[1:2] + fields[2]) if rest[0] else fields[2]


def _inflated(rest: bytes) -> bytes:
    """The text of bytes that begin with a method of compression (0: zlib), the text after it."""
    decoder = zlib.decompressobj()
    try:
        text = decoder.decompress(rest[1:], LIMIT * 2 + 100)
    except zlib.error:
        text = b""
    if rest[:1] != b"\0" or not decoder.eof:
        raise ImageError("its compressed XMP is damaged or too large: remove it with exiftool")
    return text


def _from_hexadecimal(text: bytes) -> bytes:
    """The bytes of a text: a line with a name, a line with the length, then hexadecimal digits."""
    parts = text.split(maxsplit=2)
    try:
        if len(parts) == 2 or not parts:
            return b""  # no digits
        return bytes.fromhex(parts[2].decode("ascii"))
    except (IndexError, ValueError):
        raise ImageError("damaged: its XMP is not hexadecimal; remove it with exiftool") from None
