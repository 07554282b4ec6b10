"""An index is brought up to date: what has changed is decoded, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import SearchIndex
from clipcodec.columns import Columns
from clipcodec.container import compact
from clipcodec.errors import DecodeError, MismatchError
from clipcodec.profile.file import Profile

from .stores import QUERIES, opened, same_hits, stored

pytestmark = pytest.mark.usefixtures("small_parts")


def test_update_adds_what_was_appended_and_decodes_nothing_else(
    photos_path: Path, rates: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = SearchIndex.build(opened(photos_path, rates), tmp_path / "a.clpi")
    assert index.update(opened(photos_path, rates)) == (0, 0, False)
    stored(photos_path, rates, 50, seed=3, mode="a")
    decoded: list[int] = []
    whole = clipcodec.Codec._decode_columns

    def spy(codec: clipcodec.Codec, groups: list[Columns]) -> np.ndarray:
        decoded.append(sum(len(group.rows) for group in groups))
        return whole(codec, groups)

    monkeypatch.setattr(clipcodec.Codec, "_decode_columns", spy)
    now = opened(photos_path, rates)
    assert index.update(now) == (50, 0, False)
    assert sum(decoded) == 50
    index.save()
    again = SearchIndex.open(tmp_path / "a.clpi")
    again.check(now)
    assert same_hits(again, SearchIndex(now))
    assert again.ids == now.ids


def test_update_builds_anew_what_is_another_container(
    photos_path: Path, rates: Profile, tmp_path: Path
) -> None:
    index = SearchIndex.build(opened(photos_path, rates), tmp_path / "a.clpi")
    stored(photos_path, rates, 90, seed=8)
    now = opened(photos_path, rates)
    assert index.update(now) == (90, 150, True)
    index.save()
    again = SearchIndex.open(tmp_path / "a.clpi")
    again.check(now)
    assert same_hits(again, SearchIndex(now))
    assert again.ids == now.ids


def test_deleted_items_are_noticed_and_dropped(
    photos_path: Path, rates: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without decoding; then an item that was replaced, and a container that was compacted."""
    index = SearchIndex.build(opened(photos_path, rates), tmp_path / "a.clpi")
    before = opened(photos_path, rates)
    hits = clipcodec.search(before, QUERIES, 3)
    before.close()
    with clipcodec.ContainerWriter(photos_path, "a") as writer:
        writer.delete(["0-3.jpg", 4, 5, "0-149.jpg"])
    now = opened(photos_path, rates)
    with pytest.raises(MismatchError, match=r"4 items were deleted from .*photos\.clpc since"):
        index.check(now)
    assert hits.ids == [[f"0-{i}.jpg" for i in row] for row in hits.indices.tolist()]
    with monkeypatch.context() as patch:
        patch.setattr(clipcodec.Codec, "_decode_columns", None)
        assert index.update(now) == (0, 4, False)
    with clipcodec.ContainerWriter(photos_path, "a") as writer:
        writer.delete(["0-7.jpg"])
        writer.append(now[0], id="again.jpg")
    for updated in ((1, 1, False), (0, 0, False)):
        assert index.update(opened(photos_path, rates)) == updated
    index.save()
    with clipcodec.ContainerWriter(photos_path, "a") as writer:  # both before the index is updated
        writer.append(now[1], id="short.jpg")
        writer.flush()
        writer.delete(["short.jpg"])
    assert index.update(opened(photos_path, rates)) == (0, 0, False)
    index.save()
    again = SearchIndex.open(tmp_path / "a.clpi")
    again.check(opened(photos_path, rates))
    assert same_hits(again, SearchIndex(opened(photos_path, rates)))
    assert again.ids == opened(photos_path, rates).ids
    compact(photos_path)
    with pytest.raises(MismatchError, match="what it was before it was written anew"):
        again.check(opened(photos_path, rates))
    assert again.update(opened(photos_path, rates)) == (146, 146, True)
    assert again.ids == opened(photos_path, rates).ids


def test_update_of_several_keeps_what_did_not_change(
    photos_path: Path, rates: Profile, tmp_path: Path
) -> None:
    """The first has gained items, one is new, one is gone: rows are put in their order."""
    for seed in (1, 2):
        stored(tmp_path / f"{seed}.clpc", rates, 30, seed=seed)
    paths = [photos_path, tmp_path / "1.clpc"]
    index = SearchIndex.build([opened(p, rates) for p in paths], tmp_path / "a.clpi")
    stored(photos_path, rates, 10, seed=7, mode="a")
    for paths, updated in (
        ([photos_path, tmp_path / "1.clpc"], (10, 0, False)),
        ([photos_path, tmp_path / "1.clpc", tmp_path / "2.clpc"], (30, 0, False)),
        ([photos_path, tmp_path / "1.clpc"], (0, 30, False)),
    ):
        now = [opened(path, rates) for path in paths]
        assert index.update(now) == updated
        index.save()
        again = SearchIndex.open(tmp_path / "a.clpi")
        again.check(now)
        assert same_hits(again, SearchIndex(now))
        assert again.ids == [id for one in now for id in one.ids]


def test_a_damaged_container_changes_no_index(photos_path: Path, rates: Profile) -> None:
    index = SearchIndex(opened(photos_path, rates))
    before = index.search(QUERIES)
    stored(photos_path, rates, 50, seed=3, mode="a")
    data = bytearray(photos_path.read_bytes())
    data[-500] ^= 1
    photos_path.write_bytes(data)
    with pytest.raises(DecodeError):
        index.update(opened(photos_path, rates))
    assert index.search(QUERIES).indices.tolist() == before.indices.tolist()
