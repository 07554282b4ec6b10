"""A random sample of a column of Parquet tables, in bounded memory: to learn a profile from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bulk.sampling import MOST_IMAGES, MOST_NUMBERS, MOST_ROWS, NO_BACKBONE, Progress, Sample
from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import EmbeddingError, InputError, OptionError
from ..profile.registry import UNTRAINED
from .arrow_types import fixed_width, is_image
from .columns import ColumnEncoder
from .extras import need
from .parquet import PathLike, batches_of, opened
from .schemas import Change, is_stream_field

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = need("pyarrow", "arrow")


def sample_column(
    tables: Sequence[PathLike],
    column: str,
    codec: Codec | None = None,
    *,
    most_rows: int | None = None,
    most_images: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sample:
    """Choose rows of several tables at random, each with the same chance, and embed images.

    Rows that cannot be encoded are left out: they are named when the tables are compressed. Each
    table is a group. A column is read once, batch by batch.

    tables    Parquet files
    most_rows, most_images   default: MOST_ROWS, MOST_IMAGES
    codec     its backbone embeds the images, if the column holds some
    progress  called with how many rows are read, and how many there are

    Raises EmbeddingError if the tables differ in width, InputError if there is nothing to learn
    from or a table cannot be read, OptionError for a column that is not there, holds streams, or
    images and there is no backbone.
    """
    found = [_look(table, column, codec) for table in tables]
    total = sum(one.rows for one in found)
    images = any(one.images for one in found)
    most = (most_images or MOST_IMAGES) if images else (most_rows or MOST_ROWS)
    most = min(most, MOST_NUMBERS // max([1, *(one.width or 1 for one in found)]))
    share = min(1.0, most / max(1, total))
    random, read, items = Random(seed), 0, 0
    parts: list[Embeddings] = []
    groups: list[NDArray[np.int64]] = []
    for number, table in enumerate(tables):
        rows = found[number].rows
        chosen = np.sort(np.array(random.sample(range(rows), round(rows * share)), np.int64))
        encoder = _encoder(column, codec)
        first = 0
        with opened(table) as file:
            for batch in batches_of(file, table, [column]):
                array = batch.column(0)
                low, high = np.searchsorted(chosen, [first, first + len(array)])
                places = chosen[low:high] - first
                for x in chain.from_iterable(map(encoder.embedded, _taken(array, places))):
                    if parts and x.shape[1] != parts[0].shape[1]:
                        raise EmbeddingError(
                            f"{os.fspath(table)} has {x.shape[1]} dimensions, the tables before "
                            f"{parts[0].shape[1]}: a profile is for one width, so give them one "
                            "at a time"
                        )
                    parts.append(x)
                    groups.append(np.full(len(x), number, np.int64))
                first += len(array)
                items += len(array) - array.null_count
                if progress is not None:
                    progress(read + first, total)
        read += first
    if not parts:
        raise InputError(
            f"nothing to learn a profile from: no row of column {column!r} can be encoded"
        )
    return Sample(np.concatenate(parts), items, np.concatenate(groups), share == 1)


def _taken(array: pa.Array, places: NDArray[np.int64]) -> Iterator[pa.Array]:
    """These rows of an array, in one or in several."""
    try:
        yield array.take(pa.array(places))
    except pa.ArrowNotImplementedError:  # views and runs
        yield from (array.slice(place, 1) for place in places.tolist())


class _Look(NamedTuple):
    """What is known of a column before it is read. width: None of images"""

    rows: int
    images: bool
    width: int | None


def _look(table: PathLike, column: str, codec: Codec | None) -> _Look:
    with opened(table) as file:
        schema = file.schema_arrow
        field = Change.plan(schema, column, None, False).field
        if is_stream_field(field):
            raise OptionError(f"column {column!r} holds streams already: name another")
        _encoder(column, codec).check_type(field.type)
        rows = file.metadata.num_rows
        if is_image(field.type):
            if codec is None:
                raise OptionError(NO_BACKBONE)
            return _Look(rows, True, None)
        width = fixed_width(field.type)
        if width is None:
            encoder = _encoder(column, codec)
            units = (x for b in batches_of(file, table, [column]) for x in encoder.units(b[0]))
            first = next(units, None)
            width = None if first is None else first.shape[1]
        return _Look(rows, False, width)


def _encoder(column: str, codec: Codec | None) -> ColumnEncoder:
    """What reads a column, and passes over rows at fault."""
    return ColumnEncoder(column, profile=codec or UNTRAINED, on_bad_row=lambda _: None)
