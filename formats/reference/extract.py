"""A reader of streams inside image files, written from inside-images.md alone.

    python formats/reference/extract.py photo.jpg …

Standard library only, and no code of the package. Prints each stream in hexadecimal.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import xml.etree.ElementTree as ElementTree
import zlib
from pathlib import Path

PREFIX = "data:application/x-clipcodec;base64,"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
RELATION = "{http://purl.org/dc/elements/1.1/}relation"
LIMIT = 1 << 22


class Rejected(Exception):
    """`kind` is the class of section 4: damaged or corrupt."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def need(holds: object) -> None:
    if not holds:
        raise Rejected("damaged")


def number(data: bytes, at: int, size: int, order: str = "big") -> int:
    need(at + size <= len(data))
    return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]


# section 3: packets


def filled(packet: bytes) -> bytes:
    """The packet, or b"" for an empty one, which counts as none."""
    return packet if len(packet) > LIMIT or packet.strip(b"\0 \t\r\n") else b""


def jpeg(data: bytes) -> list[bytes]:
    first, parts, at = b"", {}, 2
    while True:
        need(data[at : at + 1] == b"\xff")
        marker = number(data, at + 1, 1)
        if marker in (0xDA, 0xD9):
            break
        at += 1 if marker == 0xFF else 2
        if marker in (0xFF, 1) or 0xD0 <= marker <= 0xD7:
            continue
        need(marker != 0xD8)
        size = number(data, at, 2)
        need(size >= 2 and at + size <= len(data))
        name, _, rest = data[at + 2 : at + size].partition(b"\0")
        if marker == 0xE1 and name == b"http://ns.adobe.com/xap/1.0/":
            first = first or filled(rest)
        elif marker == 0xE1 and name == b"http://ns.adobe.com/xmp/extension/":
            parts.setdefault(rest[:32], {})[rest[36:40]] = rest[40:]
        at += size
    joined = {digits: b"".join(p for _, p in sorted(own.items())) for digits, own in parts.items()}
    return [first] + [
        packet
        for digits, packet in joined.items()
        if digits in first
        and len(packet) <= LIMIT
        and hashlib.md5(packet).hexdigest().upper().encode() == digits
    ]


def png(data: bytes) -> list[bytes]:
    at, kind, found, others = 8, b"", [], []
    while kind != b"IEND":
        size, kind = number(data, at, 4), data[at + 4 : at + 8]
        need(at + 12 + size <= len(data))
        keyword, _, rest = data[at + 8 : at + 8 + size].partition(b"\0")
        ours = keyword in (b"XML:com.adobe.xmp", b"Raw profile type xmp")
        if ours and kind in (b"iTXt", b"tEXt", b"zTXt"):
            need(zlib.crc32(data[at + 4 : at + 8 + size]) == number(data, at + 8 + size, 4))
            packed = kind == b"zTXt"
            if kind == b"iTXt":
                need(rest[2:].count(b"\0") >= 2)
                packed, rest = rest[0] == 1, rest[1:2] + rest[2:].split(b"\0", 2)[2]
            if packed:
                decoder = zlib.decompressobj()
                rest = decoder.decompress(rest[1:], 2 * LIMIT)
                need(decoder.eof)
            elif kind == b"iTXt":
                rest = rest[1:]
            if keyword.startswith(b"Raw"):
                words = rest.decode("ascii").split()
                need(len(words) != 1)
                rest = bytes.fromhex("".join(words[2:]))
            if filled(rest):
                (found if kind == b"iTXt" else others).append(rest)
        at += 12 + size
    return found[:1] + others[:1]


def webp(data: bytes) -> list[bytes]:
    at, end = 12, 8 + number(data, 4, 4, "little")
    need(end <= len(data))
    while at < end:
        size = number(data, at + 4, 4, "little")
        need(at + 8 + size <= end)
        packet = data[at + 8 : at + 8 + size]
        if data[at : at + 4] in (b"XMP ", b"XMP\0") and filled(packet):
            return [packet]
        at += 8 + size + size % 2
    return []


