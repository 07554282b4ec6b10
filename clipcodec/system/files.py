"""Files that are either whole or not there."""

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
    """A new file that takes the place of `path` if the `with` block ends well, else is deleted.

    A file that is replaced hands its permissions on.
    A process killed meanwhile leaves at worst that file, `.clipcodec-….tmp`, which may be deleted.
    Devices and pipes are written straight. Raises OutputExistsError when `path` exists and
    `overwrite` is false, OSError naming `path` for all else.
    """
    target = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    with _named(path):
        if target.exists() and not target.is_file() and not target.is_dir():
            with open(target, "wb") as device:
                yield device
            return
        refuse_existing(target, overwrite=overwrite)
        with _replacing(target, overwrite=overwrite) as file:
            yield file


@contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """OSErrors of the `with` block are about this path."""
    try:
        yield
    except ClipcodecError:
        raise
    except OSError as error:
        why = f"cannot be written: {error.strerror or error}"
        raise OSError(error.errno or errno.EIO, why, os.fspath(path)) from error


@contextmanager
def _replacing(target: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
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
        with suppress(OSError):  # of what cannot be written, why counts, not what comes of it
            temporary.unlink()


def move(source: Path, target: Path, *, overwrite: bool) -> None:
    """Rename; without `overwrite` OutputExistsError if `target` has come into being meanwhile."""
    if overwrite or not _link(source, target):
        os.replace(source, target)
    else:
        source.unlink()


def _link(source: Path, target: Path) -> bool:
    """Give `source` a second name unless that exists by now; false where links are not known."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise OutputExistsError(f"{target} was made by another meanwhile, and is kept") from None
    except OSError:
        refuse_existing(target, overwrite=False)
        return False
    return True


def lock(number: int, path: Path) -> None:
    """Be the only writer of the open file `number` until it is closed, or raise LockedError."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = path.stat()
            if not os.path.samestat(there, os.fstat(number)):  # renamed before it was locked
                raise FileNotFoundError
    except OSError as error:
        if error.errno in _NO_LOCKS:  # a file system without them
            return
        raise LockedError(
            f"{path} is being written by another process: wait, or write another file"
        ) from None


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError unless `path` may be written."""
    if path.is_dir():
        raise OutputExistsError(f"{path} is a directory: name a file")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists, and overwriting it was not asked for (-f)")
