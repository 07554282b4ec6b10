"""What is in a Parquet file: which columns hold embeddings, which streams, which images.

A column's type says it, and for binary columns its metadata or its first values.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ..carriers import format_of
from ..codec import Codec
from ..errors import ClipcodecError
from ..system.remote import located, open_source
from .arrow_types import fixed_width, is_image, is_stream, is_text, is_vector
from .carried import read_carried
from .extras import need
from .parquet import PathLike, reading
from .schemas import PROFILE, PROFILE_FILE, dimensions_of, is_stream_field

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = need("pyarrow", "arrow")
    pq = need("pyarrow.parquet", "arrow")

_LOOKED_AT = 16  # rows of a column

EMBEDDINGS, STREAMS, IMAGES, OTHER = "embeddings", "streams", "images", "other"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    holds    "embeddings", "streams", "images" or "other"
    width    numbers of an embedding, or of that which a stream gives; None: unknown, or of several
    profile  the profile of streams; None: unknown
    carries  bytes that the profile itself takes in the metadata, so that no file of it is needed;
             None: it is not there
    fault    what is wrong with that profile; None: nothing
    """

    name: str
    type: str
    holds: str
    width: int | None = None
    profile: str | None = None
    carries: int | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Contents:
    rows: int
    row_groups: int
    columns: list[Column]


def contents(source: PathLike | BinaryIO, codec: Codec | None = None) -> Contents:
    """What a Parquet file holds; reads its footer, and of some columns the first rows.

    codec  has the private profile that streams may have

    Raises InputError (not a readable Parquet file), OSError, or MissingDependencyError.
    """
    name = source if isinstance(source, str) else getattr(source, "name", "table")
    with ExitStack() as stack:
        if isinstance(source, str):  # Python's OSError names the file
            source = stack.enter_context(open_source(located(source), 0))
        stack.enter_context(reading(name))
        file = stack.enter_context(pq.ParquetFile(source, pre_buffer=False))
        columns = [_column(field, file, codec or Codec()) for field in file.schema_arrow]
        return Contents(file.metadata.num_rows, file.metadata.num_row_groups, columns)


def _column(field: pa.Field, file: pq.ParquetFile, codec: Codec) -> Column:
    name, type = field.name, field.type
    if is_stream_field(field):
        profile = field.metadata.get(PROFILE, b"").decode("utf-8", "replace") or None
        carries, fault = _carried(field)
        return Column(name, str(type), STREAMS, dimensions_of(field), profile, carries, fault)
    if is_vector(type):
        width = fixed_width(type)
        if width is None:
            lengths = {len(value) for value in map(_innermost, _first(file, name))}
            width = lengths.pop() if len(lengths) == 1 else None
        return Column(name, str(type), EMBEDDINGS, width)
    if not is_image(type):
        return Column(name, str(type), OTHER)
    first = _first(file, name)
    values = [_bytes_of(value) for value in first]
    if (is_stream(type) or is_text(type)) and first:
        found = {_stream(codec, value) for value in first}
        if None not in found:
            profile, width = found.pop() if len(found) == 1 else (None, None)  # type: ignore[misc]
            return Column(name, str(type), STREAMS, width, profile)
    known = any(format_of(value) is not None or _other_image(value) for value in values)
    plain = is_stream(type) or pa.types.is_string(type) or pa.types.is_large_string(type)
    return Column(name, str(type), IMAGES if known or not plain else OTHER)


def _carried(field: pa.Field) -> tuple[int | None, str | None]:
    """Bytes of the profile in a field's metadata, as Parquet stores them, and its fault."""
    text = field.metadata.get(PROFILE_FILE)
    if text is None:
        return None, None
    size = -(-len(text) * 4 // 3)  # in base64 as all of Arrow's schema
    try:
        read_carried(field)
    except ClipcodecError as error:
        return size, error.reason
    return size, None


def _first(file: pq.ParquetFile, name: str) -> list[Any]:
    """The first values of a column that are there."""
    place = file.schema_arrow.get_all_field_indices(name)
    if len(place) != 1 or not file.metadata.num_row_groups:
        return []
    batch = next(file.iter_batches(batch_size=_LOOKED_AT, row_groups=[0], columns=[name]), None)
    if batch is None or name not in batch.schema.names:
        return []
    return [value for value in batch.column(name).to_pylist() if value is not None]


def _innermost(value: Any) -> Any:
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    return value


def _bytes_of(value: Any) -> bytes:
    value = value.get("bytes") if isinstance(value, dict) else value
    return value if isinstance(value, bytes) else b""


def _other_image(data: bytes) -> bool:
    return data.startswith((b"GIF8", b"II*\0", b"MM\0*", b"BM"))


def _stream(codec: Codec, data: bytes | str) -> tuple[str | None, int | None] | None:
    """Profile and width of a stream, or of its text; None: it is none that can be decoded."""
    try:
        info = codec.info(data)
    except ClipcodecError:
        return None
    return info.profile, info.dim
