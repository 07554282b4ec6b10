"""clipcodec.bulk.archives: no member is lost, whatever the archive is made of."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from clipcodec.bulk.entries import HIDDEN, LINK, NO_IMAGE, Entry, Tally
from clipcodec.bulk.sources import find
from clipcodec.errors import ClipcodecError, MissingDependencyError

A, B, C = (bytes([i]) * 700 for i in (1, 2, 3))  # what members hold; nothing is decoded here
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
ZSTD = ("compression.zstd", "backports.zstd", "zstandard")  # in the order they are tried


def module(name: str) -> Any:
    """None: it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


for own in filter(None, map(module, ZSTD[:2])):  # Python 3.14, or the same for older ones
    checked = {own.CompressionParameter.checksum_flag: 1}
    PACK["zst"] = partial(own.compress, options=checked)


def tar(*members: tuple[str, object], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive. A member is bytes, "-> target", "= target" (hard link), or a type."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            data = b""
            if isinstance(content, str):
                arrow, info.linkname = content.split()
                info.type = tarfile.SYMTYPE if arrow == "->" else tarfile.LNKTYPE
            elif content in (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, b"M"):
                assert isinstance(content, bytes)
                info.type = content
            else:
                assert isinstance(content, bytes)
                data, info.size = content, len(content)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def read(data: bytes, *, pipe: bool = False) -> tuple[list[Entry], Tally]:
    """The entries of an archive on stdin, and what is left out. pipe: it cannot seek."""
    file: Any = io.BytesIO(data)
    if pipe:
        file.seekable = lambda: False
        file.seek = None
    (source,), _ = find(["-"], stdin=file)
    return list(source.entries(lambda id: True)), source.left_out


def good(found: list[Entry]) -> dict[str, object]:
    """Contents by name."""
    return {
        entry.id.removeprefix("stdin/"): entry.content
        for entry in found
        if not isinstance(entry.content, ClipcodecError)
    }


def faults(found: list[Entry]) -> dict[str, str]:
    return {e.id: str(e.content) for e in found if isinstance(e.content, ClipcodecError)}


# --- links ---


def test_links_are_the_images_that_they_name() -> None:
    members = [
        ("d/early.png", "-> ../a.png"),
        ("a.png", A),
        ("blobs/17", B),
        ("hard.png", "= a.png"),
        ("soft.png", "-> blobs/17"),
        ("chain.png", "-> ./soft.png"),
        ("to-hard.png", "-> hard.png"),
        ("hard-to-soft.png", "= soft.png"),
        ("latest", "-> d"),
        ("d/b.png", C),
        ("through.png", "-> latest/b.png"),
        ("up.png", "-> latest/../a.png"),
    ]
    found, left_out = read(tar(*members))
    want = {
        "a.png": A, "d/b.png": C, "d/early.png": A, "hard.png": A, "soft.png": B, "chain.png": B,
        "to-hard.png": A, "hard-to-soft.png": B, "through.png": C, "up.png": A,
    }  # fmt: skip
    assert faults(found) == {}
    assert good(found) == want
    assert len(found) == len(want)
    assert [(o.why, o.names) for o in left_out.found()] == [
        (NO_IMAGE, ["stdin/blobs/17"]),
        (LINK, ["stdin/latest"]),
    ]


@pytest.mark.parametrize("pack", PACK)
def test_links_in_compressed_archives(tmp_path: Path, pack: str) -> None:
    path = tmp_path / f"s.tar.{pack}"
    path.write_bytes(PACK[pack](tar(("a.png", A), ("h.png", "= a.png"), ("s.png", "-> a.png"))))
    (source,), _ = find([str(path)])
    found = list(source.entries(lambda id: True))
    assert [(e.id.rpartition("/")[2], e.content) for e in found] == [
        ("a.png", A), ("h.png", A), ("s.png", A)
    ]  # fmt: skip


def test_a_hard_link_is_the_file_before_it_and_a_symbolic_one_the_last() -> None:
    """As if the archive were extracted."""
    members = [("x", A), ("h.png", "= x"), ("x", B), ("i.png", "= x"), ("x", C), ("s.png", "-> x")]
    assert good(read(tar(*members))[0]) == {"h.png": A, "i.png": B, "s.png": C}


def test_links_that_name_no_file_of_the_archive_are_failures() -> None:
    members = [
        ("a.png", A),
        ("none.png", "-> gone.png"),
        ("out.png", "-> /etc/a.png"),
        ("above.png", "-> ../a.png"),
        ("self.png", "-> self.png"),
        ("x.png", "-> y.png"),
        ("y.png", "-> x.png"),
        ("hard.png", "= later.png"),
        ("later.png", B),
    ]
    found, _ = read(tar(*members))
    wrong = faults(found)
    assert good(found) == {"a.png": A, "later.png": B}
    assert sorted(wrong) == [
        f"stdin/{name}.png" for name in ("above", "hard", "none", "out", "self", "x", "y")
    ]
    assert wrong["stdin/none.png"] == (
        "it is a link to 'gone.png', which is not a file in the archive"
    )


def test_links_in_a_pipe_are_failures_with_a_remedy() -> None:
    data = tar(("a.png", A), ("h.png", "= a.png"), ("s.png", "-> a.png"), ("b.png", B))
    found, _ = read(data, pipe=True)
    assert good(found) == {"a.png": A, "b.png": B}
    assert sorted(faults(found)) == ["stdin/h.png", "stdin/s.png"]
    assert all("give the archive as a file" in why for why in faults(found).values())


def test_only_links_that_are_wanted_are_read() -> None:
    data = tar(("a.png", A), ("h.png", "= a.png"), ("s.png", "-> a.png"))
    (source,), _ = find(["-"], stdin=io.BytesIO(data))
    asked: list[str] = []

    def wanted(id: str) -> bool:
        asked.append(id)
        return id == "stdin/s.png"

    assert [(e.id, e.content) for e in source.entries(wanted)] == [("stdin/s.png", A)]
    assert asked == ["stdin/a.png", "stdin/h.png", "stdin/s.png"]


def test_links_of_a_cut_archive_to_what_is_whole_are_read() -> None:
    data = tar(("a.png", A), ("h.png", "= a.png"), ("b.png", B), ("i.png", "= b.png"))
    found, _ = read(data[: 512 + 1024 + 512 + 512 + 300])
    assert good(found) == {"a.png": A, "h.png": A}
    assert list(faults(found)) == ["stdin"]


# --- parts ---


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("pack", PACK)
def test_every_part_of_compressed_data_is_read(pack: str, pipe: bool) -> None:
    """As pbzip2, bgzip, pixz and cat write them: cut anywhere."""
    data = tar(("a.png", A), ("b.png", B), ("c.png", C))
    for step in (1, 300, 512, 1000, 4096):
        parts = [data[i : i + step] for i in range(0, len(data), step)]
        if step == 1:
            parts = [data[:1], b"", data[1:]]
        found, _ = read(b"".join(map(PACK[pack], parts)), pipe=pipe)
        assert [e.content for e in found] == [A, B, C]


def test_parts_may_differ_and_have_zeros_between_and_after_them() -> None:
    data = tar(("a.png", A), ("b.png", B))
    parts = [gzip.compress(data[:700]), bz2.compress(data[700:1500]), lzma.compress(data[1500:])]
    assert [e.content for e in read(b"".join(part + bytes(8) for part in parts))[0]] == [A, B]
    padded = PACK["xz"](tar(("a.png", A))) + bytes(70_000) + PACK["xz"](tar(("b.png", B)))
    assert [e.content for e in read(padded)[0]] == [A, B]


@pytest.mark.parametrize("pack", PACK)
def test_a_part_that_is_damaged_cut_or_none_is_told(pack: str) -> None:
    data = tar(("a.png", A), ("b.png", B))
    first, second = PACK[pack](data[:2048]), PACK[pack](data[2048:])
    spoiled = bytearray(second)
    spoiled[-5] ^= 1  # in the check sum
    for end in (
        second[:-3],
        second[: len(second) // 2],
        bytes(spoiled),
        b"rubbish" * 9,
        second[2:],
    ):
        found, _ = read(first + end)
        assert good(found)["a.png"] == A
        assert list(faults(found)) == ["stdin"], end
    whole, _ = read(first + second + b"rubbish")
    assert good(whole) == {"a.png": A, "b.png": B}
    assert "not compressed" in faults(whole)["stdin"]


def test_a_compressed_part_of_gigabytes_is_read_in_pieces() -> None:
    """Much comes out of one piece of input, also at the end of the file."""
    data = tar(("a.txt", bytes(3_000_000)), ("a.png", A))
    for pack in PACK.values():
        assert [e.content for e in read(pack(data))[0]] == [A]


# --- zstd, which Python has from 3.14 on ---

_EMPTY_FRAME = bytes.fromhex("28b52ffd 2000 010000")
_SKIPPED = bytes.fromhex("502a4d18 04000000") + b"\0\1\2\3"


def stored(data: bytes) -> bytes:
    """A zstd frame of blocks that are not compressed (RFC 8878, 3.1.1), made by hand."""
    frame = bytes.fromhex("28b52ffd 80 58") + len(data).to_bytes(4, "little")  # a window of 2 MB
    pieces = [data[i : i + 100_000] for i in range(0, len(data), 100_000)]
    for i, piece in enumerate(pieces):
        head = len(piece) << 3 | (i == len(pieces) - 1)
        frame += head.to_bytes(3, "little") + piece
    return frame


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes one package for zstd the only one that can be imported."""

    def use(name: str) -> None:
        for other in ZSTD:
            if other != name:
                monkeypatch.setitem(sys.modules, other, None)

    return use


@pytest.mark.parametrize("name", ZSTD)
@pytest.mark.parametrize("pipe", [False, True])
def test_zstd_is_read_with_each_package(only: Callable[[str], None], name: str, pipe: bool) -> None:
    """Frames in a row, one to be skipped, an empty one, another packing after them."""
    if module(name) is None:
        pytest.skip(f"no {name}")
    only(name)
    data = tar(("a.png", A), ("b.txt", bytes(300_000)), ("c.png", C))
    packed = _SKIPPED + stored(data[:1000]) + _EMPTY_FRAME + stored(data[1000:200_000])
    packed += gzip.compress(data[200_000:])
    found, _ = read(packed, pipe=pipe)
    assert [e.content for e in found] == [A, C]
    cut, _ = read(_SKIPPED + stored(data)[:-5000], pipe=pipe)
    assert good(cut)["a.png"] == A
    assert "cut" in faults(cut)["stdin"]


def test_without_a_package_for_zstd_the_archive_names_it(
    only: Callable[[str], None], tmp_path: Path
) -> None:
    only("none of them")
    for name in ("s.tar.zst", "s.tzst", "s.tar"):
        path = tmp_path / name
        path.write_bytes(stored(tar(("a.png", A))))
        (source,), _ = find([str(path)])
        (entry,) = source.entries(lambda id: True)
        assert isinstance(entry.content, MissingDependencyError)
        assert "pip install backports.zstd" in str(entry.content)


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("pack", ["", *PACK])
def test_archives_after_the_end_mark_are_read(pack: str, pipe: bool) -> None:
    """`cat a.tar b.tar`."""
    packed = PACK.get(pack, bytes)
    parts = [tar(("a.png", A)), tar(("b.png", B), ("h.png", "= a.png")), tar(("c.png", C))]
    data = packed(parts[0]) + packed(parts[1] + bytes(100)) + packed(parts[2])
    found, _ = read(data, pipe=pipe)
    want: dict[str, object] = {"a.png": A, "b.png": B, "c.png": C}
    assert good(found) == (want if pipe else {**want, "h.png": A})
    assert list(faults(found)) == (["stdin/h.png"] if pipe else [])


def test_headers_for_a_whole_archive_do_not_hold_for_the_next() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers={"path": "all.png"}) as archive:
        info = tarfile.TarInfo("a.png")
        info.size = len(A)
        archive.addfile(info, io.BytesIO(A))
    found, _ = read(buffer.getvalue() + tar(("b.png", B)))
    assert [e.content for e in found] == [A, B]
    assert found[1].id == "stdin/b.png"


def test_what_follows_the_end_mark_and_is_no_archive_is_told() -> None:
    whole = tar(("a.png", A))
    second = bytearray(tar(("b.png", B)))
    second[3] ^= 1
    for end in (b"x", b"rubbish" * 200, bytes(second), second[:100]):
        found, _ = read(whole + end)
        assert good(found) == {"a.png": A}
        assert "neither zeros nor another archive" in faults(found)["stdin"]
    assert faults(read(whole + bytes(12345))[0]) == {}


# --- names and kinds ---


def test_members_that_are_not_taken_are_counted_and_named() -> None:
    found, left_out = read(
        tar(
            ("a.png", A), (".b.png", B), ("d", tarfile.DIRTYPE), ("d/._a.png", b""), ("a.json", b"")
        )
    )
    assert good(found) == {"a.png": A}
    assert [(o.why, o.count, o.names) for o in left_out.found()] == [
        (HIDDEN, 2, ["stdin/.b.png", "stdin/d/._a.png"]),
        (NO_IMAGE, 1, ["stdin/a.json"]),
    ]


def test_images_by_name_that_are_no_files_are_failures() -> None:
    found, _ = read(
        tar(("a.png", A), ("p.png", tarfile.FIFOTYPE), ("c.png", tarfile.CHRTYPE), ("m.png", b"M"))
    )
    assert good(found) == {"a.png": A}
    assert faults(found) == {
        "stdin/p.png": "it is a named pipe, not a file",
        "stdin/c.png": "it is a device, not a file",
        "stdin/m.png": "it is a member of type b'M', not a file",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_an_archive_may_be_a_named_pipe(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    os.mkfifo(path)
    data = tar(("a.png", A), ("b.png", B))
    thread = threading.Thread(target=path.write_bytes, args=(data,))
    thread.start()
    (source,), _ = find([str(path)])
    assert [e.content for e in source.entries(lambda id: True)] == [A, B]
    thread.join()


# --- sizes that headers claim ---


def header(kind: bytes, size: int) -> bytes:
    """A header alone, whose data are not there or follow."""
    info = tarfile.TarInfo("h")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [b"x", b"g", b"X", b"L", b"K"])
def test_a_header_of_names_or_attributes_is_bounded(kind: bytes) -> None:
    """None of it is read: the file has an end, but a pipe, or compressed zeros, may have none."""
    first = tar(("a.png", A))[: 512 + 1024]
    for size in ((1 << 20) + 1, 1 << 40):
        endless = first + header(kind, size) + bytes(1 << 16)
        found, _ = read(endless)
        assert good(found) == {"a.png": A}
        assert f"a header of {size} bytes" in faults(found)["stdin"]
        assert "expected at most 1048576" in faults(found)["stdin"]


def test_names_and_attributes_of_usual_size_are_read() -> None:
    """A name of 4,000 bytes in each format, and attributes of 900,000 bytes."""
    name = "d/" * 1995 + "a.png"
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        assert good(read(tar((name, A), form=form))[0]) == {name: A}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("a.png")
        info.size, info.pax_headers = len(A), {"SCHILY.xattr.user.note": "n" * 900_000}
        archive.addfile(info, io.BytesIO(A))
    assert good(read(buffer.getvalue())[0]) == {"a.png": A}


def test_headers_upon_headers_are_bounded() -> None:
    """Of one member; and attributes for all members, header after header."""
    first = tar(("a.png", A))[: 512 + 1024]
    attribute = b"9 g=abcd\n".ljust(512, b"\0")
    found, _ = read(first + (header(b"g", 9) + attribute) * 2000 + first)
    assert good(found) == {"a.png": A}
    assert "more than 16 headers for one member" in faults(found)["stdin"]

    def shared(i: int) -> bytes:
        line = b"100012 g%d=" % (1000 + i)
        data = line.ljust(100_011, b"v") + b"\n"
        return header(b"g", len(data)) + data.ljust(-(-len(data) // 512) * 512, b"\0")

    found, _ = read(b"".join(shared(i) + first for i in range(20)))
    assert len([e for e in found if e.content == A]) == 10
    assert "too many attributes" in faults(found)["stdin"]
