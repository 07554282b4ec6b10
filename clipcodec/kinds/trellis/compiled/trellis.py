"""From coefficients to levels: the loops of the plain kinds/trellis/{quantizer,tables}.py.

The same float32 operations in the same order, so the same paths. What is left out is what changes
nothing: candidates that are the same as another, and magnitudes off the path. There are no NaNs
here: the engine refuses them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ..quantizer import GROUP
from ..tables import LENGTH_BITS
from .jit import array, compiled, inner

Array = Any
_GROUP, _LENGTH_BITS = GROUP, LENGTH_BITS
_ZERO, _ONE, _TWO, _THREE, _FOUR = (np.float32(number) for number in range(5))
_QUARTER = np.float32(0.25)
_INFINITE = np.float32(np.inf)
_PARITIES = 0b10010110  # bit s: of the level that leads to state s by its first way


@inner
def _candidate(x: Any, m: Any, offset: Any, first: int, bits: Array, weight: Any) -> Any:
    """Cost of the m-th magnitude of a subset, and the magnitude."""
    magnitude = 2 * np.int64(m) + first
    error = x - (_FOUR * m + offset)
    return error * error + weight * bits[min(magnitude, len(bits) - 1)], magnitude


@inner
def _choose(x: Any, offset: Any, first: int, zero: bool, bits: Array, weight: Any) -> Any:
    """Least cost of a value |x| in a subset, and the magnitude for it.

    zero  whether zero is in the subset
    bits  (K,) code lengths
    """
    m = np.rint((x - offset) * _QUARTER)
    if m < _ONE:
        m = _ZERO
    best, chosen = _candidate(x, m, offset, first, bits, weight)
    lower, smaller = _candidate(x, m - _ONE if m > _ONE else _ZERO, offset, first, bits, weight)
    chosen = smaller if lower < best else chosen
    best = lower if lower < best else best
    if zero:
        none = x * x + weight * bits[0]
        chosen = 0 if none < best else chosen
        best = none if none < best else best
    return best, chosen


@inner
def _costs(x: Any, even: Array, odd: Array, weight: Any) -> Any:
    """Least cost of |x| in each of the four subsets. even, odd: (K,) bits in Q0 and in Q1."""
    if x <= _TWO:  # the first of each subset is the nearest
        c0 = x * x + weight * even[0]
        e = x - _TWO
        c1 = e * e + weight * even[1]
        e = x - _THREE
        c2 = e * e + weight * odd[2]
        none = x * x + weight * odd[0]
        c2 = none if none < c2 else c2
        e = x - _ONE
        c3 = e * e + weight * odd[1]
        return c0, c1, c2, c3
    c0, _ = _choose(x, _ZERO, 0, True, even, weight)
    c1, _ = _choose(x, _TWO, 1, False, even, weight)
    c2, _ = _choose(x, _THREE, 2, True, odd, weight)
    c3, _ = _choose(x, _ONE, 1, False, odd, weight)
    return c0, c1, c2, c3


@inner
def _from(state: int, way: int) -> tuple[int, int]:
    """The state that this way comes from, and the parity of the level that led from it."""
    return (state >> 1) + 4 * way, (_PARITIES >> state & 1) ^ way


@inner
def _back(
    state: int, x: Array, rows: Array, bits: Array, weight: Any,
    ways: Array, skips: Array, levels: Array, grid: Array,
) -> None:  # fmt: skip
    """The path that ends in a state."""
    n = len(x)
    for group in range(len(skips) - 1, -1, -1):
        start, end = group * _GROUP, min((group + 1) * _GROUP, n)
        if skips[group] >> state & 1:
            for i in range(start, end):
                levels[i] = 0
                grid[i] = _ZERO
            continue
        for i in range(end - 1, start - 1, -1):
            way = ways[i] >> state & 1
            state, parity = _from(state, way)
            row = bits[rows[i] + (state & 1)]
            if state & 1:
                if parity:
                    _, level = _choose(x[i], _ONE, 1, False, row, weight)
                else:
                    _, level = _choose(x[i], _THREE, 2, True, row, weight)
            elif parity:
                _, level = _choose(x[i], _TWO, 1, False, row, weight)
            else:
                _, level = _choose(x[i], _ZERO, 0, True, row, weight)
            levels[i] = level
            grid[i] = np.float32(2 * level - (state & 1 if level else 0))


@inner
def _path(
    x: Array, rows: Array, bits: Array, flags: Array, weight: Any,
    ways: Array, skips: Array, levels: Array, grid: Array,
) -> None:  # fmt: skip
    """Magnitudes and their reconstruction, of values |x| (n,) in steps.

    rows   (n,) of bits, in Q0
    flags  (G, 2, 2) what each group's flag costs: [was the group before full, is this one]
    ways   (n,) and skips (G,), uint8, are filled: bit s says which way is the better one into
           state s, and whether it is better to leave the group out
    """
    n = len(x)
    t0, t1, t2, t3 = _ZERO, _INFINITE, _INFINITE, _INFINITE
    t4, t5, t6, t7 = _INFINITE, _INFINITE, _INFINITE, _INFINITE
    skip: Any = 0
    for group in range(len(flags)):
        start, end = group * _GROUP, min((group + 1) * _GROUP, n)
        zeros = _ZERO
        for i in range(start, end):
            zeros += x[i] * x[i]
        flag = flags[group]
        # state by state: the group before is full unless its bit is set
        e0 = t0 + zeros + flag[1 - (skip & 1), 0]
        e1 = t1 + zeros + flag[1 - (skip >> 1 & 1), 0]
        e2 = t2 + zeros + flag[1 - (skip >> 2 & 1), 0]
        e3 = t3 + zeros + flag[1 - (skip >> 3 & 1), 0]
        e4 = t4 + zeros + flag[1 - (skip >> 4 & 1), 0]
        e5 = t5 + zeros + flag[1 - (skip >> 5 & 1), 0]
        e6 = t6 + zeros + flag[1 - (skip >> 6 & 1), 0]
        e7 = t7 + zeros + flag[1 - (skip >> 7 & 1), 0]
        t0 += flag[1 - (skip & 1), 1]
        t1 += flag[1 - (skip >> 1 & 1), 1]
        t2 += flag[1 - (skip >> 2 & 1), 1]
        t3 += flag[1 - (skip >> 3 & 1), 1]
        t4 += flag[1 - (skip >> 4 & 1), 1]
        t5 += flag[1 - (skip >> 5 & 1), 1]
        t6 += flag[1 - (skip >> 6 & 1), 1]
        t7 += flag[1 - (skip >> 7 & 1), 1]
        for i in range(start, end):
            c0, c1, c2, c3 = _costs(x[i], bits[rows[i]], bits[rows[i] + 1], weight)
            # the two ways into each state: `quantizer.NEXT`
            a0, b0 = t0 + c0, t4 + c1
            a1, b1 = t0 + c1, t4 + c0
            a2, b2 = t1 + c3, t5 + c2
            a3, b3 = t1 + c2, t5 + c3
            a4, b4 = t2 + c1, t6 + c0
            a5, b5 = t2 + c0, t6 + c1
            a6, b6 = t3 + c2, t7 + c3
            a7, b7 = t3 + c3, t7 + c2
            ways[i] = (
                np.int64(b0 < a0) | np.int64(b1 < a1) << 1
                | np.int64(b2 < a2) << 2 | np.int64(b3 < a3) << 3
                | np.int64(b4 < a4) << 4 | np.int64(b5 < a5) << 5
                | np.int64(b6 < a6) << 6 | np.int64(b7 < a7) << 7
            )  # fmt: skip
            t0 = b0 if b0 < a0 else a0
            t1 = b1 if b1 < a1 else a1
            t2 = b2 if b2 < a2 else a2
            t3 = b3 if b3 < a3 else a3
            t4 = b4 if b4 < a4 else a4
            t5 = b5 if b5 < a5 else a5
            t6 = b6 if b6 < a6 else a6
            t7 = b7 if b7 < a7 else a7
        skip = (
            np.int64(e0 <= t0) | np.int64(e1 <= t1) << 1
            | np.int64(e2 <= t2) << 2 | np.int64(e3 <= t3) << 3
            | np.int64(e4 <= t4) << 4 | np.int64(e5 <= t5) << 5
            | np.int64(e6 <= t6) << 6 | np.int64(e7 <= t7) << 7
        )  # fmt: skip
        skips[group] = skip
        t0 = e0 if e0 <= t0 else t0
        t1 = e1 if e1 <= t1 else t1
        t2 = e2 if e2 <= t2 else t2
        t3 = e3 if e3 <= t3 else t3
        t4 = e4 if e4 <= t4 else t4
        t5 = e5 if e5 <= t5 else t5
        t6 = e6 if e6 <= t6 else t6
        t7 = e7 if e7 <= t7 else t7
    state, least = 0, t0
    for other, total in enumerate((t1, t2, t3, t4, t5, t6, t7)):
        if total < least:
            state, least = other + 1, total
    _back(state, x, rows, bits, weight, ways, skips, levels, grid)


@inner
def _sign(values: Array, levels: Array, grid: Array) -> None:
    for i in range(len(values)):
        if values[i] < _ZERO:
            levels[i] = -levels[i]
            grid[i] = -grid[i]


@inner
def _information(levels: Array, classes: Array, flags: Array, full: Any, bits: Array) -> Any:
    """Bits of a band's levels (n,), and whether its last group is full. flags: (2·G,)."""
    n, escape = len(levels), bits.shape[1] - 1
    total = 0.0
    odd, before, earlier = 0, 0, 0  # the quantiser now, and the two before: `quantizer.odd`
    for group in range(len(flags) >> 1):
        start, end = group * _GROUP, min((group + 1) * _GROUP, n)
        flag = flags[2 * group + full]
        full = 0
        for i in range(start, end):
            full |= np.int64(levels[i] != 0)
        total += np.float64(bits[flag, full])
        for i in range(start, end if full else start):  # zeros lead back to the same state
            magnitude = abs(levels[i])
            total += np.float64(bits[classes[i] + odd, min(magnitude, escape)])
            if magnitude:
                total += 1.0
                if magnitude >= escape:
                    rest = (magnitude - escape + 1) >> 1
                    total += _LENGTH_BITS
                    while rest:
                        total += 1.0
                        rest >>= 1
            odd, before, earlier = odd ^ before ^ earlier ^ (magnitude & 1), odd, before
    return total, full


