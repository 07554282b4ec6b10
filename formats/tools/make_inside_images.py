"""Write the scenarios of formats/vectors/inside-images that are not there yet, one file each.

    python formats/tools/make_inside_images.py

Run by hand when a scenario is added, never by a test. Files that exist are never touched. Needs
Pillow with WebP and AVIF.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from clipcodec.carriers import attach, extract, heif, jpeg, png, webp, xmp

FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "inside-images"
ONE = bytes.fromhex("683c0432d7458602")  # the example of rotation.md
TWO = bytes.fromhex("b1c0ffee")  # names profile 7; no more than that matters here
LATER = bytes.fromhex("3fc0ffee")  # of a later format version

ITEM = xmp.PREFIX + "%s"
PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-'
    'ns#"><r:Description r:about="" xmlns:d="http://purl.org/dc/elements/1.1/">%s'
    "</r:Description></r:RDF></x:xmpmeta>"
)
RELATION = "<d:relation><r:Seq>%s</r:Seq></d:relation>"
GOOD = f"<r:li>{xmp.PREFIX}aDwEMtdFhgI=</r:li>"


def picture(kind: str) -> bytes:
    """A file of 2 x 2 pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (200, 90, 40)).save(buffer, kind)
    return buffer.getvalue()


def write(name: str, comment: str, file: bytes, expect: str = "accept") -> None:
    """Write a new vector with the streams that the package finds: look at them then."""
    path = FOLDER / f"{name}.json"
    if path.exists():
        return
    content: dict[str, object] = {"comment": comment, "expect": expect, "file": file.hex()}
    if expect == "accept":
        content["streams"] = [stream.hex() for stream in extract(file)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    print(path.name, content.get("streams", expect))


def everywhere() -> None:
    formats: dict[str, Callable[[bytes, bytes], bytes]] = {
        "JPEG": jpeg.replace, "PNG": png.replace, "WEBP": webp.replace, "AVIF": heif.replace,
    }  # fmt: skip
    for kind, replace in formats.items():
        name, plain = kind.lower(), picture(kind)
        write(f"{name}-none", f"{kind} without metadata", plain)
        write(f"{name}-one", f"{kind} with one stream", attach(plain, ONE))
        write(
            f"{name}-two", f"{kind} with streams of two profiles", attach(attach(plain, ONE), TWO)
        )
        other = (PACKET % "<d:title>no</d:title>").encode()
        write(f"{name}-other", f"{kind} with other XMP", replace(plain, other))


def packets() -> None:
    plain = picture("PNG")

    def say(name: str, comment: str, properties: str, expect: str = "accept") -> None:
        packet = (PACKET % properties).encode()
        write(f"packet-{name}", comment, png.replace(plain, packet), expect)

    later = GOOD.replace("aDwEMtdFhgI=", "P8D/7g==")
    same = GOOD.replace("aDwEMtdFhgI=", "aAA=")
    others = "<r:li>https://example.org</r:li><r:li>data:text/plain;base64,!</r:li>"
    say("among-others", "values of others are passed over", RELATION % (others + GOOD + others))
    say("later", "a stream of a later format version is found", RELATION % (later + GOOD))
    say("same-profile", "the first of two of one profile counts", RELATION % (GOOD + same))
    short, other, long = (GOOD.replace("aDwEMtdFhgI=", s) for s in ("sQA=", "gAA=", "ZzIA"))
    say("short", "short forms of two qualities are of one profile", RELATION % (short + other))
    say("long", "a long form of what has a short one is of no profile", RELATION % (short + long))
    say("two-relations", "every dc:relation is read", RELATION % GOOD + RELATION % later)
    say(
        "space",
        "white space around a value does not count",
        RELATION % GOOD.replace("data", " \n\tdata"),
    )
    say("resource", "the value as rdf:resource", RELATION % f'<r:li r:resource="{ITEM % "aAA="}"/>')
    say("reference", "a character reference", RELATION % GOOD.replace("data", "&#100;ata"))
    say("comment", "a comment in a value", RELATION % GOOD.replace("data", "da<!-- -->ta"))
    say("nested", "an item with elements has no value",
        RELATION % f"<r:li><r:value>x</r:value>{ITEM % 'aAA='}</r:li>")  # fmt: skip
    say("no-array", "not in an array", f"<d:relation>{ITEM % 'aAA='}</d:relation>")
    say("elsewhere", "in another property", f"<d:source><r:Bag>{GOOD}</r:Bag></d:source>")
    say("case", "the first 36 characters in another case", RELATION % GOOD.replace("data", "Data"))
    for name, text in (
        ("empty", ""), ("padding", "aDwEMtdFhgI"), ("unused-bits", "aDwEMtdFhgJ="),
        ("line-break", "aDwE\nMtdFhgI="), ("alphabet", "aDwEMtdFhg-_"),
    ):  # fmt: skip
        item = f"<r:li>{ITEM % text}</r:li>"
        say(f"base64-{name}", f"base64, wrong: {name}", RELATION % item, "corrupt")
    say("unclosed", "XML that is not well-formed", "<d:title>", "damaged")
    say("entity", "an entity that nobody declared", "<d:title>&a;</d:title>", "damaged")

    def whole(name: str, comment: str, packet: bytes, expect: str = "damaged") -> None:
        write(f"packet-{name}", comment, png.replace(plain, packet), expect)

    good = PACKET % (RELATION % GOOD)
    whole("doctype", "a document type declaration", f"<!DOCTYPE x>{good}".encode())
    whole("no-rdf", "no rdf:RDF", b"<x/>")
    whole("utf-16", "UTF-16", good.encode("utf-16"))
    whole("latin-1", "not UTF-8", good.replace("</x", "<!-- \xe9 --></x").encode("latin-1"))
    whole("zeros", "bytes 0 behind the packet", good.encode() + bytes(3), "accept")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def places() -> None:
    good = (PACKET % (RELATION % GOOD)).encode()
    plain = picture("PNG")
    at = plain.index(b"IDAT") - 4

    def in_png(name: str, comment: str, new: bytes, expect: str = "accept") -> None:
        write(f"png-{name}", comment, plain[:at] + new + plain[at:], expect)

    keyword = b"XML:com.adobe.xmp\0"
    digits = b"\nxmp\n%8d\n%s\n" % (len(good), good.hex().encode())
    raw = b"Raw profile type xmp\0"
    packed = keyword + b"\1\0en\0\0" + zlib.compress(good)
    in_png("compressed", "iTXt, compressed, with a language", chunk(b"iTXt", packed))
    in_png("raw", "as ImageMagick 6 writes it", chunk(b"zTXt", raw + b"\0" + zlib.compress(digits)))
    in_png("raw-plain", "the same in tEXt", chunk(b"tEXt", raw + digits))
    in_png("ztxt", "the packet in zTXt", chunk(b"zTXt", keyword + b"\0" + zlib.compress(good)))
    in_png("crc", "a wrong CRC", chunk(b"iTXt", packed)[:-1] + b"x", "damaged")
    in_png("cut", "compressed data that end early", chunk(b"iTXt", packed[:-9]), "damaged")

    empty = (PACKET % "").encode()
    long = good.replace(b"</x:", b" " * 900 + b"</x:")
    digest = hashlib.md5(long).hexdigest().upper().encode()
    named = empty.replace(b' r:about=""', b' r:about="" d:guid="%s"' % digest)

    def segment(body: bytes) -> bytes:
        return struct.pack(">HH", 0xFFE1, 2 + len(body)) + body

    def extended(digest: bytes, pieces: dict[int, bytes]) -> bytes:
        head = b"http://ns.adobe.com/xmp/extension/\0" + digest + struct.pack(">I", len(long))
        file = jpeg.replace(picture("JPEG"), named)
        segments = [segment(head + struct.pack(">I", at) + p) for at, p in pieces.items()]
        at = file.index(b"\xff\xdb")
        return file[:at] + b"".join(segments) + file[at:]

    pieces = {600: long[600:], 0: long[:600]}
    write("jpeg-extended", "extended XMP, its pieces out of order", extended(digest, pieces))
    pieces.pop(0)
    write("jpeg-extended-half", "extended XMP, a piece is missing", extended(digest, pieces))

    simple = webp.replace(picture("WEBP"), good)
    write("webp-zero", "as ImageMagick 6 writes it", simple.replace(b"XMP ", b"XMP\0"))
    file = heif.replace(picture("AVIF"), good)
    cdsc = file.index(b"cdsc")
    other = file[: cdsc + 9] + b"\x09" + file[cdsc + 10 :]
    write("avif-of-another", "XMP that describes another item", other)
    free = file[:cdsc] + b"free" + file[cdsc + 4 :]
    write("avif-of-none", "XMP that describes no item", free)
    write("avif-cut", "the packet ends behind the file", file[:-20], "damaged")


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, version: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24), *parts)


