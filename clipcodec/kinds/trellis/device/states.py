"""rANS states of many messages as tensors (formats/clipcodec-1.md, section 4.3).

A state has 64 bits without a sign, torch's int64 has one: products and sums are the same modulo
2**64, shifts to the right are masked, and the division takes one bit less at first.

Every step works on all messages. A message that has nothing to do in it takes the interval of all
2**24, which leaves its state as it is; so nothing here waits for what the device has computed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ....entropy.ans import PRECISION

WHOLE = 1 << PRECISION
_HIGH = (1 << 64 - PRECISION) - 1
_LOW = (1 << 32) - 1
_MARGIN = 8  # zero bytes before and after the payloads


class Symbols(NamedTuple):
    """Intervals of the symbols of R tables, all in one row.

    keys     (S - 1,) rising: left + table · 2**24, but for the first, which is 0: so the number
             of keys up to a value is the place of its symbol
    entries  (4, S): left, width, the symbol itself, and its lowest bit times 2**24
    """

    keys: Tensor
    entries: Tensor


class Decoder:
    """States of N messages.

    data     (B,) uint8: all payloads, one after the other
    starts, lengths  (N,) int64: where in them each is; of length 0: a message without a word
    """

    def __init__(self, data: Tensor, starts: Tensor, lengths: Tensor) -> None:
        padded = torch.nn.functional.pad(data, (_MARGIN, _MARGIN)).to(torch.int64)
        # the word that begins at each byte, the first byte the least significant
        count = len(padded) - 3
        self._words = padded[:count].clone()
        for i in (1, 2, 3):
            self._words |= padded[i : count + i] << 8 * i
        self._first = starts + _MARGIN
        last = (lengths - 1 >> 2) * 4  # -4 for an empty one
        self._at = self._first + last
        within = (1 << 8 * (lengths - last)) - 1  # the last word may be shorter
        self.state = torch.where(lengths > 0, self._words[self._at] & within, 0)
        self._at -= 4
        self._refill()

    def pop(self, keys: Tensor, symbols: Symbols) -> tuple[Tensor, Tensor]:
        """(N,) the next symbol of every message, and its lowest bit times 2**24.

        keys  (N,) the number of each one's table times 2**24
        """
        quantile = self.state & WHOLE - 1
        found = torch.searchsorted(symbols.keys, keys + quantile, right=True)
        left, width, symbol, parity = symbols.entries.index_select(1, found)
        self._advance(quantile.sub_(left), width)
        return symbol, parity

    def pop_uniform(self, bits: Tensor) -> Tensor:
        """(N,) the next `bits` equally likely bits, 0 … 24."""
        quantile, shift = self.state & WHOLE - 1, PRECISION - bits
        value = quantile >> shift
        self._advance(quantile - (value << shift), torch.ones_like(shift) << shift)
        return value

    def _advance(self, rest: Tensor, width: Tensor) -> None:
        self.state = (self.state >> PRECISION).bitwise_and_(_HIGH).mul_(width).add_(rest)
        self._refill()

    def _refill(self) -> None:
        needs = (self.state >> 32 == 0).bitwise_and_(self._at >= self._first)
        more = (self.state << 32).bitwise_or_(self._words.index_select(0, self._at))
        self.state = torch.where(needs, more, self.state)
        self._at = torch.add(self._at, needs, alpha=-4)

    def seeds(self) -> Tensor:
        """(N,) what is left of each state; 0 where that is no seed, as when words remain."""
        return torch.where(self.state >> 32 == 0, self.state, 0)


class Encoder:
    """States of N messages, which begin with seeds (N,), 1 … 2**32 - 1.

    words  the most that a message may get
    """

    def __init__(self, seeds: Tensor, words: int) -> None:
        self.state = seeds
        self._words = torch.zeros((words + 2, len(seeds)), dtype=torch.int64, device=seeds.device)
        self._count = torch.zeros_like(seeds)

    def push(self, left: Tensor, width: Tensor) -> None:
        """One symbol of every message, by its interval."""
        state = self.state
        full = (state >> 64 - PRECISION).bitwise_and_(WHOLE - 1) >= width
        # written in any case: what does not count is overwritten by the next
        self._put(state & _LOW)
        state = torch.where(full, state >> 32 & _LOW, state)
        self._count = self._count + full
        half = (state >> 1 & (1 << 63) - 1).div_(width, rounding_mode="floor").mul_(2)
        rest = state - half * width  # below 3 · width
        more = (rest >= width).to(torch.int64) + (rest >= 2 * width)
        quotient = half + more
        self.state = (quotient << PRECISION) + (rest - more * width) + left

    def _put(self, word: Tensor) -> None:
        self._words.scatter_(0, self._count[None], word[None])

    def payloads(self) -> tuple[Tensor, Tensor]:
        """(N, W) int32, the words of each message, and (N,) how many bytes of them are its payload.

        The zero bytes at the end are no part of it.
        """
        lengths = 4 * self._count
        for i in range(8):
            lengths = lengths + ((self.state >> 8 * i & (1 << 64 - 8 * i) - 1 != 0) if i
                                 else self.state != 0)  # fmt: skip
        self._put(self.state & _LOW)
        self._count = self._count + 1
        self._put(self.state >> 32 & _LOW)
        longest = int(lengths.max()) if len(lengths) else 0
        words = self._words[: longest + 3 >> 2]
        return words.to(torch.int32).T.contiguous(), lengths
