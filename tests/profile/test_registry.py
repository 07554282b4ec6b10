"""clipcodec.profile.registry: the shipped profiles are those of formats/registry.json, for ever."""

from __future__ import annotations

import json

import pytest

import clipcodec
from clipcodec.bitstream import CODERS
from clipcodec.errors import ProfileError, UnknownProfileError
from clipcodec.kinds import KINDS
from clipcodec.profile.registry import DEFAULT, by_id, by_name, registered
from tests.helpers.paths import FORMATS

IDS = {
    "openai-vit-b-32/pqvae-400": 1,
    "openai-vit-b-32/pqvae-600": 2,
    "openai-vit-b-32/pqvae-800": 3,
    "openai-vit-b-32/pqvae-1000": 4,
    "openai-vit-b-32/pqvae-1200": 5,
    "openai-vit-b-32/pqvae-2000": 6,
    "openai-vit-b-32/predictive": 7,
    "any/rotation": 8,
    "openai-vit-l-14-336/predictive": 9,
}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("predictive", ["openai-vit-b-32/predictive", "openai-vit-l-14-336/predictive"]),
        ("rotatoin", ["any/rotation"]),
        ("any/rotatoin", ["any/rotation"]),
        ("openai-vit-b32/predictive", ["openai-vit-b-32/predictive"]),
        ("pqvae-40", ["openai-vit-b-32/pqvae-400"]),
    ],
)
def test_a_name_that_is_not_known_brings_those_like_it(name: str, near: list[str]) -> None:
    with pytest.raises(ProfileError) as caught:
        by_name(name)
    assert str(caught.value) == f"no profile {name!r}; did you mean {' or '.join(near)}?"


def test_a_name_like_none_brings_them_all() -> None:
    with pytest.raises(ProfileError) as caught:
        by_name("nothing")
    assert all(row.name in str(caught.value) for row in registered())


def test_ids_never_change() -> None:
    assert {row.name: row.id for row in registered()} == IDS
    assert [row.id for row in clipcodec.profiles()] == sorted(IDS.values())


@pytest.mark.parametrize("name", IDS)
def test_each_file_is_what_the_registry_says(name: str) -> None:
    """The SHA-256 is checked on loading; the row's figures are those of the file."""
    row = next(row for row in registered() if row.name == name)
    profile = by_name(name)
    assert profile is by_id(row.id)
    assert (profile.name, profile.id, profile.kind.name) == (row.name, row.id, row.kind)
    assert (profile.backbone, profile.dim) == (row.backbone, row.dim)
    assert profile.kind.bits == row.bits
    assert (row.bits is None) == (profile.kind.qualities > 0)
    assert {"data", "embeddings", "recipe", "licence"} <= profile.card.keys()


def test_the_formats_folder_shows_the_same_registry() -> None:
    rows = json.loads((FORMATS / "registry.json").read_text("utf-8"))
    assert [row["name"] for row in rows["profiles"]] == [row.name for row in registered()]
    assert rows["coders"] == dict(zip(map(str, range(3)), CODERS, strict=True))
    assert rows["kinds"].keys() == KINDS.keys()
    for page in rows["kinds"].values():
        assert (FORMATS / page).exists()


def test_the_default_exists() -> None:
    assert by_name(DEFAULT).name == DEFAULT


def test_unknown_names_and_ids_say_what_exists() -> None:
    with pytest.raises(ProfileError, match="pqvae-2000"):
        by_name("openai-vit-b-32/pqvae")
    with pytest.raises(UnknownProfileError, match="profile id 99"):
        by_id(99)
