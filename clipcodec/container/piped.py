"""Read a container from its beginning to its end, as from a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DecodeError, TruncatedError, UnsupportedError, placed
from . import layout
from .deletions import Places, unpack_deletions
from .embedded import Embedded, check_order
from .files import Readable, exactly
from .layout import Item
from .reader import codec_for
from .survey import check_index

if TYPE_CHECKING:
    from ..codec import Codec
    from ..profile import Profile
    from ..profile.registry import ProfileLike


def read_items(file: Readable, *, profile: ProfileLike = None) -> ItemReader:
    """Read a container from a file that need not seek, such as a pipe.

    Args:
        file: A binary file. One block of it is in memory at a time.
        profile: As for `clipcodec.open`.

    Returns:
        An iterator over the items in order, streams with their ids or None. Its `codec` decodes
        them, also by a profile that the container carries.

    Raises:
        DecodeError: After the items of the last good block: the container is cut or damaged.
        UnsupportedError: Likewise: items that were given are deleted further on.

    Examples:
        >>> with open("photos.clpc", "rb") as pipe:  # or sys.stdin.buffer
        ...     sizes = [len(stream) for stream, id in clipcodec.read_items(pipe)]
        >>> len(sizes)
        100
    """
    return ItemReader(file, profile=profile)


class ItemReader(Iterator[Item]):
    """The items of a container that is read to its end, once; `read_items` gives it.

    Args:
        file: As for `clipcodec.read_items`.
        profile: As for `clipcodec.open`.

    Examples:
        >>> with open("photos.clpc", "rb") as pipe:
        ...     items = clipcodec.read_items(pipe)
        ...     rows = [items.codec.decode(stream) for stream, id in items]
        >>> len(rows)
        100
    """

    def __init__(self, file: Readable, *, profile: ProfileLike = None) -> None:
        self._profile = profile
        self._embedded: Embedded | None = None
        self._codec: Codec | None = None
        self._items = self._read(file)
        self._first: list[Item] = []  # read before it was asked for
        self._error: DecodeError | None = None
        self._begun = False

    def __repr__(self) -> str:
        from ..system.shown import shown

        return shown("container.ItemReader", lambda: ["of a container that is read once"])

    def __iter__(self) -> ItemReader:
        return self

    def __next__(self) -> Item:
        self._begin()
        if self._first:
            return self._first.pop()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return next(self._items)

    def _begin(self) -> None:
        """Read on to the first item: what the container carries stands before it."""
        if self._begun:
            return
        self._begun = True
        try:
            self._first = [item for item in [next(self._items, None)] if item is not None]
        except DecodeError as error:
            self._error = error

    @property
    def codec(self) -> Codec:
        """What decodes the items, as `Container.codec` does.

        Examples:
            >>> with open("photos.clpc", "rb") as pipe:
            ...     items = clipcodec.read_items(pipe)
            ...     items.codec.decode(next(items).stream).shape
            (512,)
        """
        if self._codec is None:
            from .profiles import CarriedProfile

            self._codec = codec_for(self._profile)
            self._codec._carried = CarriedProfile(self.embedded)
        return self._codec

    @property
    def profile(self) -> Profile | None:
        """The profile that the container carries for its streams; None: it carries none.

        Raises:
            DecodeError: The profile is damaged, or from a later release.

        Examples:
            >>> with open("photos.clpc", "rb") as pipe:
            ...     clipcodec.read_items(pipe).profile is None
            True
        """
        carried = self.codec._carried
        assert carried is not None
        return carried()

    def embedded(self, on_bad: Callable[[DecodeError], object] | None = None) -> Embedded | None:
        """Give the profile that the container carries as it lies there, as `Container.embedded`.

        Args:
            on_bad: Is never called: a damaged profile ends the reading of a pipe.

        Returns:
            What `ContainerWriter` takes as `profile`; None: it carries none.

        Examples:
            >>> with open("photos.clpc", "rb") as pipe:
            ...     clipcodec.read_items(pipe).embedded() is None
            True
        """
        self._begin()
        return self._embedded

    def _read(self, file: Readable) -> Iterator[Item]:
        layout.check_opening(exactly(file, len(layout.OPENING)))
        first = last = b""  # kinds of blocks
        place, entries = 0, list[tuple[int, int]]()
        while start := exactly(file, layout.HEAD_BYTES):
            with placed(source=f"container, after {place} items"):
                head = layout.parse_head(start)
                rest = exactly(file, head.whole - layout.HEAD_BYTES)
                head, body = layout.parse_block(start + rest)
                items = list[Item]()
                if head.kind == layout.DATA:
                    streams, ids = layout.unpack_items(body, head.items)
                    items = list(map(Item, streams, ids or [None] * len(streams)))
                elif head.kind == layout.INDEX:
                    check_index(body, entries)
                elif head.kind == layout.METADATA and not entries:
                    layout.unpack_metadata(body)
                elif head.kind == layout.PROFILE:
                    check_order(len(entries), first)
                    self._embedded = Embedded.parse(body)
                elif head.kind == layout.GONE and self._deletes(body, entries):
                    raise UnsupportedError(
                        "items that were given already are deleted further on, which only a reader "
                        "of the whole file can know: save it, and use clipcodec.open; or compact it"
                    )
            entries.append((head.whole, head.items))
            first, last = first or head.kind, head.kind
            yield from items
            place += len(items)
        if last != layout.INDEX:
            with placed(source=f"container, after {place} items"):
                raise TruncatedError("ends without its index: cut")

    @staticmethod
    def _deletes(body: bytes, entries: list[tuple[int, int]]) -> bool:
        """Does a block behind these delete items of theirs?"""
        table = np.array(entries, np.int64).reshape(-1, 2)
        ends = len(layout.OPENING) + np.cumsum(table[:, 0])
        at = int(ends[-1]) if entries else len(layout.OPENING)
        return len(unpack_deletions(body, Places.of(ends - table[:, 0], table[:, 1]), at)) > 0
