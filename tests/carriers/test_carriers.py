"""Streams inside image files: found again, nothing else changed, any bytes withstood."""

from __future__ import annotations

import io
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, features
from PIL.PngImagePlugin import PngInfo

import clipcodec
from clipcodec.carriers import attach, extract, format_of, xmp
from tests.helpers.paths import TOOLS
from tests.helpers.scripts import load

ONE = bytes.fromhex("683c0432d7458602")  # profile 8
OTHER = bytes.fromhex("683c0432d745860211")  # profile 8, and longer
TWO = bytes.fromhex("b1c0ffee")  # profile 7
PRIVATE = bytes.fromhex("60aabbccdd01020304")
EXPECTED = (clipcodec.ImageError, clipcodec.CorruptError)

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:own="urn:own#" own:odd=\'a "quoted" > sign\'>\n'
    '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Ein Weg — &amp; Ziel</rdf:li></rdf:Alt>'
    "</dc:title><own:thing rdf:parseType='Resource'><own:part>1</own:part></own:thing>\n"
    f"</rdf:Description></rdf:RDF></x:xmpmeta>{' ' * 300}\n<?xpacket end='w'?>"
).encode()

PICTURE = Image.effect_mandelbrot((61, 43), (-2, -1, 1, 1), 50)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


tool = load(TOOLS / "make_inside_images.py")
by_hand = tool.by_hand


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = PICTURE.convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(PICTURE)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif() -> bytes:
    data = Image.Exif()
    data[0x010E] = "a description"
    return data.tobytes()


def png_info() -> PngInfo:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add_text("Author", "somebody")
    return info


def grey16() -> bytes:
    buffer = io.BytesIO()
    wide = np.asarray(PICTURE).astype(np.uint16) * 257
    Image.fromarray(wide).save(buffer, "PNG")
    return buffer.getvalue()


def interlaced() -> bytes:
    """1 x 1 pixel, Adam7, which Pillow does not write."""
    make = tool.chunk
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 1)
    data = zlib.compress(b"\0\x01\x02\x03")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (make(b"IHDR", header), make(b"IDAT", data), make(b"IEND", b""))
    )


FRAMES: dict[str, Any] = {
    "save_all": True,
    "append_images": [PICTURE.convert("RGB").rotate(90)],
    "duration": 90,
}
FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved("JPEG"),
    "jpeg-progressive": lambda: saved("JPEG", progressive=True, comment="words"),
    "jpeg-cmyk-icc-exif-xmp": lambda: saved("JPEG", "CMYK", icc_profile=ICC, exif=exif(), xmp=XMP),
    "jpeg-grey-exif": lambda: saved("JPEG", "L", exif=exif()),
    "jpeg-restarts": lambda: saved("JPEG", restart_marker_blocks=1),
    "jpeg-mpo": lambda: saved("MPO", **FRAMES),
    "png": lambda: saved("PNG"),
    "png-alpha-xmp": lambda: saved("PNG", "RGBA", pnginfo=png_info(), icc_profile=ICC),
    "png-palette-exif": lambda: saved("PNG", "P", exif=exif(), transparency=0),
    "png-16": grey16,
    "png-interlaced": interlaced,
    "png-apng": lambda: saved("PNG", **FRAMES),
    "webp": lambda: saved("WEBP"),
    "webp-lossless": lambda: saved("WEBP", lossless=True),
    "webp-lossless-alpha": lambda: saved("WEBP", "RGBA", lossless=True, exact=True),
    "webp-alpha": lambda: saved("WEBP", "RGBA"),
    "webp-icc-exif-xmp": lambda: saved("WEBP", icc_profile=ICC, exif=exif(), xmp=XMP),
    "webp-animated": lambda: saved("WEBP", **FRAMES),
    "avif": lambda: saved("AVIF"),
    "avif-alpha-icc-exif": lambda: saved("AVIF", "RGBA", icc_profile=ICC, exif=exif()),
    "avif-xmp": lambda: saved("AVIF", xmp=XMP),
    "avif-animated": lambda: saved("AVIF", **FRAMES),
    "heif-0": lambda: by_hand(XMP, version=0),
    "heif-1-no-xmp": lambda: by_hand(b"", version=1, base=7),
    "heif-2-movie": lambda: by_hand(XMP, version=2, wide=8, base=9, movie=True),
}
WITH_XMP = [name for name in FILES if "xmp" in name and "no-xmp" not in name]


