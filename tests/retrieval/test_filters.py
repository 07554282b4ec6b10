"""Filters: only what they leave is decoded and found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, Container, SearchIndex, search
from clipcodec.columns import Columns
from clipcodec.errors import DecodeError, OptionError, UnknownItemError
from clipcodec.profile.file import Profile

from .stores import COUNT, QUERIES, best_of, stored

pytestmark = pytest.mark.usefixtures("small_parts")

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
    wanted = best_of(photos.decode_all(), kept, 5)
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
    wanted = best_of(photos.decode_all(), EVEN, 5)
    for source in (streams, tuple(streams), iter(streams), pa.array(streams),
                   pa.chunked_array([streams[:70], streams[70:]])):  # fmt: skip
        hits = search(source, QUERIES, 5, where=EVEN, profile=rates)
        assert hits.indices.tolist() == wanted
        assert hits.ids == [[None] * 5] * 4
    index = SearchIndex(streams, profile=rates)
    assert index.search(QUERIES, 5, where=lambda id: id is None).indices.shape == (4, 5)
    with pytest.raises(OptionError, match="ids: a source of streams has no ids"):
        search(streams, QUERIES, ids=["a"], profile=rates)
    with pytest.raises(UnknownItemError, match="the index: no item has the id 'a'"):
        index.search(QUERIES, ids=["a"])


def test_places_count_rows_whatever_a_source_calls_them(photos: Container, rates: Profile) -> None:
    """Not the labels of a series of pandas, which are others once it was sorted or filtered."""
    pa, pandas = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    streams = list(photos)
    wanted = best_of(photos.decode_all(), EVEN, 5)
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
        ({"where": [150]}, "no item 150: there are 150, counted from 0"),
        ({"where": [-151]}, "no item -151: there are 150, counted from 0"),
        ({"where": [0.5]}, "where: float64 of shape .*expected 150 booleans, positions, or a fu"),
        ({"where": "cats"}, "expected 150 booleans"),
        ({"where": 3}, "expected 150 booleans"),
        ({"where": np.ones((150, 2), bool)}, "expected 150 booleans"),
    ],
)  # fmt: skip
def test_filters_that_cannot_be_say_why(
    photos: Container, options: dict[str, Any], why: str
) -> None:
    error = UnknownItemError if "no item" in why else OptionError
    with pytest.raises(error, match=why):
        search(photos, QUERIES, **options)
    with pytest.raises(error, match=why.replace(r".*photos\.clpc", "the index")):
        SearchIndex(photos).search(QUERIES, **options)


def test_nothing_is_left_of_an_empty_container(tmp_path: Path, rates: Profile) -> None:
    """Neither by positions nor by booleans, of which there are none."""
    stored(tmp_path / "none.clpc", rates, 0)
    source = clipcodec.open(tmp_path / "none.clpc", profile=rates)
    filters: list[Any] = [[], (), np.zeros(0, bool), np.zeros(0, int), lambda id: True]
    for where in filters:
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
