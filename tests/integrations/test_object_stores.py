"""Parquet files on S3: the same as local files, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcodec import EmbeddingError, OutputExistsError, ReplacedError, StoreError
from clipcodec.system.remote import located
from tests.helpers.s3_server import Server, get, put, uploads

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

from clipcodec.integrations.parquet import (  # noqa: E402
    batches_of,
    column_profile,
    compress_parquet,
    decompress_parquet,
    opened,
    read_streams,
)

SOURCE, SMALL, LARGE = (f"s3://bucket/{name}.parquet" for name in ("source", "small", "large"))
ROWS = 60
pytestmark = pytest.mark.filterwarnings("ignore::clipcodec.BackboneWarning")


def table(folder: Path, bad: int | None = None, rows: int = ROWS) -> Path:
    """A file of some row groups, with a column of a type that pyarrow would change. bad: a row."""
    x = np.random.default_rng(0).normal(size=(rows, 512)).astype("f4")
    if bad is not None:
        x[bad] = 0
    columns = {
        "id": pa.array(range(rows)),
        "when": pa.array(range(rows), pa.timestamp("ns")),
        "v": pa.array([*x], pa.list_(pa.float32(), 512)),
    }
    path = folder / "source.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=25, use_deprecated_int96_timestamps=True)
    return path


def options() -> dict[str, Any]:
    return {"max_bytes": 48}


def test_it_becomes_what_a_local_file_becomes(server: Server, tmp_path: Path) -> None:
    path = table(tmp_path)
    put(path.read_bytes(), SOURCE)
    local = tmp_path / "small.parquet"
    assert compress_parquet(path, local, "v", **options()) == ROWS
    assert compress_parquet(SOURCE, SMALL, "v", **options()) == ROWS
    assert get(SMALL) == local.read_bytes()
    assert [*read_streams(SMALL)] == [*read_streams(local)]
    assert column_profile(SMALL) is None
    assert decompress_parquet(fsspec.open(SMALL), LARGE) == ROWS
    decompress_parquet(local, tmp_path / "large.parquet")
    assert get(LARGE) == (tmp_path / "large.parquet").read_bytes()


def test_a_file_is_read_in_few_requests(server: Server, tmp_path: Path) -> None:
    put(table(tmp_path).read_bytes(), SOURCE)
    server.reset()
    compress_parquet(SOURCE, tmp_path / "out.parquet", "v", **options())
    assert len(server.requests) <= 12
    assert [one.method for one in server.requests].count("HEAD") == 1  # one object in all


def test_it_can_replace_itself(server: Server, tmp_path: Path) -> None:
    path = table(tmp_path)
    put(path.read_bytes(), SOURCE)
    with pytest.raises(OutputExistsError, match=SOURCE):
        compress_parquet(SOURCE, SOURCE, "v", **options())
    compress_parquet(SOURCE, SOURCE, "v", overwrite=True, **options())
    compress_parquet(path, path, "v", overwrite=True, **options())
    assert get(SOURCE) == path.read_bytes()


def test_an_error_leaves_what_was_there(server: Server, tmp_path: Path) -> None:
    put(table(tmp_path, bad=55).read_bytes(), SOURCE)
    put(b"before", SMALL)
    with pytest.raises(EmbeddingError, match="55"):
        compress_parquet(SOURCE, SMALL, "v", overwrite=True, **options())
    put(table(tmp_path).read_bytes(), SOURCE)
    server.fail = lambda method, path, range: (
        "503" if method == "POST" and "small" in path else None
    )
    with pytest.raises(StoreError, match=SMALL):
        compress_parquet(SOURCE, SMALL, "v", overwrite=True, **options())
    server.reset()
    assert get(SMALL) == b"before"
    assert uploads() == []


def test_errors_of_the_store(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such object"):
        compress_parquet(SOURCE, SMALL, "v", **options())
    path = table(tmp_path)
    put(path.read_bytes(), SOURCE)
    server.fail = lambda *_: "403"
    with pytest.raises(PermissionError, match="credentials"):
        [*read_streams(SOURCE, "v")]
    server.fail = lambda method, path, range: (
        "503" if range and not range.startswith("0-") else None
    )
    with pytest.raises(StoreError, match=f"{SOURCE}: bytes"):
        [*read_streams(SOURCE, "v")]


def test_a_file_that_is_replaced_is_not_mixed_with_the_new_one(
    server: Server, tmp_path: Path
) -> None:
    data = table(tmp_path, rows=200).read_bytes()
    put(data, SOURCE)
    source = located(SOURCE)
    with opened(source) as file:
        put(data + b"more", SOURCE)
        with pytest.raises(ReplacedError, match=SOURCE):
            [*batches_of(file, source)]
