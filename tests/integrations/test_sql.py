"""clipcodec.integrations.sql: rows of any database, decoded and searched in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, DecodeError, EmbeddingError, OptionError, to_text
from clipcodec.integrations import sql
from clipcodec.integrations.sql import Decoded, decode_rows, search_rows
from tests.helpers.profiles import cone, drawn

ROWS = drawn(90, seed=6)
STREAMS = clipcodec.encode_embeddings(ROWS, quality=20)
DECODED = clipcodec.decode_batch(STREAMS)
SELECT = "SELECT id, clip FROM photos ORDER BY id"


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """Ids 1 to 90; of every thirtieth row there is no stream."""
    made = sqlite3.connect(":memory:")
    made.execute("CREATE TABLE photos (id INTEGER PRIMARY KEY, clip BLOB, text TEXT)")
    for number, stream in enumerate(STREAMS, 1):
        values = (number, None, None) if number % 30 == 0 else (number, stream, to_text(stream))
        made.execute("INSERT INTO photos VALUES (?, ?, ?)", values)
    yield made
    made.close()


def all_of(parts: Iterator[Decoded]) -> tuple[list[Any], np.ndarray]:
    found = [*parts]
    return [id for part in found for id in part.ids], np.concatenate([p.vectors for p in found])


@pytest.mark.parametrize("size", [1, 7, 30, 8192])
def test_every_row_that_has_a_stream_comes_once_with_its_id(
    db: sqlite3.Connection, size: int
) -> None:
    nulls: list[int] = []
    ids, vectors = all_of(decode_rows(db.execute(SELECT), batch_rows=size, on_null=nulls.append))
    assert ids == [n for n in range(1, 91) if n % 30]
    assert nulls == [30, 60, 90]
    assert np.allclose(vectors, DECODED[[n - 1 for n in ids]], atol=1e-6)


def test_no_more_rows_are_read_than_are_decoded() -> None:
    """Memory is that of one part, whatever the number of rows."""
    read: list[int] = []

    def rows() -> Iterator[tuple[int, bytes]]:
        for n in range(10**9):
            read.append(n)
            yield n, STREAMS[n % 90]

    parts = decode_rows(rows(), batch_rows=20)
    assert len(next(parts).ids) == len(read) == 20
    next(parts)
    assert len(read) == 40


def test_a_search_finds_what_clipcodec_search_finds(db: sqlite3.Connection) -> None:
    kept = [n for n in range(1, 91) if n % 30]
    expected = clipcodec.search([STREAMS[n - 1] for n in kept], ROWS[:4], k=5)
    found = search_rows(db.execute(SELECT), ROWS[:4], k=5)
    assert found.ids == [[kept[i] for i in row] for row in expected.indices]
    assert (found.scores == expected.scores).all()
    assert found.scores.dtype == np.float32
    one = search_rows(db.execute(SELECT), ROWS[3], k=500)
    assert one.ids[0][0] == 4
    assert len(one.ids[0]) == len(kept)
    assert repr(found) == "<clipcodec.integrations.sql.Found: 4 queries, 5 hits each>"


def test_parts_of_a_search_are_put_together(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of equal scores the first row wins, wherever the parts are cut."""
    rows = [(n, STREAMS[n % 10]) for n in range(60)]
    whole = search_rows(rows, ROWS[:3], k=7)
    for size in (1, 4, 13):
        monkeypatch.setattr(sql, "_ROWS", size)
        part = search_rows(rows, ROWS[:3], k=7)
        assert part.ids == whole.ids
        assert np.allclose(part.scores, whole.scores, atol=1e-6)
    assert whole.ids[0][:6] == [0, 10, 20, 30, 40, 50]


def test_rows_may_be_tuples_dictionaries_text_or_memoryviews(db: sqlite3.Connection) -> None:
    expected = all_of(decode_rows(db.execute(SELECT)))
    texts = db.execute("SELECT id, text FROM photos ORDER BY id")
    pairs = [(n, db.execute("SELECT clip FROM photos WHERE id = ?", [n]).fetchone()[0])
             for n in range(1, 91)]  # fmt: skip
    views = [(n, None if stream is None else memoryview(stream)) for n, stream in pairs]
    missing = [(n, float("nan") if stream is None else stream) for n, stream in pairs]
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(pairs, columns=["id", "clip"]).convert_dtypes()
    frame["clip"] = [pandas.NA if stream is None else stream for _, stream in pairs]
    missing_of_pandas = frame.itertuples(index=False)
    sources: list[Any] = [texts, pairs, iter(pairs), views, missing, missing_of_pandas,
                          [{"id": n, "clip": stream} for n, stream in pairs],
                          [[n, stream] for n, stream in pairs]]  # fmt: skip
    db.row_factory = sqlite3.Row
    sources.append(db.execute(SELECT))
    for source in sources:
        ids, vectors = all_of(decode_rows(source))
        assert ids == expected[0]
        assert (vectors == expected[1]).all()


def test_results_in_arrow_are_read_as_they_come() -> None:
    pa = pytest.importorskip("pyarrow")
    streams: list[Any] = [None, *STREAMS]
    table = pa.table({"id": range(91), "clip": streams})
    texts = pa.table({"id": range(91), "t": [None, *map(to_text, STREAMS)]})
    for source in (table, texts, table.to_reader(7), table.to_batches()[0]):
        ids, vectors = all_of(decode_rows(source, batch_rows=40))
        assert ids == [*range(1, 91)]
        assert np.allclose(vectors, DECODED, atol=1e-6)
    assert search_rows(table, ROWS[2], k=1).ids == [[3]]
    nulls = pa.table({"id": [1], "clip": pa.nulls(1)})
    assert [*decode_rows(nulls)] == []
    with pytest.raises(OptionError, match="a result of 3 columns: expected two"):
        next(decode_rows(table.append_column("x", table["id"])))
    with pytest.raises(DecodeError, match="column 'id' is int64: expected streams"):
        next(decode_rows(table.select(["clip", "id"])))


