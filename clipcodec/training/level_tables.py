"""Frequency tables of levels, from what the encoder itself does with embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..entropy.tables import FREQUENCY_BITS
from ..kinds.trellis import quantizer as trellis
from ..kinds.trellis.engine import Engine, Transform
from ..kinds.trellis.tables import LevelTables

ALPHABET = 128
CLASSES = 28
PER_OCTAVE = 3  # classes of standard deviation over step
LOWEST = -6  # class 0 stands for 2 ** (LOWEST / PER_OCTAVE) steps
FLAGS = 24  # classes of a group's odds to hold something, two to one apart
PRIOR = 20.0  # observations that the analytic distribution counts for
GRID = 18  # qualities that are counted; what lies between is interpolated

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """Tables as they ship, and the mean bits and error at the qualities counted."""

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
    weights: NDArray[np.float32],
    *,
    spread: Doubles,
    floor: float = 0.0,
    pooled: bool = False,
    rounds: int = 4,
) -> Fitted:
    """Quantise latents (N, D) with tables fitted to the round before, a few times over.

    spread  (D,) standard deviations to begin with
    floor   variance that every coefficient has at least: what rows unlike these would show
    pooled  all coefficients share a table, all groups a flag: class_of (Q, 1), flag_of (Q, 2)
    """
    qualities = len(steps)
    grid = np.unique(np.linspace(1, qualities, GRID).round().astype(np.int64))
    every = np.arange(1, qualities + 1)
    analytic = distributions()
    shares = analytic
    spreads = np.tile(spread, (qualities, 1))
    groups = [g for a, b in pairwise(bands) for g in trellis.groups(a, b)]
    flag_of = flag_row(np.zeros((qualities, 2 * len(groups))))
    flags = flag_rows()
    for _ in range(rounds):
        class_of = classes(spreads, steps)
        tables = LevelTables(
            np.concatenate([frequencies(shares), flags]),
            class_of, flag_of, bands,
        )  # fmt: skip
        engine = Engine(transform, tables, steps, weights)
        counts = np.zeros((2 * CLASSES, ALPHABET))
        logs, odds, bits, errors = [], [], [], []
        for quality in grid:
            asked = np.full(len(latents), quality)
            attempt = engine.attempt(latents, asked)
            residual = _residuals(engine, latents, attempt.levels, asked)
            rows = class_of[quality - 1] + trellis.odd(attempt.levels, tables.bands)
            symbols = np.minimum(np.abs(attempt.levels), ALPHABET - 1)
            full = np.stack([attempt.levels[:, a:b].any(axis=1) for a, b in groups], axis=1)
            wide = np.repeat(full, [b - a for a, b in groups], axis=1)
            counts += np.bincount((rows * ALPHABET + symbols)[wide], minlength=counts.size).reshape(
                counts.shape
            )
            variance = (residual**2).mean(axis=0)
            variance = np.full_like(variance, variance.mean()) if pooled else variance
            logs.append(np.log(variance + floor + 1e-18) / 2)
            odds.append(_odds(full, pooled))
            bits.append(attempt.bits.mean())
            errors.append(attempt.error.mean())
        spreads = np.exp(_between(every, grid, np.array(logs)))
        flag_of = flag_row(_between(every, grid, np.array(odds)))
        shares = counts + PRIOR * analytic
        shares /= shares.sum(axis=1, keepdims=True)
    class_of = classes(spreads, steps)
    if pooled:
        class_of, flag_of = class_of[:, :1], flag_of[:, :2]
    return Fitted(
        np.concatenate([frequencies(shares), flags]).astype(np.uint16),
        class_of.astype(np.uint16), flag_of.astype(np.uint16),
        grid, np.array(bits), np.array(errors),
    )  # fmt: skip


def _residuals(
    engine: Engine,
    latents: NDArray[np.float32],
    levels: NDArray[np.int64],
    qualities: NDArray[np.int64],
) -> NDArray[np.float32]:
    """What was left to code in each coefficient (N, D)."""
    bands = engine.tables.bands
    grid = trellis.dequantize(levels, bands) * engine.steps[qualities - 1, None]
    estimate, residual = np.zeros_like(latents), np.empty_like(latents)
    for band, (a, b) in enumerate(bands):
        residual[:, a:b] = latents[:, a:b] - estimate[:, a:b]
        estimate[:, a:b] += grid[:, a:b]
        engine.transform.refine(estimate, band, qualities)
    return residual


def _odds(full: NDArray[np.bool_], pooled: bool) -> Doubles:
    """(2·G,) logarithm of the odds of each group being full, after an empty and a full one."""
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


def _between(every: NDArray[np.int64], grid: NDArray[np.int64], values: Doubles) -> Doubles:
    return np.stack([np.interp(every, grid, column) for column in values.T], axis=1)


def classes(spreads: Doubles, steps: NDArray[np.float32]) -> NDArray[np.int64]:
    """Row of each place (Q, n) in Q0, from standard deviations (Q, n) and steps (Q,)."""
    octaves = np.log2(spreads / steps[:, None])
    number = np.clip(np.rint(PER_OCTAVE * octaves) - LOWEST, 0, CLASSES - 1)
    row: NDArray[np.int64] = 2 * number.astype(np.int64)
    return row


def distributions() -> Doubles:
    """(2 · CLASSES, ALPHABET) magnitudes to begin with: two-sided exponential, each class."""
    magnitude = np.arange(ALPHABET)
    rows = []
    for number in range(CLASSES):
        spread = 2.0 ** ((number + LOWEST) / PER_OCTAVE)
        for odd in (0, 1):
            size = np.where(magnitude > 0, 2 * magnitude - odd, 0)
            share = np.exp(-size / (0.8 * spread)) * np.where(magnitude > 0, 2, 1) + 1e-9
            rows.append(share / share.sum())
    return np.array(rows)


def frequencies(shares: Doubles) -> NDArray[np.int64]:
    """Rows of probabilities to integers that sum to 2**16, none of them all of it."""
    total = 1 << FREQUENCY_BITS
    whole = np.rint(shares * (total - 1)).astype(np.int64)
    rows = np.arange(len(whole))
    whole[rows, whole.argmax(axis=1)] += total - whole.sum(axis=1)
    certain = whole[:, 0] == total  # 16 bits hold no more than total - 1
    whole[certain, 0] -= 1
    whole[certain, 1] += 1
    return whole


def flag_row(odds: Doubles) -> NDArray[np.int64]:
    """Row of the flag of a group whose odds of being full are 2**odds to one."""
    number = np.clip(np.rint(odds) + FLAGS // 2, 0, FLAGS - 1)
    row: NDArray[np.int64] = 2 * CLASSES + number.astype(np.int64)
    return row


def flag_rows() -> NDArray[np.int64]:
    """(FLAGS, ALPHABET) frequencies of the flags: odds 2**j for j about zero."""
    coded = 1 / (1 + 2.0 ** -(np.arange(FLAGS) - FLAGS // 2))
    shares = np.zeros((FLAGS, ALPHABET))
    shares[:, 0], shares[:, 1] = 1 - coded, coded
    return frequencies(shares)
