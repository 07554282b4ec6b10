"""Names of files made from ids, which are text from strangers (formats/container-1.md, section 11).

A name leads nowhere but below the folder that it is used in, on any system, and no two items get
the same one.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import chain, count

STREAM_SUFFIX = ".clip"
_LONGEST_PART = 180  # bytes of a name, without its number and suffix; systems have 255
_LONGEST = 1000  # bytes of a whole path below the folder
_REFUSED = re.compile(r'[\\:*?"<>|]')  # by some system
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # names on Windows


class FileNames:
    """A name for each item, such as `beach/a.jpg.clip` for the id `beach/a.jpg`.

    The parts of an id between slashes are kept. What a file name cannot hold becomes `_`; so do
    parts that are empty, `.` or `..`. An item without an id is called after its position. If a
    name is taken already, also but for capital letters, the position is added to it.
    """

    def __init__(self, suffix: str = STREAM_SUFFIX) -> None:
        self._suffix = suffix
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def name(self, id: str | None, position: int) -> str:
        """The path of the file of the item at `position`, relative, with forward slashes."""
        number = f"{position:04d}"
        safe = number if id is None else "/".join(map(_safe, id.split("/")))
        others = (f"item.{number}.{more}" for more in count())
        tries = chain((safe, f"{safe}.{number}", f"item.{number}"), others)
        if len(safe.encode()) > _LONGEST:
            tries = chain((f"item.{number}",), others)
        return next(found for found in (t + self._suffix for t in tries) if self._take(found))

    def _take(self, path: str) -> bool:
        """Note that this name is used now; False if it cannot be."""
        key = unicodedata.normalize("NFC", path).casefold()
        above = [key[: match.start()] for match in re.finditer("/", key)]
        if key in self._files or key in self._folders or not self._files.isdisjoint(above):
            return False
        self._files.add(key)
        self._folders.update(above)
        return True


def _safe(part: str) -> str:
    """One part of an id, as part of a path."""
    text = "".join(c if c.isprintable() else "_" for c in _REFUSED.sub("_", part))
    text = text.encode()[:_LONGEST_PART].decode(errors="ignore")
    if not text.strip(". "):  # empty, `.`, `..` and the like
        return "_" * max(1, len(text))
    text = text[:-1] + "_" if text[-1] in ". " else text  # Windows drops these
    return f"_{text}" if _DEVICES.match(text) else text
