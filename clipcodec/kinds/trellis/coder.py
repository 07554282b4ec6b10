"""Levels ↔ rANS payloads (formats/trellis.md, section 4).

Signs come last: the first eight fill up the seed of the state, the others follow sixteen at a time.
One message goes through Python integers here, many through numpy in batch.py: the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...entropy.ans import (
    SEED_BITS,
    Interval,
    OneAnsDecoder,
    check_payloads,
    encode_one,
    uniform,
)
from ...errors import CorruptError, DecodeError, EmbeddingError, raise_rows
from . import compiled, quantizer
from .batch import BatchLevelCoder
from .tables import (
    LENGTH_BITS,
    MAX_LEVEL,
    SEED_SIGNS,
    SIGNS_PER_PUSH,
    Levels,
    LevelTables,
    Qualities,
)

_KEPT = 1 << 18  # places of rows kept as lists: all qualities of common widths, few of the widest
# From so many messages on, numpy beats a loop over messages
_ENCODED, _DECODED = 40, 64
_SECONDS = 8e-8  # that a level takes to be decoded by numpy
_PUSHED = 8e-8  # and to be encoded
_LEAST_BYTES = 3  # of a payload: its seed
_NEXT: list[list[int]] = quantizer.NEXT.tolist()


class LevelCoder:
    """rANS over `LevelTables`."""

    def __init__(self, tables: LevelTables) -> None:
        self.tables = tables
        self._many = BatchLevelCoder(tables)
        self._left: list[list[int]] = tables.left.tolist()
        self._width: list[list[int]] = tables.width.tolist()
        self._row_lists: dict[int, tuple[list[int], list[int]]] = {}

    def encode(self, levels: Levels, qualities: Qualities, checks: Sequence[int]) -> list[bytes]:
        """Payloads of N messages, check values inside. Raises EmbeddingError above MAX_LEVEL."""
        magnitudes = np.abs(levels).max(axis=1)
        high = np.flatnonzero(magnitudes > MAX_LEVEL)
        if len(high):
            raise EmbeddingError(
                f"a level above {MAX_LEVEL} at this quality: ask for a lower one",
                rows=high.tolist(),
            )
        fast = compiled.loops(_PUSHED * levels.size)
        if fast is not None and len(levels):
            seeds = np.array(checks, np.int64)
            return self._many.encode_compiled(fast, levels, qualities, seeds)
        plain = magnitudes < self.tables.escape
        if np.count_nonzero(plain) < _ENCODED:
            plain[:] = False
        payloads = [b""] * len(levels)
        if plain.any():
            rows = np.flatnonzero(plain)
            seeds = np.array(checks, np.int64)[rows]
            found = self._many.encode(levels[rows], qualities[rows], seeds)
            for i, payload in zip(rows.tolist(), found, strict=True):
                payloads[i] = payload
        for i in np.flatnonzero(~plain).tolist():
            payloads[i] = self._encode_one(levels[i].tolist(), int(qualities[i]), checks[i])
        return payloads

    def decode(self, payloads: Sequence[bytes], qualities: Qualities) -> tuple[Levels, list[int]]:
        """Levels (N, n) and check values of N payloads.

        Raises TruncatedError (empty) or CorruptError (too long, not canonical).
        """
        check_payloads(payloads, self.tables.longest)
        levels = np.zeros((len(payloads), self.tables.count), np.int64)
        checks = np.zeros(len(payloads), np.int64)
        alone: Sequence[int] = range(len(payloads))
        fast = compiled.loops(_SECONDS * levels.size)
        if fast is not None:
            alone = self._many.decode_compiled(fast, payloads, qualities, levels, checks)
        elif len(payloads) >= _DECODED:
            alone = self._many.decode(payloads, qualities, levels, checks)
        faults: dict[int, DecodeError] = {}
        for i in alone:
            try:
                levels[i], checks[i] = self._decode_one(payloads[i], int(qualities[i]))
            except CorruptError as error:
                faults[i] = error
        raise_rows(faults)
        return levels, checks.tolist()

    def sizes(self, levels: Levels, bits: NDArray[np.float64]) -> NDArray[np.int64]:
        """(N,) bytes of the payloads of levels (N, n) whose ideal code length is `bits` (N,).

        rANS stays within a hundredth of a bit of that; the signs in the seed cost nothing more.
        """
        signs = np.minimum((levels != 0).sum(axis=1), SEED_SIGNS)
        whole = np.ceil((bits - signs + SEED_BITS) / 8 + 0.01).astype(np.int64)
        sizes: NDArray[np.int64] = np.maximum(whole, _LEAST_BYTES)
        return sizes

    @staticmethod
    def room(size: float) -> float:
        """The ideal code length in bits that a payload of `size` bytes has room for."""
        return max(8.0 * size - SEED_BITS + SEED_SIGNS, 8.0)

    # one message

    def _encode_one(self, levels: list[int], quality: int, check: int) -> bytes:
        steps: list[Interval] = []  # in the order of decoding
        signs: list[int] = []
        state, escape = 0, self.tables.escape
        classes, flags = self._rows(quality)
        full, at = 1, 0
        for a, b, first in self.tables.coded_groups:
            flag = flags[at + full]
            state, full, at = 0 if first else state, int(any(levels[a:b])), at + 2
            steps.append((self._left[flag][full], self._width[flag][full]))
            for i in range(a, b) if full else ():
                magnitude, row = abs(levels[i]), classes[i] + (state & 1)
                symbol = min(magnitude, escape)
                steps.append((self._left[row][symbol], self._width[row][symbol]))
                if symbol == escape:
                    rest = magnitude - escape + 1
                    length = rest.bit_length() - 1
                    steps += [uniform(length, LENGTH_BITS), uniform(rest - (1 << length), length)]
                if magnitude:
                    signs.append(int(levels[i] < 0))
                state = _NEXT[state][magnitude & 1]
        for at in range(SEED_SIGNS, len(signs), SIGNS_PER_PUSH):
            chunk = signs[at : at + SIGNS_PER_PUSH]
            steps.append(uniform(_number(chunk), len(chunk)))
        seed = (check << SEED_SIGNS) + _number(signs[:SEED_SIGNS]) + 1
        return encode_one(steps, seed)

    def _decode_one(self, payload: bytes, quality: int) -> tuple[list[int], int]:
        decoder = OneAnsDecoder(payload, self._left, self._width)
        pop, pop_uniform = decoder.pop, decoder.pop_uniform
        levels = [0] * self.tables.count
        nonzero: list[int] = []
        state, escape = 0, self.tables.escape
        classes, flags = self._rows(quality)
        full, at = 1, 0
        for a, b, first in self.tables.coded_groups:
            if first:
                state = 0
            full, at, before = pop(flags[at + full]), at + 2, len(nonzero)
            if not full:
                continue
            if full > 1:
                raise CorruptError("a flag is neither 0 nor 1: damaged")
            for i in range(a, b):
                symbol = pop(classes[i] + (state & 1))
                if symbol:
                    if symbol == escape:
                        length = pop_uniform(LENGTH_BITS)
                        symbol += (1 << length) + pop_uniform(length) - 1
                    nonzero.append(i)
                    levels[i] = symbol
                    state = _NEXT[state][symbol & 1]
                else:
                    state = _NEXT[state][0]
            if len(nonzero) == before:
                raise CorruptError("a group is said to hold levels but has only zeros: damaged")
        for at in range(SEED_SIGNS, len(nonzero), SIGNS_PER_PUSH):
            chunk = nonzero[at : at + SIGNS_PER_PUSH]
            _negate(levels, chunk, pop_uniform(len(chunk)))
        seed = decoder.seed() - 1
        if not 0 <= seed < 1 << 16 + SEED_SIGNS:
            raise CorruptError("rANS state does not end in a check value: damaged")
        check, signs = divmod(seed, 1 << SEED_SIGNS)
        if signs >> len(nonzero) or max(levels) > MAX_LEVEL or min(levels) < -MAX_LEVEL:
            raise CorruptError("a level or its sign is out of range: damaged")
        _negate(levels, nonzero[:SEED_SIGNS], signs)
        return levels, check

    def _rows(self, quality: int) -> tuple[list[int], list[int]]:
        rows = self._row_lists.get(quality)
        if rows is None:
            tables = self.tables
            rows = tables.class_of[quality - 1].tolist(), tables.flag_of[quality - 1].tolist()
            if len(self._row_lists) * tables.count >= _KEPT:
                self._row_lists.clear()
            self._row_lists[quality] = rows
        return rows


def _number(signs: Sequence[int]) -> int:
    """Signs as a number, the first the least significant bit."""
    return sum(sign << j for j, sign in enumerate(signs))


def _negate(levels: list[int], places: Sequence[int], signs: int) -> None:
    for j, i in enumerate(places):
        if signs >> j & 1:
            levels[i] = -levels[i]
