"""Where the blocks of a container are: by its index, or by walking from block to block."""

from __future__ import annotations

import os
import threading
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, DecodeError, OptionError, TruncatedError, placed
from . import layout


class Readable(Protocol):
    """All that reading front to back needs of a file."""

    def read(self, size: int, /) -> bytes: ...


def exactly(file: Readable, size: int) -> bytes:
    """`size` bytes, or what there is: a pipe may give less at a time."""
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Source:
    """A file that is read at offsets, by threads and forks at once if it is a real one."""

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
    """What a container's blocks are, without what is in them.

    entries   (B, 2): bytes and items of every block
    end       where the last good block ends
    complete  closed by an index, and nothing after it
    state     of the file when it was surveyed, see `Source.state`
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


def read_survey(file: Source, *, partial: bool) -> Survey:
    """By the closing index, or, if `partial`, by reading all blocks up to the last good one."""
    state = file.state()  # before it is read: who writes it meanwhile is noticed
    with placed(source=file.name):
        layout.check_opening(file.read_at(0, len(layout.OPENING)))
        entries = _by_index(file)
        if entries is not None:
            return Survey(entries, _metadata(file), complete=True, state=state)
        entries, why = _by_walking(file, whole=partial)
        if partial:
            metadata = _metadata(file) if len(entries) else {}
            return Survey(entries, metadata, complete=False, state=state)
        raise type(why)(
            f"{why}; its first {entries[:, 1].sum()} items can be read with partial=True "
            "(--partial), and writing goes on after them with mode 'a' (--resume)"
        )


def _by_index(file: Source) -> NDArray[np.int64] | None:
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
        return None  # by chance, or damaged: walking will tell
    if len(layout.OPENING) + entries[:, 0].sum() != start:
        raise CorruptError("its index does not fit its size: damaged")
    return np.concatenate([entries, [[whole, 0]]])


def _by_walking(file: Source, *, whole: bool) -> tuple[NDArray[np.int64], DecodeError]:
    """Entries from block to block, and what is wrong with the rest. whole: check bodies, too."""
    entries: list[tuple[int, int]] = []
    at = len(layout.OPENING)
    why: DecodeError = TruncatedError("ends without its index: cut, or still being written")
    while at < file.size:
        try:
            head = layout.parse_head(file.read_at(at, layout.HEAD_BYTES))
            if at + head.whole > file.size:
                raise TruncatedError("ends inside a block: cut, or still being written")
            if whole:
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


def _metadata(file: Source) -> dict[str, Any]:
    """Of the first block, if it is theirs."""
    at = len(layout.OPENING)
    head = layout.parse_head(file.read_at(at, layout.HEAD_BYTES))
    if head.kind != layout.METADATA:
        return {}
    return layout.unpack_metadata(layout.parse_block(file.read_at(at, head.whole))[1])


def check_index(body: bytes, entries: list[tuple[int, int]]) -> None:
    found = layout.unpack_index(body)
    if not np.array_equal(found, np.array(entries, np.int64).reshape(-1, 2)):
        raise CorruptError("its index does not fit the blocks before it: damaged")
