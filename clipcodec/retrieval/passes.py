"""Search of streams in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..codec import Codec
from ..container import Container
from ..profile.registry import ProfileLike
from .blocks import Block, block_of
from .filters import chosen, listed
from .found import Hits, Origin, finder_of, located, merged_hits
from .hits import Queries, best_hits, check_k
from .several import containers_of, in_container
from .sources import Places, check_backbone, codec_of, parts


def search(
    source: Any,
    queries: Any,
    k: int = 10,
    *,
    ids: Iterable[str] | None = None,
    where: Any = None,
    exact: bool = True,
    profile: ProfileLike = None,
    backbone: str | None = None,
    device: str | None = None,
) -> Hits:
    """Find the k streams whose embeddings have the largest inner product with each query.

    One pass, decoding block after block, whatever the number of queries; memory does not grow with
    the source. To search the same streams often, keep a `SearchIndex`.

    Args:
        source: An open container, a list of containers, a sequence or iterator of streams, or a
            pyarrow column of them.
        queries: (D,) or (Q, D), image or text embeddings, any norm: taken at unit norm.
        k: How many hits for each query. A source of N < k streams gives N.
        ids: Search only items with these ids.
        where: Search only some items: N booleans, positions, or a function that is given an id, or
            None where there is none, and says whether the item is searched. No other item is
            decoded. Of an iterator, a list is made first.
        exact: Decode every stream. False: score all by the first networks of the decoder, and
            decode a short list wholly; several times faster, and nearly the same hits.
        profile: A private profile's file; a container brings its own.
        backbone: The model that made the queries: streams of another one are an error. None:
            unknown.
        device: Where the streams are decoded: "cuda" for a GPU; None: where the container decodes
            its own.

    Returns:
        Scores and positions, (Q, k) each; of several containers, positions count through all.

    Raises:
        EmbeddingError: The queries have another width than the source, or are zero, NaN or
            infinite.
        OptionError: `k` is no positive whole number; a filter names ids or positions that are not
            there, or has not one boolean for each item.
        DecodeError: Names the streams at fault by their position in the source, and the container
            if there are several; so are streams of another width than those before.

    Examples:
        >>> query = np.load("embeddings.npy")[7]
        >>> photos = clipcodec.open("photos.clpc")
        >>> clipcodec.search(photos, query, k=5).ids[0][0]
        '7.jpg'
        >>> clipcodec.search(photos, query, k=5, where=lambda id: id.startswith("1")).ids[0][0]
        '10.jpg'
    """
    asked, k = Queries(queries), check_k(k)
    several = containers_of(source)
    if several is None and (ids is not None or where is not None):
        source = listed(source)
    sources = [source] if several is None else several
    origin = Origin(
        [len(one) for one in sources] if several is not None else (), list(map(finder_of, sources))
    )
    rows = _filtered(sources, ids, where) if ids is not None or where is not None else None
    passes = [
        _Pass(one, codec_of(one, profile, device), own, None if several is None else one.name)
        for one, own in zip(sources, _shares(sources, rows), strict=True)
    ]
    if not exact:
        return located(_staged(passes, asked, k, backbone), origin)
    return located(best_hits(_all_blocks(passes, asked, backbone), asked, k), origin, rows)


class _Pass:
    """One source of a search.

    rows  places of those of its streams that are searched; None: all
    name  where there are several
    """

    def __init__(self, source: Any, codec: Codec, rows: Places | None, name: str | None) -> None:
        self.source, self.codec, self.rows, self.name = source, codec, rows, name

    def blocks(self, asked: Queries, backbone: str | None, dim: int | None) -> Iterator[Block]:
        """Its blocks. dim: width that they must have. Raises DecodeError or EmbeddingError."""
        with in_container(self.name):
            for part in parts(self.source, self.codec, dim, self.rows):
                asked.check(part.dim)
                if backbone is not None:
                    check_backbone(part, backbone)
                yield block_of(self.codec, part)


def _all_blocks(passes: list[_Pass], asked: Queries, backbone: str | None) -> Iterator[Block]:
    dim: int | None = None
    for one in passes:
        for block in one.blocks(asked, backbone, dim):
            dim = block.dim
            yield block


def _filtered(sources: list[Any], ids: Any, where: Any) -> Places | None:
    """Places of the items that a filter leaves, counted through all sources."""
    named = all(isinstance(one, Container) for one in sources)
    what = ", ".join(one.name for one in sources) if named else "a source of streams"
    count = sum(map(len, sources))
    return chosen(
        count, (lambda: [id for one in sources for id in one.ids]) if named else None,
        what, ids, where,
    )  # fmt: skip


def _shares(sources: list[Any], rows: Places | None) -> list[Places | None]:
    """The places of each source, counted in it."""
    if rows is None:
        return [None] * len(sources)
    ends = np.cumsum([len(one) for one in sources])
    shares, first = list[Places | None](), 0
    for end in ends.tolist():
        shares.append(rows[(rows >= first) & (rows < end)] - first)
        first = end
    return shares


def _staged(passes: list[_Pass], asked: Queries, k: int, backbone: str | None) -> Hits:
    from .staged import staged_hits

    found, first = list[tuple[int, Hits]](), 0
    for one in passes:
        with in_container(one.name):
            hits = staged_hits(one.source, asked.plain, k, one.codec, one.rows, backbone=backbone)
        found.append((first, hits))
        first += len(one.source) if len(passes) > 1 else 0
    return merged_hits(found, k) if len(found) > 1 else found[0][1]
