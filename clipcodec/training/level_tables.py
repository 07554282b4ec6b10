"""Frequency tables of levels (formats/trellis.md), counted while the encoder codes embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..entropy.tables import FREQUENCY_BITS
from ..kinds.trellis import quantizer as trellis
from ..kinds.trellis.engine import Engine, Transform
from ..kinds.trellis.tables import LevelTables
from ..system.threads import in_threads

ALPHABET = 128
CLASSES = 28
PER_OCTAVE = 3  # classes for each doubling of the standard deviation
LOWEST = -6  # class 0 is for a standard deviation of 2 ** (LOWEST / PER_OCTAVE) steps
FLAGS = 24  # classes of the odds that a group is full (not all zero); each doubles the odds
PRIOR = 20.0  # the analytic distribution counts as much as this many observations
GRID = 18  # qualities at which the encoder runs; tables of the others are interpolated
FIRST_ROWS, FIRST_GRID = 256, 9  # of the rounds before the last: their tables are soon replaced
ROUNDS = 9  # five of all rows at all of GRID cost four times as much, and take 0.6 % more bits

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """Tables as the profile file stores them, and what they gave at some qualities.

    frequencies  (rows, ALPHABET)
    class_of     (Q, D) row of each coefficient at each quality; (Q, 1) if pooled
    flag_of      (Q, 2 · groups) row of each group's flag, after an empty and after a full group;
                 (Q, 2) if pooled
    grid         the qualities at which the encoder ran
    bits, error  mean ideal bits and mean squared error per row, at the qualities of `grid`
    """

    frequencies: NDArray[np.uint16]
    class_of: NDArray[np.uint16]
    flag_of: NDArray[np.uint16]
    grid: NDArray[np.int64]
    bits: Doubles
    error: Doubles


def fit(
    transform: Transform,
    latents: NDArray[np.float32],
    bands: Sequence[int],
    steps: NDArray[np.float32],
    rdo_weights: NDArray[np.float32],
    *,
    scale: Doubles,
    floor: float = 0.0,
    pooled: bool = False,
    rounds: int = ROUNDS,
    start: Doubles | None = None,
    known: bool = False,
) -> Fitted:
    """Quantise latents (N, D) a few times, each time with tables fitted to the levels before.

    The encoder leaves out what is dear, and what it leaves out becomes dearer: it takes many rounds
    until that settles, but few rows in each. All rows are taken in the last one only.

    bands        bounds of the bands
    steps        (Q,) of the quantiser, at each quality
    rdo_weights  (Q,) squared steps per bit, at each quality
    scale        (D,) standard deviations for the first round
    floor        least variance of a coefficient: embeddings unlike these rows may vary more
    pooled       one class for all coefficients, and one pair of flags for all groups
    start        (2 · CLASSES, ALPHABET) probabilities for the first round; None: `distributions`
    known        `scale` holds at every quality, as it does where nothing is predicted
    """
    counting = _Counting(transform, bands, steps, rdo_weights, floor, pooled)
    analytic = distributions()
    shares = analytic if start is None else start
    scales = np.tile(scale, (len(steps), 1))
    flag_of = flag_row(np.zeros((len(steps), 2 * len(counting.groups))))
    few = latents[:: max(1, len(latents) // (FIRST_ROWS // 2 if known else FIRST_ROWS))]
    for left in reversed(range(rounds)):
        rows, count = (few, FIRST_GRID) if left else (latents, GRID)
        found = counting.round(rows, count, shares, scales, flag_of)
        scales, flag_of = scales if known else found.scales, flag_row(found.odds)
        shares = found.counts + PRIOR * analytic
        shares /= shares.sum(axis=1, keepdims=True)
    class_of = classes(scales, steps)
    if pooled:
        class_of, flag_of = class_of[:, :1], flag_of[:, :2]
    return Fitted(
        np.concatenate([frequencies(shares), flag_rows()]).astype(np.uint16),
        class_of.astype(np.uint16), flag_of.astype(np.uint16),
        found.grid, found.bits, found.error,
    )  # fmt: skip


class _Round(NamedTuple):
    """What one round found; scales (Q, D) and odds (Q, 2·G) interpolated to all qualities."""

    counts: Doubles
    scales: Doubles
    odds: Doubles
    grid: NDArray[np.int64]
    bits: Doubles
    error: Doubles


class _Counting:
    """Runs the encoder at some qualities, and counts; its arguments are those of `fit`."""

    def __init__(
        self,
        transform: Transform,
        bands: Sequence[int],
        steps: NDArray[np.float32],
        rdo_weights: NDArray[np.float32],
        floor: float,
        pooled: bool,
    ) -> None:
        self.transform, self.bands = transform, bands
        self.steps, self.rdo_weights = steps, rdo_weights
        self.floor, self.pooled = floor, pooled
        self.groups = [g for a, b in pairwise(bands) for g in trellis.groups(a, b)]

    def round(
        self,
        latents: NDArray[np.float32],
        count: int,
        shares: Doubles,
        scales: Doubles,
        flag_of: NDArray[np.int64],
    ) -> _Round:
        """Code latents (N, D) at `count` qualities with these tables."""
        qualities = len(self.steps)
        grid = np.unique(np.linspace(1, qualities, count).round().astype(np.int64))
        class_of = classes(scales, self.steps)
        tables = LevelTables(
            np.concatenate([frequencies(shares), flag_rows()]), class_of, flag_of, self.bands
        )
        engine = Engine(self.transform, tables, self.steps, self.rdo_weights)
        some = in_threads(lambda quality: self._at(engine, latents, int(quality)), grid.tolist())
        counts = np.sum([found.counts for found in some], axis=0)
        every = np.arange(1, qualities + 1)
        logs, odds = (
            _interpolate(every, grid, np.array([getattr(found, name) for found in some]))
            for name in ("logs", "odds")
        )
        bits, error = (np.array([getattr(f, name) for f in some]) for name in ("bits", "error"))
        return _Round(counts, np.exp(logs), odds, grid, bits, error)

    def _at(self, engine: Engine, latents: NDArray[np.float32], quality: int) -> _AtQuality:
        tables, at_quality = engine.tables, np.full(len(latents), quality)
        attempt = engine.attempt(latents, at_quality)
        residual = _residuals(engine, latents, attempt.levels, at_quality)
        rows = tables.class_of[quality - 1] + trellis.odd(attempt.levels, tables.bands)
        symbols = np.minimum(np.abs(attempt.levels), ALPHABET - 1)
        full = np.stack([attempt.levels[:, a:b].any(axis=1) for a, b in self.groups], axis=1)
        coded = np.repeat(full, [b - a for a, b in self.groups], axis=1)
        counts = np.bincount(
            (rows * ALPHABET + symbols)[coded], minlength=2 * CLASSES * ALPHABET
        ).reshape(-1, ALPHABET)
        variance = (residual**2).mean(axis=0)
        variance = np.full_like(variance, variance.mean()) if self.pooled else variance
        return _AtQuality(
            counts, np.log(variance + self.floor + 1e-18) / 2, _odds(full, self.pooled),
            float(attempt.bits.mean()), float(attempt.error.mean()),
        )  # fmt: skip


class _AtQuality(NamedTuple):
    """Counts of symbols, logarithms of the scales (D,), odds of the flags, bits and error."""

    counts: NDArray[np.int64]
    logs: Doubles
    odds: Doubles
    bits: float
    error: float


def _residuals(
    engine: Engine,
    latents: NDArray[np.float32],
    levels: NDArray[np.int64],
    qualities: NDArray[np.int64],
) -> NDArray[np.float32]:
    """The residual of each coefficient (N, D): the latent minus its prediction."""
    bands = engine.tables.bands
    decoded = trellis.dequantize(levels, bands) * engine.steps[qualities - 1, None]
    estimate, residual = np.zeros_like(latents), np.empty_like(latents)
    for band, (a, b) in enumerate(bands):
        residual[:, a:b] = latents[:, a:b] - estimate[:, a:b]
        estimate[:, a:b] += decoded[:, a:b]
        if b < latents.shape[1]:
            engine.transform.predict(estimate, band, qualities)
    return residual


def _odds(full: NDArray[np.bool_], pooled: bool) -> Doubles:
    """(2·G,) log2 of the odds that each group is full: after an empty group, after a full one.

    full (N, G)
    """
    before = np.concatenate([np.ones((len(full), 1), bool), full[:, :-1]], axis=1)
    out = np.empty(2 * full.shape[1])
    overall = (full.sum(axis=0) + 0.25) / (len(full) + 0.5)
    overall = np.full_like(overall, overall.mean()) if pooled else overall
    for context in (0, 1):
        here = before == bool(context)
        both, seen = (full & here).sum(axis=0), here.sum(axis=0)
        if pooled:
            both, seen = np.full_like(both, both.sum()), np.full_like(seen, seen.sum())
        share = (both + 4 * overall) / (seen + 4)
        out[context::2] = np.log2(share / (1 - share))
    return out


def _interpolate(every: NDArray[np.int64], grid: NDArray[np.int64], values: Doubles) -> Doubles:
    """Values (len(grid), k) at the qualities of `grid` → (len(every), k), linear in between."""
    return np.stack([np.interp(every, grid, column) for column in values.T], axis=1)


def classes(scales: Doubles, steps: NDArray[np.float32]) -> NDArray[np.int64]:
    """Row of frequencies (Q, n) for standard deviations (Q, n) at steps (Q,).

    It is the row for quantiser Q0 of the trellis; the row for Q1 follows it.
    """
    octaves = np.log2(scales / steps[:, None])
    number = np.clip(np.rint(PER_OCTAVE * octaves) - LOWEST, 0, CLASSES - 1)
    row: NDArray[np.int64] = 2 * number.astype(np.int64)
    return row


def distributions() -> Doubles:
    """(2 · CLASSES, ALPHABET) probabilities of magnitudes of levels for the first round.

    Those of a two-sided exponential distribution, for each class and each of Q0 and Q1.
    """
    magnitude = np.arange(ALPHABET)
    rows = []
    for number in range(CLASSES):
        scale = 2.0 ** ((number + LOWEST) / PER_OCTAVE)  # in steps
        for odd in (0, 1):
            value = np.where(magnitude > 0, 2 * magnitude - odd, 0)  # in steps
            share = np.exp(-value / (0.8 * scale)) * np.where(magnitude > 0, 2, 1) + 1e-9
            rows.append(share / share.sum())
    return np.array(rows)


def frequencies(shares: Doubles) -> NDArray[np.int64]:
    """Rows of probabilities → rows of integers that sum to 2**16, each below 2**16."""
    total = 1 << FREQUENCY_BITS
    whole = np.rint(shares * (total - 1)).astype(np.int64)
    rows = np.arange(len(whole))
    whole[rows, whole.argmax(axis=1)] += total - whole.sum(axis=1)
    certain = whole[:, 0] == total  # 16 bits hold at most total - 1
    whole[certain, 0] -= 1
    whole[certain, 1] += 1
    return whole


def flag_row(odds: Doubles) -> NDArray[np.int64]:
    """Row of frequencies for the flag of a group whose odds of being full are 2**odds to 1."""
    number = np.clip(np.rint(odds) + FLAGS // 2, 0, FLAGS - 1)
    row: NDArray[np.int64] = 2 * CLASSES + number.astype(np.int64)
    return row


def flag_rows() -> NDArray[np.int64]:
    """(FLAGS, ALPHABET) frequencies of the flags: row j has odds 2**(j − FLAGS / 2) to 1."""
    coded = 1 / (1 + 2.0 ** -(np.arange(FLAGS) - FLAGS // 2))
    shares = np.zeros((FLAGS, ALPHABET))
    shares[:, 0], shares[:, 1] = 1 - coded, coded
    return frequencies(shares)
