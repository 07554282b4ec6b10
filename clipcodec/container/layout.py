"""The bytes of a container (formats/container-1.md): blocks ↔ items. No I/O."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..entropy import Payloads
from ..errors import CorruptError, TruncatedError, UnsupportedError
from .fields import Fields, pack_bits, varint
from .ids import MAX_ID as MAX_ID
from .ids import pack_ids, unpack_ids

SUFFIX = ".clpc"
MAGIC = b"\x89CLPC\r\n"
_INDEX = b"\x89CLPI\r\n"  # begins the file of a search index, retrieval/layout.py
VERSION = 1
OPENING = MAGIC + bytes([VERSION])
DATA, INDEX, METADATA, PROFILE = b"DATA", b"indx", b"meta", b"prof"
GONE = b"GONE"  # items that are deleted
UNUSABLE = b"void"  # damaged bytes, made a block that readers skip
HEAD_BYTES = 16
AROUND = HEAD_BYTES + 4  # bytes of a block besides its body: head and check value
CLOSING_BYTES = 8  # at the end of the file: the size of the index body, and its check value

MAX_ITEMS = 1 << 16  # items of a block
MAX_BODY = 1 << 26  # bytes, as all that follow
MAX_STREAM = 1 << 17
MAX_START = 255  # without a limit, a small block could decode to gigabytes of streams
MAX_METADATA = 1 << 20

_HEAD = struct.Struct(">4sII")
_LONGEST_CUT = 16  # bytes of a start; longer ones are not tried
_MOST_STARTS = 256  # different starts in a block that is written
_IDS = 1  # flag of a DATA block: it holds ids


class Item(NamedTuple):
    """One stream of a container, and its id.

    Attributes:
        stream: Its bytes.
        id: The name that it was appended with, or None.

    Examples:
        >>> item = clipcodec.open("photos.clpc").item(7)
        >>> item.id, len(item.stream) <= 50
        ('7.jpg', True)
    """

    stream: bytes
    id: str | None

    def __repr__(self) -> str:
        from ..system.shown import brief, shown, sized

        def parts() -> list[object]:
            return [None if self.id is None else brief(self.id), sized(len(self.stream))]

        return shown("Item", parts)


class Head(NamedTuple):
    """The head of a block. size: bytes of its body; items: how many it holds (DATA only)."""

    kind: bytes
    size: int
    items: int

    @property
    def whole(self) -> int:
        """Bytes of the whole block."""
        return AROUND + self.size

    def to_bytes(self) -> bytes:
        head = _HEAD.pack(*self)
        return head + zlib.crc32(head).to_bytes(4, "big")


def check_opening(start: bytes) -> None:
    """Check the first 8 bytes of a container.

    Raises CorruptError (no container), TruncatedError (too short) or UnsupportedError (version).
    """
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        if start.startswith(_INDEX):
            raise CorruptError("a search index, no container: clipcodec.SearchIndex.open reads it")
        raise CorruptError(f"begins with {start.hex(' ')}: not a clipcodec container")
    if len(start) < len(OPENING):
        if not start:
            raise TruncatedError("empty: expected a container")
        raise TruncatedError(f"a container of {len(start)} bytes: cut in its first {len(OPENING)}")
    if start[-1] != VERSION:
        raise UnsupportedError(
            f"container version {start[-1]}: this release reads {VERSION} (upgrade clipcodec)"
        )


def parse_head(data: bytes) -> Head:
    """The head at the beginning of a block; its check value and the limits are checked.

    Raises TruncatedError, CorruptError or UnsupportedError.
    """
    if len(data) < HEAD_BYTES:
        raise TruncatedError("ends inside the head of a block")
    if zlib.crc32(data[:12]) != int.from_bytes(data[12:16], "big"):
        raise CorruptError("check value of a block's head does not match: damaged")
    head = Head(*_HEAD.unpack_from(data))
    if head.size > MAX_BODY or (head.items and head.kind != DATA):
        raise CorruptError(f"a block of {head.size} bytes and {head.items} items: above the limits")
    if head.kind == DATA and not 1 <= head.items <= MAX_ITEMS:
        raise CorruptError(f"a block of {head.items} items: expected 1 to {MAX_ITEMS}")
    if head.kind[:1].isupper() and head.kind not in (DATA, GONE):
        raise UnsupportedError(
            f"unknown block {head.kind!r}: from a later release, upgrade clipcodec"
        )
    return head


def parse_block(data: bytes) -> tuple[Head, bytes]:
    """Head and body of a block; both check values are checked. Raises as `parse_head`."""
    head = parse_head(data)
    if len(data) < head.whole:
        raise TruncatedError(f"ends inside a block of {head.whole} bytes")
    data = data[: head.whole]
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        raise CorruptError("check value of a block does not match: damaged")
    return head, data[HEAD_BYTES:-4]


def block(kind: bytes, body: bytes, count: int = 0) -> bytes:
    """The bytes of a whole block: head, body, check value."""
    data = Head(kind, len(body), count).to_bytes() + body
    return data + zlib.crc32(data).to_bytes(4, "big")


# blocks of items


def pack_items(streams: Sequence[bytes], ids: Sequence[str | None] | None = None) -> bytes:
    """A DATA block of these streams. ids: one per stream or None; None: no item has an id."""
    cuts = (_cut(streams, length) for length in range(_LONGEST_CUT + 1))
    cut = min(
        takewhile(lambda cut: len(cut.starts) <= _MOST_STARTS, cuts), key=lambda cut: cut.size
    )
    parts = [bytes([0 if ids is None else _IDS]), varint(len(cut.starts))]
    for start, least in zip(cut.starts, cut.least, strict=True):
        parts += [varint(len(start)), start, varint(least)]
    parts += [
        pack_bits(cut.which, (len(cut.starts) - 1).bit_length()),
        bytes([cut.width]),
        pack_bits(cut.more, cut.width),
        *(stream[cut.length :] for stream in streams),
    ]
    if ids is not None:
        parts.append(pack_ids(ids))
    return block(DATA, b"".join(parts), len(streams))


class _Cut(NamedTuple):
    """Streams cut after `length` bytes, so that equal starts are stored once.

    starts  the different starts
    which   (N,) index of each stream's start
    least   length of the shortest rest after each start, in bytes
    more    (N,) bytes that each rest is longer than that, stored in `width` bits each
    size    bytes of the block that depend on where the streams are cut
    """

    length: int
    starts: list[bytes]
    which: NDArray[np.int64]
    least: list[int]
    more: NDArray[np.int64]
    width: int
    size: float


def _cut(streams: Sequence[bytes], length: int) -> _Cut:
    numbers: dict[bytes, int] = {}
    which = np.array([numbers.setdefault(stream[:length], len(numbers)) for stream in streams])
    rests = np.maximum(np.array([len(stream) for stream in streams]) - length, 0)
    least = np.full(len(numbers), MAX_STREAM)
    np.minimum.at(least, which, rests)
    more = rests - least[which]
    width = int(more.max()).bit_length()
    bits = len(streams) * ((len(numbers) - 1).bit_length() + width)
    size = len(numbers) * (length + 2) + bits / 8 + float(rests.sum())
    return _Cut(length, list(numbers), which, least.tolist(), more, width, size)


def unpack_items(body: bytes, count: int) -> tuple[Payloads, list[str | None] | None]:
    """Streams and ids of a DATA block's body, all of it checked. Raises CorruptError."""
    streams, packed = unpack_streams(body, count)
    return streams, None if packed is None else unpack_ids(packed, count)


