"""Hits know the ids of what they found, also later."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import Container, search
from clipcodec.errors import MismatchError, OptionError
from clipcodec.profile.file import Profile

from .stores import QUERIES

pytestmark = pytest.mark.usefixtures("small_parts")


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
