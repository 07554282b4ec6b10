"""Search of streams in one pass, and of an index that stays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..profile.registry import ProfileLike
from .blocks import Block, block_of, joined, rotation, rounded
from .hits import Hits, Queries, best_hits, check_k
from .sources import check_backbone, codec_of, parts


def search(
    source: Any,
    queries: Any,
    k: int = 10,
    *,
    profile: ProfileLike = None,
    backbone: str | None = None,
) -> Hits:
    """The k streams of `source` whose embeddings have the largest inner product with each query.

    source   an open container, a sequence or iterator of streams, or a pyarrow column of them
    queries  (D,) or (Q, D), image or text embeddings, any norm: taken at unit norm
    profile  a private profile's file; a container brings its own
    backbone the model that made the queries: streams of another one are an error. None: unknown

    One pass, decoding block after block, whatever the number of queries; memory does not grow with
    the source. To search the same streams often, keep a `SearchIndex`. A source of N < k streams
    gives N hits. Raises EmbeddingError or OptionError for what is asked, DecodeError naming the
    streams at fault by their place.

    >>> scores, indices = search(clipcodec.open("photos.clpc"), query, k=10)
    """
    asked = Queries(queries)
    codec = codec_of(source, profile)

    def blocks() -> Iterator[Block]:
        for part in parts(source, codec):
            asked.check(part.dim)
            if backbone is not None:
                check_backbone(part, backbone)
            yield block_of(codec, part)

    return best_hits(blocks(), asked, check_k(k))


class SearchIndex:
    """Embeddings of streams, decoded once and kept in memory to be searched many times.

    source   as for `search`; more may be added later
    exact    keep float32 rows, 4·D bytes each, which give the scores of `search`. Otherwise rows
             are kept rotated and rounded to int8, D + 4 bytes each, and most scores are off by
             0.001 at most. Symbols of `any/rotation` are int8 already, except at the highest
             qualities, and are kept as they are
    profile  a private profile's file; a container brings its own

    Safe to search from many threads. Raises as `search` does.
    """

    def __init__(
        self, source: Any = (), *, exact: bool = False, profile: ProfileLike = None
    ) -> None:
        self._exact, self._profile = exact, profile
        self._blocks: list[Block] = []
        self.add(source)

    def __len__(self) -> int:
        return sum(len(block.values) for block in self._blocks)

    def __repr__(self) -> str:
        from ..system.shown import counted, shown, sized

        def parts() -> list[object]:
            dim = self.dim
            return [counted(len(self), "item"), None if dim is None else counted(dim, "dimension"),
                    sized(self.nbytes), "exact" if self._exact else "int8"]  # fmt: skip

        return shown("SearchIndex", parts)

    @property
    def dim(self) -> int | None:
        """Width D of the embeddings; None while there are none."""
        return self._blocks[0].values.shape[1] if self._blocks else None

    @property
    def nbytes(self) -> int:
        """Memory that the embeddings take."""
        return sum(block.nbytes for block in self._blocks)

    def add(self, source: Any) -> None:
        """Append the streams of `source`: all, or none if one of them is damaged."""
        codec = codec_of(source, self._profile)
        new = [self._kept(block_of(codec, part)) for part in parts(source, codec, self.dim)]
        blocks = list(self._blocks)
        for block in new:
            if blocks and blocks[-1].fits(block):
                block = joined([blocks.pop(), block])
            blocks.append(block)
        self._blocks = blocks  # all at once: a search that is under way keeps the old ones

    def search(self, queries: Any, k: int = 10) -> Hits:
        """As the function `search`, on what has been added."""
        asked, blocks = Queries(queries), self._blocks
        if blocks:
            asked.check(blocks[0].values.shape[1])
        return best_hits(blocks, asked, check_k(k))

    def _kept(self, block: Block) -> Block:
        """The block as this index keeps it."""
        if block.scale is not None:
            small = rounded(block.values, least=1.0)
            return block if self._exact and not small.equals(block) else small
        return block if self._exact else rounded(rotation().coefficients(block.values))
