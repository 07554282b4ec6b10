"""Memory that workers write pixels into, and that this process gives to the backbone as it is.

It is a ring of places, each for one image. The main process makes it, says which places a chunk
of images gets, and frees them in the order of the images; a batch in one piece is not copied.

On Linux it is a file without a name (memfd_create), which workers open through /proc. The system
drops it when the last process that has it ends, however that ends, and it takes nothing of
/dev/shm, which is small in containers. Where it cannot be made or opened, and when all places are
taken, pixels come through a pipe as any other result, which is slower.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ..errors import ClipcodecError
from ..models.jpegs import Jpeg
from .workers import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..models import Preprocess

    Pixels: TypeAlias = NDArray[np.uint8]

_Shape: TypeAlias = tuple[int, int, int, int]


class Place(NamedTuple):
    """Where the images of a chunk go.

    path   of the memory, for another process
    shape  (places, H, W, 3)
    first  number of the first place; those that follow have the next numbers
    """

    path: str
    shape: _Shape
    first: int


class Stored(NamedTuple):
    """A JPEG that lies in its place: how many bytes and pixels it has."""

    bytes: int
    pixels: int


class Ring:
    """The places. Numbers count up for ever: place n is row n % count."""

    def __init__(self, handle: int, shape: _Shape) -> None:
        os.ftruncate(handle, int(np.prod(shape)))
        self._handle, self._shape = handle, shape
        self._path = f"/proc/{os.getpid()}/fd/{handle}"
        self._rows = _mapped(handle, shape)
        self._next = self._free = 0  # places before `_free` may be written again

    def take(self, count: int) -> Place | None:
        """The next places, for so many images; None if there are not enough."""
        if self._next + count - self._free > self._shape[0]:
            return None
        self._next += count
        return Place(self._path, self._shape, self._next - count)

    def free(self, end: int) -> None:
        """What lies before number `end` is not needed any more."""
        self._free = end

    def found(self, item: Any, number: int) -> Any:
        """What `decode_into` has given for a place: for pixels there its number, or the JPEG."""
        if isinstance(item, Stored):
            row = self._rows[number % self._shape[0]]
            return Jpeg(row.reshape(-1)[: item.bytes], item.pixels)
        return number if item is None else item

    def stack(self, found: Sequence[int | Pixels]) -> Pixels:
        """(N, H, W, 3) of pixels, or of the numbers of their places: these without a copy if they
        follow each other."""
        first, count = found[0], self._shape[0]
        if (
            isinstance(first, int)
            and first % count + len(found) <= count
            and all(isinstance(at, int) and at == first + i for i, at in enumerate(found))
        ):
            return self._rows[first % count :][: len(found)]
        return np.stack([self._rows[at % count] if isinstance(at, int) else at for at in found])

    def close(self) -> None:
        """The memory stays until nobody looks at it."""
        os.close(self._handle)
        del self._rows


def ring(count: int, size: tuple[int, int]) -> Ring | None:
    """Places for so many images of (height, width); None if this system cannot have them."""
    if not hasattr(os, "memfd_create"):
        return None
    handle = -1
    try:
        handle = os.memfd_create("clipcodec")
        return Ring(handle, (count, *size, 3))
    except (OSError, ValueError):  # too many open files, no memory, refused by the container
        if handle >= 0:
            os.close(handle)
        return None


def _mapped(handle: int, shape: _Shape) -> Pixels:
    # closed when the last array of it is gone
    return np.frombuffer(mmap.mmap(handle, int(np.prod(shape))), np.uint8).reshape(shape)


_opened: tuple[str, Pixels | None] = ("", None)  # in a worker: the memory of its main process


def _open(place: Place) -> Pixels | None:
    """The memory that this place is in; None if this process cannot have it."""
    global _opened
    if _opened[0] != place.path:
        _opened = (place.path, None)
        with suppress(OSError, ValueError):
            handle = os.open(place.path, os.O_RDWR)
            try:
                _opened = (place.path, _mapped(handle, place.shape))
            finally:
                os.close(handle)
    return _opened[1]


def decode_into(
    place: Place | None,
    contents: Sequence[str | bytes],
    preprocess: Preprocess,
    setup: bytes | None = None,
    *,
    jpegs: bool = False,
) -> list[Pixels | Jpeg | ClipcodecError | Stored | None]:
    """As `decode`, but what finds room in its place is put there.

    None then stands for pixels, `Stored` for a JPEG.
    """
    found: list[Any] = [*decode(contents, preprocess, setup, jpegs=jpegs)]
    rows = None if place is None else _open(place)
    if place is not None and rows is not None:
        for i, item in enumerate(found):
            row = rows[(place.first + i) % len(rows)]
            if getattr(item, "shape", None) == row.shape:
                row[...] = item
                found[i] = None
            elif isinstance(item, Jpeg) and len(item.data) <= row.size:
                row.reshape(-1)[: len(item.data)] = np.frombuffer(item.data, np.uint8)
                found[i] = Stored(len(item.data), item.pixels)
    return found
