"""Levels of a trellis quantiser ↔ rANS bodies (formats/trellis.md, section 4).

A level's table depends on its place, on the quality and on the trellis state, so on the levels
before it. Groups that hold only zeros are skipped by a flag. Signs come last: the first eight fill
up the seed of the state, the others follow sixteen at a time.

One message goes through Python integers, many through numpy, with the same bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...entropy.rans import PRECISION, BatchReader, BatchWriter, check_bodies, trim
from ...entropy.tables import FREQUENCY_BITS
from ...errors import CorruptError, EmbeddingError, WeightsError
from . import quantizer as trellis

MAX_LEVEL = (1 << 15) - 1
_SEED_SIGNS = 8
_CHUNK = 16  # signs a push
_LENGTH_BITS = 4  # of the length of an escaped rest
_BIT_PARTS = 1 << 12
_KEPT = 1 << 18  # places of rows kept as lists: all qualities of common widths, few of the widest
_BATCH = 24  # from this many messages on, numpy beats a loop over messages

Levels = NDArray[np.int64]
Qualities = NDArray[np.int64]
_NEXT: list[list[int]] = trellis.NEXT.tolist()


class LevelTables:
    """Frequencies of magnitudes, and which row of them each place uses.

    frequencies  (R, K): rows sum to 2**16; 0 is allowed and costs 24 bits; K - 1 is the escape
    class_of     (Q, n) or (Q, 1): row of quality 1 … Q and place i in Q0; the next one is for Q1
    flag_of      (Q, 2·G) or (Q, 2): row of the flag that says whether a group holds more than
                 zeros; for each group, after one that does not, and after one that does
    bands        bounds 0 = b_0 < b_1 < … = n of the bands, where the trellis starts anew

    Raises WeightsError when they do not fit each other.
    """

    def __init__(self, frequencies: Any, class_of: Any, flag_of: Any, bands: Sequence[int]) -> None:
        self.frequencies = np.ascontiguousarray(frequencies, np.int64)
        self.class_of = np.ascontiguousarray(class_of, np.int64)
        self.flag_of = np.ascontiguousarray(flag_of, np.int64)
        self.bands = list(pairwise(bands))
        self.size = bands[-1]
        self.groups = [trellis.groups(a, b) for a, b in self.bands]
        self._validate()
        self.alphabet = self.frequencies.shape[1]
        self.escape = self.alphabet - 1
        if self.class_of.shape[1] == 1:
            self.class_of = np.broadcast_to(self.class_of, (len(self.class_of), self.size))
        if self.flag_of.shape[1] == 2:
            self.flag_of = np.tile(self.flag_of, (1, sum(map(len, self.groups))))
        # every symbol owns at least one of 2**24 quantiles, whatever its frequency
        below = np.cumsum(self.frequencies, axis=1) - self.frequencies
        left = (below * ((1 << PRECISION) - self.alphabet) >> FREQUENCY_BITS) + np.arange(
            self.alphabet
        )
        right = np.concatenate([left[:, 1:], np.full((len(left), 1), 1 << PRECISION)], axis=1)
        self.left, self.width = left, right - left
        # in whole parts of 4096: sums of them are exact, in any order. Signs aside
        bits = np.rint((PRECISION - np.log2(self.width)) * _BIT_PARTS) / _BIT_PARTS
        self.bits = bits.astype(np.float32)

    def _validate(self) -> None:
        f, levels, flags = self.frequencies, self.class_of, self.flag_of
        if f.ndim != 2 or f.shape[1] < 4 or f.min() < 0:
            raise WeightsError("frequencies of levels: expected (R, K) with K >= 4")
        if (f.sum(axis=1) != 1 << FREQUENCY_BITS).any():
            raise WeightsError(f"frequencies of levels must sum to 2**{FREQUENCY_BITS}")
        if levels.ndim != 2 or levels.shape[1] not in (1, self.size):
            raise WeightsError(f"tables.class_of has shape {levels.shape}")
        number = sum(map(len, self.groups))
        if flags.ndim != 2 or len(flags) != len(levels) or flags.shape[1] not in (2, 2 * number):
            raise WeightsError(f"tables.flag_of has shape {flags.shape}")
        if min(levels.min(), flags.min()) < 0 or max(levels.max() + 1, flags.max()) >= len(f):
            raise WeightsError(f"a table lies outside 0 … {len(f) - 1}")

    def information(self, levels: Levels, qualities: Qualities) -> NDArray[np.float64]:
        """(N,) ideal code length in bits of levels (N, n) at qualities (N,)."""
        total, full, at = np.zeros(len(levels)), np.ones(len(levels), np.int64), 0
        for (a, b), groups in zip(self.bands, self.groups, strict=True):
            flags = self.flag_of[qualities - 1, at : at + 2 * len(groups)]
            at += 2 * len(groups)
            classes = self.class_of[qualities - 1, a:b]
            bits, full = self.band_information(levels[:, a:b], classes, flags, full)
            total += bits
        return total

    def band_information(
        self, levels: Levels, classes: Levels, flags: Levels, full: Levels
    ) -> tuple[NDArray[np.float64], Levels]:
        """(N,) bits of one band's levels (N, k), and whether its last group is full.

        classes (N, k), flags (N, 2·G), full (N,) whether the group before was full.
        """
        magnitudes, k = np.abs(levels), levels.shape[1]
        rows = classes + trellis.odd(levels, [(0, k)])
        each = self.bits[rows, np.minimum(magnitudes, self.escape)].astype(np.float64)
        each += magnitudes > 0
        if magnitudes.max(initial=0) >= self.escape:
            each += self.escape_bits(magnitudes)
        total, everyone = np.zeros(len(levels)), np.arange(len(levels))
        now: Levels = full
        for group, (a, b) in enumerate(trellis.groups(0, k)):
            table = flags[everyone, 2 * group + now]
            now = np.asarray(magnitudes[:, a:b].any(axis=1), np.int64)
            total += self.bits[table, now]
            total += np.where(now, each[:, a:b].sum(axis=1), 0)
        return total, now

    def escape_bits(self, magnitudes: Levels) -> NDArray[np.float64]:
        """Bits that each magnitude takes beyond its symbol: none below the escape."""
        rest = np.maximum(magnitudes - self.escape + 1, 1)
        bits: NDArray[np.float64] = _LENGTH_BITS + np.frexp(rest)[1] - 1.0
        return np.where(magnitudes >= self.escape, bits, 0)


class LevelCoder:
    """rANS over `LevelTables`."""

    def __init__(self, tables: LevelTables) -> None:
        self.tables = tables
        self._left: list[list[int]] = tables.left.tolist()
        self._width: list[list[int]] = tables.width.tolist()
        self._groups = [
            (a, b, a == start)
            for (start, _), groups in zip(tables.bands, tables.groups, strict=True)
            for a, b in groups
        ]
        self._row_lists: dict[int, tuple[list[int], list[int]]] = {}
        self._flat = (
            tables.left + (np.arange(len(tables.left)) << PRECISION)[:, None]
        ).ravel()  # all rows in one increasing sequence, for one search
        self._flat_left, self._flat_width = tables.left.ravel(), tables.width.ravel()

    def encode(self, levels: Levels, qualities: Qualities, checks: Sequence[int]) -> list[bytes]:
        """Bodies of N messages, check values inside. Levels within ±MAX_LEVEL."""
        if len(levels) and np.abs(levels).max() > MAX_LEVEL:
            raise EmbeddingError(f"at this quality a level lies above {MAX_LEVEL}: ask for a lower")
        plain = (np.abs(levels) < self.tables.escape).all(axis=1)
        if plain.sum() < _BATCH:
            plain[:] = False
        bodies = [b""] * len(levels)
        rows = np.flatnonzero(plain)
        batch = self._encode_batch(levels[rows], qualities[rows], np.array(checks, np.int64)[rows])
        for i, body in zip(rows.tolist(), batch, strict=True):
            bodies[i] = body
        for i in np.flatnonzero(~plain).tolist():
            bodies[i] = self._encode_one(levels[i].tolist(), int(qualities[i]), checks[i])
        return bodies

    def decode(self, bodies: Sequence[bytes], qualities: Qualities) -> tuple[Levels, list[int]]:
        """Levels (N, n) and check values of N bodies.

        Raises TruncatedError (empty) or CorruptError (too long, not canonical).
        """
        # a level takes 3 bytes, its escaped rest at most 19 bits, its sign 1
        longest = 8 + 3 * self.tables.flag_of.shape[1] + 6 * self.tables.size
        check_bodies(bodies, longest)
        levels = np.zeros((len(bodies), self.tables.size), np.int64)
        checks = np.zeros(len(bodies), np.int64)
        single = np.ones(len(bodies), bool)
        if len(bodies) >= _BATCH:
            single = self._decode_batch(bodies, qualities, levels, checks)
        for i in np.flatnonzero(single).tolist():
            levels[i], checks[i] = self._decode_one(bodies[i], int(qualities[i]))
        return levels, checks.tolist()

    # one message

    def _encode_one(self, levels: list[int], quality: int, check: int) -> bytes:
        steps: list[tuple[int, int]] = []  # (left, width) in the order of decoding
        signs: list[int] = []
        state, escape = 0, self.tables.escape
        classes, flags = self._rows(quality)
        full, at = 1, 0
        for a, b, first in self._groups:
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
                    steps += [_bypass(length, _LENGTH_BITS), _bypass(rest - (1 << length), length)]
                if magnitude:
                    signs.append(int(levels[i] < 0))
                state = _NEXT[state][magnitude & 1]
        for at in range(_SEED_SIGNS, len(signs), _CHUNK):
            chunk = signs[at : at + _CHUNK]
            steps.append(_bypass(_number(chunk), len(chunk)))
        x = (check << _SEED_SIGNS) + _number(signs[:_SEED_SIGNS]) + 1
        words: list[int] = []
        for left, width in reversed(steps):
            if x >> 64 - PRECISION >= width:
                words.append(x & 0xFFFFFFFF)
                x >>= 32
            x = (x // width << PRECISION) + x % width + left
        words += [x & 0xFFFFFFFF, x >> 32]
        return trim(np.array(words, "<u4"))

    def _decode_one(self, body: bytes, quality: int) -> tuple[list[int], int]:
        reader = _Reader(body, self._left, self._width)
        pop, bypass = reader.pop, reader.bypass
        levels = [0] * self.tables.size
        nonzero: list[int] = []
        state, escape = 0, self.tables.escape
        classes, flags = self._rows(quality)
        full, at = 1, 0
        for a, b, first in self._groups:
            if first:
                state = 0
            full, at, before = pop(flags[at + full]), at + 2, len(nonzero)
            if not full:
                continue
            if full > 1:
                raise CorruptError("a flag is neither 0 nor 1: the stream is damaged")
            for i in range(a, b):
                symbol = pop(classes[i] + (state & 1))
                if symbol:
                    if symbol == escape:
                        length = bypass(_LENGTH_BITS)
                        symbol += (1 << length) + bypass(length) - 1
                    nonzero.append(i)
                    levels[i] = symbol
                    state = _NEXT[state][symbol & 1]
                else:
                    state = _NEXT[state][0]
            if len(nonzero) == before:
                raise CorruptError("a group is announced but holds only zeros: damaged")
        for at in range(_SEED_SIGNS, len(nonzero), _CHUNK):
            chunk = nonzero[at : at + _CHUNK]
            _negate(levels, chunk, bypass(len(chunk)))
        check, signs = divmod(reader.seed(), 1 << _SEED_SIGNS)
        if signs >> len(nonzero) or max(levels) > MAX_LEVEL or min(levels) < -MAX_LEVEL:
            raise CorruptError("a level or its sign is out of range: the stream is damaged")
        _negate(levels, nonzero[:_SEED_SIGNS], signs)
        return levels, check

    def _rows(self, quality: int) -> tuple[list[int], list[int]]:
        rows = self._row_lists.get(quality)
        if rows is None:
            tables = self.tables
            rows = tables.class_of[quality - 1].tolist(), tables.flag_of[quality - 1].tolist()
            if len(self._row_lists) * tables.size >= _KEPT:
                self._row_lists.clear()
            self._row_lists[quality] = rows
        return rows

    # many messages, none of them with an escape

    def _encode_batch(
        self, levels: Levels, qualities: Qualities, checks: NDArray[np.int64]
    ) -> list[bytes]:
        tables = self.tables
        magnitudes = np.abs(levels)
        signs, counts = _pack_signs(levels)
        writer = BatchWriter(
            (checks << _SEED_SIGNS) + signs[:, 0] + 1, 2 * tables.size + tables.size // 8
        )
        for chunk in range(signs.shape[1] - 1, 0, -1):
            bits = np.clip(counts - _SEED_SIGNS - _CHUNK * (chunk - 1), 0, _CHUNK)
            rows = np.flatnonzero(bits)
            shift = PRECISION - bits[rows]
            writer.push(signs[rows, chunk] << shift, np.left_shift(1, shift), rows)
        table = tables.class_of[qualities - 1] + trellis.odd(levels, tables.bands)
        left, width = tables.left[table, magnitudes].T, tables.width[table, magnitudes].T
        left, width = np.ascontiguousarray(left), np.ascontiguousarray(width)
        full = [magnitudes[:, a:b].any(axis=1).astype(np.int64) for a, b, _ in self._groups]
        for group in range(len(full) - 1, -1, -1):
            a, b, _ = self._groups[group]
            rows = np.flatnonzero(full[group])
            for i in range(b - 1, a - 1, -1) if len(rows) else ():
                writer.push(left[i, rows], width[i, rows], rows)
            before = full[group - 1] if group else 1
            flag = tables.flag_of[qualities - 1, 2 * group + before], full[group]
            writer.push(tables.left[flag], tables.width[flag])
        return writer.bodies()

    def _decode_batch(
        self, bodies: Sequence[bytes], qualities: Qualities, levels: Levels, checks: Levels
    ) -> NDArray[np.bool_]:
        """Fills levels and checks; returns which messages must be decoded singly.

        Those are messages with an escape, and damaged ones, for their error's sake.
        """
        tables = self.tables
        reader = BatchReader(bodies)
        single = np.zeros(len(bodies), bool)
        everyone = np.arange(len(bodies))
        classes, flags = tables.class_of.T[:, qualities - 1], tables.flag_of[qualities - 1]
        states = np.zeros((3, len(bodies)), np.int64)  # the quantiser now, before, and before that
        full = np.ones(len(bodies), np.int64)
        for group, (a, b, first) in enumerate(self._groups):
            if first:
                states[:] = 0
            full = self._pop_batch(reader, flags[everyone, 2 * group + full])
            single |= full > 1
            np.minimum(full, 1, out=full)
            rows = np.flatnonzero(full)
            if not len(rows):
                continue
            part, table = reader.part(rows), np.ascontiguousarray(classes[a:b, rows])
            odd, before, earlier = states[:, rows]
            found = np.empty((b - a, len(rows)), np.int64)
            for i in range(b - a):
                found[i] = self._pop_batch(part, table[i] + odd)
                # see `trellis.odd`
                odd, before, earlier = odd ^ before ^ earlier ^ (found[i] & 1), odd, before
            reader.join(part, rows)
            states[:, rows] = odd, before, earlier
            levels[rows, a:b] = found.T
            single[rows] |= (found.max(axis=0) == tables.escape) | ~found.any(axis=0)
        row, column, rank, counts = _nonzero(levels)
        chunks = max(int(counts.max()) - _SEED_SIGNS + _CHUNK - 1, 0) // _CHUNK
        signs = np.zeros((len(bodies), chunks + 1), np.int64)
        for chunk in range(1, chunks + 1):
            bits = np.clip(counts - _SEED_SIGNS - _CHUNK * (chunk - 1), 0, _CHUNK)
            rows = np.flatnonzero(bits)
            part, shift = reader.part(rows), PRECISION - bits[rows]
            quantile = part.quantile()
            chosen = quantile >> shift
            part.advance(chosen << shift, np.left_shift(1, shift), quantile)
            reader.join(part, rows)
            signs[rows, chunk] = chosen
        checks[:], signs[:, 0] = np.divmod(reader.seeds() - 1, 1 << _SEED_SIGNS)
        single |= checks >> 16 != 0  # -1 where no seed is left
        single |= signs[:, 0] >> np.minimum(counts, _SEED_SIGNS) != 0
        negative = signs[row, (rank + _CHUNK - _SEED_SIGNS) // _CHUNK] >> _place(rank) & 1
        levels[row, column] *= 1 - 2 * negative
        return single

    def _pop_batch(self, reader: BatchReader, table: Levels) -> Levels:
        """The next symbol of every message, by its own table."""
        quantile = reader.quantile()
        zero = table * self.tables.alphabet
        found: Levels = zero.copy()
        more = np.flatnonzero(quantile >= self._flat_left.take(zero + 1))  # few, as a rule
        sought = (table[more] << PRECISION) + quantile[more]
        found[more] = np.searchsorted(self._flat, sought, side="right") - 1
        reader.advance(self._flat_left.take(found), self._flat_width.take(found), quantile)
        found -= zero
        return found


class _Reader:
    """The state of one message, in Python integers."""

    def __init__(self, body: bytes, left: list[list[int]], width: list[list[int]]) -> None:
        self.words: list[int] = np.frombuffer(body.ljust(len(body) + 3 & ~3, b"\0"), "<u4").tolist()
        self.left, self.width = left, width
        self.x = 0
        self._refill()
        self._refill()

    def _refill(self) -> None:
        if self.x >> 32 == 0 and self.words:
            self.x = self.x << 32 | self.words.pop()

    def pop(self, row: int) -> int:
        left = self.left[row]
        quantile = self.x & 0xFFFFFF
        symbol = bisect_right(left, quantile) - 1
        self.x = x = self.width[row][symbol] * (self.x >> 24) + quantile - left[symbol]
        if x >> 32 == 0:
            self._refill()
        return symbol

    def bypass(self, bits: int) -> int:
        quantile, shift = self.x & 0xFFFFFF, PRECISION - bits
        value = quantile >> shift
        self.x = (self.x >> PRECISION << shift) + quantile - (value << shift)
        self._refill()
        return value

    def seed(self) -> int:
        """The check value and the seed's signs, when all else is read."""
        seed = self.x - 1
        if not 0 <= seed < 1 << 16 + _SEED_SIGNS:  # while words remain, it is more than a word
            raise CorruptError("rANS state does not end in a check value: the stream is damaged")
        return seed


