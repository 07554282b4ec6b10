"""A search index into its file: as a whole or not at all, or grown at its end (layout.py)."""

from __future__ import annotations

import errno
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ..container.ids import MAX_IDS
from ..errors import DecodeError, MismatchError, OptionError, OutputExistsError
from ..system import uploads
from ..system.files import os_errors_named, written_directly
from ..system.locks import lock
from ..system.remote import RemoteFile
from ..system.stores import Location, place_of
from .blocks import Block, merged
from .content import Content
from .layout import (
    ALIGNED,
    EMBEDDINGS,
    HEAD_BYTES,
    MAGIC,
    MOST_ROWS,
    PART,
    SLOTS,
    SMALL,
    TYPES,
    WIDE,
    Head,
    Slot,
    Table,
    ends,
)
from .names import Names
from .reading import Saved, absolute, is_index, read_head

_FEW = 32  # parts that may be small before a file that grows is written anew
_DEAD = 1 << 20  # bytes of old tables that are always allowed


def check_target(path: str | os.PathLike[str] | Location) -> None:
    """Raise OptionError, OutputExistsError or OSError unless an index can be written there."""
    place = place_of(path)
    if isinstance(place, Location):
        uploads.refuse_existing(place, overwrite=True)  # a store that cannot be written
        name, other = place.name, _is_other_object(place)
    else:
        name = os.fspath(place)
        folder = os.path.dirname(os.path.abspath(name))
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, "cannot be written: no such directory", name)
        if written_directly(place):
            raise OptionError(f"{name}: an index needs a file, not a pipe or device")
        other = os.path.exists(place) and not is_index(place)
    if other:
        raise OutputExistsError(f"{name} exists, and is no search index: choose another name")


def _is_other_object(location: Location) -> bool:
    try:
        return RemoteFile(location).read_at(0, len(MAGIC)) != MAGIC
    except FileNotFoundError:
        return False


def write(path: str | os.PathLike[str] | Location, content: Content) -> Saved:
    """Write an index as a whole, or nothing.

    Raises OutputExistsError if another kind of file is there, OptionError or OSError.
    """
    check_target(path)
    with uploads.replacing(path, overwrite=True) as file:
        head, parts = _write_all(file, content)
    return Saved(absolute(path), len(content), head, parts)


def _write_all(file: BinaryIO, content: Content) -> tuple[Head, NDArray[Any]]:
    """An upload cannot go back to its head, so that what this says is found before."""
    known = None if file.seekable() else _write_all(cast(BinaryIO, _Nowhere()), content)[0]
    file.write(bytes(HEAD_BYTES) if known is None else known.to_bytes())
    parts, end = _write_parts(file, merged(content.blocks), HEAD_BYTES)
    head = Head(content.dim or 0, content.exact, _write_table(file, parts, content, end, 1))
    if known is None:
        file.seek(0)
        file.write(head.to_bytes())
    return head, parts


class _Nowhere(io.RawIOBase):
    """What is written to it is not kept."""

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return offset

    def write(self, data: Any, /) -> int:
        return len(data)


def update(saved: Saved, content: Content) -> Saved:
    """Write what the file has not: at its end, or all of it where that is better, or in a store.

    Raises MismatchError if another process has changed the file, LockedError or OSError.
    """
    if isinstance(saved.place, Location):
        _refuse_changed(saved, saved.place)
        return write(saved.place, content)
    if _grows_well(saved, content):
        return _grow(saved, content)
    with _locked(saved):
        return write(saved.path, content)