def boxes(data: bytes, at: int, end: int) -> list[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box."""
    found = []
    while at < end:
        size, kind, head = number(data, at, 4), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = number(data, at + 8, 8), 16
        size = size or len(data) - at
        need(head <= size <= end - at)
        found.append((kind, at + head, at + size))
        at += size
    return found


def heif(data: bytes) -> list[bytes]:
    metas = [box for box in boxes(data, 0, len(data)) if box[0] == b"meta"]
    need(len(metas) == 1)
    inside = {kind: (at, end) for kind, at, end in boxes(data, metas[0][1] + 4, metas[0][2])}
    need({b"pitm", b"iinf", b"iloc"} <= set(inside))
    at, _ = inside[b"pitm"]
    primary = number(data, at + 4, 4 if data[at] else 2)

    about: dict[int, list[int]] = {}
    if b"iref" in inside:
        at, end = inside[b"iref"]
        wide = 4 if data[at] else 2
        for kind, start, _ in boxes(data, at + 4, end):
            if kind == b"cdsc":
                count = number(data, start + wide, 2)
                ids = [number(data, start + wide + 2 + wide * i, wide) for i in range(count)]
                about.setdefault(number(data, start, wide), []).extend(ids)

    at, end = inside[b"iinf"]
    for _, start, stop in boxes(data, at + (8 if data[at] else 6), end):
        wide = {2: 2, 3: 4}.get(data[start], 0)
        item, start = number(data, start + 4, wide), start + 4 + wide + 2
        texts = data[start + 4 : stop].split(b"\0")
        ours = wide and data[start : start + 4] == b"mime" and texts[1] == b"application/rdf+xml"
        if ours and not any(texts[2:]) and primary in about.get(item, [primary]):
            packet = content(data, inside, item)
            if filled(packet):
                return [packet]
    return []


def content(data: bytes, inside: dict[bytes, tuple[int, int]], wanted: int) -> bytes:
    at, _ = inside[b"iloc"]
    version, sizes = data[at], number(data, at + 4, 2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    count, at = number(data, at + 6, wide), at + 6 + wide
    for _ in range(count):
        item, at = number(data, at, wide), at + wide
        method = 0
        if version:
            method, at = number(data, at, 2) & 15, at + 2
        origin, at = number(data, at + 2, base), at + 2 + base
        extents, at = number(data, at, 2), at + 2
        pieces = []
        for _ in range(extents):
            at += index if version else 0
            start, size = origin + number(data, at, offset), number(data, at + offset, length)
            at += offset + length
            if method == 1:
                start += inside[b"idat"][0]
            pieces.append((start, start + size))
        if item == wanted:
            need(method < 2)
            if all(a == b for a, b in pieces):
                return b""
            need(all(a < b <= len(data) for a, b in pieces))
            need(sum(b - a for a, b in pieces) <= LIMIT)
            return b"".join(data[a:b] for a, b in pieces)
    return b""


# section 2: streams


def streams(packet: bytes) -> list[bytes]:
    packet = packet.rstrip(b"\0")
    if not filled(packet):
        return []
    need(len(packet) <= LIMIT and b"<!DOCTYPE" not in packet)
    try:
        root = ElementTree.fromstring(packet.decode("utf-8").lstrip("\ufeff"))
    except (ElementTree.ParseError, ValueError):
        raise Rejected("damaged") from None
    found = []
    rdf = next(root.iter(f"{RDF}RDF"), None)
    need(rdf is not None)
    for array in rdf.findall(f"{RDF}Description/{RELATION}/*"):  # type: ignore[union-attr]
        items = array.findall(f"{RDF}li") if array.tag[len(RDF) :] in ("Bag", "Seq", "Alt") else []
        for item in items:
            value = (item.get(f"{RDF}resource") or item.text or "").strip(" \t\r\n")
            if value.startswith(PREFIX) and not len(item):
                found.append(unpack(value[len(PREFIX) :]))
    return found


def unpack(text: str) -> bytes:
    try:
        stream = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        stream = b""
    if not stream or base64.b64encode(stream).decode() != text:
        raise Rejected("corrupt")
    return stream


def profile(stream: bytes) -> tuple[int, bytes]:
    """What names its profile (clipcodec-1.md, section 2), or the stream itself."""
    if 0x80 <= stream[0] <= 0xE3:  # the short form
        return 7, b""
    low = stream[0] & 15
    size = {0: 5, 15: 2 + (stream[1:2] >= b"\x80")}.get(low, 1)
    if stream[0] >> 6 != 1 or stream[0] >> 4 & 3 == 3 or len(stream) < size:
        return -1, stream
    if stream[0] == 0x67:  # never written in the long form
        return -1, stream
    if size == 3 and not 0 < stream[2] < 128:
        return -1, stream
    return low, stream[1:size]


def extract(data: bytes) -> list[bytes]:
    """The streams that a file carries. Raises Rejected."""
    packets: list[bytes] = []
    if data.startswith(b"\xff\xd8\xff"):
        packets = jpeg(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        packets = png(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        packets = webp(data)
    elif data[4:8] == b"ftyp":
        packets = heif(data)
    else:
        raise Rejected("damaged")
    first: dict[tuple[int, bytes], bytes] = {}
    for packet in packets:
        for stream in streams(packet):
            first.setdefault(profile(stream), stream)
    return list(first.values())


if __name__ == "__main__":
    for name in sys.argv[1:]:
        for found in extract(Path(name).read_bytes()):
            print(found.hex())
