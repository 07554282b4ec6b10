"""What a job works on, one by one: entries with an id; and what all sources of them share."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from ..errors import ClipcodecError, ImageError, ImageFileError, InputError
from ..system.optional import missing_named
from ..system.pipes import LARGEST_IMAGE

LARGEST = LARGEST_IMAGE  # bytes of an image file
_LONGEST_ID = 1 << 12  # bytes
_MOST_NAMES = 1000  # of what is left out for one reason
# formats that Pillow reads only with another program, and those that images.py refuses
_NOT_READ = {"BUFR", "GRIB", "HDF5", "MPEG", "EPS", "WMF"}

_HEIF = {".heic", ".heics", ".heif", ".heifs", ".hif"}

Wanted = Callable[[str], bool]


class Entry(NamedTuple):
    """One thing to compress.

    id       the id that its stream gets
    name     what messages call it
    content  the path or the bytes of an image file, a row of an array, or what is wrong with it
    rows     how many images or rows it stands for: more than one where all fail alike
    ours     is the row what the job's backbone has made of an image, with unit norm?
    """

    id: str
    name: str
    content: str | bytes | NDArray[Any] | ClipcodecError
    rows: int = 1
    ours: bool = False


# what is left out: "not taken: 3 …"
HIDDEN = "hidden (names that start with a dot)"
NO_IMAGE = "without the suffix of an image format that Pillow reads"
HEIF = (
    "HEIC images, which Pillow does not read (export them as JPEG; or in Python pip install "
    "pillow-heif and call pillow_heif.register_heif_opener() before the job)"
)
LINK = "links without the suffix of an image format"
IN_ITSELF = "links to a folder that they lie in"
FOLDER = "folders that match the pattern (FOLDER/* or ** takes what is in them)"
OTHER_INPUT = "archives or arrays in a folder (give them as inputs of their own)"


@dataclass(frozen=True)
class LeftOut:
    """What is neither an input nor a failure, for one reason.

    Attributes:
        why: The reason.
        count: How many files or archive members there are.
        names: Their names, at most 1000 of them.

    Examples:
        >>> from clipcodec.bulk import LeftOut
        >>> LeftOut("hidden", 2, [".a", ".b"])
        <clipcodec.bulk.LeftOut: 2 hidden: '.a', '.b'>
    """

    why: str
    count: int
    names: list[str]

    def __repr__(self) -> str:
        from ..system.shown import named, shown

        return shown("bulk.LeftOut", lambda: [f"{self.count:,} {self.why}: {named(self.names)}"])


class Tally:
    """Counts what is left out, for each reason."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}

    def add(self, why: str, name: str) -> None:
        self._add(LeftOut(why, 1, [name]))

    def update(self, other: Tally) -> None:
        for found in other.found():
            self._add(found)

    def found(self) -> list[LeftOut]:
        return [LeftOut(why, count, self._names[why]) for why, count in self._counts.items()]

    def _add(self, found: LeftOut) -> None:
        self._counts[found.why] += found.count
        names = self._names.setdefault(found.why, [])
        names += found.names[: _MOST_NAMES - len(names)]


class Source(Protocol):
    """One input of a job.

    images    are its entries images, or embeddings?
    count     how many entries it has; None: unknown until it has been read
    left_out  what it holds besides; complete when its entries have been read
    """

    left_out: Tally

    @property
    def images(self) -> bool: ...

    @property
    def count(self) -> int | None: ...

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        """The entries whose ids are wanted, and those that cannot be read.

        `wanted` is called with every id, in order.
        """


@lru_cache(maxsize=1)
def _suffixes() -> frozenset[str]:
    with missing_named():
        from PIL import Image

    formats = Image.registered_extensions().items()
    return frozenset(s for s, name in formats if name in Image.OPEN and name not in _NOT_READ)


def is_image(name: str) -> bool:
    """Has this name the suffix of an image format that Pillow reads?"""
    return os.path.splitext(name)[1].lower() in _suffixes()


def no_image(name: str) -> str:
    """Why a file is left out whose name has no suffix that `is_image` knows."""
    return HEIF if os.path.splitext(name)[1].lower() in _HEIF else NO_IMAGE


def size_fault(size: int) -> ImageError | None:
    """What is wrong with an image file of this size, if anything."""
    if size <= LARGEST:
        return None
    return ImageError(f"{size} bytes: above the limit of {LARGEST} for an image file")


def id_fault(id: str) -> ClipcodecError | None:
    """Why a container cannot hold this id, or None if it can."""
    try:
        size = len(id.encode())
    except UnicodeEncodeError:
        return InputError("its name is not UTF-8, so it cannot be an id: rename it")
    if size > _LONGEST_ID:
        return InputError(f"its name has {size} bytes, and an id at most {_LONGEST_ID}: rename it")
    return None


def text_of(path: str) -> str:
    """A path as text for ids: its bytes as UTF-8, whatever the locale. See `printable`."""
    try:
        return os.fsencode(path).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no name of a file in this locale
        return path


def printable(text: str) -> str:
    """A name as text that can be encoded, even if the name is not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def label(path: str) -> str:
    """What ids of an archive's or array's entries, or of a directory's files, begin with."""
    return text_of(os.path.basename(os.path.abspath(path))) or "root"


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_fault(path: str) -> ImageFileError | None:
    """Why this is not a file to open: to open a pipe or a device might never end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        if os.path.islink(path):
            target = printable(text_of(os.readlink(path)))
            return ImageFileError(f"it is a link to {target!r}, which cannot be read: {why}")
        if isinstance(error, FileNotFoundError):
            return ImageFileError(f"{printable(text_of(path))!r} does not exist: check the path")
        return ImageFileError(f"{printable(text_of(path))!r} cannot be read: {why}")
    if stat.S_ISREG(mode):
        return None
    kind = _KINDS.get(stat.S_IFMT(mode), "of an unknown kind")
    return ImageFileError(f"it is {kind}, not a file: only files are read from lists and folders")


def posix(path: str) -> str:
    """A path as text for ids, with forward slashes."""
    return text_of(path).replace(os.sep, "/")


def shown(path: str) -> str:
    """A path as text for messages."""
    return printable(text_of(path))
