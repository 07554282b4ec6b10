"""clipcodec.container.names: ids from strangers become names that are safe and not the same."""

from __future__ import annotations

import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clipcodec.container.names import FileNames


def names(*ids: str | None) -> list[str]:
    made = FileNames()
    return [made.name(id, i) for i, id in enumerate(ids)]


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("a.jpg", "a.jpg.clip"),
        ("beach/a.jpg", "beach/a.jpg.clip"),
        ("a b–ü.png", "a b–ü.png.clip"),
        (None, "0000.clip"),
        ("/etc/passwd", "_/etc/passwd.clip"),
        ("../../x", "__/__/x.clip"),
        ("a/./b//c", "a/_/b/_/c.clip"),
        ("..", "__.clip"),
        ("a/", "a/_.clip"),
        (r"C:\x", "C__x.clip"),
        ("a\0b\n\x1b[31m", "a_b__[31m.clip"),
        ("a\u202eb", "a_b.clip"),  # turns the direction of what follows
        ("x./y ", "x_/y_.clip"),
        ("nul/con.txt", "_nul/_con.txt.clip"),
        ("console", "console.clip"),
        ("é" * 200, "é" * 90 + ".clip"),
        ("a/" * 600, "item.0000.clip"),
    ],
)
def test_a_name_keeps_what_it_can(id: str | None, name: str) -> None:
    assert names(id) == [name]


def test_no_two_items_have_the_same_name() -> None:
    """Nor a file and a folder, nor names that some systems take for the same."""
    assert names("a", "a", "A", "a.0001") == [
        "a.clip", "a.0001.clip", "A.0002.clip", "a.0001.0003.clip",
    ]  # fmt: skip
    assert names("a.clip/b", "a", "b", "b.clip/c") == [
        "a.clip/b.clip", "a.0001.clip", "b.clip", "item.0003.clip",
    ]  # fmt: skip
    assert names("\u00e9", "e\u0301") == ["\u00e9.clip", "e\u0301.0001.clip"]


ID = st.text(min_size=1, max_size=12) | st.text("./\\aAc:on é", min_size=1, max_size=8) | st.none()


@given(st.lists(ID, max_size=12))
@example(["item.0003", "item.0003", "a", "a" * 300 + "/b", "item.0003.0"])
@settings(max_examples=150, deadline=None)
def test_any_ids_can_be_written_as_files_below_one_folder(ids: list[str | None]) -> None:
    made = names(*ids)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in made}) == len(ids)
    with tempfile.TemporaryDirectory() as folder:
        for name in made:
            assert name.isprintable()
            path = Path(folder, name)
            assert path.resolve().is_relative_to(Path(folder).resolve())
            assert ".." not in path.parts
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("xb").close()
