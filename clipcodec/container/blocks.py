"""Blocks of items in memory: streams side by side in one buffer, ids unpacked where asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from ..entropy import Payloads
from ..errors import placed
from ..system.forks import cached_property
from .ids import unpack_ids

Piece = list[tuple["Block", slice]]  # some items, which may lie in several blocks


class Block:
    """The items of one block, whose check value and streams have been checked.

    streams  N
    packed   the field *ids*, not looked at yet; None: no item has an id
    source   what an error of the ids names
    kept     (N,) which items are not deleted; None: all

    The items that are deleted are not among those of the block.
    """

    def __init__(
        self,
        streams: Payloads,
        packed: bytes | None,
        source: str,
        kept: NDArray[np.bool_] | None = None,
    ) -> None:
        self._packed, self._kept, self._source = packed, kept, source
        self._count = len(streams)
        self.streams = streams if kept is None else streams.take(np.flatnonzero(kept))

    @cached_property
    def ids(self) -> list[str | None]:
        """One for each item. Raises CorruptError: whoever made the block made bad ids."""
        if self._packed is None:
            return [None] * len(self.streams)
        with placed(source=self._source):
            ids = unpack_ids(self._packed, self._count)
        return ids if self._kept is None else [*compress(ids, self._kept.tolist())]


def pieces(blocks: Iterable[Block], rows: int) -> Iterator[Piece]:
    """All items in order, `rows` at a time; the last piece may be smaller."""
    piece, missing = Piece(), rows
    for block in blocks:
        count, at = len(block.streams), 0
        while at < count:
            part = slice(at, min(at + missing, count))
            piece.append((block, part))
            missing -= part.stop - at
            at = part.stop
            if not missing:
                yield piece
                piece, missing = Piece(), rows
    if piece:
        yield piece


def streams_of(piece: Piece) -> Payloads:
    """The streams of a piece."""
    return Payloads.joined([block.streams[part] for block, part in piece])


def ids_of(piece: Piece) -> list[str | None]:
    """The ids of a piece. Raises CorruptError."""
    return [id for block, part in piece for id in block.ids[part]]
