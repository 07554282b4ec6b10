"""The ids of a block (formats/container-1.md, section 4): names of files, which are much alike.

Each is written by how it differs from the one before: its number is higher, or it has the same
first bytes. So `rows.npy/17` or `IMG_0017.jpg` after the one before takes next to nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from ..errors import CorruptError
from .fields import Fields, varint

MAX_ID = 1 << 12  # bytes
MAX_IDS = 1 << 24  # bytes of all ids of a block; and of what they are deflated from

_NONE, _TEXT = 0, 1  # steps; from 2 on the number is raised by one less
_DIGITS = b"0123456789"
_MOST_DIGITS = 15  # of a number: any language can add these exactly
_LONGEST_STEP = 1 << 21  # more than three bytes: text is as short


def pack_ids(ids: Sequence[str | None]) -> bytes:
    """The field *ids* of a block; one or None per item."""
    whole = [None if id is None else id.encode() for id in ids]
    end = _common_end([id for id in whole if id is not None])
    steps, shares, lengths, texts = list[bytes](), list[bytes](), list[bytes](), list[bytes]()
    before = b""
    for id in whole:
        if id is None:
            steps.append(varint(_NONE))
            continue
        name = id[: len(id) - len(end)]
        raised = _raised_by(before, name)
        if raised:
            steps.append(varint(raised + 1))
        else:
            share = _shared(before, name)
            steps.append(varint(_TEXT))
            shares.append(varint(share))
            lengths.append(varint(len(name) - share))
            texts.append(name[share:])
        before = name
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    plain = b"".join([varint(len(end)), end, *steps, *shares, *lengths, *texts])
    return deflate.compress(plain) + deflate.flush()


def _common_end(ids: list[bytes]) -> bytes:
    """What all ids end with, such as `.jpg`. A number is not cut in two."""
    if not ids:
        return b""
    backwards = sorted(id[::-1] for id in ids)
    end = backwards[0][: _shared(backwards[0], backwards[-1])][::-1]
    return end.lstrip(_DIGITS)


def _shared(a: bytes, b: bytes) -> int:
    """How many of their first bytes are the same."""
    differ = (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differ, min(len(a), len(b)))


def _number_at(name: bytes) -> int:
    """Where the number at the end of a name begins; its length if it ends with none."""
    number = name[-_MOST_DIGITS:]
    return len(name) - len(number) + len(number.rstrip(_DIGITS))


def _raised_by(before: bytes, name: bytes) -> int:
    """By how much the number of the name before is raised in this one; 0: it differs otherwise."""
    at = _number_at(before)
    if at == len(before) or at != _number_at(name) or name[:at] != before[:at]:
        return 0
    step = int(name[at:] or b"0") - int(before[at:])
    return step if 0 < step < _LONGEST_STEP and _raise(before, step) == name else 0


def _raise(name: bytes, step: int) -> bytes | None:
    """The name whose number is higher; None if it has no number, or too long a one."""
    return _Numbered(name).raised(step)


class _Numbered:
    """A name, cut before its number, which is raised again and again."""

    def __init__(self, name: bytes) -> None:
        at = _number_at(name)
        self._start, self._digits = name[:at], len(name) - at
        self._number = int(name[at:]) if self._digits else 0

    def raised(self, step: int) -> bytes | None:
        """As `_raise`; from then on, this is the name."""
        if not self._digits:
            return None
        self._number += step
        number = b"%0*d" % (self._digits, self._number)
        self._digits = len(number)
        return None if self._digits > _MOST_DIGITS else self._start + number


def unpack_ids(deflated: bytes, count: int) -> list[str | None]:
    """The ids of `count` items. Raises CorruptError."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflate.decompress(deflated, MAX_IDS)
    except zlib.error as error:
        raise CorruptError(f"ids of a block: {error}") from error
    if not inflate.eof or inflate.unused_data:
        raise CorruptError(f"ids of a block: truncated, followed by more, or above {MAX_IDS} bytes")
    fields = Fields(data)
    end = fields.take(fields.varint())
    steps = fields.varints(count)
    texts = steps.count(_TEXT)
    shares, lengths = fields.varints(texts), fields.varints(texts)
    ids: list[str | None] = []
    name: bytes | None = b""
    numbered: _Numbered | None = None  # the name, once its number was raised
    total, text = 0, 0
    for step in steps:
        if step == _NONE:
            ids.append(None)
            continue
        assert name is not None
        if step == _TEXT:
            if shares[text] > len(name):
                raise CorruptError(f"an id shares {shares[text]} bytes of {len(name)}")
            name = name[: shares[text]] + fields.take(lengths[text])
            text += 1
            numbered = None
        else:
            numbered = numbered or _Numbered(name)
            name = numbered.raised(step - 1)
            if name is None:
                raise CorruptError("an id raises a number that is not there, or too long")
        size = len(name) + len(end)
        total += size
        if not 0 < size <= MAX_ID or total > MAX_IDS:
            raise CorruptError(
                f"an id of {size} bytes, {total} with those before it: expected 1 to {MAX_ID}, and "
                f"at most {MAX_IDS}"
            )
        try:
            ids.append((name + end).decode())
        except UnicodeDecodeError as error:
            raise CorruptError(f"an id is not UTF-8: {error}") from error
    fields.end()
    return ids
