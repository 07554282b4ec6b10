"""The standard streams. Only this module prints: names from outside are escaped in one place.

Names of files, archive members, ids and columns may hold what a terminal takes for a command, a
line break, or characters that its encoding does not have.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from ..system.shown import counted as counted


def shown(text: object) -> str:
    """Text as people may see it: every character that is not printable is escaped, as in Python.

    Bytes of a file name that are not text are shown as `\\xff`.
    """
    characters = str(text)
    if characters.isprintable():
        return characters
    return "".join(map(_shown, characters))


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":  # a kind of space
        return character
    if "\udc80" <= character <= "\udcff":  # as Python keeps a byte that is no text
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def tell(*fields: object) -> None:
    """A line on stdout: fields, escaped, with tabs between them."""
    with _stdout_named():
        print(*map(shown, fields), sep="\t")


def as_json(value: object, indent: int | None = None) -> str:
    """JSON of printable ASCII; `json` itself leaves DEL as it is."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


def tell_json(value: object, indent: int | None = None) -> None:
    """JSON on stdout."""
    with _stdout_named():
        print(as_json(value, indent))


ARROW = "→"
_UNITS = ("kB", "MB", "GB", "TB", "PB")
_PLAIN = 10_000  # below it bytes are counted one by one


def size_text(size: float) -> str:
    """A number of bytes for people: three digits and a decimal unit, or all its digits if few.

    >>> size_text(1), size_text(9_999), size_text(98_304_128)
    ('1 byte', '9,999 bytes', '98.3 MB')
    """
    if round(size) < _PLAIN:
        return counted(round(size), "byte")
    power = 1
    while power < len(_UNITS) and float(f"{size / 1000**power:.3g}") >= 1000:
        power += 1
    return f"{float(f'{size / 1000**power:.3g}'):g} {_UNITS[power - 1]}"


def _has_arrow() -> bool:
    """Does the encoding of stderr have the arrow? If not it would come out as \\u2192."""
    try:
        ARROW.encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True


def say(text: object) -> None:
    """A message: a line on stderr, escaped, above the progress bar if there is one."""
    note(f"clipcodec: {text}")


def note(text: object) -> None:
    """The same without the name of the command."""
    line = shown(text)
    if not _has_arrow():
        line = line.replace(ARROW, "->")
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)  # imported with the first bar
    with suppress(OSError):  # nobody can be told; the work goes on
        if tqdm is None:
            print(line, file=sys.stderr)
        else:
            tqdm.write(line, file=sys.stderr)


class _Closed:
    """In place of a standard stream that is closed: fails when it is used, and only then."""

    encoding = "utf-8"

    def __init__(self, name: str) -> None:
        self.name = name

    def _fail(self, *_: object) -> NoReturn:
        raise OSError(errno.EBADF, "is closed", self.name)

    read = write = fileno = _fail

    @property
    def buffer(self) -> NoReturn:
        self._fail()

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


@contextmanager
def standard_streams() -> Iterator[None]:
    """Streams that can be used whatever they are: closed, or of any encoding.

    What the encoding of stdout does not have is escaped. Messages to a stderr that is closed are
    lost, and do not go to stdout, as `print` would have it.
    """
    system: Any = sys  # whose streams may be None
    before = system.stdin, system.stdout, system.stderr
    for number, stream in enumerate(before):
        if stream is None:
            _occupy(number)
    if system.stdin is None:
        system.stdin = _Closed("stdin")
    if system.stdout is None:
        system.stdout = _Closed("stdout")
    if system.stderr is None:
        system.stderr = open(os.devnull, "w")  # noqa: SIM115
    out = system.stdout
    errors = getattr(out, "errors", None)
    if hasattr(out, "reconfigure"):
        out.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        if hasattr(out, "reconfigure") and not out.closed:
            with suppress(OSError):
                out.reconfigure(errors=errors)
        system.stdin, system.stdout, system.stderr = before


def _occupy(number: int) -> None:
    """Else the next file that is opened would get this number, and what is written to it."""
    try:
        os.fstat(number)
    except OSError:
        with suppress(OSError):
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def flush() -> None:
    """Write out what was told."""
    with _stdout_named():
        sys.stdout.flush()


@contextmanager
def _stdout_named() -> Iterator[None]:
    """An OSError of the `with` block is about stdout, and says so."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "stdout") from error


def give_up_stdout() -> None:
    """After an error: what stdout still holds and cannot write is no second error at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
