"""clipcodec.container.writer: what is given is kept, with its id, or refused by name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Container, Item, OptionError

STREAMS = [bytes([0x69, i, 0]) for i in range(5)]
IDS = ["a", "b", None, "d", "e"]
ITEMS = list(map(Item, STREAMS, IDS))


def extended(streams: Any, ids: Any = None) -> Container:
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=2) as writer:
        writer.extend(streams, ids)
    return clipcodec.open(io.BytesIO(buffer.getvalue()))


def appended(*items: Any, id: Any = None) -> Container:
    buffer = io.BytesIO()
    with clipcodec.create(buffer) as writer:
        for item in items:
            writer.append(item, id)
    return clipcodec.open(io.BytesIO(buffer.getvalue()))


def test_a_container_brings_its_ids() -> None:
    """As it is, by its items, from a pipe, and item by item."""
    other = extended(STREAMS, IDS)
    piped = clipcodec.read_items(io.BytesIO(other._file.read_at(0, other.size)))
    for source in (other, other.items(), piped, [other.item(i) for i in range(5)]):
        assert list(extended(source).items()) == ITEMS
    assert appended(*ITEMS).ids == IDS
    assert extended(other, ids=list("vwxyz")).ids == list("vwxyz")
    assert appended(ITEMS[0], id="z").ids == ["z"]


def test_columns_of_tables_are_taken() -> None:
    pa = pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    streams, ids = pa.array(STREAMS), pa.array(IDS)
    columns: list[tuple[Any, Any]] = [
        (streams, ids),
        (pa.chunked_array([streams[:2], streams[2:]]), pa.chunked_array([ids])),
        (pandas.Series(STREAMS), pandas.Series(IDS, dtype=object)),
        (np.array(STREAMS, dtype=object), np.array(IDS, dtype=object)),
        ((memoryview(stream) for stream in STREAMS), iter(IDS)),
    ]
    for column, names in columns:
        assert list(extended(column, names).items()) == ITEMS
    with pytest.raises(OptionError, match="stream 1: a stream is None: expected bytes"):
        extended(pa.array([STREAMS[0], None]))


def test_ids_are_text() -> None:
    for id, kind in ((5, "int"), (np.int64(5), "int64"), (b"a", "bytes"), (Path("a"), "PosixPath")):
        with pytest.raises(OptionError, match=rf"id .* is {kind}: expected text"):
            appended(STREAMS[0], id=id)
    assert appended(STREAMS[0], id=np.str_("a")).ids == ["a"]
    with pytest.raises(OptionError, match="stream 1: id 1 is int"):
        extended(STREAMS[:2], ids=["a", 1])


def test_streams_are_bytes() -> None:
    for bad, kind in ((5, "int"), ((STREAMS[0], "a"), "tuple"), (None, "None")):
        with pytest.raises(OptionError, match=f"a stream is {kind}: expected bytes, or an Item"):
            appended(bad)
        with pytest.raises(OptionError, match=f"stream 1: a stream is {kind}"):
            extended([STREAMS[0], bad])


def test_streams_as_text_are_stored_as_bytes() -> None:
    texts = [clipcodec.to_text(stream) for stream in STREAMS]
    assert appended(texts[0])[:] == STREAMS[:1]
    assert extended(texts)[:] == STREAMS
    with pytest.raises(clipcodec.CorruptError, match=r"stream 1: text .* Python's way to show"):
        extended([texts[0], str(STREAMS[1])])


def test_numpy_bytes_that_lost_their_zeros_are_refused() -> None:
    """An array of dtype S drops zero bytes at the end of each stream."""
    assert np.array(STREAMS)[0] != STREAMS[0]
    with pytest.raises(OptionError, match=r"dtype=object"):
        extended(np.array(STREAMS))


def test_one_stream_or_one_id_is_not_many() -> None:
    with pytest.raises(OptionError, match=r"bytes is not many streams: .* append"):
        extended(STREAMS[0])
    table = pytest.importorskip("pyarrow").table({"stream": STREAMS})
    for other, kind in ((5, "int"), (None, "None"), (table, "Table")):
        with pytest.raises(OptionError, match=f"{kind} is not many streams: give a list or a col"):
            extended(other)
    with pytest.raises(OptionError, match="ids='abc' is one id"):
        extended(STREAMS[:3], ids="abc")


def test_ids_are_counted_before_anything_is_added() -> None:
    """If their number is known; else at the end."""
    with clipcodec.create(io.BytesIO()) as writer:
        with pytest.raises(OptionError, match="2 ids for 5 streams"):
            writer.extend(STREAMS, ["a", "b"])
        assert len(writer) == 0
        with pytest.raises(OptionError, match="fewer ids than streams"):
            writer.extend(STREAMS, iter("ab"))
        with pytest.raises(OptionError, match="fewer streams than ids"):
            writer.extend(iter(STREAMS), list("abcdef"))