def test_adbc() -> None:
    pytest.importorskip("pyarrow")
    dbapi = pytest.importorskip("adbc_driver_sqlite.dbapi")
    with dbapi.connect() as db, db.cursor() as cursor:
        cursor.execute("CREATE TABLE photos (id INTEGER PRIMARY KEY, clip BLOB)")
        cursor.executemany("INSERT INTO photos VALUES (?, ?)", [*enumerate(STREAMS)])
        cursor.execute(SELECT)
        ids, vectors = all_of(decode_rows(cursor))
        assert ids == [*range(90)]
        assert (vectors == DECODED).all()


SPOILT: list[Any] = [*zip("abcdefgh", STREAMS, strict=False)]
SPOILT[2] = ("c", STREAMS[2][:-5])
SPOILT[4] = ("e", str(STREAMS[4]))
SPOILT[5] = ("f", None)
SPOILT[6] = ("g", clipcodec.encode_embedding(np.ones(16), profile="any/rotation"))


def test_rows_at_fault_are_named_by_number_and_id() -> None:
    for wrong, words in (
        (SPOILT[:4], r"^row 2: id 'c': "),
        ([*SPOILT[:2], *SPOILT[4:6]], r"^row 2: id 'e': text .* Python's way to show bytes"),
        ([*SPOILT[:2], *SPOILT[5:]], r"^row 3: id 'g': 16 dimensions, "),
    ):
        with pytest.raises(DecodeError, match=words):
            next(decode_rows(wrong))
        with pytest.raises(DecodeError, match=words):
            search_rows(wrong, ROWS[0])


def test_rows_at_fault_are_left_out_if_a_function_takes_them() -> None:
    for size in (1, 3, 100):
        faults: list[Any] = []
        ids, vectors = all_of(decode_rows(SPOILT, batch_rows=size, on_bad_row=faults.append))
        assert ids == ["a", "b", "d", "h"]
        assert np.allclose(vectors, DECODED[[0, 1, 3, 7]], atol=1e-6)
        assert sorted(fault.index for fault in faults) == [2, 4, 6]
    faults = []
    found = search_rows(SPOILT, ROWS[7], k=10, on_bad_row=faults.append)
    assert sorted(found.ids[0]) == ["a", "b", "d", "h"]
    assert found.ids[0][0] == "h"
    assert sorted(fault.index for fault in faults) == [2, 4, 6]
    assert [*decode_rows([(1, b"")], on_bad_row=faults.append)] == []


def test_the_first_row_of_a_part_may_be_the_odd_one() -> None:
    """It is not what says the width of a search, nor of what comes after others."""
    odd = [SPOILT[6], *SPOILT[:2]]
    with pytest.raises(DecodeError, match="row 0: id 'g': 16 dimensions, the queries have 512"):
        search_rows(odd, ROWS[0])
    with pytest.raises(DecodeError, match="row 2: id 'g': 16 dimensions, expected 512"):
        all_of(decode_rows([*SPOILT[:2], SPOILT[6]], batch_rows=2))


def test_nothing_gives_nothing() -> None:
    assert [*decode_rows([])] == []
    assert [*decode_rows([(1, None)])] == []
    found = search_rows([], ROWS[:2], k=3)
    assert found.scores.shape == (2, 0)
    assert found.ids == [[], []]


def test_ids_may_be_anything() -> None:
    ids: list[Any] = [("a", 1), None, [3], "x"]
    found = search_rows([*zip(ids, STREAMS, strict=False)], ROWS[2], k=4)
    assert found.ids[0][0] == [3]
    assert next(decode_rows(zip(ids, STREAMS, strict=False))).ids == ids


def test_private_streams(rates: Any) -> None:
    codec = Codec(rates)
    rows = cone(9, 24)
    pairs = [*enumerate(codec.encode_embeddings(rows))]
    assert search_rows(pairs, rows[5], k=1, profile=rates).ids == [[5]]
    for profile in (rates, codec):
        assert next(decode_rows(pairs, profile=profile)).vectors.shape == (9, 24)
    with pytest.raises(DecodeError, match="row 0: id 0: made with a private profile"):
        next(decode_rows(pairs))


def test_what_gives_no_rows_of_two_columns_is_refused() -> None:
    wrong: Any
    with sqlite3.connect(":memory:") as db:
        for wrong in (None, 5, b"abc", "abc", db):
            with pytest.raises(OptionError, match="gives no rows: give a cursor"):
                next(decode_rows(wrong))
    for wrong in (STREAMS, [1], ["ab"]):
        with pytest.raises(OptionError, match=r"row 0 is .*SELECT id, stream; pairs of streams"):
            search_rows(wrong, ROWS[0])
    with pytest.raises(OptionError, match="row 1 has 3 columns"):
        next(decode_rows([(1, STREAMS[0]), (1, STREAMS[0], 2)]))
    with pytest.raises(OptionError, match="batch_rows=0"):
        decode_rows([], batch_rows=0)
    with pytest.raises(OptionError, match="k=0"):
        search_rows([], ROWS[0], k=0)
    with pytest.raises(EmbeddingError, match="all zero"):
        search_rows([], np.zeros(512))
