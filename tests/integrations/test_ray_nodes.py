"""Ray Data on a cluster of two nodes, one of which is killed in mid-run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcodec import Codec
from tests.helpers import ray_cluster
from tests.helpers.profiles import cone

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
cluster_utils = pytest.importorskip("ray.cluster_utils")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from clipcodec.integrations.ray import compress_dataset, decompress_dataset  # noqa: E402

D = 24  # of the profile `rates`
FILES, ROWS = 8, 40  # in each
SECONDS = 200  # to wait for both nodes to work

pytestmark = pytest.mark.slow


class Marking(Codec):
    """A codec that leaves a mark of each batch, by the node that encodes it, and takes its time."""

    def __init__(self, profile: Path, folder: Path) -> None:
        super().__init__(profile)
        self.folder = folder

    def encode_embeddings(self, X: Any, target: Any = None, /, **options: Any) -> list[bytes]:
        node = ray.get_runtime_context().get_node_id()
        (self.folder / f"{node}-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(0.5)  # so that a node dies with work in hand
        return super().encode_embeddings(X, target, **options)


@pytest.fixture
def cluster() -> Iterator[tuple[Any, Any]]:
    """Two nodes, and which of them the driver does not need."""
    settings = {
        **ray_cluster.SYSTEM,
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 4,
    }
    head = {**ray_cluster.NODE, "_system_config": settings}
    with ray_cluster.importable():
        made = ray_cluster.started(
            lambda: cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        )
        second = ray_cluster.started(lambda: made.add_node(**ray_cluster.NODE))
        ray.init(address=made.address, **ray_cluster.QUIET)
        ray.data.DataContext.get_current().enable_progress_bars = False
        try:
            made.wait_for_nodes()
            yield made, second
        finally:
            ray.shutdown()
            made.shutdown()


def marks(folder: Path) -> dict[str, int]:
    """How many batches each node has begun."""
    found: dict[str, int] = {}
    for path in folder.iterdir():
        node = path.name.partition("-")[0]
        found[node] = found.get(node, 0) + 1
    return found


def test_a_node_killed_in_mid_run_loses_and_doubles_nothing(
    cluster: tuple[Any, Any], tmp_path: Path, rates_path: Path
) -> None:
    """Every id is in the files exactly once, with the stream that it has without Ray."""
    nodes, second = cluster
    rows = cone(FILES * ROWS, D, seed=9)
    expected = dict(enumerate(Codec(rates_path).encode_embeddings(rows, max_bytes=14)))
    source, out, folder = tmp_path / "source", tmp_path / "out", tmp_path / "marks"
    source.mkdir()
    folder.mkdir()
    for i in range(FILES):
        part = slice(i * ROWS, (i + 1) * ROWS)
        vectors = pa.array(list(rows[part]), pa.list_(pa.float32(), D))
        table = pa.table({"id": range(part.start, part.stop), "v": vectors})
        pq.write_table(table, source / f"{i}.parquet")
    killed = threading.Event()

    def kill() -> None:
        """The second node, as soon as it works, with its workers, at once."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and second.node_id not in marks(folder):
            time.sleep(0.05)
        if second.node_id in marks(folder):
            nodes.remove_node(second, allow_graceful=False)
            killed.set()

    killer = threading.Thread(target=kill)
    killer.start()
    ds: Any = compress_dataset(
        ray.data.read_parquet(str(source)).repartition(FILES), "v", max_bytes=14,
        profile=Marking(rates_path, folder), concurrency=2, batch_size=ROWS,
        ray_remote_args={"num_cpus": 1},
    )  # fmt: skip
    ds.write_parquet(str(out), mode="error")
    killer.join()
    assert killed.is_set()
    assert len(marks(folder)) == 2  # both nodes did some of the work
    assert sum(marks(folder).values()) > FILES  # and what the dead one had in hand was done again
    found: dict[int, bytes] = {}
    for path in out.glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            assert row["id"] not in found
            found[row["id"]] = row["v"]
    assert found == expected
    back = decompress_dataset(ray.data.read_parquet(str(out)), "v", profile=rates_path).take_all()
    vectors = np.stack([row["v"] for row in sorted(back, key=lambda row: row["id"])])
    assert np.allclose(vectors, Codec(rates_path).decode_batch(expected.values()), atol=1e-5)
