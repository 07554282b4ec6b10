"""Files that containers are read from."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Protocol, cast

from ..errors import OptionError
from ..system.remote import RemoteFile, joined
from ..system.stores import Location, is_url, local_path, place_of, replaced
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
    """The path, if it is one, also as bytes; None for a file object, which must have `method`.

    A URL of a local file, file://…, is a path, too.
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        path = os.fsdecode(source)
        if isinstance(source, bytes) and source.startswith(layout.MAGIC):
            raise OptionError("a path was expected, not a container's bytes: give io.BytesIO(…)")
        return (local_path(path) if is_url(path) else None) or path
    if not hasattr(source, method):
        raise OptionError(f"{type(source).__name__}: expected a path or a binary file, or a URL")
    return None


class SeekableFile:
    """A file that is read at offsets, by several threads at once.

    Forked processes may read it at once, too, if it was given as a path or a URL.

    source  a path; a URL of an object store, fsspec's OpenFile, or a `RemoteFile`; or a binary file
            that can seek. Open files of fsspec and of pyarrow.fs are read by ranges, past their own
            position
    remote  whether it is read by requests, which cost time each: see `read_many`

    Raises OSError, for an object store as `system.stores.fail`; OptionError: it cannot seek.
    """

    def __init__(
        self,
        source: str | bytes | os.PathLike[str] | BinaryIO | Location | RemoteFile,
        name: str | None = None,
    ) -> None:
        self._path: str | None = None
        self._file: BinaryIO | RemoteFile
        self._number: int | None = None
        self._lock = threading.Lock()
        self._remote = _remote(source)
        self._own = True
        if self._remote is not None:
            self._file, self.name = self._remote, name or self._remote.name
            self._own = Location.of(source) is not None
            self.size = self._remote.size
            return
        path = path_of(source, "read")
        if path is not None:
            self.name = name or path
            self._path = os.path.abspath(path)
            self._file = open(path, "rb")  # noqa: SIM115
            self._number = self._file.fileno() if hasattr(os, "pread") else None
        else:
            self.name = name or str(getattr(source, "name", "container"))
            self._file, self._own = cast(BinaryIO, source), False
            if not (hasattr(source, "seekable") and source.seekable()):
                raise OptionError(f"{self.name} cannot seek: read it by clipcodec.read_items")
        self.measure()

    @property
    def remote(self) -> bool:
        return self._remote is not None

    def measure(self) -> None:
        """Set `size`, the bytes of the file by now. An object of a store keeps its size."""
        if isinstance(self._file, RemoteFile):
            return
        with self._lock:
            self.size = self._file.seek(0, os.SEEK_END)

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, or fewer at the end of the file."""
        if isinstance(self._file, RemoteFile):
            return self._file.read_at(offset, size)
        number = self._number
        if number is not None:
            data = b""
            while len(data) < size and (
                part := os.pread(number, size - len(data), offset + len(data))
            ):
                data += part
            return data
        with self._lock:
            self._file.seek(offset)
            return exactly(self._file, size)

    def read_many(self, ranges: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """The bytes of each range (offset, size), in order; fewer at the end of the file.

        Nothing is read before the first is asked for. Of an object store ranges that follow each
        other closely are read by one request, several requests run at once, and some MB are read
        ahead while the caller works: so give ranges that ascend, and each once.
        """
        if isinstance(self._file, RemoteFile):
            yield from self._file.read_many(ranges)
            return
        if self._path is not None or isinstance(self._file, io.BytesIO):
            for offset, size in ranges:
                yield self.read_at(offset, size)
            return
        for parts in joined(ranges):  # a file object may read by requests, too
            start = parts[0][0]
            data = self.read_at(start, sum(parts[-1]) - start)
            for offset, size in parts:
                yield data[offset - start : offset - start + size]

    def check_unchanged(self) -> None:
        """Raise ReplacedError if it is an object of a store that was replaced since it was opened.

        To be called where what was read proves damaged. A local file stays the one that is open.
        """
        if self._remote is not None:
            self._remote.check_unchanged()

    def state(self) -> tuple[int, ...] | None:
        """Equal before and after if nobody wrote the file meanwhile; None if that is unknown."""
        if isinstance(self._file, RemoteFile):
            return self._file.state
        try:
            status = os.fstat(self._file.fileno())
        except (AttributeError, OSError):
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def grew_from(self, state: tuple[int, ...] | None) -> bool:
        """Is it the file that had this state, at most appended to since?

        An object of a store does not grow. Raises ReplacedError if it is another by now.
        """
        now = self.state()
        if self._remote is not None and now != state:
            raise replaced(self.name)
        return state is not None and now is not None and now[:2] == state[:2] and now[2] >= state[2]

    @property
    def path(self) -> str | Location:
        """Where it can be opened again, also by another process in another directory."""
        if self._remote is not None and isinstance(self._remote.location, Location):
            return self._remote.location
        if self._path is None:
            raise OptionError(
                f"{self.name} was opened as a file object, which cannot be opened again: to pickle "
                "the container, or give it to another process, open it by its path"
            )
        return self._path

    @property
    def own_path(self) -> str | None:
        """The same; None if it was given as a file object, or is in an object store."""
        return self._path

    @property
    def closed(self) -> bool:
        return bool(getattr(self._file, "closed", False))

    def close(self) -> None:
        if self._own:
            self._number = None  # it may be that of another file from now on
            self._file.close()


def _remote(source: object) -> RemoteFile | None:
    """What reads an object of a store by requests; None: it is a local file, or another object."""
    if isinstance(source, RemoteFile):
        return source
    place = place_of(os.fsdecode(source) if isinstance(source, bytes) else source)
    if isinstance(place, Location):
        return RemoteFile(place)
    fs: Any = getattr(source, "fs", None)
    path: Any = getattr(source, "path", None)
    if hasattr(source, "_fetch_range") and hasattr(fs, "unstrip_protocol"):  # fsspec's, open
        if getattr(source, "mode", "rb") != "rb":
            return None
        return RemoteFile(Location(fs.unstrip_protocol(path), fs, path), source)
    return None
