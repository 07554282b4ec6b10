"""What an input of a verb is: a file, a pipe or stdin; an image, or a file of embeddings.

A pipe can be read only once. Its first bytes can be looked at before, and are not lost.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
import tempfile
from typing import Any, BinaryIO

from numpy.typing import NDArray

from .. import arrays
from ..system.files import open_number, written_directly

STDIO = "-"


class _Pipe(io.RawIOBase):
    """A pipe of which the first bytes can be looked at."""

    def __init__(self, name: str) -> None:
        self.name = "stdin" if name == STDIO else name  # for errors
        self.source: Any = sys.stdin.buffer if name == STDIO else _opened(name)
        self._own, self._ahead = name != STDIO, b""

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
    number = open_number(name)
    return open(name, "rb", 0) if number is None else os.fdopen(os.dup(number), "rb", 0)


_waiting: dict[str, _Pipe] = {}  # those that were looked at and not read yet


def _pipe(name: str) -> _Pipe:
    found = _waiting.pop(name, None)
    if found is not None and (name != STDIO or found.source is sys.stdin.buffer):
        return found
    return _Pipe(name)


def is_pipe(name: str) -> bool:
    """Is it stdin, a pipe or a device, which can be read only once?"""
    return name == STDIO or (written_directly(name) and not os.path.isfile(name))


def first_bytes(name: str, count: int) -> bytes:
    """The first bytes of an input, fewer if it is shorter. OSError if it cannot be read."""
    if not is_pipe(name):
        with open(name, "rb") as file:
            return file.read(count)
    pipe = _waiting[name] = _pipe(name)
    return pipe.first(count)


def open_input(name: str) -> BinaryIO:
    """A file, or stdin or a pipe from its first byte on, also if it was looked at."""
    if not is_pipe(name):
        return open(name, "rb")
    return io.BufferedReader(_pipe(name))


def seekable(name: str) -> str | BinaryIO:
    """The path of a file, or a file that has all bytes of stdin or a pipe."""
    if not is_pipe(name):
        return name
    with tempfile.TemporaryFile() as copy, open_input(name) as pipe:
        shutil.copyfileobj(pipe, copy)
        copy.seek(0)
        raw = io.FileIO(os.dup(copy.fileno()))
    raw.name = "stdin" if name == STDIO else name  # for errors
    return io.BufferedReader(raw)


def path_or_bytes(name: str) -> str | bytes:
    """The path of a file, or all bytes of stdin or a pipe, which can be read only once."""
    if os.path.isdir(name):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not is_pipe(name) and os.path.isfile(name):
        return name
    with open_input(name) as file:
        return file.read()


def embedding_rows(source: bytes | str, name: str | None = None) -> NDArray[Any] | None:
    """The rows (N, D) of a file of embeddings, or None if it is another: then it must be an image.

    name  of the file whose bytes these are, if it has one
    """
    if isinstance(source, bytes):
        kind = arrays.kind_of(name or "", source[: arrays.HEAD])
    else:
        kind = arrays.kind_of_file(source)
    return None if kind is None else arrays.read(source, kind)
