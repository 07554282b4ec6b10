"""Columns of tables: Arrow in memory, Parquet on disk, and what else reads those."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import clipcodec
from clipcodec import (
    ClipcodecError,
    Codec,
    CorruptError,
    DecodeError,
    EmbeddingError,
    ImageError,
    InputError,
    OptionError,
    OutputExistsError,
    RateError,
    UnsupportedError,
)
from tests.helpers import tiny_models
from tests.helpers.paths import ROOT
from tests.helpers.processes import MAIN, PACKAGE
from tests.helpers.profiles import cone, drawn

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from clipcodec.integrations import arrow, parquet, values  # noqa: E402
from clipcodec.integrations.pandas import decode_series, encode_series  # noqa: E402
from clipcodec.retrieval.sources import WidthError  # noqa: E402

D = 24  # of the profile `rates`


def fixed(rows: np.ndarray) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def table(rows: np.ndarray) -> Any:
    """ids, embeddings, texts; with metadata of somebody else's."""
    texts = [f"text {i % 7}" for i in range(len(rows))]
    made = pa.table({"id": np.arange(len(rows)), "embedding": fixed(rows), "text": texts})
    return made.replace_schema_metadata({"owner": "somebody"})


def vectors(array: Any) -> np.ndarray:
    """The rows of a fixed-size list without nulls."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array.flatten().to_numpy().reshape(len(array), -1)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return cone(300, D, seed=1)


@pytest.fixture(scope="module")
def codec(rates: Any) -> Codec:
    return Codec(rates)


@pytest.fixture(scope="module")
def streams(codec: Codec, rows: np.ndarray) -> list[bytes]:
    return codec.encode_embeddings(rows)


@pytest.fixture
def file(tmp_path: Path, rows: np.ndarray) -> Path:
    pq.write_table(table(rows), tmp_path / "t.parquet", row_group_size=70, compression="zstd")
    return tmp_path / "t.parquet"


# --- arrays ---

TYPES = {
    "fixed": lambda rows: fixed(rows),
    "list": lambda rows: pa.array(list(rows)),
    "large": lambda rows: pa.array(list(rows), pa.large_list(pa.from_numpy_dtype(rows.dtype))),
    "view": lambda rows: pa.array(list(rows), pa.list_view(pa.from_numpy_dtype(rows.dtype))),
    "tensor": lambda rows: pa.FixedShapeTensorArray.from_numpy_ndarray(rows),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_kind_of_list_gives_the_bytes_of_encode_embeddings(
    codec: Codec, kind: str, dtype: str
) -> None:
    rows = cone(20, D, seed=2).astype(dtype)
    array = TYPES[kind](rows)
    expected = codec.encode_embeddings(rows, max_bytes=14)
    for a, b in ((0, 20), (3, 9), (5, 5)):
        coded = arrow.encode_array(array.slice(a, b - a), profile=codec, max_bytes=14)
        coded.validate(full=True)
        assert coded.type == pa.binary()
        assert coded.to_pylist() == expected[a:b]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), max_size=6), st.data())
def test_round_trip_with_nulls_in_any_chunks(
    rates: Any, parts: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Nulls stay null, wherever they are; the rest decodes as the codec does; chunks stay."""
    codec, rows = Codec(rates), cone(40, D, seed=3)
    chunks, expected = [], []
    for kind, size in parts:
        picks = data.draw(st.lists(st.none() | st.integers(0, 39), min_size=size, max_size=size))
        values = [None if i is None else rows[i].tolist() for i in picks]
        made = pa.array(values, pa.list_(pa.float32(), D))
        chunks.append(made if kind else pa.concat_arrays([made, made]).slice(len(made)))
        expected += [None if i is None else codec.encode_embedding(rows[i]) for i in picks]
    array = pa.chunked_array(chunks, pa.list_(pa.float32(), D))
    coded = arrow.encode_array(array, profile=codec)
    coded.validate(full=True)
    assert coded.to_pylist() == expected
    assert [len(c) for c in coded.chunks] == [len(c) for c in chunks]
    back = arrow.decode_array(coded, profile=codec)
    back.validate(full=True)
    assert back.type == pa.list_(pa.float32(), D)
    kept = {i: stream for i, stream in enumerate(expected) if stream is not None}
    assert back.is_valid().to_pylist() == [stream is not None for stream in expected]
    for i, row in zip(kept, codec.decode_batch([*kept.values()]), strict=True):
        assert np.allclose(back[i].as_py(), row, atol=1e-5)


@pytest.mark.parametrize("type", ["binary", "large_binary", "binary_view"])
def test_streams_of_every_binary_type_decode(codec: Codec, streams: list[bytes], type: str) -> None:
    array = pa.array([b"x", *streams[:5], None], getattr(pa, type)()).slice(1)
    back = arrow.decode_array(array, profile=codec)
    assert np.allclose(vectors(back.slice(0, 5)), codec.decode_batch(streams[:5]), atol=1e-5)
    assert not back[5].is_valid


def test_streams_of_one_size_decode(codec: Codec, tiny: Any) -> None:
    own = Codec(tiny)
    raw = own.encode_embeddings(cone(4, 8), entropy="raw")
    array = pa.array(raw, pa.binary(len(raw[0])))
    assert np.allclose(vectors(arrow.decode_array(array, profile=own)), own.decode_batch(raw))


def test_columns_of_nothing() -> None:
    """No rows, only nulls, no chunks, the type that only null has."""
    for array in (pa.array([], pa.list_(pa.float32())), pa.nulls(3), pa.nulls(2, pa.binary())):
        coded = arrow.encode_array(array)
        assert (coded.type, coded.null_count) == (pa.binary(), len(array))
        back = arrow.decode_array(coded)
        assert (back.type, back.null_count) == (pa.list_(pa.float32(), 512), len(array))
    none = pa.chunked_array([], pa.list_(pa.float32()))
    assert arrow.decode_array(arrow.encode_array(none)).num_chunks == 0


def test_any_width_is_that_of_the_first_row_and_then_of_all() -> None:
    x = cone(6, 40)
    array = pa.chunked_array([[None], [*x[:3]]], pa.list_(pa.float32()))
    coded = arrow.encode_array(array, profile="any/rotation", quality=90)
    assert coded[1].as_py() == clipcodec.encode_embedding(x[0], profile="any/rotation", quality=90)
    assert arrow.decode_array(coded).type == pa.list_(pa.float32(), 40)
    mixed = pa.chunked_array([[*x[:3]], [x[3][:39]]], pa.list_(pa.float32()))
    with pytest.raises(EmbeddingError, match=r"^row 3: 39 numbers, expected 40, as in the rows"):
        arrow.encode_array(mixed, profile="any/rotation", quality=90)


def test_an_array_too_long_for_its_offsets_is_refused(
    codec: Codec, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "_MOST_BYTES", 1000)
    with pytest.raises(InputError, match="give it in parts"):
        arrow.encode_array(fixed(rows), profile=codec)