def by_hand(
    packet: bytes, *, version: int = 1, wide: int = 4, base: int = 0, movie: bool = False
) -> bytes:
    """A HEIF file as no encoder at hand writes it; its "image" is IMAGE.

    The packet, unless it is empty, is in two extents: with iloc version 0 in the file, else in the
    box idat. Offsets have `wide` bytes and, for the image, an origin of `base`. A movie has offsets
    of its own, in stco, co64 and a track's iloc.
    """
    cut = len(packet) // 2
    ids = struct.Struct(">H" if version < 2 else ">I")

    def number(value: int, size: int = wide) -> bytes:
        return value.to_bytes(size, "big")

    def entry(item: int, method: int, *extents: tuple[int, int], origin: int = 0) -> bytes:
        how = struct.pack(">H", method) if version else b""
        places = [number(start - origin) + number(size) for start, size in extents]
        head = ids.pack(item) + how + b"\0\0" + number(origin, 4 if base else 0)
        return head + struct.pack(">H", len(places)) + b"".join(places)

    def infe(item: int, kind: bytes, more: bytes = b"\0") -> bytes:
        return full(b"infe", 2, struct.pack(">HH", item, 0), kind, more)

    def file(data: int, text: int) -> bytes:
        """With the image at `data`, and the packet at `text` if it is not in idat."""
        start, method = (text, 0) if version == 0 else (0, 1)
        items = [entry(1, 0, (data, 2), (data + 2, 3), origin=min(base, data))]
        named = [infe(1, b"hvc1")]
        if packet:
            items.append(entry(4, method, (start, cut), (start + cut, len(packet) - cut)))
            named.append(infe(4, b"mime", b"xmp\0application/rdf+xml\0"))
        sizes = bytes([wide << 4 | wide, (4 if base else 0) << 4])
        iloc = full(b"iloc", version, sizes, ids.pack(len(items)), *items)
        meta = full(
            b"meta", 0,
            full(b"hdlr", 0, bytes(4), b"pict", bytes(13)), full(b"pitm", 0, b"\0\1"),
            box(b"uuid", bytes(16)), iloc, box(b"uuid", bytes(range(16))),
            full(b"iinf", 0, struct.pack(">H", len(named)), *named),
            box(b"idat", packet if version else b"nothing"),
            box(b"grpl", full(b"altr", 0, struct.pack(">III", 2, 1, 1))),
        )  # fmt: skip
        tables = [
            full(b"stco", 0, struct.pack(">III", 2, data, data + 3)),
            full(b"co64", 0, struct.pack(">IQ", 1, data + 1)),
        ]
        tracks = [
            box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", table))), full(b"meta", 0, iloc))
            for table in tables
        ]
        moov = box(b"moov", *tracks) if movie else b""
        content = b"IMAGE" + (packet if version == 0 else b"")
        return box(b"ftyp", b"mif1", bytes(4), b"mif1") + meta + moov + box(b"mdat", content)

    at = file(0, 0).index(b"IMAGE")
    return file(at, at + 5)


