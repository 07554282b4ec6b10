"""What an index holds: a value that is replaced as a whole, so that a search keeps what it began
with while another thread adds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from .blocks import Block, joined
from .found import Origin, Places
from .made import MadeOf
from .names import Names


class Added(NamedTuple):
    """What is put behind a content: a source, whose rows follow, or some rows of it, or both.

    made      the source
    block     its rows
    profiles  of these rows, as in `Content`
    """

    made: MadeOf | None = None
    block: Block | None = None
    profiles: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Content:
    """What an index holds.

    exact     whether float32 rows are kept
    blocks    its rows
    made      what these were made of, in order
    profiles  names of the profiles of its streams, and of their backbones
    """

    exact: bool
    blocks: list[Block]
    made: list[MadeOf]
    profiles: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def empty(cls, exact: bool) -> Content:
        return cls(exact, [], [])

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    @property
    def dim(self) -> int | None:
        """Width D of the rows; None while there are none."""
        return self.blocks[0].dim if self.blocks else None

    @property
    def nbytes(self) -> int:
        return sum(block.nbytes for block in self.blocks)

    def ids(self) -> list[str | None]:
        """The id of each row; a new list. Raises CorruptError."""
        names = (Names(len(block)) if block.names is None else block.names for block in self.blocks)
        return list(chain.from_iterable(name.list() for name in names))

    def origin(self) -> Origin:
        """Its sources, which find the ids of hits."""
        counts = [made.rows for made in self.made]
        starts = np.cumsum([0, *counts[:-1]]).tolist() if counts else []
        finders = [_IdsFrom(self.blocks, start) for start in starts]
        return Origin(counts, finders) if counts else Origin()

    def plus(self, new: Added) -> Content:
        """The content with this behind it; small blocks are kept together. Raises DecodeError."""
        made, blocks = list(self.made), self.blocks
        if new.made is not None and not (new.made.name is None and made and made[-1].name is None):
            made.append(replace(new.made, rows=0))
        if new.block is not None:
            made[-1] = replace(made[-1], rows=made[-1].rows + len(new.block))
            blocks = list(blocks)
            block = new.block
            if blocks and blocks[-1].fits(block):
                block = joined([blocks.pop(), block])
            blocks.append(block)
        return Content(self.exact, blocks, made, self.profiles | new.profiles)


class _IdsFrom:
    """Finds ids of one source, whose rows begin at `first`."""

    def __init__(self, blocks: list[Block], first: int) -> None:
        self._blocks, self._first = blocks, first

    def __call__(self, places: Places) -> list[str | None]:
        ids: list[str | None] = []
        rows, start = places + self._first, 0
        for block in self._blocks:
            low, high = np.searchsorted(rows, [start, start + len(block)])
            if high > low and block.names is not None and block.names.some:
                names = block.names.list()
                ids += [names[row] for row in (rows[low:high] - start).tolist()]
            else:
                ids += [None] * int(high - low)
            start += len(block)
        return ids
