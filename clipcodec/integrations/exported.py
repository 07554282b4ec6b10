"""What goes into the index of another library: embeddings of any source, and whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..errors import EmbeddingError, OptionError, brief, placed
from ..profile.registry import ProfileLike
from ..retrieval import SearchIndex, codec_of, decoded
from ..retrieval.several import containers_of


def rows_of(source: Any, profile: ProfileLike) -> Iterator[Embeddings]:
    """The embeddings of a source of streams, of several containers or of an index, part by part.

    Raises DecodeError naming streams by their place in the source, EmbeddingError for containers of
    several widths.
    """
    if isinstance(source, SearchIndex):
        yield from source.decode_blocks()
        return
    several = containers_of(source)
    dim = None
    for one in [source] if several is None else several:
        name = None if several is None else one.name
        with placed(source=name):
            for rows in decoded(one, codec_of(one, profile)):
                if dim not in (None, rows.shape[1]):
                    raise EmbeddingError(
                        f"{name}: {rows.shape[1]} dimensions, the containers before have {dim}"
                    )
                dim = rows.shape[1]
                yield rows


def counted(source: Any) -> tuple[Any, int]:
    """A source and the number of its streams; an iterator becomes a list."""
    several = containers_of(source)
    if several is not None:
        return source, sum(map(len, several))
    if isinstance(source, Iterable) and not isinstance(source, Sized):
        source = list(source)
    wrong = isinstance(source, (str, bytes, bytearray, memoryview))
    return source, len(source) if isinstance(source, Sized) and not wrong else 0


def width_of(source: Any, profile: ProfileLike) -> int:
    """The width of an index for a source that has no streams yet."""
    several = containers_of(source)
    return codec_of(source if several is None else several[0], profile).profile.dim or 1


def check_width(rows: Embeddings, dim: int) -> None:
    """Raise EmbeddingError unless an index of this width takes the rows."""
    if rows.shape[1] != dim:
        raise EmbeddingError(
            f"the source has embeddings of {rows.shape[1]} dimensions, the index of {dim}"
        )


def integers(values: Any, what: str) -> NDArray[Any]:
    """(N,) whole numbers as numpy holds them, or Python, or pandas' nullable ones.

    Raises OptionError.
    """
    try:
        numbers = np.asarray(values)
        if numbers.dtype.kind == "f" and not hasattr(values, "dtype"):
            numbers = np.asarray(values, object)  # a list that numpy has rounded
    except ValueError as error:
        raise OptionError(f"{what}: expected (N,) integers: {brief(error)}") from error
    whole = numbers.dtype.kind in "iu" or (
        numbers.dtype.kind == "O"
        and all(isinstance(n, Integral) and not isinstance(n, bool) for n in numbers.flat)
    )
    if numbers.ndim != 1 or (numbers.size and not whole):
        raise OptionError(
            f"{what} of shape {numbers.shape}, {numbers.dtype}: expected (N,) integers"
        )
    return numbers


def whole_numbers(values: Any, what: str, count: int) -> NDArray[np.uint64]:
    """(N,) keys as these libraries keep them: whole, at least 0, none of them twice.

    Raises OptionError.
    """
    numbers = integers(values, what)
    if len(numbers) != count:
        raise OptionError(f"{len(numbers)} {what} for {count} streams")
    wrong = (numbers < 0) | (numbers > np.iinfo(np.uint64).max)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise OptionError(f"{what}: {numbers[row]}, of stream {row}: expected 0 to 2**64 - 1")
    unique, times = np.unique(numbers, return_counts=True)
    if len(unique) < count:
        raise OptionError(f"{what}: {unique[times > 1][0]} is there twice")
    return numbers.astype(np.uint64)
