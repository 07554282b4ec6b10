"""Many messages of levels at once, in numpy: the bytes that coder.py makes of each alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...entropy import Payloads
from ...entropy.ans import PRECISION, AnsDecoder, AnsEncoder
from ...system.forks import cached_property
from . import quantizer
from .tables import SEED_SIGNS, SIGNS_PER_PUSH, Levels, LevelTables, Qualities


class BatchLevelCoder:
    """rANS over `LevelTables`, one state per message."""

    def __init__(self, tables: LevelTables) -> None:
        self.tables = tables
        self._flat = (
            tables.left + (np.arange(len(tables.left)) << PRECISION)[:, None]
        ).ravel()  # all rows in one increasing sequence, for one search
        self._flat_left, self._flat_width = tables.left.ravel(), tables.width.ravel()

    def encode(
        self, levels: Levels, qualities: Qualities, checks: NDArray[np.int64]
    ) -> list[bytes]:
        """Payloads of N messages without an escape."""
        tables = self.tables
        magnitudes = np.abs(levels)
        signs, counts = _pack_signs(levels)
        encoder = AnsEncoder(
            (checks << SEED_SIGNS) + signs[:, 0] + 1, 2 * tables.count + tables.count // 8
        )
        for chunk in range(signs.shape[1] - 1, 0, -1):
            bits = np.clip(counts - SEED_SIGNS - SIGNS_PER_PUSH * (chunk - 1), 0, SIGNS_PER_PUSH)
            rows = np.flatnonzero(bits)
            shift = PRECISION - bits[rows]
            encoder.push(signs[rows, chunk] << shift, np.left_shift(1, shift), rows)
        table = tables.class_of[qualities - 1] + quantizer.odd(levels, tables.bands)
        left, width = tables.left[table, magnitudes].T, tables.width[table, magnitudes].T
        left, width = np.ascontiguousarray(left), np.ascontiguousarray(width)
        full = [magnitudes[:, a:b].any(axis=1).astype(np.int64) for a, b, _ in tables.coded_groups]
        for group in range(len(full) - 1, -1, -1):
            a, b, _ = tables.coded_groups[group]
            rows = np.flatnonzero(full[group])
            for i in range(b - 1, a - 1, -1) if len(rows) else ():
                encoder.push(left[i, rows], width[i, rows], rows)
            before = full[group - 1] if group else 1
            flag = tables.flag_of[qualities - 1, 2 * group + before], full[group]
            encoder.push(tables.left[flag], tables.width[flag])
        return encoder.payloads()

    def encode_compiled(
        self, loops: Any, levels: Levels, qualities: Qualities, checks: Levels
    ) -> list[bytes]:
        """`encode` by the compiled loops, messages with an escape too."""
        out = np.empty(len(levels) * self.tables.longest, np.uint8)
        ends = np.empty(len(levels), np.int64)
        loops.encode(np.ascontiguousarray(levels), qualities, checks, *self._rows, out, ends)
        bounds = [0, *ends.tolist()]
        payloads = out[: bounds[-1]].tobytes()
        return [payloads[a:b] for a, b in pairwise(bounds)]

    def decode(
        self, payloads: Sequence[bytes], qualities: Qualities, levels: Levels, checks: Levels
    ) -> Sequence[int]:
        """Fill levels (N, n) and checks (N,); returns the messages that must be decoded alone.

        Those are messages with an escape, and damaged ones, which gives the error for each.
        """
        tables = self.tables
        decoder = AnsDecoder(payloads)
        single = np.zeros(len(payloads), bool)
        every = np.arange(len(payloads))
        classes, flags = tables.class_of.T[:, qualities - 1], tables.flag_of[qualities - 1]
        states = np.zeros((3, len(payloads)), np.int64)  # the quantiser now, and the two before
        full = np.ones(len(payloads), np.int64)
        for group, (a, b, first) in enumerate(tables.coded_groups):
            if first:
                states[:] = 0
            full = self._pop(decoder, flags[every, 2 * group + full])
            single |= full > 1
            np.minimum(full, 1, out=full)
            rows = np.flatnonzero(full)
            if not len(rows):
                continue
            part, table = decoder.part(rows), np.ascontiguousarray(classes[a:b, rows])
            odd, before, earlier = states[:, rows]
            found = np.empty((b - a, len(rows)), np.int64)
            for i in range(b - a):
                found[i] = self._pop(part, table[i] + odd)
                # see `quantizer.odd`
                odd, before, earlier = odd ^ before ^ earlier ^ (found[i] & 1), odd, before
            decoder.join(part, rows)
            states[:, rows] = odd, before, earlier
            levels[rows, a:b] = found.T
            single[rows] |= (found.max(axis=0) == tables.escape) | ~found.any(axis=0)
        row, column, rank, counts = _nonzero(levels)
        chunks = max(int(counts.max()) - SEED_SIGNS + SIGNS_PER_PUSH - 1, 0) // SIGNS_PER_PUSH
        signs = np.zeros((len(payloads), chunks + 1), np.int64)
        for chunk in range(1, chunks + 1):
            bits = np.clip(counts - SEED_SIGNS - SIGNS_PER_PUSH * (chunk - 1), 0, SIGNS_PER_PUSH)
            rows = np.flatnonzero(bits)
            part, shift = decoder.part(rows), PRECISION - bits[rows]
            quantile = part.quantile()
            chosen = quantile >> shift
            part.advance(chosen << shift, np.left_shift(1, shift), quantile)
            decoder.join(part, rows)
            signs[rows, chunk] = chosen
        checks[:], signs[:, 0] = np.divmod(decoder.seeds() - 1, 1 << SEED_SIGNS)
        single |= checks >> 16 != 0  # -1 where no seed is left
        single |= signs[:, 0] >> np.minimum(counts, SEED_SIGNS) != 0
        negative = (
            signs[row, (rank + SIGNS_PER_PUSH - SEED_SIGNS) // SIGNS_PER_PUSH] >> _place(rank) & 1
        )
        levels[row, column] *= 1 - 2 * negative
        alone: list[int] = np.flatnonzero(single).tolist()
        return alone

    def decode_compiled(
        self,
        loops: Any,
        payloads: Sequence[bytes],
        qualities: Qualities,
        levels: Levels,
        checks: Levels,
    ) -> Sequence[int]:
        """`decode` by the compiled loops."""
        joined = Payloads.of(payloads)
        single = np.empty(len(payloads), np.bool_)
        loops.decode(
            joined.buffer, joined.starts, joined.lengths, qualities, *self._rows, levels, checks,
            single,
        )  # fmt: skip
        levels[single] = 0
        alone: list[int] = np.flatnonzero(single).tolist()
        return alone

    @cached_property
    def _rows(self) -> tuple[NDArray[Any], ...]:
        """What the compiled loops read of the tables."""
        tables = self.tables
        return (
            *tables.compact, np.array(tables.coded_groups, np.int64),
            tables.left.astype(np.uint32), tables.width.astype(np.uint32),
        )  # fmt: skip

    def _pop(self, decoder: AnsDecoder, table: Levels) -> Levels:
        """The next symbol of every message, by its own table."""
        quantile = decoder.quantile()
        zero = table * self.tables.alphabet
        found: Levels = zero.copy()
        more = np.flatnonzero(quantile >= self._flat_left.take(zero + 1))  # few, as a rule
        sought = (table[more] << PRECISION) + quantile[more]
        found[more] = np.searchsorted(self._flat, sought, side="right") - 1
        decoder.advance(self._flat_left.take(found), self._flat_width.take(found), quantile)
        found -= zero
        return found


def _nonzero(levels: Levels) -> tuple[Levels, Levels, Levels, Levels]:
    """Row, column and rank within its row of every level but zeros; their number in each row."""
    row, column = np.divmod(np.flatnonzero(levels), levels.shape[1])
    counts = np.bincount(row, minlength=len(levels))
    rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return row, column, rank, counts


def _place(rank: Levels) -> Levels:
    """Bit of a sign within the seed or its chunk."""
    ranks = np.arange(rank.max(initial=0) + 1)
    place: Levels = np.where(ranks < SEED_SIGNS, ranks, (ranks - SEED_SIGNS) % SIGNS_PER_PUSH).take(
        rank
    )
    return place


def _pack_signs(levels: Levels) -> tuple[Levels, Levels]:
    """Signs of N messages: (N, 1 + chunks), the seed's first; and how many there are (N,)."""
    row, column, rank, counts = _nonzero(levels)
    chunks = (
        1 + max(int(counts.max(initial=0)) - SEED_SIGNS + SIGNS_PER_PUSH - 1, 0) // SIGNS_PER_PUSH
    )
    packed = np.zeros(len(levels) * chunks, np.int64)
    bit = (levels[row, column] < 0).astype(np.int64) << _place(rank)
    np.add.at(packed, row * chunks + (rank + SIGNS_PER_PUSH - SEED_SIGNS) // SIGNS_PER_PUSH, bit)
    return packed.reshape(len(levels), chunks), counts
