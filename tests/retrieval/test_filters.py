"""Filters: only what they leave is decoded; several containers at once; ids of hits."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, Container, SearchIndex, search
from clipcodec.columns import Columns
from clipcodec.errors import DecodeError, MismatchError, OptionError
from clipcodec.profile.file import Profile
from clipcodec.retrieval import sources
from tests.helpers.profiles import cone

from .stores import DIM, stored

QUERIES = cone(4, DIM, 99)
COUNT = 150


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK", 40)


@pytest.fixture
def photos(tmp_path: Path, rates: Profile) -> Container:
    stored(tmp_path / "photos.clpc", rates, COUNT)
    return clipcodec.open(tmp_path / "photos.clpc", profile=rates)


@pytest.fixture
def others(tmp_path: Path, rates: Profile) -> list[Container]:
    """Three containers, of which one is empty."""
    for seed, count in enumerate((50, 0, 70)):
        stored(tmp_path / f"{seed}.clpc", rates, count, seed=seed)
    return [clipcodec.open(tmp_path / f"{seed}.clpc", profile=rates) for seed in range(3)]


def expected(rows: np.ndarray, kept: Sequence[int], k: int) -> list[list[int]]:
    scores = QUERIES @ rows[list(kept)].T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.array(kept, int)[order].tolist() if kept else [[]] * len(QUERIES)


EVEN = [i for i in range(COUNT) if i % 2 == 0]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"where": np.arange(COUNT) % 2 == 0}, EVEN),
        ({"where": [i % 2 == 0 for i in range(COUNT)]}, EVEN),
        ({"where": EVEN[::-1]}, EVEN),
        ({"where": range(0, COUNT, 2)}, EVEN),
        ({"where": [-1, 3, 3]}, [3, COUNT - 1]),
        ({"where": lambda id: id.endswith("7.jpg")}, list(range(7, COUNT, 10))),
        ({"ids": ["0-9.jpg", "0-140.jpg"]}, [9, 140]),
        ({"ids": iter(["0-9.jpg", "0-9.jpg"])}, [9]),
        ({"ids": np.array(["0-9.jpg"])}, [9]),
        ({"ids": "0-9.jpg"}, [9]),
        ({"ids": ["0-9.jpg", "0-10.jpg"], "where": EVEN}, [10]),
        ({"where": np.ones(COUNT, bool)}, list(range(COUNT))),
        ({"where": []}, []),
        ({"ids": []}, []),
        ({"where": np.zeros(COUNT, bool)}, []),
        ({"ids": ["0-9.jpg"], "where": EVEN}, []),
    ],
)
def test_only_what_a_filter_leaves_is_found(
    photos: Container, options: dict[str, Any], kept: list[int]
) -> None:
    """By one pass and by an index; positions and ids are those of the whole source."""
    wanted = expected(photos.decode_all(), kept, 5)
    if "ids" in options and not isinstance(options["ids"], str):
        options = {**options, "ids": list(options["ids"])}  # an iterator would be used up
    index = SearchIndex(photos, exact=True)
    for hits in (search(photos, QUERIES, 5, **options), index.search(QUERIES, 5, **options)):
        assert hits.indices.tolist() == wanted
        assert hits.scores.shape == hits.indices.shape == (4, min(5, len(kept)))
        assert hits.ids == [[f"0-{i}.jpg" for i in row] for row in wanted]


def test_nothing_else_is_decoded(photos: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    whole = Codec._decode_columns

    def spy(codec: Codec, groups: list[Columns]) -> np.ndarray:
        decoded.append(sum(len(group.rows) for group in groups))
        return whole(codec, groups)

    monkeypatch.setattr(Codec, "_decode_columns", spy)
    search(photos, QUERIES, where=[3, 77, 149])
    search(photos, QUERIES, ids=["0-4.jpg"])
    search(photos, QUERIES, where=[])
    assert sum(decoded) == 4


def test_lists_iterators_and_columns_are_filtered_by_position(
    photos: Container, rates: Profile
) -> None:
    pa = pytest.importorskip("pyarrow")
    streams = list(photos)
    wanted = expected(photos.decode_all(), EVEN, 5)
    for source in (streams, tuple(streams), iter(streams), pa.array(streams),
                   pa.chunked_array([streams[:70], streams[70:]])):  # fmt: skip
        hits = search(source, QUERIES, 5, where=EVEN, profile=rates)
        assert hits.indices.tolist() == wanted
        assert hits.ids == [[None] * 5] * 4
    index = SearchIndex(streams, profile=rates)
    assert index.search(QUERIES, 5, where=lambda id: id is None).indices.shape == (4, 5)
    with pytest.raises(OptionError, match="ids: a source of streams has no ids"):
        search(streams, QUERIES, ids=["a"], profile=rates)
    with pytest.raises(OptionError, match="the index: no item has the id 'a'"):
        index.search(QUERIES, ids=["a"])


def test_places_count_rows_whatever_a_source_calls_them(photos: Container, rates: Profile) -> None:
    """Not the labels of a series of pandas, which are others once it was sorted or filtered."""
    pa, pandas = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    streams = list(photos)
    wanted = expected(photos.decode_all(), EVEN, 5)
    labels = np.arange(len(streams))[::-1]
    sources = [pandas.Series(streams, index=labels), pandas.Series(streams, index=labels + 1000),
               dict(enumerate(streams)).values(), np.array(streams, object),
               pa.array(streams, pa.binary_view()),
               pa.array(map(clipcodec.to_text, streams), pa.string_view())]  # fmt: skip
    for source in sources:
        for exact in (True, False):
            hits = search(source, QUERIES, 5, where=EVEN, profile=rates, exact=exact)
            assert hits.indices.tolist() == wanted
    with pytest.raises(DecodeError, match="SearchIndex is not a source of streams"):
        search(SearchIndex(photos), QUERIES, where=EVEN)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"ids": ["0-1.jpg", "x", "y", "z", "w"]},
         r".*photos\.clpc: no items have the ids 'w', 'x', 'y' and 1 more"),
        ({"ids": ["none.jpg"]}, "no item has the id 'none.jpg'"),
        ({"ids": [3]}, "3 is no id: expected texts; for positions, where="),
        ({"ids": 3}, "expected the ids of items"),
        ({"where": [True, False]}, "where: 2 booleans for 150 items"),
        ({"where": np.zeros(0, bool)}, "where: 0 booleans for 150 items"),
        ({"where": [150]}, "where: position 150 of 150 items"),
        ({"where": [-151]}, "where: position -151 of 150 items"),
        ({"where": [0.5]}, "where: float64 of shape .*expected 150 booleans, positions, or a fu"),
        ({"where": "cats"}, "expected 150 booleans"),
        ({"where": 3}, "expected 150 booleans"),
        ({"where": np.ones((150, 2), bool)}, "expected 150 booleans"),
    ],
)  # fmt: skip
def test_filters_that_cannot_be_say_why(
    photos: Container, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(OptionError, match=why):
        search(photos, QUERIES, **options)
    with pytest.raises(OptionError, match=why.replace(r".*photos\.clpc", "the index")):
        SearchIndex(photos).search(QUERIES, **options)


def test_nothing_is_left_of_an_empty_container(tmp_path: Path, rates: Profile) -> None:
    """Neither by positions nor by booleans, of which there are none."""
    stored(tmp_path / "none.clpc", rates, 0)
    source = clipcodec.open(tmp_path / "none.clpc", profile=rates)
    for where in ([], (), np.zeros(0, bool), np.zeros(0, int), lambda id: True):
        for exact in (True, False):
            assert search(source, QUERIES, where=where, exact=exact).indices.shape == (4, 0)
        assert SearchIndex(source).search(QUERIES, where=where).indices.shape == (4, 0)


def test_damage_is_named_by_its_place_in_the_source(photos: Container, rates: Profile) -> None:
    streams = list(photos)
    streams[77] = streams[77][:-1]
    assert search(streams, QUERIES, where=[5, 99], profile=rates).indices.shape == (4, 2)
    for rows in ([5, 77, 99], [77], [77, 99]):
        with pytest.raises(DecodeError, match=r"^stream 77: ") as caught:
            search(streams, QUERIES, where=rows, profile=rates)
        assert caught.value.index == 77


# --- several containers ---


def test_several_containers_are_searched_as_one(others: list[Container]) -> None:
    rows = np.concatenate([one.decode_all() for one in others if len(one)])
    ids = [id for one in others for id in one.ids]
    index = SearchIndex(others, exact=True)
    for options, kept in (
        ({}, list(range(120))),
        ({"where": lambda id: id.startswith("2")}, list(range(50, 120))),
        ({"ids": ["0-3.jpg", "2-3.jpg", "2-4.jpg"]}, [3, 53, 54]),
        ({"where": [49, 50]}, [49, 50]),
    ):  # type: tuple[dict[str, Any], list[int]]
        wanted = expected(rows, kept, 6)
        for hits in (search(others, QUERIES, 6, **options), index.search(QUERIES, 6, **options)):
            assert hits.indices.tolist() == wanted
            assert hits.ids == [[ids[i] for i in row] for row in wanted]
            assert hits.sources.tolist() == [[0 if i < 50 else 2 for i in row] for row in wanted]
            assert hits.places.tolist() == [[i % 50 if i < 50 else i - 50 for i in row]
                                            for row in wanted]  # fmt: skip
    assert len(index) == 120
    index.check(others)


def test_widths_of_containers_must_agree(others: list[Container], tmp_path: Path) -> None:
    with clipcodec.create(tmp_path / "wide.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(cone(5, 30), profile="any/rotation"))
    wide = clipcodec.open(tmp_path / "wide.clpc")
    for find in (lambda: search([*others, wide], QUERIES), lambda: SearchIndex([*others, wide])):
        with pytest.raises(DecodeError, match=r"wide\.clpc, stream 0 and 4 more: 30 dimensions, "
                                              "expected 24"):  # fmt: skip
            find()
    with pytest.raises(OptionError, match="a list of containers holds a bytes, too"):
        search([*others, b"stream"], QUERIES)
    assert search([], QUERIES).indices.shape == (4, 0)


def test_damage_names_its_container(others: list[Container], tmp_path: Path) -> None:
    data = bytearray((tmp_path / "2.clpc").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "2.clpc").write_bytes(data)
    with pytest.raises(DecodeError, match=r"2\.clpc"):
        search(others, QUERIES)


# --- ids, looked up later ---


def test_hits_are_a_pair_that_knows_more(photos: Container) -> None:
    hits = search(photos, QUERIES, 3)
    scores, indices = hits
    assert len(hits) == 2
    assert scores is hits.scores
    assert indices is hits.indices
    assert hits.sources.tolist() == np.zeros((4, 3)).tolist()
    assert hits.places.tolist() == indices.tolist()
    hits.ids[0].clear()
    assert len(hits.ids[0]) == 3


def test_ids_of_a_closed_container_are_read_from_its_file(photos: Container) -> None:
    hits = search(photos, QUERIES, 3)
    photos.close()
    assert hits.ids == [[f"0-{i}.jpg" for i in row] for row in hits.indices.tolist()]


def test_a_file_that_was_replaced_gives_no_wrong_ids(
    photos: Container, rates: Profile, tmp_path: Path
) -> None:
    hits, gone = search(photos, QUERIES, 3), search(photos, QUERIES, 3)
    names = [*(id.replace("0-", "1-") for id in photos.ids if id is not None)]
    photos._ids = None
    photos.close()
    with clipcodec.create(photos.name, "w") as writer:  # of the same sizes
        writer.extend(list(clipcodec.open(photos.name)), names)
    with pytest.raises(MismatchError, match=r"photos\.clpc was changed since it was searched"):
        hits.ids  # noqa: B018
    os.unlink(tmp_path / "photos.clpc")
    with pytest.raises(FileNotFoundError):
        gone.ids  # noqa: B018


def test_a_closed_file_object_says_what_to_do(photos: Container, rates: Profile) -> None:
    with open(photos.name, "rb") as file:
        data = io.BytesIO(file.read())
    container = clipcodec.open(data, profile=rates)
    hits = search(container, QUERIES, 2)
    assert hits.ids == search(photos, QUERIES, 2).ids
    hits = search(container, QUERIES, 2)
    data.close()
    with pytest.raises(
        OptionError, match=r"closed, and was opened as a file object.*ask for `ids`"
    ):
        hits.ids  # noqa: B018


def test_pickled_hits_keep_their_ids(others: list[Container]) -> None:
    hits = search(others, QUERIES, 3)
    again = pickle.loads(pickle.dumps(hits))
    for one in others:
        one.close()
        os.unlink(one.name)
    assert again.ids == [
        [f"{0 if i < 50 else 2}-{i % 50 if i < 50 else i - 50}.jpg" for i in row]
        for row in hits.indices.tolist()
    ]
    assert again.sources.tolist() == hits.sources.tolist()
    assert (again.scores == hits.scores).all()


# --- in stages ---


def test_a_staged_search_takes_the_same_filters_and_containers(others: list[Container]) -> None:
    """What it finds has the positions, ids and scores of the exact search."""
    asked: list[tuple[Any, dict[str, Any]]] = [
        (source, options)
        for source in (others, others[2])
        for options in ({}, {"where": lambda id: id.startswith("2")}, {"ids": ["2-3.jpg"]})
    ]
    for source, options in asked:
        exact = search(source, QUERIES, 4, **options)
        found = search(source, QUERIES, 4, exact=False, **options)
        assert found.scores.shape == exact.scores.shape
        assert np.isin(found.indices, exact.indices).mean() > 0.9
        same = found.indices == exact.indices
        assert np.allclose(found.scores[same], exact.scores[same], atol=1e-5)
        several = source if isinstance(source, list) else [source]
        ids = [id for one in several for id in one.ids]
        assert found.ids == [[ids[i] for i in row] for row in found.indices.tolist()]
        if source is others:
            assert found.sources.tolist() == np.where(found.indices < 50, 0, 2).tolist()
        assert search(source, QUERIES, 4, exact=False, where=[]).indices.shape == (4, 0)
