"""Columns of embeddings or images in Arrow tables ↔ columns of streams (docs/tables.md).

>>> from clipcodec.integrations.arrow import decode_array, encode_array
>>> streams = encode_array(table["embedding"].combine_chunks(), max_bytes=48)   # binary
>>> vectors = decode_array(streams)                       # fixed_size_list<float>[512]

A column of embeddings holds lists of real numbers of any type and width: list, large list,
fixed-size list, list view or fixed-shape tensor. A column of images holds bytes, paths of files,
Hugging Face's struct of bytes and path, or pixels in tensors or lists. Null stays null. Errors name
column and row, counted over all batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .batches import decode_all, decoding, encode_all, encoding
from .columns import ColumnDecoder, ColumnEncoder, EncodeOptions, OnBadRow, Profiles
from .extras import need
from .parquet import compress_parquet, decompress_parquet, read_streams

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
    "EncodeOptions",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def encode_array(
    array: pa.Array | pa.ChunkedArray, **options: Unpack[EncodeOptions]
) -> pa.BinaryArray | pa.ChunkedArray:
    """Encode embeddings or images → binary array of streams, in the same chunks as the input.

    Options are those of `EncodeOptions`. Raises EmbeddingError or ImageError naming the row,
    OptionError or RateError.

    >>> encode_array(pa.array([[0.1] * 512, None]))[1].is_valid
    False
    """
    encoder = ColumnEncoder(**options)
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
    """Decode streams → fixed-size lists of float32, unit norm, in the same chunks as the input.

    profile     the profile that private streams were made with, or a `Codec`
    on_bad_row  as in `EncodeOptions`

    Raises DecodeError naming the row.
    """
    decoder = ColumnDecoder(profile=profile, on_bad_row=on_bad_row)
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
    **options: Unpack[EncodeOptions],
) -> Iterator[pa.RecordBatch]:
    """Encode `column` of each batch; yields one batch after the other.

    batches  of one table, or a RecordBatchReader
    into     name of the column of streams; None: the name of `column`
    keep     keep `column`, and put the streams behind it; then `into` is needed

    The schema of all batches is `encoded_schema` of the first one's. Options and errors are those
    of `encode_array`; OptionError also if there is no such column or the name `into` is taken.

    >>> reader = dataset.scanner(batch_size=16384).to_reader()
    >>> schema = encoded_schema(reader.schema, "embedding")
    >>> with pq.ParquetWriter("small.parquet", schema) as writer:
    ...     for batch in encode_batches(reader, "embedding", max_bytes=48):
    ...         writer.write_batch(batch)
    """
    return encode_all(batches, column, into=into, keep=keep, **options)


def decode_batches(
    batches: Iterable[pa.RecordBatch],
    column: str | None = None,
    *,
    into: str | None = None,
    keep: bool = False,
    profile: Profiles = None,
    on_bad_row: OnBadRow = None,
) -> Iterator[pa.RecordBatch]:
    """Decode a column of streams of each batch to fixed-size lists of float32; one at a time.

    column               None: the column whose metadata say that it holds streams
    into, keep           as in `encode_batches`
    profile, on_bad_row  as in `decode_array`

    Raises DecodeError naming column and row, or OptionError (names of columns).
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
    **options: Unpack[EncodeOptions],
) -> pa.Table:
    """The table with streams in place of `column`; parameters and errors as `encode_batches`.

    For `map` of Hugging Face `datasets`: `partial(encode_table, column="embedding")`.
    """
    recode = encoding(
        table.schema, column, into=into, keep=keep,
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
    """The table with vectors in place of a column of streams; all else as `decode_batches`."""
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
) -> pa.Schema:
    """The schema of the batches that `encode_batches` gives with the same arguments."""
    return encoding(schema, column, into=into, keep=keep, profile=profile).schema


def decoded_schema(
    schema: pa.Schema,
    column: str | None = None,
    *,
    into: str | None = None,
    keep: bool = False,
    profile: Profiles = None,
) -> pa.Schema:
    """The schema of the batches that `decode_batches` gives with the same arguments.

    The width of a column without clipcodec's metadata is assumed to be the profile's.
    """
    return decoding(
        schema, column, into=into, keep=keep, profile=profile, on_bad_row=None,
        sample=lambda _: (),
    ).schema  # fmt: skip
