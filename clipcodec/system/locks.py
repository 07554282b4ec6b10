"""One writer at a time: the system's lock of an open file, and a lock file beside it.

The system's lock tells processes of one machine apart, on a network file system sometimes not even
these. The lock file `NAME.lock` does it for all that see the same folder: it is made by one call
that fails if it is there (atomic since NFS version 3), says who holds it, and is touched every ten
seconds. It is taken over if its holder is surely gone: the process has ended on this machine, or
the file was not touched for a minute by the file server's own clock.
"""

from __future__ import annotations

import atexit
import errno
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import LockedError

SUFFIX = ".lock"
BEAT_SECONDS = 10.0  # a holder touches its lock file
STALE_SECONDS = 60.0  # after this time without a touch, the holder is gone
_MOST = 4096  # bytes of a lock file
_TRIES = 5  # where others come and go
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # another process has the lock


# the system's lock


def lock(number: int, path: Path) -> None:
    """Lock the open file with descriptor `number`, which is `path`, until it is closed.

    Raises LockedError if another process holds the lock. Where locks are not supported, as on some
    network file systems, there is none; these report it by errors of many kinds.
    """
    try:
        _try_lock(number)
    except OSError as error:
        if error.errno in _HELD:
            raise _held(path, _read(_beside(path))) from None
    else:
        check_place(number, path)


def check_place(number: int, path: Path) -> None:
    """Raise LockedError if the open file was renamed or removed before it was locked."""
    if sys.platform != "win32" and not is_at(number, path):
        raise _held(path, _read(_beside(path)))


def unlock(number: int) -> None:
    """Unlock the open file with descriptor `number`, which is then to be closed.

    Closing it is not enough where a child that was forked meanwhile has it open, too. The child
    itself must not do this.
    """
    if sys.platform != "win32":  # no process is forked there
        import fcntl

        with suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_UN)


