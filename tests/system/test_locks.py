"""clipcodec.system.locks: one writer at a time, also where the system's locks tell nothing."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import clipcodec
from clipcodec.errors import LockedError
from clipcodec.system import locks
from clipcodec.system.locks import LockFile, lock

STREAM = b"\x69\x01\x00"


class Locks:
    """`fcntl.flock` of a file system that answers with an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer = 0
        monkeypatch.setattr("fcntl.flock", self)

    def __call__(self, number: int, operation: int) -> None:
        raise OSError(self.answer, os.strerror(self.answer))


@pytest.mark.skipif(sys.platform == "win32", reason="has other locks")
def test_only_a_lock_that_is_held_means_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other error means that the file system has no locks: ENOSYS is Lustre's."""
    path, locks = tmp_path / "a", Locks(monkeypatch)
    names = "ENOSYS EIO ESTALE ENOLCK ENOTSUP EINVAL EBADF EPERM EREMOTEIO EPROTONOSUPPORT"
    with path.open("wb") as file:
        for name in names.split():
            locks.answer = getattr(errno, name, errno.EIO)
            lock(file.fileno(), path)
        for locks.answer in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            with pytest.raises(LockedError, match="written by another process"):
                lock(file.fileno(), path)


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be moved there")
def test_a_file_that_was_moved_before_it_was_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has finished it, or begun another; if that cannot be told, it is taken."""
    path = tmp_path / "a"
    with path.open("wb") as file:
        path.rename(tmp_path / "b")
        with pytest.raises(LockedError):
            lock(file.fileno(), path)
        path.write_bytes(b"another")
        with pytest.raises(LockedError):
            lock(file.fileno(), path)

        def stale(self: Path) -> None:
            raise OSError(errno.ESTALE, "Stale file handle")

        monkeypatch.setattr(Path, "stat", stale)
        lock(file.fileno(), path)


# lock files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.clpc"


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks."""
    if sys.platform != "win32":
        Locks(monkeypatch).answer = errno.ENOTSUP


