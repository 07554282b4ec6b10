"""An index in its file: whole or not at all; growth that can be interrupted."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

import clipcodec
from clipcodec import SearchIndex
from clipcodec.errors import LockedError, MismatchError, OptionError, OutputExistsError
from clipcodec.profile.file import Profile
from clipcodec.retrieval import writing
from clipcodec.system.locks import lock
from tests.helpers.profiles import cone

from .stores import DIM, QUERIES, opened, same_hits, stored

pytestmark = pytest.mark.usefixtures("small_parts")


def test_an_empty_index_can_be_saved_and_grow(
    tmp_path: Path, photos_path: Path, rates: Profile
) -> None:
    SearchIndex().save(tmp_path / "a.clpi")
    index = SearchIndex.open(tmp_path / "a.clpi")
    assert (len(index), index.dim) == (0, None)
    index.add(opened(photos_path, rates))
    index.save()
    assert len(SearchIndex.open(tmp_path / "a.clpi")) == 150


def test_another_kind_of_file_is_not_replaced(
    photos_path: Path, rates: Profile, tmp_path: Path
) -> None:
    whole, index = photos_path.read_bytes(), SearchIndex(opened(photos_path, rates))
    for save in (index.save, lambda path: SearchIndex.build(opened(photos_path, rates), path)):
        with pytest.raises(OutputExistsError, match=r"photos\.clpc exists, and is no search index"):
            save(photos_path)
    assert photos_path.read_bytes() == whole
    with pytest.raises(OptionError, match="in no file yet: save it with a path"):
        index.save()
    index.save(tmp_path / "a.clpi")
    SearchIndex().save(tmp_path / "a.clpi")  # an index is replaced
    assert len(SearchIndex.open(tmp_path / "a.clpi")) == 0
    for save in (index.save, lambda path: SearchIndex.build(iter("no streams"), path)):
        with pytest.raises(FileNotFoundError, match="none"):  # before anything is decoded
            save(tmp_path / "none" / "a.clpi")


def test_long_ids_are_kept(tmp_path: Path, rates: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are made smaller where the ids of one would be above the limit."""
    monkeypatch.setattr(writing, "MAX_IDS", 1 << 16)
    ids = [f"{i:04d}" * 200 for i in range(80)]
    streams = clipcodec.Codec(rates).encode_embeddings(cone(80, DIM))
    with clipcodec.create(tmp_path / "s.clpc") as writer:
        writer.extend(streams, ids=ids)
    index = SearchIndex.build(opened(tmp_path / "s.clpc", rates), tmp_path / "a.clpi")
    assert index.ids == ids
    assert len(index._blocks) > 2


# --- growing ---


def test_a_file_grows_at_its_end(photos_path: Path, rates: Profile, tmp_path: Path) -> None:
    """What was there is not written again; readers of the old file keep what they had."""
    path = tmp_path / "a.clpi"
    index = SearchIndex(opened(photos_path, rates))
    index.save(path)
    before, inode = path.read_bytes(), path.stat().st_ino
    reader = SearchIndex.open(path)
    grown = SearchIndex.open(path)
    for seed in (1, 2):
        stored(tmp_path / f"{seed}.clpc", rates, 30, seed=seed)
        grown.add(opened(tmp_path / f"{seed}.clpc", rates))
        grown.save()
    assert path.stat().st_ino == inode
    assert path.read_bytes()[128 : len(before)] == before[128:]
    again = SearchIndex.open(path)
    assert len(again) == 210
    assert same_hits(again, grown)
    assert again.ids == grown.ids
    assert again.ids[-1] == "2-29.jpg"
    assert again.sources == [
        os.path.realpath(tmp_path / name) for name in ("photos.clpc", "1.clpc", "2.clpc")
    ]
    assert len(reader) == 150
    assert same_hits(reader, index)


def test_saving_what_has_not_changed_writes_nothing(
    photos_path: Path, rates: Profile, tmp_path: Path
) -> None:
    index = SearchIndex.build(opened(photos_path, rates), tmp_path / "a.clpi")
    before = (tmp_path / "a.clpi").read_bytes()
    index.save()
    index.save(tmp_path / "a.clpi")
    assert (tmp_path / "a.clpi").read_bytes() == before


def test_many_small_additions_are_put_together(tmp_path: Path, rates: Profile) -> None:
    """A file that has grown by many small parts is written anew."""
    codec = clipcodec.Codec(rates)
    streams = codec.encode_embeddings(cone(60, DIM))
    path = tmp_path / "a.clpi"
    index = SearchIndex(streams[:1], profile=rates)
    index.save(path)
    for stream in streams[1:]:
        index.add([stream])
        index.save()
    again = SearchIndex.open(path)
    assert len(again) == 60
    assert len(again._blocks) < 40
    assert same_hits(again, SearchIndex(streams, profile=rates))


@pytest.mark.parametrize("stop", range(8))
def test_growing_can_be_interrupted_anywhere(
    photos_path: Path, rates: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """After each write of it the file is the old index or the new one, and can grow again."""
    path = tmp_path / "a.clpi"
    SearchIndex(opened(photos_path, rates)).save(path)
    stored(tmp_path / "b.clpc", rates, 60, seed=1)
    index = SearchIndex.open(path)
    index.add(opened(tmp_path / "b.clpc", rates))

    class Stops(io.FileIO):
        left = stop

        def write(self, data: object) -> int:
            if self.left <= 0:
                super().write(bytes(data)[: len(bytes(data)) // 2])  # type: ignore[call-overload]
                raise OSError(errno.EIO, "power cut")
            self.left -= 1
            return super().write(data)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(writing, "open", lambda name, mode: Stops(name, mode), raising=False)
        try:
            index.save()
        except OSError:
            interrupted = True
        else:
            interrupted = False
    there = SearchIndex.open(path)
    assert len(there) in (150, 210)
    assert len(there) == 210 or interrupted
    there.search(QUERIES)
    if len(there) == 150:
        there.add(opened(tmp_path / "b.clpc", rates))
        there.save()
    again = SearchIndex.open(path)
    assert same_hits(again, index)
    assert again.ids == index.ids


def test_two_that_write_one_file_are_told_apart(
    photos_path: Path, rates: Profile, tmp_path: Path
) -> None:
    path = tmp_path / "a.clpi"
    SearchIndex(opened(photos_path, rates)).save(path)
    first, second = SearchIndex.open(path), SearchIndex.open(path)
    first.add(opened(photos_path, rates))
    second.add(opened(photos_path, rates))
    with open(path, "r+b") as held:
        lock(held.fileno(), path)
        with pytest.raises(LockedError, match=r"a\.clpi is being written"):
            first.save()
    first.save()
    with pytest.raises(MismatchError, match=r"a\.clpi was changed by another process"):
        second.save()
    second.save(tmp_path / "b.clpi")
    path.unlink()
    first.add(opened(photos_path, rates))
    with pytest.raises(MismatchError, match=r"a\.clpi is gone"):
        first.save()
    first.save(path)
    assert len(SearchIndex.open(path)) == 450
