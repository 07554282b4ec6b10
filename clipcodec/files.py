"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from .errors import OutputExistsError


def write_atomic(path: str | os.PathLike[str], data: bytes, *, overwrite: bool) -> None:
    """Write `data` to a temporary file beside `path` and move it there.

    A file that is replaced hands its permissions on.
    A process killed meanwhile leaves at worst that file, `.clipcodec-….tmp`, which may be deleted.
    Devices and pipes are written straight. Raises OutputExistsError when `path` exists and
    `overwrite` is false, OSError naming `path` for all else.
    """
    target = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(data)
            return
        refuse_existing(target, overwrite=overwrite)
        _replace(target, data, overwrite=overwrite)
    except OutputExistsError:
        raise
    except OSError as error:
        why = f"cannot be written: {error.strerror or error}"
        raise OSError(error.errno or errno.EIO, why, os.fspath(path)) from error


def _replace(target: Path, data: bytes, *, overwrite: bool) -> None:
    temporary = target.with_name(f".clipcodec-{secrets.token_hex(6)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as file:
            if overwrite and target.exists():
                os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite or not _link(temporary, target):
            os.replace(temporary, target)
    finally:
        with suppress(OSError):  # of what cannot be written, why counts, not what comes of it
            temporary.unlink()


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


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError unless `path` may be written."""
    if path.is_dir():
        raise OutputExistsError(f"{path} is a directory: name a file")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists, and overwriting it was not asked for (-f)")
