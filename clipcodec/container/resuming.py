"""What a container holds that is appended to, and which profile it carries from then on."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

from ..errors import (
    CorruptError,
    DecodeError,
    LockedError,
    OptionError,
    TruncatedError,
    UnsupportedError,
    placed,
)
from . import layout
from .embedded import Embedded, embedded_in, place
from .files import SeekableFile
from .mending import COPY, refuse_lost_deletions
from .survey import Survey, read_survey

_FRONT = len(layout.OPENING)
_PROFILE = re.compile(layout.PROFILE + rb"[\x00-\x04]...\x00\x00\x00\x00", re.DOTALL)


class Resumed(NamedTuple):
    """What a writer goes on with.

    survey   of the file
    missing  the profile that it was to carry, and that is still to be put at its front
    carried  the profile that it carries then
    """

    survey: Survey
    missing: Embedded | None
    carried: Embedded | None


def resumed(
    file: SeekableFile, survey: Survey | None, given: Embedded | None, *, new: bool
) -> Resumed | None:
    """What is there to go on with; None: nothing, so it is to be begun.

    survey  of this file, if it was surveyed already
    given   the profile that it is to carry
    new     whether it was never finished: then it may be begun anew, whatever it holds

    Raises DecodeError, LockedError if another process wrote it after the survey, or OptionError:
    see `_profile_to_put`.
    """
    if survey is None:
        try:
            survey = read_survey(file, partial=True)
        except TruncatedError:  # empty, or cut in its first bytes
            return None
    elif survey.state is None or survey.state != file.state():
        raise LockedError(f"{file.name} was written by another process meanwhile: try again")
    with placed(source=file.name):
        if isinstance(survey.why, UnsupportedError):  # what follows would be cut off
            raise survey.why
        refuse_lost_deletions(file, survey)
        missing, carried = _profile_to_put(file, survey, given), given
        if given is None:
            with suppress(DecodeError):  # it says so when it is needed
                carried = embedded_in(file)
        if not len(survey.entries):
            if not new and isinstance(survey.why, CorruptError):
                raise survey.why
            return None
    return Resumed(survey, missing, carried)


def _profile_to_put(file: SeekableFile, survey: Survey, given: Embedded | None) -> Embedded | None:
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
    return f"the profile that the container carries {how}, and appending would lose it: {COPY}"


def _only_metadata(file: SeekableFile, survey: Survey) -> bool:
    """Is there nothing before the end but metadata, and perhaps an index?"""
    kinds = [file.read_at(int(offset), 4) for offset in survey.offsets]
    if kinds[-1:] == [layout.INDEX]:
        kinds.pop()
    return kinds in ([], [layout.METADATA])
