"""Tar archives as sources of images: read front to back, never extracted to disk.

An archive may be compressed, in several parts, and others may follow its end mark. A link is read
as the member that it names, after all others: that takes a second pass, so a file, not a pipe.
"""

from __future__ import annotations

import bz2
import lzma
import os
import posixpath
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

from ..errors import InputError, MissingDependencyError, brief
from .entries import (
    HIDDEN,
    LINK,
    Entry,
    Tally,
    Wanted,
    id_fault,
    is_image,
    label,
    no_image,
    printable,
    size_fault,
)

STDIN = "-"
_SUFFIXES = (
    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"
)  # fmt: skip
_PIECE = 1 << 16  # bytes read at a time
_MORSEL = 1 << 10  # bytes of zstd, which may become 32 MB
_MOST_LINKS = 40  # links to links, as in Linux
_MOST_ZEROS = 1 << 30  # after an archive; /dev/zero has no end
_LARGEST_HEADER = 1 << 20  # bytes; long names have some thousand, attributes at most 64 KiB each
_MOST_HEADERS = 16  # of one member
_MOST_SHARED = 1000  # attributes that hold for all members
_ABOUT_THE_NEXT = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip


class _Zstandard:
    """The decompressor of the package zstandard, as those of the standard library."""

    def __init__(self, package: Any) -> None:
        self._inner = package.ZstdDecompressor().decompressobj()
        self._waiting = b""  # not decompressed yet

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data) + self._waiting

    def decompress(self, data: bytes, size: int) -> bytes:
        """At least some bytes if there are more; it knows no limit, so it gets little at a time."""
        self._waiting += data
        parts = list[bytes]()
        while self._waiting and not self.eof and sum(map(len, parts)) < size:
            piece, self._waiting = self._waiting[:_MORSEL], self._waiting[_MORSEL:]
            parts.append(self._inner.decompress(piece))
        return b"".join(parts)


def _zstd() -> Any:
    """A decompressor of zstd. Raises MissingDependencyError: it needs Python 3.14 or a package."""
    for module in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return import_module(module).ZstdDecompressor()
    with suppress(ImportError):
        return _Zstandard(import_module("zstandard"))
    raise MissingDependencyError(
        "zstd archives need a package before Python 3.14: pip install backports.zstd, or pack the "
        "archive with gzip",
        name="backports.zstd",
    )


# how compressed data begin, and what decompresses them; each has `eof` and `unused_data`
_PACKINGS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b\x08", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
    (b"\x5d\x00\x00\x80", lzma.LZMADecompressor),
    (b"\x28\xb5\x2f\xfd", _zstd),
    *((bytes([0x50 + i]) + b"\x2a\x4d\x18", _zstd) for i in range(16)),  # frames to be skipped
)
_KINDS = {
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
}


def begins_archive(head: bytes) -> bool:
    """Are these the first bytes of a tar archive, or of compressed data?"""
    return head.startswith(b"ustar", 257) or any(head.startswith(magic) for magic, _ in _PACKINGS)


def is_archive(name: str) -> bool:
    """Has this name the suffix of an archive, and is no directory?"""
    return name.lower().endswith(_SUFFIXES) and not os.path.isdir(name)


class _Tar(tarfile.TarFile):
    headers = 0  # that are being read: those about the next member, and its own