# --- what cannot be encoded ---

GOOD = [float(i + 1) for i in range(D)]
BAD_ROWS = [
    (GOOD[:-1], "23 dimensions, profile .* takes 24"),
    ([], "0 numbers, expected an embedding"),
    ([*GOOD[:-1], None], "a null among its numbers"),
    ([*GOOD[:-1], float("nan")], "NaN or infinite"),
    ([*GOOD[:-1], float("inf")], "NaN or infinite"),
    ([0.0] * D, "all zero"),
]


def batches_with(bad: Any, at: int, size: int = 10, count: int = 3) -> list[Any]:
    """Batches of which row `at`, counted over all, is bad; the row before it is null."""
    values: list[Any] = [GOOD] * (size * count)
    values[at], values[at - 1] = bad, None
    parts = [values[i : i + size] for i in range(0, size * count, size)]
    return [pa.record_batch({"v": pa.array(part, pa.list_(pa.float64()))}) for part in parts]


@pytest.mark.parametrize(("bad", "why"), BAD_ROWS)
def test_a_bad_row_is_named_with_its_place_in_the_whole_table(
    codec: Codec, bad: Any, why: str
) -> None:
    done: list[Any] = []
    with pytest.raises(EmbeddingError, match=f"^column 'v', row 17: {why}"):
        done.extend(arrow.encode_batches(batches_with(bad, 17), "v", profile=codec))
    everything = arrow.encode_batches(batches_with(bad, 17), "v", profile=codec)
    assert len(next(everything)) == 10  # what came before was given out


@pytest.mark.parametrize(("bad", "why"), BAD_ROWS)
def test_bad_rows_become_null_if_told(codec: Codec, bad: Any, why: str) -> None:
    errors: list[ClipcodecError] = []
    batches = batches_with(bad, 17) + batches_with(bad, 1)
    made = arrow.encode_batches(batches, "v", profile=codec, on_bad_row=errors.append)
    coded = pa.Table.from_batches(made)["v"]
    assert [str(e).split(": ")[0] for e in errors] == ["column 'v', row 17", "column 'v', row 31"]
    assert [error.rows for error in errors] == [(17,), (31,)]
    assert all(re.search(why, str(error)) for error in errors)
    assert all(isinstance(error, EmbeddingError) for error in errors)
    nulls = [i for i, ok in enumerate(coded.is_valid().to_pylist()) if not ok]
    assert nulls == [16, 17, 30, 31]
    assert {*coded.drop_null().to_pylist()} == {codec.encode_embedding(GOOD)}


def test_each_bad_row_of_any_cause_is_named_once(codec: Codec, rows: np.ndarray) -> None:
    """In arrays and chunks, with nulls before them; several causes in one batch."""
    values: list[Any] = [None if i % 7 == 0 else row.tolist() for i, row in enumerate(rows[:90])]
    nan, hole, inf = (rows[0].tolist() for _ in range(3))
    nan[3], hole[4], inf[5] = float("nan"), None, float("-inf")
    bad = {8: [0.0] * D, 9: nan, 10: hole, 29: inf, 30: GOOD[1:], 31: [0.0] * D, 32: nan,
           60: hole, 61: [], 62: hole, 89: inf}  # fmt: skip
    for row, value in bad.items():
        values[row] = value
    cuts = (0, 30), (30, 31), (31, 90)
    parts = [pa.array(values[a:b], pa.list_(pa.float64())) for a, b in cuts]
    why = {id(nan): "NaN", id(inf): "infinite", id(hole): "a null among"}
    for array in (pa.chunked_array(parts), pa.concat_arrays(parts)):
        errors: list[ClipcodecError] = []
        coded = arrow.encode_array(array, profile=codec, on_bad_row=errors.append)
        assert sorted(row for error in errors for row in error.rows) == sorted(bad)
        for error in errors:
            assert str(error).startswith(f"row {error.index}: ")
            assert why.get(id(bad[error.index or 0]), "") in str(error)
            assert error.__traceback__ is None
            assert error.__context__ is None
        expected = [v if v is None or i in bad else codec.encode_embedding(v)
                    for i, v in enumerate(values)]  # fmt: skip
        assert coded.to_pylist() == [None if i in bad else v for i, v in enumerate(expected)]


def test_without_on_bad_row_an_error_names_all_rows_of_its_cause(
    codec: Codec, rows: np.ndarray
) -> None:
    """Those of the first check that fails, in the batch where it does."""
    wrong: list[Any] = [row.tolist() for row in rows[:40]]
    wrong[0] = wrong[21] = None
    wrong[25] = wrong[27] = [0.0] * D
    wrong[38] = GOOD[1:]
    batches = [pa.record_batch({"v": pa.array(wrong[i : i + 20])}) for i in (0, 20)]
    with pytest.raises(EmbeddingError, match=r"^column 'v', row 38: 23 dimensions") as bad:
        list(arrow.encode_batches(batches, "v", profile=codec))
    assert (bad.value.index, bad.value.rows) == (38, (38,))
    batches[1] = batches[1].slice(0, 18)
    with pytest.raises(EmbeddingError, match=r"^column 'v', row 25 and 1 more: all zero") as bad:
        list(arrow.encode_batches(batches, "v", profile=codec))
    assert bad.value.rows == (25, 27)


def test_rows_of_one_wrong_width_are_one_call(codec: Codec) -> None:
    """It says how many, and which profiles fit; a second width is a second call."""
    values: list[Any] = [None, GOOD, *[GOOD[4:]] * 30, GOOD, *[[1.0] * 512] * 20, GOOD]
    errors: list[ClipcodecError] = []
    batch = pa.record_batch({"v": pa.array(values, pa.list_(pa.float32()))})
    made = arrow.encode_batches([batch, batch], "v", profile=codec, on_bad_row=errors.append)
    coded = pa.Table.from_batches(made)["v"]
    places = [(2, 32), (33, 53), (2 + len(values), 32 + len(values)),
              (33 + len(values), 53 + len(values))]  # fmt: skip
    assert [error.rows for error in errors] == [tuple(range(*place)) for place in places]
    assert str(errors[0]).startswith("column 'v', row 2 and 29 more: 20 dim")
    assert "openai-vit-b-32/predictive" in str(errors[1])
    assert coded.null_count == 2 * 51


def test_rates_out_of_reach_name_the_row(codec: Codec, rows: np.ndarray) -> None:
    """All rows, and whether bad rows become null or not: it is not their fault."""
    parts = [None], [None, *rows[:10].tolist()]
    batches = [pa.record_batch({"v": pa.array(p, pa.list_(pa.float64()))}) for p in parts]
    for on_bad_row in (None, lambda _: None):
        work = partial(arrow.encode_batches, batches, "v", profile=codec, on_bad_row=on_bad_row)
        with pytest.raises(RateError, match=r"^column 'v', row 2 and 9 more: at least") as bad:
            list(work(max_bytes=3))
        assert bad.value.rows == tuple(range(2, 12))
        with pytest.raises(RateError, match=r"^column 'v', row 2 and \d+ more: .*cosine"):
            list(work(min_cosine=1.0))