def _try_lock(number: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_at(number: int, path: Path) -> bool:
    """Is the open file with descriptor `number` still the one at `path`?"""
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except FileNotFoundError:
        return False
    except OSError:  # it cannot be told; if the file is gone, writing will show it
        return True


# lock files


@dataclass(frozen=True)
class Holder:
    """What a lock file says of the process that made it.

    host     the name of its machine, for people
    machine  of this start of the machine, where that can be known: process numbers count there
    pid      the number of the process
    process  when it began, as the system counts; None: unknown
    since    when it took the lock, for people
    token    what no other lock file has
    """

    host: str
    machine: str
    pid: int
    process: str | None
    since: str
    token: str

    @classmethod
    def this(cls) -> Holder:
        pid = os.getpid()
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        return cls(_host(), _machine(), pid, _status(pid)[1], since, secrets.token_hex(16))

    @classmethod
    def parse(cls, data: bytes) -> Holder | None:
        """None: it is cut, or of another program."""
        try:
            found = json.loads(data)
            holder = cls(**{name: found[name] for name in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        texts = (holder.host, holder.machine, holder.since, holder.token)
        sound = all(isinstance(text, str) for text in texts) and type(holder.pid) is int
        return holder if sound and holder.pid > 0 else None

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    def has_ended(self) -> bool:
        """Is it a process of this machine that is surely gone? False: who knows."""
        if (self.host, self.machine) != (_host(), _machine()) or sys.platform == "win32":
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # of another user: it is there
            pass
        state, began = _status(self.pid)
        if state in ("Z", "X"):  # ended, and its parent has not asked how
            return True
        return None not in (began, self.process) and began != self.process  # its number is reused


class LockFile:
    """The lock file beside `path`, held from now on until `release`.

    A forked child does not hold it. At the end of the process it is removed; one that is killed
    leaves it, and who comes next takes it over.

    Raises LockedError if another process holds it. Where none can be made, as in a folder that may
    not be written, nothing is held (`held` is false), and the system's lock alone counts.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._beside = path, _beside(path)
        self._own = Holder.this()
        self._mutex, self._end = threading.Lock(), threading.Event()
        self.held = _take(path, self._beside, self._own)
        self._last = _clock()
        if self.held:
            atexit.register(self.release)
            threading.Thread(target=self._beat, name="clipcodec lock", daemon=True).start()

    def check(self) -> None:
        """Raise LockedError if another process has taken it over, as after a long standstill.

        It is looked at only if it was not touched in time.
        """
        if not self.held or self._own.pid != os.getpid() or self._is_fresh():
            return
        with self._mutex:
            self._touch()
        if not self._is_fresh():
            raise LockedError(
                f"{self._path} was taken over by another process, as this one had not been heard "
                f"of for {STALE_SECONDS:.0f} seconds: begin again"
            )

    def release(self) -> None:
        """Remove it, if it is still this one's. May be called twice."""
        if not self.held or self._own.pid != os.getpid():
            return
        with self._mutex:
            self.held = False
            self._end.set()
            atexit.unregister(self.release)
            if self._is_own():
                with suppress(OSError):
                    self._beside.unlink()

    def _is_fresh(self) -> bool:
        return _clock() - self._last < STALE_SECONDS / 2

    def _is_own(self) -> bool:
        found = _read(self._beside)
        return found is not None and found.token == self._own.token

    def _beat(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            with self._mutex:
                if self.held:
                    self._touch()

    def _touch(self) -> None:
        """By the file server's clock: no time is named."""
        if self._is_own():
            with suppress(OSError):
                os.utime(self._beside)
                self._last = _clock()


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _take(path: Path, beside: Path, own: Holder) -> bool:
    """Make the lock file; False if none can be made there. Raises LockedError."""
    for _ in range(_TRIES):
        try:
            if _make(beside, own):
                return True
        except OSError:  # in a folder that may not be written, or has no room
            if not beside.exists():
                return False
        with suppress(FileNotFoundError):  # it has gone meanwhile: try again
            if not _taken_over(beside, own):
                break
            return True
    raise _held(path, _read(beside))


def _taken_over(beside: Path, own: Holder) -> bool:
    """Make the lock file in place of one whose holder is gone; False if he is not.

    Raises FileNotFoundError if there is none any more.
    """
    try:
        if not _is_left(beside):
            return False
        with _alone(beside) as alone:
            if not alone or not _is_left(beside):
                return False
            beside.unlink()
            return _make(beside, own)
    except FileNotFoundError:
        raise
    except OSError:  # nothing can be told or changed in this folder
        return False


def _is_left(path: Path) -> bool:
    """Is the holder of a lock file surely gone? Raises OSError if its age cannot be told."""
    found = _read(path)
    return (found is not None and found.has_ended()) or _age(path) >= STALE_SECONDS


def _make(path: Path, holder: Holder) -> bool:
    """Make a lock file with its content; False if there is one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        number = os.open(path, flags, 0o644)
    except FileExistsError:
        return False
    try:
        data = holder.to_bytes()
        if os.write(number, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    except BaseException:
        os.close(number)
        path.unlink()
        raise
    os.close(number)
    return True


@contextmanager
def _alone(beside: Path) -> Iterator[bool]:
    """Of several who find a lock file without a holder, one alone may remove it: True."""
    guard = beside.with_name(beside.name + ".taking")
    if guard.exists() and _age(guard) >= STALE_SECONDS:  # its maker was killed between two calls
        guard.unlink()
    alone = _make(guard, Holder.this())
    try:
        yield alone
    finally:
        if alone:
            with suppress(OSError):
                guard.unlink()


def _read(path: Path) -> Holder | None:
    try:
        with open(path, "rb") as file:
            return Holder.parse(file.read(_MOST))
    except OSError:
        return None


def _age(path: Path) -> float:
    """Seconds since a file was touched, by the clock of its file system. Raises OSError.

    It is opened, as a network file system may know a state of long ago of files that are not.
    """
    with open(path, "rb") as file:
        touched = os.fstat(file.fileno()).st_mtime
    probe = path.with_name(f".clipcodec-{secrets.token_hex(6)}.tmp")
    try:
        with open(probe, "xb") as file:
            return os.fstat(file.fileno()).st_mtime - touched
    finally:
        with suppress(OSError):
            probe.unlink()


def _held(path: Path, holder: Holder | None) -> LockedError:
    who, more = "another process", ""
    if holder is not None:
        where = "" if holder.host == _host() else f" on {holder.host}"
        own = not where and holder.pid == os.getpid()
        who = "this process itself" if own else f"another process, {holder.pid}{where}"
        who += f", since {holder.since}"
        if where:
            more = (
                f"; if that process is gone, it is free {STALE_SECONDS:.0f} seconds after its end, "
                f"or once {_beside(path)} is removed"
            )
    return LockedError(f"{path} is being written by {who}: wait, or write another file{more}")


# processes and machines


def _host() -> str:
    return socket.gethostname()


@lru_cache(maxsize=1)
def _machine() -> str:
    """Equal in processes that see each other's numbers, as far as the system tells."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return sys.platform


def _status(pid: int) -> tuple[str | None, str | None]:
    """The state of a process and when it began, as Linux says them; None: not known."""
    with suppress(OSError, ValueError, IndexError):
        data = Path(f"/proc/{pid}/stat").read_bytes()
        fields = data[data.rindex(b")") :].decode("ascii").split()
        return fields[1], fields[20]
    return None, None


def _clock() -> float:
    """Seconds, also those that the machine slept."""
    clock: Any = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
