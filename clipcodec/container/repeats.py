"""Which items have an id that another item has, found in little memory."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from .layout import Item

SameId = Literal["keep", "first", "last", "refuse"]
SAME_ID: tuple[SameId, ...] = get_args(SameId)
"""What becomes of items with the same id: all are kept, the first, the last; or an error."""


class Found(NamedTuple):
    """Ids that several items have.

    ids      how many ids
    differ   how many of these have streams that are not all the same
    again    (R,) positions of the items whose id an item before them has
    before   (R,) positions of the items whose id an item after them has
    """

    ids: int
    differ: int
    again: NDArray[np.int64]
    before: NDArray[np.int64]

    def left_out(self, same_id: SameId) -> NDArray[np.int64]:
        """Positions, in order, of the items that are left out."""
        if same_id not in ("first", "last"):
            return np.empty(0, np.int64)
        return np.sort(self.again if same_id == "first" else self.before)


class Repeats:
    """Is told every item, and keeps 32 bytes for each that has an id."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._places = array("q")

    def add(self, place: int, item: Item) -> None:
        """Note the item at this position; positions grow."""
        if item.id is None:
            return
        self._digests += blake2b(item.id.encode(), digest_size=16).digest()
        self._digests += blake2b(item.stream, digest_size=8).digest()
        self._places.append(place)

    def found(self) -> Found:
        rows = np.frombuffer(bytes(self._digests), np.uint64).reshape(-1, 3)
        order = np.lexsort((rows[:, 1], rows[:, 0]))  # stable: each id's items stay in order
        rows, places = rows[order], np.array(self._places, np.int64)[order]
        same = (rows[1:, :2] == rows[:-1, :2]).all(axis=1)  # as the item before
        other = same & (rows[1:, 2] != rows[:-1, 2])
        first = np.concatenate([[True], ~same])[: len(rows)]
        last = np.concatenate([~same, [True]])[: len(rows)]
        ids = np.cumsum(first)  # the number of each row's id
        return Found(
            ids=int((first & ~last).sum()),
            differ=len(np.unique(ids[1:][other])),
            again=places[~first],
            before=places[~last],
        )