class _Header(tarfile.TarInfo):
    """tarfile takes a damaged header for the end of the archive; this one raises instead.

    Headers about the next header (long names, attributes) are kept in memory, so they are bounded.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        assert isinstance(header, _Header)
        if header.type in _ABOUT_THE_NEXT and header.size > _LARGEST_HEADER:
            raise tarfile.ReadError(
                f"a header of {header.size} bytes for names and attributes, expected at most "
                f"{_LARGEST_HEADER}"
            )
        return header

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Header:
        assert isinstance(tarfile_, _Tar)
        tarfile_.headers += 1
        try:
            if tarfile_.headers > _MOST_HEADERS:
                raise tarfile.ReadError(f"more than {_MOST_HEADERS} headers for one member")
            header = super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            why = str(error)
            if why == "empty header":
                why = "it ends without its end mark: cut, or still being written"
            raise tarfile.ReadError(why) from error
        finally:
            tarfile_.headers -= 1
        assert isinstance(header, _Header)
        return header


class _Bytes:
    """The bytes of a file from where it stands, decompressed: as much of a file as tarfile needs.

    Compressed data may have several parts, and zeros between and after them.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ready = b""  # decompressed, and not read yet
        self._packed = file.read(_PIECE)  # not decompressed yet
        self._position = 0
        self._decompressor = self._begin()
        if self._decompressor is None:
            self._ready, self._packed = self._packed, b""
        self._skips = self._decompressor is None and _seekable(file)

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        parts = []
        while size > 0 and (self._ready or self._fill(size)):
            part, self._ready = self._ready[:size], self._ready[size:]
            parts.append(part)
            size -= len(part)
            self._position += len(part)
        return b"".join(parts)

    def seek(self, position: int) -> None:
        """Forwards only; without reading what is between, if the file can do that."""
        ahead = position - self._position
        if ahead < 0:
            raise tarfile.ReadError("a header contradicts the one before it")
        if self._skips and ahead > len(self._ready):
            self._file.seek(ahead - len(self._ready), os.SEEK_CUR)
            self._ready, self._position = b"", position
        while self._position < position and self.read(min(position - self._position, _PIECE)):
            pass

    def skip_zeros(self) -> bool:
        """Go to the next byte that is not 0. False: there is none."""
        most = self._position + _MOST_ZEROS
        while self._ready or self._fill(_PIECE):
            if self._position > most:
                raise tarfile.ReadError(f"more than {_MOST_ZEROS} zeros follow its end mark")
            rest = self._ready.lstrip(b"\0")
            self._position += len(self._ready) - len(rest)
            self._ready = rest
            if rest:
                return True
        return False

    def _fill(self, size: int) -> bool:
        """Read more, perhaps less than `size`. False: there is no more."""
        if self._decompressor is None:
            self._ready = self._file.read(size if self._skips else max(size, _PIECE))
            return bool(self._ready)
        while not self._ready:
            if self._decompressor.eof:
                rest = self._decompressor.unused_data.lstrip(b"\0")
                while not rest and (piece := self._file.read(_PIECE)):
                    rest = piece.lstrip(b"\0")
                if not rest:
                    return False
                if len(rest) < max(len(magic) for magic, _ in _PACKINGS):
                    rest += self._file.read(_PIECE)
                self._packed = rest
                self._decompressor = self._begin()
                if self._decompressor is None:
                    raise tarfile.ReadError("what follows its compressed data is not compressed")
            data, ended = self._packed, False
            if not data and getattr(self._decompressor, "needs_input", True):
                data = self._file.read(_PIECE)
                ended = not data
            self._ready = self._decompressor.decompress(data, _PIECE)
            self._packed = getattr(self._decompressor, "unconsumed_tail", b"")  # zlib's way
            if ended and not self._ready and not self._decompressor.eof:
                raise tarfile.ReadError("it ends inside compressed data: cut")
        return True

    def _begin(self) -> Any:
        """What decompresses the data that come next; None: they are not compressed."""
        for magic, new in _PACKINGS:
            if self._packed.startswith(magic):
                return new()
        return None


def _seekable(file: BinaryIO) -> bool:
    try:
        return file.seekable()
    except (AttributeError, OSError):
        return False


def _members(file: BinaryIO) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """All members of an archive, and of those that follow its end mark."""
    data = _Bytes(file)
    first = True
    while first or data.skip_zeros():
        try:  # names are bytes, and ids their text as UTF-8, whatever the locale
            archive = _Tar(
                fileobj=data,  # type: ignore[arg-type]
                tarinfo=_Header,
                encoding="utf-8",
                errors="surrogateescape",
            )
        except tarfile.ReadError as error:
            if first:
                raise
            why = "what follows its end mark is neither zeros nor another archive"
            raise tarfile.ReadError(why) from error
        with archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                shared = archive.pax_headers.values()
                if len(shared) > _MOST_SHARED or sum(map(len, shared)) > _LARGEST_HEADER:
                    raise tarfile.ReadError("too many attributes for the whole archive")
                yield archive, member
        first = False


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None  # it is a file
    data = file.read()
    if len(data) != member.size:
        raise tarfile.ReadError("it ends inside a member: cut")
    return data


class _Link(NamedTuple):
    """A link with the name of an image. file: number of the member that it stands for, if known."""

    id: str
    name: str
    target: str
    file: int | None


