"""pandas Series: numbers that are no vectors or streams, whole numbers of any size."""

from __future__ import annotations

import io

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec
from clipcodec.errors import DecodeError, EmbeddingError

pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")

from clipcodec.integrations.pandas import decode_series, encode_series  # noqa: E402

CODEC = Codec("any/rotation")


def test_whole_numbers_of_64_bits_without_sign_are_embeddings() -> None:
    vector = np.uint64(2**63) + np.arange(64, dtype=np.uint64) * np.uint64(2**57)
    assert encode_series(pd.Series([vector]), profile=CODEC)[0] == CODEC.encode_embedding(
        vector.astype(np.float64)
    )


@pytest.mark.parametrize("numbers", [[2**64] * 64, [2**63, -1] * 32, [2**70, *range(63)]])
def test_whole_numbers_that_arrow_cannot_hold_are_named(numbers: list[int]) -> None:
    for series in (pd.Series([numbers]), pd.Series(numbers, dtype=object)):
        with pytest.raises(EmbeddingError, match="no column of vectors or images of one kind"):
            encode_series(series, profile=CODEC)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32", "bool", "Int64", "datetime64[ns]"])
def test_a_column_of_numbers_is_no_column_of_streams(dtype: str) -> None:
    """Arrow would take the bytes of each number for a stream."""
    for values in ([0x61, 0x62], [0x61]):
        with pytest.raises(DecodeError, match=r"^a Series of [\w\[\]]+: expected one of bytes"):
            decode_series(pd.Series(values).astype(dtype), profile=CODEC)


def test_a_column_of_nothing_stays_one() -> None:
    for empty in (pd.Series([np.nan, np.nan]), pd.Series([pd.NA] * 2, dtype="Int64")):
        assert decode_series(empty, profile=CODEC).tolist() == [None, None]


def test_streams_as_text_come_back_from_csv() -> None:
    x = np.random.default_rng(0).normal(size=(6, 32))
    streams = CODEC.encode_embeddings(x)
    texts = [clipcodec.to_text(stream) for stream in streams]
    frame = pd.DataFrame({"clip": [*texts[:2], None, *texts[2:]]}, index=[*"abcdefg"])
    read = pd.read_csv(io.StringIO(frame.to_csv()), index_col=0)["clip"]
    back = decode_series(read, profile=CODEC)
    assert back["c"] is None
    assert (np.stack(back.drop("c").tolist()) == CODEC.decode_batch(streams)).all()
    assert back.index.tolist() == [*"abcdefg"]


def test_bytes_that_an_export_made_text_are_named() -> None:
    streams = CODEC.encode_embeddings(np.random.default_rng(0).normal(size=(3, 32)))
    frame = pd.DataFrame({"clip": streams})
    read = pd.read_csv(io.StringIO(frame.to_csv(index=False)))["clip"]
    with pytest.raises(DecodeError, match=r"row 0 and 2 more: .*Python's way to show bytes"):
        decode_series(read, profile=CODEC)
    with pytest.raises(DecodeError, match="both text and bytes"):
        decode_series(pd.Series([streams[0], clipcodec.to_text(streams[1])]), profile=CODEC)
