"""rANS, the coder behind every rANS payload (formats/clipcodec-1.md, section 4.3).

Asymmetric numeral systems with a 64-bit state, 32-bit words and probabilities of 24 bits. Every
symbol has an interval [left, left + width) of 2**24; `intervals` is the one rule that gives it.
Symbols are pushed in the reverse order of decoding. A state begins with a seed, which comes out
last on decoding, so that a check value there costs no bits of its own.

AnsEncoder, AnsDecoder   N messages at once, in numpy, one state per message
encode_one, OneAnsDecoder   one message, in Python integers: the same bytes
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, DecodeError, TruncatedError, raise_rows
from .payloads import Payloads
from .tables import FREQUENCY_BITS

PRECISION = 24
SEED_BITS = 24  # of the state to begin with: below 2**PRECISION its first symbol costs too much

Integers = NDArray[np.int64]
Interval = tuple[int, int]  # left and width
_U64 = np.uint64
_WORD, _LOW = _U64(32), _U64(0xFFFFFFFF)


def intervals(frequencies: Integers) -> tuple[Integers, Integers]:
    """(left, width) in 2**24 of every symbol of tables (T, K) whose rows sum to 2**16.

    Every symbol gets at least one of the 2**24, whatever its frequency. These are the numbers of
    constriction's `Categorical(…, perfect=False)`, in integers.
    """
    alphabet = frequencies.shape[1]
    below = np.cumsum(frequencies, axis=1) - frequencies
    left = (below * ((1 << PRECISION) - alphabet) >> FREQUENCY_BITS) + np.arange(alphabet)
    right = np.concatenate([left[:, 1:], np.full((len(left), 1), 1 << PRECISION)], axis=1)
    return left, right - left


def uniform(value: int, bits: int) -> Interval:
    """The interval of `bits` equally likely bits."""
    shift = PRECISION - bits
    return value << shift, 1 << shift


def check_payloads(payloads: Sequence[bytes], longest: int) -> None:
    """Raise TruncatedError or CorruptError for what no encoder writes; nothing is decoded yet."""
    faults: dict[int, DecodeError] = {}
    suspects: Iterable[int] = range(len(payloads))
    if isinstance(payloads, Payloads):
        lengths = payloads.lengths
        wrong = (lengths == 0) | (lengths > longest)
        wrong[~wrong] = payloads.take(np.flatnonzero(~wrong)).last() == 0
        suspects = np.flatnonzero(wrong).tolist()
    for i in suspects:
        payload = payloads[i]
        if not payload:
            faults[i] = TruncatedError("ends after its header")
        elif len(payload) > longest:
            faults[i] = CorruptError(
                f"rANS payload of {len(payload)} bytes: at most {longest} exist"
            )
        elif not payload[-1]:
            faults[i] = CorruptError("rANS payload ends with a zero byte, which is never written")
    raise_rows(faults)


def trim(words: NDArray[Any]) -> bytes:
    """32-bit words as a payload: without the zero bytes at its end."""
    return words.astype("<u4").tobytes().rstrip(b"\0")


def _words(payload: bytes) -> NDArray[Any]:
    return np.frombuffer(payload.ljust(len(payload) + 3 & ~3, b"\0"), "<u4")


class AnsEncoder:
    """States of N messages.

    seeds   (N,) what each state begins with, 1 … 2**32 - 1
    pushes  most symbols that one message gets
    """

    def __init__(self, seeds: Integers, pushes: int) -> None:
        self.state = seeds.astype(_U64)
        self.words = np.zeros((len(seeds), pushes + 2), "<u4")
        self.count, self._all = np.zeros(len(seeds), np.int64), np.arange(len(seeds))

    def push(self, left: Integers, width: Integers, rows: Integers | None = None) -> None:
        """One symbol of every message, or of those in `rows`, by its interval."""
        rows = self._all if rows is None else rows
        width = width.astype(_U64)
        state = self.state[rows]
        full = np.flatnonzero(state >> _U64(64 - PRECISION) >= width)
        if len(full):
            self._put_word(rows[full])
            state[full] = self.state[rows[full]]
        quotient = state // width
        self.state[rows] = (
            (quotient << _U64(PRECISION)) + (state - quotient * width) + left.astype(_U64)
        )

    def _put_word(self, rows: Integers) -> None:
        self.words[rows, self.count[rows]] = (self.state[rows] & _LOW).astype("<u4")
        self.count[rows] += 1
        self.state[rows] >>= _WORD

    def payloads(self) -> list[bytes]:
        """Finish: the payload of each message."""
        self._put_word(self._all)
        self._put_word(self._all)
        return [trim(self.words[i, :n]) for i, n in enumerate(self.count)]


class AnsDecoder:
    """States of N messages. For each symbol: `quantile`, find its interval, `advance`."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        joined = Payloads.of(payloads)
        words = joined.padded()
        self.words = words.ravel().astype(_U64)
        self.start = np.arange(len(words)) * words.shape[1]  # of each message's words
        self.left_over = joined.lengths + 3 >> 2
        self.state = np.zeros(len(payloads), _U64)
        self._refill()
        self._refill()

    def part(self, rows: Integers) -> AnsDecoder:
        """A decoder of some of the messages; `join` takes over how far it has come."""
        part = AnsDecoder.__new__(AnsDecoder)
        part.words, part.start = self.words, self.start[rows]
        part.left_over, part.state = self.left_over[rows], self.state[rows]
        return part

    def join(self, part: AnsDecoder, rows: Integers) -> None:
        """Continue where `part(rows)` stopped."""
        self.left_over[rows], self.state[rows] = part.left_over, part.state

    def quantile(self) -> Integers:
        """(N,) where in 2**24 the next symbol of every message lies."""
        return (self.state & _U64((1 << PRECISION) - 1)).view(np.int64)

    def advance(self, left: Integers, width: Integers, quantile: Integers) -> None:
        """Remove the symbol whose interval holds the quantile."""
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

    def seeds(self) -> Integers:
        """(N,) what is left of each state; 0 where that is no seed, as when words remain."""
        return np.where(self.state >> _WORD == 0, self.state, 0).astype(np.int64)


