"""Streams to an index of usearch (docs/search.md).

>>> from clipcodec.integrations.usearch import to_usearch
>>> index = to_usearch(clipcodec.open("photos.clpc"))
>>> int(index.search(np.load("embeddings.npy")[7], 1).keys[0])
7
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError, brief
from ..profile.registry import ProfileLike
from .exported import check_width, counted, rows_of, whole_numbers, width_of
from .extras import need

__all__ = ["to_usearch"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def to_usearch(
    source: Any, index: Any = None, *, keys: Any = None, profile: ProfileLike = None
) -> Any:
    """Add the decoded embeddings of a source to an index of usearch, block after block.

    Args:
        source: As for `clipcodec.search`, or a `SearchIndex`, whose rows are not decoded again.
        index: A `usearch.index.Index` of the same width; None makes one of inner products, whose
            distances are 1 less the scores of `clipcodec.search`, with float32 rows.
        keys: (N,) integers of at least 0, one per stream, each new to the index; None: positions,
            counted on from the size of the index. An iterator's streams are all taken first.
        profile: A private profile's file; a container brings its own.

    Returns:
        The index.

    Raises:
        DecodeError: Names damaged streams by their position in the source; the blocks before them
            have been added by then.
        EmbeddingError: The index has another width.
        OptionError: The keys cannot be, or the index does not take the rows.
        MissingDependencyError: usearch is not installed.

    Examples:
        >>> from clipcodec.integrations.usearch import to_usearch
        >>> photos = clipcodec.open("photos.clpc")
        >>> len(to_usearch(photos, keys=range(1000, 1100)))
        100
    """
    library = need("usearch.index", "usearch")
    source, count = counted(source)
    if index is not None and not isinstance(index, library.Index):
        raise OptionError(
            f"{type(index).__name__} is not an index of usearch: give a usearch.index.Index"
        )
    held = 0 if index is None else len(index)
    own = np.arange(held, held + count, dtype=np.uint64)
    if keys is not None:
        own = whole_numbers(keys, "keys", count)
    if index is not None and held and count:
        there = np.atleast_1d(index.contains(own))
        if there.any() and not index.multi:
            raise OptionError(
                f"key {own[np.flatnonzero(there)[0]]} is in the index already: keys=…"
            )
    first = 0
    for rows in rows_of(source, profile):
        if index is None:
            index = library.Index(ndim=rows.shape[1], metric="ip", dtype="f32")
        check_width(rows, index.ndim)
        try:
            index.add(own[first : first + len(rows)], rows)
        except (RuntimeError, ValueError) as error:
            raise OptionError(f"this index does not take the rows: {brief(error)}") from error
        first += len(rows)
    if index is None:
        index = library.Index(ndim=width_of(source, profile), metric="ip", dtype="f32")
    return index