def empties() -> None:
    """Places whose packet has been removed, and those with another one behind an empty one."""
    good = (PACKET % (RELATION % GOOD)).encode()

    def twice(name: str, comment: str, make: Callable[[bytes], bytes], blank: bytes) -> None:
        """A file with the empty packet, and with a whole one behind it."""
        plain = make(b"")
        assert plain == picture(name.upper())
        write(f"{name}-empty", f"{comment} without a packet", make(blank))
        write(f"{name}-empty-first", f"an empty one before a whole one: {comment}",
              make(blank + make_of[name](good)))  # fmt: skip

    head = b"http://ns.adobe.com/xap/1.0/\0"
    keyword = b"XML:com.adobe.xmp" + bytes(5)
    make_of: dict[str, Callable[[bytes], bytes]] = {
        "jpeg": lambda p: struct.pack(">HH", 0xFFE1, 2 + len(head + p)) + head + p,
        "png": lambda p: chunk(b"iTXt", keyword + p),
        "webp": lambda p: b"XMP " + struct.pack("<I", len(p)) + p + bytes(len(p) % 2),
    }

    def into(kind: str, before: bytes) -> Callable[[bytes], bytes]:
        plain = picture(kind)
        at = plain.index(before) if before else len(plain)
        return lambda new: plain[:at] + new + plain[at:]

    def riff(new: bytes) -> bytes:
        file = picture("WEBP") + new
        return file[:4] + struct.pack("<I", len(file) - 8) + file[8:]

    twice("jpeg", "an APP1 segment", into("JPEG", b"\xff\xdb"), make_of["jpeg"](b""))
    png_at = picture("PNG")[picture("PNG").index(b"IDAT") - 4 :][:8]
    twice("png", "an iTXt chunk", into("PNG", png_at), make_of["png"](b""))
    twice("webp", "an XMP chunk", riff, make_of["webp"](b""))
    raw = chunk(b"tEXt", b"Raw profile type xmp\0\nxmp\n       0\n")
    write("png-raw-empty", "no digits", into("PNG", png_at)(raw))
    for name, blank in (("spaces", b" \t\r\n" * 9), ("only-zeros", bytes(40))):
        write(f"packet-{name}", "white space or zeros only", png.replace(picture("PNG"), blank))
    for version in (0, 1, 2):
        where = "the box idat" if version else "the file"
        file = by_hand(good, version=version)
        start, cut = 0 if version else file.index(good), len(good) // 2
        old = struct.pack(">IIII", start, cut, start + cut, len(good) - cut)
        assert file.count(old) == 1
        file = file.replace(old, struct.pack(">IIII", start, 0, start + cut, 0))
        write(f"heif-iloc-{version}-empty", f"both extents have the length 0, in {where}", file)
    file = heif.replace(picture("AVIF"), good)
    at = file.index(struct.pack(">I", len(good)), 0, file.index(b"mdat"))
    file = file[:at] + bytes(4) + file[at + 4 : file.rindex(b"mdat") - 4] + b"\0\0\0\x08mdat"
    write("avif-empty", "as exiftool leaves it: an item of length 0", file)


def heifs() -> None:
    good = (PACKET % (RELATION % GOOD)).encode()
    for version in (0, 1, 2):
        where = "the box idat" if version else "the file"
        comment = f"iloc version {version}, the packet in two extents in {where}"
        write(f"heif-iloc-{version}", comment, by_hand(good, version=version))


if __name__ == "__main__":
    everywhere()
    packets()
    places()
    heifs()
    empties()
