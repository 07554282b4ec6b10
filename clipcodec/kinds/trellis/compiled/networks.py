"""What is between the matrix products of kinds/trellis/network.py; and all of it for few rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from .jit import array, compiled, inner

Array = Any


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


@inner
def _product(x: Array, weights: Array, out: Array) -> None:
    """x (k,) · weights (k, m): whole numbers, so small that their sums are exact in any order."""
    out[:] = 0
    some = np.flatnonzero(x)
    whole = len(some) // 4 * 4
    for at in range(0, whole, 4):  # four rows at a time: the sums are read and written less often
        i, j, k, m = some[at], some[at + 1], some[at + 2], some[at + 3]
        a, b, c, d = x[i], x[j], x[k], x[m]
        first, second, third, fourth = weights[i], weights[j], weights[k], weights[m]
        for n in range(len(out)):
            out[n] += (a * first[n] + b * second[n]) + (c * third[n] + d * fourth[n])
    for i in some[whole:]:
        value, row = x[i], weights[i]
        for n in range(len(out)):
            out[n] += value * row[n]


@compiled(
    array("float32", 1), types.float32, array("int8", 2), array("int32", 1), array("int32", 1),
    array("float32", 1), types.float32, array("int8", 2), array("float32", 1), array("int32", 1),
    array("float32", 1), array("float32", 2, out=True),
)  # fmt: skip
def network(
    inverse_grid: Array, most: Any, hidden: Array, bias: Array, quality: Array,
    unit: Array, most_unit: Any, out: Array, scale: Array, log_steps: Array,
    gains: Array, estimate: Array,
) -> None:  # fmt: skip
    """All of a network for few rows, in place: `inputs`, product, `units`, product, `change`.

    log_steps, gains  (N,)
    """
    x = np.empty(len(hidden), np.float32)
    sums = np.empty(len(unit), np.float32)
    changes = np.empty(len(scale), np.float32)
    first = estimate.shape[1] - len(scale)
    for row in range(len(estimate)):
        for i in range(len(x)):
            value = np.rint(estimate[row, i] * inverse_grid[i])
            value = most if value > most else value
            x[i] = -most if value < -most else value
        _product(x, hidden, sums)
        for i in range(len(sums)):
            added = np.float32(bias[i] + log_steps[row] * quality[i])
            value = np.rint((sums[i] + added) * unit[i])
            value = most_unit if value > most_unit else value
            sums[i] = np.float32(0) if value < 0 else value
        _product(sums, out, changes)
        for i in range(len(scale)):
            estimate[row, first + i] += changes[i] * scale[i] * gains[row]