@contextmanager
def writing(path: Path, host: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """Another process that has a container open for writing, until its stdin says how to end."""
    code = (
        "import fcntl, os, socket, sys, clipcodec\n"
        "def none(*_): raise OSError(95, 'no locks here')\n"
        "fcntl.flock = none\n"
        f"if {host!r}: socket.gethostname = lambda: {host!r}\n"
        f"writer = clipcodec.create({str(path)!r}, 'a')\n"
        f"writer.append({STREAM!r}); writer.flush()\n"
        "print('open', flush=True)\n"
        "if sys.stdin.readline() == 'leave\\n': sys.exit()\n"  # without closing
        "writer.close()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def say(process: subprocess.Popen[str], word: str) -> None:
    process.communicate(word + "\n", timeout=60)
    assert process.returncode == 0


def left_by(path: Path, **changed: object) -> Path:
    """The lock file of a process on another host, or what else is changed in it."""
    there = path.with_name(path.name + ".lock")
    LockFile(path).release()  # a folder where one can be made
    known = {
        "host": "elsewhere", "machine": "x", "pid": 7, "process": "1", "token": "t",
        "since": "2026-01-01 00:00:00 UTC",
    }  # fmt: skip
    there.write_text(json.dumps({**known, **changed}))
    return there


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_writer_has_a_lock_file_until_it_is_closed(path: Path) -> None:
    """It says who; nothing is left of it, however the writer ends."""
    for end in ("close", "abandon", "discard"):
        writer = clipcodec.create(path, "w")
        writer.append(STREAM)
        there = path.with_name("a.clpc.part.lock")
        known = json.loads(there.read_text())
        assert known["pid"] == os.getpid()
        getattr(writer, end)()
        assert not there.exists()
    with clipcodec.create(path, "a"):
        assert path.with_name("a.clpc.lock").exists()
    assert [name for name in os.listdir(path.parent) if "lock" in name or "tmp" in name] == []


@pytest.mark.skipif(sys.platform == "win32", reason="its locks are patched away")
def test_two_processes_where_the_file_system_has_no_locks(path: Path, no_flock: None) -> None:
    with writing(path) as other:
        with pytest.raises(LockedError, match=rf"another process, {other.pid}, since 20"):
            clipcodec.create(path, "a")
        with pytest.raises(LockedError, match=r"wait, or write another file$"):
            clipcodec.create(path, "w")
        say(other, "close")
    with clipcodec.create(path, "a") as writer:
        assert len(writer) == 1
    own = pytest.raises(LockedError, match="being written by this process itself, since 20")
    with own, clipcodec.create(path, "a"):
        clipcodec.create(path, "a")


@pytest.mark.skipif(sys.platform == "win32", reason="its locks are patched away")
def test_two_hosts(path: Path, no_flock: None) -> None:
    """One that lives is told by name, though no process of its number is here."""
    with writing(path, host="other-host") as other:
        with pytest.raises(LockedError, match=rf"{other.pid} on other-host, since .*60 seconds"):
            clipcodec.create(path, "a")
        say(other, "close")
    clipcodec.create(path, "a").close()


@pytest.mark.skipif(sys.platform == "win32", reason="does not tell which processes live")
def test_what_a_killed_process_leaves_is_taken_over_at_once(path: Path, no_flock: None) -> None:
    with writing(path) as other:
        other.kill()  # not waited for yet: it may be a zombie
        other.wait()
        there = path.with_name("a.clpc.part.lock")
        assert there.exists()
        with clipcodec.create(path, "a") as writer:
            assert len(writer) == 1
        assert not there.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="its locks are patched away")
def test_a_process_that_ends_without_closing_leaves_no_lock_file(path: Path) -> None:
    with writing(path) as other:
        say(other, "leave")
        assert not path.with_name("a.clpc.part.lock").exists()


def test_one_killed_on_another_host_counts_for_a_minute(path: Path, no_flock: None) -> None:
    """By the file's time, as nobody here can ask whether that process lives."""
    clipcodec.create(path).close()
    there = left_by(path)
    age(there, 50)
    with pytest.raises(LockedError, match="7 on elsewhere, since 2026-01-01"):
        clipcodec.create(path, "a")
    age(there, 61)
    with clipcodec.create(path, "a"):
        assert json.loads(there.read_text())["pid"] == os.getpid()
    assert os.listdir(path.parent) == ["a.clpc"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes do not tell their age")
def test_another_process_of_the_same_number(path: Path) -> None:
    """The number of a process that has ended is given again: the beginning tells them apart."""
    clipcodec.create(path).close()
    this = locks.Holder.this()
    left_by(path, host=this.host, machine=this.machine, pid=os.getpid(), process="1")
    clipcodec.create(path, "a").close()
    left_by(path, host=this.host, machine=this.machine, pid=os.getpid(), process=this.process)
    with pytest.raises(LockedError):
        clipcodec.create(path, "a")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": 1}', b"\xff\x00" * 9])
def test_a_lock_file_that_does_not_say_who(path: Path, content: bytes) -> None:
    """Made a moment ago and not written yet, or by another program: its age counts."""
    clipcodec.create(path).close()
    there = path.with_name("a.clpc.lock")
    there.write_bytes(content)
    with pytest.raises(LockedError, match="by another process: wait"):
        clipcodec.create(path, "a")
    age(there, 61)
    clipcodec.create(path, "a").close()
    assert not there.exists()


def test_a_holder_touches_its_lock_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.01)
    with clipcodec.create(path):
        there = path.with_name("a.clpc.part.lock")
        age(there, 1000)
        deadline = time.monotonic() + 30
        while time.time() - there.stat().st_mtime > 500:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_who_was_taken_over_writes_no_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slept, or a file server that was away: the other goes on with the file."""
    writer = clipcodec.create(path)
    writer.append(STREAM)
    writer.flush()
    there = path.with_name("a.clpc.part.lock")
    there.write_text(left_by(path.with_name("b")).read_text())
    now = locks._clock()
    monkeypatch.setattr(locks, "_clock", lambda: now + 31)
    writer.append(STREAM)
    with pytest.raises(LockedError, match="taken over by another process"):
        writer.flush()
    writer.discard()
    assert there.exists()  # it is the other's


def test_a_slow_writer_that_was_not_taken_over_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = locks._clock()
    with clipcodec.create(path) as writer:
        monkeypatch.setattr(locks, "_clock", lambda: now + 1000)
        writer.append(STREAM)
    assert len(clipcodec.open(path)) == 1


def test_of_many_who_find_it_left_one_takes_it(path: Path) -> None:
    for _ in range(20):
        age(left_by(path), 100)
        taken: list[LockFile] = []
        barrier = threading.Barrier(6)

        def take(taken: list[LockFile] = taken, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with suppress(LockedError):
                taken.append(LockFile(path))

        threads = [threading.Thread(target=take) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 1
        taken[0].release()
        assert os.listdir(path.parent) == []


def test_a_guard_of_a_killed_process_holds_nobody_up(path: Path) -> None:
    there = left_by(path)
    guard = there.with_name(there.name + ".taking")
    guard.write_bytes(b"")
    age(there, 100)
    with pytest.raises(LockedError):
        LockFile(path)
    age(guard, 100)
    LockFile(path).release()
    assert os.listdir(path.parent) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_release(path: Path) -> None:
    with clipcodec.create(path) as writer:
        child = os.fork()
        if not child:
            writer.abandon()
            os._exit(0)
        os.waitpid(child, 0)
        assert path.with_name("a.clpc.part.lock").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_keep_the_lock(path: Path) -> None:
    """Such as a worker that was started while the container was written, and lives on."""
    with clipcodec.create(path) as writer:
        ends, starts = os.pipe()
        child = os.fork()
        if not child:
            os.close(starts)
            os.read(ends, 1)  # until the parent closes its end
            os._exit(0)
    try:
        with clipcodec.create(path, "a") as writer:
            writer.append(STREAM)
            with pytest.raises(LockedError):
                clipcodec.create(path, "a")
    finally:
        os.close(ends)
        os.close(starts)
        os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("mode", ["x", "a"])
@pytest.mark.parametrize("end", ["close", "discard", "abandon"])
def test_a_forked_child_writes_nothing(path: Path, mode: str, end: str) -> None:
    """Its blocks would lie where those of its parent do; what it appends is refused, not lost."""
    if mode == "a":
        clipcodec.create(path).close()
    with clipcodec.create(path, mode, block_items=2) as writer:
        writer.extend([STREAM] * 3)
        child = os.fork()
        if not child:
            done = 2
            try:
                with pytest.raises(LockedError, match=r"is written by process \d+, which"):
                    writer.extend([STREAM] * 9)
                done = 1
                getattr(writer, end)()
                done = 0
            finally:
                os._exit(done)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == (1 if end == "close" else 0)
        writer.append(STREAM)
    assert clipcodec.open(path)[:] == [STREAM] * 4
    assert os.listdir(path.parent) == ["a.clpc"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_closes_its_copy_keeps_the_file_locked(path: Path) -> None:
    clipcodec.create(path).close()
    with clipcodec.create(path, "a") as writer:
        child = os.fork()
        if not child:
            writer._file.release()
            os._exit(0)
        os.waitpid(child, 0)
        os.unlink(f"{path}.lock")  # the system's lock alone
        with pytest.raises(LockedError):
            clipcodec.create(path, "a")


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permissions there")
def test_a_folder_that_may_not_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container may be appended to; the system's lock alone tells writers apart."""
    clipcodec.create(path).close()

    def refused(*_: object) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(locks, "_make", refused)
    with clipcodec.create(path, "a") as writer:
        writer.append(STREAM)
        with pytest.raises(LockedError):
            clipcodec.create(path, "a")
        assert os.listdir(path.parent) == ["a.clpc"]
