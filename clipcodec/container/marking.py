"""What a writer is to delete: found by id or position, and noted until it is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, placed
from . import layout
from .deletions import Deletions, Places, pack_deletions
from .files import SeekableFile
from .ids import unpack_ids
from .keys import no_id, places_of


def listed(keys: Any) -> Any:
    """Many keys as a list; one, and a range or a slice, as it is. Raises OptionError for bytes."""
    keys = keys.tolist() if hasattr(keys, "tolist") else keys
    if isinstance(keys, (bytes, bytearray)):  # a list of them would be numbers, so positions
        raise OptionError(f"{type(keys).__name__} is no key of an item: an id is text")
    if isinstance(keys, Iterable) and not isinstance(keys, (str, range)):
        return [*keys]
    return keys


class Marked:
    """The items of a container that is written, and which of them are to be deleted.

    written  what blocks of the file delete already
    """

    def __init__(self, written: Deletions | None = None) -> None:
        self.written = written or Deletions()
        self._marked: set[int] = set()  # places, not written yet
        self._merged, self._unmerged = self.written, set[int]()  # both together are all
        self._named: dict[str, list[int]] | None = None  # places by id, once they were asked for

    def __len__(self) -> int:
        """How many items are deleted, or will be."""
        return len(self.written) + len(self._marked)

    @property
    def waiting(self) -> bool:
        """Are there any that are not written yet?"""
        return bool(self._marked)

    def note(self, place: int, id: str | None) -> None:
        """An item was appended."""
        if self._named is not None and id is not None:
            self._named.setdefault(id, []).append(place)

    @property
    def known(self) -> bool:
        """Are the ids of all items known?"""
        return self._named is not None

    def know(self, named: Iterable[tuple[int, str]]) -> None:
        """The places and ids of all items that have one."""
        self._named = {}
        for place, id in named:
            self._named.setdefault(id, []).append(place)

    def mark(self, keys: Any, count: int) -> int:
        """Note the items that these keys mean; how many. An id means all items that have it.

        count  items of the container, without those that are deleted

        Raises UnknownItemError or OptionError, and then notes none.
        """
        keys = listed(keys)
        names: list[str] = []
        if isinstance(keys, str):
            keys, names = [], [keys]
        elif isinstance(keys, list):
            names = [key for key in keys if isinstance(key, str)]
            keys = [key for key in keys if not isinstance(key, str)]
        unknown = [id for id in names if not self.named(id)]
        if unknown:
            raise no_id(unknown)
        positions = np.atleast_1d(places_of(keys, count, dict[str, int]().__getitem__))
        chosen = {*self._all().places(positions).tolist()} if len(positions) else set[int]()
        chosen.update(place for id in names for place in self.named(id))
        self.add(chosen)
        return len(chosen)

    def add(self, places: Collection[int]) -> None:
        """Note the items at these places."""
        self._marked.update(places)
        self._unmerged.update(places)

    def named(self, id: str) -> list[int]:
        """The places of the items with this id that are not deleted."""
        places = (self._named or {}).get(id, ())
        return [
            place
            for place in places
            if place not in self._marked and self.written.kept(place, 1) is None
        ]

    def blocks(self, places: Places, at: int) -> Iterator[bytes]:
        """The blocks that delete what was noted, to be written at byte `at`, one after the other.

        places  of the blocks before them
        """
        for data in pack_deletions(Deletions.of(_sorted(self._marked)), places, at):
            yield layout.block(layout.GONE, data)

    def done(self) -> None:
        """These blocks were written."""
        self.written = self._all()
        self._marked.clear()

    def _all(self) -> Deletions:
        """What is deleted and what is noted. Kept, as it is asked for with each position."""
        if self._unmerged:
            self._merged = Deletions.union([self._merged, Deletions.of(_sorted(self._unmerged))])
            self._unmerged.clear()
        return self._merged


def _sorted(places: set[int]) -> NDArray[np.int64]:
    return np.array(sorted(places), np.int64)


def named_items(
    file: SeekableFile, places: Places, sizes: NDArray[np.int64]
) -> Iterator[tuple[int, str]]:
    """Place and id of every item of a file that has an id, also of deleted ones.

    sizes  bytes of each block of `places`

    Raises DecodeError.
    """
    ranges = list(zip(places.offsets.tolist(), sizes.tolist(), strict=True))
    firsts = zip(places.firsts.tolist(), places.counts.tolist(), strict=True)
    for data, (first, count) in zip(file.read_many(ranges), firsts, strict=True):
        with placed(source=f"{file.name}: items {first} to {first + count - 1}"):
            _, packed = layout.unpack_streams(layout.parse_block(data)[1], count)
            ids = [] if packed is None else unpack_ids(packed, count)
        yield from ((first + row, id) for row, id in enumerate(ids) if id is not None)