def _bypass(value: int, bits: int) -> tuple[int, int]:
    """(left, width) of `bits` equally likely bits."""
    shift = PRECISION - bits
    return value << shift, 1 << shift


def _number(signs: Sequence[int]) -> int:
    """Signs as a number, the first the least significant bit."""
    return sum(sign << j for j, sign in enumerate(signs))


def _negate(levels: list[int], places: Sequence[int], signs: int) -> None:
    for j, i in enumerate(places):
        if signs >> j & 1:
            levels[i] = -levels[i]


def _nonzero(levels: Levels) -> tuple[Levels, Levels, Levels, Levels]:
    """Row, column and rank within its row of every level but zeros; their number in each row."""
    row, column = np.divmod(np.flatnonzero(levels), levels.shape[1])
    counts = np.bincount(row, minlength=len(levels))
    rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return row, column, rank, counts


def _place(rank: Levels) -> Levels:
    """Bit of a sign within the seed or its chunk."""
    ranks = np.arange(rank.max(initial=0) + 1)
    place: Levels = np.where(ranks < _SEED_SIGNS, ranks, (ranks - _SEED_SIGNS) % _CHUNK).take(rank)
    return place


def _pack_signs(levels: Levels) -> tuple[Levels, Levels]:
    """Signs of N messages: (N, 1 + chunks), the seed's first; and how many there are (N,)."""
    row, column, rank, counts = _nonzero(levels)
    chunks = 1 + max(int(counts.max(initial=0)) - _SEED_SIGNS + _CHUNK - 1, 0) // _CHUNK
    packed = np.zeros(len(levels) * chunks, np.int64)
    bit = (levels[row, column] < 0).astype(np.int64) << _place(rank)
    np.add.at(packed, row * chunks + (rank + _CHUNK - _SEED_SIGNS) // _CHUNK, bit)
    return packed.reshape(len(levels), chunks), counts
