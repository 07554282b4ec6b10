"""Tar archives as sources of images: read front to back, never extracted to disk."""

from __future__ import annotations

import os
import sys
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import InputError, brief
from .entries import Entry, Wanted, id_fault, is_image, label, printable, size_fault

STDIN = "-"
_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def is_archive(name: str) -> bool:
    """Has this name the suffix of an archive, and is no directory?"""
    return name.lower().endswith(_SUFFIXES) and not os.path.isdir(name)


class _Header(tarfile.TarInfo):
    """tarfile takes a damaged header for the end of the archive; this one raises instead."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Header:
        try:
            header = super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            why = str(error)
            if why == "empty header":
                why = "it ends without its end mark: cut, or still being written"
            raise tarfile.ReadError(why) from error
        assert isinstance(header, _Header)
        return header


class Archive:
    """The images of one tar archive, which may be compressed. `STDIN` is read from `stdin`."""

    images = True
    count: int | None = None

    def __init__(self, name: str, stdin: BinaryIO | None) -> None:
        self._name, self._stdin = name, stdin
        self.label = "stdin" if name == STDIN else label(name)

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        seen = 0
        try:
            with self._open() as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                    base = member.name.rpartition("/")[2]
                    if not member.isfile() or base.startswith(".") or not is_image(base):
                        continue
                    seen += 1
                    yield from self._member(archive, member, wanted)
        except Exception as error:  # gzip, bz2, xz and tarfile raise nearly anything
            why = getattr(error, "strerror", None) or brief(error) or type(error).__name__
            message = f"{why}; {seen} images were found before that, the rest is lost"
            yield Entry(self.label, self._name, InputError(message))
            return
        if not seen:
            yield Entry(self.label, self._name, InputError("the archive holds no image files"))

    def _open(self) -> tarfile.TarFile:
        if self._name == STDIN:
            file = self._stdin or sys.stdin.buffer
            return tarfile.open(fileobj=file, mode="r|*", tarinfo=_Header)
        if os.path.isfile(self._name) and self._name.lower().endswith(".tar"):
            try:  # this mode can skip what is not wanted without reading it
                return tarfile.open(self._name, "r:", tarinfo=_Header)
            except tarfile.ReadError:
                pass  # compressed, in spite of its name
        return tarfile.open(self._name, "r|*", tarinfo=_Header)

    def _member(
        self, archive: tarfile.TarFile, member: tarfile.TarInfo, wanted: Wanted
    ) -> Iterator[Entry]:
        id = f"{self.label}/{member.name.removeprefix('./')}"
        fault = id_fault(id)
        if fault is not None:
            yield Entry(printable(id), printable(id), fault)
        elif wanted(id):
            too_large = size_fault(member.size)
            if too_large is not None:
                yield Entry(id, id, too_large)
                return
            file = archive.extractfile(member)
            assert file is not None  # it is a file
            data = file.read()
            if len(data) != member.size:
                raise tarfile.ReadError("it ends inside a member: cut")
            yield Entry(id, id, data)
