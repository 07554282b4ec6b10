"""Images that lie in files: in folders, in lists of paths, or one that comes through a pipe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import arrays
from ..errors import ClipcodecError, ImageFileError, InputError
from ..system.pipes import LARGEST_IMAGE, Pipe, read_at_most
from .archives import is_archive
from .entries import (
    HIDDEN,
    IN_ITSELF,
    OTHER_INPUT,
    Entry,
    Tally,
    Wanted,
    id_fault,
    is_image,
    kind_fault,
    no_image,
    posix,
    printable,
    shown,
    text_of,
)

Listed = tuple[str, "str | ClipcodecError"]  # id, and path or what is wrong


class _Line(str):
    """The path in a line of a list, of which it is not known yet what it is."""


class Files:
    def __init__(self) -> None:
        self._files: list[Listed] = []
        self.left_out = Tally()

    @property
    def images(self) -> bool:
        """Without a file to read no backbone is needed, not even to say what is wrong."""
        return any(not isinstance(content, ClipcodecError) for _, content in self._files)

    def extend(self, files: list[Listed], left_out: Tally) -> None:
        self._files += files
        self.left_out.update(left_out)

    @property
    def count(self) -> int | None:
        return len(self._files)

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        for i, (id, content) in enumerate(self._files):
            if isinstance(content, ClipcodecError):
                yield Entry(printable(id), printable(id), content)
            elif (fault := id_fault(id)) is not None:
                yield Entry(printable(id), shown(content), fault)
            elif wanted(id):
                checked: str | ClipcodecError = content
                if isinstance(content, _Line):
                    checked = kind_fault(content) or str(content)
                    self._files[i] = id, checked
                yield Entry(id, shown(content), checked)


class Stream:
    """One image that comes through a pipe."""

    images = True
    count: int | None = None  # to know it, it would have to be read

    def __init__(self, name: str, pipe: Pipe) -> None:
        self._name, self._pipe = name, pipe
        self.left_out = Tally()

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        id, name = posix(self._name), shown(self._name)
        fault = id_fault(id)
        if fault is not None:
            yield Entry(printable(id), name, fault)
        elif wanted(id):
            try:
                with self._pipe:
                    content: bytes | ClipcodecError = read_at_most(self._pipe, LARGEST_IMAGE)
            except InputError as error:
                content = error
            except OSError as error:
                content = ImageFileError(f"cannot be read: {error.strerror}")
            yield Entry(id, name, content)


def directory(top: str, start: str) -> tuple[list[Listed], Tally]:
    found: list[Listed] = []
    left_out = Tally()
    _walk(top, start, found, left_out, frozenset())
    if not found:
        found.append(failed(top, f"{shown(top)!r} holds no image files"))
    return sorted(found, key=lambda pair: pair[0]), left_out


def _walk(
    folder: str, start: str, found: list[Listed], left_out: Tally, above: frozenset[Any]
) -> None:
    """Append the images of a folder and those below it. above: the folders that it lies in."""
    try:
        status = os.stat(folder)
        key = (status.st_dev, status.st_ino)
        if key in above:  # it would never end
            left_out.add(IN_ITSELF, printable(start))
            return
        with os.scandir(folder) as scan:
            items = sorted(scan, key=lambda item: item.name)
    except OSError as error:
        found.append(failed(folder, f"{shown(folder)!r} cannot be read: {error.strerror}"))
        return
    for item in items:
        id = start + text_of(item.name)
        if item.name.startswith("."):
            left_out.add(HIDDEN, printable(id))
        elif is_folder(item):
            _walk(item.path, f"{id}/", found, left_out, above | {key})
        elif is_image(item.name):
            found.append((id, (None if _is_file(item) else kind_fault(item.path)) or item.path))
        elif arrays.suffix_of(item.name) not in (None, ".csv") or is_archive(item.path):
            left_out.add(OTHER_INPUT, printable(id))
        else:
            left_out.add(no_image(item.name), printable(id))


def is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_file()
    except OSError:
        return False


def listed_in(name: str) -> list[Listed]:
    try:
        paths = _paths(Path(name).read_bytes())
    except OSError as error:
        return [failed(name, f"{shown(name)!r} cannot be read: {error.strerror}")]
    except UnicodeError:
        why = "is text in damaged UTF-16, or without its mark: save it as UTF-8"
        return [failed(name, f"{shown(name)!r} {why}")]
    folder = os.path.dirname(name)
    found: list[Listed] = [
        (posix(path), _Line(os.path.join(folder, path))) for path in map(os.fsdecode, paths)
    ]
    return found or [failed(name, f"{shown(name)!r} names no images: expected one path per line")]


def _paths(data: bytes) -> list[bytes]:
    """The paths in a list: one per line, or, as `find -print0` writes them, each ended by NUL.

    Raises UnicodeError for text in UTF-16 that is damaged or has no byte order mark.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16").encode()  # as Windows programs write
        if b"\0" in data:
            raise UnicodeError
    if b"\0" not in data:
        lines = (line.strip() for line in data.removeprefix(b"\xef\xbb\xbf").splitlines())
        return [line for line in lines if line and not line.startswith(b"#")]
    paths = data.split(b"\0")
    if sum(len(path) <= 1 for path in paths) > len(paths) // 2 + 1:  # each second byte is NUL
        raise UnicodeError
    return [path for path in paths if path]


def absent(name: str) -> ImageFileError | None:
    """What is wrong with an input that is not there; None: it is."""
    if os.path.lexists(name):
        return None
    return ImageFileError("there is no such file or folder: check the path")


def failed(name: str, why: str) -> Listed:
    return text_of(name), ImageFileError(why)
