"""The bytes of a search index (.clpi): head, parts and table ↔ numbers. No I/O.

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

import json
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..container.layout import MAGIC as CONTAINER
from ..errors import CorruptError, TruncatedError, UnsupportedError
from .made import MadeOf

SUFFIX = ".clpi"
MAGIC = b"\x89CLPI\r\n"
VERSION = 1

HEAD_BYTES, ALIGNED = 128, 64
SLOTS = (32, 80)  # the two places in the head that name the table
_HEAD = struct.Struct("<7sBIB3x")  # magic, version, width, exact
_SLOT = struct.Struct("<QQII")  # as in `Slot`
_TABLE = struct.Struct("<II")  # parts, bytes of the JSON
PART = np.dtype(
    [("offset", "<u8"), ("rows", "<u4"), ("type", "<u4"), ("check", "<u4"), ("ids", "<u4"),
     ("ids_check", "<u4")]
)  # fmt: skip
MOST_ROWS = 8192  # of a part
_MOST_WIDTH = 1 << 20
EMBEDDINGS, SMALL, WIDE = range(3)  # float32 rows; int8 and float32 coefficients with scales
TYPES: dict[int, np.dtype[Any]] = {
    EMBEDDINGS: np.dtype("<f4"),
    SMALL: np.dtype("i1"),
    WIDE: np.dtype("<f4"),
}


# the head


class Slot(NamedTuple):
    """Where the table is: how many there were with it, its place, its size and its check value."""

    generation: int
    offset: int
    size: int
    check: int

    @property
    def end(self) -> int:
        """Where the table ends."""
        return self.offset + self.size

    def to_bytes(self) -> bytes:
        return _checked(_SLOT.pack(*self))


class Head(NamedTuple):
    """What the head says: width of the rows, whether they are exact, and where the table is."""

    width: int
    exact: bool
    table: Slot

    def to_bytes(self) -> bytes:
        data = bytearray(HEAD_BYTES)
        first = _checked(_HEAD.pack(MAGIC, VERSION, self.width, self.exact))
        slot = self.table.to_bytes()
        for at, part in [(0, first), *((at, slot) for at in SLOTS)]:
            data[at : at + len(part)] = part
        return bytes(data)


def unpack_head(head: bytes, size: int) -> Head:
    """The head of a file of `size` bytes, from the first ones of it.

    Raises CorruptError, TruncatedError or UnsupportedError.
    """
    _check_opening(head)
    first = _unchecked(head, 0, _HEAD)
    if first is None:
        raise CorruptError("check value of its head does not match: damaged, build it again")
    _, _, width, exact = first
    slots = [Slot(*found) for at in SLOTS if (found := _unchecked(head, at, _SLOT)) is not None]
    if not slots:
        raise CorruptError("its head does not say where its table is: damaged, build it again")
    table = max(slots)
    if table.end > size:
        raise TruncatedError(
            f"{size} bytes are there, of {table.end}: cut; copy it or build it again"
        )
    if table.offset < HEAD_BYTES or width > _MOST_WIDTH or exact > 1:
        raise CorruptError("its head is not as one is written: damaged, build it again")
    return Head(width, bool(exact), table)


def _check_opening(head: bytes) -> None:
    """Raise a DecodeError unless this is a whole head of an index of this version."""
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
    if len(head) < HEAD_BYTES:
        raise TruncatedError(f"an index of {len(head)} bytes: cut, build it again")


def _checked(data: bytes) -> bytes:
    """With its check value behind it."""
    return data + zlib.crc32(data).to_bytes(4, "little")


def _unchecked(head: bytes, at: int, form: struct.Struct) -> tuple[Any, ...] | None:
    """What stands there; None if its check value does not match."""
    data = head[at : at + form.size]
    whole = head[at : at + form.size + 4] == _checked(data)
    return form.unpack(data) if whole else None


# parts


def data_bytes(parts: Any, width: int) -> Any:
    """Bytes of values and scales of a part, or of each of many; both are multiples of four."""
    rows = parts["rows"].astype(np.int64)
    values = rows * width * np.where(parts["type"] == SMALL, 1, 4)
    return -(-values // 4) * 4 + np.where(parts["type"] == EMBEDDINGS, 0, 4 * rows)


def ends(parts: NDArray[Any], width: int) -> NDArray[np.int64]:
    """Where each part ends."""
    found: NDArray[np.int64] = (
        parts["offset"].astype(np.int64) + data_bytes(parts, width) + parts["ids"]
    )
    return found


def check_parts(parts: NDArray[Any], width: int, end: int) -> None:
    """Raise CorruptError unless all parts lie before the table, which begins at `end`."""
    good = (
        (parts["rows"] > 0) & (parts["rows"] <= MOST_ROWS) & (parts["type"] <= WIDE)
        & (parts["offset"] >= HEAD_BYTES) & (parts["offset"] % ALIGNED == 0)
        & (parts["offset"] <= end)
    )  # fmt: skip
    if not (good.all() and (width or not len(parts)) and (ends(parts, width) <= end).all()):
        raise CorruptError("its table names parts that cannot be: damaged, build it again")


# the table


class Table(NamedTuple):
    """Where the parts are (`PART` each), what they were made of, and the profiles of `Content`."""

    parts: NDArray[Any]
    made: list[MadeOf]
    profiles: frozenset[tuple[str, str]]

    def to_bytes(self) -> bytes:
        sources: list[dict[str, Any]] = []
        arrays = []
        for made in self.made:
            sources.append({"rows": made.rows, "name": made.name, "blocks": len(made.blocks),
                            "gone": len(made.gone)})  # fmt: skip
            arrays.append(np.column_stack([made.blocks, made.checks]).astype("<u4").tobytes())
            arrays.append(made.gone.astype("<u8").tobytes())
        known = {"sources": sources, "profiles": sorted(self.profiles)}
        text = json.dumps(known).encode()  # ASCII: also a name that is not Unicode
        head = _TABLE.pack(len(self.parts), len(text))
        return b"".join([head, text, self.parts.astype(PART).tobytes(), *arrays])


def unpack_table(table: bytes) -> Table:
    """A table from its bytes. Raises CorruptError."""
    try:
        count, length = _TABLE.unpack_from(table)
        at = _TABLE.size
        known = json.loads(table[at : at + length])
        at += length
        parts = np.frombuffer(table, PART, count, at)
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
        return Table(parts, made, frozenset((str(a), str(b)) for a, b in known["profiles"]))
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