def file(name: str) -> bytes:
    if name.startswith("avif") and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    return FILES[name]()


@pytest.fixture(params=FILES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def boxes(data: bytes, at: int, end: int) -> dict[bytes, bytes]:
    """The last box of each kind."""
    found = {}
    while at < end:
        size, kind = struct.unpack_from(">I4s", data, at)
        found[kind] = data[at + 8 : at + size]
        at += size
    return found


def coded(data: bytes) -> list[bytes]:
    """All of the file but its XMP, and what says where and how large that is."""
    if data[:2] == b"\xff\xd8":
        parts = re.split(
            rb"(?s)\xff\xe1..http://ns\.adobe\.com/xap/1\.0/\0.*?xpacket end=...\?>", data
        )
        return [re.sub(rb"(?s)MPF\0.*?\xff\xdb", b"MPF", b"".join(parts))]
    if data[:4] == b"RIFF":
        found, at = [], 12
        while at < len(data):
            kind, size = struct.unpack_from("<4sI", data, at)
            if kind not in (b"XMP ", b"VP8X"):
                found.append(data[at : at + 8 + size])
            at += 8 + size + size % 2
        return found
    if data[:4] == b"\x89PNG":
        found, at = [], 8
        while at < len(data):
            size, kind = struct.unpack_from(">I4s", data, at)
            if b"XML:com.adobe.xmp" not in data[at : at + 40]:
                found.append(data[at : at + 12 + size])
            at += 12 + size
        return found
    top, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"meta":
            inside = boxes(data, at + 12, at + size)
            top += [inside[k] for k in (b"hdlr", b"pitm", b"iprp", b"grpl", b"uuid") if k in inside]
        elif kind != b"moov" and b"<x:xmp" not in data[at : at + min(size, 100)]:
            top.append(data[at : at + size].split(b"<?xpacket")[0])
        at += size
    return top


def pixels(data: bytes) -> list[bytes]:
    """Of all frames, where Pillow reads the format."""
    if b"IMAGE" in data:  # made by hand
        return []
    with Image.open(io.BytesIO(data)) as image:
        frames = []
        for i in range(getattr(image, "n_frames", 1)):
            image.seek(i)
            frames.append(image.mode.encode() + image.tobytes())
        return frames


def test_a_stream_is_found_and_the_image_is_the_same(name: str) -> None:
    """Every frame's pixels, every coded byte, and every other piece of metadata."""
    plain = file(name)
    assert extract(plain) == []
    new = attach(plain, ONE)
    assert extract(new) == [ONE]
    assert pixels(new) == pixels(plain)
    assert coded(new) == coded(plain)
    if b"IMAGE" not in new:
        before, after = (Image.open(io.BytesIO(data)) for data in (plain, new))
        assert after.format == before.format
        assert after.size == before.size
        for key in ("icc_profile", "exif", "duration", "comment", "transparency", "Author"):
            assert after.info.get(key) == before.info.get(key)
        if name != "avif-animated":  # of which libavif reads the metadata of the tracks
            assert xmp.PREFIX.encode() in after.info["xmp"]


def test_one_stream_a_profile(name: str) -> None:
    """Another of the same profile takes its place; the same again changes no byte."""
    new = attach(file(name), ONE)
    assert attach(new, ONE) == new
    both = attach(attach(new, TWO), PRIVATE)
    assert extract(both) == [ONE, TWO, PRIVATE]
    changed = attach(both, OTHER)
    assert extract(changed) == [OTHER, TWO, PRIVATE]
    assert pixels(changed) == pixels(new)
    assert coded(changed) == coded(new)
    assert attach(attach(changed, ONE), OTHER) == changed
    assert len(attach(new, OTHER)) - len(new) <= 5  # nothing is left of what was there


@pytest.mark.parametrize("name", WITH_XMP)
def test_other_xmp_stays_byte_for_byte(name: str) -> None:
    new = attach(file(name), ONE)
    at = XMP.index(b"</rdf:Description>")
    assert XMP[:at] in new
    assert XMP[at:] in new


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("packet", [b"", XMP])
def test_all_places_in_a_heif_file_follow(version: int, packet: bytes) -> None:
    """iloc of the file and of tracks, stco and co64 point at the bytes that they pointed at."""
    plain = by_hand(packet, version=version, movie=True, base=5)
    new = attach(plain, ONE)
    for data in (plain, new):
        image = data.index(b"IMAGE")
        tables = [m.end() for m in re.finditer(b"stco", data)] + [data.index(b"co64") + 4]
        assert struct.unpack_from(">II", data, tables[0] + 8) == (image, image + 3)
        assert struct.unpack_from(">Q", data, tables[1] + 8) == (image + 1,)
        for match in re.finditer(b"iloc", data):
            entry = match.end() + (10 if version < 2 else 14) + (4 if version else 2)
            origin, count, first, size, second, rest = struct.unpack_from(">IHIIII", data, entry)
            assert (count, size, rest) == (2, 2, 3)
            assert (origin + first, origin + second) == (image, image + 2)


def test_an_old_packet_stays_where_others_have_places_in_it() -> None:
    """Such files are no encoder's, but whatever they show must stay the same."""
    new = attach(by_hand(b"", movie=True), ONE)
    inside = new.rindex(b"mdat") + 50
    for field in (new.index(b"iloc") + 20, new.index(b"stco") + 12):
        spoilt = new[:field] + struct.pack(">I", inside) + new[field + 4 :]
        changed = attach(spoilt, OTHER)
        (place,) = struct.unpack_from(">I", changed, field)
        assert changed[place:].startswith(new[inside:])
        assert extract(changed) == [OTHER]
    field = new.index(b"iloc") + 24  # a length, of an extent that begins before
    length = len(new) - new.index(b"IMAGE")
    changed = attach(new[:field] + struct.pack(">I", length) + new[field + 4 :], OTHER)
    assert new[new.index(b"IMAGE") :][:length] == changed[changed.index(b"IMAGE") :][:length]


def test_the_new_item_has_a_number_of_its_own() -> None:
    """1 is the image's, 2 that of a group of images."""
    assert b"infe\2\0\0\0\0\3\0\0mime" in attach(by_hand(b""), ONE)


def test_a_simple_webp_file_says_what_is_in_it() -> None:
    """Flags of VP8X, as libwebp's own muxer sets them: XMP, and alpha where the image has it."""
    flags = {"webp": 0x04, "webp-lossless": 0x04, "webp-lossless-alpha": 0x14}
    assert {name: attach(file(name), ONE)[20] for name in flags} == flags


def test_a_box_to_the_end_of_the_file_gets_a_size() -> None:
    data = saved("AVIF") if features.check("avif") else by_hand(b"")
    at = data.rindex(b"mdat") - 4
    new = attach(data[:at] + bytes(4) + data[at + 4 :], ONE)
    assert new == attach(data, ONE)


def test_offsets_that_are_not_followed_are_refused() -> None:
    data = by_hand(b"") + tool.box(b"moof")
    with pytest.raises(clipcodec.ImageError, match="fragments"):
        attach(data, ONE)
    assert extract(data) == []


def test_the_places_of_further_pictures_follow() -> None:
    """MPF: the first image's size, the offset of the others, wherever the XMP is."""
    plain = file("jpeg-mpo")
    late = plain.index(b"\xff\xdb")  # behind the index
    segment = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    behind = (
        plain[:late] + struct.pack(">BBH", 255, 0xE1, 2 + len(segment)) + segment + plain[late:]
    )
    for data, edited in ((plain, False), (behind, True)):
        new = attach(data, ONE)
        grown = len(new) - len(data)
        assert grown > 0
        base = new.index(b"MPF\0") + 4
        old_base = data.index(b"MPF\0") + 4
        assert (new[base : base + 4], base > old_base) == (b"II*\0", not edited)
        entries = data[old_base:].index(struct.pack("<HHI", 0xB002, 7, 32))
        (at,) = struct.unpack_from("<I", data, old_base + entries + 8)
        sizes = [
            struct.unpack_from("<I", d, b + at + 4)[0] for d, b in ((data, old_base), (new, base))
        ]
        assert sizes[1] - sizes[0] == grown
        second = [
            struct.unpack_from("<I", d, b + at + 24)[0] for d, b in ((data, old_base), (new, base))
        ]
        assert second[1] - second[0] == (grown if edited else 0)
    assert pixels(attach(plain, ONE)) == pixels(plain)


# packets


RDF = '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"%s'
DC = 'xmlns:d="http://purl.org/dc/elements/1.1/"'


@pytest.mark.parametrize(
    "packet",
    [
        RDF % "/>",
        RDF % "></r:RDF>",
        RDF % "><r:Description/></r:RDF>",
        RDF % '><r:Description r:about="x > y" a=\'"/>\' /></r:RDF>',
        RDF % f"><r:Description {DC}><d:relation/></r:Description></r:RDF>",
        RDF % f"><r:Description {DC}><d:relation><r:Bag/></d:relation></r:Description></r:RDF>",
        RDF
        % f"><r:Description {DC}><d:relation><r:Seq></r:Seq></d:relation></r:Description></r:RDF>",
        RDF
        % f"><r:Description/><r:Description {DC}><d:relation><r:Bag><r:li>http://a</r:li></r:Bag>"
        "</d:relation></r:Description></r:RDF>",
        '<RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><Description '
        'xmlns:q="http://purl.org/dc/elements/1.1/"><q:relation><Bag><li resource="urn:x"/></Bag>'
        "</q:relation></Description></RDF>",
        f"<?xml version='1.0' encoding='latin-1'?><!-- ü --><a>{RDF % '/>'}</a>\n<!-- end -->\0\0",
    ],
)
def test_packets_of_all_shapes(packet: str) -> None:
    """A stream goes in, another beside it, and a third in the place of the first."""
    data = packet.encode()
    assert xmp.streams(data) == []
    for stream, found in ((ONE, [ONE]), (TWO, [ONE, TWO]), (OTHER, [OTHER, TWO])):
        data = xmp.attach(data, stream)
        assert xmp.streams(data) == found
    assert len(re.findall(rb":relation[ >]", data)) == 2  # one element
    if "http://a" in packet:
        assert b"http://a</r:li>" in data


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (f"<!DOCTYPE a [<!ENTITY b 'c'>]>{RDF % '/>'}", "document type"),
        ("<a/>", "no rdf:RDF"),
        ("words", "not valid XML"),
        (RDF % "><b></r:RDF>", "not valid XML"),
        (RDF % ">&b;</r:RDF>", "not valid XML"),
        (RDF % "/>" + "\0\0x", "not valid XML"),
        ("<a>" * 201, "deep"),
        (RDF % f"><r:Description {DC}><d:relation><r:Bag>{'<r:li/>' * 10_001}", "above 10000"),
        (" " * ((1 << 22) + 1), "above 4194304 bytes"),
    ],
    ids=str.split,
)
def test_packets_that_are_refused(packet: str, message: str) -> None:
    """On reading as on writing, with a remedy."""
    for read in (xmp.streams, lambda data: xmp.attach(data, ONE)):
        with pytest.raises(clipcodec.ImageError, match=message) as raised:
            read(packet.encode())
        assert "exiftool" in str(raised.value)


