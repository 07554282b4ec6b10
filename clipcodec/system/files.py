"""Writing files so that they are complete or not there at all; locks."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import ClipcodecError, LockedError, OutputExistsError

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)


def write_atomic(path: str | os.PathLike[str], data: bytes, *, overwrite: bool) -> None:
    """Write `data` to a temporary file beside `path` and move it there. See `replacing`."""
    with replacing(path, overwrite=overwrite) as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike[str], *, overwrite: bool) -> Iterator[BinaryIO]:
    """A new file, moved to `path` when the `with` block ends without error, else deleted.

    A new file takes over the permissions of the file that it replaces. A process that is killed
    may leave the temporary file, `.clipcodec-….tmp`, which can be deleted. Pipes, devices and open
    files such as /dev/stdout are written directly. Raises OutputExistsError if `path` exists and
    `overwrite` is false, and OSError naming `path` for any other failure.
    """
    with _os_errors_named(path):
        if written_directly(path):
            with open_directly(path) as device:
                yield device
            return
        target = Path(os.path.realpath(path))  # replace what a link points to, not the link
        refuse_existing(target, overwrite=overwrite)
        with _through_temporary(target, overwrite=overwrite) as file:
            yield file


def written_directly(path: str | os.PathLike[str]) -> bool:
    """Is this a pipe, a device or an open file of this process, which no file can replace?

    Asked before the path is resolved: what /dev/stdout or a shell's >(…) resolves to is no path.
    """
    if open_number(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_directly(path: str | os.PathLike[str]) -> BinaryIO:
    """Open for writing what `written_directly`. An open file goes on where it stands."""
    number = open_number(path)
    return open(path, "wb") if number is None else os.fdopen(os.dup(number), "wb")


def open_number(path: str | os.PathLike[str]) -> int | None:
    """The number of the open file that such as /dev/stdout or /dev/fd/63 names; else None."""
    name = os.fsdecode(path)
    own = {"/dev/fd", "/proc/self/fd", os.path.realpath("/proc/self/fd")}
    for _ in range(40):  # links that lead to it, as Linux follows at most
        folder, last = os.path.split(os.path.abspath(name))
        folder = os.path.realpath(folder)
        if folder in own and last.isascii() and last.isdigit():
            return int(last)
        name = os.path.join(folder, last)
        if not os.path.islink(name):
            return None
        name = os.path.join(folder, os.readlink(name))
    return None


@contextmanager
def _os_errors_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Any OSError of the `with` block is raised again, naming this path."""
    try:
        yield
    except ClipcodecError:
        raise
    except OSError as error:
        why = f"cannot be written: {error.strerror or error}"
        raise OSError(error.errno or errno.EIO, why, os.fspath(path)) from error


@contextmanager
def _through_temporary(target: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    temporary = target.with_name(f".clipcodec-{secrets.token_hex(6)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as file:
            if overwrite and target.exists():
                os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        move(temporary, target, overwrite=overwrite)
    finally:
        with suppress(OSError):  # it must not hide the error that was raised before
            temporary.unlink()


def move(source: Path, target: Path, *, overwrite: bool) -> None:
    """Rename a file. Raises OutputExistsError if `target` exists by now, unless `overwrite`."""
    if overwrite or not _link(source, target):
        os.replace(source, target)
    else:
        source.unlink()


def _link(source: Path, target: Path) -> bool:
    """Hard-link `target` to `source`; False if the file system has no links.

    Raises OutputExistsError if `target` exists.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise OutputExistsError(
            f"{target} was made by another process meanwhile, and is kept"
        ) from None
    except OSError:
        refuse_existing(target, overwrite=False)
        return False
    return True


def lock(number: int, path: Path) -> None:
    """Lock the open file with descriptor `number`, which is `path`, until it is closed.

    Raises LockedError if another process holds the lock. A file system without locks is ignored.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            at_path = path.stat()
            if not os.path.samestat(at_path, os.fstat(number)):  # renamed before it was locked
                raise FileNotFoundError
    except OSError as error:
        if error.errno in _NO_LOCKS:  # the file system has no locks
            return
        raise LockedError(
            f"{path} is being written by another process: wait, or write another file"
        ) from None


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError if `path` is a folder, or exists and `overwrite` is false."""
    if path.is_dir():
        raise OutputExistsError(f"{path} is a directory: name a file")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists, and overwriting it was not asked for (-f)")
