"""Files that containers are read from."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Protocol, cast

from ..errors import OptionError
from . import layout


class Readable(Protocol):
    """What sequential reading needs of a file object."""

    def read(self, size: int, /) -> bytes: ...


def exactly(file: Readable, size: int) -> bytes:
    """Read `size` bytes, or up to the end of the file. One read of a pipe may return fewer."""
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def path_of(source: object, method: str) -> str | None:
    """The path, if it is one, also as bytes; None for a file object, which must have `method`."""
    if isinstance(source, (str, bytes, os.PathLike)):
        path = os.fsdecode(source)
        if isinstance(source, bytes) and source.startswith(layout.MAGIC):
            raise OptionError("a path was expected, not a container's bytes: give io.BytesIO(…)")
        return path
    if not hasattr(source, method):
        raise OptionError(f"{type(source).__name__}: expected a path or a binary file")
    return None


class SeekableFile:
    """A file that is read at offsets, by several threads at once.

    Forked processes may read it at once, too, if it was given as a path.
    """

    def __init__(
        self, source: str | bytes | os.PathLike[str] | BinaryIO, name: str | None = None
    ) -> None:
        path = path_of(source, "read")
        self._own = path is not None
        if path is not None:
            self.name = name or path
            self._path: str | None = os.path.abspath(path)
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115
            self._number = self._file.fileno() if hasattr(os, "pread") else None
        else:
            self.name = name or str(getattr(source, "name", "container"))
            self._path = None
            self._file, self._number = cast(BinaryIO, source), None
            if not (hasattr(source, "seekable") and source.seekable()):
                raise OptionError(f"{self.name} cannot seek: read it by clipcodec.read_items")
        self._lock = threading.Lock()
        self.measure()

    def measure(self) -> None:
        """Set `size`, the bytes of the file by now."""
        with self._lock:
            self.size = self._file.seek(0, os.SEEK_END)

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, or fewer at the end of the file."""
        if self._number is not None:
            data = b""
            while len(data) < size and (
                part := os.pread(self._number, size - len(data), offset + len(data))
            ):
                data += part
            return data
        with self._lock:
            self._file.seek(offset)
            return exactly(self._file, size)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """Several ranges (offset, size), each as `read_at` reads it, in the order given."""
        for offset, size in ranges:
            yield self.read_at(offset, size)

    def state(self) -> tuple[int, ...] | None:
        """Equal before and after if nobody wrote the file meanwhile; None if that is unknown."""
        try:
            status = os.fstat(self._file.fileno())
        except (AttributeError, OSError):
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def grew_from(self, state: tuple[int, ...] | None) -> bool:
        """Is it the file that had this state, at most appended to since?"""
        now = self.state()
        return state is not None and now is not None and now[:2] == state[:2] and now[2] >= state[2]

    @property
    def path(self) -> str:
        """Where it can be opened again, also by another process in another directory."""
        if self._path is None:
            raise OptionError(
                f"{self.name} was opened as a file object, which cannot be opened again: to pickle "
                "the container, or give it to another process, open it by its path"
            )
        return self._path

    @property
    def own_path(self) -> str | None:
        """The same; None if it was given as a file object."""
        return self._path

    @property
    def closed(self) -> bool:
        return bool(getattr(self._file, "closed", False))

    def close(self) -> None:
        if self._own:
            self._file.close()
