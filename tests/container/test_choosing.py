"""clipcodec.container.choosing: items by id, and ids near to one that no item has."""

from __future__ import annotations

import io

import pytest

import clipcodec
from clipcodec import Container
from clipcodec.container.choosing import did_you_mean, each_id, near, positions


def container(*ids: str | None) -> Container:
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=3) as writer:
        writer.extend([bytes([0x69, i % 256, 0]) for i in range(len(ids))], ids)
    return clipcodec.open(io.BytesIO(buffer.getvalue()))


def test_positions_are_those_of_index() -> None:
    """Of items with the same id that of the last; ids that no item has are left out."""
    photos = container("a", None, "b", "a", "c")
    assert (
        positions(photos, ["a", "c", "d"]) == {"a": photos.index("a"), "c": 4} == {"a": 3, "c": 4}
    )


@pytest.mark.parametrize(
    ("id", "first"),
    [
        ("A.JPG", "beach/a.jpg"),
        ("a.jpg", "beach/a.jpg"),
        ("town/b.png", "b.png"),
        ("beach/a.jgp", "beach/a.jpg"),
        ("b.pgn", "b.png"),
        ("sunset", "2024 sunset over the sea.webp"),
    ],
)
def test_the_id_that_was_meant_is_near(id: str, first: str) -> None:
    photos = container("x", "beach/a.jpg", None, "b.png", "2024 sunset over the sea.webp", "cc.gif")
    assert near(each_id(photos), id)[0] == first


def test_at_most_three_are_near_and_perhaps_none() -> None:
    photos = container(*(f"img_{i:04d}.jpg" for i in range(50)))
    assert len(near(each_id(photos), "img_0051.jpg")) == 3
    assert near(each_id(photos), "zebra") == []
    assert near([None], "a") == []


def test_of_equally_near_ids_the_first_are_named() -> None:
    ids = [f"img{i:03d}.jpg" for i in range(300)]
    named = "'img001.jpg', 'img011.jpg' or 'img021.jpg'"
    assert did_you_mean(ids[:100], "img1.jpg") == f": did you mean {named}?"
    assert did_you_mean(["a.jpg", "c"], "a.jgp") == ": did you mean 'a.jpg'?"
    assert did_you_mean(["a", "c"], "zebra") == ""
