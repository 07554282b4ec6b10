"""Streams inside image files (formats/inside-images.md): JPEG, PNG, WebP, AVIF and HEIF.

A stream is an item of the file's XMP metadata. Every byte of the coded image stays as it is. Only
the standard library is needed.

>>> from clipcodec.carriers import attach, extract
>>> with_stream = attach("photo.jpg", stream)   # the bytes of a file
>>> extract(with_stream) == [stream]
True
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ..bitstream import split
from ..errors import CorruptError, ImageError, ImageFileError
from ..images import describe
from . import heif, jpeg, png, webp, xmp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    ImageFile: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview

__all__ = ["attach", "extract", "format_of"]


class _Format(NamedTuple):
    """What a file format's module does.

    packets  the XMP packets of a file; the first is the one that can be replaced, b"" if there is
             none yet
    replace  the file with another first packet
    """

    name: str
    matches: Callable[[bytes], bool]
    packets: Callable[[bytes], list[bytes]]
    replace: Callable[[bytes, bytes], bytes]


_FORMATS = tuple(
    _Format(name, module.matches, module.packets, module.replace)
    for name, module in (("JPEG", jpeg), ("PNG", png), ("WebP", webp), ("AVIF or HEIF", heif))
)


def attach(image: ImageFile, stream: bytes) -> bytes:
    """The image file with a stream in its metadata: the whole file's bytes; nothing is written.

    A stream of the same profile that is there already is replaced, those of others stay.

    Raises ImageFileError, ImageError (damaged, or of no such format) or, where `stream` is none,
    DecodeError.
    """
    stream = bytes(stream)
    split(stream)
    data = _read(image)
    with _named(image):
        form = _format(data)
        old = form.packets(data)[0]
        new = xmp.attach(old, stream)
        return data if new == old else form.replace(data, new)


def extract(image: ImageFile) -> list[bytes]:
    """The streams that an image file carries, one a profile, in their order; [] if none.

    They are not decoded: `clipcodec.decode` and `info` check them.

    Raises ImageFileError, ImageError (damaged, or of no such format) or CorruptError (what is there
    of a stream cannot be read).
    """
    data = _read(image)
    with _named(image):
        packets = _format(data).packets(data)
        streams = [stream for packet in packets for stream in xmp.streams(packet)]
    first = {xmp.owner(stream): stream for stream in reversed(streams)}
    return [stream for stream in dict.fromkeys(streams) if first[xmp.owner(stream)] == stream]


def format_of(data: bytes) -> str | None:
    """The format of a file that begins with these bytes, a dozen at least; None: none of ours."""
    return next((form.name for form in _FORMATS if form.matches(data)), None)


def _format(data: bytes) -> _Format:
    for form in _FORMATS:
        if form.matches(data):
            return form
    names = ", ".join(form.name for form in _FORMATS)
    raise ImageError(f"no file that can carry a stream: expected {names}; convert it to one")


def _read(image: ImageFile) -> bytes:
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    try:
        with open(image, "rb") as file:
            return file.read()
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
        raise ImageFileError(f"{describe(image)} {why}") from error


@contextmanager
def _named(image: ImageFile) -> Iterator[None]:
    """Errors say which file they are about."""
    try:
        yield
    except (ImageError, CorruptError) as error:
        raise type(error)(f"{describe(image)}: {error}") from error
