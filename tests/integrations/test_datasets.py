"""clipcodec.integrations.datasets: a column of streams in a dataset of Hugging Face."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, DecodeError, to_text
from tests.helpers.profiles import cone, drawn

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("datasets")

from clipcodec.integrations.arrow import decode_array, encode_table  # noqa: E402
from clipcodec.integrations.datasets import ClipStream  # noqa: E402

ROWS = drawn(12, seed=8)
STREAMS = clipcodec.encode_embeddings(ROWS, quality=20)
DECODED = clipcodec.decode_batch(STREAMS)
GIVEN: list[Any] = [*STREAMS[:5], None, *STREAMS[5:]]


@pytest.fixture
def ds() -> Any:
    made = datasets.Dataset.from_dict({"n": range(13), "clip": GIVEN})
    return made.cast_column("clip", ClipStream())


def check(ds: Any) -> None:
    """All rows come back, one at a time, in slices and as a column; the sixth is missing."""
    assert ds.features["clip"] == ClipStream()
    assert ds[5]["clip"] is None
    assert (ds[0]["clip"] == DECODED[0]).all()
    assert ds[0]["clip"].dtype == np.float32
    found = [row for row in ds[:]["clip"] if row is not None]
    assert (np.stack(found) == DECODED).all()
    assert (ds["clip"][12] == DECODED[11]).all()


def test_rows_are_read_as_vectors(ds: Any) -> None:
    check(ds)
    features = datasets.Features({"n": datasets.Value("int64"), "clip": ClipStream()})
    check(datasets.Dataset.from_dict({"n": range(13), "clip": GIVEN}, features=features))
    texts = [None if stream is None else to_text(stream) for stream in GIVEN]
    check(datasets.Dataset.from_dict({"n": range(13), "clip": texts}, features=features))
    made = datasets.Dataset.from_dict({"n": range(13), "clip": texts})
    check(made.cast_column("clip", ClipStream()))
    rows = ({"n": n, "clip": stream} for n, stream in enumerate(GIVEN))
    check(datasets.Dataset.from_list([*rows], features=features))


def test_it_is_saved_and_loaded_with_the_dataset(ds: Any, tmp_path: Path) -> None:
    ds.save_to_disk(tmp_path / "ds")
    check(datasets.load_from_disk(tmp_path / "ds"))
    ds.to_parquet(tmp_path / "ds.parquet")
    assert pq.read_table(tmp_path / "ds.parquet")["clip"].to_pylist() == GIVEN
    check(datasets.Dataset.from_parquet(str(tmp_path / "ds.parquet"), cache_dir=str(tmp_path)))


def test_another_program_that_imports_the_module_opens_it(ds: Any, tmp_path: Path) -> None:
    ds.save_to_disk(tmp_path / "ds")
    code = (
        "import sys, datasets, clipcodec.integrations.datasets\n"
        "ds = datasets.load_from_disk(sys.argv[1])\n"
        "print(ds[0]['clip'].tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "ds")], capture_output=True,
                          text=True, check=True, timeout=120)  # fmt: skip
    assert json.loads(done.stdout) == DECODED[0].tolist()


def test_it_stays_through_what_datasets_does(ds: Any) -> None:
    def first(row: Any) -> Any:
        return {"first": 0.0 if row["clip"] is None else row["clip"][0]}

    check(ds.map(lambda row: {"m": 2 * row["n"]}))
    assert ds.map(first, remove_columns=["clip"])[1]["first"] == DECODED[1][0]
    with pytest.raises(DecodeError, match=r"map writes back the vectors .*give remove_columns"):
        ds.map(first)
    check(ds.select(range(13)))
    check(datasets.concatenate_datasets([ds.select(range(6)), ds.select(range(6, 13))]))
    assert (ds.with_format("numpy")[3]["clip"] == DECODED[3]).all()
    streamed = [row["clip"] for row in ds.to_iterable_dataset()]
    assert (streamed[12] == DECODED[11]).all()


def test_the_bytes_are_there_for_those_who_want_them(ds: Any) -> None:
    plain = ds.cast_column("clip", ClipStream(decode=False))
    assert plain[:]["clip"] == GIVEN
    table = ds.with_format("arrow")[:]
    assert decode_array(table["clip"])[12].as_py() == DECODED[11].tolist()
    assert clipcodec.search(table["clip"].drop_null(), ROWS[:2], k=1).indices.tolist() == [[0], [1]]


def test_a_private_profile_is_named_in_the_dataset(rates_path: Path, tmp_path: Path) -> None:
    rows = cone(4, 24)
    codec = Codec(rates_path)
    made = datasets.Dataset.from_dict({"clip": codec.encode_embeddings(rows)})
    made = made.cast_column("clip", ClipStream(profile=str(rates_path)))
    made.save_to_disk(tmp_path / "ds")
    back = datasets.load_from_disk(tmp_path / "ds")
    assert back.features["clip"].profile == str(rates_path)
    assert np.allclose(back[2]["clip"], codec.decode(codec.encode_embedding(rows[2])), atol=1e-6)


def test_what_encode_table_made_is_taken() -> None:
    table = pa.table({"v": pa.array(list(ROWS), pa.list_(pa.float32()))})
    small = encode_table(table, "v", quality=20)
    made = datasets.Dataset(small).cast_column("v", ClipStream())
    assert (made[2]["v"] == DECODED[2]).all()


def test_what_is_no_stream_is_refused() -> None:
    wrong: Any
    features = datasets.Features({"clip": ClipStream()})
    for wrong, words in (
        (str(STREAMS[0]), "Python's way to show bytes"),
        (b"\xff\xd8", "first byte 0xff"),
        (to_text(STREAMS[0]).encode(), "characters of base64 text"),
        (ROWS[0], "expected the bytes of a stream, got"),
        (5, "expected the bytes of a stream, got int"),
    ):
        with pytest.raises(DecodeError, match=words):
            ClipStream().encode_example(wrong)
        with pytest.raises(DecodeError):
            datasets.Dataset.from_dict({"clip": [wrong]}, features=features)
    for column, words in (
        ([[1.0, 2.0]], "a column of list.*encode_table"),
        ([1], "a column of int64"),
        ([to_text(STREAMS[0]), str(STREAMS[0])], "row 1: text .* Python's way to show bytes"),
    ):
        made = datasets.Dataset.from_dict({"clip": column})
        with pytest.raises(DecodeError, match=words):
            made.cast_column("clip", ClipStream())
    damaged = datasets.Dataset.from_dict({"clip": [STREAMS[0][:-3]]})
    with pytest.raises(DecodeError):
        damaged.cast_column("clip", ClipStream())[0]
    nothing = datasets.Dataset.from_dict({"clip": [None, None]}).cast_column("clip", ClipStream())
    assert nothing[:]["clip"] == [None, None]
