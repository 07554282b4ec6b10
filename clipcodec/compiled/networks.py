"""What is between the matrix products of kinds/trellis/network.py, and products of one row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from .jit import array, compiled

Array = Any
_ROUND = np.rint


@compiled(array("float32", 2), array("float32", 1), types.float32, array("float32", 2, out=True))
def inputs(estimate: Array, inverse_grid: Array, most: Any, out: Array) -> None:
    """The first coefficients of the estimate (N, D) on their grid (k,): whole numbers (N, k)."""
    for row in range(len(estimate)):
        for i in range(len(inverse_grid)):
            value = np.rint(estimate[row, i] * inverse_grid[i])
            value = most if value > most else value
            out[row, i] = -most if value < -most else value


@compiled(array("float32", 2), array("float32", 1), types.float32, array("float32", 2, out=True))
def units(added: Array, unit: Array, most: Any, sums: Array) -> None:
    """Sums (N, H) to hidden units, in place. added: (N, H), or (1, H) for all rows."""
    for row in range(len(sums)):
        more = added[row if len(added) > 1 else 0]
        for i in range(len(unit)):
            value = np.rint((sums[row, i] + more[i]) * unit[i])
            value = most if value > most else value
            sums[row, i] = np.float32(0) if value < 0 else value


@compiled(
    array("float32", 2), array("float32", 1), array("float32", 1), array("float32", 2, out=True)
)
def change(sums: Array, scale: Array, gain: Array, estimate: Array) -> None:
    """Add sums (N, w), times scale and gain, to the last w coefficients of the estimate (N, D).

    gain  (N,), or (1,) for all rows
    """
    width = len(scale)
    first = estimate.shape[1] - width
    for row in range(len(sums)):
        factor = gain[row if len(gain) > 1 else 0]
        for i in range(width):
            estimate[row, first + i] += sums[row, i] * scale[i] * factor


@compiled(array("float32", 1), array("int8", 2), array("float32", 1, out=True))
def product(x: Array, weights: Array, out: Array) -> None:
    """x (k,) · weights (k, m): whole numbers, so small that their sums are exact in any order."""
    out[:] = 0
    width = weights.shape[1]
    for i in range(len(x)):
        value = x[i]
        if value != 0:
            row = weights[i]
            for j in range(width):
                out[j] += value * np.float32(row[j])
