"""Streams inside image files (formats/inside-images.md): JPEG, PNG, WebP, AVIF and HEIF.

A stream is stored as an item of the file's XMP metadata. The compressed image data is not changed.
Only the standard library is needed.

>>> from clipcodec.carriers import attach, extract
>>> stream = clipcodec.encode("photo.jpg")
>>> with_stream = attach("photo.jpg", stream)  # bytes of the new image file
>>> extract(with_stream) == [stream]
True
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ..bitstream import split
from ..errors import CorruptError, DecodeError, ImageError, ImageFileError
from ..images import describe
from ..system.paths import AS_TEXT, is_path_of_bytes
from ..system.pipes import read_path
from . import heif, jpeg, png, webp, xmp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    ImageFile: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview

__all__ = ["attach", "dimensions", "extract", "format_of"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


class _Format(NamedTuple):
    """The functions of one file format's module.

    dimensions  width and height in pixels, as the header says them, or None
    matches  whether a file that begins with these bytes has this format
    packets  the XMP packets of a file. `replace` can change only the first one; it is b"" if the
             file has none yet. An empty one (`xmp.content`) is none: the next one counts.
    replace  (file, packet) → the file with this packet in place of the first one, or of an empty
             one if there is no other
    """

    name: str
    matches: Callable[[bytes], bool]
    packets: Callable[[bytes], list[bytes]]
    dimensions: Callable[[bytes], tuple[int, int] | None]
    replace: Callable[[bytes, bytes], bytes]


_FORMATS = tuple(
    _Format(name, module.matches, module.packets, module.dimensions, module.replace)
    for name, module in (("JPEG", jpeg), ("PNG", png), ("WebP", webp), ("AVIF or HEIF", heif))
)


def attach(image: ImageFile, stream: bytes) -> bytes:
    """Put a stream into the metadata of an image file (formats/inside-images.md).

    The pixels stay as they are. A stream of the same profile that the file holds already is
    replaced; streams of other profiles stay.

    Args:
        image: The path of an image file, or its bytes: JPEG, PNG, WebP, AVIF or HEIF.
        stream: The bytes of a stream.

    Returns:
        The bytes of the whole new file. Nothing is written to disk.

    Raises:
        ImageFileError: The file cannot be read.
        ImageError: It is damaged, or in a format that cannot hold a stream.
        DecodeError: `stream` is no stream.

    Examples:
        >>> data = clipcodec.attach("photo.jpg", clipcodec.encode("photo.jpg", max_bytes=50))
        >>> len(clipcodec.extract(data))
        1
    """
    if not isinstance(stream, (bytes, bytearray, memoryview)):
        raise DecodeError(f"expected the bytes of a stream, got {type(stream).__name__}")
    stream = bytes(stream)
    split(stream)
    data = _read(image)
    with _errors_named(image):
        file_format = _find_format(data, image)
        old = file_format.packets(data)[0]
        new = xmp.attach(old, stream)
        return data if new == old else file_format.replace(data, new)


def extract(image: ImageFile) -> list[bytes]:
    """Find the streams in an image file.

    They are not decoded here; `clipcodec.decode` and `info` check them.

    Args:
        image: The path of an image file, or its bytes: JPEG, PNG, WebP, AVIF or HEIF.

    Returns:
        One stream for each profile, in the order of the file; [] if there is none.

    Raises:
        ImageFileError: The file cannot be read.
        ImageError: It is damaged, or in a format that cannot hold a stream.
        CorruptError: It holds a stream whose base64 is damaged.

    Examples:
        >>> clipcodec.extract("photo.jpg")
        []
    """
    data = _read(image)
    with _errors_named(image):
        packets = _find_format(data, image).packets(data)
        streams = [stream for packet in packets for stream in xmp.streams(packet)]
    first = {xmp.owner(stream): stream for stream in reversed(streams)}
    return [stream for stream in dict.fromkeys(streams) if first[xmp.owner(stream)] == stream]


def dimensions(image: ImageFile) -> tuple[int, int] | None:
    """Read width and height of an image file from its header.

    Args:
        image: The path of an image file, or its bytes: JPEG, PNG, WebP, AVIF or HEIF.

    Returns:
        Width and height in pixels, as stored, before Exif turns it; None: the header does not say
            them.

    Raises:
        ImageFileError: The file cannot be read.
        ImageError: It is damaged, or in a format that cannot hold a stream.

    Examples:
        >>> from clipcodec.carriers import dimensions
        >>> dimensions("photo.jpg")
        (96, 64)
    """
    data = _read(image)
    with _errors_named(image):
        return _find_format(data, image).dimensions(data)


def format_of(data: bytes) -> str | None:
    """Name the format of an image file that can hold a stream.

    Args:
        data: The first bytes of the file, at least 12.

    Returns:
        "JPEG", "PNG", "WebP" or "AVIF or HEIF"; None for any other.

    Examples:
        >>> from clipcodec.carriers import format_of
        >>> with open("photo.jpg", "rb") as file:
        ...     format_of(file.read(12))
        'JPEG'
    """
    return next((fmt.name for fmt in _FORMATS if fmt.matches(data)), None)


def _find_format(data: bytes, image: ImageFile) -> _Format:
    for fmt in _FORMATS:
        if fmt.matches(data):
            return fmt
    names = ", ".join(fmt.name for fmt in _FORMATS)
    remedy = AS_TEXT if is_path_of_bytes(image) else "convert it to one of them"
    raise ImageError(f"a file of this format cannot hold a stream: expected {names}; {remedy}")


def _read(image: ImageFile) -> bytes:
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if not isinstance(image, (str, os.PathLike)):
        raise ImageError(
            f"{describe(image)} is not an image file: give its path, or its bytes (file.read())"
        )
    try:
        return read_path(image)
    except (OSError, ValueError) as error:  # a NUL in the path
        why = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ImageFileError(f"{describe(image)} {why}") from error


@contextmanager
def _errors_named(image: ImageFile) -> Iterator[None]:
    """Put the file's name in front of the message of an error that the `with` block raises."""
    try:
        yield
    except (ImageError, CorruptError) as error:
        raise type(error)(f"{describe(image)}: {error}") from error
