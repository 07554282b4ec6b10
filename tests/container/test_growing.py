"""clipcodec.container.growing: a file is whole, or what is there of it is kept, however it ends."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest

import clipcodec
from clipcodec import CorruptError, Item, LockedError, OptionError, TruncatedError
from clipcodec.container import layout, locking
from clipcodec.container.growing import PART
from formats.reference import container as reference

STREAMS = [bytes([0x69, i, 0]) for i in range(5)]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("mode", ["x", "w", "a"])
def test_containers_are_written_where_locks_are_not_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, mode: str
) -> None:
    def flock(number: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    with clipcodec.create(tmp_path / "a.clpc", mode) as writer:
        writer.extend(STREAMS)
    assert os.listdir(tmp_path) == ["a.clpc"]
    assert clipcodec.open(tmp_path / "a.clpc")[:] == STREAMS


@pytest.mark.parametrize("mode", ["x", "w", "a"])
def test_a_container_that_cannot_be_begun_leaves_no_part(tmp_path: Path, mode: str) -> None:
    """What was there before stays; what this made goes."""
    pytest.importorskip("resource")
    path = tmp_path / "a.clpc"
    code = (
        "import clipcodec, resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4, resource.RLIM_INFINITY))\n"
        f"clipcodec.create({str(path)!r}, {mode!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "cannot be written" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_part_of_another_process_is_kept(tmp_path: Path) -> None:
    """It took the file between our making and our locking it."""
    part = tmp_path / f"a.clpc{PART}"
    with clipcodec.create(tmp_path / "a.clpc") as writer:
        writer.append(STREAMS[0])
        for mode in ("w", "a"):
            with pytest.raises(LockedError):
                clipcodec.create(tmp_path / "a.clpc", mode)
        assert part.exists()
    assert clipcodec.open(tmp_path / "a.clpc")[:] == STREAMS[:1]


def test_paths_may_be_bytes(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "a.clpc")
    with clipcodec.create(path) as writer:
        writer.extend(STREAMS)
    assert os.listdir(tmp_path) == ["a.clpc"]
    assert clipcodec.open(path)[:] == STREAMS
    for what in (clipcodec.open, clipcodec.create):
        for bad in (5, None, ["a"]):
            with pytest.raises(OptionError, match="expected a path or a binary file"):
                what(bad)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="BytesIO"):
        clipcodec.open((tmp_path / "a.clpc").read_bytes())


def test_a_finished_container_of_which_nothing_is_good_is_not_begun_anew(tmp_path: Path) -> None:
    """It is damaged, not cut, and somebody may still mend it. An unfinished one is begun anew."""
    path = tmp_path / "a.clpc"
    with clipcodec.create(path) as writer:
        writer.extend(STREAMS)
    damaged = path.read_bytes().replace(b"DATA", b"DATE")[:-1]
    path.write_bytes(damaged)
    with pytest.raises(CorruptError, match=r"a\.clpc: "):
        clipcodec.create(path, "a")
    assert path.read_bytes() == damaged
    path.rename(tmp_path / f"a.clpc{PART}")
    with clipcodec.create(path, "a") as writer:
        assert len(writer) == 0


# appending writes over the index


def appended_to(path: Path, items: list[Item], **options: Any) -> None:
    with clipcodec.create(path, "a", **options) as writer:
        writer.extend(items)


def items(count: int) -> list[Item]:
    return [Item(bytes([0x69, i % 256]) * 9, f"{i}.jpg") for i in range(count)]


def everywhere(path: Path) -> list[Item]:
    """Its items, as three readers find them."""
    with path.open("rb") as file:
        piped = list(clipcodec.read_items(file))
    with path.open("rb") as file:
        assert reference.read(file)[1] == piped
    with clipcodec.open(path) as opened:
        assert list(opened.items()) == piped
    return piped


def test_an_append_leaves_no_index_behind(tmp_path: Path) -> None:
    """The file is the same as one written at once, in as many blocks."""
    path, at_once = tmp_path / "a.clpc", tmp_path / "b.clpc"
    for item in items(300):
        appended_to(path, [item])
    with clipcodec.create(at_once, block_items=1, metadata=None) as writer:
        writer.extend(items(300))
    assert path.read_bytes() == at_once.read_bytes()
    assert everywhere(path) == items(300)


def test_indexes_that_were_left_behind_are_still_read(tmp_path: Path) -> None:
    """By earlier releases: blocks after the index, then one of all."""
    path = tmp_path / "a.clpc"
    appended_to(path, items(3))
    old = path.read_bytes()
    block = layout.pack_items([STREAMS[0]], ["x"])
    index = len(old) - (end := old.index(layout.INDEX))
    pairs = [[end - 8, 3], [index, 0], [len(block), 1]]
    path.write_bytes(old + block + layout.pack_index(np.array(pairs)))
    appended_to(path, items(1))
    assert everywhere(path) == [*items(3), Item(STREAMS[0], "x"), *items(1)]


@pytest.mark.parametrize("block_items", [2, 1024])
def test_a_crash_at_any_byte_of_an_append(tmp_path: Path, block_items: int) -> None:
    """Each block is one write. Whatever part of it reached the disk, the items before it are read,
    and appending goes on after them."""
    path, crashed = tmp_path / "a.clpc", tmp_path / "b.clpc"
    appended_to(path, items(9), block_items=1)
    states = [path.read_bytes()]
    with clipcodec.create(path, "a", block_items=block_items) as writer:
        file = writer._file.opened()
        write = file.write

        def counted(data: Any) -> int:
            before, at = states[-1], file.tell()
            states.append(before[:at] + bytes(data) + before[at + len(data) :])
            return write(data)

        writer._file._file = cast(BinaryIO, Wrapped(file, counted))
        writer.extend(items(3))
    assert path.read_bytes() == states[-1]
    assert len(states) == (3 if block_items == 2 else 2)
    for before, after in pairwise(states):
        done = len(clipcodec.open(io.BytesIO(before)))
        for size in range(len(after) + 1):
            state = after[:size] + before[size:]
            with clipcodec.open(io.BytesIO(state), partial=True) as opened:
                found = list(opened.items())
            assert len(found) >= done
            if size % 7:
                continue
            crashed.write_bytes(state)
            with clipcodec.create(crashed, "a") as writer:
                assert len(writer) == len(found)
                writer.append(b"\x69new")
            assert found == [*items(9), *items(3)][: len(found)]
            assert everywhere(crashed) == [*found, Item(b"\x69new", None)]


class Wrapped:
    """A file whose `write` is another."""

    def __init__(self, file: BinaryIO, write: Callable[[Any], int]) -> None:
        self._file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_readers_of_a_growing_file_see_a_whole_one(tmp_path: Path) -> None:
    """Whenever they open it, without `partial`; what they opened before stays as it was."""
    path = tmp_path / "a.clpc"
    appended_to(path, items(50), block_items=1)
    first = clipcodec.open(path)
    code = (
        "import clipcodec\n"
        "for i in range(300):\n"
        f"    with clipcodec.create({str(path)!r}, 'a', block_items=1) as w:\n"
        "        for j in range(3): w.append(bytes([0x69, i % 256]) * 9)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as writer:
        seen = [50]
        while writer.poll() is None:
            with clipcodec.open(path) as opened:
                assert opened.complete
                assert opened[:50] == first[:]
                seen.append(len(opened))
                assert opened[-1]
    assert writer.returncode == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert len(everywhere(path)) == 950
    assert list(first.items()) == items(50)


def test_a_full_disk_keeps_the_container_whole(tmp_path: Path) -> None:
    """The index that was written over is written again."""
    pytest.importorskip("resource")
    path = tmp_path / "a.clpc"
    appended_to(path, items(200), block_items=1)
    before = path.read_bytes()
    code = (
        "import clipcodec, resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 9}, resource.RLIM_INFINITY))\n"
        f"with clipcodec.create({str(path)!r}, 'a') as w: w.append(b'\\x69\\xffew' * 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "cannot be written" in done.stderr
    assert path.read_bytes() == before


def test_a_large_index_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with each block: until the end the container is then unfinished."""
    path = tmp_path / "a.clpc"
    appended_to(path, items(20), block_items=1)
    monkeypatch.setattr("clipcodec.container.growing._SMALL_INDEX", 8 * 22)
    with clipcodec.create(path, "a", block_items=1) as writer:
        writer.extend(items(2))
        assert len(clipcodec.open(path)) == 22
        writer.extend(items(2))
        with pytest.raises(TruncatedError, match="first 24 items"):
            clipcodec.open(path)
        assert len(clipcodec.open(path, partial=True)) == 24
    assert everywhere(path) == [*items(20), *items(2), *items(2)]


