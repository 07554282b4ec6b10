"""A saved index: the same hits from a file, damage noticed, growth that can be interrupted."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Container, SearchIndex
from clipcodec.columns import Columns
from clipcodec.container import compact
from clipcodec.container.files import SeekableFile
from clipcodec.errors import (
    CorruptError,
    DecodeError,
    LockedError,
    MismatchError,
    OptionError,
    OutputExistsError,
    TruncatedError,
    UnsupportedError,
)
from clipcodec.profile.file import Profile
from clipcodec.retrieval import blocks, made, saved, sources
from clipcodec.system.locks import lock
from tests.helpers.profiles import cone

from .stores import DIM, stored


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few hundred rows are several parts."""
    monkeypatch.setattr(sources, "BLOCK", 40)
    monkeypatch.setattr(blocks, "BLOCK", 40)
    monkeypatch.setattr(saved, "_MOST_ROWS", 40)


def opened(path: Path, rates: Profile) -> Container:
    return clipcodec.open(path, profile=rates)


@pytest.fixture
def photos(tmp_path: Path, rates: Profile) -> Path:
    stored(tmp_path / "photos.clpc", rates, 150)
    return tmp_path / "photos.clpc"


QUERIES = cone(6, DIM, 99)


def same_hits(a: SearchIndex, b: SearchIndex) -> bool:
    x, y = a.search(QUERIES, 9), b.search(QUERIES, 9)
    return x.indices.tolist() == y.indices.tolist() and x.scores.tolist() == y.scores.tolist()


# --- the same from a file ---


@pytest.mark.parametrize("exact", [False, True])
def test_an_index_from_its_file_finds_the_same(
    photos: Path, rates: Profile, tmp_path: Path, exact: bool
) -> None:
    index = SearchIndex(opened(photos, rates), exact=exact)
    index.save(tmp_path / "a.clpi")
    again = SearchIndex.open(tmp_path / "a.clpi")
    assert same_hits(index, again)
    assert again.search(QUERIES, 3).scores.tolist() == index.search(QUERIES, 3).scores.tolist()
    assert (len(again), again.dim, again.nbytes, again.exact) == (150, DIM, index.nbytes, exact)
    assert again.ids == opened(photos, rates).ids
    assert again.search(QUERIES, 3).ids == index.search(QUERIES, 3).ids
    assert again.profiles == index.profiles == {rates.name: rates.backbone}
    assert again.sources == [os.path.realpath(photos)]
    assert again.path == str(tmp_path / "a.clpi")
    again.check(opened(photos, rates))


def test_symbols_that_are_wide_stay_exact_in_a_file(tmp_path: Path) -> None:
    """`any/rotation` at the highest quality, whose coefficients are kept as float32."""
    streams = clipcodec.encode_embeddings(np.eye(40) + 0.01, profile="any/rotation", quality=100)
    spike = np.zeros(40, np.float32)
    spike[3] = 1
    peaked = blocks.rotation().engine(40).transform.synthesise(spike[None])[0]
    streams += [clipcodec.encode_embedding(peaked, profile="any/rotation", quality=100)]
    index = SearchIndex(streams, exact=True)
    index.save(tmp_path / "a.clpi")
    rows = clipcodec.decode_batch(streams)
    a, b = index.search(rows, 5), SearchIndex.open(tmp_path / "a.clpi").search(rows, 5)
    assert a.scores.tolist() == b.scores.tolist()
    assert np.allclose(a.scores, np.sort(rows @ rows.T)[:, ::-1][:, :5], atol=1e-5)


