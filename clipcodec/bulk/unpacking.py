"""Files that may be compressed, in several parts: their bytes, one after the other."""

from __future__ import annotations

import bz2
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, BinaryIO

from ..errors import MissingDependencyError

_PIECE = 1 << 16  # bytes read at a time
_MORSEL = 1 << 10  # bytes of zstd, which may become 32 MB
_MOST_ZEROS = 1 << 30  # after an archive; /dev/zero has no end


class _Zstandard:
    """The decompressor of the package zstandard, as those of the standard library."""

    def __init__(self, package: Any) -> None:
        self._inner = package.ZstdDecompressor().decompressobj()
        self._waiting = b""  # not decompressed yet

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data) + self._waiting

    def decompress(self, data: bytes, size: int) -> bytes:
        """At least some bytes if there are more; it knows no limit, so it gets little at a time."""
        self._waiting += data
        parts = list[bytes]()
        while self._waiting and not self.eof and sum(map(len, parts)) < size:
            piece, self._waiting = self._waiting[:_MORSEL], self._waiting[_MORSEL:]
            parts.append(self._inner.decompress(piece))
        return b"".join(parts)


def _zstd() -> Any:
    """A decompressor of zstd. Raises MissingDependencyError: it needs Python 3.14 or a package."""
    for module in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return import_module(module).ZstdDecompressor()
    with suppress(ImportError):
        return _Zstandard(import_module("zstandard"))
    raise MissingDependencyError(
        "zstd archives need a package before Python 3.14: pip install backports.zstd, or pack the "
        "archive with gzip",
        name="backports.zstd",
    )


# how compressed data begin, and what decompresses them; each has `eof` and `unused_data`
_PACKINGS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b\x08", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
    (b"\x5d\x00\x00\x80", lzma.LZMADecompressor),
    (b"\x28\xb5\x2f\xfd", _zstd),
    *((bytes([0x50 + i]) + b"\x2a\x4d\x18", _zstd) for i in range(16)),  # frames to be skipped
)


def is_packed(head: bytes) -> bool:
    """Are these the first bytes of compressed data?"""
    return any(head.startswith(magic) for magic, _ in _PACKINGS)


class Decompressed:
    """The bytes of a file from where it stands, decompressed: as much of a file as tarfile needs.

    Compressed data may have several parts, and zeros between and after them.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ready = b""  # decompressed, and not read yet
        self._packed = file.read(_PIECE)  # not decompressed yet
        self._position = 0
        self._decompressor = self._begin()
        if self._decompressor is None:
            self._ready, self._packed = self._packed, b""
        self._skips = self._decompressor is None and is_seekable(file)

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        parts = []
        while size > 0 and (self._ready or self._fill(size)):
            part, self._ready = self._ready[:size], self._ready[size:]
            parts.append(part)
            size -= len(part)
            self._position += len(part)
        return b"".join(parts)

    def seek(self, position: int) -> None:
        """Forwards only; without reading what is between, if the file can do that."""
        ahead = position - self._position
        if ahead < 0:
            raise tarfile.ReadError("a header contradicts the one before it")
        if self._skips and ahead > len(self._ready):
            self._file.seek(ahead - len(self._ready), os.SEEK_CUR)
            self._ready, self._position = b"", position
        while self._position < position and self.read(min(position - self._position, _PIECE)):
            pass

    def skip_zeros(self) -> bool:
        """Go to the next byte that is not 0. False: there is none."""
        most = self._position + _MOST_ZEROS
        while self._ready or self._fill(_PIECE):
            if self._position > most:
                raise tarfile.ReadError(f"more than {_MOST_ZEROS} zeros follow its end mark")
            rest = self._ready.lstrip(b"\0")
            self._position += len(self._ready) - len(rest)
            self._ready = rest
            if rest:
                return True
        return False

    def _fill(self, size: int) -> bool:
        """Read more, perhaps less than `size`. False: there is no more."""
        if self._decompressor is None:
            self._ready = self._file.read(size if self._skips else max(size, _PIECE))
            return bool(self._ready)
        while not self._ready:
            if self._decompressor.eof:
                rest = self._decompressor.unused_data.lstrip(b"\0")
                while not rest and (piece := self._file.read(_PIECE)):
                    rest = piece.lstrip(b"\0")
                if not rest:
                    return False
                if len(rest) < max(len(magic) for magic, _ in _PACKINGS):
                    rest += self._file.read(_PIECE)
                self._packed = rest
                self._decompressor = self._begin()
                if self._decompressor is None:
                    raise tarfile.ReadError("what follows its compressed data is not compressed")
            data, ended = self._packed, False
            if not data and getattr(self._decompressor, "needs_input", True):
                data = self._file.read(_PIECE)
                ended = not data
            self._ready = self._decompressor.decompress(data, _PIECE)
            self._packed = getattr(self._decompressor, "unconsumed_tail", b"")  # zlib's way
            if ended and not self._ready and not self._decompressor.eof:
                raise tarfile.ReadError("it ends inside compressed data: cut")
        return True

    def _begin(self) -> Any:
        """What decompresses the data that come next; None: they are not compressed."""
        for magic, new in _PACKINGS:
            if self._packed.startswith(magic):
                return new()
        return None


def is_seekable(file: BinaryIO) -> bool:
    """Whether a file can seek; False also if it does not say."""
    try:
        return file.seekable()
    except (AttributeError, OSError):
        return False
