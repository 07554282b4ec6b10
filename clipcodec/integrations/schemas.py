"""Metadata about a column of streams, and the plan of a table that gets a new column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..bitstream import VERSION
from ..codec import Codec
from ..errors import OptionError
from ..kinds import MAX_DIM
from .descriptions import NewColumn, in_step
from .extras import need

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = need("pyarrow", "arrow")

FORMAT_VERSION = b"clipcodec.format_version"
PROFILE = b"clipcodec.profile"
PROFILE_SHA256 = b"clipcodec.profile_sha256"
BACKBONE = b"clipcodec.backbone"
DIMENSIONS = b"clipcodec.dimensions"
PROFILE_FILE = b"clipcodec.profile_file"  # see `carried`


def stream_metadata(codec: Codec, dimensions: int | None) -> dict[bytes, bytes]:
    """Metadata of a field of streams. They inform readers; decoding needs only the streams.

    dimensions  width D of the embeddings; None if it is not known
    """
    profile = codec.profile
    metadata = {
        FORMAT_VERSION: str(VERSION).encode(),
        PROFILE: profile.name.encode(),
        PROFILE_SHA256: profile.digest.hex().encode(),
        BACKBONE: codec.chosen_backbone.encode(),
    }
    if dimensions is not None:  # None: the profile takes any width, and each stream states its own
        metadata[DIMENSIONS] = str(dimensions).encode()
    return metadata


def is_stream_field(field: pa.Field) -> bool:
    """Whether a field's metadata say that it holds streams."""
    return FORMAT_VERSION in (field.metadata or {})


def dimensions_of(field: pa.Field) -> int | None:
    """The width of the embeddings by a field's metadata; None if missing or not valid."""
    text = (field.metadata or {}).get(DIMENSIONS, b"")
    # Metadata of a file may be wrong, and memory is allocated by this number.
    return int(text) if text.isdigit() and len(text) < 6 and 0 < int(text) <= MAX_DIM else None


def stream_column(schema: pa.Schema) -> str:
    """The only column whose metadata say that it holds streams; OptionError for none or several."""
    names = [field.name for field in schema if is_stream_field(field)]
    if len(names) != 1:
        found = "none" if not names else " and ".join(map(repr, names))
        raise OptionError(
            f"columns marked as streams: {found}; name the one to decode (--column), of "
            f"{listed(schema)}"
        )
    return str(names[0])


@dataclass(frozen=True)
class Change:
    """A change of a table: the new column `into` replaces `column`, or follows it if `keep`."""

    schema: pa.Schema
    column: str
    into: str
    keep: bool

    @classmethod
    def plan(cls, schema: pa.Schema, column: str, into: str | None, keep: bool) -> Change:
        """Check the names.

        Raises OptionError if there is no such column or several, or if the new name is taken.
        """
        count = len(schema.get_all_field_indices(column))
        if count != 1:
            what = "no column" if not count else f"{count} columns"
            raise OptionError(f"{what} named {column!r}; the table has {listed(schema)}")
        name = column if into is None else into
        if name in schema.names and (keep or name != column):
            raise OptionError(
                f"column {name!r} is there already: give another name for the result, "
                "into=NAME or --into NAME"
            )
        return cls(schema, column, name, keep)

    @property
    def place(self) -> int:
        """Index of `column` in the table."""
        return int(self.schema.get_field_index(self.column))

    @property
    def field(self) -> pa.Field:
        return self.schema.field(self.place)

    def result(self, type: pa.DataType, metadata: dict[bytes, bytes] | None) -> pa.Schema:
        """The schema of the changed table; its metadata are kept, see `in_step`."""
        field = pa.field(self.into, type, metadata=metadata)
        if self.keep:
            schema = self.schema.insert(self.place + 1, field)
        else:
            schema = self.schema.set(self.place, field)
        new = NewColumn(self.column, self.into, self.keep, type)
        return schema.with_metadata(in_step(schema.metadata or {}, new) or None)

    def columns(self, batch: pa.RecordBatch, array: pa.Array) -> list[pa.Array]:
        """The columns of the changed batch, with `array` as the new column."""
        columns: list[pa.Array] = batch.columns
        if self.keep:
            return [*columns[: self.place + 1], array, *columns[self.place + 1 :]]
        return [*columns[: self.place], array, *columns[self.place + 1 :]]


def listed(schema: pa.Schema) -> str:
    """The names of a table's columns, for messages."""
    names = [repr(name) for name in schema.names]
    shown = ", ".join(names[:20])
    return f"{shown}, … ({len(names)} in all)" if len(names) > 20 else shown or "none"
