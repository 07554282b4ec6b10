"""Other programs' descriptions of a table, in its metadata, kept in step with a changed column.

Spark, parquet-avro, pandas and Hugging Face read a table by these rather than by the file's own
schema, so one that names the old type makes the file unreadable, or its column wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .extras import need

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = need("pyarrow", "arrow")

_AVRO_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class NewColumn:
    """A column of streams or vectors: it replaces `column`, or follows it if `keep`."""

    column: str
    name: str
    keep: bool
    type: pa.DataType

    @property
    def width(self) -> int | None:
        """Numbers per vector; None: streams."""
        return self.type.list_size if pa.types.is_fixed_size_list(self.type) else None

    def put_in(self, entries: list[Any], entry: Any, key: Callable[[Any], Any]) -> list[Any]:
        """The entries of a description with that of this column; LookupError without the old."""
        names = [key(one) for one in entries]
        if self.column not in names:
            raise LookupError(self.column)
        place = names.index(self.column)
        return [*entries[: place + self.keep], entry, *entries[place + 1 :]]


def in_step(metadata: Mapping[bytes, bytes], new: NewColumn) -> dict[bytes, bytes]:
    """A table's metadata with the new column in every description that is known.

    One that is not understood, or cannot be changed, is left out: its readers use the file's own
    schema then. That of pandas or Hugging Face stays, which does no harm. All other keys stay.
    """
    changed = {}
    for key, text in metadata.items():
        describe = _DESCRIPTIONS.get(key)
        if describe is None:
            changed[key] = text
        elif (found := _changed(describe, text, new)) is not None:
            changed[key] = found
    return changed


Describe = Callable[[Any, NewColumn], None]


def _changed(describe: Describe, text: bytes, new: NewColumn) -> bytes | None:
    try:
        about = json.loads(text)
        describe(about, new)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return text if describe in (_hugging_face, _pandas) else None
    return json.dumps(about).encode()


def _hugging_face(about: Any, new: NewColumn) -> None:
    feature: dict[str, Any] = {"dtype": "binary", "_type": "Value"}
    if new.width is not None:
        # Every release of `datasets` reads "Sequence"; "List" came with 4.0.
        value = {"dtype": "float32", "_type": "Value"}
        feature = {"feature": value, "length": new.width, "_type": "Sequence"}
    features = [*about["info"]["features"].items()]
    about["info"]["features"] = dict(new.put_in(features, (new.name, feature), lambda one: one[0]))
    about.pop("fingerprint", None)  # it is of the old content


def _spark(about: Any, new: NewColumn) -> None:
    floats = {"type": "array", "elementType": "float", "containsNull": True}
    type = "binary" if new.width is None else floats
    field = {"name": new.name, "type": type, "nullable": True, "metadata": {}}
    about["fields"] = new.put_in(about["fields"], field, _name)


def _avro(about: Any, new: NewColumn) -> None:
    if not _AVRO_NAME.fullmatch(new.name):
        raise ValueError("not a name in Avro")
    floats = {"type": "array", "items": ["null", "float"]}
    type = "bytes" if new.width is None else floats
    field = {"name": new.name, "type": ["null", type], "default": None}
    about["fields"] = new.put_in(about["fields"], field, _name)


def _pandas(about: Any, new: NewColumn) -> None:
    kind = "bytes" if new.width is None else "list[float32]"
    column = {"name": new.name, "field_name": new.name, "pandas_type": kind,
              "numpy_type": "object", "metadata": None}  # fmt: skip
    about["columns"] = new.put_in(about["columns"], column, lambda one: one["field_name"])
    if not new.keep:
        about["index_columns"] = [
            new.name if one == new.column else one for one in about["index_columns"]
        ]


def _other(about: Any, new: NewColumn) -> None:
    raise LookupError("a description in a form that is not known here")


def _name(field: Any) -> Any:
    return field["name"]


_DESCRIPTIONS: dict[bytes, Describe] = {
    b"huggingface": _hugging_face,
    b"pandas": _pandas,
    b"org.apache.spark.sql.parquet.row.metadata": _spark,
    b"parquet.avro.schema": _avro,
    b"avro.schema": _avro,
    b"iceberg.schema": _other,
    b"pig.schema": _other,
    b"parquet.proto.class": _other,
    b"parquet.proto.descriptor": _other,
    b"parquet.thrift.descriptor": _other,
    b"thrift.class": _other,
    b"thrift.descriptor": _other,
}
