"""`.parquet`: a table of streams and ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...container import Container
from ...system.files import replacing
from ..converting import How, Incoming
from ..extras import need
from ..parquet import batches_of as batches_of_file
from ..parquet import opened
from .coding import file_size
from .tables import batches_of, incoming, schema_of

WORDS = "a Parquet table"
_GROUP_ROWS = 1 << 17


@contextmanager
def read(name: str, how: How) -> Iterator[Incoming]:
    how.refuse(WORDS, "ids", "embeddings", "shard_items")
    with opened(name) as file:
        yield incoming(file.schema_arrow, lambda columns: batches_of_file(file, name, columns), how)


def write(container: Container, name: str, how: How) -> int:
    how.refuse(WORDS, "ids", "shard_items")
    pq = need("pyarrow.parquet", "arrow")
    schema = schema_of(container, how)
    ids = schema.names[0]
    with (
        replacing(name, overwrite=how.overwrite) as file,
        pq.ParquetWriter(  # streams and embeddings do not repeat, nor can they be made smaller
            file, schema, compression={ids: "SNAPPY"}, use_dictionary=False, write_statistics=[ids]
        ) as writer,
    ):
        for batch in batches_of(container, schema):
            writer.write_batch(batch, row_group_size=_GROUP_ROWS)
    return file_size(name)
