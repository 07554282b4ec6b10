"""clipcodec.integrations.duckdb: functions of SQL for columns of streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, OptionError, ProfileError, to_text
from tests.helpers.profiles import cone, drawn

pa = pytest.importorskip("pyarrow")
duckdb = pytest.importorskip("duckdb")

from clipcodec.integrations.duckdb import register  # noqa: E402

COUNT = 2100  # more than DuckDB hands over at a time
ROWS = drawn(COUNT, seed=7)
STREAMS = clipcodec.encode_embeddings(ROWS, quality=20)
DECODED = clipcodec.decode_batch(STREAMS)


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    """Row 0 has no stream, text or vector; row n has those of ROWS[n - 1]."""
    made = duckdb.connect()
    register(made, quality=20)
    vectors = pa.array([None, *ROWS], pa.list_(pa.float32()))
    rows = pa.table({"id": range(COUNT + 1), "clip": [None, *STREAMS],  # noqa: F841
                     "text": [None, *map(to_text, STREAMS)], "v": vectors})  # fmt: skip
    made.execute("CREATE TABLE photos AS SELECT * FROM rows")
    yield made
    made.close()


def column(db: Any, expression: str, where: str = "true", given: Any = ()) -> list[Any]:
    query = f"SELECT {expression} FROM photos WHERE {where} ORDER BY id"
    return [row[0] for row in db.execute(query, given).fetchall()]


@pytest.mark.parametrize("name", ["clip", "text"])
def test_streams_and_their_texts_are_decoded(db: Any, name: str) -> None:
    first, *found = column(db, f"clip_decode({name})")
    assert first is None
    assert (np.array(found, np.float32) == DECODED).all()
    assert db.sql(f"SELECT clip_decode({name}) FROM photos").types[0] == "FLOAT[512]"


@pytest.mark.parametrize("vector", ["v", "v::DOUBLE[]", "v::FLOAT[512]", "v::DOUBLE[512]"])
def test_vectors_of_any_type_are_encoded(db: Any, vector: str) -> None:
    found = column(db, f"clip_encode({vector})", "id < 40")
    assert found == [None, *STREAMS[:39]]


def test_cosines_are_those_of_a_search(db: Any) -> None:
    """Of a stream and a vector, in any order, of two streams, of two vectors; texts, too."""
    query = ROWS[3] * 5
    scores, indices = clipcodec.search(STREAMS, query, k=COUNT)
    expected = np.empty(COUNT, np.float32)
    expected[indices[0]] = scores[0]
    for one in ("clip", "text"):
        for call in (f"clip_cosine({one}, ?)", f"clip_cosine(?, {one})"):
            first, *found = column(db, call, given=[query])
            assert first is None
            assert np.allclose(found, expected, atol=1e-5)
    both = column(db, "clip_cosine(clip, v)", "id > 0")
    assert np.allclose(both, (DECODED * ROWS).sum(axis=1), atol=1e-5)
    two = "SELECT clip_cosine(a.clip, b.text) FROM photos a, photos b WHERE a.id = 5 AND b.id = 9"
    assert np.allclose(db.execute(two).fetchall()[0][0], DECODED[4] @ DECODED[8], atol=1e-5)
    assert column(db, "clip_cosine(clip, NULL)", "id < 3") == [None] * 3
    best = db.execute("SELECT id FROM photos ORDER BY clip_cosine(clip, ?) DESC NULLS LAST LIMIT 3",
                      [query]).fetchall()  # fmt: skip
    assert [id - 1 for (id,) in best] == indices[0, :3].tolist()


def test_text_of_streams(db: Any) -> None:
    assert column(db, "clip_text(clip)") == column(db, "text")
    assert column(db, "clip_text(text)", "id = 1") == [to_text(STREAMS[0])]


def test_a_profile_of_any_width_gives_lists_or_the_width_that_is_asked() -> None:
    with duckdb.connect() as db:
        register(db, "any/rotation", quality=90)
        row = db.sql("SELECT clip_decode(clip_encode([3.0, 4.0, 5.0]))")
        assert row.types[0] == "FLOAT[]"
        assert np.allclose(row.fetchall()[0][0], np.array([3, 4, 5]) / 50**0.5, atol=0.05)
        register(db, "any/rotation", dim=3)
        assert db.sql("SELECT clip_decode(clip_encode([3.0, 4.0, 5.0]))").types[0] == "FLOAT[3]"
        with pytest.raises(duckdb.Error, match="4 dimensions, expected 3"):
            db.execute("SELECT clip_decode(clip_encode([3.0, 4.0, 5.0, 6.0]))")
        mixed = "SELECT clip_cosine(clip_encode([3.0, 4.0]), [3.0, 4.0, 5.0])"
        with pytest.raises(duckdb.Error, match="2 and 3 dimensions: both must come from one model"):
            db.execute(mixed)


def test_a_private_profile(rates: Any) -> None:
    codec, rows = Codec(rates), cone(5, 24)
    with duckdb.connect() as db:
        for profile in (rates, codec):
            register(db, profile, max_bytes=14)
            stream = db.execute("SELECT clip_encode(?)", [rows[0]]).fetchall()[0][0]
            assert stream == codec.encode_embedding(rows[0], max_bytes=14)
            found = db.execute("SELECT clip_decode(?::BLOB)", [stream]).fetchall()[0][0]
            assert np.allclose(found, codec.decode(stream), atol=1e-6)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("clip_decode('abc'::BLOB)", r"clip_decode: .*the BLOB of 3 bytes whose hex\(\) is 616263"),
        ("clip_decode(clip || 'a'::BLOB)", r"whose hex\(\) is [0-9A-F]{16}…"),
        ("clip_decode(clip::VARCHAR)", "clip_decode: text .* shows bytes by escapes"),
        ("clip_decode(hex(clip))", "hexadecimal digits of a stream"),
        ("clip_decode(base64(clip))", "base64|unused bits"),
        ("clip_decode(id)", r"No function matches .* 'clip_decode\(BIGINT\)'"),
        ("clip_encode([0.0, 1.0])", "clip_encode: 2 dimensions, profile .* takes 512"),
        (
            "clip_encode(list_resize([1.0::FLOAT], 512, 'nan'::FLOAT))",
            "clip_encode: NaN or infinite",
        ),
        ("clip_encode(list_resize([1.0], 512, NULL))", "clip_encode: a null among its numbers"),
        ("clip_cosine(clip, [1.0, 2.0])", "clip_cosine: 2 dimensions, profile .* takes 512"),
        ("clip_cosine(clip, 'abc')", "clip_cosine: "),
        ("clip_text('\\xFF'::BLOB)", "clip_text: first byte 0xff: not a clipcodec stream"),
    ],
)
def test_errors_are_readable_in_sql(db: Any, expression: str, words: str) -> None:
    with pytest.raises(duckdb.Error, match=words):
        column(db, expression, "id = 1")


def test_options_are_checked_at_once(db: Any) -> None:
    wrong: Any
    for wrong, words in (
        ({"mean_bytes": 50}, "mean_bytes is found on all rows"),
        ({"quality": 500}, "quality=500"),
        ({"dim": 3}, "dim=3: profile .* has 512"),
        ({"profile": "any/rotation", "dim": 0}, "dim=0: expected a width"),
        ({"profile": "any/rotation", "dim": "3"}, "dim='3': expected a width"),
    ):
        with pytest.raises(OptionError, match=words):
            register(db, **wrong)
    with pytest.raises(ProfileError):
        register(db, "none/such")
    wrong = "photos.duckdb"
    with pytest.raises(OptionError, match="str is no connection"):
        register(wrong)
