"""Many byte strings side by side in one buffer, where a list would have an object for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
_ROWS = 4096  # padded at a time: what is being filled stays in cache


class Payloads(Sequence[bytes]):
    """N byte strings, payloads or whole streams, as columns. A sequence of bytes like any other.

    buffer   uint8, one dimension, contiguous
    starts   (N,) where in it each begins
    lengths  (N,) bytes of each; all lie within the buffer, in any order, and may overlap
    """

    def __init__(self, buffer: NDArray[np.uint8], starts: Integers, lengths: Integers) -> None:
        self.buffer, self.starts, self.lengths = buffer, starts, lengths

    @classmethod
    def of(cls, rows: Iterable[bytes]) -> Payloads:
        """Those of a list, copied into one buffer; such an object as it is."""
        if isinstance(rows, cls):
            return rows
        rows = rows if isinstance(rows, list) else list(rows)
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        buffer = np.frombuffer(b"".join(rows), np.uint8)
        return cls(buffer, np.cumsum(lengths) - lengths, lengths)

    @classmethod
    def joined(cls, parts: Sequence[Payloads]) -> Payloads:
        """Those of several, at least one, copied into one buffer; of a single one as they are."""
        if len(parts) == 1:
            return parts[0]
        begins = np.cumsum([0, *(len(part.buffer) for part in parts[:-1])]).tolist()
        return cls(
            np.concatenate([part.buffer for part in parts]),
            np.concatenate([part.starts + at for part, at in zip(parts, begins, strict=True)]),
            np.concatenate([part.lengths for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Payloads: ...
    def __getitem__(self, at: int | slice) -> bytes | Payloads:
        if isinstance(at, slice):
            return self.take(at)
        start = int(self.starts[at])
        return self.buffer[start : start + int(self.lengths[at])].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        if not len(self):
            return
        ends = self.starts + self.lengths
        first, end = int(self.starts.min()), int(ends.max())
        whole: Any = self.buffer[first:end].data
        if end - first <= 2 * int(self.lengths.sum()):
            whole = whole.tobytes()  # parts of bytes are made in half the time
        places = zip((self.starts - first).tolist(), (ends - first).tolist(), strict=True)
        yield from (bytes(whole[start:end]) for start, end in places)

    def take(self, rows: slice | Integers) -> Payloads:
        """Some of them, from the same buffer."""
        return Payloads(self.buffer, self.starts[rows], self.lengths[rows])

    def after(self, skipped: Integers) -> Payloads:
        """Each without its first bytes, as many as (N,) says."""
        return Payloads(self.buffer, self.starts + skipped, self.lengths - skipped)

    def last(self) -> NDArray[np.uint8]:
        """(N,) the last byte of each; none may be empty."""
        found: NDArray[np.uint8] = self.buffer[self.starts + self.lengths - 1]
        return found

    def padded(self, words: int = 0) -> NDArray[np.uint32]:
        """As 32-bit words, least significant byte first, with zeros behind the end of each.

        words  of each row, at least; more where the longest needs them

        Returns (N, W) uint32.
        """
        longest = int(self.lengths.max(initial=0))
        width = 4 * max(longest + 3 >> 2, words)
        out = np.zeros((len(self), width), np.uint8)
        if longest:
            for at in range(0, len(self), _ROWS):
                self._fill(out[at : at + _ROWS, :longest], slice(at, at + _ROWS))
        return out.view("<u4").astype(np.uint32, copy=False)

    def _fill(self, out: NDArray[np.uint8], rows: slice) -> None:
        """Copy rows to out (n, w), zeros behind them, where none is longer than w."""
        starts, lengths, width = self.starts[rows], self.lengths[rows], out.shape[1]
        within = starts <= len(self.buffer) - width
        if within.all():
            # every stretch of w bytes, at each place of the buffer: numpy copies whole items
            stretches: NDArray[Any] = np.ndarray(
                (len(self.buffer) - width + 1,), f"V{width}", self.buffer, strides=(1,)
            )
            out[:] = stretches[starts].view(np.uint8).reshape(out.shape)
        else:  # near the end of the buffer
            places = starts[:, None] + np.arange(width)
            out[:] = self.buffer.take(places, mode="clip")
        if (lengths < width).any():
            out *= np.arange(width, dtype=np.int32) < lengths.astype(np.int32)[:, None]
