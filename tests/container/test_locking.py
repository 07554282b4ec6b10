"""clipcodec.container.locking: a container that is replaced is not appended to, nor the reverse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import clipcodec
from clipcodec import LockedError, OutputExistsError
from clipcodec.container import split
from clipcodec.container.growing import PART
from clipcodec.system import locks

OLD, NEW = [b"ia", b"ib"], [b"ic"]
unix_only = pytest.mark.skipif(sys.platform == "win32", reason="the lock file alone counts there")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.clpc"
    with clipcodec.create(path) as writer:
        writer.extend(OLD)
    return path


def test_a_container_that_is_appended_to_is_not_replaced(path: Path) -> None:
    """Nothing of the replacement is left, and nothing of the appended is lost."""
    with clipcodec.create(path, "a") as appender:
        appender.extend(NEW)
        with pytest.raises(LockedError, match=r"a\.clpc is being written by another process"):
            clipcodec.create(path, "w")
        assert sorted(os.listdir(path.parent)) == ["a.clpc", "a.clpc.lock"]
    assert list(clipcodec.open(path)) == OLD + NEW


def test_an_unfinished_one_is_kept_where_its_container_is_appended_to(path: Path) -> None:
    part = Path(f"{path}{PART}")
    part.write_bytes(path.read_bytes())
    with clipcodec.create(path, "a"), pytest.raises(LockedError):
        clipcodec.create(path, "w")
    assert part.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("end", ["close", "abandon", "discard"])
def test_a_container_that_is_replaced_is_not_appended_to(path: Path, end: str) -> None:
    """Until the replacing writer has ended, however it ends."""
    writer = clipcodec.create(path, "w")
    writer.extend(NEW)
    with pytest.raises(LockedError, match=rf"another process, {os.getpid()}, since"):
        clipcodec.create(path, "a")
    code = f"import clipcodec; clipcodec.create({str(path)!r}, 'a')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "LockedError" in done.stderr
    getattr(writer, end)()
    assert list(clipcodec.open(path)) == (NEW if end == "close" else OLD)
    with clipcodec.create(path, "a") as appender:
        appender.extend(OLD)
    assert not any(name.endswith(".lock") for name in os.listdir(path.parent))


@pytest.mark.parametrize("left", ["the system's", "the lock file"])
def test_either_lock_alone_is_enough(
    path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    def refused(*_: object) -> bool:
        raise PermissionError("a folder that may not be written, or a system without locks")

    if left == "the system's":
        pytest.importorskip("fcntl")
        monkeypatch.setattr(locks, "_make", refused)
    else:
        monkeypatch.setattr(locks, "_try_lock", lambda number: None)
    for first, second in (("w", "a"), ("a", "w")):
        with clipcodec.create(path, first), pytest.raises(LockedError):
            clipcodec.create(path, second)


@unix_only
@pytest.mark.parametrize("mode", [0o444, 0])
def test_a_file_that_may_not_be_written_or_read_is_replaced(path: Path, mode: int) -> None:
    """As before it was locked: the folder's permissions count. (Root may do all of it anyway.)"""
    path.chmod(mode)
    with clipcodec.create(path, "w") as writer:
        writer.extend(NEW)
        with pytest.raises((LockedError, PermissionError)):
            clipcodec.create(path, "a")
    assert path.stat().st_mode & 0o777 == mode
    path.chmod(0o644)
    assert list(clipcodec.open(path)) == NEW


@unix_only
def test_where_the_file_cannot_be_opened_the_lock_file_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs this test, root, too."""
    monkeypatch.setattr("clipcodec.container.locking._opened_to_lock", lambda path: None)
    writer = clipcodec.create(path, "w")
    with pytest.raises(LockedError):
        clipcodec.create(path, "a")
    writer.abandon()
    clipcodec.create(path, "a").close()


def test_what_is_no_container_is_locked_while_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a")
    with clipcodec.create(path, "w") as writer:
        writer.extend(NEW)
        assert (tmp_path / "notes.txt.lock").exists()
    assert list(clipcodec.open(path)) == NEW


def test_where_no_file_is_the_unfinished_one_is_locked_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.clpc"
    with clipcodec.create(path, "w") as writer:
        assert sorted(os.listdir(tmp_path)) == ["a.clpc.part", "a.clpc.part.lock"]
        for mode, error in (("a", LockedError), ("w", LockedError), ("x", OutputExistsError)):
            with pytest.raises(error):
                clipcodec.create(path, mode)
        writer.extend(NEW)
    assert list(clipcodec.open(path)) == NEW


@unix_only
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Opening it would: nobody has its other end."""
    path = tmp_path / "a.clpc"
    os.mkfifo(path)
    clipcodec.create(path, "w").discard()
    assert os.listdir(tmp_path) == ["a.clpc"]


def test_an_appender_that_has_taken_the_lock_over_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the replacing machine slept, and the file system has no locks."""
    monkeypatch.setattr(locks, "_try_lock", lambda number: None)
    writer = clipcodec.create(path, "w")
    writer.extend(NEW)
    there = path.with_name("a.clpc.lock")
    there.write_text(json.dumps({**json.loads(there.read_text()), "token": "of another"}))
    now = locks._clock()
    monkeypatch.setattr(locks, "_clock", lambda: now + 31)
    with pytest.raises(LockedError, match=r"a\.clpc was taken over by another process"):
        writer.close()
    writer.abandon()
    assert list(clipcodec.open(path)) == OLD
    assert list(clipcodec.open(f"{path}{PART}", partial=True)) == NEW


def test_parts_that_are_appended_to_are_not_replaced(path: Path) -> None:
    folder = path.parent / "parts"
    parts = split(path, folder, items=1)
    with clipcodec.create(parts[1], "a") as appender:
        appender.extend(NEW)
        with pytest.raises(LockedError, match=r"a\.0001\.clpc"):
            split(path, folder, items=1, overwrite=True)
    assert [len(clipcodec.open(part)) for part in parts] == [1, 2]
    split(path, folder, items=1, overwrite=True)
    assert sorted(os.listdir(folder)) == [part.name for part in parts]