def test_opening_reads_head_and_table_alone(
    photos: Path, rates: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No check value of rows is computed before they are searched, and then once."""
    SearchIndex(opened(photos, rates)).save(tmp_path / "a.clpi")
    checked: list[int] = []
    whole = zlib.crc32

    def spy(data: bytes) -> int:
        checked.append(len(data))
        return whole(data)

    monkeypatch.setattr(zlib, "crc32", spy)
    index = SearchIndex.open(tmp_path / "a.clpi")
    part = 40 * (DIM + 4)
    assert part not in checked
    index.search(QUERIES)
    index.search(QUERIES)
    assert checked.count(part) == 3  # 150 rows: three whole parts and a smaller one


def test_an_empty_index_can_be_saved_and_grow(tmp_path: Path, photos: Path, rates: Profile) -> None:
    SearchIndex().save(tmp_path / "a.clpi")
    index = SearchIndex.open(tmp_path / "a.clpi")
    assert (len(index), index.dim) == (0, None)
    index.add(opened(photos, rates))
    index.save()
    assert len(SearchIndex.open(tmp_path / "a.clpi")) == 150


# --- growing ---


def test_a_file_grows_at_its_end(photos: Path, rates: Profile, tmp_path: Path) -> None:
    """What was there is not written again; readers of the old file keep what they had."""
    path = tmp_path / "a.clpi"
    index = SearchIndex(opened(photos, rates))
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
    photos: Path, rates: Profile, tmp_path: Path
) -> None:
    index = SearchIndex.build(opened(photos, rates), tmp_path / "a.clpi")
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
    photos: Path, rates: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """After each write of it the file is the old index or the new one, and can grow again."""
    path = tmp_path / "a.clpi"
    SearchIndex(opened(photos, rates)).save(path)
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
        patch.setattr(saved, "open", lambda name, mode: Stops(name, mode), raising=False)
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
    photos: Path, rates: Profile, tmp_path: Path
) -> None:
    path = tmp_path / "a.clpi"
    SearchIndex(opened(photos, rates)).save(path)
    first, second = SearchIndex.open(path), SearchIndex.open(path)
    first.add(opened(photos, rates))
    second.add(opened(photos, rates))
    with open(path, "r+b") as held:
        lock(held.fileno(), path)
        with pytest.raises(LockedError, match=r"a\.clpi is being written"):
            first.save()
    first.save()
    with pytest.raises(MismatchError, match=r"a\.clpi was changed by another process"):
        second.save()
    second.save(tmp_path / "b.clpi")
    path.unlink()
    first.add(opened(photos, rates))
    with pytest.raises(MismatchError, match=r"a\.clpi is gone"):
        first.save()
    first.save(path)
    assert len(SearchIndex.open(path)) == 450


# --- damage ---


def test_any_flipped_byte_is_noticed_or_does_no_harm(
    photos: Path, rates: Profile, tmp_path: Path
) -> None:
    """Of a file that has grown: everywhere, the hits are the same, or the error is typed."""
    path = tmp_path / "a.clpi"
    index = SearchIndex(opened(photos, rates))
    index.save(path)
    index.add(opened(photos, rates))
    index.save()
    whole = path.read_bytes()
    expected, ids = index.search(QUERIES, 5), index.ids
    noticed = 0
    for at in [*range(128), *range(128, len(whole), 61)]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        try:
            again = SearchIndex.open(path)
            found = again.search(QUERIES, 5)
            assert again.ids == ids
        except DecodeError as error:
            noticed += "a.clpi" in str(error)
            continue
        assert found.indices.tolist() == expected.indices.tolist()
        assert found.scores.tolist() == expected.scores.tolist()
    assert noticed > 100  # and each names the file


@pytest.mark.parametrize(
    "change",
    [{"rows": float("inf")}, {"rows": "300"}, {"rows": -300}, {"blocks": 10**30}, {"blocks": -1},
     {"gone": -1}, {"name": 5}, {"name": "[" * 100_000}],
)  # fmt: skip
def test_a_table_that_somebody_made_wrong_is_noticed(
    photos: Path, rates: Profile, tmp_path: Path, change: dict[str, Any]
) -> None:
    """With check values that fit."""
    content = SearchIndex(opened(photos, rates))._content
    kept = saved._pack_table(np.empty(0, saved._PART), content)
    assert saved._unpack_table(kept)[1][0].equals(content.made[0])
    size = int.from_bytes(kept[4:8], "little")
    known = json.loads(kept[8 : 8 + size])
    known["sources"][0].update(change)
    text = json.dumps(known).replace(f'"{"[" * 100_000}"', "[" * 100_000).encode()
    table = kept[:4] + len(text).to_bytes(4, "little") + text + kept[8 + size :]
    with pytest.raises(CorruptError, match="its table is not as one is written"):
        saved._unpack_table(table)


def test_a_file_that_was_cut_says_so(photos: Path, rates: Profile, tmp_path: Path) -> None:
    path = tmp_path / "a.clpi"
    SearchIndex(opened(photos, rates)).save(path)
    whole = path.read_bytes()
    for size in (1, 5, 20, 127, 128, 1000, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(TruncatedError, match=r"a\.clpi: "):
            SearchIndex.open(path)
    path.write_bytes(b"")
    with pytest.raises(CorruptError, match="begins with nothing"):
        SearchIndex.open(path)


@pytest.mark.parametrize(
    "use", ["index.search(np.ones(24))", "index.ids", "hits.ids", "index.save(sys.argv[1] + '2')"]
)
def test_a_file_that_is_cut_under_a_reader_ends_no_process(
    rates: Profile, tmp_path: Path, use: str
) -> None:
    """Reading behind the end of a mapped file would be a bus error, of ids as of rows."""
    path = tmp_path / "a.clpi"
    stored(tmp_path / "long.clpc", rates, 150, first=10**200)  # ids take more than a page
    SearchIndex.build(opened(tmp_path / "long.clpc", rates), path)
    code = """
        import os, sys, numpy as np
        from clipcodec import SearchIndex
        index = SearchIndex.open(sys.argv[1])
        hits = index.search(np.ones(24))
        os.truncate(sys.argv[1], 600)
        try:
            {use}
        except Exception as error:
            print(type(error).__name__, error)
    """
    code = textwrap.dedent(code).format(use=use)
    done = subprocess.run([sys.executable, "-c", code, path],
                          capture_output=True, text=True, timeout=60, check=True)  # fmt: skip
    assert done.stdout.startswith("TruncatedError")
    assert "was cut since it was opened" in done.stdout


def test_other_files_and_versions_are_named(photos: Path, rates: Profile, tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match=r"photos\.clpc: a container, no search index"):
        SearchIndex.open(photos)
    path = tmp_path / "a.clpi"
    SearchIndex(opened(photos, rates)).save(path)
    data = bytearray(path.read_bytes())
    data[7] = 9
    path.write_bytes(data)
    with pytest.raises(UnsupportedError, match="index version 9, this release has 1: build it ag"):
        SearchIndex.open(path)
    with pytest.raises(FileNotFoundError):
        SearchIndex.open(tmp_path / "none.clpi")


def test_another_kind_of_file_is_not_replaced(photos: Path, rates: Profile, tmp_path: Path) -> None:
    whole, index = photos.read_bytes(), SearchIndex(opened(photos, rates))
    for save in (index.save, lambda path: SearchIndex.build(opened(photos, rates), path)):
        with pytest.raises(OutputExistsError, match=r"photos\.clpc exists, and is no search index"):
            save(photos)
    assert photos.read_bytes() == whole
    with pytest.raises(OptionError, match="in no file yet: save it with a path"):
        index.save()
    index.save(tmp_path / "a.clpi")
    SearchIndex().save(tmp_path / "a.clpi")  # an index is replaced
    assert len(SearchIndex.open(tmp_path / "a.clpi")) == 0
    for save in (index.save, lambda path: SearchIndex.build(iter("no streams"), path)):
        with pytest.raises(FileNotFoundError, match="none"):  # before anything is decoded
            save(tmp_path / "none" / "a.clpi")


# --- of which container ---


def test_an_index_of_another_container_is_noticed(
    photos: Path, rates: Profile, tmp_path: Path
) -> None:
    stored(tmp_path / "other.clpc", rates, 150, seed=5)
    index = SearchIndex.build(opened(photos, rates), tmp_path / "a.clpi")
    index.check(opened(photos, rates))
    with pytest.raises(MismatchError, match=r"a\.clpi was not made of .*other\.clpc, but of anoth"):
        index.check(opened(tmp_path / "other.clpc", rates))
    with pytest.raises(MismatchError, match="made of 1 sources, not of 2"):
        index.check([opened(photos, rates)] * 2)
    with pytest.raises(OptionError, match="compared with a container"):
        index.check(["a stream"])
    stored(photos, rates, 20, seed=3, mode="a")
    with pytest.raises(MismatchError, match=r"photos\.clpc has gained 20 items since .*a\.clpi"):
        index.check(opened(photos, rates))
    stored(photos, rates, 150, seed=4)
    with pytest.raises(MismatchError, match=r"what it was before it was written anew.*update"):
        index.check(opened(photos, rates))
    plain = SearchIndex(clipcodec.Codec(rates).encode_embeddings(cone(9, DIM)), profile=rates)
    with pytest.raises(MismatchError, match="but of streams without a container"):
        plain.check(opened(photos, rates))


def test_update_adds_what_was_appended_and_decodes_nothing_else(
    photos: Path, rates: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = SearchIndex.build(opened(photos, rates), tmp_path / "a.clpi")
    assert index.update(opened(photos, rates)) == (0, 0, False)
    stored(photos, rates, 50, seed=3, mode="a")
    decoded: list[int] = []
    whole = clipcodec.Codec._decode_columns

    def spy(codec: clipcodec.Codec, groups: list[Columns]) -> np.ndarray:
        decoded.append(sum(len(group.rows) for group in groups))
        return whole(codec, groups)

    monkeypatch.setattr(clipcodec.Codec, "_decode_columns", spy)
    now = opened(photos, rates)
    assert index.update(now) == (50, 0, False)
    assert sum(decoded) == 50
    index.save()
    again = SearchIndex.open(tmp_path / "a.clpi")
    again.check(now)
    assert same_hits(again, SearchIndex(now))
    assert again.ids == now.ids


def test_update_builds_anew_what_is_another_container(
    photos: Path, rates: Profile, tmp_path: Path
) -> None:
    index = SearchIndex.build(opened(photos, rates), tmp_path / "a.clpi")
    stored(photos, rates, 90, seed=8)
    now = opened(photos, rates)
    assert index.update(now) == (90, 150, True)
    index.save()
    again = SearchIndex.open(tmp_path / "a.clpi")
    again.check(now)
    assert same_hits(again, SearchIndex(now))
    assert again.ids == now.ids


def test_deleted_items_are_noticed_and_dropped(
    photos: Path, rates: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without decoding; then an item that was replaced, and a container that was compacted."""
    index = SearchIndex.build(opened(photos, rates), tmp_path / "a.clpi")
    before = opened(photos, rates)
    hits = clipcodec.search(before, QUERIES, 3)
    before.close()
    with clipcodec.ContainerWriter(photos, "a") as writer:
        writer.delete(["0-3.jpg", 4, 5, "0-149.jpg"])
    now = opened(photos, rates)
    with pytest.raises(MismatchError, match=r"4 items were deleted from .*photos\.clpc since"):
        index.check(now)
    assert hits.ids == [[f"0-{i}.jpg" for i in row] for row in hits.indices.tolist()]
    with monkeypatch.context() as patch:
        patch.setattr(clipcodec.Codec, "_decode_columns", None)
        assert index.update(now) == (0, 4, False)
    with clipcodec.ContainerWriter(photos, "a") as writer:
        writer.delete(["0-7.jpg"])
        writer.append(now[0], id="again.jpg")
    for updated in ((1, 1, False), (0, 0, False)):
        assert index.update(opened(photos, rates)) == updated
    index.save()
    with clipcodec.ContainerWriter(photos, "a") as writer:  # both before the index is updated
        writer.append(now[1], id="short.jpg")
        writer.flush()
        writer.delete(["short.jpg"])
    assert index.update(opened(photos, rates)) == (0, 0, False)
    index.save()
    again = SearchIndex.open(tmp_path / "a.clpi")
    again.check(opened(photos, rates))
    assert same_hits(again, SearchIndex(opened(photos, rates)))
    assert again.ids == opened(photos, rates).ids
    compact(photos)
    with pytest.raises(MismatchError, match="what it was before it was written anew"):
        again.check(opened(photos, rates))
    assert again.update(opened(photos, rates)) == (146, 146, True)
    assert again.ids == opened(photos, rates).ids


def test_update_of_several_keeps_what_did_not_change(
    photos: Path, rates: Profile, tmp_path: Path
) -> None:
    """The first has gained items, one is new, one is gone: rows are put in their order."""
    for seed in (1, 2):
        stored(tmp_path / f"{seed}.clpc", rates, 30, seed=seed)
    paths = [photos, tmp_path / "1.clpc"]
    index = SearchIndex.build([opened(p, rates) for p in paths], tmp_path / "a.clpi")
    stored(photos, rates, 10, seed=7, mode="a")
    for paths, updated in (
        ([photos, tmp_path / "1.clpc"], (10, 0, False)),
        ([photos, tmp_path / "1.clpc", tmp_path / "2.clpc"], (30, 0, False)),
        ([photos, tmp_path / "1.clpc"], (0, 30, False)),
    ):
        now = [opened(path, rates) for path in paths]
        assert index.update(now) == updated
        index.save()
        again = SearchIndex.open(tmp_path / "a.clpi")
        again.check(now)
        assert same_hits(again, SearchIndex(now))
        assert again.ids == [id for one in now for id in one.ids]


def test_of_a_store_some_check_values_are_compared(
    photos: Path, rates: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading all would read the whole object. What has grown is still known by those of before."""
    monkeypatch.setattr(made, "_TRIED", 2)
    monkeypatch.setattr(SeekableFile, "remote", property(lambda file: True))
    index = SearchIndex(opened(photos, rates))
    checks = index._content.made[0].checks
    assert len(checks) == 10
    assert 0 < np.count_nonzero(checks) <= 2
    index.check(opened(photos, rates))
    stored(photos, rates, 170, mode="a")
    assert index.update(opened(photos, rates)) == (170, 0, False)
    index.check(opened(photos, rates))
    stored(photos, rates, 320, seed=4)
    assert index.update(opened(photos, rates)) == (320, 320, True)


def test_a_damaged_container_changes_no_index(photos: Path, rates: Profile) -> None:
    index = SearchIndex(opened(photos, rates))
    before = index.search(QUERIES)
    stored(photos, rates, 50, seed=3, mode="a")
    data = bytearray(photos.read_bytes())
    data[-500] ^= 1
    photos.write_bytes(data)
    with pytest.raises(DecodeError):
        index.update(opened(photos, rates))
    assert index.search(QUERIES).indices.tolist() == before.indices.tolist()


# --- other processes ---


def _best(index: SearchIndex) -> list[list[int]]:
    return index.search(QUERIES, 3).indices.tolist()


def test_an_index_can_be_given_to_another_process(
    photos: Path, rates: Profile, tmp_path: Path
) -> None:
    """One with a file as a few bytes, which the other maps; one in memory as a copy."""
    index = SearchIndex.build(opened(photos, rates), tmp_path / "a.clpi")
    assert len(pickle.dumps(index)) < 2000
    memory = pickle.loads(pickle.dumps(SearchIndex(opened(photos, rates))))
    assert same_hits(memory, index)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_best, (index,)) == _best(index)
    index.add(opened(photos, rates))
    assert same_hits(pickle.loads(pickle.dumps(index)), index)
    known = pickle.dumps(SearchIndex.open(tmp_path / "a.clpi"))
    index.save()
    with pytest.raises(MismatchError, match="changed since the index was pickled"):
        pickle.loads(known)


def test_long_ids_are_kept(tmp_path: Path, rates: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are made smaller where the ids of one would be above the limit."""
    monkeypatch.setattr(saved, "MAX_IDS", 1 << 16)
    ids = [f"{i:04d}" * 200 for i in range(80)]
    streams = clipcodec.Codec(rates).encode_embeddings(cone(80, DIM))
    with clipcodec.create(tmp_path / "s.clpc") as writer:
        writer.extend(streams, ids=ids)
    index = SearchIndex.build(opened(tmp_path / "s.clpc", rates), tmp_path / "a.clpi")
    assert index.ids == ids
    assert len(index._blocks) > 2
