"""Which items of a container are deleted: the blocks `GONE` (formats/container-1.md, section 13).

Items keep their place in the file, and a block behind them says that they are gone. So deleting
appends some bytes, and a crash loses nothing. `compact` writes the file without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from . import layout

Integers = NDArray[np.int64]
_RUN = np.dtype([("back", ">u8"), ("first", ">u2"), ("last", ">u2")])


@dataclass(frozen=True)
class Places:
    """Where the items of a file are.

    offsets  (B,) where each block with items begins, in bytes
    counts   (B,) its items
    firsts   (B,) the place of its first item among all, deleted ones included
    """

    offsets: Integers
    counts: Integers
    firsts: Integers

    @classmethod
    def of(cls, offsets: Integers, counts: Integers) -> Places:
        """offsets, counts: (A,) of every block of the file, also those without items."""
        data = counts > 0
        counts = counts[data]
        return cls(offsets[data], counts, np.cumsum(counts) - counts)


class Deletions:
    """Places of items that are deleted, as runs: a few numbers for any number of neighbours.

    starts, ends  (R,) each run begins at its start and ends before its end; in order, apart
    """

    def __init__(self, starts: Integers | None = None, ends: Integers | None = None) -> None:
        none = np.empty(0, np.int64)
        self.starts, self.ends = _apart(
            none if starts is None else starts, none if ends is None else ends
        )

    @classmethod
    def of(cls, places: Integers) -> Deletions:
        """places: (n,) of the items, in any order."""
        return cls(places, places + 1)

    @classmethod
    def union(cls, parts: Sequence[Deletions]) -> Deletions:
        """All that one of them deletes."""
        if not parts:
            return cls()
        return cls(
            np.concatenate([part.starts for part in parts]),
            np.concatenate([part.ends for part in parts]),
        )

    def __len__(self) -> int:
        """How many items are deleted."""
        return int((self.ends - self.starts).sum())

    def before(self, places: Integers) -> Integers:
        """How many are deleted before each of these places."""
        if not len(self.starts):
            return np.zeros(len(places), np.int64)
        sums = np.concatenate([[0], np.cumsum(self.ends - self.starts)])
        run = np.searchsorted(self.starts, places, side="right") - 1  # the last that begins there
        within = np.minimum(places, self.ends[run]) - self.starts[run]
        return np.where(run < 0, 0, sums[run] + within)

    def places(self, positions: Integers) -> Integers:
        """The places of the items at these positions, which count only what is not deleted."""
        sums = np.concatenate([[0], np.cumsum(self.ends - self.starts)])
        begins = self.starts - sums[:-1]  # the position of what follows each run
        found: Integers = positions + sums[np.searchsorted(begins, positions, side="right")]
        return found

    def kept(self, first: int, count: int) -> NDArray[np.bool_] | None:
        """(count,) which of the items from `first` on are there; None: all are."""
        low = int(np.searchsorted(self.ends, first, side="right"))
        high = int(np.searchsorted(self.starts, first + count))
        if low >= high:
            return None
        kept = np.ones(count, bool)
        runs = zip(self.starts[low:high].tolist(), self.ends[low:high].tolist(), strict=True)
        for start, end in runs:
            kept[max(start - first, 0) : end - first] = False
        return kept


def pack_deletions(deleted: Deletions, places: Places, at: int) -> Iterator[bytes]:
    """The bodies of blocks `GONE`, the first at byte `at` of the file, behind these blocks.

    Nearly always one is enough. Each is to be written behind the one before.
    """
    cuts = np.union1d(deleted.starts, places.firsts)  # no run reaches into the next block
    cuts = cuts[(deleted.before(cuts + 1) - deleted.before(cuts)) > 0]
    block = np.searchsorted(places.firsts, cuts, side="right") - 1
    ends = deleted.ends[np.searchsorted(deleted.starts, cuts, side="right") - 1]
    ends = np.minimum(ends, places.firsts[block] + places.counts[block])
    out = np.empty(len(cuts), _RUN)
    out["first"] = cuts - places.firsts[block]
    out["last"] = ends - 1 - places.firsts[block]
    most = layout.MAX_BODY // _RUN.itemsize
    for start in range(0, len(out), most):
        part = out[start : start + most]
        part["back"] = at - places.offsets[block[start : start + most]]
        yield part.tobytes()
        at += layout.AROUND + part.nbytes


def unpack_deletions(body: bytes, places: Places, at: int) -> Deletions:
    """What a block `GONE` at byte `at` of the file deletes of the blocks before it.

    A run in what is no block of items is passed over: damage was cut out there.

    Raises CorruptError.
    """
    if len(body) % _RUN.itemsize:
        raise CorruptError(f"deleted items in {len(body)} bytes: expected {_RUN.itemsize} for each")
    runs = np.frombuffer(body, _RUN)
    first, last = (runs[name].astype(np.int64) for name in ("first", "last"))
    if (last < first).any():
        raise CorruptError("deleted items end before they begin")
    back = runs["back"].astype(np.uint64)
    if not back.all() or (back > at).any():
        raise CorruptError("deleted items that are not before the block that deletes them")
    if not len(places.offsets):
        return Deletions()
    begins = at - back.astype(np.int64)
    block = np.searchsorted(places.offsets, begins).clip(max=len(places.offsets) - 1)
    there = places.offsets[block] == begins
    if (last[there] >= places.counts[block][there]).any():
        raise CorruptError("deleted items beyond the end of their block")
    base = places.firsts[block]
    return Deletions((base + first)[there], (base + last + 1)[there])


def _apart(starts: Integers, ends: Integers) -> tuple[Integers, Integers]:
    """The same runs in order, those that meet or overlap made one."""
    if not len(starts):
        return starts, ends
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    begins = np.concatenate([[True], starts[1:] > ends[:-1]])
    return starts[begins], ends[np.concatenate([begins[1:], [True]])]
