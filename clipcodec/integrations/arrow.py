"""Columns of embeddings or images in Arrow tables ↔ columns of streams (docs/tables.md).

>>> import pyarrow.parquet as pq
>>> from clipcodec.integrations.arrow import decode_array, encode_array
>>> table = pq.read_table("table.parquet")
>>> streams = encode_array(table["embedding"].combine_chunks(), max_bytes=48)
>>> streams.type
DataType(binary)
>>> decode_array(streams).type
FixedSizeListType(fixed_size_list<item: float>[512])

Columns and tables are those of pyarrow, or of what speaks Arrow's C data interface, as Polars and
DuckDB do; those that come out are pyarrow's. A column of embeddings holds lists of real numbers of
any type and width: list, large list, fixed-size list, list view or fixed-shape tensor. A column of
images holds bytes, paths of files, Hugging Face's struct of bytes and path, or pixels in tensors or
lists. A column of streams holds bytes, or their text. Null stays null. Errors name
column and row, counted over all batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..errors import DecodeError, EmbeddingError
from .arrow_types import as_array, as_table
from .batches import decode_all, decoding, encode_all, encoding
from .columns import ColumnDecoder, ColumnEncoder, EncodeOptions, OnBadRow, Profiles
from .extras import need
from .parquet import column_profile, compress_parquet, decompress_parquet, read_streams

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Unpack
else:
    pa = need("pyarrow", "arrow")

__all__ = [
    "encode_array",
    "decode_array",
    "encode_batches",
    "decode_batches",
    "encode_table",
    "decode_table",
    "encoded_schema",
    "decoded_schema",
    "compress_parquet",
    "decompress_parquet",
    "read_streams",
    "column_profile",
    "EncodeOptions",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def encode_array(
    array: pa.Array | pa.ChunkedArray, **options: Unpack[EncodeOptions]
) -> pa.BinaryArray | pa.ChunkedArray:
    """Encode a column of embeddings or images.

    Args:
        array: Embeddings or images, of the types that this module's page names: of pyarrow, or
            of what speaks Arrow's C data interface, as a Series of Polars does.
        **options: See `EncodeOptions`.

    Returns:
        Streams, of type binary, in the same chunks as the input; null stays null.

    Raises:
        EmbeddingError: Names the row at fault.
        ImageError: Names the row at fault.
        OptionError: As for `clipcodec.encode`, and so is RateError.

    Examples:
        >>> import pyarrow as pa
        >>> from clipcodec.integrations.arrow import encode_array
        >>> encode_array(pa.array([[0.1] * 512, None]), quality=20).is_valid().to_pylist()
        [True, False]
    """
    encoder = ColumnEncoder(**options)
    array = as_array(array, EmbeddingError)
    if isinstance(array, pa.ChunkedArray):
        encoder.check_type(array.type)
        encoder.settle(lambda: array.chunks)
        return pa.chunked_array([encoder.encode(c) for c in array.chunks], pa.binary())
    encoder.check_type(array.type)
    encoder.settle(lambda: [array])
    return encoder.encode(array)


def decode_array(
    streams: pa.Array | pa.ChunkedArray,
    *,
    profile: Profiles = None,
    on_bad_row: OnBadRow = None,
) -> pa.FixedSizeListArray | pa.ChunkedArray:
    """Decode a column of streams.

    Args:
        streams: A column of type binary, or of text (`clipcodec.to_text`), from where
            `encode_array` takes its; null stays null.
        profile: The profile that private streams were made with, or a `Codec`.
        on_bad_row: As in `EncodeOptions`.

    Returns:
        Fixed-size lists of D float32, unit norm, in the same chunks as the input.

    Raises:
        DecodeError: Names the row at fault.

    Examples:
        >>> import pyarrow as pa
        >>> from clipcodec.integrations.arrow import decode_array
        >>> len(decode_array(pa.array(clipcodec.open("photos.clpc"))))
        100
    """
    decoder = ColumnDecoder(profile=profile, on_bad_row=on_bad_row)
    streams = as_array(streams, DecodeError)
    decoder.check_type(streams.type)
    if isinstance(streams, pa.ChunkedArray):
        width = decoder.find_width(iter(streams.chunks))
        chunks = [decoder.decode(chunk) for chunk in streams.chunks]
        return pa.chunked_array(chunks, pa.list_(pa.float32(), width))
    return decoder.decode(streams)


def encode_batches(
    batches: Iterable[pa.RecordBatch],
    column: str,
    *,
    into: str | None = None,
    keep: bool = False,
    embed_profile: bool = False,
    **options: Unpack[EncodeOptions],
) -> Iterator[pa.RecordBatch]:
    """Encode a column of each batch; one batch is in memory at a time.

    Args:
        batches: Of one table; or a RecordBatchReader, or what speaks Arrow's C data interface.
        column: The column of embeddings or images.
        into: Name of the column of streams; None: the name of `column`.
        keep: Keep `column`, and put the streams behind it; then `into` is needed.
        embed_profile: Put the private profile into the metadata of the column of streams, so that
            whoever has the table can decode it.
        **options: See `EncodeOptions`.

    Returns:
        The batches, of the schema that `encoded_schema` gives for the first one's.

    Raises:
        EmbeddingError: As for `encode_array`, and so are ImageError and RateError.
        OptionError: Also if there is no such column, or the name `into` is taken.

    Examples:
        >>> import pyarrow.parquet as pq
        >>> from clipcodec.integrations.arrow import encode_batches, encoded_schema
        >>> file = pq.ParquetFile("table.parquet")
        >>> schema = encoded_schema(file.schema_arrow, "embedding")
        >>> with pq.ParquetWriter("small.parquet", schema) as writer:
        ...     for batch in encode_batches(file.iter_batches(), "embedding", quality=20):
        ...         writer.write_batch(batch)
    """
    return encode_all(batches, column, into=into, keep=keep, embed_profile=embed_profile, **options)


def decode_batches(
    batches: Iterable[pa.RecordBatch],
    column: str | None = None,
    *,
    into: str | None = None,
    keep: bool = False,
    profile: Profiles = None,
    on_bad_row: OnBadRow = None,
) -> Iterator[pa.RecordBatch]:
    """Decode a column of streams of each batch; one batch is in memory at a time.

    Args:
        batches: Of one table; or a RecordBatchReader, or what speaks Arrow's C data interface.
        column: The column of streams; None: the one whose metadata say that it holds streams.
        into: As in `encode_batches`.
        keep: As in `encode_batches`.
        profile: As in `decode_array`.
        on_bad_row: As in `EncodeOptions`.

    Returns:
        The batches, with fixed-size lists of float32, unit norm.

    Raises:
        DecodeError: Names column and row.
        OptionError: There is no such column, or the name `into` is taken.

    Examples:
        >>> import pyarrow.parquet as pq
        >>> from clipcodec.integrations.arrow import decode_batches, encode_table
        >>> small = encode_table(pq.read_table("table.parquet"), "embedding", quality=20)
        >>> [batch.num_rows for batch in decode_batches(small.to_batches())]
        [100]
    """
    return decode_all(
        batches, column, into=into, keep=keep, profile=profile, on_bad_row=on_bad_row
    )  # fmt: skip


def encode_table(
    table: pa.Table,
    column: str,
    *,
    into: str | None = None,
    keep: bool = False,
    embed_profile: bool = False,
    **options: Unpack[EncodeOptions],
) -> pa.Table:
    """Encode a column of a table.

    For `map` of Hugging Face `datasets`: `partial(encode_table, column="embedding")`.

    Args:
        table: Any table of pyarrow, or of what speaks Arrow's C data interface, as a DataFrame of
            Polars does.
        column: The column of embeddings or images.
        into: As in `encode_batches`.
        keep: As in `encode_batches`.
        embed_profile: As in `encode_batches`.
        **options: See `EncodeOptions`.

    Returns:
        The table with streams in place of `column`.

    Raises:
        OptionError: As for `encode_batches`, and so are EmbeddingError, ImageError and RateError.

    Examples:
        >>> import pyarrow.parquet as pq
        >>> from clipcodec.integrations.arrow import encode_table
        >>> encode_table(pq.read_table("table.parquet"), "embedding", quality=20).column_names
        ['id', 'embedding']
    """
    table = as_table(table)
    recode = encoding(
        table.schema, column, into=into, keep=keep, embed_profile=embed_profile,
        whole=lambda: table.column(column).chunks, **options,
    )  # fmt: skip
    return pa.Table.from_batches(map(recode, table.to_batches()), recode.schema)


def decode_table(
    table: pa.Table,
    column: str | None = None,
    *,
    into: str | None = None,
    keep: bool = False,
    profile: Profiles = None,
    on_bad_row: OnBadRow = None,
) -> pa.Table:
    """Decode a column of streams of a table.

    Args:
        table: Any table of pyarrow, or of what speaks Arrow's C data interface, as a DataFrame of
            Polars does.
        column: As in `decode_batches`.
        into: As in `encode_batches`.
        keep: As in `encode_batches`.
        profile: As in `decode_array`.
        on_bad_row: As in `EncodeOptions`.

    Returns:
        The table with vectors in place of the column of streams.

    Raises:
        DecodeError: As for `decode_batches`, and so is OptionError.

    Examples:
        >>> import pyarrow.parquet as pq
        >>> from clipcodec.integrations.arrow import decode_table, encode_table
        >>> small = encode_table(pq.read_table("table.parquet"), "embedding", quality=20)
        >>> decode_table(small)["embedding"].type
        FixedSizeListType(fixed_size_list<item: float>[512])
    """
    table = as_table(table)
    recode = decoding(
        table.schema, column, into=into, keep=keep, profile=profile, on_bad_row=on_bad_row,
        sample=lambda name: table.column(name).chunks,
    )  # fmt: skip
    return pa.Table.from_batches(map(recode, table.to_batches()), recode.schema)


def encoded_schema(
    schema: pa.Schema,
    column: str,
    *,
    into: str | None = None,
    keep: bool = False,
    profile: Profiles = None,
    embed_profile: bool = False,
) -> pa.Schema:
    """Give the schema of the batches that `encode_batches` gives with the same arguments.

    Args:
        schema: Of the batches to encode.
        column: As in `encode_batches`.
        into: As in `encode_batches`.
        keep: As in `encode_batches`.
        profile: As in `EncodeOptions`.
        embed_profile: As in `encode_batches`.

    Returns:
        The schema; metadata of the column of streams say what made them.

    Raises:
        OptionError: There is no such column, or the name `into` is taken.

    Examples:
        >>> import pyarrow.parquet as pq
        >>> from clipcodec.integrations.arrow import encoded_schema
        >>> encoded_schema(pq.read_schema("table.parquet"), "embedding").field("embedding").type
        DataType(binary)
    """
    return encoding(
        schema, column, into=into, keep=keep, profile=profile, embed_profile=embed_profile
    ).schema


def decoded_schema(
    schema: pa.Schema,
    column: str | None = None,
    *,
    into: str | None = None,
    keep: bool = False,
    profile: Profiles = None,
) -> pa.Schema:
    """Give the schema of the batches that `decode_batches` gives with the same arguments.

    The width of a column without clipcodec's metadata is assumed to be the profile's.

    Args:
        schema: Of the batches to decode.
        column: As in `decode_batches`.
        into: As in `encode_batches`.
        keep: As in `encode_batches`.
        profile: As in `decode_array`.

    Returns:
        The schema, with a fixed-size list of float32.

    Raises:
        OptionError: There is no such column, or the name `into` is taken.

    Examples:
        >>> import pyarrow as pa
        >>> from clipcodec.integrations.arrow import decoded_schema
        >>> decoded_schema(pa.schema({"clip": pa.binary()}), "clip").field("clip").type
        FixedSizeListType(fixed_size_list<item: float>[512])
    """
    return decoding(
        schema, column, into=into, keep=keep, profile=profile, on_bad_row=None,
        sample=lambda _: (),
    ).schema  # fmt: skip
