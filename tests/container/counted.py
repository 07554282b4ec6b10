"""A file that counts how often it is read, and what it holds."""

from __future__ import annotations

import io

STREAMS = [bytes([0x69, i]) * 3 for i in range(10)]
IDS = [f"{i}.jpg" for i in range(9)]


class Counted(io.BytesIO):
    """Counts how often it is read."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        Counted.reads += 1
        return super().read(size)
