"""Trellis-coded quantisation with eight states (formats/trellis.md, section 3).

Two quantisers with a step of two share the whole numbers: Q0 has the even ones, Q1 zero and the odd
ones. The parities of the levels so far decide which one is next. So a path through the trellis uses
the fine grid, and a level costs the bits of the coarse one (dependent quantisation, as in VVC; the
trellis is Ungerboeck's, as in JPEG 2000 Part 2). Four zeros lead from any state back to the same
state, so a group of 16 zeros can be left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import compiled

STATES = 8
GROUP = 16
NEXT = np.array([[0, 1], [3, 2], [5, 4], [6, 7], [1, 0], [2, 3], [4, 5], [7, 6]])
"""NEXT[state, parity of the level]; a state's quantiser is Q0 if it is even, Q1 if odd."""
_STEP, _EACH = 2e-5, 1.5e-7  # seconds that numpy takes for one place, and for each value there

Levels = NDArray[np.int64]
Floats = NDArray[np.float32]
Bands = Sequence[tuple[int, int]]

_INTO = [[(s, p) for s in range(STATES) for p in (0, 1) if NEXT[s, p] == t] for t in range(STATES)]
_FROM = np.array(
    [[s for s, _ in pair] for pair in _INTO]
).T  # (2, STATES): the two ways into a state
_SUBSET = np.array([[2 * (s & 1) + p for s, p in pair] for pair in _INTO]).T
# magnitude k of (quantiser, parity) reconstructs to 2k - quantiser: 4m + offset, for m = 0, 1, …
_OFFSET = (0, 2, 3, 1)
_FIRST = (0, 1, 2, 1)  # the smallest magnitude that is not zero by this rule


def odd(levels: Levels, bands: Bands) -> NDArray[np.uint8]:
    """(N, n) which quantiser each of the levels uses, Q0 or Q1; every band begins with Q0.

    That is the lowest bit b of the state. From NEXT follows b(t + 1) = b(t) ^ b(t - 1) ^ b(t - 2)
    ^ parity(t). As 1 + x + x^2 + x^3 = (1 + x)^3 modulo 2, three running sums of the
    parities give it.
    """
    out = np.zeros(levels.shape, np.uint8)
    parity = (levels & 1).astype(np.uint8)
    for start, end in bands:
        total = parity[:, start : end - 1]
        for _ in range(3):
            total = np.bitwise_xor.accumulate(total, axis=1)
        out[:, start + 1 : end] = total
    return out


def dequantize(levels: Levels, bands: Bands) -> Floats:
    """Levels (N, n) → whole multiples of the step, float32 (N, n)."""
    whole = levels.astype(np.int32)
    grid: Floats = (2 * whole - np.sign(whole) * odd(levels, bands)).astype(np.float32)
    return grid


def groups(start: int, end: int) -> list[tuple[int, int]]:
    """The bounds of a band's groups of GROUP levels; the last may be shorter."""
    return [(at, min(at + GROUP, end)) for at in range(start, end, GROUP)]


def quantize(
    values: Floats, rows: NDArray[Any], bits: Floats, flags: Floats, weight: Floats
) -> tuple[Levels, Floats]:
    """The path through one band of least squared error + λ · bits (Viterbi algorithm).

    values  (N, n) in steps
    rows    (N, n) or (1, n): row of `bits` that a level uses in Q0; the next row is for Q1
    bits    (R, K) code lengths of the magnitudes, sign included; the last is the escape
    flags   (N, G, 2, 2) code length of each group's flag: [was the group before full, is this one]
    weight  (N,) λ: squared steps per bit

    Returns levels (N, n) and their reconstruction (N, n) in steps.
    """
    count, n = values.shape
    fast = compiled.loops(_STEP * n + _EACH * values.size)
    if fast is not None and np.isfinite(weight).all():
        levels, grid = np.empty(values.shape, np.int64), np.empty(values.shape, np.float32)
        arrays = map(np.ascontiguousarray, (values, rows, bits, flags, weight))
        fast.quantize(*arrays, levels, grid)
        return levels, grid
    columns = np.ascontiguousarray(values.T)
    magnitudes = np.abs(columns)
    cost, level = _subset_costs(magnitudes, np.ascontiguousarray(rows.T), bits, weight)
    priced = np.ascontiguousarray(flags.transpose(1, 2, 3, 0)) * weight
    total = np.full((STATES, count), np.inf, np.float32)
    total[0] = 0
    full = np.ones((STATES, count), np.int64)
    every = np.arange(count)
    second = np.empty((n, STATES, count), bool)
    skipped = []
    for group, (start, end) in enumerate(groups(0, n)):
        zeros = np.zeros(count, np.float32)
        for squares in magnitudes[start:end] ** 2:  # numpy would sum a single row in another order
            zeros += squares
        empty = total + zeros + priced[group, full, 0, every]
        total = total + priced[group, full, 1, every]
        for i in range(start, end):
            a, b = (total[_FROM[w]] + cost[i, _SUBSET[w]] for w in (0, 1))
            np.less(b, a, out=second[i])
            total = np.minimum(a, b)
        skipped.append(empty <= total)
        full = 1 - skipped[-1]
        total = np.minimum(empty, total)
    state = total.argmin(axis=0)
    levels = np.empty((n, count), np.int64)
    grid = np.empty((n, count), np.float32)
    for (start, end), skip in zip(reversed(groups(0, n)), reversed(skipped), strict=True):
        left_out = skip[state, every]
        for i in range(end - 1, start - 1, -1):
            way = second[i, state, every].astype(np.int64)
            subset = _SUBSET[way, state]
            magnitude = np.where(left_out, 0, level[i, subset, every])
            levels[i] = magnitude
            grid[i] = 2 * magnitude - ((subset >= 2) & (magnitude > 0))
            state = np.where(left_out, state, _FROM[way, state])
    negative = columns < 0
    return np.where(negative, -levels, levels).T, np.where(negative, -grid, grid).T


def _subset_costs(
    magnitudes: Floats, rows: NDArray[Any], bits: Floats, weight: Floats
) -> tuple[Floats, NDArray[np.int32]]:
    """(n, 4, N) least cost of each value in each of the four subsets, and the magnitude for it."""
    n, count = magnitudes.shape
    alphabet = bits.shape[1]
    flat = bits.ravel()
    cost = np.empty((n, 4, count), np.float32)
    level = np.empty((n, 4, count), np.int32)
    base = rows.astype(np.int32) * alphabet

    def price(m: Floats, subset: int) -> tuple[Floats, NDArray[np.int32]]:
        """Cost of the m-th magnitude of a subset, zero not counted, and the magnitude."""
        magnitude = (2 * m + _FIRST[subset]).astype(np.int32)
        index = np.minimum(magnitude, alphabet - 1)
        index += base
        if subset >= 2:
            index += alphabet
        error = magnitudes - (4 * m + _OFFSET[subset])
        return error * error + weight * flat.take(index), magnitude

    for subset in range(4):
        nearest = np.maximum(np.rint((magnitudes - _OFFSET[subset]) * np.float32(0.25)), 0)
        best, chosen = price(nearest, subset)
        if nearest.any():
            lower, smaller = price(np.maximum(nearest - 1, 0), subset)
            chosen = np.where(lower < best, smaller, chosen)
            best = np.minimum(lower, best)
        if subset in (0, 2):  # zero is even, and in both quantisers
            zero = magnitudes * magnitudes + weight * flat.take(base + (alphabet if subset else 0))
            chosen = np.where(zero < best, 0, chosen)
            best = np.minimum(zero, best)
        cost[:, subset], level[:, subset] = best, chosen
    return cost, level
