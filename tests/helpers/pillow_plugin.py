"""A plugin for Pillow, of a format of four letters: "TOY!" is a grey picture of one pixel."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageFile

LEVEL = 10  # a setting of the plugin: the picture's grey


def accepts(prefix: bytes) -> bool:
    return prefix.startswith(b"TOY!")


class ToyFile(ImageFile.ImageFile):
    format = "TOY"

    def _open(self) -> None:
        self._mode, self._size = "L", (1, 1)
        self.tile = [ImageFile._Tile("toy", (0, 0, 1, 1), 0, None)]


class ToyDecoder(ImageFile.PyDecoder):
    def decode(self, buffer: Any) -> tuple[int, int]:
        self.set_as_raw(bytes([LEVEL]))
        return -1, 0


def register() -> None:
    Image.register_open(ToyFile.format, ToyFile, accepts)
    Image.register_decoder("toy", ToyDecoder)
