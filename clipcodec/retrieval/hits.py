"""Blocks and queries → the best hits of each query, in one pass over the blocks."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings, as_embedding, as_embeddings
from ..errors import EmbeddingError, OptionError, placed
from ..system.forks import cached_property
from .blocks import Block, rotation

_ROWS = 2048  # scored at a time: they stay in cache
_TILE = 64  # rows: scored as a whole number of these
_QUERIES = 1024  # scored at a time


class Hits(NamedTuple):
    """What a search found: the best first; of equal scores, the first in the source.

    Attributes:
        scores: (Q, k) float32, cosines of query and decoded embedding.
        indices: (Q, k) int64, positions in the source.

    Examples:
        >>> scores, indices = clipcodec.search(
        ...     clipcodec.open("photos.clpc"), np.load("embeddings.npy")[:2], k=3
        ... )
        >>> indices[:, 0].tolist()  # each embedding finds itself
        [0, 1]
    """

    scores: NDArray[np.float32]
    indices: NDArray[np.int64]

    def __repr__(self) -> str:
        from ..system.shown import counted, shown

        def parts() -> list[object]:
            queries, k = self.scores.shape
            best = None
            if queries and k:
                best = f"the first finds item {self.indices[0, 0]}, {self.scores[0, 0]:.3f}"
            return [counted(queries, "query", "queries"), f"{counted(k, 'hit')} each", best]

        return shown("Hits", parts)


class Queries:
    """Queries of unit norm, from (D,) or (Q, D) of any norm. Raises EmbeddingError.

    plain    (Q, D) float32
    rotated  (Q, D) float32, for blocks of coefficients
    """

    def __init__(self, queries: Any) -> None:
        try:
            one = np.ndim(queries) == 1
        except ValueError:  # rows of several lengths: the error below says it
            one = False
        with placed(item="row", source="queries"):
            self.plain = as_embedding(queries) if one else as_embeddings(queries)

    def check(self, dim: int) -> None:
        """Raise EmbeddingError unless embeddings of this width can be searched."""
        if len(self.plain) and self.plain.shape[1] != dim:
            raise EmbeddingError(
                f"queries of {self.plain.shape[1]} dimensions, the source has {dim}: "
                "both must come from one backbone"
            )

    @cached_property
    def rotated(self) -> Embeddings:
        return rotation().coefficients(self.plain) / np.float32(np.sqrt(self.plain.shape[1]))


def check_k(k: Any) -> int:
    """The number of hits asked for; OptionError if it is none."""
    try:
        count = operator.index(k)
    except TypeError:
        count = 0
    if count < 1:
        raise OptionError(f"k={k!r}: expected a whole number of hits, 1 or more")
    return count


def best_hits(blocks: Iterable[Block], queries: Queries, k: int) -> Hits:
    """The k best of all rows of the blocks, or all of them if there are fewer."""
    count = len(queries.plain)
    parts = [slice(at, min(at + _QUERIES, count)) for at in range(0, count, _QUERIES)]
    best = [_Best(part.stop - part.start, k) for part in parts]
    first = 0
    for block in blocks:
        asked = queries.plain if block.scale is None else queries.rotated
        for at in range(0, len(block.values), _ROWS):
            rows = block.values[at : at + _ROWS].astype(np.float32, copy=False)
            own = len(rows)
            if own % _TILE:  # BLAS adds in another order there: equal rows would score otherwise
                rows = np.pad(rows, ((0, -own % _TILE), (0, 0)))
            for part, found in zip(parts, best, strict=True):
                scores = (asked[part] @ rows.T)[:, :own]
                if block.scale is not None:
                    scores *= block.scale[at : at + _ROWS]
                found.add(scores, first)
            first += own
    if not best:
        return Hits(
            np.empty((0, min(k, first)), np.float32), np.empty((0, min(k, first)), np.int64)
        )
    return Hits(
        np.concatenate([found.scores for found in best]),
        np.concatenate([found.indices for found in best]),
    )


class _Best:
    """The k best scores of each query so far, of equal ones the first; at most k columns."""

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self.scores = np.empty((queries, 0), np.float32)
        self.indices = np.empty((queries, 0), np.int64)

    def add(self, scores: NDArray[np.float32], first: int) -> None:
        """Scores (Q, n) of the rows from `first` on."""
        if self.scores.shape[1] < self._k:
            places = np.arange(first, first + scores.shape[1])
            self._merge(slice(None), scores, np.broadcast_to(places, scores.shape))
            return
        better = scores > self.scores[:, -1:]  # soon only a few
        for i in np.flatnonzero(better.any(axis=1)).tolist():
            found = np.flatnonzero(better[i])
            self._merge(slice(i, i + 1), scores[None, i, found], found[None] + first)

    def _merge(
        self, queries: slice, scores: NDArray[np.float32], indices: NDArray[np.int64]
    ) -> None:
        both = np.concatenate([self.scores[queries], scores], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, : self._k]
        places = np.concatenate([self.indices[queries], indices], axis=1)
        kept = np.take_along_axis(both, order, 1), np.take_along_axis(places, order, 1)
        if queries == slice(None):
            self.scores, self.indices = kept
        else:
            self.scores[queries], self.indices[queries] = kept
