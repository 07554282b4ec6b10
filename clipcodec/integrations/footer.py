"""The footer of a Parquet file as its own fields, all of which come back when it is written again.

pyarrow shows of a footer what Arrow has types for. This reads and writes the bytes: structs of
Thrift's compact protocol, as tables of field number → value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAGIC = b"PAR1"

# Fields of parquet.thrift.
SCHEMA, ROW_GROUPS, KEY_VALUES = 2, 4, 5  # FileMetaData
TYPE, TYPE_LENGTH, REPETITION, NAME, NUM_CHILDREN, CONVERTED, SCALE, PRECISION, LOGICAL = (
    1, 2, 3, 4, 5, 6, 7, 8, 10,
)  # fmt: skip  # SchemaElement
COLUMNS, CHUNK_METADATA, CHUNK_TYPE = 1, 3, 1  # RowGroup, ColumnChunk, ColumnMetaData
KEY, VALUE = 1, 2  # KeyValue

INT96, FIXED_LEN_BYTE_ARRAY = 3, 7  # physical types

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


@dataclass
class Value:
    """A value and Thrift's number of its type."""

    kind: int
    value: Any


Struct = dict[int, Value]


def i32(number: int) -> Value:
    return Value(_I32, number)


def parse(data: bytes, last: int | None = None) -> Struct:
    """The struct that the bytes begin with; last: no fields behind this one."""
    return _Reader(data).struct(last)


def dump(struct: Struct) -> bytes:
    out = bytearray()
    _put_struct(out, struct)
    return bytes(out)


def items(struct: Struct, field: int) -> list[Any]:
    """The items of a list in a struct; none if it is missing."""
    return list(struct[field].value[1]) if field in struct else []


def last_footer(tail: bytes) -> bytes:
    """The footer at the end of a file's last bytes."""
    size = int.from_bytes(tail[-8:-4], "little")
    return tail[len(tail) - 8 - size : -8]


def closed(footer: bytes) -> bytes:
    """The footer with its length and the mark that ends a file."""
    return footer + len(footer).to_bytes(4, "little") + MAGIC


def subtrees(elements: list[Struct]) -> Iterator[list[Struct]]:
    """The elements of each column of a table, in the order of the file: groups before members."""
    at = 1  # behind the root
    while at < len(elements):
        end, open_ = at, 1
        while open_:
            open_ += children(elements[end]) - 1
            end += 1
        yield elements[at:end]
        at = end


def children(element: Struct) -> int:
    return int(element[NUM_CHILDREN].value) if NUM_CHILDREN in element else 0


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self, last: int | None = None) -> Struct:
        found: Struct = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            found[field] = Value(head & 15, self._value(head & 15))
            if field == last:
                break
        return found

    def _value(self, kind: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return None  # the kind says it
        if kind == _BYTE:
            return self._byte()
        if kind in (_I16, _I32, _I64):
            return self._zigzag()
        if kind == _DOUBLE:
            return self._take(8)
        if kind == _BINARY:
            return self._take(self._varint())
        if kind in (_LIST, _SET):
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._varint()
            return head & 15, [self._item(head & 15) for _ in range(size)]
        if kind == _MAP:
            size = self._varint()
            kinds = self._byte() if size else 0
            return kinds, [(self._item(kinds >> 4), self._item(kinds & 15)) for _ in range(size)]
        if kind == _STRUCT:
            return self.struct()
        raise ValueError(f"a footer with a value of unknown type {kind}")

    def _item(self, kind: int) -> Any:
        return self._byte() if kind in (_TRUE, _FALSE) else self._value(kind)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._data):
            raise IndexError("a footer that ends too early")
        return self._data[self._at - size : self._at]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)


def _put_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for field, one in sorted(struct.items()):
        step = field - before
        if 0 < step < 16:
            out.append(step << 4 | one.kind)
        else:
            out.append(one.kind)
            _put_zigzag(out, field)
        before = field
        _put(out, one.kind, one.value)
    out.append(0)


def _put(out: bytearray, kind: int, value: Any) -> None:
    if kind in (_TRUE, _FALSE):
        return
    if kind == _BYTE:
        out.append(value)
    elif kind in (_I16, _I32, _I64):
        _put_zigzag(out, value)
    elif kind == _DOUBLE:
        out += value
    elif kind == _BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind in (_LIST, _SET):
        inner, values = value
        if len(values) < 15:
            out.append(len(values) << 4 | inner)
        else:
            out.append(0xF0 | inner)
            _put_varint(out, len(values))
        for one in values:
            _put_item(out, inner, one)
    elif kind == _MAP:
        kinds, pairs = value
        _put_varint(out, len(pairs))
        if pairs:
            out.append(kinds)
        for key, one in pairs:
            _put_item(out, kinds >> 4, key)
            _put_item(out, kinds & 15, one)
    else:
        _put_struct(out, value)


def _put_item(out: bytearray, kind: int, value: Any) -> None:
    if kind in (_TRUE, _FALSE):
        out.append(value)
    else:
        _put(out, kind, value)


def _put_varint(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _put_zigzag(out: bytearray, number: int) -> None:
    _put_varint(out, number << 1 if number >= 0 else ~(number << 1))
