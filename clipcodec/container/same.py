"""Whether a container that is opened again, by its path, has the items that it had."""

from __future__ import annotations

import numpy as np

from ..errors import MismatchError
from .files import SeekableFile
from .survey import Survey

_TRIED = 64  # check values that are compared, spread over the container


def marks_of(file: SeekableFile, survey: Survey) -> list[bytes] | None:
    """Check values of some blocks with items, the last one too; None: of an object of a store.

    Such an object has a state that tells it from any other.
    """
    if file.remote:
        return None
    blocks = np.flatnonzero(survey.entries[:, 1])
    step = -(-len(blocks) // _TRIED) or 1
    ends = (survey.offsets + survey.entries[:, 0])[blocks[::-1][::step]]
    return list(file.read_many([(end - 4, 4) for end in sorted(ends.tolist())]))


def check_same(file: SeekableFile, survey: Survey, marks: list[bytes] | None) -> None:
    """Raise MismatchError unless a file still has the items of this survey, where they were.

    It may have grown since, also by what deletes items.

    marks  of the file that was surveyed; None: not known

    Raises ReplacedError of an object of a store.
    """
    grew = file.grew_from(survey.state)
    if file.remote or file.state() == survey.state:
        return
    if not (grew if marks is None else marks_of(file, survey) == marks):
        raise MismatchError(
            f"{file.name} was compacted, or replaced by another, since it was opened: open it again"
        )