@pytest.mark.parametrize(
    "type", [pa.int64(), pa.list_(pa.string()), pa.list_(pa.bool_()), pa.struct({"a": pa.int8()})]
)
def test_columns_of_other_types_are_refused(codec: Codec, type: Any) -> None:
    batch = pa.record_batch({"v": pa.nulls(3, type)})
    with pytest.raises(EmbeddingError, match=r"column 'v': type .* expected embeddings"):
        next(arrow.encode_batches([batch], "v", profile=codec))
    with pytest.raises(DecodeError, match=r"column 'v': type .* expected streams"):
        next(arrow.decode_batches([batch], "v", profile=codec))


def test_vectors_of_another_width_are_refused_before_any_work(codec: Codec) -> None:
    schema = pa.schema({"v": pa.list_(pa.float32(), 768)})
    with pytest.raises(EmbeddingError, match=r"^column 'v': 768 dimensions, .* takes 24: "):
        arrow.encoded_schema(schema, "v", profile=codec)


def test_wrong_names_list_the_right_ones(codec: Codec, rows: np.ndarray) -> None:
    t = table(rows[:3])
    with pytest.raises(OptionError, match="no column named 'emb'; the table has 'id', 'embedding'"):
        arrow.encode_table(t, "emb", profile=codec)
    with pytest.raises(OptionError, match="'text' is there already"):
        arrow.encode_table(t, "embedding", into="text", profile=codec)
    with pytest.raises(OptionError, match="'embedding' is there already"):
        arrow.encode_table(t, "embedding", keep=True, profile=codec)
    twice = pa.Table.from_arrays([t["embedding"], t["embedding"]], ["v", "v"])
    with pytest.raises(OptionError, match="2 columns named 'v'"):
        arrow.encode_table(twice, "v", profile=codec)
    wide = pa.table({f"c{i}": [0] for i in range(50)})
    with pytest.raises(OptionError, match=r"'c19', … \(50 in all\)"):
        arrow.encode_table(wide, "v", profile=codec)


def test_options_are_judged_before_any_row(codec: Codec, rows: np.ndarray) -> None:
    with pytest.raises(OptionError, match="contradict"):
        arrow.encode_table(table(rows[:0]), "embedding", quality=3, max_bytes=9, profile=codec)
    with pytest.raises(TypeError):
        arrow.encode_table(table(rows), "embedding", qualtiy=3)  # type: ignore[call-arg]


def test_batches_that_differ_are_named(codec: Codec, rows: np.ndarray) -> None:
    first = pa.record_batch({"v": fixed(rows[:2])})
    other = pa.record_batch({"v": fixed(rows[:2]), "w": [1, 2]})
    with pytest.raises(InputError, match="at row 2 has other columns than the first: 'w' is int64"):
        list(arrow.encode_batches([first, other], "v", profile=codec))


# --- what cannot be decoded ---


def test_a_damaged_stream_is_named_or_becomes_null(codec: Codec, streams: list[bytes]) -> None:
    bad = [*streams[:4], streams[4][:-1] + bytes([streams[4][-1] ^ 1]), streams[5], b"", b"\xff"]
    batches = [pa.record_batch({"v": [None, *streams[:3]]}), pa.record_batch({"v": bad})]
    with pytest.raises(CorruptError, match=r"^column 'v', row 8: "):
        list(arrow.decode_batches([batches[0], batches[1].slice(0, 6)], "v", profile=codec))
    errors: list[Exception] = []
    made = arrow.decode_batches(batches, "v", profile=codec, on_bad_row=errors.append)
    column = pa.Table.from_batches(made)["v"]
    nulls = [i for i, ok in enumerate(column.is_valid().to_pylist()) if not ok]
    assert nulls == [0, 8, 10, 11]
    assert [str(error).split(":")[0] for error in errors] == [
        f"column 'v', row {i}" for i in nulls[1:]
    ]
    assert isinstance(errors[-1], UnsupportedError)
    assert np.allclose(column[9].as_py(), codec.decode(streams[5]), atol=1e-5)