@pytest.mark.parametrize(
    "relation",
    [
        f"<r:Description {DC}><d:relation>words</d:relation></r:Description>",
        f"<r:Description {DC}><d:relation r:resource='urn:x'/></r:Description>",
        f"<r:Description {DC}><d:relation><d:x/></d:relation></r:Description>",
        f"<r:Description {DC} d:relation='words'/>",
    ],
)
def test_a_relation_that_is_no_array_is_not_overwritten(relation: str) -> None:
    packet = (RDF % f">{relation}</r:RDF>").encode()
    assert xmp.streams(packet) == []
    with pytest.raises(clipcodec.ImageError, match="not an array"):
        xmp.attach(packet, ONE)


def test_a_damaged_stream_is_told_and_gives_way() -> None:
    new = attach(saved("PNG"), ONE)
    body = new[new.index(b"iTXt") : new.index(b'end="w"?>') + 9]
    spoilt = body.replace(b"aDwE", b"a*wE")
    bad = new.replace(body + struct.pack(">I", zlib.crc32(body)),
                      spoilt + struct.pack(">I", zlib.crc32(spoilt)))  # fmt: skip
    with pytest.raises(clipcodec.CorruptError, match="attach the stream again"):
        extract(bad)
    assert attach(bad, ONE) == new


