"""A search index from its file: mapped, and each part checked when it is first used.

From an object store it is read whole, into memory.
"""

from __future__ import annotations

import mmap
import os
import threading
import zlib
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, TruncatedError, placed
from ..system.remote import RemoteFile, located, name_of, open_source
from ..system.stores import Location, place_of
from . import layout
from .blocks import Block
from .content import Content
from .names import Names

_PIECE = 1 << 22  # bytes of a request


@dataclass(frozen=True)
class Saved:
    """The state of a file, as far as this index knows it.

    place  its absolute path, or the object of a store
    rows   of the index that are in it, its first ones
    head   what its head says: the table, too, by which it is told from what others write
    parts  where its parts are
    """

    place: str | Location
    rows: int
    head: layout.Head
    parts: NDArray[Any]

    @property
    def path(self) -> str:
        """Its path or URL."""
        return self.place.url if isinstance(self.place, Location) else self.place

    @property
    def name(self) -> str:
        """The same for messages."""
        return self.place.name if isinstance(self.place, Location) else self.place

    def outdated(self) -> Saved:
        """The same file, whose rows are no longer the first ones of the index."""
        return replace(self, rows=0)


def read(path: str | os.PathLike[str] | Location) -> tuple[Content, Saved]:
    """Map an index, of which nothing but head and table is read; or read it from a store.

    Raises CorruptError, TruncatedError, UnsupportedError or OSError.
    """
    source = located(path)
    name = str(name_of(source))
    with placed(source=name), open_source(source, 0) as file:
        head = read_head(file)
        file.seek(head.table.offset)
        data = file.read(head.table.size)
        if zlib.crc32(data) != head.table.check:
            raise CorruptError("check value of its table does not match: damaged, build it again")
        table = layout.unpack_table(data)
        layout.check_parts(table.parts, head.width, head.table.offset)
        rows = int(table.parts["rows"].sum())
        if rows != sum(source.rows for source in table.made):
            raise CorruptError("its table names more or fewer rows than it was made of: damaged")
        if isinstance(source, RemoteFile):
            whole = _Whole(_downloaded(source, head.table.end), name)
        else:
            whole = _Mapped(file, head.table.end, name)
    blocks = [whole.block(part, head.width) for part in table.parts]
    content = Content(head.exact, blocks, table.made, table.profiles)
    return content, Saved(absolute(path), rows, head, table.parts)


def absolute(path: str | os.PathLike[str] | Location) -> str | Location:
    """Where a file is, whatever the working directory will be; or which object of a store it is."""
    place: str | os.PathLike[str] | Location = place_of(path)
    return place if isinstance(place, Location) else os.path.abspath(place)


def is_saved_at(path: str | os.PathLike[str] | Location, saved: Saved) -> bool:
    """Is this the file, or the object, and is it still there? Raises as `RemoteFile`."""
    place = absolute(path)
    if not isinstance(place, Location):
        return place == saved.place and os.path.exists(place)
    if saved.path != place.url:
        return False
    try:
        RemoteFile(place)
    except FileNotFoundError:
        return False
    return True


def read_head(file: BinaryIO) -> layout.Head:
    """The head of a file. Raises DecodeError or OSError."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return layout.unpack_head(file.read(layout.HEAD_BYTES), size)


def is_index(path: str | os.PathLike[str]) -> bool:
    """Does this file begin as an index does?"""
    try:
        with open(path, "rb") as file:
            return file.read(len(layout.MAGIC)) == layout.MAGIC
    except OSError:
        return False


def _downloaded(file: RemoteFile, size: int) -> NDArray[np.uint8]:
    """The first `size` bytes of an object, asked for by several requests at once."""
    data = np.empty(size, np.uint8)
    ranges = [(at, min(_PIECE, size - at)) for at in range(0, size, _PIECE)]
    for (at, _), piece in zip(ranges, file.read_many(ranges), strict=True):
        data[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
    data.flags.writeable = False  # as what is mapped
    return data


class _Whole:
    """The bytes of an index, up to the end of its table."""

    def __init__(self, data: NDArray[np.uint8], name: str) -> None:
        self._data, self.name = data, name

    def block(self, part: Any, width: int) -> Block:
        """The rows of a part, which are checked when they are first used."""
        at, rows, kind = int(part["offset"]), int(part["rows"]), layout.TYPES[int(part["type"])]
        size = int(layout.data_bytes(part, width))
        data = self._data[at : at + size]
        values = data[: rows * width * kind.itemsize].view(kind).reshape(rows, width)
        plain = int(part["type"]) == layout.EMBEDDINGS
        scale = None if plain else data[size - 4 * rows :].view("<f4")
        ids, names = int(part["ids"]), Names(rows)
        if ids:
            end = at + size + ids
            names = Names(
                rows, packed=self._data[at + size : end], check=int(part["ids_check"]),
                source=self.name, ready=partial(self.reaches, end),
            )  # fmt: skip
        return Block(values, scale, names, _Check(self, data, at + size, int(part["check"])))

    def reaches(self, end: int) -> None:
        """Raise TruncatedError if the file was cut: reading there would end the process."""


class _Mapped(_Whole):
    """The same, mapped from a file."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        super().__init__(np.frombuffer(self._map, np.uint8), name)

    def reaches(self, end: int) -> None:
        if self._map.size() < end:
            error = TruncatedError("was cut since it was opened: build it again")
            error.source = self.name
            raise error


class _Check:
    """Compares a part with its check value, once."""

    def __init__(self, whole: _Whole, data: NDArray[np.uint8], end: int, expected: int) -> None:
        self._whole, self._data, self._end, self._expected = whole, data, end, expected
        self._good, self._lock = False, threading.Lock()

    def __call__(self) -> None:
        self._whole.reaches(self._end)
        if self._good:
            return
        with self._lock:
            if not self._good and zlib.crc32(self._data.data) != self._expected:
                error = CorruptError("check value of some rows does not match: damaged, build "
                                     "it again")  # fmt: skip
                error.source = self._whole.name
                raise error
            self._good = True
