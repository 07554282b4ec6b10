"""SQL functions of DuckDB for columns of streams (docs/cookbook/databases.md).

| function | gives |
|---|---|
| `clip_decode(stream)` | the embedding, `FLOAT[D]` |
| `clip_encode(vector)` | a stream, `BLOB` |
| `clip_cosine(a, b)` | the cosine of a stream and a vector, or of two streams, `FLOAT` |
| `clip_text(stream)` | the stream as text, `VARCHAR`, as `clipcodec.to_text` |

A stream is a `BLOB`, or its text, a `VARCHAR`; a vector is a list or array of `FLOAT` or `DOUBLE`,
of any norm. NULL gives NULL. DuckDB hands over 2,048 rows at a time, which are decoded together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..embeddings import Embeddings
from ..errors import ClipcodecError, DecodeError, EmbeddingError, OptionError
from ..kinds import MAX_DIM
from ..target import TargetOptions
from ..text_form import as_bytes, to_text
from .columns import ColumnDecoder, ColumnEncoder, Profiles, as_codec
from .extras import need
from .values import Places, streams_of, valid_places, vector_array

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from typing_extensions import Unpack
else:
    pa = need("pyarrow", "arrow")

__all__ = ["register"]

_STREAM = "UNION(stream BLOB, text VARCHAR)"
_VECTOR = "UNION(vector FLOAT[], doubles DOUBLE[])"
_EITHER = "UNION(stream BLOB, text VARCHAR, vector FLOAT[], doubles DOUBLE[])"
_SHOWN = 8  # bytes of a stream at fault


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def register(
    db: duckdb.DuckDBPyConnection,
    profile: Profiles = None,
    *,
    dim: int | None = None,
    **options: Unpack[TargetOptions],
) -> None:
    """Give a connection of DuckDB the functions that this module's page lists.

    Called again, it takes the new options.

    Args:
        db: The connection.
        profile: What encodes, and what private streams were made with: a name, the path of a
            profile file, or a `Codec`.
        dim: Width D of the vectors that `clip_decode` gives, for a profile that takes any; without
            it they are lists, `FLOAT[]`.
        **options: Of `clip_encode`: the fields of `clipcodec.Target`, such as max_bytes=48. Not
            mean_bytes, which is found on all rows, while a function sees some: give the quality and
            weight that `Codec.resolve` finds.

    Raises:
        OptionError: An option is out of range, or this is no connection.
        ProfileError: There is no such profile.

    Examples:
        >>> import duckdb
        >>> import clipcodec.integrations.duckdb
        >>> db = duckdb.connect()
        >>> clipcodec.integrations.duckdb.register(db, max_bytes=48)
        >>> best = db.execute(
        ...     "SELECT id, clip_cosine(clip_encode(embedding), ?) AS score "
        ...     "FROM 'table.parquet' ORDER BY score DESC LIMIT 1", [np.load("embeddings.npy")[7]]
        ... ).fetchall()
        >>> best[0][0], best[0][1] > 0.8
        ('7.jpg', True)
    """
    codec = as_codec(profile)
    if not hasattr(db, "create_function"):
        raise OptionError(f"{type(db).__name__} is no connection: give that of duckdb.connect()")
    if options.get("mean_bytes") is not None:
        raise OptionError(
            "mean_bytes is found on all rows, and a function of SQL sees some at a time: give the "
            "quality and weight that Codec.resolve finds on some rows"
        )
    own = codec.profile.dim
    width = own if dim is None else dim
    if width is not None and not (isinstance(width, int) and 1 <= width <= MAX_DIM):
        raise OptionError(f"dim={dim!r}: expected a width of 1 to {MAX_DIM}")
    if own is not None and width != own:
        raise OptionError(f"dim={dim}: profile {codec.profile.name} has {own}; leave it out")
    ColumnEncoder(profile=codec, **options)  # checks the options

    def clip_decode(streams: Any) -> Any:
        union = _whole(streams)
        found, places = _streams(union)
        with _named("clip_decode", found):
            decoder = ColumnDecoder(profile=codec, width=width)
            rows = decoder.decode_some(found) if found else np.empty((0, width or 1), np.float32)
        array = vector_array(rows, places, len(union), rows.shape[1])
        return array if width is not None else array.cast(pa.list_(pa.float32()))

    def clip_encode(vectors: Any) -> Any:
        union = _whole(vectors)
        made: list[bytes | None] = [None] * len(union)
        for member, places in _members(union):
            with _named("clip_encode"):
                encoder = ColumnEncoder(profile=codec, **options)
                found = encoder.encode(member).to_pylist()
            for place, stream in zip(places.tolist(), found, strict=True):
                made[place] = stream
        return pa.array(made, pa.binary())

    def clip_cosine(a: Any, b: Any) -> Any:
        (rows, own), (others, theirs) = units(a), units(b)
        both, first, second = np.intersect1d(own, theirs, return_indices=True)
        cosines = np.full(len(a), np.nan, np.float32)
        valid = np.zeros(len(a), bool)
        valid[both] = True
        if len(both):
            if rows.shape[1] != others.shape[1]:
                raise EmbeddingError(
                    f"clip_cosine: {rows.shape[1]} and {others.shape[1]} dimensions: both must "
                    "come from one model"
                )
            cosines[both] = np.einsum("nd,nd->n", rows[first], others[second])
        return pa.array(cosines, mask=~valid)

    def units(column: Any) -> tuple[Any, Places]:
        """The rows of unit norm (n, D) of streams or vectors, and their places."""
        union = _whole(column)
        parts, where = list[Embeddings](), list[Places]()
        for member, places in _members(union):
            if pa.types.is_list(member.type):
                with _named("clip_cosine"):
                    parts += ColumnEncoder(profile=codec).units(member)
            else:
                found = streams_of(member)
                with _named("clip_cosine", found):
                    parts.append(ColumnDecoder(profile=codec).decode_some(found))
            where.append(places)
        if len({part.shape[1] for part in parts}) > 1:
            raise EmbeddingError("clip_cosine: rows of several widths: keep each model apart")
        if not parts:
            return np.empty((0, 0), np.float32), np.empty(0, np.int64)
        return np.concatenate(parts), np.concatenate(where)

    def clip_text(streams: Any) -> Any:
        union = _whole(streams)
        found, places = _streams(union)
        texts: list[str | None] = [None] * len(union)
        for place, stream in zip(places.tolist(), found, strict=True):
            with _named("clip_text", [stream]):
                texts[place] = to_text(as_bytes(stream))
        return pa.array(texts, pa.string())

    vector = "FLOAT[]" if width is None else f"FLOAT[{width}]"
    _create(db, clip_decode, [_STREAM], vector)
    _create(db, clip_encode, [_VECTOR], "BLOB")
    _create(db, clip_cosine, [_EITHER, _EITHER], "FLOAT")
    _create(db, clip_text, [_STREAM], "VARCHAR")


def _create(db: Any, function: Callable[..., Any], takes: list[str], gives: str) -> None:
    import duckdb

    name = function.__name__
    with suppress(duckdb.Error):  # it is not there yet
        db.remove_function(name)
    # "special": a union is never NULL itself, its value is
    db.create_function(name, function, takes, gives, type="arrow", null_handling="special")


def _whole(column: Any) -> pa.UnionArray:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _members(union: Any) -> Iterator[tuple[pa.Array, Places]]:
    """The values of each type that occurs, without null, and their places."""
    codes = union.type_codes.to_numpy()
    for code in np.unique(codes).tolist():
        member = union.field(code)  # as long as the union
        places = np.intersect1d(np.flatnonzero(codes == code), valid_places(member))
        if len(places):
            yield member.take(pa.array(places)), places


def _streams(union: Any) -> tuple[list[Any], Places]:
    """Streams, bytes or text, without null, and their places in increasing order."""
    found: dict[int, Any] = {}
    for member, places in _members(union):
        found.update(zip(places.tolist(), streams_of(member), strict=True))
    order = sorted(found)
    return [found[place] for place in order], np.array(order, np.int64)


@contextmanager
def _named(function: str, streams: Sequence[bytes | str] = ()) -> Iterator[None]:
    """Errors name the function and how the stream at fault begins.

    Not the row: of a query's many rows, a function sees some, and does not know which.
    """
    try:
        yield
    except ClipcodecError as error:
        reason = f"{function}: {error.reason}"
        if isinstance(error, DecodeError) and streams:
            stream = streams[error.index or 0]
            if isinstance(stream, bytes):
                start = f"{stream[:_SHOWN].hex().upper()}{'…' if len(stream) > _SHOWN else ''}"
                reason += f" (the BLOB of {len(stream)} bytes whose hex() is {start})"
        raise type(error)(reason) from None
