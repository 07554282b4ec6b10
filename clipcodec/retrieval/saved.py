"""The file of a search index (.clpi): written as a whole or not at all, grown at its end, mapped.

    head     128 bytes: magic, version, width; where the table is, twice
    parts    of at most 8192 rows each: values, scales, ids; each begins at a multiple of 64 bytes
    table    where the parts are, and what they were made of
    …        parts and a table for each time that the file has grown

All numbers are little-endian. Every part, its ids, every table and both halves of the head have a
CRC-32. To grow, parts and a new table are written behind the old table; then the first place in the
head names the new table, then the second one. Whenever that is interrupted, one of them is whole
and names a table that is there. Other versions of this package may have another format: a file of
theirs is to be built again.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..container.ids import MAX_IDS
from ..container.layout import MAGIC as CONTAINER
from ..errors import (
    ClipcodecError,
    CorruptError,
    MismatchError,
    OptionError,
    OutputExistsError,
    TruncatedError,
    UnsupportedError,
    placed,
)
from ..system.files import os_errors_named, replacing, written_directly
from ..system.locks import lock
from ..system.stores import is_url
from .blocks import Block, merged
from .made import MadeOf
from .names import Names

SUFFIX = ".clpi"
MAGIC = b"\x89CLPI\r\n"
VERSION = 1

_HEAD_BYTES, _ALIGNED = 128, 64
_HEAD = struct.Struct("<7sBIB3x")  # magic, version, width, exact
_SLOT = struct.Struct("<QQII")  # generation, offset, size and check value of the table
_SLOTS = (32, 80)  # where they are
_TABLE = struct.Struct("<II")  # parts, bytes of the JSON
_PART = np.dtype(
    [("offset", "<u8"), ("rows", "<u4"), ("type", "<u4"), ("check", "<u4"), ("ids", "<u4"),
     ("ids_check", "<u4")]
)  # fmt: skip
_MOST_ROWS = 8192
_MOST_WIDTH = 1 << 20
_EMBEDDINGS, _SMALL, _WIDE = range(3)  # float32 rows; int8 and float32 coefficients with scales
_TYPES: dict[int, np.dtype[Any]] = {
    _EMBEDDINGS: np.dtype("<f4"),
    _SMALL: np.dtype("i1"),
    _WIDE: np.dtype("<f4"),
}
_FEW = 32  # parts that may be small before a file that grows is written anew
_DEAD = 1 << 20  # bytes of old tables that are always allowed


@dataclass(frozen=True)
class Content:
    """What an index holds.

    exact     whether float32 rows are kept
    blocks    its rows
    made      what these were made of, in order
    profiles  names of the profiles of its streams, and of their backbones
    """

    exact: bool
    blocks: list[Block]
    made: list[MadeOf]
    profiles: frozenset[tuple[str, str]] = frozenset()

    def __len__(self) -> int:
        return sum(map(len, self.blocks))


@dataclass(frozen=True)
class Saved:
    """The state of a file, as far as this index knows it.

    rows        of the index that are in it, its first ones
    parts       where its parts are
    generation  how many tables it has had
    end         where its table ends
    check       check value of the table
    """

    path: str
    width: int
    exact: bool
    rows: int
    parts: NDArray[Any]
    generation: int
    end: int
    check: int

    def outdated(self) -> Saved:
        """The same file, whose rows are no longer the first ones of the index."""
        return replace(self, rows=0)


# reading


def read(path: str | os.PathLike[str]) -> tuple[Content, Saved]:
    """Map an index. Nothing but head and table is read.

    Raises CorruptError, TruncatedError, UnsupportedError, OptionError (a URL) or OSError.
    """
    refuse_url(path)
    name = os.fspath(path)
    with placed(source=str(name)), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        width, exact, slot = _read_head(file.read(_HEAD_BYTES), size)
        file.seek(slot.offset)
        table = file.read(slot.size)
        if zlib.crc32(table) != slot.check:
            raise CorruptError("check value of its table does not match: damaged, build it again")
        parts, made, profiles = _unpack_table(table)
        _check_parts(parts, width, slot.offset)
        rows = int(parts["rows"].sum())
        if rows != sum(source.rows for source in made):
            raise CorruptError("its table names more or fewer rows than it was made of: damaged")
        whole = _Mapped(file, slot.offset + slot.size, str(name))
    blocks = [whole.block(part, width) for part in parts]
    saved = Saved(os.path.abspath(name), width, exact, rows, parts, slot.generation,
                  slot.offset + slot.size, slot.check)  # fmt: skip
    return Content(exact, blocks, made, profiles), saved


def is_index(path: str | os.PathLike[str]) -> bool:
    """Does this file begin as an index does?"""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class _Slot(NamedTuple):
    """Where the table is, as the head says it."""

    generation: int
    offset: int
    size: int
    check: int

    def to_bytes(self) -> bytes:
        data = _SLOT.pack(*self)
        return data + zlib.crc32(data).to_bytes(4, "little")


def _read_head(head: bytes, size: int) -> tuple[int, bool, _Slot]:
    """Width, exactness and table of a file of `size` bytes."""
    if head.startswith(CONTAINER):
        raise CorruptError(
            "a container, no search index: clipcodec.open reads it, SearchIndex.build indexes it"
        )
    if head[: len(MAGIC)] != MAGIC[: len(head)] or not head:
        raise CorruptError(
            f"begins with {head[:8].hex(' ') or 'nothing'}: not a search index of clipcodec (.clpi)"
        )
    if len(head) > len(MAGIC) and head[len(MAGIC)] != VERSION:
        raise UnsupportedError(
            f"index version {head[len(MAGIC)]}, this release has {VERSION}: build it again"
        )
    if len(head) < _HEAD_BYTES:
        raise TruncatedError(f"an index of {len(head)} bytes: cut, build it again")
    end = _HEAD.size
    if zlib.crc32(head[:end]) != int.from_bytes(head[end : end + 4], "little"):
        raise CorruptError("check value of its head does not match: damaged, build it again")
    _, _, width, exact = _HEAD.unpack_from(head)
    slots = []
    for at in _SLOTS:
        data, check = head[at : at + _SLOT.size], head[at + _SLOT.size : at + _SLOT.size + 4]
        if zlib.crc32(data) == int.from_bytes(check, "little"):
            slots.append(_Slot(*_SLOT.unpack(data)))
    if not slots:
        raise CorruptError("its head does not say where its table is: damaged, build it again")
    slot = max(slots)
    if slot.offset + slot.size > size:
        raise TruncatedError(
            f"{size} bytes are there, of {slot.offset + slot.size}: cut; copy it or build it again"
        )
    if slot.offset < _HEAD_BYTES or width > _MOST_WIDTH or exact > 1:
        raise CorruptError("its head is not as one is written: damaged, build it again")
    return width, bool(exact), slot


def _check_parts(parts: NDArray[Any], width: int, end: int) -> None:
    """Raise CorruptError unless all parts lie before the table, which begins at `end`."""
    good = (
        (parts["rows"] > 0) & (parts["rows"] <= _MOST_ROWS) & (parts["type"] <= _WIDE)
        & (parts["offset"] >= _HEAD_BYTES) & (parts["offset"] % _ALIGNED == 0)
        & (parts["offset"] <= end)
    )  # fmt: skip
    if not (good.all() and (width or not len(parts)) and (_ends(parts, width) <= end).all()):
        raise CorruptError("its table names parts that cannot be: damaged, build it again")


def _data_bytes(parts: Any, width: int) -> Any:
    """Bytes of values and scales of a part, or of each of many; both are multiples of four."""
    rows = parts["rows"].astype(np.int64)
    values = rows * width * np.where(parts["type"] == _SMALL, 1, 4)
    return -(-values // 4) * 4 + np.where(parts["type"] == _EMBEDDINGS, 0, 4 * rows)


def _ends(parts: NDArray[Any], width: int) -> NDArray[np.int64]:
    """Where each part ends."""
    ends: NDArray[np.int64] = (
        parts["offset"].astype(np.int64) + _data_bytes(parts, width) + parts["ids"]
    )
    return ends


class _Mapped:
    """The first `size` bytes of a file, mapped."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        self._data = np.frombuffer(self._map, np.uint8)
        self.name = name

    def block(self, part: Any, width: int) -> Block:
        """The rows of a part, which are checked when they are first used."""
        at, rows, kind = int(part["offset"]), int(part["rows"]), _TYPES[int(part["type"])]
        size = int(_data_bytes(part, width))
        data = self._data[at : at + size]
        values = data[: rows * width * kind.itemsize].view(kind).reshape(rows, width)
        plain = int(part["type"]) == _EMBEDDINGS
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


