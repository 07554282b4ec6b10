"""Encodes or decodes one column of a Parquet file in bounded memory (docs/tables.md).

The new file appears when it is complete, or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from ..errors import ClipcodecError, InputError, OptionError, brief
from ..profile import Profile
from ..system.remote import RemoteFile, Source, located, name_of, open_source
from ..system.uploads import replacing
from .arrow_types import is_vector
from .batches import Recoding, decoding, encode_all, encoding
from .carried import carried_profile
from .columns import EncodeOptions, OnBadRow, Profiles
from .extras import need
from .kept import Kept, Sink, check, leaf_counts, leaf_numbers, plan
from .schemas import Change, is_stream_field, listed, stream_column

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from typing_extensions import Unpack
else:
    pa = need("pyarrow", "arrow")
    pq = need("pyarrow.parquet", "arrow")

__all__ = ["column_profile", "compress_parquet", "decompress_parquet", "read_streams"]

_BATCH_BYTES = 1 << 25  # most bytes of a batch that is read, uncompressed
_BATCH_ROWS = 1 << 14
_PROBE_ROWS = 64  # rows that are read first, to estimate the bytes per row
_GROUP_BYTES = 1 << 26  # most bytes of a row group that is written, in memory
_GROUP_ROWS = 1 << 17
_READ_AHEAD = 1 << 20  # bytes read at once of each column, instead of a whole row group
_READ_AHEAD_FAR = 1 << 22  # the same of an object store, where each read takes a request

PathLike = str | os.PathLike[str]
Progress = Callable[[int, int], object] | None


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def compress_parquet(
    source: PathLike,
    target: PathLike,
    column: str,
    *,
    into: str | None = None,
    keep: bool = False,
    embed_profile: bool = False,
    overwrite: bool = False,
    progress: Progress = None,
    **options: Unpack[EncodeOptions],
) -> int:
    """Copy a Parquet file with streams in place of a column of embeddings or images.

    Other columns and the table's metadata are kept; metadata of pandas and Hugging Face are changed
    to fit. `target` appears when it is complete, and not at all if anything fails.

    Args:
        source: The file to read.
        target: The file to write.
        column: The column of embeddings or images.
        into: As in `arrow.encode_batches`.
        keep: As in `arrow.encode_batches`.
        embed_profile: As in `arrow.encode_batches`.
        overwrite: Replace `target` if it exists; it may be the same file as `source`.
        progress: Called with (rows done, rows in all) after each batch.
        **options: See `arrow.EncodeOptions`.

    Returns:
        The number of rows.

    Raises:
        InputError: `source` is not a readable Parquet file.
        OutputExistsError: `target` exists, and `overwrite` is false.
        OSError: A file cannot be read or written.
        EmbeddingError: As for `arrow.encode_batches`, and so are ImageError, OptionError and
            RateError.

    Examples:
        >>> from clipcodec.integrations.parquet import compress_parquet
        >>> compress_parquet("table.parquet", "small.parquet", "embedding", quality=20)
        100
    """
    given = located(source)
    with opened(given) as shown:
        Change.plan(shown.schema_arrow, column, into, keep)  # check the names
        with _opened_raw(shown, given, column, keep) as (file, kept):
            recode = encoding(
                file.schema_arrow, column, into=into, keep=keep, embed_profile=embed_profile,
                whole=lambda: (b.column(0) for b in batches_of(file, given, columns=[column])),
                **options,
            )  # fmt: skip
            return _rewrite(file, given, target, recode, kept, overwrite, progress)


def decompress_parquet(
    source: PathLike,
    target: PathLike,
    column: str | None = None,
    *,
    into: str | None = None,
    keep: bool = False,
    overwrite: bool = False,
    progress: Progress = None,
    profile: Profiles = None,
    on_bad_row: OnBadRow = None,
) -> int:
    """Copy a Parquet file with vectors in place of a column of streams.

    Args:
        source: The file to read.
        target: The file to write.
        column: As in `arrow.decode_batches`.
        into: As in `arrow.encode_batches`.
        keep: As in `arrow.encode_batches`.
        overwrite: As in `compress_parquet`.
        progress: As in `compress_parquet`.
        profile: As in `arrow.decode_array`.
        on_bad_row: As in `arrow.EncodeOptions`.

    Returns:
        The number of rows.

    Raises:
        InputError: As for `compress_parquet`, and so are OutputExistsError and OSError.
        DecodeError: As for `arrow.decode_batches`, and so is OptionError.

    Examples:
        >>> from clipcodec.integrations.parquet import compress_parquet, decompress_parquet
        >>> compress_parquet("table.parquet", "small.parquet", "embedding", quality=20)
        100
        >>> decompress_parquet("small.parquet", "large.parquet")
        100
    """
    given = located(source)
    with opened(given) as shown:
        name = stream_column(shown.schema_arrow) if column is None else column
        Change.plan(shown.schema_arrow, name, into, keep)  # check the names
        with _opened_raw(shown, given, name, keep) as (file, kept):
            recode = decoding(
                file.schema_arrow, name, into=into, keep=keep, profile=profile,
                on_bad_row=on_bad_row,
                sample=lambda name: (b.column(0) for b in batches_of(file, given, columns=[name])),
            )  # fmt: skip
            return _rewrite(file, given, target, recode, kept, overwrite, progress)


@contextmanager
def opened(source: Source) -> Iterator[pq.ParquetFile]:
    """A Parquet file. Raises InputError or OSError naming it."""
    given = located(source)
    open_source(given).close()  # Python's OSError names the file
    with reading(given):
        file = _parquet(given)
        file.schema_arrow.names  # noqa: B018  raises if the names are damaged
    with file:
        yield file


def _parquet(source: Source, **options: Any) -> pq.ParquetFile:
    """Read column by column, so that a large row group is not in memory."""
    if isinstance(source, RemoteFile):
        options |= {"source": open_source(source, 0), "buffer_size": _READ_AHEAD_FAR}
    else:
        options |= {"source": os.fspath(source), "buffer_size": _READ_AHEAD}
    return pq.ParquetFile(pre_buffer=False, **options)


@contextmanager
def _opened_raw(
    shown: pq.ParquetFile, source: Source, column: str, keep: bool
) -> Iterator[tuple[pq.ParquetFile, Kept]]:
    """The file, read so that all columns but `column` can be written as they are."""
    with reading(source):
        kept, metadata = plan(shown, source, shown.schema_arrow.get_field_index(column), keep)
    if metadata is None:
        yield shown, kept
        return
    with reading(source):
        file = _parquet(source, metadata=metadata)
        check(kept, file, source)
    with file:
        yield file, kept


@contextmanager
def reading(source: Source) -> Iterator[None]:
    try:
        yield
    except ClipcodecError:
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, RecursionError) as error:
        raise InputError(
            f"{name_of(source)!r} is not a readable Parquet file: {brief(error)}"
        ) from error


def batches_of(
    file: pq.ParquetFile, source: Source, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The batches of a file, of bounded memory; columns: only these. Raises InputError."""
    meta = file.metadata
    size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    with reading(source):  # the metadata count a repeated value only once
        probe = next(file.iter_batches(batch_size=_PROBE_ROWS, columns=columns), ())
    a_row = max(1, size // max(1, meta.num_rows), probe.nbytes // len(probe) if probe else 0)
    rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // a_row))
    with reading(source):
        batches = file.iter_batches(batch_size=rows, columns=columns)
    while True:
        with reading(source):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _rewrite(
    file: pq.ParquetFile,
    source: Source,
    target: PathLike,
    recode: Recoding,
    kept: Kept,
    overwrite: bool,
    progress: Progress,
) -> int:
    total, done = file.metadata.num_rows, 0
    batches = batches_of(file, source)
    # Read before the metadata are used: damage raises here, but could abort the process there.
    first = [*islice(batches, 1)]
    with reading(source):
        settings = _settings(file, recode, kept)
    with replacing(target, overwrite=overwrite) as output:
        sink = Sink(output) if kept.elements else output
        writer = pq.ParquetWriter(sink, recode.schema, **settings)
        try:
            group: list[pa.RecordBatch] = []
            for batch in chain(first, batches):
                group.append(recode(batch))
                done += len(batch)
                rows, size = sum(map(len, group)), sum(b.nbytes for b in group)
                if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                    writer.write_table(pa.Table.from_batches(group, recode.schema))
                    group = []
                if progress is not None:
                    progress(done, total)
            if group:
                writer.write_table(pa.Table.from_batches(group, recode.schema))
            if isinstance(sink, Sink):
                sink.hold()
            writer.close()
            if isinstance(sink, Sink):
                sink.finish(kept, recode.origins, recode.schema)
        except BaseException:
            with suppress(Exception):  # keep the first error; a writer left open would write later
                writer.close()
            raise
    return done


def _settings(file: pq.ParquetFile, recode: Recoding, kept: Kept) -> dict[str, Any]:
    """Options of the writer: kept columns are compressed as before, vectors and streams not."""
    meta = file.metadata
    if not meta.num_row_groups:
        return {"compression": "NONE", "use_dictionary": False, "write_statistics": False}
    # Columns are matched by place: pyarrow gives new names to parts of lists and maps, and a name
    # may have dots.
    counts, written = leaf_counts(recode.schema)
    sources = [*leaf_numbers(leaf_counts(file.schema_arrow)[0])]
    codecs: dict[str, str] = {}
    ordered: list[str] = []
    for origin, leaves in zip(recode.origins, leaf_numbers(counts), strict=True):
        if origin is None:
            continue
        for i, (old, new) in enumerate(zip(sources[origin], leaves, strict=True)):
            path = written.column(new).path
            codec = meta.row_group(0).column(old).compression
            codecs[path] = {"UNCOMPRESSED": "NONE"}.get(codec, codec)
            if i not in kept.unordered.get(origin, ()):
                ordered.append(path)
    # Vectors and streams do not repeat, and nobody needs their minimum or maximum.
    return {"compression": codecs or "NONE", "use_dictionary": [*codecs] or False,
            "write_statistics": ordered or False}  # fmt: skip


def read_streams(
    source: PathLike, column: str | None = None, **options: Unpack[EncodeOptions]
) -> Iterator[list[bytes | None]]:
    """Read the streams of a Parquet file, batch after batch.

    Embeddings or images are encoded first.

    Args:
        source: The file to read.
        column: None: the one that is marked as streams, else the only one of embeddings.
        **options: See `arrow.EncodeOptions`; of no effect for streams.

    Yields:
        One list for each batch, with None for a null.

    Raises:
        InputError: `source` is not a readable Parquet file.
        OptionError: No column is named, and none is the only choice.
        EmbeddingError: As for `arrow.encode_batches`, and so are ImageError and RateError.

    Examples:
        >>> from clipcodec.integrations.parquet import read_streams
        >>> sum(len(streams) for streams in read_streams("table.parquet", quality=20))
        100
    """
    given = located(source)
    with opened(given) as file:
        name = column if column is not None else _only_column(file.schema_arrow)
        Change.plan(file.schema_arrow, name, None, False)  # check the name
        batches = batches_of(file, given, [name])
        if not is_stream_field(file.schema_arrow.field(name)):
            batches = encode_all(
                batches, name, into=None, keep=False,
                whole=lambda: (b.column(0) for b in batches_of(file, given, [name])), **options,
            )  # fmt: skip
        for batch in batches:
            yield batch.column(0).to_pylist()


def _only_column(schema: pa.Schema) -> str:
    marked = [field.name for field in schema if is_stream_field(field)]
    vectors = [field.name for field in schema if is_vector(field.type)]
    found = marked or vectors
    if len(found) != 1:
        raise OptionError(
            f"columns of streams or embeddings: {', '.join(map(repr, found)) or 'none'}; name one "
            f"with --column, of {listed(schema)}"
        )
    return str(found[0])


def column_profile(
    source: PathLike | pa.Schema | pa.Table | pa.RecordBatch, column: str | None = None
) -> Profile | None:
    """Give the private profile that a column of streams carries in its metadata.

    Functions that are given a whole table or its batches read it themselves. An array, a Series or
    a batch of Spark has no metadata: give this as their `profile`.

    Args:
        source: A Parquet file, or a schema, table or batch of Arrow.
        column: As in `read_streams`.

    Returns:
        The profile; None if the column carries none.

    Raises:
        InputError: `source` is not a readable Parquet file.
        OptionError: As for `read_streams`.
        DecodeError: The profile is damaged, hostile, or of a later release.

    Examples:
        >>> from clipcodec.integrations.parquet import column_profile, compress_parquet
        >>> compress_parquet("table.parquet", "small.parquet", "embedding", quality=20)
        100
        >>> column_profile("small.parquet") is None  # of a registered profile
        True
    """
    if isinstance(source, (str, os.PathLike)):
        with opened(source) as file:
            schema = file.schema_arrow
    else:
        schema = source if isinstance(source, pa.Schema) else source.schema
    name = column if column is not None else _only_column(schema)
    return carried_profile(Change.plan(schema, name, None, False).field)
