"""Files that are either whole or not there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .errors import OutputExistsError


def write_atomic(path: str | os.PathLike[str], data: bytes, *, overwrite: bool) -> None:
    """Write `data` to a temporary file beside `path` and move it there.

    Devices and pipes are written straight. Raises OutputExistsError when `path` exists and
    `overwrite` is false, OSError as usual.
    """
    target = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    if target.exists() and not target.is_file() and not target.is_dir():
        target.write_bytes(data)
        return
    refuse_existing(target, overwrite=overwrite)
    temporary = target.with_name(f".clipcodec-{secrets.token_hex(6)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite or not _link(temporary, target):
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


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