def _unpack_table(
    table: bytes,
) -> tuple[NDArray[Any], list[MadeOf], frozenset[tuple[str, str]]]:
    try:
        count, length = _TABLE.unpack_from(table)
        at = _TABLE.size
        known = json.loads(table[at : at + length])
        at += length
        parts = np.frombuffer(table, _PART, count, at)
        at += parts.nbytes
        made = []
        for source in known["sources"]:
            _check_source(source)
            blocks = np.frombuffer(table, "<u4", 3 * source["blocks"], at).reshape(-1, 3)
            at += blocks.nbytes
            gone = np.frombuffer(table, "<u8", 2 * source["gone"], at).reshape(-1, 2)
            at += gone.nbytes
            whole = blocks.astype(np.int64)
            made.append(MadeOf(source["rows"], source["name"], whole[:, :2], whole[:, 2],
                               gone.astype(np.int64)))  # fmt: skip
        if at != len(table):
            raise ValueError("more bytes than it names")
        return parts, made, frozenset((str(a), str(b)) for a, b in known["profiles"])
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise CorruptError(f"its table is not as one is written ({error}): build it again") from (
            error
        )


def _check_source(source: dict[str, Any]) -> None:
    """Raise ValueError unless it has the types that are written, and numbers that can be."""
    for name in ("rows", "blocks", "gone"):
        if type(source[name]) is not int or not 0 <= source[name] < 1 << 48:
            raise ValueError(f"{name} of a source are {source[name]!r:.40}")
    if not isinstance(source["name"], (str, type(None))):
        raise ValueError("the name of a source is no text")


