"""What a job works on, one by one: entries with an id; and what all sources of them share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from ..errors import ClipcodecError, ImageError, InputError

LARGEST = 1 << 28  # bytes of an image file
_LONGEST_ID = 1 << 12  # bytes
# formats that Pillow reads only with another program, and those that images.py refuses
_NOT_READ = {"BUFR", "GRIB", "HDF5", "MPEG", "EPS", "WMF"}

Wanted = Callable[[str], bool]


class Entry(NamedTuple):
    """One thing to compress.

    id       the id that its stream gets
    name     what messages call it
    content  the path or the bytes of an image file, a row of an array, or what is wrong with it
    rows     how many images or rows it stands for: more than one where all fail alike
    """

    id: str
    name: str
    content: str | bytes | NDArray[Any] | ClipcodecError
    rows: int = 1


class Source(Protocol):
    """One input of a job.

    images  are its entries images, or embeddings?
    count   how many entries it has; None: unknown until it has been read
    """

    images: bool

    @property
    def count(self) -> int | None: ...

    def entries(self, wanted: Wanted) -> Iterator[Entry]:
        """The entries whose ids are wanted, and those that cannot be read.

        `wanted` is called with every id, in order.
        """


@lru_cache(maxsize=1)
def _suffixes() -> frozenset[str]:
    from PIL import Image

    formats = Image.registered_extensions().items()
    return frozenset(s for s, name in formats if name in Image.OPEN and name not in _NOT_READ)


def is_image(name: str) -> bool:
    """Has this name the suffix of an image format that Pillow reads?"""
    return os.path.splitext(name)[1].lower() in _suffixes()


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


def printable(name: str) -> str:
    """A name as text that can be encoded, even if the name is not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def label(name: str) -> str:
    """What ids of an archive's or array's entries, or of a directory's files, begin with."""
    return os.path.basename(os.path.abspath(name)) or "root"
