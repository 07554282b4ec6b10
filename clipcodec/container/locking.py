"""The file that a writer has for itself."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import LockedError, OutputExistsError
from ..system.files import lock


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
    file = cast(BinaryIO, os.fdopen(number, "r+b", buffering=0))
    try:
        lock(file.fileno(), path)
    except LockedError:  # then another process goes on with it
        file.close()
        raise
    except BaseException:
        close_unused(file, path, made=made)
        raise
    return file, made


def close_unused(file: BinaryIO, path: Path, *, made: bool) -> None:
    """Close a file that could not be begun, and remove it if it was made for that."""
    file.close()
    if made:
        with suppress(OSError):  # the error that led here matters more
            path.unlink()