# writing


def write(path: str | os.PathLike[str], content: Content) -> Saved:
    """Write an index as a whole, or nothing.

    Raises OutputExistsError if another kind of file is there, OptionError or OSError.
    """
    check_target(path)
    width = content.blocks[0].values.shape[1] if content.blocks else 0
    with replacing(path, overwrite=True) as file:
        file.write(bytes(_HEAD_BYTES))
        parts, end = _write_parts(file, merged(content.blocks), _HEAD_BYTES)
        table = _pack_table(parts, content)
        file.write(table)
        slot = _Slot(1, end, len(table), zlib.crc32(table))
        head = _HEAD.pack(MAGIC, VERSION, width, content.exact)
        file.seek(0)
        file.write(head + zlib.crc32(head).to_bytes(4, "little"))
        for at in _SLOTS:
            file.seek(at)
            file.write(slot.to_bytes())
    return Saved(os.path.abspath(path), width, content.exact, len(content), parts, 1,
                 end + len(table), slot.check)  # fmt: skip


def write_again(saved: Saved, content: Content) -> Saved:
    """Replace the file. Raises MismatchError if another process has changed it, or LockedError."""
    with _locked(saved):
        return write(saved.path, content)


def refuse_url(path: str | os.PathLike[str]) -> None:
    """Raise OptionError for an object of an object store: an index is mapped into memory."""
    if is_url(path):
        raise OptionError(f"{path}: a search index is a file on this machine: name one, or a copy")


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise OptionError, OutputExistsError or OSError unless an index can be written there."""
    refuse_url(path)
    name = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(name))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "cannot be written: no such directory", str(name))
    if written_directly(path):
        raise OptionError(f"{name}: an index needs a file, not a pipe or device")
    if os.path.exists(path) and not is_index(path):
        raise OutputExistsError(f"{name} exists, and is no search index: choose another name")


def grows_well(saved: Saved, content: Content) -> bool:
    """Whether the file can be grown, and stays good to search."""
    if not saved.rows or len(content) < saved.rows:
        return False
    rows = len(content)
    parts = len(saved.parts) + -(-(rows - saved.rows) // _MOST_ROWS)
    used = int((_ends(saved.parts, saved.width) - saved.parts["offset"].astype(np.int64)).sum())
    dead = saved.end - _HEAD_BYTES - used - _ALIGNED * len(saved.parts)
    return parts <= 2 * -(-rows // _MOST_ROWS) + _FEW and dead <= max(_DEAD, saved.end // 2)


def grow(saved: Saved, content: Content) -> Saved:
    """Append the rows that the file has not, and a table. Raises MismatchError or LockedError."""
    with os_errors_named(saved.path), _locked(saved) as file:
        at = -(-saved.end // _ALIGNED) * _ALIGNED
        file.seek(at)
        new, end = _write_parts(file, _after(content.blocks, saved.rows), at)
        parts = np.concatenate([saved.parts, new])
        table = _pack_table(parts, content)
        file.write(table)
        file.truncate()  # what a run that was interrupted left behind it
        slot = _Slot(saved.generation + 1, end, len(table), zlib.crc32(table))
        _flush(file)
        for place in _SLOTS:  # one of them is whole at any time
            file.seek(place)
            file.write(slot.to_bytes())
            _flush(file)
    return Saved(saved.path, saved.width, saved.exact, len(content), parts, slot.generation,
                 end + len(table), slot.check)  # fmt: skip


@contextmanager
def _locked(saved: Saved) -> Iterator[BinaryIO]:
    """The file, open for this process alone. Raises MismatchError if it was changed since."""
    try:
        file = cast(BinaryIO, open(saved.path, "r+b"))  # noqa: SIM115
    except FileNotFoundError:
        raise MismatchError(f"{saved.path} is gone: save the index with a path") from None
    with file:
        lock(file.fileno(), Path(saved.path))
        size = os.fstat(file.fileno()).st_size
        try:
            width, exact, slot = _read_head(file.read(_HEAD_BYTES), size)
            same = (width, exact, slot.generation, slot.check) == (
                saved.width, saved.exact, saved.generation, saved.check
            )  # fmt: skip
        except ClipcodecError:
            same = False
        if not same:
            raise MismatchError(
                f"{saved.path} was changed by another process: open it again, or save elsewhere"
            )
        yield file


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _after(blocks: Iterable[Block], rows: int) -> Iterator[Block]:
    """What is left of blocks behind their first rows."""
    for block in blocks:
        if rows < len(block):
            yield block if rows <= 0 else block.part(slice(rows, None))
        rows -= len(block)


def _write_parts(file: BinaryIO, blocks: Iterable[Block], at: int) -> tuple[NDArray[Any], int]:
    """Write blocks from position `at` on, which is aligned; where they are, and the end."""
    entries = []
    for block in _storable(blocks):
        block.ready()
        kind = _EMBEDDINGS if block.scale is None else _WIDE
        if block.values.dtype == np.int8:
            kind = _SMALL
        data = np.ascontiguousarray(block.values, _TYPES[kind]).tobytes()
        data += bytes(-len(data) % 4)
        if block.scale is not None:
            data += block.scale.astype("<f4").tobytes()
        ids = b"" if block.names is None else block.names.pack()
        whole = data + ids + bytes(-(len(data) + len(ids)) % _ALIGNED)
        file.write(whole)
        entries.append((at, len(block), kind, zlib.crc32(data), len(ids), zlib.crc32(ids)))
        at += len(whole)
    return np.array(entries, _PART), at


def _storable(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks whose rows and ids can be one part."""
    for block in blocks:
        names = block.names
        if len(block) > _MOST_ROWS or (names is not None and names.some and _long(names)):
            half = len(block) // 2
            yield from _storable([block.part(slice(half)), block.part(slice(half, None))])
        else:
            yield block


def _long(names: Names) -> bool:
    ids = names.list()
    return len(ids) > 1 and 4 * sum(len(id or "") + 8 for id in ids) > MAX_IDS


def _pack_table(parts: NDArray[Any], content: Content) -> bytes:
    sources: list[dict[str, Any]] = []
    arrays = []
    for made in content.made:
        sources.append({"rows": made.rows, "name": made.name, "blocks": len(made.blocks),
                        "gone": len(made.gone)})  # fmt: skip
        arrays.append(np.column_stack([made.blocks, made.checks]).astype("<u4").tobytes())
        arrays.append(made.gone.astype("<u8").tobytes())
    known = {"sources": sources, "profiles": sorted(content.profiles)}
    text = json.dumps(known).encode()  # ASCII: also a name that is not Unicode
    head = _TABLE.pack(len(parts), len(text))
    return b"".join([head, text, parts.astype(_PART).tobytes(), *arrays])
