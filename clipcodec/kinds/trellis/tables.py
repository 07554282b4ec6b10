"""Frequency tables of levels, and which table each level uses (formats/trellis.md, section 4).

A level's table depends on its place, on the quality and on the trellis state, so on the levels
before it. Groups that hold only zeros are left out, which a flag says.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...entropy.ans import PRECISION, intervals
from ...entropy.tables import FREQUENCY_BITS
from ...errors import WeightsError
from . import quantizer

MAX_LEVEL = (1 << 15) - 1
LENGTH_BITS = 4  # of the length of an escaped rest
SEED_SIGNS = 8  # signs in the seed of the rANS state, after the check value
SIGNS_PER_PUSH = 16
_BIT_PARTS = 1 << 12

Levels = NDArray[np.int64]
Qualities = NDArray[np.int64]


class LevelTables:
    """Frequencies of magnitudes, and which row of them each level uses.

    frequencies  (R, K): rows sum to 2**16; 0 is allowed and costs 24 bits; K - 1 is the escape
    class_of     (Q, n) or (Q, 1): row for quality 1 … Q and level i in Q0; the next row is for Q1
    flag_of      (Q, 2·G) or (Q, 2): row of each group's flag (1: not all zeros), after a group of
                 zeros, and after another
    bands        bounds 0 = b_0 < b_1 < … = n of the bands; the trellis starts anew in each

    Raises WeightsError when they do not fit each other.
    """

    def __init__(self, frequencies: Any, class_of: Any, flag_of: Any, bands: Sequence[int]) -> None:
        self.frequencies = np.ascontiguousarray(frequencies, np.int64)
        self.class_of = np.ascontiguousarray(class_of, np.int64)
        self.flag_of = np.ascontiguousarray(flag_of, np.int64)
        self.bands = list(pairwise(bands))
        self.count = bands[-1]
        self.groups = [quantizer.groups(a, b) for a, b in self.bands]
        self.coded_groups = [  # with the mark of a band's first
            (a, b, a == start)
            for (start, _), groups in zip(self.bands, self.groups, strict=True)
            for a, b in groups
        ]
        self._validate()
        self.alphabet = self.frequencies.shape[1]
        self.escape = self.alphabet - 1
        self.compact = self.class_of, self.flag_of  # as compiled loops read them, not spread out
        if self.class_of.shape[1] == 1:
            self.class_of = np.broadcast_to(self.class_of, (len(self.class_of), self.count))
        if self.flag_of.shape[1] == 2:
            self.flag_of = np.tile(self.flag_of, (1, sum(map(len, self.groups))))
        # a level takes 3 bytes, its escaped rest at most 19 bits, its sign 1
        self.longest = 8 + 3 * self.flag_of.shape[1] + 6 * self.count
        self.left, self.width = intervals(self.frequencies)
        # rounded to 1/4096, so that sums are exact in any order; signs are not counted here
        bits = np.rint((PRECISION - np.log2(self.width)) * _BIT_PARTS) / _BIT_PARTS
        self.bits = bits.astype(np.float32)

    def _validate(self) -> None:
        f, levels, flags = self.frequencies, self.class_of, self.flag_of
        if f.ndim != 2 or f.shape[1] < 4 or f.min() < 0:
            raise WeightsError("frequencies of levels: expected (R, K) with K >= 4")
        if (f.sum(axis=1) != 1 << FREQUENCY_BITS).any():
            raise WeightsError(f"frequencies of levels must sum to 2**{FREQUENCY_BITS}")
        if levels.ndim != 2 or levels.shape[1] not in (1, self.count):
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
        rows = classes + quantizer.odd(levels, [(0, k)])
        each = self.bits[rows, np.minimum(magnitudes, self.escape)].astype(np.float64)
        each += magnitudes > 0
        if magnitudes.max(initial=0) >= self.escape:
            each += self.escape_bits(magnitudes)
        total, everyone = np.zeros(len(levels)), np.arange(len(levels))
        now: Levels = full
        for group, (a, b) in enumerate(quantizer.groups(0, k)):
            table = flags[everyone, 2 * group + now]
            now = np.asarray(magnitudes[:, a:b].any(axis=1), np.int64)
            total += self.bits[table, now]
            total += np.where(now, each[:, a:b].sum(axis=1), 0)
        return total, now

    def escape_bits(self, magnitudes: Levels) -> NDArray[np.float64]:
        """Bits that each magnitude takes beyond its symbol: none below the escape."""
        rest = np.maximum(magnitudes - self.escape + 1, 1)
        bits: NDArray[np.float64] = LENGTH_BITS + np.frexp(rest)[1] - 1.0
        return np.where(magnitudes >= self.escape, bits, 0)
