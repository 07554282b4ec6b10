"""Damage in a container that is appended to becomes blocks that readers skip."""

from __future__ import annotations

import re
from typing import BinaryIO

from ..errors import CorruptError, DecodeError, TruncatedError
from . import layout
from .deletions import unpack_deletions
from .files import SeekableFile
from .packing import BLOCK_BYTES
from .survey import Survey

_DELETIONS = re.compile(  # the head of a block of deletions, one byte of which may be another
    rb"(?:.ONE|G.NE|GO.E|GON.)....\x00{4}"
    rb"|GONE....(?:.\x00{3}|\x00.\x00\x00|\x00\x00.\x00|\x00{3}.)",
    re.DOTALL,
)
_FRONT = len(layout.OPENING)
COPY = "copy what is good, clipcodec.container.merge(…, partial=True)"
_LOST_DELETIONS = (
    f"what says which items are deleted is damaged, and appending would bring them back: {COPY}"
)


def refuse_lost_deletions(file: SeekableFile, survey: Survey) -> None:
    """Raise CorruptError if damage looks as if it had said which items are deleted.

    They would be there again. A block that was cut while it was written has deleted nothing.
    """
    at = _FRONT
    ends = [*survey.offsets.tolist(), survey.end if survey.complete else file.size]
    sizes = [*survey.entries[:, 0].tolist(), 0]
    for end, size in zip(ends, sizes, strict=True):
        for start in range(at, end, BLOCK_BYTES):
            data = file.read_at(start, min(end - start, BLOCK_BYTES + layout.HEAD_BYTES))
            for match in _DELETIONS.finditer(data):
                if not _cut(file, start + match.start(), survey):
                    raise CorruptError(_LOST_DELETIONS)
        at = end + size
    if survey.complete:
        return
    for offset, size in zip(survey.offsets.tolist(), sizes, strict=False):
        if file.read_at(offset, 4) == layout.GONE:
            _, body = layout.parse_block(file.read_at(offset, size))
            try:
                unpack_deletions(body, survey.places, offset)
            except CorruptError:  # bytes before it are missing
                raise CorruptError(_LOST_DELETIONS) from None


def _cut(file: SeekableFile, at: int, survey: Survey) -> bool:
    """Was the block whose head this is not written to its end?

    The file ends inside it, or where the index did in whose place it was to be written.
    """
    index = layout.AROUND + 8 * len(survey.entries) + 4
    if at == survey.end and file.size == at + index:  # a whole block would have another index
        return True
    try:
        return at + layout.parse_head(file.read_at(at, layout.HEAD_BYTES)).whole > file.size
    except TruncatedError:
        return True
    except DecodeError:
        return False


def mended(target: BinaryIO, file: SeekableFile, survey: Survey) -> list[tuple[int, int]]:
    """The entries of the file, once damage between good blocks is a block that readers skip.

    Nothing good is written over, and the damaged bytes stay, but for the first 16 and the last 4.
    Raises CorruptError if there is no room for that.
    """
    entries: list[tuple[int, int]] = []
    changes: list[tuple[int, bytes]] = []
    at = len(layout.OPENING)
    for offset, (size, count) in zip(survey.offsets.tolist(), survey.entries.tolist(), strict=True):
        if 0 < offset - at < layout.AROUND and entries:
            before = at - entries[-1][0]
            if file.read_at(before, 4) == layout.INDEX:  # it is not needed any more
                at = before
                entries.pop()
        while at < offset:
            gap = min(offset - at, BLOCK_BYTES)
            if 0 < offset - at - gap < layout.AROUND:
                gap -= layout.AROUND
            if gap < layout.AROUND:
                raise CorruptError(
                    f"{file.name}: {gap} bytes at {at} do not belong there, too few to be passed "
                    f"over: {COPY}"
                )
            data = file.read_at(at, gap)
            skipped = layout.block(layout.UNUSABLE, data[layout.HEAD_BYTES : -4])
            changes += [(at, skipped[: layout.HEAD_BYTES]), (at + gap - 4, skipped[-4:])]
            entries.append((gap, 0))
            at += gap
        entries.append((size, count))
        at += size
    for offset, data in changes:
        target.seek(offset)
        target.write(data)
    return entries
