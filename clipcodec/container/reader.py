"""Read a container: by position in a file, or front to back from a pipe."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, DecodeError, OptionError, TruncatedError
from . import layout
from .layout import Item

if TYPE_CHECKING:
    from ..codec import Codec
    from ..embeddings import Embeddings
    from ..profile import Profile

ROWS = 8192  # embeddings of a decoded block: enough for several threads, 16 MiB at width 512
_KEPT = 4  # blocks


class Readable(Protocol):
    """All that reading front to back needs of a file."""

    def read(self, size: int, /) -> bytes: ...


def open_container(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    profile: str | os.PathLike[str] | Profile | None = None,
    partial: bool = False,
) -> Container:
    """Open a container of streams for reading; public as `clipcodec.open`.

    source   a path, or a binary file that can seek; for a pipe see `read_items`
    profile  the profile or its file, where the streams were made with a private one
    partial  read one that was cut, or is being written, up to its last good block

    Raises TruncatedError (cut, or not closed yet), CorruptError (damaged, or no container),
    UnsupportedError (from a later release) or OSError.

    >>> with clipcodec.open("out.clpc") as container:
    ...     len(container), container[-1], container[:100], container.decode_all()
    """
    return Container(source, profile=profile, partial=partial)


class Container:
    """A sequence of streams in a file, in the order they were appended. Thread-safe."""

    def __init__(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        profile: str | os.PathLike[str] | Profile | None = None,
        partial: bool = False,
    ) -> None:
        from ..codec import Codec  # a container of bytes alone needs no profile

        self.codec: Codec = Codec(profile)
        self._file = Source(source)
        self.size = self._file.size
        try:
            survey = read_survey(self._file, partial=partial)
        except BaseException:
            self._file.close()
            raise
        self.metadata, self.complete = survey.metadata, survey.complete
        data = survey.entries[:, 1] > 0
        ends = len(layout.OPENING) + np.cumsum(survey.entries[:, 0])
        self._sizes = survey.entries[data, 0]
        self._offsets = (ends - survey.entries[:, 0])[data]
        self._counts = survey.entries[data, 1]
        self._firsts = (np.cumsum(self._counts) - self._counts).tolist()
        self._len = int(self._counts.sum())
        self._kept: OrderedDict[int, tuple[list[bytes], list[str | None] | None]] = OrderedDict()
        self._lock = threading.Lock()
        self._places: dict[str, int] | None = None

    def __len__(self) -> int:
        return self._len

    @overload
    def __getitem__(self, key: int) -> bytes: ...
    @overload
    def __getitem__(self, key: slice) -> list[bytes]: ...
    def __getitem__(self, key: int | slice) -> bytes | list[bytes]:
        """Stream i, or a list of them for a slice. Reads the blocks that hold them, no others."""
        if isinstance(key, slice):
            return [self[i] for i in range(*key.indices(self._len))]
        return self.item(key).stream

    def __iter__(self) -> Iterator[bytes]:
        for number in range(len(self._firsts)):
            yield from self._block(number)[0]

    def item(self, i: int) -> Item:
        """Stream and id of item i; IndexError if there is none. Negative i count from the end."""
        place = i.__index__()
        if place < 0:
            place += self._len
        if not 0 <= place < self._len:
            raise IndexError(f"item {i} of a container of {self._len}")
        number = bisect_right(self._firsts, place) - 1
        streams, ids = self._block(number)
        place -= self._firsts[number]
        return Item(streams[place], None if ids is None else ids[place])

    def items(self) -> Iterator[Item]:
        """Streams with their ids, in order."""
        for number in range(len(self._firsts)):
            streams, ids = self._block(number)
            yield from map(Item, streams, ids or [None] * len(streams))

    @property
    def ids(self) -> list[str | None]:
        """The id of every item, None where it has none."""
        return [item.id for item in self.items()]

    def index(self, id: str) -> int:
        """The place of the first item with this id; KeyError if none has it.

        The first call reads all ids, and keeps them.
        """
        with self._lock:
            places = self._places
        if places is None:
            places = {}
            for place, name in enumerate(self.ids):
                if name is not None:
                    places.setdefault(name, place)
            with self._lock:
                self._places = places
        return places[id]

    # embeddings

    def decode(self, i: int) -> Embeddings:
        """The embedding (D,) of item i: float32, unit norm. Raises DecodeError or IndexError."""
        return self.codec.decode(self[i])

    def decode_all(self, out: NDArray[Any] | None = None) -> Embeddings:
        """All embeddings (N, D), float32, unit norm.

        out  array of this shape to fill, such as a memory map, where memory cannot hold them
        """
        at = 0
        for rows in self.decode_blocks():
            if out is None:
                out = np.empty((self._len, rows.shape[1]), np.float32)
            if out.shape != (self._len, rows.shape[1]):
                raise OptionError(
                    f"out has shape {out.shape}: expected {(self._len, rows.shape[1])}"
                )
            out[at : at + len(rows)] = rows
            at += len(rows)
        return np.empty((0, self.codec.profile.dim or 0), np.float32) if out is None else out

    def decode_blocks(self, rows: int = ROWS) -> Iterator[Embeddings]:
        """Embeddings (≤ rows, D) at a time, in order: as much memory for a billion as for one.

        Raises DecodeError naming the item at fault.
        """
        if rows < 1:
            raise OptionError(f"rows={rows}: at least 1")
        first, waiting = 0, list[bytes]()
        for number in range(len(self._firsts)):
            waiting += self._block(number)[0]
            while len(waiting) >= rows:
                yield self.codec.decode_batch(waiting[:rows], first=first)
                first, waiting = first + rows, waiting[rows:]
        if waiting:
            yield self.codec.decode_batch(waiting, first=first)

    # files

    def _block(self, number: int) -> tuple[list[bytes], list[str | None] | None]:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        first, count = self._firsts[number], int(self._counts[number])
        data = self._file.read_at(int(self._offsets[number]), int(self._sizes[number]))
        try:
            head, body = layout.parse_block(data)
            if head.items != count or head.whole != len(data):
                raise CorruptError("block and index disagree: damaged")
            found = layout.unpack_items(body, count)
        except DecodeError as error:
            where = f"{self._file.name}: items {first} to {first + count - 1}"
            raise type(error)(f"{where}: {error}") from error
        with self._lock:
            self._kept[number] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def close(self) -> None:
        """Close the file, if it was opened here."""
        self._file.close()

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_items(file: Readable) -> Iterator[Item]:
    """Items of a container from a binary file that need not seek, such as a pipe, in order.

    Memory for one block. Raises as `clipcodec.open` does, after the last good block's items.

    >>> for stream, id in clipcodec.read_items(sys.stdin.buffer): ...
    """
    layout.check_opening(_exactly(file, len(layout.OPENING)))
    last, place, entries = b"", 0, list[tuple[int, int]]()
    while start := _exactly(file, layout.HEAD_BYTES):
        try:
            head = layout.parse_head(start)
            rest = _exactly(file, head.whole - layout.HEAD_BYTES)
            head, body = layout.parse_block(start + rest)
            streams, ids = list[bytes](), None
            if head.kind == layout.DATA:
                streams, ids = layout.unpack_items(body, head.items)
            elif head.kind == layout.INDEX:
                _check_index(body, entries)
            elif head.kind == layout.METADATA and not entries:
                layout.unpack_metadata(body)
        except DecodeError as error:
            raise type(error)(f"container, after {place} items: {error}") from error
        entries.append((head.whole, head.items))
        yield from map(Item, streams, ids or [None] * len(streams))
        place += len(streams)
        last = head.kind
    if last != layout.INDEX:
        raise TruncatedError(f"container, after {place} items: ends without its index: cut")


def _check_index(body: bytes, entries: list[tuple[int, int]]) -> None:
    found = layout.unpack_index(body)
    if not np.array_equal(found, np.array(entries, np.int64).reshape(-1, 2)):
        raise CorruptError("its index does not fit the blocks before it: damaged")


def _exactly(file: Readable, size: int) -> bytes:
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
            return _exactly(self._file, size)

    def close(self) -> None:
        if self._own:
            self._file.close()


class Survey:
    """What a container's blocks are, without what is in them.

    entries   (B, 2): bytes and items of every block
    end       where the last good block ends
    complete  closed by an index, and nothing after it
    """

    def __init__(
        self, entries: NDArray[np.int64], metadata: dict[str, Any], *, complete: bool
    ) -> None:
        self.entries, self.metadata, self.complete = entries, metadata, complete
        self.end = len(layout.OPENING) + int(entries[:, 0].sum())


def read_survey(file: Source, *, partial: bool) -> Survey:
    """By the closing index, or, if `partial`, by reading all blocks up to the last good one."""
    try:
        layout.check_opening(file.read_at(0, len(layout.OPENING)))
        entries = _by_index(file)
        if entries is not None:
            return Survey(entries, _metadata(file), complete=True)
        entries, why = _by_walking(file, whole=partial)
        if partial:
            return Survey(entries, _metadata(file) if len(entries) else {}, complete=False)
    except DecodeError as error:
        raise type(error)(f"{file.name}: {error}") from error
    raise type(why)(
        f"{file.name}: {why}; the {entries[:, 1].sum()} items before can be read by "
        "clipcodec.open(…, partial=True), and writing goes on after them with mode 'a'"
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
                    _check_index(body, entries)
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
