"""Columns of a Parquet file that stay as they are, also those of types that Arrow has not.

pyarrow reads such a column as a type of its own, and would write that: INT96 as a timestamp of 64
bits, INTERVAL as bytes, a time in UTC as one without a zone. Here their values are read and written
as the bytes or integers that they are stored as, and the footer of the new file takes their types
from the footer of the old one.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import InputError
from ..system.remote import Source, name_of, open_source
from . import footer
from .extras import need
from .footer import Struct

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = need("pyarrow", "arrow")
    pq = need("pyarrow.parquet", "arrow")

_ARROW_SCHEMA = b"ARROW:schema"
_LIST_OR_MAP = {2, 3}  # of the logical types, those that Arrow has for groups
_PLAIN = ('"bitWidth":32,"isSigned":true', '"bitWidth":64,"isSigned":true')


@dataclass
class Kept:
    """What the new footer says of columns in place of what pyarrow would say.

    schema    the table as pyarrow shows it
    elements  by column of the source: by place among the elements that pyarrow writes for it,
              those of the source
    unordered   by column: the leaves whose order pyarrow does not know, so no least or greatest
    """

    schema: pa.Schema
    elements: dict[int, dict[int, Struct]] = field(default_factory=dict)
    unordered: dict[int, set[int]] = field(default_factory=dict)

    def patched(self, data: bytes, origins: list[int | None], schema: pa.Schema) -> bytes:
        """A footer that pyarrow wrote, with these elements.

        origins  the column of the source that each column of the new table is; None: a new one
        schema   the new table, as pyarrow writes it
        """
        tree = footer.parse(data)
        elements = footer.items(tree, footer.SCHEMA)
        types: dict[int, Any] = {}  # by number of the leaf
        leaf = 0
        for origin, column in zip(origins, footer.subtrees(elements), strict=True):
            new = {} if origin is None else self.elements.get(origin, {})
            for place, element in enumerate(column):
                if place in new:
                    own = {n: v for n, v in element.items() if n in _OF_STRUCTURE}
                    element.clear()
                    element.update({**new[place], **own})
                    if not footer.children(element):
                        types[leaf] = element[footer.TYPE].value
                leaf += not footer.children(element)
        _set_chunk_types(tree, types)
        for pair in footer.items(tree, footer.KEY_VALUES):
            if pair[footer.KEY].value == _ARROW_SCHEMA:
                shown = self._shown(origins, schema)
                pair[footer.VALUE].value = base64.b64encode(shown.serialize())
        return footer.dump(tree)

    def _shown(self, origins: list[int | None], schema: pa.Schema) -> pa.Schema:
        fields = [
            schema.field(i) if origin is None else self.schema.field(origin)
            for i, origin in enumerate(origins)
        ]
        return pa.schema(fields, schema.metadata)


_OF_STRUCTURE = {footer.NAME, footer.REPETITION, footer.NUM_CHILDREN}


def plan(
    file: pq.ParquetFile, source: Source, recoded: int, keep: bool
) -> tuple[Kept, pq.FileMetaData | None]:
    """How the columns of a file stay as they are, and the metadata to read it by, if others.

    recoded  the column that is encoded or decoded
    keep     it stays beside the new one

    Raises InputError naming a column that would not come back as it was.
    """
    kept = Kept(file.schema_arrow)
    old = footer.last_footer(_tail(source))
    elements = footer.items(footer.parse(old, footer.SCHEMA), footer.SCHEMA)
    written, schema = _as_written(file.schema_arrow)
    raw: set[int] = set()  # leaves
    leaf = 0
    for number, (theirs, ours) in enumerate(
        zip(footer.subtrees(elements), footer.subtrees(written), strict=True)
    ):
        leaves = range(leaf, leaf + _count(theirs))
        leaf = leaves.stop
        if number == recoded and not keep:
            if _count(ours) != len(leaves):
                raise _refusal(source, file, number)
            continue
        new, unordered = dict[int, Struct](), set[int]()
        places = [i for i, element in enumerate(ours) if not footer.children(element)]
        if len(places) != len(leaves):
            raise _refusal(source, file, number)
        own = [element for element in theirs if not footer.children(element)]
        for i, (at, place) in enumerate(zip(leaves, places, strict=True)):
            before, after = file.schema.column(at), schema.column(at)
            if _same(before, after):
                continue
            new[place] = own[i]
            if before.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY", "INT96"):
                unordered.add(i)
            if number != recoded:
                raw.add(at)
            elif (before.physical_type, before.length) != (after.physical_type, after.length):
                raise _refusal(source, file, number)
        groups = _groups(theirs, ours)
        if groups is None:
            raise _refusal(source, file, number)
        new.update(groups)
        if new:
            kept.elements[number], kept.unordered[number] = new, unordered
    return kept, _read_raw(old, raw) if raw else None


def check(kept: Kept, file: pq.ParquetFile, source: Source) -> None:
    """Raise InputError unless pyarrow will write the values of these columns as they are stored."""
    written, schema = _as_written(file.schema_arrow)
    leaf = 0
    for number, column in enumerate(footer.subtrees(written)):
        for place, element in enumerate(column):
            if footer.children(element):
                continue
            if place in kept.elements.get(number, {}):
                before, after = file.schema.column(leaf), schema.column(leaf)
                if (before.physical_type, before.length) != (after.physical_type, after.length):
                    raise _refusal(source, file, number)
            leaf += 1


def leaf_counts(schema: pa.Schema) -> tuple[list[int], pq.ParquetSchema]:
    """How many leaves each column has when pyarrow writes it, and Parquet's schema of them."""
    elements, written = _as_written(schema)
    return [_count(column) for column in footer.subtrees(elements)], written