def test_of_several_of_one_profile_one_is_left() -> None:
    items = "".join(f"<r:li>{xmp.PREFIX}{text}</r:li>" for text in ("aAA=", "aQAA", "aAE=", "?"))
    before = RDF % f"><r:Description {DC}><d:relation><r:Bag>{items}<r:li>other</r:li>"
    after = "</r:Bag></d:relation></r:Description></r:RDF>"
    packet = xmp.attach((before + after).encode(), ONE)
    assert xmp.streams(packet) == [ONE, bytes.fromhex("690000")]
    assert packet.count(b"<r:li>") == 3


def test_padding_makes_room_in_a_jpeg_segment_and_more_is_refused() -> None:
    def with_filling(count: int) -> bytes:
        return saved("JPEG", xmp=XMP.replace(b"Ein Weg", b"x" * count))

    room = 65502 - len(XMP) + len("Ein Weg")
    new = attach(with_filling(room), ONE)  # 300 bytes of its padding go
    assert extract(new) == [ONE]
    assert pixels(new) == pixels(saved("JPEG"))
    tight = saved("JPEG", xmp=XMP.replace(b" " * 300, b"").replace(b"Ein Weg", b"x" * (room + 300)))
    with pytest.raises(clipcodec.ImageError, match="65502: remove some"):
        attach(tight, ONE)
    assert extract(attach(saved("PNG"), bytes([0x68]) + bytes(90_000))) != []
    for plain in (saved("PNG"), saved("PNG", pnginfo=png_info())):
        with pytest.raises(clipcodec.ImageError, match="would have, above 4194304 bytes"):
            attach(plain, bytes([0x68]) + bytes(1 << 22))


