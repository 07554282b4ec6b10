"""The file that a writer has for itself, also on a file system that several machines share."""

from __future__ import annotations

import io
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from ..errors import LockedError, OutputExistsError
from ..system.locks import LockFile, check_place, lock, unlock

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Locked(io.FileIO):
    """An open file whose lock file goes when it is closed.

    Its writing fails if another process has taken the lock over.
    """

    lock_file: LockFile | None = None
    locked_by: int | None = None  # the number of the process

    def write(self, data: Buffer, /) -> int:
        if self.lock_file is not None:
            self.lock_file.check()
        return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        if self.lock_file is not None:
            self.lock_file.check()
        return super().truncate(size)

    def close(self) -> None:
        if self.lock_file is not None:
            self.lock_file.release()
        if not self.closed and self.locked_by == os.getpid():
            unlock(self.fileno())
        super().close()


def open_locked(path: Path, *, new: bool) -> tuple[BinaryIO, bool]:
    """Open and lock for reading and writing; and whether the file was made by this.

    Unbuffered: a write that fails raises at once.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
    made = True
    try:
        try:
            number = os.open(path, flags | os.O_EXCL, 0o666)
        except FileExistsError:
            if new:
                raise
            number, made = os.open(path, flags, 0o666), False
    except FileExistsError:
        raise OutputExistsError(f"{path} was made by another process meanwhile") from None
    except OSError as error:
        why = f"cannot be written: {error.strerror}"
        raise type(error)(error.errno, why, os.fspath(path)) from error
    file = _Locked(number, "r+b")
    try:
        _hold(file, path)
    except LockedError:  # then another process goes on with it
        file.close()
        raise
    except BaseException:
        close_unused(cast(BinaryIO, file), path, made=made)
        raise
    return cast(BinaryIO, file), made


def _hold(file: _Locked, path: Path) -> None:
    """Lock an open file, which is `path`, until it is closed. Raises LockedError."""
    lock(file.fileno(), path)
    file.locked_by = os.getpid()
    file.lock_file = LockFile(path)
    check_place(file.fileno(), path)  # it may have been finished before the lock file was ours


class ReplacedLock:
    """The lock of a file that is to be replaced: until `close`, nobody appends to it.

    Where no file is, there is nothing to append to: what will be renamed to this name has a lock of
    its own. Pipes and devices have none.

    Raises LockedError if another process writes the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = _opened_to_lock(path)
        self._lock_file: LockFile | None = None
        try:
            if self._file is not None:
                _hold(self._file, path)
                self._lock_file = self._file.lock_file
            elif path.is_file():
                self._lock_file = LockFile(path)
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Raise LockedError if another process has taken the lock over, and may have appended."""
        if self._lock_file is not None:
            self._lock_file.check()

    def close(self) -> None:
        """May be called twice."""
        if self._file is not None:
            self._file.close()
        elif self._lock_file is not None:
            self._lock_file.release()


def _opened_to_lock(path: Path) -> _Locked | None:
    """A file that is not changed; None: it cannot be opened, and the lock file alone counts."""
    if sys.platform == "win32":  # an open file cannot be replaced there
        return None
    for flags in (os.O_RDWR, os.O_RDONLY):  # network file systems lock what may be written alone
        with suppress(OSError):
            if stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its other end
                return _Locked(os.open(path, flags | os.O_NONBLOCK), "rb")
    return None


def close_unused(file: BinaryIO, path: Path, *, made: bool) -> None:
    """Close a file that could not be begun, and remove it if it was made for that."""
    file.close()
    if made:
        with suppress(OSError):  # the error that led here matters more
            path.unlink()
