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
    target = Path(path)
    if target.exists() and not target.is_file() and not target.is_dir():
        target.write_bytes(data)
        return
    refuse_existing(target, overwrite=overwrite)
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        refuse_existing(target, overwrite=overwrite)  # someone may have made it meanwhile
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError unless `path` may be written."""
    if path.is_dir():
        raise OutputExistsError(f"{path} is a directory: name a file")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists; -f (overwrite=True) replaces it")