# hostile files


@pytest.mark.parametrize("name", ["jpeg-cmyk-icc-exif-xmp", "png-alpha-xmp", "webp-icc-exif-xmp",
                                  "avif-xmp", "heif-2-movie", "jpeg-mpo"])  # fmt: skip
def test_files_cut_anywhere_give_typed_errors(name: str) -> None:
    data = attach(file(name), ONE)
    step = 1 if len(data) < 4000 else 3  # in odd steps all remainders are met
    for end in (*range(0, len(data), step), *range(len(data) - 50, len(data))):
        for work in (extract, lambda cut: attach(cut, TWO)):
            with suppress(*EXPECTED):
                work(data[:end])


@given(st.sampled_from(sorted(set(FILES) - {"avif-animated"})), st.data())
@settings(max_examples=400)
def test_damaged_files_give_typed_errors(name: str, draw: st.DataObject) -> None:
    if name not in _attached:
        _attached[name] = attach(file(name), ONE)
    data = bytearray(_attached[name])
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(data) - 1))
        size = draw.draw(st.sampled_from([1, 2, 4]))
        value = draw.draw(st.sampled_from([0, 1, 255, 254, 127]) | st.integers(0, 255))
        data[at : at + size] = bytes([value]) * len(data[at : at + size])
    for work in (extract, lambda cut: attach(cut, TWO)):
        with suppress(*EXPECTED):
            work(bytes(data))


_attached: dict[str, bytes] = {}


@given(
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"\0\0\0\x08ftyp"]
    ),
    st.binary(max_size=80),
)
@example(b"RIFF\x04\0\0\0WEBP", b"")
@example(b"\xff\xd8\xff", b"\xd9")
@settings(max_examples=200)
def test_any_bytes_give_streams_or_typed_errors(start: bytes, rest: bytes) -> None:
    try:
        extract(start + rest)
    except EXPECTED as error:
        assert "<bytes: " in str(error)  # noqa: PT017  which input


@given(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40))
def test_any_two_streams_that_have_headers(first: bytes, second: bytes) -> None:
    first, second = (bytes([0x61 + (s[0] & 1)]) + s for s in (first, second))
    packet = xmp.attach(xmp.attach(b"", first), second)
    assert xmp.streams(packet) == ([second] if first[0] == second[0] else [first, second])


def test_a_bomb_in_a_png_is_refused() -> None:
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(80_000_000))
    data = interlaced().replace(tool.chunk(b"IEND", b""), tool.chunk(b"iTXt", body))
    with pytest.raises(clipcodec.ImageError, match="too large"):
        extract(data + tool.chunk(b"IEND", b""))


def test_what_is_no_stream_is_not_attached() -> None:
    for bad in (b"", b"\xff\xd8\xff"):
        with pytest.raises(clipcodec.DecodeError):
            attach(saved("PNG"), bad)


def test_what_carries_no_stream_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(saved("GIF"))
    with pytest.raises(clipcodec.ImageError, match=r"a\.gif.*expected JPEG, PNG, WebP, AVIF"):
        extract(tmp_path / "a.gif")
    with pytest.raises(clipcodec.ImageFileError, match=r"none\.jpg"):
        attach(tmp_path / "none.jpg", ONE)
    assert format_of(saved("GIF")) is None
    assert [format_of(file(name)[:12]) for name in ("jpeg", "png", "webp", "heif-0")] == [
        "JPEG", "PNG", "WebP", "AVIF or HEIF"
    ]  # fmt: skip


