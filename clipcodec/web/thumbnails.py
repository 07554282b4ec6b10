"""Small versions of pictures: made once, kept in a folder of the user's cache."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path

from ..errors import ClipcodecError
from ..images import load_rgb
from ..system.files import write_atomic
from .pictures import Picture

EDGES = {"small": 256, "large": 960}  # the longer edge at most, in pixels
MEDIA_TYPE = "image/webp"
_QUALITY = 80
_METHOD = 2  # of WebP's encoder: a tenth larger than its default, in half the time


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/clipcodec/thumbnails`, or that below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    root = Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()
    return root / "clipcodec" / "thumbnails"


class Thumbnails:
    """Makes thumbnails of pictures and keeps them. Thread-safe.

    folder  where they are kept. One that cannot be written is no error: then each is made again
            whenever it is asked for
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def kept(self, key: str, size: str) -> bytes | None:
        """The thumbnail made before of the picture with this key, if there is one."""
        try:
            return self._path(key, size).read_bytes() or None
        except OSError:
            return None

    def make(self, picture: Picture, size: str) -> bytes:
        """A thumbnail, WebP, upright, of at most `EDGES[size]` pixels. Raises ImageError."""
        data = _small(picture.data, EDGES[size])
        path = self._path(picture.key, size)
        with suppress(OSError, ClipcodecError):  # on a full disk the page works all the same
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data, overwrite=True)
        return data

    def _path(self, key: str, size: str) -> Path:
        return self.folder / key[:2] / f"{key}.{EDGES[size]}.webp"


def _small(data: bytes, edge: int) -> bytes:
    image = load_rgb(data)
    image.thumbnail((edge, edge), reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=_METHOD)
    return buffer.getvalue()