@inner
def _price(table: Array, bits: Array, weight: Any, flags: Array) -> None:
    """What each group's flag costs, (G, 2, 2). table: (2·G,) its rows of bits."""
    for group in range(len(flags)):
        for was in range(2):
            for now in range(2):
                flags[group, was, now] = bits[table[2 * group + was], now] * weight


@compiled(
    array("float32", 2), array("float32", 1), array("float32", 1), array("int64", 1),
    types.int64, types.int64, types.int64, array("int64", 2), array("int64", 2),
    array("float32", 2), array("float32", 2), array("float32", 1), types.float32,
    array("int64", 2, out=True), array("float32", 2, out=True), array("float64", 1, out=True),
    array("int64", 1, out=True), array("bool_", 1, out=True),
)  # fmt: skip
def band(
    y: Array, steps: Array, weight: Array, qualities: Array,
    a: int, b: int, at: int, class_of: Array, flag_of: Array,
    bits: Array, signed: Array, extra: Array, farthest: Any,
    levels: Array, estimate: Array, total: Array,
    full: Array, bad: Array,
) -> None:  # fmt: skip
    """One band of `Engine.attempt`: coefficients a … b of y (N, n), in steps, to levels.

    steps, weight, qualities  (N,)
    at                        where in a row of flag_of the band begins
    bits, signed              (R, K) code lengths without the sign and with it
    extra, farthest           as in the engine
    levels, estimate          (N, n) get the band's levels, and what they add
    total, full               (N,) bits so far, and whether the group before was full
    bad                       (N,) is set where a coefficient is NaN: the row stays as it is
    """
    n, groups = b - a, (b - a + _GROUP - 1) // _GROUP
    residual, x, grid = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
    rows, flags = np.empty(n, np.int64), np.empty((groups, 2, 2), np.float32)
    ways, skips = np.empty(n, np.uint8), np.empty(groups, np.uint8)
    table, every, every_flag = (
        np.empty(2 * groups, np.int64),
        class_of.shape[1] > 1,
        flag_of.shape[1] > 2,
    )
    for row in range(len(y)):
        step, price, quality = steps[row], weight[row], qualities[row] - 1
        pays = False
        for i in range(n):
            rows[i] = class_of[quality, every * (a + i)]
            value = (y[row, a + i] - estimate[row, a + i]) / step
            bad[row] |= value != value
            value = farthest if value > farthest else value
            value = -farthest if value < -farthest else value
            residual[i], x[i] = value, abs(value)
            pays |= _TWO * abs(value) - _ONE > price * extra[rows[i]]
        if bad[row]:
            continue
        for i in range(2 * groups):
            table[i] = flag_of[quality, at + i if every_flag else i & 1]
        found = levels[row, a:b]
        if pays:
            _price(table, bits, price, flags)
            _path(x, rows, signed, flags, price, ways, skips, found, grid)
            _sign(residual, found, grid)
            for i in range(n):
                estimate[row, a + i] += grid[i] * step
        more, full[row] = _information(found, rows, table, full[row], bits)
        total[row] += more
