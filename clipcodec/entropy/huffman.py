"""Canonical Huffman coder (formats/clipcodec-1.md, section 4.2).

Codes are assigned by increasing length, then increasing symbol, so the lengths say all.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from ..errors import CorruptError, DecodeError, TruncatedError, raise_rows
from ..system.forks import cached_property
from .raw import CHECK_BYTES
from .tables import MAX_CODE_LENGTH, FrequencyTables, Symbols

_BATCH = 16  # from this many messages on, one numpy step per position beats a Python loop
_MASK = (1 << MAX_CODE_LENGTH) - 1


class HuffmanCoder:
    """One canonical code per frequency table; codes are kept left-justified in 24 bits, sorted."""

    def __init__(self, tables: FrequencyTables) -> None:
        self.lengths, self.table_of = tables.lengths, tables.table_of
        self.order = np.argsort(self.lengths, axis=1, kind="stable")
        self.sorted_lengths = np.take_along_axis(self.lengths, self.order, axis=1)
        steps = 1 << (MAX_CODE_LENGTH - self.sorted_lengths)
        self.starts = np.cumsum(steps, axis=1) - steps

    @cached_property
    def _codes(self) -> Symbols:
        rank = np.argsort(self.order, axis=1, kind="stable")
        left = np.take_along_axis(self.starts, rank, axis=1)
        return left >> (MAX_CODE_LENGTH - self.lengths)

    @cached_property
    def _scalar(self) -> list[tuple[list[int], list[int], list[int]]]:
        """(starts, symbols, lengths) of each table as Python lists, for one message at a time."""
        columns = (self.starts.tolist(), self.order.tolist(), self.sorted_lengths.tolist())
        return list(zip(*columns, strict=True))

    def encode(self, symbols: Symbols, checks: list[int]) -> list[bytes]:
        """Payloads of N messages: the codes, padded with zero bits, then the check value."""
        codes = self._codes[self.table_of, symbols].ravel()
        lengths = self.lengths[self.table_of, symbols]
        ends = np.cumsum(lengths, axis=1)
        total = ends[:, -1]
        bits = np.zeros((len(symbols), int(total.max(initial=0)) + 7 & ~7), np.uint8)
        flat = lengths.ravel()
        # every bit's place: its code's end, less its distance from there
        last = (ends + (np.arange(len(symbols)) * bits.shape[1])[:, None]).ravel()
        back = np.repeat(np.cumsum(flat), flat) - np.arange(flat.sum())
        bits.ravel()[np.repeat(last, flat) - back] = np.repeat(codes, flat) >> (back - 1) & 1
        rows = np.packbits(bits, axis=1)
        return [
            row[: (t + 7) // 8].tobytes() + c.to_bytes(CHECK_BYTES, "big")
            for c, row, t in zip(checks, rows, total.tolist(), strict=True)
        ]

    def decode(self, payloads: list[bytes]) -> tuple[Symbols, list[int]]:
        """Symbols (N, n) and check values of N payloads.

        Raises TruncatedError or CorruptError (trailing bytes, padding not zero).
        """
        longest = CHECK_BYTES + len(self.table_of) * MAX_CODE_LENGTH // 8 + 1
        faults: dict[int, DecodeError] = {}
        for i, payload in enumerate(payloads):
            size = len(payload)
            if size < CHECK_BYTES:
                faults[i] = TruncatedError(f"Huffman payload of {size} bytes has no check value")
            elif size > longest:
                faults[i] = CorruptError(
                    f"Huffman payload of {size} bytes: at most {longest} exist"
                )
        raise_rows(faults)
        checks = [int.from_bytes(p[-CHECK_BYTES:], "big") for p in payloads]
        codes = [p[:-CHECK_BYTES] for p in payloads]
        if len(codes) >= _BATCH:
            return self._decode_batch(codes), checks
        found = [self._decode_one(code) for code in codes]
        raise_rows({i: fault for i, (_, fault) in enumerate(found) if fault is not None})
        symbols = np.array([row for row, _ in found], np.int64)
        return symbols.reshape(len(codes), len(self.table_of)), checks

    def _decode_one(self, codes: bytes) -> tuple[list[int], DecodeError | None]:
        total, at, out = 8 * len(codes), 0, []
        value = int.from_bytes(codes, "big") << MAX_CODE_LENGTH
        for table in self.table_of.tolist():
            starts, symbols, lengths = self._scalar[table]
            i = bisect_right(starts, value >> max(total - at, 0) & _MASK) - 1
            out.append(symbols[i])
            at += lengths[i]
        padding = value >> MAX_CODE_LENGTH & (1 << max(total - at, 0)) - 1
        return out, _fault_at_end(at, total, padding)

    def _decode_batch(self, codes: list[bytes]) -> Symbols:
        width = max(map(len, codes)) + 4
        joined = np.frombuffer(b"".join(c.ljust(width, b"\0") for c in codes), np.uint8)
        data = joined.reshape(len(codes), width).astype(np.int64)
        # window[:, i] = the 32 bits from byte i on: enough for 7 bits of offset and 24 of code
        window = data[:, :-3] << 24 | data[:, 1:-2] << 16 | data[:, 2:-1] << 8 | data[:, 3:]
        rows, at = np.arange(len(codes)), np.zeros(len(codes), np.int64)
        symbols = np.empty((len(codes), len(self.table_of)), np.int64)
        for position, table in enumerate(self.table_of):
            byte = np.minimum(at >> 3, width - 4)  # an overrun is an error below
            i = np.searchsorted(
                self.starts[table], window[rows, byte] >> (8 - (at & 7)) & _MASK, side="right"
            )
            symbols[:, position] = self.order[table][i - 1]
            at += self.sorted_lengths[table][i - 1]
        rest = window[rows, np.minimum(at >> 3, width - 4)] << (at & 7) & 0xFFFFFFFF
        faults: dict[int, DecodeError] = {}
        ends = zip(at.tolist(), codes, rest.tolist(), strict=True)
        for i, (end, code, padding) in enumerate(ends):
            fault = _fault_at_end(end, 8 * len(code), padding)
            if fault is not None:
                faults[i] = fault
        raise_rows(faults)
        return symbols


def _fault_at_end(at: int, total: int, padding: int) -> DecodeError | None:
    """What is wrong with codes that end at bit `at` of `total`."""
    if at > total:
        return TruncatedError(f"ends {at - total} bits before its last symbol")
    if at + 8 <= total:
        return CorruptError(f"{(total - at) // 8} bytes after the last symbol")
    if padding:
        return CorruptError("padding bits after the last symbol are not zero")
    return None
