"""A staged search finds what the full one finds, of any source, and decodes few streams for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, search
from clipcodec.columns import Columns
from clipcodec.errors import CorruptError, DecodeError, EmbeddingError, OptionError
from clipcodec.evaluation.sets import load_sets
from clipcodec.profile import registry
from clipcodec.profile.samples import draw
from clipcodec.retrieval import staged
from clipcodec.retrieval.found import Hits
from clipcodec.retrieval.staged import kept, staged_hits

PREDICTIVE = "openai-vit-b-32/predictive"
COUNT = 2400
Coded = tuple[list[bytes], np.ndarray]


@pytest.fixture(scope="module")
def coded() -> Coded:
    """Streams of three qualities, and queries near some of them."""
    rows = draw(registry.by_name(PREDICTIVE), COUNT)
    third = COUNT // 3
    streams = [
        stream
        for at, quality in zip(range(0, COUNT, third), (30, 45, 60), strict=True)
        for stream in clipcodec.encode_embeddings(
            rows[at : at + third], profile=PREDICTIVE, quality=quality
        )
    ]
    noise = np.random.default_rng(1).standard_normal((12, rows.shape[1])) / rows.shape[1] ** 0.5
    return streams, rows[:: COUNT // 12][:12] + noise


@pytest.fixture(scope="module")
def full(coded: Coded) -> Hits:
    """What the full search finds, ten for each query."""
    return search(*coded, 10)


def first(full: Hits, query: int, k: int) -> Hits:
    """The k best of one query."""
    return Hits(full.scores[query : query + 1, :k], full.indices[query : query + 1, :k])


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call decodes wholly."""
    counts: list[int] = []
    decode = Codec._decode_columns

    def counting(self: Codec, columns: Sequence[Columns]) -> np.ndarray:
        counts.append(sum(len(group.rows) for group in columns))
        return decode(self, columns)

    monkeypatch.setattr(Codec, "_decode_columns", counting)
    return counts


