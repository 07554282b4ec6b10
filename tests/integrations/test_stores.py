"""The recipes of docs/cookbook/databases.md, with real stores: all streams come back equal.

Each section of the page runs as it is written. Its query finds what `clipcodec.search` finds, and
what the store then holds is read back. Servers are started here, or a stand-in takes their place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import clipcodec
from clipcodec.integrations.sql import decode_rows, search_rows
from tests.helpers.paths import ROOT
from tests.helpers.profiles import drawn

pa = pytest.importorskip("pyarrow")

PAGE = ROOT / "docs" / "cookbook" / "databases.md"
COUNT = 60
ROWS = drawn(COUNT, seed=11)


def section(title: str) -> str:
    """The Python of a section of the page; of "" what stands before the first."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        blocks = import_module("snippets.blocks").blocks(PAGE)
    finally:
        sys.path.pop(0)
    lines = PAGE.read_text("utf-8").splitlines()
    found = []
    for block in blocks:
        above = [line[3:] for line in lines[: block.line] if line.startswith("## ")]
        if block.language == "python" and (above or [""])[-1] == title:
            found.append(block.code)
    assert found, title
    return "\n".join(found)


@contextmanager
def recipe(title: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The names that the page has after this section, run in an empty folder."""
    before = os.getcwd()
    np.save(folder / "embeddings.npy", ROWS)
    os.chdir(folder)
    try:
        names: dict[str, Any] = {"__name__": "page"}
        exec(section("") + section(title), names)
        yield names
    finally:
        os.chdir(before)


def expected(names: dict[str, Any], since: int = 2022, first: int = 0) -> list[int]:
    """The ids, counted from `first`, of the five best rows of these years."""
    chosen = [i for i, year in enumerate(names["years"]) if year >= since]
    found = clipcodec.search([names["streams"][i] for i in chosen], names["query"], k=5)
    return [chosen[i] + first for i in found.indices[0]]


def test_sqlite(tmp_path: Path) -> None:
    with recipe("SQLite", tmp_path) as names:
        assert names["best"] == expected(names, first=1)
        rows = names["db"].execute("SELECT clip FROM photos ORDER BY id").fetchall()
        assert [clip for (clip,) in rows] == names["streams"]
        names["db"].close()


def test_duckdb(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    with recipe("DuckDB", tmp_path) as names:
        db = names["db"]
        assert names["best"] == expected(names)
        rows = db.execute("SELECT clip FROM photos ORDER BY id").fetchall()
        assert [clip for (clip,) in rows] == names["streams"]
        relation = db.sql("SELECT id, clip FROM photos WHERE year >= 2022")
        assert search_rows(relation, names["query"], k=5).ids[0] == expected(names)
        db.close()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """What connects to a PostgreSQL server, with pgvector, of these tests alone."""
    pgserver = pytest.importorskip("pgserver")
    psycopg = pytest.importorskip("psycopg")
    connect = psycopg.connect
    try:
        server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    except Exception as error:  # of any kind: no user to run as, no shared memory
        pytest.skip(f"no PostgreSQL server: {error}")
    yield lambda _="", **options: connect(server.get_uri(), **options)
    server.cleanup()


def test_postgresql_and_pgvector(tmp_path: Path, postgres: Callable[..., Any]) -> None:
    with patch("psycopg.connect", postgres), recipe("PostgreSQL", tmp_path) as names:
        db = names["db"]
        assert names["best"] == expected(names, first=1)
        assert names["nearest"] == expected(names, since=0, first=1)
        rows = db.execute("SELECT clip FROM photos ORDER BY id").fetchall()
        assert [clip for (clip,) in rows] == names["streams"]
        decoded = clipcodec.decode_batch(names["streams"])
        texts = db.execute("SELECT embedding::text FROM vectors ORDER BY id").fetchall()
        vectors = np.array([text[1:-1].split(",") for (text,) in texts], np.float32)
        assert np.allclose(vectors, decoded, atol=1e-6)
        with db.transaction(), db.cursor("photos", binary=True) as cursor:  # on the server
            rows = cursor.execute("SELECT id, clip FROM photos ORDER BY id")
            parts = [*decode_rows(rows, batch_rows=25)]
            assert [len(part.ids) for part in parts] == [25, 25, 10]
            assert (np.concatenate([part.vectors for part in parts]) == decoded).all()
        text = db.execute("SELECT id, clip::text FROM photos")
        with pytest.raises(clipcodec.DecodeError, match="row 0: id 1: hexadecimal digits"):
            next(decode_rows(text))
        db.close()


def test_lancedb(tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    with recipe("LanceDB", tmp_path) as names:
        assert names["best"] == expected(names)
        assert names["photos"].to_arrow()["clip"].to_pylist() == names["streams"]


def test_qdrant(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    with recipe("Qdrant", tmp_path) as names:
        assert names["best"] == expected(names)
        points, _ = names["client"].scroll("photos", limit=COUNT, with_vectors=True)
        texts = [point.payload["clip"] for point in points]
        assert [*map(clipcodec.from_text, texts)] == names["streams"]
        found = names["client"].query_points("photos", names["query"].tolist(), limit=5).points
        assert [point.id for point in found] == expected(names, since=0)


def test_chroma(tmp_path: Path) -> None:
    chromadb = pytest.importorskip("chromadb")
    try:
        client = chromadb.EphemeralClient()
    except RuntimeError as error:  # of the package that is a client alone
        pytest.skip(str(error))
    with patch("chromadb.HttpClient", lambda: client), recipe("Chroma", tmp_path) as names:
        assert names["best"] == [f"{i}.jpg" for i in expected(names)]
        found = names["photos"].get(include=["metadatas"])
        rows = zip(found["ids"], found["metadatas"], strict=True)
        streams = {id: clipcodec.from_text(row["clip"]) for id, row in rows}
        assert [streams[f"{i}.jpg"] for i in range(COUNT)] == names["streams"]


def test_redis(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    fakeredis = pytest.importorskip("fakeredis")
    with patch("redis.Redis", fakeredis.FakeRedis), recipe("Redis", tmp_path) as names:
        assert names["best"] == [f"photo:{i}" for i in expected(names, since=0)]
        assert names["missing"] == [f"photo:{i}" for i in range(COUNT, COUNT + 10)]
        assert names["ids"] == [f"photo:{i}" for i in range(COUNT)]
        assert names["client"].mget(names["ids"]) == names["streams"]


def test_text(tmp_path: Path) -> None:
    with recipe("JSON, CSV and other text", tmp_path) as names:
        assert (names["vectors"] == clipcodec.decode_batch(names["streams"])).all()


def test_polars() -> None:
    """The recipe of docs/tables.md, and what else takes columns."""
    pl = pytest.importorskip("polars")
    arrow = import_module("clipcodec.integrations.arrow")
    frame = pl.DataFrame(
        {"id": range(COUNT), "v": pl.Series(ROWS, dtype=pl.Array(pl.Float32, 512))}
    )
    small = pl.from_arrow(arrow.encode_table(frame, "v", into="clip", quality=20))
    streams = clipcodec.encode_embeddings(ROWS, quality=20)
    assert small["clip"].to_list() == streams
    back = pl.from_arrow(arrow.decode_table(small, "clip"))
    assert back.schema["clip"] == pl.Array(pl.Float32, 512)
    assert (back["clip"].to_numpy() == clipcodec.decode_batch(streams)).all()
    texts = pl.Series([*map(clipcodec.to_text, streams)])
    for column in (small["clip"], texts, texts.cast(pl.Categorical)):
        found = arrow.decode_array(column)
        assert (np.array(found.to_pylist(), np.float32) == clipcodec.decode_batch(streams)).all()
        assert clipcodec.search(column, ROWS[:2], k=1).indices.tolist() == [[0], [1]]
    found = search_rows(small.select("id", "clip"), ROWS[3], k=1)
    assert found.ids == [[3]]
    batches = [*arrow.decode_batches(small, "clip")]
    assert sum(batch.num_rows for batch in batches) == COUNT
