"""Reading an object of a store by ranges: few requests, several at once, and read ahead."""

from __future__ import annotations

import errno
import io
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple, cast

from ..errors import StoreError
from .objects import guarded, info_of, opened, reader, state_of
from .stores import Location, fail, passes, place_of, replaced

_TRIES, _PAUSE = 4, 0.1  # of one request; seconds before the second, four times as long each time
_GAP = 1 << 17  # bytes that cost less than a request
_FIRST_PIECE, _MOST_PIECE = 1 << 18, 1 << 22  # bytes of a request that joins several ranges
_AHEAD, _MOST_AHEAD = 1 << 20, 1 << 25  # bytes that are asked for and not taken yet
_FRONT, _TAIL, _MOST_TAIL = 1 << 14, 1 << 16, 1 << 23  # bytes that are read first, and kept
_WHOLE = 1 << 17  # bytes of an object that is read at once
_TINY = 1 << 10  # bytes; with less, more is read and kept
_TRUST = 5.0  # seconds in which a store that cannot refuse another object is not asked again

Range = tuple[int, int]  # offset, size


class _Piece(NamedTuple):
    """Some bytes that are kept: where they begin, and they."""

    start: int
    data: bytes

    def part(self, start: int, end: int) -> bytes | None:
        """The bytes from `start` to `end`, if all are here."""
        if self.start <= start and end <= self.start + len(self.data):
            return self.data[start - self.start : end - self.start]
        return None


