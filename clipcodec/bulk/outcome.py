"""What a job would do, and what it has done: plans, results, failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import ClipcodecError
from .entries import LeftOut


class Failure(NamedTuple):
    """One image, row or input that failed.

    Attributes:
        name: The file, archive member or row, as messages call it.
        error: What is wrong with it.
        rows: How many images or rows it stands for: all of an array of the wrong width, else one.

    Examples:
        >>> from clipcodec.bulk import Job
        >>> plan = Job(["photo.jpg", "none.jpg"], "new.clpc").plan()
        >>> [failure.name for failure in plan.failures]
        ['none.jpg']
    """

    name: str
    error: ClipcodecError
    rows: int = 1


@dataclass(frozen=True)
class Plan:
    """What a job would do.

    Attributes:
        ids: What would be compressed, in order.
        there_already: How many inputs are in the container already.
        failures: What is known to fail; a damaged image shows only when it is read.
        bytes: About how large all new streams are; None: unknown.
        left_out: As in `JobResult`.

    Examples:
        >>> from clipcodec.bulk import Job
        >>> Job("photos/", "new.clpc").plan().ids
        ['cat.jpg', 'dog.jpg', 'photo.jpg']
    """

    ids: list[str]
    there_already: int
    failures: list[Failure]
    bytes: int | None
    left_out: list[LeftOut] = field(default_factory=list)

    def __repr__(self) -> str:
        from ..system.shown import counted, shown, sized

        def parts() -> list[object]:
            size = "of unknown size" if self.bytes is None else f"about {sized(self.bytes)}"
            return [f"{counted(len(self.ids), 'input')} to compress", size, *_counts(self)]

        return shown("bulk.Plan", parts)

    @property
    def failed(self) -> int:
        """How many images or rows would fail."""
        return sum(failure.rows for failure in self.failures)


@dataclass(frozen=True)
class JobResult:
    """What a job did.

    Attributes:
        compressed: How many streams were added to the container.
        there_already: How many inputs were in it before.
        failures: Every failure by name, in order.
        bytes: Of the streams added.
        seconds: The time it took, without loading the backbone.
        bytes_per_item: Of all items of the container, with their ids, but without what a container
            and its blocks take whatever is in them.
        adapted: Whether the quality was changed on the way, to come to mean_bytes.
        left_out: Files and archive members that are no images, or hidden: for each reason how many,
            and their names; also a warning.
        profile_bytes: What the profile takes that the container carries; 0: it carries none.
        size: Of the whole container, in bytes.

    Examples:
        >>> from clipcodec.bulk import Job
        >>> result = Job("embeddings.npy", "new.clpc", clipcodec.Target(quality=9), workers=0).run()
        >>> result.compressed, result.failures
        (100, [])
    """

    compressed: int
    there_already: int
    failures: list[Failure]
    bytes: int
    seconds: float
    bytes_per_item: float = 0.0
    adapted: bool = False
    left_out: list[LeftOut] = field(default_factory=list)
    profile_bytes: int = 0
    size: int = 0

    def __repr__(self) -> str:
        from ..system.shown import counted, shown, sized

        def parts() -> list[object]:
            return [f"{counted(self.compressed, 'stream')} added", sized(self.bytes),
                    *_counts(self), f"{self.seconds:.1f} s"]  # fmt: skip

        return shown("bulk.JobResult", parts)

    @property
    def failed(self) -> int:
        """How many images or rows failed."""
        return sum(failure.rows for failure in self.failures)


def _counts(found: Plan | JobResult) -> list[str]:
    """What else became of the inputs, for `repr`."""
    counts = [(found.there_already, "there already"), (found.failed, "failed"),
              (sum(one.count for one in found.left_out), "left out")]  # fmt: skip
    return [f"{count:,} {what}" for count, what in counts if count]
