"""Tar archives as sources of images: read front to back, never extracted to disk.

An archive may be compressed, in several parts, and others may follow its end mark. A link is read
as the member that it names, after all others: that takes a second pass, so a file, not a pipe.
"""

from __future__ import annotations

import os
import posixpath
import sys
import tarfile
from collections.abc import Iterator
from contextlib import nullcontext
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
from .tar import members, read_member
from .unpacking import is_packed, is_seekable

STDIN = "-"
_SUFFIXES = (
    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"
)  # fmt: skip
_MOST_LINKS = 40  # links to links, as in Linux
_KINDS = {
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
}


def begins_archive(head: bytes) -> bool:
    """Are these the first bytes of a tar archive, or of compressed data?"""
    return head.startswith(b"ustar", 257) or is_packed(head)


def is_archive(name: str) -> bool:
    """Has this name the suffix of an archive, and is no directory?"""
    return name.lower().endswith(_SUFFIXES) and not os.path.isdir(name)


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
        start = file.tell() if is_seekable(file) else None
        tree, links = _Tree(), list[_Link]()
        fault: Exception | None = None
        try:
            for number, (archive, member) in enumerate(members(file)):
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
            yield Entry(id, id, size_fault(member.size) or read_member(archive, member))

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
            for number, (archive, member) in enumerate(members(file)):
                if number in left:
                    content = size_fault(member.size) or read_member(archive, member)
                    for id in left.pop(number):
                        yield Entry(id, id, content)
                    if not left:
                        return
        except Exception as error:
            why = f"the file that it links to cannot be read: {brief(error)}"
            for id in (id for same in left.values() for id in same):
                yield Entry(id, id, InputError(why))
