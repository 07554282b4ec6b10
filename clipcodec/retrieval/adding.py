"""Sources → what an index keeps of them, and of sources that have changed since."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from ..container import Container
from ..profile.registry import ProfileLike
from .blocks import Block, block_of, rotation, rounded, selected
from .content import Added, Content
from .made import MadeOf
from .names import Names
from .several import containers_of, in_container
from .sources import codec_of, parts


class Updated(NamedTuple):
    """What `SearchIndex.update` has changed.

    Attributes:
        added: Items that were decoded.
        dropped: Rows that the index had, and has no longer.
        anew: Whether nothing of the index could be kept.

    Examples:
        >>> photos = clipcodec.open("photos.clpc")
        >>> clipcodec.SearchIndex(photos).update(photos)
        Updated(added=0, dropped=0, anew=False)
    """

    added: int
    dropped: int
    anew: bool


class Adding(NamedTuple):
    """How the rows of an index are made: kept exact or not, and decoded as `SearchIndex` says."""

    exact: bool
    profile: ProfileLike
    device: str | None

    def everything(self, source: Any, dim: int | None) -> Iterator[Added]:
        """What a source, or several containers, add to an index of this width.

        Raises DecodeError.
        """
        several = containers_of(source)
        for one in [source] if several is None else several:
            held = isinstance(one, Container)
            if held:
                yield Added(MadeOf.container(one))
            with in_container(None if several is None else one.name):
                for new in self.rows(one, dim):
                    dim = dim if new.block is None else new.block.dim
                    yield new if held else new._replace(made=MadeOf.streams(0))

    def rows(self, source: Any, dim: int | None, start: int = 0) -> Iterator[Added]:
        """The rows of one source, from a position on. Raises DecodeError."""
        codec = codec_of(source, self.profile, self.device)
        rows = np.arange(start, len(source)) if start else None
        for part in parts(source, codec, dim, rows, named=True):
            block = self._kept(block_of(codec, part))
            names = Names(len(block)) if part.ids is None else Names.of(part.ids())
            used = frozenset((own.profile.name, own.profile.backbone) for own in part.streams)
            yield Added(None, block.named(names), used)

    def _kept(self, block: Block) -> Block:
        """The block as the index keeps it."""
        if block.scale is not None:
            small = rounded(block.values, least=1.0)
            return block if self.exact and not small.equals(block) else small
        return block if self.exact else rounded(rotation().coefficients(block.values))

    def changes(
        self, before: Content, containers: list[Container]
    ) -> tuple[Content, Updated, bool]:
        """The content for these containers, and whether it is the old one with rows behind it.

        Rows of items that are still there are taken over. Raises DecodeError or OSError.
        """
        content = Content.empty(before.exact)
        first = kept_rows = added = 0
        appended = len(containers) >= len(before.made)
        for old, container in zip_longest(before.made[: len(containers)], containers):
            now, start = MadeOf.container(container), 0
            content = content.plus(Added(now))
            if old is not None:
                kept = old.kept(now)
                appended &= kept is not None and bool(kept.all()) and not added
                if kept is not None:
                    start = int(kept.sum())
                    for block in selected(before.blocks, first + np.flatnonzero(kept)):
                        content = content.plus(Added(block=block))
                    kept_rows += start
                first += old.rows
            with in_container(container.name if len(containers) > 1 else None):
                if start < len(container):
                    for new in self.rows(container, content.dim, start):
                        content = content.plus(new)
                        added += len(new.block or ())
        if kept_rows:
            content = content.plus(Added(profiles=before.profiles))
        dropped = len(before) - kept_rows
        return content, Updated(added, dropped, bool(len(before)) and not kept_rows), appended