def encode_one(symbols: Sequence[Interval], seed: int) -> bytes:
    """The payload of one message, of its symbols' intervals in the order of decoding."""
    x = seed
    words: list[int] = []
    for left, width in reversed(symbols):
        if x >> 64 - PRECISION >= width:
            words.append(x & 0xFFFFFFFF)
            x >>= 32
        x = (x // width << PRECISION) + x % width + left
    words += [x & 0xFFFFFFFF, x >> 32]
    return trim(np.array(words, "<u4"))


class OneAnsDecoder:
    """The state of one message. left, width: the tables' `intervals`, as lists of lists."""

    def __init__(self, payload: bytes, left: list[list[int]], width: list[list[int]]) -> None:
        self.words: list[int] = _words(payload).tolist()
        self.left, self.width = left, width
        self.x = 0
        self._refill()
        self._refill()

    def _refill(self) -> None:
        if self.x >> 32 == 0 and self.words:
            self.x = self.x << 32 | self.words.pop()

    def pop(self, table: int) -> int:
        """The next symbol, by this row of the tables."""
        left = self.left[table]
        quantile = self.x & 0xFFFFFF
        symbol = bisect_right(left, quantile) - 1
        self.x = x = self.width[table][symbol] * (self.x >> 24) + quantile - left[symbol]
        if x >> 32 == 0:
            self._refill()
        return symbol

    def pop_uniform(self, bits: int) -> int:
        """The next `bits` equally likely bits."""
        quantile, shift = self.x & 0xFFFFFF, PRECISION - bits
        value = quantile >> shift
        self.x = (self.x >> PRECISION << shift) + quantile - (value << shift)
        self._refill()
        return value

    def seed(self) -> int:
        """What is left of the state. Where words remain it is above 2**32, so no seed."""
        return self.x
