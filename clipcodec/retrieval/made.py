"""What the rows of an index were made of, to notice that a container is another one by now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..container import Container
from ..errors import MismatchError
from ..system.shown import counted

_TRIED = 64  # check values that `MadeOf.compare` reads, spread over the container
_UNKNOWN = 0  # instead of a check value: reading all in an object store would read the whole object


@dataclass(frozen=True, eq=False)
class MadeOf:
    """One source of an index.

    rows    items that the index has of it
    name    path of the container; None: these were streams without one
    blocks  (B, 2) bytes and items of each block of the container that holds items
    checks  (B,) their check values, or `_UNKNOWN`
    gone    (R, 2) places of the items that were deleted, counted with these: runs, each from its
            start to before its end
    """

    rows: int
    name: str | None
    blocks: NDArray[np.int64]
    checks: NDArray[np.int64]
    gone: NDArray[np.int64]

    @classmethod
    def streams(cls, rows: int) -> MadeOf:
        none = np.empty(0, np.int64)
        return cls(rows, None, none.reshape(0, 2), none, none.reshape(0, 2))

    @classmethod
    def container(cls, container: Container) -> MadeOf:
        """Raises OSError or DecodeError: it cannot be read."""
        path = container._file.own_path
        blocks, step = blocks_of(container), 1
        while container._file.remote and len(blocks) > _TRIED * step:
            step *= 2  # so that those of a container that grew are among these
        checks = np.full(len(blocks), _UNKNOWN, np.int64)
        checks[::step] = _checks(container, range(0, len(blocks), step))
        name = _name(container.name if path is None else path)
        return cls(len(container), name, blocks, checks, gone_of(container))

    def equals(self, other: MadeOf) -> bool:
        return (self.rows, self.name) == (other.rows, other.name) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("blocks", "checks", "gone")
        )

    def kept(self, now: MadeOf) -> NDArray[np.bool_] | None:
        """Which of its rows are still in the container as it is now, as its first ones.

        None: that cannot be told: it is another container, or was compacted.
        """
        count = len(self.blocks)
        if self.name is None or now.name is None or len(now.blocks) < count or not count:
            return None
        known = (self.checks != _UNKNOWN) & (now.checks[:count] != _UNKNOWN)
        differ = (now.checks[:count] != self.checks) & known
        if (now.blocks[:count] != self.blocks).any() or differ.any():
            return None
        items = int(self.blocks[:, 1].sum())
        alive, still = ~_within(self.gone, items), ~_within(now.gone, items)
        if alive.sum() != self.rows or (still & ~alive).any():  # one that is no longer deleted
            return None
        return still[alive]

    def compare(self, container: Container, index: str) -> None:
        """Raise MismatchError unless the container is the one that this was made of, unchanged."""
        remedy = "bring it up to date, index.update(container), or build it again"
        name, own = container.name, blocks_of(container)
        count = min(len(own), len(self.blocks))
        known = np.flatnonzero(self.checks[:count] != _UNKNOWN)
        tried = np.unique(known[:: max(1, len(known) // _TRIED)])
        same = (own[:count] == self.blocks[:count]).all() and (
            _checks(container, tried.tolist()) == self.checks[tried]
        ).all()
        if self.name is None or not same or len(own) < len(self.blocks):
            of = "streams without a container" if self.name is None else f"another, {self.name}"
            if self.name is not None and self.name == _name(name):
                of = "what it was before it was written anew"
            raise MismatchError(f"{index} was not made of {name}, but of {of}: {remedy}")
        if len(own) > count:
            more = counted(int(own[count:, 1].sum()), "item")
            raise MismatchError(f"{name} has gained {more} since {index} was made: {remedy}")
        if not np.array_equal(gone_of(container), self.gone) or len(container) != self.rows:
            less = counted(self.rows - len(container), "item was", "items were")
            raise MismatchError(f"{less} deleted from {name} since {index} was made: {remedy}")


def blocks_of(container: Container) -> NDArray[np.int64]:
    """(B, 2) bytes and items of each block that holds items."""
    entries = container.survey.entries
    return entries[entries[:, 1] > 0]


def gone_of(container: Container) -> NDArray[np.int64]:
    """(R, 2) runs of the deleted items."""
    deletions = container.survey.deletions
    return np.column_stack([deletions.starts, deletions.ends]).astype(np.int64)


def _within(runs: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """(count,) which places lie within runs."""
    steps = np.zeros(count + 1, np.int64)
    np.add.at(steps, runs[:, 0].clip(max=count), 1)
    np.add.at(steps, runs[:, 1].clip(max=count), -1)
    return np.cumsum(steps)[:count] > 0


def _name(path: str) -> str:
    """A path as it is kept; an address of a store as it is."""
    return path if "://" in path else os.path.realpath(path)


def _checks(container: Container, blocks: Any) -> NDArray[np.int64]:
    """The check values of some blocks, as they are in the file."""
    survey = container.survey
    data = survey.entries[:, 1] > 0
    ends = (survey.offsets + survey.entries[:, 0])[data]
    found = container._file.read_many([(int(ends[i]) - 4, 4) for i in blocks])
    return np.array([int.from_bytes(one, "big") for one in found], np.int64)