def test_paths_and_buffers_are_files(tmp_path: Path) -> None:
    data = saved("PNG")
    (tmp_path / "a.png").write_bytes(data)
    expected = attach(data, ONE)
    stream: Any = bytearray(ONE)
    for image in (tmp_path / "a.png", str(tmp_path / "a.png"), bytearray(data), memoryview(data)):
        assert attach(image, stream) == expected
    assert (tmp_path / "a.png").read_bytes() == data


def test_nothing_but_the_standard_library_is_imported() -> None:
    code = (
        "import sys, clipcodec.carriers as c\n"
        "print({'numpy', 'PIL', 'torch', 'constriction'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_is_no_file_or_stream_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(file("png"))
    for wrong in (b"a.png", bytes(path), bytearray(b"a.png")):
        with pytest.raises(clipcodec.ImageError, match=r"give a path as str, os\.fsdecode"):
            extract(wrong)
    for strange in (None, 5, io.BytesIO(file("png")), PICTURE):
        with pytest.raises(clipcodec.ImageError, match="is not an image file: give its path, or"):
            extract(strange)  # type: ignore[arg-type]
    with pytest.raises(clipcodec.ImageFileError, match="cannot be read: embedded null"):
        extract("a\0.png")
    for no_stream in ("aDwEMtdFhgI=", 5, None):
        with pytest.raises(clipcodec.DecodeError, match="expected the bytes of a stream, got"):
            attach(path, no_stream)  # type: ignore[arg-type]


# places that hold no packet


def emptied(kind: str, *packets: bytes) -> bytes:
    """A file with these packets, each in a place of its own, in the way of the format."""
    data = file(kind)
    if kind == "webp":
        new = b"".join(b"XMP " + struct.pack("<I", len(p)) + p + bytes(len(p) % 2) for p in packets)
        return data[:4] + struct.pack("<I", len(data) - 8 + len(new)) + data[8:] + new
    if kind == "jpeg":
        head, at = b"http://ns.adobe.com/xap/1.0/\0", data.index(b"\xff\xdb")
        new = b"".join(struct.pack(">HH", 0xFFE1, 31 + len(p)) + head + p for p in packets)
    else:
        make, at = tool.chunk, data.index(b"IDAT") - 4
        new = b"".join(make(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + p) for p in packets)
    return data[:at] + new + data[at:]


EMPTY = (b"", b"\0", bytes(40), b" \t\r\n" * 9, b"  \n\0\0")


@pytest.mark.parametrize("blank", EMPTY)
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_an_empty_packet_is_none(kind: str, blank: bytes) -> None:
    """The new one takes its place: the file is as one that never had an empty packet there."""
    plain = emptied(kind, blank)
    assert extract(plain) == []
    new = attach(plain, ONE)
    assert new == emptied(kind, xmp.attach(b"", ONE)) or kind == "webp"  # that one gets a VP8X
    assert new.count(xmp.attach(b"", ONE)) == 1
    assert (extract(new), pixels(new)) == ([ONE], pixels(plain))


@pytest.mark.parametrize("blank", EMPTY)
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_the_packet_after_an_empty_one_counts(kind: str, blank: bytes) -> None:
    """Both to a reader and to a writer; a third one does not, as before."""
    packets = [xmp.attach(b"", ONE), xmp.attach(b"", PRIVATE)]
    plain = emptied(kind, blank, blank, *packets)
    assert extract(plain) == [ONE]
    assert attach(plain, ONE) == plain
    new = attach(attach(plain, OTHER), TWO)
    assert extract(new) == [OTHER, TWO]
    assert packets[1] in new


def test_many_empty_packets_are_refused() -> None:
    """Each of a few bytes may be inflated to millions, or be millions that all items share."""
    make, data = tool.chunk, file("png")
    at = data.index(b"IDAT") - 4
    packed = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(1 << 20))
    for count in (16, 17):
        many = data[:at] + make(b"iTXt", packed) * count + data[at:]
        if count == 16:
            assert extract(attach(many, ONE)) == [ONE]
            continue
        for read in (extract, lambda data: attach(data, ONE)):
            with pytest.raises(clipcodec.ImageError, match="more than 16 empty packets"):
                read(many)


