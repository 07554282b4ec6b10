"""Streams into faiss indexes and vectors out of flat ones; ids stay."""

from __future__ import annotations

import gc
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec
from clipcodec.errors import DecodeError, EmbeddingError, InputError, OptionError, RateError
from clipcodec.integrations import faiss as bridge
from clipcodec.integrations.faiss import from_faiss, to_faiss
from clipcodec.profile.file import Profile
from clipcodec.retrieval import sources
from tests.helpers.profiles import cone

faiss = pytest.importorskip("faiss")
DIM = 24


@pytest.fixture(scope="module")
def streams(rates: Profile) -> list[bytes]:
    return Codec(rates).encode_embeddings(cone(300, DIM))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few hundred rows are several blocks."""
    monkeypatch.setattr(bridge, "_BLOCK", 70)
    monkeypatch.setattr(sources, "BLOCK", 70)


# --- to faiss ---


def test_the_index_made_here_has_the_scores_of_search(rates: Profile, streams: list[bytes]) -> None:
    index = to_faiss(streams, profile=rates)
    assert isinstance(faiss.downcast_index(index), faiss.IndexFlatIP)
    queries = cone(5, DIM, 7)
    scores, places = index.search(queries, 4)
    hits = clipcodec.search(streams, queries, 4, profile=rates)
    assert places.tolist() == hits.indices.tolist()
    assert np.allclose(scores, hits.scores, atol=1e-5)


def test_a_container_goes_into_an_index_given(
    rates: Profile, rates_path: Path, streams: list[bytes], tmp_path: Path
) -> None:
    """Behind what it holds already; the same index is returned."""
    with clipcodec.create(tmp_path / "s.clpc") as writer:
        writer.extend(streams)
    index = faiss.IndexFlatL2(DIM)
    index.add(cone(3, DIM, 9))
    with clipcodec.open(tmp_path / "s.clpc", profile=rates_path) as container:
        assert to_faiss(container, index) is index
    assert index.ntotal == 303
    rows = Codec(rates).decode_batch(streams)
    assert np.allclose(index.reconstruct_n(3, 300), rows, atol=1e-6)


@pytest.mark.parametrize("name", ["IVF4,Flat", "IDMap,Flat", "IDMap,PQ4x4np"])
def test_ids_are_kept(rates: Profile, streams: list[bytes], name: str) -> None:
    rows = Codec(rates).decode_batch(streams)
    index = faiss.index_factory(DIM, name, faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    ids = np.arange(300)[::-1] * 10**12
    to_faiss(streams, index, ids=ids, profile=rates)
    if name == "IDMap,Flat":
        assert index.search(rows[:9], 1)[1][:, 0].tolist() == ids[:9].tolist()
    assert {*index.search(rows, 1)[1][:, 0].tolist()} <= {*ids.tolist()}


def test_what_an_index_cannot_take_is_said_before_it_is_lost(
    rates: Profile, streams: list[bytes]
) -> None:
    untrained = faiss.index_factory(DIM, "IVF4,Flat")
    with pytest.raises(OptionError, match=r"IndexIVFFlat is not trained: train it"):
        to_faiss(streams, untrained, profile=rates)
    with pytest.raises(EmbeddingError, match="24 dimensions, the index of 25"):
        to_faiss(streams, faiss.IndexFlatIP(25), profile=rates)
    with pytest.raises(OptionError, match=r"IndexFlatIP keeps no ids: wrap it"):
        to_faiss(streams, ids=range(300), profile=rates)
    mapped = faiss.IndexIDMap(faiss.IndexFlatIP(DIM))
    for ids in (range(299), range(301)):
        with pytest.raises(OptionError, match=f"{len(ids)} ids for 300 streams"):
            to_faiss(streams, mapped, ids=ids, profile=rates)
        with pytest.raises(OptionError, match=f"{len(ids)} ids for 300 streams"):
            to_faiss(iter(streams), mapped, ids=ids, profile=rates)
    with pytest.raises(OptionError, match=r"IndexIDMap needs an id for each stream"):
        to_faiss(streams, mapped, profile=rates)
    for wrong in ([0.5] * 300, [[1]] * 300, ["a"] * 300, [[1], [1, 2]], [None] * 300):
        with pytest.raises(OptionError, match="expected \\(N,\\) integers"):
            to_faiss(streams, mapped, ids=wrong, profile=rates)
    assert mapped.ntotal == 0
    for index in (faiss.IndexBinaryFlat(DIM), "trained.faiss"):
        with pytest.raises(OptionError, match="is not a faiss index of float vectors"):
            to_faiss(streams, index, profile=rates)
    with pytest.raises(OptionError, match="IndexIDMap of an IndexIDMap"):
        to_faiss(streams, faiss.IndexIDMap(mapped), ids=range(300), profile=rates)
    refined = faiss.IndexRefineFlat(faiss.IndexFlatL2(DIM))  # it says no itself
    with pytest.raises(OptionError, match="IndexRefineFlat does not take these embeddings with"):
        to_faiss(streams, refined, ids=range(300), profile=rates)
    with pytest.raises(DecodeError, match=r"^stream 200: ") as bad:
        to_faiss([*streams[:200], b"", *streams[200:]], profile=rates)
    assert bad.value.rows == (200,)


@pytest.mark.parametrize(
    ("id", "why"),
    [
        (2**63, "up to 2\\*\\*63 - 1"),
        (2**64 - 1, "up to"),
        (2**70, "up to"),
        (-(2**63) - 1, "up to"),
        (-1, "no hit"),
    ],
)
def test_an_id_that_faiss_would_change_is_named(
    rates: Profile, streams: list[bytes], id: int, why: str
) -> None:
    """As a list, an array, a pandas Series, nullable ones among them."""
    pd = pytest.importorskip("pandas")
    ids = [*range(200), id, *range(201, 300)]
    index = faiss.IndexIDMap(faiss.IndexFlatIP(DIM))
    given: list[object] = [ids, np.array(ids, object), pd.Series(ids, dtype=object)]
    if 0 <= id < 2**64:
        given += [np.array(ids, np.uint64), pd.Series(ids, dtype="UInt64")]
    for some in given:
        with pytest.raises(OptionError, match=f"^id {id}, of stream 200: .*{why}"):
            to_faiss(streams, index, ids=some, profile=rates)
    assert index.ntotal == 0


def test_the_ends_of_the_range_of_ids_are_kept(rates: Profile, streams: list[bytes]) -> None:
    pd = pytest.importorskip("pandas")
    ids = [-(2**63), 2**63 - 1, -2, 0]
    for some in (ids, pd.Series(ids), pd.Series(ids, dtype="Int64"), np.array(ids, object)):
        index = faiss.IndexIDMap(faiss.IndexFlatIP(DIM))
        to_faiss(iter(streams[:4]), index, ids=some, profile=rates)
        assert faiss.vector_to_array(index.id_map).tolist() == ids
        assert [id for id, _ in from_faiss(index, profile=rates)] == ids


def test_nothing_makes_an_empty_index() -> None:
    assert (to_faiss([]).ntotal, to_faiss([]).d) == (0, 512)


# --- from faiss ---


@pytest.mark.parametrize("name", ["Flat", "L2norm,Flat", "SQfp16", "HNSW8,Flat", "PCAR20,SQ8"])
def test_vectors_of_an_index_become_streams(rates: Profile, name: str) -> None:
    """By place, as encoding what the index gives back would; any norms."""
    index = faiss.index_factory(DIM, name)
    rows = cone(150, DIM, 3) * 4
    index.train(rows)
    index.add(rows)
    pairs = list(from_faiss(index, profile=rates, quality=70))
    assert [id for id, _ in pairs] == list(range(150))
    kept = index.reconstruct_n(0, 150)
    assert [stream for _, stream in pairs] == Codec(rates).encode_embeddings(kept, quality=70)


@pytest.mark.parametrize("kind", ["IndexIDMap", "IndexIDMap2"])
def test_ids_come_back_through_a_file(rates: Profile, kind: str, tmp_path: Path) -> None:
    """Out of a file as faiss wrote it, into a container and back, ids and all."""
    rows, ids = cone(150, DIM, 3), np.arange(150) * 7 - 5
    index = getattr(faiss, kind)(faiss.IndexFlatIP(DIM))
    index.add_with_ids(rows, ids)
    faiss.write_index(index, str(tmp_path / "i.faiss"))
    read = faiss.read_index(str(tmp_path / "i.faiss"))
    with clipcodec.create(tmp_path / "s.clpc") as writer:
        for id, stream in from_faiss(read, profile=rates):
            writer.append(stream, id=str(id))
    with clipcodec.open(tmp_path / "s.clpc", profile=rates) as container:
        assert container.ids == [str(id) for id in ids.tolist()]
        again = to_faiss(container, faiss.IndexIDMap(faiss.IndexFlatIP(DIM)), ids=ids)
        decoded = container.decode_all()
    assert (decoded * rows).sum(axis=1).mean() > 0.9
    assert again.search(decoded[:5], 1)[1][:, 0].tolist() == ids[:5].tolist()


def _nested(*layers: object) -> object:
    """The last one is the innermost."""
    *outer, index = layers
    for layer in reversed(outer):
        wrap = layer if isinstance(layer, type) else partial(faiss.IndexPreTransform, layer)
        index = wrap(index)
    return index


@pytest.mark.parametrize("name", ["outside", "between", "inside", "hnsw", "centred"])
def test_layers_may_lie_in_any_order(rates: Profile, name: str) -> None:
    """faiss itself ends the process where an IndexIDMap is inside a transform."""
    rotation = faiss.RandomRotationMatrix(DIM, DIM)
    rotation.init(5)
    centre = faiss.CenteringTransform(DIM)
    rows, ids = cone(150, DIM, 3), np.arange(150) * 3 + 10**14
    centre.train(rows)
    norm, flat = faiss.NormalizationTransform(DIM), faiss.IndexFlatIP(DIM)
    index: Any = {
        "outside": lambda: _nested(faiss.IndexIDMap, rotation, norm, flat),
        "between": lambda: _nested(rotation, faiss.IndexIDMap2, norm, flat),
        "inside": lambda: _nested(norm, rotation, faiss.IndexIDMap, flat),
        "hnsw": lambda: _nested(rotation, faiss.IndexIDMap, faiss.IndexHNSWFlat(DIM, 8)),
        "centred": lambda: _nested(centre, faiss.IndexIDMap, rotation, flat),
    }[name]()
    index.add_with_ids(rows, ids)
    pairs = list(from_faiss(index, profile=rates, quality=90))
    assert [id for id, _ in pairs] == ids.tolist()
    decoded = Codec(rates).decode_batch([stream for _, stream in pairs])
    direct = Codec(rates).decode_batch(Codec(rates).encode_embeddings(rows, quality=90))
    assert (decoded * direct).sum(axis=1).min() > 0.999


def test_an_index_that_nobody_else_holds_stays_alive(rates: Profile, tmp_path: Path) -> None:
    """The snippet of docs/search.md. Other indexes take the memory that faiss would have freed."""
    rows = cone(300, DIM, 3)
    mapped = faiss.IndexIDMap(faiss.IndexFlatIP(DIM))
    mapped.add_with_ids(rows, np.arange(300) + 7)
    plain = faiss.IndexFlatIP(DIM)
    plain.add(rows)
    rotated = faiss.index_factory(DIM, "PCAR24,HNSW8")
    rotated.train(rows)
    rotated.add(rows)
    for at, index in enumerate((mapped, plain, rotated)):
        path = str(tmp_path / f"{at}.faiss")
        faiss.write_index(index, path)
        expected = list(from_faiss(index, profile=rates))
        pairs = from_faiss(faiss.read_index(path), profile=rates)
        gc.collect()
        others = [faiss.clone_index(plain) for _ in range(20)]
        for other in others:
            faiss.copy_array_to_vector(np.zeros(300 * DIM * 4, np.uint8), other.codes)
        assert list(pairs) == expected


@pytest.mark.parametrize("name", ["PCAW20,Flat", "ITQ20,LSH", "IDMap,PCAW20,Flat", "PCAWR20,SQ8"])
def test_a_transform_that_cannot_be_undone_is_named(rates: Profile, name: str) -> None:
    index = faiss.index_factory(DIM, name)
    rows = cone(400, DIM)
    index.train(rows)
    index.add_with_ids(rows, np.arange(400)) if "IDMap" in name else index.add(rows)
    with pytest.raises(InputError, match=r"the transform (PCA|ITQ)\w+ of this index cannot be un"):
        from_faiss(index, profile=rates)


def test_an_index_changed_from_outside_is_named(rates: Profile) -> None:
    rows = cone(150, DIM, 3)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(rows)
    mapped = faiss.IndexIDMap(faiss.IndexFlatIP(DIM))
    faiss.downcast_index(mapped.index).add(rows)  # without ids
    with pytest.raises(InputError, match=r"IndexIDMap: its parts have different numbers"):
        from_faiss(mapped, profile=rates)
    cut = faiss.IndexFlatIP(DIM)
    cut.ntotal = 10**6
    with pytest.raises(InputError, match=r"IndexFlat\w*: its parts have different numbers"):
        from_faiss(cut, profile=rates)
    empty = faiss.LinearTransform(DIM, DIM)
    empty.is_trained = empty.is_orthonormal = True
    with pytest.raises(InputError, match="LinearTransform of this index cannot be undone"):
        from_faiss(faiss.IndexPreTransform(empty, flat), profile=rates)
    narrow = faiss.IndexPreTransform(faiss.RemapDimensionsTransform(DIM + 8, DIM, False), flat)
    narrow.d = DIM
    with pytest.raises(InputError, match="RemapDimensionsTransform of this index cannot be undone"):
        from_faiss(narrow, profile=rates)
    pairs = from_faiss(flat, profile=rates)
    next(pairs)
    flat.reset()
    with pytest.raises(InputError, match="removed from the index while it was read"):
        list(pairs)


def test_an_empty_index_gives_nothing(rates: Profile) -> None:
    assert list(from_faiss(faiss.IndexFlatIP(DIM), profile=rates)) == []


@pytest.mark.parametrize("name", ["IVF4,Flat", "IVF4,PQ4x4np", "IDMap,IVF4,Flat", "PCA20,IVF4,SQ8"])
def test_an_index_with_lists_is_named(rates: Profile, name: str) -> None:
    """Its ids need not be places, and there would be no telling."""
    index = faiss.index_factory(DIM, name)
    rows = cone(400, DIM)
    index.train(rows)
    index.add_with_ids(rows, np.arange(400)) if "IDMap" in name else index.add(rows)
    with pytest.raises(InputError, match=r"IndexIVF\w+ does not give its vectors back by place"):
        from_faiss(index, profile=rates)


def test_what_is_no_index_of_floats_is_named(rates: Profile) -> None:
    for index in (faiss.IndexBinaryFlat(DIM), cone(3, DIM)):
        with pytest.raises(InputError, match=r"(IndexBinaryFlat|ndarray) does not give"):
            from_faiss(index, profile=rates)


def test_what_cannot_be_encoded_is_named_by_its_id(rates: Profile) -> None:
    rows = cone(100, DIM)
    rows[[80, 82]] = 0
    index = faiss.IndexIDMap(faiss.IndexFlatIP(DIM))
    index.add_with_ids(rows, np.arange(100) * -7 + 1000)
    done: list[tuple[int, bytes]] = []
    with pytest.raises(EmbeddingError, match=r"^vector 426 and 1 more: .*zero") as bad:
        done.extend(from_faiss(index, profile=rates))
    assert bad.value.rows == (426, 440)
    assert bad.value.index == 426
    assert [id for id, _ in done] == [1000 - 7 * i for i in range(70)]  # the block before
    with pytest.raises(RateError, match=r"^vector \d+ and \d+ more: ") as rate:
        next(from_faiss(index, profile=rates, min_cosine=0.9999999))
    assert {*rate.value.rows} <= {1000 - 7 * i for i in range(70)}


def test_options_and_width_are_judged_at_once(rates: Profile) -> None:
    index = faiss.IndexFlatIP(DIM)
    with pytest.raises(OptionError, match="quality"):
        from_faiss(index, profile=rates, quality=500)
    with pytest.raises(EmbeddingError, match=r"of 24 dimensions, profile .* takes 512"):
        from_faiss(index)


def test_without_faiss_the_pip_line_is_named() -> None:
    code = (
        "import sys; sys.modules['faiss'] = None\n"
        "from clipcodec import MissingDependencyError\n"
        "from clipcodec.integrations.faiss import to_faiss\n"
        "try: to_faiss([])\n"
        "except MissingDependencyError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert 'pip install "clipcodec[faiss]"' in done.stdout, done.stderr


def test_an_average_of_an_index_is_that_of_all_its_vectors(rates: Profile) -> None:
    x = cone(300, DIM, 1)
    index = faiss.IndexFlatIP(DIM)
    index.add(x)
    expected = Codec(rates).encode_embeddings(x, mean_bytes=16)
    assert sum(map(len, expected)) / 300 == pytest.approx(16, 0.01)
    found = from_faiss(index, profile=rates.path, mean_bytes=16)
    assert [stream for _, stream in found] == expected
