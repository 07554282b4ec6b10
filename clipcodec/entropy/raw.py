"""Raw coder: every symbol in ⌈log2 K⌉ bits (formats/clipcodec-1.md, section 4.1)."""

from __future__ import annotations

import numpy as np

from ..errors import CorruptError, DecodeError, TruncatedError, raise_rows
from .tables import FrequencyTables, Symbols

CHECK_BYTES = 2


class RawCoder:
    """Packs symbols without statistics; also the form over which the check value is taken."""

    def __init__(self, tables: FrequencyTables) -> None:
        self.count, self.alphabet, self.bits = tables.count, tables.alphabet, tables.bits
        self.packed_bytes = (self.count * self.bits + 7) // 8

    def pack(self, symbols: Symbols) -> list[bytes]:
        """Symbols (N, n) as N bit strings, most significant bit first, padded with zero bits."""
        words = np.ascontiguousarray(symbols, ">u2")  # an alphabet has 15 bits at most
        planes = np.unpackbits(words.view(np.uint8).reshape(-1, 2), axis=1)
        bits = planes[:, 16 - self.bits :]
        rows = np.packbits(bits.reshape(len(symbols), self.count * self.bits), axis=1)
        return [row.tobytes() for row in rows]

    def encode(self, symbols: Symbols, checks: list[int]) -> list[bytes]:
        """Payloads of N messages: the packed symbols, then the check value."""
        packed = self.pack(symbols)
        return [p + c.to_bytes(CHECK_BYTES, "big") for c, p in zip(checks, packed, strict=True)]

    def decode(self, payloads: list[bytes]) -> tuple[Symbols, list[int]]:
        """Symbols (N, n) and check values of N payloads.

        Raises TruncatedError or CorruptError (too long, padding not zero, symbol >= K).
        """
        length = CHECK_BYTES + self.packed_bytes
        faults: dict[int, DecodeError] = {}
        for i, payload in enumerate(payloads):
            if len(payload) < length:
                faults[i] = TruncatedError(
                    f"raw payload of {len(payload)} bytes: expected {length}"
                )
            elif len(payload) > length:
                faults[i] = CorruptError(f"{len(payload) - length} bytes after the last symbol")
        raise_rows(faults)
        data = np.frombuffer(b"".join(payloads), np.uint8).reshape(len(payloads), length)
        bits = np.unpackbits(data[:, :-CHECK_BYTES], axis=1)
        used = self.count * self.bits
        if bits[:, used:].any():
            padded = np.flatnonzero(bits[:, used:].any(axis=1))
            raise CorruptError(
                "padding bits after the last symbol are not zero", rows=padded.tolist()
            )
        planes = bits[:, :used].reshape(len(payloads), self.count, self.bits)
        symbols = np.zeros(planes.shape[:2], np.int64)
        for i in range(self.bits):
            symbols = symbols << 1 | planes[:, :, i]
        if symbols.max(initial=0) >= self.alphabet:
            high = np.flatnonzero(symbols.max(axis=1) >= self.alphabet)
            raise CorruptError(
                f"a symbol is not below the alphabet size {self.alphabet}", rows=high.tolist()
            )
        return symbols, [int.from_bytes(p[-CHECK_BYTES:], "big") for p in payloads]
