"""clipcodec.container.reader: an item is found by its position or its id, also in a copy."""

from __future__ import annotations

import copy
import io
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import pytest

import clipcodec
from clipcodec import Container, MismatchError, OptionError
from clipcodec.container import compact

from .counted import IDS, STREAMS, Counted


def test_an_id_is_in_the_container_if_it_can_be_found(opened: Container) -> None:
    assert all(id in opened for id in IDS)
    assert "10.jpg" not in opened
    assert STREAMS[9] in opened
    assert b"\x69" not in opened
    assert None not in opened
    assert 3 not in opened


def test_an_item_is_found_by_its_id(opened: Container) -> None:
    assert opened["3.jpg"] == STREAMS[3]
    assert opened.item("3.jpg") == (STREAMS[3], "3.jpg")
    for find in (opened.__getitem__, opened.index, opened.item, opened.decode):
        with pytest.raises(KeyError, match=r"no item of .* has the id 'x\.jpg'"):
            find("x.jpg")


def test_the_item_appended_last_is_found_by_its_id() -> None:
    """So an item can be replaced; both are still there."""
    buffer = io.BytesIO()
    with clipcodec.create(buffer) as writer:
        writer.extend(STREAMS[:3], ["a", "b", "a"])
    opened = clipcodec.open(io.BytesIO(buffer.getvalue()))
    assert (opened.index("a"), opened["a"], opened.ids) == (2, STREAMS[2], ["a", "b", "a"])


def test_ids_are_read_once(opened: Container) -> None:
    assert opened.ids == [*IDS, None]
    before = Counted.reads
    assert opened.ids[3] == "3.jpg"
    assert opened.index("4.jpg") == 4
    assert "5.jpg" in opened
    assert Counted.reads == before


def test_a_closed_container_reads_no_other_file(tmp_path: Path) -> None:
    """The next file that is opened has its number in the system."""
    save(tmp_path / "a.clpc", STREAMS)
    save(tmp_path / "b.clpc", STREAMS[::-1])
    closed = clipcodec.open(tmp_path / "a.clpc")
    closed.close()
    with clipcodec.open(tmp_path / "b.clpc") as other:
        for use in (lambda: closed[0], lambda: closed.take([1]), lambda: list(closed)):
            with pytest.raises(ValueError, match="closed file"):
                use()
        assert other[:] == STREAMS[::-1]


# pickled


def save(path: Path, streams: list[bytes], mode: str = "w") -> None:
    with clipcodec.create(path, mode, block_items=2) as writer:
        writer.extend(streams, [f"{stream[1]}.jpg" for stream in streams])


def test_a_container_is_pickled_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a relative one; the ids that were read do not go with it."""
    save(tmp_path / "a.clpc", STREAMS)
    monkeypatch.chdir(tmp_path)
    opened = clipcodec.open("a.clpc", profile="any/rotation")
    before = pickle.dumps(opened)
    assert opened.ids[3] == "3.jpg"
    assert len(pickle.dumps(opened)) == len(before)
    monkeypatch.chdir("/")
    again = pickle.loads(before)
    assert list(again.items()) == list(opened.items())
    assert again["3.jpg"] == STREAMS[3]
    assert again.codec.profile.name == "any/rotation"
    assert (again.complete, again.metadata, again.size) == (True, {}, opened.size)
    assert copy.copy(opened)[:] == STREAMS
    with pytest.raises(KeyError, match=r"no item of a\.clpc"):
        again["x"]


@pytest.mark.parametrize("start", ["spawn", "forkserver", "fork"])
def test_processes_share_a_container(tmp_path: Path, start: str) -> None:
    """However they start: as the workers of a torch DataLoader."""
    save(tmp_path / "a.clpc", STREAMS)
    with (
        clipcodec.open(tmp_path / "a.clpc") as opened,
        multiprocessing.get_context(start).Pool(2) as pool,
    ):
        assert pool.map(opened.__getitem__, range(10)) == STREAMS


def test_a_copy_has_the_items_of_its_original(tmp_path: Path) -> None:
    """Also when the file was appended to, or is unfinished."""
    path = tmp_path / "a.clpc"
    save(path, STREAMS[:5])
    opened = clipcodec.open(path)
    with clipcodec.create(path, "a", block_items=1) as writer:
        writer.extend(STREAMS[5:])
        writer.flush()
        assert pickle.loads(pickle.dumps(opened))[:] == STREAMS[:5]
    assert pickle.loads(pickle.dumps(opened))[:] == STREAMS[:5]
    pickled = pickle.dumps(opened)
    path.write_bytes(path.read_bytes()[:-1])
    part = clipcodec.open(path, partial=True)
    assert not pickle.loads(pickle.dumps(part)).complete
    path.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickled)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("change", ["sizes", "same sizes", "twice", "compacted", "cut"])
def test_a_copy_of_a_file_that_is_another_by_now_gives_no_other_items(
    tmp_path: Path, change: str, closed: bool
) -> None:
    path = tmp_path / "a.clpc"
    save(path, STREAMS)
    with clipcodec.create(path, "a") as writer:
        writer.delete(0)
    opened = clipcodec.open(path)
    if closed:
        opened.close()
    pickled = pickle.dumps(opened)
    if change == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif change == "compacted":
        compact(path, block_items=2)
    else:  # if written twice, the file may have the number that the first one had
        same = [stream[:-1] + b"x" for stream in STREAMS]
        for _ in range(1 + (change == "twice")):
            save(path, STREAMS[:3] if change == "sizes" else same)
    with pytest.raises(MismatchError, match=r"a\.clpc was compacted, or replaced by another.*open"):
        pickle.loads(pickled)


@pytest.mark.parametrize("closed", [False, True])
def test_a_copy_of_a_file_that_was_moved_or_grew_has_the_same_items(
    tmp_path: Path, closed: bool
) -> None:
    path = tmp_path / "a.clpc"
    save(path, STREAMS)
    opened = clipcodec.open(path)
    if closed:
        opened.close()
    pickled = pickle.dumps(opened)
    shutil.copy(path, tmp_path / "b.clpc")
    os.replace(tmp_path / "b.clpc", path)
    with clipcodec.create(path, "a") as writer:
        writer.delete(0)
    assert pickle.loads(pickled)[:] == STREAMS


def test_a_container_of_a_file_object_cannot_be_pickled(opened: Container) -> None:
    with pytest.raises(OptionError, match="open it by its path"):
        pickle.dumps(opened)


def test_a_container_knows_what_it_was_opened_by(tmp_path: Path) -> None:
    save(tmp_path / "a.clpc", STREAMS)
    with clipcodec.open(tmp_path / "a.clpc") as opened:
        assert opened.name == str(tmp_path / "a.clpc")
    with open(tmp_path / "a.clpc", "rb") as file:
        assert clipcodec.open(file).name == file.name