class _Tree:
    """What extracting would leave: of each name, the number of its member, or a symbolic link."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        self._links: dict[str, str] = {}

    def add(self, number: int, member: tarfile.TarInfo) -> int | None:
        """Note a file or a link. Returns the member that holds its data, if known by now."""
        name, target = posixpath.normpath(member.name), member.linkname
        file, link = self._files.pop(name, None), self._links.pop(name, None)
        if member.islnk():
            target = posixpath.normpath(target)
            same = target == name
            file = file if same else self._files.get(target)
            link = link if same else self._links.get(target)
        else:
            file = number if member.isfile() else None
            link = target if member.issym() else None
        if file is not None:
            self._files[name] = file
        elif link is not None:
            self._links[name] = link
        return file

    def file(self, name: str) -> int | None:
        """The member that holds the data of this name, through links of files and of folders."""
        at = [""] if name.startswith("/") else []
        todo = name.split("/")[::-1]
        links = 0
        while todo:
            part = todo.pop()
            link = self._links.get("/".join([*at, part]))
            if part in ("", "."):
                continue
            if part == ".." and at not in ([], [""]) and at[-1] != "..":
                at.pop()
            elif link is None:
                at.append(part)
            else:
                links += 1
                if links > _MOST_LINKS:
                    return None
                at = [""] if link.startswith("/") else at
                todo += link.split("/")[::-1]
        return self._files.get("/".join(at))


class Archive:
    """The images of one tar archive, which may be compressed.

    file  what to read it from, if it is open already; else it is stdin or opened by its name
    """

    images = True
    count: int | None = None

    def __init__(self, name: str, file: BinaryIO | None) -> None:
        self._name, self._file = name, file
        self._seen = 0
        self.label = "stdin" if name == STDIN else label(name)
        self.left_out = Tally()

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        self._seen, self.left_out = 0, Tally()
        try:
            with self._open() as file:
                yield from self._entries(file, wanted)
        except MissingDependencyError as error:
            yield Entry(self.label, self._name, error)
            return
        except Exception as error:
            yield self._failed(error)
            return
        if not self._seen:
            yield Entry(self.label, self._name, InputError("the archive holds no image files"))

    def _open(self) -> Any:
        if self._file is not None or self._name == STDIN:
            return nullcontext(self._file or sys.stdin.buffer)
        return open(self._name, "rb")

    def _failed(self, error: Exception) -> Entry:
        """What is wrong with the whole archive: decompressors and tarfile raise nearly anything."""
        why = getattr(error, "strerror", None) or brief(error) or type(error).__name__
        message = f"{why}; {self._seen} images were found before that, the rest is lost"
        return Entry(self.label, self._name, InputError(message))

    def _entries(self, file: BinaryIO, wanted: Wanted) -> Iterator[Entry]:
        start = file.tell() if _seekable(file) else None
        tree, links = _Tree(), list[_Link]()
        fault: Exception | None = None
        try:
            for number, (archive, member) in enumerate(_members(file)):
                # what a link names must be known, but in a pipe it cannot be found again
                data = None if start is None else tree.add(number, member)
                if not member.isdir():
                    yield from self._member(archive, member, wanted, links, data)
        except Exception as error:
            fault = error
        yield from self._linked(file, start, tree, links, wanted)
        if fault is not None:
            raise fault

    def _member(
        self,
        archive: tarfile.TarFile,
        member: tarfile.TarInfo,
        wanted: Wanted,
        links: list[_Link],
        data: int | None,
    ) -> Iterator[Entry]:
        id = f"{self.label}/{member.name.removeprefix('./')}"
        base = member.name.rpartition("/")[2]
        if base.startswith(".") or not is_image(base):
            link = member.issym() or member.islnk()
            why = HIDDEN if base.startswith(".") else LINK if link else no_image(base)
            self.left_out.add(why, printable(id))
            return
        self._seen += 1
        fault = id_fault(id)
        if fault is not None:
            yield Entry(printable(id), printable(id), fault)
        elif member.issym() or member.islnk():
            links.append(_Link(id, member.name, member.linkname, data))
        elif not member.isfile():
            kind = _KINDS.get(member.type, f"a member of type {member.type!r}")
            yield Entry(id, id, InputError(f"it is {kind}, not a file"))
        elif wanted(id):
            yield Entry(id, id, size_fault(member.size) or _read(archive, member))

    def _linked(
        self, file: BinaryIO, start: int | None, tree: _Tree, links: list[_Link], wanted: Wanted
    ) -> Iterator[Entry]:
        """The images that links stand for, in the order of the members that hold them."""
        ids: dict[int, list[str]] = {}
        for link in links:
            number = tree.file(link.name) if link.file is None else link.file
            if number is not None:
                ids.setdefault(number, []).append(link.id)
                continue
            why = "which is not a file in the archive"
            if start is None:
                why = "and a pipe cannot be read twice: give the archive as a file"
            error = InputError(f"it is a link to {printable(link.target)!r}, {why}")
            yield Entry(link.id, link.id, error)
        left = {n: taken for n in sorted(ids) if (taken := [id for id in ids[n] if wanted(id)])}
        if not left:
            return
        try:
            assert start is not None
            file.seek(start)
            for number, (archive, member) in enumerate(_members(file)):
                if number in left:
                    content = size_fault(member.size) or _read(archive, member)
                    for id in left.pop(number):
                        yield Entry(id, id, content)
                    if not left:
                        return
        except Exception as error:
            why = f"the file that it links to cannot be read: {brief(error)}"
            for id in (id for same in left.values() for id in same):
                yield Entry(id, id, InputError(why))
