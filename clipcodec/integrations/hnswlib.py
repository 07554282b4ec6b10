"""Streams to an index of hnswlib (docs/search.md)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError, brief
from ..profile.registry import ProfileLike
from .exported import check_width, counted, rows_of, whole_numbers, width_of
from .extras import need

__all__ = ["to_hnswlib"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def to_hnswlib(
    source: Any, index: Any = None, *, labels: Any = None, profile: ProfileLike = None
) -> Any:
    """Add the decoded embeddings of a source to an index of hnswlib, block after block.

    Args:
        source: As for `clipcodec.search`, or a `SearchIndex`, whose rows are not decoded again.
        index: A `hnswlib.Index` of the same width, after `init_index` or `load_index`; it is made
            larger where that is needed. None makes one of inner products, whose distances are 1
            less the scores of `clipcodec.search`, with 16 links and `ef_construction` of 200.
        labels: (N,) integers of at least 0, one per stream; None: positions, counted on from the
            size of the index. An iterator's streams are all taken first.
        profile: A private profile's file; a container brings its own.

    Returns:
        The index.

    Raises:
        DecodeError: Names damaged streams by their position in the source; the blocks before them
            have been added by then.
        EmbeddingError: The index has another width.
        OptionError: The labels cannot be, or the index does not take the rows.
        MissingDependencyError: hnswlib is not installed.

    Examples:
        >>> from clipcodec.integrations.hnswlib import to_hnswlib
        >>> index = to_hnswlib(clipcodec.open("photos.clpc"))
        >>> labels, distances = index.knn_query(np.load("embeddings.npy")[7], k=5)
        >>> int(labels[0, 0])
        7
    """
    library = need("hnswlib", "hnswlib")
    source, count = counted(source)
    if index is not None and not isinstance(index, library.Index):
        raise OptionError(f"{type(index).__name__} is not an index of hnswlib: hnswlib.Index(…)")
    held = 0 if index is None else _room(index, count)
    own = np.arange(held, held + count, dtype=np.uint64)
    if labels is not None:
        own = whole_numbers(labels, "labels", count)
    if index is not None and held:
        there = np.isin(own, np.asarray(index.get_ids_list(), np.uint64))
        if there.any():
            raise OptionError(f"label {own[there][0]} is in the index already: labels=…")
    first = 0
    for rows in rows_of(source, profile):
        if index is None:
            index = _new(library, rows.shape[1], count)
        check_width(rows, index.dim)
        try:
            index.add_items(rows, own[first : first + len(rows)])
        except RuntimeError as error:
            raise OptionError(f"this index does not take the rows: {brief(error)}") from error
        first += len(rows)
    return _new(library, width_of(source, profile), 1) if index is None else index


def _new(library: Any, dim: int, count: int) -> Any:
    index = library.Index(space="ip", dim=dim)
    index.init_index(max_elements=count, M=16, ef_construction=200)
    return index


def _room(index: Any, count: int) -> int:
    """The number of rows in an index, which has room for `count` more after this."""
    # get_max_elements() of an index that was not begun would end the process
    held, most = int(index.element_count), int(index.max_elements)
    if not most:
        raise OptionError("this index has not been begun: call init_index or load_index first")
    if held + count > most:
        index.resize_index(held + count)
    return held
