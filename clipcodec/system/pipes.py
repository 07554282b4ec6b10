"""Pipes and open files as inputs: read once, by the process that has them, up to a limit.

Another process cannot open what /dev/fd/63 names, and a pipe or a device may have no end.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import Any, BinaryIO, Protocol

from ..errors import InputError
from .files import open_number

LARGEST_IMAGE = 1 << 28  # bytes of an image file
LARGEST_ARRAY = 1 << 32  # bytes of a file of embeddings that comes through a pipe


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def is_device(name: str | bytes | os.PathLike[str]) -> bool:
    """Is it a device by its own name, such as /dev/zero? /dev/stdin is an open file, not this."""
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return False
    device = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
    return device and open_number(os.fsdecode(name)) is None


def read_at_most(file: _Readable, most: int) -> bytes:
    """All bytes up to the end of a file. Raises InputError if there are more."""
    parts, left = [], most + 1
    while left and (part := file.read(min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise InputError(
            f"more than {most} bytes come out of this pipe or device: give a file, or check that "
            "what writes into it ends"
        )
    return b"".join(parts)


def read_path(path: str | os.PathLike[str]) -> bytes:
    """All bytes of a file; of a pipe at most `LARGEST_IMAGE`.

    Raises OSError, for a device too, and InputError if a pipe has more.
    """
    if is_device(path):
        raise _device(path)
    with open(path, "rb") as file:
        return file.read() if os.path.isfile(path) else read_at_most(file, LARGEST_IMAGE)


def _device(name: str | os.PathLike[str]) -> OSError:
    return OSError(errno.EINVAL, "it is a device, expected a file or a pipe", os.fspath(name))


class Pipe(io.RawIOBase):
    """A pipe, or an open file from where it stands, of which the first bytes can be looked at.

    source  what is read, if it is open already; it stays open

    Raises OSError; for a device by its own name, too.
    """

    def __init__(self, name: str, source: Any = None) -> None:
        self.name = name  # for errors
        self._own = source is None
        self.source: Any = _opened(name) if source is None else source
        self._ahead = b""

    def first(self, count: int) -> bytes:
        while len(self._ahead) < count:
            more = self.source.read(count - len(self._ahead))
            if not more:
                break
            self._ahead += more
        return self._ahead[:count]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._ahead:
            count: int = self.source.readinto(buffer)
            return count
        part = self._ahead[: len(buffer)]
        buffer[: len(part)] = part
        self._ahead = self._ahead[len(part) :]
        return len(part)

    def close(self) -> None:
        if self._own and not self.closed:
            self.source.close()
        super().close()


def _opened(name: str) -> BinaryIO:
    if is_device(name):
        raise _device(name)
    number = open_number(name)
    return open(name, "rb", 0) if number is None else os.fdopen(os.dup(number), "rb", 0)
