"""Blocks and queries → the best hits of each query, in one pass over the blocks."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings, as_embedding, as_embeddings
from ..errors import EmbeddingError, OptionError, placed
from ..system.forks import cached_property
from ..system.threads import in_threads, most_threads, products_of_one_thread
from .blocks import Block, rotation
from .found import Hits as Hits

_ROWS = 2048  # scored at a time: they stay in cache
_TILE = 64  # rows: scored as a whole number of these
_QUERIES = 256  # scored at a time
_WORK = 1 << 23  # multiply-adds that are worth a thread: starting it takes as long as a tenth


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
    """The k best of all rows of the blocks, or all of them if there are fewer.

    Several threads share a sequence of blocks, or each block of an iterator.
    """
    best: dict[int, _Best] = {}  # by the first of some queries that are scored together
    first = 0
    for group in [blocks] if isinstance(blocks, Sequence) else ([block] for block in blocks):
        for found in _share(group, first, queries, k):
            for part, own in found.items():
                best[part] = best[part].union(own) if part in best else own
        first += sum(len(block.values) for block in group)
    if not best:
        none = np.empty((len(queries.plain), min(k, first)))
        return Hits(none.astype(np.float32), none.astype(np.int64))
    ordered = [best[part] for part in sorted(best)]
    return Hits(
        np.concatenate([found.scores for found in ordered]),
        np.concatenate([found.indices for found in ordered]),
    )


def _share(blocks: Sequence[Block], first: int, queries: Queries, k: int) -> list[dict[int, _Best]]:
    """What each thread found in the blocks, whose rows count from `first` on.

    A thread takes the next work as soon as it is free, and makes its products alone: those of few
    queries are short, and BLAS's threads would wait for one another after each, for long if another
    program uses a core.
    """
    count, work, numbers = len(queries.plain), [], 0
    for block in blocks:
        for at in range(0, len(block.values), _ROWS):
            work += [(block, at, first + at, part) for part in range(0, count, _QUERIES)]
        first += len(block.values)
        numbers += block.values.size
    tasks = iter(work)  # shared: each is taken once

    def score(_: int) -> dict[int, _Best]:
        best: dict[int, _Best] = {}
        for block, at, place, part in tasks:
            if part not in best:
                best[part] = _Best(min(_QUERIES, count - part), k)
            best[part].add(_scores(block, at, queries, slice(part, part + _QUERIES)), place)
        return best

    threads = min(most_threads(), len(work), 1 + count * numbers // _WORK)
    with products_of_one_thread():
        return in_threads(score, range(threads))


def _scores(block: Block, at: int, queries: Queries, part: slice) -> NDArray[np.float32]:
    """Scores (Q, n) of some queries and the rows of a block from `at` on."""
    block.ready()
    asked = queries.plain if block.scale is None else queries.rotated
    rows = block.values[at : at + _ROWS].astype(np.float32, copy=False)
    own = len(rows)
    if own % _TILE:  # BLAS adds in another order there: equal rows would score otherwise
        rows = np.pad(rows, ((0, -own % _TILE), (0, 0)))
    # this way round a product of few queries takes half as long
    scores: NDArray[np.float32] = (rows @ asked[part].T)[:own].T
    if block.scale is not None:
        scores *= block.scale[at : at + _ROWS]
    return scores


class _Best:
    """The k best scores of each query so far, of equal ones the first; at most k columns."""

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self.scores = np.empty((queries, 0), np.float32)
        self.indices = np.empty((queries, 0), np.int64)

    def add(self, scores: NDArray[np.float32], first: int) -> None:
        """Scores (Q, n) of the rows from `first` on."""
        if self.scores.shape[1] < self._k:
            places = np.broadcast_to(np.arange(first, first + scores.shape[1]), scores.shape)
            self._keep_of(np.concatenate([self.scores, scores], axis=1),
                          np.concatenate([self.indices, places], axis=1))  # fmt: skip
            return
        query, found = np.nonzero(scores > self.scores[:, -1:])  # soon only a few
        if not len(query):
            return
        touched, query = np.unique(query, return_inverse=True)
        owner = np.concatenate([np.repeat(np.arange(len(touched)), self._k), query])
        both = np.concatenate([self.scores[touched].ravel(), scores[touched[query], found]])
        places = np.concatenate([self.indices[touched].ravel(), first + found])
        order = np.lexsort((places, -both, owner))
        starts = np.searchsorted(owner[order], np.arange(len(touched)))
        kept = order[starts[:, None] + np.arange(self._k)]
        self.scores[touched], self.indices[touched] = both[kept], places[kept]

    def union(self, other: _Best) -> _Best:
        """The best of both, which have seen other rows of the same source."""
        found = _Best(0, self._k)
        found._keep_of(np.concatenate([self.scores, other.scores], axis=1),
                       np.concatenate([self.indices, other.indices], axis=1))  # fmt: skip
        return found

    def _keep_of(self, scores: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        """Keep the k best of scores (Q, n) and their places (Q, n)."""
        order = np.lexsort((places, -scores), axis=1)[:, : self._k]
        self.scores = np.take_along_axis(scores, order, 1)
        self.indices = np.take_along_axis(places, order, 1)