def unpack_streams(body: bytes, count: int) -> tuple[Payloads, bytes | None]:
    """Streams of a DATA block's body, and its field *ids* unread, if it has one.

    Everything but the ids is checked. Raises CorruptError.
    """
    reader = Fields(body)
    flags = reader.byte()
    if flags & ~_IDS:
        raise CorruptError(f"flags {flags:#x} of a block: unknown flags are set")
    distinct = reader.varint()
    if not 1 <= distinct <= count:
        raise CorruptError(f"{distinct} starts for {count} items")
    starts, least = list[bytes](), list[int]()
    for _ in range(distinct):
        starts.append(reader.take(reader.varint()))
        least.append(reader.varint())
        if len(starts[-1]) > MAX_START or least[-1] > MAX_STREAM:
            raise CorruptError(f"a start of {len(starts[-1])} bytes and {least[-1]}: at most "
                               f"{MAX_START} and {MAX_STREAM}")  # fmt: skip
    which = reader.bits(count, (distinct - 1).bit_length())
    if which.max() >= distinct:
        raise CorruptError(f"an item has start {which.max()} of {distinct}")
    width = reader.byte()
    if width > MAX_STREAM.bit_length():
        raise CorruptError(f"lengths of {width} bits: at most {MAX_STREAM.bit_length()}")
    lengths = reader.bits(count, width) + np.array(least)[which]
    whole = lengths + np.array([len(start) for start in starts])[which]
    if whole.max() > MAX_STREAM or whole.min() < 1:
        raise CorruptError(f"streams of {whole.min()} to {whole.max()} bytes: 1 to {MAX_STREAM}")
    streams = _put_together(starts, which, reader.take(int(lengths.sum())), whole)
    if not flags & _IDS:
        reader.end()
        return streams, None
    return streams, reader.rest()


