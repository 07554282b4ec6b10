"""Lists of ids as texts, one per line: for files that have no room for ids."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable

from ..errors import InputError, OptionError, placed

_MARKS = {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_SPLIT = frozenset("\n\r\0")


def parse_ids(data: bytes) -> list[str | None]:
    """The ids in a text, one per line, None for an empty line.

    If there are NULs, each id ends with one, as `clipcodec ids --null` writes them. Raises
    InputError if it is not text.
    """
    coding = next((coding for mark, coding in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(coding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"a list of ids is UTF-8 text, an id per line; byte {error.start} of it is not"
        ) from error
    end = "\0" if "\0" in text else "\n"
    lines = text.split(end)
    if not lines[-1]:  # after the last line break
        lines.pop()
    if end == "\n":
        lines = [line.removesuffix("\r") for line in lines]
    return [line or None for line in lines]


def read_ids(path: str | os.PathLike[str]) -> list[str | None]:
    """The same, of a file. Raises InputError naming it, or OSError."""
    with open(path, "rb") as file, placed(source=os.fspath(path)):
        return parse_ids(file.read())


def lines_of(ids: Iterable[str | None]) -> str:
    """The text of such a list; an empty line for None.

    Raises OptionError for an id that would be read as another: `parse_ids` splits the text.
    """
    text = "".join(map(_line, ids))
    if text.startswith("\ufeff"):  # a mark of the coding, which is not kept
        raise OptionError("the first id begins with U+FEFF, so --ids cannot hold it: use --json")
    return text


def _line(id: str | None) -> str:
    if id is not None and not _SPLIT.isdisjoint(id):
        raise OptionError(f"id {id!r} has a line break or a NUL, so --ids cannot hold it: use "
                          "--json")  # fmt: skip
    return f"{id or ''}\n"
