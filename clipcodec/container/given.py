"""Streams and ids as callers give them to a writer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from itertools import repeat, zip_longest
from numbers import Integral
from typing import Any

from ..errors import OptionError
from ..system.arrow import as_column
from ..text_form import from_text
from . import layout
from .layout import Item
from .reader import Container

_END = object()


def pairs(
    streams: Iterable[bytes | Item] | Container, ids: Iterable[str | None] | None
) -> Iterator[tuple[Any, Any]]:
    """Each stream with the id given for it. Raises OptionError unless there is one for each."""
    if isinstance(streams, Container):
        if ids is not None:
            ids = _counted(ids, len(streams))
        streams = streams.items()
    streams, ids = as_column(streams), as_column(ids)
    if getattr(getattr(streams, "dtype", None), "kind", "") == "S":
        raise OptionError(
            "an array of numpy bytes loses zeros at the end of streams: give a list, or an array "
            "of dtype=object"
        )
    one = isinstance(streams, (bytes, bytearray, memoryview, str))
    if one or not isinstance(streams, Iterable):
        raise OptionError(
            f"{_type(streams)} is not many streams: give a list or a column of them, or add one "
            "with append"
        )
    if ids is None:
        yield from zip(streams, repeat(None))
        return
    if isinstance(ids, (str, bytes)):
        raise OptionError(f"ids={ids!r} is one id: give one for each stream")
    if isinstance(streams, Sized):
        ids = _counted(ids, len(streams))
    for stream, id in zip_longest(streams, ids, fillvalue=_END):
        if stream is _END or id is _END:
            fewer, more = ("streams", "ids") if stream is _END else ("ids", "streams")
            raise OptionError(f"fewer {fewer} than {more}: give one id for each stream")
        yield stream, id


def _counted(ids: Iterable[str | None], streams: int) -> Iterable[str | None]:
    """The ids, if there is one for each stream, as far as that is known."""
    if isinstance(ids, Sized) and len(ids) != streams:
        raise OptionError(f"{len(ids)} ids for {streams} streams: give one for each stream")
    return ids


def plain(value: Any) -> Any:
    """A value of an Arrow column as Python's; others as they are. Raises OptionError."""
    try:
        return value.as_py() if hasattr(value, "as_py") else value
    except UnicodeDecodeError as error:
        raise OptionError(f"a text is not UTF-8: {error}") from error


def _type(value: object) -> str:
    return "None" if value is None else type(value).__name__


def checked_bytes(stream: object) -> bytes:
    if isinstance(stream, str):
        return from_text(stream)
    if not isinstance(stream, (bytes, bytearray, memoryview)):
        raise OptionError(f"a stream is {_type(stream)}: expected bytes, or an Item of a container")
    return bytes(stream)


def id_size(id: object) -> int:
    if not isinstance(id, str):
        such = f", such as {str(id)!r}" if isinstance(id, Integral) else ""
        raise OptionError(f"id {id!r} is {_type(id)}: expected text{such}, or None")
    try:
        size = len(id.encode())
    except UnicodeEncodeError as error:
        raise OptionError(f"id {id!r} is not Unicode text: give another") from error
    if not 0 < size <= layout.MAX_ID:
        raise OptionError(f"an id of {size} bytes: expected 1 to {layout.MAX_ID}")
    return size
