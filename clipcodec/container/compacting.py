"""A container written anew, without what was deleted: `compact`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..errors import OptionError
from ..system.stores import is_url
from .copying import copy_items
from .layout import Item
from .locking import ReplacedLock
from .reader import Container


@dataclass(frozen=True)
class Compacted:
    """What `compact` has done.

    Attributes:
        items: How many items the container has.
        deleted: How many deleted items it had, whose bytes are gone now.
        before: The size of its file before, in bytes.
        bytes: The size of its file now.

    Examples:
        >>> from clipcodec.container import compact
        >>> done = compact("photos.clpc")
        >>> done.items, done.deleted
        (100, 0)
    """

    items: int
    deleted: int
    before: int
    bytes: int

    def __repr__(self) -> str:
        from ..system.shown import counted, shown, sized

        def parts() -> list[object]:
            return [counted(self.items, "item"), f"{sized(self.before)} → {sized(self.bytes)}",
                    f"{self.deleted:,} deleted" if self.deleted else None]  # fmt: skip

        return shown("container.Compacted", parts)


def compact(path: str | os.PathLike[str], *, block_items: int | None = None) -> Compacted:
    """Write a container anew: without deleted items, in whole blocks.

    Items, ids, metadata and the profile that it carries stay, and so do the positions. The new file
    takes the place of the old one when it is complete. Readers that have the old one open go on
    reading that. An index of it is out of date then: see `SearchIndex.update`.

    Args:
        path: The container.
        block_items: As for `clipcodec.create`.

    Returns:
        What was done.

    Raises:
        LockedError: Another process writes it.
        OptionError: It is an object in a store.
        DecodeError: It is damaged, or no container; it stays as it is.
        OSError: It cannot be read, or not be written; it stays as it is.

    Examples:
        >>> from clipcodec.container import compact
        >>> with clipcodec.create("photos.clpc", "a") as writer:
        ...     writer.delete(slice(0, 10))
        10
        >>> compact("photos.clpc").deleted, len(clipcodec.open("photos.clpc"))
        (10, 90)
    """
    if is_url(path):
        raise OptionError(f"{path}: an object in a store cannot be changed: compact a copy of it")
    target = Path(os.path.realpath(path))
    open(target, "r+b").close()  # what may not be written is not replaced either
    with closing(ReplacedLock(target)) as lock, Container(target) as source:

        def items() -> Iterator[Item]:
            yield from source.items()
            if sys.platform == "win32":  # an open file cannot be replaced there
                source.close()

        writer = copy_items(
            source, target, items(), overwrite=True, block_items=block_items, replaced=lock
        )
        return Compacted(len(source), source.deleted, source.size, writer.size)
