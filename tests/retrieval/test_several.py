"""Several containers are searched as one; what is wrong names its container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Container, SearchIndex, search
from clipcodec.errors import DecodeError, OptionError
from tests.helpers.profiles import cone

from .stores import QUERIES, best_of

pytestmark = pytest.mark.usefixtures("small_parts")


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
        wanted = best_of(rows, kept, 6)
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
