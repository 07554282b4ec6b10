"""The functions that Spark calls, in Spark itself: local, two threads, real Python workers."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcodec import Codec
from tests.helpers.paths import ROOT
from tests.helpers.processes import PACKAGE
from tests.helpers.profiles import cone

sql = pytest.importorskip("pyspark.sql")
pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

from clipcodec.integrations.arrow import decode_batches, encode_batches  # noqa: E402
from clipcodec.integrations.pandas import decode_series, encode_series  # noqa: E402

pytestmark = pytest.mark.slow
D = 24  # of the profile `rates`


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    if shutil.which("java") is None:
        pytest.skip("no Java at hand")
    folders = [str(PACKAGE), str(ROOT)]
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYSPARK_PYTHON")}
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, [before["PYTHONPATH"]])])
    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "7",
    }
    made = sql.SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    yield made
    made.stop()
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value


def test_udfs_and_map_in_arrow(spark: Any, rates_path: Path) -> None:
    """Streams are the codec's, null stays null, in both of Spark's ways of calling."""
    codec, rows = Codec(rates_path), cone(40, D, seed=6)
    streams = [s if i % 9 else None for i, s in enumerate(codec.encode_embeddings(rows))]
    df = spark.createDataFrame(
        [(i, row.tolist() if i % 9 else None) for i, row in enumerate(rows)],
        "id long, v array<float>",
    )

    def encode(series: pd.Series) -> pd.Series:  # type: ignore[name-defined]
        return encode_series(series, profile=codec)

    def decode(series: pd.Series) -> pd.Series:  # type: ignore[name-defined]
        return decode_series(series, profile=codec)

    encode_udf = sql.functions.pandas_udf(encode, "binary")
    decode_udf = sql.functions.pandas_udf(decode, "array<float>")
    found = df.withColumn("clip", encode_udf("v")).withColumn("back", decode_udf("clip")).collect()
    assert [row.clip and bytes(row.clip) for row in sorted(found)] == streams
    check(codec, sorted(found), streams)

    def decode_lists(batches: Iterable[Any]) -> Iterator[Any]:  # Spark knows no lists of fixed size
        schema = pa.schema({"id": pa.int64(), "back": pa.list_(pa.float32())})
        for batch in decode_batches(batches, "v", into="back", profile=codec):
            yield batch.cast(schema)

    coded = df.mapInArrow(partial(encode_batches, column="v", profile=codec), "id long, v binary")
    assert [row.v and bytes(row.v) for row in sorted(coded.collect())] == streams
    check(codec, sorted(coded.mapInArrow(decode_lists, "id long, back array<float>").collect()),
          streams)  # fmt: skip


def check(codec: Codec, found: list[Any], streams: list[bytes | None]) -> None:
    for row, stream in zip(found, streams, strict=True):
        assert (row.back is None) == (stream is None)
        if stream is not None:
            assert np.allclose(row.back, codec.decode(stream), atol=1e-5)
