"""Streams, containers and search indexes into indexes of usearch and hnswlib."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, SearchIndex
from clipcodec.errors import DecodeError, EmbeddingError, MissingDependencyError, OptionError
from clipcodec.integrations.faiss import to_faiss
from clipcodec.integrations.hnswlib import to_hnswlib
from clipcodec.integrations.usearch import to_usearch
from clipcodec.profile.file import Profile
from clipcodec.retrieval import sources
from tests.helpers.profiles import cone

DIM = 24
QUERIES = cone(5, DIM, 7)


@pytest.fixture(scope="module")
def streams(rates: Profile) -> list[bytes]:
    return Codec(rates).encode_embeddings(cone(300, DIM))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK", 70)


@pytest.fixture(params=["usearch", "hnswlib"])
def library(request: pytest.FixtureRequest) -> Library:
    pytest.importorskip(request.param)
    return Library(request.param)


class Library:
    """One of the two, by what it is called."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys = "keys" if name == "usearch" else "labels"
        self.convert: Callable[..., Any] = to_usearch if name == "usearch" else to_hnswlib

    def __call__(self, source: Any, index: Any = None, keys: Any = None, **options: Any) -> Any:
        return self.convert(source, index, **{self.keys: keys}, **options)

    def find(self, index: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and scores of the best k of each query."""
        if self.name == "usearch":
            found = index.search(QUERIES, k, exact=True)
            return found.keys.astype(np.int64), 1 - found.distances
        index.set_ef(400)
        keys, distances = index.knn_query(QUERIES, k)
        return keys.astype(np.int64), 1 - distances

    def new(self, dim: int = DIM) -> Any:
        if self.name == "usearch":
            from usearch.index import Index

            return Index(ndim=dim, metric="ip", dtype="f32")
        import hnswlib

        index = hnswlib.Index(space="ip", dim=dim)
        index.init_index(max_elements=4)
        return index


def test_the_index_made_here_has_the_scores_of_search(
    library: Library, rates: Profile, streams: list[bytes]
) -> None:
    hits = clipcodec.search(streams, QUERIES, 4, profile=rates)
    for source in (streams, iter(streams)):
        keys, scores = library.find(library(source, profile=rates), 4)
        assert keys.tolist() == hits.indices.tolist()
        assert np.allclose(scores, hits.scores, atol=1e-5)


def test_keys_are_kept_and_a_given_index_goes_on(
    library: Library, rates: Profile, streams: list[bytes]
) -> None:
    """Positions are counted on from its size; the same index is returned, large enough."""
    index = library.new()
    assert library(streams[:3], index, profile=rates) is index
    library(streams[3:200], index, profile=rates)
    library(streams[200:], index, keys=range(10**12, 10**12 + 100), profile=rates)
    hits = clipcodec.search(streams, QUERIES, 4, profile=rates).indices
    assert library.find(index, 4)[0].tolist() == np.where(
        hits < 200, hits, hits - 200 + 10**12
    ).tolist()  # fmt: skip


def test_a_saved_index_is_a_source_without_decoding(
    library: Library, rates: Profile, streams: list[bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its rows are rotated back; so are several containers a source."""
    pytest.importorskip("faiss")
    paths = [tmp_path / "a.clpc", tmp_path / "b.clpc"]
    for path, part in zip(paths, (streams[:120], streams[120:]), strict=True):
        with clipcodec.create(path) as writer:
            writer.extend(part)
    both = [clipcodec.open(path, profile=rates) for path in paths]
    hits = clipcodec.search(both, QUERIES, 4)
    assert library.find(library(both), 4)[0].tolist() == hits.indices.tolist()
    assert to_faiss(both).search(QUERIES, 4)[1].tolist() == hits.indices.tolist()
    for exact, atol in ((True, 1e-5), (False, 5e-3)):
        SearchIndex.build(both, tmp_path / "a.clpi", exact=exact)
        index = SearchIndex.open(tmp_path / "a.clpi")
        with monkeypatch.context() as patch:
            patch.setattr(Codec, "_decode_columns", None)
            keys, scores = library.find(library(index), 4)
            flat = to_faiss(index, ids=None)
            rows = np.concatenate([*index.decode_blocks()])
        assert np.allclose(scores, hits.scores, atol=atol)
        assert flat.ntotal == 300
        assert np.allclose(rows, flat.reconstruct_n(0, 300), atol=1e-6)
        assert np.allclose(rows, np.concatenate([one.decode_all() for one in both]), atol=5e-2)
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        if exact:
            assert keys.tolist() == hits.indices.tolist()


def test_what_cannot_be_is_said(library: Library, rates: Profile, streams: list[bytes]) -> None:
    what = library.keys
    for keys, why in (
        ([1, 2], f"2 {what} for 300 streams"),
        ([0.5] * 300, rf"{what} of shape \(300,\)"),
        (["a"] * 300, rf"{what} of shape \(300,\)"),
        ([7] * 300, f"{what}: 7 is there twice"),
        ([-1, *range(299)], f"{what}: -1, of stream 0: expected 0 to"),
        ([2**64, *range(299)], f"{what}: {2**64}, of stream 0: expected 0 to"),
    ):
        with pytest.raises(OptionError, match=why):
            library(streams, keys=keys, profile=rates)
    index = library(streams[:9], profile=rates)
    with pytest.raises(OptionError, match=f"{what[:-1]} 3 is in the index already"):
        library(streams[:1], index, keys=[3], profile=rates)
    with pytest.raises(EmbeddingError, match="of 24 dimensions, the index of 30"):
        library(streams, library.new(30), profile=rates)
    with pytest.raises(OptionError, match=f"str is not an index of {library.name}"):
        library(streams, "photos.index", profile=rates)
    with pytest.raises(DecodeError, match=r"^stream 99: "):
        library([*streams[:99], b"x"], profile=rates)


def test_no_streams_make_an_empty_index(library: Library) -> None:
    index = library([])
    assert (len(index) if library.name == "usearch" else index.element_count) == 0


def test_an_index_of_hnswlib_that_was_not_begun() -> None:
    hnswlib = pytest.importorskip("hnswlib")
    streams = clipcodec.encode_embeddings(cone(3, DIM), profile="any/rotation")
    with pytest.raises(OptionError, match="call init_index or load_index first"):
        to_hnswlib(streams, hnswlib.Index(space="ip", dim=DIM))


@pytest.mark.parametrize("name", ["usearch", "hnswlib"])
def test_a_missing_library_is_named_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (name, f"{name}.index"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf'pip install "clipcodec\[{name}\]"'):
        Library(name)([])


def test_neither_is_imported_before_it_is_used() -> None:
    code = ("import sys, clipcodec.integrations.usearch, clipcodec.integrations.hnswlib as _; "
            "print([m for m in ('usearch', 'hnswlib') if m in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=60, check=True)  # fmt: skip
    assert done.stdout == "[]\n"
