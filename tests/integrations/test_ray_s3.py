"""Ray Data with input and output on S3, where a writer is killed in the midst of a file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clipcodec import Codec
from tests.helpers import ray_cluster, s3_server
from tests.helpers.profiles import cone

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pa_fs = pytest.importorskip("pyarrow.fs")
pytest.importorskip("moto.server")
s3fs = pytest.importorskip("s3fs")

from clipcodec.integrations.parquet import opened  # noqa: E402
from clipcodec.integrations.ray import compress_dataset  # noqa: E402

D = 24  # of the profile `rates`
FILES, ROWS = 4, 50  # in each
PART = 6_000_000  # bytes; S3 takes parts of more than 5 MiB


@pytest.fixture
def cluster() -> Iterator[s3_server.Server]:
    with s3_server.running() as server, s3_server.checked(server), ray_cluster.running():
        yield server


class MortalFiles(pa_fs.FSSpecHandler):  # type: ignore[misc, name-defined]
    """S3; the process that writes a file is killed, once, when a part of it was sent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(s3fs.S3FileSystem())
        self.folder = folder

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        try:
            (self.folder / "dead").touch(exist_ok=False)
        except FileExistsError:
            return super().open_output_stream(path, metadata)
        file = self.fs.open(path, "wb", block_size=PART)
        file.write(bytes(PART + 1))
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_nothing_is_lost_doubled_or_half_written(
    cluster: s3_server.Server, rates_path: Path, tmp_path: Path
) -> None:
    rows = cone(FILES * ROWS, D, seed=5)
    for i in range(FILES):
        ids = range(i * ROWS, (i + 1) * ROWS)
        vectors = pa.array([*rows[ids.start : ids.stop]], pa.list_(pa.float32(), D))
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": ids, "v": vectors}), sink)
        s3_server.put(sink.getvalue().to_pybytes(), f"s3://bucket/in/{i}.parquet")
    ds = compress_dataset(
        ray.data.read_parquet("s3://bucket/in/"), "v", profile=Codec(rates_path), max_bytes=14
    )
    files = pa_fs.PyFileSystem(MortalFiles(tmp_path))
    ds.write_parquet("bucket/out", mode="overwrite", filesystem=files)  # type: ignore[arg-type]
    assert (tmp_path / "dead").exists()
    found: dict[int, bytes] = {}
    store = s3fs.S3FileSystem()
    store.invalidate_cache()
    for name in store.find("bucket/out"):
        if name.endswith(".parquet"):
            with opened(f"s3://{name}") as file:
                for row in file.read().to_pylist():
                    assert row["id"] not in found
                    found[row["id"]] = row["v"]
    expected = Codec(rates_path).encode_embeddings(rows, max_bytes=14)
    assert found == dict(enumerate(expected))
    for upload in s3_server.uploads():  # of the process that was killed
        store.call_s3("abort_multipart_upload", Bucket="bucket", Key=upload["Key"],
                      UploadId=upload["UploadId"])  # fmt: skip