def test_each_damaged_stream_of_any_cause_is_named_once(
    codec: Codec, streams: list[bytes], tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several causes in one batch and in later ones, nulls before; the others decode, once."""
    good, other = streams[:40], Codec(tiny).encode_embeddings(cone(1, 8))[0]
    flips = [good[9][:-1] + bytes([good[9][-1] ^ 1]), good[9][:-2] + b"\0\0"]
    wide = clipcodec.encode_embedding(cone(1, 30)[0], profile="any/rotation")
    bad = {3: b"", 4: flips[0], 5: b"\xff" + good[5][1:], 6: good[6][:2], 7: flips[1], 8: other,
           9: wide, 20: flips[0], 21: wide}  # fmt: skip
    values: list[Any] = [bad.get(i, stream) for i, stream in enumerate(good)]
    values[0] = values[2] = values[19] = None
    alone: dict[int, type] = {}
    for row, stream in bad.items():
        if stream != wide:
            with pytest.raises(DecodeError) as caught:
                codec.decode(stream)
            alone[row] = caught.type
    batches = [pa.record_batch({"v": pa.array(values[a:b])}) for a, b in ((0, 15), (15, 40))]
    errors: list[ClipcodecError] = []
    made = arrow.decode_batches(batches, "v", profile=codec, on_bad_row=errors.append)
    column = pa.Table.from_batches(made)["v"]
    assert sorted(row for error in errors for row in error.rows) == sorted(bad)
    for error in errors:
        assert str(error).startswith(f"column 'v', row {error.index}: ")
        assert type(error) is alone.get(error.index or 0, WidthError)
    expected = [None if i in bad or v is None else codec.decode(v).tolist()
                for i, v in enumerate(values)]  # fmt: skip
    assert column.is_valid().to_pylist() == [row is not None for row in expected]
    for own, vector in zip(expected, column.to_pylist(), strict=True):
        assert own is None or np.allclose(own, vector, atol=1e-5)
    with pytest.raises(clipcodec.TruncatedError, match=r"^column 'v', row 3.*: ") as first:
        list(arrow.decode_batches(batches, "v", profile=codec))
    assert first.value.index == 3


def test_a_damaged_stream_ahead_of_the_width_is_named(streams: list[bytes]) -> None:
    """Without metadata the first stream that is fine says the width; the others are named."""
    stream = clipcodec.encode_embedding(cone(1, 40)[0], profile="any/rotation", quality=50)
    t = pa.table({"v": [None, b"\xff", stream]})
    with pytest.raises(UnsupportedError, match="column 'v', row 1: first byte 0xff"):
        arrow.decode_table(t, "v")
    made = arrow.decode_table(t, "v", on_bad_row=lambda _: None)
    assert made["v"].type == pa.list_(pa.float32(), 40)
    assert made["v"].null_count == 2


def test_private_streams_want_their_profile(streams: list[bytes]) -> None:
    with pytest.raises(clipcodec.UnknownProfileError, match=r"^row 0 and 299 more: made with a"):
        arrow.decode_array(pa.array(streams))


def test_streams_of_several_widths_are_refused() -> None:
    narrow, wide = (
        clipcodec.encode_embedding(cone(1, d)[0], profile="any/rotation", quality=50)
        for d in (8, 9)
    )
    for parts in ([[narrow, wide]], [[narrow], [wide]]):
        with pytest.raises(DecodeError, match=r"^row 1: 9 dimensions, expected 8"):
            arrow.decode_array(pa.chunked_array(parts))
    errors: list[ClipcodecError] = []
    array = pa.array([None, narrow, wide, wide, narrow, wide])
    made = arrow.decode_array(array, on_bad_row=errors.append)
    assert made.is_valid().to_pylist() == [False, True, False, False, True, False]
    assert [error.rows for error in errors] == [(2, 3, 5)]  # one cause, one call


def test_the_column_of_streams_is_found_by_its_metadata(codec: Codec, rows: np.ndarray) -> None:
    coded = arrow.encode_table(table(rows), "embedding", profile=codec)
    back = arrow.decode_table(coded, profile=codec)
    assert back.column_names == coded.column_names
    assert arrow.decoded_schema(coded.schema, profile=codec) == back.schema
    with pytest.raises(OptionError, match="holds streams already"):
        arrow.encode_table(coded, "embedding", profile=codec)
    with pytest.raises(OptionError, match=r"marked as streams: none; .* 'id', 'embedding'"):
        arrow.decode_table(table(rows), profile=codec)
    two = arrow.encode_table(table(rows), "embedding", into="a", keep=True, profile=codec)
    two = arrow.encode_table(two, "embedding", profile=codec)
    with pytest.raises(OptionError, match=r"marked as streams: 'embedding' and 'a'"):
        arrow.decode_table(two, profile=codec)


# --- batches and tables ---


def test_batches_are_taken_one_at_a_time(codec: Codec, rows: np.ndarray) -> None:
    """A table larger than memory passes: nothing is read ahead of what is asked for."""
    taken: list[int] = []

    def source() -> Iterator[Any]:
        for i in range(0, 300, 100):
            taken.append(i)
            yield pa.record_batch({"v": fixed(rows[i : i + 100])})

    made = arrow.decode_batches(arrow.encode_batches(source(), "v", profile=codec), profile=codec)
    assert taken == []
    next(made)
    assert taken == [0]
    next(made)
    assert taken == [0, 100]


def test_readers_stream_through(codec: Codec, rows: np.ndarray, streams: list[bytes]) -> None:
    """With the schema known beforehand, as a RecordBatchReader wants it; errors stay typed."""
    reader = table(rows).to_reader(max_chunksize=64)
    schema = arrow.encoded_schema(reader.schema, "embedding", profile=codec)
    coded = arrow.encode_batches(reader, "embedding", profile=codec)
    middle = pa.RecordBatchReader.from_batches(schema, coded)
    assert middle.read_all()["embedding"].to_pylist() == streams
    broken = pa.RecordBatchReader.from_batches(
        arrow.encoded_schema(batches_with([], 5)[0].schema, "v", profile=codec),
        arrow.encode_batches(batches_with([], 5), "v", profile=codec),
    )
    with pytest.raises(EmbeddingError, match="row 5"):
        broken.read_all()


def test_a_width_that_only_a_late_stream_says() -> None:
    """Without metadata, batches of nulls wait for the first stream."""
    stream = clipcodec.encode_embedding(cone(1, 40)[0], profile="any/rotation", quality=50)
    batches = [pa.record_batch({"v": pa.array(v, pa.binary())}) for v in ([None], [None], [stream])]
    made = pa.Table.from_batches(arrow.decode_batches(batches, "v"))
    assert made.schema.field("v").type == pa.list_(pa.float32(), 40)
    assert made["v"].null_count == 2
    nothing = pa.Table.from_batches(arrow.decode_batches(batches[:2], "v", profile="any/rotation"))
    assert nothing["v"].null_count == 2


@pytest.mark.parametrize("width", [b"0", b"x", b"99999999999999", b"99999", b"-3"])
def test_a_width_that_cannot_be_is_not_believed(
    codec: Codec, streams: list[bytes], width: bytes
) -> None:
    """The metadata of a foreign file take no memory."""
    field = pa.field("v", pa.binary(), metadata={"clipcodec.format_version": "1",
                                                 "clipcodec.dimensions": width})  # fmt: skip
    batch = pa.record_batch([pa.array([None, *streams[:2]])], pa.schema([field]))
    assert next(arrow.decode_batches([batch], profile=codec))["v"].type.list_size == D
    wrong = field.with_metadata({"clipcodec.dimensions": "25"})
    batch = pa.record_batch([pa.array([None, *streams[:2]])], pa.schema([wrong]))
    with pytest.raises(DecodeError, match="'v', row 1 and 1 more: 24 dimensions, expected 25"):
        next(arrow.decode_batches([batch], "v", profile=codec))


def test_field_metadata_say_what_the_streams_are(codec: Codec, rows: np.ndarray) -> None:
    coded = arrow.encode_table(table(rows), "embedding", into="clip", profile=codec)
    assert coded.column_names == ["id", "clip", "text"]
    assert coded.schema.metadata == {b"owner": b"somebody"}
    assert coded.schema.field("clip").metadata == {
        b"clipcodec.format_version": b"1",
        b"clipcodec.profile": b"private/rates",
        b"clipcodec.profile_sha256": codec.profile.digest.hex().encode(),
        b"clipcodec.backbone": b"none",
        b"clipcodec.dimensions": b"24",
    }
    assert coded.schema == arrow.encoded_schema(
        table(rows).schema, "embedding", into="clip", profile=codec
    )
    kept = arrow.encode_table(table(rows), "embedding", into="clip", keep=True, profile=codec)
    assert kept.column_names == ["id", "embedding", "clip", "text"]
    assert kept["embedding"].equals(table(rows)["embedding"])
    back = arrow.decode_table(coded, into="embedding", profile=codec)
    assert back.schema.equals(table(rows).schema, check_metadata=True)
    named = Codec(backbone="nobodys-model")
    metadata = (
        arrow.encoded_schema(table(rows).schema, "embedding", profile=named).field(1).metadata
    )
    assert metadata[b"clipcodec.backbone"] == b"nobodys-model"


def test_functions_and_options_pickle(codec: Codec, rows: np.ndarray) -> None:
    """As Spark and Hugging Face send them to other processes."""
    work = partial(arrow.encode_table, column="embedding", profile=codec, max_bytes=14)
    assert pickle.loads(pickle.dumps(work))(table(rows)).equals(work(table(rows)))


# --- Parquet ---


def test_parquet_round_trip(
    tmp_path: Path, file: Path, codec: Codec, rows: np.ndarray, streams: list[bytes]
) -> None:
    """Read by pyarrow's own reader: streams are the codec's, all else is as it was."""
    small, back = tmp_path / "small.parquet", tmp_path / "back.parquet"
    steps: list[tuple[int, int]] = []
    done = arrow.compress_parquet(
        file, small, "embedding", profile=codec, progress=lambda *step: steps.append(step)
    )
    assert (done, steps[-1]) == (300, (300, 300))
    coded = pq.read_table(small)
    assert coded["embedding"].to_pylist() == streams
    assert coded.drop_columns("embedding").equals(table(rows).drop_columns("embedding"))
    assert coded.schema.field("embedding").metadata[b"clipcodec.profile"] == b"private/rates"
    assert coded.schema.metadata[b"owner"] == b"somebody"
    chunks = pq.ParquetFile(small).metadata.row_group(0).to_dict()["columns"]
    assert [c["compression"] for c in chunks] == ["ZSTD", "UNCOMPRESSED", "ZSTD"]
    assert arrow.decompress_parquet(small, back, profile=codec) == 300
    assert np.allclose(vectors(pq.read_table(back)["embedding"]), codec.decode_batch(streams))
    assert pq.read_schema(back).equals(pq.read_schema(file), check_metadata=True)
    assert sorted(os.listdir(tmp_path)) == ["back.parquet", "small.parquet", "t.parquet"]


def test_a_table_without_rows(tmp_path: Path, codec: Codec, rows: np.ndarray) -> None:
    source, small = tmp_path / "t.parquet", tmp_path / "s.parquet"
    pq.write_table(table(rows[:0]), source)
    assert arrow.compress_parquet(source, small, "embedding", profile=codec) == 0
    assert arrow.decompress_parquet(small, tmp_path / "b.parquet", profile=codec) == 0
    assert pq.read_schema(tmp_path / "b.parquet").equals(pq.read_schema(source))


def test_row_groups_are_cut_by_rows_and_by_bytes(
    tmp_path: Path, file: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_BATCH_ROWS", 50)
    for name, value, groups in (("_GROUP_ROWS", 100, 3), ("_GROUP_BYTES", 1, 6)):
        with monkeypatch.context() as patch:
            patch.setattr(parquet, name, value)
            arrow.compress_parquet(
                file, tmp_path / "s.parquet", "embedding", profile=codec, overwrite=True
            )
        assert pq.ParquetFile(tmp_path / "s.parquet").metadata.num_row_groups == groups


def test_nested_and_list_columns_stay_as_they_are(tmp_path: Path, codec: Codec) -> None:
    t = pa.table({
        "a.b": [[1, 2], None], "s": [{"x": [1.5], "y": None}, None], "m": [["a"], []],
        "v": [GOOD, None],
    })  # fmt: skip
    pq.write_table(t, tmp_path / "t.parquet", use_compliant_nested_type=False)
    arrow.compress_parquet(tmp_path / "t.parquet", tmp_path / "s.parquet", "v", profile=codec)
    coded = pq.read_table(tmp_path / "s.parquet")
    assert coded.drop_columns("v").to_pylist() == t.drop_columns("v").to_pylist()
    assert coded["v"].to_pylist() == [codec.encode_embedding(GOOD), None]


def test_pandas_metadata_stay_in_step(tmp_path: Path, codec: Codec, rows: np.ndarray) -> None:
    """A DataFrame comes back as one, its index too."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"v": [*rows[:3]], "n": [1, 2, 3]}, index=pd.Index(list("abc"), name="k"))
    frame.to_parquet(tmp_path / "t.parquet")
    arrow.compress_parquet(
        tmp_path / "t.parquet", tmp_path / "s.parquet", "v", into="clip", profile=codec
    )
    coded = pd.read_parquet(tmp_path / "s.parquet")
    assert [*coded.columns] == ["clip", "n"]
    assert [*coded.index] == ["a", "b", "c"]
    assert [*coded["clip"]] == codec.encode_embeddings(rows[:3])


def test_existing_files_are_kept_unless_told(tmp_path: Path, file: Path, codec: Codec) -> None:
    before = file.read_bytes()
    with pytest.raises(OutputExistsError):
        arrow.compress_parquet(file, file, "embedding", profile=codec)
    assert file.read_bytes() == before
    arrow.compress_parquet(file, file, "embedding", profile=codec, overwrite=True)  # in place
    assert arrow.decompress_parquet(file, tmp_path / "b.parquet", profile=codec) == 300


def test_files_that_are_not_parquet_are_named(tmp_path: Path, file: Path, codec: Codec) -> None:
    """No file, no table, a table cut short, a damaged page: nothing is written."""
    data = file.read_bytes()
    wrong = {
        "text": b"not a table", "empty": b"", "cut": data[:-100], "short": data[:100],
        "hole": data[:4] + bytes(2000) + data[2004:],
    }  # fmt: skip
    for name, content in wrong.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}' is not a readable Parquet file"):
            arrow.compress_parquet(
                tmp_path / name, tmp_path / "out.parquet", "embedding", profile=codec
            )
    with pytest.raises(FileNotFoundError):
        arrow.compress_parquet(tmp_path / "none", tmp_path / "out.parquet", "v")
    with pytest.raises(IsADirectoryError):
        arrow.compress_parquet(tmp_path, tmp_path / "out.parquet", "v")
    assert {*os.listdir(tmp_path)} == {*wrong, "t.parquet"}


