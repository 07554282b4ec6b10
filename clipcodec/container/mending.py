"""What is there of a container that is appended to: its profile stays, damage becomes blocks that
readers skip."""

from __future__ import annotations

import re
from typing import BinaryIO

from ..errors import CorruptError, DecodeError, OptionError, TruncatedError
from . import layout
from .deletions import unpack_deletions
from .embedded import Embedded, embedded_in, place
from .files import SeekableFile
from .survey import Survey

BLOCK_BYTES = 1 << 20  # of the blocks that are written, but for one long item
_PROFILE = re.compile(layout.PROFILE + rb"[\x00-\x04]...\x00\x00\x00\x00", re.DOTALL)
_DELETIONS = re.compile(  # the head of a block of deletions, one byte of which may be another
    rb"(?:.ONE|G.NE|GO.E|GON.)....\x00{4}|GONE....(?:.\x00{3}|\x00.\x00\x00|\x00\x00.\x00|\x00{3}.)",
    re.DOTALL,
)
_FRONT = len(layout.OPENING)
_COPY = "copy what is good, with writer.extend(clipcodec.open(…, partial=True))"
_LOST_DELETIONS = (
    f"what says which items are deleted is damaged, and appending would bring them back: {_COPY}"
)


def profile_to_put(file: SeekableFile, survey: Survey, given: Embedded | None) -> Embedded | None:
    """The given profile, if it can still be put at the front of the container, else None.

    Raises OptionError: the container has items and not this profile, or it was cut inside of its
    profile and none is given; CorruptError: going on would lose the profile that it carries.
    """
    begun = bool(survey.entries[:, 1].any())
    try:
        found = place(file)
    except DecodeError:
        found = None
        if begun and _may_hide_one(file, survey):
            raise CorruptError(_lost("is damaged, or stands behind what is")) from None
    if found is not None and (survey.complete or found[0] in survey.offsets):
        if given is not None and given != (there := embedded_in(file)):
            name = "none" if there is None else f"one of SHA-256 {there.digest.hex()}"
            raise OptionError(
                f"{file.name} carries another profile, {name}, not {given.digest.hex()}: leave "
                "profile= out, or begin another container"
            )
        return None
    if found is not None and begun:
        raise CorruptError(_lost("is damaged, or stands behind what is"))
    if given is None:
        cut = file.read_at(survey.end, len(layout.PROFILE))
        if not begun and not survey.complete and cut and layout.PROFILE.startswith(cut):
            raise OptionError(
                f"{file.name} was cut inside of the profile that it was to carry: give that again, "
                "profile="
            )
        return None
    if begun or not _only_metadata(file, survey):
        raise OptionError(
            f"{file.name} was begun without a profile: leave profile= out, or begin another"
        )
    return given


def _may_hide_one(file: SeekableFile, survey: Survey) -> bool:
    """Do the damaged bytes before the first item look as if a profile was there?"""
    number = int((survey.entries[:, 1] > 0).argmax())  # of the first block with items
    at = int(survey.offsets[number - 1] + survey.entries[number - 1, 0]) if number else _FRONT
    hidden = file.read_at(at, int(survey.offsets[number]) - at)
    return hidden.startswith(layout.PROFILE) or _PROFILE.search(hidden) is not None


def _lost(how: str) -> str:
    return f"the profile that the container carries {how}, and appending would lose it: {_COPY}"


def _only_metadata(file: SeekableFile, survey: Survey) -> bool:
    """Is there nothing before the end but metadata, and perhaps an index?"""
    kinds = [file.read_at(int(offset), 4) for offset in survey.offsets]
    if kinds[-1:] == [layout.INDEX]:
        kinds.pop()
    return kinds in ([], [layout.METADATA])


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
                    f"over: {_COPY}"
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