def leaf_numbers(counts: list[int]) -> Iterator[range]:
    """The numbers of the leaves of each column."""
    ends = [*accumulate(counts)]
    return (range(end - count, end) for count, end in zip(counts, ends, strict=True))


class Sink:
    """A file whose footer is changed before it is written."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held: bytearray | None = None

    def write(self, data: Any) -> int:
        if self._held is None:
            self._file.write(data)
        else:
            self._held += memoryview(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        self._file.flush()

    def hold(self) -> None:
        """Keep what is written from here on: the end of the file."""
        self._held = bytearray()

    def finish(self, kept: Kept, origins: list[int | None], schema: pa.Schema) -> None:
        """Write what was kept, with the changed footer."""
        held = bytes(self._held or b"")
        old = footer.last_footer(held)
        self._file.write(held[: len(held) - 8 - len(old)])
        self._file.write(footer.closed(kept.patched(old, origins, schema)))


def _tail(source: Source) -> bytes:
    with open_source(source) as file:
        file.seek(-8, os.SEEK_END)
        size = int.from_bytes(file.read(4), "little")
        file.seek(-8 - size, os.SEEK_END)
        return file.read()


def _as_written(schema: pa.Schema) -> tuple[list[Struct], pq.ParquetSchema]:
    """The elements of the Parquet schema that pyarrow writes, and pyarrow's view of it."""
    sink = pa.BufferOutputStream()
    pq.ParquetWriter(sink, schema).close()
    data = sink.getvalue()
    tree = footer.parse(footer.last_footer(data.to_pybytes()), footer.SCHEMA)
    return footer.items(tree, footer.SCHEMA), pq.read_metadata(pa.BufferReader(data)).schema


def _count(elements: list[Struct]) -> int:
    return sum(not footer.children(element) for element in elements)


def _same(before: Any, after: Any) -> bool:
    a, b = ((c.physical_type, c.length, _logical(c)) for c in (before, after))
    return bool(a == b)


def _logical(column: Any) -> Any:
    text = column.logical_type.to_json()
    # An INT32 or INT64 without a logical type is the same.
    return '{"Type":"None"}' if any(part in text for part in _PLAIN) else text


def _groups(theirs: list[Struct], ours: list[Struct]) -> dict[int, Struct] | None:
    """The groups that are more than a struct, list or map; None if pyarrow writes others."""
    special = {
        place: element
        for place, element in enumerate(theirs)
        if footer.children(element)
        and footer.LOGICAL in element
        and not _LIST_OR_MAP & {*element[footer.LOGICAL].value}
        and (place >= len(ours) or ours[place].get(footer.LOGICAL) != element[footer.LOGICAL])
    }
    shapes = [[footer.children(element) for element in side] for side in (theirs, ours)]
    return None if special and shapes[0] != shapes[1] else special


def _read_raw(data: bytes, raw: set[int]) -> pq.FileMetaData:
    """Metadata by which these leaves are read as the bytes or integers that they are stored as."""
    tree = footer.parse(data)
    leaf = 0
    types: dict[int, Any] = {}
    for element in footer.items(tree, footer.SCHEMA)[1:]:
        if footer.children(element):
            continue
        if leaf in raw:
            for name in (footer.CONVERTED, footer.SCALE, footer.PRECISION, footer.LOGICAL):
                element.pop(name, None)
            if element[footer.TYPE].value == footer.INT96:  # its bytes are the same in all pages
                element[footer.TYPE] = footer.i32(footer.FIXED_LEN_BYTE_ARRAY)
                element[footer.TYPE_LENGTH] = footer.i32(12)
                types[leaf] = footer.FIXED_LEN_BYTE_ARRAY
        leaf += 1
    _set_chunk_types(tree, types)
    end = footer.closed(footer.dump(tree))
    return pq.read_metadata(pa.BufferReader(footer.MAGIC + end))


def _set_chunk_types(tree: Struct, types: dict[int, Any]) -> None:
    for group in footer.items(tree, footer.ROW_GROUPS):
        chunks = footer.items(group, footer.COLUMNS)
        for leaf, type in types.items():
            chunks[leaf][footer.CHUNK_METADATA].value[footer.CHUNK_TYPE].value = type


def _refusal(source: Source, file: pq.ParquetFile, number: int) -> InputError:
    field = file.schema_arrow.field(number)
    return InputError(
        f"{name_of(source)!r}, column {field.name!r}: pyarrow {pa.__version__} would not write "
        f"its Parquet type as it is (it shows {field.type}): cast or drop the column first"
    )