def test_a_bad_row_leaves_no_file(tmp_path: Path, rows: np.ndarray, codec: Codec) -> None:
    wrong = rows.copy()
    wrong[250, 3] = np.nan
    pq.write_table(table(wrong), tmp_path / "t.parquet", row_group_size=70)
    with pytest.raises(EmbeddingError, match="column 'embedding', row 250: NaN"):
        arrow.compress_parquet(
            tmp_path / "t.parquet", tmp_path / "s.parquet", "embedding", profile=codec
        )
    assert os.listdir(tmp_path) == ["t.parquet"]
    errors: list[Exception] = []
    arrow.compress_parquet(tmp_path / "t.parquet", tmp_path / "s.parquet", "embedding",
                           profile=codec, on_bad_row=errors.append)  # fmt: skip
    assert len(errors) == 1
    assert pq.read_table(tmp_path / "s.parquet")["embedding"].null_count == 1


def test_devices_are_written_straight(file: Path, codec: Codec) -> None:
    arrow.compress_parquet(file, "/dev/null", "embedding", profile=codec)
    assert Path("/dev/null").is_char_device()


# --- on the command line ---


def cli(*args: object, before: str = "") -> subprocess.CompletedProcess[str]:
    code = before + MAIN
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True,
        timeout=300, check=False, env={**os.environ, "PYTHONPATH": str(PACKAGE)},
    )  # fmt: skip


