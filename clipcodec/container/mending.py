"""Damage in a container that is appended to becomes blocks that readers skip."""

from __future__ import annotations

from typing import BinaryIO

from ..errors import CorruptError
from . import layout
from .survey import SeekableFile, Survey

BLOCK_BYTES = 1 << 20  # of the blocks that are written, but for one long item


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
                    "over: copy what is good, with writer.extend(clipcodec.open(…, partial=True))"
                )
            data = file.read_at(at, gap)
            skipped = layout.block(layout.UNUSABLE, data[layout.HEAD_BYTES : -4])
            changes += [(at, skipped[: layout.HEAD_BYTES]), (at + gap - 4, skipped[-4:])]
            entries.append((gap, 0))
            at += gap
        entries.append((size, count))
        at += size
    for place, data in changes:
        target.seek(place)
        target.write(data)
    return entries
