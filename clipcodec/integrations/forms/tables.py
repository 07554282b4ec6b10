"""Arrow tables of streams, with their ids: what Parquet and LanceDB hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ...bitstream import begins
from ...codec import Codec
from ...container import Container
from ...container.embedded import Embedded
from ...container.layout import Item
from ...errors import InputError, OptionError
from ..arrow_types import is_stream, is_vector
from ..batches import encode_all
from ..carried import carried_profile
from ..converting import How, Incoming, one_profile
from ..extras import need
from ..schemas import (
    FORMAT_VERSION,
    PROFILE_FILE,
    Change,
    is_stream_field,
    listed,
    stream_metadata,
)
from .coding import codec_of, own_profile

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = need("pyarrow", "arrow")

METADATA = b"clipcodec.container_metadata"  # of a schema: the container's, as JSON
_ROWS = 8192
_EMBEDDING = "embedding"

Batches = Callable[[list[str]], Iterable["pa.RecordBatch"]]  # of these columns


# containers to tables


def schema_of(container: Container, how: How) -> pa.Schema:
    """Columns of ids and streams, with all that the container knows of them."""
    import base64

    profile, embedded = one_profile(container, how), container.embedded()
    metadata = {FORMAT_VERSION: b"1"}
    if profile is not None:
        metadata = stream_metadata(Codec(profile), profile.dim)
        if embedded is not None and profile.digest != embedded.digest:
            embedded = None
            how.notes.append("the profile that is carried is not that of the streams: left out")
    if embedded is not None:
        metadata[PROFILE_FILE] = base64.b64encode(embedded.body)
    fields = [
        pa.field(how.id_column or "id", pa.string()),
        pa.field(how.column or "stream", pa.binary(), metadata=metadata),
    ]
    if how.embeddings:
        width = container.decode(0).shape[0] if len(container) else container.no_rows().shape[1]
        fields.append(pa.field(_EMBEDDING, pa.list_(pa.float32(), width)))
    if len({field.name for field in fields}) < len(fields):
        raise OptionError(f"columns of one name: {', '.join(field.name for field in fields)}")
    known = {METADATA: json.dumps(container.metadata).encode()} if container.metadata else None
    return pa.schema(fields, known)


def batches_of(container: Container, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """All items, some thousand at a time."""
    items = container.items()
    while some := list(islice(items, _ROWS)):
        columns = [
            pa.array([item.id for item in some], pa.string()),
            pa.array([item.stream for item in some], pa.binary()),
        ]
        if len(schema) > len(columns):
            rows = container.codec.decode_batch([item.stream for item in some])
            values = pa.array(np.ascontiguousarray(rows).reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(values, rows.shape[1]))
        yield pa.record_batch(columns, schema=schema)


# tables to containers


def incoming(schema: pa.Schema, batches: Batches, how: How) -> Incoming:
    """Streams of a table as they are, or of its embeddings; raises OptionError or InputError."""
    name = how.column or _column(schema)
    field = Change.plan(schema, name, None, False).field  # checks the name
    id_column = _id_column(schema, name, how)
    wanted = [name] if id_column is None else [name, id_column]
    others = [other for other in schema.names if other not in wanted]
    if others:
        how.notes.append(f"columns that a container has no room for: {', '.join(others)}")
    metadata = _metadata(schema)
    carried: Any = None
    if is_stream_field(field) or (is_stream(field.type) and _begin_as_streams(name, batches)):
        how.refuse_rate()
        carried_profile(field)  # raises if it is damaged
        carried = _embedded(field)
        source = batches(wanted)
    elif is_vector(field.type):
        codec = codec_of(how)
        carried = own_profile(codec)
        options = asdict(how.target)
        source = encode_all(
            batches(wanted), name, into=None, keep=False, profile=codec,
            whole=lambda: (batch.column(0) for batch in batches([name])), **options,
        )  # fmt: skip
    else:
        raise OptionError(
            f"column {name!r}, of type {field.type}, holds neither streams nor embeddings: name "
            f"one that does, of {listed(schema)}"
        )
    return Incoming(_items(source, name, id_column, how), metadata, carried)


def _column(schema: pa.Schema) -> str:
    marked = [field.name for field in schema if is_stream_field(field)]
    found = marked or [field.name for field in schema if is_vector(field.type)]
    if len(found) != 1:
        raise OptionError(
            f"columns of streams or embeddings: {', '.join(map(repr, found)) or 'none'}; name one, "
            f"column=NAME or --column NAME, of {listed(schema)}"
        )
    return str(found[0])


def _id_column(schema: pa.Schema, column: str, how: How) -> str | None:
    name = how.id_column or "id"
    if name == column or name not in schema.names:
        if how.id_column is not None:
            raise OptionError(f"no other column is called {name!r}; the table has {listed(schema)}")
        return None
    type = Change.plan(schema, name, None, False).field.type
    if pa.types.is_dictionary(type):
        type = type.value_type
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not (pa.types.is_integer(type) or any(is_text(type) for is_text in texts)):
        raise OptionError(f"column {name!r} of ids has type {type}: expected text or whole numbers")
    return name


def _begin_as_streams(column: str, batches: Batches) -> bool:
    """Are these bytes streams, by the first that is not null?"""
    for batch in batches([column]):
        for value in batch.column(0):
            if value.is_valid:
                return begins(value.as_py())
    return False


def _metadata(schema: pa.Schema) -> dict[str, Any] | None:
    text = (schema.metadata or {}).get(METADATA)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("the container's metadata in this table are damaged") from error
    return found if isinstance(found, dict) else None


def _embedded(field: pa.Field) -> Embedded | None:
    import base64

    text = (field.metadata or {}).get(PROFILE_FILE)
    return None if text is None else Embedded.parse(base64.b64decode(text))


def _items(
    batches: Iterable[pa.RecordBatch], column: str, id_column: str | None, how: How
) -> Iterator[Item]:
    nulls = 0
    for batch in batches:
        streams = batch.column(batch.schema.get_field_index(column)).to_pylist()
        ids: list[Any] = [None] * len(streams)
        if id_column is not None:
            try:
                ids = batch.column(batch.schema.get_field_index(id_column)).to_pylist()
            except UnicodeDecodeError as error:
                raise InputError(f"column {id_column!r}: an id is not UTF-8: {error}") from error
        for stream, id in zip(streams, ids, strict=True):
            if stream is None:
                nulls += 1
            else:
                yield Item(stream, None if id in (None, "") else str(id))
    if nulls:
        how.notes.append(f"rows that are null in column {column!r}, left out: {nulls:,}")
