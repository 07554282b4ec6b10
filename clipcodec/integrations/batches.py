"""Record batches with one column encoded or decoded, the others as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import InputError, OptionError, brief
from .arrow_types import fixed_width, is_image
from .carried import codec_of, metadata_of
from .columns import ColumnDecoder, ColumnEncoder, OnBadRow, Profiles
from .extras import need
from .schemas import (
    PROFILE_FILE,
    Change,
    dimensions_of,
    is_stream_field,
    stream_column,
    stream_metadata,
)

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = need("pyarrow", "arrow")


class Recoding:
    """Turns the batches of one table into those of another, whose schema is `schema`.

    recode  what makes the new column of a batch from the old one
    """

    def __init__(
        self, change: Change, schema: pa.Schema, recode: Callable[[pa.Array], pa.Array]
    ) -> None:
        self.schema = schema
        self._change = change
        self._recode = recode
        self._row = 0

    @property
    def origins(self) -> list[int | None]:
        """Which column of the old table each column of the new one is; None: the new column."""
        old: list[int | None] = [*range(len(self._change.schema))]
        place = self._change.place
        return [*old[: place + self._change.keep], None, *old[place + 1 :]]

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not batch.schema.equals(self._change.schema):
            raise InputError(
                f"the batch at row {self._row} has other columns than the first: "
                f"{_difference(self._change.schema, batch.schema)}"
            )
        self._check_carried(batch.schema.field(self._change.place))
        self._row += len(batch)
        array = self._recode(batch.column(self._change.place))
        return pa.RecordBatch.from_arrays(self._change.columns(batch, array), schema=self.schema)

    def _check_carried(self, field: pa.Field) -> None:
        """Raise InputError for a batch of another table, whose column carries another profile."""
        first, other = (_carried(one) for one in (self._change.field, field))
        if other is not None and other != first:
            raise InputError(
                f"column {field.name!r}: the batch at row {self._row} carries another profile than "
                "the first: decode each table by itself"
            )


def _carried(field: pa.Field) -> bytes | None:
    found: bytes | None = (field.metadata or {}).get(PROFILE_FILE)
    return found


def _difference(first: pa.Schema, other: pa.Schema) -> str:
    a, b = ({(field.name, str(field.type)) for field in schema} for schema in (first, other))
    words = [f"{name!r} is {kind}" for name, kind in sorted(b - a)]
    words += [f"no {name!r} ({kind})" for name, kind in sorted(a - b)]
    return ", ".join(words) or "their order or their nullability"


def encoding(
    schema: pa.Schema,
    column: str,
    *,
    into: str | None,
    keep: bool,
    embed_profile: bool = False,
    whole: Callable[[], Iterable[pa.Array]] | None = None,
    **options: Any,
) -> Recoding:
    """Encode `column` of tables of this schema; options as `EncodeOptions`.

    embed_profile  put the codec's profile, a private one, into the metadata of the new column
    whole  gives all arrays of the column, each time it is called; None: they are not known yet

    Raises OptionError or EmbeddingError if it cannot be encoded.
    """
    change = Change.plan(schema, column, into, keep)
    if is_stream_field(change.field):
        raise OptionError(f"column {column!r} holds streams already: decode it, or name another")
    encoder = ColumnEncoder(column, **options)
    carried = metadata_of(encoder.codec.profile) if embed_profile else {}
    type = change.field.type
    encoder.check_type(type)
    if whole is not None:
        encoder.settle(whole)
    width = encoder.codec.profile.dim or (None if is_image(type) else fixed_width(type))
    metadata = stream_metadata(encoder.codec, width)
    schema = change.result(pa.binary(), metadata | carried)
    return Recoding(change, schema, encoder.encode)


def decoding(
    schema: pa.Schema,
    column: str | None,
    *,
    into: str | None,
    keep: bool,
    profile: Profiles,
    sample: Callable[[str], Iterable[pa.Array]],
    on_bad_row: OnBadRow,
) -> Recoding:
    """Decode `column` of tables of this schema; None: the one that is marked as streams.

    sample  gives arrays of the column, in which to look for the width if the schema lacks it

    Raises OptionError or DecodeError if it cannot be decoded.
    """
    name = stream_column(schema) if column is None else column
    change = Change.plan(schema, name, into, keep)
    width = dimensions_of(change.field)
    codec = codec_of(change.field, profile)
    decoder = ColumnDecoder(name, profile=codec, width=width, on_bad_row=on_bad_row)
    decoder.check_type(change.field.type)
    type = pa.list_(pa.float32(), decoder.find_width(iter(sample(name))))
    return Recoding(change, change.result(type, None), decoder.decode)


def encode_all(
    batches: Iterable[pa.RecordBatch], column: str, **options: Any
) -> Iterator[pa.RecordBatch]:
    """Each batch with `column` encoded; options as of `encoding`, which the first batch plans."""
    recoding: Recoding | None = None
    for batch in _read(batches):
        if recoding is None:
            recoding = encoding(batch.schema, column, **options)
        yield recoding(batch)


def _read(batches: Iterable[pa.RecordBatch] | Any) -> Iterator[pa.RecordBatch]:
    """The batches; of what speaks Arrow's C data interface, as it gives them."""
    if isinstance(batches, pa.RecordBatchReader) or not hasattr(batches, "__arrow_c_stream__"):
        return iter(batches)
    try:
        return iter(pa.RecordBatchReader.from_stream(batches))
    except (pa.ArrowException, TypeError) as error:
        raise OptionError(f"{type(batches).__name__} is no table: {brief(error)}") from error


def decode_all(
    batches: Iterable[pa.RecordBatch], column: str | None, **options: Any
) -> Iterator[pa.RecordBatch]:
    """Each batch with `column` decoded; options as of `decoding`, which the first batch plans."""
    source = _read(batches)
    waiting: list[pa.RecordBatch] = []

    def sample(name: str) -> Iterator[pa.Array]:
        yield waiting[0].column(name)
        for batch in source:  # only while all rows are null: the width is not known yet
            waiting.append(batch)
            yield batch.column(name)

    for first in source:
        waiting.append(first)
        recoding = decoding(first.schema, column, sample=sample, **options)
        while waiting:
            yield recoding(waiting.pop(0))
        for batch in source:
            yield recoding(batch)
