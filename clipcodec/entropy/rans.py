"""rANS coder (formats/clipcodec-1.md, section 4.3): 64-bit state, 32-bit words, 24-bit precision.

The check value and a few symbols seed the state, so the 24 bits that it needs to begin
with are not wasted.
A single message goes through `constriction`; many go through numpy, one state a message, with
the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, TruncatedError
from ..system.forks import cached_property, loading
from .tables import FREQUENCY_BITS, FrequencyTables, Symbols

PRECISION = 24
SEED_BITS = 24  # a state below 2**PRECISION codes its next symbol badly
_BATCH = 16  # from this many messages on, numpy beats one constriction coder a message
_U64 = np.uint64
_WORD, _LOW = _U64(32), _U64(0xFFFFFFFF)


class RansCoder:
    """Asymmetric numeral systems over integer tables, scaled from 2**16 to 2**24 exactly."""

    def __init__(self, tables: FrequencyTables) -> None:
        self.frequencies, self.table_of = tables.frequencies, tables.table_of
        self.size, self.alphabet = tables.size, tables.alphabet
        k = tables.alphabet
        below = np.cumsum(self.frequencies, axis=1) - self.frequencies
        left = (below * ((1 << PRECISION) - k) >> FREQUENCY_BITS) + np.arange(k)
        right = np.concatenate([left[:, 1:], np.full((len(left), 1), 1 << PRECISION)], axis=1)
        self.left, self.width = left, right - left
        folded = 0  # symbols in the seed, beside the 16 bits of the check value
        while k ** (folded + 1) <= 1 << SEED_BITS - 16:
            folded += 1
        # the flattest tables lose least by it
        steepness = self.frequencies.max(axis=1)[self.table_of]
        self.folded = np.sort(np.lexsort((-np.arange(self.size), steepness))[:folded])
        self.coded = np.setdiff1d(np.arange(self.size), self.folded)

    @cached_property
    def _models(self) -> list[Any]:
        """One model a position. `perfect=False` gives exactly `left` and `width` above."""
        categorical = _constriction().stream.model.Categorical
        scaled = self.frequencies / (1 << FREQUENCY_BITS)
        distinct = [categorical(row, perfect=False) for row in scaled]
        return [distinct[t] for t in self.table_of[self.coded]]

    def encode(self, symbols: Symbols, checks: list[int]) -> list[bytes]:
        """Bodies of N messages, check values inside."""
        seeds = np.array(checks, np.int64)
        for position in self.folded:
            seeds = seeds * self.alphabet + symbols[:, position]
        seeds += 1
        coded = symbols[:, self.coded]
        if len(symbols) >= _BATCH:
            return self._encode_batch(coded, seeds)
        return [self._encode_one(s, c) for s, c in zip(coded.tolist(), seeds.tolist(), strict=True)]

    def decode(self, bodies: list[bytes]) -> tuple[Symbols, list[int]]:
        """Symbols (N, n) and check values of N bodies.

        Raises TruncatedError (empty) or CorruptError (too long, not canonical).
        """
        longest = self.size * PRECISION // 8 + 8
        check_bodies(bodies, longest)
        symbols = np.empty((len(bodies), self.size), np.int64)
        if len(bodies) >= _BATCH:
            symbols[:, self.coded], seeds = self._decode_batch(bodies)
        else:
            seeds = np.empty(len(bodies), np.int64)
            for i, body in enumerate(bodies):
                symbols[i, self.coded], seeds[i] = self._decode_one(body)
        rest = seeds - 1
        for position in self.folded[::-1]:
            rest, symbols[:, position] = np.divmod(rest, self.alphabet)
        if ((rest < 0) | (rest >> 16 != 0)).any():
            raise CorruptError("rANS state does not end in a check value: the stream is damaged")
        return symbols, rest.tolist()

    def _encode_one(self, symbols: list[int], seed: int) -> bytes:
        coder = _ans_coder([seed])
        for symbol, model in zip(reversed(symbols), reversed(self._models), strict=True):
            coder.encode_reverse(symbol, model)
        return trim(coder.get_compressed())

    def _decode_one(self, body: bytes) -> tuple[list[int], int]:
        """Coded symbols, and the seed; 0 where no single word is left."""
        coder = _ans_coder(np.frombuffer(body.ljust(len(body) + 3 & ~3, b"\0"), "<u4"))
        symbols = [coder.decode(model) for model in self._models]
        rest = coder.get_compressed()
        return symbols, int(rest[0]) if len(rest) == 1 else 0

    def _encode_batch(self, symbols: Symbols, seeds: Symbols) -> list[bytes]:
        writer = BatchWriter(seeds, self.size)
        tables = self.table_of[self.coded]
        for table, symbol in zip(tables[::-1], symbols.T[::-1], strict=True):
            writer.push(self.left[table][symbol], self.width[table][symbol])
        return writer.bodies()

    def _decode_batch(self, bodies: list[bytes]) -> tuple[Symbols, Symbols]:
        reader = BatchReader(bodies)
        symbols = np.empty((len(bodies), len(self.coded)), np.int64)
        for position, table in enumerate(self.table_of[self.coded]):
            quantile = reader.quantile()
            symbol = np.searchsorted(self.left[table], quantile, side="right") - 1
            symbols[:, position] = symbol
            reader.advance(self.left[table][symbol], self.width[table][symbol], quantile)
        return symbols, reader.seeds()


class BatchWriter:
    """States of N messages under way. Symbols are pushed in the reverse order of decoding."""

    def __init__(self, seeds: Symbols, pushes: int) -> None:
        self.state = seeds.astype(_U64)
        self.words = np.zeros((len(seeds), pushes + 2), "<u4")
        self.count, self._everyone = np.zeros(len(seeds), np.int64), np.arange(len(seeds))

    def push(self, left: Symbols, width: Symbols, rows: Symbols | None = None) -> None:
        """One symbol of every message, or of those in `rows`: its interval of 2**24."""
        rows = self._everyone if rows is None else rows
        width = width.astype(_U64)
        state = self.state[rows]
        full = np.flatnonzero(state >> _U64(64 - PRECISION) >= width)
        if len(full):
            self._put(rows[full])
            state[full] = self.state[rows[full]]
        quotient = state // width
        self.state[rows] = (
            (quotient << _U64(PRECISION)) + (state - quotient * width) + left.astype(_U64)
        )

    def _put(self, rows: Symbols) -> None:
        self.words[rows, self.count[rows]] = (self.state[rows] & _LOW).astype("<u4")
        self.count[rows] += 1
        self.state[rows] >>= _WORD

    def bodies(self) -> list[bytes]:
        self._put(self._everyone)
        self._put(self._everyone)
        return [trim(self.words[i, :n]) for i, n in enumerate(self.count)]


class BatchReader:
    """States of N messages being decoded."""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        width = max(map(len, bodies)) + 3 & ~3
        joined = b"".join(body.ljust(width, b"\0") for body in bodies)
        self.words = np.frombuffer(joined, "<u4").astype(_U64)
        self.start = np.arange(len(bodies)) * (width // 4)  # of each message's words
        self.left_over = np.array([len(body) + 3 >> 2 for body in bodies])
        self.state = np.zeros(len(bodies), _U64)
        self._refill()
        self._refill()

    def part(self, rows: Symbols) -> BatchReader:
        """A reader of some of the messages; what it reads is read here after `join`."""
        part = BatchReader.__new__(BatchReader)
        part.words, part.start = self.words, self.start[rows]
        part.left_over, part.state = self.left_over[rows], self.state[rows]
        return part

    def join(self, part: BatchReader, rows: Symbols) -> None:
        """Go on where a part has got to."""
        self.left_over[rows], self.state[rows] = part.left_over, part.state

    def quantile(self) -> Symbols:
        """Where in 2**24 the next symbol of every message lies."""
        return (self.state & _U64((1 << PRECISION) - 1)).view(np.int64)

    def advance(self, left: Symbols, width: Symbols, quantile: Symbols) -> None:
        """Take off the symbol whose interval holds the quantile."""
        self.state >>= _U64(PRECISION)
        self.state *= width.view(_U64)
        self.state += (quantile - left).view(_U64)
        self._refill()

    def _refill(self) -> None:
        rows = np.flatnonzero(self.state <= _LOW)
        rows = rows[self.left_over[rows] > 0]
        if len(rows):
            self.left_over[rows] -= 1
            words = self.words[self.start[rows] + self.left_over[rows]]
            self.state[rows] = self.state[rows] << _WORD | words

    def seeds(self) -> Symbols:
        """What is left of each state; 0 where that is more than a word, as when words remain."""
        return np.where(self.state >> _WORD == 0, self.state, 0).astype(np.int64)


def _ans_coder(words: Any) -> Any:
    return _constriction().stream.stack.AnsCoder(np.asarray(words, np.uint32))


@lru_cache(maxsize=1)
def _constriction() -> Any:
    with loading:
        import constriction  # its submodules exist as attributes only

        # the first calls set up what is shared by all
        model = constriction.stream.model.Categorical(np.full(2, 0.5), perfect=False)
        coder = constriction.stream.stack.AnsCoder(np.ones(1, np.uint32))
        coder.encode_reverse(0, model)
        coder.decode(model)
        coder.get_compressed()
    return constriction


def check_bodies(bodies: Sequence[bytes], longest: int) -> None:
    """Raise TruncatedError or CorruptError for what no coder writes, before any state is read."""
    for body in bodies:
        if not body:
            raise TruncatedError("stream ends after its header")
        if len(body) > longest:
            raise CorruptError(f"rANS body of {len(body)} bytes: at most {longest} exist")
        if not body[-1]:
            raise CorruptError("rANS body ends with a zero byte, which is never written")


def trim(words: NDArray[Any]) -> bytes:
    return words.astype("<u4").tobytes().rstrip(b"\0")
