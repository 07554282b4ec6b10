"""The id of an item → the bytes of its picture, never of anything outside one folder."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

_LARGEST = 256 << 20  # bytes of a picture's file


@dataclass(frozen=True)
class Picture:
    """The file of a picture, read whole.

    data  its bytes
    key   changes when the file does: SHA-256 of its path, time and size, in hexadecimal
    """

    data: bytes
    key: str


class Pictures:
    """The pictures under one folder, by the ids of a container's items.

    An id is text from outside. It is taken for a path relative to the folder, and leads to a file
    only if that, with all links followed, is a regular file inside the folder. `None` as the
    folder: there are no pictures.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder).resolve(strict=True)

    def find(self, id: str | None) -> Path | None:
        """The file of an item, with all links followed; None if it has none in the folder.

        Ids of a run over several folders begin with the folder's name: without it they are tried
        too.
        """
        if self.folder is None or not id:
            return None
        names = [id]
        first, _, rest = id.partition("/")
        if first == self.folder.name and rest:
            names.append(rest)
        for name in names:
            path = self._inside(name)
            if path is not None:
                return path
        return None

    def _inside(self, name: str) -> Path | None:
        assert self.folder is not None
        try:
            path = (self.folder / name).resolve(strict=True)
            inside = path.is_relative_to(self.folder)
            return path if inside and stat.S_ISREG(path.stat().st_mode) else None
        except (OSError, ValueError, RuntimeError):  # a NUL, a name too long, links in a circle
            return None

    def key(self, id: str | None) -> str | None:
        """The key that `read` gives, without reading the file; None if there is none."""
        path = self.find(id)
        try:
            return None if path is None else _key(path, path.stat())
        except OSError:
            return None

    def read(self, id: str | None) -> Picture | None:
        """The picture of an item; None if it has none, or none of at most 256 MiB."""
        path = self.find(id)
        if path is None:
            return None
        # What was found may have been replaced since: no link is followed, no pipe waited for.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            number = os.open(path, flags | getattr(os, "O_BINARY", 0))
            with os.fdopen(number, "rb") as file:
                state = os.fstat(number)
                if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST:
                    return None
                return Picture(file.read(_LARGEST), _key(path, state))
        except OSError:
            return None


def _key(path: Path, state: os.stat_result) -> str:
    named = os.fsencode(path) + f"\0{state.st_mtime_ns}\0{state.st_size}".encode()
    return hashlib.sha256(named).hexdigest()