@pytest.mark.parametrize("blank", EMPTY)
def test_a_raw_profile_of_nothing_is_none(blank: bytes) -> None:
    make, data = tool.chunk, file("png")
    at = data.index(b"IDAT") - 4
    digits = b"\nxmp\n%8d\n%s\n" % (len(blank), blank.hex().encode())
    raw, packed = b"Raw profile type xmp\0", b"XML:com.adobe.xmp\0\0" + zlib.compress(blank)
    for new in (make(b"tEXt", raw + digits), make(b"tEXt", raw), make(b"zTXt", packed)):
        plain = data[:at] + new + data[at:]
        assert extract(plain) == []
        assert extract(attach(plain, ONE)) == [ONE]


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("movie", [False, True])
def test_a_heif_item_of_length_0_is_none(version: int, movie: bool) -> None:
    """In the file and in idat, in two extents; the item takes the new packet."""
    data = by_hand(XMP, version=version, movie=movie)
    start, cut = 0 if version else data.index(XMP), len(XMP) // 2
    old = struct.pack(">IIII", start, cut, start + cut, len(XMP) - cut)
    plain = data.replace(old, struct.pack(">IIII", start, 0, start + cut, 0))
    assert data.count(old) == 1 + 2 * movie
    assert extract(plain) == []
    new = attach(plain, ONE)
    assert extract(attach(new, TWO)) == [ONE, TWO]
    assert new.count(b"application/rdf+xml") == 1
    half = data.replace(old, struct.pack(">IIII", start, cut, start + cut, 0))
    for read in (extract, lambda data: attach(data, ONE)):
        with pytest.raises(clipcodec.ImageError, match="XMP item is damaged"):  # to the end?
            read(half)


def test_the_heif_item_after_an_empty_one_counts() -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = attach(file("avif"), TWO)
    place = struct.pack(">I", len(xmp.attach(b"", TWO)))
    at = data.index(place, 0, data.index(b"mdat"))
    stripped = data[:at] + bytes(4) + data[at + 4 :]  # the bytes stay behind
    assert extract(stripped) == []
    cdsc = stripped.index(b"cdsc")
    other = stripped[: cdsc + 9] + b"\x09" + stripped[cdsc + 10 :]  # so that a second one is made
    both = attach(other, ONE)
    at = both.index(b"cdsc")
    both = both[: at + 9] + b"\1" + both[at + 10 :]
    assert both.count(b"application/rdf+xml") == 2
    assert extract(both) == [ONE]
    assert extract(attach(both, OTHER)) == [OTHER]
    assert pixels(attach(both, OTHER)) == pixels(data)


