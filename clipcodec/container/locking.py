"""The file that a writer has for itself, also on a file system that several machines share."""

from __future__ import annotations

import io
import os
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
        lock(number, path)
        file.locked_by = os.getpid()
        file.lock_file = LockFile(path)
        check_place(number, path)  # it may have been finished before the lock file was ours
    except LockedError:  # then another process goes on with it
        file.close()
        raise
    except BaseException:
        close_unused(cast(BinaryIO, file), path, made=made)
        raise
    return cast(BinaryIO, file), made


def close_unused(file: BinaryIO, path: Path, *, made: bool) -> None:
    """Close a file that could not be begun, and remove it if it was made for that."""
    file.close()
    if made:
        with suppress(OSError):  # the error that led here matters more
            path.unlink()
