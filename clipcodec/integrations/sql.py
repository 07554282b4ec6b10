"""Rows of (id, stream) from any database, decoded and searched (docs/cookbook/databases.md).

>>> import sqlite3
>>> from clipcodec.integrations.sql import decode_rows, search_rows
>>> db = sqlite3.connect(":memory:")
>>> _ = db.execute("CREATE TABLE photos (id INTEGER PRIMARY KEY, clip BLOB)")
>>> _ = db.executemany("INSERT INTO photos VALUES (?, ?)", enumerate(clipcodec.open("photos.clpc")))
>>> [part.vectors.shape for part in decode_rows(db.execute("SELECT id, clip FROM photos"))]
[(100, 512)]
>>> query = np.load("embeddings.npy")[7]
>>> search_rows(db.execute("SELECT id, clip FROM photos"), query, k=3).ids[0][0]
7

Rows are read some thousands at a time, whatever their number. They come from:

- a cursor of the DB-API (PEP 249: sqlite3, psycopg, DuckDB, …) that has run `SELECT id, stream`, of
  which rows may be tuples or dictionaries;
- any iterable of pairs, such as `zip(keys, client.mget(keys))` of Redis;
- a result in Arrow, of two columns: ADBC's cursor, a relation of DuckDB, a table or a reader.

A stream is bytes, a memoryview, or text (`clipcodec.to_text`). A row whose stream is NULL is left
out, and so is a key that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import ClipcodecError, DecodeError, OptionError
from ..profile.registry import ProfileLike
from ..retrieval import search
from ..retrieval.sources import WidthError, parse_rows
from ..text_form import BYTES

__all__ = ["Decoded", "Found", "decode_rows", "search_rows"]

_ROWS = 8192  # at a time

OnBadRow = Callable[[ClipcodecError], object] | None
OnNull = Callable[[Any], object] | None


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


class Decoded(NamedTuple):
    """Some rows, decoded: those that have a stream.

    Attributes:
        ids: Their n ids, as the database gave them.
        vectors: (n, D) float32, rows of unit norm.

    Examples:
        >>> from clipcodec.integrations.sql import decode_rows
        >>> photos = clipcodec.open("photos.clpc")
        >>> ids, vectors = next(decode_rows(zip(photos.ids, photos)))
        >>> ids[7], vectors.shape
        ('7.jpg', (100, 512))
    """

    ids: list[Any]
    vectors: Embeddings

    def __repr__(self) -> str:
        from ..system.shown import counted, shown

        def parts() -> list[object]:
            return [counted(len(self.ids), "row"), counted(self.vectors.shape[1], "dimension")]

        return shown("Decoded", parts)


class Found(NamedTuple):
    """What `search_rows` found: the best first; of equal scores, the row that came first.

    Attributes:
        scores: (Q, k) float32, cosines of query and decoded embedding.
        ids: Q lists of k ids.

    Examples:
        >>> from clipcodec.integrations.sql import search_rows
        >>> photos = clipcodec.open("photos.clpc")
        >>> found = search_rows(zip(photos.ids, photos), np.load("embeddings.npy")[:2], k=5)
        >>> found.scores.shape, [ids[0] for ids in found.ids]
        ((2, 5), ['0.jpg', '1.jpg'])
    """

    scores: NDArray[np.float32]
    ids: list[list[Any]]

    def __repr__(self) -> str:
        from ..system.shown import counted, shown

        def parts() -> list[object]:
            queries, k = self.scores.shape
            return [counted(queries, "query", "queries"), f"{counted(k, 'hit')} each"]

        return shown("integrations.sql.Found", parts)


def decode_rows(
    rows: Any,
    *,
    profile: ProfileLike | Codec = None,
    batch_rows: int = _ROWS,
    on_bad_row: OnBadRow = None,
    on_null: OnNull = None,
) -> Iterator[Decoded]:
    """Decode rows of (id, stream), some at a time.

    Args:
        rows: Of the kinds that this module's page names.
        profile: What private streams were made with, or a `Codec`.
        batch_rows: How many rows to read at a time.
        on_bad_row: None: a stream that cannot be decoded raises an error. Else it is called with
            the error of each such row, and the row is left out.
        on_null: Called with the id of each row that is left out, as its stream is NULL.

    Yields:
        Ids and vectors of up to `batch_rows` rows; nothing for rows without any stream.

    Raises:
        DecodeError: Names the row, counted from 0, and its id. So is a stream of another width
            than those before it.
        OptionError: These are no rows of two columns.

    Examples:
        >>> from clipcodec.integrations.sql import decode_rows
        >>> cache = dict(enumerate(clipcodec.open("photos.clpc")))
        >>> keys = [3, 500, 8]  # one is not there
        >>> for ids, vectors in decode_rows((key, cache.get(key)) for key in keys):
        ...     print(ids, vectors.shape)
        [3, 8] (2, 512)
    """
    if not isinstance(batch_rows, int) or batch_rows < 1:
        raise OptionError(f"batch_rows={batch_rows!r}: expected a whole number, 1 or more")
    codec = profile if isinstance(profile, Codec) else Codec(profile)
    return _decoded(_batches(rows, batch_rows, on_null), codec, on_bad_row)


def _decoded(batches: Iterator[_Batch], codec: Codec, on_bad_row: OnBadRow) -> Iterator[Decoded]:
    width: int | None = None
    for batch in batches:
        batch, vectors = _tried(partial(_vectors, codec, width), batch, on_bad_row)
        if vectors is not None:
            width = vectors.shape[1]
            yield Decoded(batch.ids, vectors)


def _vectors(codec: Codec, width: int | None, batch: _Batch) -> Embeddings:
    """The vectors of a batch; width: what they must have, None: that of the first."""
    dim = codec.parse(batch.streams[0]).dim if width is None else width
    return codec._decode_columns(parse_rows(codec, batch.streams, dim))


def search_rows(
    rows: Any,
    queries: Any,
    k: int = 10,
    *,
    profile: ProfileLike = None,
    on_bad_row: OnBadRow = None,
    on_null: OnNull = None,
) -> Found:
    """Find the k rows of (id, stream) whose embeddings are most like each query, in one pass.

    As `clipcodec.search`, with ids in place of positions. Memory does not grow with the rows.

    Args:
        rows: Of the kinds that this module's page names.
        queries: (D,) or (Q, D), of any norm.
        k: How many hits for each query; fewer if there are not so many rows.
        profile: What private streams were made with.
        on_bad_row: As for `decode_rows`.
        on_null: As for `decode_rows`.

    Returns:
        Scores (Q, k), and Q lists of ids.

    Raises:
        DecodeError: Names the row, counted from 0, and its id. So is a stream of another width than
            the queries.
        EmbeddingError: The queries are zero, NaN or infinite.
        OptionError: These are no rows of two columns, or `k` is no positive whole number.

    Examples:
        >>> from clipcodec.integrations.sql import search_rows
        >>> photos = clipcodec.open("photos.clpc")
        >>> scores, ids = search_rows(zip(photos.ids, photos), np.load("embeddings.npy")[7], k=2)
        >>> ids[0][0]
        '7.jpg'
    """
    none = search((), queries, k)  # checks both
    dim = np.asarray(queries).shape[-1]
    codec = Codec(profile)
    scores, ids = none.scores, np.empty(none.scores.shape, object)

    def work(batch: _Batch) -> Any:
        first = codec.parse(batch.streams[0])
        if first.dim != dim:
            raise WidthError(f"{first.dim} dimensions, the queries have {dim}", rows=[0])
        return search(batch.streams, queries, k, profile=profile)

    for batch in _batches(rows, _ROWS, on_null):
        batch, hits = _tried(work, batch, on_bad_row)
        if hits is None:
            continue
        own = np.fromiter(batch.ids, object, len(batch.ids))[hits.indices]
        scores = np.concatenate([scores, hits.scores], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(scores, order, 1)
        ids = np.take_along_axis(np.concatenate([ids, own], axis=1), order, 1)
    return Found(scores, [list(row) for row in ids])


class _Batch(NamedTuple):
    """Rows that have a stream: which they are of all rows, their ids and their streams."""

    numbers: list[int]
    ids: list[Any]
    streams: list[Any]

    def without(self, rows: set[int]) -> _Batch:
        kept = [i for i in range(len(self.ids)) if i not in rows]
        return _Batch(*([values[i] for i in kept] for values in self))

    def named(self, error: DecodeError) -> DecodeError:
        """The error, with the numbers and the ids of its rows."""
        reasons = {
            self.numbers[one.rows[0]]: f"id {self.ids[one.rows[0]]!r}: {one.reason}"
            for one in error.each()
        }
        named = type(error).of_rows(reasons)
        named.item = "row"
        return named


def _tried(
    work: Callable[[_Batch], Any], batch: _Batch, on_bad_row: OnBadRow
) -> tuple[_Batch, Any]:
    """What `work` makes of a batch, and the rows that it is of; None if there are none.

    Rows that it names in a DecodeError are left out, and handed to `on_bad_row`, if there is one.
    """
    while batch.ids:
        try:
            return batch, work(batch)
        except DecodeError as error:
            if not error.rows:  # of the first, alone
                error.rows = (0,)
            named = batch.named(error)
            if on_bad_row is None:
                raise named from error
            for one in named.each():
                on_bad_row(one)
            batch = batch.without({*error.rows})
    return batch, None


def _batches(rows: Any, size: int, on_null: OnNull) -> Iterator[_Batch]:
    first = 0
    for ids, streams in _parts(rows, size):
        kept = [i for i, stream in enumerate(streams) if stream is not None]
        if len(kept) < len(streams) and on_null is not None:
            for i, stream in enumerate(streams):
                if stream is None:
                    on_null(ids[i])
        batch = _Batch(
            [first + i for i in kept], [ids[i] for i in kept], [streams[i] for i in kept]
        )
        first += len(ids)
        if kept:
            yield batch


def _parts(rows: Any, size: int) -> Iterator[tuple[list[Any], list[Any]]]:
    """Ids and streams of up to `size` rows at a time; None where there is no stream."""
    if not _arrow(rows) and hasattr(rows, "fetch_record_batch"):  # ADBC
        rows = rows.fetch_record_batch()
    if _arrow(rows):
        yield from _arrow_parts(rows, size)
        return
    if hasattr(rows, "fetchmany"):
        source: Iterator[list[Any]] = iter(lambda: list(rows.fetchmany(size)), [])
    elif isinstance(rows, Iterable) and not isinstance(rows, (*BYTES, str)):
        every = iter(rows)
        source = iter(lambda: list(islice(every, size)), [])
    else:
        raise OptionError(
            f"{type(rows).__name__} gives no rows: give a cursor that has run SELECT id, stream, "
            "or pairs of id and stream"
        )
    number = 0
    for part in source:
        pairs = [_pair(row, number + i) for i, row in enumerate(part)]
        number += len(part)
        yield [id for id, _ in pairs], [stream for _, stream in pairs]


def _arrow(rows: Any) -> bool:
    return hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__")


def _pair(row: Any, number: int) -> tuple[Any, Any]:
    values = tuple(row.values()) if isinstance(row, Mapping) else row
    if isinstance(values, (*BYTES, str)) or not isinstance(values, (Sequence, Iterable)):
        raise OptionError(
            f"row {number} is {type(row).__name__}: expected two columns, SELECT id, stream; pairs "
            "of streams alone are enumerate(streams)"
        )
    found = tuple(values)
    if len(found) != 2:
        raise OptionError(f"row {number} has {len(found)} columns: expected two, SELECT id, stream")
    id, stream = found
    # how pandas says that there is none
    absent = type(stream).__name__ == "NAType" or (isinstance(stream, float) and stream != stream)
    return id, None if absent else stream


def _arrow_parts(rows: Any, size: int) -> Iterator[tuple[list[Any], list[Any]]]:
    from .arrow_types import is_stream, is_text
    from .extras import need
    from .values import streams_of

    pa = need("pyarrow", "arrow")
    try:
        reader = (
            pa.RecordBatchReader.from_stream(rows)
            if hasattr(rows, "__arrow_c_stream__")
            else (pa.table(rows).to_reader())
        )
    except (pa.ArrowException, TypeError) as error:
        raise OptionError(f"{type(rows).__name__} gives no table of Arrow: {error}") from error
    if len(reader.schema) != 2:
        raise OptionError(
            f"a result of {len(reader.schema)} columns: expected two, SELECT id, stream"
        )
    field = reader.schema.field(1)
    if not (is_stream(field.type) or is_text(field.type) or pa.types.is_null(field.type)):
        raise DecodeError(
            f"column {field.name!r} is {field.type}: expected streams, binary or text"
        )
    for batch in reader:
        for at in range(0, len(batch), size):
            part = batch.slice(at, size)
            streams = [None] * len(part) if pa.types.is_null(field.type) else None
            yield part.column(0).to_pylist(), streams or streams_of(part.column(1))