# tools that copy metadata


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a.jpg … with a stream, b.jpg … without metadata."""
    for kind, suffix in SUFFIXES.items():
        if kind == "AVIF" and not features.check("avif"):
            continue
        (tmp_path / f"b.{suffix}").write_bytes(saved(kind))
        (tmp_path / f"a.{suffix}").write_bytes(attach(saved(kind), ONE))
    return tmp_path


needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="no exiftool here")


def old_exiftool() -> bool:
    """WebP is written from 12.46 on."""
    return tuple(map(int, run("exiftool", "-ver").stdout.split("."))) < (12, 46)


@needs_exiftool
@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_exiftool_reads_it_and_finds_nothing_wrong(folder: Path, suffix: str) -> None:
    path = folder / f"a.{suffix}"
    if not path.exists():
        pytest.skip("this Pillow has no AVIF")
    done = run("exiftool", "-b", "-XMP-dc:Relation", path)
    assert done.stdout.strip() == xmp.PREFIX + "aDwEMtdFhgI="
    done = run("exiftool", "-validate", "-warning", "-error", "-a", path)
    assert done.stdout.split(":")[1].strip() == "OK"


@needs_exiftool
@pytest.mark.parametrize("option", ["", "-all:all", "-xmp", "-XMP-dc:relation"])
@pytest.mark.parametrize("source", SUFFIXES.values())
def test_exiftool_copies_it(folder: Path, source: str, option: str) -> None:
    """From each format to each other, by its usual commands."""
    if old_exiftool():
        pytest.skip("this exiftool writes no WebP")
    if not (folder / f"a.{source}").exists():
        pytest.skip("this Pillow has no AVIF")
    for target in folder.glob("b.*"):
        plain = target.read_bytes()
        options = [option] if option else []
        run("exiftool", "-overwrite_original", "-TagsFromFile", folder / f"a.{source}", *options,
            target)  # fmt: skip
        assert extract(target) == [ONE], target.name
        assert pixels(target.read_bytes()) == pixels(plain)


@needs_exiftool
@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_exiftool_and_clipcodec_edit_after_each_other(folder: Path, suffix: str) -> None:
    path = folder / f"a.{suffix}"
    if not path.exists() or old_exiftool():
        pytest.skip("this Pillow has no AVIF, or this exiftool writes no WebP")
    run(
        "exiftool",
        "-overwrite_original",
        "-XMP-dc:Title=x",
        "-Artist=y",
        "-XMP-dc:Relation+=z",
        path,
    )
    assert extract(path) == [ONE]
    path.write_bytes(attach(attach(path, OTHER), TWO))
    assert extract(path) == [OTHER, TWO]
    found = run("exiftool", "-XMP-dc:Title", "-Artist", "-XMP-dc:Relation", "-s3", path).stdout
    assert found.split()[:2] == ["x", "y"]
    assert "z" in found.splitlines()[2].split(", ")
    assert run("exiftool", "-validate", "-s3", path).stdout.strip() == "OK"


@needs_exiftool
@pytest.mark.parametrize("option", ["-all=", "-xmp:all=", "-XMP-dc:relation="])
@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_what_exiftool_has_stripped_takes_a_stream_again(
    folder: Path, suffix: str, option: str
) -> None:
    path = folder / f"a.{suffix}"
    if not path.exists() or old_exiftool():
        pytest.skip("this Pillow has no AVIF, or this exiftool writes no WebP")
    size = 0
    for _ in range(3):
        assert run("exiftool", "-overwrite_original", option, path).returncode == 0
        assert extract(path) == []
        path.write_bytes(attach(path, TWO))
        assert extract(path) == [TWO]
        assert run("exiftool", "-validate", "-s3", path).stdout.strip() == "OK"
        assert not size or path.stat().st_size <= size  # nothing is heaped up
        size = path.stat().st_size


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_pillow_copies_it_when_told(source: str, target: str) -> None:
    if "AVIF" in (source, target) and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    with Image.open(io.BytesIO(attach(saved(source), ONE))) as image:
        packet = image.info["xmp"]
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        buffer = io.BytesIO()
        image.save(buffer, target, **({"pnginfo": info} if target == "PNG" else {"xmp": packet}))
    assert extract(buffer.getvalue()) == [ONE]


@pytest.mark.skipif(shutil.which("vips") is None, reason="no libvips here")
@pytest.mark.parametrize("source", ["jpg", "png", "webp"])
def test_libvips_copies_it(folder: Path, source: str) -> None:
    for suffix in ("jpg", "png", "webp"):
        assert run("vips", "copy", folder / f"a.{source}", folder / f"c.{suffix}").returncode == 0
        assert extract(folder / f"c.{suffix}") == [ONE], suffix


def test_imagemagick_copies_it_from_jpeg(folder: Path) -> None:
    command = shutil.which("magick") or shutil.which("convert")
    if command is None or "ImageMagick" not in run(command, "-version").stdout:
        pytest.skip("no ImageMagick here")
    for suffix in ("jpg", "png", "webp"):
        done = run(command, folder / "a.jpg", "-resize", "50%", folder / f"c.{suffix}")
        assert done.returncode == 0, done.stderr
        assert extract(folder / f"c.{suffix}") == [ONE], suffix


@pytest.mark.skipif(shutil.which("heif-enc") is None, reason="no libheif here")
def test_heic_of_libheif(folder: Path) -> None:
    """It takes the stream over from a JPEG, and reads what is attached."""
    path = folder / "c.heic"
    done = run("heif-enc", folder / "a.jpg", "-o", path)
    if done.returncode or not path.exists():
        pytest.skip("this libheif has no encoder of HEVC")
    assert extract(path) == [ONE]
    decoded = []
    for stream in (None, OTHER, TWO):
        if stream is not None:
            path.write_bytes(attach(path, stream))
        assert run("heif-convert", path, folder / "d.png").returncode == 0
        decoded.append(pixels((folder / "d.png").read_bytes()))
    assert decoded[0] == decoded[1] == decoded[2]
    assert extract(path) == [OTHER, TWO]
