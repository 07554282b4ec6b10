"""Embeddings that are kept in a file, and for a new one the first of them that is near: exactly."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings

_TILE = 8192  # rows that are read at a time
_SHORT = 64  # numbers that stand for an embedding at first
_SLACK = np.float32(1e-5)  # far above what float32 loses in a product of unit vectors
_MANY = 8  # candidates for each row, above which the short numbers tell too little


class Kept:
    """The embeddings that are kept, in a file, with what finds those that can be near.

    Each is turned so that its first numbers say most, as learned from the first rows, and the
    length of the others is kept: by the inequality of Cauchy and Schwarz, the product of two
    embeddings is at most that of their first numbers and these lengths. What this lets through is
    multiplied in full, in float64.
    """

    def __init__(self, rows: Embeddings, cosine: float, file: BinaryIO) -> None:
        self._least, self._lowest = cosine, np.float32(cosine) - _SLACK
        self._file, self._width = file, rows.shape[1]
        self._count = 0
        self._places = np.empty(0, np.int64)
        _, vectors = np.linalg.eigh(np.float64(rows.T) @ rows)
        self._first = vectors[:, ::-1][:, :_SHORT].astype(np.float32)
        self._heads = np.empty((0, self._first.shape[1] + 1), np.float32)  # in memory

    def add(
        self, places: NDArray[np.int64], rows: Embeddings
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """For each row the position of the kept one that is near enough, -1: it is kept itself;
        and their cosine.
        """
        heads = self._head(rows)
        found, scores = np.full(len(rows), -1), np.zeros(len(rows))
        for at in range(0, self._count, _TILE):
            open_rows = np.flatnonzero(found < 0)
            if not len(open_rows):
                return found, scores
            end = min(at + _TILE, self._count)
            near, score = self._first_near(rows[open_rows], heads[open_rows], at, end)
            hit = near >= 0
            found[open_rows[hit]] = self._places[at:end][near[hit]]
            scores[open_rows[hit]] = score[hit]
        new = np.flatnonzero(found < 0)
        own = self._among(rows[new])
        kept = own < 0
        found[new[~kept]] = places[new[own[~kept]]]
        scores[new[~kept]] = _cosines(rows[new[~kept]], rows[new[own[~kept]]])
        self._keep(places[new[kept]], rows[new[kept]], heads[new[kept]])
        return found, scores

    def _head(self, rows: Embeddings) -> NDArray[np.float32]:
        head = rows @ self._first
        rest = rows.astype(np.float64) - head.astype(np.float64) @ self._first.T
        return np.column_stack([head, np.linalg.norm(rest, axis=1)]).astype(np.float32)

    def _first_near(
        self, rows: Embeddings, heads: NDArray[np.float32], at: int, end: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """For each row the first of the kept ones `at` to `end` that is near enough, or -1, counted
        from `at`; and their cosine.
        """
        possible = heads @ self._heads[at:end].T >= self._lowest
        found, scores = np.full(len(rows), -1), np.zeros(len(rows))
        candidates = np.count_nonzero(possible)
        if not candidates:
            return found, scores
        tile = self._read(at, end - at)
        if candidates > _MANY * len(rows):
            possible = rows @ tile.T >= self._lowest
        waiting = np.flatnonzero(possible.any(axis=1))
        while len(waiting):
            columns = possible[waiting].argmax(axis=1)
            exact = _cosines(rows[waiting], tile[columns])
            hit = exact >= self._least
            found[waiting[hit]], scores[waiting[hit]] = columns[hit], exact[hit]
            possible[waiting, columns] = False
            waiting = waiting[~hit]
            waiting = waiting[possible[waiting].any(axis=1)]
        return found, scores

    def _among(self, rows: Embeddings) -> NDArray[np.int64]:
        """For each row the first of those kept before it that is near enough, or -1."""
        found = np.full(len(rows), -1)
        if not len(rows):
            return found
        possible = np.tril(rows @ rows.T >= self._lowest, -1)
        for row in np.flatnonzero(possible.any(axis=1)):
            others = np.flatnonzero(possible[row] & (found < 0))
            hits = others[_cosines(rows[others], rows[row]) >= self._least]
            if len(hits):
                found[row] = hits[0]
        return found

    def _keep(
        self, places: NDArray[np.int64], rows: Embeddings, heads: NDArray[np.float32]
    ) -> None:
        self._file.seek(4 * self._width * self._count)
        self._file.write(np.ascontiguousarray(rows, np.float32).data)
        end = self._count + len(rows)
        if end > len(self._places):  # room for twice as many, so that it is seldom copied
            room = max(end, 2 * len(self._places), _TILE)
            self._places = np.resize(self._places, room)
            self._heads = np.resize(self._heads, (room, self._heads.shape[1]))
        self._places[self._count : end], self._heads[self._count : end] = places, heads
        self._count = end

    def _read(self, first: int, count: int) -> Embeddings:
        self._file.seek(4 * self._width * first)
        data = self._file.read(4 * self._width * count)
        return np.frombuffer(data, np.float32).reshape(count, self._width)


def _cosines(x: Embeddings, y: Embeddings) -> NDArray[np.float64]:
    """Of rows of unit norm, to the six decimals that float32 holds: 1 for equal ones."""
    cosines: NDArray[np.float64] = np.round((x.astype(np.float64) * y).sum(axis=1), 6)
    return cosines