def _grows_well(saved: Saved, content: Content) -> bool:
    """Whether the file can be grown, and stays good to search."""
    if not saved.rows or len(content) < saved.rows:
        return False
    rows = len(content)
    parts = len(saved.parts) + -(-(rows - saved.rows) // MOST_ROWS)
    offsets, end = saved.parts["offset"].astype(np.int64), saved.head.table.end
    used = int((ends(saved.parts, saved.head.width) - offsets).sum())
    dead = end - HEAD_BYTES - used - ALIGNED * len(saved.parts)
    return parts <= 2 * -(-rows // MOST_ROWS) + _FEW and dead <= max(_DEAD, end // 2)


def _grow(saved: Saved, content: Content) -> Saved:
    """Append the rows that the file has not, and a table. Raises MismatchError or LockedError."""
    head = saved.head
    with os_errors_named(saved.path), _locked(saved) as file:
        at = -(-head.table.end // ALIGNED) * ALIGNED
        file.seek(at)
        new, end = _write_parts(file, _after(content.blocks, saved.rows), at)
        parts = np.concatenate([saved.parts, new])
        slot = _write_table(file, parts, content, end, head.table.generation + 1)
        file.truncate()  # what a run that was interrupted left behind it
        _flush(file)
        for place in SLOTS:  # one of them is whole at any time
            file.seek(place)
            file.write(slot.to_bytes())
            _flush(file)
    return Saved(saved.place, len(content), head._replace(table=slot), parts)


@contextmanager
def _locked(saved: Saved) -> Iterator[BinaryIO]:
    """The file, open for this process alone. Raises MismatchError if it was changed since."""
    try:
        file = cast(BinaryIO, open(saved.path, "r+b"))  # noqa: SIM115
    except FileNotFoundError:
        raise _gone(saved) from None
    with file:
        lock(file.fileno(), Path(saved.path))
        _check_same(file, saved)
        yield file


def _refuse_changed(saved: Saved, location: Location) -> None:
    """Raise MismatchError if the object was changed since. A store has no locks."""
    try:
        file = RemoteFile(location).stream(0)
    except FileNotFoundError:
        raise _gone(saved) from None
    _check_same(file, saved)


def _check_same(file: BinaryIO, saved: Saved) -> None:
    try:
        same = read_head(file) == saved.head
    except DecodeError:
        same = False
    if not same:
        raise MismatchError(
            f"{saved.name} was changed by another process: open it again, or save elsewhere"
        )


def _gone(saved: Saved) -> MismatchError:
    return MismatchError(f"{saved.name} is gone: save the index with a path")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _after(blocks: Iterable[Block], rows: int) -> Iterator[Block]:
    """What is left of blocks behind their first rows."""
    for block in blocks:
        if rows < len(block):
            yield block if rows <= 0 else block.part(slice(rows, None))
        rows -= len(block)


def _write_table(
    file: BinaryIO, parts: NDArray[Any], content: Content, at: int, generation: int
) -> Slot:
    """Write the table at position `at`, where the file is; what the head is to say of it."""
    table = Table(parts, content.made, content.profiles).to_bytes()
    file.write(table)
    return Slot(generation, at, len(table), zlib.crc32(table))


def _write_parts(file: BinaryIO, blocks: Iterable[Block], at: int) -> tuple[NDArray[Any], int]:
    """Write blocks from position `at` on, which is aligned; where they are, and the end."""
    entries = []
    for block in _storable(blocks):
        block.ready()
        kind = EMBEDDINGS if block.scale is None else WIDE
        if block.values.dtype == np.int8:
            kind = SMALL
        data = np.ascontiguousarray(block.values, TYPES[kind]).tobytes()
        data += bytes(-len(data) % 4)
        if block.scale is not None:
            data += block.scale.astype("<f4").tobytes()
        ids = b"" if block.names is None else block.names.pack()
        whole = data + ids + bytes(-(len(data) + len(ids)) % ALIGNED)
        file.write(whole)
        entries.append((at, len(block), kind, zlib.crc32(data), len(ids), zlib.crc32(ids)))
        at += len(whole)
    return np.array(entries, PART), at


def _storable(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks whose rows and ids can be one part."""
    for block in blocks:
        names = block.names
        if len(block) > MOST_ROWS or (names is not None and names.some and _long(names)):
            half = len(block) // 2
            yield from _storable([block.part(slice(half)), block.part(slice(half, None))])
        else:
            yield block


def _long(names: Names) -> bool:
    """Whether their ids, packed, could be above the limit."""
    ids = names.list()
    return len(ids) > 1 and 4 * sum(len(id or "") + 8 for id in ids) > MAX_IDS
