"""A search index from its file: mapped, and each part checked when it is first used."""

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

from ..errors import CorruptError, OptionError, TruncatedError, placed
from ..system.stores import is_url
from . import layout
from .blocks import Block
from .content import Content
from .names import Names


@dataclass(frozen=True)
class Saved:
    """The state of a file, as far as this index knows it.

    rows   of the index that are in it, its first ones
    head   what its head says: the table, too, by which it is told from what others write
    parts  where its parts are
    """

    path: str
    rows: int
    head: layout.Head
    parts: NDArray[Any]

    def outdated(self) -> Saved:
        """The same file, whose rows are no longer the first ones of the index."""
        return replace(self, rows=0)


def read(path: str | os.PathLike[str]) -> tuple[Content, Saved]:
    """Map an index. Nothing but head and table is read.

    Raises CorruptError, TruncatedError, UnsupportedError, OptionError (a URL) or OSError.
    """
    refuse_url(path)
    name = os.fspath(path)
    with placed(source=str(name)), open(path, "rb") as file:
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
        whole = _Mapped(file, head.table.end, str(name))
    blocks = [whole.block(part, head.width) for part in table.parts]
    content = Content(head.exact, blocks, table.made, table.profiles)
    return content, Saved(os.path.abspath(name), rows, head, table.parts)


def read_head(file: BinaryIO) -> layout.Head:
    """The head of a file that is at its start. Raises DecodeError or OSError."""
    return layout.unpack_head(file.read(layout.HEAD_BYTES), os.fstat(file.fileno()).st_size)


def is_index(path: str | os.PathLike[str]) -> bool:
    """Does this file begin as an index does?"""
    try:
        with open(path, "rb") as file:
            return file.read(len(layout.MAGIC)) == layout.MAGIC
    except OSError:
        return False


def refuse_url(path: str | os.PathLike[str]) -> None:
    """Raise OptionError for an object of an object store: an index is mapped into memory."""
    if is_url(path):
        raise OptionError(f"{path}: a search index is a file on this machine: name one, or a copy")


class _Mapped:
    """The first `size` bytes of a file, mapped."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        self._data = np.frombuffer(self._map, np.uint8)
        self.name = name

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
        if self._map.size() < end:
            error = TruncatedError("was cut since it was opened: build it again")
            error.source = self.name
            raise error


class _Check:
    """Compares a part with its check value, once."""

    def __init__(self, whole: _Mapped, data: NDArray[np.uint8], end: int, expected: int) -> None:
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
