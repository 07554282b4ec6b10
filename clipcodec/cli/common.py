"""What several verbs share: standard streams, progress, naming failures."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

from ..carriers import format_of
from ..errors import DecodeError, OptionError
from ..system.files import refuse_existing, write_atomic

T = TypeVar("T")
STDIO = "-"
_LONGEST = 1 << 20  # bytes; far above any stream of any profile


def read_stream(name: str) -> bytes:
    """The bytes of one stream: a file's, or those of stdin for "-"; no more than any stream has."""
    with nullcontext(sys.stdin.buffer) if name == STDIO else open(name, "rb") as file:
        data = file.read(_LONGEST + 1)
    if format_of(data) is not None:
        raise DecodeError("an image file: `clipcodec extract` gets the stream that it may carry")
    if len(data) > _LONGEST:
        raise DecodeError(f"more than {_LONGEST} bytes: not a stream of one embedding")
    return data


def write_output(name: str, data: bytes, *, force: bool) -> None:
    """Write a whole file, or stdout for "-" unless that is a terminal."""
    if name != STDIO:
        write_atomic(name, data, overwrite=force)
        return
    _refuse_terminal()
    sys.stdout.buffer.write(data)


def target_of(name: str, output: str | None, inputs: int, suffix: str) -> str:
    """Where the result of one of so many inputs goes: beside it, to `output`, or into it."""
    if output is None:
        return STDIO if name == STDIO else name + suffix
    if output == STDIO and inputs > 1:
        raise OptionError("several results cannot share stdout: use -o DIRECTORY")
    if output != STDIO and (inputs > 1 or output.endswith(os.sep) or Path(output).is_dir()):
        if Path(output).exists() and not Path(output).is_dir():
            raise OptionError(f"{output} is not a directory: several results need one")
        return str(Path(output) / (("stdin" if name == STDIO else Path(name).name) + suffix))
    return output


def _refuse_terminal() -> None:
    if sys.stdout.isatty():
        raise OptionError("refusing to write bytes to a terminal: use -o FILE or a pipe")


def refuse_terminal_or_existing(name: str, *, force: bool) -> None:
    """Say early, before long work, that the output cannot be written."""
    if name == STDIO:
        _refuse_terminal()
        return
    path = Path(name)
    if path.exists() and not path.is_file() and not path.is_dir():
        return
    refuse_existing(path, overwrite=force)


def report(name: str, error: Exception) -> None:
    """One failed input, in words, on stderr."""
    label = "stdin" if name == STDIO else name
    print(f"clipcodec: {label}: {words(error, name)}", file=sys.stderr)


def words(error: Exception, name: str = "") -> str:
    """What an error says, on one line; its file is named unless that is `name`."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        named = error.filename not in (None, name)
        text = f"{error.filename}: {error.strerror}" if named else error.strerror
    return " ".join(text.split())


def refuse_shared(targets: Iterable[str]) -> None:
    """No two inputs may have one output: with -f the second would replace the first."""
    for target, count in Counter(os.path.realpath(t) for t in targets).items():
        if count > 1:
            raise OptionError(f"{count} inputs would become {target}: give them one at a time")


def progress(items: Iterable[T], *, quiet: bool, **options: Any) -> Iterable[T]:
    """A progress bar on stderr for work on several items, on a terminal only."""
    from tqdm import tqdm

    bar: Iterable[T] = tqdm(items, disable=True if quiet else None, leave=False, **options)
    return bar
