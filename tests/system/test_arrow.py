"""clipcodec.system.arrow: columns of other libraries, and who takes them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import DecodeError, EmbeddingError, OptionError, to_text
from clipcodec.system.arrow import as_column, speaks
from tests.helpers.profiles import drawn

pa = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")

from clipcodec.integrations.arrow import (  # noqa: E402
    decode_array,
    decode_batches,
    decode_table,
    encode_array,
    encode_batches,
    encode_table,
)

ROWS = drawn(70, seed=4)
STREAMS = clipcodec.encode_embeddings(ROWS, quality=20)
TEXTS = [to_text(stream) for stream in STREAMS]
DECODED = clipcodec.decode_batch(STREAMS)


class OneArray:
    """An array of a library that is not pyarrow, and that cannot be iterated."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return self.value.__arrow_c_array__(requested_schema)


class Streamed:
    """A column or table of such a library, in chunks."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.value.__arrow_c_stream__(requested_schema)


class Broken:
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        raise TypeError("a column of objects")


def chunks(values: list[Any]) -> Any:
    return pa.chunked_array([values[:30], values[30:30], values[30:]])


COLUMNS: dict[str, Callable[[], Any]] = {
    "array": lambda: OneArray(pa.array(STREAMS)),
    "chunks": lambda: Streamed(chunks(STREAMS)),
    "views": lambda: Streamed(pa.chunked_array([pa.array(STREAMS, pa.binary_view())])),
    "texts": lambda: Streamed(chunks(TEXTS)),
    "large texts": lambda: OneArray(pa.array(TEXTS, pa.large_string())),
    "views of texts": lambda: OneArray(pa.array(TEXTS, pa.string_view())),
    "texts, encoded": lambda: pa.array(TEXTS).dictionary_encode(),
    "a result of one column": lambda: Streamed(pa.table({"clip": chunks(STREAMS)})),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_taken_wherever_streams_are(name: str) -> None:
    column = COLUMNS[name]()
    found = np.array(decode_array(column).to_pylist(), np.float32)
    assert (found == DECODED).all()
    hits = clipcodec.search(column, ROWS[:3], k=2)
    assert (hits.indices == clipcodec.search(STREAMS, ROWS[:3], k=2).indices).all()
    assert len(clipcodec.SearchIndex(column)) == len(STREAMS)
    file = io.BytesIO()
    with clipcodec.create(file) as writer:
        ids: Any = OneArray(pa.array([str(n) for n in range(len(ROWS))]))
        writer.extend(column, ids=ids)
    made = clipcodec.open(io.BytesIO(file.getvalue()))
    assert made[:] == STREAMS
    assert made.ids[69] == "69"


def test_null_stays_null_and_a_search_names_it() -> None:
    column = Streamed(pa.chunked_array([[*TEXTS[:2], None, *TEXTS[2:]]]))
    assert decode_array(column).is_valid().to_pylist() == [n != 2 for n in range(71)]
    with pytest.raises(DecodeError, match=r"stream 2: .*a missing value"):
        clipcodec.search(column, ROWS[:1])


def test_embeddings_and_tables_of_other_libraries() -> None:
    vectors = pa.array(list(ROWS), pa.list_(pa.float32()))
    table = pa.table({"id": range(len(ROWS)), "v": vectors})
    given: Any = Streamed(table)
    assert encode_array(OneArray(vectors), quality=20).to_pylist() == STREAMS
    small = encode_table(Streamed(table), "v", quality=20)
    assert small["v"].to_pylist() == STREAMS
    assert decode_table(Streamed(small)).schema == decode_table(small).schema
    batches = [*encode_batches(given, "v", quality=20)]
    assert pa.Table.from_batches(batches).equals(small)
    given = Streamed(small)
    back = [*decode_batches(given)]
    assert pa.Table.from_batches(back).equals(decode_table(small))


def test_what_is_no_column_or_table_is_refused_by_its_name() -> None:
    table = pa.table({"id": [1], "clip": STREAMS[:1]})
    for wrong in (table, Streamed(table)):
        with pytest.raises(DecodeError, match=r"Table is a table: give its column of streams"):
            clipcodec.search(wrong, ROWS[0])
        with pytest.raises(DecodeError, match="is no Arrow column"):
            decode_array(wrong)
    for wrong in (STREAMS, None, 3, Broken()):
        with pytest.raises(DecodeError, match="is no Arrow column: give a pyarrow array"):
            decode_array(wrong)
        with pytest.raises(EmbeddingError, match="is no Arrow column"):
            encode_array(wrong)
        with pytest.raises(OptionError, match="is no Arrow table: give a pyarrow table"):
            encode_table(wrong, "v")
    with pytest.raises(OptionError, match="Broken is no table: a column of objects"):
        next(decode_batches(Broken(), "v"))  # type: ignore[arg-type]
    with pytest.raises(DecodeError, match="type int64: expected streams, a binary column, or"):
        decode_array(OneArray(pa.array([1])))


def test_text_that_is_no_stream_is_named_by_its_row() -> None:
    spoilt = pa.array([*TEXTS[:4], str(STREAMS[4])])
    with pytest.raises(DecodeError, match=r"row 4: text .* Python's way to show bytes"):
        decode_array(spoilt)
    faults: list[Any] = []
    assert decode_array(spoilt, on_bad_row=faults.append).null_count == 1
    assert [fault.index for fault in faults] == [4]


def test_pyarrows_own_and_all_else_stay_as_they_are() -> None:
    for value in (pa.array([1]), pa.table({"a": [1]}), [b"a"], b"a", None, Broken()):
        assert as_column(value) is value
    assert not speaks(pa.array([1]))
    assert speaks(OneArray(pa.array([1])))