def test_what_is_discarded_leaves_nothing_of_a_new_container(tmp_path: Path) -> None:
    """And all of one that is appended to; the lock goes with it."""
    path = tmp_path / "a.clpc"
    writer = clipcodec.create(path, block_items=1)
    writer.extend(STREAMS)
    writer.discard()
    writer.discard()
    assert os.listdir(tmp_path) == []
    with clipcodec.create(path) as writer:
        writer.extend(STREAMS[:2])
    for mode in ("w", "a"):
        writer = clipcodec.create(path, mode, block_items=2)
        writer.append(STREAMS[2])
        writer.discard()
        assert clipcodec.open(path)[:] == STREAMS[:2]
        assert os.listdir(tmp_path) == ["a.clpc"]


@pytest.mark.parametrize("mode", ["x", "a"])
def test_the_size_is_that_of_the_file(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.clpc"
    if mode == "a":
        with clipcodec.create(path, block_items=2) as writer:
            writer.extend(STREAMS)
        assert writer.size == path.stat().st_size
    with clipcodec.create(path, mode) as writer:
        writer.extend(STREAMS)
    assert writer.size == path.stat().st_size


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be replaced there")
@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_what_is_appended_to_a_file_that_is_another_by_now_is_no_success(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "a.clpc"
    clipcodec.create(path).close()
    writer = clipcodec.create(path, "a")
    writer.append(b"ia")
    if change == "removed":
        path.unlink()
    else:
        with clipcodec.create(tmp_path / "b.clpc") as other:
            other.append(b"ib")
        (tmp_path / "b.clpc").replace(path)  # as `mv` does, which asks for no lock
    for finish in (writer.flush, writer.close):
        with pytest.raises(LockedError, match="replaced or removed by another process"):
            finish()
    writer.abandon()
    assert path.exists() == (change == "replaced")
    if path.exists():
        assert list(clipcodec.open(path)) == [b"ib"]


@pytest.mark.parametrize("mode", ["x", "a"])
def test_an_item_that_was_not_written_can_be_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """It is there once then, under its id alone; those before it are not lost."""
    path, wanted = tmp_path / "a.clpc", items(40)
    if mode == "a":
        clipcodec.create(path).close()
    whole, left = locking._Locked.write, [0]

    def write(file: locking._Locked, data: Any) -> int:
        if left[0]:
            left[0] -= 1
            whole(file, bytes(data)[:9])
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(file, data)

    monkeypatch.setattr(locking._Locked, "write", write)
    with clipcodec.create(path, mode, block_items=4) as writer:
        assert not writer.update(wanted[0].stream, "first")  # so that ids are kept in mind
        for number, item in enumerate(wanted):
            left[0] = 2 if number % 4 == 2 else 0
            while left[0]:
                with pytest.raises(OSError, match="cannot be written: No space left"):
                    writer.append(item)
                assert len(writer) == 1 + number
            writer.append(item)
        assert writer.delete(wanted[2].id) == 1
    del wanted[2]
    assert clipcodec.open(path)[1:] == [item.stream for item in wanted]
    assert clipcodec.open(path).ids[1:] == [item.id for item in wanted]
