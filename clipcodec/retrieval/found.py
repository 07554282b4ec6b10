"""What a search found: scores, positions, and where these come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..container import Container
from ..errors import DecodeError, MismatchError, OptionError

Places = NDArray[np.int64]
Finder = Callable[[Places], "list[str | None]"]  # places in a source, in order → their ids


class _Pair(NamedTuple):
    scores: NDArray[np.float32]
    indices: NDArray[np.int64]


class Hits(_Pair):
    """What a search found: the best first; of equal scores, the first in the source.

    A tuple of two, (scores, indices). What else it knows is looked up when it is asked for.

    Attributes:
        scores: (Q, k) float32, cosines of query and decoded embedding.
        indices: (Q, k) int64, positions in the source; of several containers, counted through all.

    Examples:
        >>> scores, indices = clipcodec.search(
        ...     clipcodec.open("photos.clpc"), np.load("embeddings.npy")[:2], k=3
        ... )
        >>> indices[:, 0].tolist()  # each embedding finds itself
        [0, 1]
    """

    _origin: Origin | None = None

    def __repr__(self) -> str:
        from ..system.shown import counted, shown

        def parts() -> list[object]:
            queries, k = self.scores.shape
            best = None
            if queries and k:
                best = f"the first finds item {self.indices[0, 0]}, {self.scores[0, 0]:.3f}"
            return [counted(queries, "query", "queries"), f"{counted(k, 'hit')} each", best]

        return shown("Hits", parts)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, they know the ids without the container."""
        origin = self._origin
        if origin is not None:
            try:
                origin = origin.fixed(self.indices)
            except (DecodeError, OSError, MismatchError, OptionError):
                origin = None
        return _hits, (self.scores, self.indices, origin)

    @property
    def ids(self) -> list[list[str | None]]:
        """Q lists of k ids, None for an item without one. Read when they are first asked for.

        Raises:
            MismatchError: The container was closed, and its file is another one by now.
            OptionError: It was closed, and cannot be opened again: it was given as a file object.
            DecodeError: The ids are damaged.

        Examples:
            >>> clipcodec.search(
            ...     clipcodec.open("photos.clpc"), np.load("embeddings.npy")[7], k=1
            ... ).ids
            [['7.jpg']]
        """
        ids = self.__dict__.get("_ids")
        if ids is None:
            origin = self._origin or Origin()
            ids = self.__dict__["_ids"] = origin.ids(self.indices)
        return [list(row) for row in ids]

    @property
    def sources(self) -> NDArray[np.int64]:
        """(Q, k) which of several containers each hit is in, counted from 0.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> query = np.load("embeddings.npy")[7]
            >>> clipcodec.search([photos, photos], query, k=2).sources.tolist()
            [[0, 1]]
        """
        return (self._origin or Origin()).split(self.indices)[0]

    @property
    def places(self) -> NDArray[np.int64]:
        """(Q, k) positions in the container that `sources` names.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> query = np.load("embeddings.npy")[7]
            >>> hits = clipcodec.search([photos, photos], query, k=2)
            >>> hits.indices.tolist(), hits.places.tolist()
            ([[7, 107]], [[7, 7]])
        """
        return (self._origin or Origin()).split(self.indices)[1]


def located(hits: Hits, origin: Origin, rows: Places | None = None) -> Hits:
    """The same hits, which know where they come from.

    rows  places of the rows that were searched, if these were not all
    """
    return _hits(hits.scores, hits.indices if rows is None else rows[hits.indices], origin)


def _hits(scores: NDArray[np.float32], indices: Places, origin: Origin | None) -> Hits:
    hits = Hits(scores, indices)
    hits._origin = origin
    return hits


def merged_hits(found: Sequence[tuple[int, Hits]], k: int) -> Hits:
    """The k best hits of several sources; of equal scores the first.

    found  of each source its first position and its hits
    """
    scores = np.concatenate([hits.scores for _, hits in found], axis=1)
    places = np.concatenate([first + hits.indices for first, hits in found], axis=1)
    order = np.lexsort((places, -scores), axis=1)[:, :k]
    return Hits(np.take_along_axis(scores, order, 1), np.take_along_axis(places, order, 1))


class Origin:
    """Several sources, one after the other.

    counts   rows of each
    finders  of each, what finds its ids; None: it has none
    """

    def __init__(
        self, counts: Sequence[int] = (), finders: Sequence[Finder | None] = (None,)
    ) -> None:
        self._starts = np.cumsum([0, *counts[:-1]]).astype(np.int64)
        self._finders = list(finders)

    def split(self, indices: Places) -> tuple[Places, Places]:
        """Which source each is in, and its place there."""
        # an empty source begins where the next one does, and holds no hit
        which = np.searchsorted(self._starts, indices, side="right") - 1
        return which.astype(np.int64), indices - self._starts[which]

    def ids(self, indices: Places) -> list[list[str | None]]:
        """The ids of (Q, k) positions."""
        which, places = self.split(indices)
        ids = np.full(indices.shape, None, object)
        for number, finder in enumerate(self._finders):
            own = which == number
            if finder is not None and own.any():
                wanted, back = np.unique(places[own], return_inverse=True)
                ids[own] = np.array([*finder(wanted), None], object)[:-1][back]
        rows: list[list[str | None]] = ids.tolist()
        return rows

    def fixed(self, indices: Places) -> Origin:
        """The same, without a container or an index behind it."""
        fixed = Origin()
        fixed._starts = self._starts
        which, places = self.split(indices)
        ids = self.ids(indices)
        known: list[dict[int, str | None]] = [{} for _ in self._finders]
        for row, id_row in zip(zip(which.tolist(), places.tolist(), strict=True), ids, strict=True):
            for number, place, id in zip(*row, id_row, strict=True):
                known[number][place] = id
        fixed._finders = [Known(one) for one in known]
        return fixed


class Known:
    """Finds ids that are kept."""

    def __init__(self, ids: dict[int, str | None]) -> None:
        self._ids = ids

    def __call__(self, places: Places) -> list[str | None]:
        return [self._ids.get(place) for place in places.tolist()]


class ContainerIds:
    """Finds ids in a container, which is opened again if it was closed."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def __call__(self, places: Places) -> list[str | None]:
        container = self._container
        if container._ids is not None:
            return [container._ids[place] for place in places.tolist()]
        if not container._file.closed:
            return _ids_at(container, places)
        with _again(container) as again:
            return _ids_at(again, places)


def finder_of(source: Any) -> Finder | None:
    """What finds the ids of a source of streams."""
    return ContainerIds(source) if isinstance(source, Container) else None


def _ids_at(container: Container, places: Places) -> list[str | None]:
    return [item.id for item in container.take(places)]


def _again(container: Container) -> Container:
    """A closed container, opened again. Raises MismatchError if the file is another one by now."""
    if container._file.own_path is None and not container._file.remote:
        raise OptionError(
            f"{container.name} was closed, and was opened as a file object, which cannot be opened "
            "again: ask for `ids` before it is closed"
        )
    again = Container.__new__(Container)
    try:
        again.__setstate__(container.__getstate__())
    except MismatchError:
        raise MismatchError(
            f"{container.name} was changed since it was searched: open it and search again"
        ) from None
    return again
