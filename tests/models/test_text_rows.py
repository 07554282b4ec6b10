"""What docs/any-model.md says of text embeddings, of wide rows, and of Matryoshka models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import clipcodec
from clipcodec.errors import EmbeddingError

Rows = NDArray[np.float32]
WIDTH, CUT, COUNT, LIMIT = 512, 96, 200, 30


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Unit rows (200, 512) of a made-up Matryoshka model: the first dimensions vary most.

    Around a mean, as real text embeddings have one, and in groups, so that there are neighbours.
    """
    rng = np.random.default_rng(0)
    spread = (np.arange(WIDTH) + 10) ** -0.8
    topics = rng.standard_normal((30, WIDTH))[rng.integers(0, 30, COUNT)]
    x = 0.7 * rng.standard_normal(WIDTH) + topics + 0.6 * rng.standard_normal((COUNT, WIDTH))
    x *= spread
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def unit(x: Rows) -> Rows:
    scaled: Rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    return scaled


def kept(x: Rows, decoded: Rows) -> float:
    return float((unit(x) * unit(decoded)).sum(axis=1).mean())


@pytest.mark.parametrize("width", [256, 384, 1024, 1536, 3072])
def test_any_rotation_takes_the_widths_of_services(width: int) -> None:
    x = np.random.default_rng(width).standard_normal((4, width)).astype(np.float32)
    codec = clipcodec.Codec("any/rotation")
    decoded = codec.decode_batch(codec.encode_embeddings(x, quality=90))
    assert decoded.shape == (4, width)
    assert kept(x, decoded) > 0.95


def test_numbers_as_a_service_sends_them_are_rows() -> None:
    """JSON: lists of Python floats. float64 and float16 of the same numbers give the same bytes."""
    answer = [[0.5, -0.25, 0.125, 0.0625], [0.25, 0.5, -0.5, 0.75]]
    codec = clipcodec.Codec("any/rotation")
    streams = codec.encode_embeddings(np.array(answer), quality=90)
    for kind in (np.float32, np.float16):
        assert codec.encode_embeddings(np.array(answer, kind), quality=90) == streams


def test_a_prefix_is_a_row_like_any_other_and_its_norm_does_not_matter(rows: Rows) -> None:
    prefix = rows[:, :CUT]
    assert np.linalg.norm(prefix, axis=1).max() < 0.99
    codec = clipcodec.Codec("any/rotation")
    streams = codec.encode_embeddings(prefix, max_bytes=LIMIT)
    assert streams == codec.encode_embeddings(unit(prefix), max_bytes=LIMIT)
    assert codec.decode_batch(streams).shape == (COUNT, CUT)


@pytest.fixture(scope="module")
def decoded(rows: Rows) -> tuple[Rows, Rows]:
    """In the same bytes by any/rotation: the prefixes, and the whole rows."""
    codec = clipcodec.Codec("any/rotation")
    prefix, whole = (codec.decode_batch(codec.encode_embeddings(x, max_bytes=LIMIT))
                     for x in (rows[:, :CUT], rows))  # fmt: skip
    return prefix, whole


def test_cut_first_then_compress(rows: Rows, decoded: tuple[Rows, Rows]) -> None:
    """In the same bytes the prefix is kept far better than if the whole row is coded, then cut."""
    prefix, whole = decoded
    assert kept(rows[:, :CUT], prefix) > kept(rows[:, :CUT], whole[:, :CUT]) + 0.1


def test_in_few_bytes_the_prefix_finds_more_of_the_neighbours_that_whole_rows_have(
    rows: Rows, decoded: tuple[Rows, Rows]
) -> None:
    """With any/rotation, which does not know that the last dimensions hold little."""
    found = [shared(neighbours(rows), neighbours(x)) for x in decoded]
    assert found[0] > found[1] + 0.05


def neighbours(x: Rows) -> NDArray[np.int64]:
    cosines = unit(x) @ unit(x).T
    np.fill_diagonal(cosines, -1)
    nearest: NDArray[np.int64] = np.argsort(-cosines, axis=1)[:, :10]
    return nearest


def shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    pairs = zip(one, other, strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in pairs]))


def test_queries_are_cut_as_the_rows_were(rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "texts.clpc"
    codec = clipcodec.Codec("any/rotation")
    with clipcodec.create(path) as writer:
        writer.extend(codec.encode_embeddings(rows[:, :CUT], max_bytes=100))
    with clipcodec.open(path) as texts:
        hits = clipcodec.search(texts, rows[:20, :CUT], k=1)
        assert (hits.indices[:, 0] == np.arange(20)).mean() > 0.9
        with pytest.raises(EmbeddingError, match="512"):
            clipcodec.search(texts, rows[:1], k=1)


def test_rows_less_a_mean_need_queries_less_the_same_mean(rows: Rows) -> None:
    """Decoded rows come back without it: add it, or compare with what has lost it, too."""
    mean = rows.mean(axis=0)
    codec = clipcodec.Codec("any/rotation")
    decoded = codec.decode_batch(codec.encode_embeddings(rows - mean, quality=90))
    assert kept(rows - mean, decoded) > 0.95
    assert kept(rows, decoded) < 0.9
