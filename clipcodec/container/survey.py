"""Finds the blocks of a container: by its index, or by reading from block to block."""

from __future__ import annotations

import os
import threading
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, DecodeError, OptionError, TruncatedError, placed
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


class SeekableFile:
    """A file that is read at offsets, by several threads at once.

    Forked processes may read it at once, too, if it was given as a path.
    """

    def __init__(self, source: str | os.PathLike[str] | BinaryIO, name: str | None = None) -> None:
        self._own = isinstance(source, (str, os.PathLike))
        if isinstance(source, (str, os.PathLike)):
            self.name = os.fspath(source)
            self._file: BinaryIO = open(source, "rb")  # noqa: SIM115
            self._number = self._file.fileno() if hasattr(os, "pread") else None
        else:
            self.name = name or str(getattr(source, "name", "container"))
            self._file, self._number = source, None
            if not (hasattr(source, "seekable") and source.seekable()):
                raise OptionError(f"{self.name} cannot seek: read it by clipcodec.read_items")
        self._lock = threading.Lock()
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

    def state(self) -> tuple[int, ...] | None:
        """Equal before and after if nobody wrote the file meanwhile; None if that is unknown."""
        try:
            status = os.fstat(self._file.fileno())
        except (AttributeError, OSError):
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def close(self) -> None:
        if self._own:
            self._file.close()


class Survey:
    """Sizes of a container's blocks, and its metadata.

    entries   (B, 2) int64, bytes and items of every block, in the order of the file
    end       position in the file where the last valid block ends
    complete  whether the file ends with a valid index
    state     of the file when it was surveyed, see `SeekableFile.state`
    """

    def __init__(
        self,
        entries: NDArray[np.int64],
        metadata: dict[str, Any],
        *,
        complete: bool,
        state: tuple[int, ...] | None,
    ) -> None:
        self.entries, self.metadata, self.complete = entries, metadata, complete
        self.state = state
        self.end = len(layout.OPENING) + int(entries[:, 0].sum())


def read_survey(file: SeekableFile, *, partial: bool) -> Survey:
    """Find the blocks by the index at the end of the file.

    partial  without a valid index, read all blocks up to the last valid one instead

    Raises DecodeError naming the file.
    """
    state = file.state()  # before it is read: a later writer is noticed
    with placed(source=file.name):
        layout.check_opening(file.read_at(0, len(layout.OPENING)))
        entries = _by_index(file)
        if entries is not None:
            return Survey(entries, _metadata(file), complete=True, state=state)
        entries, why = _by_reading(file, check_bodies=partial)
        if partial:
            metadata = _metadata(file) if len(entries) else {}
            return Survey(entries, metadata, complete=False, state=state)
        raise type(why)(
            f"{why}; its first {entries[:, 1].sum()} items can be read with partial=True "
            "(--partial), and writing goes on after them with mode 'a' (--resume)"
        )


def _by_index(file: SeekableFile) -> NDArray[np.int64] | None:
    """Entries by the index that the file ends with; None if it does not end with one."""
    closing = file.read_at(max(0, file.size - layout.CLOSING_BYTES), layout.CLOSING_BYTES)
    whole = layout.AROUND + int.from_bytes(closing[:4], "big")
    start = file.size - whole
    if start < len(layout.OPENING) or whole > layout.AROUND + layout.MAX_BODY:
        return None
    try:
        head, body = layout.parse_block(file.read_at(start, whole))
        if head.kind != layout.INDEX or head.whole != whole:
            return None
        entries = layout.unpack_index(body)
    except DecodeError:
        return None  # not an index, or a damaged one: reading the blocks will show which
    if len(layout.OPENING) + entries[:, 0].sum() != start:
        raise CorruptError("its index does not match its size: damaged")
    return np.concatenate([entries, [[whole, 0]]])


def _by_reading(file: SeekableFile, *, check_bodies: bool) -> tuple[NDArray[np.int64], DecodeError]:
    """Entries by reading from block to block, and the error at which that ends.

    check_bodies  check each block's body, too, not only its head
    """
    entries: list[tuple[int, int]] = []
    at = len(layout.OPENING)
    why: DecodeError = TruncatedError("ends without its index: truncated, or still being written")
    while at < file.size:
        try:
            head = layout.parse_head(file.read_at(at, layout.HEAD_BYTES))
            if at + head.whole > file.size:
                raise TruncatedError("ends inside a block: truncated, or still being written")
            if check_bodies:
                head, body = layout.parse_block(file.read_at(at, head.whole))
                if head.kind == layout.DATA:
                    layout.unpack_items(body, head.items)
                elif head.kind == layout.INDEX:
                    check_index(body, entries)
        except DecodeError as error:
            why = error
            break
        entries.append((head.whole, head.items))
        at += head.whole
    else:
        if entries and head.kind == layout.INDEX:
            why = CorruptError("its index is damaged")
    return np.array(entries, np.int64).reshape(-1, 2), why


def _metadata(file: SeekableFile) -> dict[str, Any]:
    """The metadata, if the first block is a METADATA block, else {}."""
    at = len(layout.OPENING)
    head = layout.parse_head(file.read_at(at, layout.HEAD_BYTES))
    if head.kind != layout.METADATA:
        return {}
    return layout.unpack_metadata(layout.parse_block(file.read_at(at, head.whole))[1])


def check_index(body: bytes, entries: list[tuple[int, int]]) -> None:
    """Raise CorruptError unless an index has these entries, those of the blocks before it."""
    found = layout.unpack_index(body)
    if not np.array_equal(found, np.array(entries, np.int64).reshape(-1, 2)):
        raise CorruptError("its index does not match the blocks before it: damaged")
