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
    device: str | None = None,
) -> Hits:
    """Find the k streams whose embeddings have the largest inner product with each query.

    One pass, decoding block after block, whatever the number of queries; memory does not grow with
    the source. To search the same streams often, keep a `SearchIndex`.

    Args:
        source: An open container, a sequence or iterator of streams, or a pyarrow column of them.
        queries: (D,) or (Q, D), image or text embeddings, any norm: taken at unit norm.
        k: How many hits for each query. A source of N < k streams gives N.
        profile: A private profile's file; a container brings its own.
        backbone: The model that made the queries: streams of another one are an error. None:
            unknown.
        device: Where the streams are decoded: "cuda" for a GPU; None: where the container decodes
            its own.

    Returns:
        Scores and positions, (Q, k) each.

    Raises:
        EmbeddingError: The queries have another width than the source, or are zero, NaN or
            infinite.
        OptionError: `k` is no positive whole number.
        DecodeError: Names the streams at fault by their position in the source.

    Examples:
        >>> query = np.load("embeddings.npy")[7]
        >>> with clipcodec.open("photos.clpc") as photos:
        ...     scores, indices = clipcodec.search(photos, query, k=5)
        ...     print(photos.ids[indices[0, 0]])
        7.jpg
    """
    asked = Queries(queries)
    codec = codec_of(source, profile, device)

    def blocks() -> Iterator[Block]:
        for part in parts(source, codec):
            asked.check(part.dim)
            if backbone is not None:
                check_backbone(part, backbone)
            yield block_of(codec, part)

    return best_hits(blocks(), asked, check_k(k))


class SearchIndex:
    """Embeddings of streams, decoded once and kept in memory to be searched many times.

    Safe to search from many threads. `len(index)` counts its items.

    Args:
        source: As for `search`; more may be added later.
        exact: Keep float32 rows, 4 · D bytes each, which give the scores of `search`. Otherwise
            rows are kept rotated and rounded to int8, D + 4 bytes each, and most scores are off by
            0.001 at most. Symbols of `any/rotation` are int8 already, except at the highest
            qualities, and are kept as they are.
        profile: A private profile's file; a container brings its own.
        device: As for `search`. The embeddings are kept in the memory of this machine.

    Raises:
        DecodeError: Names the streams at fault by their position in the source.

    Examples:
        >>> index = clipcodec.SearchIndex(clipcodec.open("photos.clpc"))
        >>> index
        <clipcodec.SearchIndex: 100 items, 512 dimensions, 51.6 kB, int8>
        >>> index.search(np.load("embeddings.npy")[7], k=5).indices.shape
        (1, 5)
    """

    def __init__(
        self,
        source: Any = (),
        *,
        exact: bool = False,
        profile: ProfileLike = None,
        device: str | None = None,
    ) -> None:
        self._exact, self._profile, self._device = exact, profile, device
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
        """Memory that the embeddings take, in bytes."""
        return sum(block.nbytes for block in self._blocks)

    def add(self, source: Any) -> None:
        """Append the streams of a source: all of them, or none if one is damaged.

        Args:
            source: As for `search`.

        Raises:
            DecodeError: Names the streams at fault by their position in the source; so are streams
                of another width than those that are there.

        Examples:
            >>> index = clipcodec.SearchIndex()
            >>> index.add(clipcodec.open("photos.clpc"))
            >>> len(index)
            100
        """
        codec = codec_of(source, self._profile, self._device)
        new = [self._kept(block_of(codec, part)) for part in parts(source, codec, self.dim)]
        blocks = list(self._blocks)
        for block in new:
            if blocks and blocks[-1].fits(block):
                block = joined([blocks.pop(), block])
            blocks.append(block)
        self._blocks = blocks  # all at once: a search that is under way keeps the old ones

    def search(self, queries: Any, k: int = 10) -> Hits:
        """Find the k items with the largest inner product with each query.

        Args:
            queries: As for the function `search`.
            k: As for the function `search`.

        Returns:
            Scores and positions, (Q, k) each, counted in the order in which streams were added.

        Raises:
            EmbeddingError: As for the function `search`, and so is OptionError.

        Examples:
            >>> index = clipcodec.SearchIndex(clipcodec.open("photos.clpc"))
            >>> index.search(np.load("embeddings.npy")[:3], k=5).scores.shape
            (3, 5)
        """
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