@pytest.mark.slow
def test_commands(
    tmp_path: Path, file: Path, rates_path: Path, codec: Codec, streams: list[bytes]
) -> None:
    """t.parquet → t.clip.parquet → t.parquet, and a line of each; nothing with -q."""
    done = cli("compress", file, "--column", "embedding", "--profile", rates_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.fullmatch(
        r"\S+t\.parquet: 300 rows, .+ → .+ bytes, \S+t\.clip\.parquet\n", done.stderr
    )
    small = tmp_path / "t.clip.parquet"
    assert pq.read_table(small)["embedding"].to_pylist() == streams
    assert cli("decompress", small, "--profile", rates_path).returncode == 1  # t.parquet is there
    file.unlink()
    done = cli("decompress", small, "--profile", rates_path, "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert np.allclose(vectors(pq.read_table(file)["embedding"]), codec.decode_batch(streams))


@pytest.mark.slow
def test_options_reach_the_tables(
    tmp_path: Path, file: Path, rates_path: Path, codec: Codec, rows: np.ndarray
) -> None:
    out = tmp_path / "o.parquet"
    done = cli("compress", file, "--column", "embedding", "--into", "clip", "--keep-column", "-o",
               out, "--max-bytes", 14, "--profile", rates_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    coded = pq.read_table(out)
    assert coded.column_names == ["id", "embedding", "clip", "text"]
    assert coded["clip"].to_pylist() == codec.encode_embeddings(rows, max_bytes=14)
    done = cli("decompress", out, "-o", out, "-f", "--column", "clip", "--into", "v", "--profile",
               rates_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert pq.read_table(out).column_names == ["id", "embedding", "v", "text"]


@pytest.mark.slow
def test_several_tables_go_to_a_folder_and_a_bad_one_is_named(
    tmp_path: Path, file: Path, rates_path: Path, rows: np.ndarray
) -> None:
    wrong = rows.copy()
    wrong[100] = 0
    pq.write_table(table(wrong), tmp_path / "u.parquet")
    (tmp_path / "x.parquet").write_text("text")
    names = [file, tmp_path / "u.parquet", tmp_path / "x.parquet", tmp_path / "none.parquet"]
    options = ("--column", "embedding", "-o", tmp_path / "out", "--profile", rates_path)
    done = cli("compress", *names, *options)
    assert (done.returncode, done.stdout) == (1, "")
    written, first, second, third, totals = done.stderr.splitlines()
    assert "t.parquet: 300 rows" in written
    assert totals.endswith(", 3 failed")
    assert "u.parquet: column 'embedding', row 100: all zero" in first
    assert "x.parquet" in second
    assert "not a readable Parquet file" in second
    assert "none.parquet: No such file" in third
    assert os.listdir(tmp_path / "out") == ["t.parquet"]
    done = cli("compress", *names[:2], *options, "-f", "--skip-bad-rows")
    assert done.returncode == 1
    assert "row 100" in done.stderr
    assert pq.read_table(tmp_path / "out" / "u.parquet")["embedding"].null_count == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "args",
    [
        ("compress", "t.parquet"),
        ("compress", "-", "--column", "v"),
        ("compress", "t.parquet", "--column", "v", "-o", "-"),
        ("compress", "t.parquet", "t.parquet", "--column", "v"),
        ("compress", "t.parquet", "--column", "v", "--quality", "3", "--profile", "x"),
        ("compress", "a.npy", "--into", "v"),
        ("compress", "a.npy", "--keep-column"),
        ("decompress", "a.clip", "--skip-bad-rows"),
        ("decompress", "t.parquet"),
        ("decompress", "t.clip.parquet", "--json"),
    ],
)
def test_wrong_command_lines_exit_2(args: tuple[str, ...]) -> None:
    done = cli(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_no_such_column_on_the_command_line(file: Path) -> None:
    done = cli("compress", file, "--column", "emb")
    assert done.returncode == 1
    assert (
        "t.parquet: no column named 'emb'; the table has 'id', 'embedding', 'text'" in done.stderr
    )


@pytest.mark.slow
def test_a_full_disk_keeps_the_old_file_and_is_one_line(
    tmp_path: Path, file: Path, rates_path: Path
) -> None:
    out = tmp_path / "out" / "o.parquet"
    out.parent.mkdir()
    out.write_bytes(b"old")
    for room in (8, 3000):
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        done = cli("compress", file, "--column", "embedding", "-o", out, "-f", "--profile",
                   rates_path, before=limit)  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"clipcodec: {file}: {out}: cannot be written: File too large\n"
        assert os.listdir(out.parent) == ["o.parquet"]
        assert out.read_bytes() == b"old"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -9), ("SIGTERM", 143), ("SIGINT", 130)])
def test_a_command_stopped_in_mid_run_keeps_the_old_file(
    tmp_path: Path, file: Path, rates_path: Path, name: str, code: int
) -> None:
    """Between two batches. Only SIGKILL leaves the temporary file."""
    out = tmp_path / "out" / "o.parquet"
    out.parent.mkdir()
    out.write_bytes(b"old")
    stop = f"""
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from clipcodec.integrations import columns, parquet
parquet._BATCH_ROWS = 100
encode = columns.ColumnEncoder.encode
def stop(self, array):
    if self.row == 200:
        os.kill(os.getpid(), signal.{name})
    return encode(self, array)
columns.ColumnEncoder.encode = stop
"""
    done = cli("compress", file, "--column", "embedding", "-o", out, "-f", "--profile",
               rates_path, before=stop)  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_bytes() == b"old"
    assert len(os.listdir(out.parent)) == (2 if name == "SIGKILL" else 1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says the peak there")
def test_memory_is_bounded(tmp_path: Path, rates_path: Path) -> None:
    """1.6 GB of other columns, in a file that says it has little: the peak stays far below."""
    heavy = pa.array(["x" * 2_000_000]).dictionary_encode()
    indices = pa.array(np.zeros(800, np.int32))
    t = pa.table({"v": fixed(cone(800, D)), "s": indices})
    t = t.set_column(1, "s", pa.DictionaryArray.from_arrays(indices, heavy.dictionary))
    schema = pa.schema({"v": t.schema.field("v").type, "s": pa.string()})
    with pq.ParquetWriter(tmp_path / "t.parquet", schema) as writer:
        for i in range(0, 800, 100):
            writer.write_table(t.slice(i, 100).cast(schema))
    assert (tmp_path / "t.parquet").stat().st_size < 1 << 22
    peak = """
import atexit
atexit.register(lambda: print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]))
"""
    done = cli("compress", tmp_path / "t.parquet", "--column", "v", "--profile", rates_path,
               before=peak)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 800_000  # KiB


def test_what_else_is_missing_is_not_hidden() -> None:
    """Only the module itself gives the pip line, not one that it needs in turn."""
    from clipcodec import MissingDependencyError
    from clipcodec.integrations.extras import need

    with pytest.raises(MissingDependencyError, match=r'pip install "clipcodec\[arrow\]"') as info:
        need("no_such_module.part", "arrow")
    assert isinstance(info.value, ImportError)
    assert info.value.name == "no_such_module"


def test_without_pyarrow_the_command_names_the_pip_line(file: Path) -> None:
    block = "import sys; sys.modules['pyarrow'] = None\n"
    done = cli("compress", file, "--column", "embedding", before=block)
    assert done.returncode == 1
    assert done.stderr == 'clipcodec: pyarrow is not installed: pip install "clipcodec[arrow]"\n'


def test_without_tables_pyarrow_is_not_imported(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", cone(1, 8)[0])
    report = "import atexit, sys; atexit.register(lambda: print('pyarrow' in sys.modules))\n"
    done = cli("compress", tmp_path / "x.npy", "--profile", "any/rotation", before=report)
    assert (done.returncode, done.stdout) == (0, "False\n")


# --- images ---


@pytest.fixture(scope="module")
def eye(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """A codec with a small network for a backbone."""
    pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("model")
    spec = tiny_models.make_folder(folder / "model")
    weights = tiny_models.save(tiny_models.make_model(spec), folder / "w.safetensors")
    return Codec("any/rotation", backbone=spec.name, weights=weights, device="cpu")


def pictures(count: int) -> list[bytes]:
    """PNG files of coloured noise."""
    rng, files = np.random.default_rng(0), []
    for i in range(count):
        file = io.BytesIO()
        pixels = rng.integers(0, 256, (8 + i % 3, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file, "PNG")
        files.append(file.getvalue())
    return files


@pytest.mark.slow
def test_columns_of_images(tmp_path: Path, eye: Codec) -> None:
    """Bytes, paths and Hugging Face's struct give what the images give alone."""
    files = pictures(70)
    expected = eye.encode_batch(files)
    (tmp_path / "a.png").write_bytes(files[0])
    path = str(tmp_path / "a.png")
    assert arrow.encode_array(pa.array(files), profile=eye).to_pylist() == expected
    assert arrow.encode_array(pa.array([None, path]), profile=eye).to_pylist() == [
        None, expected[0],
    ]  # fmt: skip
    structs = [{"bytes": files[1], "path": "gone.png"}, {"bytes": None, "path": path}, None]
    assert arrow.encode_array(pa.array(structs), profile=eye).to_pylist() == [
        expected[1], expected[0], None,
    ]  # fmt: skip


def test_columns_of_pixels(eye: Codec) -> None:
    """Arrow's tensors of one shape; other dimensions are no images, other numbers no pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3), dtype=np.uint8)
    array = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    assert arrow.encode_array(array.slice(1), profile=eye).to_pylist() == eye.encode_batch(
        pixels[1:]
    )
    floats = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels.astype(np.float32))
    with pytest.raises(ImageError, match=r"row 0: .* must be uint8"):
        arrow.encode_array(floats, profile=eye)
    many = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels[..., None])
    with pytest.raises(EmbeddingError, match="expected embeddings"):
        arrow.encode_array(many, profile=eye)


def test_the_size_of_pixels_is_not_the_width_of_streams(eye: Codec) -> None:
    """A table of images says no width where the profile takes any."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), dtype=np.uint8)
    t = pa.table({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)})
    coded = arrow.encode_table(t, "image", profile=eye)
    assert b"clipcodec.dimensions" not in coded.schema.field("image").metadata
    assert len(arrow.decode_table(coded, profile=eye)) == 3


def test_a_bad_image_is_named_or_becomes_null(eye: Codec) -> None:
    files = [*pictures(66), b"not an image", b""]
    array = pa.chunked_array([[None, None], files], pa.binary())
    with pytest.raises(ImageError, match="row 68: <bytes: 12 bytes>: not an image"):
        arrow.encode_array(array, profile=eye)
    errors: list[Exception] = []
    coded = arrow.encode_array(array, profile=eye, on_bad_row=errors.append)
    assert [str(error).split(":")[0] for error in errors] == ["row 68", "row 69"]
    assert coded.null_count == 4
    assert coded[2:68].to_pylist() == eye.encode_batch(files[:66])


def test_rates_out_of_reach_name_the_image(eye: Codec) -> None:
    array = pa.array([None, *pictures(2)])
    with pytest.raises(RateError, match=r"^row 1 and 1 more: at least"):
        arrow.encode_array(array, profile=eye, max_bytes=3)


# --- others that read tables ---


def test_duckdb_reads_and_decodes(tmp_path: Path, file: Path, codec: Codec, rows: Any) -> None:
    """SQL over streams, and vectors by a function of one's own."""
    duckdb = pytest.importorskip("duckdb")
    small = tmp_path / "small.parquet"
    arrow.compress_parquet(file, small, "embedding", profile=codec)
    db = duckdb.connect()
    db.create_function(
        "clip_decode", lambda streams: arrow.decode_array(streams, profile=codec), ["BLOB"],
        f"FLOAT[{D}]", type="arrow",
    )  # fmt: skip
    assert db.sql(f"SELECT count(*), min(id) FROM '{small}'").fetchall() == [(300, 0)]
    found = db.execute(
        f"""SELECT id, array_inner_product(clip_decode(embedding), ?::FLOAT[{D}]) AS score
        FROM '{small}' ORDER BY score DESC LIMIT 3""",
        [rows[7].tolist()],
    ).fetchall()
    decoded = codec.decode_batch(codec.encode_embeddings(rows))
    scores = decoded @ rows[7]
    assert [row[0] for row in found] == np.argsort(-scores)[:3].tolist()
    assert np.allclose([row[1] for row in found], np.sort(scores)[::-1][:3], atol=1e-5)
    # what DuckDB writes has lost the metadata; the streams say what they are
    db.execute(f"COPY (SELECT id, embedding FROM '{small}') TO '{tmp_path}/duck.parquet'")
    db.close()
    arrow.decompress_parquet(
        tmp_path / "duck.parquet", tmp_path / "b.parquet", "embedding", profile=codec
    )
    assert np.allclose(vectors(pq.read_table(tmp_path / "b.parquet")["embedding"]), decoded)


def test_duckdb_writes_what_we_compress(tmp_path: Path, codec: Codec, rows: np.ndarray) -> None:
    """Lists of any length, as DuckDB and Spark store vectors."""
    duckdb = pytest.importorskip("duckdb")
    source = table(rows)
    duckdb.sql(f"COPY (SELECT id, embedding::FLOAT[] AS v FROM source) TO '{tmp_path}/t.parquet'")
    arrow.compress_parquet(tmp_path / "t.parquet", tmp_path / "s.parquet", "v", profile=codec)
    assert pq.read_table(tmp_path / "s.parquet")["v"].to_pylist() == codec.encode_embeddings(rows)
    assert source.num_rows == 300


def test_series_round_trip(codec: Codec, rows: np.ndarray) -> None:
    pd = pytest.importorskip("pandas")
    series = pd.Series([rows[0], None, rows[1].tolist()], index=list("abc"), name="v")
    coded = encode_series(series, profile=codec)
    assert [*coded.index] == ["a", "b", "c"]
    assert coded.name == "v"
    expected = codec.encode_embeddings(rows[:2])
    assert coded.tolist() == [expected[0], None, expected[1]]
    back = decode_series(coded, profile=codec)
    assert back["b"] is None
    assert np.allclose(np.stack(back[["a", "c"]]), codec.decode_batch(expected))
    for bad in ([1.5], [rows[0], "text"], [rows, rows], [rows[0], rows[0][:3]]):
        with pytest.raises(EmbeddingError):
            encode_series(pd.Series(bad), profile=codec)
    for bad in ([1], [b"\xff"], [rows[0]]):
        with pytest.raises(DecodeError):
            decode_series(pd.Series(bad), profile=codec)


@pytest.mark.slow
def test_the_snippets_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of docs/tables.md in their order; Spark's and Hugging Face's have their own tests."""
    pytest.importorskip("duckdb")
    pytest.importorskip("pandas")
    text = (ROOT / "docs" / "tables.md").read_text("utf-8")
    blocks = [part.partition("```")[0] for part in text.split("```python")[1:]]
    others = ("pyspark", "mapInArrow", "datasets", "some_rows", "column_profile", "polars")
    blocks = [block for block in blocks if not any(word in block for word in others)]
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    rows = drawn(20)
    pq.write_table(pa.table({"id": range(20), "embedding": fixed(rows)}), "table.parquet")
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    expected = clipcodec.encode_embeddings(rows, max_bytes=48)
    assert names["streams"].to_pylist() == expected
    assert names["best"][0][0] == 0
    names["db"].close()
    assert names["frame"]["clip"].tolist() == expected
    assert names["table"].column_names == ["id", "embedding", "clip"]
    assert len(names["back"]) == len(rows)
    assert names["bad"] == []


def test_hugging_face_features_stay_in_step(tmp_path: Path, codec: Codec, rows: np.ndarray) -> None:
    """A dataset written to Parquet, compressed and loaded again, keeps its features."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({
        "label": datasets.ClassLabel(names=["a", "b"]),
        "v": datasets.Sequence(datasets.Value("float32"), length=D),
        "image": datasets.Image(),
    })  # fmt: skip
    image = {"bytes": pictures(1)[0], "path": None}
    ds = datasets.Dataset.from_dict(
        {"label": [0, 1], "v": rows[:2].tolist(), "image": [image, image]}, features=features
    )
    ds.to_parquet(tmp_path / "t.parquet")

    def load(path: Path) -> Any:
        return datasets.load_dataset("parquet", data_files=str(path), split="train",
                                     cache_dir=str(tmp_path / "cache"))  # fmt: skip

    arrow.compress_parquet(
        tmp_path / "t.parquet", tmp_path / "s.parquet", "v", into="clip", profile=codec
    )
    coded = load(tmp_path / "s.parquet")
    assert coded.column_names == ["label", "clip", "image"]
    assert coded.features["clip"] == datasets.Value("binary")
    assert coded.features["label"] == features["label"]
    assert isinstance(coded.features["image"], datasets.Image)
    assert coded["clip"][:] == codec.encode_embeddings(rows[:2])
    arrow.decompress_parquet(
        tmp_path / "s.parquet", tmp_path / "b.parquet", into="v", profile=codec
    )
    back = load(tmp_path / "b.parquet")
    assert back.features == features
    assert np.allclose(back.with_format("numpy")["v"][:], codec.decode_batch(coded["clip"][:]))
    odd = pq.read_table(tmp_path / "t.parquet").replace_schema_metadata({"huggingface": "odd"})
    assert arrow.encode_table(odd, "v", profile=codec).schema.metadata == {b"huggingface": b"odd"}


def test_hugging_face_map_over_images(tmp_path: Path, eye: Codec) -> None:
    """`Dataset.map` in the Arrow format; the images stay beside."""
    datasets = pytest.importorskip("datasets")
    files = pictures(5)
    ds = datasets.Dataset.from_dict(
        {"image": [{"bytes": f, "path": None} for f in files], "n": range(5)},
        features=datasets.Features({"image": datasets.Image(), "n": datasets.Value("int64")}),
    )
    work = partial(arrow.encode_table, column="image", into="clip", keep=True, profile=eye)
    coded = ds.with_format("arrow").map(
        work, batched=True, batch_size=2,
        features=datasets.Features({**ds.features, "clip": datasets.Value("binary")}),
    ).with_format(None)  # fmt: skip
    assert coded["clip"][:] == eye.encode_batch(files)
    assert coded[0]["image"].size == (9, 8)
    ds.to_parquet(tmp_path / "t.parquet")
    arrow.compress_parquet(tmp_path / "t.parquet", tmp_path / "s.parquet", "image", profile=eye)
    loaded = datasets.load_dataset("parquet", data_files=str(tmp_path / "s.parquet"),
                                   split="train", cache_dir=str(tmp_path / "cache"))  # fmt: skip
    assert loaded["image"][:] == eye.encode_batch(files)
    assert json.loads(pq.read_schema(tmp_path / "s.parquet").metadata[b"huggingface"])["info"][
        "features"
    ]["image"] == {"dtype": "binary", "_type": "Value"}


def test_a_column_of_text_in_a_parquet_file(
    tmp_path: Path, codec: Codec, rows: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found as streams, and decoded as bytes are; one that is spoilt is named."""
    from clipcodec.cli import main
    from clipcodec.integrations.contents import contents

    streams = codec.encode_embeddings(rows[:20])
    texts = [None, *map(clipcodec.to_text, streams)]
    spoilt = [*texts[:9], *map(str, streams[8:])]
    source, target = tmp_path / "t.parquet", tmp_path / "v.parquet"
    made = pa.table({"t": texts, "bad": spoilt, "word": ["a dog"] * 21})
    pq.write_table(made, source)
    assert [c.holds for c in contents(source, codec).columns] == ["streams", "other", "other"]
    arrow.decompress_parquet(source, target, "t", profile=codec)
    found = pq.read_table(target)["t"]
    assert found.null_count == 1
    assert np.allclose(vectors(found.drop_null()), codec.decode_batch(streams))
    with pytest.raises(DecodeError, match=r"column 'bad', row 9 .*Python's way to show bytes"):
        arrow.decompress_parquet(source, target, "bad", profile=codec, overwrite=True)
    own = ["--profile", str(codec.profile.path)]
    again = str(tmp_path / "w.parquet")
    assert main(["decompress", str(source), "--column", "t", "-o", again, *own]) == 0
    assert pq.read_table(again)["t"].equals(found)
    assert capsys.readouterr().out == ""