def same(found: Hits, full: Hits) -> None:
    """At least 99 of 100 hits, each with its score."""
    assert found.scores.shape == found.indices.shape == full.indices.shape
    assert found.scores.dtype == np.float32
    assert found.indices.dtype == np.int64
    for scores, indices, own_scores, own_indices in zip(*full, *found, strict=True):
        expected = dict(zip(indices.tolist(), scores.tolist(), strict=True))
        common = {
            index: score
            for index, score in zip(own_indices.tolist(), own_scores.tolist(), strict=True)
            if index in expected
        }
        assert len(common) >= 0.99 * len(expected)
        assert all(abs(score - expected[index]) < 1e-6 for index, score in common.items())
    assert (np.diff(found.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("k", [1, 3, 10])
def test_one_query_finds_what_the_full_search_finds(coded: Coded, full: Hits, k: int) -> None:
    streams, queries = coded
    for i in range(4):
        same(staged_hits(streams, queries[i], k, Codec()), first(full, i, k))


def test_few_streams_are_decoded_wholly(coded: Coded, decoded: list[int]) -> None:
    streams, queries = coded
    staged_hits(streams, queries[0], 1, Codec())
    assert decoded == [kept(1, 1, COUNT)]
    assert kept(1, 1, COUNT) < COUNT / 50


def test_few_of_each_part_are_decoded_together(
    coded: Coded, full: Hits, decoded: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts end within the container's blocks; each hit is found where it lies."""
    streams, queries = coded
    monkeypatch.setattr("clipcodec.retrieval.sources.BLOCK", 200)
    with clipcodec.create(tmp_path / "some.clpc") as writer:
        for stream in streams:
            writer.append(stream)
    with clipcodec.open(tmp_path / "some.clpc") as some:
        for source in (streams, some):
            for i in range(3):
                decoded.clear()
                same(staged_hits(source, queries[i], 1, Codec()), first(full, i, 1))
                assert decoded == [kept(1, 1, COUNT)]


def test_so_many_queries_that_all_are_decoded(coded: Coded, decoded: list[int]) -> None:
    streams, queries = coded
    many = np.concatenate([queries] * 20)
    found = staged_hits(streams, many, 10, Codec())
    assert sum(decoded) == COUNT
    full = search(streams, many, 10)
    assert (found.indices == full.indices).all()
    assert (found.scores == full.scores).all()


@pytest.mark.parametrize("k", [COUNT, COUNT + 5])
def test_more_hits_than_streams(coded: Coded, k: int) -> None:
    streams, queries = coded
    found = staged_hits(streams[:100], queries[0], k, Codec())
    assert sorted(found.indices[0].tolist()) == [*range(100)]


def test_nothing_to_search(coded: Coded) -> None:
    _, queries = coded
    assert staged_hits([], queries, 3, Codec()).indices.shape == (12, 0)
    assert staged_hits(coded[0][:5], queries[:0], 3, Codec()).indices.shape == (0, 3)


def test_chunks_find_what_one_finds(
    coded: Coded, full: Hits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each chunk is searched with what those before have found."""
    streams, queries = coded
    monkeypatch.setattr(staged, "_CHUNK", 500)
    monkeypatch.setattr("clipcodec.retrieval.sources.BLOCK", 200)
    monkeypatch.setattr(staged, "_WORTH", np.inf)
    for i in range(3):
        same(staged_hits(streams, queries[i], 5, Codec()), first(full, i, 5))


def test_an_iterator_is_a_source(coded: Coded, full: Hits) -> None:
    streams, queries = coded

    def some() -> Iterator[bytes]:
        yield from streams

    same(staged_hits(some(), queries[0], 5, Codec()), first(full, 0, 5))


def test_a_container_is_a_source(coded: Coded, full: Hits, tmp_path: Path) -> None:
    streams, queries = coded
    with clipcodec.create(tmp_path / "some.clpc") as writer:
        for stream in streams:
            writer.append(stream)
    with clipcodec.open(tmp_path / "some.clpc") as some:
        same(staged_hits(some, queries[0], 5, some.codec), first(full, 0, 5))


def test_only_the_rows_asked_for(coded: Coded) -> None:
    """Positions are those in the whole source."""
    streams, queries = coded
    rows = np.arange(1, COUNT, 2)
    for query in queries[:2]:
        found = staged_hits(streams, query, 2, Codec(), rows)
        full = search([streams[i] for i in rows], query, 2)
        same(found, full._replace(indices=rows[full.indices]))


def test_streams_of_other_kinds_are_searched_as_ever(coded: Coded) -> None:
    """They lie between the others, and each is found where it lies."""
    streams, queries = coded
    rows = draw(registry.by_name(PREDICTIVE), 80, seed=5)
    others = [
        *clipcodec.encode_embeddings(rows[:40], profile="any/rotation", quality=40),
        *clipcodec.encode_embeddings(rows[40:], profile="openai-vit-b-32/pqvae-400"),
    ]
    mixed = streams[:1200] + others + streams[1200:]
    same(staged_hits(mixed, queries[0], 5, Codec()), search(mixed, queries[0], 5))
    found = staged_hits(mixed, clipcodec.decode(others[7]), 1, Codec())
    assert found.indices.tolist() == [[1207]]
    same(staged_hits(others[:40], queries, 5, Codec()), search(others[:40], queries, 5))


@pytest.mark.parametrize("at", [0, 1777, COUNT - 1])
@pytest.mark.parametrize("size", [200, 8192])
def test_a_damaged_stream_is_named(
    coded: Coded, at: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its check value is verified, though it would be no hit, in whichever part it comes."""
    streams, queries = coded
    monkeypatch.setattr("clipcodec.retrieval.sources.BLOCK", size)
    damaged = streams[at][:-1] + bytes([streams[at][-1] ^ 1 or 2])
    with pytest.raises(CorruptError) as error:
        staged_hits([*streams[:at], damaged, *streams[at + 1 :]], queries[0], 1, Codec())
    assert error.value.rows == (at,)


def test_what_is_asked_for_is_checked(coded: Coded) -> None:
    streams, queries = coded
    with pytest.raises(OptionError):
        staged_hits(streams, queries[0], 0, Codec())
    with pytest.raises(EmbeddingError, match="queries of 511 dimensions"):
        staged_hits(streams, queries[0, :511], 1, Codec())
    with pytest.raises(DecodeError, match="keep streams of each model apart"):
        staged_hits(streams, queries[0], 1, Codec(), backbone="another")


def test_more_rows_and_more_hits_keep_more() -> None:
    for stage in (0, 1):
        assert kept(stage, 10, 10_000) < kept(stage, 10, 100_000) < kept(stage, 20, 100_000)
        assert kept(stage, 10, 5) == 5
    assert kept(0, 10, 1_000_000) < 50_000
    assert kept(1, 10, 1_000_000) < 1_000


@pytest.mark.slow
def test_recall_on_real_embeddings(shared_data: Path) -> None:
    """Of the ten nearest of the originals, as many as the full search finds, within .002."""
    rows = np.concatenate([part.rows for part in load_sets([shared_data / "clip-vit-b-32-openai"])])
    rows = rows[np.random.default_rng(0).permutation(len(rows))[:5000]]
    streams = clipcodec.encode_embeddings(rows[100:], profile=PREDICTIVE, max_bytes=50)
    queries = rows[:100]
    truth = np.argsort(-(queries @ rows[100:].T), axis=1)[:, :10]
    full = search(streams, queries, 10).indices
    found = np.concatenate([staged_hits(streams, query, 10, Codec()).indices for query in queries])

    def recall(indices: np.ndarray) -> float:
        pairs = zip(truth, indices, strict=True)
        return float(np.mean([np.isin(a, b).mean() for a, b in pairs]))

    assert abs(recall(found) - recall(full)) <= 0.002
