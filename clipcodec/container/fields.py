"""The fields of a block's body: numbers of few bytes, numbers of few bits, bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError


def varint(value: int) -> bytes:
    """Seven bits per byte, the least significant first; bit 7 is set in all bytes but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes([*out, value])


def pack_bits(values: NDArray[np.int64], width: int) -> bytes:
    """Each value in `width` bits, most significant first; zero bits up to a whole byte."""
    bits = values[:, None] >> np.arange(width - 1, -1, -1) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


class Fields:
    """Takes the fields of a body one after the other; CorruptError if the body is too short."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise CorruptError("fields of a block reach beyond its end")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        if self._at != len(self._data):
            raise CorruptError(f"{len(self._data) - self._at} bytes too many in a block")

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 28:
                raise CorruptError("a number of more than five bytes")
        if not byte and shift > 7:
            raise CorruptError("a number that is not in its shortest form")
        return value

    def varints(self, count: int) -> list[int]:
        """So many of them, one after another."""
        end = self._at + count
        short = self._data[self._at : end]
        if len(short) == count and short.isascii():  # a byte each
            self._at = end
            return list(short)
        return [self.varint() for _ in range(count)]

    def bits(self, count: int, width: int) -> NDArray[np.int64]:
        if not width:
            return np.zeros(count, np.int64)
        packed = np.frombuffer(self.take((count * width + 7) // 8), np.uint8)
        bits = np.unpackbits(packed)
        if bits[count * width :].any():
            raise CorruptError("bits after the last one are not zero")
        weights = 1 << np.arange(width - 1, -1, -1, dtype=np.int64)
        return bits[: count * width].reshape(count, width) @ weights
