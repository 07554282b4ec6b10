"""From levels to payloads: the loops of the plain kinds/trellis/{batch,coder}.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....entropy.ans import PRECISION
from ..tables import LENGTH_BITS, SEED_SIGNS, SIGNS_PER_PUSH
from .jit import array, compiled, inner

Array = Any
_PRECISION, _LENGTH_BITS, _SEED_SIGNS, _SIGNS = PRECISION, LENGTH_BITS, SEED_SIGNS, SIGNS_PER_PUSH
_SHIFT, _FULL, _WORD = np.uint64(PRECISION), np.uint64(64 - PRECISION), np.uint64(32)
_BYTE, _LOW = np.uint64(8), np.uint64(0xFF)


@inner
def _put(state: Any, out: Array, at: int) -> tuple[Any, int]:
    """One word of the state to out[at:]."""
    for byte in range(4):
        out[at + byte] = np.uint8(state >> (_BYTE * np.uint64(byte)) & _LOW)
    return state >> _WORD, at + 4


@inner
def _push(state: Any, left: int, width: int, out: Array, at: int) -> tuple[Any, int]:
    """The state with one symbol more, by its interval."""
    wide = np.uint64(width)
    if state >> _FULL >= wide:
        state, at = _put(state, out, at)
    quotient = state // wide
    return (quotient << _SHIFT) + (state - quotient * wide) + np.uint64(left), at


@inner
def _push_bits(state: Any, value: int, bits: int, out: Array, at: int) -> tuple[Any, int]:
    """The state with equally likely bits more."""
    shift = _PRECISION - bits
    return _push(state, value << shift, 1 << shift, out, at)


@inner
def _packed(negative: Array, begin: int, end: int) -> Any:
    number: Any = 0
    for j in range(begin, end):
        number |= np.int64(negative[j]) << (j - begin)
    return number


@compiled(
    array("int64", 2), array("int64", 1), array("int64", 1),
    array("int64", 2), array("int64", 2), array("int64", 2), array("uint32", 2),
    array("uint32", 2), array("uint8", 1, out=True), array("int64", 1, out=True),
)  # fmt: skip
def encode(
    levels: Array, qualities: Array, checks: Array,
    class_of: Array, flag_of: Array, groups: Array, left: Array, width: Array,
    out: Array, ends: Array,
) -> None:  # fmt: skip
    """Payloads of levels (N, n), with check values (N,), one after another; ends (N,) of each.

    groups       (G, 3) begin, end, whether the group begins a band
    left, width  (R, K) intervals of the tables
    out          with room for the longest payloads that there are
    """
    n, escape = levels.shape[1], left.shape[1] - 1
    every, every_flag = class_of.shape[1] > 1, 2 * (flag_of.shape[1] > 2)
    tables = np.empty(n, np.int64)
    negative = np.empty(n, np.uint8)  # of the levels other than zero
    flags = np.empty(len(groups), np.int64)
    begin = 0
    for row in range(len(levels)):
        level, quality = levels[row], qualities[row] - 1
        count = 0
        odd, before, earlier = 0, 0, 0  # the quantiser now, and the two before: `quantizer.odd`
        for group in range(len(groups)):
            if groups[group, 2]:
                odd, before, earlier = 0, 0, 0
            first = count
            for i in range(groups[group, 0], groups[group, 1]):
                tables[i] = class_of[quality, every * i] + odd
                if level[i] != 0:
                    negative[count] = level[i] < 0
                    count += 1
                odd, before, earlier = odd ^ before ^ earlier ^ (level[i] & 1), odd, before
            flags[group] = count > first
        state, at = np.uint64(checks[row]) << np.uint64(_SEED_SIGNS), begin
        state += np.uint64(_packed(negative, 0, min(count, _SEED_SIGNS)) + 1)
        chunks = max(count - _SEED_SIGNS + _SIGNS - 1, 0) // _SIGNS
        for chunk in range(chunks - 1, -1, -1):
            start = _SEED_SIGNS + chunk * _SIGNS
            end = min(start + _SIGNS, count)
            signs = _packed(negative, start, end)
            state, at = _push_bits(state, signs, end - start, out, at)
        for group in range(len(groups) - 1, -1, -1):
            full = flags[group]
            if full:
                for i in range(groups[group, 1] - 1, groups[group, 0] - 1, -1):
                    magnitude, table = abs(level[i]), tables[i]
                    symbol = min(magnitude, escape)
                    if symbol == escape:
                        rest = magnitude - escape + 1
                        bits = 0
                        while rest >> (bits + 1):
                            bits += 1
                        state, at = _push_bits(state, rest - (1 << bits), bits, out, at)
                        state, at = _push_bits(state, bits, _LENGTH_BITS, out, at)
                    state, at = _push(state, left[table, symbol], width[table, symbol], out, at)
            table = flag_of[quality, every_flag * group + (flags[group - 1] if group else 1)]
            state, at = _push(state, left[table, full], width[table, full], out, at)
        state, at = _put(state, out, at)
        state, at = _put(state, out, at)
        while at > begin and out[at - 1] == 0:
            at -= 1
        ends[row] = begin = at
