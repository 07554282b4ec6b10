"""Writing many files into a folder so that all of them are there, or none."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OptionError, OutputExistsError
from .files import move, os_errors_named, refuse_existing
from .stores import is_url


@contextmanager
def filling(folder: str | os.PathLike[str], *, overwrite: bool) -> Iterator[Path]:
    """An empty folder to write files in; they move to `folder` if the `with` block ends well.

    If it does not, `folder` is as it was before, and is not made if it was not there. Folders
    within it are taken along. A process that is killed may leave the empty folder's name,
    `.clipcodec-….tmp`, which can be deleted.

    Raises OutputExistsError if `folder` is a file, or if it holds a file of the same name and
    `overwrite` is false; OptionError if it is a URL; OSError naming `folder` if it cannot be
    written.
    """
    if is_url(folder):
        raise OptionError(
            f"{folder}: several files that appear together cannot be written to an object store: "
            "name a folder on this machine, and copy it"
        )
    target = Path(os.path.realpath(folder))
    if target.exists() and not target.is_dir():
        raise OutputExistsError(f"{folder} is a file: name a directory")
    temporary = _nearest(target) / f".clipcodec-{secrets.token_hex(6)}.tmp"
    with os_errors_named(folder):
        temporary.mkdir()
    try:
        yield temporary
        with os_errors_named(folder):
            if target.is_dir():
                _move_all(temporary, target, overwrite=overwrite)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _nearest(target: Path) -> Path:
    """The folder itself, or the nearest one above it that exists: on the same file system."""
    return next(path for path in (target, *target.parents) if path.is_dir())


def _move_all(source: Path, target: Path, *, overwrite: bool) -> None:
    """Move all files below one folder to the same places below another; if one fails, none."""
    folders, files = _below(source)
    for name in folders:
        if (target / name).exists() and not (target / name).is_dir():
            raise OutputExistsError(f"{target / name} is a file: name another directory")
    for name in files:
        refuse_existing(target / name, overwrite=overwrite)
    made: list[Path] = []
    try:
        for name in folders:
            if not (target / name).is_dir():
                (target / name).mkdir()
                made.append(target / name)
        for name in files:
            new = not (target / name).exists()
            move(source / name, target / name, overwrite=overwrite)
            if new:
                made.append(target / name)
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):  # the error that led here matters more
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def _below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Folders, each after the one that it is in, and files, relative to `folder`."""
    folders, files = list[Path](), list[Path]()
    for path, inner, names in os.walk(folder):
        here = Path(path).relative_to(folder)
        folders += [here / name for name in inner]
        files += [here / name for name in names]
    return folders, files