def _put_together(
    starts: list[bytes], which: NDArray[np.int64], rests: bytes, whole: NDArray[np.int64]
) -> Payloads:
    """Streams: to each its start, then its rest. whole (N,): bytes of each stream."""
    places = np.cumsum(whole) - whole
    total = int(whole.sum())
    out, of_rests = np.empty(total, np.uint8), np.ones(total, bool)
    groups: dict[int, list[int]] = {}  # those of equal length
    for number, start in enumerate(starts):
        groups.setdefault(len(start), []).append(number)
    rank, size_of = np.empty((2, len(starts)), np.int64)
    for size, numbers in groups.items():
        rank[numbers], size_of[numbers] = np.arange(len(numbers)), size
    sizes = size_of[which]
    for size, numbers in groups.items():
        if size:
            rows = np.flatnonzero(sizes == size)
            own = np.frombuffer(b"".join([starts[i] for i in numbers]), f"V{size}")
            _stretches(out, size)[places[rows]] = own[rank[which[rows]]]
            _stretches(of_rests, size)[places[rows]] = np.zeros(1, f"V{size}")
    out[of_rests] = np.frombuffer(rests, np.uint8)
    return Payloads(out, places, whole)


def _stretches(data: NDArray[Any], size: int) -> NDArray[Any]:
    """Every `size` bytes, at each place: numpy copies such an item at once."""
    return np.ndarray((len(data) - size + 1,), f"V{size}", data, strides=(1,))


# index and metadata


def pack_index(entries: NDArray[np.int64]) -> bytes:
    """The INDEX block. entries (B, 2): bytes and items of each block, in the order of the file."""
    body = entries.astype(">u4").tobytes()
    return block(INDEX, body + (len(body) + 4).to_bytes(4, "big"))


def unpack_index(body: bytes) -> NDArray[np.int64]:
    """Entries (B, 2) of an index: bytes and items of every block before it. Raises CorruptError."""
    if len(body) % 8 != 4 or int.from_bytes(body[-4:], "big") != len(body):
        raise CorruptError(f"an index of {len(body)} bytes: it states another size")
    entries = np.frombuffer(body[:-4], ">u4").astype(np.int64).reshape(-1, 2)
    if (entries[:, 1] > MAX_ITEMS).any():
        raise CorruptError(f"an index of a block of {entries[:, 1].max()} items: at most "
                           f"{MAX_ITEMS}")  # fmt: skip
    return entries


def pack_metadata(metadata: dict[str, Any]) -> bytes:
    """The METADATA block. Raises ValueError or TypeError if JSON cannot hold the metadata."""
    text = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if len(text.encode()) > MAX_METADATA:
        raise ValueError(f"more than {MAX_METADATA} bytes")
    return block(METADATA, text.encode())


def unpack_metadata(body: bytes) -> dict[str, Any]:
    """The metadata in a METADATA block's body. Raises CorruptError."""
    try:
        metadata = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"metadata are not JSON: {error}") from error
    if not isinstance(metadata, dict) or len(body) > MAX_METADATA:
        raise CorruptError(f"metadata are not a JSON object of at most {MAX_METADATA} bytes")
    return metadata
