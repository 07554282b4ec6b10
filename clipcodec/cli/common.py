"""What several verbs share: standard streams, progress, naming failures."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from ..errors import InputError, OutputExistsError
from ..files import refuse_existing, write_atomic

T = TypeVar("T")
STDIO = "-"


def read_input(name: str) -> bytes:
    """A file's bytes, or those of stdin for "-"."""
    return sys.stdin.buffer.read() if name == STDIO else Path(name).read_bytes()


def write_output(name: str, data: bytes, *, force: bool) -> None:
    """Write a whole file, or stdout for "-" unless that is a terminal."""
    if name != STDIO:
        write_atomic(name, data, overwrite=force)
        return
    if sys.stdout.isatty():
        raise InputError("refusing to write bytes to a terminal: use -o FILE or a pipe")
    sys.stdout.buffer.write(data)


def refuse_terminal_or_existing(name: str, *, force: bool) -> None:
    """Say early, before long work, that the output cannot be written."""
    path = Path(name)
    if name == STDIO or (path.exists() and not path.is_file() and not path.is_dir()):
        return
    refuse_existing(path, overwrite=force)
    if not path.parent.is_dir():
        raise OutputExistsError(f"{path.parent} is not a directory: make it first")


def report(name: str, error: Exception) -> None:
    """One failed input, in words, on stderr."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    label = "stdin" if name == STDIO else name
    print(f"clipcodec: {text if label in text else f'{label}: {text}'}", file=sys.stderr)


def progress(items: Iterable[T], *, quiet: bool, **options: Any) -> Iterable[T]:
    """A progress bar on stderr for work on several items, on a terminal only."""
    from tqdm import tqdm

    bar: Iterable[T] = tqdm(items, disable=True if quiet else None, leave=False, **options)
    return bar
