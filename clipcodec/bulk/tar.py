"""The members of tar archives: read front to back, with bounded headers, damage noticed."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from .unpacking import Decompressed

_LARGEST_HEADER = 1 << 20  # bytes; long names have some thousand, attributes at most 64 KiB each
_MOST_HEADERS = 16  # of one member
_MOST_SHARED = 1000  # attributes that hold for all members
_ABOUT_THE_NEXT = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip


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


def members(file: BinaryIO) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """All members of an archive, and of those that follow its end mark.

    Raises tarfile.ReadError where it is damaged, and what a decompressor raises.
    """
    data = Decompressed(file)
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


def read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """All bytes of a member that is a file. Raises tarfile.ReadError if some are missing."""
    file = archive.extractfile(member)
    assert file is not None  # it is a file
    data = file.read()
    if len(data) != member.size:
        raise tarfile.ReadError("it ends inside a member: cut")
    return data