class RemoteFile:
    """An object of a store that is read by ranges, by several threads and processes at once.

    size   bytes of the object
    state  equal for two objects only if they have the same content, as far as the store tells
    name   its URL, for messages

    Raises FileNotFoundError, PermissionError, IsADirectoryError or StoreError.
    """

    def __init__(self, location: Location, file: Any = None) -> None:
        """file: of fsspec, which was opened already"""
        self.location, self.name = location, location.name
        self._kept: tuple[_Piece, ...] = ()
        self._piece = _Piece(0, b"")
        self._begun = self.closed = False
        self._process = os.getpid()
        self._connect(file)
        self.size, self.state = self._size, self._state

    def _connect(self, file: Any = None) -> None:
        """Open the object, which costs one request."""
        fs, path = self.location.store()
        try:
            if file is None:
                with suppress(Exception):  # what the file system remembers of a folder may be old
                    fs.invalidate_cache(path)
                file, info = opened(fs, path)
            else:
                info = info_of(fs, path, file)
        except Exception as error:
            fail(self.name, error, "cannot be opened")
        if info.get("type") == "directory":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.name)
        if info.get("size") is None:
            raise StoreError(f"{self.name}: the store does not say its size: download it first")
        self._fs, self._path, self._file = fs, path, file
        self._size, self._state = int(info["size"]), state_of(info)
        self._once, self._parallel = reader(fs, path, file)
        self._guarded, self._compared = guarded(file), time.monotonic()

    def _here(self) -> None:
        """In a forked process: connections and locks of the parent cannot be used."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._connect()
            if self._state != self.state:
                raise replaced(self.name)
        if self.closed:
            raise ValueError(f"{self.name} is closed")

    def check_unchanged(self) -> None:
        """Raise ReplacedError if the object was replaced or deleted since. One request."""
        fs, path = self.location.store()
        try:
            with suppress(Exception):
                fs.invalidate_cache(path)
            state = state_of(fs.info(path))
        except FileNotFoundError:
            raise replaced(self.name, "deleted") from None
        except Exception:  # it cannot be told: the error that led here says more
            return
        if state != self.state:
            raise replaced(self.name)

    def close(self) -> None:
        self.closed = True

    # one range

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, or fewer at the end."""
        end = min(offset + size, self.size)
        if end <= offset:
            return b""
        found = self._known(offset, end)
        if found is None and not self._begun and self._at_an_end(offset, end):
            self._begin()
            found = self._known(offset, end)
        if found is None and end - offset < _TINY:
            piece = self._piece = _Piece(offset, self._fetch(offset, self._ahead(offset)))
            found = piece.part(offset, end)
        return self._fetch(offset, end) if found is None else found

    def _known(self, start: int, end: int) -> bytes | None:
        for piece in (*self._kept, self._piece):
            found = piece.part(start, end)
            if found is not None:
                return found
        return None

    def _at_an_end(self, start: int, end: int) -> bool:
        return self.size <= _WHOLE or start < _FRONT or end > self.size - _TAIL

    def _begin(self) -> None:
        """Read the front and the end, where a container says where its blocks are."""
        tail = min(max(_TAIL, self.size // 1000), _MOST_TAIL)
        if self.size <= max(_WHOLE, _FRONT + tail):
            parts = [(0, self.size)]
        else:
            parts = [(0, _FRONT), (self.size - tail, self.size)]
        with ThreadPoolExecutor(min(self._parallel, len(parts))) as pool:
            found = pool.map(lambda part: self._fetch(*part), parts)
            self._kept = tuple(
                _Piece(start, data) for (start, _), data in zip(parts, found, strict=True)
            )
        self._begun = True

    def _ahead(self, offset: int) -> int:
        """Where a small read at `offset` ends: far off if small reads go on from the last one."""
        before = len(self._piece.data)
        on = before and self._piece.start <= offset <= self._piece.start + 4 * before
        return min(offset + (min(2 * before, _MOST_PIECE) if on else _FIRST_PIECE), self.size)

    def _fetch(self, start: int, end: int) -> bytes:
        """One request, tried again if that may help."""
        for tried in range(1, _TRIES + 1):
            self._here()
            try:
                data = self._once(start, end)
                if len(data) < end - start:
                    raise EOFError(f"{len(data)} bytes came")
                if len(data) > end - start:
                    raise StoreError(_no_ranges(self.name))
                self._compare()
                return data
            except Exception as error:
                if tried < _TRIES and passes(error):
                    time.sleep(_PAUSE * 4 ** (tried - 1))
                    continue
                self._fail(error, start, end)
        raise AssertionError

    def _compare(self) -> None:
        """Ask now and then whether it is the same object, where the requests do not say which."""
        if not self._guarded and time.monotonic() - self._compared > _TRUST:
            self._compared = time.monotonic()
            self.check_unchanged()

    def _fail(self, error: Exception, start: int, end: int) -> None:
        if "range" in str(error).lower() and isinstance(error, ValueError):
            raise StoreError(_no_ranges(self.name)) from error
        self.check_unchanged()
        times = f", tried {_TRIES} times" if passes(error) else ""
        fail(self.name, error, f"bytes {start} to {end - 1} cannot be read{times}")

    # many ranges

    def read_many(self, ranges: Iterable[Range]) -> Iterator[bytes]:
        """The bytes of each range, in order. See `container.files.SeekableFile.read_many`."""
        waiting: deque[tuple[list[Range], Future[bytes] | bytes]] = deque()
        asked = taken = 0
        requests = joined(self._cut(ranges))
        pool: ThreadPoolExecutor | None = None
        more = True
        try:
            while True:
                while more and (not waiting or asked < min(max(_AHEAD, 2 * taken), _MOST_AHEAD)):
                    parts = next(requests, None)
                    if parts is None:
                        more = False
                        break
                    start, end = parts[0][0], sum(parts[-1])
                    known = self._known(start, end)
                    if known is None and pool is None:
                        pool = ThreadPoolExecutor(self._parallel, "clipcodec-read")
                    data = known if pool is None or known is not None else pool.submit(
                        self._fetch, start, end
                    )  # fmt: skip
                    assert data is not None
                    waiting.append((parts, data))
                    asked += end - start
                if not waiting:
                    return
                parts, coming = waiting.popleft()
                data = coming if isinstance(coming, bytes) else coming.result()
                asked -= len(data)
                taken += len(data)
                start = parts[0][0]
                for offset, size in parts:
                    yield data[offset - start : offset - start + size]
        finally:
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)

    def _cut(self, ranges: Iterable[Range]) -> Iterator[Range]:
        for offset, size in ranges:
            yield offset, max(0, min(size, self.size - offset))

    def stream(self, buffer: int = _MOST_PIECE) -> BinaryIO:
        """A file object that reads it from the beginning, and can seek.

        buffer  bytes that are read at a time; 0: as many as are asked for
        """
        raw = _Stream(self)
        return cast(BinaryIO, io.BufferedReader(raw, buffer) if buffer else raw)


def joined(ranges: Iterable[Range]) -> Iterator[list[Range]]:
    """Ranges that follow each other closely, together: what one request reads.

    The first request is small, so that work can begin; the next are larger.
    """
    parts: list[Range] = []
    most = _FIRST_PIECE
    for offset, size in ranges:
        if parts:
            start, end = parts[0][0], sum(parts[-1])
            if end <= offset <= end + _GAP and offset + size - start <= most:
                parts.append((offset, size))
                continue
            yield parts
            most = min(4 * most, _MOST_PIECE)
        parts = [(offset, size)]
    if parts:
        yield parts


def _no_ranges(name: str) -> str:
    return f"{name}: the store ignores ranges, and gives the whole object: download it first"


class _Stream(io.RawIOBase):
    """A remote file as a raw file object."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._at = file, 0
        self.name = file.name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


# sources of either kind


Source = str | os.PathLike[str] | RemoteFile


def located(source: object) -> Source:
    """The object that a URL or an OpenFile of fsspec names, opened; the path of a local file.

    Raises as `RemoteFile`.
    """
    if isinstance(source, RemoteFile):
        return source
    place = place_of(source)
    return RemoteFile(place) if isinstance(place, Location) else cast(Source, place)


def name_of(source: Source) -> str:
    """As messages call it."""
    return source.name if isinstance(source, RemoteFile) else os.fspath(source)


def open_source(source: Source, buffer: int = _MOST_PIECE) -> BinaryIO:
    """A file object that reads it from the beginning. buffer: see `RemoteFile.stream`."""
    return source.stream(buffer) if isinstance(source, RemoteFile) else open(source, "rb")
